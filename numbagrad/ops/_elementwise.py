"""What a formula becomes on tensors: an operation that records itself, whose derivative is an operation of the same kind."""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from ..autograd import anomaly, casting
from ..autograd.mode import state
from ..autograd.node import Node, numbers
from ..kernels import _dtypes
from ..kernels import copy as copy_kernels
from ..kernels import elementwise as kernels
from ..kernels._dtypes import DIFFERENTIABLE
from ..kernels._formula import Expr
from ..tensor import NEW, Parameter, Tensor, wrap
from ._inplace import check_writable, may_overlap, overwrite
from ._operation import freed, keep, keep_result, kept, moved


class ElementwiseNode(Node):
    """A recorded call of an ElementwiseOperation: keeps what its derivative reads, and nothing else."""

    def __init__(self, operation: ElementwiseOperation, recipe: Recipe, edges: Sequence[Any], outputs: Any):
        # As Node.__init__, whose call would cost as much as the rest: this is made on every operation.
        self.edges = edges
        self.outputs = outputs
        self.number = next(numbers)
        self.operation = operation
        self.recipe = recipe
        self.saved: Any = recipe.seeds  # in place of values where there are none to keep
        if anomaly.enabled:
            self.where = anomaly.call_site()

    def name(self) -> str:
        return self.operation.node_name

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        recipe, saved = self.recipe, self.saved
        if saved is None:
            raise freed()
        if len(grads) > 1 and any(g is None for g in grads):
            recipe, saved = self._without(grads)
        results: list[Any] = [None] * len(self.edges)
        if recipe.zero or recipe.passes:
            for position in recipe.zero:
                results[position] = _zeros_for(self.edges[position], grads)
            for position, seed in recipe.passes:
                results[position] = grads[seed]
            if recipe.operation is None:
                return results
        operands = []
        for seed, held in zip(recipe.seeds, saved):
            if seed >= 0:
                operands.append(grads[seed])
            else:
                operands.append(kept(self, held))
        found = recipe.operation.call(*operands)
        if len(recipe.gives) == 1:
            results[recipe.gives[0]] = found
        else:
            for position, gradient in zip(recipe.gives, found):
                results[position] = gradient
        return results

    def _without(self, grads: list[Any]) -> tuple[Recipe, list[Any]]:
        """The derivative where some of several results have no gradient."""
        wanted = sum(1 << i for i, e in enumerate(self.edges) if e is not None)
        partial = self.operation.recipe(wanted, tuple(i for i, g in enumerate(grads) if g is not None))
        held = dict(zip(self.recipe.needs, self.saved))
        return partial, [held.get(need) for need in partial.needs]

    def release(self) -> None:
        if self.recipe.frees:
            self.saved = None


class Recipe(NamedTuple):
    """How gradients flow back through an operation into some of its operands."""

    operation: Any  # the ElementwiseOperation that computes them, fused; None where there are none
    gives: tuple[int, ...]  # the operands that its results are the gradients of
    needs: tuple[str, ...]  # what it takes, by name
    seeds: tuple[int, ...]  # of each of these: the number of the result whose gradient it is, or -1
    sources: tuple[int, ...]  # of each of these: the operand that it is, _RESULT for the result, or _SEED
    keeps: bool  # whether anything but gradients is among them
    frees: bool  # whether any of that may be a tensor, which a walk frees
    zero: tuple[int, ...]  # the operands whose derivative is zero everywhere
    passes: tuple[tuple[int, int], ...]  # the operands whose gradient is that of a result, as it is, and the number of the result


_RESULT, _SEED = -1, -2
_CASTING = vars(casting), "active"
_BOX = kernels.Box(Tensor, "_data", NEW, marks=("_node", "_requires_grad", "_base"), too=Parameter)


