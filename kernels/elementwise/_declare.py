"""What ``@elementwise`` makes of a formula: an operation on arrays, and the operation that is its derivative."""

from __future__ import annotations

import inspect
from typing import Any, Callable, NamedTuple, Sequence

from .. import _formula, _parameters
from .._cpu.entry import Box
from .._formula import Expr, Formula

# How the result's type follows from the operands' common type.
RESULTS = ("same", "number", "float", "bool", "real", "auto")


class Caller(NamedTuple):
    """Who calls an operation and wants a quicker way to: ``install`` is given a function that does small calls at once (on arrays boxed as ``box``
    says), passes results that concern ``marked`` by it, and leaves the other calls to ``general``; see ``_cpu.entry``.  ``large`` makes a function
    of arrays one of boxes, for big calls that need no further look.  ``aside``: a module's variables and the name of one that is False unless ``general``
    has to look at every call on a GPU."""

    general: Callable[..., Any]
    marked: Callable[..., Any]
    box: Box
    install: Callable[[Callable[..., Any]], None]
    large: Callable[[Callable[..., Any]], Callable[..., Any]]
    aside: tuple[dict[str, Any], str]


class Elementwise:
    """One scalar formula as an operation on arrays of any strides and any broadcast.

    Attributes: ``formula`` (traced when first used), ``accepts`` (which categories of operands: letters of ``"bifc"``), ``result``: the dtype
    of the result, ``"same"`` as the operands, ``"number"``: bool becomes int64, ``"float"``: integers become the default float, ``"bool"``,
    ``"real"``: the real part's type, ``"auto"``: what the formula's operations would give one by one.
    """

    run: Callable[..., Any]  # set by the contract

    def __init__(
        self,
        name: str,
        params: Sequence[str],
        build: Callable[[], Formula],
        result: str = "same",
        accepts: str = "bif",
        doc: str = "",
        defaults: Sequence[Any] = (),
    ):
        if result not in RESULTS:
            raise ValueError(f"elementwise {name}: result must be one of {RESULTS}, but got {result!r}")
        if not accepts or set(accepts) - set("bifc"):
            raise ValueError(f"elementwise {name}: accepts must be letters of 'bifc', but got {accepts!r}")
        self.defaults = tuple(defaults)  # of the last parameters
        self.name, self.params, self.result, self.accepts = name, tuple(params), result, accepts
        self.__name__, self.__doc__ = name, doc
        self._build = build
        self._cost = 0
        self._formula: Formula | None = None
        self._rule: Callable[..., Any] | None = None
        self._derivatives: dict[Any, Derivative] = {}
        self.plans: dict[Any, Any] = {}  # filled by the contract: how to run on given dtypes
        self.routes: dict[Any, Any] = {}  # and on given shapes and strides
        self.callers: dict[bool, Caller] = {}  # set by whoever calls it often on small operands; True: the caller in place
        self.entries: dict[
            Any, Any
        ] = {}  # made by the devices for ``callers``: the loops for contiguous operands of one shape, the launches
        self.compiled: dict[Any, Any] = {}  # filled by the devices: kernels by dtype and layout

    def __repr__(self) -> str:
        return f"<elementwise {self.name}({', '.join(self.params)})>"

    def __call__(self, *operands: Any, out: Sequence[Any] | None = None) -> Any:
        """On arrays and numbers: run.  On the proxies of a formula that is being traced: become a part of it."""
        if any(isinstance(x, Expr) for x in operands):
            return self.inside(*operands)
        return self.run(self, *self.bind(operands), out=out)

    def bind(self, operands: Sequence[Any], named: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """One operand per parameter, from those given by position and by name and the defaults.  Raises TypeError, as a Python function would."""
        named = named or {}
        count = len(self.params)
        for name in named:
            if name not in self.params:
                raise TypeError(f"{self.name}() got an unexpected keyword argument '{name}'")
            if name in self.params[: len(operands)]:
                raise TypeError(f"{self.name}() got multiple values for argument '{name}'")
        known = dict(zip(self.params[count - len(self.defaults) :], self.defaults)) | dict(zip(self.params, operands)) | named
        missing = [name for name in self.params if name not in known]
        if missing or len(operands) > count:
            raise TypeError(
                f"{self.name}() takes {count} arguments ({', '.join(self.params)}), but {len(operands) + len(named)} were given"
            )
        return tuple([known[name] for name in self.params])

    @property
    def formula(self) -> Formula:
        if self._formula is None:
            self._formula = self._build()
        return self._formula

    @property
    def settings(self) -> frozenset[int]:
        """Positions of the parameters that are settings, which take no part in type promotion."""
        return frozenset(i for i, p in enumerate(self.formula.params) if p.args[1])

    @property
    def cost(self) -> int:
        """Scalar operations per element, roughly: a function call counts for ten.  Decides when a launch is worth splitting."""
        if self._cost == 0:
            nodes = _formula.order(_formula.expand(self.formula.outputs))
            self._cost = 1 + sum(1 if e.op.template else 10 for e in nodes if e.op not in (_formula.ARGUMENT, _formula.CONSTANT))
        return self._cost

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient where the mechanical one is numerically poor.

        ``rule`` names what it needs among ``g`` (the result's gradient), ``y`` (the result) and the formula's parameters, and returns the gradient of
        each parameter (one expression, or a tuple; None for no gradient).  A parameter called ``y`` hides the result.
        """
        several = self._formula is not None and len(self._formula.outputs) > 1  # a formula that is not traced yet is one of our own
        if several or "g" in self.params:
            raise TypeError(f"{self.name}: a gradient can be declared for a formula of one result without a parameter called g")
        reads = list(_parameters.of(rule))
        unknown = [name for name in reads if name not in ("g", "y", *self.params)]
        if unknown:
            raise TypeError(f"{self.name}: the gradient asks for {', '.join(unknown)}; known are g, y, {', '.join(self.params)}")
        self._rule = rule
        self._derivatives.clear()
        return rule

    def inside(self, *args: Any) -> Any:
        """This operation as a part of another formula."""
        args = self.bind(args)
        if self._rule is None:
            return self.formula(*args)
        primitive = _formula.Primitive(self.name)  # carries the declared rule; `expand` puts the body in its place before printing
        primitive.body = self.formula
        primitive.rule = lambda g, y, *operands: self._declared(g, y, operands)
        primitive.result = self.formula.outputs[0].kind
        return _formula.make(primitive, *args)

    def _declared(self, g: Expr, y: Expr, operands: Sequence[Expr]) -> list[Expr | None]:
        assert self._rule is not None
        known = {"g": g, "y": y, **dict(zip(self.params, operands))}
        parts = self._rule(*(known[name] for name in _parameters.of(self._rule)))
        parts = parts if isinstance(parts, (tuple, list)) else (parts,)
        if len(parts) != len(self.params):
            raise TypeError(f"{self.name}: the declared gradient returns {len(parts)} expressions for {len(self.params)} parameters")
        return [None if p is None else _formula.lift(p) for p in parts]

    def derivative(self, wanted: tuple[int, ...], seeded: tuple[int, ...] | None = None) -> Derivative:
        """The operation that computes the gradients of the parameters at positions ``wanted`` from those of the results ``seeded`` (default: all)."""
        key = (wanted, seeded)
        found = self._derivatives.get(key)
        if found is None:
            found = self._derivatives[key] = Derivative(self, wanted, seeded)
        return found


class Derivative:
    """The gradients of some of an operation's parameters, as one fused operation.

    ``gives``: positions of the parameters that have a gradient; ``zero``: of those that the results do not depend on, or only by jumps, so that theirs
    is zero (one that a declared gradient leaves out has none); ``needs``: in the order the operation takes them, what it reads: ``"<g>"`` (``"<g0>"``,
    ``"<g1>"``, ... of an operation with several results), ``"<y>"`` (the result) and names of parameters; ``seeds``: which result each gradient
    among them belongs to; ``operation``: the Elementwise with one result per entry of ``gives`` (None if there are none).
    """

    zero: tuple[int, ...]

    def __init__(self, of: Elementwise, wanted: tuple[int, ...], seeded: tuple[int, ...] | None = None):
        formula = of.formula
        if len(formula.outputs) > 1:
            self._of_many(of, wanted, range(len(formula.outputs)) if seeded is None else seeded)
            return
        self.seeds = {"<g>": 0}
        g, y = _formula.argument("<g>"), formula.outputs[0]
        # The result is an argument of its own; parts of the derivative that are the result are read, not recomputed.
        stand_in = _formula.argument("<y>", y.kind)
        if of._rule is not None:
            parts: Sequence[Expr | None] = of._declared(g, stand_in, formula.params)
        else:
            parts = _formula.substitute(_formula.differentiate(y, g, formula.params), {id(y): stand_in} if y.op.rule else {})
        self._finish(of, wanted, parts, [g, stand_in, *formula.params])
        if of._rule is not None:
            self.zero = ()

    def _of_many(self, of: Elementwise, wanted: tuple[int, ...], seeded: Sequence[int]) -> None:
        """The same for an operation with several results, those at positions ``seeded`` having a gradient."""
        formula = of.formula
        self.seeds = {f"<g{i}>": i for i in seeded}
        seeds = [_formula.argument(name) for name in self.seeds]
        parts: list[Expr | None] = [None] * len(formula.params)
        for position, g in zip(seeded, seeds):
            for i, part in enumerate(_formula.differentiate(formula.outputs[position], g, formula.params)):
                if part is not None:
                    parts[i] = part if parts[i] is None else parts[i] + part  # type: ignore[operator]
        self._finish(of, wanted, parts, [*seeds, *formula.params])

    def _finish(self, of: Elementwise, wanted: tuple[int, ...], parts: Sequence[Expr | None], available: Sequence[Expr]) -> None:
        self.gives = tuple(i for i in wanted if parts[i] is not None)
        self.zero = tuple(i for i in wanted if parts[i] is None)
        outputs = [parts[i] for i in self.gives]
        used = {e.args[0] for e in _formula.order(outputs) if e.op is _formula.ARGUMENT}  # type: ignore[arg-type]
        params = [p for p in available if p.args[0] in used]
        self.needs = tuple(p.args[0] for p in params)
        # A derivative of a derivative has parameters named g and y of its own: numbered apart, so that names stay unique.
        renamed = {id(p): _formula.argument(f"p{i}", p.kind, p.args[1]) for i, p in enumerate(params)}
        fresh = list(renamed.values())
        results = _formula.substitute(outputs, renamed)
        name = f"{of.name}_grad" + ("" if len(of.params) == 1 else "_" + "".join(map(str, self.gives)))
        self.operation = (
            Elementwise(name, [p.args[0] for p in fresh], lambda: Formula(name, fresh, results), accepts="bifc")  # type: ignore[arg-type]
            if outputs
            else None
        )


def elementwise(function: Callable[..., Any] | None = None, *, result: str = "same", accepts: str = "bif", name: str | None = None) -> Any:
    """Declare an operation by its scalar formula; see ``Elementwise``."""
    if function is None:
        return lambda f: elementwise(f, result=result, accepts=accepts, name=name)
    label = name or function.__name__.strip("_")
    params = _parameters.of(function)
    defaults = [default for default in params.values() if default is not inspect.Parameter.empty]
    for value in defaults:
        if not isinstance(value, (bool, int, float, complex)):
            raise TypeError(f"formula {label}: a default must be a number, but got a {type(value).__name__}")
    return Elementwise(
        label, list(params), lambda: _formula.trace(function, label), result, accepts, inspect.getdoc(function) or "", defaults
    )
