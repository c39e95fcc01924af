"""What jobs need and this machine does not have is reported before any job: a GPU, folders of data."""

from support.stub import JOURNAL

SENTENCE = "params/scales/smoke.yaml: device: found cuda in the scale, and no CUDA device on this machine"


def test_a_scale_that_needs_cuda_is_refused_before_any_job(new_checkout, replicated):
    checkout = new_checkout(replicated)
    journal = checkout.folder.with_suffix(".journal")
    checkout.environment |= {"CUDA_VISIBLE_DEVICES": "", JOURNAL: str(journal)}
    checkout.edit("params/scales/smoke.yaml", lambda value: value.update(device="cuda"))
    checkout.edit("params/pipeline.yaml", lambda value: value["report"].update(confidence=0.9))
    output = checkout("snakemake")  # results of another machine: only the report is built
    assert checkout.jobs(output)["total"] == 2 and SENTENCE not in output
    checkout.edit("params/pipeline.yaml", lambda value: value.update(seeds=2))
    journal.unlink()
    output = checkout("snakemake", status=1)
    assert SENTENCE in output and "Traceback" not in output
    output = checkout("snakemake", "--dry-run")
    assert f"warning: {SENTENCE}" in output and checkout.jobs(output)["train_classifier"] == 2
    assert SENTENCE.partition(": ")[2] in checkout("sgenet", "doctor")
    assert not journal.exists() or "train" not in journal.read_text()
    assert SENTENCE not in checkout("snakemake", "prepare", "--forcerun", "prepare_data")
    assert "prepare classification" in journal.read_text()


def test_data_are_needed_only_of_tasks_that_train(new_checkout):
    checkout = new_checkout()
    checkout.environment.pop("SGENET_IMAGES", None)

    def change(scale):
        images = {"source": "folder", "root": "${SGENET_IMAGES}", "train": "train", "val": "val", "defects": "strict"}
        scale["data"]["classification"] = images
        scale["detection"]["starts_from"] = "scratch"

    checkout.edit("params/scales/smoke.yaml", change)
    sentence = "params/scales/smoke.yaml: data.classification.root: environment variable SGENET_IMAGES is not set"
    for options, status in ((["--dry-run"], 0), ([], 1)):
        assert sentence in checkout("snakemake", "--config", "tables=imagenet", *options, status=status)
    assert not (checkout.folder / "data/smoke").exists()
    rows = ["tables=coco-retinanet", "rows=RetinaNet ResNet50"]
    jobs = checkout.jobs(checkout("snakemake", "--config", *rows))
    assert jobs["train_detector"] == jobs["evaluate_detector"] == 1 and "train_classifier" not in jobs
    assert not (checkout.folder / "data/smoke/classification.json").exists()
    assert "Nothing to be done" in checkout("snakemake", "--config", *rows)
