"""The formula engine: tracing, simplification, derivatives, printing, and the operations that users make with it."""

from __future__ import annotations

import enum
import inspect
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.special as sp

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.kernels import _formula as f
from numbagrad.kernels._cpu.cache import ContentCache
from numbagrad.kernels.elementwise import formulas

FUNCTIONS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "absolute": np.abs, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "bit_and": np.bitwise_and, "bit_or": np.bitwise_or,
    "bit_xor": np.bitwise_xor, "where": lambda c, a, b: a if c else b, "pow": np.power, "atan2": np.arctan2, "fmod": np.fmod, "copysign": np.copysign,
    "hypot": np.hypot, "conj": lambda x: x, "real": np.real, "imag": np.imag, "floor_int": np.floor_divide, "mod_int": np.remainder,
    "sqrt": np.sqrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": sp.erf, "erfc": sp.erfc, "erfinv": sp.erfinv, "floor": np.floor, "ceil": np.ceil,
    "rint": np.rint, "trunc": np.trunc, "sigmoid": sp.expit,
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

    @pytest.mark.parametrize("formula, name", [(lambda x: np.exp(x), "exp"), (lambda x: np.maximum(x, 0), "maximum"), (lambda x: np.add(x, 1, out=np.ones(1)), "add"),
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
        (X * 1, X), (1 * X, X), (X + 0, X), (0 + X, X), (X - 0, X), (X / 1, X), (-(-X), X), (+X, X), (X**1, X), (X * 1.0, X), (f.conj(f.conj(X)), X),
    ], ids=str)  # fmt: skip
    def test_identities(self, expression, expected):
        assert expression is expected

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
        """0 * inf is NaN, x - x is NaN at infinity, 0 - x is not -x at zero."""
        for expression, text in ((X * 0, "mul(x, 0)"), (X - X, "sub(x, x)"), (X / X, "div(x, x)"), (0 - X, "sub(0, x)"), (0 / X, "div(0, x)")):
            assert repr(expression) == text

    def test_constants_are_python_numbers(self):
        class Three(enum.IntEnum):
            THREE = 3

        for value, kind in ((np.float64(2), float), (np.float32(2), float), (np.int8(2), int), (np.bool_(True), bool), (np.array(2.0), float), (Three.THREE, int)):
            assert type(f.lift(value).args[0]) is kind

    def test_equal_subexpressions_are_printed_once(self):
        formula = f.trace(lambda x: f.exp(x) * f.sin(x) + f.exp(x) / (f.exp(x) + 1) + f.sin(x))
        lines, results, calls = f.statements(formula, repr, False, False)
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
            return ng.relu(x) * F.gelu(x) + ng.clamp(x, -0.5, k) + F.softplus(x) + ng.remainder(x, k) + ng.maximum(x, 0.1) * ng.rsqrt(k) + ng.abs(x)

        operation = ng.elementwise(mixed)
        x, k = numbers(-0.9, 0.3, 1.2, requires_grad=True), numbers(0.8, 0.7, 1.9, requires_grad=True)
        np.testing.assert_allclose(operation(x, k).tolist(), mixed(x, k).tolist(), rtol=1e-14)
        assert gradcheck(operation, (x, k))
        assert gradgradcheck(operation, (x, k))

    def test_one_kernel(self):
        """A formula of other operations is one loop: no intermediate arrays."""
        operation = ng.elementwise(lambda x: ng.sigmoid(F.gelu(x)) * 2)
        nodes = {e.op.name for e in f.order(f.expand(operation.kernel.formula.outputs))}
        assert nodes == {"argument", "constant", "mul", "sigmoid", "erfc"}

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


NAMES = ["g", "y", "out", "T", "lo", "hi", "n", "i", "j", "k", "q", "r", "exp", "o0", "x0", "s0", "O0", "X0", "v0", "v1", "in0", "out0", "at_x0", "at_o0", "base_x0",
         "step_o0", "G", "head", "outer", "inner", "geometry", "inf", "nan", "load", "store", "array_at", "address_of", "int64", "p0", "range", "where", "_", "__", "x_",
         "O", "X", "match", "type", "self", "print", "β", "float32_to_float16", "sigmoid", "a_rather_long_name_that_nobody_would_write"]  # fmt: skip


def named(name: str):
    scope: dict = {"ng": ng}
    exec(f"def formula({name}, b):\n    return ng.exp({name} * 0.5) * b + {name}", scope)
    return ng.elementwise(scope["formula"])


