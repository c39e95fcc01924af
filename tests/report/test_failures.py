"""What the report says of steps that failed, as their logs tell, and of results from before the present training."""

import json
import os
from pathlib import Path

import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.judgement.results import count_missing, read_found
from sgenet.pipeline.failures import read_failure
from sgenet.report.environment import make_environment
from support import results as make

SGE, BASE = "classification/sge-resnet50", "classification/resnet50"
RETINA = "detection/retinanet/sge-resnet50"
END = "\nsgenet: exit status {}\n"


def fail(step: str, run: str, status: int = 1, text: str = "Traceback\nValueError: no", seed: int = 0) -> Path:
    log = paths.run_log("demo", step, run, seed)
    make.write(log, text + END.format(status))
    return log


def remove_results(run: str) -> None:
    make.metrics_path(run).unlink()


def write_training(run: str, origin: object) -> Path:
    path = paths.training("demo", run, 0) / "training.json"
    make.write(path, origin if isinstance(origin, str) else json.dumps(origin))
    return path


def train_origin(run: str) -> dict[str, object]:
    """training.json as the evaluation found it."""
    path = make.metrics_path(run)
    times = json.loads(path.with_name("timing.json").read_text())["train"]
    return json.loads(path.read_text())["origin"]["train"] | times


def test_a_failed_training_is_told_with_its_last_lines(replication: Replication) -> None:
    log = fail("train", BASE, 2, "\n".join(f"line {number}" for number in range(1, 31)))
    remove_results(BASE)
    run = read_found(replication).runs[BASE]
    failure = run.failures[0]
    assert run.missing == [0] and not run.by_seed and run.problem is None
    assert (failure.step, failure.status, failure.log) == ("training", 2, log)
    assert failure.lines == tuple(f"line {number}" for number in range(21, 31))


@pytest.mark.parametrize("status", [0, 130, 143])
def test_what_was_stopped_did_not_fail(replication: Replication, status: int) -> None:
    fail("train", BASE, status)
    remove_results(BASE)
    run = read_found(replication).runs[BASE]
    assert run.missing == [0] and not run.failures


def test_a_log_that_goes_on_or_only_speaks_of_a_status_tells_no_failure(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    for text in ("", "fine\n", END.format(1) + "again, fine\n", "it said sgenet: exit status 1\n", END.format(1234)):
        log.write_text(text)
        assert read_failure("training", log) is None
    assert read_failure("training", tmp_path / "none.log") is None
    assert read_failure("training", tmp_path) is None


def test_lines_of_a_log_are_made_harmless(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    shown = [
        b"  1%|#\r 50%|##\r100%|###\r",
        b"\x1b[31mred\x1b[0m \x1b[2Kline\x07\x00",
        "\u202egnp.exe\u2028b".encode(),
        b"\xff<b>",
    ]
    log.write_bytes(b"\n".join([b"x" * 100_000, *shown, b"y" * 301, b"z" * 300]) + END.format(137).encode())
    failure = read_failure("training", log)
    assert failure and failure.status == 137
    assert failure.lines[1:] == ("100%|###", "red line", "gnp.exeb", "\ufffd<b>", "y" * 299 + "…", "z" * 300)
    assert all(len(line) <= 300 for line in failure.lines)


def test_a_detector_waits_for_its_classifier_whatever_became_of_it_before(replication: Replication) -> None:
    for run in (SGE, RETINA):
        fail("train", run)
    remove_results(SGE)
    runs = read_found(replication).runs
    assert list(runs[SGE].failures) == [0]
    assert runs[RETINA].waits_for == {0: SGE} and runs[RETINA].missing == [0]
    assert not runs[RETINA].failures and not runs[RETINA].by_seed
    assert not runs["detection/retinanet/resnet50"].waits_for


def test_an_evaluation_that_failed_makes_no_detector_wait(replication: Replication) -> None:
    write_training(SGE, train_origin(SGE))
    remove_results(SGE)
    fail("evaluate", SGE)
    runs = read_found(replication).runs
    assert runs[SGE].failures[0].step == "evaluation"
    assert runs[RETINA].by_seed and not runs[RETINA].waits_for


def test_the_log_of_an_evaluation_from_before_the_training_tells_nothing(replication: Replication) -> None:
    log, training = fail("evaluate", SGE), write_training(SGE, train_origin(SGE))
    remove_results(SGE)
    os.utime(log, (1000, 1000))
    os.utime(training, (2000, 2000))
    assert not read_found(replication).runs[SGE].failures


def test_a_result_from_before_the_present_training_is_none(replication: Replication) -> None:
    origin = train_origin(SGE)
    write_training(SGE, origin)
    assert read_found(replication).runs[SGE].by_seed
    write_training(SGE, origin | {"finished": "2026-02-02T00:00:00+00:00"})
    assert read_found(replication).runs[SGE].missing == [0]
    timing = make.metrics_path(SGE).with_name("timing.json")
    timing.rename(timing.with_name("away"))  # the same settings, code and data
    assert read_found(replication).runs[SGE].by_seed
    write_training(SGE, origin | {"commit": "d00d"})
    assert read_found(replication).runs[SGE].missing == [0]
    timing.with_name("away").rename(timing)
    write_training(SGE, "{")  # nobody knows
    assert read_found(replication).runs[SGE].by_seed
    write_training(SGE, origin).unlink()
    fail("train", SGE)
    run = read_found(replication).runs[SGE]
    assert run.missing == [0] and run.failures[0].step == "training"


def test_steps_of_no_run_fail_too(replication: Replication) -> None:
    for step in ("complexity", "prepare/detection", "activations"):
        make.write(paths.log("demo", step), "no" + END.format(1))
    paths.manifest("demo", "detection").unlink()
    found = read_found(replication)
    told = {failure.step for failure in found.failures}  # the counts are there: theirs was mended
    assert told == {"preparation of the data for detection", "measuring of activations"}


def test_missing_results_and_failures_are_no_error_to_partial(
    replication: Replication, capsys: pytest.CaptureFixture[str]
) -> None:
    fail("train", BASE)
    remove_results(BASE)
    # four runs, counts and activations; the latter are not made up, a run failed, and its detector waits
    assert count_missing(replication) == (3, 6)
    assert main(["report"]) == 1
    told = capsys.readouterr()
    assert "sgenet: 3 of 6 results are missing" in told.err and "3 of 6 results found" in told.out
    whole = Path("reports/demo/index.html").read_text()
    assert '<p>Seed 0: <span class="verdict bad">failed</span>; the section' in whole
    assert main(["report", "--partial"]) == 0
    assert capsys.readouterr().err == "" and Path("reports/demo/index.html").read_text() == whole


def test_a_bad_file_is_an_error_to_partial(replication: Replication, capsys: pytest.CaptureFixture[str]) -> None:
    make.metrics_path(BASE).write_text('{"run": ')
    assert main(["report", "--partial"]) == 1
    assert "metrics.json: line 1 is not JSON" in capsys.readouterr().err
    assert Path("reports/demo/index.html").exists()


def test_failures_are_shown_escaped(replication: Replication) -> None:
    fail("train", BASE, 9, "<script>alert(1)</script>\n{{ 7 * 7 }}")
    remove_results(BASE)
    page = make_environment().get_template("failures.html").render(found=read_found(replication))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\n{{ 7 * 7 }}" in page and "<script" not in page
    run = "detection/retinanet/resnet50"
    assert "exit status 9" in page and f"{run}, seed 0, was not run: it starts from the weights of {BASE}." in page
