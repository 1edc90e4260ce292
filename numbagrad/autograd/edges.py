"""Places in the graph as objects, and hooks that wait for the gradients of several tensors."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from .mode import state
from .node import source_of


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor is computed: result ``output_nr`` of ``node``.  ``grad`` and ``backward`` take it in the tensor's place."""

    node: Any
    output_nr: int
    ownership_token: Any = None  # in PyTorch it keeps the graph alive, which the node itself does here

    @property
    def place(self) -> tuple[Any, int]:
        """The edge as nodes have it: a leaf stands for itself."""
        return (self.node.variable, 0) if hasattr(self.node, "variable") else (self.node, self.output_nr)


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """The edge of ``tensor``.  Raises RuntimeError where it requires no gradient."""
    found = source_of(tensor)
    if found is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*found)


def increment_version(tensor: Any) -> None:
    """Note that ``tensor``, or each of several, was changed in place in a way that was not seen, so that a backward pass that needs what it held says so."""
    for t in (tensor,) if hasattr(tensor, "_bump") else tensor:
        t._bump()


class Walk:
    """A walk back over the graph in progress: where it started, and which part of the graph it is confined to (None: all of it)."""

    def __init__(self, roots: Sequence[tuple[Any, Any]], only: Any):
        self.roots, self.only = roots, only
        self.after: list[Callable[[], None]] = []  # to be called when it is over

    def count(self, places: Sequence[tuple[Any, int]]) -> int:
        """How many of ``places`` lie on its way."""
        wanted = {id(target) for target, _ in places}
        met: set[int] = set()
        seen: set[int] = set()
        stack = [edge for edge, _ in self.roots]
        while stack:
            target = stack.pop()[0]
            if id(target) in seen or (self.only is not None and not self.only.concerns(target)):
                continue
            seen.add(id(target))
            if id(target) in wanted:
                met.add(id(target))
            stack.extend(edge for edge in getattr(target, "edges", ()) if edge is not None)
        return sum(id(target) in met for target, _ in places)


class _MultiHandle:
    """What registering a hook on several tensors returns: ``remove()`` takes it out again."""

    def __init__(self, handles: Sequence[Any]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _MultiHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


class _Gathered:
    """The gradients of several tensors, collected through one walk after the other."""

    def __init__(self, places: Sequence[tuple[Any, int]], hook: Callable[[list[Any]], None]):
        self.places, self.hook = places, hook
        self.turn: Any = None  # what stands for the walk: to keep that itself would keep its graph alive
        self.grads: list[Any] = []
        self.missing = 0

    def take(self, index: int, grad: Any) -> None:
        walk = state.walk
        if self.turn is not walk.after:
            self.turn, self.grads, self.missing = walk.after, [None] * len(self.places), walk.count(self.places)
            walk.after.append(self.give)  # for a tensor on the way whose gradient turns out to be none
        self.grads[index] = grad
        self.missing -= 1
        if self.missing == 0:
            self.give()

    def give(self) -> None:
        """Call the hook, once in a walk."""
        if self.grads:
            grads, self.grads = self.grads, []
            self.hook(grads)


def register_multi_grad_hook(tensors: Sequence[Any], fn: Callable[..., None], *, mode: str = "all") -> _MultiHandle:
    """Call ``fn(gradients)`` in every backward pass once those of all ``tensors`` that take part in it are there, None in the place of the others; or with
    ``mode="any"`` ``fn(gradient)`` for the first of them.

    Raises ValueError for another mode, RuntimeError ("all") for a tensor that requires no gradient.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if mode == "all":
        gathered = _Gathered([get_gradient_edge(t).place for t in tensors], fn)
        return _MultiHandle([t.register_hook(lambda grad, i=i: gathered.take(i, grad)) for i, t in enumerate(tensors)])
    last: list[Any] = [None]

    def first(grad: Any) -> None:
        if last[0] is not state.walk.after:
            last[0] = state.walk.after
            fn(grad)

    return _MultiHandle([t.register_hook(first) for t in tensors if t.requires_grad])