class TestNames:
    """A parameter may be called anything that Python allows: what the printed loop calls its own never clashes."""

    @pytest.mark.parametrize("name", NAMES)
    def test_printed_source(self, name):
        formula = named(name).kernel.formula
        assert name in formula.names
        body = "\n".join(f.statements(formula, repr, False, False)[0])
        assert set(re.findall(r"[^\W\d]\w*", body)) - {"v0", "v1", "v2", "v3", "exp", "e"} == {f"{name}_", "b_"}

    @pytest.mark.parametrize("name", ["g", "i", "T", "exp", "at_x0", "v1"])
    def test_run(self, name):
        operation = named(name)
        x, b = numbers(0.5, 1.0, 2.0, requires_grad=True), numbers(1.0, 2.0, 3.0)
        want = np.exp(x.detach().numpy() * 0.5)
        np.testing.assert_allclose(operation(x, b).detach().numpy(), want * b.numpy() + x.detach().numpy(), rtol=1e-15)
        np.testing.assert_allclose(operation(1.0, b).numpy(), math.exp(0.5) * b.numpy() + 1, rtol=1e-15)
        column = b.unsqueeze(1)
        np.testing.assert_allclose(operation(x, column).detach().numpy(), want * column.numpy() + x.detach().numpy(), rtol=1e-15)
        operation(x, b).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 0.5 * want * b.numpy() + 1, rtol=1e-14)

    def test_names_of_formulas(self):
        assert ng.elementwise(lambda x: x + 1)(numbers(1.0, requires_grad=True)).grad_fn.name() == "LambdaBackward0"
        assert named("x").kernel.name == "formula"


class TestArguments:
    operation = ng.elementwise(lambda x, k=2.0, shift=0: x * k + shift)

    def test_defaults(self):
        x = numbers(1.0, 2.0, requires_grad=True)
        assert self.operation(x).tolist() == [2.0, 4.0]
        assert self.operation(x, 3.0).tolist() == [3.0, 6.0]
        assert self.operation(x, shift=1).tolist() == [3.0, 5.0]
        assert self.operation(k=3, x=x).tolist() == [3.0, 6.0]
        assert gradient(self.operation, 3.0) == [2.0]
        assert ng.elementwise(lambda x: self.operation(x) + self.operation(x, 3))(x).tolist() == [5.0, 10.0]
        changed = x.detach().clone()
        assert self.operation.in_place(changed) is changed
        assert changed.tolist() == [2.0, 4.0]

    @pytest.mark.parametrize("args, named, message", [
        ((), {}, r"takes 3 arguments \(x, k, shift\), but 0 were given"), ((1, 2, 3, 4), {}, "takes 3 arguments .* but 4 were given"),
        ((1,), {"x": 2}, "multiple values for argument 'x'"), ((1,), {"z": 2}, "unexpected keyword argument 'z'"), ((), {"k": 2}, "takes 3 arguments"),
        (("1",), {}, r"argument 'x' \(position 1\) must be Tensor, not str"), ((1, None), {}, r"argument 'k' \(position 2\) must be Tensor, not NoneType"),
        (([1.0],), {}, "must be Tensor, not list"),
    ])  # fmt: skip
    def test_arguments_that_do_not_fit(self, args, named, message):
        with pytest.raises(TypeError, match=message):
            self.operation(*args, **named)
        if args:
            with pytest.raises(TypeError, match=message):
                self.operation(numbers(1.0), *args[1:], **named) if args[0] == 1 else self.operation(*args, **named)

    def test_declarations_that_are_refused(self):
        with pytest.raises(TypeError, match="a default must be a number, but got a NoneType"):
            ng.elementwise(lambda x, k=None: x)
        with pytest.raises(ValueError, match="result must be one of"):
            ng.elementwise(lambda x: x, result="int")
        with pytest.raises(ValueError, match="accepts must be letters of 'bifc'"):
            ng.elementwise(lambda x: x, accepts="float")

    def test_numpy_scalars_are_numbers(self):
        x = ng.ones(2)
        for scalar in (np.float64(3), np.float32(3), np.int64(3), np.uint8(3)):
            result = self.operation(x, scalar)
            assert (result.dtype, result.tolist()) == (ng.float32, [3.0, 3.0])
        assert ng.add(ng.ones(2, dtype=ng.int32), np.int64(1)).dtype is ng.int32
        assert ng.mul(ng.ones(2, dtype=ng.int32), np.float64(1)).dtype is ng.float32
        assert ng.mul(ng.ones(2, dtype=ng.int32), np.bool_(True)).dtype is ng.int32

    def test_no_arrays_at_all(self):
        assert self.operation(2.0).item() == 4.0
        assert self.operation(ng.tensor(2.0)).ndim == 0


