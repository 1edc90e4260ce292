"""cuLaunchKernel as a C function that writes down what it is called with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cfunc, types

from numbagrad.kernels._cpu.intrinsics import load, store

_SIGNATURE = types.int32(types.int64, *[types.uint32] * 7, types.int64, types.int64, types.int64)


def recorder(at: int, answer: int, calls: int) -> Any:
    """It writes to ``at``: the function, the grid, the block, shared memory, the stream, ``extra``, and behind the number of arguments, which stands there,
    their words.  It returns what stands at ``answer``, and counts at ``calls``."""

    @cfunc(_SIGNATURE)
    def recorded(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        store(at, function)
        k = 1
        for x in (gx, gy, gz, bx, by, bz, shared):
            store(at + 8 * k, np.int64(x))
            k += 1
        store(at + 64, stream)
        store(at + 72, extra)
        for j in range(load(at + 80, np.int64)):
            store(at + 88 + 8 * j, load(load(parameters + 8 * j, np.int64), np.int64))
        store(calls, load(calls, np.int64) + 1)
        return np.int32(load(answer, np.int64))

    return recorded
