"""Many defects: a summary by kind on the terminal, all of them in a file."""

import pytest

from sgenet.data.defects import Defect, overview, settle
from sgenet.errors import InputError

MANY = 150_000


def made(count, kind="unreadable image"):
    return [Defect(kind, f"train/cat/{number}.png: found an empty file") for number in range(count)]


@pytest.mark.parametrize("policy", ["strict", "skip"])
def test_150_000_defects_are_summarised(tmp_path, capsys, policy):
    defects, file = [*made(MANY), *made(1, "stray file"), *made(12, "file name")], tmp_path / "logs/defects.txt"
    if policy == "strict":
        with pytest.raises(InputError) as refused:
            settle(defects, "classification", policy, file)
        head, *shown = str(refused.value).splitlines()
        assert head.startswith(
            "data.classification: found 150,013 defects, expected none (`defects: skip` leaves these"
        )
        assert head.endswith(f"; list: {file}")
        assert file.read_text().splitlines() == [defect.text for defect in defects]
    else:
        settle(defects, "classification", policy, file)
        head, *shown = capsys.readouterr().err.splitlines()
        assert head == "data.classification: 150,013 defects, which are left out:"
        assert len(file.read_text().splitlines()) == len(defects)  # in case the rest of the data is refused
    assert shown[:2] == [defect.text for defect in defects[:2]]
    assert len(shown) == 6 + 1 + 6
    assert shown[5] == "… and 149,995 more of the kind: unreadable image"
    assert shown[12] == "… and 7 more of the kind: file name"


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_few_are_all_shown(count):
    assert overview(made(count)) == [defect.text for defect in made(count)]


@pytest.mark.parametrize("policy", ["strict", "skip"])
def test_a_list_of_earlier_defects_is_removed_with_them(tmp_path, capsys, policy):
    file = tmp_path / "defects.txt"
    file.write_text("of before")
    settle([], "detection", policy, file)
    assert not file.exists() and capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_whole_data_set_of_defects(source, prepare):
    source.coco()
    bad = [{"id": number, "image_id": 10, "category_id": 7, "bbox": [1, 1, 0, 5], "area": 9} for number in range(MANY)]
    source.edit("train", lambda coco: coco.update(annotations=bad))
    with pytest.raises(InputError) as refused:
        prepare("coco")
    assert len(str(refused.value).splitlines()) == 7
    assert len(prepare.refused.read_text().splitlines()) == MANY
