"""Attention: of queries to keys, and with several heads between projections.

A. Vaswani et al., "Attention is all you need" (2017).
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

from .. import dtypes
from ..autograd import casting
from ..creation import ones, zeros, zeros_like
from ..kernels import attention as kernels
from ..kernels import copy
from ..kernels import random as random_kernels
from ..kernels._device import on_cpu
from ..tensor import Tensor, wrap
from ._arguments import is_recorded
from ._composed import rules
from ._operation import differentiable
from .copy import cat, pad
from .matmul import linear
from .random import _key_beside as random_key
from .random import dropout
from .repeats import repeat_interleave
from .softmax import _softmax_along as softmax

__all__ = [
    "multi_head_attention_forward", "scaled_dot_product_attention",
]  # fmt: skip

# ---- scaled dot product ------------------------------------------------------------------------------------------------------------


def _check_attention(query: Any, key: Any, value: Any, mask: Any) -> None:
    op = "scaled_dot_product_attention"
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            f"{op}: Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype} key.dtype: {key.dtype} and "
            f"value.dtype: {value.dtype} instead."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            f"{op}: Expected query, key, and value to all be at least 2 dimensional, but got query.dim: {query.ndim}, key.dim: {key.ndim} and "
            f"value.dim: {value.ndim} instead."
        )
    if mask is not None:
        if mask.dtype is not dtypes.bool_ and mask.dtype != query.dtype and mask.dtype is not dtypes.float32:
            raise RuntimeError(
                f"Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: {mask.dtype} and "
                f"query.dtype: {query.dtype} instead."
            )


def _check_both(query: Any, key: Any, value: Any, mask: Any, dropout_p: float) -> None:
    """Raise RuntimeError where PyTorch does not take ``mask`` beside is_causal."""
    plain = query.ndim == key.ndim == value.ndim == 4 and mask.ndim in (2, 4) and not dropout_p and not is_recorded(mask)
    if not plain or query.shape[0] != key.shape[0] or not query.shape[-1] == key.shape[-1] == value.shape[-1]:
        raise RuntimeError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")


def _additive(mask: Any, dtype: Any) -> Any:
    """A mask that is added to the scores: −∞ where a boolean ``mask`` is False."""
    if mask.dtype is not dtypes.bool_:
        return mask.to(dtype)
    return zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask.logical_not(), -math.inf)  # type: ignore[attr-defined]


def _scores(query: Any, key: Any, mask: Any, scale: float) -> Any:
    """scale · Q·Kᵀ + mask"""
    scores = (query * scale) @ key.transpose(-2, -1)
    return scores if mask is None else scores + mask


def _composed_attention(q: Any, k: Any, v: Any, *, mask: Any, scale: float, causal: bool, dropout: Any) -> Any:
    """What the kernel computes, with its random numbers, step by step."""
    if causal:
        allowed: Any = ones(q.shape[-2], k.shape[-2], dtype=dtypes.bool_, device=q.device)
        before = _additive(allowed.tril(), q.dtype)
        mask = before if mask is None else mask + before
    scores = _scores(q, k, mask, scale)
    if mask is None:
        weights = softmax(scores, -1)
    else:  # 0 where all scores of a row are −∞, whose softmax would be NaN in every gradient behind it
        nowhere = (scores == -math.inf).all(-1, keepdim=True)
        weights = softmax(scores.masked_fill(nowhere, 0.0), -1).masked_fill(nowhere, 0.0)
    p, seed, offset = dropout
    if p:
        keys = k.shape[-2]
        shape = (*weights.shape[:-1], -(-keys // 4) * 4)
        kept = wrap(random_kernels.dropout_mask(shape, p, seed=seed, offset=offset, device=str(q.device)))
        weights = weights * (kept[..., :keys].to(q.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))  # type: ignore[index]
    return weights @ v


def _attention_together(
    wanted: Any, g: Any, q: Any, k: Any, v: Any, mask: Any, y: Any, lse: Any, scale: float, causal: bool, dropout: Any
) -> Any:
    return kernels.attention_backward(g, q, k, v, mask, y, lse, scale, causal, dropout)


_attention = differentiable(
    "scaled_dot_product_attention",
    kernels.attention,
    results=("y", "lse"),
    together=_attention_together,
    **rules(_composed_attention, keeps=("y", "lse")),  # type: ignore[arg-type]
)


def _drawn(x: Any, q: Any, k: Any, p: float) -> tuple[float, int, int]:
    """What dropout of the weights of the arrays ``q`` and ``k`` is drawn by, on the device of ``x``: (p, seed, offset)."""
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"scaled_dot_product_attention: dropout probability has to be between 0 and 1, but got {p}")
    if not p:
        return 0.0, 0, 0
    seed, offset = random_key(x, None, kernels.draws(q, k), "scaled_dot_product_attention").values()
    return float(p), seed, offset


def _grouped(q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
    """The heads of q in groups that share those of k and v: (..., heads of k, group, L, E), against which the others broadcast."""
    heads, shared, values = q.shape[-3], k.shape[-3], v.shape[-3]
    if 0 in (shared, values) or heads % shared or heads % values:
        raise RuntimeError(
            "scaled_dot_product_attention: expected the number of heads in key and value to divide the number of heads in query, but got "
            f"{shared}, {values} and {heads}"
        )
    if shared != values:
        return q, repeat_interleave(k, heads // shared, -3), repeat_interleave(v, heads // values, -3), mask
    if mask is not None and mask.ndim > 2:
        mask = mask.unsqueeze(-3) if mask.shape[-3] == 1 else mask.unflatten(-3, (shared, heads // shared))
    return q.unflatten(-3, (shared, heads // shared)), k.unsqueeze(-3), v.unsqueeze(-3), mask


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale · Q·Kᵀ + mask)·V for Q (..., L, E), K (..., S, E) and V (..., S, Ev), whose leading dimensions broadcast.

    ``attn_mask`` broadcasts to (..., L, S): where a boolean one is False a query does not attend to a key, another one is added.  ``is_causal``: query i
    attends to the keys up to i; a mask beside it holds too.  A query that may attend to no key gets 0.  ``dropout_p``: of the weights, whether training
    or not.  ``scale`` is 1/√E by default.  ``enable_gqa``: the heads, dimension −3, of the queries share those of the keys and values in groups
    (J. Ainslie et al., "GQA", 2023).  The memory is linear in L and S, unless ``attn_mask`` requires a gradient.  Computed in float32 for 16-bit floats.
    Raises RuntimeError for dtypes that differ, tensors of less than two dimensions, a ``dropout_p`` outside [0, 1], and a mask beside ``is_causal``
    unless q, k and v are (N, heads, L or S, E) and there is no dropout.
    """
    if casting.active:
        query, key, value = casting.arguments("scaled_dot_product_attention", query, key, value)
    _check_attention(query, key, value, attn_mask)
    if is_causal and attn_mask is not None:
        _check_both(query, key, value, attn_mask, dropout_p)
    q: Any = query
    k: Any = key
    v: Any = value
    dtype = q.dtype
    if dtype.itemsize == 2:
        q, k, v = q.float(), k.float(), v.float()
    mask = None if attn_mask is None else _additive(attn_mask, q.dtype)
    if enable_gqa:
        q, k, v, mask = _grouped(q, k, v, mask)
    scale = (1.0 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0) if scale is None else float(scale)
    settings = scale, is_causal, _drawn(q, q._data, k._data, dropout_p)
    if is_recorded(mask) or not kernels.tiled(q._data):
        y = _composed_attention(q, k, v, mask=mask, scale=scale, causal=is_causal, dropout=settings[2])
    else:
        y = _attention(q, k, v, mask, *settings)[0]
    if enable_gqa and y.ndim > query.ndim:
        y = y.flatten(-4, -3)
    return y.to(dtype)


