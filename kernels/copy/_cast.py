"""Conversion between element types, contiguous array to contiguous array.

One streaming loop per pair of types, bound by memory bandwidth.  The 16-bit floats are converted on their bit patterns, so the same
code runs on hosts without half-precision instructions, and only from and to float32: every other pair goes through it, as in PyTorch.
"""

from __future__ import annotations

import numpy as np

from .. import _dtypes
from .._cpu import empty, kernel, launch, u
from .._cpu.half import bfloat16_to_float32, float16_to_float32, float32_to_bfloat16, float32_to_float16
from ._move import CARRIERS, is_small


@kernel
def _convert(lo, hi, out, x):
    for i in range(lo, hi):
        out[u(i)] = x[u(i)]


@kernel
def _convert_narrow(lo, hi, out, x):
    """Floating to an integer narrower than 32 bits: through int32, whose low bits are kept, so -1.0 becomes 255 as uint8."""
    for i in range(lo, hi):
        out[u(i)] = np.int32(x[u(i)])


@kernel
def _nonzero(lo, hi, out, x):
    zero = x.dtype.type(0)
    for i in range(lo, hi):
        out[u(i)] = x[u(i)] != zero  # NaN differs from zero: it is True


@kernel
def _nonzero_complex(lo, hi, out, x):
    """``x`` holds real and imaginary parts in turn."""
    zero = x.dtype.type(0)
    for i in range(lo, hi):
        out[u(i)] = (x[u(2 * i)] != zero) | (x[u(2 * i + 1)] != zero)


@kernel
def _to_complex(lo, hi, out, x):
    zero = out.dtype.type(0)
    for i in range(lo, hi):
        out[u(2 * i)] = x[u(i)]
        out[u(2 * i + 1)] = zero


@kernel
def _real_part(lo, hi, out, x):
    for i in range(lo, hi):
        out[u(i)] = x[u(2 * i)]


@kernel
def _widen(lo, hi, out, x):
    """bfloat16 bits to float32."""
    for i in range(lo, hi):
        out[u(i)] = bfloat16_to_float32(x[u(i)])


@kernel
def _widen_float16(lo, hi, out, x):
    for i in range(lo, hi):
        out[u(i)] = float16_to_float32(x[u(i)])


@kernel
def _narrow(lo, hi, out, x):
    """Real numbers, as float32, to bfloat16 bits."""
    for i in range(lo, hi):
        out[u(i)] = float32_to_bfloat16(x[u(i)])


@kernel
def _narrow_float16(lo, hi, out, x):
    for i in range(lo, hi):
        out[u(i)] = float32_to_float16(x[u(i)])


# Of which kinds NumPy converts few elements: to whom there is but one way to convert them, and nothing to warn of.
_EXACT = {
    _dtypes.float64: "biuf",
    _dtypes.float32: "biu",
    _dtypes.int64: "biu",
    _dtypes.int32: "biu",
    _dtypes.bool_: "biuf",
}


def convert(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``x``, C-contiguous and writable, as a new contiguous array of ``dtype``."""
    source = x.dtype
    if source in _dtypes.HALVES and dtype != np.float32 and dtype != np.float64:
        return convert(convert(x, _dtypes.float32), dtype)
    if dtype in _dtypes.HALVES and source in _dtypes.COMPLEXES:
        return convert(convert(x, _dtypes.float32), dtype)
    if is_small(x) and source.kind in _EXACT.get(dtype, ""):
        return x.astype(dtype)
    out = empty(x.shape, dtype)
    n = x.size
    if n == 0:
        return out
    to, flat = out.reshape(-1), x.reshape(-1)
    if dtype in _dtypes.HALVES:
        flat = flat.view(np.uint8) if source == np.bool_ else flat
        launch(_narrow if dtype == _dtypes.bfloat16 else _narrow_float16, n, to.view(np.uint16), flat, work=n)
    elif source in _dtypes.HALVES:
        launch(_widen if source == _dtypes.bfloat16 else _widen_float16, n, to, flat.view(np.uint16), work=n)
    else:
        _convert_standard(to, flat, n)
    return out


def _convert_standard(to: np.ndarray, x: np.ndarray, n: int) -> None:
    """Every pair without 16-bit floats.  Booleans are read and written as bytes of 0 and 1."""
    target, source = to.dtype, x.dtype
    if source == np.bool_:
        x = x.view(np.uint8)
    if target == np.bool_:
        if source in _dtypes.COMPLEXES:
            launch(_nonzero_complex, n, to.view(np.uint8), x.view(_dtypes.real_dtype(source)), work=n)
        else:
            launch(_nonzero, n, to.view(np.uint8), x, work=n)
    elif target in _dtypes.COMPLEXES and source in _dtypes.COMPLEXES:
        part, whole = _dtypes.real_dtype(source), _dtypes.real_dtype(target)
        launch(_convert, 2 * n, to.view(whole), x.view(part), work=2 * n)
    elif target in _dtypes.COMPLEXES:
        launch(_to_complex, n, to.view(_dtypes.real_dtype(target)), x, work=n)
    elif source in _dtypes.COMPLEXES:
        part = _dtypes.real_dtype(source)
        if target == part:
            launch(_real_part, n, to, x.view(part), work=n)
        else:
            middle = empty(n, part)
            launch(_real_part, n, middle, x.view(part), work=n)
            _convert_standard(to, middle, n)
    elif target.itemsize == source.itemsize and target.kind in "iu" and source.kind in "iub":
        carrier = CARRIERS[target.itemsize]  # the same width: the bits are kept
        launch(_convert, n, to.view(carrier), x.view(carrier), work=n)
    elif source.kind == "f" and target.itemsize < 4:
        launch(_convert_narrow, n, to, x, work=n)
    else:
        launch(_convert, n, to, x, work=n)
