"""Arguments of the operator: those that it refuses, in one text for both of its forms, and all kinds of tensors."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sgenet.kernels import spatial_group_enhance_add_relu, use
from support.operator import FORMATS

CHANNELS_LAST = torch.channels_last


class Named(torch.Tensor):
    """A subclass without code of its own."""


def arguments(**changed):
    generator = torch.Generator().manual_seed(5)
    x, identity = torch.randn(2, 2, 8, 3, 5, generator=generator)
    weight, bias = torch.randn(2, 4, generator=generator)
    return {"x": x, "weight": weight, "bias": bias, "identity": identity, "groups": 4} | changed


def outcomes(**changed):
    """What the fused form and the definition give: a result, or the type and text of an exception."""
    for form in ("fused", "reference"):
        with use(form):
            try:
                yield spatial_group_enhance_add_relu(**arguments(**changed))
            except Exception as error:
                yield type(error), str(error)


X, WEIGHT = arguments()["x"], arguments()["weight"]
REFUSED = [
    ({"x": X[0]}, ValueError, "x: found 3 dimensions, expected 4"),
    ({"x": X[None]}, ValueError, "x: found 5 dimensions, expected 4"),
    ({"x": torch.tensor(1.0)}, ValueError, "x: found 0 dimensions, expected 4"),
    ({"x": X[:, :7]}, ValueError, "7 channels do not fall into 4 equal groups"),
    ({"groups": 0}, ValueError, "8 channels do not fall into 0 equal groups"),
    ({"groups": -4}, ValueError, "8 channels do not fall into -4 equal groups"),
    ({"groups": 3}, ValueError, "8 channels do not fall into 3 equal groups"),
    ({"groups": 2**70}, ValueError, "8 channels do not fall into 1180591620717411303424 equal groups"),
    ({"groups": True, "weight": WEIGHT[:1], "bias": WEIGHT[:1]}, TypeError, "groups: found True, expected an integer"),
    ({"groups": 4.0}, TypeError, "groups: found 4.0, expected an integer"),
    ({"groups": np.float64(4)}, TypeError, "groups: found np.float64.4.0., expected an integer"),
    ({"groups": "4"}, TypeError, "groups: found '4', expected an integer"),
    ({"groups": None}, TypeError, "groups: found None, expected an integer"),
    ({"groups": torch.tensor(4)}, TypeError, "groups: found tensor.4., expected an integer"),
    ({"weight": WEIGHT[:3]}, ValueError, "weight: found 3 numbers, expected 4, one for each group"),
    ({"bias": WEIGHT.repeat(2)}, ValueError, "bias: found 8 numbers, expected 4, one for each group"),
    ({"bias": WEIGHT[:0]}, ValueError, "bias: found 0 numbers, expected 4, one for each group"),
    ({"identity": X[:1]}, ValueError, r"identity: found the shape \(1, 8, 3, 5\), expected \(2, 8, 3, 5\)"),
    ({"identity": X[:, :, :1, :1]}, ValueError, r"identity: found the shape \(2, 8, 1, 1\), expected \(2, 8, 3, 5\)"),
    ({"identity": X[0]}, ValueError, r"identity: found the shape \(8, 3, 5\), expected \(2, 8, 3, 5\)"),
    ({"x": X.to("meta")}, ValueError, "weight: found on cpu, expected on meta with x"),
    ({"weight": WEIGHT.to("meta")}, ValueError, "weight: found on meta, expected on cpu with x"),
    ({"identity": X.to("meta")}, ValueError, "identity: found on meta, expected on cpu with x"),
    ({"eps": "a"}, ValueError, "could not convert string to float: 'a'"),
    ({"eps": None}, TypeError, "float"),
    ({"eps": 1e-5j}, TypeError, "float"),
]
TYPES = [torch.complex64, torch.int32, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]
REFUSED += [
    ({name: tensor.to(dtype)}, TypeError, f"{name}: found {dtype}, expected float16, bfloat16, float32 or float64")
    for name, tensor in {"x": X, "weight": WEIGHT, "bias": WEIGHT, "identity": X}.items()
    for dtype in TYPES
]
REFUSED += [
    ({name: change(tensor)}, TypeError, f"{name}: found {found}")
    for name, tensor in {"x": X, "weight": WEIGHT, "identity": X}.items()
    for change, found in (
        (torch.Tensor.to_sparse, "torch.sparse_coo, expected a dense tensor"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "torch.qint8, expected float16"),
        (lambda t: torch.nested.nested_tensor([t, t]), "a nested tensor, expected a dense tensor"),
        (torch.Tensor.numpy, "ndarray, expected a tensor"),
        (torch.Tensor.tolist, "list, expected a tensor"),
    )
]
REFUSED += [({name: None}, TypeError, f"{name}: found NoneType, expected a tensor") for name in ("x", "weight", "bias")]
REFUSED.append(({"x": X.to_mkldnn()}, TypeError, "x: found torch._mkldnn, expected a dense tensor"))


@pytest.mark.parametrize(("changed", "error", "text"), REFUSED, ids=[text[:60] for *_, text in REFUSED])
def test_refused_by_both_forms_in_the_same_words(changed, error, text):
    fused, definition = outcomes(**changed)
    assert fused == definition
    with pytest.raises(error, match=text):
        spatial_group_enhance_add_relu(**arguments(**changed))


ACCEPTED = {
    "numpy's integer": {"groups": np.int64(4)},
    "shapes of parameters": {"weight": WEIGHT.view(1, 4, 1, 1), "bias": WEIGHT.view(2, 2)},
    "wide parameters": {"weight": WEIGHT.double(), "bias": WEIGHT.double()},
    "parameters in half precision": {"weight": WEIGHT.half(), "bias": WEIGHT.bfloat16()},
    "parameters with strides": {"weight": torch.stack([WEIGHT, WEIGHT], 1)[:, 0], "bias": WEIGHT[:1].expand(4)},
    "numbers of numpy": {"relu": np.bool_(True), "normalize": np.bool_(False), "eps": np.float32(1e-3)},
    "an integer as epsilon": {"eps": 1},
    "other formats": {"x": X.contiguous(memory_format=CHANNELS_LAST)},
    "an identity of another format": {"identity": X.contiguous(memory_format=CHANNELS_LAST)},
    "x as identity": {"identity": X},
    "transposed": {"x": torch.randn(2, 8, 5, 3).transpose(2, 3), "identity": torch.randn(8, 2, 3, 5).transpose(0, 1)},
    "sliced": {"x": torch.randn(4, 16, 6, 7)[::2, 4:12, 1:4, 2:], "identity": torch.randn(2, 8, 6, 10)[:, :, ::2, ::2]},
    "expanded": {"x": X[:, :1, :1].expand(2, 8, 3, 5), "identity": torch.tensor(0.5).expand(2, 8, 3, 5)},
    "not aligned": {"x": torch.randn(241)[1:].view(2, 8, 3, 5), "identity": torch.randn(253)[13:].view(2, 8, 3, 5)},
    "strides of one sample": {"x": X.as_strided((1, 8, 3, 5), (7, 15, 5, 1)), "identity": X[1:]},
    "negated": {"x": torch.randn(2, 8, 3, 5, dtype=torch.complex64).conj().imag},
    "subclasses": {"x": X.as_subclass(Named), "weight": WEIGHT.as_subclass(Named)},
    "parameters": {"x": nn.Parameter(X), "weight": nn.Parameter(WEIGHT), "identity": nn.Parameter(X)},
    "no channels": {"x": X[:, :0], "identity": None},
    "meta": {name: t.to("meta") for name, t in arguments(groups=torch.ones(())).items() if name != "groups"},
}


@pytest.mark.parametrize("changed", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changed):
    fused, definition = outcomes(**changed)
    assert type(fused) is type(definition)
    torch.testing.assert_close(fused, definition, rtol=1e-5, atol=1e-6)
    x = changed.get("x", X)
    assert fused.is_contiguous(memory_format=torch.contiguous_format if x.is_contiguous() else CHANNELS_LAST) or (
        not x.is_contiguous() and not x.is_contiguous(memory_format=CHANNELS_LAST)
    )


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("eps", [0.0, -0.0, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("normalize", [True, False])
def test_any_epsilon_where_the_map_is_constant(memory_format, eps, normalize):
    """With an epsilon of 0, 0 / 0 is no number; it is no error either."""

    def compute():
        x = torch.ones(2, 64, 3, 5).contiguous(memory_format=memory_format).requires_grad_()
        weight = torch.ones(8, requires_grad=True)
        y = spatial_group_enhance_add_relu(x, weight, weight, None, 8, normalize, eps, relu=False)
        return y.detach(), *torch.autograd.grad(y.sum(), (x, weight))

    found = compute()
    with use("reference"):
        expected = compute()
    torch.testing.assert_close(found[0], expected[0], equal_nan=True)
    assert [t.isnan().any() for t in found] == [t.isnan().any() for t in expected]


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 64, 3, 5), 8), ((1, 6, 3, 7), 3), ((3, 128, 1, 2), 2), ((2, 8, 4, 4), 8)]
)
def test_nothing_is_read_or_written_outside_the_tensors(monkeypatch, memory_format, dtype, shape, groups):
    """Each tensor, also those that the operator allocates, is within one of sentinels."""
    margin, kept = 64, []

    def within(values):
        around = torch.full((values.numel() + 2 * margin,), float("nan"), dtype=values.dtype)
        inside = around[margin:-margin].as_strided(values.shape, values.stride(), margin).copy_(values)
        kept.append((around, values.numel()))
        return inside

    from sgenet.kernels import cpu

    new = torch.empty_like
    monkeypatch.setattr(cpu.torch, "empty_like", lambda x, **settings: within(new(x, **settings).zero_()))
    x, identity, grad = (torch.randn(shape, dtype=dtype).contiguous(memory_format=memory_format) for _ in range(3))
    x, identity, grad = within(x), within(identity), within(grad)
    weight, bias = (within(torch.randn(groups, dtype=dtype)) for _ in range(2))
    y, *statistics = cpu.forward(x, weight, bias, identity, groups, True, 1e-5, True)
    statistics = [within(t) for t in statistics]
    found = cpu.backward(grad, x, weight, bias, *statistics, y, groups, True, 1e-5, True)
    assert len(kept) == 5 + 1 + 2 + 2
    for around, count in kept:
        assert around[:margin].isnan().all() and around[margin + count :].isnan().all()
    assert not any(t.isnan().any() for t in (y, *found))


FUZZ = """
import random, sys, warnings
import torch
from sgenet.kernels import spatial_group_enhance_add_relu, use

