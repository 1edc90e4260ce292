"""Parametrizations: a parameter (or buffer) of a module becomes a function of others, which is computed whenever it is read.

    register_parametrization(linear, "weight", Symmetric())      # linear.weight = Symmetric()(linear.parametrizations.weight.original)

The module's class is replaced by a subclass of its own with a property of that name.  A parametrization is a Module whose ``forward`` computes
the tensor; with a ``right_inverse`` the tensor can be assigned to.  A right inverse that returns several tensors makes ``original0``,
``original1``, ... of the one parameter.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any, Iterator

from ...autograd.mode import enable_grad, no_grad
from ...tensor import Parameter, Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_caching = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, a parametrized tensor is computed when it is first read, and that is given out from then on."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


def _put(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and ``original`` (or ``original0``, ...), what they are applied to."""

    def __init__(self, modules: Any, original: Tensor, unsafe: bool = False):
        modules = list(modules)
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new: Any = original
            for module in reversed(modules):
                new = _inverse(module, new, new)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new) if isinstance(new, (tuple, list)) else 0
        if not self.ntensors:
            raise ValueError(f"'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got {type(new).__name__}")
        if self.is_tensor:
            if new.dtype != dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            original.data = new.detach()
            _put(self, "original", original)
        else:
            for i, each in enumerate(new):
                self._check_element(i, each)
                _put(self, f"original{i}", Parameter(each.detach(), original.requires_grad) if isinstance(original, Parameter) else each)
        if not unsafe:
            _check("unparametrized", shape, dtype, self())

    @staticmethod
    def _check_element(i: int, each: Any) -> None:
        if not isinstance(each, Tensor):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got element {i} of the sequence with type {type(each).__name__}."
            )

    def _originals(self) -> list[Any]:
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Any:
        first, *others = self
        x = first(*self._originals())
        for module in others:
            x = module(x)
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Give the originals the values from which ``value`` is computed.  Raises RuntimeError where a parametrization has no right inverse."""
        with no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                new = module.right_inverse(new)
            each = [new] if self.is_tensor else new
            if not self.is_tensor and not isinstance(new, (tuple, list)):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(new).__name__}.")
            if len(each) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of length {len(each)}."
                )
            for i, (held, t) in enumerate(zip(self._originals(), each)):
                if not isinstance(t, Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {type(t).__name__}")
                if t.dtype != held.dtype:
                    name = "original" if self.is_tensor else f"original{i}"
                    raise ValueError(f"The tensor returned by `right_inverse` has dtype {t.dtype} while `{name}` has dtype {held.dtype}")
                held.data = t.detach()


def _inverse(module: Module, value: Any, default: Any) -> Any:
    """``module.right_inverse(value)``, or ``default`` where there is none."""
    if not hasattr(module, "right_inverse"):
        return default
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return default


def _check(what: str, shape: Any, dtype: Any, made: Any) -> None:
    """Raise ValueError unless ``made``, by a parametrization, is a tensor of that shape and dtype."""
    if not isinstance(made, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
    for name, before, after in (("dtype", dtype, made.dtype), ("shape", shape, made.shape)):
        if before != after:
            raise ValueError(
                f"Registering a parametrization may not change the {name} of the tensor, unless `unsafe` flag is enabled.\n"
                f"{what} {name}: {before}\nparametrized {name}: {after}"
            )


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Let ``module.<tensor_name>`` be ``parametrization`` of what it is, or of what an earlier parametrization makes; returns ``module``.

    Raises ValueError where there is no such parameter or buffer, and, unless ``unsafe``, where the shape or dtype would change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held = module.parametrizations[tensor_name]
        if not unsafe:
            with no_grad():
                now = getattr(module, tensor_name)
                made = parametrization(now)
                _check(f"module.{tensor_name}", now.shape, now.dtype, made)
                back = _inverse(parametrization, made, now)
            if not isinstance(back, Tensor):
                raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(back).__name__}")
            _check(f"module.{tensor_name}", now.shape, now.dtype, back)
        held.append(parametrization)
        held.unsafe |= unsafe
    elif tensor_name in module._parameters or tensor_name in module._buffers:
        original = getattr(module, tensor_name)
        made_list = ParametrizationList([parametrization], original, unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _subclass(module)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = made_list
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'")
    return module


def _refused(self: Any) -> Any:
    raise RuntimeError("Serialization of parametrized modules is only supported through state_dict().")


def _copied(self: Any, memo: dict[int, Any]) -> Any:
    made: Any = object.__new__(type(self))
    memo[id(self)] = made
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    _subclass(made, type_before_parametrizations(self))
    for name in made.parametrizations:
        setattr(type(made), name, _property(name))
    return made


def _subclass(module: Any, kind: Any = None) -> None:
    """Give ``module`` a class of its own, which properties can be put on."""
    kind = kind or type(module)
    module.__class__ = type(f"Parametrized{kind.__name__}", (kind,), {"__getstate__": _refused, "__deepcopy__": _copied})


def _property(name: str) -> property:
    def get(self: Any) -> Any:
        if not _caching:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def put(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether ``module`` has parametrizations; with ``tensor_name``, whether that has."""
    held = module._modules.get("parametrizations")
    if not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make ``module.<tensor_name>`` a parameter (or buffer) again: of its present value, or with ``leave_parametrized=False`` of the original.

    Raises ValueError where it has no parametrization, and for ``leave_parametrized=False`` where there are several originals.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    held = module.parametrizations[tensor_name]
    if held.is_tensor:
        original = held.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        with enable_grad():
            value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _put(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type_before_parametrizations(module)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of ``module`` without its parametrizations."""
    kind = type(module)
    return kind.__bases__[0] if is_parametrized(module) or kind.__dict__.get("__deepcopy__") is _copied else kind


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Register the parametrizations of ``from_module`` (of one tensor, or of all) on ``to_module`` too, with the same originals; returns ``to_module``."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        held = from_module.parametrizations[name]
        if name not in to_module._parameters and name not in to_module._buffers and not is_parametrized(to_module, name):
            value = getattr(from_module, name)
            _put(to_module, name, Parameter(value.detach().clone()) if value.requires_grad else value.detach().clone())
        for parametrization in held:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        for own in ["original"] if held.is_tensor else [f"original{i}" for i in range(held.ntensors)]:
            setattr(to_module.parametrizations[name], own, getattr(held, own))
    return to_module
