"""Nodes of the dynamic graph: what an operation leaves behind, and where the gradients for a tensor go."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Sequence

from . import anomaly

numbers = itertools.count()


class Node:
    """One recorded operation.

    ``edges``: per input, ``(node, output index)``, ``(leaf tensor, 0)`` or None; ``outputs``: (shape, NumPy dtype) of each result; ``number``: the
    order of creation.  Subclasses implement ``backward`` (one gradient per edge) and ``release``.
    """

    # Class attributes, not slots set one by one: most nodes never have any of these, and nodes are made on every operation.
    pre_hooks: dict[int, Callable[..., Any]] | None = None
    post_hooks: dict[int, Callable[..., Any]] | None = None
    tensor_hooks: dict[int, dict[int, Callable[..., Any]]] | None = None
    retaining: list[Any] | None = None  # weak references to the results that keep their gradient, as long as they are this node's
    hooked = False  # whether it has any of them
    where: Any = None

    def __init__(self, edges: Sequence[Any], outputs: Sequence[tuple[tuple[int, ...], Any]]):
        self.edges = edges
        self.outputs = outputs
        self.number = next(numbers)
        if anomaly.enabled:
            self.where = anomaly.call_site()

    def name(self) -> str:
        """The name that is printed as ``grad_fn=<name>``."""
        return type(self).__name__

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        """Gradients of the inputs, one per edge, from those of the results (None where a result has none)."""
        raise NotImplementedError

    def differentiates(self, index: int) -> bool:
        """Whether gradients flow into result ``index``."""
        return True

    def release(self) -> None:
        """Let go of saved values; the node can no longer be walked."""

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes behind the inputs, as PyTorch shows them; a leaf appears as its AccumulateGrad."""
        return tuple((None, 0) if e is None else e if isinstance(e[0], Node) else (AccumulateGrad(e[0]), 0) for e in self.edges)

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node's backward; a result replaces grad_inputs."""
        self.hooked, self.post_hooks = True, {} if self.post_hooks is None else self.post_hooks
        return RemovableHandle(self.post_hooks, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before this node's backward; a result replaces grad_outputs."""
        self.hooked, self.pre_hooks = True, {} if self.pre_hooks is None else self.pre_hooks
        return RemovableHandle(self.pre_hooks, hook)


class AccumulateGrad(Node):
    """A leaf as a node, as it appears among ``next_functions``: the way of gradients to it."""

    def __init__(self, variable: Any):
        super().__init__(((variable, 0),), ((variable._data.shape, variable._data.dtype),))
        self.variable = variable

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        return grads

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return ()


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook out again."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]):
        self.id = next(self._ids)
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def edge_of(tensor: Any) -> Any:
    """Where a gradient for ``tensor`` goes: its node, itself if it is a leaf that requires one, or None."""
    if tensor._base is not None:
        tensor._refresh()
    node = tensor._node
    if node is not None:
        return node, tensor._index
    return (tensor, 0) if tensor._requires_grad else None


def source_of(tensor: Any) -> tuple[Node, int] | None:
    """The node that gradients for ``tensor`` go to, and which of its results it is; None where it has no gradient."""
    edge = edge_of(tensor)
    return edge if edge is None or isinstance(edge[0], Node) else (AccumulateGrad(tensor), 0)
