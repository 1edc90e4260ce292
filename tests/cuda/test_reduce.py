"""Reductions and scans on a GPU against the same on the CPU: every operation, the shapes that each kernel is for, types, NaN, rounding, derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels import _dtypes
from numbagrad.kernels import reduce as contract
from numbagrad.kernels.copy import transfer
from tests.cuda.tensors import ON_A_GPU, same

pytest.importorskip("numba_cuda")
pytestmark = ON_A_GPU

INF, NAN = math.inf, math.nan
FLOATS = (ng.float32, ng.float64, ng.float16, ng.bfloat16)
DTYPES = (ng.bool, ng.uint8, ng.int8, ng.int16, ng.int32, ng.int64, *FLOATS, ng.complex64, ng.complex128)


def whole(*shape, dtype=ng.float32, seed=0):
    """Small whole numbers: their sums are exact in any order."""
    x = ng.tensor(np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64))
    return (x + 1j * x.flip(0)).to(dtype) if dtype.is_complex else x.abs().to(dtype) if dtype is ng.uint8 else x.to(dtype)


def random(*shape, dtype=ng.float64, seed=0):
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def agrees(function, x, y=None):
    """``function`` of ``y``, which is x on the GPU, is that of ``x`` in the widest type of its kind on the CPU, rounded once."""
    found, expected = function(x.cuda() if y is None else y), function(x.to(ng.complex128 if x.is_complex() else ng.float64))
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    for here, there in zip(found, expected):
        same(here, there.to(here.dtype))


# By kernel.  In the simulator a block has 64 threads, rows of up to 256 elements are short, and four blocks are enough.
SHAPES = {
    "lanes": ((5, 12), 1),
    "lanes, one element each": ((3, 33), 1),
    "a thread a row": ((70, 3), 1),
    "a warp a row": ((2, 256), 1),
    "a block a row": ((2, 260), 1),
    "parts of a row": ((1, 4099), None),
    "parts of rows": ((2, 2500), 1),
    "few rows of columns": ((3, 4, 6), 1),
    "narrow columns": ((90, 3), 0),
    "pairs of columns": ((2, 65, 2), 1),
    "wide columns": ((2, 9, 36), 1),
    "tiles of columns": ((10, 150), 0),
    "parts of columns": ((700, 8), 0),
    "two axes": ((4, 5, 6), (0, 2)),
    "nothing but one": ((1, 1, 1), None),
    "no dims": ((), None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    shape, dim = SHAPES[name]
    x = whole(*shape)
    agrees(lambda t: t.sum(dim), x)
    agrees(lambda t: t.amax(() if dim is None else dim, True), x)
    if type(dim) is int:
        agrees(lambda t: t.max(dim), x)
        agrees(lambda t: t.max(dim, True), x.double())  # in two passes
    elif dim is None:
        agrees(lambda t: t.argmax(dim), x)


@pytest.mark.parametrize("shape, dim", [((3001,), 0), ((3, 301), 1), ((5, 12), 1), ((12, 6), 0)])
def test_memory_that_is_not_aligned(shape, dim):
    n = int(np.prod(shape))
    for dtype in (ng.float32, ng.int8, ng.bfloat16):
        x = whole(n + 1, dtype=dtype)
        agrees(lambda t: t.sum(dim), x[1:].view(*shape), x.cuda()[1:].view(*shape))


LAYOUTS = {
    "transposed": lambda x: x.T,
    "permuted": lambda x: x.reshape(4, 5, 9).permute(2, 0, 1),
    "with gaps": lambda x: x[::2, 1::3],
    "reversed": lambda x: x.flip(0),
    "broadcast": lambda x: x[:1].expand(3, 9),
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name):
    x = whole(20, 9)
    a, b = LAYOUTS[name](x), LAYOUTS[name](x.cuda())
    for dim in (None, 0, -1, tuple(range(a.ndim))):
        agrees(lambda t: t.sum(dim), a, b)
    for dim in (0, -1):
        agrees(lambda t: t.cumsum(dim), a, b)
    agrees(lambda t: t.prod(0), a / 4, b / 4)


OPERATIONS = {
    "sum": lambda x: x.sum(0),
    "prod": lambda x: x.prod(0),
    "mean": lambda x: x.mean(1),
    "any": lambda x: x.any(1),
    "all": lambda x: x.all(0),
    "count_nonzero": lambda x: x.count_nonzero(1),
    "amax": lambda x: x.amax(1),
    "amin": lambda x: x.amin(0),
    "argmax": lambda x: x.argmax(0),
    "max": lambda x: x.max(1).values,
    "min": lambda x: x.min(0).indices,
    "cumsum": lambda x: x.cumsum(1),
    "cumsum of columns": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(1),
    "cumprod of columns": lambda x: x.cumprod(0),
    "norm 0": lambda x: x.norm(0, 1),
    "norm 1": lambda x: x.norm(1, 0),
    "norm inf": lambda x: x.norm(INF, 1),
    "norm -inf": lambda x: x.norm(-INF, 0),
}


def _has(name, dtype):
    kind = _dtypes.category(dtype.numpy)
    if name in ("mean",) or name.startswith("norm"):
        return kind >= 2 and (kind < 3 or name in ("mean", "norm 0"))
    return kind < 3 or name in ("sum", "prod", "any", "all", "count_nonzero") or name.startswith("cum")


def _result(name, dtype):
    """The dtype that PyTorch gives the result."""
    integral = not dtype.is_floating_point and not dtype.is_complex
    if name in ("any", "all"):
        return ng.uint8 if dtype is ng.uint8 else ng.bool
    if name in ("count_nonzero", "argmax", "min") or (integral and name.startswith(("sum", "prod", "cum"))):
        return ng.int64
    return {ng.complex64: ng.float32, ng.complex128: ng.float64}[dtype] if dtype.is_complex and name.startswith("norm") else dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_types(dtype):
    x = whole(4, 6, dtype=dtype)
    y = x.cuda()
    for name, operation in OPERATIONS.items():
        if _has(name, dtype):
            agrees(operation, x, y)
            assert operation(y).dtype is _result(name, dtype)


# Functions of sums, and of functions that differ in the last place between devices.
ROUNDED = {
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(1),
    "var of a column": lambda x: x.var(0, unbiased=False),
    "std": lambda x: x.std((0, 1)),
    "norm 2": lambda x: x.norm(2, 1),
    "norm 3": lambda x: x.norm(3, 0),
    "norm -2": lambda x: x.norm(-2, 1),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp of columns": lambda x: x.logsumexp(0),
    "prod": lambda x: x.prod(0),
    "cumprod": lambda x: x.cumprod(1),
}


@pytest.mark.parametrize("dtype", [*FLOATS, ng.complex64], ids=str)
@pytest.mark.parametrize("name", ROUNDED)
def test_rounded(name, dtype):
    if dtype.is_complex and name.startswith(("log", "norm 3", "norm -2")):
        pytest.skip("not compared")
    x = random(5, 20, dtype=dtype)
    wide = ng.complex128 if dtype.is_complex else ng.float64
    found, expected = ROUNDED[name](x.cuda()).cpu(), ROUNDED[name](x.to(wide))
    assert found.dtype is _result(name, dtype) or name.startswith(("var", "std"))
    # Some twenty roundings in the type of the arithmetic, and one of the result where that is narrower.
    tolerance = {ng.float64: 1e-14, ng.float16: 1e-3, ng.bfloat16: 8e-3}.get(dtype, 5e-6)
    np.testing.assert_allclose(found.to(wide).numpy(), expected.to(wide).numpy(), tolerance, tolerance)


@pytest.mark.parametrize("shape, dim", [((1, 6000), 1), ((40, 250), 1), ((3000, 4), 0)])
def test_error_of_sums(shape, dim):
    """The sum of float32 in float32 is as good as pairwise summation: its error, in units of the sum of magnitudes, is a few roundings (2**-24 each), where
    one addition after the other would be allowed thousands."""
    x = random(*shape, dtype=ng.float32)
    exact = x.double().sum(dim)
    error = (x.cuda().sum(dim).cpu().double() - exact).abs() / x.double().abs().sum(dim)
    assert error.max() < 4 * 2.0**-24
    y = x.abs()
    error = (y.cuda().sum(dim).cpu().double() / y.double().sum(dim) - 1).abs()
    assert error.max() < 4 * 2.0**-24


@pytest.mark.parametrize("shape, dim", [((1, 1500), 1), ((300, 3), 0)])
def test_error_of_running_sums(shape, dim):
    x = random(*shape, dtype=ng.float32).abs()
    found, exact = x.cuda().cumsum(dim).cpu().double(), x.double().cumsum(dim)
    assert (found / exact - 1).abs().max() < 8 * 2.0**-24


def special(dtype):
    x = random(6, 30, dtype=dtype)
    x[0, 3], x[1, 29], x[2, 0], x[3, 7], x[4, :] = NAN, INF, -INF, NAN, -INF
    x[3, 20], x[5, 4], x[5, 9] = NAN, 0.0, -0.0
    return x


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_and_infinities(dtype):
    x = special(dtype)
    y = x.cuda()
    for name in ("amax", "amin", "argmax", "argmin", "any", "all", "max", "min"):
        for dim in (0, 1):
            agrees(lambda t: getattr(t, name)(dim), x, y)
    for name in ("sum", "mean", "logsumexp", "norm"):
        found, expected = (getattr(t, name)(dim=1).cpu().double().numpy() for t in (y, x.double()))
        np.testing.assert_allclose(found, expected, 1e-2)
    zeros = ng.tensor([[0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]], dtype=dtype)
    for name in ("argmax", "argmin", "sum", "amax", "amin"):
        agrees(lambda t: getattr(t, name)(1), zeros)


def test_extrema_of_integers_at_their_limits():
    for dtype, low, high in ((ng.int32, -(2**31), 2**31 - 1), (ng.int64, -(2**63), 2**63 - 1), (ng.uint8, 0, 255), (ng.int8, -128, 127)):
        x = ng.tensor([[low, high, low, high], [low, low, low, low], [high, high, high, high]], dtype=dtype)
        y, z = x.cuda(), x.numpy()
        for values, places, expected, first in (
            (*y.max(1), z.max(1), z.argmax(1)),
            (*y.min(1), z.min(1), z.argmin(1)),
        ):
            assert values.tolist() == expected.tolist() and places.tolist() == first.tolist()


def test_sums_wrap():
    x = np.full(6, 2**62 + 1)
    assert ng.tensor(x).cuda().sum().item() == x.sum() and ng.tensor(x).cuda().prod().item() == x.prod()
    assert ng.full((300,), 200, dtype=ng.uint8).cuda().sum(dtype=ng.uint8).item() == 300 * 200 % 256


# ---- scans ----------------------------------------------------------------------------------------------------------------------------------

# In the simulator a part of a row is 512 elements of float32, one of a column 64.
SCANNED = {
    "a tile": ((3, 21), 1),
    "vectors": ((2, 64), 1),
    "several tiles": ((2, 301), 1),
    "parts of rows": ((2, 1100), 1),
    "columns": ((2, 70, 5), 1),
    "parts of columns": ((200, 2), 0),
    "no dims": ((), 0),
}


@pytest.mark.parametrize("name", SCANNED)
def test_scans(name):
    shape, dim = SCANNED[name]
    x = whole(*shape)
    agrees(lambda t: t.cumsum(dim), x)
    halves = np.where(x.numpy() > 3, 0.5, np.where(x.numpy() > -3, 1.0, -1.0)).astype(np.float32)
    agrees(lambda t: t.cumprod(dim), ng.tensor(halves))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape, dim", [((2, 9), 1), ((1, 150), 1), ((140, 3), 0), ((2, 5, 4), 1)])
def test_linear_scan(shape, dim, reverse):
    for dtype, tolerance in (
        (ng.float32, 1e-5),
        (ng.float64, 1e-13),
        (ng.complex64, 1e-5),
    ):  # a rounding each, which factors below one let fade
        a, b = (0.7 * random(*shape)).to(dtype), random(*shape, dtype=dtype, seed=1)
        found = contract.linear_scan(a.cuda()._data, b.cuda()._data, dim, reverse)
        expected = contract.linear_scan(a.double()._data, b.double()._data, dim, reverse)
        np.testing.assert_allclose(transfer(found, "cpu"), expected, tolerance, tolerance)


def test_parts_that_overflow():
    """What comes before a part is zero, and the product of the part alone is infinite."""
    x = ng.full((1, 1500), 3.0)
    x[0, 2] = 0
    assert x.cuda().cumprod(1)[0, :4].tolist() == [3, 9, 0, 0] and not x.cuda().cumprod(1)[:, 2:].any()
    x = ng.full((200, 1), 3.0, device="cuda", requires_grad=True)
    x.cumprod(0)[3].sum().backward()
    assert x.grad[:80, 0].tolist() == [27] * 4 + [0] * 76  # beyond that the product itself overflows


def test_not_a_number_goes_on():
    x = ng.ones(2, 700)
    x[0, 100], x[1, 650] = NAN, INF
    agrees(lambda t: t.cumsum(1), x)
    agrees(lambda t: t.cumprod(1), x)
    agrees(lambda t: t.cumsum(0), x.T.contiguous())


# ---- derivatives ----------------------------------------------------------------------------------------------------------------------------

# The rest are checked by differences in tests/ops/test_reduce.py, with ``--device cuda``.
DERIVED = {
    "broadcast": lambda x: (x[:1] * x).sum(),
    "cumprod": lambda x: x.cumprod(1),
}


@pytest.mark.parametrize("name", DERIVED)
def test_derivatives(name):
    found = []
    for device in ("cpu", "cuda"):
        x = random(3, 4).to(device, copy=True).requires_grad_()
        y = DERIVED[name](x)
        (g,) = ng.autograd.grad((y * y).sum(), x, create_graph=True)
        (h,) = ng.autograd.grad((g * g).sum(), x)
        found.append([t.detach().cpu().numpy() for t in (y, g, h)])
    for cpu, cuda in zip(*found):
        np.testing.assert_allclose(cuda, cpu, 1e-10, 1e-10)


# ---- shapes too large for a test ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wide(monkeypatch):
    """Kernels that count in 64 bits."""
    from numbagrad.kernels.reduce import _cuda_passes

    monkeypatch.setattr(_cuda_passes, "_is_wide", lambda size: True)
    _cuda_passes._pass.cache_clear()
    yield
    _cuda_passes._pass.cache_clear()


def test_wide(wide):
    for shape, dim in (((3, 12), 1), ((1, 700), 1), ((70, 3), 0), ((2, 9, 36), 1)):
        x = whole(*shape)
        agrees(lambda t: t.sum(dim), x)
        agrees(lambda t: t.argmax(dim), x)
        agrees(lambda t: t.cumsum(dim), x)
        agrees(lambda t: t.cumprod(dim), ng.where(x == 0, 1.0, -1.0))


@pytest.mark.parametrize(
    "outer, n, inner",
    [(1, 3 << 31, 1), (3 << 31, 1, 1), (1 << 31, 5, 1), (1, 2, 1 << 31), (1 << 30, 3, 2), (1, 1 << 31, 3), (1, 1, 1), (7, 1 << 20, 1)],
)
def test_everything_is_covered(outer, n, inner):
    """Whatever the shape, the parts of a pass are the whole axis and its blocks fit in a grid."""
    from numbagrad.kernels.reduce import _cuda_passes as passes

    step = passes._pass("sum", _dtypes.float32, _dtypes.float32, outer, n, inner, 0)
    assert 1 <= step.grid <= 1 << 20
    if step.kernel.name == "reduce_row_groups":
        rows, length, shift, turns = step.scalars
        assert (rows, length) == (outer, n) and turns * (step.grid * passes.THREADS >> shift) >= rows
        assert turns < 1 << 32
    elif step.kernel.name == "reduce_row_blocks":
        length, chunk, parts, tasks, _ = step.scalars
        assert length == n and chunk * (parts - 1) < n <= chunk * parts and tasks == outer * parts and parts == step.parts
    else:
        length, width, rows, parts, _, _, tiles, _, _, tasks, across, down = step.scalars
        assert (length, width) == (n, inner) and rows * (parts - 1) < n <= rows * parts and tasks == outer * parts * tiles
        assert 1 << (across + down) <= passes.THREADS
