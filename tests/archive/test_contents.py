"""What is in an archive, that equal replications give equal bytes, and what is refused."""

import getpass
import json
import os
import platform
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from sgenet.archive.contents import archive
from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.replication import Replication, load_replication
from sgenet.errors import InputError
from sgenet.judgement.replications import find
from sgenet.pipeline.report_identity import read_identity, report_digest
from sgenet.provenance.identity import Artifacts
from sgenet.report import build
from support.archives import fail, git
from support.results import RETINA, SGE, count, write_counts


def test_contents(finished: Replication, folder: Path) -> None:
    """The tracked files, the results of every artifact without weights, manifests and the report."""
    artifacts = Artifacts(finished)
    wanted = {Path(name) for name in subprocess.check_output(["git", "ls-files"], text=True).splitlines()}
    for artifact in (*artifacts.trainings(), *artifacts.measurements()):
        wanted |= {path for path in (artifact.record, *artifact.files) if path.exists()} - {*artifact.weights}
    wanted |= {paths.manifest("demo", task) for task in finished.tasks}
    wanted |= {path for path in Path("reports/demo").rglob("*") if path.is_file()}
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    added = {Path(name) for name in ("SHA256SUMS", "ro-crate-metadata.json", "README-ARCHIVE.md")}
    assert found == wanted | added
    for path in wanted:
        assert (folder / path).read_bytes() == path.read_bytes(), path


def test_sums_are_those_of_sha256sum(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True)
    (folder / "params/pipeline.yaml").write_text("seeds: 2\n")
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 1


