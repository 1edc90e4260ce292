"""Hooks on all modules there are: for debugging and profiling."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable

from ...autograd.node import RemovableHandle

__all__ = [
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

# All of them that concern calls in one table, so that a module that is called reads one truth value; likewise those that concern registering.
hooks: Any = OrderedDict()
registrations: Any = OrderedDict()


def of_kind(kind: str) -> list[Any]:
    """The hooks on calls of a kind, oldest first."""
    return [entry for found, entry in hooks.values() if found == kind]


def registered(kind: str, module: Any, name: str, value: Any) -> Any:
    """What is registered in the place of ``value``, which the hooks of the kind may replace."""
    for found, hook in list(registrations.values()):
        if found == kind:
            replaced = hook(module, name, value)
            value = value if replaced is None else replaced
    return value


def _register(entry: Any, table: Any = hooks) -> RemovableHandle:
    return RemovableHandle(table, entry)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` when a parameter is registered in any module; what it returns (if anything) takes its place."""
    return _register(("parameter", hook), registrations)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` when a buffer (or None) is registered in any module; what it returns (if anything) takes its place."""
    return _register(("buffer", hook), registrations)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` when a submodule (or None) is registered in any module; what it returns (if anything) takes its place."""
    return _register(("module", hook), registrations)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward pass of every module, before its own hooks; what it returns (if anything) becomes the arguments."""
    return _register(("forward_pre", (hook, False)))


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """Call ``hook(module, args, output)`` (``with_kwargs``: ``hook(module, args, kwargs, output)``) after the forward pass of every module, before its own
    hooks; what it returns (if anything) becomes the output.  ``always_call`` as in ``Module.register_forward_hook``."""
    return _register(("forward", (hook, with_kwargs, always_call)))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` for every module when the gradients of its inputs are known; what it returns replaces them."""
    return _register(("backward", hook))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` for every module when the gradients of its outputs are known; what it returns replaces them."""
    return _register(("backward_pre", hook))