# ---- several heads -----------------------------------------------------------------------------------------------------------------


def _by_head(x: Any, parts: int, heads: int) -> Any:
    """An array (L, N, parts · heads · E) as (parts, N, heads, L, E), a view."""
    return x.reshape(*x.shape[:2], parts, heads, x.shape[2] // (parts * heads)).transpose(2, 1, 3, 0, 4)


def _self_attention_forward(
    projected: Any, mask: Any, heads: int, scale: float, causal: bool, dropout: tuple[float, int, int]
) -> tuple[Any, Any]:
    """Attention of (L, N, 3 · heads · E), queries, keys and values side by side, which gives (L, N, heads · E).

    The kernels read the heads where they lie in the projection, and write those of the result and of the gradient where the next projection wants
    them: nothing is copied between the products.
    """
    inputs = _by_head(projected, 3, heads)
    y, lse = kernels.attention(inputs[0], inputs[1], inputs[2], mask, scale, causal, dropout)
    rows = y.transpose(2, 0, 1, 3)
    if not on_cpu(y):  # where results are packed, whatever the queries look like
        rows = copy.contiguous(rows)
    return rows.reshape(*projected.shape[:2], projected.shape[2] // 3), lse


def _composed_self_attention(projected: Any, *, mask: Any, heads: int, scale: float, causal: bool, dropout: tuple[float, int, int]) -> Any:
    q, k, v = projected.unflatten(-1, (3, heads, projected.shape[2] // (3 * heads))).permute(2, 1, 3, 0, 4)
    y = _composed_attention(q, k, v, mask=mask, scale=scale, causal=causal, dropout=dropout)
    return y.permute(2, 0, 1, 3).flatten(-2)


def _self_attention_together(
    wanted: Any, g: Any, projected: Any, mask: Any, y: Any, lse: Any, heads: int, scale: float, causal: bool, dropout: Any
) -> list[Any]:
    slope = copy.empty_like(projected)
    inputs, out = _by_head(projected, 3, heads), _by_head(slope, 3, heads)
    kernels.attention_backward(
        _by_head(g, 1, heads)[0], inputs[0], inputs[1], inputs[2], mask, _by_head(y, 1, heads)[0], lse, scale, causal, dropout, (out[0], out[1], out[2])
    )  # fmt: skip
    return [slope]


_self_attention = differentiable(
    "scaled_dot_product_attention",
    _self_attention_forward,
    results=("y", "lse"),
    together=_self_attention_together,
    **rules(_composed_self_attention, keeps=("y", "lse")),  # type: ignore[arg-type]
)
# In a tuple, where it stays when something is put in its place: what sees the function called is to see it.
_ITSELF = (scaled_dot_product_attention,)


def _attend_to_itself(projected: Any, mask: Any, heads: int, dropout_p: float, is_causal: bool) -> Any:
    """``scaled_dot_product_attention`` of (L, N, 3 · heads · E), queries, keys and values side by side, as (L, N, heads · E)."""
    length, batch, width = projected.shape[0], projected.shape[1], projected.shape[2] // 3
    known = not casting.active and scaled_dot_product_attention is _ITSELF[0] and projected.dtype.itemsize > 2
    if known and kernels.tiled(projected._data) and not is_recorded(mask):
        inputs = _by_head(projected._data, 3, heads)
        drawn = _drawn(projected, inputs[0], inputs[1], dropout_p)
        mask = None if mask is None else _additive(mask, projected.dtype)
        return _self_attention(projected, mask, heads, 1.0 / math.sqrt(width // heads), is_causal, drawn)[0]
    q, k, v = (_heads(part, heads) for part in projected.chunk(3, -1))
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal).permute(2, 0, 1, 3).reshape(length, batch, width)  # type: ignore[attr-defined]


def canonical_mask(mask: Any, name: str, target: Any, other: Any = None, other_name: str = "") -> Any:
    """A mask that is added to scores of dtype ``target``: −∞ where a boolean ``mask`` is True (unlike that of ``scaled_dot_product_attention``).

    Warns where another mask, ``other``, has another dtype.  Raises AssertionError for a mask that is neither boolean nor floating.
    """
    if mask is None:
        return None
    if mask.dtype is not dtypes.bool_ and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.", stacklevel=3)
    return zeros_like(mask, dtype=target).masked_fill(mask, -math.inf) if mask.dtype is dtypes.bool_ else mask  # type: ignore[attr-defined]


def _check_shapes(query: Any, key: Any, value: Any, padding: Any, mask: Any, heads: int) -> None:
    if query.ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor")
    rank = query.ndim
    case = f"For {'batched (3-D)' if rank == 3 else 'unbatched (2-D)'} `query`, expected"
    if key.ndim != rank or value.ndim != rank:
        raise AssertionError(f"{case} `key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D tensors respectively")
    if padding is not None and padding.ndim != rank - 1:
        raise AssertionError(f"{case} `key_padding_mask` to be `None` or {rank - 1}-D but found {padding.ndim}-D tensor instead")
    if mask is not None:
        if mask.ndim not in (2, 3):
            raise AssertionError(f"{case} `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead")
        expected = (heads, query.shape[0], key.shape[0])
        if rank == 2 and mask.ndim == 3 and tuple(mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {tuple(mask.shape)}")


def _checked_mask(mask: Any, heads: int, batch: int, length: int, keys: int) -> Any:
    """``attn_mask`` as (1, 1, L, S) or (N, heads, L, S)."""
    expected = (length, keys) if mask.ndim == 2 else (batch * heads, length, keys)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {tuple(mask.shape)}, but should be {expected}.")
    return mask.view(1, 1, length, keys) if mask.ndim == 2 else mask.view(batch, heads, length, keys)


class _Projections(NamedTuple):
    """The weights and biases of the three projections: one matrix for all three, or three."""

    together: Any
    q: Any
    k: Any
    v: Any
    bias: Any

    def __call__(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """In one product where the inputs are one tensor, in two where key and value are."""
        if self.together is not None:
            if query is key and key is value:
                return linear(query, self.together, self.bias).chunk(3, -1)  # type: ignore[attr-defined]
            if key is value:
                width = query.shape[-1]
                w_q, w_kv = self.together.split([width, 2 * width])
                b_q, b_kv = (None, None) if self.bias is None else self.bias.split([width, 2 * width])
                return linear(query, w_q, b_q), *linear(key, w_kv, b_kv).chunk(2, -1)  # type: ignore[return-value,attr-defined]
        weights = (self.q, self.k, self.v) if self.together is None else self.together.chunk(3)
        biases = (None, None, None) if self.bias is None else self.bias.chunk(3)
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
        return q, k, v


def _heads(x: Any, heads: int) -> Any:
    """(L, N, heads · E) as (N, heads, L, E), a view."""
    length, batch, width = x.shape
    return x.reshape(length, batch, heads, width // heads).permute(1, 2, 0, 3)


def _static(x: Any, name: str, heads: int, batch: int, head_dim: int) -> Any:
    """A key or value that was projected before, (N · heads, S, E)."""
    if x.shape[0] != batch * heads:
        raise AssertionError(f"expecting {name}.size(0) of {batch * heads}, but got {x.shape[0]}")
    if x.shape[2] != head_dim:
        raise AssertionError(f"expecting {name}.size(2) of {head_dim}, but got {x.shape[2]}")
    return x.view(batch, heads, -1, head_dim)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The function of ``nn.MultiheadAttention``, which describes it; sequences come first: (L, N, E) or (L, E).

    Raises AssertionError and RuntimeError for shapes that do not fit together, as PyTorch does.
    """
    _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    batched = query.ndim == 3
    same, same_keys = query is key and key is value, key is value
    if not batched:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))  # type: ignore[attr-defined]
        key = query if same else key
        value = key if same_keys else value
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)  # type: ignore[attr-defined]
    length, batch, width = query.shape
    keys = key.shape[0]
    padding = canonical_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method `generate_square_subsequent_mask` to "
            "create this mask."
        )
    is_causal = is_causal and padding is None and not need_weights and bias_k is None and not add_zero_attn
    mask = None if is_causal else canonical_mask(attn_mask, "attn_mask", query.dtype)
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        for name, weight in (("q", q_proj_weight), ("k", k_proj_weight), ("v", v_proj_weight)):
            if weight is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    elif in_proj_weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    together = None if use_separate_proj_weight else in_proj_weight
    mask = None if mask is None else _checked_mask(mask, num_heads, batch, length, keys)
    if (bias_k is None) != (bias_v is None):
        set_, unset = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{set_} is set but {unset} is None")
    if bias_k is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError(f"bias cannot be added to static {'key' if static_k is not None else 'value'}.")
    dropout_p = dropout_p if training else 0.0
    if same and together is not None and not (need_weights or add_zero_attn) and bias_k is None and static_k is None and static_v is None:
        mask = _with_padding(mask, padding, 0, batch, keys)
        y = _attend_to_itself(linear(query, together, in_proj_bias), mask, num_heads, dropout_p, is_causal)
        y = linear(y, out_proj_weight, out_proj_bias)
        return (y if batched else y.squeeze(1)), None  # type: ignore[attr-defined]
    q, k, v = _Projections(together, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias)(query, key, value)
    if bias_k is not None:
        k, v = (cat([x, bias.expand(1, batch, width)]) for x, bias in ((k, bias_k), (v, bias_v)))  # type: ignore[union-attr]
    q = _heads(q, num_heads)
    k = _heads(k, num_heads) if static_k is None else _static(static_k, "static_k", num_heads, batch, width // num_heads)
    v = _heads(v, num_heads) if static_v is None else _static(static_v, "static_v", num_heads, batch, width // num_heads)
    if add_zero_attn:
        none = zeros(batch, num_heads, 1, width // num_heads, dtype=k.dtype, device=k.device)
        k, v = cat([k, none], 2), cat([v, none], 2)
    added = (bias_k is not None) + bool(add_zero_attn)
    mask = _with_padding(None if mask is None else pad(mask, (0, added)) if added else mask, padding, added, batch, k.shape[2])
    weights = None
    if need_weights:
        weights = dropout(softmax(_scores(q, k, mask, 1.0 / math.sqrt(width // num_heads)), -1), dropout_p)
        y = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal)
    y = linear(y.permute(2, 0, 1, 3).reshape(length, batch, width), out_proj_weight, out_proj_bias)  # type: ignore[attr-defined]
    return (y if batched else y.squeeze(1)), weights  # type: ignore[attr-defined]


def _check_sizes(query: Any, key: Any, value: Any, width: int, heads: int, separate: bool) -> None:
    if query.shape[2] != width:
        raise AssertionError(f"was expecting embedding dimension of {width}, but got {query.shape[2]}")
    if width % heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {heads}")
    if separate and tuple(key.shape[:2]) != tuple(value.shape[:2]):
        raise AssertionError(f"key's sequence and batch dims {tuple(key.shape[:2])} do not match value's {tuple(value.shape[:2])}")
    if not separate and tuple(key.shape) != tuple(value.shape):
        raise AssertionError(f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")


def _with_padding(mask: Any, padding: Any, added: int, batch: int, keys: int) -> Any:
    """``mask`` with ``key_padding_mask``, (N, S), to which keys were added that everybody attends to."""
    if padding is None:
        return mask
    padding = pad(padding, (0, added)) if added else padding
    if tuple(padding.shape) != (batch, keys):
        dim = 0 if padding.shape[0] != batch else 1
        raise AssertionError(f"Expected key_padded_mask.shape[{dim}] to be {(batch, keys)[dim]}, but got {padding.shape[dim]}")
    padding = padding.view(batch, 1, 1, keys)
    return padding if mask is None else mask + padding
