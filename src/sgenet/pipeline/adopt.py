"""How results were made, kept beside them: it travels with them, where Snakemake's own memory does not.

Snakemake remembers in .snakemake/ the parameters that a file was made with, and else goes by times of modification. A
clone has neither, and `dvc pull` and `dvc checkout` bring files without them. So what Snakemake remembers of a job is
written beside its outputs too, with digests of what went in and came out. Files that come from elsewhere are held
against that: what it tells of is taken over as if it had been made here, anything else is made again.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import xxhash
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence

from sgenet.data.folders import describe_file
from sgenet.errors import InputError
from sgenet.runtime import locks
from sgenet.runtime.files import read_json, write_json

Digest = Callable[[str], str | None]  # of a file or folder

NAME = ".made.json"
_TOPS = ("data", "results", "reports")
_STAMP = ".snakemake_timestamp"  # Snakemake's, in folders that are outputs; it holds their time
_INTO = {"complexity": "evaluation", "report": "tables"}  # by rule, a folder beside the first output that DVC tracks
_NOTHING = xxhash.xxh3_128_hexdigest(b"")
_EMPTY = (_NOTHING, f"folder {_NOTHING}")  # what DVC does not bring of a job: an empty folder, a mere mark


@dataclass(frozen=True)
class Made:
    """What Snakemake remembers of a job: its rule, that one's code, parameters and names of inputs, as it writes them.

    `inputs` and `outputs` map a file or folder to the digest of its content; inputs whose changes do not count are
    left out.
    """

    rule: str
    code: str
    params: list[str]
    input: list[str]
    inputs: dict[str, str]
    outputs: dict[str, str]


def record(jobs: Iterable[Any], memory: Any) -> None:
    """Write beside their outputs how jobs were made that are done and were not told of yet.

    Args:
        jobs: Snakemake's, of any state.
        memory: Snakemake's persistence.
    """
    memory.deactivate_cache()  # it may have looked before a job was done
    digest: Digest = cache(_digest)
    new: dict[Path, dict[str, Made]] = {}
    for job in jobs:
        outputs = [str(path) for path in job.output]
        if not outputs or not all(_is_remembered(path, memory) for path in outputs):
            continue
        times, place = [_time(path) for path in outputs], _place(job.rule.name, outputs[0])
        if place.exists() and place.stat().st_mtime >= max(times) and outputs[0] in _read(place):
            continue
        inputs = [str(path) for path in job.input if not path.is_ancient]
        if any(_time(path) > min(times) for path in inputs):
            continue  # it waits to be made again
        known = memory._read_record(outputs[0])
        new.setdefault(place, {})[outputs[0]] = Made(
            rule=known.rule, code=known.code, params=known.params, input=known.input,
            inputs=_digests(inputs, digest), outputs=_digests(outputs, digest),
        )  # fmt: skip
    for place, made in new.items():
        kept = {key: old for key, old in (_read(place) if place.exists() else {}).items() if Path(key).exists()}
        write_json(place, {key: asdict(one) for key, one in sorted({**kept, **made}.items())})


def adopt(scale: str) -> None:
    """Take over results of a scale that Snakemake did not make here, before it looks at what is to be done.

    Prints a line where there are any. Where a workflow is at work in this checkout, nothing is done: its jobs are in
    the making.
    """
    places = sorted(place for top in _TOPS for place in Path(top, scale).rglob(NAME))
    jobs = [made for place in places for made in _read(place).values()]
    if not jobs:
        return
    memory, digest = FilePersistence(), cache(_digest)
    foreign = [made for made in jobs if _is_foreign(made, memory)]
    taken = [made for made in foreign if _is_true(made, digest) and _is_current(made, digest)]
    # Of what a step that was run by hand made, Snakemake has a memory, and there are other files than told of.
    unknown = [made for made in foreign if not any(memory._read_record(path) for path in made.outputs)]
    doubted = [made for made in foreign if made not in taken and (made in unknown or _is_true(made, digest))]
    if not taken and not doubted and not any(_looks_old(made, digest) for made in jobs):
        return
    try:
        lock = locks.acquire(locks.CHECKOUT, "this checkout")
    except InputError:
        return
    try:
        for made in (*taken, *doubted):
            params = made.params if made in taken else []  # no rule has none
            for path in made.outputs:
                memory._write_record(path, _memory_of(made, params))
        memory.deactivate_cache()
        _renew([made for made in jobs if _is_true(made, digest) and _is_current(made, digest)], memory)
        for place in places:
            os.utime(place)  # not older than what it tells of
    finally:
        locks.release(lock)
    if foreign:
        text = f"results from elsewhere: {len(taken)} jobs taken over"
        print(f"{text}, {len(doubted)} to be made again" if doubted else text, file=sys.stderr)


def _renew(jobs: list[Made], memory: Any) -> None:
    """Give the outputs of jobs one time, so that none is older than what it was made from."""
    now = time.time_ns()
    for made in jobs:
        for path, told in made.outputs.items():
            _set_time(path, told, now)
            known = memory._read_record(path)
            known.endtime = _time(path)
            memory._write_record(path, known)


def _digests(paths: list[str], digest: Digest) -> dict[str, str]:
    return {path: found for path in paths if (found := digest(path)) is not None}


def _is_true(made: Made, digest: Digest) -> bool:
    """Whether a job's outputs are what is told of them; empty ones may be missing, since DVC does not bring them."""
    return all(digest(path) == told or (told in _EMPTY and digest(path) is None) for path, told in made.outputs.items())


