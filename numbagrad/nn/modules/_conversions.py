"""Modules on another device or of another dtype."""

from __future__ import annotations

from typing import Any, Callable

from ... import dtypes
from ...autograd.mode import no_grad
from ...creation import empty_like
from ...devices import as_device, as_gpu
from ...tensor import Tensor
from ..parameter import is_lazy


class Conversions:
    """The part of Module that moves and casts a tree of modules, in place: every method returns the module."""

    _parameters: Any
    _buffers: Any
    children: Any

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Replace the storage of every parameter, gradient and buffer by ``fn`` of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for p in self._parameters.values():
                if p is not None:
                    p.data = fn(p.detach())
                    if p.grad is not None:
                        p.grad = fn(p.grad)
            for name, b in self._buffers.items():
                if is_lazy(b):
                    b._data = fn(b.detach())._data  # it stays without a shape
                elif b is not None:
                    self._buffers[name] = fn(b)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move and/or cast floating-point parameters and buffers: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``."""
        dtype, device, non_blocking = kwargs.get("dtype"), kwargs.get("device"), kwargs.get("non_blocking", False)
        for value in args:
            if isinstance(value, Tensor):
                dtype, device = value.dtype, value.device
            elif isinstance(value, (dtypes.dtype, type)):
                dtype = value
            elif isinstance(value, bool):
                non_blocking = value
            else:
                device = value
        if device is not None:
            device = as_device(device, "Module.to")
        dtype = None if dtype is None else dtypes.as_dtype(dtype, "Module.to")
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}")

        def change(t: Tensor) -> Tensor:
            wanted = dtype if dtype is not None and (t.is_floating_point() or t.is_complex()) else None
            return t.to(device, wanted, non_blocking)  # type: ignore[attr-defined]

        return self._apply(change)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Give every parameter and buffer new memory on ``device`` (None: where it is), whose elements are undefined."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def type(self, dst_type: Any) -> Any:
        """Cast all parameters and buffers, those of integers too, to ``dst_type``."""
        return self._apply(lambda t: t.type(dst_type))  # type: ignore[attr-defined]

    def float(self) -> Any:
        """Cast floating-point parameters and buffers to float32."""
        return self.to(dtypes.float32)

    def double(self) -> Any:
        """Cast floating-point parameters and buffers to float64."""
        return self.to(dtypes.float64)

    def half(self) -> Any:
        """Cast floating-point parameters and buffers to float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        """Cast floating-point parameters and buffers to bfloat16."""
        return self.to(dtypes.bfloat16)

    def cpu(self) -> Any:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Any:
        """Move to a GPU.  Raises RuntimeError where there is none."""
        return self.to(as_gpu(device))
