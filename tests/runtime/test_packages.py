"""The extras of the package, against what is installed."""

from importlib.metadata import packages_distributions

import pytest

from sgenet.runtime import packages


@pytest.mark.parametrize("extra", packages.EXTRAS)
def test_every_package_of_an_extra_is_found_by_the_name_of_its_module(extra):
    installed = packages_distributions()
    found = packages.packages_of(extra)
    assert found and packages.lacking(extra) == []
    for package in found:
        error = ModuleNotFoundError("", name=_module_of(package, installed))
        sentence = packages.explain(error, "coco-eval")
        assert sentence.startswith(f"sgenet coco-eval: needs the package {package}: pip install 'sgenet[")


def _module_of(package, installed):
    """Return the module of an installed package that has its name, otherwise its first one that is no example."""
    modules = sorted(
        module
        for module, owners in installed.items()
        if not module.startswith(("_", "example")) and package in [owner.lower() for owner in owners]
    )
    name = package.replace("-", "_")
    return name if name in modules else modules[0]


def test_replicate_contains_the_other_extras():
    assert {*packages.packages_of("cpu"), *packages.packages_of("tools")} < {*packages.packages_of("replicate")}


@pytest.mark.parametrize("error", [ImportError("cannot import"), ModuleNotFoundError("", name="einops"), ValueError()])
def test_other_errors_are_not_explained(error):
    assert packages.explain(error, "complexity") is None