def test_an_unpacked_archive_is_judged_as_the_checkout(
    finished: Replication, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unpacked results are current, and its report shows the same."""
    monkeypatch.chdir(folder)
    artifacts = Artifacts(load_replication())
    for artifact in (*artifacts.trainings(), *artifacts.measurements()):
        assert artifacts.stale(artifact) is None
    before = Path("reports/demo/comparison.json").read_bytes()
    assert build(load_replication()) == []
    assert Path("reports/demo/comparison.json").read_bytes() == before


def test_equal_bytes(
    finished: Replication, written: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written again, and in a clone with copied results, other times, permissions and settings of the environment."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    archive(finished, elsewhere / "again.zip")
    assert (elsewhere / "again.zip").read_bytes() == written.read_bytes()
    clone, here = elsewhere / "clone", Path.cwd()
    subprocess.run(["git", "clone", "--quiet", str(here), str(clone)], check=True)
    for name in ("results", "data", "reports"):
        shutil.copytree(here / name, clone / name, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in clone.rglob("*.json"):
        path.chmod(0o600)
    monkeypatch.chdir(clone)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "C")
    archive(load_replication(), Path("clone.zip"))
    assert Path("clone.zip").read_bytes() == written.read_bytes()
    (path,) = Path("results/demo/evaluation").rglob(f"{SGE}/seed-0/timing.json")
    value = json.loads(path.read_text())
    value["evaluate"]["seconds"] += 1
    path.write_text(json.dumps(value))
    build(load_replication())
    archive(load_replication(), Path("other.zip"))
    assert Path("other.zip").read_bytes() != written.read_bytes()


def test_choices_of_the_command_are_in_the_archive(
    finished: Replication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Snakemake passes by variables is in params/pipeline.yaml; every other file is a copy."""
    monkeypatch.setenv("SGENET_TABLES", "one")
    chosen = load_replication(tables=["one"])
    write_counts(chosen, {run.id: count(run) for run in chosen.runs.values()})
    build(chosen)
    archive(chosen, tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        pipeline = yaml.safe_load(file.read("params/pipeline.yaml"))
        assert pipeline == yaml.safe_load(Path("params/pipeline.yaml").read_text()) | {"tables": ["one"]}
        assert not [name for name in file.namelist() if name.startswith("results/demo/detection/")]
        file.extractall(tmp_path / "unpacked")
    monkeypatch.delenv("SGENET_TABLES")
    monkeypatch.chdir(tmp_path / "unpacked")
    assert load_replication().runs == chosen.runs


def test_an_untracked_scale_is_archived(finished: Replication, tmp_path: Path) -> None:
    shutil.copy("params/scales/demo.yaml", "params/scales/own.yaml")
    archive(finished, tmp_path / "own.zip")
    with zipfile.ZipFile(tmp_path / "own.zip") as file:
        assert file.read("params/scales/own.yaml") == Path("params/scales/demo.yaml").read_bytes()


def test_nothing_identifies_the_machine(finished: Replication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted in results, a log and the report that shows it; `--identifying` keeps them."""
    monkeypatch.setattr(platform, "node", lambda: "planted-host")
    monkeypatch.setattr(getpass, "getuser", lambda: "planted-user")
    names = ["planted-host", "planted-user", "GPU-12ab", os.getcwd()]
    for path in Path("results/demo").rglob("timing.json"):
        value = json.loads(path.read_text())
        value["machine"] = {"host": names[0], "device_uuid": names[2], "driver": "1.2"}
        path.write_text(json.dumps(value))
    log = fail(finished, SGE, 0, f"{os.getcwd()}/src: on planted-host by planted-user: out of memory")
    assert "planted-host" in Path("reports/demo/index.html").read_text()
    archive(finished, tmp_path / "a.zip")
    archive(finished, tmp_path / "b.zip", identifying=True)

    def whole(path: Path) -> dict[str, str]:
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name).decode(errors="replace") for name in file.namelist()}

    found, kept = whole(tmp_path / "a.zip"), whole(tmp_path / "b.zip")
    assert [(name, word) for name, text in found.items() for word in names if word in text] == []
    assert "./src: on HOST by USER: out of memory" in found[log.as_posix()] and '"driver": "1.2"' in str(found.values())
    assert all(word in str(kept) for word in names)


def test_the_names_of_this_machine(folder: Path) -> None:
    """As they are: the host, and the path of the checkout."""
    words = [word for word in (platform.node(), os.getcwd()) if len(word) > 3]
    texts = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert words and [path for path, text in texts.items() if any(word.encode() in text for word in words)] == []


def test_failed_runs_are_in_the_archive(finished: Replication, tmp_path: Path) -> None:
    log = fail(finished, SGE, 0, "RuntimeError: planted")
    archive(finished, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.read(log.as_posix()) == log.read_bytes()
        graph = {one["@id"]: one for one in json.loads(file.read("ro-crate-metadata.json"))["@graph"]}
        assert f"- {SGE}, seed 0: exit status 1" in file.read("README-ARCHIVE.md").decode()
    assert graph["#run"]["actionStatus"].endswith("/FailedActionStatus")
    assert graph["#run"]["error"] == f"{SGE}, seed 0: exit status 1"


def test_detections_may_be_missing(finished: Replication, tmp_path: Path) -> None:
    """But no other file of an evaluation."""
    folder = paths.evaluation("demo", RETINA, 0)
    (folder / "detections.json").unlink()
    build(finished)
    archive(finished, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert f"{folder}/matches.npz" in file.namelist() and f"{folder}/detections.json" not in file.namelist()
    (folder / "matches.npz").unlink()
    with pytest.raises(InputError, match=r"matches.npz is missing"):
        archive(finished, tmp_path / "a.zip")


def test_unfinished_replications_are_refused(finished: Replication, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, which names the file and the command; nothing is written."""

    def refused(*parts: str) -> None:
        assert main(["archive", "out.zip"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and all(part in error for part in parts), error
        assert not list(Path().glob("*out.zip*"))

    page = Path("reports/demo/index.html")
    text = page.read_text()
    page.write_text(text.replace(str(read_identity(page)), report_digest(Artifacts(finished))[::-1]))
    refused("reports/demo/index.html: was built from other results", "`snakemake --cores all` builds it again")
    page.unlink()
    refused("reports/demo/index.html: missing", "`snakemake --cores all` builds it")
    page.write_text(text)
    record = paths.evaluation("demo", SGE, 0) / "metrics.json"
    content = record.read_text()
    record.unlink()
    refused(f"{record}: missing; `snakemake --cores all` makes it")
    record.write_text(content)
    readme = Path("README.md").read_text()
    Path("README.md").write_text("changed")
    refused("README.md: is modified", "commit it first")
    Path("README.md").write_text(readme)
    Path("src").mkdir()
    Path("src/new.py").write_text("x = 1\n")
    refused("src/new.py: is not tracked by git", "commit it first")
    shutil.rmtree("src")
    shutil.move(".git", "gone")
    refused("found no commit", "expected a git repository with a commit")
    git("init")
    refused("found no commit", "expected a git repository with a commit")


def test_the_command(finished: Replication, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is replaced; the last line has the digest that sha256sum prints."""
    Path("out.zip").write_text("old")
    assert main(["archive", "out.zip"]) == 0
    digest = subprocess.check_output(["sha256sum", "out.zip"], text=True).split()[0]
    size = Path("out.zip").stat().st_size
    assert capsys.readouterr().out.splitlines()[-1] == f"out.zip: {size:,} bytes, SHA-256 {digest}"
    assert main(["archive", "out.tar"]) == 2
    assert "found 'out.tar', expected a name that ends with .zip" in capsys.readouterr().err


def test_no_torch(finished: Replication) -> None:
    command = "import sys; from sgenet.cli import main; main(['archive', 'a.zip']); sys.exit('torch' in sys.modules)"
    assert subprocess.run(["python", "-c", command]).returncode == 0


def test_compare_reads_archives(finished: Replication, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(str(written)).comparison == find("demo").comparison
    assert find(str(written)).curves == find("demo").curves
    assert main(["compare", str(written), "."]) == 2
    capsys.readouterr()
    assert main(["compare", str(written), "demo"]) == 0
    assert "Nothing differs" in capsys.readouterr().out
