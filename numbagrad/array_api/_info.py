"""Types: what there is, how they promote and convert, what they hold."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtypes
from ..devices import as_device, get_default_device
from ..tensor import Tensor

__all__ = ["__array_namespace_info__", "astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]

_NAMES = ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64", "complex64", "complex128")
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8",),
    "integral": ("int8", "int16", "int32", "int64", "uint8"),
    "real floating": ("float32", "float64", "float16", "bfloat16"),
    "complex floating": ("complex64", "complex128"),
    "numeric": ("int8", "int16", "int32", "int64", "uint8", "float32", "float64", "complex64", "complex128", "float16", "bfloat16"),
}


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """``x`` in another type; without ``copy`` ``x`` itself where it has that type.  Raises ValueError for complex numbers as real ones."""
    if x.is_complex() and not dtype.is_complex and dtype is not dtypes.bool_:
        raise ValueError(f"astype: complex numbers do not convert to {dtype!r}; take their real or imaginary part")
    return x.to(device=x.device if device is None else device, dtype=dtype, copy=copy)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether ``from_``, a type or a tensor, promotes to ``to``."""
    return dtypes.promote_types(from_.dtype if isinstance(from_, Tensor) else from_, to) is to


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether ``dtype`` is ``kind``: a type, the name of a kind ("integral", "real floating", ...) or a tuple of these.  Raises ValueError for others."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, each) for each in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"isdtype: kind must be one of {list(_KINDS)}, but got {kind!r}")
        return dtype.name in _KINDS[kind]
    return dtype is kind


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The type that tensors, types and Python numbers promote to.  Raises ValueError without a tensor or a type."""
    found, numbers = None, []
    for each in arrays_and_dtypes:
        if isinstance(each, (bool, int, float, complex)):
            numbers.append(each)
            continue
        dtype = each.dtype if isinstance(each, Tensor) else each
        found = dtype if found is None else dtypes.promote_types(found, dtype)
    if found is None:
        raise ValueError("result_type: expected at least one tensor or dtype")
    for number in numbers:
        found = with_number(found, number)
    return found


def with_number(dtype: Any, number: Any) -> Any:
    """The type of a Python number beside a tensor of type ``dtype``: a number of a higher kind lifts it."""
    if isinstance(number, complex) and not dtype.is_complex:
        return dtype.to_complex() if dtype.is_floating_point else dtypes.get_default_dtype().to_complex()
    if isinstance(number, float) and not (dtype.is_floating_point or dtype.is_complex):
        return dtypes.get_default_dtype()
    return dtypes.int64 if dtype is dtypes.bool_ and not isinstance(number, bool) else dtype


class FloatInfo(NamedTuple):
    """Limits of a floating-point type."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


class IntInfo(NamedTuple):
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: Any


def finfo(type: Any, /) -> FloatInfo:
    """The limits of a floating-point type, a complex type's parts or a tensor's type."""
    dtype = type.dtype if isinstance(type, Tensor) else type
    real = dtype.to_real() if dtype.is_complex else dtype
    found = dtypes.finfo(real)
    return FloatInfo(found.bits, found.eps, found.max, found.min, found.smallest_normal, real)


def iinfo(type: Any, /) -> IntInfo:
    """The limits of an integer type or a tensor's type."""
    dtype = type.dtype if isinstance(type, Tensor) else type
    found = dtypes.iinfo(dtype)
    return IntInfo(found.bits, found.max, found.min, dtype)


class __array_namespace_info__:
    """What the namespace can do."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean masks are indices; shapes may depend on values; any number of dimensions up to NumPy's."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        return get_default_device()

    def devices(self) -> list[Any]:
        """The CPU, and the GPUs that can be used."""
        from .. import cuda

        return [as_device("cpu"), *(as_device(f"cuda:{i}") for i in range(cuda.device_count()))]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        real = dtypes.get_default_dtype()
        return {"real floating": real, "complex floating": real.to_complex(), "integral": dtypes.int64, "indexing": dtypes.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The types of the standard, or those of a kind."""
        known = {name: dtypes.named(name) for name in _NAMES}
        return known if kind is None else {name: dtype for name, dtype in known.items() if isdtype(dtype, kind)}
