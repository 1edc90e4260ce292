"""The copy family against NumPy and PyTorch: casts, strided moves, joining, padding, rearranging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbagrad.kernels import _dtypes
from numbagrad.kernels import copy as C
from numbagrad.kernels.copy import _move

SIZES = [np.uint8, np.float16, np.float32, np.float64, np.complex128]  # one dtype for each element size


@pytest.fixture(autouse=True, scope="module")
def kernels_for_few_elements():
    """What NumPy would be left to do: tests/kernels/test_copy_small.py compares the two."""
    saved = _move.SMALL_BYTES, _move.FEW
    _move.SMALL_BYTES = _move.FEW = 0
    yield
    _move.SMALL_BYTES, _move.FEW = saved


def sample(shape, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 50).astype(dtype)


def to_torch(x):
    torch = pytest.importorskip("torch")
    if x.dtype == _dtypes.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(x).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(x))


def bfloat16(values):
    return C.cast(np.asarray(values, np.float32), _dtypes.bfloat16)


@st.composite
def views(draw, max_ndim=5, max_size=9):
    """An array and a view of it: sliced with any step, permuted, and perhaps broadcast."""
    shape = draw(st.lists(st.integers(0, max_size), max_size=max_ndim))
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    index = []
    for n in shape:
        start, stop = draw(st.integers(0, n)), draw(st.integers(0, n))
        index.append(
            slice(start, stop, draw(st.sampled_from([1, 1, 2, 3])))
            if start < stop
            else slice(None, None, draw(st.sampled_from([1, -1, -2])))
        )
    x = x[(*index, ...)].transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        x = np.broadcast_to(x, (3, *x.shape))
    return x


@settings(max_examples=200, deadline=None)
@given(views())
def test_contiguous_and_clone_of_any_view(x):
    y = C.contiguous(x)
    assert y.flags.c_contiguous and np.array_equal(y, x)
    z = C.clone(x)
    assert np.array_equal(z, x) and not np.may_share_memory(z, x) and z.flags.writeable


@settings(max_examples=100, deadline=None)
@given(views(max_ndim=3), st.randoms())
def test_copy_into_any_view(x, random):
    x = np.array(x)
    room = np.full([2 * n + 1 for n in x.shape], -1, np.float32)
    where = tuple(slice(1, None, 2) if random.random() < 0.5 else slice(n, 0, -1) for n in x.shape)
    expected = room.copy()
    expected[(*where, ...)] = x
    C.copy_into(room[(*where, ...)], x)
    assert np.array_equal(room, expected)


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("shape", [(33, 70), (64, 64), (5, 100), (40, 41, 9)])
def test_transposed_copies(dtype, shape):
    x = sample(shape, dtype)
    assert np.array_equal(C.contiguous(x.T), x.T)
    cut = sample([n + 3 for n in shape], dtype)[tuple(slice(1, n + 1) for n in shape)]
    assert np.array_equal(C.contiguous(cut.T), cut.T)
    target = np.zeros(shape[::-1], dtype).T
    C.copy_into(target, x)
    assert np.array_equal(target, x)


def test_contiguous_is_the_array_itself_when_packed():
    x = sample((3, 4))
    assert C.contiguous(x) is x and C.cast(x, np.dtype(np.float32)) is x


@pytest.mark.parametrize("x", [sample((4, 6))[:, ::2].T, sample((2, 3, 4)).transpose(2, 0, 1), sample((4, 6))[:, ::2], sample((5, 1))])
def test_clone_keeps_layout_as_torch(x):
    torch = pytest.importorskip("torch")
    t = torch.as_tensor(x)
    assert [s // 4 for s in C.clone(x).strides] == list(t.clone().stride())


def test_read_only_and_broadcast_sources():
    x = np.broadcast_to(sample((1, 5)), (4, 5))
    assert not x.flags.writeable
    assert np.array_equal(C.contiguous(x), x)
    y = sample((300, 300))
    y.flags.writeable = False
    assert np.array_equal(C.clone(y), y) and np.array_equal(C.cast(y, _dtypes.float64), y)


def test_every_float16_widens_exactly():
    bits = np.arange(65536, dtype=np.uint16)
    x = bits.view(np.float16)
    y = C.cast(x, _dtypes.float32)
    assert np.array_equal(y, x.astype(np.float32), equal_nan=True)
    assert np.array_equal(np.signbit(y), np.signbit(x))
    finite = ~np.isnan(y)
    assert np.array_equal(C.cast(y, _dtypes.float16).view(np.uint16)[finite], bits[finite])
    wide = C.cast(bits.view(_dtypes.bfloat16), _dtypes.float32).view(np.uint32)
    assert np.array_equal(wide, bits.astype(np.uint32) << 16)


def test_float32_narrows_to_nearest_even():
    rng = np.random.default_rng(1)
    parts = [rng.integers(0, 2**32, 100_000), rng.integers(0x30000000, 0x48000000, 200_000), np.arange(0x32FFFF00, 0x33000100)]
    edges = [0x7F800000, 0xFF800000, 0x7FC00000, 0x477FEFFF, 0x477FF000, 0x387FFFFF, 0x80000000, 0x33000000, 0x33000001]
    x = np.concatenate([*parts, edges]).astype(np.uint32).view(np.float32)
    nan = np.isnan(x)
    half = C.cast(x, _dtypes.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.array_equal(half.view(np.uint16)[~nan], x.astype(np.float16).view(np.uint16)[~nan])
    assert np.isnan(half[nan]).all()
    brain = C.cast(x, _dtypes.bfloat16)
    bits = x.view(np.uint32)[~nan].astype(np.uint64)
    assert np.array_equal(brain.view(np.uint16)[~nan], ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16))
    assert np.isnan(C.cast(brain, _dtypes.float32)[nan]).all()


@pytest.mark.parametrize("source", _dtypes.ALL, ids=_dtypes.name)
def test_casts_between_all_dtypes_as_torch(source):
    torch = pytest.importorskip("torch")
    x = C.cast(np.array([0, 1, -1, 2.7, -3.5, 100, 0.3, 7]), source)
    for target in _dtypes.ALL:
        if source.kind in "fcV" and target == np.uint8:
            x_here = C.cast(np.array([0, 1, 2.7, 100, 0.3]), source)  # negative numbers as unsigned are undefined
        else:
            x_here = x
        y = C.cast(x_here, target)
        assert y.dtype == target
        assert torch.equal(to_torch(y), to_torch(x_here).to(to_torch(np.zeros(1, target)).dtype)), (source, target)


def test_cast_specials_and_layout():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])
    assert C.cast(x, _dtypes.bool_).tolist() == [True, True, True, False, False]
    assert np.array_equal(C.cast(x, _dtypes.float32), x.astype(np.float32), equal_nan=True)
    assert C.cast(np.array([1j, 0]), _dtypes.bool_).tolist() == [True, False]
    t = sample((3, 5, 2)).transpose(2, 0, 1)
    y = C.cast(t, _dtypes.float64)
    assert np.array_equal(y, t) and y.strides == tuple(2 * s for s in t.strides)
    assert C.cast(t[:, ::2], _dtypes.int64).tolist() == t[:, ::2].astype(np.int64).tolist()
    assert C.cast(np.array(2.5, np.float32), _dtypes.int8).shape == ()
    assert C.cast(np.empty((0, 3), np.float32), _dtypes.bfloat16).shape == (0, 3)


def test_copy_into_broadcasts_casts_and_survives_overlap():
    dst = np.zeros((3, 4), np.float64)
    C.copy_into(dst, np.arange(4, dtype=np.int32))
    assert np.array_equal(dst, np.broadcast_to(np.arange(4), (3, 4)))
    x = np.arange(10, dtype=np.float32)
    C.copy_into(x[1:], x[:-1].copy()[:])
    y = np.arange(10, dtype=np.float32)
    C.copy_into(y[1:], y[:-1])
    assert np.array_equal(x, y)
    square = np.arange(9.0).reshape(3, 3)
    C.copy_into(square, square.T)
    assert np.array_equal(square, np.arange(9.0).reshape(3, 3).T)
    with pytest.raises(RuntimeError, match=r"\[4\].*\[3\]"):
        C.copy_into(np.zeros(4), np.zeros(3))
    with pytest.raises(RuntimeError, match="single memory location"):
        C.copy_into(np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (0,)), np.zeros(3))


@pytest.mark.parametrize("dtype", _dtypes.ALL, ids=_dtypes.name)
def test_fill(dtype):
    x = C.cast(np.zeros((70, 90)), dtype)
    C.fill(x[::2, 1:].T, 1)
    expected = np.zeros((70, 90))
    expected[::2, 1:] = 1
    assert np.array_equal(C.cast(x, _dtypes.float64), expected)
    C.fill(x[:3, :3], C.cast(np.array(1.0), _dtypes.float32))
    assert C.cast(x, _dtypes.float64)[:3, :3].all()


def test_fill_checks_the_number():
    x = np.zeros(3, np.int8)
    C.fill(x, 2.7)
    assert x.tolist() == [2, 2, 2]
    for value in (300, -129, float("nan"), 1e10, 1j):
        with pytest.raises(RuntimeError, match="overflow"):
            C.fill(x, value)
    with pytest.raises(RuntimeError, match="overflow"):
        C.fill(np.zeros(3, np.float32), 1e300)
    with pytest.raises(RuntimeError, match="0-dimension"):
        C.fill(x, np.zeros(2, np.int8))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cat_and_stack(dtype, dim):
    a, b = sample((3, 4, 5), dtype), sample((5, 4, 3), dtype, 1).T
    assert np.array_equal(C.cat([a, b, a[:, ::1]], dim), np.concatenate([a, b, a], dim))
    assert np.array_equal(C.stack([a, b], dim), np.stack([a, b], dim))


def test_cat_and_stack_special_cases():
    a = sample((2, 3))
    assert np.array_equal(C.cat([np.empty(0, np.float32), a], 1), a)
    assert C.cat([np.empty(0, np.float32)]).shape == (0,)
    assert C.cat([a, a.astype(np.int32), a.astype(np.float64)]).dtype == np.float64
    assert C.cat([bfloat16([1, 2]), bfloat16([3])]).dtype == _dtypes.bfloat16
    assert C.cat([np.empty((0, 3), np.float32), a]).shape == (2, 3)
    assert C.stack([np.array(1, np.float32), np.array(2, np.float32)]).tolist() == [1, 2]
    for arrays, dim, error in [
        ([], 0, ValueError),
        ([a, sample((2, 4))], 0, RuntimeError),
        ([a, sample(3)], 0, RuntimeError),
        ([np.array(1, np.float32)], 0, RuntimeError),
        ([a], 2, IndexError),
    ]:
        with pytest.raises(error):
            C.cat(arrays, dim)
    with pytest.raises(RuntimeError, match="equal size"):
        C.stack([a, sample((2, 4))])
    with pytest.raises(RuntimeError, match="non-empty"):
        C.stack([])


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(
    "shape, pads",
    [
        ((2, 7), (3, 2)),
        ((2, 3, 7), (-2, 3)),
        ((2, 5, 6), (1, 2, 3, 4)),
        ((2, 3, 4, 5), (2, 1, 0, 3)),
        ((2, 2, 4, 5, 3), (1, 2, 2, 1, 3, 0)),
    ],
)
def test_pad_modes_and_gradient_as_torch(mode, shape, pads):
    torch = pytest.importorskip("torch")
    x = sample(shape, np.float64)
    t = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.pad(t, pads, mode=mode)
    y = C.pad(x, pads, mode)
    assert np.array_equal(y, expected.detach().numpy())
    g = sample(y.shape, np.float64, 1)
    expected.backward(torch.tensor(g))
    assert np.allclose(C.pad_backward(g, x.shape, pads, mode), t.grad.numpy(), rtol=1e-13)


@pytest.mark.parametrize(
    "shape, pads",
    [
        ((5,), (1, 2)),
        ((3, 4), (1, 0, 2, 3)),
        ((3, 4), (-1, 2)),
        ((2, 3, 4), (-1, -1, 2, -2, 1, 1)),
        ((0, 3), (1, 1, 2, 0)),
        ((300, 400), (3, 2, 1, 4)),
    ],
)
def test_constant_pad_as_torch(shape, pads):
    torch = pytest.importorskip("torch")
    x = sample(shape)
    assert np.array_equal(C.pad(x, pads, value=2.5), torch.nn.functional.pad(torch.tensor(x), pads, value=2.5).numpy())


def test_pad_rejects_what_torch_rejects():
    x = sample((2, 3))
    for pads, mode, error in [
        ((1,), "constant", RuntimeError),
        ((1,) * 6, "constant", RuntimeError),
        ((-3, -2), "constant", RuntimeError),
        ((3, 3), "reflect", RuntimeError),
        ((4, 3), "circular", RuntimeError),
        ((1, 1, 1, 1), "circular", NotImplementedError),
        ((1, 1), "mirror", NotImplementedError),
    ]:
        with pytest.raises(error, match="pad"):
            C.pad(x, pads, mode)
    with pytest.raises(RuntimeError, match="non-zero"):
        C.pad(np.empty((2, 0), np.float32), (1, 1), "replicate")
    assert C.pad(np.empty((0, 2, 3), np.float32), (1, 1), "replicate").shape == (0, 2, 5)


def test_rearrangements():
    x = sample((3, 4, 5))
    assert np.array_equal(C.flip(x, (0, -1)), np.flip(x, (0, 2)))
    assert np.array_equal(C.roll(x, (1, -2), (0, 2)), np.roll(x, (1, -2), (0, 2)))
    assert np.array_equal(C.roll(x.T, (7,)), np.roll(x.T, 7))
    assert np.array_equal(C.repeat(x, (2, 1, 3)), np.tile(x, (2, 1, 3)))
    assert np.array_equal(C.repeat(x.T, (2, 1, 3, 2)), np.tile(x.T, (2, 1, 3, 2)))
    assert C.repeat(x, (0, 1, 1)).shape == (0, 4, 5)
    assert C.flip(np.array(1, np.float32), (0,)).shape == () and C.roll(np.empty(0), (1,)).shape == (0,)
    with pytest.raises(RuntimeError, match="multiple times"):
        C.flip(x, (0, 0))
    with pytest.raises(IndexError):
        C.flip(x, (3,))
    with pytest.raises(RuntimeError, match="align"):
        C.roll(x, (1, 2), (0,))
    with pytest.raises(RuntimeError, match="repeat"):
        C.repeat(x, (2,))
    with pytest.raises(RuntimeError, match="negative"):
        C.repeat(x, (1, 1, -1))


@pytest.mark.parametrize("diagonal", [-9, -1, 0, 2, 9])
def test_triangles(diagonal):
    for x in (sample((3, 4, 6)), sample((6, 4)).T, sample((2, 0, 3)), sample((5, 3), np.complex128)):
        assert np.array_equal(C.tril(x, diagonal), np.tril(x, diagonal))
        assert np.array_equal(C.triu(x, diagonal), np.triu(x, diagonal))
    with pytest.raises(RuntimeError, match="2 dimensions"):
        C.tril(sample(3))


def test_half_gradient_of_padding():
    g = bfloat16(np.ones((1, 6)))
    assert C.cast(C.pad_backward(g, (1, 3), (2, 1), "replicate"), _dtypes.float32).tolist() == [[3, 1, 2]]


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("shape", [(3, 700), (700, 3), (7, 40, 7), (2, 33, 5, 2), (5, 1, 64, 7), (1, 9)])
def test_rows_of_few_elements(dtype, shape):
    """Walked down their columns, whatever the order of the source."""
    x = sample(shape, dtype)
    for order in ((*range(1, len(shape)), 0), tuple(reversed(range(len(shape))))):
        assert np.array_equal(C.contiguous(x.transpose(order)), x.transpose(order))
    assert np.array_equal(C.contiguous(x[..., :2]), x[..., :2])
    assert np.array_equal(C.contiguous(x[..., ::-1]), x[..., ::-1])
    for repeated in (np.broadcast_to(x[..., :1], (*shape[:-1], 3)), np.broadcast_to(x[0], shape)):
        assert np.array_equal(C.contiguous(repeated), repeated)
    out = np.zeros((*shape, 2), dtype)
    C.copy_into(out[..., 1], x)
    assert np.array_equal(out[..., 1], x) and not out[..., 0].any()


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_cat_of_long_rows(dim):
    pieces = [sample([40 if j == dim else 60 for j in range(3)], seed=seed) for seed in range(2)] + [sample((60, 60, 60))]
    assert np.array_equal(C.cat(pieces, dim), np.concatenate(pieces, dim))
    assert np.array_equal(C.stack(pieces[:2], dim), np.stack(pieces[:2], dim))


@pytest.mark.parametrize(
    "pads", [(1, 2), (3, 0, 0, 1), (-1, 2, 1, -1), (1, 1, 1, 1, 1, 1), (0, 0, 0, 0, 2, 3), (-60, 3), (-20, -9), (0, 0, 0, 0, 0, 0, 1, 1)]
)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_constant_pad_of_large_arrays_as_torch(pads, layout):
    torch = pytest.importorskip("torch")
    x = sample((3, 40, 30, 50))
    x = x.transpose(0, 1, 3, 2) if layout == "transposed" else x
    if pads[0] + x.shape[-1] < 0:
        pytest.skip("torch refuses to crop more than there is")
    expected = torch.nn.functional.pad(torch.from_numpy(x.copy()), pads, value=2.5)
    assert np.array_equal(C.pad(x, pads, "constant", 2.5), expected.numpy())


def test_narrowing_from_every_real_dtype_as_torch():
    torch = pytest.importorskip("torch")
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 65519.9, 65520.0, 6e-8, 2.9e-8, 1e-40, 3.4e38, 1.00390625])
    values = np.concatenate([special, sample(1000, np.float64) * 10.0 ** sample(1000, np.float64, 1)])
    for source in (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_):
        with np.errstate(invalid="ignore", over="ignore"):
            x = (values if np.dtype(source).kind == "f" else np.nan_to_num(values % 50)).astype(source)
        for half, name in ((_dtypes.bfloat16, torch.bfloat16), (_dtypes.float16, torch.float16)):
            got, expected = to_torch(C.cast(x, half)), to_torch(x).to(name)
            assert torch.equal(got.isnan(), expected.isnan()), (source, name)
            assert torch.equal(got[~got.isnan()].view(torch.int16), expected[~expected.isnan()].view(torch.int16)), (source, name)
            if source != np.bool_:
                assert torch.equal(to_torch(C.cast(C.cast(x, half), _dtypes.float64)).nan_to_num(7.0), expected.double().nan_to_num(7.0))


def test_float16_without_the_instruction():
    """The integer arithmetic that stands in for it, on every float32 that rounds to a different float16 than its neighbour, and all between."""
    from numbagrad.kernels._cpu import half

    bits = np.arange(0, 1 << 32, 9973, dtype=np.uint64).astype(np.uint32)
    exact = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (exact[:-1].astype(np.float64) + exact[1:]) / 2
    with np.errstate(invalid="ignore", over="ignore"):
        x = np.concatenate([bits.view(np.float32), exact, ties.astype(np.float32)])
        expected = x.astype(np.float16)
        got = np.array([half._narrow(v) for v in x[::37]], np.uint16).view(np.float16)
    assert np.array_equal(got, expected[::37], equal_nan=True)
    assert np.array_equal(C.cast(x, _dtypes.float16), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64, np.int32, np.uint8])
def test_ramp(dtype):
    dtype = np.dtype(dtype)
    for start, step, count in ((0, 1, 10), (5, 3, 1000), (0, 1, 0), (100, -7, 12)):
        assert np.array_equal(C.ramp(start, step, count, dtype), (start + np.arange(count) * step).astype(dtype))
    if dtype.kind == "f":
        assert np.array_equal(C.ramp(0.5, 0.1, 1000, dtype), (0.5 + np.arange(1000) * 0.1).astype(dtype))