class TestDtypes:
    """The dtype of the result is what the formula's operations would give one by one."""

    @pytest.mark.parametrize("formula", [
        lambda x: x * x + 1, lambda x: x / 2, lambda x: x * 0.5, lambda x: ng.exp(x), lambda x: ng.where(x > 1.5, x, 0), lambda x: x > 1, lambda x: -x * 3,
        lambda x: ng.where(x > 1, 0.5, x), lambda x: ng.floor(x / 2), lambda x: x // 2, lambda x: x % 2, lambda x: (x > 1) & (x < 3),
    ])  # fmt: skip
    @pytest.mark.parametrize("dtype", [ng.uint8, ng.int32, ng.int64, ng.float16, ng.bfloat16, ng.float64], ids=str)
    def test_as_eager(self, formula, dtype):
        x = ng.tensor([1, 2, 3, 7]).to(dtype)
        fused, eager = ng.elementwise(formula)(x), formula(x)
        assert fused.dtype is eager.dtype
        np.testing.assert_allclose(fused.double().numpy(), eager.double().numpy(), rtol=8e-3 if dtype in (ng.float16, ng.bfloat16) else 1e-7)

    def test_integers_wrap_and_keep_their_digits(self):
        assert ng.elementwise(lambda x: x * 2)(ng.tensor([200, 3], dtype=ng.uint8)).tolist() == [144, 6]
        assert ng.elementwise(lambda x: x + 1)(ng.tensor([2**62 + 1])).tolist() == [2**62 + 2]
        assert ng.elementwise(lambda x: ng.where(x > 0.5, x, 0))(ng.tensor([2**40 + 1, 0])).tolist() == [2**40 + 1, 0]

    def test_bool(self):
        flags = ng.tensor([True, False])
        assert ng.elementwise(lambda x: x * 2)(flags).tolist() == [2, 0]
        assert ng.elementwise(lambda x, y: x & ~y)(flags, ng.tensor([False, False])).tolist() == [True, False]

    def test_complex(self):
        z = ng.tensor([1 + 2j, -0.5j], dtype=ng.complex128, requires_grad=True)
        operation = ng.elementwise(lambda z: z * z * 2j + ng.exp(z), accepts="fc")
        np.testing.assert_allclose(operation(z).detach().numpy(), (z * z * 2j + ng.exp(z)).detach().numpy(), rtol=1e-14)
        assert gradcheck(operation, (z,))
        with pytest.raises(NotImplementedError, match="\"f\" not implemented for 'ComplexDouble'"):
            named("x").__class__(f_only())(z)
        assert ng.elementwise(lambda x: x + 1j)(ng.ones(2)).dtype is ng.complex64

    def test_settings_and_conditions_do_not_promote(self):
        def leaky(x, flag: bool, slope: float = 0.5):
            return ng.where(flag, x, slope * x)

        operation = ng.elementwise(leaky)
        half = ng.ones(2, dtype=ng.float16)
        assert operation(half, ng.tensor([1.0, 0.0], dtype=ng.float64), 0.25).dtype is ng.float16
        assert operation(half, True, ng.tensor(0.25, dtype=ng.float64)).dtype is ng.float16
        assert operation(ng.ones(2, dtype=ng.int64), False).tolist() == [0.5, 0.5]
        assert operation(ng.tensor([4, 6]), False, 2).dtype is ng.int64

    def test_halves_compute_in_float32(self):
        x = ng.tensor([0.1, 2.0, 30.0]).half()
        cube = ng.elementwise(lambda x: x * x * x * x / (x * x * x))(x)  # overflows float16 on the way
        np.testing.assert_array_equal(cube.float().numpy(), x.float().numpy())

    def test_large_constants(self):
        assert ng.elementwise(lambda x: x * 10**30)(ng.ones(1, dtype=ng.float64)).tolist() == [1e30]
        assert ng.elementwise(lambda x: ng.where(x > 1, math.inf, -math.inf))(numbers(1.0, 2.0)).tolist() == [-math.inf, math.inf]
        assert math.isnan(ng.elementwise(lambda x: ng.where(x > 1, x, math.nan))(numbers(1.0)).item())


def f_only():
    from numbagrad.kernels.elementwise import elementwise

    return elementwise(lambda x: x + 1, name="f")


