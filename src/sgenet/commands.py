"""One function for each sub-command of `sgenet`, which receives its options and imports the modules of its step."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from sgenet.config import paths
from sgenet.errors import InputError
from sgenet.runtime import packages

if TYPE_CHECKING:
    from sgenet.config.replication import Replication
    from sgenet.config.runs import Run


def doctor(options: argparse.Namespace) -> int:
    """Print what is installed, and what is missing for each scale."""
    if packages.lacking("replicate"):  # the survey of the scales needs these packages
        print(packages.describe())
        print("\nnot ready: pip install 'sgenet[replicate]'; in a checkout: make setup")
        return 1
    from sgenet.pipeline.doctor import doctor

    return doctor()


def check_module(options: argparse.Namespace) -> int:
    """Check an attention module."""
    _check_folder()
    from sgenet.pipeline.check_module import check_module

    return 0 if check_module(options.name, options.device) else 1


def predict(options: argparse.Namespace) -> int:
    """Predict own images."""
    from sgenet.pipeline.predict import predict

    text, complete = predict(options.weights, options.folder, options.out, options.device)
    print(text)
    return 0 if complete else 1


def import_checkpoint(options: argparse.Namespace) -> None:
    """Convert a released checkpoint."""
    from sgenet.pipeline.import_checkpoint import import_checkpoint

    classes = options.classes.split(",") if options.classes else None
    print(import_checkpoint(options.source, options.destination, options.model, classes))


def pack(options: argparse.Namespace) -> None:
    """Pack an image folder."""
    from sgenet.data.pack import pack

    print(pack(options.source, options.destination, options.size))


def coco_eval(options: argparse.Namespace) -> None:
    """Print COCO's metrics of detections."""
    from sgenet.evaluation.command import describe

    print(describe(options.annotations, options.detections, options.iou_type, as_json=options.json))


def plan(options: argparse.Namespace) -> None:
    """Print the estimated cost of a replication."""
    replication = _load(options)
    from sgenet.pipeline import steps

    print(steps.plan(replication, options.json))


def published(options: argparse.Namespace) -> None:
    """Print the published values, or the cells without one."""
    _check_folder()
    from sgenet.config import params
    from sgenet.config.published import to_text
    from sgenet.config.tables import load_table

    names = options.tables.split(",") if options.tables else params.names("tables")
    print(to_text(map(load_table, names), only_missing=options.missing))


def status(options: argparse.Namespace) -> None:
    """Print what is done and what is due."""
    replication = _load(options)
    from sgenet.pipeline.status import survey
    from sgenet.pipeline.status_text import to_text

    status = survey(replication)
    print(status.to_json() if options.json else to_text(status))


def prune(options: argparse.Namespace) -> None:
    """List unused results, or remove them."""
    replication = _load(options)
    from sgenet.pipeline import prune

    scale, unused = replication.scale_name, prune.find_unused(replication)
    if options.yes:
        unused = prune.remove_unused(unused, scale)
    print(prune.to_text(unused, scale, removed=options.yes))


def prepare(options: argparse.Namespace) -> None:
    """Prepare and check the data of a task."""
    replication = _load(options)
    from sgenet.pipeline import steps

    steps.prepare(replication, options.task)


def train(options: argparse.Namespace) -> None:
    """Train a run."""
    replication = _load(options)
    from sgenet.pipeline import steps

    steps.train(replication, _run(replication, options), options.seed)


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate a trained run, or released weights."""
    replication = _load(options)
    if options.released and options.sets:
        raise InputError("evaluate: --set: found with --released, expected only one of them")
    from sgenet.pipeline import steps

    if options.released:
        steps.evaluate_released(replication, replication.run(options.run))
    else:
        steps.evaluate(replication, _run(replication, options), options.seed)


def _run(replication: "Replication", options: argparse.Namespace) -> "Run":
    """Return the run of a step, with the settings of --set."""
    from sgenet.config import tries

    return tries.change(replication.run(options.run), options.sets)


def activations(options: argparse.Namespace) -> None:
    """Measure the activations of figures 2 to 4."""
    replication = _load(options)
    from sgenet.pipeline import steps

    steps.activations(replication)


def complexity(options: argparse.Namespace) -> None:
    """Count the full-size models of the tables, or one model."""
    if options.model:
        if options.scale:
            raise InputError("complexity: --scale: found with MODEL, expected only one: MODEL is counted full-size")
        from sgenet.complexity.command import describe

        size = tuple(options.input) if options.input else None
        print(describe(options.model, backbone=options.backbone, size=size, as_json=options.json))
        return
    if options.backbone or options.input or options.json:
        raise InputError("complexity: --backbone, --input and --json: found without MODEL, expected with one MODEL")
    replication = _load(options)
    from sgenet.pipeline import full_size

    full_size.complexity(replication)


def latency(options: argparse.Namespace) -> None:
    """Time the full-size models."""
    replication = _load(options)
    from sgenet.pipeline import full_size

    full_size.latency(replication)


def report(options: argparse.Namespace) -> int:
    """Build the report; returns 1 if it has problems."""
    replication = _load(options)
    from sgenet.judgement.results import count_missing
    from sgenet.report import build

    problems = build(replication)
    missing, expected = count_missing(replication)
    if missing and not options.partial:
        problems.append(f"{missing} of {expected} results are missing; with --partial this is not an error")
    for problem in problems:
        print(f"sgenet: {problem}", file=sys.stderr)
    page = paths.report(replication.scale_name) / "index.html"
    print(f"{page}: {expected - missing} of {expected} results found")
    return 1 if problems else 0


def compare(options: argparse.Namespace) -> None:
    """Write the page that compares replications."""
    from sgenet.report.compare import compare

    page, sentences = compare(options.replications, options.out)
    print(f"{page}: {' '.join(sentences)}")


def verify(options: argparse.Namespace) -> int:
    """Derive a report again from the raw results; returns 1 if anything deviates."""
    if options.place is None:
        _check_folder()
    from sgenet.verification.command import verify

    return verify(options.place, lambda scale: _load(options, scale), options.evaluate)


def archive(options: argparse.Namespace) -> None:
    """Write the archive of a finished replication."""
    replication = _load(options)
    from sgenet.archive.contents import archive

    digest = archive(replication, options.out, weights=options.weights, identifying=options.identifying)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, SHA-256 {digest}")


def publish(options: argparse.Namespace) -> None:
    """Write the site of published replications."""
    _check_folder()
    from sgenet.archive.publish import publish

    print(publish(options.to, options.replications))


def _check_folder() -> None:
    """Raise an InputError unless the working folder is the root of a repository."""
    if not paths.in_checkout():
        raise InputError(f"{os.curdir}: found no params/pipeline.yaml, expected the repository's root")


def _load(options: argparse.Namespace, scale: str | None = None) -> "Replication":
    """Load the replication defined by params/, the environment and the options of a step; `scale` is the default."""
    _check_folder()
    from sgenet.config.replication import load_replication

    # With these variables Snakemake passes values of its --config that override params/pipeline.yaml.
    seeds, tables = os.environ.get("SGENET_SEEDS"), os.environ.get("SGENET_TABLES")
    if seeds and not seeds.isdecimal():
        raise InputError(f"environment variable SGENET_SEEDS: found {seeds!r}, expected a whole number")
    chosen = tables.split() if tables else None
    if getattr(options, "tables", None) is not None:
        chosen = options.tables.split(",")
    code, rows = os.environ.get("SGENET_CODE") or None, os.environ.get("SGENET_ROWS")
    return load_replication(
        options.scale or scale, int(seeds) if seeds else None, chosen, code, getattr(options, "rows", rows)
    )
