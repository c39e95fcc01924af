"""The page in a real Chromium: hostile names, no requests, no violation that axe-core finds, keyboard, phone width."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.report import build
from sgenet.report.compare import compare
from support import results as make
from support.browser import Visit, unchecked_contrast, violations

playwright = pytest.importorskip("playwright.sync_api")

EVIL = ["<script>alert(1)</script>\"'&", '"><img src=x onerror=alert(1)>', "</script></style></svg>{{ 7*7 }}"]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PHONE, DESKTOP = (390, 844), (1400, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests; they are skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as driver:
        path = found or driver.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(
                "no Chromium: neither $CHROMIUM nor " + ", ".join(names) + " on PATH; `make browser` installs it"
            )
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, everything: tuple[Path, Replication]) -> Path:
    """A report in which every name, note, problem and log line is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(everything[0], folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _poison()
        build(load_replication())
    return folder / "reports/demo/index.html"


def _poison() -> None:
    evil = " ".join(EVIL)
    label = f"ResNet50 {EVIL[0]}"
    table = make.CLASSIFICATION | {"title": evil, "note": evil}
    columns = [column | {"label": f"{column['label']} {EVIL[1]}", "note": evil} for column in table["columns"]]
    plain, sge = (row | {"note": evil} for row in table["rows"])
    plain["label"] = label
    published = sge["published"] | {"top1": sge["published"]["top1"] | {"note": evil}}
    sge |= {"label": f"SGE {EVIL[1]}", "baseline": label, "published": published}
    worse = {"label": f"SE {EVIL[2]}", "run": "se-resnet50", "baseline": label}
    unusable = {"label": f"BAM {EVIL[1]}", "run": "bam-resnet50", "baseline": label}
    failed = {"label": f"CBAM {EVIL[0]}", "run": "cbam-resnet50", "baseline": label}
    make.write_table("one", table | {"columns": columns, "rows": [plain, sge, worse, unusable, failed]})
    make.write_claims([claim | {"sentence": evil, "where": evil, "note": evil} for claim in make.CLAIMS[2:]])
    make.make_run("demo", "classification/se-resnet50", 0, make.IMAGES, skill=0.5)
    path = make.metrics_path("classification/se-resnet50")
    path.write_text(path.read_text().replace("a made-up CPU", json.dumps(evil)[1:-1]).replace("c0ffee", "<script>"))
    make.write(make.metrics_path("classification/bam-resnet50"), {"run": evil})
    log = paths.run_log("demo", "train", "classification/cbam-resnet50", 0)
    make.write(log, f"{evil}\nError: {evil}\nsgenet: exit status 1\n")
    manifest = paths.manifest("demo", "classification")
    make.write(manifest, json.loads(manifest.read_text()) | {"classes": EVIL, "source": evil})


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Callable[..., Visit]]:
    """Opens the report in a window of its own."""
    contexts = []

    def open_page(size: tuple[int, int] = DESKTOP, scheme: str = "light", path: Path = report) -> Visit:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        visit = Visit(context.new_page())
        page = visit.page
        page.on("request", lambda request: visit.requests.append(request.url))
        page.on("console", lambda line: line.type in ("error", "warning") and visit.told.append(line.text))
        page.on("pageerror", lambda error: visit.told.append(str(error)))
        page.on("dialog", lambda dialog: (visit.told.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return visit

    yield open_page
    for context in contexts:
        context.close()


def test_loads_nothing_and_runs_nothing_of_others(visit: Callable[..., Visit], report: Path) -> None:
    opened = visit()
    page = opened.page
    assert page.locator("table.results").count() == 2
    page.locator("button.open").first.click()
    assert opened.requests == [report.as_uri()] and opened.told == []
    assert page.locator("[onerror], img[src=x]").count() == 0
    scripts = page.locator("script").all_inner_texts()
    assert len(scripts) <= 1 and not any("alert" in script for script in scripts)
    text = page.evaluate("document.body.textContent")
    for evil in EVIL:
        assert evil in text
    assert "Error: <script>" in text


def test_axe_sees_what_is_wrong(browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_content('<title>t</title><p style="color: #ccc; background: #fff">pale</p><img src="data:,">')
    found = {line.split()[0] for line in violations(page).splitlines()}
    assert found >= {"color-contrast", "image-alt", "html-has-lang"}
    assert violations(page, "p").split() == ["color-contrast", "p"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_axe(visit: Callable[..., Visit], scheme: str) -> None:
    page = visit(DESKTOP, scheme).page
    assert violations(page) == ""
    page.set_viewport_size(dict(zip(("width", "height"), PHONE, strict=True)))
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert violations(page) == ""
    ids = page.locator("[popover]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) >= 7  # a run each
    for name in ids:
        page.evaluate("name => document.getElementById(name).showPopover()", name)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")  # the observer has run
        assert violations(page, f"#{name}") == ""
        page.keyboard.press("Escape")
    page.set_viewport_size(dict(zip(("width", "height"), DESKTOP, strict=True)))
    assert unchecked_contrast(page) == []
    assert violations(page) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_of_replications(visit: Callable[..., Visit], report: Path, tmp_path: Path, scheme: str) -> None:
    value = json.loads(report.with_name("comparison.json").read_text())
    value["claims"][0]["verdict"] = "contradicted"
    value["tables"][0]["rows"][1]["cells"]["top1"]["reproduced"]["value"] += 1
    shutil.copytree(report.parent, tmp_path / "other")
    make.write(tmp_path / "other/comparison.json", value)
    path, _ = compare([str(report.parent), str(tmp_path / "other")], tmp_path / "page")
    opened = visit(PHONE, scheme, path)
    page = opened.page
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert violations(page) == ""
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE[0]
    assert opened.requests == [path.as_uri()] and opened.told == []
    assert page.locator("[onerror], img, script").count() == 0
    page.set_viewport_size(dict(zip(("width", "height"), DESKTOP, strict=True)))
    assert violations(page) == "" and unchecked_contrast(page) == []


@pytest.mark.parametrize("size", [PHONE, (820, 1000), DESKTOP], ids=["phone", "tablet", "desktop"])
def test_never_scrolls_sideways(visit: Callable[..., Visit], size: tuple[int, int]) -> None:
    page = visit(size).page
    assert page.evaluate("innerWidth") == size[0]
    assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
    wide = page.locator("[popover]").evaluate_all(
        "all => all.filter(one => (one.showPopover(), one.scrollWidth > one.clientWidth)).map(one => one.id)"
    )
    assert wide == []


def test_every_link_leads_somewhere(visit: Callable[..., Visit], report: Path) -> None:
    page = visit().page
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate("[...document.querySelectorAll('a')].map(link => link.getAttribute('href'))")
    inside = {target[1:] for target in targets if target.startswith("#")}
    assert "verdicts" in inside and inside <= set(ids)
    for target in targets:
        if not target.startswith("#"):
            assert re.match(r"https://[\w.]+/", target) or (report.parent / target).is_file(), target


def test_origin_opens_by_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit().page
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.results button.open')"):
            break
    target = page.evaluate("document.activeElement.getAttribute('popovertarget')")
    popover = page.locator(f"#{target}")
    assert not popover.is_visible()
    page.keyboard.press("Enter")
    assert popover.is_visible() and page.evaluate("id => document.getElementById(id).matches(':popover-open')", target)
    page.keyboard.press("Escape")
    assert not popover.is_visible()
    assert page.evaluate("document.activeElement.getAttribute('popovertarget')") == target


def test_an_origin_closes_when_the_focus_leaves_it(visit: Callable[..., Visit]) -> None:
    page = visit().page
    opener = page.locator(".results button.open").first
    popover = page.locator(f"#{opener.get_attribute('popovertarget')}")
    opener.focus()
    page.keyboard.press("Enter")
    inside = []
    for _ in range(50):
        inside.append(page.evaluate("document.activeElement.closest('[popover]') !== null"))
        if not inside[-1]:
            break
        page.keyboard.press("Tab")
    assert inside[0] and not inside[-1] and not popover.is_visible()
    assert page.evaluate("document.activeElement.matches('.results *, .results')")
    opener.focus()
    page.keyboard.press("Enter")
    popover.locator("h3").click()  # the focus is nowhere then
    page.keyboard.press("Escape")
    assert not popover.is_visible()
    assert opener.evaluate("opener => document.activeElement === opener")


@pytest.mark.parametrize("size", [PHONE, (2400, 900)], ids=["phone", "wide"])
def test_tab_stops_at_what_scrolls(visit: Callable[..., Visit], size: tuple[int, int]) -> None:
    page = visit(size).page
    page.wait_for_timeout(100)
    states = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(one => one.checkVisibility())"
        ".map(one => [one.scrollWidth > one.clientWidth, one.tabIndex])"
    )
    assert all((index == 0) == wide for wide, index in states)
    assert any(wide for wide, _ in states) == (size == PHONE)


READ_COLUMN = """([table, column]) => [...document.querySelectorAll("table.results")[table].tBodies[0].rows]
    .map(row => row.cells[column].textContent.trim())"""


def numbers(texts: list[str]) -> list[float]:
    """The number that each cell begins with, where it does."""
    found = (re.match(r"[+\N{MINUS SIGN}]?\d+(\.\d+)?", text) for text in texts)
    return [float(match[0].replace("\N{MINUS SIGN}", "-")) for match in found if match]


def test_tables_sort_by_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit().page
    head = page.locator("table.results").first.locator("thead tr").last
    buttons, moved = head.locator("button.sort"), 0
    names = page.evaluate(READ_COLUMN, [0, 0])
    assert buttons.count() == head.locator("th").count() > 0
    for column in range(buttons.count()):
        cell = buttons.nth(column).locator("xpath=ancestor::th")
        original = page.evaluate(READ_COLUMN, [0, column + 1])
        buttons.nth(column).focus()
        page.keyboard.press("Enter")
        assert cell.get_attribute("aria-sort") == "ascending"
        rising = page.evaluate(READ_COLUMN, [0, column + 1])
        assert sorted(rising) == sorted(original) and numbers(rising) == sorted(numbers(original))
        page.keyboard.press("Space")
        assert cell.get_attribute("aria-sort") == "descending"
        assert numbers(page.evaluate(READ_COLUMN, [0, column + 1])) == sorted(numbers(original), reverse=True)
        page.keyboard.press("Enter")
        assert cell.get_attribute("aria-sort") in (None, "none")
        assert page.evaluate(READ_COLUMN, [0, 0]) == names
        moved += numbers(rising) != numbers(original)
    assert moved >= 2  # Top-1 and Top-5 are out of order as the table prints them


def test_a_text_keeps_the_rows_that_have_its_words(visit: Callable[..., Visit]) -> None:
    page = visit().page
    rows = page.locator("table.results tbody tr")
    box = page.locator(".filter input")
    labels = rows.evaluate_all(
        "all => all.map(row => [...row.querySelectorAll('th, .v')].map(c => c.textContent).join(' '))"
    )
    for text, pattern in {"SE": r"\bse", "res": r"\bres", "eline": r"(?!)", "SGE nothing": r"(?!)"}.items():
        box.fill(text)
        expected = [bool(re.search(pattern, label.lower())) for label in labels]  # at the start of a word: no baseline
        assert [row.is_visible() for row in rows.all()] == expected, text
        assert page.locator(".filter output").inner_text() == f"{sum(expected)} of {len(labels)} rows"
    box.fill("")
    assert all(row.is_visible() for row in rows.all())
    page.emulate_media(media="print")
    assert not box.is_visible()


def test_a_row_is_marked_everywhere_by_click_and_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit().page
    row = page.locator("table.results tbody tr").nth(1)
    run = row.get_attribute("data-run")
    row.locator("th").click(position={"x": 3, "y": 3})
    marked = page.locator(".marked").evaluate_all("all => all.map(one => one.dataset.run)")
    assert set(marked) == {run} and len(marked) == page.locator(f"[data-run='{run}']").count() >= 1
    row.locator("td").first.click(position={"x": 3, "y": 3})
    assert page.locator(".marked").count() == 0
    button = row.locator("th button.pick")
    for key, pressed in (("Enter", "true"), ("Space", "false")):
        button.focus()
        page.keyboard.press(key)
        assert button.get_attribute("aria-pressed") == pressed
        marked = page.locator(".marked").evaluate_all("all => all.map(one => one.dataset.run)")
        assert set(marked) == ({run} if pressed == "true" else set())
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    page.locator(f".plot [data-run='{run}']").first.click()
    assert row.evaluate("row => row.classList.contains('marked')") and button.get_attribute("aria-pressed") == "true"


def test_a_link_opens_the_section_that_it_leads_to(visit: Callable[..., Visit]) -> None:
    page = visit().page
    section = page.locator("details:has(> summary #verdicts)")
    assert section.get_attribute("open") is None
    page.locator("a[href='#verdicts']").first.click()
    assert section.get_attribute("open") is not None and page.locator("table.verdicts").is_visible()
