"""Pruning: a parameter multiplied by a mask, chosen by size or at random.

    l1_unstructured(linear, "weight", amount=0.3)      # linear.weight = linear.weight_orig * linear.weight_mask, before every forward pass

Applied again, a method chooses among what is left.
"""

from __future__ import annotations

import abc
import numbers
from typing import Any, Iterable

from ... import linalg
from ...ops.copy import cat
from ...ops.random import rand_like, randperm
from ...tensor import Tensor
from ..modules.module import Module


class BasePruningMethod(abc.ABC):
    """A way of choosing what to prune, and the hook that applies the mask before each forward pass.

    Subclasses set ``PRUNING_TYPE`` ("unstructured": single elements; "structured": whole slices along ``self.dim``; "global": elements of several parameters
    at once) and define ``compute_mask``.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abc.abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for ``t``, within ``default_mask``: 1 for what stays."""

    def apply_mask(self, module: Module) -> Any:
        """The original times the mask."""
        name = self._tensor_name
        original = getattr(module, name + "_orig")
        return getattr(module, name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune ``module.<name>``, by the size of ``importance_scores`` (default: of itself); returns the method."""
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        key, old = _hook_of(module, name)
        original = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != original.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}")
        scores = original if importance_scores is None else importance_scores
        if old is None:
            mask = method.compute_mask(scores, original.detach().new_ones(original.shape))
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
            module.register_buffer(name + "_mask", mask)
        else:
            del module._forward_pre_hooks[key]
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            setattr(module, name + "_mask", container.compute_mask(scores, getattr(module, name + "_mask")))
            method = container
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """``t`` times the mask that is computed for it."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        return t * self.compute_mask(scores, t.detach().new_ones(t.shape) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor the parameter again.  What was pruned stays zero."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        module.__dict__.pop(name, None)
        original = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        original.data = weight.detach()  # type: ignore[union-attr]
        module.register_parameter(name, original)


def _hook_of(module: Module, name: str) -> tuple[Any, Any]:
    """The pruning hook of a parameter and its key, or None."""
    for key, (hook, _) in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None, None


class PruningContainer(BasePruningMethod):
    """Several methods applied to one parameter, one after another."""

    def __init__(self, *args: Any):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args and isinstance(args[0], BasePruningMethod):
            self._tensor_name = args[0]._tensor_name
        for method in args[0] if len(args) == 1 and not isinstance(args[0], BasePruningMethod) else args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add a method for the same parameter.  Raises TypeError for anything else, ValueError for another parameter's."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask of the latest method, among what ``default_mask`` has left."""
        method: Any = self._pruning_methods[-1]
        left = default_mask != 0
        places: Any
        if method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim
            others = tuple(i for i in range(t.ndim) if i != dim)
            slices = left.any(others) if others else left
            places = (slice(None),) * dim + (slices.nonzero().flatten(),)
        elif method.PRUNING_TYPE == "unstructured":
            places = left
        elif method.PRUNING_TYPE == "global":
            places = ...
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask = default_mask.clone()
        mask[places] = method.compute_mask(t[places], default_mask[places]).to(mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """Prunes nothing."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


def _count(amount: Any, size: int) -> int:
    """How many of ``size`` an amount means: a number of them, or a fraction.  Raises ValueError where that is more than there are."""
    if isinstance(amount, numbers.Integral):
        if int(amount) > size:
            raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
        return int(amount)
    return round(amount * size)


def _checked(amount: Any) -> Any:
    whole = isinstance(amount, numbers.Integral)
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if float(amount) < 0 or not whole and float(amount) > 1:
        raise ValueError(f"amount={amount} should either be a float in the range [0.0, 1.0] or a non-negative integer")
    return amount


class _Unstructured(BasePruningMethod):
    """Single elements, those with the least ``scores``."""

    def __init__(self, amount: Any):
        self.amount = _checked(amount)

    def scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask.clone()
        least = self.scores(t).flatten().topk(_count(self.amount, t.numel()), largest=False).indices
        flat = mask.flatten()
        flat[least] = 0
        return flat.reshape(mask.shape)


class RandomUnstructured(_Unstructured):
    """Elements at random."""

    def scores(self, t: Any) -> Any:
        return rand_like(t)


class L1Unstructured(_Unstructured):
    """The elements of the least absolute value."""

    def scores(self, t: Any) -> Any:
        return t.detach().abs()


class RandomStructured(BasePruningMethod):
    """Slices along ``dim``, at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1):
        self.amount, self.dim = _checked(amount), dim

    def chosen(self, t: Any, count: int) -> Any:
        """The ``count`` slices to prune."""
        return randperm(t.shape[self.dim], device=t.device)[:count]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if t.ndim <= 1:
            raise ValueError(
                f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} with {t.ndim} dims"
            )
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        mask = default_mask.clone()
        mask[(slice(None),) * (self.dim % t.ndim) + (self.chosen(t, _count(self.amount, t.shape[self.dim])),)] = 0
        return mask


class LnStructured(RandomStructured):
    """The slices along ``dim`` of the least ``n``-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1):
        super().__init__(amount, dim)
        self.n = n

    def chosen(self, t: Any, count: int) -> Any:
        rows = t.detach().movedim(self.dim, 0).flatten(1)
        norms = (
            linalg.svdvals(t.detach().movedim(self.dim, 0)).sum(-1)
            if self.n == "nuc"
            else linalg.vector_norm(rows, 2 if self.n == "fro" else self.n, dim=1)
        )
        return norms.topk(count, largest=False).indices


class CustomFromMask(BasePruningMethod):
    """What a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any):
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if default_mask.shape != self.mask.shape:
            raise AssertionError("default_mask and mask should have the same shape")
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Bring a parameter into the form of a pruned one, with a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune ``amount`` elements (a number, or a fraction) of a parameter at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Any, importance_scores: Any = None) -> Module:
    """Prune the ``amount`` elements of the least absolute value (or score)."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune ``amount`` slices along ``dim`` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Module:
    """Prune the ``amount`` slices along ``dim`` of the least ``n``-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune by a mask."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Iterable[Any], pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune parameters, pairs (module, name), together, as if they were one vector.  Raises TypeError for a method that is not unstructured."""
    pairs = list(parameters)
    scores = importance_scores or {}
    flat = cat([scores.get((m, name), getattr(m, name)).flatten() for m, name in pairs])
    before = [getattr(m, name + "_mask", getattr(m, name).detach().new_ones(getattr(m, name).shape)) for m, name in pairs]
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of type {method.PRUNING_TYPE}'
        )
    container = PruningContainer()
    container._tensor_name = method._tensor_name = "temp"
    container.add_pruning_method(method)
    mask, start = container.compute_mask(flat, cat([m.flatten() for m in before])), 0
    for (module, name), old in zip(pairs, before):
        custom_from_mask(module, name, mask[start : start + old.numel()].reshape(old.shape))
        start += old.numel()


def remove(module: Module, name: str) -> Module:
    """Make the pruned tensor the parameter again.  Raises ValueError where it is not pruned."""
    key, hook = _hook_of(module, name)
    if hook is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Module) -> bool:
    """Whether anything in the tree of ``module`` is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook, _ in m._forward_pre_hooks.values())
