"""Norms of vectors and matrices, and the condition number that is made of them."""

from __future__ import annotations

import math
from typing import Any

from ... import dtypes
from ...kernels import _dtypes
from ...kernels.reduce import normalize_dims
from ...size import dimension
from ...tensor import Tensor
from .._arguments import result_into, tensors_of
from ..reduce import _norm
from ._common import matrices
from .solve import inv_ex
from .spectral import svdvals

_ORDERS = "'fro', 'nuc', inf, -inf, 1, -1, 2, -2"


def _number(op: str, x: Tensor, dtype: Any) -> Tensor:
    """``x`` in ``dtype``, if there is one.  Raises RuntimeError for integers and for a dtype that would lose something."""
    if x._data.dtype.kind not in "fcV":
        raise RuntimeError(f"{op}: Expected a floating point or complex tensor as input. Got {_dtypes.title(x._data.dtype)}")
    if dtype is None:
        return x
    wanted = dtypes.as_dtype(dtype, op)
    if not (wanted.is_floating_point or wanted.is_complex):
        raise RuntimeError(f"{op}: dtype should be floating point or complex. Got {wanted.title}")
    if wanted.is_complex != x.is_complex():
        kind = "complex" if x.is_complex() else "real"
        raise RuntimeError(f"{op}: dtype should be {kind} for {kind} inputs, but got {wanted.title}")
    if dtypes.promote_types(x.dtype, wanted) is not wanted:
        raise RuntimeError(
            f"{op}: the dtype of the input ({x.dtype.title}) should be convertible without narrowing to the specified dtype ({wanted.title})"
        )
    return x.to(wanted)  # type: ignore[attr-defined]


def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over the dimensions ``dim``, or all elements; ord may be ±inf, and 0 counts what is not 0.  Its gradient at 0 is 0.

    Raises RuntimeError for integers, and for an empty dimension where the order has no value for it (negative and inf).
    """
    tensors_of("linalg_vector_norm", x=x)
    if isinstance(ord, (str, complex)):
        raise RuntimeError(f"linalg.vector_norm: Expected a non-complex scalar as the order of norm. Got {ord!r}")
    x = _number("linalg.vector_norm", x, dtype)
    dims = normalize_dims("linalg.vector_norm", dim if dim is None or isinstance(dim, int) or len(dim) else None, x._data.ndim)
    if x.numel() == 0 and (ord < 0 or ord == math.inf):
        if dim is None or not isinstance(dim, int) and not len(dim):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have an identity"
            )
        for d in dims:
            if x.shape[d] == 0:
                raise RuntimeError(f"linalg.vector_norm cannot compute the {ord} norm on the dimension {d} because this dimension is empty and the "
                                   "operation does not have an identity")  # fmt: skip
    return result_into(out, _norm(x, float(ord), dims, keepdim))


def _matrix_dims(op: str, A: Tensor, dim: Any) -> tuple[int, int]:
    if len(dim) != 2:
        raise RuntimeError(f"{op}: dim must be a 2-tuple. Got {list(dim)}")
    first, second = (dimension(d, A.ndim) for d in dim)
    if first == second:
        raise RuntimeError(f"{op}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return first, second


def _extreme(x: Tensor, dim: int, largest: bool) -> Tensor:
    """The largest, or smallest, of numbers that are not negative; 0 is the largest of none."""
    if not largest:
        return x.amin(dim)  # type: ignore[attr-defined]
    return x.amax(dim) if x.shape[dim] else x.sum(dim)  # type: ignore[attr-defined]


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None, out: Tensor | None = None
) -> Tensor:
    """The norm of the matrices in the two dimensions ``dim``: "fro" √Σ|a|², "nuc" the sum of the singular values, 2 and -2 the largest and the
    smallest one, inf and -inf the largest and the smallest Σ|a| of a row, 1 and -1 of a column.

    Raises RuntimeError for other orders, fewer dimensions, and integers.
    """
    op = "linalg.matrix_norm"
    tensors_of("linalg_matrix_norm", A=A)
    if A.ndim < 2:
        raise RuntimeError(f"{op}: The input tensor A must have at least 2 dimensions.")
    dims = _matrix_dims(op, A, dim)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"{op}: Order {ord} not supported.")
    elif abs(ord) not in (1, 2, math.inf):
        raise RuntimeError(f"{op}: Order {ord} not supported.")
    A = _number(op, A, dtype)
    if ord == "fro":
        return result_into(out, vector_norm(A, 2, dims, keepdim))
    if ord == "nuc" or abs(ord) == 2:
        s = svdvals(A.movedim(dims, (-2, -1)))  # type: ignore[attr-defined]
        y = s.sum(-1) if ord == "nuc" else _extreme(s, -1, ord > 0)  # type: ignore[attr-defined]
    else:
        rows, columns = dims
        summed, over = (columns, rows) if abs(ord) == math.inf else (rows, columns)
        sums = vector_norm(A, 1, summed)
        over -= over > summed
        y = _extreme(sums, over, ord > 0)
    if keepdim:
        for d in sorted(dims):
            y = y.unsqueeze(d)
    return result_into(out, y)


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """``vector_norm`` or ``matrix_norm``: of vectors where ``dim`` is one dimension or ``ord`` is None (then 2, over all elements), of matrices where ``dim``
    is two, or ``ord`` is given for a matrix.

    Raises RuntimeError for an order of a tensor that is neither.
    """
    tensors_of("linalg_norm", A=A)
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype, out=out)
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}")
    if dims is None and A.ndim not in (1, 2):
        raise RuntimeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D.")
    if isinstance(ord, str) or (len(dims) == 2 if dims is not None else A.ndim == 2):
        return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dims, keepdim, dtype=dtype, out=out)


def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The condition number ‖A‖·‖A⁻¹‖ of matrices [..., m, n] in the matrix norm ``p``; 2 (the default) and -2 are quotients of singular values and take any
    matrix, the others square ones.  Infinite for a singular matrix."""
    matrices("linalg.cond", A=A)
    if p is None or p in (2, -2):
        if not A.numel() and not min(A.shape[-2:]):
            return result_into(out, A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real()))  # type: ignore[attr-defined]
        s = svdvals(A)
        y = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
        return result_into(out, y)
    if A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"linalg.cond(ord={p}): A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices"
        )
    if not A.numel():
        return result_into(out, A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real()))  # type: ignore[attr-defined]
    inverse, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(inverse, p) if p != "nuc" or not info.any().item() else _of_regular(A, info)
    return result_into(out, y.masked_fill(info != 0, math.inf))  # type: ignore[attr-defined]


def _of_regular(A: Tensor, info: Tensor) -> Tensor:
    """The nuclear condition numbers, with those of singular matrices, which have no inverse to decompose, left at 0."""
    y = A.new_zeros(A.shape[:-2], dtype=A.dtype.to_real())  # type: ignore[attr-defined]
    regular = info == 0
    inverse, _ = inv_ex(A[regular])
    return y.masked_scatter(regular, matrix_norm(A[regular], "nuc") * matrix_norm(inverse, "nuc"))
