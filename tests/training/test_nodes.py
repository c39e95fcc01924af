"""A training whose processes are on several nodes: the numbers of one node."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from sgenet.config import paths
from support.checkout import content

RUN = "classification/sge-resnet50"


@pytest.mark.slow
def test_two_nodes_give_the_files_of_one_with_as_many_devices(prepared_project, tmp_path):
    """Two agents of torchrun on this machine, each with two processes; and four processes of `sgenet train` itself."""
    prepared_project("params/scales/smoke.yaml", lambda scale: scale.update(devices=4))
    change = {"device_batch_size": 4}
    prepared_project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(change))
    train = ["-m", "sgenet.cli", "train", RUN, "--scale", "smoke"]
    environment = {**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *train], env=environment, check=True, timeout=300)
    output = paths.training("smoke", RUN, 0)
    shutil.move(output, tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = ["--nnodes", "2", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    agents = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *meeting, "--node-rank", str(node), *train],
            env={**environment, "GLOO_SOCKET_IFNAME": "lo"},
        )
        for node in range(2)
    ]
    assert [agent.wait(timeout=300) for agent in agents] == [0, 0]
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        assert content(output / name) == content(tmp_path / "one" / name), name
