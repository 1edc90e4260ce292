"""A share of a dataset for each of several processes."""

from __future__ import annotations

from typing import Any, Iterator

from ..generator import Generator
from ..random import randperm
from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """The indices rank, rank + num_replicas, rank + 2 num_replicas, ... of an order that all ``num_replicas`` processes agree on.

    The order is random, by ``seed`` and the number of the epoch (``set_epoch``), or with ``shuffle=False`` the dataset's own.  So that all have equally many,
    it begins again at its end, or with ``drop_last`` its end is left out.
    Raises ValueError for a ``rank`` that is not below ``num_replicas``, and where one of them is missing: there is no process group to ask.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        if num_replicas is None or rank is None:
            raise ValueError(
                f"DistributedSampler: expected num_replicas and rank, as there is no process group to ask, but got num_replicas={num_replicas} and rank={rank}"
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.epoch = 0
        whole, left = divmod(len(dataset), num_replicas)
        self.num_samples = whole if drop_last or not left else whole + 1
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = randperm(len(indices), generator=generator).tolist()
        return iter([indices[i % len(indices)] for i in range(self.rank, self.total_size, self.num_replicas)])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Have another order in the next pass, the same in every process that sets the same epoch."""
        self.epoch = epoch
