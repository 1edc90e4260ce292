"""Intrinsics: memory by address, bit patterns, fused multiply-add, selection; and what ``kernel`` adds to a function."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import TypingError

from numbagrad.kernels._cpu import address_of, array_at, array_from, inline, kernel, load, store
from numbagrad.kernels._cpu.intrinsics import bits, copysign, fma, from_bits, horner, product_error, rint, select
from tests.machine_code import compiled_text, computes_packed

DTYPES = [np.float32, np.float64, np.int8, np.uint16, np.int64, np.bool_, np.complex64, np.complex128]


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_by_address(dtype):
    @kernel
    def body(lo, hi, out, x, address):
        source, target, same = array_at(x, hi, dtype), array_at(out, hi, dtype), array_from(address, hi, dtype)
        for i in range(lo, hi):
            target[i] = source[i] if source[i] == same[i] else source[0]

    x = np.arange(9).astype(dtype)[2:]  # a view: its data does not begin where its base's does
    out = np.zeros_like(x)
    body(0, 7, id(out), id(x), x.ctypes.data)
    assert np.array_equal(out, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_loads_and_stores(dtype):
    @kernel
    def body(lo, hi, out, x, step_out, step_x):
        target, source = address_of(out), address_of(x)
        for i in range(lo, hi):
            store(target + i * step_out, load(source + i * step_x, dtype))

    x = np.arange(40).astype(dtype).reshape(8, 5)
    out = np.zeros((8, 3), dtype)
    column, target = x[::-1, 3], out[:, 1]
    body(0, 8, id(target), id(column), target.strides[0], column.strides[0])
    assert np.array_equal(target, column) and not out[:, 0].any() and not out[:, 2].any()


def test_dtype_objects_name_elements_too():
    dtype = np.dtype("float64")

    @kernel
    def body(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = load(address_of(x) + 8 * i, dtype)

    x, out = np.arange(4.0), np.zeros(4)
    body(0, 4, out, id(x))
    assert np.array_equal(out, x)


def test_a_wrong_dtype_is_a_typing_error():
    @kernel
    def body(lo, hi, x):
        return load(x, 3)

    with pytest.raises(TypingError, match=r"load: expected a dtype such as np\.float32"):
        body(0, 1, 0)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_scalar_intrinsics(real):
    @kernel
    def body(lo, hi, out, x, y, z):
        for i in range(lo, hi):
            out[0, i] = fma(x[i], y[i], z[i])
            out[1, i] = product_error(x[i], y[i])
            out[2, i] = rint(x[i])
            out[3, i] = copysign(x[i], y[i])
            out[4, i] = select(x[i] < y[i], x[i], z[i])

    x, y, z = np.random.default_rng(0).uniform(-9, 9, (3, 1000)).astype(real)
    x[:4] = 0.5, 1.5, -0.0, np.nan
    out = np.empty((5, 1000), real)
    body(0, 1000, out, x, y, z)
    wide = np.longdouble
    exact = x.astype(wide) * y.astype(wide)
    assert np.allclose(out[0], (exact + z).astype(real), rtol=4 * np.finfo(real).eps, atol=100 * np.finfo(real).eps, equal_nan=True)
    if real is np.float32:  # the product of two float64 does not fit in a longdouble
        assert np.array_equal(out[1], (exact - (x * y)).astype(real), equal_nan=True)
    assert np.array_equal(out[2], np.rint(x), equal_nan=True) and np.signbit(out[2, 2])
    assert np.array_equal(out[3], np.copysign(x, y), equal_nan=True)
    assert np.array_equal(out[4], np.where(x < y, x, z))


def test_product_error_float64_is_exact():
    from fractions import Fraction

    @kernel
    def body(lo, hi, out, x, y):
        for i in range(lo, hi):
            out[i] = product_error(x[i], y[i])

    x, y = np.random.default_rng(1).standard_normal((2, 50))
    out = np.empty(50)
    body(0, 50, out, x, y)
    assert all(Fraction(float(a)) * Fraction(float(b)) - Fraction(float(a * b)) == Fraction(float(e)) for a, b, e in zip(x, y, out))


def test_bits_there_and_back():
    @kernel
    def body(lo, hi, out, pattern, x):
        for i in range(lo, hi):
            pattern[i] = bits(x[i])
            out[i] = from_bits(np.int32(bits(x[i]) & 0x7FFFFFFF))

    x = np.array([1.5, -2.0, -0.0, np.inf, -1e-45, np.nan], np.float32)
    out, pattern = np.empty_like(x), np.empty(6, np.int32)
    body(0, 6, out, pattern, x)
    assert np.array_equal(pattern, x.view(np.int32)) and np.array_equal(out, np.abs(x), equal_nan=True)


def test_horner():
    coefficients = (np.float64(1.0), np.float64(-2.0), np.float64(0.5), np.float64(3.0))

    @kernel
    def body(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = horner(x[i], coefficients)

    x = np.linspace(-2, 2, 101)
    out = np.empty_like(x)
    body(0, 101, out, x)
    assert np.allclose(out, np.polynomial.polynomial.polyval(x, coefficients), rtol=1e-14, atol=1e-13)


def test_mixed_types_are_typing_errors():
    @kernel
    def mixed(lo, hi):
        return fma(np.float32(1), 2.0, np.float32(3))

    @kernel
    def chosen(lo, hi):
        return select(True, np.float32(1), 2.0)

    for body, name in ((mixed, "fma"), (chosen, "select")):
        with pytest.raises(TypingError, match=f"{name}: expected"):
            body(0, 1)


def test_kernels_know_that_their_range_is_not_negative():
    """Else ``x[i]`` may mean ``x[n + i]``, and the loop is made of gathers."""

    @kernel
    def body(lo, hi, out, x):
        for i in range(lo, hi):
            out[i] = x[i] + x[i]

    x = np.arange(100, dtype=np.float32)
    out = np.zeros_like(x)
    body(10, 90, out, x)
    text = compiled_text(body)
    assert np.array_equal(out[10:90], 2 * x[10:90]) and not out[:10].any() and not out[90:].any()
    assert computes_packed(text) and "masked.gather" not in text


def test_arguments_of_other_names_are_left_alone():
    @kernel
    def body(low, high):
        return low - high

    assert body(-3, 4) == -7


def test_a_range_that_is_assigned_to():
    @kernel
    def body(lo, hi, out):
        while lo < hi:
            out[lo] = lo
            lo += 1
        hi = -1
        out[0] += hi

    out = np.zeros(5)
    body(0, 5, out)
    assert out.tolist() == [-1, 1, 2, 3, 4]


def test_division_by_zero_follows_numpy():
    @inline
    def quotient(a, b):
        return a / b

    @kernel
    def body(lo, hi, out, a, b):
        for i in range(lo, hi):
            out[i] = quotient(a[i], b[i])

    out = np.empty(3)
    body(0, 3, out, np.array([1.0, -1.0, 0.0]), np.zeros(3))
    assert out[0] == np.inf and out[1] == -np.inf and np.isnan(out[2])


def test_python_twins():
    """With NUMBA_DISABLE_JIT the same functions run as Python."""
    code = """
