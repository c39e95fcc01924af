"""Names that a shell, Snakemake or HTML would take for commands of theirs: they stay text, or are refused."""

from pathlib import Path

import pytest

EVIL = "it's {x} {params.scale} $(touch ran) `touch ran`; touch ran & <b>"
FOLDER = EVIL.replace("{", "(").replace("}", ")")  # Snakemake knows no folder with braces
ROW = {"label": f'"{EVIL}"', "run": "a.b_c--1", "model": "resnet18"}
COLUMN = {"id": "top1", "label": EVIL, "digits": 1}


def make_hostile(checkout):
    """Give a checkout a folder of an evil name, the environment under such a name, and evil texts in params/."""
    above = checkout.folder.parent
    checkout.folder = checkout.folder.rename(above / FOLDER)
    (above / EVIL).symlink_to(checkout.binaries.parent)
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["evil"]))
    checkout.edit("params/scales/smoke.yaml", lambda value: value.update(description=EVIL))
    checkout.edit("params/claims.yaml", lambda value: value.update(claims=[]))
    for name in ("evil", "{x} not chosen"):
        (checkout.folder / f"params/tables/{name}.yaml").write_text("{}")
    table = {"title": EVIL, "task": "classification", "columns": [COLUMN], "rows": [ROW]}
    checkout.edit("params/tables/evil.yaml", lambda value: value.update(table))
    return checkout


@pytest.fixture(scope="module")
def hostile(new_checkout):
    """A hostile checkout, in which the stub makes up results."""
    checkout = make_hostile(new_checkout())
    yield checkout
    assert not list(checkout.folder.parent.glob("**/ran"))


def snakemake(checkout, *arguments, status=0):
    python = checkout.folder.parent / EVIL / "bin/python"
    return checkout(str(python), "-m", "snakemake", *arguments, status=status)


def check_replication(hostile):
    """A replication under evil names is as any other."""
    output = snakemake(hostile, "--printshellcmds", "report")
    assert "sgenet train classification/a.b_c--1 --scale smoke --seed 0" in output
    page = (hostile.folder / "reports/smoke/index.html").read_text()
    assert "$(touch ran)" in page and "<b>" not in page.replace("<body", "")
    assert (hostile.folder / "results/smoke/evaluation/classification/a.b_c--1/seed-0/metrics.json").exists()
    assert "Nothing to be done" in snakemake(hostile, "--dry-run", "report")


def test_a_replication_under_evil_names_is_as_any_other(hostile):
    check_replication(hostile)


@pytest.mark.slow
def test_a_real_training_under_evil_names_is_as_any_other(new_real_checkout):
    hostile = make_hostile(new_real_checkout())
    check_replication(hostile)
    assert not list(hostile.folder.parent.glob("**/ran"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--config", "tables=evil,$(touch ran)"), "tables.1: found '$(touch ran)', expected pattern"),
        (("results/smoke/classification/$(touch ran)/seed-0/training.json",), "No rule to produce"),
    ],
    ids=lambda value: value[-1][:20] if isinstance(value, tuple) else "",
)
def test_other_names_are_refused(hostile, arguments, told):
    output = snakemake(hostile, "--dry-run", *arguments, status=1)
    assert told in output and "Traceback" not in output
    assert not Path("ran").exists()


def test_a_folder_with_braces_is_refused(hostile):
    before = hostile.folder
    hostile.folder = before.rename(before.with_name("{x}"))
    output = snakemake(hostile, "--dry-run", status=1)
    hostile.folder = hostile.folder.rename(before)
    assert "found a brace in the folder's name, expected none" in output and "Traceback" not in output
