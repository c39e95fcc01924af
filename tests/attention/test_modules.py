"""Every module of the registry: the contract, the authors' names, and each one's equations by another road."""

import importlib
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from sgenet import attention
from sgenet.attention import create, names, placement

# Names and shapes of the authors' state dicts at 64 channels, without those of batch normalisations.
STATES = {
    "bam": {
        "channel_att.gate_c.gate_c_fc_0.weight": (4, 64),
        "channel_att.gate_c.gate_c_fc_0.bias": (4,),
        "channel_att.gate_c.gate_c_fc_final.weight": (64, 4),
        "channel_att.gate_c.gate_c_fc_final.bias": (64,),
        "spatial_att.gate_s.gate_s_conv_reduce0.weight": (4, 64, 1, 1),
        "spatial_att.gate_s.gate_s_conv_reduce0.bias": (4,),
        "spatial_att.gate_s.gate_s_conv_di_0.weight": (4, 4, 3, 3),
        "spatial_att.gate_s.gate_s_conv_di_0.bias": (4,),
        "spatial_att.gate_s.gate_s_conv_di_1.weight": (4, 4, 3, 3),
        "spatial_att.gate_s.gate_s_conv_di_1.bias": (4,),
        "spatial_att.gate_s.gate_s_conv_final.weight": (1, 4, 1, 1),
        "spatial_att.gate_s.gate_s_conv_final.bias": (1,),
    },
    "cbam": {
        "ChannelGate.mlp.1.weight": (4, 64),
        "ChannelGate.mlp.1.bias": (4,),
        "ChannelGate.mlp.3.weight": (64, 4),
        "ChannelGate.mlp.3.bias": (64,),
        "SpatialGate.spatial.conv.weight": (1, 2, 7, 7),
    },
    "gc": {
        "conv_mask.weight": (1, 64, 1, 1),
        "conv_mask.bias": (1,),
        "channel_add_conv.0.weight": (4, 64, 1, 1),
        "channel_add_conv.0.bias": (4,),
        "channel_add_conv.1.weight": (4, 1, 1),
        "channel_add_conv.1.bias": (4, 1, 1),
        "channel_add_conv.3.weight": (64, 4, 1, 1),
        "channel_add_conv.3.bias": (64,),
    },
    "se": {"fc.0.weight": (4, 64), "fc.0.bias": (4,), "fc.2.weight": (64, 4), "fc.2.bias": (64,)},
    "sge": {"weight": (1, 64, 1, 1), "bias": (1, 64, 1, 1)},
    "sk": {
        "conv2.weight": (64, 64, 3, 3),
        "conv2g.weight": (64, 2, 3, 3),
        "conv_fc1.weight": (4, 64, 1, 1),
        "conv_fc2.weight": (128, 4, 1, 1),
    },
}
NORMS = {  # batch normalisations and their features
    "bam": {
        "channel_att.gate_c.gate_c_bn_1": 4,
        "spatial_att.gate_s.gate_s_bn_reduce0": 4,
        "spatial_att.gate_s.gate_s_bn_di_0": 4,
        "spatial_att.gate_s.gate_s_bn_di_1": 4,
    },
    "cbam": {"SpatialGate.spatial.bn": 1},
    "sk": {"bn2": 64, "bn2g": 64, "bn_fc1": 4},
}


def _with_random_state(name, channels, **settings):
    """A module whose every parameter and running statistic differs from its start."""
    torch.manual_seed(0)
    module = create(name, channels, **settings)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    for buffer_name, buffer in module.named_buffers():
        if not buffer_name.endswith("num_batches_tracked"):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return module


@pytest.mark.parametrize("name", names())
def test_every_module_keeps_the_shape_and_learns(name):
    module = _with_random_state(name, 64)
    x = torch.randn(2, 64, 6, 7, requires_grad=True)
    out = module(x)
    assert out.shape == x.shape
    (out * torch.randn_like(out)).sum().backward()
    for tensor in (x, *module.parameters()):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
    # a bias before a batch normalisation is the one thing that cannot matter
    still = {n for n, p in module.named_parameters() if p.grad.abs().max() < 1e-6}
    assert {n.rpartition(".")[2] for n in still} <= {"bias"}


