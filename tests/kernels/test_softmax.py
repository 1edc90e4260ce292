"""softmax, log_softmax, cross_entropy and nll_loss kernels against PyTorch and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels import softmax as S
from numbagrad.kernels.copy import cast

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-14}


def reference(x: np.ndarray, dim: int) -> np.ndarray:
    e = np.exp(x.astype(np.float64) - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def close(a: np.ndarray, b: np.ndarray, scale: float = 1.0) -> None:
    np.testing.assert_allclose(a, b, rtol=TOLERANCE[a.dtype] * scale, atol=TOLERANCE[a.dtype] * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "dim"), [((5,), 0), ((4, 7), 1), ((4, 7), 0), ((3, 5, 11), 1), ((2, 70, 300), 1), ((3, 5, 11), -3), ((2, 3, 4, 2), 2)]
)
def test_softmax_and_its_gradient(dtype, shape, dim):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) * 5).astype(dtype)
    g = rng.standard_normal(shape).astype(dtype)
    p = reference(x, dim)
    y = S.softmax(x, dim)
    assert y.dtype == dtype and y.shape == shape
    close(y, p)
    close(S.softmax_backward(g, p.astype(dtype), dim), p * (g - (g * p).sum(dim, keepdims=True)), 4)
    log = S.log_softmax(x, dim)
    close(log, np.log(p), 20)
    close(S.log_softmax_backward(g, log, dim), g - p * g.sum(dim, keepdims=True), 20)


def test_any_strides_give_the_same_numbers():
    x = np.random.default_rng(1).standard_normal((6, 9)).astype(np.float32)
    expected = S.softmax(x, 1)
    assert np.array_equal(S.softmax(np.asfortranarray(x), 1), expected)
    wide = np.zeros((12, 18), np.float32)
    wide[::2, ::-2] = x
    assert np.array_equal(S.softmax(wide[::2, ::-2], 1), expected)
    row = np.broadcast_to(x[0], (4, 9))
    assert np.array_equal(S.softmax(row, 1), np.broadcast_to(expected[0], (4, 9)))
    frozen = x.copy()
    frozen.setflags(write=False)
    assert np.array_equal(S.softmax(frozen, 1), expected)


def test_scalars_and_empty_arrays():
    assert S.softmax(np.array(3.0, np.float32), 0) == 1
    assert S.log_softmax(np.array(3.0, np.float32), -1) == 0
    for shape, dim in [((0, 4), 1), ((4, 0), 1), ((0, 3, 5), 1), ((2, 3, 0), 1)]:
        assert S.softmax(np.empty(shape, np.float32), dim).shape == shape
        assert S.log_softmax_backward(np.empty(shape, np.float32), np.empty(shape, np.float32), dim).shape == shape


@pytest.mark.parametrize("dim", [0, 1])
def test_nan_and_infinity(dim):
    torch = pytest.importorskip("torch")
    inf, nan = np.inf, np.nan
    x = np.array(
        [
            [0, 1, inf, 0],
            [1, -inf, 0, 0],
            [nan, 2, 0, 0],
            [-inf, -inf, -inf, -inf],
            [-nan, 1, 0, 0],
            [1000, -1000, 0, 0],
            [-0.0, 0.0, -0.0, 0],
        ],
        np.float32,
    )
    x = np.tile(x, (1, 3)) if dim == 1 else np.ascontiguousarray(np.tile(x, (1, 3)).T)
    np.testing.assert_allclose(S.softmax(x, dim), torch.softmax(torch.from_numpy(x), dim).numpy(), rtol=1e-6, atol=0)
    np.testing.assert_allclose(S.log_softmax(x, dim), torch.log_softmax(torch.from_numpy(x), dim).numpy(), rtol=1e-6, atol=0)


def test_long_sums_keep_their_digits():
    n = 3_000_000
    y = S.softmax(np.zeros((1, n), np.float32), 1)
    assert np.all(y == np.float32(1 / n))
    tall = S.softmax(np.zeros((20_000, 8), np.float32), 0)
    np.testing.assert_allclose(tall, 1 / 20_000, rtol=1e-6)


@pytest.mark.parametrize("half", [np.dtype(np.float16), _dtypes.bfloat16])
def test_halves_are_computed_in_float32(half):
    x = np.random.default_rng(2).standard_normal((3, 6)).astype(np.float32)
    h = cast(x, half)
    y = S.softmax(h, 1)
    assert y.dtype == half
    np.testing.assert_allclose(cast(y, _dtypes.float32), reference(cast(h, _dtypes.float32), 1), rtol=8e-3)
    loss, saved = S.cross_entropy(h, np.array([0, 5, 2]))
    assert loss.dtype == half and saved.dtype == np.float32
    assert S.cross_entropy_backward(cast(np.ones((), np.float32), half), h, np.array([0, 5, 2]), saved).dtype == half


def test_bad_softmax_arguments():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(IndexError, match="range of \\[-2, 1\\], but got 2"):
        S.softmax(x, 2)
    with pytest.raises(NotImplementedError, match="int64"):
        S.softmax(np.zeros((2, 3), np.int64), 1)
    with pytest.raises(RuntimeError, match="\\[2, 3\\]"):
        S.softmax_backward(np.zeros((3, 2), np.float32), x, 1)


def torch_loss(torch, x, target, **options):
    tx = torch.from_numpy(x).requires_grad_()
    loss = torch.nn.functional.cross_entropy(tx, torch.from_numpy(target), **options)
    grad = torch.from_numpy(np.random.default_rng(9).standard_normal(tuple(loss.shape)).astype(x.dtype))
    loss.backward(grad)
    return loss.detach().numpy(), grad.numpy(), tx.grad.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(7,), (20, 7), (3, 7, 5), (2, 7, 3, 6)])
def test_cross_entropy_of_indices(dtype, reduction, smoothing, weighted, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(shape) * 4).astype(dtype)
    target_shape = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    target = np.asarray(rng.integers(0, 7, target_shape))
    if len(shape) > 1:
        target[rng.random(target_shape) < 0.3] = 3
    weight = rng.random(7).astype(dtype) if weighted else None
    options = {"ignore_index": 3, "label_smoothing": smoothing, "reduction": reduction}
    if len(shape) == 1:  # a single sample without a batch axis
        target = np.asarray(np.int64(5))
    expected, grad, slope = torch_loss(torch, x, target, weight=None if weight is None else torch.from_numpy(weight), **options)
    loss, saved = S.cross_entropy(x, target, weight, 3, smoothing, reduction)
    assert loss.shape == expected.shape and loss.dtype == dtype
    close(loss, expected, 5)
    close(S.cross_entropy_backward(grad, x, target, saved, weight, 3, smoothing, reduction), slope, 5)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("shape", "weighted"), [((7,), False), ((20, 7), True), ((2, 7, 3, 5), True)])
def test_cross_entropy_of_probabilities(reduction, shape, weighted):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape) * 4
    target = reference(rng.standard_normal(shape), 1 if len(shape) > 1 else 0)
    weight = rng.random(7) if weighted else None
    options = {"label_smoothing": 0.1, "reduction": reduction}
    expected, grad, slope = torch_loss(torch, x, target, weight=torch.from_numpy(weight) if weighted else None, **options)
    loss, saved = S.cross_entropy(x, target, weight, -100, 0.1, reduction)
    close(loss, expected, 10)
    close(S.cross_entropy_backward(grad, x, target, saved, weight, -100, 0.1, reduction), slope, 10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6,), (70, 6), (3, 6, 4), (2, 6, 2, 3)])
def test_nll_loss(dtype, reduction, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(dtype)
    target = np.asarray(rng.integers(0, 6, (shape[0], *shape[2:]) if len(shape) > 1 else ()))
    weight = rng.random(6).astype(dtype)
    tx = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.nll_loss(tx, torch.from_numpy(target), torch.from_numpy(weight), ignore_index=2, reduction=reduction)
    expected.backward(torch.ones_like(expected))
    loss, counted = S.nll_loss(x, target, weight, 2, reduction)
    close(loss, expected.detach().numpy(), 5)
    close(S.nll_loss_backward(np.ones_like(loss), shape, target, counted, weight, 2, reduction), tx.grad.numpy(), 5)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 9)])
@pytest.mark.parametrize("wrong", [4, -1, 2**62, -(2**63)])
def test_an_index_out_of_range_is_an_error(shape, wrong):
    x = np.zeros(shape, np.float32)
    target = np.zeros((3, *shape[2:]), np.int64)
    target.reshape(-1)[-1] = wrong
    with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds."):
        S.cross_entropy(x, target)
    with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds."):
        S.nll_loss(x, target)
    loss, saved = S.cross_entropy(x, target, None, wrong)  # unless it is the index to ignore
    assert np.isclose(loss, np.log(4))
    dx = S.cross_entropy_backward(np.ones((), np.float32), x, target, saved, None, wrong)
    assert not dx.reshape(-1)[-1] and not np.isnan(dx).any()
    # A backward call with indices that the forward pass never saw reads and writes nothing outside.
    assert not S.cross_entropy_backward(np.ones((), np.float32), x, target, saved)[-1].reshape(-1)[-1]


def test_nothing_to_average_is_nan():
    x = np.zeros((2, 3), np.float32)
    ignored = np.array([-100, -100])
    assert np.isnan(S.cross_entropy(x, ignored)[0])
    assert S.cross_entropy(x, ignored, reduction="sum")[0] == 0
    empty, none = np.empty((0, 3), np.float32), np.empty(0, np.int64)
    assert np.isnan(S.cross_entropy(empty, none)[0])
    assert S.cross_entropy(empty, none, reduction="none")[0].shape == (0,)
    loss, saved = S.cross_entropy(empty, none, reduction="sum")
    assert loss == 0 and S.cross_entropy_backward(np.ones((), np.float32), empty, none, saved, reduction="sum").shape == (0, 3)


def test_uint8_targets():
    x = np.random.default_rng(6).standard_normal((4, 5)).astype(np.float32)
    target = np.array([0, 4, 2, 2])
    assert S.cross_entropy(x, target.astype(np.uint8))[0] == S.cross_entropy(x, target)[0]


@pytest.mark.parametrize(
    ("shape", "target", "options", "error", "message"),
    [
        ((3, 4), np.zeros(2, np.int64), {}, ValueError, r"batch_size \(3\) to match target batch_size \(2\)"),
        ((3, 4), np.zeros(3, np.int32), {}, RuntimeError, "int64 or uint8"),
        ((3, 4, 5), np.zeros((3, 4), np.int64), {}, RuntimeError, r"target size \[3, 5\], got \[3, 4\]"),
        ((3, 4), np.zeros((3, 4), np.int64), {}, RuntimeError, "floating point type for target"),
        ((3, 4), np.zeros(3, np.int64), {"weight": np.ones(3, np.float32)}, RuntimeError, "all 4 classes"),
        ((3, 4), np.zeros(3, np.int64), {"weight": np.ones(4)}, RuntimeError, "float64"),
        ((3, 4), np.zeros(3, np.int64), {"reduction": "max"}, ValueError, "'max' is not a valid value"),
        ((3, 4), np.zeros(3, np.int64), {"label_smoothing": 1.5}, RuntimeError, "1.5"),
    ],
)
def test_bad_loss_arguments(shape, target, options, error, message):
    with pytest.raises(error, match=message):
        S.cross_entropy(np.zeros(shape, np.float32), target, **options)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0)])
def test_empty_probabilities(shape):
    empty = np.empty(shape, np.float32)
    loss, saved = S.cross_entropy(empty, empty)
    assert np.isnan(loss)
    assert S.cross_entropy_backward(np.ones((), np.float32), empty, empty, saved).shape == shape


@pytest.mark.parametrize("shape", [(1000, 40), (40, 30, 60)])
def test_the_number_of_threads_changes_no_bit(shape):
    from numbagrad.kernels._cpu import get_num_threads, set_num_threads

    rng = np.random.default_rng(10)
    x = (rng.standard_normal(shape) * 4).astype(np.float32)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    before = get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            loss, saved = S.cross_entropy(x, target, label_smoothing=0.1)
            found.append((loss, S.cross_entropy_backward(np.ones((), np.float32), x, target, saved, label_smoothing=0.1), S.softmax(x, 1)))
    finally:
        set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_cross_entropy_checks_every_call_not_only_the_first(reduction):
    x, target = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32), np.array([0, 6, 3, 2, 1])
    first = S.cross_entropy(x, target, reduction=reduction)
    again = S.cross_entropy(x, target, reduction=reduction)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(S.cross_entropy(np.asfortranarray(x), target, reduction=reduction)[0], first[0])
    np.testing.assert_array_equal(S.cross_entropy(x, np.repeat(target, 2)[::2], reduction=reduction)[0], first[0])
    np.testing.assert_allclose(S.cross_entropy(x.astype(np.float64), target, reduction=reduction)[0], first[0], rtol=1e-6)
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        S.cross_entropy(x, np.array([0, 7, 3, 2, 1]), reduction=reduction)
    with pytest.raises(IndexError, match="Target -1 is out of bounds"):
        S.cross_entropy(x, np.array([0, -1, 3, 2, 1]), reduction=reduction)
    ignored = S.cross_entropy(x, np.array([0, -1, 3, 2, 1]), ignore_index=-1, reduction=reduction)[0]
    assert np.isfinite(ignored).all()
    with pytest.raises(RuntimeError, match="label_smoothing"):
        S.cross_entropy(x, target, label_smoothing=1.5, reduction=reduction)
    grad = np.ones(5 if reduction == "none" else (), np.float32)
    slopes = [S.cross_entropy_backward(grad, x, target, first[1], reduction=reduction) for _ in range(2)]
    np.testing.assert_array_equal(*slopes)
    with pytest.raises(RuntimeError, match="expected grad of shape"):
        S.cross_entropy_backward(np.ones(() if reduction == "none" else 5, np.float32), x, target, first[1], reduction=reduction)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [1.0, 60.0, 200.0])
def test_every_length_of_a_row(spread, dtype):
    """Rows of elements near to each other take a quicker exponential; what fills no turn of a loop is done by an overlapping one."""
    for n in (1, 2, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 255, 511, 512, 513, 575, 576, 577, 1000, 1025):
        x = (np.random.default_rng(n).uniform(-0.5, 0.5, (5, n)) * spread).astype(dtype)
        x[1, -1] = -np.inf if n > 1 else 0
        if n > 2:
            x[2, [0, -1]] = spread
            x[3, n // 2] = -3 * spread
        p = reference(x, 1)
        np.testing.assert_allclose(S.softmax(x, 1), p, rtol=TOLERANCE[np.dtype(dtype)] * 2, atol=np.finfo(dtype).smallest_subnormal)
        exact = x.astype(np.float64) - x.max(1, keepdims=True)
        log = exact - np.log(np.exp(exact).sum(1, keepdims=True))
        np.testing.assert_allclose(S.log_softmax(x, 1), log, rtol=4 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
