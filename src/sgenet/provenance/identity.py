"""The identity of results: what decides each one, and whether the one on disk is what is asked for now.

A result's identity is a digest of what decides its numbers: resolved settings, seed, fingerprint of the data,
identities of the results that its step reads, and the source of its attention module. It is written into the result.
Everything that asks whether a result is current (rules of the workflow, `sgenet status`, `plan`, steps, report) asks
`Artifacts.stale`, so that a result is judged alike whether it was made by hand, by the workflow, pulled or copied.

Other source than the attention module's is recorded too; that it changed makes a result stale only where the code is
`strict`. Digests of files are recorded to notice results that belong to different steps; they are no part of the
identity.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sgenet.config.names import parse_name
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.tasks import Task
from sgenet.errors import InputError
from sgenet.provenance import code, legacy
from sgenet.provenance.artifacts import Artifact, Catalogue
from sgenet.provenance.differences import first_difference
from sgenet.provenance.records import read_record, stored
from sgenet.provenance.results import Identity, Recorded

MISSING = "missing"  # the reason of an artifact that was never made
AGAIN = "the run was trained again since"
_UNRECORDED = {"area_limits", "root"}  # settings that are not always recorded
_SOURCES = {
    "prepare": "sgenet.data.prepare",
    "train": "sgenet.{task}.train",
    "evaluate": "sgenet.{task}.evaluate",
    "evaluate released": "sgenet.classification.evaluate",
    "activations": "sgenet.classification.activations",
    "complexity": "sgenet.complexity.count",
    "latency": "sgenet.complexity.latency",
}


class Artifacts(Catalogue):
    """The artifacts of a replication, and the one judge of whether they are current."""

    def __init__(self, replication: Replication) -> None:
        super().__init__(replication)
        self.strict = replication.pipeline.code == "strict"
        self._digests: dict[tuple[Path, str | None], str] = {}
        self._contents: dict[tuple[Path, int, int], str] = {}
        self._records: dict[Path, tuple[tuple[int, int], Recorded]] = {}

    def waits(self, artifact: Artifact) -> bool:
        """Return whether data are to be prepared again before it is known whether an artifact is current."""
        return self._of_other_data(artifact) is not None

    def digest(self, artifact: Artifact) -> str:
        """Return the identity of an artifact as it would be made now."""
        data, inputs, given = self._fingerprint(artifact), self._inputs(artifact), self._given(artifact)
        key = artifact.record, json.dumps([data, inputs, given])
        if (known := self._digests.get(key)) is not None:
            return known
        what = {
            "step": artifact.step,
            "settings": artifact.settings,
            "seed": artifact.seed,
            "data": data,
            "inputs": inputs,
            "code": self._code(artifact),
            "released": given,
        }
        text = json.dumps(what, sort_keys=True)
        return self._digests.setdefault(key, hashlib.sha256(text.encode()).hexdigest()[:32])

    def digest_of_checkpoints(self, training: Artifact) -> str:
        """Return what a training's checkpoints are found by: its identity, where the code is strict with all source."""
        digest = self.digest(training)
        if not self.strict:
            return digest
        text = json.dumps([digest, _sources(training)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def identity(self, artifact: Artifact) -> Identity:
        """Return what is written into an artifact before its step starts; `finished` completes it."""
        return Identity(
            digest=self.digest(artifact),
            inputs=self._inputs(artifact),
            code=self._code(artifact),
            sources=_sources(artifact),
            read={name: stored(path) for name, path in artifact.reads.items() if path.exists()},
        )

    def stale(self, artifact: Artifact) -> str | None:
        """Return why an artifact is not what is asked for now, in words; None where it is.

        An artifact that was made from something stale is stale too, since it depends on the same parameters; one whose
        inputs are missing is not. Without prepared data, the data that it was made from are accepted.
        """
        if not artifact.present:
            return MISSING
        return self.outdated(artifact) or self._damaged(artifact, self.recorded(artifact))

    def outdated(self, artifact: Artifact) -> str | None:
        """Return why the record of an artifact is not of what is asked for now; its other files may be missing."""
        try:
            recorded = self.recorded(artifact)
            found = self._of_other_data(artifact) or self.different(artifact, recorded)
            return found or self._measured_other(artifact, recorded)
        except InputError as error:
            return str(error)

    def due(self, artifact: Artifact) -> str | None:
        """Return why a workflow makes an artifact: it is stale, or what goes with it is made again."""
        if why := self.stale(artifact):
            return why
        for training in artifact.measures:
            if why := self.due(training):
                return f"its training is due: {why}"
        gone = [path.name for path in artifact.weights if not path.exists()]
        users = [other for other in self._users(artifact) if not self.waits(other)] if gone else []
        user = next(filter(self.stale, users), None)
        return f"{gone[0]} is missing, which {user.command!r} needs" if user else None

    def made_by_other_code(self) -> dict[Path, list[str]]:
        """Return, by record, which files of other source changed since the results that there are were made."""
        found = {each.record: self.other_code(each) for each in (*self.trainings(), *self.measurements())}
        return {record: files for record, files in found.items() if files}

    def other_code(self, artifact: Artifact) -> list[str]:
        """Return the files of other source than the attention module's that changed since an artifact was made."""
        try:
            identity = self.recorded(artifact).identity if artifact.present else None
        except InputError:
            return []
        return code.changed(identity.sources, _sources(artifact)) if identity else []

    def recorded(self, artifact: Artifact) -> Recorded:
        """Read what is recorded of an artifact; InputError if that cannot be read."""
        status = artifact.record.stat()
        signature = (status.st_mtime_ns, status.st_size)
        known = self._records.get(artifact.record)
        if known is None or known[0] != signature:
            known = self._records[artifact.record] = signature, read_record(artifact)
        return known[1]

    def _of_other_data(self, artifact: Artifact) -> str | None:
        """Whether the present data are not what is asked for; that files of them were removed does not count."""
        data = self.data(artifact.task) if artifact.task else None
        if data is None or not data.present:
            return None
        try:
            why = self.different(data, self.recorded(data))
        except InputError:  # as if they were not there
            return None
        return f"its data are to be prepared again: {why}" if why else None

    def sha256(self, path: Path) -> str:
        """Return the digest of a file of weights."""
        status = path.stat()
        key = path, status.st_mtime_ns, status.st_size
        if key not in self._contents:
            with open(path, "rb") as file:
                self._contents[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._contents[key]

    def _given(self, artifact: Artifact) -> str | None:
        """The digest of a given file of weights; where a training's is missing, of the one that it started from."""
        if artifact.given is None:
            return None
        if artifact.given.is_file():
            return self.sha256(artifact.given)
        with suppress(InputError):
            if artifact.present and (weights := self.recorded(artifact).weights):
                return weights.sha256
        return None

    def _damaged(self, artifact: Artifact, recorded: Recorded) -> str | None:
        files = recorded.identity.files if recorded.identity else {}
        for path in artifact.files:
            if not path.exists():
                if path in artifact.weights:
                    continue
                return f"{path.name} is missing"
            expected = files.get(path.name)
            if expected and path.stat().st_size != expected.size:
                return f"{path.name} was changed"
        return None

    def different(self, artifact: Artifact, recorded: Recorded) -> str | None:
        """Return what decides an artifact now and decided a recorded one otherwise, in words; None if nothing does."""
        if recorded.identity and recorded.identity.digest == self.digest(artifact):
            return self._strictly(artifact, recorded)
        if recorded.settings is None and artifact.step != "evaluate":
            return "made by a version that recorded no settings"
        found = artifact.settings if recorded.settings is None else recorded.settings
        settings = artifact.settings
        if recorded.identity is None:
            found, settings = legacy.common(artifact, found)
        if recorded.identity is None or artifact.step == "prepare":
            settings = {key: value for key, value in settings.items() if key not in _UNRECORDED or key in found}
        if found != settings:
            return f"made with other settings: {first_difference(found, settings)}"
        if artifact.task and (fingerprint := recorded.data and recorded.data.fingerprint) is None:
            return "made by a version that recorded no data"
        if artifact.task and fingerprint != (now := self._fingerprint(artifact)) and now is not None:
            return f"made on other data: fingerprint {fingerprint!r:.60}, now {now!r:.60}"
        if recorded.identity is None:
            return legacy.different(self, artifact) or self._strictly(artifact, recorded)
        if files := code.changed(recorded.identity.code, self._code(artifact)):
            return f"made by other code: {', '.join(files)} changed"
        if why := self._from_other(artifact, recorded.identity):
            return why
        if recorded.weights and recorded.weights.sha256 != self._given(artifact):
            return f"made from other weights than those in {artifact.given}"
        others = {"evaluate released": "made from other weights", "prepare": "made from another folder"}
        return others.get(artifact.step, "made with another seed")

    def _from_other(self, artifact: Artifact, identity: Identity) -> str | None:
        """Why the results that an artifact was made from are not those from which it is made now."""
        if (before := len(identity.inputs)) != len(artifact.inputs):
            return f"made from another number of trainings: {before}, now {len(artifact.inputs)}"
        for name, digest in self._inputs(artifact).items():
            if identity.inputs.get(name) != digest:
                source = artifact.inputs[name]
                why = self.stale(source) if source.present else None
                return f"made from another {source.command!r}" + (f", which is outdated: {why}" if why else "")
        return None

    def _strictly(self, artifact: Artifact, recorded: Recorded) -> str | None:
        """Why an artifact is stale where the code is strict: other code made it, or what it was made from."""
        if not self.strict:
            return None
        if recorded.identity is None:
            return "made by a version that recorded no code, and `code: strict` is set"
        if files := code.changed(recorded.identity.sources, _sources(artifact)):
            return f"made by other code: {', '.join(files)} changed, and `code: strict` is set"
        start = artifact.inputs.get("start")
        if start and start.present and (why := self.stale(start)):
            return f"made from {start.command!r}, which is outdated: {why}"
        return self._read_other(artifact, start, recorded) if start else None

    def _measured_other(self, artifact: Artifact, recorded: Recorded) -> str | None:
        """Whether a measurement is of other weights than those that are there.

        A detector that started from other weights of the same identity is not stale, unless the code is strict: on a
        GPU equal trainings end with different weights.
        """
        present = [training for training in artifact.measures if training.present]
        if recorded.identity is None:
            with suppress(InputError):  # a reason of the training
                return AGAIN if any(legacy.measured_before(artifact, training) for training in present) else None
            return None
        return next(filter(None, (self._read_other(artifact, training, recorded) for training in present)), None)

    def _read_other(self, artifact: Artifact, training: Artifact, recorded: Recorded) -> str | None:
        """Whether the weights of a training are others than those that an artifact was made from."""
        try:
            trained = self.recorded(training) if training.present else None
        except InputError:
            return None  # a reason of the training
        if recorded.identity is None or trained is None or trained.identity is None:
            return None
        there = {artifact.name_of(training, name): of.xxhash for name, of in trained.identity.files.items()}
        read = {name: of.xxhash for name, of in recorded.identity.read.items()}
        return AGAIN if any(there.get(name, digest) != digest for name, digest in read.items()) else None

    def _fingerprint(self, artifact: Artifact) -> str | None:
        """The fingerprint of the present data; where none are prepared, of those that the artifact was made from."""
        if artifact.task is None:
            return None
        for source in (self.data(artifact.task), artifact):
            with suppress(InputError):
                if source.present and (data := self.recorded(source).data):
                    return data.fingerprint
        return None

    def _inputs(self, artifact: Artifact) -> dict[str, str]:
        return {name: self.digest(source) for name, source in artifact.inputs.items()}

    def _code(self, artifact: Artifact) -> code.Digests:
        modules = {parse_name(model)[0] for model in artifact.models}
        return code.of_modules(sorted(name for name in modules if name))

    def _users(self, training: Artifact) -> Iterator[Artifact]:
        """The artifacts that are made from the weights of a training."""
        if training.step != "train" or training.run is None or training.seed is None:
            return
        yield self.evaluation(training.run, training.seed)
        if training.run.id == FIGURES_RUN and training.seed in self.replication.seeds(FIGURES_RUN):
            yield self.activations()
        for run in self._runs(Task.DETECTION):
            if run.starts_from == training.run.id and training.seed in self.replication.seeds(run.id):
                yield self.training(run, training.seed)


def _sources(artifact: Artifact) -> code.Digests:
    return code.of_step(_SOURCES[artifact.step].format(task=artifact.task))
