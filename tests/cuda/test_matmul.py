"""Matrix products on CUDA: every kernel and tile against NumPy and the CPU's kernels, and through the Tensor API."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels import _dtypes, _precision
from numbagrad.kernels import matmul as kernels
from numbagrad.kernels._cuda import driver
from numbagrad.kernels.copy import cast, transfer
from tests.cuda.tensors import ON_A_GPU

pytest.importorskip("numba_cuda")
pytestmark = ON_A_GPU

if driver.SIMULATED:
    from numbagrad.kernels.matmul import _cuda_plan, _cuda_tensor, cuda

ROUNDING = {_dtypes.float16: 2**-11, _dtypes.bfloat16: 2**-8}
REAL = (_dtypes.float32, _dtypes.float64, *_dtypes.HALVES)


def numbers(shape: tuple[int, ...], dtype: np.dtype, seed: int = 0) -> np.ndarray:
    """Values of a type; integers of its whole range, so that products wrap around."""
    random = np.random.default_rng(seed)
    if dtype in _dtypes.INTEGERS:
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype=dtype)
    x = random.standard_normal(shape)
    if dtype in _dtypes.COMPLEXES:
        return (x + 1j * random.standard_normal(shape)).astype(dtype)
    return cast(x.astype(np.float32), dtype) if dtype in _dtypes.HALVES else x.astype(dtype)


def wide(x: np.ndarray) -> np.ndarray:
    """``x`` in a type in which it can be multiplied without rounding that matters."""
    if x.dtype in _dtypes.INTEGERS:
        return x
    if x.dtype in _dtypes.HALVES:
        x = cast(x, _dtypes.float32)
    return x.astype(np.complex128 if x.dtype in _dtypes.COMPLEXES else np.float64)


def device(x: Any) -> Any:
    """``x`` on the device with the strides that it has here."""
    if x is None:
        return None
    base = x
    while base.base is not None:
        base = base.base
    if base is x or x.dtype in _dtypes.HALVES and base.dtype != x.dtype:
        return transfer(x, "cuda:0")
    there = transfer(base, "cuda:0")
    start = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return type(there)(there.allocation, there.pointer + start, x.shape, x.strides, x.dtype)


def bound(a: np.ndarray, b: np.ndarray, dtype: np.dtype, tf32: bool = False) -> np.ndarray:
    """How far sums may lie from the exact ones: every product and sum rounded once (k + 2 roundings of at most the sum of the absolute values; complex
    ones twice as many), and 16-bit results once more; in TF32 each factor to 11 bits."""
    real = _dtypes.real_dtype(_dtypes.compute_dtype(dtype))
    k = a.shape[-1] * (2 if dtype in _dtypes.COMPLEXES else 1)
    unit = np.finfo(real).eps * (k + 2) + (2**-10 if tf32 else 0) + ROUNDING.get(dtype, 0)
    return unit * (np.abs(a) @ np.abs(b) + 1e-30)


def check(a: np.ndarray, b: np.ndarray, initial: Any = None, activation: str = "", tf32: bool = False) -> None:
    """The product by the family's functions on CUDA against NumPy's."""
    batch = kernels.broadcast_batch(a.shape[:-2], b.shape[:-2])
    found = transfer(cuda.matmul(device(a), device(b), batch, device(initial), activation), "cpu")
    with np.errstate(all="ignore"):
        expected = np.matmul(wide(a), wide(b))
        if initial is not None:
            expected = expected + wide(initial)
        if activation:
            expected = np.maximum(expected, 0)
        assert found.shape == expected.shape and found.dtype == a.dtype
        if a.dtype in _dtypes.INTEGERS:
            np.testing.assert_array_equal(found, expected.astype(a.dtype))
            return
        most = bound(wide(a), wide(b), a.dtype, tf32)
        if initial is not None:
            most = most + 2 * (ROUNDING.get(a.dtype, 0) + np.finfo(np.float32).eps) * np.abs(wide(initial))
        assert (np.abs(wide(found) - expected) <= most).all()


def lying(shape: tuple[int, int], dtype: np.dtype, how: str, seed: int) -> np.ndarray:
    """A matrix in rows, in columns, in rows that are not aligned, or with gaps between all elements."""
    m, n = shape
    if how == "columns":
        return numbers((n, m), dtype, seed).T
    if how == "unaligned":
        return numbers((m, n + 3), dtype, seed)[:, 1 : n + 1]
    if how == "gaps":
        return numbers((m, 2 * n), dtype, seed)[:, ::2]
    return numbers((m, n), dtype, seed)


@pytest.fixture
def tiles(monkeypatch):
    """Sets the tiles that products are cut into, and into how many parts k is."""

    def choose(tile: Any, splits: int = 1) -> None:
        monkeypatch.setattr(_cuda_plan, "cut", lambda *_: _cuda_plan.Cut(tile, splits))

    return choose


# ---- kernels --------------------------------------------------------------------------------------------------------------------------------

SHAPES = ((20, 36, 12), (17, 33, 11))  # with vectors of 16 bytes, and without


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [d for d in _dtypes.ALL if d != _dtypes.bool_], ids=_dtypes.name)
def test_dtypes(dtype, shape):
    m, n, k = shape
    check(numbers((m, k), dtype), numbers((k, n), dtype, 1))
    check(numbers((m, k), dtype), numbers((n, k), dtype, 1).T, numbers((n,), dtype, 2))


LAYOUTS = ("rows", "columns", "unaligned", "gaps")
PAIRS = (
    ("rows", "columns"),
    ("columns", "rows"),
    ("columns", "columns"),
    ("unaligned", "gaps"),
    ("gaps", "unaligned"),
    ("rows", "unaligned"),
)


@pytest.mark.parametrize("a, b", PAIRS)
@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.bfloat16], ids=_dtypes.name)
def test_layouts(dtype, a, b):
    check(lying((24, 16), dtype, a, 0), lying((16, 40), dtype, b, 1))


@pytest.mark.parametrize("a, b", PAIRS)
def test_tf32(monkeypatch, a, b):
    monkeypatch.setattr(_precision.matmul, "allow_tf32", True)
    check(lying((35, 20), _dtypes.float32, a, 0), lying((20, 36), _dtypes.float32, b, 1), tf32=True)


def test_tf32_is_chosen_when_called(monkeypatch):
    """One part in 2048 is lost in TF32."""
    a = np.full((2, 2), 1 + 2**-12, np.float32)
    product = cuda.prepare(device(a), device(a), (), None)
    assert transfer(product(device(a), device(a), None), "cpu")[0, 0] > 2.0009
    monkeypatch.setattr(ng.backends.cuda.matmul, "allow_tf32", True)
    assert transfer(product(device(a), device(a), None), "cpu")[0, 0] == 2


SIMT = (
    [(d, tile) for d in (_dtypes.float32, _dtypes.float64, _dtypes.complex128) for tile in _cuda_plan.TILES[d.itemsize]]
    if driver.SIMULATED
    else []
)


@pytest.mark.parametrize("a, b", [("rows", "rows"), ("columns", "columns")])
@pytest.mark.parametrize("dtype, tile", SIMT, ids=str)
def test_tiles(tiles, dtype, tile, a, b):
    """Every tile as it is on a device: more than one block, and steps that do not come out even."""
    tiles(tile)
    m, n, k = (tile.rows + 4, tile.columns - 4, tile.depth + 4) if a == b == "rows" else (tile.rows - 4, tile.columns + 4, tile.depth + 4)
    check(lying((m, k), dtype, a, 0), lying((k, n), dtype, b, 1))


@pytest.mark.parametrize("dtype, a, b", [(_dtypes.float16, "columns", "rows"), (_dtypes.float32, "rows", "columns")])
@pytest.mark.parametrize("tile", _cuda_tensor.TILES if driver.SIMULATED else (), ids=str)
def test_tensor_core_tiles(monkeypatch, tiles, tile, dtype, a, b):
    monkeypatch.setattr(_precision.matmul, "allow_tf32", True)
    tiles(tile)
    depth = _cuda_tensor.depth_of(dtype)
    m, n, k = tile.rows - 8, tile.columns - 8, tile.stages * depth + depth // 2
    check(lying((m, k), dtype, a, 0), lying((k, n), dtype, b, 1), tf32=dtype == _dtypes.float32)


@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.bfloat16, _dtypes.int16, _dtypes.complex64], ids=_dtypes.name)
def test_parts(tiles, dtype):
    """Long sums in parts, the last of them shorter."""
    a, b = numbers((5, 85), dtype), numbers((85, 6), dtype, 1)
    how = _cuda_plan.Cut((_cuda_tensor.SIMULATED_TILES if dtype in _dtypes.HALVES else _cuda_plan.SIMULATED_TILES)[0], 3)
    tiles(*how)
    check(a, b, numbers((5, 1), dtype, 2))


BIAS = {"": (), "row": (36,), "one row": (1, 36), "column": (20, 1), "matrix": (20, 36), "scalar": ()}


@pytest.mark.parametrize("activation", ["", "relu"])
@pytest.mark.parametrize("bias", BIAS)
def test_ending(bias, activation):
    dtype = _dtypes.float16 if bias == "row" else _dtypes.float32
    initial = numbers(BIAS[bias], dtype, 2) if bias else None
    check(numbers((20, 12), dtype), numbers((12, 36), dtype, 1), initial, activation)
    if bias == "row":
        check(numbers((1, 12), dtype), numbers((12, 36), dtype, 1), initial, activation)
        check(numbers((20, 12), dtype), numbers((12, 36), dtype, 1), numbers((20, 72), dtype, 2)[:, ::2], activation)


@pytest.mark.parametrize("matrix, x", [*((matrix, "rows") for matrix in LAYOUTS), ("rows", "unaligned"), ("rows", "gaps")])
@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.bfloat16, _dtypes.int8, _dtypes.complex128], ids=_dtypes.name)
def test_vectors(dtype, matrix, x):
    check(lying((1, 72), dtype, x, 0), lying((72, 9), dtype, matrix, 1), numbers((9,), dtype, 2))
    check(lying((9, 72), dtype, matrix, 1), lying((1, 72), dtype, x, 0).T)


@pytest.mark.parametrize("matrix", ["rows", "columns"])
def test_vectors_in_parts(monkeypatch, matrix):
    monkeypatch.setattr(_cuda_plan, "vector_splits", lambda *_: 3)
    check(lying((6, 100), _dtypes.float32, matrix, 1), numbers((100, 1), _dtypes.float32), numbers((6, 1), _dtypes.float32, 2), "relu")
    check(numbers((1, 101), _dtypes.int64), lying((101, 5), _dtypes.int64, matrix, 1))


@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.float16, _dtypes.int64, _dtypes.complex64], ids=_dtypes.name)
@pytest.mark.parametrize("k", [0, 1, 7, 600])
def test_dot(dtype, k):
    a, b = numbers((k,), dtype), numbers((k,), dtype, 1)
    found = transfer(cuda.dot(device(a), device(b)), "cpu")
    exact = np.dot(wide(a), wide(b))
    assert found.shape == () and found.dtype == dtype
    if dtype in _dtypes.INTEGERS:
        assert found == exact.astype(dtype)
    else:
        assert abs(wide(found) - exact) <= bound(wide(a)[None], wide(b)[:, None], dtype)


BATCHES = {
    "one": ((3, 4, 5), (3, 5, 6)),
    "for all": ((3, 4, 5), (5, 6)),
    "broadcast": ((2, 1, 4, 5), (3, 5, 6)),
    "in two": ((2, 3, 4, 5), (2, 3, 5, 6)),
    "crossed": ((2, 1, 2, 4, 5), (1, 3, 1, 5, 6)),
    "vectors": ((2, 3, 1, 5), (2, 1, 5, 6)),
    "crossed vectors": ((2, 1, 2, 1, 4, 5), (1, 2, 1, 3, 5, 1)),
}


@pytest.mark.parametrize("name, dtype", [*((name, _dtypes.float32) for name in BATCHES), ("crossed", _dtypes.bfloat16)])
def test_batches(name, dtype):
    a, b = BATCHES[name]
    check(numbers(a, dtype), numbers(b, dtype, 1))
    if name == "in two":
        turned = numbers((*a[:-2], a[-1], a[-2]), dtype).swapaxes(-1, -2)
        check(turned, numbers(b, dtype, 1), None, "relu")


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 4, 0)])
@pytest.mark.parametrize("initial", [False, True])
def test_zero_sizes(shape, initial):
    m, n, k = shape
    added = numbers((n,), _dtypes.float32, 2) if initial else None
    check(numbers((m, k), _dtypes.float32), numbers((k, n), _dtypes.float32), added, "relu")
    check(numbers((0, m, k), _dtypes.float32), numbers((k, n), _dtypes.float32), added)


@pytest.mark.parametrize("dtype", REAL, ids=_dtypes.name)
def test_infinite_and_nan(dtype):
    """What lies outside of a tile takes no part: no NaN comes of 0 times infinity."""
    a, b = np.zeros((5, 7), np.float32), np.ones((7, 6), np.float32)
    a[0, 3], a[1, 2], b[4, 5] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = a @ b
    for x, y in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
        found = cuda.matmul(device(cast(x, dtype)), device(cast(y, dtype)), (), None, "")
        np.testing.assert_array_equal(cast(transfer(found, "cpu"), _dtypes.float64), expected)
    found = cuda.matmul(device(cast(a, dtype)), device(cast(b, dtype)), (), None, "relu")
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(cast(transfer(found, "cpu"), _dtypes.float64), np.maximum(expected, 0))


def test_more_rows_than_a_launch_takes(monkeypatch):
    monkeypatch.setattr(cuda, "_MOST", 4)
    check(numbers((2, 9, 3), _dtypes.float32), numbers((3, 5), _dtypes.float32), numbers((5,), _dtypes.float32), "relu")


# ---- how products are cut ---------------------------------------------------------------------------------------------------------------------


def test_cut():
    large, medium, small = tiles = _cuda_plan.TILES[4]

    def cut(products, m, n, k):
        return _cuda_plan.cut(tiles, products, m, n, k)

    assert cut(1, 4096, 4096, 4096) == (large, 1)
    assert cut(1, 1024, 1024, 1024) == (large, 3)
    assert cut(1, 512, 512, 512) == (medium, 2)
    assert cut(1, 128, 128, 64) == (small, 1)
    assert cut(1, 32, 32, 1 << 20) == (small, 64)
    assert cut(500, 32, 32, 32) == (small, 1)
    assert cut(1, 4096, 4096, 1 << 31)[1] == 2
    assert _cuda_plan.parts(100, 3, 8) == (40, 3)
    assert _cuda_plan.parts(10000, 39, 32) == (288, 35), "no part is empty"


def test_small_matrices_take_small_tiles():
    """A tile that is mostly empty is work for nothing."""
    tiles = _cuda_plan.TILES[4]
    assert _cuda_plan.cut(tiles, 500, 32, 32, 32).tile == tiles[-1]
    assert _cuda_plan.cut(tiles, 500, 60, 64, 32).tile == tiles[1]
    assert _cuda_plan.cut(tiles, 1, 30, 1 << 20, 64).tile == tiles[-1]


# ---- through the Tensor API -------------------------------------------------------------------------------------------------------------------

PRODUCTS = {
    "mm": (lambda a, b: ng.mm(a, b), (4, 5), (5, 6)),
    "transposed": (lambda a, b: ng.mm(a.T, b.T), (5, 4), (6, 5)),
    "mv": (lambda a, b: ng.mv(a, b), (4, 5), (5,)),
    "vm": (lambda a, b: a @ b, (5,), (5, 6)),
    "dot": (lambda a, b: ng.dot(a, b), (5,), (5,)),
    "bmm": (lambda a, b: ng.bmm(a, b), (3, 4, 5), (3, 5, 6)),
    "broadcast": (lambda a, b: ng.matmul(a, b), (2, 1, 4, 5), (3, 5, 6)),
    "rows": (lambda a, b: a @ b, (2, 3, 5), (5, 6)),
    "linear": (lambda a, b: ng.nn.functional.linear(a, b), (2, 3, 5), (6, 5)),
    "bias": (lambda a, b: ng.nn.functional.linear(a, b, b.sum(1)), (3, 5), (6, 5)),
    "linear of a vector": (lambda a, b: ng.nn.functional.linear(a, b), (5,), (6, 5)),
    "addmm": (lambda a, b: ng.addmm(a[:, :1], a, b), (4, 5), (5, 6)),
    "scaled addmm": (lambda a, b: ng.addmm(b[0], a, b, beta=0.5, alpha=2), (4, 5), (5, 6)),
    "baddbmm": (lambda a, b: ng.baddbmm(b[:, :1], a, b), (3, 4, 5), (3, 5, 6)),
    "einsum": (lambda a, b: ng.einsum("bij,bkj->ikb", a, b), (3, 4, 5), (3, 6, 5)),
    "inner": (lambda a, b: ng.inner(a, b), (4, 5), (2, 6, 5)),
    "outer": (lambda a, b: ng.outer(a, b), (4,), (5,)),
    "tensordot": (lambda a, b: ng.tensordot(a, b, 2), (3, 4, 5), (4, 5, 2)),
}


@pytest.mark.parametrize(
    "name, dtype", [*((name, ng.float64) for name in PRODUCTS), *((name, ng.bfloat16) for name in ("mm", "bmm", "bias"))]
)
def test_gradients(name, dtype):
    """Values, gradients and second derivatives as on the CPU; in bfloat16, whose results are rounded in other places, within two roundings."""
    act, *shapes = PRODUCTS[name]
    found = []
    for where in ("cpu", "cuda"):
        a, b = (ng.tensor(np.random.default_rng(i).standard_normal(s)).to(dtype).to(where).requires_grad_() for i, s in enumerate(shapes))
        y = act(a, b)
        slopes = ng.autograd.grad((y * y).sum(), (a, b), create_graph=dtype is ng.float64)
        if dtype is ng.float64:
            slopes += ng.autograd.grad((slopes[0] * slopes[0]).sum() + slopes[1].sum(), (a, b))
        found.append([t.detach().cpu().to(ng.float64).numpy() for t in (y, *slopes)])
        assert all(t.device.type == where for t in (y, *slopes))
    for here, there in zip(*found):
        rtol = 1e-12 if dtype is ng.float64 else 2**-6
        np.testing.assert_allclose(there, here, rtol=rtol, atol=rtol * np.abs(here).max())


def test_linear_relu():
    layer = ng.nn.Sequential(ng.nn.Linear(5, 6), ng.nn.ReLU(), ng.nn.Linear(6, 2))
    x = ng.tensor(np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32))
    layer(x).square().sum().backward()
    expected = [p.grad.numpy() for p in layer.parameters()]
    there = layer.to("cuda")
    there.zero_grad()
    there(x.cuda()).square().sum().backward()
    for p, slope in zip(there.parameters(), expected):
        assert p.grad.is_cuda
        np.testing.assert_allclose(p.grad.cpu().numpy(), slope, rtol=2e-5, atol=1e-5)  # sums of 7 products in another order


def test_16_bit_products_are_not_widened(monkeypatch):
    """Nothing is converted on the way, and the sums are float32: 2048 + 1 + 1 is 2050 in float16, which has no 2049."""
    from numbagrad.kernels.copy import cuda as copies

    a = ng.tensor([[2048.0, 1.0, 1.0]] * 2, dtype=ng.float16, device="cuda")
    ones = ng.ones(3, 2, dtype=ng.float16, device="cuda")
    monkeypatch.setattr(copies, "convert", None)
    y, z = a @ ones, ng.nn.functional.linear(a, ones.T, ones[0])
    monkeypatch.undo()
    assert y.tolist() == [[2050, 2050]] * 2 and z.tolist() == [[2052, 2052]] * 2  # 2051, a tie, to even


ERRORS = {
    "shapes": (lambda a: a @ a, "shapes cannot be multiplied"),
    "dtypes": (lambda a: a @ a.T.to(ng.float64), "to have the same dtype"),
    "bool": (lambda a: a.to(ng.bool) @ a.T.to(ng.bool), "not implemented for 'Bool'"),
    "devices": (lambda a: a @ a.T.cpu(), "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    "linear": (lambda a: ng.nn.functional.linear(a, a.T), "shapes cannot be multiplied"),
    "addmm": (lambda a: ng.addmm(a, a, a.T), "must match the existing size"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    act, message = ERRORS[name]
    with pytest.raises((RuntimeError, NotImplementedError), match=message):
        act(ng.ones(2, 3, device="cuda"))


def test_precision_setting():
    assert ng.backends.cuda.matmul is _precision.matmul and _precision.matmul.allow_tf32 is False
