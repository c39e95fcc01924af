"""Tries: runs with settings of the command line, `--set optimizer.lr=0.01`, over those of recipe, scale and row."""

from collections.abc import Sequence
from dataclasses import replace

from sgenet.config.model import validate
from sgenet.config.names import parse_name
from sgenet.config.params import Overrides, merge
from sgenet.config.plain_yaml import parse_yaml
from sgenet.config.runs import Run, check_fit
from sgenet.config.starting import classifier_of
from sgenet.errors import InputError

_DEEPEST = 10  # parts of a key


def change(run: Run, options: Sequence[str]) -> Run:
    """Return a try of a run: the settings of `options` are merged over its own. Without options, return the run.

    Args:
        run: of a table.
        options: of `--set`: a dotted path in the settings, `=`, and a YAML value. Their order has no effect.

    Raises:
        InputError: an option has another form, or the settings do not fit the run.
    """
    if not options:
        return run
    texts = _split(options)
    changed = _nested(texts)
    modules = changed.get("attention")
    for module in modules if isinstance(modules, dict) else ():
        if module != parse_name(run.model)[0]:
            raise InputError(f"--set attention.{module}: unknown key, {run.model} has no such module")
    merged = merge(run.settings.model_dump(mode="json", exclude_unset=True), changed)
    try:
        settings = validate(type(run.settings), merged, "--set")
        check_fit(run.model, settings)
    except InputError as error:
        raise InputError(f"--set {str(error).removeprefix('--set: ')}") from None
    except ValueError as error:
        raise InputError(f"--set {error}") from None
    start = None if run.detector is None else classifier_of(settings.starts_from, run.model)
    return replace(
        run, settings=settings, starts_from=start, tried=tuple(f"{key}={text}" for key, text in texts.items())
    )


def _split(options: Sequence[str]) -> dict[str, str]:
    """Return the text of each value by its key, sorted by key."""
    texts: dict[str, str] = {}
    for option in options:
        key, equals, text = option.partition("=")
        parts = key.split(".")
        if not equals or not all(parts) or len(parts) > _DEEPEST or not option.isprintable():
            raise InputError(f"--set: found {option!r:.80}, expected KEY=VALUE, such as optimizer.lr=0.01")
        if key in texts:
            raise InputError(f"--set {key}: found twice, expected once")
        for other in texts:
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise InputError(f"--set {key}: found together with --set {other}, expected one of the two")
        texts[key] = text.strip()
    return dict(sorted(texts.items()))


def _nested(texts: dict[str, str]) -> Overrides:
    """Return the values in nested mappings, as in a file: `optimizer.lr=0.01` is {"optimizer": {"lr": 0.01}}."""
    nested: Overrides = {}
    for key, text in texts.items():
        *parents, last = key.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = parse_yaml(text, f"--set {key}")
    return nested
