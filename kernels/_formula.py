"""Scalar formulas: traced once with proxies, differentiated in reverse, simplified; ``_source`` prints them.

A formula is an ordinary Python function of scalars, ``def silu(x): return x * sigmoid(x)``.  Calling it with proxies (``Expr``) records a
small expression graph, and everything else follows from the graph: the loop on each device, the derivative, the derivative's
derivative, fusion with its neighbours.  Differentiation is ordinary reverse accumulation (Griewank and Walther, "Evaluating
Derivatives", 2nd ed., 2008, chapter 3); each primitive carries one rule, from the gradient of its result to those of its arguments.

Three conventions keep gradients right where multiplication would not:
- a rule returns None for "no gradient", never a zero to be multiplied: 0 * inf is NaN;
- ``where`` selects the gradient, after everything that depends on the choice;
- a rule receives the result ``y`` beside the arguments, so that nothing is computed twice (tanh: 1 - y * y).

Gradients of complex arguments follow PyTorch: the rule of a holomorphic primitive multiplies by the conjugate of its derivative, and
``conj`` vanishes when the formula is printed for a real type.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Callable, Iterable, Sequence

Rule = Callable[..., Sequence["Expr | None"]]


class Primitive:
    """An operation that a target prints directly: a template or a function name, the kind of its result and its derivative rule."""

    __slots__ = ("name", "template", "result", "rule", "casts", "body")

    def __init__(self, name: str, template: str = "", result: str = "number", casts: bool = True):
        self.name = name
        self.template = template  # empty: printed as a call of `name`, which the target provides for the type at hand
        self.result = result  # "number", "bool", or "same" (as its last argument)
        self.casts = casts  # whether boolean arguments are converted to the computing type first
        self.rule: Rule | None = None
        self.body: Formula | None = None  # an operation with a rule of its own inside another formula: what to print in its place

    def __repr__(self) -> str:
        return f"Primitive({self.name})"

    def __call__(self, *args: Any) -> Expr:
        return make(self, *args)

    def derivative(self, rule: Rule) -> Rule:
        """Declare ``rule(g, y, *args)``: the gradient of each argument, or None."""
        self.rule = rule
        return rule


ARGUMENT = Primitive("argument")
CONSTANT = Primitive("constant")


class Expr:
    """A node of an expression graph: a primitive and its arguments.  Behaves like a number inside a formula."""

    __slots__ = ("op", "args", "kind")

    def __init__(self, op: Primitive, args: tuple[Any, ...], kind: str = "number"):
        self.op, self.args, self.kind = op, args, kind

    def __repr__(self) -> str:
        if self.op in (ARGUMENT, CONSTANT):
            return str(self.args[0])
        if self.op is widen:  # as it is printed
            return repr(self.args[0])
        return f"{self.op.name}({', '.join(map(repr, self.args))})"

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Expr:
        return make(add, self, other)

    def __radd__(self, other: Any) -> Expr:
        return make(add, other, self)

    def __sub__(self, other: Any) -> Expr:
        return make(sub, self, other)

    def __rsub__(self, other: Any) -> Expr:
        return make(sub, other, self)

    def __mul__(self, other: Any) -> Expr:
        return make(mul, self, other)

    def __rmul__(self, other: Any) -> Expr:
        return make(mul, other, self)

    def __truediv__(self, other: Any) -> Expr:
        return make(div, self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return make(div, other, self)

    def __pow__(self, other: Any) -> Expr:
        return power(self, other)

    def __rpow__(self, other: Any) -> Expr:
        return power(other, self)

    def __floordiv__(self, other: Any) -> Expr:
        return make(floor_int, self, other)

    def __rfloordiv__(self, other: Any) -> Expr:
        return make(floor_int, other, self)

    def __mod__(self, other: Any) -> Expr:
        return make(mod_int, self, other)

    def __rmod__(self, other: Any) -> Expr:
        return make(mod_int, other, self)

    def __lshift__(self, other: Any) -> Expr:
        return make(shift_left, self, other)

    def __rlshift__(self, other: Any) -> Expr:
        return make(shift_left, other, self)

    def __rshift__(self, other: Any) -> Expr:
        return make(shift_right, self, other)

    def __rrshift__(self, other: Any) -> Expr:
        return make(shift_right, other, self)

    def __round__(self) -> Expr:
        return make(rint, self)

    def __neg__(self) -> Expr:
        return make(neg, self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return make(absolute, self)

    def __lt__(self, other: Any) -> Expr:
        return make(lt, self, other)

    def __le__(self, other: Any) -> Expr:
        return make(le, self, other)

    def __gt__(self, other: Any) -> Expr:
        return make(gt, self, other)

    def __ge__(self, other: Any) -> Expr:
        return make(ge, self, other)

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return make(eq, self, other)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return make(ne, self, other)

    def __and__(self, other: Any) -> Expr:
        return make(bit_and, self, other)

    def __rand__(self, other: Any) -> Expr:
        return make(bit_and, other, self)

    def __or__(self, other: Any) -> Expr:
        return make(bit_or, self, other)

    def __ror__(self, other: Any) -> Expr:
        return make(bit_or, other, self)

    def __xor__(self, other: Any) -> Expr:
        return make(bit_xor, self, other)

    def __rxor__(self, other: Any) -> Expr:
        return make(bit_xor, other, self)

    def __invert__(self) -> Expr:
        return make(bit_not, self)

    def __bool__(self) -> bool:
        raise TypeError("a formula cannot branch on its data: use where(condition, a, b) instead of `if`, `and`, `or` or `not`")

    def _no_number(self, *_: Any) -> Any:
        raise TypeError("a formula is traced without values: use numbagrad's functions (exp, tanh, where, ...), not those of math or numpy")

    __float__ = __int__ = __complex__ = __index__ = __trunc__ = __floor__ = __ceil__ = _no_number

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a formula's argument is a number, not a tensor: write numbagrad.{name}(x) rather than x.{name}()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Expr:
        """NumPy's numbers take part in arithmetic like Python's; its functions cannot be traced."""
        operator = _OPERATORS.get(ufunc.__name__)
        if method == "__call__" and operator is not None and not settings:
            return make(operator, *inputs)
        raise TypeError(f"np.{ufunc.__name__} cannot be used in a formula, which is traced without values: use numbagrad's function")


def constant(value: Any) -> Expr:
    kind = "bool" if isinstance(value, bool) else "number"
    return Expr(CONSTANT, (value,), kind)


def lift(value: Any) -> Expr:
    """``value`` as an expression; numbers become constants."""
    if isinstance(value, Expr):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0 and not hasattr(value, "requires_grad"):  # a NumPy scalar
        value = value.item()
    kind: Any  # subclasses of numbers count as the number that they hold
    for kind in (bool, int, float, complex):
        if isinstance(value, kind):
            return constant(kind(value))
    raise TypeError(f"a formula works on scalars; cannot use a {type(value).__name__} inside one")


def _is(e: Expr, value: float) -> bool:
    return e.op is CONSTANT and e.args[0] == value


def make(op: Primitive, *values: Any) -> Expr:
    """The expression ``op(*values)``, simplified by the identities that are exact in floating point (x * 1, x - 0, -(-x), ...).

    Not x + 0: -0 + 0 is 0.  What an identity drops may still decide the type (an integer times 1.0 is a float): ``widen`` keeps that.
    """
    args = tuple(lift(v) for v in values)
    if op is mul:
        if _is(args[0], 1):
            return widen(args[1], args[0])
        if _is(args[1], 1):
            return widen(args[0], args[1])
        if _is(args[0], -1):
            return make(neg, widen(args[1], args[0]))
        if _is(args[1], -1):
            return make(neg, widen(args[0], args[1]))
    elif op is div and _is(args[1], 1):
        return widen(args[0], constant(1.0))
    elif op is add and args[1].op is neg:
        return make(sub, args[0], args[1].args[0])
    elif op is sub:
        if _is(args[1], 0):
            return widen(args[0], args[1])
        if args[1].op is neg:
            return make(add, args[0], args[1].args[0])
    elif op is neg:
        if args[0].op is neg:
            return args[0].args[0]
        if args[0].op is CONSTANT:
            return constant(-args[0].args[0])
    elif op is where and args[1] is args[2]:
        return args[1]
    elif op is conj and args[0].op in (conj, CONSTANT):
        return args[0].args[0] if args[0].op is conj else constant(args[0].args[0].conjugate())
    if op in _FOLDED and all(a.op is CONSTANT and a.kind == "number" for a in args):
        return constant(_FOLDED[op](*(a.args[0] for a in args)))
    kind = op.result if op.result != "same" else args[-1].kind
    return Expr(op, args, kind)


def order(roots: Iterable[Expr]) -> list[Expr]:
    """Every node below ``roots`` once, arguments before their users; iterative, so long formulas cannot exhaust the stack."""
    seen: set[int] = set()
    out: list[Expr] = []
    for root in roots:
        stack: list[tuple[Expr, bool]] = [(root, False)]
        while stack:
            node, done = stack.pop()
            if done:
                out.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args) if isinstance(a, Expr))
    return out


def differentiate(y: Expr, g: Expr, inputs: Sequence[Expr]) -> list[Expr | None]:
    """The gradients of ``inputs`` when ``g`` is that of ``y``; None where ``y`` does not depend (differentiably) on an input."""
    gradient: dict[int, tuple[Mask, Expr]] = {id(y): ((), g)}
    for node in reversed(order([y])):
        held = gradient.get(id(node))
        if held is None or node.op in (ARGUMENT, CONSTANT) or node.op.rule is None:
            continue
        mask, seed = held
        if node.op is where:
            condition, a, b = node.args
            parts = [(a, (*mask, (condition, True)), seed), (b, (*mask, (condition, False)), seed)]
        else:
            parts = [(a, mask, part) for a, part in zip(node.args, node.op.rule(seed, node, *node.args)) if part is not None]
        for arg, under, part in parts:
            if arg.op is not CONSTANT:
                gradient[id(arg)] = _join(gradient[id(arg)], (under, part)) if id(arg) in gradient else (under, part)
    return [None if id(x) not in gradient else _masked(*gradient[id(x)]) for x in inputs]


# The conditions, outermost first, under which a gradient counts (True: where the condition holds; False: where it does not) and is zero
# otherwise.  They are carried along and applied at the end: were the zero put in at the `where`, the rules below it would multiply it
# with what may be infinite (sqrt at 0 in where(x > 0, sqrt(x), 0)).
Mask = tuple[tuple[Expr, bool], ...]


def _masked(mask: Mask, g: Expr) -> Expr:
    for condition, holds in reversed(mask):
        g = where(condition, g, 0) if holds else where(condition, 0, g)
    return g


def _join(one: tuple[Mask, Expr], other: tuple[Mask, Expr]) -> tuple[Mask, Expr]:
    """The sum of two gradients under the conditions that they share; those of the two branches of one ``where`` are a selection."""
    (a, x), (b, y) = one, other
    n = 0
    while n < min(len(a), len(b)) and a[n][0] is b[n][0] and a[n][1] == b[n][1]:
        n += 1
    if n < min(len(a), len(b)) and a[n][0] is b[n][0]:
        x, y = _masked(a[n + 1 :], x), _masked(b[n + 1 :], y)
        return a[:n], where(a[n][0], x, y) if a[n][1] else where(a[n][0], y, x)
    return a[:n], _masked(a[n:], x) + _masked(b[n:], y)


def substitute(roots: Sequence[Expr | None], replace: dict[int, Expr]) -> list[Expr | None]:
    """``roots`` with each node whose id is in ``replace`` exchanged for the given expression."""
    new: dict[int, Expr] = {}
    for node in order([r for r in roots if r is not None]):
        if id(node) in replace:
            new[id(node)] = replace[id(node)]
        elif any(isinstance(a, Expr) and new[id(a)] is not a for a in node.args):
            new[id(node)] = Expr(node.op, tuple(new[id(a)] for a in node.args), node.kind)
        else:
            new[id(node)] = node
    return [None if r is None else new[id(r)] for r in roots]


def expand(roots: Sequence[Expr]) -> list[Expr]:
    """``roots`` with every composite primitive replaced by its body, until none is left."""
    while True:
        replace: dict[int, Expr] = {}
        for node in order(roots):
            if node.op.body is not None:
                replace[id(node)] = node.op.body(*node.args)
        if not replace:
            return list(roots)
        # Outer composites take in the inner ones as arguments, which the next round expands.
        roots = [r for r in substitute(roots, replace) if r is not None]


class Formula:
    """Named parameters and the expressions of one or more results."""

    __slots__ = ("name", "params", "outputs")

    def __init__(self, name: str, params: Sequence[Expr], outputs: Sequence[Expr]):
        self.name, self.params, self.outputs = name, tuple(params), tuple(outputs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.args[0] for p in self.params)

    def __call__(self, *args: Any) -> Any:
        """The result (a tuple of several) for other arguments: how one formula is used inside another."""
        replace = {id(p): lift(a) for p, a in zip(self.params, args, strict=True)}
        results = substitute(self.outputs, replace)
        return results[0] if len(results) == 1 else tuple(results)

    def used(self) -> set[str]:
        """Names of the parameters that the results depend on."""
        return {e.args[0] for e in order(self.outputs) if e.op is ARGUMENT}


def argument(name: str, kind: str = "number", setting: bool = False) -> Expr:
    """A parameter; a ``setting`` (annotated ``float`` in the formula) takes no part in type promotion."""
    return Expr(ARGUMENT, (name, setting), kind)


def trace(function: Callable[..., Any], name: str | None = None) -> Formula:
    """The formula of a Python function.

    A parameter annotated ``bool`` is a condition, one annotated ``float`` a setting (a slope, a threshold): neither takes part in type promotion.
    """
    params: list[Expr] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            raise TypeError(f"formula {function.__name__}: parameter {p.name!r} must be an ordinary positional one")
        params.append(argument(p.name, "bool" if p.annotation in (bool, "bool") else "number", p.annotation in (float, "float")))
    if not params:
        raise TypeError(f"formula {function.__name__}: at least one parameter is needed")
    result = function(*params)
    results = result if isinstance(result, (tuple, list)) else (result,)
    if not results:
        raise TypeError(f"formula {function.__name__}: it returns nothing")
    return Formula(name or function.__name__, params, [lift(r) for r in results])


# ---- the primitives and their rules ------------------------------------------------------------------------------------------------

widen = Primitive("widen", "{0}")  # its first argument, in the common type of all of them
add = Primitive("add", "{0} + {1}")
sub = Primitive("sub", "{0} - {1}")
mul = Primitive("mul", "{0} * {1}")
div = Primitive("div", "{0} / {1}")
neg = Primitive("neg", "-{0}")
conj = Primitive("conj", "{0}.conjugate()")
real, imag = Primitive("real", "{0}.real"), Primitive("imag", "{0}.imag")
absolute = Primitive("absolute", "abs({0})")
lt, le, gt, ge, eq, ne = (
    Primitive(n, f"{{0}} {s} {{1}}", "bool") for n, s in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!="))
)
bit_and, bit_or, bit_xor = (Primitive(n, f"{{0}} {s} {{1}}", "same") for n, s in (("bit_and", "&"), ("bit_or", "|"), ("bit_xor", "^")))
# A shift by more than the type's width is undefined in machine code; it means what a long series of shifts by one would give.
shift_left = Primitive("shift_left", "{0} << {1} if 0 <= {1} < BITS else T(0)")
shift_right = Primitive("shift_right", "{0} >> {1} if 0 <= {1} < BITS else {0} >> T(BITS - 1) >> T(1)")
bit_not = Primitive("bit_not", result="same", casts=False)
where = Primitive("where", "{1} if {0} else {2}", "same")
floor_int = Primitive("floor_int", "{0} // {1}")
mod_int = Primitive("mod_int", "{0} % {1}")
pow, atan2, fmod, copysign, hypot = (Primitive(n) for n in ("pow", "atan2", "fmod", "copysign", "hypot"))

UNARY = """sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv
floor ceil rint trunc sigmoid gelu gelu_slope lgamma ndtr angle""".split()
FUNCTIONS = {name: Primitive(name) for name in UNARY}
(sqrt, exp, exp2, expm1, log, log2, log10, log1p, sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, erf, erfc, erfinv,
 floor, ceil, rint, trunc, sigmoid, gelu, gelu_slope, lgamma, ndtr, angle) = FUNCTIONS.values()  # fmt: skip
# What ``_special`` provides, for formulas of ours.
SPECIAL = """zeta igamma igammac gcd quotient nextafter chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p""".split()
zeta, igamma, igammac, gcd, quotient, nextafter = (Primitive(name) for name in SPECIAL[:6])
POLYNOMIALS = {name: Primitive(name) for name in SPECIAL[6:]}

_OPERATORS = {"add": add, "subtract": sub, "multiply": mul, "divide": div, "power": pow, "floor_divide": floor_int, "remainder": mod_int,
              "less": lt, "less_equal": le, "greater": gt, "greater_equal": ge, "equal": eq, "not_equal": ne}  # fmt: skip
FLOATING = {div, atan2, hypot, copysign, *FUNCTIONS.values()} - {floor, ceil, rint, trunc}  # what makes floats of integers
BITWISE = (bit_and, bit_or, bit_xor, bit_not, shift_left, shift_right)
DIVISIONS = (floor_int, mod_int, fmod)  # those with an error for an integer divided by zero
_FOLDED: dict[Primitive, Callable[..., Any]] = {add: lambda a, b: a + b, sub: lambda a, b: a - b, mul: lambda a, b: a * b}


def power(a: Any, b: Any) -> Expr:
    """a ** b; small whole exponents are products, as every library does them."""
    if not isinstance(b, Expr):
        if b == 1:
            return make(widen, a, b)
        if b == 2:
            a = make(widen, a, b)
            return make(mul, a, a)
        if b == 3:
            a = make(widen, a, b)
            return make(mul, make(mul, a, a), a)
        if b == 0.5:
            return make(sqrt, a)
        if b == -1:
            return make(div, 1, a)
    return make(pow, a, b)


widen.derivative(lambda g, y, a, *others: (g, *[None] * len(others)))
add.derivative(lambda g, y, a, b: (g, g))
sub.derivative(lambda g, y, a, b: (g, -g))
mul.derivative(lambda g, y, a, b: (g * conj(b), g * conj(a)))
# Not by the result, which may be changed in place, as in PyTorch.
div.derivative(lambda g, y, a, b: (g / conj(b), -g * conj(a / b / b)))
neg.derivative(lambda g, y, a: (-g,))
conj.derivative(lambda g, y, a: (conj(g),))
where.derivative(lambda g, y, c, a, b: (None, where(c, g, 0), where(c, 0, g)))
absolute.derivative(lambda g, y, a: (where(a > 0, g, where(a < 0, -g, where(a == 0, 0 * g, a))),))
sqrt.derivative(lambda g, y, a: (g / conj(2 * y),))
exp.derivative(lambda g, y, a: (g * conj(y),))
exp2.derivative(lambda g, y, a: (g * (y * math.log(2)),))
expm1.derivative(lambda g, y, a: (g * (y + 1),))
log.derivative(lambda g, y, a: (g / conj(a),))
log2.derivative(lambda g, y, a: (g / (a * math.log(2)),))
log10.derivative(lambda g, y, a: (g / (a * math.log(10)),))
log1p.derivative(lambda g, y, a: (g / (a + 1),))
sin.derivative(lambda g, y, a: (g * conj(cos(a)),))
cos.derivative(lambda g, y, a: (-g * conj(sin(a)),))
tan.derivative(lambda g, y, a: (g * conj(1 + y * y),))
asin.derivative(lambda g, y, a: (g / sqrt(1 - a * a),))
acos.derivative(lambda g, y, a: (-g / sqrt(1 - a * a),))
atan.derivative(lambda g, y, a: (g / (1 + a * a),))
sinh.derivative(lambda g, y, a: (g * conj(cosh(a)),))
cosh.derivative(lambda g, y, a: (g * conj(sinh(a)),))
tanh.derivative(lambda g, y, a: (g * conj(1 - y * y),))
asinh.derivative(lambda g, y, a: (g / sqrt(a * a + 1),))
acosh.derivative(lambda g, y, a: (g / sqrt(a * a - 1),))
atanh.derivative(lambda g, y, a: (g / (1 - a * a),))
sigmoid.derivative(lambda g, y, a: (g * conj((1 - y) * y),))
erf.derivative(lambda g, y, a: (g * (2 / math.sqrt(math.pi)) * exp(-a * a),))
erfc.derivative(lambda g, y, a: (-g * (2 / math.sqrt(math.pi)) * exp(-a * a),))
gelu.derivative(lambda g, y, a: (g * gelu_slope(a),))
gelu_slope.derivative(lambda g, y, a: (g * ((2 - a * a) * exp(-0.5 * a * a) / math.sqrt(2 * math.pi)),))
erfinv.derivative(lambda g, y, a: (g * (math.sqrt(math.pi) / 2) * exp(y * y),))
copysign.derivative(lambda g, y, a, b: (where(a == 0, 0, where((a < 0) ^ (y < 0), -g, g)), None))
hypot.derivative(lambda g, y, a, b: (where(y == 0, 0, g * (a / y)), where(y == 0, 0, g * (b / y))))
atan2.derivative(
    lambda g, y, a, b: (where((a == 0) & (b == 0), 0, g * (b / (a * a + b * b))), where((a == 0) & (b == 0), 0, -g * (a / (a * a + b * b))))
)
fmod.derivative(lambda g, y, a, b: (g, -g * trunc(a / b)))
mod_int.derivative(lambda g, y, a, b: (g, -g * make(floor_int, a, b)))


@pow.derivative
def _pow(g: Expr, y: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    base = where(b == 0, 0, g * conj(b * pow(a, b - 1)))
    exponent = where((a == 0) & (absolute(b) == b), 0, g * conj(y * log(a)))  # b >= 0, also of complex numbers
    return base, exponent
