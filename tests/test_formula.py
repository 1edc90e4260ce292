"""The formula engine: tracing, simplification, derivatives, composites and several results."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest
import scipy.special as sp

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.kernels import _formula as f
from numbagrad.kernels._source import statements

FUNCTIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "absolute": np.abs, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "bit_and": np.bitwise_and, "bit_or": np.bitwise_or,
    "bit_xor": np.bitwise_xor, "where": lambda c, a, b: a if c else b, "pow": np.power, "atan2": np.arctan2, "fmod": np.fmod, "copysign": np.copysign,
    "hypot": np.hypot, "conj": lambda x: x, "real": np.real, "imag": np.imag, "floor_int": np.floor_divide, "mod_int": np.remainder,
    "sqrt": np.sqrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": sp.erf, "erfc": sp.erfc, "erfinv": sp.erfinv, "floor": np.floor, "ceil": np.ceil,
    "rint": np.rint, "trunc": np.trunc, "sigmoid": sp.expit, "gelu": lambda x: x * sp.ndtr(x),
    "gelu_slope": lambda x: sp.ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi), "widen": lambda x, *like: x,
}  # fmt: skip


def evaluate(e: f.Expr, values: dict[str, float]) -> float:
    """The value of an expression, node by node: no printing, no compiler."""
    if e.op is f.ARGUMENT:
        return values[e.args[0]]
    if e.op is f.CONSTANT:
        return e.args[0]
    return FUNCTIONS[e.op.name](*(evaluate(a, values) for a in e.args))


def numbers(*values, dtype=ng.float64, requires_grad=False):
    return ng.tensor(values, dtype=dtype, requires_grad=requires_grad)


X, Y = f.argument("x"), f.argument("y")
neg_x = -X


class TestTracing:
    def test_annotations(self):
        def formula(x, flag: bool, slope: float):
            return f.where(flag, x, slope * x)

        x, flag, slope = f.trace(formula).params
        assert (x.kind, flag.kind, slope.kind) == ("number", "bool", "number")
        assert [p.args[1] for p in (x, flag, slope)] == [False, False, True]

    def test_annotations_as_text(self):
        """As under ``from __future__ import annotations``, which this file has too."""
        formula = f.trace(eval("lambda c, x, k: (c, x, k)"))
        assert {p.kind for p in formula.params} == {"number"}

        def annotated(c: bool, k: float):
            return f.where(c, k, 0)

        annotated.__annotations__ = {"c": bool, "k": float}
        assert f.trace(annotated).params[0].kind == "bool"
        assert f.trace(annotated).params[1].args[1]

    def test_results(self):
        assert len(f.trace(lambda x: x).outputs) == 1
        assert len(f.trace(lambda x: (x, 2 * x, x > 0)).outputs) == 3
        assert [y.kind for y in f.trace(lambda x: [x, x > 0]).outputs] == ["number", "bool"]
        assert f.trace(lambda x: (x, 1)).used() == {"x"}

    @pytest.mark.parametrize("formula, message", [
        (lambda *x: x, "must be an ordinary positional one"), (lambda x, *, a: x, "must be an ordinary positional one"),
        (lambda: 1.0, "at least one parameter"), (lambda x: None, "cannot use a NoneType"), (lambda x: "x", "cannot use a str"),
        (lambda x: (), "returns nothing"), (lambda x: x * np.ones(2), "cannot use a ndarray"), (lambda x: x * ng.ones(2), "cannot use a Tensor"),
        (lambda x: x + ng.tensor(1.0), "cannot use a Tensor"),
    ])  # fmt: skip
    def test_what_is_no_formula(self, formula, message):
        with pytest.raises(TypeError, match=message):
            f.trace(formula)

    @pytest.mark.parametrize("formula", [
        lambda x: x if x > 0 else -x, lambda x: x > 0 and x < 1, lambda x: not x, lambda x: max(x, 0), lambda x: [1 for _ in iter(lambda: x > 0, True)],
    ])  # fmt: skip
    def test_branching_says_where(self, formula):
        with pytest.raises(TypeError, match=r"use where\(condition, a, b\) instead of `if`"):
            ng.elementwise(formula)

    @pytest.mark.parametrize("formula", [
        lambda x: math.exp(x), lambda x: float(x), lambda x: int(x), lambda x: math.floor(x), lambda x: complex(x), lambda x: [0][x], lambda x: math.trunc(x),
        lambda x: math.ceil(x),
    ])  # fmt: skip
    def test_functions_of_math_say_what_to_use(self, formula):
        with pytest.raises(TypeError, match="use numbagrad's functions"):
            ng.elementwise(formula)

    @pytest.mark.parametrize("formula, name", [(lambda x: np.exp(x), "exp"), (lambda x: np.maximum(x, 0), "maximum"),
                                               (lambda x: np.add(x, 1, out=np.ones(1)), "add"),
                                               (lambda x: np.add.reduce([x, x]), None)])  # fmt: skip
    def test_functions_of_numpy_say_what_to_use(self, formula, name):
        if name is None:
            assert ng.elementwise(formula)(numbers(2.0)).tolist() == [4.0]  # an object array of proxies, summed by +
            return
        with pytest.raises(TypeError, match=rf"np\.{name} cannot be used in a formula.* use numbagrad's function"):
            ng.elementwise(formula)

    def test_methods_of_tensors_say_what_to_use(self):
        with pytest.raises(AttributeError, match=r"write numbagrad\.exp\(x\) rather than x\.exp\(\)"):
            ng.elementwise(lambda x: x.exp())


class TestSimplification:
    @pytest.mark.parametrize("expression, expected", [
        (X * 1, X), (1 * X, X), (X - 0, X), (X / 1, X), (-neg_x, X), (+X, X), (X**1, X), (X * 1.0, X), (f.conj(f.conj(X)), X),
    ], ids=str)  # fmt: skip
    def test_identities(self, expression, expected):
        assert repr(expression) == repr(expected)

    def test_negation_moves_into_sums(self):
        assert repr(X + -Y) == "sub(x, y)"
        assert repr(X - -Y) == "add(x, y)"
        assert repr(X * -1) == repr(-1 * X) == "neg(x)"

    def test_constants_are_folded(self):
        assert repr(f.lift(2) * f.lift(3) + 1) == "7"
        assert repr(-f.lift(2.5)) == "-2.5"
        assert f.conj(f.lift(1 + 2j)).args[0] == 1 - 2j

    def test_small_powers_are_products(self):
        assert repr(X**2) == "mul(x, x)"
        assert repr(X**3) == "mul(mul(x, x), x)"
        assert repr(X**0.5) == "sqrt(x)"
        assert repr(X**-1) == "div(1, x)"
        assert repr(X**4) == "pow(x, 4)"
        assert repr(2**X) == "pow(2, x)"

    def test_nothing_is_simplified_that_floats_tell_apart(self):
        """0 * inf is NaN, x - x is NaN at infinity, 0 - x is not -x at zero, x + 0 is not x at -0."""
        assert repr(X + 0) == "add(x, 0)"
        for expression, text in (
            (X * 0, "mul(x, 0)"),
            (X - X, "sub(x, x)"),
            (X / X, "div(x, x)"),
            (0 - X, "sub(0, x)"),
            (0 / X, "div(0, x)"),
        ):
            assert repr(expression) == text

    def test_constants_are_python_numbers(self):
        class Three(enum.IntEnum):
            THREE = 3

        cases = [(np.float64(2), float), (np.float32(2), float), (np.int8(2), int), (np.bool_(True), bool), (np.array(2.0), float)]
        for value, kind in (*cases, (Three.THREE, int)):
            assert type(f.lift(value).args[0]) is kind

    def test_equal_subexpressions_are_printed_once(self):
        formula = f.trace(lambda x: f.exp(x) * f.sin(x) + f.exp(x) / (f.exp(x) + 1) + f.sin(x))
        lines, results, calls = statements(formula, repr, False, False)
        assert sum("exp(" in line for line in lines) == 1
        assert sum("sin(" in line for line in lines) == 1
        assert calls == {"exp", "sin"}
        assert results == [f"v{len(lines) - 1}"]

    def test_long_formulas_do_not_exhaust_the_stack(self):
        def long(x):
            for _ in range(5000):
                x = x * 1.0001 + 1e-9
            return x

        formula = f.trace(long)
        assert len(f.order(formula.outputs)) > 10000
        assert f.differentiate(formula.outputs[0], f.lift(1.0), formula.params)[0] is not None


def points(name: str) -> list[tuple[float, ...]]:
    """Where the derivative of a primitive is checked: inside its domain, away from its kinks."""
    if name in ("add", "sub", "mul", "div", "atan2", "hypot"):
        return [(0.7, -1.3), (-0.4, 2.1)]
    if name in ("fmod", "mod_int", "copysign"):
        return [(0.7, -1.3), (5.3, 2.1), (-5.3, 2.1), (-0.7, -1.3)]
    if name == "pow":
        return [(0.7, -1.3), (1.9, 2.5)]
    if name in ("asin", "acos", "atanh", "erfinv"):
        return [(-0.6,), (0.35,)]
    if name == "acosh":
        return [(1.3,), (2.7,)]
    return [(0.3,), (1.7,)] if name in ("sqrt", "log", "log2", "log10", "log1p") else [(0.3,), (-1.7,)]


PRIMITIVES = [p for p in vars(f).values() if isinstance(p, f.Primitive) and p.rule is not None and p.name not in ("where", "conj")]


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
def test_derivatives_of_primitives(primitive):
    """First and second derivative against central differences of the function and of the first derivative."""
    step = 1e-6
    for point in points(primitive.name):
        params = [f.argument(n) for n in "ab"[: len(point)]]
        values = dict(zip("ab", point))
        y = primitive(*params)
        first = f.differentiate(y, f.lift(1.0), params)
        for name, derivative in zip("ab", first):
            up, down = values | {name: values[name] + step}, values | {name: values[name] - step}
            want = (evaluate(y, up) - evaluate(y, down)) / (2 * step)
            if derivative is None:
                assert primitive.name == "copysign"
                assert want == 0
                continue
            np.testing.assert_allclose(evaluate(derivative, values), want, rtol=1e-7, atol=1e-8)
            for other, second in zip("ab", f.differentiate(derivative, f.lift(1.0), params)):
                up, down = values | {other: values[other] + step}, values | {other: values[other] - step}
                want = (evaluate(derivative, up) - evaluate(derivative, down)) / (2 * step)
                np.testing.assert_allclose(0 if second is None else evaluate(second, values), want, rtol=1e-6, atol=1e-7)


def test_every_rule_is_tested():
    assert {p.name for p in PRIMITIVES} <= FUNCTIONS.keys()
    assert len(PRIMITIVES) > 35


def gradient(operation, *values):
    xs = [numbers(v, requires_grad=True) for v in values]
    operation(*xs).sum().backward()
    return [x.grad.item() for x in xs]


class TestSelection:
    """``where`` selects the gradient: what was not chosen may be infinite or NaN."""

    def test_infinite_derivative_of_the_other_branch(self):
        assert gradient(ng.elementwise(lambda x: ng.where(x > 0, ng.sqrt(x), 0)), 0.0) == [0.0]
        assert gradient(ng.elementwise(lambda x: ng.where(x > 0, ng.log(x), x)), -1.0) == [1.0]
        assert gradient(ng.elementwise(lambda x: ng.where(x < 700, x, ng.exp(x))), 710.0 - 20.0) == [1.0]
        assert gradient(ng.elementwise(lambda x: ng.where(x == 0, 1, ng.sin(x) / x)), 0.0) == [0.0]

    def test_second_derivative(self):
        operation = ng.elementwise(lambda x: ng.where(x > 0, x * ng.sqrt(x), x * x))
        x = numbers(0.0, -2.0, 4.0, requires_grad=True)
        (first,) = ng.autograd.grad(operation(x).sum(), x, create_graph=True)
        (second,) = ng.autograd.grad(first.sum(), x)
        assert first.tolist() == [0.0, -4.0, 3.0]
        assert second.tolist() == [2.0, 2.0, 0.375]

    def test_condition_gets_no_gradient(self):
        formula = f.trace(lambda x, y: f.where(x > 0, y, 2 * y))
        assert f.differentiate(formula.outputs[0], f.lift(1), formula.params)[0] is None


class TestComposites:
    """An operation with a declared gradient keeps it inside another formula."""

    def test_declared_gradient_is_used(self):
        @ng.elementwise
        def strange(x):
            return x * x

        @strange.vjp
        def _(g):
            return 100 * g  # plainly wrong, so that its use can be seen

        outer = ng.elementwise(lambda x: strange(2 * x) + x)
        assert outer(numbers(3.0)).tolist() == [39.0]
        assert gradient(strange, 3.0) == [100.0]
        assert gradient(outer, 3.0) == [201.0]
        assert gradient(ng.elementwise(lambda x: outer(x) + strange(strange(x))), 3.0) == [10201.0]

    def test_built_in_operations_inside(self):
        def mixed(x, k):
            return (
                ng.relu(x) * F.gelu(x)
                + ng.clamp(x, -0.5, k)
                + F.softplus(x)
                + ng.remainder(x, k)
                + ng.maximum(x, 0.1 * k) * ng.rsqrt(k)
                + ng.abs(x)
            )

        operation = ng.elementwise(mixed)
        x, k = numbers(-0.9, 0.3, 1.2, requires_grad=True), numbers(0.8, 0.7, 1.9, requires_grad=True)
        np.testing.assert_allclose(operation(x, k).tolist(), mixed(x, k).tolist(), rtol=1e-14)
        assert gradcheck(operation, (x, k))
        assert gradgradcheck(operation, (x, k))

    def test_one_kernel(self):
        """A formula of other operations is one loop: no intermediate arrays."""
        operation = ng.elementwise(lambda x: ng.sigmoid(F.gelu(x)) * 2)
        nodes = {e.op.name for e in f.order(f.expand(operation.kernel.formula.outputs))}
        assert nodes == {"argument", "constant", "mul", "sigmoid", "gelu"}

    def test_declared_gradient_uses_the_result(self):
        @ng.elementwise
        def power(x, a):
            return ng.exp(a * ng.log(x))

        @power.vjp
        def _(g, y, x, a):
            return g * y * a / x, g * y * ng.log(x)

        x, a = numbers(0.5, 1.5, requires_grad=True), numbers(2.0, -0.3, requires_grad=True)
        assert gradcheck(power, (x, a))
        assert gradgradcheck(power, (x, a))
        derivative = power.kernel.derivative((0, 1))
        assert derivative.needs == ("<g>", "<y>", "x", "a")

    def test_mistakes_in_a_declared_gradient(self):
        operation = ng.elementwise(lambda x, k: x * k)
        with pytest.raises(TypeError, match="the gradient asks for z; known are g, y, x, k"):
            operation.vjp(lambda g, z: (g, g))
        operation.vjp(lambda g, k: g * k)
        with pytest.raises(TypeError, match="returns 1 expressions for 2 parameters"):
            operation(numbers(1.0, requires_grad=True), 2.0)
        for refused in (ng.elementwise(lambda g: g * 2), ng.elementwise(lambda x: (x, x))):
            with pytest.raises(TypeError, match="of one result without a parameter called g"):
                refused.vjp(lambda g: g)


class TestSeveralResults:
    operation = ng.elementwise(lambda x, y: (x * y, ng.sin(x) / y))

    def inputs(self):
        return numbers(0.5, 1.0, -2.0, requires_grad=True), numbers(1.0, 2.0, 0.7, requires_grad=True)

    def test_values_and_gradients(self):
        x, y = self.inputs()
        product, quotient = self.operation(x, y)
        assert product.tolist() == (x * y).tolist()
        np.testing.assert_allclose(quotient.tolist(), (ng.sin(x) / y).tolist(), rtol=1e-15)
        assert gradcheck(self.operation, (x, y))
        assert gradgradcheck(self.operation, (x, y))

    @pytest.mark.parametrize("which", [0, 1])
    def test_one_result_used(self, which):
        x, y = self.inputs()
        assert gradcheck(lambda x, y: self.operation(x, y)[which], (x, y))
        assert gradgradcheck(lambda x, y: self.operation(x, y)[which], (x, y))

    def test_one_input_wanted(self):
        x, y = self.inputs()
        assert gradcheck(lambda y: self.operation(x.detach(), y)[1], (y,))
        assert gradgradcheck(lambda x: self.operation(x, y.detach()), (x,))

    def test_a_condition_beside_a_number(self):
        positive, double = ng.elementwise(lambda x: (x > 0, 2 * x))(numbers(1.0, -1.0, requires_grad=True))
        assert positive.tolist() == [True, False]
        assert (positive.dtype, positive.requires_grad) == (ng.bool, False)
        assert double.requires_grad

    def test_inside_another_formula(self):
        operation = ng.elementwise(lambda x: sum(self.operation(x, 2.0)) + self.operation(x, 1.0)[1])
        x = numbers(0.5, requires_grad=True)
        np.testing.assert_allclose(operation(x).item(), 1 + 1.5 * math.sin(0.5), rtol=1e-15)
        assert gradcheck(operation, (x,))

    def test_broadcast(self):
        x, y = numbers(0.5, 1.0, -2.0, requires_grad=True), numbers(1.0, 2.0, requires_grad=True)
        assert gradcheck(lambda x, y: self.operation(x, y.unsqueeze(1)), (x, y))
