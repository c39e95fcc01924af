"""What the reader of parameters refuses: anything but plain values, and whatever would take all time or memory."""

import os
import subprocess
import sys

import pytest
import yaml

from sgenet.config.plain_yaml import read_yaml
from sgenet.errors import InputError
from sgenet.runtime.files import read_json


@pytest.fixture
def read(tmp_path):
    """Read a text, or bytes, as a YAML file."""

    def run(content):
        path = tmp_path / "file.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(path)

    return run


TAKEN = {
    "": None,
    "\ufeffa: 1": {"a": 1},
    "a: {<<: &x {b: 1}, c: 2}\nd: &y {<<: *x, b: 3}\ne: *y": {"a": {"b": 1, "c": 2}, "d": {"b": 3}, "e": {"b": 3}},
    "a: {<<: [{b: 1}, {b: 2, c: 3}]}": {"a": {"b": 1, "c": 3}},
    "[1, 1.5, -1.0e-3, true, null, ~, text, 'yes', \"a\\tb\\nc\"]": [
        1,
        1.5,
        -0.001,
        True,
        None,
        None,
        "text",
        "yes",
        "a\tb\nc",
    ],
    "a: yes\nb: 0x10": {"a": True, "b": 16},
    "\"yes\": 1\n'1': 2": {"yes": 1, "1": 2},
}


@pytest.mark.parametrize("text", TAKEN)
def test_plain_values_are_read(read, text):
    assert read(text) == TAKEN[text]


NUMBERS = {  # of YAML 1.2's core schema, as written by DVC and others, and of YAML 1.1, whose reading has precedence
    "1e-5": 1e-5, "1E5": 1e5, "1.e+3": 1e3, "1.5e3": 1.5e3, ".5": 0.5, "+.5": 0.5, "-.5e1": -5.0, "-2e0": -2.0,
    "0o17": 15, "017": 15, "0b11": 3, "1_000": 1000, "1:30": 90, "1.0e-3": 1e-3, "-.inf": float("-inf"),
}  # fmt: skip
TEXTS = ["08", "1e", "e5", "1e5x", "0o8", "0o", "1_0e5", ".e5", "+", ".", "1.2.3", "'1e5'", "x1e5", "1e-5 m"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_of_yaml_1_1_and_1_2_are_read(read, text):
    assert repr(read(f"a: {text}")["a"]) == repr(NUMBERS[text])


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_resembles_a_number_remains_text(read, text):
    assert read(f"a: {text}")["a"] == text.strip("'")


def test_values_of_yaml_1_1_are_read_as_before(read):
    """Compared with PyYAML on words that its patterns of numbers tell apart."""
    words = [sign + a + b + c for sign in ("", "-", "+") for a in ("0", "7", "0x1", "1_0", "012", "0b1")
             for b in ("", ".", ".5", ":30", "_") for c in ("", "e+3", "e-3", "_")]  # fmt: skip
    numbers = [word for word in words if not isinstance(yaml.safe_load(word), str)]
    assert len(numbers) > 100
    assert [repr(read(word)) for word in numbers] == [repr(yaml.safe_load(word)) for word in numbers]


def test_a_learning_rate_that_dvc_has_set_is_a_number(read):
    """DVC changes parameters with the YAML 1.2 of ruamel.yaml."""
    from dvc.utils.serialize import dumps_yaml

    assert read(dumps_yaml({"lr": 1e-5, "other": 1e22})) == {"lr": 1e-5, "other": 1e22}


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(3000))
REFUSED = [
    ("a: !!python/object/apply:os.system ['true']", "line 1 is not YAML of plain values .found the tag"),
    ("a: !!python/name:os.system", "found the tag"),
    ("a: !!binary aGk=", "found the tag"),
    ("a: ! b", "found the tag"),
    ("!!set {a}", "found the tag"),
    ("\na: 2001-12-14", "line 2: found 2001-12-14, which YAML reads as a timestamp: put text in quotes"),
    ("a: 2001-99-99", "reads as a timestamp"),
    ("a: =", "reads as a value"),
    ("a: 0b_", "contains a number that cannot be read"),
    ("a: " + "1" * 9999 + "e5", "found a number of 10001 characters"),
    ("a: 0o" + "7" * 9999, "found a number of 10001 characters"),
    ("a: " + "1" * 10**6, "found a number of 1000000 characters"),
    ("1e5: 2", "a key that YAML reads as float"),
    ("a: 0x" + "f" * 9999, "found a number of 10001 characters"),
    ("a: " + "1:" * 5000 + "1", "found a number of 10001 characters"),
    ("a: 1e" + "5" * 9999, "found a number of 10001 characters"),
    ("a: 1\nyes: 2", "line 2: found a key that YAML reads as bool, expected text"),
    ("1: 2", "a key that YAML reads as int"),
    ("2001-12-14: 2", "a key that YAML reads as timestamp"),
    ("? [a]\n: b", "a key that YAML reads as seq"),
    ("? {a: b}\n: c", "a key that YAML reads as map"),
    ("a: 1\n'a': 2", "line 2: a is repeated"),
    ("a: &b [*b]", r"\*b refers to no complete value before it"),
    ("&b {a: *b}", r"\*b refers to no complete"),
    ("a: *b", r"\*b refers to no complete"),
    ("a: &b {<<: *b}", r"\*b refers to no complete"),
    ("<<: 1", "not YAML .expected a mapping"),
    ('a: "\\0"', "found the control character"),
    ('a: "\\e[2J"', "found the control character"),
    ("a: \x1b", "not YAML"),
    ("a: \0", "not YAML"),
    ("\ta: 1", "not YAML"),
    ("a: 1\n---\nb: 2", "not YAML .*another document"),
    ("[" * 10**6, "line 1 is nested too deeply, expected at most 40 levels of lists and mappings"),
    ("{a: " * 10**5, "is nested too deeply"),
    ("- " * 10**5, "is nested too deeply"),
    (LAUGHS, "line 5 .*too many values, expected at most 20,000"),
    (MERGED, "line 5 .*too many values, expected at most 20,000"),
    (CHAIN, "too many values, expected at most .* 40 levels deep"),
    ("[" + "a," * 30_000 + "]", "contains too many values"),
    (b"a: \xff", "cannot be read .not utf-8 text."),
    (" " * 2**21, "cannot be read .is larger than 1,048,576 bytes."),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED, ids=[sentence[:40] for _, sentence in REFUSED])
