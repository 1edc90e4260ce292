"""Operations that users make from formulas: names, arguments, dtypes, layouts, and what is compiled for them."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck
from numbagrad.kernels import elementwise as kernels
from numbagrad.kernels._source import statements
from numbagrad.kernels.elementwise import activations, formulas, logic
from numbagrad.ops.elementwise import ElementwiseOperation
from tests.machine_code import compiled_text, float64_instructions, loops
from tests.test_formula import gradient, numbers

NAMES = [
    "g", "y", "out", "T", "lo", "hi", "n", "i", "j", "k", "q", "r", "exp", "o0", "x0", "s0", "O0", "X0", "v0", "v1", "in0", "out0",
    "at_x0", "at_o0", "base_x0", "step_o0", "G", "head", "outer", "inner", "geometry", "inf", "nan", "load", "store", "array_at",
    "address_of", "int64", "p0", "range", "where", "_", "__", "x_", "O", "X", "match", "type", "self", "print", "β",
    "float32_to_float16", "sigmoid", "a_rather_long_name_that_nobody_would_write",
]  # fmt: skip


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
        body = "\n".join(statements(formula, repr, False, False)[0])
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
        np.testing.assert_allclose(
            fused.double().numpy(), eager.double().numpy(), rtol=8e-3 if dtype in (ng.float16, ng.bfloat16) else 1e-7
        )

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
            ElementwiseOperation(kernels.elementwise(lambda x: x + 1, name="f"))(z)
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
    monkeypatch.setattr(kernel, "compiled", {})
    monkeypatch.setattr(kernel, "routes", {})
    kernel(*arrays)
    (loop,) = kernel.compiled.values()
    return compiled_text(loop.kernel)


# Every built-in formula of one argument that takes floats, and the commonest of two.
HOT = ["add", "mul"] + [
    name
    for module in (formulas, activations, logic)
    for name, operation in vars(module).items()
    if isinstance(operation, kernels.Elementwise) and len(operation.params) == 1 and "f" in operation.accepts
]


@pytest.mark.parametrize("name", HOT)
def test_float32_loops_are_float32_and_vectorised(name, monkeypatch):
    kernel = getattr(formulas, name, None) or getattr(activations, name, None) or getattr(logic, name)
    arrays = [np.ones(64, np.float32)] * len(kernel.params)
    text = optimised(kernel, arrays, monkeypatch)
    assert float64_instructions(text) == [], "a float32 kernel computes in float64"
    assert re.search(r"<\d+ x float>", loops(text)), "the loop is not vectorised"


@pytest.mark.parametrize("name", ["tanh", "gelu", "mul"])
def test_float32_gradients_are_float32_and_vectorised(name, monkeypatch):
    kernel = getattr(formulas, name, None) or getattr(activations, name)
    derivative = kernel.derivative((0,))
    text = optimised(derivative.operation, [np.ones(64, np.float32)] * len(derivative.needs), monkeypatch)
    assert float64_instructions(text) == []
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
        environment = os.environ | {"NUMBAGRAD_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        value, count = done.stdout.split()
        assert float(value) == pytest.approx(2 * (1 - math.tanh(1) ** 2), rel=1e-6)
        counts.append(int(count))
    assert counts[0] >= 3
    assert counts[1] == 0
