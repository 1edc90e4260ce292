"""The table by which one launch reaches every array of a group on CUDA.

It lies in device memory and is written when it is made; what changes from step to step is passed as numbers of the launch.  Of gradients, which are new in each
step, the addresses are written again where they differ: the allocator tends to hand out the same memory, so they often do not.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cuda import streams, transfer
from .._cuda.array import CudaArray, empty
from .._cuda.driver import SIMULATED

# Elements of a block: four vectors of 16 bytes for each thread in float32.
THREADS = 4 if SIMULATED else 256
CHUNK = 64 if SIMULATED else 4096
GRADIENT = 1  # the row of the gradients; parameters are row 0, states follow

_WORD = np.dtype(np.int64)


class Table:
    """For n arrays, in words of 64 bits: a row of n addresses for each role, a row of sizes, a row that says with which chunk each array begins, and for
    each chunk the number of its array (the upper half of the word) and of the chunk within that array.

    ``dtype``: of the elements, as the arrays hold them; of complex numbers that of their parts, which are counted as elements.
    """

    __slots__ = ("arrays", "dtype", "count", "roles", "chunks", "words", "device", "_pointers")

    def __init__(self, columns: Sequence[Sequence[CudaArray]], sizes: Sequence[int], dtype: np.dtype, gaps: int):
        self.arrays = [list(column) for column in columns]
        self.dtype, self.count = dtype, len(sizes)
        self.device = self.arrays[0][0].device_index
        self.roles = len(columns) + gaps
        chunks = [-(-size // CHUNK) for size in sizes]
        self.chunks = sum(chunks)
        words = np.zeros((self.roles + 2) * self.count + self.chunks, _WORD)
        rows = words[: (self.roles + 2) * self.count].reshape(self.roles + 2, self.count)
        for role, column in enumerate(self.arrays):
            rows[role + gaps if role else 0] = [x.pointer for x in column]
        rows[self.roles] = sizes
        starts = rows[self.roles + 1]
        starts[1:] = np.cumsum(chunks[:-1])
        owners = np.repeat(np.arange(self.count), chunks)
        words[rows.size :] = owners << 32 | (np.arange(self.chunks) - starts[owners])
        self.words = transfer.to_device(words, self.device)
        self._pointers: list[int] | None = None

    def point(self, gradients: Sequence[CudaArray]) -> None:
        """Let the row of the gradients refer to ``gradients``, which the caller keeps alive until the kernel is launched."""
        stream = streams.current_stream(self.device)
        self.words.allocation.record_stream(stream)
        pointers = [stream.handle, *[g.pointer for g in gradients]]
        if pointers != self._pointers:
            _write(self.words[GRADIENT * self.count : (GRADIENT + 1) * self.count], pointers[1:], _WORD)
            self._pointers = pointers

    def numbers(self, *rows: float | Sequence[float]) -> tuple[bool, CudaArray | None, list[float]]:
        """Numbers that may differ from array to array, each one for all or a list: whether any does, then where they are on the device, (rows, n), and
        else what they are."""
        alike = [row if isinstance(row, float) else row[0] if len(set(row)) == 1 else None for row in rows]
        if None not in alike:
            return False, None, alike  # type: ignore[return-value]
        real = _dtypes.compute_dtype(self.dtype)
        values = [value for row in rows for value in (row if not isinstance(row, float) else [row] * self.count)]
        out = empty((len(rows), self.count), real, self.device)
        _write(out.reshape(-1), values, real)
        return True, out, [0.0] * len(rows)


def _write(dst: CudaArray, values: Sequence[Any], dtype: np.dtype) -> None:
    """Write numbers of the host, without waiting until it is done."""
    staged = transfer.pinned_empty((len(values),), dtype)
    staged[:] = values
    transfer.copy(dst, staged, non_blocking=True)
