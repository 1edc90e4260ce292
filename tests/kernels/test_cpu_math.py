"""The scalar functions of kernels/_cpu against NumPy and SciPy in float64: error in units in the last place, special values, vectorisation."""

import os
import subprocess
import sys

import numpy as np
import pytest

from numbagrad.kernels._cpu import inline, kernel
from numbagrad.kernels._cpu.math32 import FLOAT32, FLOAT64
from numbagrad.kernels._cpu.trig32 import QUICK
from tests.machine_code import compiled_text, computes_packed, float64_instructions

special = pytest.importorskip("scipy.special")

LIMITS = dict.fromkeys(("exp", "exp2", "log", "tanh", "sigmoid", "erf", "sin", "cos", "tan"), 2.0)
LIMITS["gelu"] = 2.2  # where it is subnormal; else 2
if os.environ.get("NUMBA_CPU_NAME") == "x86-64":  # no fused multiply-add
    LIMITS["ndtr"] = 5.0


def _gelu(x):
    """By the scaled complementary error function, which loses nothing where e**(-x**2/2) is small."""
    a = np.abs(x)
    tail = np.where(x == np.inf, 0.0, 0.5 * a * special.erfcx(a * np.sqrt(0.5)) * np.exp(-0.5 * a * a))
    return np.where(x < 0, -tail, x - tail)


REFERENCES = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": special.erf, "erfc": special.erfc,
    "erfinv": lambda x: np.where(x == 0, x, special.erfinv(x)), "sigmoid": special.expit, "pow": np.power, "atan2": np.arctan2,
    "ndtr": special.ndtr, "gelu": _gelu,
}  # fmt: skip
RANGES = {
    "exp": (-104, 89), "exp2": (-150, 128), "expm1": (-20, 89), "log": (0, 3), "log2": (0, 3), "log10": (0, 3), "log1p": (-1, 2), "sin": (-1e5, 1e5),
    "cos": (-1e5, 1e5), "tan": (-10, 10), "asin": (-1, 1), "acos": (-1, 1), "atan": (-10, 10), "sinh": (-90, 90), "cosh": (-90, 90),
    "tanh": (-10, 10), "asinh": (-9, 9), "acosh": (1, 9), "atanh": (-1, 1), "erf": (-4, 4), "erfc": (-4, 11), "erfinv": (-1, 1), "sigmoid": (-104, 104),
    "ndtr": (-14.5, 8), "gelu": (-13, 8),
}  # fmt: skip
SPECIAL = np.array(
    [0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, 3, -3, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, -1e-40, 1.1754944e-38, 3.4028235e38, -3.4028235e38,
     88.72283, 88.72284, 89, -87.33655, -103.97, -103.98, -104.5, 128, -126, -149, -150, -151, 0.625, 0.99999994, -0.99999994, 1.0000001,
     4, 10.05, 10.06, 1e-8, 1e10, 1e30, -1e30, 16777216, 8388607.5, 2.5, 5, 7],
    np.float32,
)  # fmt: skip


def kernel_of(function, arity):
    if arity == 1:

        @kernel
        def body(lo, hi, out, x):
            for i in range(lo, hi):
                out[i] = function(x[i])
    else:

        @kernel
        def body(lo, hi, out, x, y):
            for i in range(lo, hi):
                out[i] = function(x[i], y[i])

    return body


def random_bits(count, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)


def errors(got, wanted):
    """In units in the last place of the float32 nearest to ``wanted``; infinite where one is finite and the other is not."""
    with np.errstate(all="ignore"):
        nearest = wanted.astype(np.float32)
        unit = np.spacing(np.abs(nearest)).astype(np.float64)
        error = np.abs(got - wanted.astype(np.float64)) / unit
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    error[~np.isfinite(got) | ~np.isfinite(nearest)] = np.inf
    # Where the value overflows float32 only by rounding, the largest number is as near as infinity.
    error[same] = 0.0
    return error


def check(name, arguments, limit):
    got = np.empty_like(arguments[0])
    kernel_of(FLOAT32[name], len(arguments))(0, got.size, got, *arguments)
    with np.errstate(all="ignore"):
        wanted = REFERENCES[name](*(a.astype(np.longdouble if name == "pow" else np.float64) for a in arguments)).astype(np.float64)
    error = errors(got, wanted)
    worst = int(error.argmax())
    values = [a[worst] for a in arguments]
    assert error[worst] <= limit, f"{name}{values} = {got[worst]!r}, expected {wanted[worst]!r}: {error[worst]:.2f} ulp"
    zero = (wanted == 0) | (got == 0)
    assert np.array_equal(np.signbit(got[zero]), np.signbit(wanted[zero])), f"{name}: the sign of a zero"