class ElementwiseOperation:
    """A formula as a differentiable function of tensors and numbers.

    ``call(*operands)`` is the operation; calling the object itself also takes operands by name and fills in defaults.  Once a kernel is
    known, ``call`` (and ``change``, for ``in_place``) is compiled code that does everything on small tensors (see ``kernels._cpu.entry``) and
    comes here for the rest: to ``general`` for all that is not plain, to ``_recorded`` where the result may have to remember how it was made.
    """

    _made: dict[int, ElementwiseOperation] = {}

    def __init__(self, kernel: kernels.Elementwise, name: str | None = None):
        self.kernel = kernel
        self.name = self.__name__ = name or kernel.name
        self.node_name = _node_name(self.name)
        self.__doc__ = kernel.__doc__
        self.call: Callable[..., Any] = self.general
        self._recipes: dict[Any, Recipe] = {}
        self.change: Callable[..., Tensor] = self.in_place
        install, install_change = functools.partial(setattr, self, "call"), functools.partial(setattr, self, "change")
        kernel.callers[False] = kernels.Caller(
            self.general, self._recorded, _BOX, install, lambda run: functools.partial(self._large, run), _CASTING
        )
        kernel.callers[True] = kernels.Caller(
            self.in_place, _written, _BOX, install_change, lambda run: functools.partial(_overwritten, run), _CASTING
        )

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
        self._recipes.clear()
        return self.kernel.vjp(rule)

    def __call__(self, *operands: Any, **named: Any) -> Any:
        return self.call(*(self.kernel.bind(operands, named) if named else operands))

    def general(self, *operands: Any) -> Any:
        """The operation on operands of any kind, shape and size; inside a formula, a part of it."""
        if Expr in map(type, operands):
            return self.kernel.inside(*operands)
        if casting.active:
            operands = tuple(casting.arguments(self.name, *operands))
        try:
            y = kernels.run(self.kernel, *[x._data if isinstance(x, Tensor) else x for x in operands])
        except TypeError:
            if len(operands) < len(self.kernel.params):
                return self.call(*self.kernel.bind(operands))
            error = self._argument_error(operands)
            if error is None:
                raise
            raise error from None
        if len(operands) == 1 and not isinstance(operands[0], Tensor):
            raise TypeError(f"{self.name}(): argument 'input' (position 1) must be Tensor, not {type(operands[0]).__name__}")
        return self._recorded(tuple(map(wrap, y)) if type(y) is tuple else wrap(y), *operands)

    def _large(self, run: Callable[..., Any], *operands: Any) -> Any:
        y = run(*[x._data if isinstance(x, Tensor) else x for x in operands])
        return self._recorded(tuple(map(wrap, y)) if type(y) is tuple else wrap(y), *operands)

    def _recorded(self, result: Any, *operands: Any) -> Any:
        """``result``, which remembers how it was made if one of ``operands`` is in a graph."""
        edges = []
        wanted, bit = 0, 1
        for x in operands:
            edge = None
            if isinstance(x, Tensor):
                if x._base is not None:
                    x._refresh()
                node = x._node
                if node is not None:
                    edge = (node, x._index)
                    wanted |= bit
                elif x._requires_grad:
                    edge = (x, 0)
                    wanted |= bit
            edges.append(edge)
            bit += bit
        if not wanted or not state.recording:
            return result
        if type((result[0] if type(result) is tuple else result)._data) is not np.ndarray:
            edges = moved(edges, operands)
        recipe = self._recipes.get(wanted) or self.recipe(wanted)
        if type(result) is tuple:
            node = ElementwiseNode(self, recipe, edges, [(y._data.shape, y._data.dtype) for y in result])
            for i, y in enumerate(result):
                if y._data.dtype in DIFFERENTIABLE:
                    y._node, y._index = node, i
        else:
            data = result._data
            dtype = data.dtype
            if dtype not in DIFFERENTIABLE:
                return result
            result._node = node = ElementwiseNode(self, recipe, edges, ((data.shape, dtype),))
        if recipe.keeps:
            node.saved = [
                None if source == _SEED else keep_result(result, node, 0) if source == _RESULT else keep(operands[source])
                for source in recipe.sources
            ]
        return result

    def recipe(self, wanted: int, seeded: tuple[int, ...] | None = None) -> Recipe:
        """The recipe for the operands whose bits are set in ``wanted``, from the gradients of the results ``seeded`` (default: all)."""
        key = wanted if seeded is None else (wanted, seeded)
        found = self._recipes.get(key)
        if found is None:
            positions = tuple(i for i in range(len(self.kernel.params)) if wanted >> i & 1)
            derivative = self.kernel.derivative(positions, seeded)
            passes = _passing(derivative)
            if passes:
                derivative = self.kernel.derivative(tuple(i for i in positions if i not in passes), seeded)
            operation = None if derivative.operation is None else ElementwiseOperation.of(derivative.operation)
            params, seeds = self.kernel.params, derivative.seeds
            sources = [_SEED if need in seeds else _RESULT if need == "<y>" else params.index(need) for need in derivative.needs]
            numbers = tuple(seeds.get(need, -1) for need in derivative.needs)
            read = [source for source in sources if source != _SEED]
            frees = any(source == _RESULT or source not in self.kernel.settings for source in read)
            found = Recipe(
                operation,
                derivative.gives,
                derivative.needs,
                numbers,
                tuple(sources),
                bool(read),
                frees,
                derivative.zero,
                tuple(passes.items()),
            )
            self._recipes[key] = found
        return found

    def _argument_error(self, operands: Sequence[Any]) -> TypeError | None:
        expected = len(self.kernel.params)
        if len(operands) != expected:
            return TypeError(f"{self.name}() takes {expected} arguments ({', '.join(self.kernel.params)}), but {len(operands)} were given")
        for position, x in enumerate(operands):
            if not isinstance(x, (Tensor, bool, int, float, complex)):
                return TypeError(
                    f"{self.name}(): argument '{self.kernel.params[position]}' (position {position + 1}) must be Tensor, not {type(x).__name__}"
                )
        return None

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
            check_result(target, written)
            return overwrite(target, written, op)
        arrays = [x._data if isinstance(x, Tensor) else x for x in operands]
        _check_type(target, kernels.settle(self.kernel, arrays).outputs[0])
        kernels.run(self.kernel, *arrays, out=(data,))
        target._bump()
        return target


