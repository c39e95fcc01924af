"""`sgenet compare`: planted differences between made-up replications, and what is refused."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from sgenet.cli import main
from sgenet.config.replication import Replication, load_replication
from sgenet.evaluation.comparison import read_comparison
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement.differences import contradict, find_settings, find_tables
from sgenet.report import build
from sgenet.report.index import write_index
from support import results as make
from support.page import Elements
from support.plots import drawn
from support.results import BASE, SGE

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three seeds: gains of 10, 11.5 and 9.5 points over 60, 61 and 62 %."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make.lay_out(folder)
        replication = load_replication(seeds=3)
        make.make_results(replication)
        for seed, skill in enumerate((0.7, 0.725, 0.715)):
            make.make_run("demo", SGE, seed, make.IMAGES, skill)
        build(replication)
    return folder / "reports/demo"


@pytest.fixture
def reports(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes others from the report `first`, which is all that the working folder has."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built, "reports/first")

    def derive(name: str, *changes: Change) -> str:
        shutil.copytree("reports/first", Path("reports", name))
        path = Path("reports", name, "comparison.json")
        value = json.loads(path.read_text())
        for change in changes:
            change(value)
        make.write(path, value)
        return name

    return derive


def _cell(value: dict[str, Any], column: str = "top1") -> dict[str, Any]:
    return value["tables"][0]["rows"][1]["cells"][column]


def move_gain(by: float) -> Change:
    """The gain of Top-1, with its interval, somewhere else."""

    def change(value: dict[str, Any]) -> None:
        found = _cell(value)["reproduced"]
        found["value"] += by
        for key in ("value", "low", "high"):
            found["gain"][key] += by

    return change


def set_verdict(word: str) -> Change:
    """Another verdict on the gain of Top-1 and on the first claim."""

    def change(value: dict[str, Any]) -> None:
        _cell(value)["verdict"] = value["claims"][0]["verdict"] = word

    return change


def set_epochs(value: dict[str, Any]) -> None:
    """Another number of epochs of one run."""
    value["settings"]["runs"][SGE]["train"]["epochs"] = 7


def text_of(page: str) -> str:
    """The text of a page, on one line."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", Path(page).read_text(), flags=re.S).split())


