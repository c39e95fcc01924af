"""What a change reruns, through both entry points: Snakemake and DVC do the same and leave the same state."""

import json
import re
import shlex
import shutil

import pytest

from sgenet.data.packed import PackedImages

RUNS = {"classification": 9, "detection": 10}  # of the chosen rows


@pytest.fixture(scope="module")
def checkout(new_checkout):
    made = new_checkout()
    made.choose_rows()
    return made


def test_bad_parameters_stop_snakemake_before_anything_runs(checkout):
    output = checkout("snakemake", "--config", "scale=dmo", status=1)
    assert "scale: found 'dmo', no such file in params/scales/; did you mean demo?" in output
    assert "Traceback" not in output
    assert "unknown key sclae" in checkout("snakemake", "--config", "sclae=smoke", status=1)
    assert not (checkout.folder / "results").exists()


def test_dvc_makes_everything_and_leaves_snakemake_nothing(checkout):
    checkout("dvc", "repro")
    checkout.check_complete(RUNS)
    checkout.nothing_to_do()


def test_metrics_and_plots_of_dvc(checkout):
    shown = json.loads(checkout("dvc", "metrics", "show", "--json"))
    assert 0 <= shown[""]["data"]["reports/smoke/metrics.json"]["data"]["imagenet"]["resnet50"]["top1"] <= 100
    checkout("dvc", "plots", "show")
    page = (checkout.folder / "dvc_plots/index.html").read_text()
    assert "sge-resnet50" in page and "Top-1 of each run by epoch" in page


def test_a_parameter_of_one_detector_retrains_it_alone_through_snakemake(checkout):
    weights = checkout.folder / "results/smoke/classification/resnet50/seed-0/best.safetensors"
    before = weights.stat().st_mtime_ns

    def change(scale):
        scale["detection"]["detectors"]["retinanet"]["optimizer"].update(weight_decay=0.04)

    checkout.edit("params/scales/smoke.yaml", change)
    jobs = checkout.jobs(checkout("snakemake"))
    assert jobs == {"train_detector": 4, "evaluate_detector": 4, "report": 1, "all": 1, "total": 10}
    assert weights.stat().st_mtime_ns == before
    checkout.nothing_to_do()


def test_a_parameter_of_the_test_trains_nothing(checkout):
    test = {"score_threshold": 0.06}
    checkout.edit("params/scales/smoke.yaml", lambda value: value["detection"].update(test=test))
    jobs = checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))
    assert jobs == {"evaluate_detector": 10, "report": 1, "all": 1, "total": 12}
    checkout.edit("params/scales/smoke.yaml", lambda value: value["detection"].pop("test"))
    assert "Nothing to be done" in checkout("snakemake", "--dry-run")


def test_a_report_parameter_trains_nothing_through_dvc(checkout):
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    output = checkout("dvc", "repro")
    assert re.findall(r"Running stage '(\w+)'", output) == ["report"]
    assert checkout.jobs(output) == {"report": 1, "all": 1, "total": 2}
    checkout.nothing_to_do()


def test_fewer_tables_and_more_seeds_of_one_invocation_reach_every_step(checkout):
    checkout("snakemake", "--config", "tables=ablation-normalization", "seeds=2")
    comparison = json.loads((checkout.folder / "reports/smoke/comparison.json").read_text())
    assert [table["id"] for table in comparison["tables"]] == ["ablation-normalization"]
    assert all(row["cells"]["top1"]["reproduced"]["n"] == 2 for row in comparison["tables"][0]["rows"])
    jobs = checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))
    assert jobs == {"report": 1, "complexity": 1, "activations": 1, "all": 1, "total": 4}  # of what is asked for now


