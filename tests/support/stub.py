"""A stand-in for `sgenet` in tests of the workflow: every step in a moment, without torch.

What a step would compute is made up from what decides it (settings, seed, data, starting weights), so that results
differ where these differ and are equal where they are equal. All else is `sgenet`'s own: arguments, parameters, checks
of inputs, provenance, the report. A learning rate above HIGHEST_RATE diverges. An epoch takes EPOCH seconds. Each step
that succeeds adds its arguments as a line to the file that the environment variable JOURNAL names, if it is set.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from sgenet import cli
from sgenet.config.replication import Replication
from sgenet.config.runs import Run
from sgenet.data.manifest import Manifest, read_manifest
from sgenet.data.splits import Source
from sgenet.errors import InputError
from sgenet.pipeline import full_size, steps
from sgenet.provenance.identity import Artifacts
from sgenet.provenance.origin import Making
from sgenet.provenance.records import write_record
from sgenet.provenance.results import Complexity, TrainingRecord
from sgenet.runtime.files import to_json, write_json, write_text
from support.history import make_history

STORE = "SGENET_STUB_STORE"  # environment variable: folder of embedded data that were prepared before
JOURNAL = "SGENET_STUB_JOURNAL"  # environment variable: file with a line for each step that succeeded
DEVICE = "a stub"
HIGHEST_RATE = 1e3
EPOCH = 0.01


def main() -> int:
    """Run the command line of `sgenet` with made-up results."""
    os.environ["SGENET_WARM"] = ""
    steps.train = train
    full_size.complexity = complexity
    full_size.latency = latency
    for name, value in (("acquire_device", "cpu"), ("describe_device", DEVICE)):
        setattr(steps, name, lambda *_, value=value: value)
    _replace("sgenet.data.prepare", make_data=make_data)
    for task in ("classification", "detection"):
        _replace(f"sgenet.{task}.evaluate", evaluate=evaluate, evaluate_weights=evaluate_weights)
    _replace("sgenet.classification.activations", measure=measure_activations)
    status = cli.main()
    if status == 0 and JOURNAL in os.environ:
        with open(os.environ[JOURNAL], "a", encoding="utf-8") as file:
            file.write(" ".join(sys.argv[1:]) + "\n")
    return status


def _replace(module: str, **functions: Any) -> None:
    sys.modules[module] = fake = ModuleType(module)
    vars(fake).update(functions)


def _digest(*what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def make_data(folder: Path, settings: Source, *more: Any) -> Manifest:
    """As `sgenet.data.prepare.make_data`; embedded data are made once and then copied."""
    del sys.modules["sgenet.data.prepare"]
    from sgenet.data.prepare import make_data as make

    if settings.source != "embedded":
        return make(folder, settings, *more)
    store = Path(os.environ[STORE])
    kept = store / _digest(settings.plain())
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=store))
        (made / "manifest.json").write_text(to_json(make(made / "data", settings, *more).plain()))
        try:
            made.rename(kept)
        except OSError:  # another process was quicker
            shutil.rmtree(made)
    shutil.copytree(kept / "data", folder, dirs_exist_ok=True)
    return read_manifest(kept / "manifest.json")


def train(replication: Replication, run: Run, seed: int) -> None:
    """Weights are a digest of what decides them."""
    artifacts = Artifacts(replication)
    manifest = steps._manifest(replication, run.task)
    start = steps._starting_weights(artifacts, run, seed)
    making = Making.of(artifacts, artifacts.training(run, seed))
    settings, output = run.identity, making.artifact.record.parent
    weights = _digest(settings, seed, manifest.fingerprint, start and start.read_text())
    if settings["optimizer"]["lr"] > HIGHEST_RATE:
        raise InputError(f"{run.id}: the loss is nan in epoch 1, iteration 1; expected finite numbers")
    for epoch in range(settings["epochs"]):
        time.sleep(EPOCH)
        print(f"{run.id}: epoch {epoch + 1}/{settings['epochs']}", flush=True)
    metrics = {"top1": 50.0, "top5": 90.0} if run.detector is None else {}
    for name in ("best", "last") if run.detector is None else ("last",):
        write_text(output / f"{name}.safetensors", weights)
    write_text(output / "history.csv", make_history(metrics, settings["epochs"], _skill(weights)))
    made = dict(making.provenance(DEVICE, manifest.origin))
    outputs = {"classes": manifest.classes, "category_ids": manifest.category_ids}
    write_record(making.artifact, TrainingRecord(**made | outputs | {"devices": 1}).plain())


def _skill(weights: str) -> float:
    return 0.3 + 0.6 * int(weights[:8], 16) / 2**32


def evaluate(run: Run, data: Path, manifest: Manifest, *, trained: Path, output: Path, device: str) -> dict[str, Any]:
    """As the functions of both tasks."""
    from support import results  # here, since other steps need none of what it imports

    weights = _digest((trained / "last.safetensors").read_text(), run.test_settings)
    if run.detector is not None:
        annotations = json.loads((data / "annotations/val.json").read_text()) if (data / "annotations").exists() else {}
        images = [image["id"] for image in annotations.get("images", [])]
        write_json(output / "detections.json", [results.detection(image, 1, 0.9) for image in images])
    return results.make_evaluation(output, run, manifest.count("val"), _skill(weights))


def evaluate_weights(run: Run, data: Path, manifest: Manifest, *, weights: Path, device: str) -> dict[str, Any]:
    """As the function of classification."""
    return {"top1": 50.0, "top5": 90.0, "images": manifest.count("val")}


def measure_activations(run: Run, data: Path, manifest: Manifest, **how: Any) -> dict[str, Any]:
    """As the function of classification."""
    from support import results

    head = ("run", "scale", "seed", "fingerprint", "origin")
    return {key: value for key, value in results.activations(how["weights"]).items() if key not in head}


def complexity(replication: Replication) -> None:
    """One count for every network."""
    from support import results

    artifacts = Artifacts(replication)
    making = Making.of(artifacts, artifacts.complexity())
    counts = {run.id: results.count(run) for run in replication.full_size()}
    made = making.measured().without_times()
    write_record(making.artifact, Complexity.model_validate({"models": counts, "origin": made}).plain())


def latency(replication: Replication) -> None:
    """One time for every network."""
    artifacts, settings = Artifacts(replication), replication.scale.latency
    making = Making.of(artifacts, artifacts.latency())
    spread = {"value": 1.5, "low": 1.4, "high": 1.6}
    models = {
        run.id: {"model": run.model, "latency": spread} | ({"latency_ratio": spread} if of else {})
        for run in replication.full_size()
        if run.task == "complexity"
        for of in [replication.plain_of().get(run.id)]
    }
    size = settings.image_size
    how = {"input": [size, size], "batch": 1, "threads": 1, "rounds": settings.rounds}
    made = making.measured(DEVICE).plain()
    write_record(making.artifact, {**how, "models": models, "origin": made})


def make_environment(folder: Path) -> Path:
    """Make a Python environment whose `sgenet` is the stub, otherwise the present one; returns its folder of programs.

    The workflow takes `sgenet` from the folder of the Python that runs Snakemake.
    """
    binaries = folder / "bin"
    binaries.mkdir(parents=True)
    (folder / "store").mkdir()
    prefix = Path(sys.prefix)
    for part in ("lib", "pyvenv.cfg"):
        if (prefix / part).exists():
            (folder / part).symlink_to(prefix / part)
    python = binaries / "python"
    python.symlink_to(sys.executable)
    programs = {
        "snakemake": "from snakemake.cli import main",
        "dvc": "from dvc.cli import main",
        "sgenet": f"import os\nsys.path[:0] = [{str(Path(__file__).parents[1])!r}]\n"
        f"os.environ[{STORE!r}] = {str(folder / 'store')!r}\nfrom support.stub import main",
    }
    for name, code in programs.items():
        (binaries / name).write_text(f"#!{python}\nimport sys\n{code}\nsys.exit(main())\n")
        (binaries / name).chmod(0o755)
    return binaries
