"""Checking on all cores: what is known is not read again, unless its size or time changed."""

import contextlib
import os
import resource
from dataclasses import replace

import pytest
import xxhash

from sgenet.data import checks, cores
from sgenet.data.checks import Source, check_images
from sgenet.errors import InputError
from support.faults import can_mount, fill, forked, make_read_only, mount


@pytest.fixture
def images(source):
    """Forty images, one of them broken, as the check takes them."""
    for number in range(40):
        source.image(f"{number:02d}.png", size=(5 + number, 3))
    source.bytes("07.png", b"no image")

    def listed():
        found = []
        for path in sorted(source.root.iterdir()):
            status = path.stat()
            found.append(Source(path.name, str(path), status.st_size, status.st_mtime_ns))
        return found

    return listed


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the images that are read, all in this process."""
    names, inspect = [], checks.inspect
    monkeypatch.setattr(cores, "count_cores", lambda: 1)

    def note(source):
        names.append(source.name)
        return inspect(source)

    monkeypatch.setattr(checks, "inspect", note)
    return names


@pytest.mark.parametrize("count", [1, 2])
def test_every_image_is_described(images, source, tmp_path, monkeypatch, count):
    monkeypatch.setattr(cores, "count_cores", lambda: count)
    found = check_images(images(), tmp_path / "known.sqlite", "check")
    for number, result in enumerate(found):
        content = (source.root / f"{number:02d}.png").read_bytes()
        assert (result.size, result.xxhash.hex()) == (len(content), xxhash.xxh3_128_hexdigest(content))
        assert (result.width, result.height) == ((0, 0) if number == 7 else (5 + number, 3))
        assert ("expected JPEG" in result.problem) == (number == 7)
    assert check_images(images(), tmp_path / "known.sqlite", "check") == found  # from memory the same


def test_only_what_changed_is_read_again(images, source, tmp_path, looked_at):
    cache = tmp_path / "known.sqlite"
    check_images(images(), cache, "check")
    assert len(looked_at) == 40
    check_images(images(), cache, "check")
    assert len(looked_at) == 40
    source.image("03.png", size=(60, 60))
    os.utime(source.root / "04.png", ns=(1, 1))
    found = check_images(images(), cache, "check")
    assert looked_at[40:] == ["03.png", "04.png"]
    assert found[3].width == 60


def test_the_data_may_move(images, source, tmp_path, looked_at):
    check_images(images(), tmp_path / "known.sqlite", "check")
    source.root = source.root.rename(tmp_path / "elsewhere")
    check_images(images(), tmp_path / "known.sqlite", "check")
    assert len(looked_at) == 40


def test_an_interrupted_check_continues(images, tmp_path, monkeypatch, looked_at):
    note = checks.inspect

    def interrupt(source):
        if source.name == "25.png":
            raise KeyboardInterrupt
        return note(source)

    monkeypatch.setattr(checks, "inspect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        check_images(images(), tmp_path / "known.sqlite", "check")
    assert len(looked_at) == 25
    monkeypatch.setattr(checks, "inspect", note)
    assert len(check_images(images(), tmp_path / "known.sqlite", "check")) == 40
    assert looked_at[25:] == [f"{number}.png" for number in range(25, 40)]


def test_a_broken_memory_is_thrown_away(images, tmp_path, looked_at, capsys):
    cache = tmp_path / "known.sqlite"
    found = check_images(images(), cache, "check")
    cache.write_bytes(b"SQLite format 3\0" + b"rubbish" * 999)
    assert check_images(images(), cache, "check") == found
    assert len(looked_at) == 80
    assert "known.sqlite: removed as unreadable" in capsys.readouterr().err
    check_images(images(), cache, "check")
    assert len(looked_at) == 80


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_disk_that_takes_nothing_loses_nothing_that_is_known(images, tmp_path, looked_at, monkeypatch, fault):
    place = tmp_path / "disk"
    place.mkdir()
    if why := can_mount(place):
        pytest.skip(f"nothing can be mounted here: {why}")
    monkeypatch.setattr(checks, "_COMMIT_SECONDS", -1)

    def act():
        mount(place, "64k")
        check_images(images()[:10], place / "known.sqlite", "check")
        fill(place, 0) if fault == "full" else make_read_only(place, True)
        many = [replace(source, name=f"{number}{source.name}") for number in range(9) for source in images()]
        with pytest.raises(InputError, match=r"known\.(sqlite|lock): cannot be written \(.*\); "):
            check_images(many, place / "known.sqlite", "check")
        (place / "fill").unlink() if fault == "full" else make_read_only(place, False)
        looked_at.clear()
        check_images(images()[:10], place / "known.sqlite", "check")
        return looked_at

    assert forked(act) == []


def test_a_memory_that_cannot_be_opened_just_now_is_kept(images, tmp_path, looked_at):
    cache = tmp_path / "known.sqlite"
    check_images(images(), cache, "check")

    def act():
        sources, taken = images(), []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        os.close(taken.pop())  # one more can be opened: the lock
        with pytest.raises(
            InputError, match="known.sqlite: cannot be written .unable to open database file.; the same"
        ):
            check_images(sources, cache, "check")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        check_images(sources, cache, "check")
        return len(looked_at)

    assert forked(act) == 40


def test_a_second_check_at_work_is_told(images, tmp_path, monkeypatch):
    """Also between two of the times that the first one keeps what it found."""
    cache, inspect = tmp_path / "known.sqlite", checks.inspect
    monkeypatch.setattr(cores, "count_cores", lambda: 1)
    monkeypatch.setattr(checks, "_COMMIT_SECONDS", -1)

    def inspect_beside_another(source):
        if source.name in ("00.png", "30.png"):
            with pytest.raises(InputError, match="known.sqlite is in use by process"):
                check_images(images(), cache, "check")
        return inspect(source)

    monkeypatch.setattr(checks, "inspect", inspect_beside_another)
    assert len(check_images(images(), cache, "check")) == 40


def test_what_another_check_found_is_found_anew(images, tmp_path, looked_at, monkeypatch):
    check_images(images(), tmp_path / "known.sqlite", "check")
    monkeypatch.setattr(checks, "VERSION", checks.VERSION + 1)
    check_images(images(), tmp_path / "known.sqlite", "check")
    assert len(looked_at) == 80


def test_a_file_that_cannot_be_read_is_tried_again(images, source, tmp_path):
    listed = images()
    moved = (source.root / "05.png").rename(tmp_path / "05.png")
    found = check_images(listed, tmp_path / "known.sqlite", "check")
    assert found[5].problem == "cannot be read (no such file or directory)"
    moved.rename(source.root / "05.png")
    assert not check_images(listed, tmp_path / "known.sqlite", "check")[5].problem


def test_progress_is_told_where_there_is_no_terminal(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sgenet.data.progress.SECONDS", -1)
    check_images(images(), tmp_path / "known.sqlite", "check")
    assert "check: 39 of 40 images, 0:00:00 left\n" in capsys.readouterr().err
