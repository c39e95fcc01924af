"""The site of `sgenet publish`: what it contains, that all links are relative and valid, and what is refused."""

import hashlib
import json
import os
import re
import shutil
import socket
from pathlib import Path
from urllib.parse import unquote

import pytest

from sgenet.archive.publish import publish
from sgenet.cli import main
from sgenet.config.replication import Replication
from sgenet.errors import InputError
from support.browser import violations
from support.page import Elements

HIDDEN = re.compile(r"<(script|style).*?</\1>", re.DOTALL)


@pytest.fixture
def sources(finished: Replication, written: Path) -> Path:
    """reports/published/ with a report, the same in an archive, one with another number, and a trial."""
    published = Path("reports/published")
    shutil.copytree("reports/demo", published / "first")
    (published / "archived").mkdir()
    shutil.copy(written, published / "archived/archive.zip")
    shutil.copytree("reports/demo", published / "second & more")
    path = published / "second & more/comparison.json"
    value = json.loads(path.read_text())
    value["tables"][0]["rows"][1]["cells"]["top1"]["verdict"] = "contradicted"
    path.write_text(json.dumps(value))
    (published / "trial").mkdir()
    (published / "trial/results.json").write_text("{}")
    return published


def links_of(page: Path) -> list[str]:
    elements = Elements(page.read_text())
    found = [attributes.get("href") for name in ("a", "link") for attributes in elements.all(name)]
    return [link for link in found + [one.get("src") for one in elements.all("img")] if link]


def test_the_site(sources: Path, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network; every link of every page leads to a file of the site, or to the paper."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    site = tmp_path / "site"
    said = publish(site, [written])
    assert said == f"{site}/index.html: 5 replications, 6 comparisons"
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 1 + 4 + 6
    for page in pages:
        for link in links_of(page):
            if not link.startswith(("https://", "data:", "#", "mailto:")):
                target = (page.parent / unquote(link.partition("#")[0])).resolve()
                assert target.is_relative_to(site.resolve()) and target.is_file(), f"{page}: {link}"
        for attributes in [*Elements(page.read_text()).all("script"), *Elements(page.read_text()).all("iframe")]:
            assert "src" not in attributes
    text = (site / "index.html").read_text()
    content = written.read_bytes()
    assert hashlib.sha256(content).hexdigest() in text and f"{len(content):,} bytes" in text
    assert "Scale demo, 2026-01-02, commit " in text and 'href="trial/results.json"' in text
    assert "Nothing differs" in text and "1 of 14 cells has another verdict" in text
    for name in ("first", "archived", "archive"):
        assert (site / name / "index.html").read_bytes() == Path("reports/demo/index.html").read_bytes()
    compared = HIDDEN.sub("", (site / "compare/first/second & more/index.html").read_text())
    assert "first/comparison.json" in compared and str(tmp_path) not in compared


def test_again(sources: Path, tmp_path: Path) -> None:
    """A site is replaced: what is no longer published is gone. Equal sources give equal files."""
    site = tmp_path / "site"
    publish(site)
    before = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    publish(site)
    assert {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    shutil.rmtree(sources / "first")
    publish(site)
    assert not (site / "first").exists() and (site / "archived/index.html").is_file()


def test_other_files_are_kept(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder that is no site, and next to the files of one; the site is then not changed."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "thesis.tex").write_text("x")
    assert main(["publish", "--to", str(site)]) == 2
    assert "found thesis.tex, which `sgenet publish` did not write" in capsys.readouterr().err
    assert [path.name for path in site.iterdir()] == ["thesis.tex"]
    (site / "thesis.tex").unlink()
    publish(site)
    index = (site / "index.html").read_bytes()
    (site / "first/notes.txt").write_text("x")
    shutil.rmtree(sources / "second & more")
    with pytest.raises(InputError, match=r"found first/notes\.txt"):
        publish(site)
    assert (site / "index.html").read_bytes() == index and (site / "second & more").is_dir()


def test_bad_sources(sources: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (tmp_path / "no.zip").write_text("no zip")
    (tmp_path / "empty").mkdir()
    for path, sentence in {
        "no.zip": "no.zip: cannot be read",
        "empty": "empty: found no comparison.json",
        "none": "none: not found",
        "first": "the name 'first' twice",
    }.items():
        with pytest.raises(InputError, match=sentence):
            publish(site, [tmp_path / path])
        assert not site.exists() and not [*tmp_path.glob(".site*")]


def test_no_violation_of_axe(sources: Path, tmp_path: Path) -> None:
    """The index in Chromium, from the file system: narrow, wide, light and dark, without other requests."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium; `make browser` installs it")
    publish(tmp_path / "site")
    index = tmp_path / "site/index.html"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        for width, scheme in ((390, "light"), (1400, "dark")):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page, requests = context.new_page(), []
            page.on("request", lambda request, requests=requests: requests.append(request.url))
            page.goto(index.as_uri())
            assert violations(page) == "" and requests == [index.as_uri()]
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width
            page.get_by_role("link", name="Report of first").click()
            assert page.url == (tmp_path / "site/first/index.html").as_uri()
            context.close()
        browser.close()
