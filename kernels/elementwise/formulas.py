"""The built-in elementwise operations, each as the scalar formula it is: functions, arithmetic, selection.  ``activations`` and ``logic`` hold the rest.

Adding one: write its formula here, then one line in ``numbagrad/ops/elementwise.py`` makes it a function and a Tensor method.  The derivative
comes from the formula; a formula whose mechanical derivative is numerically poor names its own with ``@op.vjp``.
"""

from __future__ import annotations

from .. import _formula as f
from .._formula import copysign, fmod, where
from ._declare import Elementwise, elementwise

# ---- functions of one variable that the targets provide ---------------------------------------------------------------------------


def _provided(name: str, accepts: str) -> Elementwise:
    return Elementwise(name, ["x"], lambda: f.trace(lambda x: f.FUNCTIONS[name](x), name), "float", accepts, f"{name}(x)")


sqrt, sin, cos, tan, sinh, cosh, tanh, sigmoid = (_provided(n, "bifc") for n in "sqrt sin cos tan sinh cosh tanh sigmoid".split())
exp_, log = _provided("exp", "bifc"), _provided("log", "bifc")
exp2, expm1, log2, log10, log1p = (_provided(n, "bif") for n in "exp2 expm1 log2 log10 log1p".split())
asin, acos, atan, asinh, acosh, atanh = (_provided(n, "bif") for n in "asin acos atan asinh acosh atanh".split())
erf_, erfc, erfinv = (_provided(n, "bif") for n in "erf erfc erfinv".split())


def _rounding(name: str) -> Elementwise:
    op = Elementwise(name, ["x"], lambda: f.trace(lambda x: f.FUNCTIONS[name](x), name), "same", "if", f"{name}(x)")
    op.vjp(lambda g: 0 * g)  # flat almost everywhere: the gradient is zero, not absent
    return op


floor, ceil, round_, trunc = _rounding("floor"), _rounding("ceil"), _rounding("rint"), _rounding("trunc")


@elementwise(accepts="f")
def frac(x):
    """x − trunc(x)"""
    return x - f.trunc(x)


@frac.vjp
def _(g):
    return g


# ---- arithmetic -------------------------------------------------------------------------------------------------------------------


@elementwise(accepts="bifc")
def add(a, b):
    """a + b"""
    return a + b


@elementwise(accepts="bifc")
def add_scaled(a, b, alpha: float):
    """a + alpha · b"""
    return a + alpha * b


@elementwise(accepts="ifc")
def sub(a, b):
    """a − b"""
    return a - b


@elementwise(accepts="bifc")
def mul(a, b):
    """a · b"""
    return a * b


@elementwise(result="float", accepts="bifc")
def div(a, b):
    """a / b, true division"""
    return a / b


@elementwise(accepts="ifc")
def neg(x):
    """−x"""
    return -x


@elementwise(accepts="bif")
def abs_(x):
    """|x|"""
    return abs(x)


@elementwise(result="real", accepts="c")
def abs_complex(x):
    """|x| of a complex number"""
    return abs(x)


@abs_complex.vjp
def _(g, y, x):
    return where(y == 0, 0, g * x / y)


@elementwise(accepts="c")
def conj(x):
    """the complex conjugate"""
    return f.conj(x)


@elementwise(accepts="bif")
def sign(x):
    """1, 0 or −1"""
    return f.widen(where(x > 0, 1, where(x < 0, -1, 0)), x)


@sign.vjp
def _(g):
    return 0 * g


@elementwise(result="float", accepts="bifc")
def rsqrt(x):
    """1 / √x"""
    return 1 / f.sqrt(x)


@rsqrt.vjp
def _(g, y):
    return -0.5 * g * f.conj(y * y * y)


@elementwise(result="number", accepts="bifc")
def square(x):
    """x²"""
    return x * x


@elementwise(result="float", accepts="bifc")
def reciprocal(x):
    """1 / x"""
    return 1 / x


@reciprocal.vjp
def _(g, y):
    return -g * f.conj(y * y)


@elementwise(accepts="bifc")
def pow_(a, b):
    """aᵇ"""
    return f.pow(a, b)


@elementwise(result="float", accepts="bifc", name="pow")
def root(x):
    """x^½"""
    return f.sqrt(x)


@root.vjp
def _(g, x):
    return 0.5 * g / f.conj(f.sqrt(x))  # not by the result, which may be changed in place, as in PyTorch


@elementwise(accepts="if")
def fmod_(a, b):
    """the remainder of a / b with the sign of a"""
    return fmod(a, b)


