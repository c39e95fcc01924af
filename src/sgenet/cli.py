"""The `sgenet` command; one sub-command a step. What a step needs is imported when it runs."""

import argparse
import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path

from sgenet import paths, processes, troubles, warm
from sgenet.files import InputError

_WARM = ("train", "evaluate", "activations", "complexity", "latency")  # steps that import torch


def main(arguments: list[str] | None = None) -> int:
    """Run `sgenet`; returns the exit status: 0 done, 1 done with problems, 2 bad input, or a machine that refuses."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # mmengine's, of no use to a user
    for name in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"):  # given fewer threads than it was promised, torch waits for ever
        os.environ.pop(name, None)
    processes.stop_on_signals()
    processes.follow_workflow()
    logging.raiseExceptions = False  # a full disk under a library's log is no reason for a traceback
    try:
        status = warm.run(arguments) if options.step in _WARM else None
        status = (_run(options) or 0) if status is None else status
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _end("interrupted; the same command continues", 130)
    except InputError as error:
        return _end(troubles.message(error), 2)
    except Exception as error:
        if (known := troubles.explain(error)) is None:
            raise
        return _end(known, 2)


def _end(sentence: str, status: int) -> int:
    """Say why the step ends, as far as the output takes it; returns the status."""
    with contextlib.suppress(OSError):
        print(f"sgenet: {sentence}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would try once more at its end, and say so with a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def _run(options: argparse.Namespace) -> int | None:
    if options.step == "doctor":
        from sgenet.doctor import doctor

        return doctor()
    if options.step == "bench":
        from sgenet.bench import bench

        return bench(options.what)
    if options.step == "import-checkpoint":
        from sgenet.released import import_checkpoint

        classes = options.classes.split(",") if options.classes else None
        print(import_checkpoint(options.source, options.destination, options.model, classes))
        return 0
    if options.step == "data":
        from sgenet.data.pack import pack

        print(pack(options.source, options.destination, options.size))
        return 0
    if options.step == "coco-eval":
        from sgenet.detection.command import describe as describe_detections

        print(describe_detections(options.annotations, options.detections, options.iou_type, as_json=options.json))
        return 0
    if not Path("params/pipeline.yaml").exists():
        raise InputError(f"{os.curdir}: no params/pipeline.yaml here, expected the repository's root as working folder")
    if options.step == "complexity" and not options.model and (options.backbone or options.input or options.json):
        raise InputError("complexity: --backbone, --input and --json are of one MODEL, found none")
    if options.step == "complexity" and options.model and options.scale:
        raise InputError("complexity: --scale: found beside one MODEL, which is counted full-size, expected alone")
    if options.step == "complexity" and options.model:
        from sgenet.complexity.command import describe

        size = tuple(options.input) if options.input else None
        print(describe(options.model, backbone=options.backbone, size=size, as_json=options.json))
        return 0
    from sgenet import steps
    from sgenet.runs import load_replication

    # Snakemake hands on what its --config chose over params/pipeline.yaml.
    seeds, tables = os.environ.get("SGENET_SEEDS"), os.environ.get("SGENET_TABLES")
    if seeds and not seeds.isdecimal():
        raise InputError(f"environment variable SGENET_SEEDS: found {seeds!r}, expected a whole number")
    chosen = tables.split() if tables else None
    if getattr(options, "tables", None) is not None:
        chosen = options.tables.split(",")
    replication = load_replication(options.scale, int(seeds) if seeds else None, chosen)
    if options.step == "plan":
        print(steps.plan(replication, options.json))
        return 0
    if options.step == "prepare":
        steps.prepare(replication, options.task)
    elif options.step == "train":
        steps.train(replication, replication.run(options.run), options.seed)
    elif options.step == "evaluate":
        if options.released:
            steps.evaluate_released(replication, replication.run(options.run))
        else:
            steps.evaluate(replication, replication.run(options.run), options.seed)
    elif options.step == "activations":
        steps.activations(replication)
    elif options.step == "complexity":
        steps.complexity(replication)
    elif options.step == "latency":
        steps.latency(replication)
    elif options.step == "report":
        problems = steps.report(replication)
        missing, expected = steps.missing_results(replication)
        if missing and not options.partial:
            problems.append(f"{missing} of {expected} results are missing; to --partial that is no error")
        for problem in problems:
            print(f"sgenet: {problem}", file=sys.stderr)
        page = paths.report(replication.scale_name) / "index.html"
        print(f"{page}: {expected - missing} of {expected} results were found")
        return 1 if problems else 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sgenet", description="Steps of the SGE replication (arXiv 1905.09646).")
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    scaled = argparse.ArgumentParser(add_help=False)
    scaled.add_argument("--scale", help="a file of params/scales/ (default: the one in params/pipeline.yaml)")
    of_run = argparse.ArgumentParser(add_help=False, parents=[scaled])
    of_run.add_argument("run", help="such as classification/sge-resnet50 or detection/retinanet/sge-resnet50")
    of_run.add_argument("--seed", type=_seed, default=0)
    plan = steps.add_parser("plan", parents=[scaled], help="estimate what a replication will cost, before it starts")
    plan.add_argument("--tables", metavar="A,B", help="files of params/tables/ (default: as in params/pipeline.yaml)")
    plan.add_argument("--json", action="store_true", help="the numbers for programs")
    prepare = steps.add_parser("prepare", parents=[scaled], help="make and check the data of a task")
    prepare.add_argument("task", choices=["classification", "detection"])
    steps.add_parser("train", parents=[of_run], help="train a run; continues where it stopped")
    evaluate = steps.add_parser("evaluate", parents=[of_run], help="evaluate a trained run")
    evaluate.add_argument("--released", action="store_true", help="the weights in data/released/ in place of its own")
    steps.add_parser("activations", parents=[scaled], help="measure what figures 2 to 4 show, before and after SGE")
    complexity = steps.add_parser(
        "complexity", parents=[scaled], help="count parameters and operations of full-size models"
    )
    complexity.add_argument(
        "model", nargs="?", metavar="MODEL", help="such as sk-resnet101 (default: all of the tables)"
    )
    complexity.add_argument("--backbone", action="store_true", help="of MODEL: without its last layer, as in detection")
    complexity.add_argument(
        "--input", nargs=2, type=int, metavar=("H", "W"), help="of MODEL: pixels (default: the paper's)"
    )
    complexity.add_argument("--json", action="store_true", help="of MODEL: exact numbers for programs")
    steps.add_parser("latency", parents=[scaled], help="time the full-size models on this machine")
    report = steps.add_parser("report", parents=[scaled], help="build the report from what is there")
    report.add_argument("--partial", action="store_true", help="missing results and failed runs are no error")
    released = steps.add_parser("import-checkpoint", help="convert a released checkpoint to safetensors")
    released.add_argument("source", metavar="SRC.pth.tar", help="file of torch.save; no code in it is ever run")
    released.add_argument("destination", metavar="DST.safetensors")
    released.add_argument("--model", required=True, help="such as sge-resnet50 or faster-rcnn/sge-resnet50, full-size")
    released.add_argument("--classes", help="a detector's, comma-separated in the order wanted (default: COCO's 80)")
    data = steps.add_parser("data", help="image folders into other forms")
    forms = data.add_subparsers(dest="form", required=True, metavar="FORM")
    pack = forms.add_parser("pack", help="SRC/{train,val}/<class>/ into one file a split")
    pack.add_argument("source", type=Path, metavar="SRC", help="image folder; it is only read")
    pack.add_argument("destination", type=Path, metavar="DST", help="new folder")
    pack.add_argument("--size", type=_side, help="bring to squares of so many pixels (default: the files' own bytes)")
    coco_eval = steps.add_parser("coco-eval", help="COCO's twelve numbers of any detections in its result format")
    coco_eval.add_argument("--annotations", type=Path, required=True, metavar="A.json", help="COCO's instances format")
    coco_eval.add_argument("--detections", type=Path, required=True, metavar="D.json", help="COCO's result format")
    coco_eval.add_argument("--iou-type", choices=["bbox", "segm"], default="bbox", help="boxes or masks")
    coco_eval.add_argument("--json", action="store_true", help="exact numbers for programs")
    steps.add_parser("doctor", help="what is installed, which device, what is missing for each scale")
    bench = steps.add_parser("bench", help="measure what SGE, a training step, loading and the pipeline cost in time")
    bench.add_argument("what", nargs="*", metavar="op|step|loader|pipeline", help="some of these (default: all)")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of 0 or more")
    return int(text)


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
