"""``Function``: an operation of one's own, with a backward written by hand."""

from __future__ import annotations

import functools
import warnings
import weakref
from typing import Any, Sequence

from ..kernels._device import device_of
from . import saved
from .mode import no_grad, state
from .node import Node, edge_of, source_of


class FunctionCtx:
    """What ``forward`` and ``backward`` share: ``ctx.save_for_backward(...)``, ``ctx.saved_tensors``, ``ctx.needs_input_grad`` and any attribute."""

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._saved: list[Any] | None = None
        self._non_differentiable: set[int] = set()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True
        self._node: Any = lambda: None  # a weak reference: the node holds the context, and both are to go when the graph does
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward; a change in place before then is an error.  Raises TypeError for anything else."""
        for i, tensor in enumerate(tensors):
            if tensor is not None and not _is_tensor(tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {type(tensor).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Tensors for a forward derivative, which there is none of: nothing is kept."""

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Outputs that have no gradient."""
        self._non_differentiable = {id(t) for t in outputs}

    def mark_dirty(self, *tensors: Any) -> None:
        """Inputs that forward changed in place (and returns)."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward receives zeros (True) or None for outputs without a gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        if self._saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
                "Specify retain_graph=True if you need to backward through the graph a second time."
            )
        return tuple(None if s is None else s.unpack(self._node()) if type(s) is saved.Packed else self._unpack(*s) for s in self._saved)

    def _unpack(self, tensor: Any, version: int, output: int) -> Any:
        if tensor._version != version:
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an inplace operation: a tensor saved by {self._node().name()} "
                f"is at version {tensor._version}; expected version {version} instead."
            )
        if output < 0:
            return tensor
        again = tensor.detach()
        again._node, again._index = self._node(), output
        return again


class _FunctionNode(Node):
    """A call of a Function, with the attributes of its context.  Each Function has a subclass, whose name says which."""

    def __init__(self, function: type[Function], ctx: FunctionCtx, edges: Sequence[Any], outputs: Any, places: Sequence[str | None]):
        super().__init__(edges, outputs)
        self.places = places  # the devices of the arguments, None for what is no tensor
        self.function: Any = function
        self.ctx = ctx

    def __getattr__(self, name: str) -> Any:
        if name != "ctx" and "ctx" in self.__dict__ and not name.startswith("_"):
            return getattr(self.ctx, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        ctx = self.ctx
        if ctx._materialize:
            given = next(g for g in grads if g is not None)
            grads = [
                given.new_zeros(shape, dtype=dtype) if g is None and dtype is not None else g
                for g, (shape, dtype) in zip(grads, self.outputs)
            ]
        found = self.function.backward(ctx, *grads)
        found = found if isinstance(found, tuple) else (found,)
        expected = len(self.edges)
        if len(found) > expected and all(g is None for g in found[expected:]):
            found = found[:expected]
        if len(found) != expected:
            raise RuntimeError(f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got {len(found)})")
        for i, grad in enumerate(found):
            if grad is not None and not _is_tensor(grad):
                kind = type(grad).__name__
                raise RuntimeError(f"function {self.name()} returned a {kind} as gradient {i}; expected Variable or None (got {kind})")
            if grad is not None and self.places[i] is None:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {i + 1}, but the corresponding forward input was not "
                    "a Variable"
                )
            if grad is not None and self.edges[i] is not None and device_of(grad._data) != self.places[i]:
                if grad.ndim:
                    raise RuntimeError(
                        f"Function {self.name()} returned an invalid gradient at index {i} - expected device {self.places[i]} but got {grad.device}"
                    )
                found = (*found[:i], grad.to(self.places[i]), *found[i + 1 :])  # of a number that was computed with beside tensors of a GPU
        return found

    def release(self) -> None:
        self.ctx._saved = None


