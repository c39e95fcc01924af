"""Bytes that a scale uses."""

import pytest

from sgenet.pipeline import disk
from sgenet.runtime.files import write_text


def test_links_are_counted_but_not_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text("elsewhere/images", "x" * 10_000)
    write_text("data/demo/deep/er/file", "x" * 100)
    (tmp_path / "data/demo/images").symlink_to(tmp_path / "elsewhere")
    used = disk.usage("demo")
    assert 100 < used.data < 1000 and used.results == used.checkpoints == 0 and used.used == used.data


@pytest.mark.parametrize(("count", "text"), [(0, "0 MiB"), (10, "1 KiB"), (2**20, "1 MiB"), (3 * 2**40, "3,072.0 GiB")])
def test_sizes_in_words(count, text):
    assert disk.size_text(count) == text
