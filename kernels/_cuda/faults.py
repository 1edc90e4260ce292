"""Faults that kernels find in their data, an index out of range most of all: noted on the device, raised on the host after the fact.

A kernel reports a fault, leaves the access out (what it would have read counts as 0, nothing is written) and goes on.  So nothing is spoilt but the
results, nobody has waited, and the device goes on to be usable:

    @kernel(RECORD, np.int32, pointer(np.float32), ...)
    def take(record, outside, x, ...):
        if index >= size:
            report(record, outside, index, size, dim)

    outside = kind(IndexError, "index {index} is out of bounds for dimension {dim} with size {size}")
    launch(take, ..., (record(), outside, x.pointer, ...))

Each device has one record, in pinned memory of the host that the device writes to.  The first fault takes it; those that follow before the host has
looked are dropped, as they most often follow from it.  The host looks, which is a plain read, wherever it has waited for the device, and where it
launches kernels that may report.
"""

from __future__ import annotations

import functools
import os

import numpy as np

from .build import pointer
from .devices import current_device, guard, waited
from .driver import load
from .intrinsics import compare_and_swap, cuda, inline

__all__ = ["RECORD", "kind", "look", "record", "report"]

# The type of the parameter by which a kernel is given the record.
RECORD = pointer(np.int64)

# The words of a record.  A fault is complete when its kind stands there; nobody else writes while the first word is 1.
_TAKEN, _KIND, _INDEX, _SIZE, _DIM, _END = range(6)
_PORTABLE, _MAPPED = 1, 2  # of cuMemHostAlloc; with unified addressing the device's address is the host's

_kinds: list[tuple[type[Exception], str]] = []


class _Record:
    """The words of a device's record, as the host sees them."""

    __slots__ = ("address", "words")

    def __init__(self) -> None:
        self.address = load().MemHostAlloc(8 * _END, _PORTABLE | _MAPPED)
        about = {"data": (self.address, False), "shape": (_END,), "typestr": "<i8", "version": 3}
        self.words = np.asarray(type("_Words", (), {"__array_interface__": about})())
        self.words[:] = 0


_records: dict[int, _Record] = {}


@functools.lru_cache(maxsize=None)
def kind(error: type[Exception], text: str) -> int:
    """The number by which kernels report a fault that is to be raised as ``error``; ``text`` may have {index}, {size} and {dim} in it.  Kernels get it
    as an argument: which number it is depends on who asked before."""
    _kinds.append((error, text))
    return len(_kinds)


def record(device: int | None = None) -> int:
    """The address of the record of ``device`` (None: the thread's), for a launch on it.  Raises what an earlier kernel has reported."""
    if device is None:
        device = current_device()
    found = _records.get(device)
    if found is None:
        with guard(device):
            found = _records.setdefault(device, _Record())
    if found.words[_KIND]:
        look(device)
    return found.address


def look(device: int) -> None:
    """Raise what a kernel on ``device`` has reported, once."""
    found = _records.get(device)
    if found is None or not found.words[_KIND]:
        return
    number, index, size, dim = found.words[_KIND:_END].tolist()
    found.words[_KIND] = 0
    found.words[_TAKEN] = 0  # last: from here on a kernel may write
    error, text = _kinds[number - 1]
    raise error(
        f"{text.format(index=index, size=size, dim=dim)}\n"
        f"A kernel on cuda:{device} has found this, and a later call reports it: what that kernel has computed is not to be used."
    )


waited.append(look)


@inline
def report(record, number, index, size, dim):  # type: ignore[no-untyped-def]
    """Note a fault of the kind ``number``, unless one is noted already."""
    if record[_TAKEN] == 0 and compare_and_swap(record, _TAKEN, 0, 1) == 0:
        record[_INDEX] = index
        record[_SIZE] = size
        record[_DIM] = dim
        cuda.threadfence_system()
        record[_KIND] = number


def _after_fork_in_child() -> None:
    """The records are the parent's."""
    _records.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
