"""What a formula becomes on tensors: an operation that records itself, whose derivative is an operation of the same kind."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from ..autograd.graph import Node, edge_of
from ..autograd.mode import state
from ..kernels import _dtypes
from ..kernels import elementwise as kernels
from ..kernels._formula import Expr
from ..tensor import Tensor, wrap
from ._inplace import check_writable, may_overlap, overwrite
from ._operation import Saved, freed


class ElementwiseNode(Node):
    """A recorded call of an ElementwiseOperation: keeps what its derivative reads, and nothing else."""

    def __init__(self, operation: ElementwiseOperation, derivative: Any, edges: Sequence[Any], outputs: Any):
        super().__init__(edges, outputs)
        self.operation = operation
        self.derivative: Any = derivative
        self.saved: Any = None

    def name(self) -> str:
        return self.operation.node_name

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        if self.saved is None:
            raise freed()
        derivative = self.derivative
        results: list[Any] = [None] * len(self.edges)
        if derivative.operation is None:
            return results
        many = len(grads) > 1
        if many and any(g is None for g in grads):
            have = tuple(i for i, g in enumerate(grads) if g is not None)
            derivative = self.operation.kernel.derivative(tuple(i for i, e in enumerate(self.edges) if e is not None), have)
            if derivative.operation is None:
                return results
        operands = []
        for need in derivative.needs:
            if need in derivative.seeds:
                operands.append(grads[derivative.seeds[need]])
            else:
                held = self.saved[need]
                operands.append(held.unpack(self) if type(held) is Saved else held)
        found = ElementwiseOperation.of(derivative.operation)(*operands)
        for position, gradient in zip(derivative.gives, found if type(found) is tuple else (found,)):
            results[position] = gradient
        return results

    def release(self) -> None:
        self.saved = None


class ElementwiseOperation:
    """A formula as a differentiable function of tensors and numbers."""

    _made: dict[int, ElementwiseOperation] = {}

    def __init__(self, kernel: kernels.Elementwise, name: str | None = None):
        self.kernel = kernel
        self.name = self.__name__ = name or kernel.name
        self.node_name = _node_name(self.name)
        self.__doc__ = kernel.__doc__

    @classmethod
    def of(cls, kernel: kernels.Elementwise) -> ElementwiseOperation:
        """The operation of ``kernel``, made once."""
        found = cls._made.get(id(kernel))
        if found is None:
            found = cls._made[id(kernel)] = cls(kernel)
        return found

    def __repr__(self) -> str:
        return f"<elementwise operation {self.name}({', '.join(self.kernel.params)})>"

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient by a formula of its own: ``rule`` names what it reads among ``g``, ``y`` and the parameters."""
        return self.kernel.vjp(rule)

    def __call__(self, *operands: Any, **named: Any) -> Any:
        if named:
            operands = self.kernel.bind(operands, named)
        try:
            y = kernels.run(self.kernel, *[x._data if isinstance(x, Tensor) else x for x in operands])
        except TypeError:
            if any(isinstance(x, Expr) for x in operands):
                return self.kernel.inside(*operands)
            if len(operands) < len(self.kernel.params):
                return self(*self.kernel.bind(operands))
            raise self._argument_error(operands) from None
        many = type(y) is tuple
        result = tuple(map(wrap, y)) if many else wrap(y)
        if state.recording:
            for x in operands:
                if isinstance(x, Tensor) and (x._node is not None or x._requires_grad or (x._base is not None and x.requires_grad)):
                    self._record(operands, result if many else (result,))  # type: ignore[arg-type]
                    break
        return result

    def _argument_error(self, operands: Sequence[Any]) -> TypeError:
        expected = len(self.kernel.params)
        if len(operands) != expected:
            return TypeError(f"{self.name}() takes {expected} arguments ({', '.join(self.kernel.params)}), but {len(operands)} were given")
        for position, x in enumerate(operands):
            if not isinstance(x, (Tensor, bool, int, float, complex)):
                return TypeError(
                    f"{self.name}(): argument '{self.kernel.params[position]}' (position {position + 1}) must be Tensor, not {type(x).__name__}"
                )
        return TypeError(f"{self.name}(): invalid combination of arguments: {', '.join(type(x).__name__ for x in operands)}")

    def _record(self, operands: Sequence[Any], results: Sequence[Tensor]) -> None:
        if not any(_differentiable(t) for t in results):
            return
        wanted = tuple([i for i, x in enumerate(operands) if isinstance(x, Tensor) and x.requires_grad and _differentiable(x)])
        derivative = self.kernel.derivative(wanted)
        edges = [edge_of(x) if i in wanted else None for i, x in enumerate(operands)]
        node = ElementwiseNode(self, derivative, edges, [(t._data.shape, t._data.dtype) for t in results])
        saved: dict[str, Any] = {}
        for need in derivative.needs:
            if need == "<y>":
                saved[need] = Saved(results[0], node, 0)
            elif need in self.kernel.params:
                x = operands[self.kernel.params.index(need)]
                saved[need] = Saved(x) if isinstance(x, Tensor) else x
        node.saved = saved
        for i, t in enumerate(results):
            if len(results) == 1 or _differentiable(t):
                t._node, t._index = node, i

    def in_place(self, target: Tensor, *others: Any) -> Tensor:
        """``target`` overwritten by the operation's result on (target, *others)."""
        op = self.name + "_"
        check_writable(target, op)
        operands = (target, *others)
        if len(operands) < len(self.kernel.params):
            return self.in_place(*self.kernel.bind(operands))
        data = target._data
        for x in others:
            if isinstance(x, Tensor) and may_overlap(data, x._data):
                return self.in_place(target, *[o.clone() if isinstance(o, Tensor) and may_overlap(data, o._data) else o for o in others])
        if state.recording and any(isinstance(x, Tensor) and x.requires_grad for x in operands):
            kept = target.clone()  # what the derivative may read must survive the change
            written = self(kept, *others)
            self._check_result(target, written)
            return overwrite(target, written, op)
        arrays = [x._data if isinstance(x, Tensor) else x for x in operands]
        self._check_type(target, kernels.settle(self.kernel, arrays).outputs[0])
        kernels.run(self.kernel, *arrays, out=(data,))
        target._bump()
        return target

    def _check_type(self, target: Tensor, dtype: np.dtype) -> None:
        if _dtypes.category(dtype) > _dtypes.category(target._data.dtype):
            raise RuntimeError(
                f"result type {_dtypes.title(dtype)} can't be cast to the desired output type {_dtypes.title(target._data.dtype)}"
            )

    def _check_result(self, target: Tensor, written: Tensor) -> None:
        self._check_type(target, written._data.dtype)
        if written.shape != target.shape:
            raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(written.shape)}")


