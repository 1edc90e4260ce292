"""ONNX entries of the elementwise operations: arithmetic, comparisons, activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..kernels.elementwise import result_type
from ..tensor import Tensor
from ._graph import onnx_type
from ._table import ENTRIES, entry, need

# ---- one operand -------------------------------------------------------------------------------------------------------------------------


def _unary(operator: str) -> Any:
    return lambda g, y, input, inplace=False: g.op(operator, _as(g, input, y))


def _as(g: Any, x: Any, y: Tensor) -> Any:
    """An operand in the type of the result."""
    return g.cast(x, y.dtype)


ENTRIES |= {
    name: _unary(operator)
    for operator, names in {
        "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs absolute", "Neg": "neg negative",
        "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin arcsin", "Acos": "acos arccos", "Atan": "atan arctan", "Sinh": "sinh", "Cosh": "cosh",
        "Asinh": "asinh arcsinh", "Acosh": "acosh arccosh", "Atanh": "atanh arctanh", "Erf": "erf", "Floor": "floor", "Ceil": "ceil",
        "Sign": "sign sgn", "Reciprocal": "reciprocal", "Softsign": "softsign", "HardSwish": "hardswish", "Mish": "mish", "Round": "round",
        "Identity": "detach positive alias_copy resolve_conj resolve_neg data",
    }.items()
    for name in names.split()
}  # fmt: skip


@entry("contiguous", "clone", "cpu", "cuda")
def _copy(g, y, input, *args, **kwargs):
    return g.op("Identity", input)


@entry("to", "float", "double", "half", "int", "long", "short", "bool", "type", "type_as", "char", "byte")
def _convert(g, y, input, *args, **kwargs):
    return g.op("Identity", input) if y.dtype is input.dtype else g.cast(input, y.dtype)


@entry("rsqrt")
def _rsqrt(g, y, input):
    return g.op("Reciprocal", g.op("Sqrt", _as(g, input, y)))


@entry("square")
def _square(g, y, input):
    return g.op("Mul", input, input)


@entry("isnan")
def _isnan(g, y, input):
    return g.op("IsNaN", input)


@entry("isinf")
def _isinf(g, y, input):
    return g.op("IsInf", input)


# ---- two operands ------------------------------------------------------------------------------------------------------------------------


def _common(g: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Both operands of a comparison in the type that they are compared in."""
    types = [(x._data.dtype if x.ndim else (x._data.dtype,)) if isinstance(x, Tensor) else type(x) for x in (a, b)]
    dtype = dtypes.of(result_type(types))
    return g.cast(a, dtype), g.cast(b, dtype)


def _arithmetic(operator: str) -> Any:
    return lambda g, y, input, other: g.op(operator, _as(g, input, y), _as(g, other, y))


def _comparison(operator: str) -> Any:
    return lambda g, y, input, other: g.op(operator, *_common(g, input, other))


ENTRIES |= {name: _arithmetic("Mul") for name in ("mul", "multiply")}
ENTRIES |= {"maximum": _arithmetic("Max"), "minimum": _arithmetic("Min")}
ENTRIES |= {
    name: _comparison(operator)
    for operator, names in {
        "Equal": "eq", "Less": "lt less", "LessOrEqual": "le less_equal", "Greater": "gt greater", "GreaterOrEqual": "ge greater_equal"
    }.items()
    for name in names.split()
}  # fmt: skip


@entry("ne", "not_equal")
def _ne(g, y, input, other):
    return g.op("Not", g.op("Equal", *_common(g, input, other)))


def _scaled(operator: str) -> Any:
    def written(g, y, input, other, *, alpha=1):
        other = _as(g, other, y)
        return g.op(operator, _as(g, input, y), other if alpha == 1 else g.op("Mul", other, np.asarray(alpha, y.dtype.numpy)))

    return written


ENTRIES |= {"add": _scaled("Add"), "sub": _scaled("Sub"), "subtract": _scaled("Sub")}


