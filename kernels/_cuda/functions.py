"""Which device function stands behind each function name of a formula, by computing type.

Floats use libdevice, NVIDIA's library of functions for NVVM, whose errors are in the CUDA C++ Programming Guide ("Mathematical Functions": 2 units
in the last place or fewer but for a few inverse and hyperbolic functions); what it lacks is defined by it.  Complex numbers use cmath.  Under the
simulator NumPy and ``math`` stand in.
"""

from __future__ import annotations

import cmath
import functools
import math
import statistics
from typing import Any, Callable

import numpy as np
from numba.cuda import libdevice

from . import trig
from .driver import SIMULATED
from .intrinsics import inline

_LIBDEVICE = """sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv
floor ceil rint trunc pow atan2 fmod copysign hypot normcdf lgamma nextafter""".split()
_DENSITY = 0.3989422804014327  # of the normal distribution at 0


@inline
def _not_bool(x):  # type: ignore[no-untyped-def]
    return not x


@inline
def _not_int(x):  # type: ignore[no-untyped-def]
    return ~x


@inline
def _same(x):  # type: ignore[no-untyped-def]
    return x


@inline
def _integer_fmod(a, b):  # type: ignore[no-untyped-def]
    """The remainder with the sign of a: Python's, which has that of b, moved by b where the signs differ."""
    r = a % b
    return r - b if r != 0 and (a < 0) != (b < 0) else r


def _integer_power(T: Any) -> Any:
    """a**b modulo 2^bits by repeated squaring; with a negative exponent, what is left of 1/a**-b."""

    @inline
    def power(a, b):  # type: ignore[no-untyped-def]
        result, exponent = T(1), T(b)
        if exponent < T(0):
            if a != T(1) and a != T(-1):
                return T(0)
            exponent = T(exponent & T(1))
        factor = T(a)
        while exponent > T(0):
            if exponent & T(1):
                result = T(result * factor)
            factor = T(factor * factor)
            exponent = T(exponent >> T(1))
        return result

    return power


def _boolean_power(a: Any, b: Any) -> Any:
    return a or not b


def _defined(T: Any, found: dict[str, Any]) -> dict[str, Any]:
    """What is made of libdevice's functions, in the type ``T``."""
    exp, normcdf = found["exp"], found["normcdf"]
    zero, one, density, minus_half = T(0), T(1), T(_DENSITY), T(-0.5)

    @inline
    def sigmoid(x):  # type: ignore[no-untyped-def]
        """1/(1 + e**-x), from e**-|x| so that nothing overflows."""
        t = exp(-abs(x))
        return (t if x < zero else one) / (one + t)

    @inline
    def gelu(x):  # type: ignore[no-untyped-def]
        """x Phi(x)"""
        return x * normcdf(x)

    @inline
    def gelu_slope(x):  # type: ignore[no-untyped-def]
        """The derivative of x Phi(x): Phi(x) + x exp(-x**2/2)/sqrt(2 pi)."""
        return normcdf(x) + x * (density * exp(minus_half * x * x))

    return {"sigmoid": sigmoid, "gelu": gelu, "gelu_slope": gelu_slope, "ndtr": normcdf, "bit_not": _not_bool}


# ---- twins for the simulator --------------------------------------------------------------------------------------------------------------------


def _erfinv(x: float) -> float:
    """The y with erf(y) = x, by Newton's method from the quantile of the normal distribution."""
    if not abs(x) < 1.0:
        return math.copysign(math.inf, x) if abs(x) == 1.0 else math.nan
    y = statistics.NormalDist().inv_cdf(0.5 + 0.5 * x) / math.sqrt(2) if abs(x) < 1.0 - 1e-12 else math.copysign(5.0, x)
    for _ in range(4):
        error = math.erf(y) - x if abs(x) < 0.5 else math.copysign(1.0, x) * ((1.0 - abs(x)) - math.erfc(abs(y)))
        y -= error * (0.5 * math.sqrt(math.pi)) * math.exp(y * y)
    return y if x else x


def _power(x: Any, y: Any) -> Any:
    """x**y; of scalars NumPy takes the square root where y is 1/2, which differs for -inf."""
    return np.power([x, x], [y, y], dtype=type(x))[0]


def _lgamma(x: float) -> float:
    return math.inf if x <= 0.0 and x == math.floor(x) else math.lgamma(x)


def _at_zero_too(logarithm: Callable[[complex], complex]) -> Callable[[complex], complex]:
    """A complex logarithm that is -inf at 0, as compiled, where Python raises ValueError."""
    return lambda z: logarithm(z) if z else complex(-math.inf, cmath.phase(z))


def _rounded(function: Callable[..., float], T: Any) -> Callable[..., Any]:
    """``function`` of Python floats, rounded to ``T``."""
    return lambda *x: T(function(*map(float, x)))


def _simulated(T: Any) -> dict[str, Any]:
    names = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}
    names |= {"atan2": "arctan2"}
    exact = {"erf": math.erf, "erfc": math.erfc, "erfinv": _erfinv, "normcdf": lambda x: 0.5 * math.erfc(-x / math.sqrt(2))}
    exact["lgamma"] = _lgamma
    own = {"pow": _power} | {name: _rounded(function, T) for name, function in exact.items()}
    return {name: own.get(name) or getattr(np, names.get(name, name)) for name in _LIBDEVICE}


# ---- the tables --------------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _real(dtype: np.dtype) -> dict[str, Any]:
    T = dtype.type
    suffix = "f" if T is np.float32 else ""
    found = _simulated(T) if SIMULATED else {name: getattr(libdevice, name + suffix) for name in _LIBDEVICE}
    if T is np.float32:
        found |= trig.FUNCTIONS
    return found | _defined(T, found)


@functools.lru_cache(maxsize=None)
def _complex() -> dict[str, Any]:
    names = "sqrt exp log log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh".split()

    @inline
    def power(a, b):  # type: ignore[no-untyped-def]
        return a**b

    exp = cmath.exp

    @inline
    def sigmoid(x):  # type: ignore[no-untyped-def]
        return 1 / (1 + exp(-x))

    found = {name: getattr(cmath, name) for name in names}
    if SIMULATED:
        found |= {name: _at_zero_too(found[name]) for name in ("log", "log10")}
    return found | {"pow": power, "sigmoid": sigmoid, "angle": cmath.phase, "bit_not": _not_bool}


@functools.lru_cache(maxsize=None)
def _table(dtype: np.dtype) -> dict[str, Any]:
    if dtype.kind == "c":
        return _complex()
    if dtype.kind == "f":
        return _real(dtype)
    whole = {"floor": _same, "ceil": _same, "rint": _same, "trunc": _same, "fmod": _integer_fmod}
    if dtype.kind == "b":
        return whole | {"pow": inline(_boolean_power), "bit_not": _not_bool}
    return whole | {"pow": _integer_power(dtype.type), "bit_not": _not_int}


def functions_for(dtype: np.dtype, names: set[str]) -> dict[str, Any]:
    """The function for each of ``names`` in the computing type ``dtype``.  Raises NotImplementedError for one that has no meaning there."""
    table = _table(dtype)
    missing = sorted(names - table.keys())
    if missing:
        from .. import _special  # which few programs need

        table = table | _special.find(set(missing), inline, dtype, table)
        missing = sorted(names - table.keys())
    if missing:
        raise NotImplementedError(f"{', '.join(missing)} not implemented for {dtype}")
    return {name: table[name] for name in names}
