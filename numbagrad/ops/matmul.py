"""Matrix products: vectors, matrices, batches of them, and the fused forms that add to a product.

For y = a·b the gradients are g·bᴴ and aᴴ·g.  A transposed operand is a view, which the kernels read as it lies.
"""

from __future__ import annotations

import builtins
from typing import Any

from ..autograd import casting
from ..kernels import matmul as kernels
from ..kernels.elementwise import activations
from ..kernels.matmul.gradients import linear_gradients, small_linear_gradients
from ..tensor import Tensor, wrap
from ._arguments import result_into, tensors_of
from ._attach import public
from ._elementwise import operation
from ._inplace import check_writable, overwrite
from ._operation import differentiable


def _ndim(op: str, message: str, *expected: tuple[Tensor, int]) -> None:
    if any(x.ndim != ndim for x, ndim in expected):
        raise RuntimeError(f"{op}: {message} expected, but got {' and '.join(f'{x.ndim}D' for x, _ in expected)} tensors")


# ---- products -----------------------------------------------------------------------------------------------------------------------

_mm = differentiable(
    "mm",
    lambda input, mat2: kernels.matmul(input, mat2),
    input=lambda g, mat2: _mm_nt(g, mat2.conj()),
    mat2=lambda g, input: _mm_tn(input.conj(), g),
)
# The same with an operand transposed, input·mat2ᵀ and inputᵀ·mat2: gradients are made of these, and a view of an array costs a tenth of a
# view of a tensor.
_mm_nt = differentiable(
    "mm",
    lambda input, mat2: kernels.matmul(input, mat2.T),
    input=lambda g, mat2: _mm(g, mat2.conj()),
    mat2=lambda g, input: _mm_tn(g, input.conj()),
)
_mm_tn = differentiable(
    "mm",
    lambda input, mat2: kernels.matmul(input.T, mat2),
    input=lambda g, mat2: _mm_nt(mat2.conj(), g),
    mat2=lambda g, input: _mm(input.conj(), g),
)
_bmm = differentiable(
    "bmm",
    lambda input, mat2: kernels.matmul(input, mat2),
    input=lambda g, mat2: _bmm(g, mat2.mH),
    mat2=lambda g, input: _bmm(input.mH, g),
)
_mv = differentiable(
    "mv",
    lambda input, vec: kernels.matmul(input, vec),
    input=lambda g, vec: g.unsqueeze(1) * vec.conj(),
    vec=lambda g, input: _mv(input.mH, g),
)
_dot = differentiable(
    "dot",
    lambda input, tensor: kernels.matmul(input, tensor),
    input=lambda g, tensor: g * tensor.conj(),
    tensor=lambda g, input: g * input.conj(),
)


def _rows(x: Tensor) -> Tensor:
    """``x`` [..., k] as a matrix [rows, k]."""
    if x.ndim == 2:
        return x
    k = x.shape[-1]
    rows = 1
    for size in x.shape[:-1]:
        rows *= size
    return x.reshape(rows, k)  # type: ignore[attr-defined]


def _batched_input_rule(g: Any, input_shape: Any, other: Any) -> Any:
    if len(input_shape) == 1:
        g = g.unsqueeze(-2)
    if other.ndim == 1:
        return g.unsqueeze(-1) * other.conj()
    slope = matmul(g, other.mH)
    return slope.squeeze(-2) if len(input_shape) == 1 else slope


def _batched_other_rule(g: Any, input: Any, other_shape: Any) -> Any:
    if len(other_shape) == 1:
        g = g.unsqueeze(-1)
    if input.ndim == 1:
        return input.conj().unsqueeze(-1) * g.unsqueeze(-2)
    if len(other_shape) <= 2:  # one matrix for the whole batch: its gradient is one product over all rows
        slope = _mm_tn(_rows(input).conj(), _rows(g))
    else:
        slope = matmul(input.mH, g)
    return slope.squeeze(-1) if len(other_shape) == 1 else slope


