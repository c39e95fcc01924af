"""The package's extras: the packages of each, which of them are not installed, and the extra that an import lacks."""

import re
from importlib import metadata
from importlib.util import find_spec

EXTRAS = ("cpu", "tools", "replicate")  # of users
_IMPORTED_AS = {  # packages whose modules have another name
    "mmcv-lite": "mmcv",
    "nvidia-ml-py": "pynvml",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?[^;]*;.*\bextra == ['\"](\w+)['\"]")
_OF_TOOLS = ("complexity", "coco-eval", "import-checkpoint")  # commands that the extra `tools` is for


def packages_of(extra: str) -> list[str]:
    """Return the packages of an extra, as the metadata of the installed package state them; none without metadata."""
    try:
        requirements = metadata.requires("sgenet") or []
    except metadata.PackageNotFoundError:
        return []
    found: list[str] = []
    for name, inner, of in (match.groups() for match in map(_REQUIREMENT.match, requirements) if match):
        if of == extra:
            found += [package for each in inner.split(",") for package in packages_of(each)] if inner else [name]
    return sorted(set(found))


def lacking(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [package for package in packages_of(extra) if find_spec(_module_of(package)) is None]


def describe() -> str:
    """Return a line for each extra: that it is complete, or which of its packages are not installed."""
    missing = {extra: ", ".join(lacking(extra)) for extra in EXTRAS}
    lines = [f"{extra}: {f'lacks {names}' if names else 'complete'}" for extra, names in missing.items()]
    return "extras     " + "\n           ".join(lines if any(missing.values()) else [", ".join(EXTRAS) + ": complete"])


def require(user: str, *modules: str) -> None:
    """Raise an ImportError that names the extra `tools` if one of these modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise ModuleNotFoundError(_sentence(user, module, "tools"), name=module)


def explain(error: Exception, command: str) -> str | None:
    """Return, in one sentence, the package that a command of `sgenet` lacks, and its extra; None for other errors."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    module = error.name.partition(".")[0]
    extras = ("tools", "replicate") if command in _OF_TOOLS else ("replicate",)
    for extra in extras:
        for package in packages_of(extra):
            if _module_of(package) == module:
                return _sentence(f"sgenet {command}", package, extra)
    return None


def _sentence(user: str, package: str, extra: str) -> str:
    return f"{user}: needs the package {package}: pip install 'sgenet[{extra}]'"


def _module_of(package: str) -> str:
    return _IMPORTED_AS.get(package, package.replace("-", "_"))
