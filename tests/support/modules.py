"""Attention modules of a test, in a folder of their own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import sgenet.attention


@contextmanager
def attention_module(folder: Path, name: str, code: str) -> Iterator[None]:
    """Add `name`.py with this code to the registry, for as long as the block lasts."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sgenet.attention, "__path__", [*sgenet.attention.__path__, str(folder)])
        try:
            yield
        finally:
            sys.modules.pop(f"sgenet.attention.{name}", None)
            vars(sgenet.attention).pop(name, None)
