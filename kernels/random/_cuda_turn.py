"""The cosine and sine in float64 of an angle in [0, 2 pi].  libdevice's own serve any angle and keep an array on the stack for the large ones."""

from __future__ import annotations

import math

import numpy as np

from .. import _dtypes
from .._cuda.functions import functions_for
from .._cuda.intrinsics import inline
from .._cuda.rounding import fma64

_nearest = functions_for(_dtypes.float64, {"rint"})["rint"]
_QUARTERS = np.float64(2 / math.pi)
_HALF_PI, _HALF_PI_LOW = np.float64(math.pi / 2), np.float64(6.123233995736766e-17)  # pi/2 is their sum
# Taylor's series, in the square, from the highest power down: cut off below 2^-58 of the result at pi/4.
_SINE = tuple(np.float64((-1) ** k / math.factorial(2 * k + 1)) for k in range(8, 0, -1))
_COSINE = tuple(np.float64((-1) ** k / math.factorial(2 * k)) for k in range(8, 1, -1))
_ONE, _HALF = np.float64(1), np.float64(0.5)


@inline
def cos_sin(angle):
    """cos(angle), sin(angle), to about one unit in the last place.

    The nearest multiple of pi/2 is taken off in two parts, the first exactly: both lie on a grid of 2^-53, on which the difference has 53 bits.
    """
    quarter = _nearest(angle * _QUARTERS)
    t = fma64(-quarter, _HALF_PI_LOW, fma64(-quarter, _HALF_PI, angle))
    z = t * t
    s = _SINE[0]
    for k in range(1, 8):
        s = fma64(s, z, _SINE[k])
    s = fma64(s * z, t, t)
    c = _COSINE[0]
    for k in range(1, 7):
        c = fma64(c, z, _COSINE[k])
    # 1 - z/2 + z^2 c, with what rounding took from 1 - z/2
    half = _HALF * z
    w = _ONE - half
    c = w + fma64(z * z, c, (_ONE - w) - half)
    turns = np.int32(quarter)
    odd = (turns & np.int32(1)) != np.int32(0)
    cosine, sine = (s, c) if odd else (c, s)
    cosine = -cosine if turns == np.int32(1) or turns == np.int32(2) else cosine
    sine = -sine if turns == np.int32(2) or turns == np.int32(3) else sine
    return cosine, sine
