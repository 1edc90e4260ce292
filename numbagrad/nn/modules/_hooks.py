"""A call of a module with the hooks around it.

Full backward hooks are two gates around the module, through which its inputs' and outputs' gradients pass together.  A gate is the identity on several
tensors as one node of the graph, so its backward sees all their gradients at once; each call of the module has gates of its own, so one module may be called
many times before backward.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...autograd.function import Function
from ...tensor import Tensor
from . import _global_hooks


class _Gate(Function):
    """x₁, ..., xₙ unchanged; backward hands all gradients to ``passing``, and what it returns goes on.

    ``zeros``: whether a gradient that is not there is passed as zeros or as None.
    """

    @staticmethod
    def forward(ctx: Any, passing: Any, zeros: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.passing = passing
        ctx.set_materialize_grads(zeros)
        through = tuple(t.view_as(t) for t in tensors)
        ctx.mark_non_differentiable(*[y for y, t in zip(through, tensors) if not t.requires_grad])
        return through

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return (None, None, *ctx.passing(grads))


def _gated(values: tuple[Any, ...], passing: Any, zeros: bool) -> tuple[tuple[Any, ...], list[int]]:
    """``values`` with the tensors led through a gate, and their positions; none if no tensor wants a gradient."""
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    through = list(values)
    if not any(values[i].requires_grad for i in places):
        places = []
    if places:
        for i, t in zip(places, _Gate.apply(passing, zeros, *[values[i] for i in places])):
            through[i] = t
    return tuple(through), places


def _spread(grads: Any, places: list[int], size: int) -> tuple[Any, ...]:
    found = [None] * size
    for i, g in zip(places, grads):
        found[i] = g
    return tuple(found)


class BackwardWatch:
    """One call of ``module`` with backward hooks: ``inputs`` before forward, ``outputs`` after it."""

    def __init__(self, module: Any):
        self.module = module
        self.pre_hooks = [*_global_hooks.of_kind("backward_pre"), *module._backward_pre_hooks.values()]
        self.hooks = [*_global_hooks.of_kind("backward"), *module._backward_hooks.values()]
        self.wanted = bool(self.pre_hooks or self.hooks)
        self.count = 0
        self.places: list[int] = []
        self.grad_output: tuple[Any, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Gate the arguments of forward."""
        self.count = len(args)
        if not self.hooks:
            return args
        through, self.places = _gated(args, self._leave, True)
        return through

    def outputs(self, result: Any) -> Any:
        """Gate what forward returned."""
        if not isinstance(result, (Tensor, tuple, list)):
            return result
        many = not isinstance(result, Tensor)
        values = tuple(result) if many else (result,)
        through, places = _gated(values, lambda grads: self._enter(grads, places, len(values)), False)
        if not many:
            return through[0]
        return type(result)(*through) if hasattr(result, "_fields") else type(result)(through)

    def _enter(self, grads: tuple[Any, ...], places: list[int], size: int) -> tuple[Any, ...]:
        """The gradients of the outputs have come: the pre-hooks may replace them."""
        grad_output = _spread(grads, places, size)
        for hook in self.pre_hooks:
            replaced = hook(self.module, grad_output)
            if replaced is not None:
                grad_output = self._checked(replaced, size, "grad_output")
        self.grad_output = grad_output
        if not self.places:
            self._run((None,) * self.count)
        return tuple(grad_output[i] for i in places)

    def _leave(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The gradients of the inputs have come: the hooks may replace them."""
        found = self._run(_spread(grads, self.places, self.count))
        return tuple(found[i] for i in self.places)

    def _run(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            replaced = hook(self.module, grad_input, self.grad_output)
            if not self.places:
                if replaced is not None and not (isinstance(replaced, tuple) and all(g is None for g in replaced)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None for all gradients."
                    )
            elif replaced is not None:
                grad_input = self._checked(replaced, len(grad_input), "grad_input")
        return grad_input

    def _checked(self, replaced: Any, expected: int, what: str) -> tuple[Any, ...]:
        replaced = replaced if isinstance(replaced, (tuple, list)) else (replaced,)
        if len(replaced) != expected:
            raise RuntimeError(
                f"{type(self.module).__name__}: a backward hook returned an invalid number of {what}: expected {expected}, got {len(replaced)}"
            )
        return tuple(replaced)


# ---- the call -----------------------------------------------------------------------------------------------------------------------


class _Call:
    """A call of ``module`` on its way through the hooks."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.called: list[Any] = []  # the hooks that are always called and have been

    def run(self) -> Any:
        module = self.module
        for hook, with_kwargs in [*_global_hooks.of_kind("forward_pre"), *module._forward_pre_hooks.values()]:
            self._before(hook, with_kwargs)
        watch = BackwardWatch(module)
        if watch.wanted:
            self.args = watch.inputs(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for entry in self._after():
            if entry[2]:
                self.called.append(entry)
            self._hand(entry)
        return watch.outputs(self.result) if watch.wanted else self.result

    def _before(self, hook: Any, with_kwargs: bool) -> None:
        replaced = hook(self.module, self.args, self.kwargs) if with_kwargs else hook(self.module, self.args)
        if replaced is None:
            return
        if not with_kwargs:
            self.args = replaced if isinstance(replaced, tuple) else (replaced,)
        elif isinstance(replaced, tuple) and len(replaced) == 2:
            self.args, self.kwargs = replaced
        else:
            raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replaced}.")

    def _after(self) -> list[Any]:
        return [*_global_hooks.of_kind("forward"), *self.module._forward_hooks.values()]

    def _hand(self, entry: Any) -> None:
        hook, with_kwargs, _ = entry
        given = (self.args, self.kwargs) if with_kwargs else (self.args,)
        replaced = hook(self.module, *given, self.result)
        if replaced is not None:
            self.result = replaced

    def failed(self) -> None:
        """Something raised an exception: the hooks that are always called come to their turn all the same."""
        for entry in self._after():
            if entry[2] and not any(entry is done for done in self.called):
                try:
                    self._hand(entry)
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced as another error was raised "
                        f"in forward: {error}",
                        stacklevel=4,
                    )


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward(*args, **kwargs)`` with the hooks before and behind it."""
    call = _Call(module, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.failed()
        raise
