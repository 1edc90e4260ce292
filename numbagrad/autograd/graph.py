"""The dynamic graph: the walk back over the nodes that operations leave behind.

A tensor that an operation made knows the ``Node`` that made it.  A node knows, for each input that requires a gradient, an edge: the node
(and which of its outputs) that made the input, or the leaf tensor itself.  Nodes are numbered as they are created, and an input is
always older than its user; so a heap by falling number visits every node after all its users, without counting dependencies and
without recursion.  No numerics here: gradients are added with ``+``, fitted to their input's shape and dtype by the tensor's own methods.
"""

from __future__ import annotations

import heapq
import os
import threading
import warnings
from typing import Any, Sequence

from ..kernels._device import device_of
from . import anomaly, casting
from .edges import GradientEdge, Walk
from .edges import get_gradient_edge as get_gradient_edge
from .edges import increment_version as increment_version
from .edges import register_multi_grad_hook as register_multi_grad_hook
from .mode import state
from .node import Node as Node
from .node import edge_of
from .saved import allow_mutation_on_saved_tensors as allow_mutation_on_saved_tensors
from .saved import disable_saved_tensors_hooks as disable_saved_tensors_hooks
from .saved import save_on_cpu as save_on_cpu
from .saved import saved_tensors_hooks as saved_tensors_hooks

# Threads that walk graphs with a leaf in common add to its gradient one after another.  Reentrant: a hook may walk another graph.
_accumulation = threading.RLock()


def _new_lock() -> None:
    """In the child of a fork the thread that held the lock does not exist."""
    global _accumulation
    _accumulation = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def _place(tensor: Any) -> Any:
    """The edge of ``tensor``, which may be given as one."""
    return tensor.place if type(tensor) is GradientEdge else edge_of(tensor)


def _fit(grad: Any, shape: tuple[int, ...], dtype: Any, node: Node, position: int) -> Any:
    """``grad`` in the shape and dtype of the input it belongs to: broadcasting is undone by summing, promotion by casting.

    This is the one place where that happens; rules need not care.
    """
    have = grad._data.shape
    if have != shape:
        lead = len(have) - len(shape)
        if lead < 0 or any(h != s and s != 1 for h, s in zip(have[lead:], shape)):
            raise RuntimeError(
                f"Function {node.name()} returned an invalid gradient at index {position} - got {list(have)} but expected shape compatible with {list(shape)}"
            )
        grad = grad.sum_to_size(shape)
    if grad._data.dtype != dtype:
        grad = grad._cast_gradient(dtype)
    return grad


def _reachable(roots: Sequence[Node], targets: set[int]) -> set[int]:
    """Ids of the nodes below ``roots`` from which one of ``targets`` (ids of nodes and leaves) can be reached."""
    leads: set[int] = set()
    seen: set[int] = set()
    stack: list[tuple[Any, bool]] = [(r, False) for r in roots]
    while stack:
        node, done = stack.pop()
        if done:
            if any(e is not None and (id(e[0]) in targets or id(e[0]) in leads) for e in node.edges):
                leads.add(id(node))
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((e[0], False) for e in node.edges if e is not None and isinstance(e[0], Node))
    return leads


def walk(
    roots: Sequence[tuple[Any, Any]],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Any] | None = None,
    accumulate: bool = True,
) -> list[Any]:
    """Propagate gradients from ``roots``, pairs of an edge and its gradient.

    Without ``inputs`` every leaf reached receives its gradient.  With ``inputs`` only what lies between is visited; their gradients are
    accumulated into ``.grad`` (``accumulate``) or returned, None for one that was not reached.
    """
    wanted = None if inputs is None else [_place(t) for t in inputs]
    only = None if wanted is None else _Between([edge[0] for edge, _ in roots if isinstance(edge[0], Node)], wanted)
    heap: list[tuple[int, Node]] = []  # nodes that have a gradient, by falling number
    slots: dict[Node, list[Any]] = {}  # the gradients of their results
    leaves: dict[int, list[Any]] = {}  # leaves and their gradients, by id
    node: Any = None
    edges: Any = [edge for edge, _ in roots]
    results: Any = [grad for _, grad in roots]
    recording, state.recording = state.recording, create_graph
    before, state.walk = state.walk, Walk(roots, only)
    casts = casting.suspend(True) if casting.active else None
    try:
        while True:
            for position, (edge, grad) in enumerate(zip(edges, results)):
                if edge is None or grad is None:
                    continue
                target, index = edge
                data = grad._data
                inner = isinstance(target, Node)
                shape, dtype = target.outputs[index] if inner else (target._data.shape, target._data.dtype)
                if data.shape != shape or data.dtype is not dtype:
                    grad = _fit(grad, shape, dtype, node, position)
                held = slots.get(target) if inner else leaves.get(id(target))
                if held is not None:
                    at = index if inner else 1
                    held[at] = grad if held[at] is None else held[at] + grad
                elif only is None or only.concerns(target):
                    if inner:
                        slots[target] = held = [None] * len(target.outputs)
                        held[index] = grad
                        heapq.heappush(heap, (-target.number, target))  # numbers differ, so nodes are never compared
                    else:
                        leaves[id(target)] = [target, grad]
            edge = grad = data = held = results = None  # a gradient that the walk still held would be copied when its leaf takes it over
            if not heap:
                break
            node = heapq.heappop(heap)[1]
            grads = slots.pop(node)
            if node.hooked or only is not None or anomaly.enabled:
                results = _visit(node, grads, only)
            else:
                results = node.backward(grads)
            edges = node.edges
            if not retain_graph:
                node.release()
            del grads
        found = _finish(leaves, only, inputs, wanted, accumulate, create_graph)
        for act in state.walk.after:
            act()
        return found
    finally:
        state.recording, state.walk = recording, before
        if casts is not None:
            casting.suspend(casts)