@entry("rsub")
def _rsub(g, y, input, other, *, alpha=1):
    return _scaled("Sub")(g, y, other, input, alpha=alpha)


@entry("div", "divide", "true_divide")
def _div(g, y, input, other, *, rounding_mode=None):
    if rounding_mode == "floor":
        return _floor_divide(g, y, input, other)
    need(rounding_mode is None, "div", f"rounding_mode={rounding_mode!r}")
    return g.op("Div", _as(g, input, y), _as(g, other, y))


@entry("floor_divide")
def _floor_divide(g, y, input, other):
    quotient = g.op("Floor", g.op("Div", g.cast(input, dtypes.float64), g.cast(other, dtypes.float64)))
    return g.op("Cast", quotient, to=onnx_type(y.dtype))


@entry("remainder")
def _remainder(g, y, input, other):
    a, b = _as(g, input, y), _as(g, other, y)
    if not y.dtype.is_floating_point:
        return g.op("Mod", a, b)
    return g.op("Sub", a, g.op("Mul", g.op("Floor", g.op("Div", a, b)), b))


@entry("pow")
def _pow(g, y, input, exponent):
    return g.op("Pow", _as(g, input, y), _as(g, exponent, y))


def _logical(on_bool: str, on_integers: str | None) -> Any:
    def written(g, y, input, other):
        if on_integers is None or y.dtype is dtypes.bool_:
            return g.op(on_bool, g.cast(input, dtypes.bool_), g.cast(other, dtypes.bool_))
        return g.op(on_integers, _as(g, input, y), _as(g, other, y))

    return written


ENTRIES |= {f"logical_{name}": _logical(name.title(), None) for name in ("and", "or", "xor")}
ENTRIES |= {f"bitwise_{name}": _logical(name.title(), f"Bitwise{name.title()}") for name in ("and", "or", "xor")}


@entry("logical_not", "bitwise_not")
def _not(g, y, input):
    return g.op("Not", g.cast(input, dtypes.bool_)) if y.dtype is dtypes.bool_ else g.op("BitwiseNot", input)


@entry("where")
def _where(g, y, condition, input, other):
    return g.op("Where", g.cast(condition, dtypes.bool_), _as(g, input, y), _as(g, other, y))


@entry("masked_fill")
def _masked_fill(g, y, input, mask, value):
    return g.op("Where", mask, _as(g, value, y), input)


@entry("clamp", "clip")
def _clamp(g, y, input, min=None, max=None):
    x = _as(g, input, y)
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        for bound, operator in ((min, "Max"), (max, "Min")):
            x = x if bound is None else g.op(operator, x, _as(g, bound, y))
        return x
    return g.op("Clip", x, *(None if bound is None else _as(g, bound, y) for bound in (min, max)))


@entry("clamp_min")
def _clamp_min(g, y, input, min):
    return _clamp(g, y, input, min=min)


@entry("clamp_max")
def _clamp_max(g, y, input, max):
    return _clamp(g, y, input, max=max)


@entry("addcmul")
def _addcmul(g, y, input, tensor1, tensor2, *, value=1):
    product = g.op("Mul", g.op("Mul", tensor1, tensor2), np.asarray(value, y.dtype.numpy))
    return g.op("Add", input, product)


@entry("lerp")
def _lerp(g, y, input, end, weight):
    return g.op("Add", input, g.op("Mul", _as(g, weight, y), g.op("Sub", end, input)))


# ---- activations -------------------------------------------------------------------------------------------------------------------------


@entry("gelu")
def _gelu(g, y, input, approximate="none"):
    def number(value: float) -> Any:
        return np.asarray(value, y.dtype.numpy)

    if approximate == "tanh":
        cubic = g.op("Add", input, g.op("Mul", number(0.044715), g.op("Mul", input, g.op("Mul", input, input))))
        bent = g.op("Tanh", g.op("Mul", number(math.sqrt(2 / math.pi)), cubic))
    else:
        bent = g.op("Erf", g.op("Mul", input, number(math.sqrt(0.5))))
    return g.op("Mul", g.op("Mul", input, number(0.5)), g.op("Add", bent, number(1)))


