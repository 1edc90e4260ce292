"""Copying elements: casts, packing, assignment, joining, padding, rearranging.

Everything is built of a strided move (``move``), a conversion between types (``convert``) and two kernels of their own (padding by
reflection and the like, triangles).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._device import cuda_door, cuda_is_used, device_of, family, on_cpu, place
from .._half import through_float32

_on = family(__name__)
_across = family(__name__, across=True)


def dense_order(x: Any) -> list[int] | None:
    """The order of dimensions in which ``x`` lies in memory, outermost first, if it has neither gaps nor overlaps; None otherwise."""
    shape, strides = x.shape, x.strides
    order = sorted(range(len(shape)), key=lambda j: -strides[j])
    expected = x.dtype.itemsize
    for j in reversed(order):
        if shape[j] != 1:
            if strides[j] != expected:
                return None
            expected *= shape[j]
    return order


def in_order(x: Any, order: list[int]) -> tuple[Any, list[int]]:
    """``x`` with its dimensions in ``order``, and the permutation that undoes it."""
    back = [0] * len(order)
    for i, j in enumerate(order):
        back[j] = i
    return x.transpose(order), back


def contiguous(x: Any) -> Any:
    """``x`` itself if its elements lie in row-major order without gaps, otherwise a packed copy."""
    return x if x.flags.c_contiguous else _on(x).packed(x)


def cast(x: Any, dtype: np.dtype) -> Any:
    """``x`` as ``dtype``: ``x`` itself if it has that type already, otherwise a new array that keeps the layout of a dense ``x``.

    Conversions are PyTorch's: floating to integer truncates (values out of range are undefined), to bool is ``x != 0``, to the 16-bit
    floats rounds to nearest even by way of float32, and complex to real keeps the real part.
    """
    if x.dtype == dtype:
        return x
    implementation = _on(x)
    if not x.flags.c_contiguous:
        order = dense_order(x)
        if order is not None:
            dense, back = in_order(x, order)
            return implementation.convert(dense, dtype).transpose(back)
        return implementation.convert(implementation.packed(x), dtype)
    return implementation.convert(x, dtype)


def clone(x: Any) -> Any:
    """A new array with the elements of ``x``.  Without gaps, its dimensions keep the order in which those of ``x`` lie in memory."""
    implementation = _on(x)
    if x.flags.c_contiguous:
        return implementation.packed(x)
    shape, strides = x.shape, x.strides
    if any(stride <= 0 and n > 1 for n, stride in zip(shape, strides)):
        return implementation.packed(x)
    ordered, back = in_order(x, sorted(range(len(shape)), key=lambda j: -strides[j]))
    return implementation.packed(ordered).transpose(back)


def empty_like(x: Any) -> Any:
    """An uninitialised array with the shape, dtype and device of ``x``, whose dimensions keep the order in which those of ``x`` lie in memory."""
    shape, strides = x.shape, x.strides
    order = sorted(range(len(shape)), key=lambda j: -strides[j])
    back = sorted(range(len(shape)), key=order.__getitem__)
    return empty([shape[j] for j in order], x.dtype, device_of(x)).transpose(back)


def transfer(x: Any, device: str, non_blocking: bool = False) -> Any:
    """The elements of ``x`` on ``device`` ("cpu", "cuda:1"), in the layout of a dense ``x``; ``x`` itself if it is there.

    ``non_blocking``: from or to pinned memory, the host does not wait until the copy is done.  Raises Unavailable (a RuntimeError) where there is no GPU
    that can be used.
    """
    if device_of(x) == device:
        return x
    if not x.flags.c_contiguous:
        order = dense_order(x)
        if order is None:
            return transfer(_on(x).packed(x), device, non_blocking)
        dense, back = in_order(x, order)
        return transfer(dense, device, non_blocking).transpose(back)
    door = cuda_door("transfer")
    return door.to_host(x, non_blocking) if device == "cpu" else door.to_device(x, place(device).device_index, non_blocking)


def pinned(x: Any) -> Any:
    """A contiguous copy of ``x`` in page-locked memory of the host, from which a GPU copies without the host's help; ``x`` itself if it lies there.

    Raises RuntimeError for an array of a GPU.
    """
    if not on_cpu(x):
        raise RuntimeError(f"cannot pin the memory of an array on {device_of(x)}, only dense CPU tensors can be pinned")
    if is_pinned(x):
        return x
    out = cuda_door("transfer").pinned_empty(x.shape, x.dtype)
    copy_into(out, x)
    return out


def is_pinned(x: Any) -> bool:
    """Whether ``x`` lies in page-locked memory of the host."""
    return on_cpu(x) and cuda_is_used() and cuda_door("pinned").is_pinned(x)


def empty(shape: Sequence[int], dtype: np.dtype, device: str = "cpu") -> Any:
    """An uninitialised C-contiguous array on ``device``."""
    return _on(place(device)).empty(tuple(shape), dtype)


def zeros(shape: Sequence[int], dtype: np.dtype, like: Any) -> Any:
    """An array of zeros on the device of ``like``."""
    return _on(like).zeros(tuple(shape), dtype)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(to)))


def copy_into(dst: Any, src: Any) -> None:
    """dst[...] = src, broadcast to dst's shape and cast to its dtype; the two may share memory, or lie on different devices.

    Raises RuntimeError if ``src`` does not broadcast or several elements of ``dst`` are one place in memory.
    """
    implementation = _across(dst, src)
    shape = dst.shape
    if shape != src.shape and not _broadcasts(src.shape, shape):
        raise RuntimeError(f"copy_: expected a source that broadcasts to shape {list(shape)}, but got one of shape {list(src.shape)}")
    if not dst.flags.c_contiguous and any(stride == 0 and n > 1 for n, stride in zip(dst.shape, dst.strides)):
        raise RuntimeError(
            "copy_: unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    if implementation.assign(dst, src):
        return
    if src.dtype is not dst.dtype and src.dtype != dst.dtype:
        src = cast(src, dst.dtype)
    elif implementation.overlap(dst, src):
        src = implementation.packed(src)
    implementation.move(dst, src)


def _checked_number(value: Any, dtype: np.dtype, op: str) -> Any:
    """``value`` as a Python number that ``dtype`` can hold (fractions of integers are cut off); RuntimeError otherwise, TypeError for what is no number."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: the value must be a number, but got {value!r} of type {type(value).__name__}")
    kind = _dtypes.category(dtype)
    if kind == 3:
        return complex(value)
    overflow = f"{op}: value {value} cannot be converted to type {_dtypes.name(dtype)} without overflow"
    if isinstance(value, (complex, np.complexfloating)):
        if value.imag:
            raise RuntimeError(overflow)
        value = value.real
    if kind == 0:
        return bool(value)
    if kind == 1:
        if value != value or value in (float("inf"), float("-inf")):
            raise RuntimeError(overflow)
        value = int(value)
        limits = np.iinfo(dtype)
        low = -int(limits.max) if limits.min == 0 else int(limits.min)  # negative numbers wrap around in unsigned types
        if not low <= value <= int(limits.max):
            raise RuntimeError(overflow)
        return value & int(limits.max) if limits.min == 0 else value
    value = float(value)
    largest = _LARGEST.get(dtype)
    if largest is not None and largest < abs(value) < float("inf"):
        raise RuntimeError(overflow)
    return value


