"""Results of version 0.1, which recorded no identity: they are accepted where what they recorded agrees."""

from typing import TYPE_CHECKING, Any

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.errors import InputError
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.results import Recorded, Times
from sgenet.runtime.files import read_json

if TYPE_CHECKING:
    from sgenet.provenance.identity import Artifacts

_PARTLY = ("prepare", "evaluate released")  # steps that recorded other settings too, or fewer


def common(artifact: Artifact, found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return recorded and present settings of an artifact, as far as they can be compared."""
    if artifact.step not in _PARTLY:
        return found, artifact.settings
    shared = found.keys() & artifact.settings.keys()
    return {key: found[key] for key in shared}, {key: artifact.settings[key] for key in shared}


def different(artifacts: "Artifacts", artifact: Artifact) -> str | None:
    """Return what decides the inputs of a result now and decided them otherwise, in words; None where nothing does."""
    return (
        _trained_differently(artifacts, artifact)
        or _started_differently(artifacts, artifact)
        or _released_differently(artifacts, artifact)
    )


def measured_before(artifact: Artifact, training: Artifact) -> bool:
    """Return whether a measurement is from before its training, by the record of the training that it contains."""
    then, now = _trained_by(artifact), read_json(training.record)
    if not then or not isinstance(now, dict):
        return False
    timing = artifact.record.with_name(paths.TIMING)
    recorded = read_json(timing) if timing.exists() and artifact.step == "evaluate" else None
    times = recorded.get("train") if isinstance(recorded, dict) else None
    if times and isinstance(times, dict):
        return {**then, **times} != now
    return then != {key: value for key, value in now.items() if key not in Times.model_fields}


def _trained_differently(artifacts: "Artifacts", artifact: Artifact) -> str | None:
    if len(artifact.measures) > 1:
        return f"made from another number of trainings: 1, now {len(artifact.measures)}"
    record = _trained_by(artifact) if artifact.measures else None
    if not record:
        return None
    recorded = validate(Recorded, record, artifact.record, ("origin", "train"))
    return artifacts.different(artifact.measures[0], recorded)


def _started_differently(artifacts: "Artifacts", artifact: Artifact) -> str | None:
    training = artifact.measures[0] if artifact.measures else artifact
    start = training.inputs.get("start")
    if start is None or start.run is None or start.seed is None:
        return None
    evaluation = artifacts.evaluation(start.run, start.seed)
    known = next((each for each in (start, evaluation) if each.present), None)
    try:
        recorded = artifacts.recorded(known) if known else None
    except InputError:  # not known
        return None
    if known is None or recorded is None or recorded.data is None:
        return None
    why = artifacts.different(known, recorded)
    return f"it starts from {start.run.id}, which is outdated: {why}" if why else None


def _released_differently(artifacts: "Artifacts", artifact: Artifact) -> str | None:
    if artifact.step != "evaluate released" or artifact.given is None or not artifact.given.is_file():
        return None
    value = read_json(artifact.record)
    weights = value.get("weights") if isinstance(value, dict) else None
    recorded = weights.get("sha256") if isinstance(weights, dict) else None
    return None if recorded == artifacts.sha256(artifact.given) else "made from other weights"


def _trained_by(artifact: Artifact) -> dict[str, Any] | None:
    """The record of the training in a measurement."""
    value = read_json(artifact.record)
    origin = value.get("origin") if isinstance(value, dict) else None
    found = origin.get("train") if isinstance(origin, dict) else None
    return found if isinstance(found, dict) else None
