"""Copies, casts and whole-tensor writes: clone, contiguous, to, copy_, fill_."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..devices import as_device, as_gpu, device
from ..kernels import copy as kernels
from ..kernels import reduce as reduce_kernels
from ..kernels._device import device_of
from ..layouts import contiguous_format, lies_in, order_of, strides_in
from ..tensor import Tensor, wrap
from ._arguments import is_recorded
from ._attach import public
from ._inplace import check_writable, overwrite, relaid
from ._operation import differentiable

_clone = differentiable("clone", kernels.clone, x=lambda g: g)
_contiguous = differentiable("clone", kernels.contiguous, x=lambda g: g)
_cast = differentiable("to_copy", lambda x, dtype: kernels.cast(x, dtype), x=lambda g: g)  # the walk casts it back
_transfer = differentiable(
    "to_copy",
    lambda x, device, non_blocking, source: kernels.transfer(x, device, non_blocking),
    x=lambda g, non_blocking, device, source: _transfer(g, source, non_blocking, device),
)
_pin_memory = differentiable("pin_memory", lambda x: kernels.pinned(x), x=lambda g: g)
_sum_to = differentiable("sum_to_size", reduce_kernels.sum_to, x=lambda g, x_shape: g.expand(x_shape))


@public
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow.  ``memory_format``: the order of its elements in memory, else as near to ``input``'s as can be."""
    if memory_format is not None:
        order = order_of(memory_format, input.ndim, "clone")
        if order is not None:
            return relaid(input, strides_in(input.shape, order))
    if isinstance(input, Tensor) and not is_recorded(input):
        return wrap(kernels.clone(input._data))
    return _clone(input)


@public(function=False)
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor if it is row-major (or in the order ``memory_format``) without gaps, else a copy that is."""
    if memory_format is not None and memory_format is not contiguous_format:
        return _in_format(self, memory_format, "contiguous")
    data = self._data
    if data.flags.c_contiguous:
        return self
    return _contiguous(self) if is_recorded(self) else wrap(kernels.contiguous(data))


def _in_format(x: Tensor, memory_format: Any, op: str) -> Tensor:
    """``x`` if its elements lie in memory as ``memory_format`` says, else a copy whose elements do."""
    order = order_of(memory_format, x.ndim, op)
    if order is None or lies_in(x._data.shape, x._data.strides, x.itemsize, order):
        return x
    return relaid(x, strides_in(x.shape, order))


@public(function=False)
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions in which ``size`` was broadcast to this shape.  Raises RuntimeError where ``size`` does not broadcast to it."""
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)
    return self if tuple(self.shape) == shape else _sum_to(self, shape)


def _cast_gradient(self: Tensor, dtype: Any) -> Tensor:
    """A gradient in its input's dtype: of a complex gradient for a real input, the real part."""
    if self._data.dtype.kind == "c" and dtype.kind != "c":
        return self.real._cast_gradient(dtype)  # type: ignore[attr-defined]
    return self if self._data.dtype == dtype else _cast(self, dtype)


Tensor._cast_gradient = _cast_gradient  # type: ignore[attr-defined]


@public(function=False)
def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """This tensor in another dtype and/or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    Returns the tensor itself when nothing changes and ``copy`` is False.  With ``non_blocking`` a copy between a GPU and pinned memory is left to the
    GPU's current stream; the one that comes to the host is not there before the stream is synchronised.

    Raises RuntimeError, which says what is missing, for a device that cannot be used.
    """
    for value in args:
        if isinstance(value, Tensor):
            dtype, device = value.dtype, value.device
        elif isinstance(value, bool):
            non_blocking = value
        elif isinstance(value, (str, int)) or type(value) is _device_type:
            device = value
        elif value is not None:
            dtype = value
    result = self
    if dtype is not None:
        target = dtypes.as_dtype(dtype, "to").numpy
        if self._data.dtype != target:
            result = _cast(self, target)
    if device is not None:
        here, there = device_of(self._data), str(as_device(device, "to"))
        if here != there:
            result = _transfer(result, there, non_blocking, here)
    if memory_format is not None:
        result = _in_format(result, memory_format, "to")
    return _clone(self) if copy and result is self else result


