"""Records of artifacts: what is written of an artifact's identity and files, and read again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.errors import InputError
from sgenet.provenance.artifacts import Artifact
from sgenet.provenance.results import DataOrigin, Identity, Recorded, StoredFile
from sgenet.runtime.files import read_json, write_json


def stored(path: Path) -> StoredFile:
    """Return size and xxh3_128 digest of a file."""
    digest, size = xxhash.xxh3_128(), 0
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
            size += len(part)
    return StoredFile(size=size, xxhash=digest.hexdigest())


def finished(identity: Identity, artifact: Artifact) -> Identity:
    """Return an identity with the digests of the files that the step has written, except those that contain times."""
    timed = (paths.HISTORY, paths.TIMING)
    files = {path.name: stored(path) for path in artifact.files if path.is_file() and path.name not in timed}
    return identity.model_copy(update={"files": files})


def write_record(artifact: Artifact, value: dict[str, Any]) -> None:
    """Write the record of an artifact, with a digest of it, so that later changes are noticed."""
    identity = _at(value, (*artifact.at, "identity"))
    identity["record"] = _digest_of(value, artifact)
    write_json(artifact.record, value)


def _digest_of(value: dict[str, Any], artifact: Artifact) -> str:
    """The digest of a record without the entry that holds it, and without the machine, parts of which are private."""
    whole = made = dict(value)
    for key in artifact.at:
        inner = made[key] = dict(made[key])
        made = inner
    made["identity"] = {**made["identity"], "record": None}
    made.pop("machine", None)
    return xxhash.xxh3_128_hexdigest(json.dumps(whole, sort_keys=True).encode())


def _at(value: Any, keys: Iterable[str]) -> Any:
    """What is in nested mappings under some keys; None where nothing is."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_record(artifact: Artifact) -> Recorded:
    """Read what is recorded of an artifact; InputError if that cannot be read, or was changed since it was written."""
    whole: Any = read_json(artifact.record)
    value = _at(whole, artifact.at)
    if artifact.step == "prepare":
        value = _of_manifest(value, artifact.record)
    found = Recorded() if value is None else validate(Recorded, value, artifact.record, artifact.at)
    if found.identity and found.identity.record not in (None, _digest_of(whole, artifact)):
        raise InputError(f"{artifact.record}: was changed since it was written")
    return found


def _of_manifest(value: Any, path: Path) -> Any:
    """A manifest as a record: fingerprint and source are at its top level."""
    return {**value, "data": validate(DataOrigin, value, path).plain()} if isinstance(value, dict) else value
