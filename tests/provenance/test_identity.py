"""What makes a result stale, and what does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.tasks import TASKS
from sgenet.provenance import code
from sgenet.provenance.identity import MISSING, Artifacts
from sgenet.provenance.origin import Making
from sgenet.provenance.records import write_record
from sgenet.provenance.results import DataOrigin
from sgenet.runtime.files import read_json, write_json, write_text

PLAIN, SGE, DETECTOR = "classification/resnet50", FIGURES_RUN, "detection/retinanet/sge-resnet50"


def load(**chosen):
    return Artifacts(load_replication("smoke", **{"tables": ["coco-retinanet"]} | chosen))


def prepare(task, fingerprint="f", **changes):
    """Leave a manifest as `sgenet prepare` does."""
    made = load()
    artifact = made.data(task)
    identity = made.identity(artifact).plain()
    settings = {key: value for key, value in artifact.settings.items() if key != "root"}
    manifest = {"source": "embedded", "fingerprint": fingerprint, "settings": settings, "identity": identity}
    write_json(artifact.record, {**manifest, **changes})
    artifact.files[0].write_bytes(b"")
    artifact.files[1].mkdir(exist_ok=True)


def make(artifact, made, text="weights", **entries):
    """Leave an artifact as its step does; its record has these entries too."""
    making = Making.of(made, artifact)
    for path in artifact.files:
        write_text(path, "{}" if path.suffix == ".json" else text)
    fingerprint = read_json(paths.manifest("smoke", artifact.task))["fingerprint"]
    record = making.provenance("a machine", DataOrigin(fingerprint=fingerprint)).plain() | entries
    for key in reversed(artifact.at):
        record = {key: record}
    write_record(artifact, record)


@pytest.fixture
def results(project):
    """Current results of three runs; returns how to load what is asked for."""
    for task in TASKS:
        prepare(task)
    made = load()
    for run_id in (PLAIN, SGE, DETECTOR):
        run = made.replication.run(run_id)
        make(made.training(run, 0), made)
        make(made.evaluation(run, 0), made)
    make(made.activations(), made)
    return project


def due(made=None):
    """What is due of those results, with the reason."""
    made = made or load()
    runs = [made.replication.run(run_id) for run_id in (PLAIN, SGE, DETECTOR)]
    artifacts = {f"{step} {run.id}": getattr(made, step)(run, 0) for run in runs for step in ("training", "evaluation")}
    artifacts["activations"] = made.activations()
    found = {name: made.due(artifact) for name, artifact in artifacts.items()}
    return {name: why for name, why in found.items() if why}


def row(project, label, **settings):
    def change(table):
        next(row for row in table["rows"] if row["label"] == label)["settings"] = settings

    project("params/tables/coco-retinanet.yaml", change)


def test_fresh_results_are_current(results):
    assert due() == {}
    made = load()
    assert made.stale(made.training(made.replication.run(SGE), 1)) == MISSING


def test_other_seeds_make_no_result_stale_but_the_activations_of_all_seeds(results):
    activations = load().activations()
    assert activations.inputs.keys() == {"training"} and activations.seed == 0
    assert load().identity(activations).read.keys() == {"best.safetensors", "last.safetensors"}
    more = {"activations": "made from another number of trainings: 1, now 3"}
    assert due(load(seeds=3)) == more
    results("params/scales/smoke.yaml", lambda scale: scale.update(seeds={SGE: 3, "detection/*": 2}))
    assert due() == more
    made = load()
    run = made.replication.run(SGE)
    for seed in (1, 2):
        make(made.training(run, seed), made, text=f"weights of {seed}")
    make(made.activations(), made)
    assert due() == {} and made.activations().command == "sgenet activations --scale smoke"
    assert load(seeds=3).activations().command == "SGENET_SEEDS=3 sgenet activations --scale smoke"
    make(made.training(run, 2), made, text="other weights")
    assert due() == {"activations": "the run was trained again since"}
    make(made.training(run, 2), made, text="weights of 2")
    results("params/scales/smoke.yaml", lambda scale: scale.update(seeds={}))
    assert due() == {"activations": "made from another number of trainings: 3, now 1"}


def test_removed_weights_of_any_seed_are_made_again_for_the_activations(results):
    results("params/scales/smoke.yaml", lambda scale: scale.update(seeds={SGE: 2}))
    made = load()
    run = made.replication.run(SGE)
    make(made.training(run, 1), made)
    make(made.evaluation(run, 1), made)
    (paths.training("smoke", SGE, 1) / "best.safetensors").unlink()
    why = "best.safetensors is missing, which 'sgenet activations --scale smoke' needs"
    assert load().due(made.training(run, 1)) == why
    make(made.activations(), made)
    assert load().due(made.training(run, 1)) is None


def test_a_setting_of_the_classifier_reaches_what_starts_from_it(results):
    results("params/scales/smoke.yaml", lambda scale: scale["classification"]["optimizer"].update(lr=0.25))
    found = due()
    assert len(found) == 7
    assert found[f"training {SGE}"] == "made with other settings: optimizer.lr 0.005, now 0.25"
    started = f"made from another 'sgenet train {SGE} --scale smoke --seed 0', which is outdated: made with other"
    assert found[f"training {DETECTOR}"].startswith(started)
    results("params/scales/smoke.yaml", lambda scale: scale["classification"]["optimizer"].update(lr=0.005))
    assert due() == {}


def test_a_setting_at_its_default_is_no_part_of_the_identity(results):
    """Results of versions without the key stay current."""
    recipe, scale = "params/recipes/classification.yaml", "params/scales/smoke.yaml"
    results(recipe, lambda value: value.pop("max_pool"))
    assert due() == {}
    results(scale, lambda value: value["classification"].update(max_pool=True))
    assert due() == {}
    results(scale, lambda value: value["classification"].update(max_pool=False))
    assert due()[f"training {PLAIN}"] == "made with other settings: max_pool not set, now False"


def test_a_setting_of_one_row_and_of_the_test_alone(results):
    row(results, "RetinaNet SGE-ResNet50", epochs=3)
    assert due().keys() == {f"training {DETECTOR}", f"evaluation {DETECTOR}"}
    row(results, "RetinaNet SGE-ResNet50", test={"score_threshold": 0.25})
    assert due().keys() == {f"evaluation {DETECTOR}"}


def test_data(results):
    prepare("classification", "g")
    found = due()
    assert len(found) == 7 and found[f"training {PLAIN}"] == "made on other data: fingerprint 'f', now 'g'"
    prepare("classification")
    results("params/scales/smoke.yaml", lambda scale: scale["data"]["detection"].update(seed=5))
    assert due() == dict.fromkeys(
        [f"training {DETECTOR}"], "its data are to be prepared again: made with other settings: seed 0, now 5"
    ) | {f"evaluation {DETECTOR}": "its data are to be prepared again: made with other settings: seed 0, now 5"}
    for task in TASKS:
        paths.manifest("smoke", task).unlink()
    results("params/scales/smoke.yaml", lambda scale: scale["data"]["detection"].update(seed=0))
    assert due() == {}  # nobody knows better


def test_the_attention_module_and_no_other_code(results, monkeypatch):
    digest = code._digest
    monkeypatch.setattr(code, "_digest", lambda file: digest(file) + "x" * (file == "attention/sge.py"))
    found = due()
    assert set(found) == {f"{step} {run}" for step in ("training", "evaluation") for run in (SGE, DETECTOR)} | {
        "activations"
    }
    assert found[f"training {SGE}"] == "made by other code: attention/sge.py changed"
    monkeypatch.setattr(code, "_digest", lambda file: digest(file) + "x" * (file == "classification/train.py"))
    made = load()
    assert due(made) == {}
    trained = made.training(made.replication.run(PLAIN), 0)
    assert made.other_code(trained) == ["classification/train.py"]
    assert set(made.made_by_other_code()) == {paths.training("smoke", run, 0) / "training.json" for run in (PLAIN, SGE)}
    found = due(load(code="strict"))
    assert found[f"training {PLAIN}"].startswith("made by other code: classification/train.py changed, and")
    assert len(found) == 7 and "which is outdated: made by other code" in found[f"training {DETECTOR}"]


def test_a_training_that_other_code_began_records_that_code(results, tmp_path, monkeypatch):
    began = tmp_path / "sources.json"

    def sources(restart=False, **chosen):
        made = load(**chosen)
        training = made.training(made.replication.run(PLAIN), 0)
        continued = Making.of(made, training).continued(began, restart=restart)
        return continued.identity.sources, made.digest_of_checkpoints(training)

    (first, checkpoints), (_, strict) = sources(restart=True), sources(code="strict")
    digest = code._digest
    monkeypatch.setattr(code, "_digest", lambda file: digest(file) + "x" * (file == "classification/train.py"))
    assert sources() == (first, checkpoints)
    assert sources(code="strict")[1] != strict  # so that it starts again there
    later, _ = sources(restart=True)
    assert code.changed(first, later) == ["classification/train.py"]


def test_strict_code_knows_weights_and_not_results_that_recorded_no_code(results):
    made = load()
    run = made.replication.run(SGE)
    make(made.training(run, 0), made, text="WEIGHTS")  # the same identity, by other code
    assert f"training {DETECTOR}" in due(load(code="strict")) and f"training {DETECTOR}" not in due()
    for path in Path("results").rglob("training.json"):
        value = json.loads(path.read_text())
        del value["identity"]
        path.write_text(json.dumps(value))
    assert f"training {PLAIN}" not in due()
    assert "recorded no code" in due(load(code="strict"))[f"training {PLAIN}"]


def test_removed_weights_are_not_needed_by_what_waits_for_its_data(results):
    (paths.training("smoke", SGE, 0) / "best.safetensors").unlink()
    results("params/scales/smoke.yaml", lambda scale: scale["data"]["detection"].update(area_limits=[140, 250]))
    assert due().keys() == {f"training {DETECTOR}", f"evaluation {DETECTOR}"}  # until they are prepared again


def test_removed_weights_are_made_are_made_again_only_where_they_are_needed(results):
    weights = paths.training("smoke", SGE, 0) / "best.safetensors"
    weights.unlink()
    assert due() == {}
    (paths.evaluation("smoke", DETECTOR, 0) / "metrics.json").unlink()
    assert due().keys() == {f"evaluation {DETECTOR}"}
    (paths.training("smoke", DETECTOR, 0) / "training.json").unlink()
    found = due()
    assert found[f"training {SGE}"].startswith("best.safetensors is missing, which 'sgenet train detection/")
    assert f"training {PLAIN}" not in found and found["activations"].startswith("its training is due")


def test_a_training_that_was_repeated_with_other_weights_is_evaluated_again(results):
    made = load()
    run = made.replication.run(SGE)
    make(made.training(run, 0), made, text="WEIGHTS")  # as on a GPU
    assert due() == dict.fromkeys([f"evaluation {SGE}", "activations"], "the run was trained again since")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("metrics.json", "{", "is not JSON"),
        ("metrics.json", None, "was changed since it was written"),
        ("predictions.npz", "other", "predictions.npz was changed"),
        ("timing.json", "", None),
    ],
)
def test_files_that_were_changed(results, name, text, why):
    path = paths.evaluation("smoke", SGE, 0) / name
    if text is None:
        value = json.loads(path.read_text())
        value["metrics"] = {"top1": 99}
        text = json.dumps(value)
    path.write_text(text)
    found = due()
    assert found == {} if why is None else why in found.pop(f"evaluation {SGE}") and found == {}


def test_results_without_identity_are_accepted_where_what_they_recorded_agrees(results):
    for path in Path("results").rglob("*.json"):
        value = json.loads(path.read_text())
        for origin in (value, *value.get("origin", {}).values()):
            origin.pop("identity", None)
        path.write_text(json.dumps(value))
    assert due() == {}
    results("params/scales/smoke.yaml", lambda scale: scale["classification"].update(epochs=5))
    found = due()
    assert found[f"training {SGE}"] == "made with other settings: epochs 2, now 5" and len(found) == 7
    assert "starts from classification/sge-resnet50, which is outdated" in found[f"training {DETECTOR}"]


def test_the_identity_does_not_depend_on_where_and_when(results, tmp_path, monkeypatch):
    made = load()
    run = made.replication.run(DETECTOR)
    known = made.digest(made.evaluation(run, 0))
    monkeypatch.chdir(tmp_path)
    assert load().digest(load().evaluation(run, 0)) == known
    other = replace(run, settings=run.detection.model_copy(update={"epochs": 9}))
    assert Artifacts(made.replication).digest(Artifacts(made.replication).training(other, 0)) != known


@pytest.mark.parametrize("run_id", [PLAIN, DETECTOR])
def test_the_content_of_starting_weights_decides_a_training_and_not_their_place(results, project, run_id):
    def begin(place):
        task = run_id.partition("/")[0]
        project("params/scales/smoke.yaml", lambda scale: scale[task].update(starts_from=place))
        made = load()
        return made, made.training(made.replication.run(run_id), 0)

    write_text(Path("w/a.pth"), "weights")
    made, training = begin("w/a.pth")
    assert "starts_from" in made.stale(training)
    make(training, made, weights={"path": "w/a.pth", "sha256": made.sha256(Path("w/a.pth"))})
    digest = made.digest(training)
    assert made.stale(training) is None and training.start == Path("w/a.pth")
    Path("w/a.pth").rename("w/b.pth")
    made, training = begin("w/b.pth")
    assert made.stale(training) is None and made.digest(training) == digest
    write_text(Path("w/b.pth"), "others")
    made, training = begin("w/b.pth")
    assert made.stale(training) == "made from other weights than those in w/b.pth" and made.digest(training) != digest
    Path("w/b.pth").unlink()
    made, training = begin("w/b.pth")
    assert made.stale(training) is None  # as with data: without the file, what it was made from is accepted