@pytest.mark.parametrize("name", sorted(set(FLOAT32) - {"pow", "atan2", "gelu_slope", "lgamma"}))
def test_float32(name):
    rng = np.random.default_rng(1)
    low, high = RANGES[name]
    dense = np.linspace(low, high, 200_001).astype(np.float32)
    small = (np.exp(rng.uniform(-30, 5, 100_000)) * rng.choice([-1.0, 1.0], 100_000)).astype(np.float32)
    check(
        name,
        [np.concatenate([SPECIAL, dense, rng.uniform(low, high, 100_000).astype(np.float32), small, random_bits(200_000)])],
        LIMITS.get(name, 4.0),
    )


def test_lgamma():
    """Of positive numbers to a few units in the last place; left of 0 it crosses zero between the poles, where only the distance can be small."""
    rng = np.random.default_rng(3)
    positive = np.concatenate([np.linspace(0, 40, 200_001), np.exp(rng.uniform(-80, 80, 100_000))]).astype(np.float32)
    negative = rng.uniform(-30, 0, 100_000).astype(np.float32)
    got = np.empty_like(positive)
    kernel_of(FLOAT32["lgamma"], 1)(0, got.size, got, positive)
    error = errors(got, special.gammaln(positive.astype(np.float64)))
    near = np.abs(special.gammaln(positive.astype(np.float64))) < 0.1  # 1 and 2, where it is 0 too
    assert error[~near].max() <= 4.0, positive[~near][error[~near].argmax()]
    assert np.abs(got[near] - special.gammaln(positive[near].astype(np.float64))).max() < 1e-7
    got = np.empty_like(negative)
    kernel_of(FLOAT32["lgamma"], 1)(0, got.size, got, negative)
    wanted = special.gammaln(negative.astype(np.float64))
    assert (np.abs(got - wanted) <= 4e-7 * np.maximum(1.0, np.abs(wanted)) * 8).all()


