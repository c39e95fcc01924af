"""Random sequences of what users do, compared with a model of what each of them must train and evaluate.

The model keeps, for each result that a step wrote, what it was made from. It knows a file by its content, so that
results that are restored, pulled or copied need no other bookkeeping. It asks `sgenet` nothing.
"""

import hashlib
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from support.checkout import Checkout
from support.stub import JOURNAL

PLAIN, MODULE, DETECTOR = "classification/resnet50", "classification/sge-resnet50", "detection/retinanet/sge-resnet50"
RUNS = {"classification": [PLAIN, MODULE], "detection": [DETECTOR]}
TABLES = {"classes": "classification", "boxes": "detection"}
SCALE, PIPELINE = "params/scales/smoke.yaml", "params/pipeline.yaml"
SOURCE, OTHER_SOURCE = "src/sgenet/attention/sge.py", "src/sgenet/classification/train.py"
AREAS = ([130, 250], [140, 250])
PARTS = [
    *(["--until", rule] for rule in ("train_classifier", "evaluate_classifier", "train_detector", "prepare_data")),
    *(["--omit-from", rule] for rule in ("report", "evaluate_detector", "train_detector")),
    *(["classify"], ["evaluate"], ["--batch", "report=1/2"]),
]

Step = tuple[str, str, int]  # train or evaluate, run, seed


def task_of(run: str) -> str:
    """Return the task of a run."""
    return run.partition("/")[0]


class Model:
    """What each result is made from, by present parameters, data and source; and what the present ones were made from.

    What something is made from is any value that is equal where the result must be.
    """

    def __init__(self) -> None:
        self.trained = dict.fromkeys((PLAIN, MODULE, DETECTOR), 0)
        self.clutter = {"classification": 0, "detection": 0}
        self.areas = self.threshold = self.confidence = self.module = self.comment = self.other_source = 0
        self.seeds = 1
        self.more_seeds: dict[str, int] = {}  # of single runs
        self.known: dict[str, set[str]] = {}  # digest of a record -> what it was made from
        self.folder = Path()

    def seeds_of(self, run: str) -> range:
        """Return the seeds of a run; the module's run has at least those of the detector, which starts from it."""
        runs = (run, DETECTOR) if run == MODULE else (run,)
        return range(max(self.seeds, *(self.more_seeds.get(one, 0) for one in runs)))

    def steps(self) -> Iterator[Step]:
        """Yield all trainings and evaluations."""
        for step, run in itertools.product(("train", "evaluate"), self.trained):
            yield from ((step, run, seed) for seed in self.seeds_of(run))

    def source(self, step: Step) -> str:
        """Return what a training or an evaluation is made from."""
        kind, run, seed = step
        task = task_of(run)
        what = [run, seed, self.trained[run], self.source_of(task)]
        if run != PLAIN:
            what.append(self.module)
        if run == DETECTOR:
            what.append(self.source(("train", MODULE, seed)))
        if kind == "evaluate":
            what.append(self.threshold if run == DETECTOR else 0)
        return json.dumps([kind, what])

    def source_of(self, name: str) -> str:
        """Return what data, counts, activations or the report are made from."""
        if name in RUNS:
            return json.dumps([name, self.clutter[name], self.areas if name == "detection" else 0])
        if name == "complexity":
            return json.dumps([name, self.module])
        if name == "activations":
            return json.dumps([name, [self.source(("train", MODULE, seed)) for seed in self.seeds_of(MODULE)]])
        everything = [*map(self.source, self.steps()), *map(self.source_of, (*RUNS, "complexity", "activations"))]
        return json.dumps([name, self.confidence, self.other_source, everything])

    def record(self, what: str | Step) -> Path:
        """Return the file by whose content a result is known."""
        results = self.folder / "results/smoke"
        if isinstance(what, str):
            return {
                "complexity": results / "complexity.json",
                "activations": results / "evaluation/activations.json",
                "report": self.folder / "reports/smoke/index.html",
            }.get(what, self.folder / f"data/smoke/{what}.json")
        kind, run, seed = what
        return results / f"{run}/seed-{seed}/training.json" if kind == "train" else self.metrics(run, seed)

    def metrics(self, run: str, seed: int) -> Path:
        """Return the file with an evaluation."""
        return self.folder / f"results/smoke/evaluation/{run}/seed-{seed}/metrics.json"

    def others(self, what: str | Step) -> list[Path]:
        """Return the other files without which a result is not whole."""
        folder = self.record(what).parent
        if isinstance(what, str):
            return [folder / f"{what}.png", folder / what] if what in RUNS else []
        if what[0] == "train":
            return [folder / "history.csv"]
        return [folder / "timing.json", folder / ("detections.json" if what[1] == DETECTOR else "predictions.npz")]

    def weights(self, run: str, seed: int) -> list[Path]:
        """Return the files of weights of a training."""
        folder = self.record(("train", run, seed)).parent
        return [folder / f"{name}.safetensors" for name in (["last"] if run == DETECTOR else ["best", "last"])]

    def note(self, what: str | Step) -> None:
        """Remember what a record that was just written was made from."""
        self.known.setdefault(self.digest(what), set()).add(self.wanted(what))

    def wanted(self, what: str | Step) -> str:
        """Return what any result is made from now."""
        return self.source_of(what) if isinstance(what, str) else self.source(what)

    def digest(self, what: str | Step) -> str:
        """Return the digest of a record's content."""
        return hashlib.sha256(self.record(what).read_bytes()).hexdigest()

    def current(self, what: str | Step) -> bool:
        """Return whether a result is there and is what is asked for."""
        if not all(path.exists() for path in (self.record(what), *self.others(what))):
            return False
        return self.wanted(what) in self.known.get(self.digest(what), set())

    def due(self, step: str | Step) -> bool:
        """Return whether a training, an evaluation or the activations are to be made."""
        if not self.current(step):
            return True
        if step == "activations":
            return any(self.due(("train", MODULE, seed)) for seed in self.seeds_of(MODULE))
        assert not isinstance(step, str)
        kind, run, seed = step
        if kind == "evaluate":
            return self.due(("train", run, seed))
        return not self.whole(run, seed) and any(map(self.needs_weights, self.users(step)))

    def needs_weights(self, user: str | Step) -> bool:
        """Return whether what is made from weights is to be made, for another reason than that these are made again."""
        return not self.current(user) or (user[0] == "train" and self.due(user))

    def users(self, step: Step) -> list[str | Step]:
        """Return what is made from the weights of a training."""
        _, run, seed = step
        more: list[str | Step] = (
            [("train", DETECTOR, seed)] if run == MODULE and seed in self.seeds_of(DETECTOR) else []
        )
        more += ["activations"] if run == MODULE and seed in self.seeds_of(MODULE) else []
        return [("evaluate", run, seed), *more]

    def whole(self, run: str, seed: int) -> bool:
        """Return whether the weights of a training are there."""
        return all(path.exists() for path in self.weights(run, seed))

    def all_due(self) -> set[Step]:
        """Return the trainings and evaluations that are to be made."""
        return {step for step in self.steps() if self.due(step)}


