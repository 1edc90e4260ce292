"""Arithmetic whose rounding is said, for results that are to be the CPU's bit for bit.

NVVM makes one multiply-add, rounded once, of a product and a sum, unless it is told that the product is rounded.

    product  product64  root  fma64
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cuda import libdevice

from .driver import SIMULATED

if SIMULATED:

    def product(a: Any, b: Any) -> Any:
        """a * b, rounded."""
        return a * b

    def fma64(a: Any, b: Any, c: Any) -> Any:
        """a * b + c in float64, rounded once; here from 64 bits of the product, which is near enough."""
        return np.float64(np.longdouble(a) * np.longdouble(b) + np.longdouble(c))

    product64, root = product, np.sqrt
else:
    product, product64, root, fma64 = libdevice.fmul_rn, libdevice.dmul_rn, libdevice.fsqrt_rn, libdevice.fma
