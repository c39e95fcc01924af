"""Reading archives: tampered files are noticed, and hostile ones refused."""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sgenet.archive.read import check_sums, unpacked
from sgenet.archive.write import Entry, sums, write_zip
from sgenet.errors import InputError


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An archive of three files."""
    entries = [Entry("a.txt", b"a"), Entry("run/b.sh", b"b", executable=True), Entry("run/ü d.txt", b"")]
    write_zip(tmp_path / "small.zip", [*entries, sums(entries)])
    return tmp_path / "small.zip"


def test_unpacked_as_written(small: Path) -> None:
    with unpacked(small) as folder:
        assert check_sums(folder) == []
        assert (folder / "a.txt").read_bytes() == b"a" and (folder / "run/ü d.txt").read_bytes() == b""
        assert (folder / "run/b.sh").stat().st_mode & stat.S_IXUSR and not (folder / "a.txt").stat().st_mode & 0o111
    assert not folder.exists()


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (lambda folder: (folder / "a.txt").write_bytes(b"b"), "a.txt: was changed since the archive was written"),
        (lambda folder: (folder / "a.txt").unlink(), "a.txt: is missing"),
        (lambda folder: (folder / "run/c").write_bytes(b""), "run/c: is not in SHA256SUMS"),
        (lambda folder: (folder / "x").symlink_to("a.txt"), "x: is not in SHA256SUMS"),
    ],
)
def test_tampering_is_noticed(small: Path, tamper: Callable[[Path], object], sentence: str) -> None:
    with unpacked(small) as folder:
        tamper(folder)
        assert check_sums(folder) == [sentence]


@pytest.mark.parametrize("line", ["0123  a.txt", f"{64 * '0'}  ../a.txt", f"{64 * '0'}  /etc/passwd", ""])
def test_a_bad_list_of_digests(tmp_path: Path, line: str) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{line}\n")
    with pytest.raises(InputError, match=r"SHA256SUMS: line 1: found .*, expected a SHA-256 digest and a file"):
        check_sums(tmp_path)
    (tmp_path / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match=r"SHA256SUMS: cannot be read \(no such file or directory\)"):
        check_sums(tmp_path)


def _named(*names: str) -> bytes:
    return _zip(lambda file: [file.writestr(name, "x") for name in names])


def _zip(fill: Callable[[zipfile.ZipFile], object]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        fill(file)
    return buffer.getvalue()


def _link() -> bytes:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _zip(lambda file: file.writestr(info, "/etc/passwd"))


def _encrypted() -> bytes:
    content = bytearray(_named("a"))
    content[6] |= 1  # flags of the local header, and of the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def _claims(size: int) -> bytes:
    content = bytearray(_named("a"))
    at = content.index(b"PK\x01\x02") + 24  # uncompressed size
    content[at : at + 4] = size.to_bytes(4, "little")
    return bytes(content)


def _damaged() -> bytes:
    content = bytearray(_zip(lambda file: file.writestr("a", bytes(range(256)) * 40)))
    content[60] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no zip", "cannot be read (File is not a zip file)"),
        (_named("../out"), "found the entry '../out', expected a path inside of the archive"),
        (_named("a/../../out"), "found the entry 'a/../../out', expected a path inside"),
        (_named("/out"), "found the entry '/out', expected a path inside of the archive"),
        (_named("a\\..\\out"), "expected a path inside of the archive"),
        (_named("a", "a/b"), "cannot be read ("),
        (_named(300 * "a"), "cannot be read (file name too long)"),
        (_link(), "link: is a link or device, expected a regular file"),
        (_encrypted(), "a: is encrypted, expected an archive without a password"),
        (_damaged(), "cannot be read ("),
        (_claims(0), "cannot be read ("),
    ],
)
def test_hostile_archives(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught, unpacked(path):
        pass
    assert str(caught.value).startswith(f"{path}: ") and sentence in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.zip"]


def test_more_than_the_disk_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb: 4 GB by the directory of the archive, where 1 GB is free; nothing is extracted."""
    path = tmp_path / "bomb.zip"
    path.write_bytes(_claims(2**32 - 2))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    expected = r"found 1 files of 4,294,967,294 bytes, expected at most 900,000,000"
    with pytest.raises(InputError, match=expected), unpacked(path):
        pass


def test_not_there(tmp_path: Path) -> None:
    expected = r"none.zip: cannot be read \(no such file or directory\)"
    with pytest.raises(InputError, match=expected), unpacked(tmp_path / "none.zip"):
        pass
