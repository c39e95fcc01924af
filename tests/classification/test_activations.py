"""What figures 2 to 4 show: lengths, histogram, variance and statistics against loops and closed forms."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sgenet.attention import SpatialGroupEnhance
from sgenet.classification import activations
from sgenet.classification.activation_statistics import statistics, summarise
from sgenet.classification.classifier import build_network
from sgenet.cli import main
from sgenet.config import paths
from sgenet.config.model import validate
from sgenet.config.replication import load_replication
from sgenet.config.runs import FIGURES_RUN
from sgenet.data.packed import PackedImages, write_classes, write_packed
from sgenet.errors import InputError
from sgenet.evaluation.activations import MeasuredActivations
from sgenet.pipeline import steps
from sgenet.runtime.files import write_json
from sgenet.weights.checkpoints import load_weights, save_weights
from support import results

IMAGES, CLASSES = 13, ("ant", "bee", "cat")


def _sge(channels, groups, gamma, beta):
    module = SpatialGroupEnhance(channels, groups)
    nn.init.constant_(module.weight, gamma)
    nn.init.constant_(module.bias, beta)
    return module


def test_lengths_before_and_after_a_gate_known_in_closed_form():
    # one group, channels (x, 2x), x = 1 and 3: c = 10 and 30, normalised by its unbiased deviation -+ 1 / sqrt(2)
    module = _sge(2, 1, gamma=0.8, beta=0.3)
    features = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2) * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    before, after = activations.lengths_around(module, nn.Sequential(module, nn.ReLU(inplace=True)), -features)
    assert before.shape == (1, 1, 1, 2)
    gates = [1 / (1 + math.exp(-(0.3 + sign * 0.8 / math.sqrt(2)))) for sign in (-1, 1)]
    np.testing.assert_allclose(before.ravel(), [math.sqrt(5), 3 * math.sqrt(5)], rtol=1e-6)
    np.testing.assert_allclose(after.ravel(), before.ravel() * gates, rtol=1e-5)
    assert not module._forward_hooks


def test_groups_are_contiguous_channels():
    module = _sge(6, 2, gamma=0.0, beta=0.0)  # every gate is a half
    features = torch.randn(2, 6, 3, 4)
    before, after = activations.lengths_around(module, module, features)
    for image, group, row, column in np.ndindex(2, 2, 3, 4):
        vector = features[image, 3 * group : 3 * group + 3, row, column].tolist()
        assert before[image, group, row, column] == pytest.approx(math.hypot(*vector), rel=1e-5)
    np.testing.assert_allclose(after, before / 2, rtol=1e-5)


def test_histogram_is_numpys_whatever_the_order():
    lengths = np.random.default_rng(0).gamma(2, 3, (2, 4000))
    lengths[0, 0], lengths[1, 1] = 0, 40
    whole, parts = activations.PairedHistogram(), activations.PairedHistogram()
    whole.add(lengths)
    for part in np.array_split(lengths[:, ::-1], 7, axis=1):
        parts.add(part)
    assert whole.width == parts.width == 0.25  # 40 lies in the upper half of 256 bins
    np.testing.assert_array_equal(whole.counts, parts.counts)
    edges = np.arange(257) * 0.25
    np.testing.assert_array_equal(whole.counts, [np.histogram(side, edges)[0] for side in lengths])


def test_summaries_of_an_image_by_hand():
    before, after = [[4.0, 1.0, 3.0, 2.0, 2.0]], [[4.0, 1.0, 0.0, 1.0, 2.0]]
    lengths = np.array([before, after]).reshape(2, 1, 1, 1, 5)
    mean, variance, halves = summarise(lengths)
    np.testing.assert_allclose(mean, [[[2.4], [1.6]]])
    np.testing.assert_allclose(variance, [[[1.04], [1.84]]])
    # background: the two shortest before SGE, 1 and the first 2
    np.testing.assert_allclose(halves, [[[1.5, 3.0], [1.0, 2.0]]])


def test_a_gate_equal_everywhere_changes_variance_but_nothing_relative():
    rng = np.random.default_rng(1)
    before = rng.gamma(2, 1, (200, 3, 4, 4))
    before[:, 2] = 1.5  # a group that never varies is left out of the ratios
    found = statistics(*summarise(np.stack([before, 0.6 * before])))
    for name, expected in {
        "variance_ratio": 0.36,
        "relative_variance_ratio": 1,
        "background_over_foreground_change": 1,
    }.items():
        assert [found[name][key] for key in ("value", "low", "high")] == pytest.approx([expected] * 3)
    change = [-0.4 * np.sort(image.reshape(3, 16), axis=1)[:, :8].mean() for image in before]
    entry = found["background_length_change"]
    assert entry["value"] == pytest.approx(np.mean(change)) and entry["n"] == 200
    half = 1.96 * np.std(change) / math.sqrt(200)
    assert entry["high"] - entry["low"] == pytest.approx(2 * half, rel=0.1)
    assert entry["low"] + half == pytest.approx(entry["value"], abs=half / 4)


def test_statistics_tell_what_is_suppressed():
    before = np.random.default_rng(2).gamma(2, 1, (50, 2, 4, 4))
    shortest = before < np.median(before, axis=(2, 3), keepdims=True)
    after = before * np.where(shortest, 0.3, 0.6)
    found = statistics(*summarise(np.stack([before, after])))
    assert found["background_over_foreground_change"]["value"] == pytest.approx(0.5)
    ratios = [
        np.mean([after[i, group].var() for i in range(50)]) / np.mean([before[i, group].var() for i in range(50)])
        for group in range(2)
    ]
    assert found["variance_ratio"]["value"] == pytest.approx(math.sqrt(ratios[0] * ratios[1]))
    relative = [ratio * (before[:, g].mean() / after[:, g].mean()) ** 2 for g, ratio in enumerate(ratios)]
    assert found["relative_variance_ratio"]["value"] == pytest.approx(math.sqrt(relative[0] * relative[1]))
    assert found["growing_groups"]["value"] == np.mean([ratio > 1 for ratio in relative]) == 1
    assert found["relative_variance_ratio"]["low"] > 1
    with pytest.raises(ValueError, match="equally long everywhere"):
        statistics(*summarise(np.ones((2, 5, 2, 2, 2))))


def test_one_group_doubled_and_one_halved_are_no_change():
    before = np.random.default_rng(3).gamma(2, 1, (60, 2, 4, 4))
    mean = before.mean((2, 3), keepdims=True)
    after = mean + (before - mean) * np.sqrt([2.0, 0.5]).reshape(2, 1, 1)
    found = statistics(*summarise(np.stack([before, after])))
    for name in ("variance_ratio", "relative_variance_ratio"):
        assert [found[name][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert found["growing_groups"]["value"] == 0.5


def test_first_of_each_class():
    labels = [2, 0, 0, 1, 2, 1]
    assert activations.first_of_each_class(labels, 4) == [1, 3, 0, 2]
    assert activations.first_of_each_class(labels, 99) == [1, 3, 0, 2, 5, 4]


def train(run, seed):
    """Leave weights as a training does; returns the network."""
    torch.manual_seed(seed)
    network = build_network(run.model, run.settings, 3)
    for name, parameter in network.named_parameters():
        if ".sge." in name:
            nn.init.normal_(parameter)
    weights = paths.training("smoke", run.id, seed)
    save_weights(network, weights / "best.safetensors")
    (weights / "history.csv").touch()
    record = {"command": "sgenet train", "settings": run.identity, "data": {"fingerprint": "f1"}}
    write_json(weights / "training.json", record)
    return network


@pytest.fixture
def trained(project):
    """A run that looks trained: random weights with random gates, and a few random images."""
    project("params/pipeline.yaml", lambda value: value.update(scale="smoke", tables=["imagenet"]))
    project("params/scales/smoke.yaml", lambda scale: scale["classification"].update(batch_size=5, device_batch_size=5))
    replication = load_replication()
    run, folder = replication.run(FIGURES_RUN), paths.data_folder("smoke", "classification")
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    write_packed(folder, "val", map(Image.fromarray, noise), [index % 3 for index in range(IMAGES)])
    write_classes(folder, CLASSES)
    settings = replication.scale.data.classification.plain()
    manifest = {"task": "classification", "source": "embedded", "fingerprint": "f1", "settings": settings, "files": []}
    manifest |= {"classes": CLASSES, "splits": {split: {"images": IMAGES} for split in ("train", "val")}}
    write_json(paths.manifest("smoke", "classification"), manifest)
    network = train(run, 0)
    threads = torch.get_num_threads()
    yield replication, network.eval()
    torch.set_num_threads(threads)


def test_the_step_measures_all_validation_images(trained):
    replication, network = trained
    assert main(["activations"]) == 0
    path = paths.activations("smoke")
    found = json.loads(path.read_text())
    validate(MeasuredActivations, found, path)
    assert (found["run"], found["seed"], found["images"], found["groups"]) == (FIGURES_RUN, 0, IMAGES, 8)
    assert found["origin"]["activations"]["command"] == "sgenet activations --scale smoke"
    # the same by hand: the network up to the last block of stage 2, then its module alone
    settings = replication.run(FIGURES_RUN).settings
    images = PackedImages(paths.data_folder("smoke", "classification"), "val")
    mean, std = (torch.tensor(getattr(settings, name)).view(3, 1, 1) for name in ("mean", "std"))
    pixels = [torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image, _ in images]
    with torch.inference_mode():
        maps = network.maxpool(
            network.relu(network.bn1(network.conv1(torch.stack([(p - mean) / std for p in pixels]))))
        )
        block = network.layer2[-1]
        maps = network.layer2[:-1](network.layer1(maps))
        maps = network.relu(block.bn2(block.conv2(network.relu(block.bn1(block.conv1(maps))))))
        before = block.bn3(block.conv3(maps))
        pair = [
            features.view(IMAGES, 8, 8, 16).norm(dim=2).double().numpy() for features in (before, block.sge(before))
        ]
    histogram = found["histogram"]
    for side, lengths in zip(("before", "after"), pair, strict=True):
        edges = np.arange(len(histogram[side]) + 1) * histogram["bin_width"]
        assert np.abs(np.array(histogram[side]) - np.histogram(lengths, edges)[0]).sum() <= 4  # rounding at edges
        assert sum(histogram[side]) == lengths.size
        assert histogram["mean"][side] == pytest.approx(lengths.mean(), rel=1e-4)
        variance = lengths.var(axis=2)
        np.testing.assert_allclose(found["variance"][side]["mean"], variance.mean(0), rtol=1e-3)
        np.testing.assert_allclose(found["variance"][side]["std"], variance.std(0), rtol=1e-3)
        shown = found["maps"]["images"]
        assert [image["index"] for image in shown] == list(range(9))
        for image in shown:
            expected = lengths[image["index"], found["maps"]["groups"]].reshape(-1, 4, 4)
            np.testing.assert_allclose(image[side], expected, rtol=2e-3)
            assert image["class"] == CLASSES[image["index"] % 3]


def test_statistics_are_of_every_seed_and_figures_of_the_first(trained, project, capsys):
    run = trained[0].run(FIGURES_RUN)
    path, own = paths.activations("smoke"), {}
    first = paths.training("smoke", FIGURES_RUN, 0)
    kept = {file.name: file.read_bytes() for file in first.iterdir()}
    for seed in (1, 2, 0):  # each alone, as seed 0
        train(run, seed)
        for file in paths.training("smoke", FIGURES_RUN, seed).iterdir():
            (first / file.name).write_bytes(file.read_bytes())
        assert main(["activations"]) == 0
        own[seed] = json.loads(path.read_text())
    assert {file.name: file.read_bytes() for file in first.iterdir()} == kept
    project("params/scales/smoke.yaml", lambda scale: scale.update(seeds={FIGURES_RUN: 3}))
    assert main(["activations"]) == 0
    found = json.loads(path.read_text())
    validate(MeasuredActivations, found, path)
    for name, statistic in found["statistics"].items():
        alone = {str(seed): own[seed]["statistics"][name]["seeds"]["0"] for seed in range(3)}
        assert statistic["seeds"] == alone and len({entry["value"] for entry in alone.values()}) > 1
    shown = ("seed", "stage", "groups", "positions", "images", "maps", "histogram", "variance")
    assert {key: found[key] for key in shown} == {key: own[0][key] for key in shown}
    (paths.training("smoke", FIGURES_RUN, 2) / "training.json").unlink()
    assert main(["activations"]) == 2
    assert "sgenet train classification/sge-resnet50 --scale smoke --seed 2" in capsys.readouterr().err


def test_the_form_of_one_seed_is_read(trained):
    assert main(["activations"]) == 0
    path = paths.activations("smoke")
    found = json.loads(path.read_text())
    old = {name: {**one["seeds"]["0"], "description": one["description"]} for name, one in found["statistics"].items()}
    model = validate(MeasuredActivations, found, path)
    assert validate(MeasuredActivations, found | {"statistics": old}, path) == model


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda of: of["growing_groups"]["seeds"].pop("1"), "growing_groups.seeds: found ['0'], expected ['0', '1']"),
        (lambda of: [one["seeds"].pop("0") for one in of.values()], "variance_ratio.seeds: found ['1'], expected"),
        (lambda of: of["variance_ratio"].update(seeds={}), "variance_ratio.seeds: found {}, expected at least 1 entry"),
        (lambda of: of["variance_ratio"]["seeds"].update({"00": 1}), "variance_ratio.seeds.00"),
    ],
)
def test_statistics_of_other_seeds_are_refused(project, change, sentence):
    found = results.activations([0, 1])
    change(found["statistics"])
    with pytest.raises(InputError) as error:
        validate(MeasuredActivations, found, "a.json")
    assert str(error.value).startswith(f"a.json: statistics.{sentence}")


def test_weights_that_cannot_be_measured_are_told_in_one_sentence(trained, capsys):
    replication, network = trained
    weights = paths.training("smoke", FIGURES_RUN, 0) / "best.safetensors"
    for value, sentence in ((float("nan"), "not finite"), (0.0, "equally long everywhere")):
        load_weights(network, weights)
        nn.init.constant_(network.layer2[-1].bn3.weight, value)
        save_weights(network, weights)
        assert main(["activations"]) == 2
        error = capsys.readouterr().err
        assert str(weights) in error and sentence in error and error.strip().count("\n") == 0
        nn.init.ones_(network.layer2[-1].bn3.weight)
        save_weights(network, weights)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="best.safetensors: cannot be read as safetensors"):
        steps.activations(replication)
    assert not paths.activations("smoke").exists()


def test_what_is_missing_is_named_with_the_command_that_makes_it(trained, capsys):
    (paths.training("smoke", FIGURES_RUN, 0) / "training.json").unlink()
    assert main(["activations"]) == 2
    assert "expected from `sgenet train classification/sge-resnet50 --scale smoke" in capsys.readouterr().err
    paths.manifest("smoke", "classification").unlink()
    assert main(["activations"]) == 2
    assert "expected from `sgenet prepare classification --scale smoke`" in capsys.readouterr().err


def test_a_stem_without_max_pooling_leaves_the_last_stage_four_positions(project):
    def change(scale):
        scale["figures"]["stage"], scale["classification"]["max_pool"] = 4, False

    project("params/scales/smoke.yaml", change)
    assert load_replication("smoke", tables=["imagenet"]).runs[FIGURES_RUN].settings.strides == [2, 4, 8, 16]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"groups": [1, 8]}, "figures.groups: found 8, expected 0 to 7, the groups of classification/sge-resnet50"),
        ({"groups": []}, r"figures.groups: found \[\], expected at least 1 entry"),
        ({"stage": 4}, "figures.stage: found 4, whose feature maps of 32 px images have one position, expected"),
        ({"image": 9}, r"figures.image: unknown key, did you mean images\?"),
    ],
)
def test_settings_are_checked_before_anything_runs(project, change, sentence):
    project("params/scales/smoke.yaml", lambda scale: scale["figures"].update(change))
    with pytest.raises(InputError, match=f"params/scales/smoke.yaml: {sentence}"):
        load_replication("smoke", tables=["imagenet"])
