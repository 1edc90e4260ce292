"""The table of elementwise operations that test_ops.py runs through: name, domain, arguments, reference.  Adding an operation adds one line here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special as sp


@dataclass(frozen=True)
class Op:
    """``name``: of the function in numbagrad (and of torch's, for the differential tests).  ``reference``: the same in NumPy or SciPy, in float64.
    ``domains``: one (low, high) per tensor argument; ``kinks``: points that the gradient tests keep away from; ``settings``: further arguments.
    ``kinds``: categories of dtypes it takes.  ``gradient``: whether it has one.  ``home``: "" or "nn.functional"."""

    name: str
    reference: Any
    domains: tuple[tuple[float, float], ...] = ((-3.0, 3.0),)
    kinks: tuple[float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    kinds: str = "bif"
    gradient: bool = True
    home: str = ""
    infinite: bool = True  # False: PyTorch gives NaN at infinity where we give the limit
    subnormal: bool = True  # False: PyTorch gives NaN for subnormal divisors
    floats_only: bool = False  # integers are refused rather than promoted
    ulps: float = 4.0  # in float32, against the rounded float64 reference

    @property
    def id(self) -> str:
        return self.name + "".join(f"-{k}={v}" for k, v in self.settings.items())

    def of(self, library: Any) -> Any:
        for part in self.home.split(".") if self.home else ():
            library = getattr(library, part)
        return getattr(library, self.name)

    def samples(self, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
        """Float64 arguments in the domains, away from the kinks (and, for several arguments, from ties)."""
        rng = np.random.default_rng(seed)
        found = []
        for low, high in self.domains:
            x = rng.uniform(low, high, shape)
            for kink in self.kinks:
                x = np.where(np.abs(x - kink) < 0.05, kink + 0.1, x)
            found.append(x)
        return found


_ALL = (-3.0, 3.0)
_POSITIVE = (0.2, 3.0)
_UNIT = (-0.9, 0.9)
_NN = "nn.functional"
_SELU = (1.6732632423543772, 1.0507009873554805)


def _softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _unary(name: str, reference: Any, domain: tuple[float, float] = _ALL, **more: Any) -> Op:
    return Op(name, reference, (domain,), **more)


UNARY = [
    _unary("neg", np.negative, kinds="if"),
    _unary("abs", np.abs, kinks=(0.0,)),
    _unary("sign", np.sign, kinks=(0.0,)),
    _unary("sqrt", np.sqrt, _POSITIVE),
    _unary("rsqrt", lambda x: 1 / np.sqrt(x), _POSITIVE),
    _unary("square", np.square),
    _unary("reciprocal", lambda x: 1 / x, _POSITIVE),
    _unary("exp", np.exp),
    _unary("exp2", np.exp2),
    _unary("expm1", np.expm1),
    _unary("log", np.log, _POSITIVE),
    _unary("log2", np.log2, _POSITIVE),
    _unary("log10", np.log10, _POSITIVE),
    _unary("log1p", np.log1p, _POSITIVE),
    _unary("sin", np.sin),
    _unary("cos", np.cos),
    _unary("tan", np.tan, (-1.3, 1.3)),
    _unary("asin", np.arcsin, _UNIT),
    _unary("acos", np.arccos, _UNIT),
    _unary("atan", np.arctan),
    _unary("sinh", np.sinh),
    _unary("cosh", np.cosh),
    _unary("tanh", np.tanh),
    _unary("asinh", np.arcsinh),
    _unary("acosh", np.arccosh, (1.2, 4.0)),
    _unary("atanh", np.arctanh, _UNIT),
    _unary("sigmoid", sp.expit),
    _unary("erf", sp.erf),
    _unary("erfc", sp.erfc),
    _unary("erfinv", sp.erfinv, _UNIT),
    _unary("floor", np.floor, kinks=(-3, -2, -1, 0, 1, 2, 3), kinds="if"),
    _unary("ceil", np.ceil, kinks=(-3, -2, -1, 0, 1, 2, 3), kinds="if"),
    _unary("round", np.round, kinks=(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5), kinds="if"),
    _unary("trunc", np.trunc, kinks=(-3, -2, -1, 0, 1, 2, 3), kinds="if"),
    _unary("frac", lambda x: x - np.trunc(x), kinks=(-3, -2, -1, 0, 1, 2, 3), kinds="f", floats_only=True),
    _unary("relu", lambda x: np.maximum(x, 0), kinks=(0.0,), kinds="if"),
    _unary("isnan", np.isnan, gradient=False),
    _unary("isinf", np.isinf, gradient=False),
    _unary("isfinite", np.isfinite, gradient=False),
    _unary("logical_not", lambda x: x == 0, gradient=False),
]

ACTIVATIONS = [
    _unary("relu6", lambda x: np.clip(x, 0, 6), (-4.0, 8.0), kinks=(0.0, 6.0), home=_NN, kinds="f"),
    _unary("leaky_relu", lambda x, negative_slope: np.where(x > 0, x, negative_slope * x), kinks=(0.0,), settings={"negative_slope": 0.1}, home=_NN,
           kinds="f", floats_only=True),
    _unary("elu", lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)), kinks=(0.0,), settings={"alpha": 1.3}, home=_NN, kinds="f", floats_only=True),
    _unary("selu", lambda x: _SELU[1] * np.where(x > 0, x, _SELU[0] * np.expm1(x)), kinks=(0.0,), home=_NN, kinds="f", floats_only=True),
    _unary("celu", lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x / alpha)), kinks=(0.0,), settings={"alpha": 0.7}, home=_NN, kinds="f",
           floats_only=True),
    _unary("gelu", lambda x: x * sp.ndtr(x), home=_NN, kinds="f", floats_only=True, ulps=12, infinite=False),
    _unary("gelu", lambda x, approximate: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), settings={"approximate": "tanh"},
           home=_NN, kinds="f", floats_only=True, ulps=12, infinite=False),
    _unary("silu", lambda x: x * sp.expit(x), home=_NN, kinds="f", floats_only=True),
    _unary("mish", lambda x: x * np.tanh(_softplus(x)), home=_NN, kinds="f", floats_only=True, ulps=6),
    _unary("softplus", _softplus, settings={"beta": 2.0, "threshold": 4.0}, home=_NN, kinds="f", floats_only=True, kinks=(2.0,)),
    _unary("softsign", lambda x: x / (1 + np.abs(x)), kinks=(0.0,), home=_NN),
    _unary("hardtanh", lambda x, min_val, max_val: np.clip(x, min_val, max_val), kinks=(-0.5, 1.5), settings={"min_val": -0.5, "max_val": 1.5},
           home=_NN, kinds="f"),
    _unary("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, (-4.0, 4.0), kinks=(-3.0, 3.0), home=_NN, kinds="f", floats_only=True, ulps=8),
    _unary("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, (-4.0, 4.0), kinks=(-3.0, 3.0), home=_NN, kinds="f", floats_only=True, ulps=8),
    _unary("logsigmoid", lambda x: -np.logaddexp(0, -x), home=_NN, kinds="f", floats_only=True),
]  # fmt: skip


def _binary(name: str, reference: Any, first: tuple[float, float] = _ALL, second: tuple[float, float] = _ALL, **more: Any) -> Op:
    return Op(name, reference, (first, second), **more)


BINARY = [
    _binary("add", np.add),
    _binary("sub", np.subtract, kinds="if"),
    _binary("mul", np.multiply),
    _binary("div", np.true_divide, second=_POSITIVE),
    _binary("floor_divide", np.floor_divide, (1.1, 1.9), (2.1, 2.9), kinds="if", gradient=False),
    _binary("remainder", np.remainder, (1.1, 1.9), (2.1, 2.9), kinds="if", subnormal=False),
    _binary("fmod", np.fmod, (-1.9, -1.1), (2.1, 2.9), kinds="if", subnormal=False),
    _binary("pow", np.power, _POSITIVE, kinds="if", ulps=8),
    _binary("atan2", np.arctan2, _POSITIVE),
    _binary("hypot", np.hypot, _POSITIVE, kinds="f", floats_only=True),
    _binary("maximum", np.maximum),
    _binary("minimum", np.minimum),
    _binary("fmax", np.fmax),
    _binary("fmin", np.fmin),
    _binary("copysign", np.copysign, kinks=(0.0,)),
    _binary("eq", np.equal, gradient=False),
    _binary("ne", np.not_equal, gradient=False),
    _binary("lt", np.less, gradient=False),
    _binary("le", np.less_equal, gradient=False),
    _binary("gt", np.greater, gradient=False),
    _binary("ge", np.greater_equal, gradient=False),
    _binary("logical_and", np.logical_and, gradient=False),
    _binary("logical_or", np.logical_or, gradient=False),
    _binary("logical_xor", np.logical_xor, gradient=False),
]

TERNARY = [
    Op("lerp", lambda a, b, w: a + w * (b - a), (_ALL, _ALL, (0.1, 0.4)), kinds="f", floats_only=True, ulps=16),
    Op("addcmul", lambda x, a, b, value: x + value * a * b, (_ALL, _ALL, _ALL), settings={"value": 2}, kinds="f", ulps=64),
    Op(
        "addcdiv",
        lambda x, a, b, value: x + value * a / b,
        (_ALL, _ALL, _POSITIVE),
        settings={"value": 0.5},
        kinds="f",
        floats_only=True,
        ulps=64,
    ),
]

ELEMENTWISE = [*UNARY, *ACTIVATIONS, *BINARY, *TERNARY]
