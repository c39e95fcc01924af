"""How often each run is trained: the most that pipeline.yaml and the patterns of a scale ask for."""

from pathlib import Path

import pytest

from sgenet.config.replication import load_replication
from sgenet.config.seeds import in_words
from sgenet.errors import InputError

SMOKE = "params/scales/smoke.yaml"
PLAIN, SGE = "classification/resnet50", "classification/sge-resnet50"
TABLES = ["coco-retinanet", "ablation-normalization"]


def load(project, seeds, least=None, tables=TABLES):
    project(SMOKE, lambda scale: scale.update(seeds=seeds))
    return load_replication("smoke", least, tables)


def counts(replication):
    """The numbers of trainings by run, of those that are trained more than once."""
    return {run_id: len(seeds) for run_id in replication.runs if len(seeds := replication.seeds(run_id)) > 1}


def test_the_largest_number_counts_and_a_classifier_has_as_many_as_its_detectors(project):
    assert counts(load(project, {})) == {}
    found = load(project, {PLAIN: 8, "classification/*": 2, "detection/retinanet/*e-resnet50": 5})
    detectors = {"detection/retinanet/se-resnet50": 5, "detection/retinanet/sge-resnet50": 5}
    of_detectors = {"classification/se-resnet50": 5, SGE: 5}
    more = {f"classification/{name}-resnet50": 2 for name in ("sk", "bam", "cbam")}
    assert counts(found) == {**detectors, **of_detectors, **more, PLAIN: 8, f"{SGE}-no-norm": 2}
    assert found.seed_range == (1, 8) and list(found.seeds(SGE)) == [0, 1, 2, 3, 4]
    project(SMOKE, lambda scale: scale["detection"].update(starts_from="scratch"))
    assert counts(load(project, {"detection/retinanet/sge*": 5})) == {"detection/retinanet/sge-resnet50": 5}


def test_seeds_of_an_invocation_are_the_least(project):
    found = load(project, {PLAIN: 8, SGE: 2}, least=3)
    assert found.seed_counts == dict.fromkeys(found.runs, 3) | {PLAIN: 8}


def test_a_scale_without_the_key_and_one_with_an_empty_mapping_are_the_same(project):
    empty = load(project, {})
    project(SMOKE, lambda scale: scale.pop("seeds"))
    assert load_replication("smoke", tables=TABLES).scale == empty.scale


def test_a_pattern_may_be_of_a_table_that_was_not_chosen(project):
    found = load(project, {"detection/mask-rcnn/*": 4, PLAIN: 3, "classification/resnet101": 2})
    assert counts(found) == {PLAIN: 3}
    assert len(found.seeds("detection/mask-rcnn/sge-resnet50")) == 4
    assert len(found.seeds("classification/resnet101")) == 2


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ({"classification/resnet5": 2}, "found 'classification/resnet5', which fits no run in params/tables/; "
         "did you mean classification/resnet50?"),
        ({"detection/retina/*": 2}, "found 'detection/retina/*', which fits no run in params/tables/; expected"),
        ({"*": 2, "resnet50": 2}, "found 'resnet50', which fits no run in params/tables/; did you mean class"),
    ],
)  # fmt: skip
def test_a_pattern_that_fits_no_run_is_refused(project, seeds, sentence):
    with pytest.raises(InputError) as error:
        load(project, seeds)
    assert str(error.value).startswith(f"{SMOKE}: seeds: {sentence}") and "\n" not in str(error.value)


def test_tables_that_could_not_be_searched_are_named(project):
    Path("params/tables/mine.yaml").write_text("rows: [")
    with pytest.raises(InputError, match=r"; invalid tables were skipped: params/tables/mine.yaml: "):
        load(project, {"classification/mine": 2})


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ({PLAIN: 0}, f"seeds.{PLAIN}: found 0, expected at least 1"),
        ({PLAIN: 1001}, f"seeds.{PLAIN}: found 1001, expected at most 1000"),
        ({PLAIN: 2.0}, f"seeds.{PLAIN}: found 2.0, expected an integer"),
        ({PLAIN: None}, f"seeds.{PLAIN}: found no value, expected one"),
        ([PLAIN], rf"seeds: found \['{PLAIN}'\], expected a mapping"),
    ],
)
def test_bad_numbers_are_refused(project, seeds, sentence):
    with pytest.raises(InputError, match=f"^{SMOKE}: {sentence}"):
        load(project, seeds)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((1, 1), "1 training a run"), ((3, 3), "3 trainings a run"), ((1, 8), "1 to 8 trainings a run")],
)
def test_numbers_in_words(numbers, words):
    assert in_words(*numbers) == words
