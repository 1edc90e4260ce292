"""Rows of any length in order: short ones within a block (``_cuda_rows``), long ones by the device's radix sort of their keys."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda.array import CudaArray, empty
from .._cuda.intrinsics import cuda
from .._cuda.launch import blocks, kernel, launch, pointer
from .._cuda.radix import sort_pairs
from ._cuda_keys import encoder, word_of
from ._cuda_rows import LONGEST, sort_rows
from ._keys import carrier

_UINT64 = np.dtype(np.uint64)
_NARROW = 1 << 31  # more elements than this need 64-bit indices


@functools.lru_cache(maxsize=None)
def _encoding(dtype: np.dtype, descending: bool) -> Any:
    encode = encoder(dtype, descending)

    @kernel(pointer(word_of(dtype.itemsize)), pointer(carrier(dtype)), np.int64)
    def encoding(keys, x, n):
        """Keys of elements: bound by memory bandwidth."""
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            keys[i] = encode(x[i])
            i += np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)

    return encoding


def keys_of(x: CudaArray, descending: bool) -> CudaArray:
    """The keys of contiguous ``x``, flat: uint64 of elements of 8 bytes, uint32 of others."""
    keys = empty((x.size,), word_of(x.itemsize))
    launch(_encoding(x.dtype, descending), *blocks(x.size), (keys.pointer, x.pointer, x.size))
    return keys


@functools.lru_cache(maxsize=None)
def _gathering(item: int, place: Any, values_too: bool, index: Any) -> Any:
    bits = np.dtype(f"u{item}")

    @kernel(pointer(bits), pointer(np.int64), pointer(bits), pointer(place), index, index, index)
    def gathering(values, indices, x, positions, total, n, taken):
        """The first ``taken`` positions of each row, as indices, and the elements there.  Bound by scattered reads of ``x``."""
        i = index(index(cuda.blockIdx.x) * index(cuda.blockDim.x) + index(cuda.threadIdx.x))
        while i < total:
            row = index(i // taken)
            start = index(row * n)
            position = index(positions[index(start + index(i - index(row * taken)))])
            indices[i] = np.int64(position)
            if values_too:
                values[i] = x[index(start + position)]
            i = index(i + index(index(cuda.gridDim.x) * index(cuda.blockDim.x)))

    return gathering


def gather(values: CudaArray | None, indices: CudaArray, x: CudaArray | None, positions: CudaArray, n: int, taken: int) -> None:
    """``indices`` and, unless None, ``values``: what the first ``taken`` of each row's n ``positions`` say of ``x``."""
    index = np.uint32 if positions.size < _NARROW else np.int64
    made = _gathering(8 if x is None else x.itemsize, positions.dtype, values is not None, index)
    pointers = 0 if values is None else values.pointer, indices.pointer, 0 if x is None else x.pointer, positions.pointer
    launch(made, *blocks(indices.size), (*pointers, indices.size, n, taken))


def order(values: CudaArray, indices: CudaArray, x: CudaArray, rows: int, n: int, taken: int, descending: bool) -> None:
    """The first ``taken`` of each of the ``rows`` of n elements in contiguous ``x``, in stable order, and their places."""
    if n <= LONGEST:
        sort_rows(values, indices, x, x.dtype, rows, n, taken, descending)
    else:
        positions = sort_pairs(keys_of(x, descending), 8 * x.itemsize, rows)[1]
        gather(values, indices, x, positions, n, taken)


def least_places(places: CudaArray, keys: CudaArray, rows: int, n: int) -> None:
    """``places`` (rows, taken), int64: those of the smallest in each row of n of ``keys``, flat uint64, in stable order.  ``keys`` may be overwritten."""
    taken = places.size // rows
    if n <= LONGEST:
        sort_rows(None, places, keys, _UINT64, rows, n, taken, False)
    else:
        gather(None, places, None, sort_pairs(keys, 64, rows)[1], n, taken)