class Function:
    """Subclass with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``, and call ``MyFunction.apply(*args)``.

    ``backward`` returns one gradient per argument of forward (None where there is none).  Written in differentiable operations it is
    differentiable itself.  ``setup_context(ctx, inputs, output)`` may take over forward's context work; forward is then called without ctx.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        name = type(self).__name__
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on the class itself: "
            f"call {name}.apply(...).",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"Legacy autograd function with non-static forward method is deprecated: forward is a static method, call {type(self).__name__}.apply(...)"
        )

    @classmethod
    def _node_class(cls) -> type[_FunctionNode]:
        found = cls.__dict__.get("_node_of_calls")
        if found is None:
            found = type(f"{cls.__name__}Backward", (_FunctionNode,), {})
            cls._node_of_calls = found  # type: ignore[attr-defined]
        return found

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward on ``args``, recording backward."""
        ctx = FunctionCtx()
        tensors = [a if _is_tensor(a) else None for a in args]
        recorded = state.recording and any(t is not None and t.requires_grad for t in tensors)
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in tensors)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
            many = isinstance(result, (tuple, list))
            outputs = list(result) if many else [result]
            # An argument as it is becomes a view of itself, so that changing it in place is a change of the argument too.
            outputs = [
                t.view_as(t) if _is_tensor(t) and any(t is a for a in args) and not any(t is d for d in ctx._dirty) else t for t in outputs
            ]
        edges = [edge_of(t) if t is not None and t.requires_grad else None for t in tensors] if recorded else []
        if ctx._dirty:
            _check_dirty(ctx._dirty, args, outputs, recorded)
            for t in ctx._dirty:
                t._bump()
        if recorded:
            meta = [(t._data.shape, t._data.dtype) if _is_tensor(t) else ((), None) for t in outputs]
            node = cls._node_class()(cls, ctx, edges, meta, [None if t is None else device_of(t._data) for t in tensors])
            ctx._node = weakref.ref(node)
            for i, t in enumerate(outputs):
                if _is_tensor(t) and id(t) not in ctx._non_differentiable and (t.is_floating_point() or t.is_complex()):
                    t._node, t._index = node, i
                    t._requires_grad = False
        positions = {id(t): i for i, t in enumerate(outputs)}
        ctx._saved = [None if t is None else _keep(t, positions.get(id(t), -1) if recorded else -1) for t in ctx._to_save]
        ctx._to_save = ()
        return type(result)(outputs) if many else outputs[0]


def _keep(tensor: Any, output: int) -> Any:
    """What is kept of a tensor that is to be saved; ``output``: its number among the results, or -1."""
    if saved.active and saved.wanted():
        return saved.Packed(tensor, source_of(tensor) if output < 0 else None, output)
    return (tensor, tensor._version, -1) if output < 0 else (tensor.detach(), tensor._version, output)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "_node")


def _check_dirty(dirty: Sequence[Any], arguments: Sequence[Any], outputs: Sequence[Any], recorded: bool) -> None:
    """Warn of a changed tensor that was no argument.  Raises RuntimeError for a leaf that requires a gradient, and for one that is not returned."""
    for t in dirty:
        if not any(t is a for a in arguments):
            warnings.warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated should be passed to ctx.mark_dirty().",
                stacklevel=4,
            )
        elif recorded and t.requires_grad and t.is_leaf:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        if not any(t is y for y in outputs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified inplace must all be "
                "outputs of the Function."
            )


class _DifferentiatedOnce(Node):
    """Stands behind the results of a backward that has no derivative of its own, where somebody may want it."""

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(backward: Any) -> Any:
    """Mark a backward that is not itself differentiable: differentiating its results raises RuntimeError."""

    @functools.wraps(backward)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            found = backward(ctx, *grads)
        wanted = [g for g in grads if g is not None and g.requires_grad]
        if not state.recording or not wanted:
            return found
        several = isinstance(found, tuple)
        results = [None if y is None else y.detach() for y in (found if several else (found,))]
        outputs = [((), None) if y is None else (y._data.shape, y._data.dtype) for y in results]
        node = _DifferentiatedOnce([edge_of(g) for g in wanted], outputs)
        for i, y in enumerate(results):
            if y is not None:
                y._node, y._index = node, i
        return tuple(results) if several else results[0]

    return wrapped
