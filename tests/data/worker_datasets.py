"""Datasets and functions for tests with worker processes, which import this module by its name."""

from __future__ import annotations

import os
import random
import time

import numpy as np

import numbagrad as ng
from numbagrad.data import Dataset, IterableDataset, get_worker_info


class Squares(Dataset):
    """Sample i is (a 2x2 tensor of i, i squared); slow where asked."""

    def __init__(self, n, seconds=0.0):
        self.n = n
        self.seconds = seconds

    def __getitem__(self, i):
        time.sleep(self.seconds)
        return ng.from_numpy(np.full((2, 2), i, np.float32)), i * i

    def __len__(self):
        return self.n


class Raises(Squares):
    """Sample 3 raises."""

    def __init__(self, n, error):
        super().__init__(n)
        self.error = error

    def __getitem__(self, i):
        if i == 3:
            raise self.error
        return super().__getitem__(i)


class TwoArguments(Exception):
    """An exception that cannot be made from its message."""

    def __init__(self, a, b):
        super().__init__(a, b)


class Dies(Squares):
    """Sample 3 ends the process."""

    def __getitem__(self, i):
        if i == 3:
            os._exit(7)
        return super().__getitem__(i)


class Who(Dataset):
    """What a worker knows, and what its random generators give."""

    def __getitem__(self, i):
        info = get_worker_info()
        assert info is not None and type(info.dataset) is Who
        return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand()), os.getpid()

    def __len__(self):
        return 6


class Stream(IterableDataset):
    """0 .. n - 1, shared out among the workers where ``share``."""

    def __init__(self, n, share=True):
        self.n = n
        self.share = share

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info and self.share else (0, 1)
        return iter(range(first, self.n, step))


class Mixed(Dataset):
    """Every kind of value, with arrays that are empty, large, or not contiguous."""

    def __getitem__(self, i):
        return {
            "empty": np.zeros((0, 3)),
            "large": np.full(100_000, i, np.int32),
            "transposed": np.arange(6).reshape(2, 3).T,
            "text": f"sample {i}",
            "number": float(i),
        }

    def __len__(self):
        return 4


def write_pid(worker_id):
    """A worker_init_fn: an environment variable to see that it ran, in the right process."""
    os.environ["WORKER_STARTED"] = str(worker_id)


class SeesInit(Dataset):
    def __getitem__(self, i):
        return int(os.environ["WORKER_STARTED"])

    def __len__(self):
        return 4


def second_column(batch):
    """A collate_fn."""
    return [sample[1] for sample in batch]
