"""The environment of the templates: filters that print numbers, and functions of the view."""

from pathlib import Path

import jinja2
import yaml

from sgenet.evaluation.trainings import FEWEST_SEEDS
from sgenet.evaluation.verdicts import WITHHELD, Verdict
from sgenet.judgement.ranking import multiplicity
from sgenet.report.formats import CONFIDENCE_MARKS, duration, interval, number, printed, signed, unbroken
from sgenet.report.view import names_on_page, number_notes, order, resolutions_of, show


def make_environment() -> jinja2.Environment:
    """The environment of templates/; a name that is not defined is an error, and text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "printed": printed,
        "signed": signed,
        "interval": interval,
        "unbroken": unbroken,
        "duration": duration,
        "three": lambda value: f"{value:#.3g}".removesuffix("."),
        "date": lambda text: text.replace("T", " ")[:16] + (" UTC" if text.endswith("+00:00") else ""),
        "p_value": lambda p: "< 0.001" if p < 0.001 else f"= {p:.3f}",
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=True, default_flow_style=None, width=72),
    }
    environment.globals |= {
        "marks": CONFIDENCE_MARKS,
        "withheld": WITHHELD,
        "number_notes": number_notes,
        "multiplicity": multiplicity,
        "resolutions_of": resolutions_of,
        "names_on_page": names_on_page,
        "show": show,
        "order": order,
        "Verdict": Verdict,
        "equality": {
            Verdict.EXACT: ("(=)", "equal to the published value"),
            Verdict.EXPLAINED: ("(≈)", "differs from the published value for a known reason"),
            Verdict.DIFFERS: ("(≠)", "differs from the published value"),
        },
        "fewest_seeds": FEWEST_SEEDS,
    }
    return environment
