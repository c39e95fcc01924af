"""The metadata of an archive, judged by roc-validator, without a network."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import responses
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings

from sgenet.archive.contents import archive
from sgenet.config.replication import Replication
from support.archives import fail
from support.results import SGE

CONTEXT = "https://w3id.org/ro/crate/1.2/context"
# The terms of this context that an archive uses, with their meaning there; the validator would download all of it.
OTHER = {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "Profile": "http://www.w3.org/ns/dx/prof/Profile",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
}
SCHEMA = (
    "CreativeWork Dataset SoftwareSourceCode ComputerLanguage CreateAction Organization Person ScholarlyArticle "
    "about actionStatus agent author citation contentSize datePublished description encodingFormat endTime error "
    "hasPart identifier instrument license mainEntity mentions name object programmingLanguage result startTime url "
    "version"
)
TERMS = {term: f"http://schema.org/{term}" for term in SCHEMA.split()} | OTHER
# The profiles 0.5 are written for RO-Crate 1.1, which the validator requires there; the archive is of 1.2.
OF_1_1 = "MUST have a `conformsTo` property with the RO-Crate specification version"


def problems(folder: Path, profile: str) -> list[str]:
    """What the validator finds that a profile requires."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as requests:
        requests.get(CONTEXT, json={"@context": TERMS}, content_type="application/ld+json")
        asked = ValidationSettings(rocrate_uri=str(folder), profile_identifier=profile, no_cache=True)
        return [str(issue.message) for issue in services.validate(asked).get_issues()]


def test_ro_crate_1_2(folder: Path) -> None:
    assert problems(folder, "ro-crate-1.2") == []


def test_workflow_run_crate(folder: Path) -> None:
    found = problems(folder, "workflow-run-crate-0.5")
    assert [text for text in found if OF_1_1 not in text] == []


def test_a_failed_replication(finished: Replication, tmp_path: Path) -> None:
    fail(finished, SGE, 0, "RuntimeError: planted")
    archive(finished, tmp_path / "failed.zip")
    with zipfile.ZipFile(tmp_path / "failed.zip") as file:
        file.extractall(tmp_path / "failed")
    assert problems(tmp_path / "failed", "ro-crate-1.2") == []
    assert [text for text in problems(tmp_path / "failed", "workflow-run-crate-0.5") if OF_1_1 not in text] == []


@pytest.mark.parametrize(
    ("id", "change", "sentence"),
    [
        ("./", {"license": None}, "license"),
        ("./", {"mainEntity": None}, "Main Workflow must be specified"),
        ("#run", {"instrument": None}, "instrument"),
        ("ro-crate-metadata.json", {"conformsTo": None}, "conformsTo"),
        ("LICENSE", {"@id": "gone.txt"}, "gone.txt"),
    ],
)
def test_the_validator_notices(folder: Path, id: str, change: dict[str, Any], sentence: str) -> None:
    path = folder / "ro-crate-metadata.json"
    value = json.loads(path.read_text())
    (entity,) = [one for one in value["@graph"] if one["@id"] == id]
    for key, new in change.items():
        entity.pop(key)
        entity |= {key: new} if new else {}
    text = json.dumps(value)
    path.write_text(text.replace('{"@id": "LICENSE"}', '{"@id": "gone.txt"}') if id == "LICENSE" else text)
    found = problems(folder, "ro-crate-1.2") + problems(folder, "workflow-run-crate-0.5")
    assert any(sentence in text for text in found if OF_1_1 not in text) or id == "ro-crate-metadata.json" and found


def test_entities(folder: Path) -> None:
    """Every reference leads to an entity, every local file exists, and the period is that of the results."""
    graph = {one["@id"]: one for one in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
    for part in graph["./"]["hasPart"]:
        assert part["@id"] in graph and (folder / part["@id"]).exists()
        if graph[part["@id"]]["@type"] == "File":
            assert int(graph[part["@id"]]["contentSize"]) == (folder / part["@id"]).stat().st_size
    ends = []
    for path in (folder / "results").rglob("*.json"):
        ends += re.findall(r'"finished": "([^"]+)"', path.read_text())
    assert graph["#run"]["endTime"] == max(ends) and graph["./"]["datePublished"] == max(ends)[:10]
    assert graph["#run"]["startTime"] <= min(ends)
