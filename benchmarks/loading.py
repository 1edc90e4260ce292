"""One pass over 60,000 images of 28x28 as batches of 64, scaled and normalised: whole batches, single samples, and a worker process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

N, BATCH = 60_000, 64


def single_samples(batch: Any) -> Any:
    """A collate function of one's own, which makes the loader visit the samples one by one."""
    from numbagrad.data import default_collate

    return default_collate(batch)


def run() -> Iterator[tuple[str, float]]:
    import numbagrad as ng
    from numbagrad.data import DataLoader
    from numbagrad.vision import transforms
    from numbagrad.vision.datasets.base import ImageArrays

    draw = np.random.default_rng(0)
    data = ImageArrays(transform=transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]))
    data.data = ng.from_numpy(draw.integers(0, 256, (N, 28, 28), dtype=np.uint8))
    data.targets = ng.from_numpy(draw.integers(0, 10, N))
    cases = {"whole batches": {}, "single samples": {"collate_fn": single_samples}, "one worker, with its start": {"num_workers": 1}}
    next(iter(DataLoader(data, batch_size=BATCH, shuffle=True)))  # compiles the permutation
    for what, options in cases.items():
        start = time.perf_counter()
        for _ in DataLoader(data, batch_size=BATCH, shuffle=True, **options):  # type: ignore[arg-type]
            pass
        yield what, time.perf_counter() - start
