"""Products of vectors, matrices and batches of matrices.

Operands keep their strides: a transposed matrix is read as it lies.  Integers wrap around, float16 and bfloat16 are summed in float32.
"""

from __future__ import annotations

from typing import Any

from .. import _dtypes
from .._cpu import layout
from .._device import family, on_cpu
from .._half import float32_on_cpu, through_float32
from ..copy import contiguous, dense_order, in_order

_on = family(__name__)

_NAMES = {
    _dtypes.uint8: "unsigned char",
    _dtypes.int8: "signed char",
    _dtypes.int16: "short int",
    _dtypes.int32: "int",
    _dtypes.int64: "long int",
    _dtypes.float16: "c10::Half",
    _dtypes.bfloat16: "c10::BFloat16",
    _dtypes.float32: "float",
    _dtypes.float64: "double",
    _dtypes.complex64: "c10::complex<float>",
    _dtypes.complex128: "c10::complex<double>",
}

# Products whose operands have been checked, by all that the checks look at: kinds of array, dtypes, shapes and strides.
_checked: dict[Any, Any] = {}
_checked_linear: dict[str, dict[Any, Any]] = {"": {}, "relu": {}}
_MOST_CHECKED = 4096


def _remember(checked: dict[Any, Any], key: Any, product: Any) -> Any:
    if len(checked) >= _MOST_CHECKED:
        checked.clear()
    checked[key] = product
    return product


def _check_dtypes(op: str, a: Any, b: Any) -> None:
    if a.dtype != b.dtype:
        names = (_NAMES.get(x.dtype) or _dtypes.name(x.dtype) for x in (a, b))
        raise RuntimeError(f"{op}: expected m1 and m2 to have the same dtype, but got: {' != '.join(names)}")
    if a.dtype == _dtypes.bool_:
        raise NotImplementedError(f"\"{op}\" not implemented for 'Bool'")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _check_multipliable(op: str, m: int, k: int, b: Any) -> None:
    if b.shape[0] != k:
        raise RuntimeError(f"{op}: mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {_size(b.shape)})")


