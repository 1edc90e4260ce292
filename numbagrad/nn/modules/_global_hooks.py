"""Hooks on all modules there are: for debugging and profiling."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable

from ...autograd.graph import RemovableHandle

__all__ = [
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]

# All of them in one table, so that a module that is called reads one truth value.
hooks: Any = OrderedDict()


def of_kind(kind: str) -> list[Any]:
    """The hooks of a kind, oldest first."""
    return [entry for found, entry in hooks.values() if found == kind]


def _register(entry: Any) -> RemovableHandle:
    return RemovableHandle(hooks, entry)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward pass of every module, before its own hooks; what it returns (if anything) becomes the arguments."""
    return _register(("forward_pre", (hook, False)))


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False) -> RemovableHandle:
    """Call ``hook(module, args, output)`` (``with_kwargs``: ``hook(module, args, kwargs, output)``) after the forward pass of every module, before its own
    hooks; what it returns (if anything) becomes the output."""
    return _register(("forward", (hook, with_kwargs)))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` for every module when the gradients of its inputs are known; what it returns replaces them."""
    return _register(("backward", hook))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` for every module when the gradients of its outputs are known; what it returns replaces them."""
    return _register(("backward_pre", hook))
