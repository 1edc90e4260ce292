"""float64 functions that the C library lacks; the others come from ``math``."""

from __future__ import annotations

import math

import numpy as np

from .intrinsics import copysign, horner, product_error, select
from .jit import inline

_LN2 = 0.6931471805599453
_TWO_OVER_ROOT_PI = 1.1283791670955126
_DENSITY = 0.3989422804014327  # of the normal distribution at 0

# First guess for erfinv: x P(w - 3) for w = -log(1 - x**2) < 6; x P(sqrt(w) - 3.27) up to w = 16.7 (fits of our own, 1e-7).
_CENTRE = (
    1.62354207,
    0.241630331,
    -0.00573856011,
    -0.000836074993,
    0.000195467786,
    -1.27565781e-05,
    -1.88403703e-06,
    4.55547507e-07,
    -4.39994885e-09,
    -5.82697268e-09,
)
_ROOT_HALF, _ROOT_HALF_LOW = 0.7071067811865476, -4.833646656726457e-17
_TAIL = (3.10399294, 1.00546849, 0.00515066925, -0.00354276993, 0.00233450392, -0.00164917076, 0.000901692256, -0.000229814934)


@inline
def exp2_f64(x):
    """2**x."""
    return math.pow(2.0, x)


@inline
def sigmoid_f64(x):
    """1/(1 + e**-x), from e**-|x| so that nothing overflows."""
    t = math.exp(-abs(x))
    return select(x < 0.0, t, 1.0) / (1.0 + t)


@inline
def ndtr_f64(x):
    """The normal distribution function, erfc(z)/2 for z = -x sqrt(1/2), with the rounding error of z put back by the derivative."""
    z = -_ROOT_HALF * x
    if abs(z) > 27.5 or z != z:  # the value is 0, 1 or NaN
        return 0.5 * math.erfc(z)
    error = product_error(-_ROOT_HALF, x) - _ROOT_HALF_LOW * x
    return 0.5 * math.erfc(z) - error * (0.5 * _TWO_OVER_ROOT_PI * math.exp(-z * z))


@inline
def gelu_f64(x):
    """x Phi(x); not by 1 + erf, which cancels for negative x."""
    return x * ndtr_f64(x)


@inline
def gelu_slope_f64(x):
    """The derivative of x Phi(x): Phi(x) + x exp(-x**2/2)/sqrt(2 pi)."""
    return ndtr_f64(x) + x * (_DENSITY * math.exp(-0.5 * x * x))


@inline
def erfinv_f64(x):
    """The y with erf(y) = x: a polynomial in w = -log(1 - x**2) (Giles 2012), then two steps of Halley's method on erf (erfc near ±1, where
    erf has lost its digits)."""
    a = abs(x)
    if a >= 1.0 or a != a:
        return copysign(np.inf, x) if a == 1.0 else np.nan
    w = -math.log((1.0 - a) * (1.0 + a))
    if w < 6.0:
        y = a * horner(w - 3.0, _CENTRE)
    elif w < 16.7:
        y = a * horner(math.sqrt(w) - 3.27, _TAIL)
    else:
        # erfc(y) ~ exp(-y**2)/(y sqrt(pi)); 1 - a = e**-w/2 nearly
        y = math.sqrt(w + _LN2 - 0.5 * math.log(w * math.pi))
    for _ in range(2):
        residual = math.erf(y) - a if a < 0.5 else (1.0 - a) - math.erfc(y)
        step = residual / (_TWO_OVER_ROOT_PI * math.exp(-y * y))
        y -= step / (1.0 + y * step)
    return copysign(y, x) if a > 0.0 else x


FUNCTIONS = {
    "erfinv": erfinv_f64,
    "ndtr": ndtr_f64,
    "gelu": gelu_f64,
    "gelu_slope": gelu_slope_f64,
    "exp2": exp2_f64,
    "sigmoid": sigmoid_f64,
}