def test_own_data_are_trained_on_again_when_they_change_and_not_when_they_move(checkout, tmp_path):
    """Images in class folders and COCO-format data, made of the embedded ones; one detector and its classifier."""
    own = tmp_path / "own"
    for split in ("train", "val"):
        images = PackedImages(checkout.folder / "data/smoke/classification", split)
        for number, (image, label) in enumerate(images):
            folder = own / split / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.png")
    shutil.copytree(checkout.folder / "data/smoke/detection", own / "scenes")
    places = {split: {"annotations": f"annotations/{split}.json", "images": split} for split in ("train", "val")}
    data = {
        "classification": {"source": "folder", "root": "${SGENET_OWN}"},
        "detection": {"source": "coco", "root": "${SGENET_OWN}/scenes", "area_limits": [130, 250], **places},
    }
    checkout.edit("params/scales/smoke.yaml", lambda value: value.update(data=data))
    shutil.copy(checkout.folder / "params/tables/coco-retinanet.yaml", checkout.folder / "params/tables/own.yaml")
    checkout.edit("params/tables/own.yaml", lambda value: value.update(rows=value["rows"][:1]))
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["own"]))
    checkout.environment["SGENET_OWN"] = str(own)
    checkout("snakemake")
    made = checkout.folder / "reports/smoke/comparison.json"
    (row,) = json.loads(made.read_text())["tables"][0]["rows"]
    assert row["cells"]["ap"]["reproduced"]
    checkout("sgenet", "prepare", "classification")
    own.rename(tmp_path / "moved")
    checkout.environment["SGENET_OWN"] = str(tmp_path / "moved")
    checkout("sgenet", "prepare", "detection")
    checkout.nothing_to_do()
    next((tmp_path / "moved/train/one").glob("*.png")).unlink()
    checkout("sgenet", "prepare", "classification")
    assert checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules"))["train_classifier"] == 1
    assert "changed deps" in checkout("dvc", "status")


def test_without_dvc_git_stays_clean_and_the_first_dvc_repro_makes_nothing_again(new_checkout, replicated):
    checkout = new_checkout(replicated)
    shutil.rmtree(checkout.folder / ".dvc/cache")
    (checkout.folder / "dvc.lock").unlink()
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    checkout("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--quiet", "--all", "-m", "no DVC")
    assert checkout.jobs(checkout("snakemake")) == {"report": 1, "all": 1, "total": 2}
    assert checkout("git", "status", "--porcelain") == ""
    assert not (checkout.folder / ".dvc/cache").exists()
    output = checkout("dvc", "repro")
    assert output.count("Running stage") == 5
    assert checkout.jobs(output).keys() <= {"detect", "total"}  # a target without files, where no table has a detector
    checkout.nothing_to_do()


def test_forcing_dvc_trains_nothing_and_forcing_snakemake_does(new_checkout, replicated):
    """As docs/running.md says, with its commands."""
    checkout = new_checkout(replicated)
    page = (checkout.folder / "docs/running.md").read_text().replace("/demo/", "/smoke/")
    of_rule, of_run, of_all = (
        command.split() for command in re.findall(r"^(snakemake --force\w+.*?)(?: +#.*)?$", page, re.M)
    )
    folder = checkout.folder / "results/smoke/classification"
    trained = [folder / run / "seed-0/training.json" for run in ("sge-resnet50", "sge-resnet50-no-norm")]
    before = [path.stat().st_mtime_ns for path in trained]
    assert checkout("dvc", "repro", "--force").count("Running stage") == 5
    assert [path.stat().st_mtime_ns for path in trained] == before
    assert checkout.jobs(checkout(*of_rule, "--dry-run"))["train_classifier"] == 2
    assert "prepare_data" in checkout.jobs(checkout(*of_all, "--dry-run"))
    jobs = checkout.jobs(checkout(*of_run))
    assert jobs["train_classifier"] == jobs["evaluate_classifier"] == 1
    assert trained[0].stat().st_mtime_ns > before[0] and trained[1].stat().st_mtime_ns == before[1]
    assert "up to date" in checkout("dvc", "status")


def test_outside_git_snakemake_works_and_dvc_after_its_configuration(new_checkout, replicated):
    """In a copy of the files without git's; docs/dvc.md has the command that configures DVC."""
    checkout = new_checkout(replicated)
    shutil.rmtree(checkout.folder / ".git")
    checkout.environment["GIT_CEILING_DIRECTORIES"] = str(checkout.folder.parent)
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    output = checkout("snakemake")
    assert checkout.jobs(output) == {"report": 1, "all": 1, "total": 2}
    assert not re.search("error|fatal|warning|not a git repository|dvc", output, re.IGNORECASE)
    assert "is not a git repository" in checkout("dvc", "repro", status=255)
    (command,) = re.findall(r"^dvc config .*no_scm.*$", (checkout.folder / "docs/dvc.md").read_text(), re.M)
    checkout(*command.split())
    assert re.findall(r"Running stage '(\w+)'", checkout("dvc", "repro")) == ["report"]
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.8))
    checkout("snakemake")
    assert "up to date" in checkout("dvc", "status")


RUN = "classification/sge-resnet50-no-norm"  # whose learning rate changes


