"""Commands that the report, errors and docs print work as printed, in a fresh shell; here with the stub of `sgenet`.

Those in UNTRIED need a user's data or files, own module, several GPUs, a network or no git, or have their own tests.
"""

import html
import re
import subprocess

import pytest

from support.checkout import ROOT

COMMAND = re.compile(r"^(?:SGENET_TABLES=\S+ )?(?:SGENET_ROWS='[^']*' )?(?:snakemake|sgenet|dvc) ")
UNTRIED = re.compile(
    r"FOLDER|FILE|DOWNLOADED|scale[ =](?:paper|subset)|SRC|\.json |gpu=2|sgenet plan|--model|dvc (?:exp|remote)|no_scm"
    r"|eca|tables=mine|flowers|PHOTOS|sgenet (?:compare|verify|archive|publish)"
)
TABLE = """
title: My own rows
task: classification
columns:
  - {id: top1, label: Top-1, unit: "%", digits: 2}
rows:
  - {label: Plain, run: resnet18}
  - {label: "Mine, short", run: mine, model: sge-resnet18, baseline: Plain, settings: {epochs: 1}}
  - {label: Another, run: resnet34, baseline: Plain}
"""


def shell(checkout, command, status=0):
    """Run a command as printed, in a shell in which nothing is set but where programs are."""
    kept = {key: checkout.environment[key] for key in ("PATH", "HOME", "WANDB_MODE")}
    done = subprocess.run(
        command, shell=True, cwd=checkout.folder, env=kept, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, f"{command}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def own(new_checkout):
    """A replication of rows of one's own table with two seeds, chosen for one invocation; others are the default."""
    checkout = new_checkout()
    (checkout.folder / "params/tables/mine.yaml").write_text(TABLE)
    checkout.edit("params/pipeline.yaml", lambda value: value.update(tables=["ablation-normalization"]))
    shell(checkout, "snakemake --cores all --config tables=mine seeds=2 'rows=Mine, short'")
    assert not (checkout.folder / "results/smoke/classification/resnet34").exists()
    return checkout


def commands_of(page):
    found = re.findall(r"<(?:code|pre)[^>]*>(.*?)</(?:code|pre)>", page, re.S)
    lines = [html.unescape(line).strip() for text in found for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if COMMAND.match(line)))


def test_every_command_of_the_report(own):
    commands = commands_of((own.folder / "reports/smoke/index.html").read_text())
    assert len([command for command in commands if "mine" in command]) > 6
    tried = [command for command in commands if not UNTRIED.search(command)]
    assert len(tried) > 8
    for command in tried:
        whole = command.startswith("snakemake") and "results/" not in command  # of other tables and more seeds too
        shell(own, f"{command} --dry-run" if whole else command)


def test_what_the_report_prints_makes_a_run_again(own):
    page = (own.folder / "reports/smoke/index.html").read_text()
    (command,) = [text for text in commands_of(page) if "--forcerun" in text and "mine/seed-1" in text]
    jobs = own.jobs(shell(own, command))
    assert jobs["train_classifier"] == jobs["evaluate_classifier"] == 1


def test_the_commands_of_errors(own):
    """Each says what to do, and that helps."""
    change = {"path": "params/tables/mine.yaml", "change": lambda value: value["rows"][1]["settings"].update(epochs=2)}
    own.edit(**change)
    told = shell(own, "sgenet evaluate classification/mine --scale smoke --seed 1", status=2)
    (command,) = re.findall(r"`(sgenet train [^`]*)`", told)
    shell(own, command)
    shell(own, "sgenet evaluate classification/mine --scale smoke --seed 1")
    own.environment |= {"SGENET_TABLES": "mine", "SGENET_ROWS": "Mine, short", "SGENET_SEEDS": "2"}
    told = own("sgenet", "report", "--scale", "smoke", status=1)
    commands = re.findall(r"`(snakemake [^`]*)`", told)
    assert len(commands) == 1 and "mine/seed-0" in commands[0]
    assert own.jobs(shell(own, commands[0]))["train_classifier"] == 1
    own("sgenet", "report", "--scale", "smoke", "--partial")


@pytest.mark.slow
def test_the_commands_of_the_docs(own):
    """In the order of the pages; whole workflows as dry runs. tests/test_docs.py checks arguments of UNTRIED ones."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.M | re.S)]
    lines = [line.removeprefix("$ ").partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    tried = [line for line in dict.fromkeys(lines) if COMMAND.match(line) and not UNTRIED.search(line)]
    assert {line.split()[0] for line in tried} == {"snakemake", "sgenet", "dvc"} and len(tried) > 10
    own.edit("params/pipeline.yaml", lambda value: value.update(scale="demo"))  # as the pages assume
    own("dvc", "remote", "add", "--default", "storage", str(own.folder.with_name("storage")))
    for command in tried:
        shell(own, f"{command} --dry-run" if command.startswith("snakemake") else command)
