"""One epoch of a 784-128-64-10 network on 60,000 random images, batch 64, with Adam; the same in PyTorch where it is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

N, BATCH = 60_000, 64


def _epoch(library: Any, loader_class: Any, dataset: Any) -> float:
    """Seconds of one epoch, after a few batches that compile and warm up."""
    nn, optim = library.nn, library.optim
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    loss_function, step = nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-3)
    start = 0.0
    for epoch in range(2):
        start = time.perf_counter()
        for i, (x, y) in enumerate(loader_class(dataset, batch_size=BATCH, shuffle=True)):
            step.zero_grad()
            loss = loss_function(net(x), y)
            loss.backward()
            step.step()
            if epoch == 0 and i == 50:
                break
    return time.perf_counter() - start


def run() -> Iterator[tuple[str, float]]:
    import numbagrad as ng
    from numbagrad.data import DataLoader, TensorDataset

    draw = np.random.default_rng(0)
    images, labels = draw.standard_normal((N, 1, 28, 28), dtype=np.float32), draw.integers(0, 10, N)
    yield "numbagrad", _epoch(ng, DataLoader, TensorDataset(ng.from_numpy(images), ng.from_numpy(labels)))
    try:
        import torch
    except ModuleNotFoundError:
        return
    import torch.utils.data as torch_data

    torch.set_num_threads(ng.get_num_threads())
    data = torch_data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    yield f"PyTorch {torch.__version__}", _epoch(torch, torch_data.DataLoader, data)
