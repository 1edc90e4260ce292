"""Products and powers of matrices and vectors."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from ...kernels.linalg import decompositions, on_host
from ...size import dimension
from ...tensor import Tensor
from .._arguments import result_into, tensors_of
from .._attach import public
from .._operation import differentiable
from ..copy import cat, stack
from ..einsum import chain_matmul
from ..matmul import matmul
from ._common import floating, identity, square
from .solve import inv


def _exp_rule(g: Tensor, a: Tensor) -> Tensor:
    """The upper right block of exp([[aᴴ, g], [0, aᴴ]]): I. Najfeld and T. Havel, "Derivatives of the matrix exponential and their computation", 1995."""
    n, turned = a.shape[-1], a.mH
    blocks = cat((cat((turned, g), -1), cat((turned * 0, turned), -1)), -2)
    return _matrix_exp(blocks)[..., :n, n:]


_matrix_exp = differentiable("linalg_matrix_exp", on_host(decompositions.matrix_exp), a=_exp_rule)


@public
def matrix_exp(A: Tensor) -> Tensor:
    """Σ Aᵏ / k! of square matrices [..., n, n].  A CUDA tensor is computed on the host and brought back to its device.

    N. Higham, "The scaling and squaring method for the matrix exponential revisited", 2005.  Raises RuntimeError for other shapes and dtypes.
    """
    square("linalg.matrix_exp", A=A)
    return _matrix_exp(A)


@public
def matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """Aⁿ of square matrices [..., m, m], by squaring; of the inverse for negative n.

    Raises LinAlgError for a negative power of a singular matrix, RuntimeError for other shapes.
    """
    tensors_of("linalg_matrix_power", A=A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        square("linalg.matrix_power", A=A)
    if not isinstance(n, Integral):
        raise TypeError(f"linalg_matrix_power(): argument 'n' (position 2) must be int, not {type(n).__name__}")
    if n < 0:
        A, n = inv(A), -n
    if n == 0:
        return result_into(out, identity(A.shape[-1], A).expand(A.shape).clone())  # type: ignore[attr-defined]
    if n == 1:
        return result_into(out, A.clone())  # type: ignore[attr-defined]
    result = None
    while True:
        if n & 1:
            result = A if result is None else matmul(result, A)
        n >>= 1
        if not n:
            return result_into(out, result)  # type: ignore[arg-type]
        A = matmul(A, A)


def multi_dot(tensors: Any, *, out: Tensor | None = None) -> Tensor:
    """The product of two or more matrices, in the order that takes the fewest multiplications; the first and the last may be vectors.

    Raises RuntimeError for fewer tensors, and for shapes and dtypes that do not fit.
    """
    factors = list(tensors)
    if len(factors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(factors)}")
    first_is_vector, last_is_vector = factors[0].ndim == 1, factors[-1].ndim == 1
    for i, x in enumerate(factors):
        outer = i in (0, len(factors) - 1)
        if x.ndim != 2 and not (outer and x.ndim == 1):
            raise RuntimeError(f"multi_dot(): tensor {i} must be {'1D or 2D' if outer else '2D'} but got {x.ndim}D")
        if x.dtype != factors[0].dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have the same dtype but tensor 0 is {factors[0].dtype} and tensor {i} {x.dtype}"
            )
    factors[0] = factors[0].unsqueeze(0) if first_is_vector else factors[0]
    factors[-1] = factors[-1].unsqueeze(1) if last_is_vector else factors[-1]
    for i in range(len(factors) - 1):
        if factors[i].shape[1] != factors[i + 1].shape[0]:
            shapes = f"{list(factors[i].shape)} and {list(factors[i + 1].shape)}"
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {shapes} cannot be multiplied")
    y = chain_matmul(*factors)
    y = y.squeeze(-1) if last_is_vector else y  # type: ignore[attr-defined]
    return result_into(out, y.squeeze(0) if first_is_vector else y)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Σ conj(x)·y along ``dim``; the other dimensions broadcast.  Raises RuntimeError for dtypes and shapes that do not fit, and for integers."""
    tensors_of("linalg_vecdot", x=x, y=y)
    floating("linalg.vecdot", x)
    if x.dtype != y.dtype:
        raise RuntimeError(
            f"linalg.vecdot: Expected x and y to have the same dtype, but found x of type {x.dtype.title} and y of type {y.dtype.title} instead"
        )
    rows, columns = (t.movedim(dim, -1) for t in (x.conj(), y))  # type: ignore[attr-defined]
    return result_into(out, matmul(rows.unsqueeze(-2), columns.unsqueeze(-1)).squeeze(-1).squeeze(-1))  # type: ignore[attr-defined]


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers x⁰, x¹, ..., xᴺ⁻¹ of each element of x [..., n] as rows [..., n, N]; N is n if not given.  Raises RuntimeError for N < 2."""
    tensors_of("linalg_vander", x=x)
    if x._data.dtype.kind == "b":
        raise RuntimeError("linalg.vander: Expected x to be of floating, complex, or integral type, but got Bool")
    x = x if x.ndim else x.reshape(1)  # type: ignore[attr-defined]
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise RuntimeError(f"N must be greater than 1, but got {count}")
    dtype = x.dtype if x.is_complex() or x.is_floating_point() else None
    columns = x.unsqueeze(-1).expand(*x.shape, count - 1)  # type: ignore[attr-defined]
    ones = x.new_ones((*x.shape, 1), dtype=dtype)  # type: ignore[attr-defined]
    powers = columns.cumprod(-1)
    return cat((ones.to(powers.dtype), powers), -1)


def _cross(a: Tensor, b: Tensor, dim: int) -> Tensor:
    a1, a2, a3 = (a.select(dim, i) for i in range(3))  # type: ignore[attr-defined]
    b1, b2, b3 = (b.select(dim, i) for i in range(3))  # type: ignore[attr-defined]
    return stack((a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1), dim)


def _check_cross(op: str, input: Tensor, other: Tensor) -> None:
    tensors_of(op, input=input, other=other)
    if input.dtype != other.dtype:
        raise RuntimeError(f"{op}: expected tensors of one dtype, but got {input.dtype} and {other.dtype}")


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """a × b of the vectors of size 3 along ``dim``; the other dimensions broadcast.

    Raises RuntimeError where the numbers of dimensions differ or ``dim`` is not of size 3.
    """
    _check_cross("linalg.cross", input, other)
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    d = dimension(dim, input.ndim)
    if input.shape[d] != 3 or other.shape[d] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[d]} and {other.shape[d]}")
    return result_into(out, _cross(input, other, d))


@public
def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """a × b along ``dim``; without it, along the first dimension of size 3, which ``linalg.cross`` does not look for."""
    _check_cross("cross", input, other)
    if dim is None:
        dim = next((i for i, size in enumerate(input.shape) if size == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)


def linalg_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """``diagonal``, of the last two dimensions."""
    tensors_of("linalg_diagonal", A=A)
    return A.diagonal(offset, dim1, dim2)  # type: ignore[attr-defined]


@public
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix.  Raises RuntimeError for anything else."""
    tensors_of("trace", input=input)
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return input.diagonal().sum()  # type: ignore[attr-defined]