warnings.simplefilter("ignore")
TYPES = [torch.float32] * 4 + [torch.float64] * 3 + [torch.float16, torch.bfloat16] * 2 + [torch.int64, torch.complex64]
LIMITS = {torch.float32: 1e-4, torch.float64: 1e-10, torch.float16: 4e-3, torch.bfloat16: 3e-2}
choose = random.choice

def stored(tensor):
    way = random.random()
    if tensor.dim() == 4 and way < 0.4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if tensor.dim() >= 2 and way < 0.6:
        i, j = random.sample(range(tensor.dim()), 2)
        return tensor.transpose(i, j).contiguous().transpose(i, j)
    if tensor.dim() == 4 and way < 0.7:
        return tensor[:, :, :1].expand(tensor.shape)
    if way < 0.8:
        wide = tensor.new_full((tensor.numel() + 3,), 1)
        return wide[choose([1, 2, 3]):][:tensor.numel()].view(tensor.shape).copy_(tensor)
    return tensor

def drawn(shape, dtype):
    return stored(torch.randn(shape, dtype=torch.float64).to(dtype))

def draw():
    groups = choose([1, 2, 3, 4, 8, 8, 16])
    channels = choose([groups * choose([1, 2, 3, 4, 5, 8, 16, 32]), choose([0, 1, 7, 64])])
    shape = [choose([0, 1, 1, 2, 3]), channels, choose([0, 1, 2, 5, 9]), choose([1, 2, 3, 8, 17])]
    if random.random() < 0.05:
        shape = shape[:choose([0, 1, 2, 3])]
    dtype, number = choose(TYPES), choose(TYPES[:11])
    size = [(groups,), (1, groups, 1, 1), (groups, 1), (groups + 1,)][min(int(random.random() * 3.2), 3)]
    identity = None
    if random.random() < 0.6:
        identity = drawn(choose([shape] * 9 + [[1] * len(shape)]), choose([dtype] * 9 + TYPES))
    groups, normalize, eps = choose([groups] * 20 + [0, -1, 2.0, True]), choose([True, False]), choose([1e-2, 1.0])
    parameters = drawn(size, number), drawn(size, number)
    return drawn(shape, dtype), *parameters, identity, groups, normalize, eps, choose([True, False])

