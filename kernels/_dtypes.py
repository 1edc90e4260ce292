"""The element types, as NumPy dtypes, and how they promote (PyTorch's lattice).

``bfloat16`` has no NumPy type; it is a one-field structured dtype over 16-bit storage, so an array always carries its own dtype.
Both 16-bit floats are stored as such and computed in float32.
"""

from __future__ import annotations

import numpy as np

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{bits}") for bits in (16, 32, 64))
bfloat16 = np.dtype([("bfloat16", "<u2")])
complex64, complex128 = np.dtype(np.complex64), np.dtype(np.complex128)

INTEGERS = (uint8, int8, int16, int32, int64)
HALVES = (float16, bfloat16)
FLOATS = (float16, bfloat16, float32, float64)
COMPLEXES = (complex64, complex128)
ALL = (bool_, *INTEGERS, *FLOATS, *COMPLEXES)

NAMES = {d: d.name for d in ALL if d is not bfloat16} | {bfloat16: "bfloat16"}


def name(dtype: np.dtype) -> str:
    """``float32``, ``bfloat16``, ...: the name users know."""
    return NAMES.get(dtype) or str(dtype)


_TITLES = {
    bool_: "Bool", uint8: "Byte", int8: "Char", int16: "Short", int32: "Int", int64: "Long", float16: "Half", bfloat16: "BFloat16",
    float32: "Float", float64: "Double", complex64: "ComplexFloat", complex128: "ComplexDouble",
}  # fmt: skip


def title(dtype: np.dtype) -> str:
    """``Float``, ``Long``, ...: the name that PyTorch's error messages and tensor types use."""
    return _TITLES[dtype]


def category(dtype: np.dtype) -> int:
    """0 bool, 1 integer, 2 floating, 3 complex: the order in which kinds of numbers promote."""
    if dtype == bool_:
        return 0
    if dtype in INTEGERS:
        return 1
    if dtype in FLOATS:
        return 2
    if dtype in COMPLEXES:
        return 3
    raise TypeError(f"numbagrad has no dtype {dtype}")


def is_floating(dtype: np.dtype) -> bool:
    return category(dtype) == 2


# Gradients exist for floating and complex arrays only.
DIFFERENTIABLE = frozenset(d for d in ALL if d.kind in "fcV")  # V: bfloat16


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """The type that arithmetic on ``dtype`` is done in: float32 for the 16-bit floats, itself otherwise."""
    return float32 if dtype in HALVES else dtype


def real_dtype(dtype: np.dtype) -> np.dtype:
    """The type of the real part: float32 for complex64, float64 for complex128, itself otherwise."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


def complex_dtype(dtype: np.dtype) -> np.dtype:
    """The complex type whose parts are ``dtype``."""
    if dtype in COMPLEXES:
        return dtype
    return complex128 if dtype == float64 else complex64


def promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """The smallest type both convert to, as ``torch.promote_types``.  Integers yield to floats whatever their width."""
    if a == b:
        return a
    low, high = sorted((category(a), category(b)))
    if category(a) == high > low:
        winner, other = a, b
    elif category(b) == high > low:
        winner, other = b, a
    elif {a, b} == {float16, bfloat16}:
        return float32
    elif high == 1:  # two integers: uint8 with a signed type needs the next wider one
        return np.promote_types(a, b)
    elif high == 2:
        return a if a.itemsize > b.itemsize else b
    else:
        return complex128
    if high == 3 and low == 2 and other == float64:
        return complex128
    return winner
