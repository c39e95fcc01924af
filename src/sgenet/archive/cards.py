"""Model cards: a README.md next to the weights of a training, with the metadata that the Hugging Face Hub reads.

Format of the metadata: https://github.com/huggingface/hub-docs/blob/main/modelcard.md (YAML front matter, model-index).
"""

from pathlib import Path
from typing import Any

import yaml

from sgenet.config import paths
from sgenet.config.replication import Replication
from sgenet.config.tasks import Task
from sgenet.evaluation.coco_eval import METRICS as COCO_METRICS
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.results import TrainingRecord, read_training
from sgenet.runtime.files import read_json

_TAGS = {Task.CLASSIFICATION: "image-classification", Task.DETECTION: "object-detection"}
_NAMES = {"top1": "Top-1 accuracy, %", "top5": "Top-5 accuracy, %"} | {
    name: name.replace("_", " ").upper().replace("SMALL", "small").replace("MEDIUM", "medium").replace("LARGE", "large")
    for name in COCO_METRICS
}
_LOAD = {
    Task.CLASSIFICATION: """\
from pathlib import Path

from sgenet.classification.classifier import build_network
from sgenet.pipeline.trained import read_trained
from sgenet.weights.checkpoints import load_weights

weights = Path("{path}")
trained = read_trained(weights)
network = build_network(trained.run.model, trained.run.classification, len(trained.classes))
load_weights(network, weights)
network.eval()
""",
    Task.DETECTION: """\
from pathlib import Path

from sgenet.detection.predict import predict
from sgenet.pipeline.trained import read_trained

weights = Path("{path}")
trained = read_trained(weights)
images = [(1, Path("image.jpg"))]
for detections in predict(trained.run, trained.manifest, images, weights=weights, device="cpu"):
    print(detections)
""",
}


def model_card(replication: Replication, training: Artifact) -> str:
    """Return the card of the weights of a training.

    Its metrics are those of the evaluation of these weights; there are none where it failed.

    Raises:
        InputError: training.json or metrics.json cannot be read.
    """
    assert training.run is not None and training.seed is not None and training.task is not None
    run, seed, scale = training.run, training.seed, replication.scale_name
    record = read_training(training.record)
    metrics = _metrics(paths.evaluation(scale, run.folder, seed) / paths.METRICS)
    name = f"{run.id}, scale {scale}, seed {seed}"
    front = yaml.safe_dump(_front(run.id, run.task, name, record, metrics, scale), sort_keys=False, allow_unicode=True)
    settings = yaml.safe_dump(record.settings, sort_keys=True, default_flow_style=None, width=100)
    rows = "".join(f"| {_NAMES[key]} | {value:.2f} |\n" for key, value in metrics.items())
    measured = f"| metric | measured |\n|---|---|\n{rows}" if rows else "These weights were not evaluated.\n"
    files = ", ".join(f"`{path.name}`" for path in training.weights)
    code = _LOAD[run.task].format(path=training.weights[-1].as_posix())
    return f"""---
{front}---

# {name}

Weights ({files}) of `{run.model}` from a replication of *Spatial Group-wise Enhance* (arXiv 1905.09646).
`last.safetensors` is of the last epoch; `best.safetensors`, where it exists, of the best one.

## Data and metrics

Trained and evaluated on the data `{record.data.source or "of the scale"}` (fingerprint `{record.data.fingerprint}`).
The metrics are of one training. Below the scale `paper` they cannot be compared with the paper's.

{measured}
## How to load

In the unpacked archive, or a checkout with these results, after `make setup`:

```python
{code}```

`sgenet predict {training.weights[-1].as_posix()} FOLDER` predicts your own images.

## Settings

`{training.command}`, at commit {record.commit or "unknown"}, on {record.device or "an unknown device"}.

```yaml
{settings}```

Licence: Apache-2.0.
"""


def _front(
    run_id: str, task: Task, name: str, record: TrainingRecord, metrics: dict[str, float], scale: str
) -> dict[str, Any]:
    """Return the metadata of a card."""
    source = record.data.source or "unknown"
    tag = _TAGS[task]
    front: dict[str, Any] = {
        "license": "apache-2.0",
        "library_name": "sgenet",
        "pipeline_tag": tag,
        "tags": ["pytorch", "safetensors", tag, "attention", "arxiv:1905.09646"],
    }
    if metrics:
        front["metrics"] = ["accuracy"] if task is Task.CLASSIFICATION else ["mean_average_precision"]
        results = [{"type": key, "name": _NAMES[key], "value": value} for key, value in metrics.items()]
        data = {"type": source, "name": f"{source} ({scale})", "split": "val", "revision": record.data.fingerprint}
        entry = {"task": {"type": tag}, "dataset": data, "metrics": results}
        front["model-index"] = [{"name": name, "results": [entry]}]
    return front


def _metrics(path: Path) -> dict[str, float]:
    """Return what an evaluation measured of what a card shows."""
    value = read_json(path) if path.is_file() else {}
    found = value.get("metrics", {}) if isinstance(value, dict) else {}
    return {key: float(found[key]) for key in _NAMES if isinstance(found.get(key), int | float)}