def outcome(arguments):
    tensors = [t.detach() if t is not None else None for t in arguments[:4]]
    given = [t.requires_grad_() for t in tensors if t is not None and (t.is_floating_point() or t.is_complex())]
    try:
        y = spatial_group_enhance_add_relu(*tensors, *arguments[4:])
        grad = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view(y.shape).to(y.dtype)
        return [y.detach(), *torch.autograd.grad(y, given, grad)]
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        return type(error), str(error)

results = 0
for seed in range(int(sys.argv[1])):
    random.seed(seed); torch.manual_seed(seed)
    arguments = draw()
    print(seed, flush=True, file=sys.stderr)
    found = outcome(arguments)
    with use("reference"):
        expected = outcome(arguments)
    if isinstance(found, tuple):
        assert found == expected, (seed, found, expected)
        continue
    results += 1
    for mine, true in zip(found, expected, strict=True):
        assert mine.shape == true.shape and mine.dtype == true.dtype, seed
        if mine.numel():
            limit = max(LIMITS[mine.dtype], LIMITS[arguments[0].dtype]) * max(true.double().abs().max().item(), 1.0)
            assert (mine.double() - true.double()).abs().max() < limit, (seed, [t.shape for t in found], mine, true)
print(results)
"""


def test_random_arguments():
    """In a process of its own, whose crash would be seen, after the number of the case."""
    done = subprocess.run([sys.executable, "-c", FUZZ, "600"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 200  # the others are refused