class Sequences(RuleBasedStateMachine):
    """A checkout, what happens to it, and the model."""

    start: Checkout  # copied for each sequence
    known: dict[str, set[str]]  # of that checkout
    place: Path  # where copies go
    count = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.model.known = {digest: set(sources) for digest, sources in self.known.items()}
        self.folder = self.place / str(next(self.count))
        self.use(self.folder / "0")
        shutil.copytree(self.start.folder, self.checkout.folder, symlinks=True)
        self.checkout("dvc", "remote", "add", "--quiet", "--default", "folder", str(self.folder / "remote"))

    def teardown(self) -> None:
        """Remove the checkouts."""
        shutil.rmtree(self.folder)

    def use(self, folder: Path) -> None:
        """Continue in another checkout."""
        self.checkout = Checkout(folder, self.start.binaries)
        self.model.folder = folder
        self.journal = prepare_environment(self.checkout, folder.with_suffix(".journal"))

    def ran(self) -> set[Step]:
        """Return what was trained and evaluated since the last call, and let the model know of it."""
        return read_journal(self.journal, self.model)

    def check_lock(self) -> None:
        """Check that DVC finds no stage up to date, with all that it depends on, in which a result is not current."""
        changed = json.loads(self.checkout("dvc", "status", "--json"))
        model, found = self.model, {}
        found["prepare"] = [task for task in RUNS if not model.current(task)]
        steps = list(model.steps())
        found["classify"] = [each for each in steps if each[0] == "train" and task_of(each[1]) == "classification"]
        found["detect"] = [each for each in steps if each[0] == "train" and task_of(each[1]) == "detection"]
        found["evaluate"] = [*(each for each in steps if each[0] == "evaluate"), "activations", "complexity"]
        found["report"] = ["report"]
        for (
            stage,
            results,
        ) in found.items():  # in their order: DVC looks at what follows a changed one when that has run
            if stage in changed:
                break
            stale = [each for each in results if not model.current(each)]
            assert not stale, f"DVC finds {stage} up to date, in spite of {stale}"

    def check_everything_current(self) -> None:
        """Check that all is made from what is asked for."""
        everything = [*RUNS, *self.model.steps(), "complexity", "activations", "report"]
        assert [each for each in everything if not self.model.current(each)] == []

    def check_dry_run(self) -> None:
        """Check that a dry run lists what is due and changes nothing.

        While data are to be prepared it lists all that is made from them, since they may turn out to be the same.
        """
        model, before = self.model, state(self.checkout.folder)
        output = self.checkout("snakemake", "--dry-run")
        listed = {(kind, run, int(seed)) for kind, run, seed in JOB.findall(output)}
        prepared = {task for task in RUNS if model.current(task)}
        seen = {"detection": prepared == set(RUNS), "classification": "classification" in prepared}
        due = model.all_due()
        assert due <= listed
        assert {step for step in listed - due if seen[task_of(step[1])]} == set()
        assert state(self.checkout.folder) == before
        assert self.ran() == set()

    # --- what is run ---

    @rule()
    def snakemake(self) -> None:
        """Everything, through Snakemake."""
        self.check_dry_run()
        due = self.model.all_due()
        self.checkout("snakemake")
        assert self.ran() == due
        self.check_everything_current()
        self.check_lock()
        self.checkout("dvc", "repro")
        assert self.ran() == set()

    @rule()
    def dvc_repro(self) -> None:
        """Everything, through DVC, which evaluates later than it trains."""
        due = self.model.all_due()
        stale = {step for step in due if not self.model.current(step)}
        self.checkout("dvc", "repro")
        assert stale <= self.ran() <= due
        self.check_everything_current()
        assert "Nothing to be done" in self.checkout("snakemake", "--dry-run")
        assert json.loads(self.checkout("dvc", "status", "--json")) == {}

    @rule()
    def dry_run(self) -> None:
        """A dry run alone."""
        self.check_dry_run()
        self.check_lock()

    @rule(options=st.sampled_from(PARTS))
    def snakemake_in_part(self, options: list[str]) -> None:
        """Not everything, through Snakemake."""
        due = self.model.all_due()
        self.checkout("snakemake", *options)
        assert self.ran() <= due
        self.check_lock()

    @rule(step=st.sampled_from(["train", "evaluate"]), run=st.sampled_from([PLAIN, MODULE, DETECTOR]))
    def by_hand(self, step: str, run: str) -> None:
        """One step, which refuses inputs that are not current."""
        model = self.model
        ready = model.current(task_of(run))
        if step == "evaluate":
            ready = ready and model.current(("train", run, 0)) and model.whole(run, 0)
        elif run == DETECTOR:
            ready = ready and model.current(("train", MODULE, 0)) and model.weights(MODULE, 0)[0].exists()
        self.checkout("sgenet", step, run, "--scale", "smoke", "--seed", "0", status=0 if ready else 2)
        assert self.ran() == ({(step, run, 0)} if ready else set())
        self.check_lock()

    # --- what is edited ---

    @rule(run=st.sampled_from([PLAIN, DETECTOR]), rate=st.integers(0, 2))
    def edit_rate(self, run: str, rate: int) -> None:
        """The learning rate of one run, in its row."""
        table = next(name for name, task in TABLES.items() if task == task_of(run))

        def change(value: dict) -> None:
            row = next(row for row in value["rows"] if f"{task_of(run)}/{row['run']}" == run)
            row["settings"] = {"optimizer": {"lr": rate / 1000}} if rate else {}

        self.checkout.edit(f"params/tables/{table}.yaml", change)
        self.model.trained[run] = rate
        self.check_lock()

    @rule(beta=st.integers(0, 2))
    def edit_start(self, beta: int) -> None:
        """A setting of the run that the detector starts from; rows of such runs have none of their own."""
        sge = {"beta": 1 + beta / 10}
        self.checkout.edit(SCALE, lambda value: value["classification"]["attention"].update(sge=sge))
        self.model.trained[MODULE] = beta
        self.check_lock()

    @rule(threshold=st.integers(0, 1))
    def edit_test(self, threshold: int) -> None:
        """A parameter of the detector's evaluation."""
        test = {"score_threshold": 0.05 + threshold / 100}
        self.checkout.edit(SCALE, lambda value: value["detection"].update(test=test))
        self.model.threshold = threshold
        self.check_lock()

    @rule(task=st.sampled_from(list(RUNS)), clutter=st.integers(0, 1))
    def edit_data(self, task: str, clutter: int) -> None:
        """A parameter of the images."""
        first = {"classification": 2, "detection": 4}[task]
        self.checkout.edit(SCALE, lambda value: value["data"][task].update(clutter=first + clutter))
        self.model.clutter[task] = clutter
        self.check_lock()

    @rule(areas=st.integers(0, 1))
    def edit_areas(self, areas: int) -> None:
        """A parameter of the data that decides no image: embedded data hold it, so that their detectors train again."""
        self.checkout.edit(SCALE, lambda value: value["data"]["detection"].update(area_limits=AREAS[areas]))
        self.model.areas = areas
        self.check_lock()

    @rule(confidence=st.integers(0, 1))
    def edit_report(self, confidence: int) -> None:
        """A parameter of the report."""
        self.checkout.edit(PIPELINE, lambda value: value["report"].update(confidence=0.95 - confidence / 20))
        self.model.confidence = confidence
        self.check_lock()

    @rule(seeds=st.integers(1, 2))
    def edit_seeds(self, seeds: int) -> None:
        """The number of seeds."""
        self.checkout.edit(PIPELINE, lambda value: value.update(seeds=seeds))
        self.model.seeds = seeds
        self.check_lock()

    @rule(run=st.sampled_from([PLAIN, DETECTOR]), seeds=st.integers(1, 2))
    def edit_seeds_of_a_run(self, run: str, seeds: int) -> None:
        """The number of seeds of one run, in the scale."""
        self.model.more_seeds[run] = seeds
        self.checkout.edit(SCALE, lambda value: value.update(seeds=dict(self.model.more_seeds)))
        self.check_lock()

    @rule(version=st.integers(0, 2), comment=st.integers(0, 1))
    def edit_module(self, version: int, comment: int) -> None:
        """The source of the attention module: its code, or only a comment."""
        more = f"VERSION = {version}\n" if version else ""
        self.write_source(SOURCE, more + "# a comment\n" * comment)
        self.model.module = version
        self.check_lock()

    @rule(version=st.integers(0, 2))
    def edit_other_source(self, version: int) -> None:
        """Source that is no attention module's, which retrains nothing."""
        self.write_source(OTHER_SOURCE, f"VERSION = {version}\n" if version else "")
        self.model.other_source = version

    def write_source(self, path: str, more: str) -> None:
        """Add lines to a file of source, in place of those added before."""
        (self.checkout.folder / path).write_text((self.start.folder / path).read_text() + more)

    # --- what is lost, restored and moved ---

    @rule(run=st.sampled_from([PLAIN, MODULE, DETECTOR]), which=st.sampled_from(["all", "best", "last"]))
    def remove_weights(self, run: str, which: str) -> None:
        """Weights of seed 0."""
        for path in self.model.weights(run, 0):
            if which in ("all", path.stem):
                path.unlink(missing_ok=True)
        self.check_lock()

    @rule(
        run=st.sampled_from([PLAIN, MODULE, DETECTOR]), name=st.sampled_from(["training", "history", "metrics", "data"])
    )
    def remove_result(self, run: str, name: str) -> None:
        """A result, or one file of it."""
        training = self.model.record(("train", run, 0))
        path = {
            "training": training,
            "history": training.with_name("history.csv"),
            "metrics": self.model.record(("evaluate", run, 0)),
            "data": self.model.record(task_of(run)),
        }[name]
        path.unlink(missing_ok=True)
        self.check_lock()

    @rule()
    def dvc_checkout(self) -> None:
        """What dvc.lock names comes back."""
        self.checkout("dvc", "checkout", "--force")
        self.check_lock()

    @rule()
    def copy(self) -> None:
        """A copy, whose files are all new, takes over."""
        folder = self.checkout.folder.with_name(str(int(self.checkout.folder.name) + 1))
        shutil.copytree(self.checkout.folder, folder, copy_function=shutil.copyfile, symlinks=True)
        self.use(folder)
        self.check_lock()

    @rule()
    def clone(self) -> None:
        """A clone that pulled takes over."""
        folder = self.checkout.folder.with_name(str(int(self.checkout.folder.name) + 1))
        commit(self.checkout)
        self.checkout("dvc", "push", "--quiet")
        subprocess.run(["git", "clone", "--quiet", self.checkout.folder, folder], check=True)
        self.use(folder)
        self.checkout("dvc", "pull", "--quiet")
        self.check_lock()