import numpy as np
from numbagrad.kernels._cpu import address_of, array_at, array_from, load, store
from numbagrad.kernels._cpu.intrinsics import *
from numbagrad.kernels._cpu.intrinsics import bits, fma, from_bits, horner, product_error, select
from numbagrad.kernels._cpu.math32 import FLOAT32
x = np.arange(5, dtype=np.float32)
assert address_of(id(x)) == x.ctypes.data and np.array_equal(array_at(id(x), 5, np.float32), x)
array_from(x.ctypes.data, 2, np.float32)[0] = 7
store(x.ctypes.data + 4, np.float32(9))
assert x.tolist() == [7, 9, 2, 3, 4] and load(x.ctypes.data + 4, np.float32) == 9
assert array_at(id(x), 0, np.float32).size == 0
f = np.float32
assert fma(f(2), f(3), f(4)) == 10 and select(True, 1, 2) == 1 and horner(f(2), (f(1), f(2), f(3))) == 17
assert from_bits(bits(f(-1.5))) == -1.5 and product_error(f(1 + 2**-12), f(1 + 2**-12)) == f(2**-24)
with np.errstate(all="ignore"):
    assert abs(FLOAT32["exp"](f(1)) - np.e) < 1e-6 and abs(FLOAT32["sin"](f(1)) - np.sin(1)) < 1e-6 and FLOAT32["pow"](f(2), f(3)) == 8
"""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
