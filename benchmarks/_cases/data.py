"""Feeding the network: what a loader costs, alone and under a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._declare import Case
from .train import LABELS, drawn, network

N, BATCH = 6400, 64
HOST = ("cpu",)  # where a loader by itself works


def single_samples(batch: Any) -> Any:
    """A collate function of one's own, which makes the loader visit the samples one by one."""
    from numbagrad.data import default_collate

    return default_collate(batch)


def _loader(library: Any) -> Any:
    """It draws its batches from arrays on the host, as data sets are used."""
    data = library.lib.utils.data
    images, labels = library.normal(N, 1, 28, 28).cpu(), library.integers(10, N).cpu()
    return data.DataLoader(data.TensorDataset(images, labels), batch_size=BATCH, shuffle=True)


def _pass(library: Any) -> Callable[[], Any]:
    """One pass; it returns the sum of all labels, which does not depend on their order."""
    loader = _loader(library)
    return lambda: [sum(int(y.sum()) for _, y in loader)]


def _epoch(library: Any) -> Callable[[], Any]:
    weights, _ = drawn(library, "mlp", BATCH)
    lib, net, loader = library.lib, network(library.nn, "mlp"), _loader(library)
    elsewhere = library.device != "cpu"
    if elsewhere:
        net.to(library.device)
    with lib.no_grad():
        for parameter, weight in zip(net.parameters(), weights):
            parameter.copy_(weight)
    optimizer, criterion = lib.optim.Adam(net.parameters(), lr=1e-3), library.nn.CrossEntropyLoss()

    def iteration() -> list[int]:
        for x, y in loader:
            if elsewhere:
                x, y = x.to(library.device), y.to(library.device)
            optimizer.zero_grad()
            criterion(net(x), y).backward()
            optimizer.step()
        return [len(loader)]  # the order is random: how far it came is all that can be compared

    return iteration


def _transformed(**options: Any) -> Callable[[Any], Callable[[], Any]]:
    """One pass over uint8 images that are scaled and normalised on the way."""

    def numbagrad(library: Any) -> Callable[[], Any]:
        from numbagrad.vision import transforms
        from numbagrad.vision.datasets.base import ImageArrays

        images = ImageArrays(transform=transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]))
        images.data = library.put(library.draw.integers(0, 256, (N, 28, 28), dtype=np.uint8))
        images.targets = library.integers(10, N)
        loader = library.lib.data.DataLoader(images, batch_size=BATCH, shuffle=True, **options)
        return lambda: [sum(int(y.sum()) for _, y in loader)]

    return numbagrad


def cases() -> Iterator[Case]:
    yield Case("train", "loader", f"TensorDataset of {N} images b{BATCH}", {"torch": _pass}, devices=HOST, bytes=N * (8 * 784 + 16))
    yield Case("train", "loader", f"{LABELS['mlp']} epoch of {N} images b{BATCH}", {"torch": _epoch})
    yield Case("train", "loader", f"transforms of {N} images, whole batches", {"numbagrad": _transformed()}, devices=HOST)
    yield Case(
        "train", "loader", f"transforms of {N} images, single samples", {"numbagrad": _transformed(collate_fn=single_samples)}, devices=HOST
    )
    yield Case(
        "train", "loader", f"transforms of {N} images, one worker with its start", {"numbagrad": _transformed(num_workers=1)}, devices=HOST
    )
