"""How a view is declared: a function on arrays that shares their memory, and the rule for its gradient.

A view costs no arithmetic, so all that it costs is what is done here, once for each: this is written to be short rather than general.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, Callable, Sequence

import numpy as np

from ..autograd import anomaly
from ..autograd.mode import state
from ..autograd.node import Node, edge_of, numbers
from ..kernels import _parameters
from ..kernels.copy import zeros
from ..tensor import Tensor, wrap

_new = object.__new__


class ViewNode(Node):
    """A recorded view: the shape it was taken of and the arguments that made it are all its rule can ask for, so a walk frees nothing."""

    # Slots are quicker to fill than a dict, which a node has none of unless somebody hooks it.
    __slots__ = ("edges", "outputs", "number", "view", "shape", "args")
    view: View
    shape: tuple[int, ...]
    args: Any

    def name(self) -> str:
        return self.view.node_name

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        return (self.view.rule(grads[0], *[self.args[i] if i >= 0 else self.shape for i in self.view.sources]),)


class PartsNode(Node):
    """The record of all parts that a tensor was cut into: their gradients are joined, where one by one each would be as large as the whole."""

    __slots__ = ("edges", "outputs", "number", "label", "alone", "join", "guarded")
    label: str
    guarded: bool  # whether the parts may not be changed in place
    alone: Callable[[int, Tensor], Tensor]  # the gradient of the whole if there is one of a single part
    join: Callable[[list[Tensor]], Tensor]  # and from those of all parts

    def name(self) -> str:
        return self.label

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        present = [i for i, g in enumerate(grads) if g is not None]
        if len(present) == 1:
            return (self.alone(present[0], grads[present[0]]),)
        like = grads[present[0]]._data
        return (self.join([wrap(zeros(*found, like)) if g is None else g for g, found in zip(grads, self.outputs)]),)


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
        names = list(_parameters.of(forward))[1:]
        self.sources = [-1 if p == "x_shape" else names.index(p) for p in list(_parameters.of(rule))[1:]]
        # How a view is made again of its base, as methods of the arguments: half the price of a closure.
        self._again = lambda args, base: self(base, *args)
        self._again_after = lambda how, base: self(how[0](base), *how[1])

    def __call__(self, source: Tensor, *args: Any) -> Tensor:
        return self.made(source, self.forward(source._data, *args), args)

    def made(self, source: Tensor, data: np.ndarray, args: tuple[Any, ...]) -> Tensor:
        """The tensor for ``data``, which is ``forward(source._data, *args)``, however it was come by."""
        view = _new(Tensor)
        view._data = data
        view._node = None
        view._requires_grad = False
        view._index = 0
        counter = source._counter
        if counter is None:
            counter = source._counter = [0]
        view._counter = counter
        base = source._base
        if base is None:
            view._base = source
            view._replay = MethodType(self._again, args)
            if source._rebased:
                view._seen = source._rebased
            if (source._node is not None or source._requires_grad) and state.recording:
                view._node = self._node((edge_of(source),), data, source._data.shape, args)
        else:
            view._base = base
            before = source._replay
            if before is not None:
                view._replay = MethodType(self._again_after, (before, args))
            if base._rebased:
                view._seen = base._rebased
            if (source._node is not None or source.requires_grad) and state.recording:
                view._node = self._node((edge_of(source),), data, source._data.shape, args)
        return view

    def parts(self, source: Tensor, keys: Sequence[Any], label: str, join: Callable[[list[Tensor]], Tensor]) -> tuple[Tensor, ...]:
        """The views by each of ``keys``, the one argument of ``forward`` beside the array, which together are the whole.

        They share what ``made`` looks up, and one node called ``label``; ``join`` puts gradients of all of them together.
        """
        data, forward, again = source._data, self.forward, self._again
        counter = source._shared_counter()
        base, before = source._base, None
        if base is None:
            base = source
        else:
            before, again = source._replay, self._again_after
        replayed = base is source or before is not None
        rebased = base._rebased
        views = []
        for key in keys:
            view = _new(Tensor)
            view._data = forward(data, key)
            view._node = None
            view._requires_grad = False
            view._index = 0
            view._counter = counter
            view._base = base
            if replayed:
                view._replay = MethodType(again, (key,) if before is None else (before, (key,)))
            if rebased:
                view._seen = rebased
            views.append(view)
        if (source._node is not None or source.requires_grad) and state.recording:
            node = _new(PartsNode)
            node.edges = (edge_of(source),)
            node.outputs = [(view._data.shape, view._data.dtype) for view in views]
            node.number = next(numbers)
            node.label = label
            node.guarded = True
            shape = data.shape
            node.alone = lambda i, g: self.rule(g, shape, keys[i])
            node.join = join
            if anomaly.enabled:
                node.where = anomaly.call_site()
            for i, view in enumerate(views):
                view._node = node
                view._index = i
        return tuple(views)

    def _node(self, edges: tuple[Any, ...], data: np.ndarray, shape: tuple[int, ...], args: tuple[Any, ...]) -> ViewNode:
        node = _new(ViewNode)
        node.edges = edges
        node.outputs = ((data.shape, data.dtype),)
        node.number = next(numbers)
        node.view = self
        node.shape = shape
        node.args = args
        if anomaly.enabled:
            node.where = anomaly.call_site()
        return node

    def __repr__(self) -> str:
        return f"<view {self.name}>"


def view_operation(name: str, forward: Callable[..., np.ndarray], rule: Callable[..., Tensor]) -> View:
    """Declare a view by the function that makes it from an array, and the rule for its gradient."""
    return View(name, forward, rule)
