"""The functions that are looked up in registers: against SciPy, at every count, with arguments beyond the table, and with each instruction set forced."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding

from numbagrad.kernels._cpu import kernel
from numbagrad.kernels._cpu.math32 import FLOAT32
from numbagrad.kernels._cpu.simd import INSTRUCTION_SET
from numbagrad.kernels._cpu.tables32 import BLOCK, LOOKUPS
from numbagrad.kernels.elementwise import activations, run

special = pytest.importorskip("scipy.special")

LIMIT = 4.0 if INSTRUCTION_SET in ("avx512", "avx2") else 0.0
SLOPE = activations.gelu.derivative((0,)).operation  # g times the derivative


def gelu(x):
    return run(activations.gelu, x)


def slope(x):
    return run(SLOPE, np.ones_like(x), x)


def reference(function, x):
    x = x.astype(np.float64)
    a = np.abs(x)
    bell = np.exp(-0.5 * a * a)
    below = 0.5 * special.erfcx(a * np.sqrt(0.5)) * bell
    if function is gelu:
        return np.where(x > 0, x - a * below, -a * below)
    tail = below - a * bell / np.sqrt(2 * np.pi)
    return np.where(x > 0, 1 - tail, tail)


def bits(x):
    return x.view(np.int32)


def arguments(size, seed=0):
    """Mostly inside the table."""
    return np.clip(np.random.default_rng(seed).standard_normal(size), -3.7, 3.7).astype(np.float32)


def test_which_instruction_sets_have_tables():
    assert set(LOOKUPS) == ({"gelu", "gelu_slope"} if INSTRUCTION_SET in ("avx512", "avx2") else set())


@pytest.mark.parametrize("function", [gelu, slope], ids=["gelu", "slope"])
def test_accuracy(function):
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [
            np.linspace(-4.5, 4.5, 1_000_001),
            rng.standard_normal(300_000),
            np.exp(rng.uniform(-80, 2.5, 300_000)),
            np.linspace(-12.9, 6, 300_000),
        ]
    )
    x = np.concatenate([x, -x[-600_000:-300_000]]).astype(np.float32)
    wanted = reference(function, x)
    unit = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    if function is slope:
        # Its root is at -0.75, and beyond the table the rounding of x**2 is left in its exponential.
        unit = np.where(np.abs(x) < LIMIT, 1, 4 + 0.5 * x.astype(np.float64) ** 2) * np.maximum(unit, np.where(np.abs(x) < 3, 3e-8, 0))
    error = np.abs(function(x) - wanted) / unit
    worst = error.argmax()
    limit = (
        2.0 if os.environ.get("NUMBA_CPU_NAME") != "x86-64" else 3.0
    )  # by force: no processor with such tables lacks fused multiply-adds
    assert error[worst] <= limit, (x[worst], error[worst])


@pytest.mark.parametrize("function", [gelu, slope], ids=["gelu", "slope"])
def test_every_count(function):
    x = arguments(3 * BLOCK + 5)
    whole = function(x)
    for count in [*range(70), BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17]:
        assert np.array_equal(bits(function(x[:count].copy())), bits(whole[:count])), count
        assert np.array_equal(bits(function(x[3 : 3 + count])), bits(whole[3 : 3 + count])), count


def test_nothing_is_written_behind_the_end():
    x, out = arguments(400), np.full(400, 7, np.float32)
    for count in (1, 15, 16, 17, 255, 257, 300):
        for outlier in (0, count - 1):
            y = x[:count].copy()
            y[outlier] = -5
            run(activations.gelu, y, out=(out[:count],))
            assert (out[count:] == 7).all()
        out[:] = 7


@pytest.mark.parametrize("function", [gelu, slope], ids=["gelu", "slope"])
@pytest.mark.parametrize("share", [0.004, 0.1, 1.0])
def test_arguments_beyond_the_table_are_the_function_s(function, share):
    """Bit by bit, and they change no bit of their neighbours."""
    x = arguments(5 * BLOCK + 3)
    usual = function(x)
    beyond = np.random.default_rng(2).random(x.size) < share
    values = np.array([-4, 4, 5, -6.5, -12, 13, 1e30, -1e30, np.inf, np.nan, LIMIT, -LIMIT], np.float32)
    y = np.where(beyond, np.resize(values, x.size), x)
    got = function(y)
    assert np.array_equal(bits(got[~beyond]), bits(usual[~beyond]))
    scalar, wanted = FLOAT32["gelu" if function is gelu else "gelu_slope"], np.empty_like(y)

    @kernel
    def body(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = scalar(x[i])

    body(0, y.size, wanted, y)
    np.testing.assert_array_equal(got[beyond], wanted[beyond])


def test_special_values():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, -1e30, 1e30], np.float32)
    wanted = np.array([0.0, -0.0, np.inf, np.nan, np.nan, 0.0, -0.0, -0.0, 1e30], np.float32)
    for part in (x, np.concatenate([x, arguments(BLOCK)])):
        got = gelu(part)[: x.size]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-45)
        assert np.array_equal(np.signbit(got[wanted == 0]), np.signbit(wanted[wanted == 0]))


@pytest.mark.parametrize("size", [5, BLOCK, 3 * BLOCK + 11])
def test_in_place(size):
    x = arguments(size)
    x[::7] = -9
    wanted = gelu(x)
    for target in (x.copy(), x.copy()):
        run(activations.gelu, target, out=(target,))
        assert np.array_equal(bits(target), bits(wanted))
    same = x.copy()
    run(activations.gelu, same[:], out=(same,))  # two arrays, one memory
    assert np.array_equal(bits(same), bits(wanted))


@pytest.mark.skipif(
    not os.environ.get("NUMBAGRAD_TEST_SLOW") and "CI" not in os.environ, reason="compiles everything again: set NUMBAGRAD_TEST_SLOW"
)
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86 processors")
@pytest.mark.parametrize("instructions", ["avx512", "avx2", "generic"])
@pytest.mark.parametrize("processor", ["", "haswell", "x86-64"], ids=["this processor", "avx2", "sse2"])
def test_instruction_sets_by_force(instructions, processor):
    """Whatever the processor lacks is done by other instructions."""
    if processor == "haswell" and not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("this processor has no AVX2")
    environment = os.environ | {"NUMBAGRAD_SIMD": instructions}
    if processor:
        environment |= {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+popcnt" if processor == "haswell" else ""}
    environment.pop("NUMBAGRAD_TEST_SLOW", None)
    environment.pop("CI", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
