"""The activations of neural networks, as the scalar formulas they are.  (Declared as those in ``formulas``, which names them too.)"""

from __future__ import annotations

import math

from .. import _formula as f
from .._formula import exp, where
from ._declare import elementwise


@elementwise(accepts="if")
def relu(x):
    """max(x, 0)"""
    return where(x <= 0, 0, x)


@relu.vjp
def _(g, y):
    return where(y <= 0, 0, g)


@elementwise(accepts="if")
def relu6(x):
    """min(max(x, 0), 6)"""
    return where(x <= 0, 0, where(x >= 6, 6, x))


@relu6.vjp
def _(g, x):
    return where((x <= 0) | (x >= 6), 0, g)


@elementwise(accepts="f")
def leaky_relu(x, slope: float):
    """x where x > 0, else slope · x"""
    return where(x > 0, x, slope * x)


@elementwise(accepts="f")
def elu(x, alpha: float, scale: float):
    """scale · x where x > 0, else scale · alpha · (eˣ − 1)"""
    return where(x > 0, scale * x, scale * alpha * f.expm1(x))


@elu.vjp
def _(g, x, alpha, scale):
    return where(x > 0, scale * g, scale * alpha * g * exp(x)), None, None


@elementwise(accepts="f")
def celu(x, alpha: float):
    """x where x > 0, else alpha · (e^(x/alpha) − 1)"""
    return where(x > 0, x, alpha * f.expm1(x / alpha))


@celu.vjp
def _(g, x, alpha):
    return where(x > 0, g, g * exp(x / alpha)), None


# Klambauer et al., "Self-Normalizing Neural Networks", 2017, equation 14.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@elementwise(accepts="f")
def selu(x):
    """elu with the two constants that keep mean 0 and variance 1"""
    return where(x > 0, SELU_SCALE * x, SELU_SCALE * SELU_ALPHA * f.expm1(x))


@selu.vjp
def _(g, x):
    return where(x > 0, SELU_SCALE * g, SELU_SCALE * SELU_ALPHA * g * exp(x))


@elementwise(accepts="f")
def gelu(x):
    """x · Φ(x), Φ the normal distribution function (Hendrycks and Gimpel, 2016)"""
    return f.gelu(x)  # in one: of a product with Φ the error would be that of both


@elementwise(accepts="f")
def gelu_tanh(x):
    """gelu by its tanh approximation: ½ x (1 + tanh u) = x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³)"""
    return x * f.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))


@elementwise(accepts="f")
def silu(x):
    """x · sigmoid(x)"""
    return x * f.sigmoid(x)


@silu.vjp
def _(g, x):
    s = f.sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


def _softplus(x):
    """log(1 + eˣ) without overflow, and accurate where it is small."""
    return where(x > 0, x + f.log1p(exp(-abs(x))), f.log1p(exp(-abs(x))))


@elementwise(accepts="f")
def mish(x):
    """x · tanh(log(1 + eˣ))"""
    return x * f.tanh(_softplus(x))


@mish.vjp
def _(g, x):
    t = f.tanh(_softplus(x))
    return g * (t + x * f.sigmoid(x) * (1 - t * t))


@elementwise(accepts="f")
def softplus(x, beta: float, threshold: float):
    """log(1 + e^(beta·x)) / beta; x itself where beta · x > threshold"""
    return where(x * beta > threshold, x, _softplus(x * beta) / beta)


@softplus.vjp
def _(g, x, beta, threshold):
    return where(x * beta > threshold, g, g * f.sigmoid(x * beta)), None, None


@elementwise(result="float", accepts="bif")
def softsign(x):
    """x / (1 + |x|)"""
    return x / (1 + abs(x))


@softsign.vjp
def _(g, x):
    d = 1 + abs(x)
    return g / (d * d)


@elementwise(accepts="if")
def hardtanh(x, low: float, high: float):
    """x limited to [low, high]"""
    return where(x < low, low, where(x > high, high, x))


@hardtanh.vjp
def _(g, x, low, high):
    return where((x <= low) | (x >= high), 0, g), None, None


@elementwise(accepts="f")
def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6"""
    return where(x <= -3, 0, where(x >= 3, 1, (x + 3) / 6))


@hardsigmoid.vjp
def _(g, x):
    return where((x > -3) & (x < 3), g / 6, 0)


@elementwise(accepts="f")
def hardswish(x):
    """x · hardsigmoid(x)"""
    return x * where(x <= -3, 0, where(x >= 3, 1, (x + 3) / 6))


@hardswish.vjp
def _(g, x):
    return where(x <= -3, 0, where(x >= 3, g, g * (x / 3 + 0.5)))


@elementwise(accepts="f")
def logsigmoid(x):
    """log(sigmoid(x)) = −log(1 + e⁻ˣ)"""
    return -_softplus(-x)


@logsigmoid.vjp
def _(g, x):
    return g * f.sigmoid(-x)


@elementwise(accepts="f")
def hardshrink(x, lambd: float):
    """x where |x| > lambd, else 0"""
    return where((x >= -lambd) & (x <= lambd), 0, x)


@hardshrink.vjp
def _(g, x, lambd):
    return where((x >= -lambd) & (x <= lambd), 0, g), None


@elementwise(accepts="f")
def softshrink(x, lambd: float):
    """x − lambd where x > lambd, x + lambd where x < −lambd, else 0"""
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))  # NaN stays NaN


@softshrink.vjp
def _(g, x, lambd):
    return where((x >= -lambd) & (x <= lambd), 0, g), None


@elementwise(result="float", accepts="bif")
def tanhshrink(x):
    """x − tanh(x)"""
    return x - f.tanh(x)


@tanhshrink.vjp
def _(g, x):
    t = f.tanh(x)
    return g * (t * t)


@elementwise(result="same", accepts="if")
def threshold(x, limit: float, value: float):
    """x where x > limit, else value"""
    return where(x <= limit, value, x)


@threshold.vjp
def _(g, x, limit):
    return where(x <= limit, 0, g), None, None


@elementwise(accepts="f")
def gated(x, gate):
    """x · sigmoid(gate)"""
    return x * f.sigmoid(gate)


@gated.vjp
def _(g, x, gate):
    s = f.sigmoid(gate)
    return g * s, g * x * s * (1 - s)