_device_type = device


@public(function=False, name="type")
def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of this tensor's type, or the tensor in another dtype; the name of a type says the device too: the CPU, or a GPU with "cuda." in it."""
    if dtype is None:
        return f"numbagrad.{'cuda.' if self.is_cuda else ''}{self.dtype.title}Tensor"
    place: Any = self.device
    if isinstance(dtype, str):
        kind = "cuda" if dtype.startswith("numbagrad.cuda.") else "cpu"
        place, dtype = place if place.type == kind else kind, dtypes.by_title(dtype)
    elif isinstance(getattr(dtype, "dtype", None), dtypes.dtype):  # LongTensor and its kin
        place, dtype = "cpu", dtype.dtype
    elif not isinstance(dtype, (dtypes.dtype, type)):
        raise TypeError(f"type(): dtype must be a type, str, or dtype object, not {type(dtype).__name__}")
    return to(self, place, dtype, non_blocking)


@public(function=False)
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor in the dtype of ``other``, and on its device."""
    return to(self, other)


def _converter(name: str, dtype: dtypes.dtype) -> None:
    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, dtype, memory_format=memory_format)

    convert.__name__ = name
    convert.__doc__ = f"This tensor as {dtype!r}."
    public(convert, name=name, function=False)


for _name, _dtype in (
    ("float", dtypes.float32), ("double", dtypes.float64), ("half", dtypes.float16), ("bfloat16", dtypes.bfloat16), ("int", dtypes.int32),
    ("long", dtypes.int64), ("short", dtypes.int16), ("char", dtypes.int8), ("byte", dtypes.uint8), ("bool", dtypes.bool_),
    ("cfloat", dtypes.complex64), ("cdouble", dtypes.complex128),
):  # fmt: skip
    _converter(_name, _dtype)


@public(function=False)
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor on the CPU."""
    return to(self, device="cpu", memory_format=memory_format)


@public(function=False)
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """This tensor on a GPU, the current one unless ``device`` says which.  Raises RuntimeError where there is none, and for a device that is no GPU."""
    return to(self, device=as_gpu(device), non_blocking=non_blocking, memory_format=memory_format)


@public(function=False)
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in page-locked memory of the host, from and to which a GPU copies without its help (see ``to``); itself if it lies there.

    Raises RuntimeError where there is no GPU, and for a tensor on one.
    """
    return self if kernels.is_pinned(self._data) else _pin_memory(self)


@public(function=False)
def record_stream(self: Tensor, stream: Any) -> None:
    """Note that ``stream`` uses this tensor's memory: once it is freed, it is not handed out again before the stream has done what it was given.

    Raises NotImplementedError for a tensor of the CPU.
    """
    if not self.is_cuda:
        raise NotImplementedError("record_stream: expected a tensor on a GPU, but got one on cpu")
    self._data.allocation.record_stream(stream)


@public(function=False)
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether this tensor lies in page-locked memory of the host."""
    return kernels.is_pinned(self._data)


@public(function=False)
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite with ``src``, broadcast and cast."""
    if isinstance(src, (bool, int, float, complex)):
        return fill_(self, src)
    if not isinstance(src, Tensor):
        raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {src.__class__.__name__}")
    return overwrite(self, src, "copy_")


@public(method=False)
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like ``input`` with ``value``, a number or a 0-d tensor, everywhere."""
    return fill_(clone(input), value)


@public
def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite every element with a number or a 0-d tensor."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
        return overwrite(self, value, "fill_")
    recorded = self.requires_grad
    check_writable(self, "fill_", uniform=not recorded)
    kernels.fill(self._data, value)
    self._bump()
    if recorded:
        from ..autograd.mode import state
        from ._inplace import rebase

        if state.recording:
            rebase(self, self.detach())
    return self


@public
def zero_(self: Tensor) -> Tensor:
    """Overwrite with zeros."""
    return fill_(self, 0)