@pytest.mark.parametrize("name", names())
def test_in_eval_mode_an_image_decides_alone_and_in_any_memory_format(name):
    module = _with_random_state(name, 64).eval()
    x = torch.randn(3, 64, 5, 4)
    out = module(x)
    torch.testing.assert_close(module(x), out, rtol=0, atol=0)
    torch.testing.assert_close(module(x[1:2]), out[1:2])
    last = module(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, out)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", STATES)
def test_states_carry_the_authors_names(name):
    expected = dict(STATES[name])
    for norm, features in NORMS.get(name, {}).items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{part}"] = (features,)
        expected[f"{norm}.num_batches_tracked"] = ()
    assert {key: tuple(value.shape) for key, value in create(name, 64).state_dict().items()} == expected


def test_se_is_torchvisions_with_linear_layers():
    from torchvision.ops import SqueezeExcitation

    ours, theirs = _with_random_state("se", 32), SqueezeExcitation(32, 2)
    for layer, number in ((theirs.fc1, 0), (theirs.fc2, 2)):
        layer.weight.data = ours.fc[number].weight.data[:, :, None, None]
        layer.bias.data = ours.fc[number].bias.data
    x = torch.randn(2, 32, 4, 3)
    torch.testing.assert_close(ours(x), theirs(x))


