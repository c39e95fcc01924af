"""Equal runs leave equal files: whatever the cores, the order of jobs, the working folder and the environment."""

import pytest

ELSEWHERE = {
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
    "PYTHONHASHSEED": "12345",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "OMP_DYNAMIC": "true",
}
FIRST = "results/smoke/evaluation/classification/resnet50/seed-0/metrics.json"  # before any scene is drawn
TABLES = ["ablation-init", "ablation-groups", "coco-retinanet", "coco-two-stage", "imagenet"]  # from the end


@pytest.mark.slow
def test_cores_order_place_and_environment_change_no_byte(really_undisturbed, new_real_checkout):
    other = new_real_checkout()
    other.choose_one_detector()
    other.environment |= ELSEWHERE
    other("env", "SGENET_WARM=", "snakemake", "--cores", "1", FIRST)  # each step by itself, no fork
    other("snakemake", "--cores", "1")
    other.same_results(really_undisturbed.folder, other.folder)


@pytest.mark.soak
def test_two_whole_replications_are_the_same(new_real_checkout):
    first, second = new_real_checkout(), new_real_checkout()
    first("snakemake", "--cores", "2")
    assert len(list((first.folder / "results/smoke/evaluation").rglob("seed-0/metrics.json"))) == 42
    second.environment |= ELSEWHERE
    for table in TABLES:
        second("snakemake", "--cores", "1", "--config", f"tables={table}")
    second("dvc", "repro")
    first.same_results(first.folder, second.folder)
