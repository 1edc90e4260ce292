"""Kernels on CUDA that write what is not a copy: one value everywhere, a ramp, triangles.  All are bound by memory bandwidth."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cuda import streams
from .._cuda.array import CudaArray, empty
from .._cuda.driver import load
from .._cuda.intrinsics import cuda
from .._cuda.launch import blocks, kernel, launch, pointer

# How elements of each size are carried, bit for bit; 16 bytes as two words.
WORDS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.uint64}


@functools.lru_cache(maxsize=None)
def _filler(item: int) -> Any:
    word = WORDS[item]

    @kernel(pointer(word), np.uint64, np.uint64, np.int64)
    def fill(out, even, odd, n):
        """The two values in turn."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            out[i] = word(odd if i & 1 else even)
            i += step

    return fill


def fill_contiguous(dst: CudaArray, element: np.ndarray) -> None:
    """dst[...] = element, a 0-d array of the host and of dst's dtype; ``dst`` is contiguous and not empty."""
    data, item = element.tobytes(), dst.itemsize
    if len(set(data)) == 1:  # zeros most of all
        load().MemsetD8Async(dst.pointer, data[0], dst.nbytes, streams.current_handle(dst.device_index))
    elif item == 4:
        load().MemsetD32Async(dst.pointer, int.from_bytes(data, "little"), dst.size, streams.current_handle(dst.device_index))
    else:
        words = np.frombuffer(data, WORDS[item])
        n = dst.size * len(words)
        launch(_filler(item), *blocks(n), (dst.pointer, int(words[0]), int(words[-1]), n))


@functools.lru_cache(maxsize=None)
def _ramper(stored: np.dtype, exact: np.dtype) -> Any:
    target, number = stored.type, exact.type

    @kernel(pointer(stored), exact, exact, np.int64)
    def ramp(out, start, step, n):
        """In ``exact``, which for a float32 result is float64: as on the CPU, no element is further off than by rounding."""
        threads = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            out[i] = target(start + number(i) * step)
            i += threads

    return ramp


def ramp(out: CudaArray, start: float, step: float) -> None:
    """out[i] = start + i * step for flat ``out``, in integers or in float64, as ``start`` and ``step`` are."""
    if out.size:
        exact = np.dtype(type(start))
        launch(_ramper(out.dtype, exact), *blocks(out.size), (out.pointer, start.item(), step.item(), out.size))  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=None)
def _triangle(item: int) -> Any:
    word = WORDS[item]

    @kernel(pointer(word), pointer(word), np.int64, np.int64, np.int64, np.int64, np.bool_, np.int64)
    def triangle(out, x, words, rows, columns, diagonal, upper, n):
        """An element of ``words`` words is kept where its column is on the right side of its row's diagonal."""
        step = np.int64(cuda.gridDim.x) * np.int64(cuda.blockDim.x)
        i = np.int64(cuda.blockIdx.x) * np.int64(cuda.blockDim.x) + np.int64(cuda.threadIdx.x)
        while i < n:
            element = i // words
            edge = (element // columns) % rows + diagonal
            column = element % columns
            keep = column >= edge if upper else column <= edge
            out[i] = x[i] if keep else word(0)
            i += step

    return triangle


def triangle(x: CudaArray, diagonal: int, upper: bool) -> CudaArray:
    """``x`` (..., rows, columns), contiguous, with zeros below (``upper``) or above the diagonal."""
    rows, columns = x.shape[-2:]
    out = empty(x.shape, x.dtype)
    if x.size:
        words = x.itemsize // np.dtype(WORDS[x.itemsize]).itemsize
        diagonal = min(max(diagonal, -rows - 1), columns + 1)
        n = x.size * words
        launch(_triangle(x.itemsize), *blocks(n), (out.pointer, x.pointer, words, rows, columns, diagonal, upper, n))
    return out
