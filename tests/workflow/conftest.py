"""Copies of the project, in which whole replications run at scale `smoke`: by a stub of `sgenet`, or by itself."""

import shutil

import pytest

from support.checkout import BINARIES, Checkout, make_checkout
from support.stub import make_environment


def copies(tmp_path_factory, binaries):
    """A function that copies the project, as committed or as another copy of it is."""
    made = make_checkout(tmp_path_factory.mktemp("checkout") / "project", binaries)

    def copy(of: Checkout = made) -> Checkout:
        folder = tmp_path_factory.mktemp("checkout") / "project"
        leaving = shutil.ignore_patterns("sgenet-*-[0-9]*")  # of a warm process, which ends a second after its workflow
        shutil.copytree(of.folder, folder, ignore=leaving)
        return Checkout(folder, of.binaries)

    return copy


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    """Makes checkouts in which a stub of `sgenet` makes up results; all are of the same commit."""
    return copies(tmp_path_factory, make_environment(tmp_path_factory.mktemp("stub")))


@pytest.fixture(scope="session")
def new_real_checkout(tmp_path_factory):
    """Makes checkouts in which `sgenet` itself trains; all are of the same commit."""
    return copies(tmp_path_factory, BINARIES)


@pytest.fixture(scope="session")
def replicated(new_checkout):
    """A replication of a table with two classifiers, by the stub; tests change copies of it."""
    checkout = new_checkout()
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["ablation-normalization"]))
    checkout("snakemake")
    return checkout


def one_row(new):
    """A replication of one classifier and one detector."""
    checkout = new()
    checkout.choose_one_detector()
    checkout("snakemake")
    return checkout


@pytest.fixture(scope="session")
def undisturbed(new_checkout):
    """A replication of one row, by the stub, when nothing happens; to compare with."""
    return one_row(new_checkout)


@pytest.fixture(scope="session")
def really_undisturbed(new_real_checkout):
    """As `undisturbed`, by `sgenet` itself."""
    return one_row(new_real_checkout)


@pytest.fixture(scope="session")
def replication(new_real_checkout):
    """A replication of every row of every table through Snakemake; tests change copies of it."""
    checkout = new_real_checkout()
    checkout.environment["WANDB_MODE"] = "offline"
    checkout("snakemake")
    checkout.environment["WANDB_MODE"] = "disabled"
    return checkout
