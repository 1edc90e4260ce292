"""Activations as functions, with PyTorch's names, arguments and defaults; each is a formula of ``kernels.elementwise.activations``."""

from __future__ import annotations

from typing import Any

from ..autograd import casting
from ..kernels.elementwise import activations
from ..kernels.elementwise import formulas as f
from ..tensor import Tensor
from . import elementwise as e
from ._attach import public
from .random import rand_like
from .softmax import softmax

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu",
    "leaky_relu_", "logsigmoid", "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid", "silu", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold", "threshold_",
]  # fmt: skip


def _activate(kernel: Any, input: Tensor, inplace: bool, *args: Any) -> Tensor:
    op = e.operation(kernel)
    return op.change(input, *args) if inplace else op.call(input, *args)


_relu = e.operation(activations.relu)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)"""
    return _relu.change(input) if inplace else _relu.call(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)"""
    return _activate(activations.relu6, input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x"""
    return _activate(activations.leaky_relu, input, inplace, float(negative_slope))


@public
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x, with one weight, or one per channel (dimension 1)"""
    if casting.active:
        input, weight = casting.arguments("prelu", input, weight)
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.numel() > 1:
        if input.ndim < 2 or input.shape[1] != weight.numel():
            channels = input.shape[1] if input.ndim > 1 else 1
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape(1, -1, *[1] * (input.ndim - 2))  # type: ignore[attr-defined]
    elif input.ndim == 0:
        weight = weight.reshape(())  # type: ignore[attr-defined]
    return e.operation(activations.leaky_relu)(input, weight)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ − 1)"""
    return _activate(activations.elu, input, inplace, float(alpha), 1.0)


@public(method=False)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (e^(x/alpha) − 1)"""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _activate(activations.celu, input, inplace, float(alpha))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale · elu(x) with the self-normalising constants (Klambauer et al., 2017)"""
    return _activate(activations.selu, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x); ``approximate="tanh"`` uses the tanh approximation of Φ (Hendrycks and Gimpel, 2016)"""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return e.operation(activations.gelu if approximate == "none" else activations.gelu_tanh)(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x)"""
    return _activate(activations.silu, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))"""
    return _activate(activations.mish, input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta·x)) / beta, x itself above the threshold"""
    return e.operation(activations.softplus)(input, float(beta), float(threshold))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)"""
    return e.operation(activations.softsign)(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]"""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if not input.is_floating_point():  # limits are whole numbers there, as in PyTorch
        low, high = int(min_val), int(max_val)
        if low < 0 and not input.is_signed():
            raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
        return _activate(activations.hardtanh, input, inplace, low, high)
    return _activate(activations.hardtanh, input, inplace, float(min_val), float(max_val))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6"""
    return _activate(activations.hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · relu6(x + 3) / 6"""
    return _activate(activations.hardswish, input, inplace)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))"""
    return e.operation(activations.logsigmoid)(input)


@public(method=False, out=True)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value"""
    return _activate(activations.threshold, input, inplace, threshold, value)


@public(out=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0"""
    return e.operation(activations.hardshrink)(input, float(lambd))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x − lambd where x > lambd, x + lambd where x < −lambd, else 0.  Raises RuntimeError for a negative lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return e.operation(activations.softshrink)(input, float(lambd))


def tanhshrink(input: Tensor) -> Tensor:
    """x − tanh(x)"""
    return e.operation(activations.tanhshrink)(input)


@public(method=False)
def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False, generator: Any = None
) -> Tensor:
    """x where x > 0, else slope · x: in ``training`` each element's slope is drawn from [lower, upper), else it is their mean.

    B. Xu et al., "Empirical evaluation of rectified activations in convolutional network" (2015).  Raises RuntimeError where lower > upper.
    """
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, but got lower={lower} and upper={upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = rand_like(input, generator=generator) * (upper - lower) + lower  # type: ignore[operator]
    return _activate(activations.leaky_relu, input, inplace, slopes)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)"""
    return e.operation(f.sigmoid)(input)


def tanh(input: Tensor) -> Tensor:
    """tanh(x)"""
    return e.operation(f.tanh)(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), a and b the halves of x along ``dim``.  Raises RuntimeError where it has an odd size.

    Y. N. Dauphin et al., "Language modeling with gated convolutional networks" (2017).
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    a, b = input.chunk(2, dim)  # type: ignore[attr-defined]
    return e.operation(activations.gated)(a, b)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((logits + noise) / tau) along ``dim``, the noise −log(−log u) for u uniform on (0, 1): a sample that gradients flow through.

    With ``hard`` the result is one-hot, and has the gradient of the soft one.  E. Jang, S. Gu, B. Poole, "Categorical reparameterization with
    Gumbel-softmax" (2017).
    """
    noise = -logits.detach().clone().exponential_().log()  # type: ignore[attr-defined]
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    chosen = soft.detach().max(dim, keepdim=True)[1]  # type: ignore[attr-defined]
    one_hot = soft.detach().mul(0).scatter(dim, chosen, 1.0)  # type: ignore[attr-defined]
    return one_hot - soft.detach() + soft


# ---- in place ------------------------------------------------------------------------------------------------------------------------


def _in_place(function: Any) -> Any:
    """``function_``, which takes the same arguments and overwrites the first."""

    def changed(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, inplace=True, **kwargs)

    changed.__name__ = changed.__qualname__ = f"{function.__name__}_"
    changed.__doc__ = f"``{function.__name__}`` in place"
    return changed


relu_, leaky_relu_, elu_, celu_, selu_ = (public(_in_place(function), method=False) for function in (relu, leaky_relu, elu, celu, selu))
hardtanh_, threshold_, rrelu_ = (_in_place(function) for function in (hardtanh, threshold, rrelu))
