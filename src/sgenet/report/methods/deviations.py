"""What is not as in the paper, or is so by a detour, whatever the settings: a sentence each."""

from collections.abc import Iterator

from sgenet.config import starting
from sgenet.config.replication import Replication
from sgenet.config.tasks import Task
from sgenet.data.manifest import Manifest
from sgenet.evaluation.verdicts import Verdict
from sgenet.judgement import Judged
from sgenet.judgement.cells import CellTable

_STARTS = {
    starting.SCRATCH: "new weights",
    starting.RELEASED: "the authors’ released classifier",
    starting.TORCHVISION: "torchvision’s weights of the plain network",
    starting.FILE: "a file of weights",
}


def deviations(judged: Judged) -> Iterator[str]:
    """The sentences that hold for this replication."""
    replication = judged.replication
    tasks = replication.tasks
    if tasks:
        yield from _of_training(replication)
    if Task.CLASSIFICATION in tasks:
        yield (
            "Images are resized as 8-bit tensors by torchvision, bilinear and with antialiasing; the torchvision of "
            "2019 resized PIL images."
        )
    if Task.DETECTION in tasks:
        yield from _of_detection(replication)
    for task in tasks:
        if left_out := _left_out(judged.manifest(task)):
            yield f"{task.capitalize()}: {left_out} defects of the data were found; what cannot be used is left out."
    for table in judged.tables:
        yield from _of_audit(table)


def _of_training(replication: Replication) -> Iterator[str]:
    yield (
        "The authors trained on eight devices. With another number, gradients are accumulated over micro-batches of "
        "“device_batch_size” images until the batch of a step is complete. Batch normalisation of a classifier uses "
        "the statistics of one micro-batch, and only the first micro-batch of a step updates the running statistics, "
        "as only the first device does in the authors’ code."
    )
    fewest, most = replication.seed_range
    if fewest == 1:
        rows = "Each row was" if most == 1 else "Some rows were"
        yield f"{rows} trained once, which does not show the run-to-run variance, so their gains are not judged."
    if replication.scale.device != "cpu":
        yield (
            "On a GPU with TF32, PyTorch computes float32 convolutions in TF32 by default, also here. The PyTorch of "
            "2019 had no TF32."
        )


def _of_detection(replication: Replication) -> Iterator[str]:
    yield (
        "Detectors are built by mmdet 3.3 in place of mmdetection 0.6.rc0. Where its settings are known to differ, the "
        "authors’ settings are used: losses of the boxes, proposals, RoIAlign, box coder and anchors, warm-up, "
        "gradient clipping. Differences of the code other than these settings remain."
    )
    yield (
        "mmcv’s compiled operators (NMS, RoIAlign, focal loss) are replaced by torchvision’s, unless a "
        "compiled mmcv is installed."
    )
    runs = [run for run in replication.runs.values() if run.detector]
    others = [run for run in runs if run.starts_from is None]
    if others:
        starts = sorted({starting.kind_of(run.settings.starts_from) or starting.SCRATCH for run in others})
        words = " or ".join(_STARTS[start] for start in starts)
        which = "Every backbone starts" if len(others) == len(runs) else f"{len(others)} of {len(runs)} backbones start"
        yield f"{which} from {words}, and not from a classifier that was trained here."
    if len(others) == len(runs):
        return
    yield (
        f"{'Every backbone' if not others else 'Every other backbone'} starts from the best epoch of this project’s "
        "own classifier of the same seed. In the paper, "
        "five of the six two-stage baselines are checkpoints of mmdetection’s model zoo, which started from "
        "torchvision’s weights, while the SGE rows start from the authors’ own training: the published gains over them "
        "include that difference, the reproduced ones do not."
    )


def _of_audit(table: CellTable) -> Iterator[str]:
    """How many values that the README prints repeat their training log's best epoch, and which rows do not."""
    cells = [(row.row.label, cell.verdict) for row in table.rows for cell in row.cells if cell.column.audits]
    equal = [label for label, verdict in cells if verdict is Verdict.EXACT]
    others = [label for label, verdict in cells if verdict in (Verdict.EXPLAINED, Verdict.DIFFERS)]
    but = f", those of {', '.join(others)} do not" if others else ""
    if equal or others:
        yield (
            f"The authors report the best epoch on the validation set: of {len(equal) + len(others)} Top-1 values that "
            f"their README prints and whose training log was released, {len(equal)} equal the best epoch of that log "
            f"in every printed digit{but}. So the best epoch is compared here, and the last is shown next to it."
        )


def _left_out(manifest: Manifest | None) -> int:
    """Defects that the check of the data found."""
    return sum(manifest.defects.by_kind.values()) if manifest and manifest.defects else 0