_batched = differentiable("matmul", lambda input, other: kernels.matmul(input, other), input=_batched_input_rule, other=_batched_other_rule)
_OPERATIONS = {(2, 2): _mm, (2, 1): _mv, (1, 1): _dot, (3, 3): _batched}


@public
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input·other: [k]·[k] → scalar, [m, k]·[k] → [m], [k]·[k, n] → [n], [m, k]·[k, n] → [m, n]; leading dimensions are a batch and broadcast.

    Raises RuntimeError for shapes or dtypes that do not fit, TypeError for what is no tensor.
    """
    if casting.active and out is None:
        input, other = casting.arguments("matmul", input, other)
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)):
        tensors_of("matmul", input=input, other=other)
    result = _OPERATIONS.get((input._data.ndim, other._data.ndim), _batched)(input, other)
    return result if out is None else result_into(out, result)


def _matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(self, other) if isinstance(other, Tensor) else NotImplemented


def _reflected_matmul_operator(self: Tensor, other: Any) -> Any:
    return matmul(other, self) if isinstance(other, Tensor) else NotImplemented


Tensor.__matmul__ = _matmul_operator  # type: ignore[assignment]
Tensor.__rmatmul__ = _reflected_matmul_operator  # type: ignore[assignment]


@public
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input·mat2 for matrices [m, k] and [k, n].  Raises RuntimeError for anything else."""
    if casting.active and out is None:
        input, mat2 = casting.arguments("mm", input, mat2)
    tensors_of("mm", input=input, mat2=mat2)
    _ndim("mm", "two matrices", (input, 2), (mat2, 2))
    return result_into(out, _mm(input, mat2))


@public
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input[i]·mat2[i] for batches of matrices [b, m, k] and [b, k, n].  Raises RuntimeError for anything else."""
    if casting.active and out is None:
        input, mat2 = casting.arguments("bmm", input, mat2)
    tensors_of("bmm", input=input, mat2=mat2)
    _check_batches("bmm", input, mat2)
    return result_into(out, _bmm(input, mat2))


def _check_batches(op: str, input: Tensor, mat2: Tensor) -> None:
    _ndim(op, "two 3D batches of matrices", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        expected, found = [input.shape[0], input.shape[2]], list(mat2.shape[:2])
        raise RuntimeError(f"{op}: Expected size for first two dimensions of batch2 tensor to be: {expected} but got: {found}.")


@public
def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input·vec for a matrix [m, k] and a vector [k].  Raises RuntimeError for anything else."""
    if casting.active and out is None:
        input, vec = casting.arguments("mv", input, vec)
    tensors_of("mv", input=input, vec=vec)
    _ndim("mv", "a matrix and a vector", (input, 2), (vec, 1))
    return result_into(out, _mv(input, vec))


@public
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Σ input[i]·tensor[i] of two vectors of one length, without conjugation.  Raises RuntimeError for anything else."""
    if casting.active and out is None:
        input, tensor = casting.arguments("dot", input, tensor)
    tensors_of("dot", input=input, tensor=tensor)
    _ndim("dot", "1D tensors", (input, 1), (tensor, 1))
    return result_into(out, _dot(input, tensor))


@public
def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Σ conj(input[i])·other[i] of two vectors of one length.  Raises RuntimeError for anything else."""
    if casting.active and out is None:
        input, other = casting.arguments("vdot", input, other)
    tensors_of("vdot", input=input, other=other)
    _ndim("vdot", "1D tensors", (input, 1), (other, 1))
    return result_into(out, _dot(input.conj(), other))  # type: ignore[attr-defined]


@public
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sums of products over the last dimension of both, [..., k] and [---, k] → [..., ---]; a product where one is a scalar."""
    if casting.active and out is None:
        input, other = casting.arguments("inner", input, other)
    tensors_of("inner", input=input, other=other)
    if input.ndim == 0 or other.ndim == 0:
        return result_into(out, input * other)
    if input.shape[-1] != other.shape[-1]:
        shapes = f"{list(input.shape)} and {list(other.shape)}"
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {shapes}")
    flat = _mm_nt(_rows(input), _rows(other))
    return result_into(out, flat.reshape((*input.shape[:-1], *other.shape[:-1])))  # type: ignore[attr-defined]


@public(aliases=("ger",))
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input[i]·vec2[j] of two vectors.  Raises RuntimeError for anything else."""
    tensors_of("outer", input=input, vec2=vec2)
    _ndim("outer", "1D tensors", (input, 1), (vec2, 1))
    return result_into(out, input.unsqueeze(1) * vec2)  # type: ignore[attr-defined]


