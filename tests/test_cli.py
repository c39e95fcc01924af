"""The command itself: what it shows, and that help costs no imports."""

import os
import subprocess
import sys

import pytest

from sgenet.cli import main


def test_doctor_tells_on_one_screen(project, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    text = "\n".join(lines)
    for expected in (
        "torch 2.",
        "mmdet 3.",
        "mmcv runs on",
        "extras     cpu, tools, replicate: complete",
        "demo (chosen): classification data not prepared yet",
        "smoke:",
        "no report yet, 0 MiB used",
    ):
        assert expected in text
    assert lines[-1] == "ready: snakemake --cores all"


def test_doctor_names_what_is_wrong_with_the_chosen_scale(project, capsys):
    project("params/scales/demo.yaml", lambda scale: scale.update(device="tpu"))
    assert main(["doctor"]) == 1
    assert "not ready: params/scales/demo.yaml: device: found 'tpu'" in capsys.readouterr().out


def test_help_and_bad_arguments_import_nothing_heavy():
    code = (
        "import sys; from sgenet.cli import main\n"
        "try: main({})\n"
        "except SystemExit as stop: status = stop.code\n"
        "assert not {{'torch', 'torchvision', 'mmdet', 'pandas'}} & set(sys.modules); sys.exit(status)"
    )
    helped = subprocess.run([sys.executable, "-c", code.format("['--help']")], capture_output=True, text=True)
    assert helped.returncode == 0 and "train a run; continues an interrupted training" in helped.stdout
    bad = ["train", "classification/resnet50", "--seed", "-1"]
    refused = subprocess.run([sys.executable, "-c", code.format(bad)], capture_output=True, text=True)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr


def test_a_step_does_not_hang_where_the_environment_holds_threads_back():
    code = (
        "import sys; from sgenet import cli\n"
        "def step(_):\n"
        "    import torch\n"
        "    torch.set_num_threads(4)\n"
        "    convolution = torch.nn.Conv2d(16, 32, 3)\n"
        "    convolution(torch.randn(16, 16, 32, 32)).square().mean().backward()\n"
        "cli._run = step; sys.exit(cli.main(['doctor']))"
    )
    environment = os.environ | {"OMP_DYNAMIC": "true", "OMP_THREAD_LIMIT": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=100, check=True)


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_what_is_missing_is_named_with_the_command_that_makes_it(project, capsys, step):
    assert main([step, "classification/resnet50"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sgenet: data/demo/classification.json: missing, expected from `sgenet prepare class")
    assert error.count("\n") == 1