def test_planted_differences(reports: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    reports("second", move_gain(-15), set_verdict("opposite direction"), set_epochs)
    assert main(["compare", "first", "second"]) == 0
    page = "reports/compare/first-second/index.html"
    sentences = "1 of 14 cells has another verdict. 1 of 4 gains is contested. 1 of 3 claims has another verdict."
    assert capsys.readouterr().out == f"{page}: {sentences} 1 setting differs.\n"
    text = text_of(page)
    epochs = read_comparison(Path("reports/first/comparison.json")).settings.runs[SGE].train["epochs"]
    assert f"{sentences} 1 setting differs." in text
    assert f"train.epochs {epochs} 7 {SGE}" in text
    assert "A contested same direction opposite direction SGE is better." in text
    assert re.search(r"SGE-ResNet50 contested Top-1 \+10\.33 \[\+7\.75, \+12\.92\] same direction −4\.67 ", text)
    assert "−15.00" in text  # of the gains: B − A
    plot = drawn(Path(page).read_text())[0]
    words = "SGE-ResNet50, Top-1: A gain +10.33 [+7.75, +12.92], B gain −4.67 [−7.25, −2.08]"
    assert plot.alt.partition(". ")[2].split("; ")[0] == words  # what differs comes first
    same = [3.87, 6.46]  # of the other gain of the table
    ends = {color: sorted(plot.x(x) for line in plot.lines(color) for x, _ in line) for color in "AB"}
    assert ends == {
        "A": pytest.approx([*same, 7.75, 12.92], abs=0.1),
        "B": pytest.approx([-7.25, -2.08, *same], abs=0.1),
    }
    elements = Elements(Path(page).read_text())
    assert not [tag for tag in ("script", "img", "link") if any(a.get("src") for a in elements.all(tag))]
    assert {"../../first/index.html", "../../second/index.html"} <= {a.get("href") for a in elements.all("a")}


@pytest.mark.parametrize(("by", "contested"), [(-5.1, False), (-5.2, True)])
def test_contested_where_intervals_do_not_overlap(reports: Callable[..., str], by: float, contested: bool) -> None:
    """The interval is 5.17 points wide: 2 · 4.302653 · s / √3 of the gains 10, 11.5 and 9.5."""
    names = ["first", reports("second", move_gain(by))]
    tables = find_tables([read_comparison(Path("reports", name, "comparison.json")) for name in names])
    (cell,) = [cell for cell in tables[0].cells if cell.column_id == "top1" and cell.baseline == BASE]
    assert cell.contested is contested and not cell.differs
    assert cell.difference == pytest.approx(by)
    own, df = cell.gains[0].interval, cell.gains[0].df
    width = (own[1] - own[0]) / stats.t.ppf(0.975, df) * stats.t.ppf(0.975, 2 * df) * 2**0.5  # of two equal errors
    assert cell.difference_interval == pytest.approx((by - width / 2, by + width / 2))


def test_words_that_contradict_each_other() -> None:
    assert contradict([Verdict.SAME, None, Verdict.OPPOSITE]) and contradict([Verdict.EXACT, Verdict.DIFFERS])
    assert not contradict([Verdict.SAME, Verdict.UNDECIDED]) and not contradict([Verdict.SAME, None])


def test_identical_replications(reports: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    """Files and folders; nothing but comparison.json is needed."""
    for name in ("one", "two"):
        Path(name).mkdir()
        shutil.copy("reports/first/comparison.json", name)
    assert main(["compare", "one/comparison.json", "two", "--out", "page"]) == 0
    out = capsys.readouterr().out
    assert out == "page/index.html: Nothing differs: settings, claims and all 14 cells are equal.\n"
    text = text_of("page/index.html")
    assert "No setting differs." in text and "There are no curves of A, B" in text
    assert "contested" not in text.replace("A gain is contested where", "")


def test_three_replications(reports: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    def fewer_rows(value: dict[str, Any]) -> None:
        value["tables"][1]["rows"].pop()
        del value["settings"]["runs"]["detection/retinanet/sge-resnet50"]

    reports("second", move_gain(-15), set_epochs)
    reports("third", move_gain(2), fewer_rows)
    assert main(["compare", "first", "second", "third"]) == 0
    assert "3 cells are not in all replications" in capsys.readouterr().out
    page = Path("reports/compare/first-second-third/index.html").read_text()
    text = text_of("reports/compare/first-second-third/index.html")
    assert "run included included – detection/retinanet/sge-resnet50" in text
    assert re.search(r"\+10\.33 .* −4\.67 .* \+12\.33 .* 17\.00", text)  # the largest difference
    plots = drawn(page.partition('id="curves"')[2])
    assert [bool(plot.lines("C") or plot.markers(color="var(--C)")) for plot in plots] == [True] * 4  # a run each
    write_index()
    assert 'href="compare' not in Path("reports/index.html").read_text()


def test_mean_curves(reports: Callable[..., str]) -> None:
    """The mean over seeds is drawn, one curve a replication."""
    rows = "run,seed,epoch,loss,top1\nclassification/x,0,1,2,10\nclassification/x,1,1,2,30\nclassification/x,0,2,1,\n"
    for name in (reports("second"), reports("third")):
        make.write(Path("reports", name, "curves/classification.csv"), rows)
        Path("reports", name, "curves/detection.csv").unlink()
    assert main(["compare", "second", "third"]) == 0
    page = Path("reports/compare/second-third/index.html").read_text()
    assert "replication A from 20 to 20; replication B from 20 to 20" in page


def test_settings_of_all_runs_are_one_line(reports: Callable[..., str]) -> None:
    def change(value: dict[str, Any]) -> None:
        value["settings"]["report"]["confidence"] = 0.9
        for run in (BASE, SGE):
            value["settings"]["runs"][run]["trainings"] = 4
        _cell(value)["origin"]["data"] = ["other"]

    names = ["first", reports("second", change)]
    found = find_settings([read_comparison(Path("reports", name, "comparison.json")) for name in names])
    assert [(one.key, one.values, one.of) for one in found] == [
        ("report.confidence", ("0.95", "0.9"), ""),
        ("data.classification: fingerprint", ("f1", "f1, other"), ""),
        ("trainings", ("3", "4"), "all of classification"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"version": 2}', "version: found 2, expected 3 of this version of sgenet; build the report again"),
        ('{"hello": 1}', "version: found None, expected 3 of this version of sgenet; build the report again"),
        ("[]", "the whole file: found [], expected a mapping"),
        ("{", "line 1 is not JSON"),
    ],
)
def test_another_file_is_refused(
    reports: Callable[..., str], capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    make.write(Path("reports/old/comparison.json"), text)
    assert main(["compare", "first", "old"]) == 2
    assert f"sgenet: reports/old/comparison.json: {sentence}" in capsys.readouterr().err
    assert not Path("reports/compare").exists()


@pytest.mark.parametrize(
    ("text", "found"),
    [("run,epoch,top1\na,one,2\n", "'one'"), ("run,epoch,top1\na,1,nan\n", "found nan"), ("top1\n2\n", "'run'")],
)
def test_damaged_curves(reports: Callable[..., str], capsys: pytest.CaptureFixture[str], text: str, found: str) -> None:
    make.write(Path("reports", reports("second"), "curves/classification.csv"), text)
    assert main(["compare", "first", "second"]) == 2
    error = capsys.readouterr().err
    assert "sgenet: reports/second/curves/classification.csv: cannot be read" in error
    assert found in error and error.endswith("expected columns run, epoch and top1\n")


@pytest.mark.parametrize("names", [["first"], ["first"] * 7])
def test_the_number_of_replications(
    reports: Callable[..., str], capsys: pytest.CaptureFixture[str], names: list[str]
) -> None:
    assert main(["compare", *names]) == 2
    assert f"found {len(names)}, expected 2 to 6" in capsys.readouterr().err


def test_hostile_names_are_escaped(replication: Replication) -> None:
    evil = "<script>alert(1)</script>\"'&"
    build(replication)
    value = json.loads(Path("reports/demo/comparison.json").read_text())
    for table in value["tables"]:
        table["title"] = table["rows"][0]["label"] = evil
        table["columns"] = {name: column | {"label": evil} for name, column in table["columns"].items()}
    value["claims"][0]["sentence"] = evil
    value["settings"]["runs"][SGE]["train"][evil] = evil
    make.write(Path("reports", "a<b>", "comparison.json"), value)
    assert main(["compare", "demo", "a<b>"]) == 0
    (page,) = Path("reports/compare").rglob("index.html")
    assert not Elements(page.read_text()).all("script") and "&lt;script&gt;" in page.read_text()


@pytest.mark.slow
def test_revisions_and_experiments(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports that DVC tracks, of a commit and of an experiment, next to the present one."""
    build(load_replication())
    first = Path("reports/demo/comparison.json").read_text()
    Path(".gitignore").write_text("/reports/\n")
    script = "cp kept.json reports/demo/comparison.json"
    outs = {"reports/demo/comparison.json": {"persist": True}}
    stage = {"cmd": script, "deps": ["kept.json"], "outs": [outs]}
    make.write(Path("dvc.yaml"), {"stages": {"report": stage}})
    Path("kept.json").write_text(first)
    commands = ["git init -q", "git config user.email a@example.org", "git config user.name a", "dvc init -q"]
    commands += ["dvc repro -q", "git add -A", "git commit -qm one", "git tag v1"]
    for command in commands:
        subprocess.run(command.split(), check=True, capture_output=True)
    value = json.loads(first)
    value["settings"]["runs"][SGE]["trainings"] = 9
    make.write(Path("kept.json"), value)
    subprocess.run(["dvc", "repro", "-q"], check=True, capture_output=True)
    subprocess.run(["dvc", "exp", "save", "-q", "--name", "more"], check=True, capture_output=True)
    capsys.readouterr()
    assert main(["compare", "v1", "more", "demo"]) == 0
    text = text_of("reports/compare/v1-more-demo/index.html")
    assert f"trainings 1 9 9 {SGE}" in text and "v1:reports/demo/comparison.json" in text
    assert main(["compare", "v1:demo", "HEAD", "--out", "same"]) == 0
    assert "Nothing differs" in capsys.readouterr().out
    assert main(["compare", "v1", "nothing"]) == 2
    error = capsys.readouterr().err
    assert "found 'nothing', expected a comparison.json" in error and "unknown Git revision 'nothing'" in error
    assert main(["compare", "v1", "HEAD:paper"]) == 2
    assert "HEAD:reports/paper/comparison.json: cannot be read" in capsys.readouterr().err
    shutil.rmtree(".dvc/cache")
    assert main(["compare", "v1", "demo"]) == 2
    assert "cache or remote of DVC" in capsys.readouterr().err
