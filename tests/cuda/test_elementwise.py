"""Every elementwise formula on CUDA, in the simulator, against the same formula on the CPU."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes, copy, elementwise
from numbagrad.kernels._cuda import driver
from numbagrad.kernels._cuda import launch as door
from numbagrad.kernels._cuda.array import CudaArray
from numbagrad.kernels._cuda.transfer import to_device, to_host
from numbagrad.kernels.elementwise import Elementwise, activations, formulas, logic

pytestmark = pytest.mark.skipif(not driver.SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1")

OPERATIONS = {
    name: op
    for module in (formulas, activations, logic)
    for name, op in vars(module).items()
    if isinstance(op, Elementwise) and not name.startswith("_")
}
DTYPES = {
    "b": (_dtypes.bool_,),
    "i": (_dtypes.uint8, _dtypes.int64),
    "f": (_dtypes.float32, _dtypes.float64, _dtypes.bfloat16),
    "c": (_dtypes.complex64,),
}
# The formula of lerp compares complex numbers, which no device does.
CASES = [(name, dtype) for name, op in OPERATIONS.items() for kind in op.accepts for dtype in DTYPES[kind] if (name, kind) != ("lerp", "c")]
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -2.5, 1e-3, 70.0, -70.0]


def _values(dtype: np.dtype, n: int, seed: int) -> np.ndarray:
    """Elements of every kind: special ones of floats, the ends of integers, zeros."""
    rng = np.random.default_rng(seed)
    kind = _dtypes.category(dtype)
    if kind == 0:
        return rng.integers(0, 2, n).astype(bool)
    if kind == 1:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        found = np.where(rng.random(n) < 0.5, rng.integers(low, high, n, endpoint=True), rng.integers(max(low, -9), 10, n)).astype(dtype)
        found[rng.permutation(n)[:2]] = low, high
        return found
    found = np.where(rng.random(n) < 0.3, rng.choice(SPECIAL, n), 3 * rng.standard_normal(n))
    if kind == 3:
        return (3 * rng.standard_normal(n) + 3j * rng.standard_normal(n)).astype(dtype)
    return copy.cast(found.astype(np.float32), dtype) if dtype in _dtypes.HALVES else found.astype(dtype)


def _operands(op: Elementwise, dtype: np.dtype, n: int) -> list:
    """An array for each parameter, a number for each setting; no integer is divided by zero."""
    found: list = []
    for i, p in enumerate(op.formula.params):
        found.append(1.5 if p.args[1] else _values(_dtypes.bool_ if p.kind == "bool" else dtype, n, 100 + i))
    if op is formulas.pow_ and _dtypes.category(dtype) == 1:
        found[1] = np.clip(found[1], 0, 20)  # what is left of larger powers is not the same everywhere
    settled = elementwise.settle(op, found)
    for i in settled.divisors:
        found[i] = np.where(found[i] == 0, 3, found[i]).astype(dtype)
    return found


def _put(x):
    return to_device(x.copy(), 0) if isinstance(x, np.ndarray) else x


def _get(x: CudaArray) -> np.ndarray:
    """A dense array, whatever the order of its dimensions in memory."""
    order = copy.dense_order(x)
    assert order is not None
    return to_host(x.transpose(order)).transpose(np.argsort(order))


def _as_float(x: np.ndarray) -> np.ndarray:
    return copy.cast(x, _dtypes.float32) if x.dtype in _dtypes.HALVES else x


def _same(found, expected: np.ndarray, single: float = 2e-6) -> None:
    """Equal, or as near as two libraries' functions are (``single``: in float32); NaN and infinities in the same places."""
    assert isinstance(found, CudaArray)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    found = _get(found)
    if expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected)
        return
    found, wanted = _as_float(found), _as_float(expected)
    tolerance = {_dtypes.float16: 2e-3, _dtypes.bfloat16: 1.6e-2, _dtypes.float64: 1e-13, _dtypes.complex128: 1e-12}.get(
        expected.dtype, single
    )
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("name, dtype", CASES, ids=lambda x: x if isinstance(x, str) else _dtypes.name(x))
def test_formula(name, dtype):
    """Contiguous: whole vectors, and the elements that are left over."""
    op = OPERATIONS[name]
    operands = _operands(op, dtype, 21)
    expected = elementwise.run(op, *operands)
    _same(elementwise.run(op, *map(_put, operands)), expected)


