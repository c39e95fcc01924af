"""A scale that needs CUDA, on a machine without it."""

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