# ---- products added to something ----------------------------------------------------------------------------------------------------

_addmm = differentiable(
    "addmm",
    lambda input, mat1, mat2: kernels.addmm(input, mat1, mat2),
    input=lambda g: g,
    mat1=lambda g, mat2: _mm_nt(g, mat2.conj()),
    mat2=lambda g, mat1: _mm_tn(mat1.conj(), g),
)
_linear = differentiable(
    "linear",
    lambda input, weight, bias: kernels.linear(input, weight, bias),
    input=lambda g, weight: (_mm if g.ndim == 2 else matmul)(g, weight.conj()),
    weight=lambda g, input: _mm_tn(_rows(g), _rows(input).conj()),
    bias=lambda g: g,
    together=linear_gradients,
)


def _through_relu(g: Any, y: Any) -> Any:
    """``g`` where gradients flow through relu to a result ``y``, else 0."""
    return operation(activations.relu).recipe(1).operation.call(g, y)  # type: ignore[union-attr]


def _linear_relu_gradients(wanted: Any, g: Any, y: Any, input: Any, weight: Any) -> Any:
    small = small_linear_gradients(wanted, g, y, input, weight)
    return linear_gradients(wanted, _through_relu(wrap(g), wrap(y))._data, input, weight) if small is None else small


_linear_relu = differentiable(
    "relu",  # what comes last, and what a graph of the two would show
    lambda input, weight, bias: kernels.linear(input, weight, bias, "relu"),
    input=lambda g, y, weight: matmul(_through_relu(g, y), weight),
    weight=lambda g, y, input: _mm_tn(_rows(_through_relu(g, y)), _rows(input)),
    bias=lambda g, y: _through_relu(g, y),
    together=_linear_relu_gradients,
)


def linear_relu(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """relu(linear(input, weight, bias)) in one pass: the same values and gradients, bit for bit, and the same errors."""
    if casting.active:
        input, weight, bias = casting.arguments("linear", input, weight, bias)
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)) or weight._data.ndim != 2:
        return operation(activations.relu).call(linear(input, weight, bias))
    return _linear_relu(input, weight, bias)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input·weightᵀ + bias, in one pass: [..., k] and [n, k] → [..., n]; a weight [k] gives [...].

    Raises RuntimeError for shapes or dtypes that do not fit, TypeError for what is no tensor.
    """
    if casting.active:
        input, weight, bias = casting.arguments("linear", input, weight, bias)
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)):
        tensors_of("linear", input=input, weight=weight)
    if bias is not None and not isinstance(bias, Tensor):
        raise TypeError(f"linear(): argument 'bias' (position 3) must be Tensor, not {type(bias).__name__}")
    if weight.ndim == 1:
        y = matmul(input, weight)
        return y if bias is None else y + bias
    return _linear(input, weight, bias)


# What beta = 0 leaves of beta·input + product.  In a graph ``input`` still is an input, whose gradient is beta·g.
_product_alone = differentiable(
    "addmm",
    lambda input, product: product,
    input=lambda g: g * 0,
    product=lambda g: g,
)


def _scaled(op: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta·input + alpha·product, where the values of ``input`` are not even looked at if beta is 0."""
    if input._data.dtype != product._data.dtype:
        raise RuntimeError(f"{op}: self and mat2 must have the same dtype, but got {input.dtype} and {product.dtype}")
    if product._data.dtype.kind in "iu":
        for name, factor in (("beta", beta), ("alpha", alpha)):
            if isinstance(factor, builtins.float):
                raise RuntimeError(f"{op}: For integral input tensors, argument {name} must not be a floating point number.")
    target = product.shape
    sizes = (1,) * (len(target) - input.ndim) + tuple(input.shape)
    for dim, size in enumerate(sizes):
        if len(sizes) > len(target) or size not in (1, target[dim]):
            raise RuntimeError(
                f"{op}: The expanded size of the tensor ({target[min(dim, len(target) - 1)]}) must match the existing size ({size}) at "
                f"non-singleton dimension {dim}.  Target sizes: {list(target)}.  Tensor sizes: {list(input.shape)}"
            )
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return _product_alone(input, product)
    return product + (input if beta == 1 else input * beta)


