"""README, CONTRIBUTING and docs/: the files, targets and commands that they name exist."""

import re
import shlex
from pathlib import Path

import pytest

from sgenet.cli import _parser
from sgenet.evaluation.verdicts import Verdict

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.M | re.S)


def of_page(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_links_lead_to_files(page):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_commands_are_commands_of_the_project(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    lines = [line.removeprefix("$ ") for block in FENCED.findall(text) for line in block.splitlines()]
    named = re.findall(r"`make ([a-z-]+)", text) + [line.split()[1] for line in lines if line.startswith("make ")]
    assert set(named) <= targets
    for line in lines:
        if line.startswith("sgenet "):
            _parser().parse_args(shlex.split(line, comments=True)[1:])  # SystemExit where it is none


def test_pages_of_other_folders_are_no_part_of_the_site():
    """Pages of the site link to other pages only: other files of the repository are not copied there."""
    for page in (ROOT / "docs").glob("*.md"):
        assert "](../" not in page.read_text(), page.name


def test_the_page_on_the_report_has_every_verdict_with_its_meaning():
    section = (ROOT / "docs/report.md").read_text().partition("## Verdicts")[2].partition("\n## ")[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in section.splitlines() if "|" in line]
    assert rows[2:] == [(verdict, verdict.meaning) for verdict in Verdict]
