"""What is particular to the kernels on the CPU."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import cfunc, types

import sgenet
from sgenet.kernels import _cpu_loops, spatial_group_enhance
from support.operator import FORMATS, TAILS, operator, tensors


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("tail", TAILS)
def test_threads_change_no_bit(threads, tail, dtype, memory_format):
    given = [t.to(dtype).requires_grad_() for t in tensors(tail, memory_format, (3, 64, 9, 11))]
    found = []
    for count in (1, 2, 3):
        threads(count)
        y = operator(tail)(*given)
        found.append((y, *torch.autograd.grad(y.square().sum(), given)))
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


@pytest.mark.parametrize("value", [-100.0, -87.0, -20.0, -1.5, 0.0, 1e-4, 3.0, 17.0, 88.0, 1000.0])
def test_sigmoid(value):
    """With gamma 0 the gate is sigmoid(beta), and a map of ones shows it."""
    y = spatial_group_enhance(torch.ones(1, 1, 4, 4), torch.zeros(1), torch.tensor([value]), 1)
    torch.testing.assert_close(y.double(), torch.tensor(value).double().sigmoid().expand_as(y), rtol=3e-7, atol=2e-38)


def test_who_makes_no_map_pays_nothing():
    code = "import sys, sgenet.attention as a; a.create('sge', 64); print({'numba', 'triton'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_cache_of_compiled_loops_depends_on_every_source_file():
    files = list(Path(_cpu_loops.__file__).parent.glob("_cpu_*.py"))
    assert len(files) > 1
    for loop in _cpu_loops.create_loops(np.float32).values():
        key = inspect.getclosurevars(loop).nonlocals["sources"]
        assert all(path.read_text(encoding="utf-8") in key for path in files)


def test_numba_loads_a_function_only_if_it_holds_the_same_text(tmp_path, monkeypatch):
    """What the above relies on: numba's key includes what a function holds of its scope."""
    file = tmp_path / "held.py"
    file.write_text("def create(text):\n    def f(x):\n        text\n        return x\n    return f\n")
    monkeypatch.syspath_prepend(tmp_path)
    import held

    def hits(text):
        return cfunc(types.int64(types.int64), cache=True)(held.create(text)).cache_hits

    assert [hits(text) for text in ("a", "a", "b", "a", "b")] == [0, 1, 0, 1, 1]


OUT_OF_MEMORY = """
import resource, torch
from sgenet.kernels import spatial_group_enhance
weight, x = torch.ones(1), torch.ones(1, 1, 5000, 5000)
spatial_group_enhance(x[:, :, :4, :4], weight, weight, 1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + x.nbytes + x.nbytes // 4  # the result fits, and a buffer of the same size does not
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    spatial_group_enhance(x, weight, weight, 1)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_result_without_memory_for_it_is_an_error():
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, check=True)
    assert done.stdout == "SGE: no memory is left for the buffers of the threads\n"


RUN = """
import torch
from sgenet.kernels import spatial_group_enhance
for dtype in (torch.float32, torch.float64, torch.float16):
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        spatial_group_enhance(torch.ones(1, 4, 2, 2, dtype=dtype), weight, weight, 2).sum().backward()
"""


@pytest.mark.slow
def test_compiling_is_reported_once_for_each_type_and_loading_is_not(tmp_path):
    package = tmp_path / "package/sgenet"
    shutil.copytree(Path(sgenet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def reports():
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
        return [line for line in done.stderr.splitlines() if line.startswith("compiling SGE")]

    found = reports()
    assert [line.split("(")[1].split(")")[0] for line in found] == ["float32", "float64"]
    assert reports() == []
    file = package / "kernels/_cpu_functions.py"
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert reports() == found
