"""Going further: what is missing, and what could come next, each with the commands for it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from sgenet.config import params, paths
from sgenet.config.replication import Replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.config.scales import Scale
from sgenet.config.tasks import TASKS
from sgenet.data.roots import variables
from sgenet.errors import InputError
from sgenet.evaluation.trainings import FEWEST_SEEDS
from sgenet.judgement.inputs import Missing, problem_of
from sgenet.judgement.results import Found
from sgenet.pipeline.workflow import command_line

LADDER = ("smoke", "demo", "subset", "paper")  # scales, each of which replicates more of the paper than those before


@dataclass(frozen=True)
class Step:
    """What to do, in sentences, and the commands that do it."""

    text: str
    commands: tuple[str, ...] = ()


def next_steps(replication: Replication, found: Found) -> Iterator[Step]:
    """Steps from the nearest to the farthest; none where everything was made at scale `paper` with enough seeds."""
    again = command_line(replication)
    if _problems(found):
        text = (
            "Some files cannot be used. Remove those that the section “Problems” names; this command then recomputes "
            "only them."
        )
        yield Step(text, (again,))
    if missing := list(_missing(replication, found)):
        text = f"Missing: {'; '.join(missing)}. This command computes what is missing, and keeps what is there."
        yield Step(text, (again,))
    if replication.seed_range[0] < FEWEST_SEEDS:
        yield Step(
            f"Train each row {FEWEST_SEEDS} times or more. Without intervals over trainings no gain is judged: "
            f"“seeds: {FEWEST_SEEDS}” in params/pipeline.yaml, or once as below. Only the new seeds are trained, "
            "and rows that have more keep them.",
            (command_line(replication, seeds=FEWEST_SEEDS),),
        )
    if rows := sum(len(table.left_out) for table in replication.tables):
        yield Step(f"Add the {rows} rows of these tables that were left out:", (command_line(replication, rows=[]),))
    if unchosen := [name for name in replication.left_out if name not in replication.pipeline.tables]:
        yield Step(
            f"Add the tables that were left out ({', '.join(unchosen)}): in params/pipeline.yaml, or once:",
            (command_line(replication, tables=[*replication.pipeline.tables, *unchosen]),),
        )
    yield from _larger_scales(replication)
    yield from _at_paper_scale(replication)


def _problems(found: Found) -> bool:
    of_runs = any(run.problem or problem_of(run.released) for run in found.runs.values())
    return bool(of_runs or problem_of(found.complexity) or problem_of(found.timing))


def _missing(replication: Replication, found: Found) -> Iterator[str]:
    """What a whole replication has and this one lacks, in words."""
    scale = replication.scale_name
    for task in replication.tasks:
        if not paths.manifest(scale, task).exists():
            yield f"the data for {task}"
    runs = found.runs.values()
    if lacking := sum(len(run.missing) for run in runs):
        failed = sum(len(run.failures) for run in runs)
        of_which = f", {failed} of which failed" if failed else ""
        yield f"results of {lacking} of {sum(replication.seed_counts.values())} trainings{of_which}"
    if found.complexity == Missing():
        yield "the counts of parameters and operations"
    if replication.timed and found.timing == Missing():
        yield "the latencies"
    if FIGURES_RUN in replication.runs and not paths.activations(scale).exists():
        yield "the measurements of figures 2 to 4"


def _larger_scales(replication: Replication) -> Iterator[Step]:
    here = replication.scale_name
    for scale in LADDER[LADDER.index(here) + 1 :] if here in LADDER else LADDER[-1:]:
        try:
            settings = params.load_scale(scale)
        except InputError:
            continue  # not there, or not usable: then no step leads to it
        places = [getattr(settings.data.of(task), "root", "") for task in TASKS]
        names = list(dict.fromkeys(name for place in places for name in variables(place)))
        yield Step(_of_scale(scale, settings, names), tuple(_commands(replication, scale, names)))


def _of_scale(scale: str, settings: Scale, names: list[str]) -> str:
    text = f"Scale {scale}: {settings.description}."
    if names:
        text += " Put the folders of your data in place of FOLDER; docs/data.md describes their layout."
    return f"{text} The plan estimates time and disk before anything is trained."


def _commands(replication: Replication, scale: str, names: list[str]) -> Iterator[str]:
    """The commands that lead to another scale; `names` are the environment variables with the folders of its data."""
    chosen, default = replication.pipeline, params.load_pipeline()
    own = [] if chosen.tables == default.tables else ["--tables", ",".join(chosen.tables)]
    own += [] if chosen.rows == default.rows else ["--rows", ",".join(chosen.rows)]
    if names:
        yield "export " + " ".join(f"{name}=FOLDER" for name in names)
    if names and scale != "paper":  # whose numbers of images are known
        yield command_line(replication, target="prepare", scale=scale)
    yield shlex.join(["sgenet", "plan", "--scale", scale, *own])
    yield command_line(replication, scale=scale)


def _at_paper_scale(replication: Replication) -> Iterator[Step]:
    if replication.scale_name != "paper":
        return
    if replication.scale.devices == 1:
        yield Step("Use eight GPUs for each training, as the authors did: “devices: 8” in params/scales/paper.yaml.")
    plain = [run.model for run in replication.runs.values() if run.detector is None and run.name == run.model]
    if lacking := [model for model in plain if not paths.released(model).is_file()]:
        model = lacking[-1]
        yield Step(
            "Evaluate weights that the authors released next to your own. None were imported yet for "
            f"{', '.join(lacking)}; for example, for {model}:",
            (
                f"sgenet import-checkpoint FILE.pth.tar {paths.released(model)} --model {model}",
                command_line(replication),
            ),
        )
