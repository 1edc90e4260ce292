"""Normalisation: batch norm over channels, group norm over groups of a sample's channels, layer norm over trailing dimensions.

Arrays may have any strides; float16 and bfloat16 are computed in float32, and statistics are never narrower than float32.  Whether 16-bit arrays are
converted before the kernels or in them is each device's affair (``work_dtype``).
Variances are computed about the mean, so data far from zero keep their digits.

S. Ioffe, C. Szegedy, "Batch Normalization", 2015.  J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.
Y. Wu, K. He, "Group Normalization", 2018.
"""

from __future__ import annotations

from typing import Any, Sequence

from .. import _dtypes
from .._cpu import layout
from .._device import family
from ..copy import cast, contiguous, copy_into, zeros

__all__ = ["batch_norm", "batch_norm_backward", "group_norm", "group_norm_backward", "layer_norm", "layer_norm_backward"]

_on = family(__name__)
_COMPUTED = (_dtypes.float32, _dtypes.float64)
# Calls with contiguous arrays that have passed every check, and how they are done: of small arrays the checks would be half the time.
_settled: dict[Any, tuple[Any, ...]] = {}
_MOST_SETTLED = 1000


def _check_dtype(op: str, x: Any) -> None:
    if not _dtypes.is_floating(x.dtype):
        raise NotImplementedError(f"{op}: not implemented for {_dtypes.name(x.dtype)}, expected a floating point dtype")


def _ready(implementation: Any, x: Any) -> Any:
    """``x`` as the kernels take it."""
    return contiguous(cast(x, implementation.work_dtype(x.dtype)))


def _parameter(op: str, name: str, values: Any, x: Any, expected: tuple[int, ...]) -> Any:
    """``values`` in the type ``x`` is computed in.  16-bit input may come with parameters of its own type or of float32."""
    if values is None:
        return None
    wanted = _dtypes.compute_dtype(x.dtype)
    if values.dtype not in (x.dtype, wanted):
        raise RuntimeError(f"{op}: expected {name} of dtype {_dtypes.name(x.dtype)}, but got {_dtypes.name(values.dtype)}")
    if values.shape != expected:
        raise RuntimeError(f"{op}: expected {name} of shape {list(expected)}, but got {list(values.shape)}")
    return cast(values, wanted)


def _settle(key: Any, arrays: Sequence[Any], *how: Any) -> None:
    """Remember ``how`` a call is done whose ``arrays`` need no conversion."""
    dtype = arrays[0].dtype
    if dtype in _COMPUTED and all(a is None or (a.dtype == dtype and a.flags.c_contiguous) for a in arrays):
        if len(_settled) >= _MOST_SETTLED:
            _settled.clear()
        _settled[key] = how


def _channels(op: str, x: Any) -> tuple[int, int, int]:
    """``x`` seen as (samples, channels, positions)."""
    if len(x.shape) < 2:
        raise RuntimeError(f"{op}: expected input with at least 2 dimensions (samples, channels, ...), but got shape {list(x.shape)}")
    positions = 1
    for size in x.shape[2:]:
        positions *= size
    return x.shape[0], x.shape[1], positions


def _per_channel(op: str, name: str, values: Any, x: Any) -> Any:
    if values is not None and values.shape != x.shape[1:2]:
        size = values.shape[0] if len(values.shape) == 1 else list(values.shape)
        raise RuntimeError(f"{op}: {name} should contain {x.shape[1]} elements not {size}")
    return _parameter(op, name, values, x, x.shape[1:2])


def batch_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Any, Any, Any]:
    """y = (x - mean) * rstd * weight + bias per channel (axis 1), rstd = 1 / sqrt(var + eps).  Returns (y, mean, rstd).

    ``x``: (N, C, ...); all else (C,).  In training, mean and (biased) variance are the batch's, and the running ones, if given, move in place:
    running = (1 - momentum) * running + momentum * batch, with the unbiased variance.  Otherwise the running ones are used.  Raises
    RuntimeError for sizes that do not match or missing statistics, ValueError for only one of the two.
    """
    op = "batch_norm"
    key = op, layout.layout(x, weight, bias, running_mean, running_var)
    settled = _settled.get(key) if training else None
    if settled is not None:
        implementation, axes = settled
        y, mean, rstd = implementation.batch_norm_train(
            x.reshape(axes), weight, bias, running_mean, running_var, float(momentum), float(eps)
        )
        return y.reshape(x.shape), mean, rstd
    _check_dtype(op, x)
    axes = _channels(op, x)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{op}: running_mean and running_var must either both be None or neither be None")
    if running_mean is None and not training:
        raise RuntimeError(f"{op}: running_mean must be defined in evaluation mode")
    average = _per_channel(op, "running_mean", running_mean, x)
    variance = _per_channel(op, "running_var", running_var, x)
    factor, offset = _per_channel(op, "weight", weight, x), _per_channel(op, "bias", bias, x)
    implementation = _on(x, weight, bias, running_mean, running_var)
    scores = _ready(implementation, x).reshape(axes)
    if training:
        _settle(key, (x, weight, bias, running_mean, running_var), implementation, axes)
        y, mean, rstd = implementation.batch_norm_train(scores, factor, offset, average, variance, float(momentum), float(eps))
        if average is not running_mean:  # 16-bit statistics were widened: what moved is a copy
            copy_into(running_mean, cast(average, running_mean.dtype))
            copy_into(running_var, cast(variance, running_var.dtype))
    else:
        y, mean, rstd = implementation.batch_norm_eval(scores, factor, offset, average, variance, float(eps))
    return cast(y.reshape(x.shape), x.dtype), mean, rstd


