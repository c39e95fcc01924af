"""Which benchmarks run, how variants take turns, and the files that rows are written to."""

import csv
import os
from types import SimpleNamespace

import pytest
from PIL import Image

import bench
from bench import WHAT, common, output
from bench.__main__ import main
from bench.common import Row, in_words, row, take_turns
from sgenet.errors import InputError


@pytest.mark.parametrize(
    ("asked", "expected"), [([], list(WHAT)), (["loader"], ["loader"]), (["step", "op", "step"], ["step", "op"])]
)
def test_those_that_are_named_run_once_each(monkeypatch, asked, expected):
    ran = []
    of = lambda name: SimpleNamespace(bench=lambda: ran.append(name.rpartition(".")[2]))  # noqa: E731
    monkeypatch.setattr(bench, "import_module", of)
    assert main([*asked]) == 0
    assert ran == expected


def test_a_bad_name_is_told_in_one_sentence_and_nothing_runs(monkeypatch, capsys):
    monkeypatch.setattr(bench, "import_module", lambda name: pytest.fail(name))
    assert main(["op", "speed"]) == 2
    assert capsys.readouterr().err == "bench: found 'speed', expected some of op, step, loader, pipeline\n"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what calls take; returns the maker of calls, and the names of those made."""
    now, made = [0.0], []
    monkeypatch.setattr(common, "time", SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: 2 * now[0]))

    def taking(name, *seconds):
        left = iter(seconds)

        def call():
            made.append(name)
            now[0] += next(left, seconds[-1])

        return call

    return taking, made


def test_variants_take_turns_after_a_call_that_does_not_count(clock):
    taking, made = clock
    processor = {}
    seconds = take_turns({"a": taking("a", 9, 1, 2, 4), "b": taking("b", 9, 2, 1, 8)}, 3, processor=processor)
    assert made == ["a", "b", *"ababab"]
    assert seconds == {"a": [1, 2, 4], "b": [2, 1, 8]}
    assert {name: [round(time, 6) for time in own] for name, own in processor.items()} == {
        "a": [2, 4, 8],
        "b": [4, 2, 16],
    }


def test_what_is_short_is_called_often_enough(clock):
    taking, made = clock
    seconds = take_turns({"short": taking("short", 0.25), "long": taking("long", 4)}, 2, warm=False, shortest=2)
    assert made.count("short") == 1 + 2 * 8 and made.count("long") == 1 + 2
    assert seconds == {"short": [0.25, 0.25], "long": [4, 4]}


def test_a_row_has_quartiles_and_the_median_of_the_turns_ratios(capsys):
    seconds = {"plain": [1.0, 2.0, 4.0, 1.0, 1.0], "other": [4.0, 3.0, 4.0, 2.0, 1.0]}
    processor = {"plain": [1.0] * 5, "other": [2.0, 1.0, 3.0, 5.0, 4.0]}
    found = row("what", "other", seconds, {"per_second": 5.0}, "5/s", processor)
    assert (found.low, found.seconds, found.high) == (2, 3, 4)
    assert found.ratio == 1.5  # of 4, 1.5, 1, 2, 1; that of the medians is 3
    assert found.ratios == (1, 1.5, 2) and found.processor == (3, 2, 3, 4)
    expected = "3.00 s (2.00 s to 4.00 s), 1.500 (1.000 to 2.000) of the first"
    busy = "processor time 3.000 (2.000 to 4.000) of the first"
    assert capsys.readouterr().out == f"what | other: {expected}, {busy}, 5/s\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(12.34, "12.3 s"), (1, "1.00 s"), (0.01234, "12.3 ms"), (4.2e-5, "42.0 µs"), (321.4, "321 s"), (0, "0 µs")],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


ROWS = [
    Row("first, of two", "plain", 1.0, 0.5, 2.0, (1.0, 1.0, 1.0), (1.5, 1.0, 1.0, 1.0), {"images_per_second": 32.0}),
    Row("first, of two", "other", 1.25, 1.0, 1.5, (1.2, 1.25, 1.4), None, {"images_per_second": 25.6}, "fast"),
    Row("second", "compiled", note="not available: no compiler"),
]


def _write(name="op"):
    return output.write(name, ROWS, "title", device="Some-GPU", packages=["torch", "numpy"])


def test_rows_are_written_with_their_plot(tmp_path, monkeypatch):
    from importlib.metadata import version

    monkeypatch.chdir(tmp_path)
    path = _write()
    torch_version = version("torch").partition("+")[0]
    assert str(path) == f"bench/results/op-Some-GPU-torch{torch_version}-numpy{version('numpy')}.csv"
    with open(path, newline="") as file:
        first, second, third = csv.DictReader(file)
    assert list(first) == [
        "what", "variant", "median_seconds", "lower_quartile", "upper_quartile", "over_first_lower_quartile",
        "over_first", "over_first_upper_quartile", "processor_seconds", "processor_over_first_lower_quartile",
        "processor_over_first", "processor_over_first_upper_quartile", "images_per_second", "note",
    ]  # fmt: skip
    assert list(first.values())[8:12] == ["1.5", "1", "1", "1"]
    assert [*filter(None, second.values())] == [
        "first, of two",
        "other",
        "1.25",
        "1",
        "1.5",
        "1.2",
        "1.25",
        "1.4",
        "25.6",
    ]
    assert [*filter(None, third.values())] == ["second", "compiled", "not available: no compiler"]
    with Image.open(f"{str(path)[:-4]}.png") as picture:
        assert min(picture.size) > 150 and len(picture.convert("RGB").getcolors(10**6)) > 20
    assert len(os.listdir(path.parent)) == 2


def test_a_plot_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _write()
    before = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)}

    def full(*_):
        raise OSError(28, "No space left on device", "picture")

    monkeypatch.setattr(output, "_draw", full)
    with pytest.raises(InputError, match="png: cannot be written .no space left"):
        _write()
    assert {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)} == before


def test_the_name_of_a_cpu_is_a_part_of_a_file_name(monkeypatch):
    monkeypatch.setattr(common, "cpu_name", lambda: "Maker(R) Fast(TM) CPU E5/x @ 2.80GHz")
    name = common.device_name("cpu")
    assert name.startswith("Maker-Fast-E5-x-2.80GHz-") and name.endswith("-cores")