@entry("silu")
def _silu(g, y, input, inplace=False):
    return g.op("Mul", input, g.op("Sigmoid", input))


@entry("elu")
def _elu(g, y, input, alpha=1.0, inplace=False):
    return g.op("Elu", input, alpha=float(alpha))


@entry("celu")
def _celu(g, y, input, alpha=1.0, inplace=False):
    return g.op("Celu", input, alpha=float(alpha))


@entry("selu")
def _selu(g, y, input, inplace=False):
    return g.op("Selu", input, alpha=1.6732632423543772, gamma=1.0507009873554805)


@entry("leaky_relu")
def _leaky_relu(g, y, input, negative_slope=0.01, inplace=False):
    return g.op("LeakyRelu", input, alpha=float(negative_slope))


@entry("prelu")
def _prelu(g, y, input, weight):
    if weight.numel() > 1 and input.ndim > 2:
        return g.op("PRelu", input, g.reshape(weight, weight.shape, (weight.numel(), *(1,) * (input.ndim - 2))))
    return g.op("PRelu", input, weight)


@entry("hardtanh")
def _hardtanh(g, y, input, min_val=-1.0, max_val=1.0, inplace=False):
    return _clamp(g, y, input, min_val, max_val)


@entry("relu6")
def _relu6(g, y, input, inplace=False):
    return _clamp(g, y, input, 0, 6)


@entry("hardsigmoid")
def _hardsigmoid(g, y, input, inplace=False):
    return g.op("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@entry("softplus")
def _softplus(g, y, input, beta=1.0, threshold=20.0):
    scaled = input if beta == 1 else g.op("Mul", input, np.asarray(beta, y.dtype.numpy))
    soft = g.op("Softplus", scaled)
    soft = soft if beta == 1 else g.op("Div", soft, np.asarray(beta, y.dtype.numpy))
    return g.op("Where", g.op("Greater", scaled, np.asarray(threshold, y.dtype.numpy)), input, soft)


@entry("logsigmoid")
def _logsigmoid(g, y, input):
    return g.op("Neg", g.op("Softplus", g.op("Neg", input)))


@entry("tanhshrink")
def _tanhshrink(g, y, input):
    return g.op("Sub", input, g.op("Tanh", input))


@entry("hardshrink")
def _hardshrink(g, y, input, lambd=0.5):
    return g.op("Shrink", input, lambd=float(lambd), bias=0.0)


@entry("softshrink")
def _softshrink(g, y, input, lambd=0.5):
    return g.op("Shrink", input, lambd=float(lambd), bias=float(lambd))


@entry("threshold")
def _threshold(g, y, input, threshold, value, inplace=False):
    return g.op("Where", g.op("Greater", input, _as(g, threshold, y)), input, _as(g, value, y))


@entry("glu")
def _glu(g, y, input, dim=-1):
    values, gates = g.op("Split", input, outputs=2, axis=dim, num_outputs=2)
    return g.op("Mul", values, g.op("Sigmoid", gates))


def _softmax(operator: str, sign: int = 1) -> Any:
    def written(g, y, input, dim=None, _stacklevel=3, dtype=None):
        x = _as(g, input, y)
        axis = (0 if input.ndim in (0, 1, 3) else 1) if dim is None else dim
        return g.op(operator, x if sign == 1 else g.op("Neg", x), axis=axis)

    return written


ENTRIES |= {"softmax": _softmax("Softmax"), "log_softmax": _softmax("LogSoftmax"), "softmin": _softmax("Softmax", -1)}


def _dropped(g, y, input, p=0.5, training=True, inplace=False, *, generator=None):
    need(not training or p == 0, "dropout", "training=True")
    return g.op("Identity", input)


ENTRIES |= dict.fromkeys(
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout"), _dropped
)
