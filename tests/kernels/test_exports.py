"""SGE as a module by every way of torch to capture a computation, against its result in eager mode."""

import copy
import io
import pickle
import shutil

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from sgenet.attention import SpatialGroupEnhance
from sgenet.kernels import reference, spatial_group_enhance, spatial_group_enhance_add_relu, use

SIZES = [(2, 5, 6), (3, 9, 4), (1, 1, 7), (2, 1, 1)]  # N, H, W


class Module(nn.Module):
    """The operator as a part of another module."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.sge = SpatialGroupEnhance(8, 4, dtype=dtype)
        nn.init.normal_(self.sge.weight)
        nn.init.normal_(self.sge.bias)

    def forward(self, x):
        return self.sge(x)


class Tail(Module):
    """The end of a residual block."""

    def forward(self, x, identity):
        return self.sge(x, identity, relu=True)


MODULES = pytest.mark.parametrize(("module", "count"), [(Module, 1), (Tail, 2)], ids=["alone", "block"])


def maps(count, size=SIZES[0], dtype=torch.float64):
    n, height, width = size
    return [torch.randn(n, 8, height, width, dtype=dtype) for _ in range(count)]


def assert_same(found, module, count):
    for size in SIZES:
        given = maps(count, size)
        torch.testing.assert_close(found(*given), module(*given), rtol=1e-9, atol=1e-9)


def targets(graph):
    return [str(node.target) for node in graph.nodes]


@MODULES
@pytest.mark.parametrize("strict", [True, False])
def test_exported_it_needs_no_operator_of_this_package(module, count, strict):
    module, dim = module(), torch.export.Dim.DYNAMIC
    shapes = tuple({0: dim, 2: dim, 3: dim} for _ in range(count))
    program = torch.export.export(module, tuple(maps(count)), dynamic_shapes=shapes, strict=strict)
    assert not any("sgenet" in target for target in targets(program.graph))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert_same(torch.export.load(file).module(), module, count)


@MODULES
@pytest.mark.parametrize("script", [True, False], ids=["script", "trace"])
def test_as_torchscript(module, count, script):
    module = module()
    compiled = torch.jit.script(module) if script else torch.jit.trace(module, tuple(maps(count)))
    file = io.BytesIO()
    torch.jit.save(compiled, file)
    file.seek(0)
    assert not any("sgenet" in node.kind() for node in compiled.inlined_graph.nodes())
    assert_same(torch.jit.load(file), module, count)


@MODULES
def test_it_is_one_node_of_a_symbolic_trace(module, count):
    module = module()
    traced = torch.fx.symbolic_trace(module)
    assert [node.name for node in traced.graph.nodes if node.op == "call_function"] == [
        "spatial_group_enhance_add_relu"
    ]
    assert_same(traced, module, count)


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_has_the_operator_and_its_gradient(mode):
    module = Module()

    def loss(x, weight, bias):
        return torch.func.functional_call(module.sge, {"weight": weight, "bias": bias}, (x,)).square().sum()

    given = *maps(1), *(parameter.detach() for parameter in module.parameters())
    function = torch.func.grad(loss, argnums=(0, 1, 2))
    graph = make_fx(function, tracing_mode=mode)(*given)
    assert sum("sgenet" in target for target in targets(graph.graph)) == 2
    for size in SIZES if mode == "symbolic" else SIZES[:1]:
        given = *maps(1, size), *(torch.randn_like(parameter) for parameter in module.parameters())
        torch.testing.assert_close(graph(*given), function(*given))


INDUCTOR = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")]


@MODULES
@pytest.mark.parametrize(
    ("backend", "dynamic"),
    [("aot_eager", True), ("aot_eager", None), pytest.param("inductor", None, marks=INDUCTOR)],
)
def test_compiled_without_a_break_for_any_size(module, count, backend, dynamic):
    torch.compiler.reset()
    module = module()
    compiled = torch.compile(module, fullgraph=True, dynamic=dynamic, backend=backend)
    for size in SIZES:
        given = [x.requires_grad_() for x in maps(count, size)]
        inputs = *given, *module.parameters()
        found, expected = compiled(*given), module(*given)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), inputs), torch.autograd.grad(expected.square().sum(), inputs)
        )


@pytest.mark.parametrize("reentrant", [True, False])
def test_under_activation_checkpoints(reentrant):
    module, (x, identity) = Tail(), maps(2)
    x.requires_grad_()
    module(x, identity).square().sum().backward()
    expected, x.grad = x.grad, None
    checkpoint(module, x, identity, use_reentrant=reentrant).square().sum().backward()
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=0)


def test_copies_compute_the_same():
    module = Tail()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_same(twin, module, 2)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_without_data_shapes_and_strides_are_known(memory_format):
    from torch._subclasses.fake_tensor import FakeTensorMode  # its documented place

    expected = Tail()(*(x.to(memory_format=memory_format) for x in maps(2)))
    with FakeTensorMode():
        given = [x.to(memory_format=memory_format).requires_grad_() for x in maps(2)]
        y = Tail()(*given)
        y.sum().backward()
    assert (y.shape, y.stride(), y.dtype) == (expected.shape, expected.stride(), expected.dtype)
    assert given[0].grad.stride() == expected.stride()


@pytest.mark.parametrize("form", ["fused", "reference"])
def test_a_shortcut_of_another_type_is_promoted_as_in_a_sum(form):
    x, identity = maps(1, dtype=torch.bfloat16)[0], maps(1, dtype=torch.float32)[0].requires_grad_()
    module = Tail(torch.float32)
    with use(form):
        y = module(x, identity)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, (module.sge(x.float()) + identity).relu())
    (gradient,) = torch.autograd.grad(y.sum(), identity)
    torch.testing.assert_close(gradient, (y > 0).float())


@pytest.mark.parametrize("form", ["fused", "reference"])
def test_the_second_derivative_for_one_position_is_that_of_a_constant_gate(form):
    x, identity = (x.requires_grad_() for x in maps(2, (3, 1, 1)))
    weight, bias = torch.randn(2, 4, dtype=torch.float64).requires_grad_()

    def function(x, weight, bias, identity):
        return spatial_group_enhance_add_relu(x, weight, bias, identity, 4)

    with use(form):
        given = (x, weight, bias, identity)
        assert torch.autograd.gradcheck(function, given) and torch.autograd.gradgradcheck(function, given)
        torch.testing.assert_close(
            spatial_group_enhance(x, weight, bias, 4), x * bias.sigmoid().repeat_interleave(2).view(1, 8, 1, 1)
        )


@pytest.mark.parametrize("function", [spatial_group_enhance, reference])
def test_the_second_derivative_of_a_constant_map_takes_the_deviation_for_constant(function):
    weight, bias = torch.randn(2, 4, 1, 1, dtype=torch.float64)
    x = torch.full((1, 8, 3, 2), 0.7, dtype=torch.float64)
    direction = torch.randn_like(x)

    def plain(x, weight, bias, groups, normalize, eps):
        grouped = x.view(1, groups, -1, 3, 2)
        likeness = (grouped * grouped.mean((3, 4), keepdim=True)).sum(2)
        z = (likeness - likeness.mean((2, 3), keepdim=True)) / eps
        return (grouped * (weight * z + bias).sigmoid().unsqueeze(2)).view(x.shape)

    def second(function):
        def first(x):
            return torch.func.grad(lambda x: function(x, weight, bias, 4, True, 0.5).pow(3).sum())(x)

        return torch.func.vjp(first, x)[1](direction)[0]

    torch.testing.assert_close(second(function), second(plain))