_LARGEST = {_dtypes.float16: 65504.0, _dtypes.bfloat16: 3.3895313892515355e38, _dtypes.float32: 3.4028234663852886e38}


def fill(dst: Any, value: Any) -> None:
    """dst[...] = value, a number or a 0-d array.  A number that dst's dtype cannot hold is a RuntimeError."""
    implementation = _on(dst)
    kind = type(value)
    if (kind is float and dst.dtype.kind == "f" and -65504.0 <= value <= 65504.0) or (
        kind is int and dst.dtype.kind in "fiu" and 0 <= value <= 127
    ):  # most frequent, and every such dtype can hold it
        implementation.fill(dst, value)
    elif hasattr(value, "dtype") and hasattr(value, "strides") and not isinstance(value, np.generic):
        if value.ndim:
            raise RuntimeError(f"fill_: only supports a 0-dimension value, but got one with {value.ndim} dimensions")
        implementation.fill(dst, cast(value, dst.dtype))
    else:
        implementation.fill(dst, _checked_number(value, dst.dtype, "fill_"))


def ramp(start: float, step: float, count: int, dtype: np.dtype, device: str = "cpu") -> Any:
    """start + i * step for i = 0 .. count - 1, in int64 if both are ints and in float64 otherwise, then cast to ``dtype``."""
    exact = np.int64 if isinstance(start, int) and isinstance(step, int) else np.float64
    implementation = _on() if device == "cpu" else _on(place(device))
    out = implementation.empty(count, dtype if exact is np.float64 and dtype == np.float32 else np.dtype(exact))
    implementation.ramp(out, exact(start), exact(step))
    return cast(out, dtype)


