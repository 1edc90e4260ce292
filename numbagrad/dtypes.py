"""Element types: ``numbagrad.float32`` and the others, with PyTorch's names, aliases and promotion."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernels import _dtypes, elementwise


class dtype:
    """An element type.  There is one object per type, so ``is`` and ``==`` agree."""

    __slots__ = ("name", "numpy", "itemsize", "is_floating_point", "is_complex", "is_signed", "__weakref__")

    def __init__(self, name: str, numpy: np.dtype):
        self.name = name
        self.numpy = numpy
        self.itemsize = numpy.itemsize
        category = _dtypes.category(numpy)
        self.is_floating_point = category == 2
        self.is_complex = category == 3
        self.is_signed = name not in ("bool", "uint8")

    def __repr__(self) -> str:
        return f"numbagrad.{self.name}"

    def __reduce__(self) -> Any:
        return named, (self.name,)

    @property
    def title(self) -> str:
        """``Float``, ``Long``, ...: what PyTorch's error messages and tensor types call it."""
        return _dtypes.title(self.numpy)

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type."""
        return of(_dtypes.complex_dtype(self.numpy))

    def to_real(self) -> dtype:
        """The type of this type's real part."""
        return of(_dtypes.real_dtype(self.numpy))


_BY_NUMPY = {d: dtype(_dtypes.name(d), d) for d in _dtypes.ALL}
_BY_NAME = {d.name: d for d in _BY_NUMPY.values()}

bool_ = _BY_NAME["bool"]
uint8, int8, int16, int32, int64 = (_BY_NAME[n] for n in ("uint8", "int8", "int16", "int32", "int64"))
float16, bfloat16, float32, float64 = (_BY_NAME[n] for n in ("float16", "bfloat16", "float32", "float64"))
complex64, complex128 = _BY_NAME["complex64"], _BY_NAME["complex128"]
half, float_, double = float16, float32, float64
short, int_, long = int16, int32, int64
cfloat, cdouble = complex64, complex128

_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}


def named(name: str) -> dtype:
    """The dtype called ``name``."""
    return _BY_NAME[name]


def of(numpy: np.dtype) -> dtype:
    """The dtype of a NumPy dtype.  Raises TypeError for one that numbagrad does not have."""
    found = _BY_NUMPY.get(numpy)
    if found is None:
        native = numpy.newbyteorder("=")
        found = _BY_NUMPY.get(native)
        if found is None:
            raise TypeError(f"can't convert an array of type {numpy} to a tensor. The only supported types are: {', '.join(_BY_NAME)}")
    return found


def by_title(title: str) -> dtype:
    """The dtype of a tensor type's name, such as ``numbagrad.FloatTensor``.  Raises ValueError for any other name."""
    for known in _BY_NAME.values():
        if title.rpartition(".")[2] == f"{known.title}Tensor":
            return known
    raise ValueError(f"invalid type: '{title}'")


def as_dtype(value: Any, op: str = "dtype") -> dtype:
    """The dtype that ``value`` names: a dtype, a Python number type, or a NumPy dtype."""
    if type(value) is dtype:
        return value
    if value in _PYTHON:
        return _PYTHON[value]
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return of(np.dtype(value))
    raise TypeError(f"{op}: expected a numbagrad.dtype, but got {value!r} of type {type(value).__name__}")


def get_default_dtype() -> dtype:
    """The type that Python floats become."""
    return of(elementwise.default_float())


def set_default_dtype(d: dtype) -> None:
    """Let Python floats become ``d``, a floating-point dtype.  Raises TypeError for any other."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: only floating-point types are supported as the default type, but got {d!r}")
    elementwise.set_default_float(d.numpy)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that both convert to."""
    return of(_dtypes.promote(as_dtype(type1, "promote_types").numpy, as_dtype(type2, "promote_types").numpy))


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether PyTorch's casting rules allow ``from_`` to become ``to``: a category may rise but not fall."""
    from_, to = as_dtype(from_, "can_cast"), as_dtype(to, "can_cast")
    return _dtypes.category(from_.numpy) <= _dtypes.category(to.numpy) and not (
        to is bool_ and from_ is not bool_ or to is uint8 and from_.is_signed and from_ is not bool_
    )


class _Info:
    def __init__(self, d: dtype | None, kind: str):
        self.dtype = d.name if d is not None else get_default_dtype().name
        self.bits = (d or get_default_dtype()).itemsize * 8


class finfo(_Info):
    """Limits of a floating-point (or complex) dtype: min, max, eps, tiny, smallest_normal, resolution, bits."""

    def __init__(self, type: dtype | None = None):
        super().__init__(type, "f")
        d = (type or get_default_dtype()).to_real() if (type or get_default_dtype()).is_complex else (type or get_default_dtype())
        if not d.is_floating_point:
            raise TypeError(f"finfo() requires a floating point input type, but got {d!r}. Use iinfo to handle '{d.name}'")
        if d is bfloat16:
            self.max, self.eps, self.tiny = 3.3895313892515355e38, 2.0**-7, 2.0**-126
            self.resolution = 0.01
        else:
            info = np.finfo(d.numpy)
            self.max, self.eps, self.tiny = float(info.max), float(info.eps), float(info.tiny)
            self.resolution = 10.0**-info.precision
        self.min = -self.max
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        fields = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{field}={getattr(self, field):g}' for field in fields)}, dtype={self.dtype})"


class iinfo(_Info):
    """Limits of an integer dtype: min, max, bits."""

    def __init__(self, type: dtype):
        super().__init__(type, "i")
        if type.is_floating_point or type.is_complex or type is bool_:
            raise TypeError(f"iinfo() requires an integer input type, but got {type!r}")
        info = np.iinfo(type.numpy)
        self.min, self.max = int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
