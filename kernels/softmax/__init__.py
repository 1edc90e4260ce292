"""Softmax, its logarithm, and the losses made of them: cross entropy and negative log likelihood.

Forward functions take floating arrays of any strides; float16 and bfloat16 are computed in float32 (on the CPU converted before, on CUDA by the
kernels).  ``target`` is either an array of class indices (int64 or uint8), shaped as the scores without their class axis, or an array of class
probabilities of the scores' shape.  The class axis is axis 1, or axis 0 of a single sample's scores.  A class index out of range is an
IndexError; on CUDA it is raised when the kernel's work is waited for.
"""

from __future__ import annotations

from typing import Any, Sequence

from .. import _dtypes
from .._cpu import layout
from .._device import family, on_cpu
from .._half import float32_on_cpu
from ..copy import cast, contiguous

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "log_softmax",
    "log_softmax_backward",
    "nll_loss",
    "nll_loss_backward",
    "softmax",
    "softmax_backward",
]

_on = family(__name__)
_INDEX_TYPES = (_dtypes.int64, _dtypes.uint8)
_REDUCTIONS = ("none", "mean", "sum")
# Losses whose arguments have passed every check (contiguous indices for contiguous rows of scores, without weights): of small losses the checks would be
# half the time.
_settled: dict[Any, Any] = {}
_MOST_SETTLED = 1000


def _check_floating(op: str, x: Any) -> None:
    if x.dtype not in _dtypes.FLOATS:
        raise NotImplementedError(f"{op}: not implemented for {_dtypes.name(x.dtype)}, expected a floating point dtype")


def _axes(op: str, x: Any, dim: int) -> tuple[int, int, int]:
    """``x`` seen as (outer, width, inner) around axis ``dim``."""
    _check_floating(op, x)
    shape = x.shape or (1,)
    ndim = len(shape)
    if not -ndim <= dim < ndim:
        raise IndexError(f"{op}: Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})")
    dim %= ndim
    outer = inner = 1
    for size in shape[:dim]:
        outer *= size
    for size in shape[dim + 1 :]:
        inner *= size
    return outer, shape[dim], inner


def _axes_of_pair(op: str, g: Any, y: Any, dim: int) -> tuple[int, int, int]:
    if g.shape != y.shape or g.dtype != y.dtype:
        raise RuntimeError(
            f"{op}: expected grad to match the output's shape {list(y.shape)} and dtype {_dtypes.name(y.dtype)}, "
            f"but got {list(g.shape)} and {_dtypes.name(g.dtype)}"
        )
    return _axes(op, y, dim)


@float32_on_cpu
def softmax(x: Any, dim: int) -> Any:
    """exp(x - max) / sum(exp(x - max)) along ``dim``: the shape and dtype of ``x``.  Raises IndexError for a ``dim`` out of range."""
    axes = _axes("softmax", x, dim)
    return _on(x).softmax(contiguous(x).reshape(axes)).reshape(x.shape)


@float32_on_cpu
def softmax_backward(g: Any, y: Any, dim: int) -> Any:
    """The gradient of softmax's input, ``y * (g - sum(g * y))`` along ``dim``, from its output ``y`` and the output's gradient ``g``."""
    axes = _axes_of_pair("softmax_backward", g, y, dim)
    return _on(g, y).softmax_backward(contiguous(g).reshape(axes), contiguous(y).reshape(axes)).reshape(y.shape)


@float32_on_cpu
def log_softmax(x: Any, dim: int) -> Any:
    """(x - max) - log(sum(exp(x - max))) along ``dim``: the shape and dtype of ``x``.  Raises IndexError for a ``dim`` out of range."""
    axes = _axes("log_softmax", x, dim)
    return _on(x).log_softmax(contiguous(x).reshape(axes)).reshape(x.shape)


@float32_on_cpu
def log_softmax_backward(g: Any, y: Any, dim: int) -> Any:
    """The gradient of log_softmax's input, ``g - exp(y) * sum(g)`` along ``dim``, from its output ``y`` and the output's gradient ``g``."""
    axes = _axes_of_pair("log_softmax_backward", g, y, dim)
    return _on(g, y).log_softmax_backward(contiguous(g).reshape(axes), contiguous(y).reshape(axes)).reshape(y.shape)


