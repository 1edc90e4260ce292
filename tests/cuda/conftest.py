"""What tests of the CUDA doors start from: a driver, pools and streams of their own."""

from __future__ import annotations

import gc
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import pytest

from numbagrad.kernels._cuda import devices, driver, memory, pinned, streams
from numbagrad.kernels._cuda.simulated_driver import SimulatedDriver

from .queued import QueuedDriver


def replace_doors(patch: pytest.MonkeyPatch, new: object) -> None:
    """Let ``new`` (None: whatever is looked for) be the process's driver, and forget all that the old one gave."""
    patch.setattr(driver, "_driver", new)
    patch.setattr(driver, "_forked", False)
    patch.setattr(devices, "_contexts", {})
    patch.setattr(memory, "_pools", {})
    patch.setattr(pinned, "_pool", None)
    if "numbagrad.kernels._cuda.faults" in sys.modules:
        patch.setattr("numbagrad.kernels._cuda.faults._records", {})
    for name in ("_idle_streams", "_idle_events"):
        patch.setattr(streams, name, defaultdict(deque))
    devices.thread.__dict__.clear()


def driven_by(kind: type, patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A driver of that kind that nobody else uses, for the length of a test."""
    gc.collect()
    fresh = kind()
    replace_doors(patch, fresh)
    yield fresh
    devices.thread.__dict__.clear()


@pytest.fixture
def simulated(frozen, monkeypatch):
    """A simulated driver of two devices; it needs no simulator, as long as no kernel is launched."""
    yield from driven_by(SimulatedDriver, monkeypatch)


@pytest.fixture
def queued(frozen, monkeypatch):
    """As ``simulated``, with one device whose streams do nothing until they are told to."""
    yield from driven_by(QueuedDriver, monkeypatch)
