"""Functions that make tensors: from data, filled, ranges, and like other tensors."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from . import dtypes
from ._sequences import cast_values, from_sequence
from .devices import as_device, cpu, device, of_array
from .kernels import _dtypes
from .kernels import copy as copy_kernels
from .kernels._cpu import empty as cpu_empty
from .kernels._device import cuda_door, on_cpu
from .kernels.copy.strided import reaching, span
from .layouts import order_of
from .ops._out import into
from .ops.views import only_size, sizes_of
from .size import Size
from .tensor import Tensor, wrap

__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "logspace",
    "ones", "ones_like", "range", "scalar_tensor", "tensor", "zeros", "zeros_like", "empty_permuted", "empty_strided", "frombuffer",
]  # fmt: skip


def _finish(data: Any, requires_grad: bool) -> Tensor:
    made = wrap(data)
    return made.requires_grad_() if requires_grad else made


def _given(out: Tensor | None, result: Tensor) -> Tensor:
    """``result``, written into ``out`` if there is one."""
    return result if out is None else into(out, result)


def _dtype_of(out: Tensor | None, dtype: Any, default: np.dtype | None = None) -> np.dtype:
    """The dtype to compute in: that of ``out``, if there is one, with which ``dtype`` has to agree (RuntimeError)."""
    if out is None:
        return _numpy_dtype(dtype, default)
    if dtype is not None and dtypes.as_dtype(dtype) is not out.dtype:
        raise RuntimeError(f"dtype {dtypes.as_dtype(dtype).title} does not match dtype of out parameter ({out.dtype.title})")
    return out._data.dtype


def _allocate(shape: Sequence[int], dtype: np.dtype, place: device) -> Any:
    """An uninitialised array on a device that ``as_device`` has checked."""
    return cpu_empty(tuple(shape), dtype) if place is cpu else copy_kernels.empty(shape, dtype, str(place))


def _placed(array: Any, place: device, pin_memory: bool = False) -> Any:
    """``array`` on ``place``."""
    array = copy_kernels.pinned(array) if pin_memory else array
    return array if place is cpu and on_cpu(array) else copy_kernels.transfer(array, str(place))


def _numpy_dtype(dtype: Any, default: np.dtype | None = None) -> np.dtype:
    if dtype is None:
        return default if default is not None else dtypes.get_default_dtype().numpy
    return dtypes.as_dtype(dtype).numpy


def _to_array(data: Any, dtype: Any, op: str) -> np.ndarray:
    """``data`` (numbers, nested sequences, arrays, tensors) as an array of its own."""
    if isinstance(data, Tensor):
        return copy_kernels.clone(data._data) if dtype is None else copy_kernels.cast(copy_kernels.clone(data._data), _numpy_dtype(dtype))
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.array(data, order="C")
        dtypes.of(array.dtype)  # a dtype we have
        array = array.astype(array.dtype.newbyteorder("="))
    else:
        array = from_sequence(data, op, dtype is not None)
        if array.dtype.kind == "c" and dtype is not None and _numpy_dtype(dtype).kind not in "cb":
            raise TypeError(f"{op}: must be real number, not complex")
    if dtype is not None:
        return cast_values(array, _numpy_dtype(dtype), op)
    return array


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor with a copy of ``data``: a number, nested sequences of numbers, an array or a tensor.

    Without ``dtype``: bool, int64, the default float or its complex for Python numbers; their own for arrays, NumPy's numbers and tensors, which in a
    sequence are promoted together and must be of one element if they are tensors.  Raises ValueError for ragged
    sequences, TypeError for what holds no numbers, RuntimeError for a value that the dtype cannot hold.
    """
    if device is None and isinstance(data, Tensor):
        device = data.device
    array = _to_array(data, dtype, "tensor")
    return _finish(_placed(array, as_device(device, "tensor"), pin_memory), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where it can: that of an array, or of an object with ``__cuda_array_interface__``."""
    if not isinstance(data, Tensor):
        if isinstance(data, np.ndarray):
            data = from_numpy(data)
        elif hasattr(data, "__cuda_array_interface__"):
            data = wrap(cuda_door("array").foreign(data))
        else:
            return tensor(data, dtype=dtype, device=device)
    return data.to(device, dtype)  # type: ignore[attr-defined]


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False) -> Tensor:
    """``obj`` as a tensor, sharing memory where it can unless ``copy``."""
    made = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    return made.requires_grad_() if requires_grad else made


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor that shares the memory of an array.  A read-only, byte-swapped or negatively strided array is copied or refused as noted.

    Raises TypeError for what is not an array or has a dtype that tensors lack, ValueError for negative strides.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    dtypes.of(ndarray.dtype)
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported."
        )
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. "
            "(You can probably work around this by making a copy of your array with array.copy().)"
        )
    if type(ndarray) is not np.ndarray:
        ndarray = ndarray.view(np.ndarray)
    if not ndarray.flags.writeable or not ndarray.flags.aligned:
        ndarray = ndarray.copy()  # a tensor must be writable; sharing memory that must not be written would be a trap
    return wrap(ndarray)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor that shares the memory of any object with ``__dlpack__``, on the CPU or a GPU."""
    if ext_tensor.__dlpack_device__()[0] in _DLPACK_CUDA:
        return wrap(cuda_door("dlpack").imported(ext_tensor))
    return from_numpy(np.from_dlpack(ext_tensor))


_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-D tensor over an object with the buffer interface (copied if it is read-only)."""
    return _finish(from_numpy(np.frombuffer(buffer, _numpy_dtype(dtype), count, offset))._data, requires_grad)


def _filled(shape: Sequence[int], value: Any, dtype: np.dtype, place: device) -> Any:
    out = _allocate(shape, dtype, place)
    copy_kernels.fill(out, value)
    return out


def _checked(size: Sequence[Any], op: str, named: dict[str, Any] | None = None) -> tuple[int, ...]:
    """The shape from sizes given one by one, as a sequence, or by the name ``size`` among ``named``."""
    whole = only_size(named, op) if named else None
    if whole is not None:
        if size:
            raise TypeError(f"{op}() got multiple values for argument 'size'")
        size = (whole,)
    shape = sizes_of(size, op)
    if any(s < 0 for s in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    return shape


def empty(
    *size: Any,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
    **named: Any,
) -> Tensor:
    """An uninitialised tensor."""
    shape, place = _checked(size, "empty", named), as_device(device, "empty")
    order = order_of(memory_format, len(shape), "empty")
    made = _ordered(shape, order, _dtype_of(out, dtype), place)
    return _given(out, _finish(copy_kernels.pinned(made) if pin_memory else made, requires_grad))


def _ordered(shape: Sequence[int], order: Sequence[int] | None, dtype: np.dtype, place: device) -> Any:
    """An uninitialised array whose dimensions lie in memory in ``order``, outermost first."""
    if order is None:
        return _allocate(shape, dtype, place)
    back = sorted(_count(len(order)), key=order.__getitem__)
    return _allocate([shape[i] for i in order], dtype, place).transpose(back)


_count = range  # whose name is a function's here


def empty_permuted(
    size: Any, physical_layout: Sequence[int], *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """An uninitialised tensor whose dimensions lie in memory in the order ``physical_layout``, outermost first.

    Raises RuntimeError where that is no order of the dimensions.
    """
    shape, order = _checked((size,), "empty_permuted"), tuple(physical_layout)
    if len(order) != len(shape):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(shape)} is not equal to "
            f"len(physical_layout) = {len(order)}"
        )
    for k, dim in enumerate(order):
        if not 0 <= dim < len(shape):
            raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(shape) - 1}, but got {dim} at index {k})")
        if dim in order[:k]:
            raise RuntimeError("Duplicate dim not allowed")
    return _finish(_ordered(shape, order, _numpy_dtype(dtype), as_device(device, "empty_permuted")), requires_grad)


def zeros(
    *size: Any, out: Tensor | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
) -> Tensor:
    """A tensor of zeros."""
    return _given(
        out, _finish(_filled(_checked(size, "zeros", named), 0, _dtype_of(out, dtype), as_device(device, "zeros")), requires_grad)
    )


def ones(*size: Any, out: Tensor | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
    """A tensor of ones."""
    return _given(out, _finish(_filled(_checked(size, "ones", named), 1, _dtype_of(out, dtype), as_device(device, "ones")), requires_grad))


def full(
    size: Any, fill_value: Any, *, out: Tensor | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor filled with a number, whose kind gives the dtype if none is given."""
    place = as_device(device, "full")
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if isinstance(value, (int, np.integer)):
        inferred: np.dtype | None = np.dtype(np.bool_ if isinstance(value, bool) else np.int64)
    else:
        inferred = dtypes.get_default_dtype().to_complex().numpy if isinstance(value, complex) else None
    shape = _checked((size if isinstance(size, int) else tuple(size),), "full")
    return _given(out, _finish(_filled(shape, value, _dtype_of(out, dtype, inferred), place), requires_grad))


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor in the default dtype."""
    return full((), s, dtype=dtype or dtypes.get_default_dtype(), device=device, requires_grad=requires_grad)


def _like(op: str, fill: Any) -> Any:
    def make(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
        place = None if device is None else as_device(device, op)
        if not isinstance(input, Tensor):
            raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        out = _allocate_like(input._data, _numpy_dtype(dtype, input._data.dtype), place, memory_format, op)
        if fill is not None:
            copy_kernels.fill(out, fill)
        return _finish(out, requires_grad)

    make.__name__ = make.__qualname__ = op
    make.__doc__ = f"``{op.removesuffix('_like')}`` with the shape, dtype, device and dense layout of ``input``."
    return make


def _allocate_like(x: Any, dtype: np.dtype, place: device | None, memory_format: Any, op: str) -> Any:
    """An array in ``memory_format``, else laid out as ``x`` if ``x`` is dense, else row-major; on the device of ``x`` unless ``place`` says another."""
    if place is None:
        place = of_array(x)
    order: Sequence[int] | None = None if memory_format is None else order_of(memory_format, x.ndim, op)
    if order is None and not x.flags.c_contiguous:
        order = copy_kernels.dense_order(x)
    return _ordered(x.shape, order, dtype, place)


empty_like, zeros_like, ones_like = _like("empty_like", None), _like("zeros_like", 0), _like("ones_like", 1)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    """``full`` with the shape, dtype and device of ``input``."""
    place = None if device is None else as_device(device, "full_like")
    if not isinstance(input, Tensor):
        raise TypeError(f"full_like(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    out = _allocate_like(input._data, _numpy_dtype(dtype, input._data.dtype), place, memory_format, "full_like")
    copy_kernels.fill(out, fill_value.item() if isinstance(fill_value, Tensor) else fill_value)
    return _finish(out, requires_grad)


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """An uninitialised tensor with the given strides, in elements.  Raises RuntimeError where there are not as many as sizes."""
    target = _numpy_dtype(dtype)
    if len(size) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(size)}) must match dimensionality of strides ({len(stride)})")
    base = _allocate((span(size, stride)[1],), target, as_device(device, "empty_strided"))
    return _finish(reaching(base, size, stride, 0), requires_grad)


def arange(
    *args: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``arange(end)``, ``arange(start, end, step)``: start, start + step, ... below (step > 0) or above end.

    Raises RuntimeError for a step of 0, or in the wrong direction, and ends that are not finite; ValueError for a step that is 0 as the integer of ``out``.
    """
    place = as_device(device, "arange")
    start, end, step, *given = [a.item() if isinstance(a, (Tensor, np.generic)) else a for a in (start, end, step, *args)]
    if len(given) == 1:
        end = given[0] if end is None else end
        start = start if given[0] is end or start is not None else given[0]
    elif given:
        start, end, *rest = given
        step = rest[0] if rest else step
    start, step = 0 if start is None else start, 1 if step is None else step
    for name, value in (("start", start), ("end", end), ("step", step)):
        if not isinstance(value, (bool, int, float)):
            raise TypeError(f"arange(): argument '{name}' must be Number, not {type(value).__name__}")
    if step == 0:
        raise RuntimeError("step must be nonzero")
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, float) and not math.isfinite(value):
            raise RuntimeError(f"unsupported range: {start} -> {end} ({name} is not finite)")
    if (step > 0 and end < start) or (step < 0 and end > start):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(v, int) for v in (start, end, step))
    target = _dtype_of(out, dtype, np.dtype(np.int64) if whole else None)
    if out is not None and target.kind in "iu" and int(step) == 0:
        raise ValueError("step must be nonzero")
    count = max(0, -(-(end - start) // step)) if whole else max(0, math.ceil((end - start) / step))
    start, step = (int(start), int(step)) if whole else (float(start), float(step))
    return _given(out, _finish(copy_kernels.ramp(start, step, count, target, str(place)), requires_grad))


def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to ``end`` inclusive, in the default dtype.  As in PyTorch on its way out: prefer ``arange``.

    Raises RuntimeError for a step of 0 or in the wrong direction.
    """
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (step > 0 and end < start) or (step < 0 and end > start):
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = math.floor((end - start) / step) + 1
    values = copy_kernels.ramp(float(start), float(step), count, _dtype_of(out, dtype), str(as_device(device, "range")))
    return _given(out, _finish(values, requires_grad))


def _between(start: Any, end: Any, steps: Any, op: str) -> np.ndarray:
    """``steps`` numbers from ``start`` to ``end``, in float64 or complex128."""
    if not hasattr(steps, "__index__"):
        raise TypeError(f"{op}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    for value in (start, end):
        if isinstance(value, Tensor) and value.ndim:
            raise RuntimeError(f"{op} only supports 0-dimensional start and end tensors, but got one of {value.ndim} dimension(s)")
    first, last = [v.item() if isinstance(v, Tensor) else v for v in (start, end)]
    return np.linspace(first, last, steps)


def _spaced(values: np.ndarray, out: Tensor | None, dtype: Any, place: device, requires_grad: bool) -> Tensor:
    complex_default = _dtypes.complex_dtype(dtypes.get_default_dtype().numpy)
    target = _dtype_of(out, dtype, complex_default if values.dtype.kind == "c" else None)
    return _given(out, _finish(_placed(copy_kernels.cast(values, target), place), requires_grad))


def linspace(
    start: Any, end: Any, steps: int, *, out: Tensor | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` values from ``start`` to ``end`` inclusive, evenly spaced.  Raises RuntimeError for negative ``steps`` and ends that are no scalars."""
    return _spaced(_between(start, end, steps, "linspace"), out, dtype, as_device(device, "linspace"), requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the powers ``linspace(start, end, steps)``.  Errors as of ``linspace``."""
    values = np.power(base, _between(start, end, steps, "logspace"))
    return _spaced(values, out, dtype, as_device(device, "logspace"), requires_grad)


def eye(
    n: int, m: int | None = None, *, out: Tensor | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The n x m matrix with ones on the diagonal."""
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {min(n, m)}")
    made = zeros(n, m, dtype=dtypes.of(_dtype_of(out, dtype)), device=device)
    if min(n, m):
        copy_kernels.fill(made.diagonal()._data, 1)  # type: ignore[attr-defined]
    return _given(out, made.requires_grad_() if requires_grad else made)


# ---- as methods: new_zeros and the others, and Tensor(...) -----------------------------------------------------------------------


def _new(op: str, function: Any) -> None:
    def method(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
        device = self.device if device is None else device
        return function(*args, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad, **named)

    method.__name__ = f"new_{op}"
    method.__doc__ = f"``{op}`` in this tensor's dtype, on its device."
    setattr(Tensor, f"new_{op}", method)


for _op, _function in (
    ("zeros", zeros),
    ("ones", ones),
    ("empty", empty),
    ("full", full),
    ("tensor", tensor),
    ("empty_strided", empty_strided),
):
    _new(_op, _function)


def _construct(*args: Any, dtype: Any = None, device: Any = None) -> Tensor:
    if len(args) == 1 and isinstance(args[0], (bool, float, complex)):
        raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        return tensor(args[0], dtype=dtype or dtypes.get_default_dtype(), device=device)
    return empty(*args, dtype=dtype, device=device) if args else empty(0, dtype=dtype, device=device)


Tensor._construct = staticmethod(_construct)  # type: ignore[method-assign]