def test_cbam_by_its_equations():
    module = _with_random_state("cbam", 32).eval()
    x = torch.randn(2, 32, 5, 4)
    state = module.state_dict()

    def mlp(v):
        hidden = (v @ state["ChannelGate.mlp.1.weight"].T + state["ChannelGate.mlp.1.bias"]).clamp(min=0)
        return hidden @ state["ChannelGate.mlp.3.weight"].T + state["ChannelGate.mlp.3.bias"]

    flat = x.flatten(2)
    y = x * torch.sigmoid(mlp(flat.mean(2)) + mlp(flat.max(2).values)).view(2, 32, 1, 1)
    maps = torch.stack((y.max(1).values, y.mean(1)), 1)  # the maximum first
    spatial = F.conv2d(F.pad(maps, (3, 3, 3, 3)), state["SpatialGate.spatial.conv.weight"])
    mean, var, weight, bias = (
        state[f"SpatialGate.spatial.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    spatial = (spatial - mean) / torch.sqrt(var + 1e-5) * weight + bias
    torch.testing.assert_close(module(x), y * torch.sigmoid(spatial))


def test_cbam_starts_with_every_position_halved():
    module = create("cbam", 32)
    x = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(module(x), module.ChannelGate(x) / 2)
    assert module.SpatialGate.spatial.bn.momentum == 0.01


def test_bam_by_its_equations():
    module = _with_random_state("bam", 32).eval()
    x = torch.randn(2, 32, 9, 11)
    state = module.state_dict()

    def norm(v, prefix):
        shape = (1, -1) + (1,) * (v.dim() - 2)
        mean, var, weight, bias = (
            state[f"{prefix}.{part}"].view(shape) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((v - mean) / torch.sqrt(var + 1e-5) * weight + bias).clamp(min=0)

    c, s = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
    hidden = norm(x.mean((2, 3)) @ state[f"{c}fc_0.weight"].T + state[f"{c}fc_0.bias"], f"{c}bn_1")
    channel = hidden @ state[f"{c}fc_final.weight"].T + state[f"{c}fc_final.bias"]
    spatial = F.conv2d(x, state[f"{s}conv_reduce0.weight"], state[f"{s}conv_reduce0.bias"])
    spatial = norm(spatial, f"{s}bn_reduce0")
    for number in (0, 1):
        weight = state[f"{s}conv_di_{number}.weight"]
        wide = torch.zeros(*weight.shape[:2], 9, 9)
        wide[:, :, ::4, ::4] = weight  # dilation 4 is a 9x9 kernel with holes
        spatial = norm(F.conv2d(spatial, wide, state[f"{s}conv_di_{number}.bias"], padding=4), f"{s}bn_di_{number}")
    spatial = F.conv2d(spatial, state[f"{s}conv_final.weight"], state[f"{s}conv_final.bias"])
    torch.testing.assert_close(module(x), x * (1 + torch.sigmoid(channel.view(2, 32, 1, 1) * spatial)))


@pytest.mark.parametrize("stride", [1, 2])
def test_sk_by_its_equations(stride):
    module = _with_random_state("sk", 32, groups=8, stride=stride).eval()
    x = torch.randn(2, 32, 6, 5)
    state = module.state_dict()

    def norm(v, prefix):
        mean, var, weight, bias = (
            state[f"{prefix}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(v, mean, var, weight, bias).clamp(min=0)

    d1 = norm(F.conv2d(x, state["conv2.weight"], stride=stride, padding=1), "bn2")
    parts = zip(x.split(4, dim=1), state["conv2g.weight"].split(4), strict=True)  # 8 groups of 4 channels
    d2 = norm(torch.cat([F.conv2d(a, w, stride=stride, padding=1) for a, w in parts], 1), "bn2g")
    pooled = d1.mean((2, 3), keepdim=True) + d2.mean((2, 3), keepdim=True)
    answer = F.conv2d(norm(F.conv2d(pooled, state["conv_fc1.weight"]), "bn_fc1"), state["conv_fc2.weight"])
    weights = answer.view(2, 2, 32, 1, 1).softmax(dim=1)
    torch.testing.assert_close(module(x), weights[:, 0] * d1 + weights[:, 1] * d2)


def test_gc_by_its_equations_and_starts_with_a_constant():
    x = torch.randn(2, 32, 3, 4)
    new = create("gc", 32)
    bias = new.state_dict()["channel_add_conv.3.bias"]
    assert bias.abs().min() > 0  # torch's own start
    torch.testing.assert_close(new(x), x + bias[:, None, None])
    module = _with_random_state("gc", 32)
    first, norm, _, last = module.channel_add_conv
    expected = torch.empty_like(x)
    for sample in range(2):
        positions = x[sample].flatten(1).T  # (12, 32)
        scores = positions @ module.conv_mask.weight.flatten() + module.conv_mask.bias
        context = (scores.exp() / scores.exp().sum()) @ positions
        hidden = first.weight.flatten(1) @ context + first.bias
        hidden = (hidden - hidden.mean()) / torch.sqrt(hidden.var(unbiased=False) + 1e-5)
        hidden = (hidden * norm.weight.flatten() + norm.bias.flatten()).clamp(min=0)
        expected[sample] = x[sample] + (last.weight.flatten(1) @ hidden + last.bias)[:, None, None]
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("se", {"reduction": 65}, "SE: 64 channels leave no hidden unit at reduction 65"),
        ("sk", {"groups": 48}, "SK: 64 channels do not fall into 48 equal groups"),
        ("sge", {"grups": 8}, "attention.sge: got an unexpected keyword argument 'grups'"),
        ("sgee", {}, "found attention module 'sgee', expected one of bam, cbam, gc, se, sge, sk"),
    ],
)
def test_what_cannot_be_built_is_refused(name, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        create(name, 64, **settings)


def test_the_folder_is_the_registry(tmp_path, monkeypatch):
    (tmp_path / "twice.py").write_text("class Twice:\n    placement = 'everywhere'\n")
    monkeypatch.setattr(attention, "__path__", [*attention.__path__, str(tmp_path)])
    assert names() == ["bam", "cbam", "gc", "se", "sge", "sk", "twice"]
    with pytest.raises(
        ValueError, match="twice.py: placement: found 'everywhere', expected one of branch, conv, stage"
    ):
        placement("twice")


@pytest.mark.parametrize(
    ("body", "found"), [("class Twice(Base): pass", "stage"), ("class Twice: placement = 'conv'", "conv")]
)
def test_a_place_that_the_source_does_not_show_is_refused(tmp_path, monkeypatch, body, found):
    (tmp_path / "twice.py").write_text(f"__all__ = ['Twice']\nclass Base: placement = 'stage'\n{body}\n")
    monkeypatch.setattr(attention, "__path__", [*attention.__path__, str(tmp_path)])
    try:
        with pytest.raises(
            ValueError, match=f"attention.twice: Twice.placement: found '{found}', expected 'branch', as"
        ):
            create("twice", 64)
    finally:
        del sys.modules["sgenet.attention.twice"], attention.twice


@pytest.mark.parametrize("name", names())
def test_the_source_says_where_a_module_stands(name):
    module = importlib.import_module(f"sgenet.attention.{name}")
    assert placement(name) == getattr(getattr(module, module.__all__[0]), "placement", "branch")
    assert {"bam": "stage", "sk": "conv"}.get(name, "branch") == placement(name)


def test_names_and_places_import_no_torch():
    code = (
        "import sys; from sgenet import attention; [attention.placement(name) for name in attention.names()]\n"
        "assert 'torch' not in sys.modules\n"
        "from sgenet.attention import SpatialGroupEnhance; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
