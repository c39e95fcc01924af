"""reports/index.html: one row a scale, whatever its files look like."""

import json
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.evaluation.verdicts import Verdict
from sgenet.report import build
from sgenet.report.index import write_index
from support import results as make

INDEX = Path("reports/index.html")


class Rows(HTMLParser):
    """The text of each cell of the table, and every link."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self._open = False
        self.feed(INDEX.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.links += [value for name, value in attrs if name == "href" and value]
        if tag == "tr":
            self.rows.append([])
        self._open = tag in ("td", "th", "a", "small", "span", "br") and bool(self.rows)
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th", "table")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data


def test_a_row_tells_what_its_report_holds(replication: Replication) -> None:
    build(replication)
    write_index()
    page = Rows()
    header, row = page.rows
    comparison = json.loads(Path("reports/demo/comparison.json").read_text())
    verdicts = Counter(c["verdict"] for t in comparison["tables"] for r in t["rows"] for c in r["cells"].values())
    counts = dict(zip(header[2:], row[2:], strict=True))
    assert counts == {verdict.capitalize(): str(verdicts[verdict]) for verdict in Verdict if verdicts[verdict]}
    assert {"Exact", "Differs", "Not judged"} <= counts.keys()
    assert row[0].startswith("demo") and replication.scale.description in row[0]
    assert row[1] == "2026-01-02 03:04 UTC"
    assert "demo/index.html" in page.links


def test_the_same_files_make_the_same_bytes(replication: Replication) -> None:
    build(replication)
    write_index()
    first = INDEX.read_bytes()
    shutil.rmtree("reports/demo")
    build(replication)
    write_index()
    assert INDEX.read_bytes() == first


def test_damaged_reports_are_rows_that_say_so(replication: Replication) -> None:
    build(replication)
    texts = {
        "a-not-json": "{",
        "b-no-tables": '{"version": 3}',
        "c-list": "[]",
        "d-word": Path("reports/demo/comparison.json").read_text().replace('"exact"', '"baseline"', 1),
        "d-version": '{"scale": "demo", "claims": [], "tables": []}',
    }
    for name, text in texts.items():
        make.write(Path("reports", name, "index.html"), "")
        make.write(Path("reports", name, "comparison.json"), text)
    make.write(Path("reports/e-none/index.html"), "")
    make.write(Path("reports/f-no-page/comparison.json"), "{}")
    paths.evaluation("demo", "classification/resnet50", 0).joinpath("timing.json").write_text("[]")
    write_index()
    rows = {row[0].split("\n")[0]: row for row in Rows().rows[1:]}
    assert list(rows) == [*sorted(texts), "demo" + replication.scale.description, "e-none"]
    assert "line 1 is not JSON" in rows["a-not-json"][2]
    assert "b-no-tables/comparison.json: scale: missing" in rows["b-no-tables"][2]
    assert "the whole file: found [], expected a mapping" in rows["c-list"][2]
    assert "tables.0.rows.0.cells.params.verdict: found 'baseline', expected one of exact, " in rows["d-word"][2]
    older = "version: found None, expected 3 of this version of sgenet; build the report again"
    assert f"d-version/comparison.json: {older}" in rows["d-version"][2]
    assert "e-none/comparison.json: cannot be read" in rows["e-none"][2]


def test_hostile_names_are_escaped(replication: Replication) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    make.write(Path("reports", name, "index.html"), "")
    make.write(Path("reports/published/README.md"), "")
    Path("reports", "line\nbreak").mkdir()
    write_index()
    page = Rows()
    assert page.tags["img"] == page.tags["script"] == 0
    quoted = "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%27%26"
    assert {f"{quoted}/index.html", "published/README.md"} <= set(page.links)


def test_without_any_report_the_page_says_so(repository: Path) -> None:
    Path("reports").mkdir()
    write_index()
    assert "No report was built yet" in INDEX.read_text() and not Rows().rows
