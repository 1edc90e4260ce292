"""State dicts: what of a tree of modules is saved under dotted names, and how it is taken back, with the hooks around both."""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict, namedtuple
from typing import Any, Callable, Mapping

from ...autograd.mode import no_grad
from ...autograd.node import RemovableHandle
from ...tensor import Parameter, Tensor
from ..parameter import is_lazy

IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])
_EXTRA = "_extra_state"


class _IncompatibleKeys(IncompatibleKeys):
    """What ``load_state_dict`` found missing and superfluous."""

    def __repr__(self) -> str:
        return "<All keys matched successfully>" if not self.missing_keys and not self.unexpected_keys else super().__repr__()

    __str__ = __repr__


class _Loading(OrderedDict[str, Any]):
    """A state dict on its way into a tree.  ``pending``: what is to be done once all of it is known to fit."""

    pending: list[Callable[[], None]]

    def below(self, prefix: str) -> _Loading:
        """The entries that a submodule is concerned with."""
        part = _Loading((key, value) for key, value in self.items() if key.startswith(prefix))
        part.pending = self.pending
        return part


class StateDict:
    """The part of Module that saves and loads.

    A class may take the saving or loading of its own entries over by ``_save_to_state_dict`` and ``_load_from_state_dict``, or add an entry of any kind by
    ``get_extra_state`` and ``set_extra_state``.
    """

    _version: int | None = 1
    _parameters: Any
    _buffers: Any
    _modules: Any
    _non_persistent_buffers_set: set[str]
    # Most modules never have any of these; registering one gives the module a table of its own.
    _state_dict_pre_hooks: Mapping[int, Any] = OrderedDict()
    _state_dict_hooks: Mapping[int, Any] = OrderedDict()
    _load_state_dict_pre_hooks: Mapping[int, Any] = OrderedDict()
    _load_state_dict_post_hooks: Mapping[int, Any] = OrderedDict()

    # ---- saving ---------------------------------------------------------------------------------------------------------------------

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers by dotted name, sharing memory with the module, and the extra states of modules that have one.

        By position (deprecated): destination, prefix, keep_vars.
        """
        if args:
            warnings.warn("Positional args are being deprecated, use kwargs instead.", FutureWarning, stacklevel=2)
            given = dict(zip(("destination", "prefix", "keep_vars"), args))
            return self.state_dict(**({"destination": destination, "prefix": prefix, "keep_vars": keep_vars} | given))
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook, public in list(self._state_dict_hooks.values()):
            replaced = hook(self, destination, prefix, metadata)
            if replaced is not None:
                if public:
                    raise RuntimeError("state_dict post-hook must return None")
                destination = replaced
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own entries, not those of its children, into ``destination``."""
        for name, value in itertools.chain(self._parameters.items(), self._buffers.items()):
            if value is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not StateDict.get_extra_state:
            destination[prefix + _EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else is to be in the state dict, beside ``set_extra_state``.  Raises RuntimeError unless a subclass defines it."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` gave.  Raises RuntimeError unless a subclass defines it."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    # ---- loading --------------------------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> _IncompatibleKeys:
        """Copy parameters and buffers from ``state_dict``, or with ``assign`` put its tensors in their place.

        Raises RuntimeError, before anything is changed, for a shape that differs, and with ``strict`` for missing or unexpected keys; the
        message lists them all.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None) or {}
        given = _Loading(state_dict)
        given.pending = []
        found = _IncompatibleKeys([], [])
        errors: list[str] = []
        _load(self, given, "", metadata, assign, found, errors)
        if strict:
            for what, keys in (("Unexpected", found.unexpected_keys), ("Missing", found.missing_keys)):
                if keys:
                    errors.insert(0, f"{what} key(s) in state_dict: " + ", ".join(f'"{k}"' for k in keys) + ". ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        for act in given.pending:
            act()
        return found

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own entries, not those of its children, from ``state_dict``; what does not fit is added to the lists.

        Within ``load_state_dict`` values are copied when all modules have found theirs, so that a state dict which does not fit changes nothing.
        """
        for hook in list(self._load_state_dict_pre_hooks.values()):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = {k: v for k, v in itertools.chain(self._parameters.items(), self._buffers.items()) if v is not None}
        own = {k: v for k, v in own.items() if k not in self._non_persistent_buffers_set}
        assign = local_metadata.get("assign_to_params_buffers", False)
        acts: list[Callable[[], None]] = []
        for name, tensor in own.items():
            key = prefix + name
            if key in state_dict:
                value, problem = _fitted(key, tensor, state_dict[key])
                if problem is None:
                    acts.append(_Entry(self, name, tensor, value, assign))
                else:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA
        has_extra = type(self).set_extra_state is not StateDict.set_extra_state
        if has_extra and extra in state_dict:
            state = state_dict[extra]
            acts.append(lambda: self.set_extra_state(state))
        elif has_extra and strict:
            missing_keys.append(extra)
        if strict:
            unexpected_keys += [
                key for key in state_dict if key.startswith(prefix) and not self._expects(key[len(prefix) :], own, has_extra)
            ]
        if isinstance(state_dict, _Loading):
            state_dict.pending += acts
        else:
            for act in acts:
                act()

    def _expects(self, key: str, own: Any, has_extra: bool) -> bool:
        """Whether an entry without this module's prefix is its own or a child's."""
        first, dot, _ = key.partition(".")
        return first in self._modules if dot else first in own or (has_extra and first == _EXTRA)

    # ---- hooks ----------------------------------------------------------------------------------------------------------------------

    def _registered(self, table: str, entry: Any) -> RemovableHandle:
        return RemovableHandle(self.__dict__.setdefault(table, OrderedDict()), entry)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's entries are saved."""
        return self._registered("_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` when the entries of the module and its children are saved; it may change ``state_dict``
        in place.  One that returns something raises RuntimeError."""
        return self._registered("_state_dict_hooks", (hook, True))

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As ``register_state_dict_post_hook``, for a hook whose result replaces the state dict."""
        return self._registered("_state_dict_hooks", (hook, False))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`` before the module's entries are
        taken; it may change ``state_dict``, a copy, and the lists in place."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., None], with_module: bool = False) -> RemovableHandle:
        """As ``register_load_state_dict_pre_hook``, for a hook without the argument ``module`` unless ``with_module``."""
        return self._registered("_load_state_dict_pre_hooks", _OfModule(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` when the module and its children have been looked up in a state dict; it may change the two lists of
        keys in place, and ``strict`` goes by what is left.  One that returns something raises AssertionError."""
        return self._registered("_load_state_dict_post_hooks", hook)


class _OfModule:
    """A hook that is called with its module first.  It is copied with the module, so that the copy's hook has the copy."""

    def __init__(self, hook: Callable[..., None], module: Any):
        self.hook, self.module = hook, module

    def __call__(self, *args: Any) -> None:
        self.hook(self.module, *args)


class _Entry:
    """A value that goes into a parameter or buffer: into its memory, or with ``assign`` in its place."""

    def __init__(self, module: Any, name: str, tensor: Tensor, value: Tensor, assign: bool):
        self.module, self.name, self.tensor, self.value, self.assign = module, name, tensor, value, assign

    @no_grad()
    def __call__(self) -> None:
        tensor, value = self.tensor, self.value
        if not self.assign:
            tensor.copy_(value)  # type: ignore[attr-defined]
        elif isinstance(tensor, Parameter):
            made = value if isinstance(value, Parameter) else Parameter(value.detach(), tensor.requires_grad)
            setattr(self.module, self.name, made.requires_grad_(tensor.requires_grad))
        else:
            setattr(self.module, self.name, value)


def _fitted(key: str, tensor: Any, value: Any) -> tuple[Any, str | None]:
    """``value`` as it goes into ``tensor``, or what is wrong with it."""
    if not isinstance(value, Tensor):
        return (
            value,
            f'While copying the parameter named "{key}", expected numbagrad.Tensor or Tensor-like object from checkpoint but received {type(value)}',
        )
    if is_lazy(tensor):
        if not is_lazy(value):
            tensor.materialize(value.shape)
        return value, None
    if tensor.ndim == 0 and tuple(value.shape) == (1,):  # as files older than 0-d tensors have them
        value = value.reshape(())  # type: ignore[attr-defined]
    if value.shape != tensor.shape:
        return (
            value,
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in current model is {tensor.shape}.",
        )
    return value, None


def _load(module: Any, given: _Loading, prefix: str, metadata: Any, assign: bool, found: _IncompatibleKeys, errors: list[str]) -> None:
    """Look for the entries of ``module`` and of what is below it, children after their parent."""
    local = dict(metadata.get(prefix[:-1], {}))
    if assign:
        local["assign_to_params_buffers"] = True
    module._load_from_state_dict(given, prefix, local, True, *found, errors)
    for name, child in module._modules.items():
        if child is not None:
            below = f"{prefix}{name}."
            _load(child, given.below(below), below, metadata, assign, found, errors)
    for hook in list(module._load_state_dict_post_hooks.values()):
        if hook(module, found) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, if incompatible_keys "
                "need to be modified, it should be done inplace."
            )
