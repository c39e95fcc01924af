"""Model names, and a module's settings in a network of another width."""

import pytest

from sgenet.config import params
from sgenet.config.names import attention_settings, parse_name
from sgenet.config.recipes import Network


def of_width(width, module, own):
    """The recipe's settings with changes to a module."""
    recipe = params.load_recipe("classification")
    attention = {module: recipe["attention"][module] | own}
    return Network.model_validate({"width": width, "attention": attention})


@pytest.mark.parametrize("name", ["resnet49", "sgx-resnet50", "ResNet50", "sge-resnet50-g32", "_parts-resnet50", ""])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match="expected one of resnet18"):
        parse_name(name)


def test_names_are_a_module_and_a_depth():
    assert parse_name("resnet34") == (None, 34) and parse_name("cbam-resnet18") == ("cbam", 18)
    for depth in (18, 34):
        with pytest.raises(ValueError, match="sk is placed inside bottlenecks, expected sk-resnet50 or sk-resnet101"):
            parse_name(f"sk-resnet{depth}")


@pytest.mark.parametrize(("width", "groups"), [(64, 64), (32, 32), (8, 8), (128, 128)])
def test_groups_keep_their_channels_in_a_network_of_another_width(width, groups):
    sge = {"groups": 64, "gamma": 1, "beta": 0, "normalize": True}
    attention = {"sge": sge, "sk": {"groups": 16, "reduction": 4}}
    settings = Network.model_validate({"width": width, "attention": attention})
    assert attention_settings("sge-resnet50", settings) == {**sge, "groups": groups}
    assert attention_settings("sk-resnet101", settings) == {"groups": groups // 4, "reduction": 4}
    assert attention_settings("resnet50", settings) is None
    assert attention_settings("se-resnet50", settings) == {}


@pytest.mark.parametrize(
    ("model", "width", "own", "sentence"),
    [
        (
            "sge-resnet50",
            8,
            {"groups": 7},
            "sge.groups: found 7, expected a divisor of 256, the input channels of sge",
        ),
        ("sge-resnet50", 8, {"groups": 4}, "at width 64 and a multiple of 8, for whole groups at width 8"),
        (
            "sge-resnet18",
            64,
            {"groups": 128},
            "expected a divisor of 64, the input channels of sge in the first stage",
        ),
        ("sk-resnet50", 64, {"groups": 128}, "expected a divisor of 64, the input channels of sk in the first stage"),
        ("sk-resnet50", 8, {"reduction": 16}, "sk.reduction: found 16, expected at most 8, the input channels of sk"),
        (
            "se-resnet50",
            4,
            {"reduction": 17},
            "se.reduction: found 17, expected at most 16, the input channels of se",
        ),
    ],
)
def test_settings_that_no_feature_map_can_hold_are_refused(model, width, own, sentence):
    with pytest.raises(ValueError, match=sentence):
        attention_settings(model, of_width(width, model.partition("-")[0], own))
