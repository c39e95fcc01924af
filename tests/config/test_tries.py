"""Settings of the command line: what they change, where the results are, and one sentence for what is wrong."""

import shlex

import pytest

from sgenet import cli
from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.config.tries import change
from sgenet.errors import InputError
from sgenet.provenance.artifacts import Catalogue

SGE, DETECTOR = "classification/sge-resnet50", "detection/retinanet/sge-resnet50"


def _plain(run):
    return run.settings.plain()


def test_the_last_layer_of_settings_changes_only_what_it_names(project):
    run = load_replication("smoke").run(SGE)
    tried = change(run, ["optimizer.lr=0.01", "attention.sge.groups=32"])
    expected = _plain(run)
    expected["optimizer"]["lr"] = 0.01
    expected["attention"]["sge"]["groups"] = 32
    assert _plain(tried) == expected and _plain(tried) != _plain(run)
    assert (tried.id, tried.model, tried.starts_from) == (run.id, run.model, run.starts_from)
    assert change(run, []) is run
    assert change(run, ["attention.sge.groups=32", "optimizer.lr=0.01"]) == tried


def test_another_type_of_optimizer_does_not_inherit(project):
    run = load_replication("smoke").run(SGE)
    assert _plain(run)["optimizer"]["type"] == "AdamW" and "weight_decay" in _plain(run)["optimizer"]
    tried = change(run, ["optimizer.lr=0.5", "optimizer.type=SGD"])
    assert _plain(tried)["optimizer"] == {"type": "SGD", "lr": 0.5}
    assert change(run, ["optimizer={type: SGD, lr: 0.5}"]).settings == tried.settings


def test_every_run_keeps_its_other_settings(project):
    for run in load_replication("demo").runs.values():
        same = change(run, [f"epochs={run.settings.epochs}"])
        assert same.settings == run.settings and same.identity == run.identity


def test_results_of_a_try_are_never_where_those_of_another_run_are(project):
    replication = load_replication("smoke")
    folders = set()
    for run_id, sets in (
        (SGE, []),
        (SGE, ["epochs=2"]),
        (SGE, ["epochs=3"]),
        (SGE, ["epochs=3", "flip=0"]),
        (SGE, ["crop_scale=[0.5, 1]"]),
        (SGE, ["crop_scale=[0.5,1]"]),
        (DETECTOR, ["epochs=2"]),
    ):
        run = change(replication.run(run_id), sets)
        of_training, of_evaluation = (of(replication)(run, 0).record.parent for of in (_training, _evaluation))
        assert (of_training == of_evaluation) == bool(sets)
        folders |= {of_training, of_evaluation}
        assert all(path.parts[:3] == ("results", "smoke", "tries") for path in (of_training, of_evaluation)) == bool(
            sets
        )
    assert len(folders) == 8
    assert str(paths.training("smoke", change(replication.run(SGE), ["flip=0", "epochs=3"]).folder, 1)) == (
        "results/smoke/tries/classification/sge-resnet50/epochs=3,flip=0/seed-1"
    )


def _training(replication):
    return Catalogue(replication).training


def _evaluation(replication):
    return Catalogue(replication).evaluation


def test_the_name_of_a_folder_is_short_and_plain():
    long = [f"a{number}=1" for number in range(99)]
    names = [paths.try_folder(SGE, tried).removeprefix(f"tries/{SGE}/") for tried in (long, [*long, "b=1"], ["a=../x"])]
    assert len(set(names)) == 3
    assert all(len(name) <= 120 and "/" not in name and name[0] == "a" for name in names)


@pytest.mark.parametrize("sets", [[], ["crop_scale=[0.5, 1]", "epochs=1"], ["optimizer={type: SGD, lr: 1}"]])
def test_the_recorded_command_repeats_the_step(project, sets):
    replication = load_replication("smoke")
    run = change(replication.run(SGE), sets)
    for artifact in (_training(replication)(run, 3), _evaluation(replication)(run, 3)):
        program, step, *arguments = shlex.split(artifact.command)
        options = cli._parser().parse_args([step, *arguments])
        assert (program, options.step, options.scale, options.seed) == ("sgenet", artifact.step, "smoke", 3)
        assert change(replication.run(options.run), options.sets) == run


@pytest.mark.parametrize(
    ("run_id", "sets", "sentence"),
    [
        (SGE, ["optimizer.lrr=1"], "--set optimizer.lrr: unknown key, did you mean lr?"),
        (SGE, ["optimizer.lr=a"], "--set optimizer.lr: found 'a', expected a number (highest learning rate)"),
        (SGE, ["epochs=0"], "--set epochs: found 0, expected at least 1 (passes over the training set)"),
        (SGE, ["epochs"], "--set: found 'epochs', expected KEY=VALUE, such as optimizer.lr=0.01"),
        (SGE, [f"{'a.' * 3000}a=1"], "--set: found 'a.a.a."),
        (SGE, ["epochs=[1"], "--set epochs: line 1 is not YAML"),
        (SGE, ["=1"], "--set: found '=1', expected KEY=VALUE, such as optimizer.lr=0.01"),
        (SGE, ["epochs=1\n"], "--set: found 'epochs=1\\n', expected KEY=VALUE, such as optimizer.lr=0.01"),
        (SGE, ["a" + ".a" * 10_000 + "=1"], "--set: found 'a.a.a"),
        (SGE, ["epochs="], "--set epochs: found no value, expected one, or the key left out"),
        (SGE, ["flip=!!int 1"], "--set flip: line 1 is not YAML of plain values (found the tag tag:yaml.org,2002:int"),
        (SGE, ["epochs=1", "epochs=2"], "--set epochs: found twice, expected once"),
        (SGE, ["optimizer={}", "optimizer.lr=1"], "--set optimizer.lr: found together with --set optimizer, expected"),
        (SGE, ["model=resnet50"], "--set model: unknown key, "),
        (SGE, ["attention.se.reduction=2"], "--set attention.se: unknown key, sge-resnet50 has no such module"),
        (SGE, ["attention.sge.groups=7"], "--set attention.sge.groups: found 7, expected a divisor of 256"),
        (SGE, ["device_batch_size=3"], "--set device_batch_size: found 3, expected a divisor of batch_size, 16"),
        (SGE, ["optimizer.momentum=0.9"], "--set optimizer.momentum: found with AdamW, expected only with SGD"),
        (DETECTOR, ["detectors={}"], "--set detectors: unknown key"),
        (DETECTOR, ["starts_from=resnet50"], "--set starts_from: found 'resnet50', expected scratch, classifier"),
    ],
)
def test_a_wrong_setting_is_answered_in_one_sentence(project, capsys, run_id, sets, sentence):
    with pytest.raises(InputError) as error:
        change(load_replication("smoke").run(run_id), sets)
    assert str(error.value).startswith(sentence)
    arguments = [argument for text in sets for argument in ("--set", text)]
    assert cli.main(["train", run_id, "--scale", "smoke", *arguments]) == 2
    assert capsys.readouterr().err == f"sgenet: {error.value}\n"


def test_released_weights_have_no_tries(project, capsys):
    assert cli.main(["evaluate", SGE, "--released", "--set", "epochs=1"]) == 2
    assert "--set: found with --released" in capsys.readouterr().err