@pytest.mark.parametrize("name", ["pow", "atan2"])
def test_float32_of_two(name):
    rng = np.random.default_rng(2)
    x, y = (grid.ravel() for grid in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(invalid="ignore"):  # signalling NaNs
        a = np.concatenate([x, rng.uniform(0.99, 1.01, 50_000), np.exp(rng.uniform(-87, 88, 50_000)), random_bits(50_000)]).astype(
            np.float32
        )
        b = np.concatenate([y, rng.uniform(-8000, 8000, 50_000), rng.uniform(-2, 2, 50_000), random_bits(50_000, 7)]).astype(np.float32)
    check(name, [a, b], 4.0)


def test_huge_arguments_of_the_circular_functions():
    # From exact arithmetic: sin(2**120), cos(2**120), tan(2**120).
    x = np.array([2.0**120], np.float32)
    for name, wanted in (("sin", 0.377820109360752), ("cos", -0.925879022829408), ("tan", -0.408066388841201)):
        out = np.empty_like(x)
        kernel_of(FLOAT32[name], 1)(0, 1, out, x)
        assert abs(out[0] - wanted) <= 4 * np.spacing(np.float32(abs(wanted)))


@pytest.mark.parametrize("name", sorted(QUICK))
def test_quick_functions_give_the_same_bits(name):
    inside, quick = QUICK[name]
    rng = np.random.default_rng(6)
    x = np.concatenate([np.exp(rng.uniform(-87, np.log(65536), 300_000)), np.pi / 2 * np.arange(40_000)]).astype(np.float32)
    x = np.concatenate([x, -x, np.float32([0.0, -0.0, 1e-45, 65535.996])])
    outs = [np.empty_like(x) for _ in range(3)]
    for function, out in zip((FLOAT32[name], quick, inside), outs):
        kernel_of(function, 1)(0, x.size, out, x)
    assert outs[2].all()
    assert np.array_equal(outs[0].view(np.int32), outs[1].view(np.int32))
    beyond = np.float32([65536, -65536, 1e30, np.inf, -np.inf, np.nan])
    kernel_of(inside, 1)(0, beyond.size, outs[2], beyond)
    assert not outs[2][: beyond.size].any()


@pytest.mark.parametrize("name", sorted(FLOAT32))
def test_loops_are_vectorised_without_float64(name):
    arity = 2 if name in ("pow", "atan2") else 1
    body = kernel_of(FLOAT32[name], arity)
    x = np.ones(4, np.float32)
    body(0, 4, np.empty_like(x), *[x] * arity)
    text = compiled_text(body)
    assert computes_packed(text), f"{name}: the loop is not vectorised"
    assert float64_instructions(text) == [], f"{name}: float64 arithmetic in a float32 loop"


def _normal_distribution(x):
    """SciPy's own is a thousand units off where the argument of its erfc is rounded."""
    tail = 0.5 * special.erfcx(np.abs(x) * np.sqrt(0.5)) * np.exp(-0.5 * x * x)
    return np.where(x > 0, 1 - tail, np.where(np.isneginf(x), 0.0, tail))


@pytest.mark.parametrize("name", sorted(set(FLOAT64) - {"gelu", "gelu_slope"}))
def test_float64(name):
    rng = np.random.default_rng(3)
    x = {
        "erfinv": np.concatenate([rng.uniform(-1, 1, 20_000), 1 - 10.0 ** rng.uniform(-16, 0, 20_000), 10.0 ** rng.uniform(-300, 0, 5000)]),
        "exp2": rng.uniform(-1080, 1030, 20_000),
        "sigmoid": rng.uniform(-708, 745, 20_000),
        "ndtr": rng.uniform(-37, 9, 20_000).astype(np.float32).astype(np.float64),  # their squares are exact, which the reference wants
    }[name]
    x = np.concatenate([x, [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324]])
    got = np.empty_like(x)
    kernel_of(FLOAT64[name], 1)(0, x.size, got, x)
    with np.errstate(all="ignore"):
        wanted = _normal_distribution(x) if name == "ndtr" else REFERENCES[name](x)
        error = np.abs(got - wanted) / np.spacing(np.abs(wanted))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    assert np.max(error[~same], initial=0.0) <= (8.0 if name == "ndtr" else 4.0)  # the reference of ndtr has four roundings of its own
    assert np.all(same | np.isfinite(wanted))


def test_erfinv_float64_inverts_erf_to_the_last_digits():
    y = np.linspace(0.01, 5.5, 5000)
    out = np.empty_like(y)
    kernel_of(FLOAT64["erfinv"], 1)(0, y.size, out, special.erf(y))
    # The argument is rounded: its error, divided by the derivative of erf, is all that may be seen.
    slope = 2 / np.sqrt(np.pi) * np.exp(-y * y)
    assert np.all(np.abs(out - y) <= 4 * np.spacing(y) + np.spacing(special.erf(y)) / slope)


def test_reassociation_outside_does_not_reach_into_the_functions():
    """A kernel that may reorder its own sums gets the same bits from the functions: their error terms are written as differences that cancel."""
    log1p, power = FLOAT32["log1p"], FLOAT32["pow"]

    @kernel
    def plain(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = log1p(x[i]) - power(x[i], x[i])

    @kernel(reassociate=True)
    def loose(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = log1p(x[i]) - power(x[i], x[i])

    x = np.random.default_rng(4).uniform(0, 3, 10_000).astype(np.float32)
    outs = [np.empty_like(x) for _ in range(2)]
    plain(0, x.size, outs[0], x)
    loose(0, x.size, outs[1], x)
    assert np.array_equal(*outs)


def test_inline_helpers_are_inlined_however_long():
    tanh = FLOAT32["tanh"]

    @inline
    def long(x):
        return tanh(tanh(tanh(tanh(x))))

    body = kernel_of(long, 1)
    x = np.ones(4, np.float32)
    body(0, 4, np.empty_like(x), x)
    assert computes_packed(compiled_text(body))


@pytest.mark.skipif(
    not os.environ.get("NUMBAGRAD_TEST_SLOW") and "CI" not in os.environ, reason="compiles everything again: set NUMBAGRAD_TEST_SLOW"
)
def test_accuracy_on_a_processor_without_fused_multiply_add():
    environment = os.environ | {"NUMBA_CPU_NAME": "x86-64" if sys.maxsize > 2**32 else "generic", "NUMBA_CPU_FEATURES": ""}
    environment.pop("NUMBAGRAD_TEST_SLOW", None)
    environment.pop("CI", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_float32"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
