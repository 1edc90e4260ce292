"""Modules that learn the sizes of their parameters from the first input."""

from __future__ import annotations

from typing import Any

from ...autograd.mode import no_grad
from ..parameter import UninitializedBuffer as UninitializedBuffer
from ..parameter import UninitializedParameter as UninitializedParameter
from ..parameter import is_lazy


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
        return any(map(is_lazy, (*self._parameters.values(), *self._buffers.values())))

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