class _Between:
    """What lies between the roots and ``targets``, where a walk is to go no further."""

    def __init__(self, roots: Sequence[Node], wanted: Sequence[Any]):
        self.targets = {id(edge[0]) for edge in wanted}
        self.leads = _reachable(roots, self.targets)
        self.captured: dict[tuple[int, int], Any] = {}  # gradients of targets, by id and index

    def concerns(self, target: Any) -> bool:
        """Whether the gradient of ``target``, a node or a leaf, is of use."""
        return id(target) in self.targets or id(target) in self.leads


def _visit(node: Node, grads: list[Any], only: _Between | None) -> Sequence[Any]:
    """What ``node.backward`` gives, with its hooks and those of its results; nothing for a node that leads nowhere."""
    if node.tensor_hooks:
        for index, hooks in node.tensor_hooks.items():
            if grads[index] is not None:
                grads[index] = _run_hooks(hooks, grads[index])
    if node.retaining:
        for reference in node.retaining:
            tensor = reference()
            if tensor is not None and tensor._node is node and grads[tensor._index] is not None:
                tensor._retain(grads[tensor._index])
    if only is not None:
        if id(node) in only.targets:
            for index, grad in enumerate(grads):
                if grad is not None:
                    only.captured[(id(node), index)] = grad
        if id(node) not in only.leads:
            return ()
    if node.pre_hooks:
        for hook in list(node.pre_hooks.values()):
            replaced = hook(tuple(grads))
            grads = grads if replaced is None else list(replaced if isinstance(replaced, tuple) else (replaced,))
    results = node.backward(grads)
    if node.post_hooks:
        for hook in list(node.post_hooks.values()):
            replaced = hook(tuple(results), tuple(grads))
            results = results if replaced is None else replaced if isinstance(replaced, tuple) else (replaced,)
    if anomaly.enabled:
        anomaly.check(node, results)
    return results


def _finish(
    leaves: dict[int, list[Any]], only: _Between | None, inputs: Any, wanted: Any, accumulate: bool, create_graph: bool
) -> list[Any]:
    """Give leaves and inputs their gradients; those of ``inputs`` are returned."""
    while leaves:
        leaf, grad = leaves.pop(next(iter(leaves)))
        if leaf._hooks:
            grad = _run_hooks(leaf._hooks, grad)
        if only is None:
            with _accumulation:
                leaf._accumulate(grad, create_graph)
        elif id(leaf) in only.targets:
            only.captured[(id(leaf), 0)] = grad
        grad = None
    if only is None:
        return []
    found = [only.captured.get((id(e[0]), e[1])) for e in wanted]
    if accumulate:
        for tensor, grad in zip(inputs, found):
            if type(tensor) is GradientEdge:
                tensor = tensor.place[0]  # an inner node has nothing to keep a gradient in
            if grad is not None and not isinstance(tensor, Node):
                with _accumulation:
                    tensor._accumulate(grad, create_graph)
    return found


def _run_hooks(hooks: Any, grad: Any) -> Any:
    for hook in list(hooks.values()) if hooks else ():
        replaced = hook(grad)
        if replaced is not None:
            _check_replaced(hook, grad, replaced)
            grad = replaced
    return grad


def _check_replaced(hook: Any, grad: Any, replaced: Any) -> None:
    """Raise unless ``replaced``, which ``hook`` returned, can take the place of ``grad``."""
    if not hasattr(replaced, "requires_grad"):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}'")
    name = repr(getattr(hook, "__name__", hook))
    for attribute, what in (("dtype", "type"), ("device", "device"), ("shape", "size")):
        before, after = getattr(grad, attribute), getattr(replaced, attribute)
        if before != after:
            raise RuntimeError(f"hook {name} has changed the {what} of value (was {before!s} got {after!s})")