def _is_current(made: Made, digest: Digest) -> bool:
    """Whether a job's inputs are still what they were, as far as they are there."""
    return all(digest(path) in (told, None) for path, told in made.inputs.items())


def _is_foreign(made: Made, memory: Any) -> bool:
    """Whether files of a job are there that Snakemake did not leave so."""
    there = any(map(os.path.exists, made.outputs))
    return there and not all(_is_remembered(path, memory) for path in made.outputs)


def _looks_old(made: Made, digest: Digest) -> bool:
    """Whether inputs are newer than outputs, and the same: git gives files new times."""
    made_at = min(map(_time, made.outputs))
    newer = [path for path in made.inputs if _time(path) > made_at > 0]
    return bool(newer) and all(digest(path) == made.inputs[path] for path in newer)


def _memory_of(made: Made, params: list[str]) -> MetadataRecord:
    return MetadataRecord(
        rule=made.rule, code=made.code, params=params, input=made.input, endtime=0.0, incomplete=False,
        record_format_version=RECORD_FORMAT_VERSION,
    )  # fmt: skip


def _is_remembered(path: str, memory: Any) -> bool:
    """Whether a file is there as Snakemake left it."""
    known = memory._read_record(path)
    return known is not None and os.path.exists(path) and known.endtime == _time(path)


def _time(path: str) -> float:
    """When a file or folder was modified, as Snakemake tells it; 0 where it is missing."""
    for place in (f"{path}/{_STAMP}", path):
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.stat(place).st_mtime
    return 0.0


def _set_time(path: str, told: str, now: int) -> None:
    """Set the time of a file or folder, which is made where it is missing: then it is empty."""
    folder = told.startswith("folder ")
    if folder:
        Path(path).mkdir(parents=True, exist_ok=True)
    place = Path(path, _STAMP) if folder else Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    for follow in (True, False):  # DVC may have linked it
        os.utime(place, ns=(now, now), follow_symlinks=follow)


def _place(rule: str, output: str) -> Path:
    return Path(output).parent / _INTO.get(rule, "") / NAME


def _digest(path: str) -> str | None:
    """The xxh3_128 of a file, or of a folder's names and files; None where nothing is."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.is_file() and file.name != _STAMP)
        listing = "".join(f"{_digest(str(file))} {file.relative_to(place).as_posix()}\n" for file in files)
        return f"folder {xxhash.xxh3_128_hexdigest(listing.encode())}"
    return describe_file(place, path).xxhash if place.is_file() else None


def _read(place: Path) -> dict[str, Made]:
    """The jobs that a file tells of, by their first output; InputError where it is no such file.

    It may come from elsewhere: paths in it stay in the repository, those of outputs in the folders of its scale.
    """
    told = read_json(place)
    jobs = {key: _made(entry, place.parts[1]) for key, entry in told.items()} if isinstance(told, dict) else {"": None}
    for key, made in jobs.items():
        if made is None or key not in made.outputs:
            raise InputError(f"{place}: {key or 'the whole file'}: found something else than a run of Snakemake leaves")
    return {key: made for key, made in jobs.items() if made}


def _made(entry: Any, scale: str) -> Made | None:
    """The job of an entry; None where it is none."""
    kinds: dict[str, type] = {"rule": str, "code": str, "params": list, "input": list, "inputs": dict, "outputs": dict}
    if not isinstance(entry, dict) or {key: type(value) for key, value in entry.items()} != kinds:
        return None
    made = Made(**entry)
    texts = (*made.params, *made.input, *made.inputs.values(), *made.outputs.values())
    paths = [Path(path) for path in (*made.inputs, *made.outputs)]
    ours = {Path(path).parts[:2] for path in made.outputs} <= {(top, scale) for top in (*_TOPS, "logs")}
    inside = not any(path.is_absolute() or ".." in path.parts or "\0" in str(path) for path in paths)
    return made if ours and inside and all(isinstance(text, str) for text in texts) else None
