"""sin, cos and tan in float32: the CPU's functions (``_cpu/trig32.py``), compiled for CUDA.

libdevice's own look up 2/pi in memory, put the product in an array of the thread's stack and finish in float64.  Those of the CPU do it in
integers; here a branch takes the rare large arguments out of the way, since a thread may well branch where a vector may not.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import numpy as np
from numba.cuda import libdevice

from .._cpu import trig32
from .driver import SIMULATED
from .intrinsics import inline

_LARGE, _NAN, _INF_BITS = trig32._LARGE, trig32._NAN, trig32._INF_BITS
_TURNS, _ROUND = trig32._TURNS, trig32._ROUND
_HALF_PI_1, _HALF_PI_2, _HALF_PI_3 = trig32._HALF_PI_1, trig32._HALF_PI_2, trig32._HALF_PI_3

if SIMULATED:

    def fma(a: Any, b: Any, c: Any) -> Any:
        """a * b + c, rounded once (from float64, which holds the product)."""
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))

    def multiply(a: Any, b: Any) -> Any:
        """a * b, which becomes part of no fma."""
        return a * b

    def bits(x: Any) -> Any:
        return np.float32(x).view(np.int32)

    def from_bits(pattern: Any) -> Any:
        return np.int32(pattern).view(np.float32)

else:
    fma, multiply, bits, from_bits = libdevice.fmaf, libdevice.fmul_rn, libdevice.float_as_int, libdevice.int_as_float


@inline
def select(condition, a, b):  # type: ignore[no-untyped-def]
    return a if condition else b


@inline
def horner(x, coefficients):  # type: ignore[no-untyped-def]
    """c[0] + c[1] x + c[2] x**2 + ..."""
    value = coefficients[-1]
    for k in range(len(coefficients) - 2, -1, -1):
        value = fma(value, x, coefficients[k])
    return value


@inline
def few_turns(a):  # type: ignore[no-untyped-def]
    """As ``trig32._few_turns``, but that the product is rounded by itself: NVVM would make one fma of it and the difference, and the error that is
    found of ``high`` would be that of something else."""
    shifted = fma(a, _TURNS, _ROUND)
    n = shifted - _ROUND
    first = fma(n, -_HALF_PI_1, a)
    r = fma(n, -_HALF_PI_3, fma(n, -_HALF_PI_2, first))
    product = multiply(n, _HALF_PI_2)
    high = first - product
    low = ((first - high) - product) - fma(n, _HALF_PI_3, fma(n, _HALF_PI_2, -product))
    return r, (high - r) + low, bits(shifted)


def _ported(function: Any, known: dict[str, Any]) -> Any:
    """A helper compiled for the CPU as one for CUDA.  ``known``: what stands for the names it uses; other helpers are ported like it."""
    function = getattr(function, "py_func", function)
    scope: dict[str, Any] = {"__name__": __name__}
    for name in function.__code__.co_names:
        if name in known:
            scope[name] = known[name]
        elif name in function.__globals__:
            value = function.__globals__[name]
            scope[name] = _ported(value, known) if isinstance(getattr(value, "py_func", value), FunctionType) else value
    return inline(FunctionType(function.__code__, scope, function.__name__))


_KNOWN = {"fma": fma, "precise_fma": fma, "bits": bits, "from_bits": from_bits, "select": select, "horner": horner}
_many_turns = _ported(trig32._many_turns, _KNOWN)


@inline
def quarter_turns(x):  # type: ignore[no-untyped-def]
    """(r, s, q) with |x| = q pi/2 + r + s modulo 2 pi, |r| <= pi/4; r is NaN for infinite and NaN x."""
    a = abs(x)
    if a < _LARGE:
        return few_turns(a)
    r, low, quarter = _many_turns(a)
    return select(bits(a) < _INF_BITS, r, _NAN), low, quarter


_KNOWN["_quarter_turns"] = quarter_turns
FUNCTIONS = {"sin": _ported(trig32.sin_f32, _KNOWN), "cos": _ported(trig32.cos_f32, _KNOWN), "tan": _ported(trig32.tan_f32, _KNOWN)}
