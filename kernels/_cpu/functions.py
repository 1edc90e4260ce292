"""Which compiled function stands behind each function name of a formula, by computing type.

float32 uses the polynomials of ``math32``; what they do not cover, and float64, uses libm or a definition in terms of it; complex uses cmath.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from .jit import inline
from .math32 import FLOAT32, FLOAT64


@inline
def _not_bool(x):
    return not x


@inline
def _not_int(x):
    return ~x


@inline
def _complex_sigmoid(x):
    return 1.0 / (1.0 + cmath.exp(-x))


@inline
def _power(a, b):
    return a**b


@inline
def _integer_fmod(a, b):
    """The remainder with the sign of a: Python's, which has that of b, moved by b where the signs differ."""
    r = a % b
    return r - b if r != 0 and (a < 0) != (b < 0) else r


@inline
def _same(x):
    return x


_LIBM = {name: getattr(math, name) for name in """sqrt exp expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
erf erfc pow atan2 copysign hypot lgamma""".split()}  # fmt: skip
_NUMPY = {"floor": np.floor, "ceil": np.ceil, "rint": np.rint, "trunc": np.trunc, "fmod": np.fmod, "nextafter": np.nextafter}
_REAL = _LIBM | _NUMPY | {"bit_not": _not_bool}
_COMPLEX = {name: getattr(cmath, name) for name in "sqrt exp log log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh".split()}
_COMPLEX |= {"pow": _power, "sigmoid": _complex_sigmoid, "bit_not": _not_bool, "angle": cmath.phase}
_INTEGER = {"pow": _power, "floor": _same, "ceil": _same, "rint": _same, "trunc": _same, "fmod": _integer_fmod, "bit_not": _not_int}


def functions_for(dtype: np.dtype, names: set[str]) -> dict[str, Any]:
    """The function for each of ``names`` in the computing type ``dtype``.  Raises NotImplementedError for one that has no meaning there."""
    if dtype.kind == "c":
        table: dict[str, Any] = _COMPLEX
    elif dtype.kind in "iu":
        table = _REAL | _INTEGER
    elif dtype.kind == "b":
        table = _REAL | _INTEGER | {"bit_not": _not_bool}
    else:
        table = _REAL | (FLOAT32 if dtype == np.float32 else FLOAT64)
    missing = sorted(names - table.keys())
    if missing:
        from .. import _special  # which few programs need

        table = table | _special.find(set(missing), inline, dtype, table)
        missing = sorted(names - table.keys())
    if missing:
        raise NotImplementedError(f"{', '.join(missing)} not implemented for {dtype}")
    return {name: table[name] for name in names}
