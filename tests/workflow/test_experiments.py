"""Experiments of DVC: each trains what its parameter changes, and none loses or retrains the results of another."""

import json

import pytest

from support.checkout import Checkout
from support.stub import JOURNAL

RATE = "params/scales/smoke.yaml:classification.optimizer.lr"
TRAINED = {f"train classification/{run} --scale smoke --seed 0" for run in ("sge-resnet50", "sge-resnet50-no-norm")}
RECORD = "results/smoke/classification/sge-resnet50/seed-0/training.json"


class Experiments:
    """A checkout whose results DVC tracks, and what was trained in it."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.journal = checkout.folder.with_suffix(".journal")
        checkout.environment |= {JOURNAL: str(self.journal)}

    def __call__(self, *command: str) -> set[str]:
        """Run a command of `dvc exp`; returns the trainings that it started."""
        self.checkout("dvc", "exp", *command)
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        self.journal.unlink(missing_ok=True)
        return {line for line in lines if line.startswith("train")}

    def check(self, rate: float) -> None:
        """Check that results of this learning rate are there, and that neither entry point would train."""
        record = json.loads((self.checkout.folder / RECORD).read_text())
        assert record["settings"]["optimizer"]["lr"] == rate
        self.checkout.nothing_to_do()
        assert not self.journal.exists()


@pytest.mark.slow
def test_experiments_keep_earlier_results(replicated, new_checkout):
    experiments = Experiments(new_checkout(replicated))
    checkout = experiments.checkout
    checkout("dvc", "repro")
    checkout("git", "add", "--all")
    checkout("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "start")
    experiments.journal.unlink(missing_ok=True)

    assert experiments("run", "--name", "here", "--set-param", f"{RATE}=1e-5") == TRAINED  # written as YAML 1.2
    experiments.check(1e-5)
    assert experiments("run", "--name", "elsewhere", "--temp", "--set-param", f"{RATE}=2e-5") == TRAINED
    experiments.check(1e-5)
    assert experiments("run", "--name", "later", "--queue", "--set-param", f"{RATE}=3e-5") == set()
    assert experiments("run", "--run-all") == TRAINED
    experiments.check(1e-5)
    for name, rate in {"elsewhere": 2e-5, "later": 3e-5, "here": 1e-5}.items():
        assert experiments("apply", name) == set()
        experiments.check(rate)

    experiments("branch", "later", "of-later")
    checkout("git", "stash", "--quiet")
    checkout("git", "checkout", "--quiet", "of-later")
    checkout("dvc", "checkout", "--quiet")
    experiments.check(3e-5)
