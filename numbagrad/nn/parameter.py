"""Parameters and buffers, and those that have no shape yet: ``from numbagrad.nn.parameter import Parameter``."""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..tensor import Parameter, Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _Marked(type):
    """A tensor with the mark is an instance of Buffer."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_Marked):
    """``Buffer(tensor)``: the same storage as a tensor that becomes a buffer of the module it is assigned to, as by ``register_buffer``.

    ``persistent``: whether it is in the state dict.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        source: Any = empty(0) if data is None else data
        made = source.detach().requires_grad_(source.requires_grad)
        made.persistent, made._is_buffer = persistent, True
        return made


class _Uninitialized:
    """A tensor whose shape is not known yet; ``materialize`` gives it one."""

    becomes: type = Tensor

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of ``shape``, with undefined elements."""
        values = empty(shape, device=self.device if device is None else device, dtype=self.dtype if dtype is None else dtype)
        self.__class__ = self.becomes
        self.data = values

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` when trying to load "
            "an uninitialized parameter into an initialized one. Call `forward` to initialize the parameters before accessing their attributes."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter of a lazy module before its first input."""

    becomes = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return super().__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(None, requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer of a lazy module before its first input."""

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> Any:
        made: Any = Tensor.__new__(cls)
        made._data = empty(0, device=device, dtype=dtype)._data
        made.persistent, made._is_buffer = persistent, True
        return made.requires_grad_(requires_grad)

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True):
        pass

    __hash__ = object.__hash__


def is_lazy(value: Any) -> bool:
    """Whether ``value`` is a parameter or buffer without a shape."""
    return isinstance(value, _Uninitialized)
