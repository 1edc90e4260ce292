"""log |Γ(x)| in float32 alone, without a branch, so that LLVM vectorises the loops that call it.

The error is a few units in the last place for positive x, and of that size against the larger of 1 and the value next to the zeros of negative x.
Polynomials between 0 and 8 (Chebyshev interpolation with 40 digits, our own fits), Stirling's series beyond (Abramowitz and Stegun, "Handbook of
Mathematical Functions", 1964, 6.1.41), and for negative x the formula of reflection, Γ(x) Γ(−x) = −π / (x sin πx).
"""

from __future__ import annotations

import math

from .exp32 import _INF, _constants, f32, log_f32
from .intrinsics import horner, rint, select
from .jit import inline

# log Γ(z) = (z − 1) (z − 2) P(z − 2), 1 <= z <= 3; 2e-9
_NEAR = _constants(
    0.4227843356570852,
    -0.10031730377304875,
    0.03296494687535553,
    -0.012384115353140948,
    0.0049994805130448875,
    -0.0021089397219834424,
    0.0009105063087506705,
    -0.0004019891646645118,
    0.00019579947416440295,
    -9.172311707842216e-05,
    2.0249376822898743e-05,
    -7.291269605901416e-06,
    1.9308750486782524e-05,
    -9.674750780148235e-06,
)
# log Γ(x) = P((x − 5.5) / 2.5), 3 <= x <= 8; 8e-9
_MIDDLE = _constants(
    3.9578139609039296,
    4.02773289024029,
    0.6229454349642357,
    -0.10314881763990408,
    0.025532649302987497,
    -0.00755993507490935,
    0.002504133098386887,
    -0.0008832160595367718,
    0.00027838580962300235,
    -0.0001002090649252388,
    7.969934819736296e-05,
    -3.362054464407008e-05,
)
# sin(πf) = f P(8f² − 1), |f| <= ½; 1e-10
_SINE = _constants(
    2.5343242627149434, -0.5697036803087363, 0.03645310463688462, -0.0010924319966715804, 1.8959389722587043e-05, -2.1448933132247811e-07
)
_STIRLING = _constants(1 / 12, -1 / 360, 1 / 1260)
_HALF_LOG_TAU = f32(0.5 * math.log(2 * math.pi))
_LOG_PI = f32(math.log(math.pi))


@inline
def lgamma_f32(x):
    """log |Γ(x)|; infinity at whole numbers below 1 and at both infinities."""
    one, eight = f32(1.0), f32(8.0)
    a = abs(x)
    log_a = log_f32(a)
    small = a < one
    u = select(small, a, select(a < f32(3.0), a - one, one))  # z − 1, of z = a or a + 1
    v = u - one
    near = u * v * horner(v, _NEAR) + select(small, -log_a, f32(0.0))
    middle = horner((select(a < eight, a, eight) - f32(5.5)) * f32(0.4), _MIDDLE)
    big = select(a > eight, a, eight)
    inverse = one / big
    far = (big - f32(0.5)) * (log_a - one) + (_HALF_LOG_TAU - f32(0.5) + inverse * horner(inverse * inverse, _STIRLING))
    value = select(a < f32(3.0), near, select(a < eight, middle, far))
    # −log Γ(−x) − log |x sin(πx) / π|
    f = x - rint(x)
    reflected = _LOG_PI - log_f32(abs(f * horner(eight * f * f - one, _SINE))) - log_a - value
    value = select(x < f32(0.0), select(f == f32(0.0), _INF, reflected), value)
    return select(a == _INF, a, value)


FUNCTIONS = {"lgamma": lgamma_f32}
