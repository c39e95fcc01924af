"""The device-resident loader against torchvision's transforms on single images."""

import pytest
import torch
from scipy import stats
from torch.utils.data import BatchSampler
from torchvision.transforms import v2

from sgenet.classification.resident import ResidentImages, augment, crops
from sgenet.config.recipes import Classification
from sgenet.errors import InputError
from sgenet.training.batches import MicroBatchSampler, SeededSampler


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (48, 100), (100, 40)])
def test_crops_are_distributed_as_torchvisions(rows, columns):
    scale, count = [0.3, 1.0], 3000
    ours = crops(count, rows, columns, scale, torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    image = torch.zeros(3, rows, columns)
    reference = v2.RandomResizedCrop(8, scale=scale)
    theirs = [[reference.make_params([image])[key] for key in ("top", "left", "height", "width")] for _ in range(count)]
    assert (
        (ours[:, 0] + ours[:, 2] <= rows).all()
        and (ours[:, 1] + ours[:, 3] <= columns).all()
        and (ours[:, :2] >= 0).all()
    )
    for column, other in zip(ours.T, torch.tensor(theirs, dtype=torch.float64).T, strict=True):
        assert stats.ks_2samp(column.numpy(), other.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_crop_is_torchvisions_bilinear_one(flip):
    smooth = v2.functional.resize(torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 255, [40, 40])
    images = smooth.to(torch.uint8)
    made = augment(images, 48, [0.5, 0.9], flip, torch.Generator().manual_seed(3))
    boxes = crops(4, 40, 40, [0.5, 0.9], torch.Generator().manual_seed(3)).int().tolist()
    for image, box, own in zip(images.float(), boxes, made, strict=True):
        expected = v2.functional.resized_crop(image, *box, [48, 48], antialias=False)
        expected = expected.flip(2) if flip else expected
        # at the crop's border torchvision repeats its last pixel, the grid goes on into the image
        torch.testing.assert_close(own[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=0.02, rtol=0)
        torch.testing.assert_close(own, expected, atol=12.0, rtol=0)


class Images:
    def __init__(self, sizes):
        random = torch.Generator().manual_seed(0)
        self.items = [torch.randint(256, (3, *size), dtype=torch.uint8, generator=random) for size in sizes]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index], index % 3


SETTINGS = Classification.model_construct(workers=0, image_size=16, resize=20, crop_scale=(0.5, 1.0), flip=0.5)


def test_batches_are_those_of_the_sampler_and_depend_on_seed_and_epoch_alone():
    data = Images([(16, 16)] * 10)

    def batches(seed, epoch):
        order = SeededSampler(data, 5)
        order.set_epoch(epoch)
        loader = ResidentImages(data, MicroBatchSampler(BatchSampler(order, 4, True), 1, True), SETTINGS, "cpu", seed)
        loader.epoch = epoch
        assert len(loader) == 2
        return list(order), [(images.clone(), labels.tolist()) for images, labels in loader]

    order, first = batches(0, 0)
    assert [label for _, labels in first for label in labels] == [index % 3 for index in order[:8]]
    again, others = batches(0, 0)[1], (batches(1, 0)[1], batches(0, 1)[1])
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, again, strict=True))
    assert all(not torch.equal(first[0][0], other[0][0]) for other in others)


def test_evaluation_sees_what_the_transforms_of_single_images_give():
    data = Images([(24, 24)] * 5)
    loader = ResidentImages(data, [[0, 1, 2], [3, 4]], SETTINGS, "cpu")
    found = torch.cat([images for images, _ in loader])
    single = v2.Compose([v2.Resize(20), v2.CenterCrop(16)])
    assert torch.equal(found, torch.stack([single(image) for image in data.items]))


def test_images_of_several_sizes_are_refused():
    with pytest.raises(InputError, match="resident: found images of 16 x 16 and of 16 x 20 pixels, expected one size"):
        ResidentImages(Images([(16, 16), (20, 16)]), [[0, 1]], SETTINGS, "cpu")