@elementwise(accepts="f", name="remainder")
def remainder_float(a, b):
    """the remainder of a / b with the sign of b"""
    r = fmod(a, b)
    return where((r != 0) & ((r < 0) ^ (b < 0)), r + b, r)


@remainder_float.vjp
def _(g, a, b):
    return g, -g * f.floor(a / b)


@elementwise(accepts="i", name="remainder")
def remainder_int(a, b):
    """the remainder of a // b, with the sign of b"""
    return f.mod_int(a, b)


@elementwise(accepts="f", name="floor_divide")
def floor_divide_float(a, b):
    """⌊a / b⌋, exact where the quotient rounds: computed from the remainder, as Python's ``divmod``"""
    r = fmod(a, b)
    q = (a - r) / b - where((r != 0) & ((b < 0) ^ (r < 0)), 1, 0)
    low = f.floor(q)
    return where(b == 0, a / b, where(q == 0, copysign(0, a / b), where(q - low > 0.5, low + 1, low)))


@floor_divide_float.vjp
def _(g):
    return 0 * g, 0 * g


@elementwise(accepts="i", name="floor_divide")
def floor_divide_int(a, b):
    """⌊a / b⌋ of integers"""
    return f.floor_int(a, b)


@elementwise(result="float", accepts="bif")
def atan2(a, b):
    """the angle of the point (b, a)"""
    return f.atan2(a, b)


@elementwise(accepts="f")
def hypot(a, b):
    """√(a² + b²) without overflow"""
    return f.hypot(a, b)


@elementwise(result="float", accepts="bif")
def copysign_(a, b):
    """|a| with the sign of b"""
    return copysign(a, b)


# ---- selection --------------------------------------------------------------------------------------------------------------------


def _shared(g, a, b, first):
    """The gradient of a choice between a and b: all of it to the one chosen, half to each of equals."""
    return where(a == b, g * 0.5, where(first, g, 0)), where(a == b, g * 0.5, where(first, 0, g))


@elementwise(accepts="bif")
def maximum(a, b):
    """the larger; NaN if either is"""
    return where((a > b) | (a != a), a, b)


@maximum.vjp
def _(g, a, b):
    return _shared(g, a, b, (a > b) | (a != a))


@elementwise(accepts="bif")
def minimum(a, b):
    """the smaller; NaN if either is"""
    return where((a < b) | (a != a), a, b)


@minimum.vjp
def _(g, a, b):
    return _shared(g, a, b, (a < b) | (a != a))


@elementwise(accepts="bif")
def fmax(a, b):
    """the larger; the number if the other is NaN"""
    return where((a > b) | (b != b), a, b)


@fmax.vjp
def _(g, a, b):
    first = (a >= b) | (b != b)
    return where(first, g, 0), where(first, 0, g)


@elementwise(accepts="bif")
def fmin(a, b):
    """the smaller; the number if the other is NaN"""
    return where((a < b) | (b != b), a, b)


@fmin.vjp
def _(g, a, b):
    first = (a <= b) | (b != b)
    return where(first, g, 0), where(first, 0, g)


@elementwise(accepts="bifc")
def where_(condition: bool, a, b):
    """a where the condition holds, else b"""
    return where(condition, a, b)


@elementwise(accepts="if")
def clamp(x, low, high):
    """x limited to [low, high]; high where low > high"""
    raised = where((x < low) | (low != low), low, x)
    return where((raised > high) | (high != high), high, raised)


@clamp.vjp
def _(g, x, low, high):
    inside = (x >= low) & (x <= high)
    return where(inside, g, 0), where((x < low) & (low < high), g, 0), where((x > high) | (low > high), g, 0)


@elementwise(accepts="if")
def clamp_min(x, low):
    """max(x, low)"""
    return where((x < low) | (low != low), low, x)


@clamp_min.vjp
def _(g, x, low):
    return where(x >= low, g, 0), where(x < low, g, 0)


@elementwise(accepts="if")
def clamp_max(x, high):
    """min(x, high)"""
    return where((x > high) | (high != high), high, x)


@clamp_max.vjp
def _(g, x, high):
    return where(x <= high, g, 0), where(x > high, g, 0)


@elementwise(accepts="fc")
def lerp(start, end, weight):
    """start + weight · (end − start), from the nearer end so that both ends are met exactly"""
    return where(abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


@lerp.vjp
def _(g, start, end, weight):
    return g * (1 - weight), g * weight, g * (end - start)


@elementwise(accepts="ifc")
def addcmul(x, a, b, value: float):
    """x + value · a · b"""
    return x + value * a * b


@elementwise(accepts="fc")
def addcdiv(x, a, b, value: float):
    """x + value · a / b"""
    return x + value * (a / b)