def broadcast_batch(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of two batches of matrices, by NumPy's rules; RuntimeError where there is none."""
    if a == b:
        return a
    rank = max(len(a), len(b))
    wide_a, wide_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    for dim, (x, y) in enumerate(zip(wide_a, wide_b)):
        if x != y and x != 1 and y != 1:
            raise RuntimeError(f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {dim}")
    return tuple(y if x == 1 else x for x, y in zip(wide_a, wide_b))


def _merged(x: Any) -> Any:
    """``x`` [..., m, k] as one matrix [rows, k] if its leading dimensions lie one behind the other, else None."""
    stride, rows = x.strides[-2], x.shape[-2]
    for size, step in zip(x.shape[-3::-1], x.strides[-3::-1]):
        if size != 1:
            if rows != 1 and step != stride * rows:
                return None
            if rows == 1:
                stride = step
            rows *= size
    return x.reshape(rows, x.shape[-1])


def matmul(a: Any, b: Any) -> Any:
    """a·b as ``torch.matmul``.

    Vectors [k]·[k] give a scalar, [k]·[k, n] gives [n], [m, k]·[k] gives [m], [m, k]·[k, n] gives [m, n]; leading dimensions are a batch
    and broadcast.  Both of one dtype, not bool.  Sums over k = 0 elements are 0.
    Raises RuntimeError for dtypes or shapes that do not fit.
    """
    key = layout.layout(a, b)
    product = _checked.get(key)
    if product is not None:
        return product(a, b, None)
    _check_dtypes("matmul", a, b)
    if a.dtype in _dtypes.HALVES and on_cpu(a):
        return _widened_matmul(a, b)
    if a.ndim == b.ndim and a.ndim >= 2 and a.shape[-1] == b.shape[-2]:
        batch = broadcast_batch(a.shape[:-2], b.shape[:-2])
        return _remember(_checked, key, _on(a, b).prepare(a, b, batch, None))(a, b, None)
    return _matmul(a, b)


def _matmul(a: Any, b: Any) -> Any:
    if a.ndim == 2 and b.ndim == 2:
        _check_multipliable("matmul", *a.shape, b)  # type: ignore[call-arg]
        return _on(a, b).matmul(a, b, (), None)
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == 1 and b.ndim == 1:
        if a.shape != b.shape:
            x, y = a.shape[0], b.shape[0]
            raise RuntimeError(
                f"inconsistent tensor size, expected tensor [{x}] and src [{y}] to have the same number of elements, "
                f"but got {x} and {y} elements respectively"
            )
        return _on(a, b).dot(a, b)
    if b.ndim == 1 and a.ndim == 2 and a.shape[1] != b.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({a.shape[0]}), mat ({_size(a.shape)}), vec ({b.shape[0]})")
    left, right = a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    m, k = left.shape[-2:]
    if right.shape[-2] != k:
        if right.ndim == 2 or left.ndim == 2:
            rows = _count(left.shape[:-1])
            raise RuntimeError(f"matmul: mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and {_size(right.shape[-2:])})")
        expected = [*left.shape[:-2], k]
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: {expected} but got: {list(right.shape[:-1])}.")
    batch = broadcast_batch(left.shape[:-2], right.shape[:-2])
    shape = (*batch, *(() if a.ndim == 1 else (m,)), *(() if b.ndim == 1 else (right.shape[-1],)))
    if right.ndim == 2 and left.ndim > 2:  # one long matrix instead of a batch: B is packed once
        merged = _merged(left)
        if merged is not None:
            return _on(a, b).matmul(merged, right, (), None).reshape(shape)
    return _on(a, b).matmul(left, right, batch, None).reshape(shape)


_widened_matmul = through_float32(_matmul)


def addmm(input: Any, a: Any, b: Any) -> Any:
    """input + a·b for matrices a [m, k] and b [k, n], in one pass; ``input`` broadcasts to [m, n].

    All of one dtype, not bool.  Raises RuntimeError for dtypes or shapes that do not fit.
    """
    _check_dtypes("addmm", a, b)
    if a.ndim != 2 or b.ndim != 2:
        raise RuntimeError(f"addmm: expected mat1 and mat2 to be matrices, but got {a.ndim}D and {b.ndim}D tensors")
    _check_multipliable("addmm", *a.shape, b)  # type: ignore[call-arg]
    _check_initial("addmm", input, a, (a.shape[0], b.shape[1]))
    return _addmm(input, a, b)


@float32_on_cpu
def _addmm(input: Any, a: Any, b: Any) -> Any:
    return _on(input, a, b).matmul(a, b, (), input)


def _check_initial(op: str, input: Any, a: Any, shape: tuple[int, int]) -> None:
    """Whether ``input`` broadcasts to ``shape`` and has the dtype of ``a``."""
    if input.dtype != a.dtype:
        raise RuntimeError(f"{op}: self and mat2 must have the same dtype, but got {_dtypes.name(input.dtype)} and {_dtypes.name(a.dtype)}")
    if input.shape == shape or input.shape == shape[1:]:
        return
    sizes = (1,) * (2 - input.ndim) + input.shape
    for dim in range(len(sizes)):
        if len(sizes) > 2 or sizes[dim] not in (1, shape[dim]):
            raise RuntimeError(
                f"{op}: the expanded size of the tensor ({shape[min(dim, 1)]}) must match the existing size ({sizes[dim]}) at "
                f"non-singleton dimension {dim}.  Target sizes: {list(shape)}.  Tensor sizes: {list(input.shape)}"
            )


def linear(x: Any, weight: Any, bias: Any = None, activation: str = "") -> Any:
    """y[..., n] = f(Σ_k x[..., k]·weight[n, k] + bias[n]), in one pass: bias and f are applied as the sums are stored.

    ``weight`` [n, k], or [k] for a scalar result per row; ``bias`` [n] (or a scalar) or None.  All of one dtype, not bool.
    ``activation`` names f: ``"relu"``, or ``""`` for none; the result is that of the function ``elementwise.activations`` has by that name.
    Raises RuntimeError for dtypes or shapes that do not fit.
    """
    checked = _checked_linear[activation]
    key = layout.layout(x, weight, bias)
    product = checked.get(key)
    if product is not None:
        return product(x, weight.T, bias)
    _check_dtypes("linear", x, weight)
    if (x.dtype not in _dtypes.HALVES or not on_cpu(x)) and x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[1]:
        if bias is None or (x.dtype == bias.dtype and bias.shape == weight.shape[:1]):
            product = _on(x, weight, bias).prepare(x, weight.T, (), bias, activation)
            return _remember(checked, key, product)(x, weight.T, bias)
    if x.ndim > 2 and weight.ndim == 2:
        order = dense_order(x)
        if order is not None and order[-1] == x.ndim - 1:  # rows one behind the other: so are those of the result, in whatever order
            rows, back = in_order(x, order)
            y = linear(rows.reshape(_count(rows.shape[:-1]), rows.shape[-1]), weight, bias, activation)
            return y.reshape(*rows.shape[:-1], weight.shape[0]).transpose(back)
    if x.ndim == 0 or weight.ndim not in (1, 2):
        raise RuntimeError(f"linear: expected an input of at least 1D and a weight of 1D or 2D, but got {x.ndim}D and {weight.ndim}D")
    rows, k, matrix = _count(x.shape[:-1]), x.shape[-1], weight if weight.ndim == 2 else weight[None, :]
    _check_multipliable("linear", rows, k, matrix.T)
    if bias is not None:
        _check_initial("linear", bias, x, (rows, matrix.shape[0]))
    return _linear(x, matrix, bias, activation).reshape((*x.shape[:-1], *weight.shape[:-1]))


@float32_on_cpu
def _linear(x: Any, weight: Any, bias: Any, activation: str) -> Any:
    matrix = x[None, :] if x.ndim == 1 else x if x.ndim == 2 else _merged(x)
    if matrix is None:
        matrix = contiguous(x).reshape(_count(x.shape[:-1]), x.shape[-1])
    return _on(x, weight, bias).matmul(matrix, weight.T, (), bias, activation)