def _passing(derivative: Any) -> dict[int, int]:
    """The operands whose gradient is that of a result, unchanged, with the number of the result: nothing is to be computed for them."""
    if derivative.operation is None:
        return {}
    formula = derivative.operation.formula
    names = {id(p): need for p, need in zip(formula.params, derivative.needs)}
    found = {position: names.get(id(output)) for position, output in zip(derivative.gives, formula.outputs)}
    return {position: derivative.seeds[name] for position, name in found.items() if name in derivative.seeds}


def _check_type(target: Tensor, dtype: np.dtype) -> None:
    if _dtypes.category(dtype) > _dtypes.category(target._data.dtype):
        raise RuntimeError(
            f"result type {_dtypes.title(dtype)} can't be cast to the desired output type {_dtypes.title(target._data.dtype)}"
        )


def check_result(target: Tensor, written: Tensor) -> None:
    """Raise RuntimeError where ``written`` cannot be put into ``target``: of a dtype that does not convert, or another shape."""
    _check_type(target, written._data.dtype)
    if written.shape != target.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(written.shape)}")


def _zeros_for(edge: Any, grads: Sequence[Any]) -> Tensor:
    """The gradient for ``edge`` of something that does not change with it: zero and not absent, as in PyTorch, so what lies behind has one too."""
    target, index = edge
    shape, dtype = target.outputs[index] if isinstance(target, Node) else (target._data.shape, target._data.dtype)
    return wrap(copy_kernels.zeros(shape, dtype, next(g for g in grads if g is not None)._data))


def _overwritten(run: Callable[..., Any], *operands: Any) -> Tensor:
    run(*[x._data if isinstance(x, Tensor) else x for x in operands])
    return _written(*operands)


def _written(target: Tensor, *others: Any) -> Tensor:
    target._bump()
    return target


def _node_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_<>").split("_")) + "Backward0"


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
