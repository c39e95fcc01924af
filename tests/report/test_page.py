"""The page: self-contained, escaped, complete."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from sgenet.config.replication import Replication, load_replication
from sgenet.report import build
from sgenet.report.formats import number, printed, signed, unbroken
from support import results as make
from support.page import Elements

PAGE = Path("reports/demo/index.html")
LOADING = {"src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href"}


def test_loads_nothing(replication: Replication) -> None:
    build(replication)
    text = PAGE.read_text()
    elements = Elements(text)
    for tag, attributes in elements.tags:
        for name, value in attributes.items():
            if name in LOADING or (name == "href" and tag != "a"):
                assert (value or "").startswith("data:"), (tag, name, value)
    assert elements.all("script") == [{}] and not elements.all("iframe")  # the page's own
    assert not re.search(r"url\(|@import", text)
    assert len(text) < 5 * 2**20


def test_hostile_names_are_escaped(repository: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    table = make.CLASSIFICATION | {"title": evil}
    rows = [row | {"label": evil + row["label"], "note": evil} for row in table["rows"]]
    rows[1] = rows[1] | {"baseline": rows[0]["label"]}
    columns = [column | {"label": evil, "unit": evil} for column in table["columns"]]
    make.write_table("one", table | {"rows": rows, "columns": columns, "note": evil})
    make.write_claims([claim | {"sentence": evil, "where": evil, "note": evil} for claim in make.CLAIMS[2:]])
    replication = load_replication()
    replication = replace(replication, scale=replication.scale.model_copy(update={"description": evil}))
    make.make_results(replication)
    manifest = Path("data/demo/classification.json")
    manifest.write_text(manifest.read_text().replace('"zero"', '"<script>"'))
    path = make.metrics_path("classification/sge-resnet50")
    path.write_text(path.read_text().replace("a made-up CPU", "<script>").replace("c0ffee", "<script>"))
    path = make.metrics_path("detection/retinanet/resnet50")
    path.write_text(path.read_text().replace("detection/retinanet/resnet50", "<script>", 1))
    (problem,) = build(replication)
    assert "<script>" in problem
    text = PAGE.read_text()
    assert text.count("<script") == 1 and "&lt;script&gt;" in text
    assert Elements(text).all("script") == [{}]


def test_defects_and_turned_images_are_counted(replication: Replication) -> None:
    path = Path("data/demo/classification.json")
    classes = [f"n{number:08d}" for number in range(1000)]
    found = {"defects": {"policy": "skip", "by_kind": {"empty box": 2, "unreadable image": 1234}}, "classes": classes}
    make.write(
        path,
        json.loads(path.read_text()) | found | {"rotated": {"train": 5, "val": 0}, "remarks": ["3 images of A < B"]},
    )
    build(replication)
    text = " ".join(PAGE.read_text().split())
    counts = r"Defects: 2 × empty box, 1.?234 × unreadable image"
    assert re.search(counts + r"; policy skip: what cannot be used is left out\.", text)
    assert "Rotated by their EXIF orientation: 5 train, 0 val images." in text
    assert "3 images of A &lt; B." in text
    assert re.search(r"1.?000 classes\. ", text) and classes[7] not in text


def test_every_number_opens_its_origin(replication: Replication) -> None:
    build(replication)
    text = PAGE.read_text()
    elements = Elements(text)
    popovers = {a["id"] for _, a in elements.tags if "popover" in a}
    buttons = [a["popovertarget"] for a in elements.all("button") if a.get("class") == "open"]
    published = 6 + 2
    assert len(buttons) == published + 2 * 4 + 2 * 3 + len(replication.runs) and set(buttons) == popovers
    for word in ("a made-up CPU", "c0ffee", "torch 2.11.0", "fingerprint f1", "5 min", "AdamW"):
        assert word in text
    assert "sgenet train classification/sge-resnet50 --scale demo --seed 0" in text


def test_says_what_it_must(replication: Replication) -> None:
    build(replication)
    text = " ".join(re.sub(r"<[^>]+>", " ", PAGE.read_text()).split())
    assert "only the direction of a gain is compared with the published one" in text
    assert "best Top-1 on the validation set itself" in text and "last 69.0" in text
    assert "+1.20" in text and "+10.0" in text and "a note on a value" in text
    assert "official README" in text and "low confidence" in text
    assert "ImageNet and COCO with the paper's recipe" in text.replace("&#39;", "'")


def test_marked_up_for_everyone(replication: Replication) -> None:
    build(replication)
    text = PAGE.read_text()
    elements = Elements(text)
    assert [a["lang"] for a in elements.all("html")] == ["en"]
    assert len(elements.all("img")) == 2 and all(a.get("alt") for a in elements.all("img"))
    drawings = [svg for svg in elements.all("svg") if svg.get("role") == "img"]
    assert len(drawings) == text.count("</title>") - 1 >= 2  # Top-1; loss
    assert all("scope" in a for a in elements.all("th"))
    ids = [a["id"] for _, a in elements.tags if "id" in a]
    assert len(ids) == len(set(ids))
    named = {a[key] for _, a in elements.tags for key in ("aria-labelledby", "popovertarget") if key in a}
    targets = {(a["href"] or "")[1:] for a in elements.all("a") if (a["href"] or "").startswith("#")}
    assert named | targets <= set(ids)


def test_paper_scale_reads_otherwise(repository: Path) -> None:
    scale = Path("params/scales/demo.yaml").read_text()
    Path("params/scales/paper.yaml").write_text(scale)
    replication = load_replication("paper", 3)
    make.make_results(replication)
    build(replication)
    text = Path("reports/paper/index.html").read_text()
    assert "never compared" not in text and "A gain is replicated where" in text
    table = json.loads(Path("reports/paper/comparison.json").read_text())["tables"][0]
    cell = table["rows"][1]["cells"]["top1"]  # 10 points above the baseline's, where 1.2 were published
    assert cell["verdict"] == "stronger" and cell["reproduced"]["gain"]["low"] > 1.2
    assert re.search(r'\+10\.0.*?<span class="verdict good">stronger</span>', text, re.DOTALL)


def test_number_words() -> None:
    assert (
        number(-1.25, 1) == "\N{MINUS SIGN}1.2"
        and number(25557032) == "25\N{NARROW NO-BREAK SPACE}557\N{NARROW NO-BREAK SPACE}032"
    )
    assert [signed(value, 1) for value in (1.0, -1.0, 0.04, -0.04)] == ["+1.0", "\N{MINUS SIGN}1.0", "0.0", "0.0"]


def test_published_values_have_the_decimals_they_were_published_with() -> None:
    assert [printed(value, 3) for value in (168.3, 76.383995, 37.0, 37)] == ["168.3", "76.384", "37.0", "37"]
    assert printed(25.557, 2) == "25.56"


def test_imports_no_training_code() -> None:
    heavy = {"torch", "mmdet", "mmengine", "pandas"}
    code = f"import sys, sgenet.report, sgenet.evaluation.statistics; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_labels_break_between_their_words_alone() -> None:
    label = "Mask R-CNN SGE-ResNet50, beta = 0 <b>"
    kept = ["R-CNN", "SGE-ResNet50", "beta = 0"]
    shown = unbroken(label)
    assert re.findall(r'<span class="nb">(.*?)</span>', shown) == kept
    assert shown.striptags() == label and "<b>" not in shown