@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if "f" in op.accepts and op.result not in ("bool", "real")])
def test_derivative(name):
    op = OPERATIONS[name]
    wanted = tuple(i for i, p in enumerate(op.formula.params) if p.kind == "number" and not p.args[1])
    derivative = op.derivative(wanted).operation
    if derivative is None:
        return
    operands = _operands(derivative, _dtypes.float32, 9)
    expected = elementwise.run(derivative, *operands)
    found = elementwise.run(derivative, *map(_put, operands))
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected):
        _same(one, other, 1e-5)  # sums in which much cancels


# ---- shapes and strides -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that a test launches."""
    names: list[str] = []
    monkeypatch.setattr(door, "observers", [lambda kernel, *rest: names.append(kernel.name)])
    return names


def _dense(*shape: int, dtype: np.dtype = _dtypes.float32) -> np.ndarray:
    return _values(dtype, math.prod(shape), len(shape)).reshape(shape)


SHAPES = [
    ((), ()),
    ((0,), (0,)),
    ((1,), (7,)),
    ((3, 8), (8,)),
    ((3, 8), (3, 1)),
    ((3, 1), (1, 5)),
    ((2, 3, 4), (3, 1)),
    ((0, 3), (3,)),
    ((2, 1, 3, 1), (4, 1, 5)),
]


@pytest.mark.parametrize("a, b", SHAPES)
def test_broadcast(a, b):
    x, y = _dense(*a), _dense(*b)
    _same(elementwise.run(formulas.mul, _put(x), _put(y)), elementwise.run(formulas.mul, x, y))


VIEWS = {
    "transposed": lambda x: x.transpose(2, 0, 1),
    "every other": lambda x: x[:, ::2],
    "columns": lambda x: x[..., 1:3],
    "one": lambda x: x[1:2, 1:2, 1:2],
    "row": lambda x: x[1],
    "shifted": lambda x: x.reshape(-1)[1:],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.bfloat16, _dtypes.bool_, _dtypes.int64, _dtypes.complex64], ids=_dtypes.name)
def test_views(view, dtype):
    x = _dense(2, 4, 8, dtype=dtype)
    seen = VIEWS[view]
    _same(elementwise.run(formulas.add, seen(_put(x)), seen(_put(x))), elementwise.run(formulas.add, seen(x), seen(x)))


def test_vectors_where_they_can_be(launched):
    x = _put(_dense(3, 8))
    elementwise.run(formulas.add, x, x)
    elementwise.run(formulas.add, x, _put(_dense(8)))  # a row for all
    elementwise.run(formulas.add, x, _put(_dense(3, 1)))  # an element for each row
    elementwise.run(formulas.add, x, _put(_dense(1, 1)))  # one element for all
    elementwise.run(formulas.add, x[:, 4:], x[:, 4:])
    assert launched == ["add_flat4", "add_rows4", "add_rows4", "add_flat4", "add_rows4"]
    launched.clear()
    elementwise.run(formulas.add, x[:, 1:5], x[:, 1:5])  # not aligned
    elementwise.run(formulas.add, x[:, :3], x[:, :3])  # rows of three
    elementwise.run(formulas.add, x.reshape(24)[1:], x.reshape(24)[1:])
    elementwise.run(formulas.add, x[:, ::2], x[:, ::2])
    assert launched == ["add_rows1", "add_rows1", "add_flat1", "add_rows1"]


def test_more_dimensions_than_a_kernel_walks(launched):
    shape = (2,) * 10
    x = _dense(*shape)
    seen = x.transpose(9, 7, 5, 3, 1, 8, 6, 4, 2, 0)
    found = elementwise.run(formulas.add, _put(x).transpose(9, 7, 5, 3, 1, 8, 6, 4, 2, 0), _put(x))
    _same(found, elementwise.run(formulas.add, seen, x))
    assert launched == ["add_rows1"] * 4