def _scores(op: str, x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that scores ``x`` of ``shape`` are handed on in: (samples, classes), or (samples, classes, positions)."""
    _check_floating(op, x)
    if len(shape) == 2:
        return shape
    if len(shape) < 2:
        if not shape:
            raise ValueError(f"{op}: Expected 1 or more dimensions (got 0)")
        return 1, shape[0]
    positions = 1
    for size in shape[2:]:
        positions *= size
    return shape[0], shape[1], positions


def _check_reduction(op: str, reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{op}: {reduction!r} is not a valid value for reduction; expected 'none', 'mean' or 'sum'")


def _check_weight(op: str, x: Any, classes: int, weight: Any) -> None:
    if weight is None:
        return
    if weight.dtype != x.dtype:
        raise RuntimeError(f"{op}: expected weight of dtype {_dtypes.name(x.dtype)}, but got {_dtypes.name(weight.dtype)}")
    if weight.shape != (classes,):
        raise RuntimeError(
            f"{op}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {list(weight.shape)}"
        )


def _check_indices(op: str, x: Any, target: Any) -> None:
    if target.dtype not in _INDEX_TYPES:
        raise RuntimeError(f"{op}: expected target of dtype int64 or uint8 (class indices), but got {_dtypes.name(target.dtype)}")
    shape = x.shape
    if len(shape) == 1:
        if target.shape not in ((), (1,)):
            raise ValueError(f"{op}: For 1D input, 1D target must have size 1, but got target size: {list(target.shape)}")
        return
    if not target.shape or target.shape[0] != shape[0]:
        raise ValueError(
            f"{op}: Expected input batch_size ({shape[0]}) to match target batch_size ({target.shape[0] if target.shape else 'a scalar'})."
        )
    expected = (shape[0], *shape[2:])
    if target.shape != expected:
        raise RuntimeError(f"{op}: Expected target size {list(expected)}, got {list(target.shape)}")


def _target_indices(target: Any) -> Any:
    """Class indices as a contiguous 1-D int64 array."""
    if target.dtype != _dtypes.int64:
        target = cast(target, _dtypes.int64)
    return contiguous(target).reshape(-1)


def _check_gradient(op: str, grad: Any, x: Any, losses: tuple[int, ...], reduction: str) -> None:
    expected = losses if reduction == "none" else ()
    if grad.shape != expected or grad.dtype != x.dtype:
        raise RuntimeError(
            f"{op}: expected grad of shape {list(expected)} and dtype {_dtypes.name(x.dtype)}, "
            f"but got {list(grad.shape)} and {_dtypes.name(grad.dtype)}"
        )


def _loss_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:]) if len(shape) > 1 else ()


def _out_of_bounds(target: Any, classes: int, ignore_index: int) -> IndexError:
    """The error for the first class index outside [0, classes).  Only called when there is one, which on CUDA the kernel reports itself."""
    wrong = next(t for t in target.tolist() if t != ignore_index and not 0 <= t < classes)
    return IndexError(f"Target {wrong} is out of bounds.")


def _widened(*arrays: Any) -> tuple[Any, ...]:
    return tuple(a if a is None or a.dtype not in _dtypes.HALVES else cast(a, _dtypes.float32) for a in arrays)


def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, Any]:
    """-sum_c q[c] * weight[c] * log_softmax(logits)[c], with q the target smoothed to ``(1 - s) * q + s / classes``.

    Returns the loss and an opaque array that ``cross_entropy_backward`` needs (never narrower than float32).  ``logits`` are (N, C),
    (C,) or (N, C, d1, ...).  "mean" divides by the sum of the targets' weights, or by the number of samples for probabilities; samples whose
    index is ``ignore_index`` count for nothing.  Raises IndexError for a class index out of range, RuntimeError or ValueError for shapes
    and dtypes that do not match.
    """
    key = layout.layout(logits, target), ignore_index, label_smoothing, reduction
    settled = _settled.get(key) if weight is None else None
    if settled is not None:
        loss, saved, inside = settled.forward(logits, target, None)
        if not inside:
            raise _out_of_bounds(target, logits.shape[1], ignore_index)
        return loss, saved
    if logits.dtype in _dtypes.HALVES and on_cpu(logits):
        wide, target, weight = _widened(logits, target, weight)
        loss, saved = cross_entropy(wide, target, weight, ignore_index, label_smoothing, reduction)
        return cast(loss, logits.dtype), saved
    axes = _scores("cross_entropy", logits, logits.shape)
    _check_reduction("cross_entropy", reduction)
    _check_weight("cross_entropy", logits, axes[1], weight)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    implementation = _on(logits, target, weight)
    shape = _loss_shape(logits.shape)
    scores = contiguous(logits).reshape(axes)
    if target.shape == logits.shape:
        _check_probabilities(logits, target, ignore_index)
        probabilities = contiguous(target).reshape(axes)
        loss, saved = implementation.cross_entropy_soft(scores, probabilities, weight, float(label_smoothing), reduction)
    else:
        _check_indices("cross_entropy", logits, target)
        indices = _target_indices(target)
        if len(axes) == 3:
            loss, saved, inside = implementation.cross_entropy(scores, indices, weight, ignore_index, float(label_smoothing), reduction)
        else:
            entropy = _row_entropy(implementation, axes, logits, weight, ignore_index, label_smoothing, reduction)
            loss, saved, inside = entropy.forward(scores, indices, None if weight is None else contiguous(weight))
            plain = logits.flags.c_contiguous and target.flags.c_contiguous and target.dtype == _dtypes.int64
            if plain and weight is None and len(logits.shape) == 2:
                if len(_settled) > _MOST_SETTLED:
                    _settled.clear()
                _settled[key] = entropy
        if not inside:
            raise _out_of_bounds(indices, axes[1], ignore_index)
    return loss.reshape(shape if reduction == "none" else ()), saved


def _check_probabilities(logits: Any, target: Any, ignore_index: int) -> None:
    if not _dtypes.is_floating(target.dtype):
        raise RuntimeError(
            f"cross_entropy: Expected floating point type for target with class probabilities, got {_dtypes.name(target.dtype)}"
        )
    if target.dtype != logits.dtype:
        raise RuntimeError(f"cross_entropy: expected target of dtype {_dtypes.name(logits.dtype)}, but got {_dtypes.name(target.dtype)}")
    if ignore_index >= 0:
        raise RuntimeError("cross_entropy: ignore_index is not supported for floating point target")


def cross_entropy_backward(
    grad: Any,
    logits: Any,
    target: Any,
    saved: Any,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """The gradient of ``cross_entropy`` with respect to ``logits``.

    ``grad`` has the loss's shape; ``saved`` is what the forward call returned.  The other arguments are those of the forward call.
    """
    key = layout.layout(logits, target), ignore_index, label_smoothing, reduction
    settled = _settled.get(key) if weight is None else None
    if settled is not None and reduction != "none" and layout.layout(grad) == settled.scalar:
        return settled.backward(grad, logits, target, saved, None)
    if logits.dtype in _dtypes.HALVES and on_cpu(logits):
        grad, wide, target, weight = _widened(grad, logits, target, weight)
        return cast(cross_entropy_backward(grad, wide, target, saved, weight, ignore_index, label_smoothing, reduction), logits.dtype)
    axes = _scores("cross_entropy_backward", logits, logits.shape)
    _check_weight("cross_entropy_backward", logits, axes[1], weight)
    _check_gradient("cross_entropy_backward", grad, logits, _loss_shape(logits.shape), reduction)
    implementation = _on(grad, logits, target, saved, weight)
    gradient = contiguous(grad).reshape(-1)
    scores = contiguous(logits).reshape(axes)
    if target.shape == logits.shape:
        probabilities = contiguous(target).reshape(axes)
        slope = implementation.cross_entropy_soft_backward(
            gradient, scores, probabilities, saved, weight, float(label_smoothing), reduction
        )
    elif len(axes) == 3:
        slope = implementation.cross_entropy_backward(
            gradient, scores, _target_indices(target), saved, weight, ignore_index, float(label_smoothing), reduction
        )
    else:
        entropy = _row_entropy(implementation, axes, logits, weight, ignore_index, label_smoothing, reduction)
        slope = entropy.backward(gradient, scores, _target_indices(target), saved, None if weight is None else contiguous(weight))
    return slope.reshape(logits.shape)


def _row_entropy(implementation: Any, axes: Any, logits: Any, weight: Any, ignore: int, smoothing: float, reduction: str) -> Any:
    return implementation.row_entropy(axes, logits.dtype, weight is not None, ignore, float(smoothing), reduction)


def nll_loss(x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> tuple[Any, Any]:
    """-weight[target] * x[target]: the negative log likelihood of class indices, given log-probabilities ``x`` as ``log_softmax`` makes them.

    Returns the loss and the sum of the weights that were counted (what "mean" divides by; a 0-d array, never narrower than float32).
    Shapes, reductions and errors are those of ``cross_entropy`` with class indices.
    """
    if x.dtype in _dtypes.HALVES and on_cpu(x):
        wide, target, weight = _widened(x, target, weight)
        loss, counted = nll_loss(wide, target, weight, ignore_index, reduction)
        return cast(loss, x.dtype), counted
    axes = _scores("nll_loss", x, x.shape)
    _check_reduction("nll_loss", reduction)
    _check_weight("nll_loss", x, axes[1], weight)
    _check_indices("nll_loss", x, target)
    indices = _target_indices(target)
    loss, counted, inside = _on(x, target, weight).nll_loss(contiguous(x).reshape(axes), indices, weight, ignore_index, reduction)
    if not inside:
        raise _out_of_bounds(indices, axes[1], ignore_index)
    return loss.reshape(_loss_shape(x.shape) if reduction == "none" else ()), counted.reshape(())


@float32_on_cpu
def nll_loss_backward(
    grad: Any,
    input_shape: Sequence[int],
    target: Any,
    counted: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """The gradient of ``nll_loss``'s input, of ``input_shape``: ``-grad * weight[target]`` at each target's place and zero elsewhere.

    ``counted`` is what the forward call returned; only "mean" reads it.
    """
    op = "nll_loss_backward"
    shape = tuple(input_shape)
    axes = _scores(op, grad, shape)
    _check_weight(op, grad, axes[1], weight)
    _check_gradient(op, grad, grad, _loss_shape(shape), reduction)
    implementation = _on(grad, target, counted, weight)
    gradient, indices = contiguous(grad).reshape(-1), _target_indices(target)
    return implementation.nll_loss_backward(gradient, axes, indices, counted.reshape(-1), weight, ignore_index, 0.0, reduction).reshape(
        shape
    )
