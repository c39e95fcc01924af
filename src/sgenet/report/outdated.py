"""Results that other settings or other data made than those asked for now."""

from typing import Any

from sgenet.config.runs import Run
from sgenet.data.manifest import Manifest
from sgenet.provenance.results import Origins, Provenance

_NOTHING = object()


def why_outdated(origin: Origins, run: Run, manifest: Manifest | None) -> str | None:
    """What made a result in place of what is asked for now, in words; None where it is of the present.

    Args:
        origin: of the result; settings of its training, those of its evaluation where they were recorded, and data.
        run: as params/ has it now.
        manifest: of the present data; None where there is none to hold the result against.
    """
    for step, settings in {"train": run.identity, "evaluate": run.test_settings}.items():
        made: Provenance = getattr(origin, step)
        recorded = settings if made.settings is None else made.settings
        if recorded != settings:
            return f"made with other settings: {_first_difference(recorded, settings)}"
        fingerprint = made.data.fingerprint
        if manifest and fingerprint != manifest.fingerprint:
            return f"made on other data: fingerprint {fingerprint!r:.60}, now {manifest.fingerprint!r:.60}"
    return None


def _first_difference(old: dict[str, Any], new: dict[str, Any], place: str = "") -> str:
    """The first setting that differs, both its values and where it stands; the two must differ."""
    keys = [*new, *(key for key in old if key not in new)]
    key = next(key for key in keys if old.get(key, _NOTHING) != new.get(key, _NOTHING))
    before, after = old.get(key, _NOTHING), new.get(key, _NOTHING)
    if isinstance(before, dict) and isinstance(after, dict):
        return _first_difference(before, after, f"{place}{key}.")
    told = ["not set" if value is _NOTHING else f"{value!r:.60}" for value in (before, after)]
    return f"{place}{key:.60} {told[0]}, now {told[1]}"
