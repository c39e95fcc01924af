"""Which images a training step takes, and their random numbers: the same for any number of processes and workers.

A step's batch is cut into pieces of `device_batch_size` images, each of which goes through a device at once, so that
batch normalisation sees no more. The processes of a run take the pieces in turn and add up gradients until the batch is
whole.
"""

import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from sgenet.config.params import Settings
from sgenet.errors import InputError


def entropy(*numbers: int) -> int:
    """A seed of 32 bits out of several whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, numpy and torch, the GPU's too where it is in use.

    torch.manual_seed would keep a stack trace at each call for a GPU that is not.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


def pieces_of_step(settings: Settings, world: int | None = None) -> int:
    """Pieces of `device_batch_size` that make up a step's batch over all processes; InputError if they don't fit.

    `world` is the number of processes, by default of those that this one belongs to.
    """
    batch, piece, world = settings["batch_size"], settings["device_batch_size"], world or get_dist_info()[1]
    if batch % (piece * world):
        raise InputError(
            f"device_batch_size: found {piece} on {world} device{'s' * (world > 1)}, "
            f"expected pieces that make up the batch_size of {batch} in whole rounds"
        )
    return batch // piece


class Order(Sampler[int]):
    """All indices of a dataset, in an order drawn from the run's seed and the epoch."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by mmengine at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(entropy(self.seed, self.epoch))
        return iter(torch.randperm(len(self.dataset), generator=generator).tolist())

    def __len__(self) -> int:
        return len(self.dataset)


class Pieces(Sampler[list[int]]):
    """This process's share of the pieces: every `world`-th, of whole steps.

    What is left of the last step is dropped, or filled up with the epoch's first pieces.
    """

    def __init__(self, pieces: BatchSampler, a_step: int, drop_last: bool) -> None:
        self.pieces, self.a_step, self.drop_last = pieces, a_step, drop_last
        self.sampler = pieces.sampler  # whose epoch mmengine sets
        self.rank, self.world = get_dist_info()

    def __iter__(self) -> Iterator[list[int]]:
        pieces = list(self.pieces)
        whole = len(self) * self.world
        return iter([pieces[i % len(pieces)] for i in range(self.rank, whole, self.world)])

    def __len__(self) -> int:
        steps = len(self.pieces) / self.a_step
        return (int(steps) if self.drop_last else -int(-steps // 1)) * self.a_step // self.world


class Seeded(Dataset[Any]):
    """A dataset each of whose items is made with random numbers of its own, by the run's seed, epoch and index."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def __getitem__(self, index: int) -> Any:
        seed_everything(entropy(self.seed, self.epoch, index))
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


def own_pieces(pieces: BatchSampler, settings: Settings, drop_last: bool) -> Pieces:
    """This process's share of the pieces of an epoch; InputError where there is no whole step in it."""
    own = Pieces(pieces, pieces_of_step(settings), drop_last)
    if not len(own):
        images = len(own.sampler)  # type: ignore[arg-type]
        raise InputError(f"batch_size: found {settings['batch_size']}, expected at most the {images} training images")
    return own


def train_loader(
    pieces: BatchSampler, settings: Settings, device: str, *, drop_last: bool, **more: Any
) -> DataLoader[Any]:
    """Training batches of this process, out of the pieces of an epoch, whose sampler must be an Order."""
    order = pieces.sampler
    assert isinstance(order, Order)
    own = own_pieces(pieces, settings, drop_last)
    return _loader(Seeded(order.dataset, order.seed), settings, device, batch_sampler=own, **more)


def test_loader(dataset: Any, settings: Settings, device: str) -> DataLoader[Any]:
    """This process's share of the images, in order, for evaluation."""
    rank, world = get_dist_info()
    share = range(rank, len(dataset), world)
    return _loader(dataset, settings, device, batch_size=settings["batch_size"], sampler=share)


def _loader(dataset: Any, settings: Settings, device: str, **more: Any) -> DataLoader[Any]:
    """A DataLoader with the run's worker processes, whose memory is pinned where a GPU takes the batches."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # as was asked for
    return DataLoader(dataset, num_workers=settings["workers"], pin_memory=device == "cuda", **more)