def change_rate(checkout, rate):
    """Change the learning rate of the second of two runs."""
    path = "params/tables/ablation-normalization.yaml"
    checkout.edit(path, lambda value: value["rows"][1]["settings"].update(optimizer={"lr": rate}))


def rates(checkout, scale="smoke"):
    """The learning rates that the training and the evaluation of that run were made with."""
    results = checkout.folder / "results" / scale
    trained = json.loads((results / RUN / "seed-0/training.json").read_text())
    evaluated = json.loads((results / "evaluation" / RUN / "seed-0/metrics.json").read_text())["origin"]["train"]
    return [record["settings"]["optimizer"]["lr"] for record in (trained, evaluated)]


def to_make(checkout, *options):
    """Jobs of a dry run, by rule, without targets."""
    jobs = checkout.jobs(checkout("snakemake", "--dry-run", "--quiet", "rules", *options))
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}


OF_ONE_RUN = {"train_classifier": 1, "evaluate_classifier": 1, "report": 1}
PARTS = [
    *(["--omit-from", rule] for rule in ("report", "evaluate_classifier", "train_classifier")),
    *(["--until", "train_classifier"], ["--batch", "report=1/2"]),
]


def test_until_that_leaves_missing_results_names_the_target(new_checkout, replicated):
    checkout = new_checkout(replicated)
    for folder in ("data", "results"):
        shutil.rmtree(checkout.folder / folder)
    trained = checkout.folder / "results/smoke" / RUN / "seed-0/training.json"
    left = "--until: not everything is made, expected the target: snakemake classify"
    assert left in checkout("snakemake", "--until", "train_classifier") and not trained.exists()
    assert "--until" not in checkout("snakemake", "classify") and trained.exists()
    assert left not in checkout("snakemake", "--until", "train_classifier")


@pytest.mark.parametrize("options", PARTS, ids=" ".join)
def test_a_workflow_that_runs_in_part_ties_no_old_result_to_new_parameters(new_checkout, replicated, options):
    checkout = new_checkout(replicated)
    change_rate(checkout, 0.02)
    checkout("snakemake", *options)
    changed, trained = json.loads(checkout("dvc", "status", "--json")), rates(checkout)
    assert "report" in changed
    assert "evaluate" in changed or trained == [0.02, 0.02]
    assert "classify" in changed or trained[0] == 0.02
    checkout("dvc", "repro")
    assert rates(checkout) == [0.02, 0.02]
    checkout.nothing_to_do()


def test_a_dry_run_leaves_dvc_lock_as_it_is(new_checkout, replicated):
    checkout = new_checkout(replicated)
    change_rate(checkout, 0.02)
    lock = (checkout.folder / "dvc.lock").read_bytes()
    for options in ([], ["--rerun-triggers", "mtime"]):
        assert to_make(checkout, *options) == OF_ONE_RUN
        assert (checkout.folder / "dvc.lock").read_bytes() == lock
    checkout("dvc", "repro")
    assert rates(checkout) == [0.02, 0.02]


def test_two_scales_in_turn(new_checkout, replicated):
    checkout = new_checkout(replicated)
    shutil.copy(checkout.folder / "params/scales/smoke.yaml", checkout.folder / "params/scales/other.yaml")
    checkout.edit("params/scales/other.yaml", lambda value: value["classification"].update(epochs=1))

    def choose(scale):
        checkout.edit("params/pipeline.yaml", lambda value: value.update(scale=scale))

    choose("other")
    assert checkout("snakemake").count("train classification/") == 2
    checkout.nothing_to_do()
    choose("smoke")
    assert to_make(checkout) == {}
    checkout("snakemake")
    checkout.nothing_to_do()
    change_rate(checkout, 0.02)
    checkout("dvc", "repro")
    assert rates(checkout) == [0.02, 0.02] and rates(checkout, "other") != [0.02, 0.02]
    choose("other")
    assert to_make(checkout) == OF_ONE_RUN
    checkout("dvc", "repro")
    assert rates(checkout, "other") == [0.02, 0.02]
    checkout.nothing_to_do()


def test_a_parameter_that_decides_no_result_is_in_the_report_of_both_entry_points(new_checkout, replicated):
    checkout = new_checkout(replicated)
    checkout.edit("params/scales/smoke.yaml", lambda value: value["classification"].update(drop_last=True))  # as before
    assert to_make(checkout) == {"report": 1}
    assert checkout.jobs(checkout("dvc", "repro"))["report"] == 1
    checkout.nothing_to_do()


