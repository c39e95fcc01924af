"""`sgenet verify` finds a replication in an archive, in its unpacked folder, and next to a published report."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sgenet.archive.contents import archive
from sgenet.cli import main
from sgenet.config.replication import Replication
from sgenet.verification import source
from support.archives import commit_source

REPORT = Path("reports/smoke")


@pytest.fixture
def written(replication: Replication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the replication; the checkout, whose commit it names, is the working folder."""
    commit_source()
    monkeypatch.setattr(source, "ROOT", Path.cwd())
    path = tmp_path / "replication.zip"
    archive(replication, path, weights=True)
    return path


def change(path: Path, name: str, edit: Callable[[bytes], bytes]) -> None:
    """Change a file in an archive, and its digest in the list of digests."""
    import hashlib

    with zipfile.ZipFile(path) as file:
        contents = {each: file.read(each) for each in file.namelist()}
    before = contents[name]
    contents[name] = edit(before)
    assert contents[name] != before
    digests = [hashlib.sha256(content).hexdigest().encode() for content in (before, contents[name])]
    contents["SHA256SUMS"] = contents["SHA256SUMS"].replace(*digests)
    with zipfile.ZipFile(path, "w") as file:
        for each, content in contents.items():
            file.writestr(each, content)


def verify(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Exit status and output."""
    capsys.readouterr()
    status = main(["verify", *map(str, arguments)])
    found = capsys.readouterr()
    return status, found.out + found.err


def test_archive(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = verify(capsys, written)
    assert status == 0, shown
    assert "digests of all files, source and tables of commit" in shown and "4 trainings and 6 measurements" in shown
    assert "params/pipeline.yaml: it is not as in the commit" in shown  # the rows were chosen by the command
    with zipfile.ZipFile(written) as file:
        file.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked/notes.txt").write_text("mine")
    assert verify(capsys, tmp_path / "unpacked")[0] == 0
    (tmp_path / "unpacked/LICENSE").write_text("mine")
    status, shown = verify(capsys, tmp_path / "unpacked")
    assert status == 1 and "LICENSE: was changed since the archive was written" in shown


def test_a_file_that_the_commit_has_not(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(written, "a") as file:
        file.writestr("params/tables/more.yaml", "title: more")
    status, shown = verify(capsys, written)
    assert status == 1 and "params/tables/more.yaml: found a file, expected none, as in commit" in shown


def test_edited_definitions_of_a_checkout(
    written: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published value that was edited before the report was built differs from the commit."""
    monkeypatch.setenv("SGENET_TABLES", "imagenet coco-retinanet")
    monkeypatch.setenv("SGENET_ROWS", "ResNet50,SGE-ResNet50,RetinaNet ResNet50,RetinaNet SGE-ResNet50")
    table = Path("params/tables/imagenet.yaml")
    table.write_text(table.read_text().replace("77.584", "77.585"))
    assert main(["report", "--scale", "smoke", "--partial"]) == 0
    status, shown = verify(capsys, "--scale", "smoke")
    assert status == 1 and f"{table}: found other content, expected that of the last commit" in shown
    assert "1 deviation," in shown


def test_published_report(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = tmp_path / "published"
    shutil.copytree(REPORT, published)
    shutil.copy(written, published / "archive.zip")
    assert verify(capsys, published)[0] == 0
    comparison = published / "comparison.json"
    comparison.write_text(comparison.read_text().replace("77.584", "77.585"))
    status, shown = verify(capsys, published)
    assert status == 1 and f"{comparison}: tables[imagenet]" in shown and "published.value: found 77.585" in shown


def test_a_report_elsewhere(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """A report that was copied is compared with the results of the checkout."""
    shutil.copytree(REPORT, tmp_path / "copy-of-report")
    monkeypatch.setenv("SGENET_TABLES", "imagenet coco-retinanet")
    monkeypatch.setenv("SGENET_ROWS", "ResNet50,SGE-ResNet50,RetinaNet ResNet50,RetinaNet SGE-ResNet50")
    assert verify(capsys, tmp_path / "copy-of-report")[0] == 0


@pytest.mark.parametrize(
    ("name", "edit", "sentence"),
    [
        ("params/tables/imagenet.yaml", lambda content: content.replace(b"77.584", b"77.585"), "other content"),
        ("Snakefile", lambda content: content + b"\n", "Snakefile: found other content, expected that of commit"),
        ("results/smoke/classification/sge-resnet50/seed-0/last.safetensors", lambda content: content[:-1] + b"x",
         "last.safetensors: found other content"),
        ("reports/smoke/metrics.json", lambda content: content.replace(b"1", b"2", 1), "metrics.json: line"),
        ("ro-crate-metadata.json", lambda content: json.dumps({"@graph": []}).encode(), "expected one workflow"),
    ],
)  # fmt: skip
def test_a_forged_archive(written: Path, name: str, edit, sentence: str, capsys) -> None:
    """A file was changed with its digest: what else is recorded of it disagrees."""
    change(written, name, edit)
    status, shown = verify(capsys, written)
    assert status == 1 and sentence in shown, shown


def test_commit_that_is_not_here(written: Path, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(source, "ROOT", tmp_path)
    status, shown = verify(capsys, written)
    assert status == 0 and "which no checkout here has" in shown


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("nowhere", "no such file or folder"), ("params", "a folder without comparison.json"), ("Snakefile", "archive")],
)
def test_neither(written: Path, place: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = verify(capsys, place)
    assert status == 2 and sentence in shown and "Traceback" not in shown
