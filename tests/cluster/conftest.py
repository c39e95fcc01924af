"""A Slurm for all tests of a session, and a checkout with one long training, whose data are prepared."""

import pytest

from support.checkout import copy, make_checkout
from support.cluster import lacking, running_cluster

EPOCHS = 60  # a quarter of a second each


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A Slurm with two nodes on this machine."""
    if why := lacking():
        pytest.skip(why)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A checkout of two classifiers; all but the trainings and what follows is made, on this machine."""
    checkout = make_checkout(tmp_path_factory.mktemp("checkout") / "project")
    (checkout.folder / "dvc.lock").unlink()
    rows = {"tables": ["imagenet"], "rows": ["ResNet50", "SGE-ResNet50"]}
    checkout.edit("params/pipeline.yaml", lambda value: value.update(rows))
    checkout("snakemake", "data/smoke/classification.json", "results/smoke/complexity.json")
    return checkout


@pytest.fixture
def checkout(prepared, tmp_path):
    """A copy of the prepared checkout."""
    return copy(prepared, tmp_path / "project")


@pytest.fixture(scope="session")
def long_prepared(prepared, tmp_path_factory):
    """The same with one training of many epochs."""
    made = copy(prepared, tmp_path_factory.mktemp("checkout") / "project")
    made.edit("params/scales/smoke.yaml", lambda value: value["classification"].update(epochs=EPOCHS))
    made.edit("params/pipeline.yaml", lambda value: value.update(rows=["ResNet50"]))
    return made


@pytest.fixture
def long(long_prepared, tmp_path, cluster):
    """A copy of it; jobs that a failed test has left are cancelled."""
    made = copy(long_prepared, tmp_path / "project")
    yield made
    for job in cluster.jobs(made):
        cluster.ask("scancel", job)


@pytest.fixture(scope="session")
def undisturbed(long_prepared, tmp_path_factory):
    """The long training, on this machine, when nothing happens."""
    made = copy(long_prepared, tmp_path_factory.mktemp("checkout") / "project")
    made("snakemake", "classify")
    return made