def batch_norm_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, training: bool = True) -> tuple[Any, Any, Any]:
    """(dx, dw, db) of ``batch_norm``, from the output's gradient ``g`` and the statistics that the forward call returned.

    With h = (x - mean) * rstd: db = sum(g), dw = sum(g * h), and dx = weight * rstd * g in evaluation mode or, as mean and rstd
    depend on x, weight * rstd * (g - db / n - h * dw / n) in training.
    """
    op = "batch_norm_backward"
    key = op, layout.layout(g, x, weight, mean, rstd)
    settled = _settled.get(key)
    if settled is not None:
        implementation, axes = settled
        dx, dw, db = implementation.batch_norm_backward(g.reshape(axes), x.reshape(axes), weight, mean, rstd, bool(training))
        return dx.reshape(x.shape), dw, db
    _check_dtype(op, x)
    axes = _channels(op, x)
    _check_gradient(op, g, x)
    factor = _per_channel(op, "weight", weight, x)
    mean, rstd = _per_channel(op, "mean", mean, x), _per_channel(op, "rstd", rstd, x)
    implementation = _on(g, x, weight, mean, rstd)
    slope, values = _ready(implementation, g).reshape(axes), _ready(implementation, x).reshape(axes)
    _settle(key, (g, x, weight, mean, rstd), implementation, axes)
    dx, dw, db = implementation.batch_norm_backward(slope, values, factor, mean, rstd, bool(training))
    kind = x.dtype if weight is None else weight.dtype
    return cast(dx.reshape(x.shape), x.dtype), cast(dw, kind), cast(db, kind)


def _check_gradient(op: str, g: Any, x: Any) -> None:
    if g.shape != x.shape or g.dtype != x.dtype:
        raise RuntimeError(
            f"{op}: expected grad of shape {list(x.shape)} and dtype {_dtypes.name(x.dtype)}, but got {list(g.shape)} and {_dtypes.name(g.dtype)}"
        )


