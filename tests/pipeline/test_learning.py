"""What shows that a training did not learn, against scipy's own interval."""

import pytest
from scipy.stats import binomtest

from sgenet.config import paths
from sgenet.config.replication import load_replication
from sgenet.pipeline.learning import did_not_learn, judge
from sgenet.runtime.files import read_json, write_json, write_text
from support import results as make
from support.results import SGE

FALLING, RISING = [2.3, 2.0], [2.3, 2.4]


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("images", [40, 1000])
def test_top1_is_held_against_chance_by_wilsons_interval(classes, images):
    for right in range(images + 1):
        interval = binomtest(right, images).proportion_ci(0.95, method="wilson")
        why = judge(FALLING, {"top1": 100 * right / images, "images": images}, classes, 0.95)
        assert (why is not None) == (interval.low <= 1 / classes), right


def test_the_sentence_has_the_numbers():
    low, high = (100 * end for end in binomtest(4, 40).proportion_ci(0.9, method="wilson"))
    assert judge(RISING, {"top1": 10.0, "images": 40}, 10, 0.9) == (
        f"Top-1 10.00 % (90 % interval {low:.2f} to {high:.2f}) is not above chance, 10.00 % for 10 classes; "
        "the training loss of the last epoch, 2.4, is above that of the first, 2.3"
    )


@pytest.mark.parametrize(
    ("losses", "metrics", "why"),
    [
        (FALLING, {}, None),
        ([2.3], {}, None),
        ([], {}, None),
        ([2.3, 2.5, 2.3], {}, None),
        (RISING, {}, "the training loss of the last epoch, 2.4, is above that of the first, 2.3"),
        (FALLING, {"ap": 0.0, "images": 9}, "AP is 0.0"),
        (FALLING, {"ap": 0.049, "images": 9}, "AP is 0.0"),
        (FALLING, {"ap": 0.1, "images": 9}, None),
        (FALLING, {"ap": None, "images": 9}, None),
        (FALLING, {"ap": 12.0, "mask_ap": 0.0}, "mask AP is 0.0"),
    ],
)
def test_losses_and_ap(losses, metrics, why):
    assert judge(losses, metrics, 10, 0.95) == why


def test_without_the_number_of_classes_chance_is_unknown():
    assert judge(FALLING, {"top1": 0.0, "images": 100}, None, 0.95) is None
    assert judge(FALLING, {"top1": 100.0, "images": 100}, 1, 0.95) is None


def test_it_is_read_from_what_the_steps_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make.lay_out(tmp_path)
    replication = load_replication()
    make.make_results(replication)
    run = replication.run(SGE)
    assert did_not_learn(replication, run, 0) is None
    make.edit_metrics(SGE, top1=50.0)
    assert did_not_learn(replication, run, 0).startswith("Top-1 50.00 %")
    manifest = read_json(paths.manifest("demo", "classification"))
    write_json(paths.manifest("demo", "classification"), manifest | {"classes": list("abcdefghijkl")})
    assert did_not_learn(replication, run, 0) is None
    write_text(make.metrics_path(SGE), "{")
    write_text(paths.training("demo", SGE, 0) / "history.csv", "epoch,loss\n1,1\n2,nothing\n")
    assert did_not_learn(replication, run, 0) is None
    write_text(paths.training("demo", SGE, 0) / "history.csv", "epoch,loss\n1,1\n2,1.5\n")
    assert (
        did_not_learn(replication, run, 0) == "the training loss of the last epoch, 1.5, is above that of the first, 1"
    )
