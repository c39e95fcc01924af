"""The `sgenet` command: its arguments, with one sub-command per step, and its exit status."""

import argparse
import contextlib
import logging
import os
import sys
import warnings
from functools import partial
from pathlib import Path

from sgenet import commands, errors
from sgenet.config.tasks import TASKS
from sgenet.errors import InputError
from sgenet.runtime import fork_server, packages, signals, user

_FORKED = ("train", "evaluate", "activations", "complexity", "latency")  # steps that import torch


def main(arguments: list[str] | None = None) -> int:
    """Run `sgenet`; returns the exit status: 0 done, 1 done with problems, 2 bad input or a system error."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [fork_server.SERVE]:
        from sgenet.pipeline.preload import preload

        fork_server.serve(Path(arguments[1]), main, preload)
        return 0
    options = _parser().parse_args(arguments)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # from mmengine, not relevant to users
    for name in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"):  # with fewer threads than expected, torch waits forever
        os.environ.pop(name, None)
    user.stand_in()
    signals.stop_on_signals()
    signals.end_with_workflow()
    logging.raiseExceptions = False  # no traceback if a library cannot write its log to a full disk
    try:
        status = fork_server.run(arguments) if options.step in _FORKED else None
        if status is None:
            status = options.function(options) or 0  # the steps that return none report no problems
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _end("interrupted; the same command continues", 130)
    except InputError as error:
        return _end(errors.message(error), 2)
    except Exception as error:
        if missing := packages.explain(error, options.step):
            return _end(missing, 2, prefix="")
        from sgenet.complexity.failures import explain_module

        if (known := errors.explain(error) or explain_module(error)) is None:
            raise
        return _end(known, 2)


def _end(sentence: str, status: int, prefix: str = "sgenet: ") -> int:
    """Print why the step ends, if the output can be written; returns the status."""
    with contextlib.suppress(OSError):
        print(f"{prefix}{sentence}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # Python would flush again at exit, and print a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sgenet", description="Steps of the SGE replication (arXiv 1905.09646).")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    scaled = argparse.ArgumentParser(add_help=False)
    scaled.add_argument("--scale", help="a file in params/scales/ (default: as in params/pipeline.yaml)")
    of_run = argparse.ArgumentParser(add_help=False, parents=[scaled])
    of_run.add_argument("run", help="such as classification/sge-resnet50 or detection/retinanet/sge-resnet50")
    of_run.add_argument("--seed", type=_whole, default=0)
    of_run.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="change a setting, such as optimizer.lr=0.01, for a try with results of its own; may be repeated",
    )
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--tables", metavar="A,B", help="files in params/tables/ (default: as in params/pipeline.yaml)")
    chosen.add_argument("--rows", metavar="A,B", default=argparse.SUPPRESS, help="labels of rows of these tables")
    plan = steps.add_parser("plan", parents=[scaled, chosen], help="estimate the cost of a replication")
    plan.set_defaults(function=commands.plan)
    plan.add_argument("--json", action="store_true", help="print JSON")
    published = steps.add_parser("published", help="print the published values of the tables")
    published.set_defaults(function=commands.published)
    published.add_argument("--tables", metavar="A,B", help="files in params/tables/ (default: all)")
    published.add_argument("--missing", action="store_true", help="print the cells without a published value instead")
    status = steps.add_parser("status", parents=[scaled, chosen], help="print what is done, stale, missing or running")
    status.set_defaults(function=commands.status)
    status.add_argument("--json", action="store_true", help="print JSON")
    prune = steps.add_parser(
        "prune", parents=[scaled], help="list what the present parameters do not use, or remove it"
    )
    prune.set_defaults(function=commands.prune)
    prune.add_argument("--yes", action="store_true", help="remove it")
    prepare = steps.add_parser("prepare", parents=[scaled], help="prepare and check the data of a task")
    prepare.set_defaults(function=commands.prepare)
    prepare.add_argument("task", choices=[task.value for task in TASKS])
    train = steps.add_parser("train", parents=[of_run], help="train a run; continues an interrupted training")
    train.set_defaults(function=commands.train)
    evaluate = steps.add_parser("evaluate", parents=[of_run], help="evaluate a trained run")
    evaluate.set_defaults(function=commands.evaluate)
    evaluate.add_argument("--released", action="store_true", help="use the weights in data/released/")
    activations = steps.add_parser(
        "activations", parents=[scaled], help="measure the activations of figures 2 to 4, before and after SGE"
    )
    activations.set_defaults(function=commands.activations)
    complexity = steps.add_parser(
        "complexity", parents=[scaled], help="count parameters and operations of full-size models"
    )
    complexity.set_defaults(function=commands.complexity)
    complexity.add_argument(
        "model", nargs="?", metavar="MODEL", help="such as sk-resnet101 (default: all models in the tables)"
    )
    complexity.add_argument("--backbone", action="store_true", help="with MODEL: omit its last layer, as in detection")
    complexity.add_argument(
        "--input", nargs=2, type=int, metavar=("H", "W"), help="with MODEL: size in pixels (default: the paper's)"
    )
    complexity.add_argument("--json", action="store_true", help="with MODEL: print JSON with exact numbers")
    latency = steps.add_parser("latency", parents=[scaled], help="time the full-size models on this machine")
    latency.set_defaults(function=commands.latency)
    report = steps.add_parser("report", parents=[scaled], help="build the report from the available results")
    report.set_defaults(function=commands.report)
    report.add_argument("--partial", action="store_true", help="missing results and failed runs are not an error")
    compare = steps.add_parser("compare", help="write one page that compares replications")
    compare.set_defaults(function=commands.compare)
    compare.add_argument(
        "replications",
        nargs="+",
        metavar="REPLICATION",
        help="a comparison.json, the folder of a report, an archive, a scale, or REVISION[:SCALE] of git or DVC",
    )
    compare.add_argument("--out", type=Path, metavar="DIR", help="folder of the page (reports/compare/<names>)")
    verify = steps.add_parser("verify", parents=[scaled], help="derive a report again from the raw results")
    verify.set_defaults(function=commands.verify)
    verify.add_argument(
        "place",
        nargs="?",
        type=Path,
        metavar="REPLICATION",
        help="folder of a report, an archive, or its unpacked folder (default: reports/SCALE)",
    )
    verify.add_argument(
        "--evaluate",
        type=partial(_whole, least=1),
        default=0,
        metavar="N",
        help="evaluate N random images of each training again, where its weights and the data are here",
    )
    archive = steps.add_parser("archive", parents=[scaled], help="write a finished replication to one file")
    archive.set_defaults(function=commands.archive)
    archive.add_argument("out", type=Path, metavar="OUT.zip", help="an existing file is replaced")
    archive.add_argument("--weights", action="store_true", help="add the weights, each with a model card")
    archive.add_argument("--identifying", action="store_true", help="keep host names, device UUIDs and local paths")
    publish = steps.add_parser("publish", help="write a static site of published replications")
    publish.set_defaults(function=commands.publish)
    publish.add_argument(
        "replications", nargs="*", metavar="REPLICATION", type=Path, help="more folders of reports, or archives"
    )
    publish.add_argument("--to", type=Path, metavar="DIR", required=True, help="folder of the site, which is replaced")
    predict = steps.add_parser("predict", help="classes, or detections with pictures, of your own images")
    predict.set_defaults(function=commands.predict)
    predict.add_argument("weights", type=Path, metavar="WEIGHTS", help="best or last.safetensors of a training")
    predict.add_argument("folder", type=Path, metavar="FOLDER", help="of images, also in subfolders")
    predict.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("predictions"), help="new folder (predictions)"
    )
    predict.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    released = steps.add_parser("import-checkpoint", help="convert a released checkpoint to safetensors")
    released.set_defaults(function=commands.import_checkpoint)
    released.add_argument("source", metavar="SRC.pth.tar", help="file of torch.save; no code in it is executed")
    released.add_argument("destination", metavar="DST.safetensors")
    released.add_argument("--model", required=True, help="such as sge-resnet50 or faster-rcnn/sge-resnet50, full-size")
    released.add_argument("--classes", help="of a detector, comma-separated, in the desired order (default: COCO's 80)")
    data = steps.add_parser("data", help="convert image folders")
    forms = data.add_subparsers(dest="form", required=True, metavar="FORM")
    pack = forms.add_parser("pack", help="pack SRC/{train,val}/<class>/ into one file per split")
    pack.set_defaults(function=commands.pack)
    pack.add_argument("source", type=Path, metavar="SRC", help="image folder; it is not changed")
    pack.add_argument("destination", type=Path, metavar="DST", help="new folder")
    pack.add_argument(
        "--size",
        type=partial(_whole, least=1),
        help="resize to squares of this side in pixels (default: keep the files)",
    )
    coco_eval = steps.add_parser("coco-eval", help="COCO's twelve metrics of detections in its result format")
    coco_eval.set_defaults(function=commands.coco_eval)
    coco_eval.add_argument("--annotations", type=Path, required=True, metavar="A.json", help="COCO's instances format")
    coco_eval.add_argument("--detections", type=Path, required=True, metavar="D.json", help="COCO's result format")
    coco_eval.add_argument("--iou-type", choices=["bbox", "segm"], default="bbox", help="boxes or masks")
    coco_eval.add_argument("--json", action="store_true", help="print JSON with exact numbers")
    check_module = steps.add_parser("check-module", help="check an attention module before it is trained")
    check_module.set_defaults(function=commands.check_module)
    check_module.add_argument("name", metavar="NAME", help="of its file in src/sgenet/attention, such as sge")
    check_module.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    doctor = steps.add_parser("doctor", help="print installed packages, devices, and what is missing for each scale")
    doctor.set_defaults(function=commands.doctor)
    return parser


class _Version(argparse.Action):
    """Print the version of the installed package, whose metadata are read only for this option."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"sgenet {version('sgenet')}")
        parser.exit()


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, {least} or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