def _node_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_<>").split("_")) + "Backward0"


def _differentiable(x: Tensor) -> bool:
    return _dtypes.is_differentiable(x._data.dtype)


def operation(kernel: kernels.Elementwise, name: str | None = None) -> ElementwiseOperation:
    """The operation of ``kernel``, under ``name``."""
    op = ElementwiseOperation.of(kernel)
    if name is not None:
        op.name = op.__name__ = name
        op.node_name = _node_name(name)
    return op


def elementwise(function: Callable[..., Any] | None = None, *, result: str = "auto", accepts: str = "bif") -> Any:
    """Make a differentiable operation from a scalar formula.

        @ng.elementwise
        def swish(x, beta):
            return x * ng.sigmoid(beta * x)

    The function is traced once: it may use arithmetic, comparisons and numbagrad's elementwise functions, and ``ng.where`` in place of ``if``.  The result
    is called with tensors and numbers, which broadcast and promote as everywhere; gradients of every order come from the formula, as one fused
    kernel each.  ``@swish.vjp`` declares a gradient by hand.

    ``result``: ``"auto"``, the dtype that evaluating the formula step by step would give (a division makes integers floats); ``"same"`` as the operands'
    common dtype, ``"float"`` (integers become floats) or ``"bool"``.  ``accepts``: the kinds of operands, letters of ``"bifc"`` (bool, integer, floating,
    complex).  A parameter annotated ``bool`` is a condition, one annotated ``float`` a setting that does not raise the dtype of the others; defaults hold.
    Raises TypeError for a formula that branches on its data or leaves scalars, and for arguments that do not fit the formula's parameters.
    """
    if function is None:
        return lambda f: elementwise(f, result=result, accepts=accepts)
    made = kernels.elementwise(function, result=result, accepts=accepts)
    made.formula  # trace now, so that a mistake in a formula shows where it is written  # noqa: B018
    return ElementwiseOperation(made)