def normal_dim(dim: int, ndim: int) -> int:
    """``dim`` counted from the front; IndexError when there is no such dimension."""
    bound = max(ndim, 1)
    if not hasattr(dim, "__index__"):
        raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim + bound if dim < 0 else dim


def _common_dtype(arrays: Sequence[Any]) -> np.dtype:
    dtype = arrays[0].dtype
    for x in arrays:
        if x.dtype is not dtype and x.dtype != dtype:
            dtype = _dtypes.promote(dtype, x.dtype)
    return dtype


def cat(arrays: Sequence[Any], dim: int = 0) -> Any:
    """The arrays one after another along ``dim``, in their common dtype; all other sizes must agree (empty 1-d arrays are skipped)."""
    if not arrays:
        raise ValueError("cat: expected a non-empty list of tensors")
    out = _on(arrays[0]).join_few(arrays, dim)
    if out is not None:
        return out
    first = None
    for i, x in enumerate(arrays):
        if x.ndim == 0:
            raise RuntimeError(f"cat: zero-dimensional tensor (at position {i}) cannot be concatenated")
        if first is None and x.shape != (0,):
            first = x
    dtype = _common_dtype(arrays)
    implementation = _on(*arrays)
    if first is None:
        normal_dim(dim, 1)
        return implementation.empty((0,), dtype)
    dim = normal_dim(dim, first.ndim)
    shape = first.shape
    total = 0
    for i, x in enumerate(arrays):
        if x.shape == (0,):
            continue
        if x.ndim != len(shape):
            raise RuntimeError(f"cat: tensors must have same number of dimensions: got {len(shape)} and {x.ndim}")
        if x.shape != shape:
            for j, (expected, got) in enumerate(zip(shape, x.shape)):
                if j != dim and expected != got:
                    raise RuntimeError(
                        f"cat: Sizes of tensors must match except in dimension {dim}. "
                        f"Expected size {expected} but got size {got} for tensor number {i} in the list."
                    )
        total += x.shape[dim]
    out = implementation.empty((*shape[:dim], total, *shape[dim + 1 :]), dtype)
    parts = [x if x.dtype == dtype else cast(x, dtype) for x in arrays if x.shape != (0,) or len(shape) == 1]
    outer = math.prod(shape[:dim])
    if _joinable(out, parts, outer):
        implementation.join(out, parts, outer)
        return out
    before = (slice(None),) * dim
    at = 0
    for x in parts:
        n = x.shape[dim]
        implementation.move(out[before + (slice(at, at + n),)], x)
        at += n
    return out


def _joinable(out: Any, parts: list[Any], outer: int) -> bool:
    """Whether one launch for all is better than one for each: contiguous pieces that are not large, or of which the result takes some of
    each in turn, so that it is written from front to back."""
    count = len(parts)
    small = out.size <= _LARGE_PIECE * count or (outer > 1 and out.size >= _LONG_ROW * outer * count)
    return count > 1 and small and all(x.flags.c_contiguous for x in parts)


# From this many elements on, a piece is worth a launch of its own, which shares it out among the threads.
_LARGE_PIECE = 32768
# So many elements in a row of a piece make up for what it costs to change from piece to piece.
_LONG_ROW = 32


def stack(arrays: Sequence[Any], dim: int = 0) -> Any:
    """The arrays, all of one shape, along a new dimension ``dim``."""
    if not arrays:
        raise RuntimeError("stack: expected a non-empty list of tensors")
    shape = arrays[0].shape
    for i, x in enumerate(arrays):
        if x.shape != shape:
            raise RuntimeError(
                f"stack: expected each tensor to be of equal size, but got {list(shape)} at entry 0 and {list(x.shape)} at entry {i}"
            )
    dim = normal_dim(dim, len(shape) + 1)
    if dim == 0 and shape:
        out = _on(arrays[0]).join_few(arrays, 0)
        if out is not None:
            return out.reshape(len(arrays), *shape)
    dtype = _common_dtype(arrays)
    implementation = _on(*arrays)
    out = implementation.empty((*shape[:dim], len(arrays), *shape[dim:]), dtype)
    parts = [x if x.dtype is dtype else cast(x, dtype) for x in arrays]
    outer = math.prod(shape[:dim])
    if _joinable(out, parts, outer):
        implementation.join(out, parts, outer)
        return out
    before = (slice(None),) * dim
    for i, x in enumerate(parts):
        implementation.move(out[before + (i, ...)], x)  # the ellipsis keeps a 0-d place an array
    return out


