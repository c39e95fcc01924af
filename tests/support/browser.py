"""An open page in a browser, and what axe-core finds in it."""

from dataclasses import dataclass, field
from typing import Any

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Visit:
    """An open page and what it did meanwhile."""

    page: Any
    requests: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # console errors and warnings, exceptions, dialogs


def violations(page: Any, within: str | None = None) -> str:
    """What axe-core finds, a line each: rule and selector. Needs what is looked at to be visible."""
    return "\n".join(_found(page, within, {"runOnly": TAGS}, "violations"))


def unchecked_contrast(page: Any) -> list[str]:
    """What axe-core could not judge the contrast of, in tables; the colours that shine through are taken away first."""
    page.add_style_tag(content=".scroll { background: none !important } .label { position: static !important }")
    found = _found(page, "table", {"runOnly": ["color-contrast"]}, "incomplete")
    return [one for one in found if "rowspan" not in one]  # axe assumes that later rows cover a cell that spans them


def _found(page: Any, within: str | None, options: dict[str, Any], kind: str) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    response = Axe().run(page, within, options | {"resultTypes": [kind]}).response
    return [f"{rule['id']} {node['target'][0]}" for rule in response[kind] for node in rule["nodes"]]