def test_more_seeds_and_fewer_again(new_checkout, replicated):
    checkout = new_checkout(replicated)
    for entry, seeds, trained in (("snakemake", 2, 2), ("dvc repro", 1, 0), ("snakemake", 2, 0)):
        checkout.edit("params/pipeline.yaml", lambda value, seeds=seeds: value.update(seeds=seeds))
        assert to_make(checkout).get("train_classifier", 0) == trained
        assert checkout(*entry.split()).count("train classification/") == trained
        checkout.nothing_to_do()


@pytest.mark.parametrize("entry", ["snakemake", "dvc repro"])
def test_a_run_that_was_trained_by_hand_is_trained_again_when_its_rate_changes(new_checkout, replicated, entry):
    checkout = new_checkout(replicated)
    checkout("sgenet", "train", RUN)
    checkout("snakemake")
    change_rate(checkout, 0.02)
    assert to_make(checkout) == OF_ONE_RUN
    checkout(*entry.split())
    assert rates(checkout) == [0.02, 0.02]
    checkout.nothing_to_do()


def test_the_report_names_results_by_hand_that_are_outdated_and_a_command_that_updates_them(new_checkout, replicated):
    checkout = new_checkout(replicated)
    checkout("sgenet", "train", RUN)
    checkout("sgenet", "evaluate", RUN)
    change_rate(checkout, 0.02)
    output = checkout("sgenet", "report", "--partial", status=1)
    (command,) = set(re.findall(r"lr 0.005, now 0.02; `([^`]+)` makes it again", output))
    checkout(*shlex.split(command))
    assert rates(checkout) == [0.02, 0.02]
    checkout("sgenet", "report")
    checkout("dvc", "repro")
    checkout.nothing_to_do()


def test_an_attention_module_that_is_edited_retrains_its_rows_alone(new_checkout, replicated):
    checkout = new_checkout(replicated)
    checkout.environment["PYTHONPATH"] = str(checkout.folder / "src")
    table = "params/tables/ablation-normalization.yaml"
    checkout.edit(table, lambda value: value["rows"].append({"label": "without attention", "run": "resnet50"}))
    assert checkout.jobs(checkout("snakemake"))["train_classifier"] == 1

    def add(file, line):
        with open(checkout.folder / "src/sgenet" / file, "a") as source:
            source.write(f"\n{line}\n")

    add("attention/sge.py", "# a comment")
    add("attention/se.py", "VERSION = 2")
    assert to_make(checkout) == {}
    add("classification/train.py", "VERSION = 2")
    assert to_make(checkout) == {"report": 1}
    add("attention/sge.py", "VERSION = 2")
    own = {"train_classifier": 2, "evaluate_classifier": 2, "activations": 1, "complexity": 1, "report": 1}
    assert to_make(checkout) == own
    output = checkout("dvc", "repro")
    assert set(re.findall(r"train classification/(\S+), seed 0", output)) == {"sge-resnet50", "sge-resnet50-no-norm"}
    checkout.nothing_to_do()


def test_results_of_version_0_1_are_accepted(new_checkout, undisturbed):
    checkout = new_checkout(undisturbed)

    def without_identity(value):
        if isinstance(value, list):
            return [without_identity(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {key: without_identity(each) for key, each in value.items() if key != "identity"}

    for folder in ("data/smoke", "results/smoke"):
        for path in (checkout.folder / folder).rglob("*.json"):
            value = json.loads(path.read_text())
            if path.name == "training.json":  # which did not state its classes
                value = {key: each for key, each in value.items() if key not in ("classes", "category_ids")}
            path.write_text(json.dumps(value["models"] if path.name == "complexity.json" else without_identity(value)))
    assert to_make(checkout).keys() <= {"complexity", "report"}
    output = checkout("dvc", "repro")
    assert "train classification" not in output and "train detection" not in output
    checkout.nothing_to_do()


def test_everything_is_forced_in_the_order_of_what_it_is_made_from(new_checkout, undisturbed):
    """A detector waits for the classifier that it starts from, although both are up to date."""
    checkout = new_checkout(undisturbed)
    output = checkout("snakemake", "--forceall")
    finished = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output)
    assert {"prepare_data", "complexity", "train_detector", "evaluate_classifier", "report"} <= set(finished)
    assert output.index("(Rule: train_classifier)") < output.index(": train detection/")
    checkout.nothing_to_do()
