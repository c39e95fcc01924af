"""Recording with DVC what a workflow made, so that `dvc repro` has nothing left to do."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from sgenet.config.replication import load_replication
from sgenet.pipeline.workflow import Workflow
from sgenet.provenance import code
from sgenet.runtime.files import write_text

_LOCK = Path("dvc.lock")
_RECORDED = Path(".snakemake/recorded")  # dvc.lock as it was last recorded, and digests of what it was recorded of
_ASKED, _MADE = ("params", "src/sgenet"), ("data", "results", "reports")  # folders that DVC looks at


def record(workflow: Workflow) -> None:
    """Update dvc.lock: of each stage whose results are all current, and of no other.

    The first `dvc repro` creates it. A checkout in which nobody uses DVC has neither the file nor a second copy of its
    results in DVC's cache. Nothing is recorded of a workflow that params/pipeline.yaml does not ask for, since DVC
    would take it for what that file asks for, nor in a stage that DVC runs, which it records itself. Nor is anything
    outside git, where DVC refuses to work unless its configuration says otherwise.
    """
    if not (_LOCK.exists() and Path(".dvc").is_dir()) or "DVC_STAGE" in os.environ:
        return
    code.forget()  # parameters and source may have been edited since the workflow started
    present, before = load_replication(), _LOCK.read_text(encoding="utf-8")
    if present.pipeline != workflow.replication.pipeline:
        return
    asked = _state(*_ASKED)
    if _RECORDED.exists() and _RECORDED.read_text(encoding="utf-8") == before + asked + _state(*_MADE):
        return
    stages = [stage for stage, current in Workflow(present).stages().items() if current]
    dvc = Path(sys.executable).with_name("dvc")
    if not (_in_git() or _without_git(dvc)):
        return
    command = [str(dvc), "commit", "--force", "--quiet", *stages]
    # in its own session: DVC refuses to start after one that was killed and has become a zombie
    if stages and subprocess.run(command, check=False, start_new_session=True).returncode:
        print("dvc.lock is not up to date: `dvc commit --force` failed, see above", file=sys.stderr)
    elif _state(*_ASKED) != asked:  # edited meanwhile: DVC may have recorded what nothing was made with
        write_text(_LOCK, before)
    else:
        write_text(_RECORDED, _LOCK.read_text(encoding="utf-8") + asked + _state(*_MADE))


def _in_git() -> bool:
    here = Path.cwd()
    return any((folder / ".git").exists() for folder in (here, *here.parents))


def _without_git(dvc: Path) -> bool:
    """Whether DVC is configured to work without git."""
    value = subprocess.run([dvc, "config", "core.no_scm"], capture_output=True, text=True).stdout
    return value.strip().lower() == "true"


def _state(*tops: str) -> str:
    """A digest of names, sizes and times of the files in folders, and of dvc.yaml."""
    lines = [Path("dvc.yaml").read_text(encoding="utf-8")]
    for top in tops:
        for folder, folders, names in os.walk(top):
            folders.sort()
            if "__pycache__" in folders:
                folders.remove("__pycache__")
            for name in sorted(names):
                status = os.lstat(os.path.join(folder, name))
                lines.append(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
