"""How a view is declared: a function on arrays that shares their memory, and the rule for its gradient."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Sequence

import numpy as np

from ..autograd.graph import Node, edge_of
from ..autograd.mode import state
from ..tensor import Tensor
from ._operation import freed


class ViewNode(Node):
    """A recorded view: the shape it was taken of and the arguments that made it are all its rule can ask for."""

    def __init__(self, view: View, source: Tensor, shape: tuple[int, ...], args: tuple[Any, ...], data: Any):
        super().__init__((edge_of(source),), ((data.shape, data.dtype),))
        self.view = view
        self.shape = shape
        self.args: Any = args

    def name(self) -> str:
        return self.view.node_name

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        if self.args is None:
            raise freed()
        return (self.view.rule(grads[0], *[self.args[i] if i >= 0 else self.shape for i in self.view.sources]),)

    def release(self) -> None:
        self.args = None


class View:
    """A differentiable operation whose result shares the memory of its first argument.

    ``forward(x, *args)`` makes the view of an array.  The rule for the gradient takes ``g`` first; its other parameters are ``x_shape`` or have
    the names of ``forward``'s.
    """

    def __init__(self, name: str, forward: Callable[..., np.ndarray], rule: Callable[..., Tensor]):
        self.name = self.__name__ = name
        self.node_name = "".join(part.capitalize() for part in name.split("_")) + "Backward0"
        self.forward = forward
        self.rule = rule
        parameters = list(inspect.signature(forward).parameters)[1:]
        self.sources = [-1 if p == "x_shape" else parameters.index(p) for p in list(inspect.signature(rule).parameters)[1:]]

    def __call__(self, source: Tensor, *args: Any) -> Tensor:
        return self.made(source, self.forward(source._data, *args), args)

    def made(self, source: Tensor, data: np.ndarray, args: tuple[Any, ...]) -> Tensor:
        """The tensor for ``data``, which is ``forward(source._data, *args)``, however it was come by."""
        view = Tensor.__new__(Tensor)
        view._data = data
        counter = source._counter
        view._counter = source._shared_counter() if counter is None else counter
        base = source._base
        if base is None:
            base = source
            view._replay = lambda base: self(base, *args)
        else:
            before = source._replay
            if before is not None:
                view._replay = lambda base: self(before(base), *args)
        view._base = base
        if base._rebased:
            view._seen = base._rebased
        if state.recording and (source._node is not None or source.requires_grad):
            view._node = ViewNode(self, source, source._data.shape, args, data)
        return view

    def __repr__(self) -> str:
        return f"<view {self.name}>"


def view_operation(name: str, forward: Callable[..., np.ndarray], rule: Callable[..., Tensor]) -> View:
    """Declare a view by the function that makes it from an array, and the rule for its gradient."""
    return View(name, forward, rule)
