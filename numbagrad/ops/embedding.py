"""Rows of a table by index, and indices as one-hot rows."""

from __future__ import annotations

from typing import Any

from ..kernels import copy as copy_kernels
from ..kernels import index as kernels
from ..tensor import Tensor, wrap
from ._attach import public
from ._operation import differentiable
from .gather import _index_select
from .masks import nonzero


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 zeros of shape tensor.shape + (num_classes,) with a one where the last coordinate is the value of ``tensor``."""
    return wrap(kernels.one_hot(tensor._data, num_classes))


def _embedding_rule(g: Tensor, index: Tensor, x_shape: Any, padding: int, by_frequency: bool) -> Tensor:
    return _embedding_backward(g, index, x_shape[0], padding, by_frequency)


def _embedding_second_rule(g: Tensor, index: Tensor, padding: int, by_frequency: bool) -> Tensor:
    """Each row of the first gradient took part in one row of the weight's: the part it had is read back."""
    rows = _embedding(g, index, padding, by_frequency)
    if by_frequency:
        counts = wrap(kernels.bincount(copy_kernels.contiguous(index._data).reshape(-1), None, g.shape[0]))
        rows = rows / counts[index.long()].unsqueeze(-1).to(g.dtype)  # type: ignore[attr-defined]
    return rows if padding < 0 else rows.masked_fill((index == padding).unsqueeze(-1), 0)  # type: ignore[attr-defined]


_embedding = differentiable("embedding", lambda x, index, padding, by_frequency: kernels.embedding(x, index), x=_embedding_rule)
_embedding_backward = differentiable(
    "embedding_dense_backward",
    lambda x, index, rows, padding, by_frequency: kernels.embedding_backward(x, index, rows, padding, by_frequency),
    x=_embedding_second_rule,
)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """out[...] = weight[input[...]]: the rows of ``weight`` (num_embeddings, embedding_dim) at the indices ``input``.

    The row ``padding_idx`` receives no gradient.  ``max_norm`` first shrinks, in place, the rows used whose ``norm_type``-norm is larger.
    ``scale_grad_by_freq`` divides each row's gradient by how often it occurs.  Raises IndexError for an index out of range, AssertionError
    for such a ``padding_idx``.  ``sparse``, in which form PyTorch keeps the gradient, changes nothing: it is dense here, and the same numbers.
    """
    padding = -1
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding = padding_idx % rows
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    return _embedding(weight, input, padding, scale_grad_by_freq)


def _renormalise(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the rows of ``weight`` at ``index`` whose norm exceeds ``max_norm`` down to it, in place, outside the graph."""
    values = weight.detach()
    used = kernels.bincount(copy_kernels.contiguous(index._data).reshape(-1), None, weight.shape[0]) if index.numel() else None
    if used is None:
        return
    rows = nonzero(wrap(used)).reshape(-1)
    found = _index_select(values, 0, rows)
    norms = found.norm(norm_type, dim=1, keepdim=True)  # type: ignore[attr-defined]
    scaled = found * (max_norm / (norms + 1e-7)).clamp(max=1)
    kernels.index_put_into(weight._data, (rows._data,), scaled._data)
    weight._bump()


def embedding_rows(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """``nn.functional.embedding`` with the weight first; a negative ``padding_idx`` means none."""
    return embedding(indices, weight, None if padding_idx < 0 else padding_idx, None, 2.0, scale_grad_by_freq, sparse)


public(embedding_rows, name="embedding", method=False)