class TestLayouts:
    operation = ng.elementwise(lambda x, y: x * y + ng.tanh(x))

    def test_broadcast_and_strides(self):
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((4, 1, 6)), rng.standard_normal((5, 6))
        want = x * y + np.tanh(x)
        ours = [ng.tensor(x, requires_grad=True), ng.tensor(y, requires_grad=True)]
        np.testing.assert_allclose(self.operation(*ours).detach().numpy(), want, rtol=1e-14)
        views = [ng.from_numpy(np.repeat(x, 2, 2))[:, :, ::2], ng.from_numpy(np.ascontiguousarray(y.T)).t()]
        np.testing.assert_allclose(self.operation(*views).numpy(), want, rtol=1e-14)
        assert gradcheck(self.operation, (ours[0][:2, :, :2].detach().requires_grad_(), ours[1][:2, :2].detach().requires_grad_()))

    def test_in_place(self):
        x = numbers(1.0, 2.0)
        pointer = x.data_ptr()
        result = self.operation.in_place(x, 3.0)
        assert result is x
        assert x.data_ptr() == pointer
        np.testing.assert_allclose(x.numpy(), [3 + math.tanh(1), 6 + math.tanh(2)], rtol=1e-15)
        leaf = numbers(1.0, 2.0, requires_grad=True)
        assert gradcheck(lambda x: self.operation.in_place(x * 1, 3.0), (leaf,))
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            self.operation.in_place(leaf, 3.0)

    def test_empty(self):
        x = ng.ones(0, 3, requires_grad=True)
        result = self.operation(x, ng.ones(3))
        assert result.shape == (0, 3)
        result.sum().backward()
        assert x.grad.shape == (0, 3)

    def test_constant_formula(self):
        x = numbers(1.0, 2.0, requires_grad=True)
        assert ng.elementwise(lambda x: 3.0)(x).tolist() == [3.0, 3.0]
        assert ng.elementwise(lambda x: x)(x).tolist() == [1.0, 2.0]
        assert gradient(ng.elementwise(lambda x: x), 3.0) == [1.0]


# ---- what is compiled -------------------------------------------------------------------------------------------------------------------


def optimised(kernel, arrays, monkeypatch) -> str:
    """The LLVM of ``kernel``'s contiguous loop for ``arrays``, after optimisation: the loop itself, without its wrappers."""
    monkeypatch.setattr(ContentCache, "load_overload", lambda *_: None)  # what comes from the cache has no IR
    monkeypatch.setattr(kernel, "compiled", {})
    monkeypatch.setattr(kernel, "quick", {})
    kernel(*arrays)
    (call,) = kernel.compiled.values()
    dispatcher = inspect.getclosurevars(call).nonlocals["kernel"]
    (text,) = dispatcher.inspect_llvm().values()
    bodies = re.findall(r"^define [^\n]*\{\n.*?^\}", text, re.M | re.S)
    loops = [body for body in bodies if "cpython" not in body.split("\n")[0] and "cfunc" not in body.split("\n")[0]]
    assert loops
    return "\n".join(loops)


HOT = ["add", "mul", "exp_", "tanh", "gelu", "sigmoid", "relu", "silu", "log"]


@pytest.mark.parametrize("name", HOT)
def test_float32_loops_are_float32_and_vectorised(name, monkeypatch):
    kernel = getattr(formulas, name)
    arrays = [np.ones(64, np.float32)] * len(kernel.params)
    text = optimised(kernel, arrays, monkeypatch)
    assert not re.search(r"\bdouble\b", text), "a float32 kernel computes in float64"
    assert re.search(r"<\d+ x float>", text), "the loop is not vectorised"


@pytest.mark.parametrize("name", ["tanh", "gelu", "mul"])
def test_float32_gradients_are_float32_and_vectorised(name, monkeypatch):
    kernel = getattr(formulas, name)
    derivative = kernel.derivative((0,))
    text = optimised(derivative.operation, [np.ones(64, np.float32)] * len(derivative.needs), monkeypatch)
    assert not re.search(r"\bdouble\b", text)
    assert re.search(r"<\d+ x float>", text)


def test_constants_and_numbers_take_the_computing_type(monkeypatch):
    operation = ng.elementwise(lambda x, k: ng.where(x > 0.3, x * 0.1 + 2 * k, x / 3) + math.pi)
    text = optimised(operation.kernel, [np.ones(64, np.float32), 1.5], monkeypatch)
    assert not re.search(r"\bdouble\b", text)
    assert re.search(r"<\d+ x float>", text)


def test_a_second_process_compiles_nothing(tmp_path):
    code = (
        "import numbagrad as ng\nfrom numba.core.event import start_event, end_event, install_recorder\n"
        "with install_recorder('numba:compile') as compiled:\n"
        "    operation = ng.elementwise(lambda x, k: ng.tanh(x) * k + 0.25)\n"
        "    x = ng.ones(5, requires_grad=True)\n"
        "    operation(x, 2.0).sum().backward()\n"
        "print(x.grad.tolist()[0], sum(event.is_start for _, event in compiled.buffer))\n"
    )
    counts = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBAGRAD_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        value, count = done.stdout.split()
        assert float(value) == pytest.approx(2 * (1 - math.tanh(1) ** 2), rel=1e-6)
        counts.append(int(count))
    assert counts[0] >= 3
    assert counts[1] == 0