def _row(op: str, x: Any, normalized_shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The size of a row, which is what is normalised together, and the shape of the rows' statistics."""
    if not normalized_shape:
        raise RuntimeError(
            f"{op}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got []"
        )
    n = len(normalized_shape)
    if x.shape[-n:] != normalized_shape:
        inner = ", ".join(map(str, normalized_shape))
        raise RuntimeError(
            f"{op}: Given normalized_shape=[{inner}], expected input with shape [*, {inner}], but got input of size {list(x.shape)}"
        )
    width = 1
    for size in normalized_shape:
        width *= size
    return width, (*x.shape[:-n], *(1,) * n)


def layer_norm(x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> tuple[Any, Any, Any]:
    """y = (x - mean) * rstd * weight + bias over the trailing ``normalized_shape``, rstd = 1 / sqrt(var + eps).  Returns (y, mean, rstd).

    ``weight`` and ``bias`` have ``normalized_shape``; mean and rstd have x's shape with those dimensions 1.  Raises RuntimeError for
    shapes that do not match.
    """
    op, shape = "layer_norm", tuple(normalized_shape)
    key = layout.layout(x, weight, bias), shape
    settled = _settled.get(key)
    if settled is not None:
        implementation, width, outer = settled
        return implementation.layer_norm(x, width, outer, weight, bias, float(eps))
    _check_dtype(op, x)
    width, outer = _row(op, x, shape)
    factor, offset = _parameter(op, "weight", weight, x, shape), _parameter(op, "bias", bias, x, shape)
    implementation = _on(x, weight, bias)
    _settle(key, (x, weight, bias), implementation, width, outer)
    y, mean, rstd = implementation.layer_norm(_ready(implementation, x), width, outer, factor, offset, float(eps))
    return cast(y, x.dtype), mean, rstd


def layer_norm_backward(
    g: Any, x: Any, mean: Any, rstd: Any, normalized_shape: Sequence[int], weight: Any = None, affine: bool = True
) -> tuple[Any, Any, Any]:
    """(dx, dw, db) of ``layer_norm``, from the output's gradient ``g`` and the statistics that the forward call returned.

    With h = (x - mean) * rstd and k = g * weight: db = sum(g), dw = sum(g * h) over all rows, and in each row
    dx = rstd * (k - mean(k) - h * mean(k * h)).  Without ``affine`` dw and db are None and cost nothing.
    """
    op, shape = "layer_norm_backward", tuple(normalized_shape)
    key = layout.layout(g, x, mean, rstd, weight), shape
    settled = _settled.get(key)
    if settled is not None:
        implementation, width, outer = settled
        dx, dw, db = implementation.layer_norm_backward(g, x, width, mean, rstd, weight, affine)
        return (dx, dw.reshape(shape), db.reshape(shape)) if affine and len(shape) > 1 else (dx, dw, db)
    _check_dtype(op, x)
    width, outer = _row(op, x, shape)
    _check_gradient(op, g, x)
    factor = _parameter(op, "weight", weight, x, shape)
    mean, rstd = _parameter(op, "mean", mean, x, outer), _parameter(op, "rstd", rstd, x, outer)
    implementation = _on(g, x, mean, rstd, weight)
    slope, values, statistics = _ready(implementation, g), _ready(implementation, x), (contiguous(mean), contiguous(rstd))
    _settle(key, (g, x, mean, rstd, weight), implementation, width, outer)
    dx, dw, db = implementation.layer_norm_backward(slope, values, width, *statistics, factor, bool(affine))
    dx = cast(dx, x.dtype)
    if not affine:
        return dx, None, None
    kind = x.dtype if weight is None else weight.dtype
    return dx, cast(dw.reshape(shape), kind), cast(db.reshape(shape), kind)


def _groups(op: str, x: Any, groups: int) -> tuple[int, int, int]:
    axes = _channels(op, x)
    if groups <= 0:
        raise RuntimeError(f"{op}: Expected num groups to be greater than 0, got {groups}")
    if axes[1] % groups:
        raise RuntimeError(
            f"{op}: Expected number of channels in input to be divisible by num_groups, but got input of shape {list(x.shape)} and "
            f"num_groups={groups}"
        )
    return axes


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> tuple[Any, Any, Any]:
    """y = (x - mean) * rstd * weight + bias, mean and rstd = 1 / sqrt(var + eps) being those of a sample's group of channels.

    ``x``: (N, C, ...), C divisible by ``groups``; weight and bias (C,).  Returns (y, mean, rstd), the statistics (N, groups).  Raises RuntimeError
    for sizes that do not match.
    """
    op = "group_norm"
    key = op, layout.layout(x, weight, bias), groups
    settled = _settled.get(key)
    if settled is not None:
        implementation, axes = settled
        return implementation.group_norm(x, axes, groups, weight, bias, float(eps))
    _check_dtype(op, x)
    axes = _groups(op, x, groups)
    factor, offset = _per_channel(op, "weight", weight, x), _per_channel(op, "bias", bias, x)
    implementation = _on(x, weight, bias)
    if not x.size:
        return implementation.layer_norm(_ready(implementation, x), 1, (axes[0], groups), None, None, float(eps))
    _settle(key, (x, weight, bias), implementation, axes)
    y, mean, rstd = implementation.group_norm(_ready(implementation, x), axes, groups, factor, offset, float(eps))
    return cast(y, x.dtype), mean, rstd


def group_norm_backward(g: Any, x: Any, groups: int, mean: Any, rstd: Any, weight: Any = None, affine: bool = True) -> tuple[Any, Any, Any]:
    """(dx, dw, db) of ``group_norm``, from the output's gradient ``g`` and the statistics that the forward call returned.

    The formulas are those of ``layer_norm_backward``, a row being a group, with dw and db summed over samples and positions.  Without ``affine`` dw and
    db are None.
    """
    op = "group_norm_backward"
    key = op, layout.layout(g, x, mean, rstd, weight), groups
    settled = _settled.get(key)
    if settled is not None:
        implementation, axes = settled
        return implementation.group_norm_backward(g, x, axes, groups, mean, rstd, weight, affine)
    _check_dtype(op, x)
    axes = _groups(op, x, groups)
    _check_gradient(op, g, x)
    factor = _per_channel(op, "weight", weight, x)
    implementation = _on(g, x, mean, rstd, weight)
    if not x.size:
        dx, dw, db = zeros(x.shape, x.dtype, x), zeros((axes[1],), x.dtype, x), zeros((axes[1],), x.dtype, x)
        return (dx, dw, db) if affine else (dx, None, None)
    _settle(key, (g, x, mean, rstd, weight), implementation, axes)
    slope, values, statistics = _ready(implementation, g), _ready(implementation, x), (contiguous(mean), contiguous(rstd))
    dx, dw, db = implementation.group_norm_backward(slope, values, axes, groups, *statistics, factor, bool(affine))
    dx = cast(dx, x.dtype)
    if not affine:
        return dx, None, None
    kind = x.dtype if weight is None else weight.dtype
    return dx, cast(dw, kind), cast(db, kind)
