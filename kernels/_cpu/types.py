"""The Numba types of our dtypes, for kernels compiled for an explicit signature."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import config

from .. import _dtypes

intp, int64, boolean = numba.intp, numba.int64, numba.boolean

# 16-bit floats are handed to kernels as their bits.
BY_DTYPE: dict[np.dtype, Any] = {d: numba.from_dtype(d) for d in _dtypes.ALL if d not in _dtypes.HALVES}
BY_DTYPE |= dict.fromkeys(_dtypes.HALVES, numba.uint16)


# What stands for a dtype in generated source: called as a conversion, and given to ``array_at`` and ``load``.
IN_SOURCE = {d: np.uint16 if d in _dtypes.HALVES else d.type for d in _dtypes.ALL} if config.DISABLE_JIT else BY_DTYPE


def signature(*arguments: Any) -> Any:
    """The type of a kernel: ``void(intp lo, intp hi, *arguments)``."""
    return numba.void(numba.intp, numba.intp, *arguments)