def flip(x: Any, dims: Sequence[int]) -> Any:
    """``x`` with the order of elements reversed along ``dims``."""
    steps = [slice(None)] * x.ndim
    for dim in dims:
        dim = normal_dim(dim, x.ndim)
        if x.ndim:
            if steps[dim].step:
                raise RuntimeError(f"flip: dim {dim} appears multiple times in the list of dims")
            steps[dim] = slice(None, None, -1)
    return _on(x).packed(x[tuple(steps) + (...,)])


def roll(x: Any, shifts: Sequence[int], dims: Sequence[int] = ()) -> Any:
    """out[..., (i + shift) mod n, ...] = x[..., i, ...] for each of ``shifts`` and ``dims``; without ``dims``, of ``x`` taken as flat."""
    if not dims:
        if len(shifts) != 1:
            raise RuntimeError(f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
        return roll(contiguous(x).reshape(-1), shifts, (0,)).reshape(x.shape)
    if len(shifts) != len(dims):
        raise RuntimeError(f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    total = [0] * x.ndim
    for shift, dim in zip(shifts, dims):
        dim = normal_dim(dim, x.ndim)
        if x.ndim and x.shape[dim]:
            total[dim] = (total[dim] + shift) % x.shape[dim]
    implementation = _on(x)
    out = implementation.empty(x.shape, x.dtype)
    halves = [
        [(slice(None), slice(None))]
        if not shift
        else [(slice(shift, None), slice(0, n - shift)), (slice(0, shift), slice(n - shift, None))]
        for n, shift in zip(x.shape, total)
    ]
    for piece in itertools.product(*halves):
        implementation.move(out[tuple(to for to, _ in piece) + (...,)], x[tuple(source for _, source in piece) + (...,)])
    return out


def repeat(x: Any, sizes: Sequence[int]) -> Any:
    """``x`` laid side by side, sizes[j] times along dimension j; missing leading dimensions of ``x`` count as 1."""
    extra = len(sizes) - x.ndim
    if extra < 0:
        raise RuntimeError(
            f"repeat: number of dimensions of repeat dims ({len(sizes)}) can not be smaller than number of dimensions of tensor ({x.ndim})"
        )
    shape = (1,) * extra + x.shape
    if any(times < 0 for times in sizes):
        raise RuntimeError(f"repeat: trying to create tensor with negative dimension {[n * t for n, t in zip(shape, sizes)]}")
    implementation = _on(x)
    apart = tuple(v for times, n in zip(sizes, shape) for v in (times, n))
    out = implementation.empty(apart, x.dtype)
    implementation.move(out, x[(None,) * (2 * extra) + (None, slice(None)) * x.ndim + (...,)])
    return out.reshape([n * times for times, n in zip(sizes, shape)])


def _triangle(x: Any, diagonal: int, upper: bool, op: str) -> Any:
    if x.ndim < 2:
        raise RuntimeError(f"{op}: input tensor must have at least 2 dimensions, but got {x.ndim}")
    return _on(x).triangle(contiguous(x), diagonal, upper)


def tril(x: Any, diagonal: int = 0) -> Any:
    """x[..., i, j] where j - i <= diagonal, 0 elsewhere."""
    return _triangle(x, diagonal, False, "tril")


def triu(x: Any, diagonal: int = 0) -> Any:
    """x[..., i, j] where j - i >= diagonal, 0 elsewhere."""
    return _triangle(x, diagonal, True, "triu")


_MODES = {"reflect": 0, "replicate": 1, "circular": 2}


def _pairs(pads: Sequence[int], ndim: int) -> list[tuple[int, int]]:
    """(before, after) for each of ``ndim`` dimensions, from PyTorch's order, which begins with the last one."""
    if len(pads) % 2:
        raise RuntimeError(f"pad: padding length must be divisible by 2, but got {len(pads)}")
    if len(pads) > 2 * ndim:
        raise RuntimeError(
            f"pad: padding length should be less than or equal to two times the input dimension, "
            f"but got padding length {len(pads)} and input of dimension {ndim}"
        )
    pairs = [(pads[j], pads[j + 1]) for j in range(0, len(pads), 2)]
    return [(0, 0)] * (ndim - len(pairs)) + pairs[::-1]


def _padded_canonical(shape: tuple[int, ...], pads: Sequence[int], mode: str) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """The (N, D, H, W) that ``shape`` is for non-constant padding and the pairs for D, H and W, checked as PyTorch does."""
    if mode not in _MODES:
        raise NotImplementedError(f"pad: unrecognised padding mode {mode}")
    ndim, count = len(shape), len(pads) // 2
    pairs = _pairs(pads, ndim)
    if not 1 <= count <= 3 or ndim not in (count + 1, count + 2):
        raise NotImplementedError(
            f"pad: padding size {len(pads)} is not supported for {ndim}D input tensor in mode {mode}; supported are "
            "2 for 2D or 3D, 4 for 3D or 4D, and 6 for 4D or 5D input (the last 1, 2 or 3 dimensions)"
        )
    for dim in range(ndim - count, ndim):
        n, (left, right) = shape[dim], pairs[dim]
        if n == 0:
            raise RuntimeError(
                f"pad: expected non-zero sizes in the padded dimensions for mode {mode}, but got input of shape {list(shape)}"
            )
        if mode == "reflect" and (left >= n or right >= n):
            raise RuntimeError(
                f"pad: padding size should be less than the corresponding input dimension, got ({left}, {right}) at dimension {dim} "
                f"of input {list(shape)}"
            )
        if mode == "circular" and (left > n or right > n):
            raise RuntimeError(
                f"pad: padding value causes wrapping around more than once: ({left}, {right}) at dimension {dim} of {list(shape)}"
            )
        if n + left + right < 1 or (mode == "circular" and n + min(left, 0) + min(right, 0) < 1):
            raise RuntimeError(f"pad: padding ({left}, {right}) leaves nothing of dimension {dim} of input {list(shape)}")
    batch = math.prod(shape[: ndim - count])
    return (batch, *(1,) * (3 - count), *shape[ndim - count :]), ((0, 0),) * (3 - count) + tuple(pairs[ndim - count :])


def pad(x: Any, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    """``x`` extended by ``pads`` = (last dimension's before, after, the one before's before, after, ...); negative numbers crop.

    ``mode``: "constant" (with ``value``), "reflect" (without repeating the edge), "replicate" (the edge) or "circular".
    """
    if mode != "constant":
        shape, inner = _padded_canonical(x.shape, pads, mode)
        out = _on(x).pad(contiguous(x).reshape(shape), inner, _MODES[mode])
        return out.reshape([n + left + right for n, (left, right) in zip(x.shape, _pairs(pads, x.ndim))])
    pairs = _pairs(pads, x.ndim)
    result = [n + left + right for n, (left, right) in zip(x.shape, pairs)]
    for dim, n in enumerate(result):
        if n < 0:
            raise RuntimeError(f"pad: padding {pairs[dim]} makes the size of dimension {dim} of input {list(x.shape)} negative: {n}")
    implementation = _on(x)
    number = _checked_number(value, x.dtype, "pad")
    out = implementation.empty(result, x.dtype)
    inside: list[slice] = []  # of out, and what of x lies there
    source: list[slice] = []
    for n, total, (left, right) in zip(x.shape, result, pairs):
        inside.append(slice(max(left, 0), max(total - max(right, 0), max(left, 0))))
        source.append(slice(max(-left, 0), max(n - max(-right, 0), max(-left, 0))))
    if out.size <= _FILL_WHOLE:
        implementation.fill(out, number)
    else:  # only the border, which is cut into slabs that do not overlap
        for dim, (total, within) in enumerate(zip(result, inside)):
            for slab in (slice(0, within.start), slice(within.stop, total)):
                if slab.start < slab.stop:
                    implementation.fill(out[tuple(inside[:dim]) + (slab,)], number)
    implementation.move(out[tuple(inside) + (...,)], x[tuple(source) + (...,)])
    return out


# Up to this many elements, filling the whole output first is cheaper than a call for each side of the border.
_FILL_WHOLE = 65536


@through_float32
def pad_backward(g: Any, shape: tuple[int, ...], pads: Sequence[int], mode: str) -> Any:
    """The gradient of ``pad`` in a non-constant ``mode`` for an input of ``shape``: each element sums the gradients of its images."""
    canonical, pairs = _padded_canonical(shape, pads, mode)
    sizes = [n + left + right for n, (left, right) in zip(canonical[1:], pairs)]
    return _on(g).pad_backward(contiguous(g).reshape(canonical[:1] + tuple(sizes)), canonical, pairs, _MODES[mode]).reshape(shape)
