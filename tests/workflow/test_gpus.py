"""How many GPUs a workflow on one machine uses at a time: here those that a stand-in of nvidia-smi reports."""

import os
import re

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("options", "at_a_time"), [((), 2), (("--resources", "gpu=1"), 1)])
def test_trainings_use_all_gpus_unless_limited(new_checkout, tmp_path, options, at_a_time):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nfor index in 0 1 2 3; do echo $index, GPU-$index; done\n")
    program.chmod(0o755)
    checkout = new_checkout()
    checkout.environment.pop("CUDA_VISIBLE_DEVICES", None)
    checkout.environment["PATH"] = f"{tmp_path}{os.pathsep}{checkout.environment['PATH']}"
    checkout.edit("params/scales/smoke.yaml", lambda value: value.update(device="auto"))
    command = ["snakemake", "classify", "--cores", "2", "--config", "tables=imagenet", "rows=ResNet50,SGE-ResNet50"]
    output = checkout(*command, *options)  # two trainings, with a thread each
    assert max(map(int, re.findall(r"^Execute (\d+) jobs", output, re.MULTILINE))) == at_a_time