@public
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta·input + alpha·(mat1·mat2) for matrices [m, k] and [k, n]; ``input`` broadcasts to [m, n] and is ignored if beta is 0."""
    if casting.active and out is None:
        input, mat1, mat2 = casting.arguments("addmm", input, mat1, mat2)
    tensors_of("addmm", input=input, mat1=mat1, mat2=mat2)
    _ndim("addmm", "two matrices", (mat1, 2), (mat2, 2))
    if beta == 1 and alpha == 1:
        return result_into(out, _addmm(input, mat1, mat2))
    return result_into(out, _scaled("addmm", input, _mm(mat1, mat2), beta, alpha))


@public
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta·input + alpha·(mat·vec) for a matrix [m, k] and a vector [k]; ``input`` broadcasts to [m] and is ignored if beta is 0."""
    if casting.active and out is None:
        input, mat, vec = casting.arguments("addmv", input, mat, vec)
    tensors_of("addmv", input=input, mat=mat, vec=vec)
    _ndim("addmv", "a matrix and a vector", (mat, 2), (vec, 1))
    return result_into(out, _scaled("addmv", input, _mv(mat, vec), beta, alpha))


@public
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta·input + alpha·(vec1 ⊗ vec2) for vectors [m] and [n]; ``input`` broadcasts to [m, n] and is ignored if beta is 0."""
    if casting.active and out is None:
        input, vec1, vec2 = casting.arguments("addr", input, vec1, vec2)
    tensors_of("addr", input=input, vec1=vec1, vec2=vec2)
    return result_into(out, _scaled("addr", input, outer(vec1, vec2), beta, alpha))


@public
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta·input + alpha·(batch1[i]·batch2[i]); ``input`` broadcasts to [b, m, n] and is ignored if beta is 0."""
    if casting.active and out is None:
        input, batch1, batch2 = casting.arguments("baddbmm", input, batch1, batch2)
    tensors_of("baddbmm", input=input, batch1=batch1, batch2=batch2)
    _check_batches("baddbmm", batch1, batch2)
    return result_into(out, _scaled("baddbmm", input, _bmm(batch1, batch2), beta, alpha))


@public
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """beta·input + alpha·Σᵢ batch1[i]·batch2[i], one product over all of the batch; ``input`` broadcasts to [m, n]."""
    if casting.active and out is None:
        input, batch1, batch2 = casting.arguments("addbmm", input, batch1, batch2)
    tensors_of("addbmm", input=input, batch1=batch1, batch2=batch2)
    _check_batches("addbmm", batch1, batch2)
    size, m, k = batch1.shape
    wide = batch1.permute(1, 0, 2).reshape(m, size * k)  # type: ignore[attr-defined]
    return result_into(out, _scaled("addbmm", input, _mm(wide, batch2.reshape(size * k, batch2.shape[2])), beta, alpha))  # type: ignore[attr-defined]


def _in_place(op: Any) -> Any:
    """The method that writes the result of ``op`` into its first argument, whose shape it must have."""
    name = f"{op.__name__}_"

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, name)
        y = op(self, *args, **kwargs)
        if y._data.shape != self._data.shape:
            raise RuntimeError(f"{name}: output with shape {list(self.shape)} doesn't match the broadcast shape {list(y.shape)}")
        return overwrite(self, y, name)

    changed.__name__ = changed.__qualname__ = name
    changed.__doc__ = f"In-place version of ``{op.__name__}``."
    return changed


for _op in (addmm, addmv, addr, baddbmm, addbmm):
    public(_in_place(_op), function=False)