def _seed(output: Any, gradient: Any, op: str) -> Any:
    """The gradient to start ``output`` with: the given one, checked, or 1 for a scalar."""
    if gradient is None:
        data = output._data
        if data.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if data.dtype.kind != "f" and not output.is_floating_point():
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")
        return output._ones()
    if not hasattr(gradient, "requires_grad"):
        raise TypeError(f"{op}: gradients can be either Tensors or None, but got {type(gradient).__name__}")
    if gradient.shape != output.shape:
        raise RuntimeError(f"Mismatch in shape: grad_output has a shape of {gradient.shape} and output has a shape of {output.shape}.")
    if device_of(gradient._data) != device_of(output._data):
        if gradient.ndim:
            raise RuntimeError(f"{op}: invalid gradient at index 0 - expected device {output.device} but got {gradient.device}")
        gradient = gradient.to(output.device)
    return gradient


def _edge_seed(edge: GradientEdge, gradient: Any, op: str) -> Any:
    """The gradient to start an edge with, which has to be given: an edge does not know what would be 1 on its device."""
    shape = edge.node.outputs[edge.output_nr][0]
    if gradient is None:
        raise RuntimeError(f"{op}: a gradient is created implicitly only for a tensor, but got a GradientEdge without one")
    if tuple(gradient.shape) != shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output has a shape of {gradient.shape} and the output of the GradientEdge has a shape of {list(shape)}."
        )
    return gradient


def root(tensor: Any, gradient: Any, op: str) -> tuple[Any, Any]:
    """Where a walk from ``tensor`` begins: its edge, and the gradient to start with (None: 1)."""
    if type(tensor) is GradientEdge:
        return tensor.place, _edge_seed(tensor, gradient, op)
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    return edge, _seed(tensor, gradient, op)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) and type(value) is not GradientEdge else (value,)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add to ``.grad`` of the leaves (or of ``inputs``) the gradient of the sum of ``tensors``, each weighted by its entry of ``grad_tensors``.

    ``retain_graph`` keeps the graph for another walk (default: as ``create_graph``); ``create_graph`` records the walk itself, for higher
    derivatives.  Raises RuntimeError for a tensor that requires no gradient, a missing seed of a non-scalar, and a graph already freed.
    """
    outputs = _as_tuple(tensors)
    seeds = (None,) * len(outputs) if grad_tensors is None else _as_tuple(grad_tensors)
    if len(seeds) != len(outputs):
        raise RuntimeError(f"backward: got {len(outputs)} tensors and {len(seeds)} gradients")
    retain = create_graph if retain_graph is None else retain_graph
    targets = None if inputs is None else _as_tuple(inputs)
    if targets is not None:
        _check_inputs(targets)
        if not targets:
            raise RuntimeError("backward: 'inputs' argument cannot be empty")
    roots = [root(t, g, "backward") for t, g in zip(outputs, seeds)]
    if targets is None:
        walk(roots, retain, create_graph)
    else:
        _walk_to(targets, roots, retain, create_graph, accumulate=True)


def _walk_to(inputs: Sequence[Any], roots: Sequence[tuple[Any, Any]], retain: bool, create_graph: bool, accumulate: bool) -> list[Any]:
    """A walk to ``inputs`` alone, which nodes on the way can tell by ``state.partial``."""
    before, state.partial = state.partial, True
    try:
        return walk(roots, retain, create_graph, inputs, accumulate)
    finally:
        state.partial = before


def _check_inputs(inputs: Sequence[Any]) -> None:
    for tensor in inputs:
        if _place(tensor) is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of the sum of ``outputs`` with respect to ``inputs``, returned rather than accumulated.

    A GradientEdge may stand in the place of a tensor.  With ``is_grads_batched`` each of ``grad_outputs`` has a first dimension more, and so have the results:
    a walk for each entry, one after the other.
    Raises RuntimeError for an input that does not require a gradient, or, unless ``allow_unused``, one that the outputs do not depend on; ValueError for
    ``materialize_grads`` without it.
    """
    outs, ins = _as_tuple(outputs), _as_tuple(inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            f"grad: Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused={allow_unused}."
        )
    if not only_inputs:
        warnings.warn("only_inputs argument is deprecated and is ignored now (defaults to True).", FutureWarning, stacklevel=2)
    if is_grads_batched:
        from .functional import gradients_of_batch

        return gradients_of_batch(outs, ins, _as_tuple(grad_outputs), retain_graph, create_graph, allow_unused, materialize_grads)
    seeds = (None,) * len(outs) if grad_outputs is None else _as_tuple(grad_outputs)
    if len(seeds) != len(outs):
        raise RuntimeError(f"grad: got {len(outs)} outputs and {len(seeds)} grad_outputs")
    _check_inputs(ins)
    retain = create_graph if retain_graph is None else retain_graph
    roots = [root(t, g, "grad") for t, g in zip(outs, seeds)]
    found = _walk_to(ins, roots, retain, create_graph, accumulate=False)
    allow = materialize_grads if allow_unused is None else allow_unused
    if materialize_grads:
        found = [t.detach().new_zeros(t.shape) if g is None else g for t, g in zip(ins, found)]
    if not allow and any(g is None for g in found):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior."
        )
    return tuple(found)
