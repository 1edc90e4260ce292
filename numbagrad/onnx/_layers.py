"""ONNX entries of the functions of nn.functional, and of the recurrent layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ._table import ENTRIES, entry, need

# ---- convolutions ------------------------------------------------------------------------------------------------------------------------


def _each(value: Any, dims: int) -> list[int]:
    """A setting for every dimension."""
    return list(value) * (dims if len(value) == 1 else 1) if isinstance(value, (tuple, list)) else [value] * dims


def _batched(dims: int, write: Any) -> Any:
    """An entry for batches of samples, for samples without a batch too."""

    def written(g, y, input, *args, **kwargs):
        x = input if input.ndim == dims + 2 else g.op("Unsqueeze", input, [0])
        made = write(g, y, x, *args, **kwargs)
        return made if input.ndim == dims + 2 else g.op("Squeeze", made, [0])

    return written


def _padding(padding: Any, kernel: list[int], dilation: list[int]) -> list[int]:
    """The padding before every dimension, then that after every dimension."""
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return [t // 2 for t in total] + [t - t // 2 for t in total]
    return [0] * (2 * len(kernel)) if padding == "valid" else _each(padding, len(kernel)) * 2


def _convolution(dims: int) -> Any:
    def written(g, y, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        kernel, dilations = list(weight.shape[2:]), _each(dilation, dims)
        return g.op(
            "Conv", x, weight, bias,
            kernel_shape=kernel, strides=_each(stride, dims), pads=_padding(padding, kernel, dilations), dilations=dilations, group=groups,
        )  # fmt: skip

    return _batched(dims, written)


def _transposed(dims: int) -> Any:
    def written(g, y, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        return g.op(
            "ConvTranspose", x, weight, bias,
            kernel_shape=list(weight.shape[2:]), strides=_each(stride, dims), pads=_each(padding, dims) * 2, dilations=_each(dilation, dims),
            output_padding=_each(output_padding, dims), group=groups,
        )  # fmt: skip

    return _batched(dims, written)


# ---- pooling -----------------------------------------------------------------------------------------------------------------------------


def _max_pool(dims: int) -> Any:
    def written(g, y, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        need(not return_indices, f"max_pool{dims}d", "return_indices=True")
        kernel = _each(kernel_size, dims)
        return g.op(
            "MaxPool", x,
            kernel_shape=kernel, strides=_each(stride, dims) if stride else kernel, pads=_each(padding, dims) * 2,
            dilations=_each(dilation, dims), ceil_mode=int(ceil_mode),
        )  # fmt: skip

    return _batched(dims, written)


def _average_pool(dims: int) -> Any:
    def written(g, y, x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        need(divisor_override is None, f"avg_pool{dims}d", "divisor_override")
        kernel = _each(kernel_size, dims)
        return g.op(
            "AveragePool", x,
            kernel_shape=kernel, strides=_each(stride, dims) if stride else kernel, pads=_each(padding, dims) * 2,
            ceil_mode=int(ceil_mode), count_include_pad=int(count_include_pad),
        )  # fmt: skip

    return _batched(dims, written)


def _adaptive(dims: int, whole: str, pool: str, name: str) -> Any:
    def written(g, y, input, output_size, return_indices=False):
        need(not return_indices, name, "return_indices=True")
        before, after = input.shape[-dims:], y.shape[-dims:]
        x = input if input.ndim == dims + 2 else g.op("Unsqueeze", input, [0])
        if all(size == 1 for size in after):
            made = g.op(whole, x)
        else:
            need(
                all(a % b == 0 for a, b in zip(before, after)),
                name,
                f"an output of {list(after)} that does not divide the input, {list(before)},",
            )
            kernel = [a // b for a, b in zip(before, after)]
            made = g.op(pool, x, kernel_shape=kernel, strides=kernel)
        return made if input.ndim == dims + 2 else g.op("Squeeze", made, [0])

    return written


for _dims in (1, 2, 3):
    ENTRIES[f"conv{_dims}d"] = _convolution(_dims)
    ENTRIES[f"conv_transpose{_dims}d"] = _transposed(_dims)
    ENTRIES[f"max_pool{_dims}d"] = _max_pool(_dims)
    ENTRIES[f"avg_pool{_dims}d"] = _average_pool(_dims)
    ENTRIES[f"adaptive_avg_pool{_dims}d"] = _adaptive(_dims, "GlobalAveragePool", "AveragePool", f"adaptive_avg_pool{_dims}d")
    ENTRIES[f"adaptive_max_pool{_dims}d"] = _adaptive(_dims, "GlobalMaxPool", "MaxPool", f"adaptive_max_pool{_dims}d")

# ---- normalisation -----------------------------------------------------------------------------------------------------------------------


def _or_filled(x: Any, shape: Any, value: float, dtype: dtypes.dtype) -> Any:
    return np.full(tuple(shape), value, dtype.numpy) if x is None else x


@entry("batch_norm")
def _batch_norm(g, y, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    need(not training, "batch_norm", "statistics of the batch (training=True)")
    channels = input.shape[1:2]
    scale, shift = _or_filled(weight, channels, 1, y.dtype), _or_filled(bias, channels, 0, y.dtype)
    return g.op("BatchNormalization", input, scale, shift, running_mean, running_var, epsilon=float(eps))


@entry("layer_norm")
def _layer_norm(g, y, input, normalized_shape, weight=None, bias=None, eps=1e-5):
    scale = _or_filled(weight, normalized_shape, 1, y.dtype)
    return g.op("LayerNormalization", input, scale, bias, axis=-len(normalized_shape), epsilon=float(eps))


@entry("rms_norm")
def _rms_norm(g, y, input, normalized_shape, weight=None, eps=None):
    eps = np.finfo(y.dtype.numpy).eps if eps is None else eps
    squares = g.op("ReduceMean", g.op("Mul", input, input), list(range(-len(normalized_shape), 0)), keepdims=1)
    made = g.op("Div", input, g.op("Sqrt", g.op("Add", squares, np.asarray(eps, y.dtype.numpy))))
    return made if weight is None else g.op("Mul", made, weight)


def _per_channel(g: Any, x: Any, ndim: int) -> Any:
    return g.reshape(x, x.shape, (x.shape[0], *(1,) * (ndim - 2)))


@entry("group_norm")
def _group_norm(g, y, input, num_groups, weight=None, bias=None, eps=1e-5):
    shape = input.shape
    grouped = g.op("Reshape", input, [0, num_groups, -1])
    ones, zeros = (np.full(num_groups, value, y.dtype.numpy) for value in (1, 0))
    made = g.reshape(g.op("InstanceNormalization", grouped, ones, zeros, epsilon=float(eps)), (shape[0], num_groups, -1), shape)
    if weight is not None:
        made = g.op("Mul", made, _per_channel(g, weight, input.ndim))
    return made if bias is None else g.op("Add", made, _per_channel(g, bias, input.ndim))


@entry("instance_norm")
def _instance_norm(g, y, input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    if not use_input_stats:
        return _batch_norm(g, y, input, running_mean, running_var, weight, bias, eps=eps)
    channels = input.shape[1:2]
    scale, shift = _or_filled(weight, channels, 1, y.dtype), _or_filled(bias, channels, 0, y.dtype)
    return g.op("InstanceNormalization", input, scale, shift, epsilon=float(eps))


# ---- embedding, padding, resizing --------------------------------------------------------------------------------------------------------


@entry("functional.embedding")
def _embedding(g, y, input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    need(max_norm is None, "embedding", "max_norm")
    return g.op("Gather", weight, input, axis=0)


@entry("one_hot")
def _one_hot(g, y, tensor, num_classes=-1):
    need(num_classes > 0, "one_hot", "a number of classes that depends on the input")
    return g.op("OneHot", tensor, [num_classes], [0, 1], axis=-1)


@entry("pad")
def _pad(g, y, input, pad, mode="constant", value=None):
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    need(mode in modes, "pad", f"mode={mode!r}")
    missing = [0] * (input.ndim - len(pad) // 2)
    before, after = missing + list(pad[0::2])[::-1], missing + list(pad[1::2])[::-1]
    filling = np.asarray(value or 0, y.dtype.numpy) if mode == "constant" else None
    return g.op("Pad", input, before + after, filling, mode=modes[mode])


@entry("interpolate", "upsample")
def _interpolate(
    g, y, input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, antialias=False
):
    need(not antialias, "interpolate", "antialias=True")
    modes = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
    need(mode in modes, "interpolate", f"mode={mode!r}")
    dims = input.ndim - 2
    where = "asymmetric" if mode == "nearest" else "align_corners" if align_corners else "pytorch_half_pixel"
    settings: dict[str, Any] = {"mode": modes[mode], "coordinate_transformation_mode": where, "axes": list(range(2, input.ndim))}
    settings |= {"nearest_mode": "floor"} if mode == "nearest" else {"cubic_coeff_a": -0.75} if mode == "bicubic" else {}
    if scale_factor is not None and not recompute_scale_factor:
        return g.op("Resize", input, None, np.asarray(_each(scale_factor, dims), np.float32), **settings)
    return g.op("Resize", input, None, None, list(y.shape[2:]), **settings)


# ---- attention ---------------------------------------------------------------------------------------------------------------------------


@entry("scaled_dot_product_attention")
def _attention(g, y, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    need(not enable_gqa and not dropout_p, "scaled_dot_product_attention", "enable_gqa or dropout_p")
    order = list(range(key.ndim))
    order[-2:] = order[:-3:-1]
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = g.op("Mul", g.op("MatMul", query, g.op("Transpose", key, perm=order)), np.asarray(scale, y.dtype.numpy))
    if is_causal:
        seen = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
        scores = g.op("Where", seen, scores, np.asarray(-np.inf, y.dtype.numpy))
    if attn_mask is not None and attn_mask.dtype is dtypes.bool_:
        scores = g.op("Where", attn_mask, scores, np.asarray(-np.inf, y.dtype.numpy))
    elif attn_mask is not None:
        scores = g.op("Add", scores, attn_mask)
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), value)


# ---- recurrent layers --------------------------------------------------------------------------------------------------------------------

# In ONNX the gates stand in another order than in PyTorch: where each of theirs is in ours.
_ORDERS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


@entry("nn.RNNBase")
def _recurrent(g, y, module, input, hx=None):
    kind = module.mode.partition("_")[0]
    need(input.ndim == 3 and not module.proj_size, kind, "proj_size, or an input without a batch")
    need(not (module.training and module.dropout), kind, "dropout in training")
    settings: dict[str, Any] = {"hidden_size": module.hidden_size}
    settings |= {"linear_before_reset": 1} if kind == "GRU" else {}
    directions = 2 if module.bidirectional else 1
    if kind == "RNN":
        settings["activations"] = [module.nonlinearity.title()] * directions
    if directions == 2:
        settings["direction"] = "bidirectional"
    x = g.op("Transpose", input, perm=[1, 0, 2]) if module.batch_first else g.op("Identity", input)
    given = () if hx is None else tuple(hx) if kind == "LSTM" else (hx,)
    lasts = []
    for layer in range(module.num_layers):
        w, r, b = (_stacked(g, module, kind, names, layer) for names in (("weight_ih",), ("weight_hh",), ("bias_ih", "bias_hh")))
        start = [g.op("Slice", state, [layer * directions], [(layer + 1) * directions], [0]) for state in given]
        made, *last = g.op(kind, x, w, r, b, None, *start, outputs=3 if kind == "LSTM" else 2, **settings)
        x = g.op("Reshape", g.op("Transpose", made, perm=[0, 2, 1, 3]), [0, 0, -1])  # (T, directions, B, H) to (T, B, directions · H)
        lasts.append(last)
    states = [g.op("Concat", *parts, axis=0) for parts in zip(*lasts)]
    return [g.op("Transpose", x, perm=[1, 0, 2]) if module.batch_first else x, *states]


def _stacked(g: Any, module: Any, kind: str, names: tuple[str, ...], layer: int) -> Any:
    """The parameters of a layer, gates in ONNX's order, one row of them per direction; None where there are none."""
    rows = []
    for ending in ("", "_reverse") if module.bidirectional else ("",):
        parts = []
        for name in names:
            parameter = getattr(module, f"{name}_l{layer}{ending}", None)
            if parameter is None:
                return None
            size = module.hidden_size
            parts += [g.op("Slice", parameter, [k * size], [(k + 1) * size], [0]) for k in _ORDERS[kind]]
        rows.append(g.op("Unsqueeze", g.op("Concat", *parts, axis=0), [0]))
    return g.op("Concat", *rows, axis=0)
