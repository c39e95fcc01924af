"""`sgenet publish`: a static site of replications, with their reports, archives, and comparisons of each two."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from sgenet.archive.read import unpacked
from sgenet.archive.write import Entry
from sgenet.config.plain_yaml import read_yaml
from sgenet.data.folders import fresh_folder
from sgenet.errors import InputError
from sgenet.evaluation.comparison import Comparison
from sgenet.evaluation.verdicts import count_verdicts
from sgenet.judgement.cells import NOT_APPLICABLE
from sgenet.judgement.differences import find_tables
from sgenet.judgement.replications import FILE, Replicated, find
from sgenet.report.compare import write_page
from sgenet.report.environment import make_environment
from sgenet.runtime.files import read_json, write_json, write_text

ARCHIVE = "archive.zip"
_PUBLISHED = Path("reports/published")
_SITE = ".sgenet-site.json"  # lists the files of a site, so that other files are never removed


@dataclass(frozen=True)
class Published:
    """A replication on the site: name of its folder, and what the index shows of it.

    `comparison` is None for a trial that has no report; `archive` is size in bytes and SHA-256 digest.
    """

    name: str
    files: list[str]
    comparison: Comparison | None = None
    description: str = ""
    date: str = ""
    commit: str = ""
    archive: tuple[int, str] | None = None

    @property
    def verdicts(self) -> str:
        """How many cells have which verdict."""
        cells = [
            cell.verdict
            for table in (self.comparison.tables if self.comparison else ())
            for row in table.rows
            for cell in row.cells.values()
            if cell.reason != NOT_APPLICABLE
        ]
        return f"{len(cells)} cells: " + ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(cells))


def publish(to: Path, others: Sequence[Path] = ()) -> str:
    """Write the site of reports/published/ and of other report folders and archives.

    Args:
        to: folder of the site; it is replaced completely, or not at all.
        others: more folders of reports, and archives.

    Returns:
        a line that describes the site.

    Raises:
        InputError: a replication cannot be read, or `to` contains files that are of no site.
    """
    sources = sorted(path for path in _PUBLISHED.iterdir() if path.is_dir()) if _PUBLISHED.is_dir() else []
    names = [path.name.removesuffix(".zip") for path in (*sources, *others)]
    if twice := {name for name in names if names.count(name) > 1 or name in ("compare", "")}:
        raise InputError(f"publish: found the name {min(twice)!r} twice or reserved, expected different names")
    with fresh_folder(to, _check_own(to)) as site:
        published = [_add(source, site / name) for source, name in zip((*sources, *others), names, strict=True)]
        pairs = list(_compare(published, site))
        environment = make_environment()
        template = environment.from_string(Path(__file__).with_name("publish.html").read_text(encoding="utf-8"))
        page = template.render(published=published, pairs=pairs)
        write_text(site / "index.html", page)
        write_json(site / _SITE, _files(site))
    return f"{to / 'index.html'}: {len(published)} replications, {len(pairs)} comparison{'s' * (len(pairs) != 1)}"


def _check_own(to: Path) -> set[str]:
    """Return the names in an earlier site; InputError if it has files that are not of it."""
    present = _files(to) if to.is_dir() else []
    known = read_json(to / _SITE) if (to / _SITE).is_file() else []
    foreign = sorted({*present} - {*map(str, known if isinstance(known, list) else []), _SITE})
    if foreign:
        raise InputError(f"{to}: found {foreign[0]}, which `sgenet publish` did not write; expected a new folder")
    return {path.name for path in to.iterdir()} if to.is_dir() else set()


def _add(source: Path, folder: Path) -> Published:
    """Copy a replication to its folder of the site."""
    if source.is_dir():
        if links := [path for path in source.rglob("*") if path.is_symlink()]:
            raise InputError(f"{links[0]}: is a link, expected files only in what is published")
        shutil.copytree(source, folder)
    elif source.is_file():
        folder.mkdir()
        shutil.copyfile(source, folder / ARCHIVE)
    else:
        raise InputError(f"{source}: not found, expected the folder of a report, or an archive")
    found = Published(folder.name, [])
    if (folder / ARCHIVE).is_file():
        date, commit = _unpack(source if source.is_file() else source / ARCHIVE, folder)
        entry = Entry(ARCHIVE, folder / ARCHIVE)
        found = replace(found, date=date, commit=commit, archive=(entry.size, entry.sha256))
    if (folder / FILE).is_file():
        found = replace(found, comparison=find(str(folder)).comparison)
    elif source.parent != _PUBLISHED:
        raise InputError(f"{source}: found no {FILE}, expected the folder of a report, or an archive")
    if (folder / "scale.yaml").is_file():
        value = read_yaml(folder / "scale.yaml")
        found = replace(found, description=str(value.get("description", "")) if isinstance(value, dict) else "")
    return replace(found, files=sorted(path.name for path in folder.iterdir() if path.is_file()))


def _unpack(path: Path, folder: Path) -> tuple[str, str]:
    """Add the report in an archive to a folder of the site, where that has none; returns the date and commit stated."""
    with unpacked(path) as content:
        reports = sorted(content.glob(f"reports/*/{FILE}"))
        if len(reports) != 1:
            raise InputError(f"{path}: found {len(reports)} reports, expected an archive with one")
        for file in _files(reports[0].parent):
            target = folder / file
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(reports[0].parent / file, target)
        metadata = content / "ro-crate-metadata.json"
        value = read_json(metadata)
        try:
            entities = {str(one["@id"]): one for one in value["@graph"]}
            return str(entities["./"]["datePublished"]), str(entities["Snakefile"]["version"])
        except (KeyError, TypeError):
            expected = "the metadata that `sgenet archive` writes"
            raise InputError(f"{path}: {metadata.name}: found no date and version, expected {expected}") from None


def _compare(published: Sequence[Published], site: Path) -> Iterator[tuple[str, str, str, str]]:
    """Write a page for each two replications that share a cell; yields their names, its path and its sentences."""
    for first, second in combinations([one for one in published if one.comparison], 2):
        found = [_named(site / one.name) for one in (first, second)]
        tables = find_tables([one.comparison for one in found])
        if any(cell.shared for table in tables for cell in table.cells):
            folder = f"compare/{first.name}/{second.name}"
            _, sentences = write_page(found, site / folder)
            yield first.name, second.name, f"{folder}/index.html", " ".join(sentences)


def _named(folder: Path) -> Replicated:
    return replace(find(str(folder)), name=folder.name, place=f"{folder.name}/{FILE}")


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
