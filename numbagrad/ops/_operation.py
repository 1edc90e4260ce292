"""The seam: how a kernel and its derivative become a differentiable operation on tensors.

    matmul = differentiable("matmul", kernels.matmul.matmul,
        a=lambda g, b: g @ b.mH,
        b=lambda g, a: a.mH @ g)

The forward function takes arrays and returns an array (or a tuple of arrays).  There is one rule per input that has a gradient, run only
when that input needs one.  *The names of a rule's parameters say what it needs*, and exactly that is kept alive until the backward pass:

- ``g``: the gradient of the (first) result; ``g_indices``: of the result called ``indices``;
- ``y`` or the name of a result: that result;
- the name of one of the forward function's parameters: that argument (a tensor, or whatever was passed);
- ``x_shape``, ``x_dtype``: the shape (a tuple) and dtype of tensor argument ``x``, without keeping its data.

A forward function whose last parameter is ``*arrays`` takes any number of tensors there; the rule ``arrays=`` sees them as a list (and
``arrays_shape`` as a list of shapes) and returns a sequence of gradients.

Where several gradients share work, or each is so quick that calling its rule takes longer, ``together`` computes all of them from arrays:
``together(wanted, g, b, ...)`` takes what it names, as the rules do, and returns one array per rule (None where ``wanted`` has False).  It
runs in place of the rules when the backward pass itself is not recorded, unless it declines by returning None.

Rules are written in differentiable operations, so higher derivatives need nothing further.  A rule may return its gradient in a shape
that broadcasts from, or a dtype that promotes from, the input's: the graph's walk undoes both, in one place.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from ..autograd import anomaly, saved
from ..autograd.mode import state
from ..autograd.node import Node, edge_of, numbers, source_of
from ..dtypes import dtype
from ..kernels import _parameters
from ..kernels._device import on_cpu
from ..kernels._dtypes import DIFFERENTIABLE
from ..size import Size
from ..tensor import Tensor, wrap

Rule = Callable[..., Any]


class Saved:
    """A tensor kept for the backward pass, with its version: reading it after an in-place change is an error that names the operation."""

    __slots__ = ("tensor", "version", "index")

    def __init__(self, tensor: Tensor, node: Node | None = None, index: int = -1):
        if node is None:
            self.tensor: Any = tensor
            counter = tensor._counter
            self.version = 0 if counter is None else counter[0]
        else:
            # A result is kept without its link to the node that is keeping it, which would be a cycle.
            counter = tensor._shared_counter()
            self.tensor = (tensor._data, counter)
            self.version = counter[0]
        self.index = index

    def unpack(self, node: Node) -> Tensor:
        held = self.tensor
        if self.index < 0:
            if held._counter[0] != self.version:
                raise changed(node, held, "input", self.version)
            return held
        result = wrap(held[0])
        result._counter = held[1]
        if held[1][0] != self.version:
            raise changed(node, result, "output", self.version)
        if state.recording and node.differentiates(self.index):
            result._node, result._index = node, self.index
        return result


_KEPT = Saved, Tensor, saved.Packed


def keep(x: Any) -> Any:
    """``x`` as it is kept: a tensor that was never changed in place, and all that is no tensor, as itself."""
    if isinstance(x, Tensor):
        if saved.active and saved.wanted():
            return saved.Packed(x, source_of(x), -1)
        counter = x._counter
        if counter is not None and counter[0]:
            return Saved(x)
    return x


def keep_result(y: Tensor, node: Node, index: int) -> Any:
    """``y``, the result ``index`` of ``node``, as ``node`` keeps it."""
    return saved.Packed(y, None, index) if saved.active and saved.wanted() else Saved(y, node, index)


def kept(node: Node, held: Any) -> Any:
    """What ``keep`` was given, or the result that a ``Saved`` stands for.  Raises RuntimeError if it was changed in place since."""
    if type(held) is Saved or type(held) is saved.Packed:
        return held.unpack(node)
    if isinstance(held, Tensor):
        counter = held._counter
        if counter is not None and counter[0]:
            raise changed(node, held, "input", 0)
    return held


def changed(node: Node, tensor: Tensor, role: str, expected: int) -> RuntimeError:
    """The error of reading a tensor that was changed in place after it was kept."""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{tensor.dtype} {list(tensor.shape)}], {role} of {node.name()}, is at version {tensor._version}; expected version {expected} instead. "
        "Hint: enable anomaly detection to find the operation that failed to compute its gradient"
    )


# What is kept as it is and outlives a walk: it takes no memory to speak of, and a graph that keeps nothing else can be walked again.
_SETTINGS = frozenset((type(None), bool, int, float, complex, str, tuple, list, Size, dtype))
# Where a rule's argument is found: the arguments, the gradients of the results, the results, the facts, or all arguments from one on.
_ARGUMENT, _GRADIENT, _RESULT, _FACT, _REST = range(5)


class _Sources(NamedTuple):
    """Where a rule finds its arguments, by position."""

    places: tuple[tuple[int, int], ...]  # (one of the above, index)
    held: tuple[int, ...]  # the positions of arguments and results, which may have been changed since they were kept
    rest: int  # the position of the one that takes any number, or -1


class OperationNode(Node):
    """A recorded call of an Operation."""

    results: Any = ()
    facts: Any = ()
    frees = False  # whether it keeps a tensor for certain, which a walk is to free
    packed = False  # whether hooks took what it keeps

    def __init__(self, operation: Operation, args: list[Any], wanted: tuple[bool, ...], edges: Sequence[Any], outputs: Any):
        # As Node.__init__, whose call would cost as much as the rest.
        self.edges = edges
        self.outputs = outputs
        self.number = next(numbers)
        self.operation: Any = operation
        self.args: Any = args
        self.wanted = wanted  # of the inputs with a rule, which need a gradient
        if anomaly.enabled:
            self.where = anomaly.call_site()

    def name(self) -> str:
        return self.operation.node_name

    def differentiates(self, index: int) -> bool:
        """Whether gradients flow into result ``index``."""
        return index in self.operation.differentiable_results

    def _values(self, sources: _Sources, grads: list[Any]) -> list[Any]:
        """What a rule asks for."""
        args = self.args
        lists = args, grads, self.results, self.facts, args
        values = [lists[kind][where] for kind, where in sources.places]
        for position in sources.held:
            value = values[position]
            if isinstance(value, _KEPT):
                values[position] = kept(self, value)
        if sources.rest >= 0:
            values[sources.rest] = [kept(self, value) for value in args[self.operation.variadic :]]
        return values

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        if self.args is None:
            raise freed()
        if self.packed:
            return self._unpacked().backward(grads)
        operation, edges = self.operation, self.edges
        results: list[Any] = [None] * len(edges)
        if operation.together is not None and not state.recording:
            function, sources = operation.together
            values = self._values(sources, grads)
            found = function(self.wanted, *[v._data if isinstance(v, Tensor) else v for v in values])
            if found is not None:
                for i, gradient in zip(operation.inputs, found):
                    if gradient is not None:
                        results[i] = wrap(gradient)
                return results
        for position, rule, sources in operation.rules:
            if position == operation.variadic:
                if any(e is not None for e in edges[position:]):
                    results[position:] = rule(*self._values(sources, grads))
            elif edges[position] is not None:
                results[position] = rule(*self._values(sources, grads))
        return results

    def _unpacked(self) -> OperationNode:
        """This node with what hooks took of it, each asked for once, although several rules may read it."""
        node = copy.copy(self)
        node.packed = False
        node.args, node.results = ([x.unpack(self) if type(x) is saved.Packed else x for x in held] for held in (self.args, self.results))
        return node

    def release(self) -> None:
        if not self.frees:
            for held in self.args or ():
                if type(held) not in _SETTINGS:
                    break
            else:
                return
        self.args = self.results = None


def moved(edges: list[Any], operands: Sequence[Any]) -> list[Any]:
    """``edges`` of a result on a GPU, with those of numbers on the CPU by way of a move, so that gradients go where they belong."""
    for edge, x in zip(edges, operands):
        if edge is not None and on_cpu(x._data):
            break
    else:  # nearly always
        return edges
    place = next((x.device for x in operands if isinstance(x, Tensor) and not on_cpu(x._data)), None)
    if place is None:  # what was moved is the only operand
        return edges
    return [edge_of(x.to(place)) if edge and on_cpu(x._data) else edge for edge, x in zip(edges, operands)]


def freed() -> RuntimeError:
    """The error of walking a graph twice."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate "
        "values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
        "backward through the graph a second time."
    )


