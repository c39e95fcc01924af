"""`sgenet prune`: what is not used is listed with its size, removed with --yes, and everything else is kept."""

from pathlib import Path

import pytest

from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.pipeline.prune import find_unused, remove_finished
from sgenet.pipeline.unfinished import folders_of
from sgenet.provenance.identity import Artifacts
from sgenet.runtime import locks
from sgenet.runtime.files import write_text
from support import finished

SGE, RETINA = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"
OTHER = "seed-0-0123456789abcdef"


def load():
    return load_replication("smoke", 2, ["coco-retinanet"])


@pytest.fixture
def artifacts(project):
    """Everything of one table is done, with two seeds, where params/ has one seed and more tables."""
    return finished.finish_everything(load())


def unused():
    return {one.folder: one for one in find_unused(load())}


def files(*folders):
    return {path for folder in (folders or ("results", ".resume", "data")) for path in Path(folder).rglob("*")}


def checkpoint(artifacts, run, seed):
    """Leave a checkpoint from which a training would continue; returns its folder."""
    training = artifacts.training(artifacts.replication.run(run), seed)
    return finished.save_checkpoint(max(folders_of(artifacts, training)), 1).parent


def test_what_is_current_is_kept(artifacts, capsys):
    (paths.training("smoke", RETINA, 1) / "training.json").unlink()
    checkpoint(artifacts, RETINA, 1)
    before = files()
    assert not unused()
    assert main(["prune", "--scale", "smoke", "--yes"]) == 0
    assert "removed: 0 folders" in capsys.readouterr().out and files() == before


def test_what_is_listed_is_what_is_removed(artifacts, project, capsys):
    write_text("results/demo/classification/resnet50/seed-0/training.json", "{")  # another scale
    gone = paths.training("smoke", "classification/of-no-table", 3)
    write_text(gone / "training.json", "{}")
    write_text(paths.evaluation("smoke", "detection/retinanet/of-no-table", 0) / "metrics.json", "{}")
    write_text(paths.tries("smoke") / "one/deep/file", "x" * 3 * 2**20)
    for run in ("classification_sge-resnet50", "classification_of-no-table"):
        finished.save_checkpoint(paths.RESUME / "smoke" / run / OTHER, 1)
    left = checkpoint(artifacts, SGE, 1)  # is finished
    project("params/scales/smoke.yaml", lambda scale: scale["detection"].update(epochs=7))
    found = unused()
    detectors = [run.id for run in load().runs.values() if run.task == "detection"]
    stale = {
        of("smoke", run, seed) for of in (paths.training, paths.evaluation) for run in detectors for seed in (0, 1)
    }
    assert found.keys() == stale | {
        gone,
        paths.evaluation("smoke", "detection/retinanet/of-no-table", 0),
        paths.tries("smoke") / "one",
        paths.RESUME / "smoke/classification_sge-resnet50" / OTHER,
        paths.RESUME / "smoke/classification_of-no-table" / OTHER,
        left,
    }
    assert "epochs 1, now 7" in found[paths.training("smoke", RETINA, 0)].reason
    assert "no table" in found[gone].reason and "finished" in found[left].reason
    assert found[paths.tries("smoke") / "one"].size == 3 * 2**20
    before = files()
    assert main(["prune", "--scale", "smoke"]) == 0
    listed = capsys.readouterr().out
    assert files() == before and all(str(folder) in listed for folder in found)
    assert f"unused: {len(found)} folders" in listed and "3 MiB  results/smoke/tries/one" in listed
    assert main(["prune", "--scale", "smoke", "--yes"]) == 0
    removed = {path for path in before for folder in found if path.is_relative_to(folder)}
    kept = {path for path in before - removed if path.is_file()}
    assert kept == {path for path in files() if path.is_file()} and not unused()
    assert f"removed: {len(found)} folders" in capsys.readouterr().out
    assert not gone.parent.exists() and paths.results("smoke").joinpath("detection").is_dir()


def test_only_checkpoints_of_finished_trainings_are_removed_with_them(artifacts):
    (paths.training("smoke", RETINA, 1) / "training.json").unlink()
    of = ((SGE, 1), (SGE, 0), (RETINA, 1))
    finished_one, running, unfinished = (checkpoint(artifacts, run, seed) for run, seed in of)
    before = files("results", "data")
    with locks.lock(paths.resume_lock(running), "it"):
        remove_finished(load())
    assert not finished_one.exists() and list(running.glob("*.pth")) and list(unfinished.glob("*.pth"))
    assert files("results", "data") == before


def test_other_tables_and_more_seeds_than_now_are_used(artifacts, project):
    project("params/pipeline.yaml", lambda pipeline: pipeline.update(seeds=1, tables=["ablation-init"]))
    assert not find_unused(load_replication("smoke"))


def test_what_belongs_to_a_running_training_is_kept(artifacts, project, capsys):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=7))
    write_text(paths.tries("smoke") / "one/file", "x")
    own = finished.save_checkpoint(paths.RESUME / "smoke/classification_sge-resnet50" / OTHER, 1).parent
    before, whole = files(own, paths.training("smoke", SGE, 0), paths.evaluation("smoke", SGE, 0)), unused()
    with locks.lock(paths.resume_lock(own), "it"):
        found = unused()
        assert main(["prune", "--scale", "smoke", "--yes"]) == 0
        after = files(own, paths.training("smoke", SGE, 0), paths.evaluation("smoke", SGE, 0))
    assert after - {paths.resume_lock(own)} == before
    kept = {own, paths.training("smoke", SGE, 0), paths.evaluation("smoke", SGE, 0), paths.tries("smoke") / "one"}
    assert whole.keys() - found.keys() == kept
    assert unused().keys() == kept


def test_nothing_is_removed_while_a_workflow_runs(artifacts, project, capsys):
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=7))
    before = files()
    with locks.lock(locks.CHECKOUT, "this checkout"):
        assert main(["prune", "--scale", "smoke", "--yes"]) == 2
    assert "this checkout is in use by process" in capsys.readouterr().err and files() == before


def test_checkpoints_that_nobody_can_judge_are_kept(artifacts):
    folder = finished.save_checkpoint(paths.RESUME / "smoke/detection_retinanet_sge-resnet50" / OTHER, 1).parent
    write_text(folder.with_name("seed-0-note.txt"), "not of this project")
    (paths.RESUME / "smoke/prepare-detection.sqlite").write_text("")
    assert unused().keys() == {folder}
    start = paths.training("smoke", SGE, 0) / "best.safetensors"  # the detector starts from it
    start.unlink()
    assert not unused()


def test_the_rest_of_a_result_without_its_record_is_kept(artifacts):
    (paths.training("smoke", SGE, 0) / "training.json").unlink()
    assert not unused()


def test_a_result_of_other_code_is_listed_where_code_is_strict(artifacts):
    training = artifacts.training(artifacts.replication.run(SGE), 1)
    identity = artifacts.identity(training).plain()
    identity["sources"]["training/engine.py"] = "0"
    finished.finish(artifacts, training, identity=identity)
    assert not unused()
    strict = Artifacts(load_replication("smoke", code="strict")).replication
    assert training.record.parent in {one.folder for one in find_unused(strict)}