JOB = re.compile(r"^(?:Job \d+: )?(train|evaluate) (\S+/\S+), seed (\d+)$", re.MULTILINE)
STEP = re.compile(r"(train|evaluate) (\S+) --scale smoke --seed (\d+)")


def prepare_environment(checkout: Checkout, journal: Path) -> Path:
    """Let a checkout use its own source, and note its steps in a file."""
    checkout.environment |= {"PYTHONPATH": str(checkout.folder / "src"), JOURNAL: str(journal)}
    return journal


def read_journal(journal: Path, model: Model) -> set[Step]:
    """Return what was trained and evaluated, note in the model what was made, and empty the journal."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    journal.unlink(missing_ok=True)
    ran: list[Step] = []
    for line in lines:
        if found := STEP.fullmatch(line):
            ran.append((found[1], found[2], int(found[3])))
            model.note(ran[-1])
        else:
            step, _, rest = line.partition(" ")
            model.note(rest.partition(" ")[0] if step == "prepare" else step)
    assert len(ran) == len(set(ran)), f"made twice: {ran}"
    return set(ran)


def commit(checkout: Checkout) -> None:
    """Commit all of a checkout."""
    checkout("git", "add", "--all")
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    checkout("git", *who, "commit", "--quiet", "--allow-empty", "-m", "as it is")


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file that a dry run must leave alone."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    found = {path.relative_to(folder): path.stat() for path in files}
    of = {path: status for path, status in found.items() if path.parts[0] not in (".snakemake", ".git")}
    return {str(path): (status.st_size, status.st_mtime_ns) for path, status in of.items()}


@pytest.fixture(scope="module")
def machine(new_checkout, tmp_path_factory):
    """The state machine, with a replicated checkout to start from."""
    checkout, model = new_checkout(), Model()
    for name, task in TABLES.items():
        metric = {"classification": "top1", "detection": "ap"}[task]
        rows = [{"label": run, "run": run.partition("/")[2]} for run in RUNS[task]]
        columns = [{"id": metric, "label": metric, "unit": "%", "digits": 1}]
        table = {"title": name, "task": task, "columns": columns, "rows": rows}
        (checkout.folder / f"params/tables/{name}.yaml").write_text(yaml.safe_dump(table))
    checkout.edit(PIPELINE, lambda value: value.update(tables=list(TABLES)))
    model.folder = checkout.folder
    journal = prepare_environment(checkout, checkout.folder.with_suffix(".journal"))
    checkout("snakemake")
    assert read_journal(journal, model) == set(model.steps())
    commit(checkout)

    class Machine(Sequences):
        pass

    Machine.start, Machine.known, Machine.place = checkout, model.known, tmp_path_factory.mktemp("sequences")
    return Machine


def walk(machine, sequences, steps, **how):
    """Walk random sequences; one that fails is printed as it is."""
    limits = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shorter failing sequences would take hours to find
        suppress_health_check=list(HealthCheck),
        **how,
    )
    run_state_machine_as_test(machine, settings=limits)


@pytest.mark.slow
def test_one_task_is_listed_while_the_data_of_the_other_wait(machine):
    sequence = machine()
    sequence.edit_rate(run=PLAIN, rate=2)
    sequence.edit_areas(areas=1)
    sequence.check_dry_run()
    sequence.teardown()


@pytest.mark.slow
def test_each_step_of_a_sequence_makes_what_is_due_and_nothing_else(machine):
    walk(machine, 15, 4, derandomize=True)


@pytest.mark.soak
def test_each_step_of_many_sequences_makes_what_is_due_and_nothing_else(machine):
    walk(machine, 200, 6)
