"""Modules that learn the sizes of their parameters from the first input."""

from __future__ import annotations

from typing import Any

from ...autograd.mode import no_grad
from ...creation import empty
from ...tensor import Parameter, Tensor


class _Uninitialized:
    """A tensor whose shape is not known yet; ``materialize`` gives it one."""

    becomes: type = Tensor

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of ``shape``, with undefined elements."""
        values = empty(*shape, device=self.device if device is None else device, dtype=self.dtype if dtype is None else dtype)
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

    def __new__(cls, device: Any = None, dtype: Any = None) -> Any:
        made = Tensor.__new__(cls)
        made._data = empty(0, device=device, dtype=dtype)._data
        return made

    def __init__(self, device: Any = None, dtype: Any = None):
        pass

    __hash__ = object.__hash__


def is_uninitialized(value: Any) -> bool:
    """Whether ``value`` is a parameter or buffer without a shape."""
    return isinstance(value, _Uninitialized)


class LazyModuleMixin:
    """Beside a module class: before the first call, ``initialize_parameters`` gets its arguments and makes the parameters; then the module
    is one of the class ``cls_to_become``.

    Until then its parameters are ``UninitializedParameter``s, which have no shape.  Loading a state dict gives them one as well.
    """

    cls_to_become: Any = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._initializer = self.register_forward_pre_hook(_initialize, with_kwargs=True)  # type: ignore[attr-defined]

    def has_uninitialized_params(self: Any) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(map(is_uninitialized, (*self._parameters.values(), *self._buffers.values())))

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters their shapes, for an input such as this."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")


def _initialize(module: Any, args: Any, kwargs: Any) -> None:
    with no_grad():
        module.initialize_parameters(*args, **kwargs)
    if module.has_uninitialized_params():
        raise RuntimeError(f"module {module._get_name()} has not been fully initialized")
    module._initializer.remove()
    del module._initializer
    if module.cls_to_become is not None:
        module.__class__ = module.cls_to_become