@pytest.mark.parametrize("odd", [0, 1])
def test_launches_that_begin_anywhere(odd, launched):
    """The outermost dimension is walked by launches; where its stride is no whole vector, neither is what they begin with."""
    steps = [8 * 3**7 + odd, *(8 * 3**k for k in range(6, -1, -1)), 1]
    base = np.arange(sum(steps[:-1]) + 4, dtype=np.float32)
    shape = (2,) * 8 + (4,)
    seen = np.lib.stride_tricks.as_strided(base, shape, [4 * step for step in steps])
    found = elementwise.run(formulas.neg, _put(base).as_strided(shape, [4 * step for step in steps]))
    _same(found, elementwise.run(formulas.neg, np.ascontiguousarray(seen)))
    assert launched == ["neg_rows1" if odd else "neg_rows4"] * 2


def test_numbers_and_arrays_without_dimensions():
    x = _dense(5)
    for other in (2, 2.5, True, np.float32(0.1), 1e300, -math.inf):
        _same(elementwise.run(formulas.add, _put(x), other), elementwise.run(formulas.add, x, other))
    scalar = np.array(0.25, np.float32)
    _same(elementwise.run(formulas.sub, _put(x), _put(scalar)), elementwise.run(formulas.sub, x, scalar))
    _same(elementwise.run(formulas.sub, _put(scalar), _put(scalar)), elementwise.run(formulas.sub, scalar, scalar))
    whole = np.arange(5)
    _same(elementwise.run(formulas.add, _put(whole), _put(scalar)), elementwise.run(formulas.add, whole, scalar))
    z = x.astype(np.complex64)
    _same(elementwise.run(formulas.mul, _put(z), 2 - 3j), elementwise.run(formulas.mul, z, 2 - 3j))


def test_into_the_operand_itself():
    x, y = _dense(3, 5), _dense(3, 5)
    a = _put(x)
    elementwise.run(formulas.add, a, _put(y), out=(a,))
    _same(a, elementwise.run(formulas.add, x, y))


REAL = [d for d in _dtypes.ALL if d not in _dtypes.COMPLEXES]


@pytest.mark.parametrize("source, target", list(itertools.product(REAL, REAL)), ids=_dtypes.name)
def test_results_of_another_type(source, target):
    """What ``out`` stores: every conversion, as the CPU does it."""
    low = 0 if target.kind == "u" or source.kind == "u" else -3
    x = np.array([0, 1, 2, low, 100, 7, 1, 0, 2, low, 5])
    x = x.astype(bool) if source.kind == "b" else copy.cast(x.astype(np.float32), source)
    expected = np.empty(x.shape, target)
    elementwise.run(formulas.maximum, x, x, out=(expected,))
    found = _put(np.zeros(x.shape, target))
    elementwise.run(formulas.maximum, _put(x), _put(x), out=(found,))
    _same(found, expected)


def test_several_results():
    both = elementwise.elementwise(lambda a, b: (a + b, a < b), result="auto", name="both")
    x, y = _dense(9), _dense(9)[::-1].copy()
    for found, expected in zip(elementwise.run(both, _put(x), _put(y)), elementwise.run(both, x, y)):
        _same(found, expected)


def test_mixed_types():
    x, y = _dense(9), np.arange(9)
    for op in (formulas.add, logic.lt, formulas.div):
        _same(elementwise.run(op, _put(x), _put(y)), elementwise.run(op, x, y))
        _same(elementwise.run(op, _put(y), _put(x.astype(np.float64))), elementwise.run(op, y, x.astype(np.float64)))


def test_an_access_outside_of_an_allocation_is_noticed():
    """The simulator checks every access, so a wrong index is an error and no crash."""
    from numbagrad.kernels._cuda.launch import kernel, launch, pointer

    @kernel(pointer(np.float32), np.int32)
    def wrong(out, i):
        out[i] = np.float32(1)

    x = _put(np.zeros(4, np.float32))
    launch(wrong, 1, 1, (x.pointer, 3))
    for i in (-1, 4, 1 << 20):
        with pytest.raises(IndexError, match="outside of the allocation"):
            launch(wrong, 1, 1, (x.pointer, i))