class Operation:
    """A forward function on arrays with one gradient rule per differentiable input; see the module's head.

    Calling it takes tensors where the forward function takes arrays; every other argument is passed on as it is.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        rules: dict[str, Rule],
        results: Sequence[str],
        differentiable: Sequence[str],
        together: Callable[..., Any] | None = None,
    ):
        self.name = self.__name__ = name
        self.node_name = "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"
        self.forward = forward
        self.__doc__ = forward.__doc__
        parameters = [p for p in inspect.signature(forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
        self.parameters = tuple(p.name for p in parameters)
        self.defaults = tuple(p.default for p in parameters)
        # A last parameter *arrays takes any number of tensors; its rule returns one gradient for each.
        self.variadic = len(parameters) - 1 if parameters and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL else -1
        self.results = tuple(results)
        unknown = set(rules) - set(self.parameters)
        if unknown:
            raise TypeError(f"differentiable {name}: rules for {sorted(unknown)}, which are not among the parameters {self.parameters}")
        self._facts: list[tuple[str, int]] = []  # ("shape" or "dtype", position of the argument)
        self.rules = [(self.parameters.index(p), rule, self._sources(_parameters.of(rule))) for p, rule in rules.items()]
        self.inputs = tuple(position for position, _, _ in self.rules)
        self.differentiable_results = frozenset(self.results.index(r) for r in differentiable)
        self.together = None if together is None else (together, self._sources(list(_parameters.of(together))[1:]))
        self._keeps: dict[Any, Any] = {}

    def _sources(self, names: Iterable[str]) -> _Sources:
        places = tuple(map(self._source, names))
        held = tuple(i for i, (kind, _) in enumerate(places) if kind in (_ARGUMENT, _RESULT))
        return _Sources(places, held, next((i for i, (kind, _) in enumerate(places) if kind == _REST), -1))

    def _source(self, name: str) -> tuple[int, int]:
        if name == "g":
            return _GRADIENT, 0
        if name.startswith("g_") and name[2:] in self.results:
            return _GRADIENT, self.results.index(name[2:])
        if name in self.results:
            return _RESULT, self.results.index(name)
        if name in self.parameters:
            position = self.parameters.index(name)
            return (_REST, 0) if position == self.variadic else (_ARGUMENT, position)
        for suffix in ("_shape", "_dtype"):
            if name.endswith(suffix) and name[: -len(suffix)] in self.parameters:
                fact = suffix[1:], self.parameters.index(name[: -len(suffix)])
                if fact not in self._facts:
                    self._facts.append(fact)
                return _FACT, self._facts.index(fact)
        raise TypeError(
            f"differentiable {self.name}: a rule asks for {name!r}; known are g, {', '.join(self.results)}, {', '.join(self.parameters)}"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (kwargs or len(args) < len(self.parameters)) and self.variadic < 0:
            args = self._bind(args, kwargs)
        try:
            y = self.forward(*[x._data if isinstance(x, Tensor) else x for x in args])
        except (AttributeError, TypeError):
            self._check_tensors(args)
            raise
        result: Any = tuple(map(wrap, y)) if type(y) is tuple else wrap(y)
        if not state.recording:
            return result
        edges: list[Any] = []
        needing = 0
        for i in self.inputs if self.variadic < 0 else (*self.inputs[:-1], *range(self.variadic, len(args))):
            x = args[i]
            if isinstance(x, Tensor):
                if x._base is not None:
                    x._refresh()
                if x._node is not None or x._requires_grad:
                    edges = edges or [None] * len(args)
                    edges[i] = (x, 0) if x._node is None else (x._node, x._index)
                    needing |= 1 << i
        if needing:
            outs = result if type(result) is tuple else (result,)
            self._record(args, outs, edges if on_cpu(outs[0]._data) else moved(edges, args), needing)
        return result

    def _check_tensors(self, args: Sequence[Any]) -> None:
        """Raise TypeError for the first argument that should be a tensor and is not: why a forward function failed."""
        for i in self.inputs:
            optional = self.defaults[i] is None and args[i] is None
            if i != self.variadic and not isinstance(args[i], Tensor) and not optional:
                kind = type(args[i]).__name__
                raise TypeError(f"{self.name}(): argument '{self.parameters[i]}' (position {i + 1}) must be Tensor, not {kind}") from None

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        if len(args) > len(self.parameters):
            raise TypeError(f"{self.name}() takes {len(self.parameters)} positional arguments but {len(args)} were given")
        values = list(args)
        for name, default in zip(self.parameters[len(args) :], self.defaults[len(args) :]):
            if name in kwargs:
                values.append(kwargs.pop(name))
            elif default is not inspect.Parameter.empty:
                values.append(default)
            else:
                raise TypeError(f"{self.name}() missing required argument: '{name}'")
        if kwargs:
            name = next(iter(kwargs))
            kind = "got multiple values for argument" if name in self.parameters else "got an unexpected keyword argument"
            raise TypeError(f"{self.name}() {kind} '{name}'")
        return tuple(values)

    def _record(self, args: Sequence[Any], outs: tuple[Tensor, ...], edges: list[Any], needing: int) -> None:
        key = needing if self.variadic < 0 else (needing, len(args))
        keeps = self._keeps.get(key)
        if keeps is None:
            keeps = self._keeps[key] = self._plan(needing, len(args))
        keep_args, keep_results, wanted, frees = keeps
        held: list[Any] = [None] * len(args)
        for i in keep_args:
            x = args[i]
            held[i] = keep(x) if isinstance(x, Tensor) else x
        outputs = [(y._data.shape, y._data.dtype) for y in outs]
        node = OperationNode(self, held, wanted, edges, outputs)
        if frees:
            node.frees = True
        node.packed = saved.active and saved.wanted()
        if self._facts:
            node.facts = [self._fact(kind, position, args) for kind, position in self._facts]
        if keep_results:
            # A result that gradients do not flow into has no link to this node, and is kept as an argument is.
            flows = self.differentiable_results
            node.results = [(keep_result(y, node, i) if i in flows else keep(y)) if i in keep_results else None for i, y in enumerate(outs)]
        for i in self.differentiable_results:
            if outputs[i][1] in DIFFERENTIABLE:  # integers and bools, as of a cast, have no gradient
                outs[i]._node, outs[i]._index = node, i

    def _fact(self, kind: str, position: int, args: Sequence[Any]) -> Any:
        if position == self.variadic:
            return [getattr(x, kind) for x in args[position:]]
        x = args[position]
        return None if not isinstance(x, Tensor) else x._data.shape if kind == "shape" else x.dtype

    def _plan(self, needing: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], bool]:
        """Which of ``count`` arguments, and which results, the rules of the inputs whose bits are set in ``needing`` read; which rules those
        are; and whether any of what they read is a tensor for certain."""
        places = [place for at, _, found in self.rules if needing >> at & 1 or at == self.variadic for place in found.places]
        if self.together is not None:  # its settings, whatever it is to compute
            places += [place for place in self.together[1].places if place[0] == _ARGUMENT and place[1] not in self.inputs]
        kept = {where for kind, where in places if kind == _ARGUMENT}
        if any(kind == _REST for kind, _ in places):
            kept.update(range(self.variadic, count))
        wanted = tuple(bool(needing >> at & 1) for at in self.inputs)
        results = tuple(sorted({where for kind, where in places if kind == _RESULT}))
        return tuple(sorted(kept)), results, wanted, bool(results) or any(i in self.inputs for i in kept)

    def __repr__(self) -> str:
        return f"<operation {self.name}({', '.join(self.parameters)})>"


def differentiable(
    name: str,
    forward: Callable[..., Any],
    *,
    results: Sequence[str] = ("y",),
    differentiable_results: Sequence[str] | None = None,
    together: Callable[..., Any] | None = None,
    **rules: Rule,
) -> Operation:
    """Declare a differentiable operation; see the module's head.

    ``results`` names the arrays that ``forward`` returns when there are several; gradients flow into ``differentiable_results`` (default: the first).
    """
    return Operation(name, forward, rules, results, results[:1] if differentiable_results is None else differentiable_results, together)
