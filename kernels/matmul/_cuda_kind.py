"""What distinguishes the kernels of one product from those of another: types, tiles, and how the operands lie."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda import elements
from .._cuda.build import storage
from .._cuda.intrinsics import inline

ACTIVATIONS = ("", "relu")


class Tile(NamedTuple):
    """A block's share of the result, ``rows`` x ``columns``, of which each thread has ``high`` x ``wide``; ``depth`` of the sums at a time."""

    rows: int
    columns: int
    depth: int
    high: int
    wide: int

    @property
    def threads(self) -> int:
        return self.rows // self.high * (self.columns // self.wide)


class Ending(NamedTuple):
    """What happens to the sums before they are stored: whether something is added to them (``initial``), and the function that they go through."""

    initial: bool = False
    activation: str = ""


def computed(dtype: np.dtype) -> np.dtype:
    """The type of the sums: float32 for the 16-bit floats; int32 for the small integers, since to wrap around once at the end is the same."""
    if dtype in _dtypes.INTEGERS and dtype.itemsize < 4:
        return _dtypes.int32
    return _dtypes.compute_dtype(dtype)


@functools.lru_cache(maxsize=None)
def widening(dtype: np.dtype) -> Any:
    """What makes a stored element one of the type of the sums."""
    if dtype in _dtypes.HALVES:
        return elements.widen(dtype)
    T = computed(dtype).type

    @inline
    def widen(x):  # type: ignore[no-untyped-def]
        return T(x)

    return widen


@functools.lru_cache(maxsize=None)
def narrowing(dtype: np.dtype) -> Any:
    """The opposite of ``widening``: sums as they are stored, rounded once."""
    if dtype in _dtypes.HALVES:
        return elements.narrow(dtype)
    S = dtype.type

    @inline
    def narrow(x):  # type: ignore[no-untyped-def]
        return S(x)

    return narrow


@functools.lru_cache(maxsize=None)
def finishing(dtype: np.dtype, ending: Ending) -> Any:
    """The function of a sum, the pointer ``d`` and a place there, which adds what is there and applies the activation; the result is as it is stored."""
    T = computed(dtype).type
    zero, narrow, widen = T(0), narrowing(dtype), widening(dtype)

    @inline
    def plain(x, d, at):  # type: ignore[no-untyped-def]
        return narrow(x)

    @inline
    def added(x, d, at):  # type: ignore[no-untyped-def]
        return narrow(T(x + widen(d[at])))

    @inline
    def relu(x, d, at):  # type: ignore[no-untyped-def]
        return narrow(zero if x <= zero else x)  # NaN stays

    @inline
    def added_relu(x, d, at):  # type: ignore[no-untyped-def]
        x = T(x + widen(d[at]))
        return narrow(zero if x <= zero else x)

    return {("", False): plain, ("", True): added, ("relu", False): relu, ("relu", True): added_relu}[ending.activation, ending.initial]


def stored(dtype: np.dtype) -> Any:
    """The NumPy type that a pointer to ``dtype`` reads and writes."""
    return storage(dtype).type
