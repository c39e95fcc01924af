"""Samplers and seeds of training batches: independent of the number of processes and workers.

A step's batch consists of micro-batches of `device_batch_size` images. Each micro-batch goes through one device in one
pass, so batch normalisation computes its statistics over that many images. The processes of a run take the
micro-batches in turn and accumulate gradients until the batch is complete.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from sgenet.config.recipes import TrainingSettings
from sgenet.errors import InputError


class SizedDataset(Protocol):
    """A dataset with a length."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


def derive_seed(*numbers: int) -> int:
    """Combine several whole numbers into one 32-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, numpy and torch, and the GPU's if CUDA is initialised.

    Without an initialised GPU, torch.manual_seed would store a stack trace at each call.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


def micro_batches_per_step(settings: TrainingSettings) -> int:
    """Number of micro-batches in a step's batch over all processes of this process's group.

    Raises:
        InputError: `batch_size` is not a multiple of `device_batch_size` x the number of processes.
    """
    return settings.micro_batches(get_dist_info()[1])


class SeededSampler(Sampler[int]):
    """All indices of a dataset, in a random order given by the run's seed and the epoch."""

    def __init__(self, dataset: SizedDataset, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by mmengine at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        return iter(torch.randperm(len(self.dataset), generator=generator).tolist())

    def __len__(self) -> int:
        return len(self.dataset)


class MicroBatchSampler(Sampler[list[int]]):
    """This process's share of the micro-batches: every `world`-th one, in complete steps only.

    Args:
        micro_batches: of all processes, in an epoch.
        per_step: number of micro-batches in a step over all processes.
        drop_last: drop an incomplete last step, instead of filling it up with the first micro-batches of the epoch.

    Raises:
        InputError: the micro-batches make up no complete step.
    """

    def __init__(self, micro_batches: BatchSampler, per_step: int, drop_last: bool) -> None:
        self.micro_batches, self.per_step, self.drop_last = micro_batches, per_step, drop_last
        self.sampler = micro_batches.sampler  # mmengine calls its set_epoch
        self.rank, self.world = get_dist_info()
        if not len(self):
            found, images = per_step * micro_batches.batch_size, len(self.sampler)  # type: ignore[arg-type]
            raise InputError(f"batch_size: found {found}, expected at most the {images} training images")

    def __iter__(self) -> Iterator[list[int]]:
        micro_batches = list(self.micro_batches)
        whole = len(self) * self.world
        return iter([micro_batches[i % len(micro_batches)] for i in range(self.rank, whole, self.world)])

    def __len__(self) -> int:
        steps = len(self.micro_batches) / self.per_step
        return (int(steps) if self.drop_last else -int(-steps // 1)) * self.per_step // self.world


class SeededDataset(Dataset[Any]):
    """A dataset that seeds the random generators for each item from the run's seed, the epoch and the index."""

    def __init__(self, dataset: SizedDataset, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def __getitem__(self, index: int) -> Any:
        seed_everything(derive_seed(self.seed, self.epoch, index))
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


def train_loader(
    micro_batches: BatchSampler,
    settings: TrainingSettings,
    device: str,
    *,
    drop_last: bool,
    collate_fn: Callable[[Any], Any] | None = None,
) -> DataLoader[Any]:
    """Loader of this process's micro-batches of an epoch.

    Args:
        micro_batches: of all processes; its sampler must be a SeededSampler.
        settings: of the run.
        device: `cpu` or `cuda`.
        drop_last: drop an incomplete last step, instead of filling it up.
        collate_fn: as of DataLoader.
    """
    sampler = micro_batches.sampler
    assert isinstance(sampler, SeededSampler)
    own = MicroBatchSampler(micro_batches, micro_batches_per_step(settings), drop_last)
    dataset = SeededDataset(sampler.dataset, sampler.seed)
    return _loader(dataset, settings, device, batch_sampler=own, collate_fn=collate_fn)


def test_loader(dataset: SizedDataset, settings: TrainingSettings, device: str) -> DataLoader[Any]:
    """Loader of this process's share of the images for evaluation, in order."""
    rank, world = get_dist_info()
    share = range(rank, len(dataset), world)
    return _loader(dataset, settings, device, batch_size=settings.batch_size, sampler=share)


def _loader(dataset: Any, settings: TrainingSettings, device: str, **more: Any) -> DataLoader[Any]:
    """A DataLoader with the run's number of workers; its memory is pinned if the device is a GPU."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # the settings give the number of workers
    return DataLoader(dataset, num_workers=settings.workers, pin_memory=device == "cuda", **more)
