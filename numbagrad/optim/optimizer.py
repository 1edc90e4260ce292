"""Optimizer: parameter groups, per-parameter state, hooks, and saving and loading of it all."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from copy import deepcopy
from itertools import chain
from typing import Any, Callable, Iterable

from ..autograd import enable_grad, no_grad
from ..autograd.node import RemovableHandle
from ..creation import tensor
from ..dtypes import float32
from ..kernels import copy as copy_kernels
from ..kernels import update
from ..tensor import Tensor, wrap


class _Required:
    """The default of an option that every parameter group must specify."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()

# Hooks around the steps of all optimizers.
_everywhere: dict[str, OrderedDict[int, Callable[..., Any]]] = {"step_pre": OrderedDict(), "step_post": OrderedDict()}

_HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with the hooks of its optimizer around it, whose ``args`` begin with the optimizer, as in PyTorch."""

    @functools.wraps(step)
    def wrapped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._stepped = True  # learning-rate schedules ask
        args = (self, *args)
        for hook in [*_everywhere["step_pre"].values(), *self._hooks["step_pre"].values()]:
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
                args, kwargs = result
        out = step(*args, **kwargs)
        for hook in [*self._hooks["step_post"].values(), *_everywhere["step_post"].values()]:
            hook(self, args, kwargs)
        return out

    wrapped.hooked = True  # type: ignore[attr-defined]
    return wrapped


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before each step of any optimizer, before its own hooks; what it returns replaces both."""
    return RemovableHandle(_everywhere["step_pre"], hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after each step of any optimizer, after its own hooks."""
    return RemovableHandle(_everywhere["step_post"], hook)


class Optimizer:
    """Base of all optimizers: ``params`` are tensors, (name, tensor) pairs, or dicts of parameter groups with options of their own.

    ``param_groups`` is a list of dicts with ``"params"`` and the options; ``state`` maps each parameter to a dict.  A subclass defines
    ``step``.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        self.defaults = defaults
        self._stepped = False
        self._hooks: dict[str, OrderedDict[int, Callable[..., Any]]] = {kind: OrderedDict() for kind in _HOOKS}
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {type(params).__name__}"
            )
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not getattr(step, "hooked", False):
            cls.step = _hooked(step)  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_hooks" not in self.__dict__:
            self._hooks = {kind: OrderedDict() for kind in _HOOKS}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"\nParameter Group {i}" if i else "Parameter Group 0")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # ---- parameter groups ---------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize further parameters: ``{"params": tensors, option: value, ...}``; options not given take the defaults.

        Raises TypeError for what is no dict, a set of parameters or an entry that is no tensor; ValueError for a non-leaf, a missing
        required option, a parameter of another group, and names given to some parameters only.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        entries = [params] if isinstance(params, Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        param_group["params"] = tensors
        if names:
            if len(names) != len(tensors):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for p in tensors:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        ids = {id(p) for p in tensors}
        if len(ids) != len(tensors):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with names" if "param_names" in param_group else "without names"
                raise ValueError(f"all optimizer param groups should be with/without names. cannot add param group {kind} to the optimizer")
            if not ids.isdisjoint(map(id, group["params"])):
                raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zero (in one launch)."""
        kept = []
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad
                if grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                    continue
                if grad.grad_fn is not None:
                    grad.detach_()
                else:
                    grad.requires_grad_(False)
                kept.append(grad)
        if kept:
            update.zero_([grad._data for grad in kept])
            for grad in kept:
                grad._bump()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; ``closure``, if given, evaluates the model anew and returns the loss, which is returned."""
        raise NotImplementedError

    # ---- hooks --------------------------------------------------------------------------------------------------------------------

    def _register(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        handle = RemovableHandle(self._hooks[kind], hook)
        if prepend:
            self._hooks[kind].move_to_end(handle.id, last=False)
        return handle

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return other (args, kwargs)."""
        return self._register("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return self._register("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after ``state_dict``; it may return another dict."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before ``load_state_dict``; it may return another dict."""
        return self._register("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after ``load_state_dict``."""
        return self._register("load_state_dict_post", hook, prepend)

    # ---- saving and loading -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: dict}, "param_groups": [options with "params" as indices]}``; parameters are numbered in the order of the
        groups.

        The tensors are the optimizer's own, not copies.
        """
        for hook in list(self._hooks["state_dict_pre"].values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            groups.append(packed | {"params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in list(self._hooks["state_dict_post"].values()):
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options and states of ``state_dict``, as copies, in the dtype of the parameters (step counts in their own).

        Raises ValueError, leaving everything as it was, if the groups or their numbers of parameters differ.
        """
        state_dict = dict(state_dict)
        for hook in list(self._hooks["load_state_dict_pre"].values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(group["params"]) != len(new["params"]) for group, new in zip(groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        numbered = dict(zip(chain.from_iterable(g["params"] for g in saved), chain.from_iterable(g["params"] for g in groups)))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            param = numbered.get(key)
            state[key if param is None else param] = value if param is None else _adopted(param, value)
        for group, new in zip(groups, saved):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in list(self._hooks["load_state_dict_post"].values()):
            hook(self)


# States that are one number, which the host computes with: the count of steps, and what NAdam and ASGD follow up.
_NUMBERS = ("step", "mu_product", "eta", "mu")


def _adopted(param: Tensor, value: Any, key: Any = None) -> Any:
    """A copy of a loaded state on the device and in the dtype that go with ``param``; numbers keep their own, and are the host's."""
    if isinstance(value, Tensor):
        copied = copy_kernels.clone(value._data)
        if key in _NUMBERS:
            return wrap(copy_kernels.transfer(copied, "cpu"))
        copied = copy_kernels.transfer(copied, str(param.device))
        return wrap(copy_kernels.cast(copied, param._data.dtype) if param.is_floating_point() else copied)
    if isinstance(value, dict):
        return {k: _adopted(param, v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_adopted(param, v) for v in value)
    return value


class ParameterOptimizer(Optimizer):
    """An optimizer that takes its parameters one by one, in operations on tensors.  A subclass defines ``_update(p, grad, group)``."""

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; ``closure``, if given, evaluates the model anew and returns the loss, which is
        returned."""
        loss = None if closure is None else enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if p.is_complex():
                        raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
                    self._update(p, p.grad, group)
        return loss

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError


# Options that older state dicts of PyTorch's do not have.
_LATER = {"foreach": None, "fused": None, "maximize": False, "differentiable": False, "capturable": False}


class FusedOptimizer(Optimizer):
    """An optimizer whose step is one launch of a kernel of ``kernels.update`` for each group, and where that has parameters on several devices for each of
    these.  States lie where their parameters do; the counts of steps are the host's.

    A subclass defines ``_update(group, plan, params)`` for the parameters that have a gradient.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        name = type(self).__name__
        if defaults.get("fused"):
            if defaults.get("differentiable"):
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults.get("foreach"):
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if defaults.get("differentiable"):
            raise RuntimeError(f"{name}: differentiable=True is not supported: the step is one kernel, which autograd does not see")
        if defaults.get("capturable"):
            raise RuntimeError(f"{name}: capturable=True is not supported: the count of steps is kept on the host")
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient; ``closure``, if given, evaluates the model anew and returns the loss, which is
        returned."""
        loss = None if closure is None else enable_grad()(closure)()
        plans = self.__dict__.setdefault("_plans", [])
        for i, group in enumerate(self.param_groups):
            if i == len(plans):
                plans.append(update.Plan())
            params = [p for p in group["params"] if p._grad is not None]
            if params:
                self._update(group, plans[i], params)
                for p in params:
                    p._bump()
        return loss

    def _update(self, group: dict[str, Any], plan: update.Plan, params: list[Tensor]) -> None:
        raise NotImplementedError

    def _states(self, params: Iterable[Tensor], *names: str) -> list[dict[str, Any]]:
        """The states of ``params``; a new one counts no steps and has zeros of each name."""
        found = []
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = new_step()
                state.update((name, filled_like(p)) for name in names)
            found.append(state)
        return found

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for option in _LATER.keys() & self.defaults.keys():
                group.setdefault(option, _LATER[option])
        self._plans: list[update.Plan] = []
        for value in self.state.values():
            if isinstance(value, dict) and isinstance(value.get("step"), (int, float)):
                value["step"] = new_step(value["step"])


def arrays(tensors: Iterable[Tensor]) -> list[Any]:
    """The arrays of ``tensors``."""
    return [t._data for t in tensors]


def gradients(params: Iterable[Tensor]) -> list[Any]:
    """The arrays of the gradients of ``params``."""
    return [p._grad._data for p in params]  # type: ignore[union-attr]


def filled_like(param: Tensor, value: complex = 0.0) -> Tensor:
    """A state of the shape, dtype and memory layout of ``param``, so that the kernel walks both in the same order."""
    data = copy_kernels.clone(param._data)
    copy_kernels.fill(data, value)
    return wrap(data)


def new_step(value: float = 0.0) -> Tensor:
    """A step count: a 0-d float32 tensor, as PyTorch's state dicts have it."""
    return tensor(float(value), dtype=float32, device="cpu")


def advance(steps: Iterable[Tensor]) -> list[float]:
    """Count one step more in each, in place, and return the counts."""
    counts = []
    for step in steps:
        data = step._data
        data[()] = count = data.item() + 1.0
        counts.append(count)
    return counts


def column(states: Iterable[dict[str, Any]], name: str) -> list[Any]:
    """The arrays that ``states`` have under ``name``."""
    return [state[name]._data for state in states]


def check_rate(lr: Any) -> None:
    """Raise ValueError for a learning rate that is negative or a tensor of several elements."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not float(lr) >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_betas(betas: Any) -> None:
    """Raise ValueError for a pair of decay rates of which one is not in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_not_negative(**values: Any) -> None:
    """Raise ValueError for a hyperparameter that is negative or NaN; the keywords are the names for the message."""
    for name, value in values.items():
        if not float(value) >= 0.0:
            label = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {label} value: {value}")
