"""A repository with a finished, made-up replication that is committed to git, and its archive."""

import shutil
import subprocess
from pathlib import Path

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.records import finished
from sgenet.report import build
from sgenet.runtime.files import read_json, write_json
from support import results as make

ROOT = Path(__file__).parents[2]
_COPIED = ("Snakefile", "LICENSE", "CITATION.cff", "README.md", "requirements.lock", ".gitignore", "pyproject.toml")
_GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")


def git(*arguments: str) -> None:
    """Run git in the working folder."""
    subprocess.run([*_GIT, *arguments], check=True, capture_output=True)


def commit_everything(replication: Replication) -> None:
    """Turn the working folder, which has results, into a finished replication: its report is built, all committed."""
    _add_trainings(replication)
    commit_source()
    build(replication)


def commit_source() -> None:
    """Commit the working folder with the files of a checkout that an archive describes."""
    for name in _COPIED:
        shutil.copy(ROOT / name, name)
    for path in sorted(Path("params").rglob("*.yaml")):
        path.chmod(0o644)
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "-m", "everything", "--date", "2026-01-02T03:04:05+00:00")


def _add_trainings(replication: Replication) -> None:
    """Leave the records and weights of the trainings behind the made-up evaluations."""
    artifacts = Artifacts(replication)
    for training in artifacts.trainings():
        for path in training.weights:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no weights")
        assert training.run is not None and training.seed is not None
        evaluation = artifacts.evaluation(training.run, training.seed)
        metrics = read_json(evaluation.record)
        for path in evaluation.files:
            if not path.exists():  # the detections behind made-up matches
                write_json(path, [])
        record = metrics["origin"]["train"] | {"command": training.command, "settings": training.settings}
        write_json(training.record, record | {"identity": finished(artifacts.identity(training), training).plain()})
        metrics["origin"]["evaluate"]["identity"] = finished(artifacts.identity(evaluation), evaluation).plain()
        write_json(evaluation.record, metrics)
    measured = artifacts.activations()
    own = {
        "command": measured.command,
        "settings": measured.settings,
        "data": {"source": "embedded", "fingerprint": "f1"},
    }
    own |= {"identity": finished(artifacts.identity(measured), measured).plain()}
    value = make.activations()
    write_json(measured.record, value | {"origin": value["origin"] | {"activations": own}})


def fail(replication: Replication, run_id: str, seed: int, lines: str) -> Path:
    """Leave a failed evaluation of a run, and the report that shows it; returns the log."""
    artifact = Artifacts(replication).evaluation(replication.run(run_id), seed)
    for path in (artifact.record, *artifact.files):
        path.unlink(missing_ok=True)
    log = paths.run_log(replication.scale_name, "evaluate", run_id, seed)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{lines}\nsgenet: exit status 1\n")
    build(replication)
    return log
