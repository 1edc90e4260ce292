"""Copies and casts on CUDA: what is one run of bytes is the driver's to copy; the rest is the formula y = x, elementwise, over strides of any kind.

Where the source's unit stride lies in another dimension than the destination's, ``_transpose`` brings tiles through shared memory.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cuda import transfer
from .._cuda.array import CudaArray, empty, zeros
from .._device import device_of, on_cpu
from ..elementwise import elementwise
from . import _cuda_fill, _cuda_transpose, _fill
from ._cuda_fill import ramp, triangle
from ._cuda_pad import pad, pad_backward

__all__ = [
    "assign", "convert", "empty", "fill", "join", "join_few", "move", "overlap", "packed", "pad", "pad_backward", "ramp", "triangle", "zeros",
]  # fmt: skip

# Elements are moved as integers of their size, whatever they are; 128 bits are complex numbers, which move bit for bit as well.
_CARRIERS = {1: _dtypes.uint8, 2: _dtypes.int16, 4: _dtypes.int32, 8: _dtypes.int64, 16: _dtypes.complex128}


@elementwise(result="same", accepts="bifc")
def _same(x):
    """x"""
    return x


@elementwise(result="bool")
def _either(a, b):
    """a or b is not zero"""
    return (a != 0) | (b != 0)


def move(dst: CudaArray, src: CudaArray) -> None:
    """dst[...] = src, ``src`` of the same dtype and of a shape that broadcasts to dst's.  The memory must not overlap."""
    if dst.size == 0:
        return
    if dst.shape != src.shape:
        src = _expanded(src, dst.shape)
    if dst.flags.c_contiguous and src.flags.c_contiguous:
        transfer.copy(dst, src)
    elif not _cuda_transpose.transposed(dst, src):
        carrier = _CARRIERS[dst.itemsize]
        _same(src.view(carrier), out=(dst.view(carrier),))


def _expanded(x: CudaArray, shape: tuple[int, ...]) -> CudaArray:
    """``x`` broadcast to ``shape``, as a view."""
    steps = [0] * (len(shape) - x.ndim) + [0 if n == 1 else stride for n, stride in zip(x.shape, x.strides)]
    return x.as_strided(shape, steps)


def packed(x: CudaArray) -> CudaArray:
    """A new C-contiguous array with the elements of ``x``."""
    out = empty(x.shape, x.dtype)
    move(out, x)
    return out


def convert(x: CudaArray, dtype: np.dtype) -> CudaArray:
    """``x``, C-contiguous, as a new contiguous array of ``dtype``."""
    source = x.dtype
    out = empty(x.shape, dtype)
    if not x.size:
        return out
    if dtype in _dtypes.COMPLEXES and source not in _dtypes.COMPLEXES:
        _same(x, out=(out.real,))
        fill(out.imag, 0)
    elif source in _dtypes.COMPLEXES and dtype == _dtypes.bool_:
        _either(x.real, x.imag, out=(out,))
    elif source in _dtypes.COMPLEXES and dtype not in _dtypes.COMPLEXES:
        _same(x.real, out=(out,))
    else:
        _same(x, out=(out,))
    return out


def assign(dst: Any, src: Any) -> bool:
    """dst[...] = src where one copy of bytes does it, or where the two lie on different devices: True; False where it is neither."""
    if device_of(dst) == device_of(src):
        return False
    from . import cast, copy_into
    from . import transfer as moved

    if src.ndim == 0 and on_cpu(src):
        fill(dst, cast(src, dst.dtype))
        return True
    src = cast(src, dst.dtype)
    if dst.shape == src.shape and dst.flags.c_contiguous and src.flags.c_contiguous:
        transfer.copy(dst, src)
    else:
        copy_into(dst, moved(src, device_of(dst)))
    return True


def overlap(a: CudaArray, b: CudaArray) -> bool:
    """Whether the address ranges of two arrays meet."""
    return a.overlaps(b)


def fill(dst: CudaArray, value: Any) -> None:
    """dst[...] = value, a number that ``dst``'s dtype can hold or a 0-d array of that dtype, of the device or the host."""
    if not dst.size:
        return
    if isinstance(value, CudaArray):
        move(dst, value)
        return
    element = value if isinstance(value, np.ndarray) else _fill.number(value, dst.dtype)
    if dst.flags.c_contiguous:
        _cuda_fill.fill_contiguous(dst, element)
    else:
        one = empty((), dst.dtype)
        _cuda_fill.fill_contiguous(one, element)
        move(dst, one)


def join_few(arrays: Sequence[CudaArray], dim: int) -> CudaArray | None:
    """None: there is no quicker way for few elements."""
    return None


def join(out: CudaArray, arrays: Sequence[CudaArray], outer: int) -> None:
    """Write contiguous ``arrays``, each ``outer`` rows of some width, side by side into ``out``, ``outer`` rows of their summed width."""
    if not out.size:
        return
    rows = out.reshape(outer, -1)
    at = 0
    for x in arrays:
        width = x.size // outer
        move(rows[:, at : at + width], x.reshape(outer, width))
        at += width