def test_anything_else_is_refused_in_a_sentence(read, content, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        read(content)
    assert len(str(error.value)) < 1600 and str(error.value).isprintable()


@pytest.mark.parametrize("reader", [read_yaml, read_json])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "zero", "folder", "loop", "huge", "none", "a\0b", "n" * 999):
        with pytest.raises(InputError, match="cannot be read .*, expected a (YAML|JSON) file"):
            reader(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["[" * 41 + "]" * 41, '{"a":' * 41 + "1" + "}" * 41, "[" * 10**6, "[" * 900 + "]" * 900]
)
def test_json_that_is_too_deep_to_be_walked_through_is_refused(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(InputError, match="lists nested too deeply"):
        read_json(tmp_path / "file.json")
    (tmp_path / "file.json").write_text("[" * 40 + "]" * 40)
    assert read_json(tmp_path / "file.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"a": [1, NaN]}', "a.1: found nan, expected a finite number"),
        ('{"a": {"b": -1e999}}', "a.b: found -inf, expected a finite number"),
        ('["\\ud800"]', "0: found half a surrogate pair, expected Unicode text"),
        ('{"\\udfff": 1}', r"\\udfff: found half a surrogate pair"),
    ],
)
def test_json_that_could_not_be_written_again_is_refused_unless_it_is_foreign(tmp_path, text, sentence):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(InputError, match=f"file.json: {sentence}"):
        read_json(tmp_path / "file.json")
    assert read_json(tmp_path / "file.json", foreign=True)


def test_a_sentence_is_one_line_for_a_terminal_and_not_too_long():
    text = str(InputError("a: found \x1b[2J\n\u202e" + "x" * 9999 + ", expected less"))
    assert text.isprintable() and len(text) <= 1500
    assert text.startswith(r"a: found \x1b[2J\n\u202exxx") and text.endswith("xxx, expected less")
    assert str(InputError("one", "two")) == "one\ntwo"


def test_a_parser_in_c_is_not_brought_down(tmp_path):
    """PyYAML builds nested nodes by calls in C, which end the process where its stack does."""
    (tmp_path / "file.yaml").write_text("[" * 10**6)
    code = "import sys\nfrom sgenet.config.plain_yaml import read_yaml\nread_yaml(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "file.yaml"], capture_output=True, text=True)
    assert ended.returncode == 1 and "InputError" in ended.stderr
