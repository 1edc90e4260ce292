"""``Function``: an operation of one's own, with a backward written by hand."""

from __future__ import annotations

from typing import Any, Sequence

from ..kernels._device import device_of
from . import saved
from .graph import Node, edge_of, source_of
from .mode import no_grad, state


class _Context:
    """What ``forward`` and ``backward`` share: ``ctx.save_for_backward(...)``, ``ctx.saved_tensors``, ``ctx.needs_input_grad`` and any attribute."""

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._saved: list[Any] | None = None
        self._non_differentiable: set[int] = set()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True
        self._node: Any = None
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward; a change in place before then is an error.  Raises TypeError for anything else."""
        for i, tensor in enumerate(tensors):
            if tensor is not None and not _is_tensor(tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {type(tensor).__name__}")
        self._to_save = tensors

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
        return tuple(None if s is None else s.unpack(self._node) if type(s) is saved.Packed else self._unpack(*s) for s in self._saved)

    def _unpack(self, tensor: Any, version: int, output: int) -> Any:
        if tensor._version != version:
            raise RuntimeError(
                f"one of the variables needed for gradient computation has been modified by an inplace operation: a tensor saved by {self._node.name()} "
                f"is at version {tensor._version}; expected version {version} instead."
            )
        if output < 0:
            return tensor
        again = tensor.detach()
        again._node, again._index = self._node, output
        return again


class _FunctionNode(Node):
    def __init__(self, function: type[Function], ctx: _Context, edges: Sequence[Any], outputs: Any, places: Sequence[str]):
        super().__init__(edges, outputs)
        self.places = places  # the devices of the arguments
        self.function: Any = function
        self.ctx = ctx

    def name(self) -> str:
        return f"{self.function.__name__}Backward"

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
                raise RuntimeError(f"function {self.name()} returned a {type(grad).__name__} as gradient {i}; expected a Tensor or None")
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

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("You must implement the backward function to use your custom autograd.Function with backward mode AD.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward on ``args``, recording backward."""
        ctx = _Context()
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
        outputs = [
            t.detach() if _is_tensor(t) and any(t is a for a in args) and not any(t is d for d in ctx._dirty) else t for t in outputs
        ]
        edges = [edge_of(t) if t is not None and t.requires_grad else None for t in tensors] if recorded else []
        for t in ctx._dirty:
            t._bump()
        if recorded:
            meta = [(t._data.shape, t._data.dtype) if _is_tensor(t) else ((), None) for t in outputs]
            node = _FunctionNode(cls, ctx, edges, meta, ["" if t is None else device_of(t._data) for t in tensors])
            ctx._node = node
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


def once_differentiable(backward: Any) -> Any:
    """Mark a backward that is not itself differentiable: its results are cut off from the graph."""

    def wrapped(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            return backward(ctx, *grads)

    return wrapped
