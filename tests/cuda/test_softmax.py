"""Softmax and its losses on CUDA, in the simulator, against the same functions on the CPU.

Both sum in float32, in different orders: what is compared is of the size of a few units in the last place of the largest term of a sum (``close``).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels import _dtypes, copy
from numbagrad.kernels import softmax as S
from numbagrad.kernels._cuda.transfer import to_device, to_host
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

# Of an exponential and a sum of some hundred terms in float32; a unit in the last place of the 16-bit floats.
TOLERANCE = {_dtypes.float32: 3e-6, _dtypes.float64: 1e-14, _dtypes.float16: 1e-3, _dtypes.bfloat16: 8e-3}
ROWS = [(3, 10), (2, 100), (2, 33), (1, 700), (1, 1300), (1, 2500)]  # parts of a warp, a warp, a block, held or not, vectors or not
COLUMNS = [((2, 5, 9), 1), ((2, 20, 9), 1), ((2, 4, 3), 1), ((3, 7), 0)]
SPECIAL = [[0, 1, np.inf, 0], [1, -np.inf, 0, 0], [np.nan, 2, 0, 0], [-np.inf] * 4, [1000, -1000, 0, 0], [-0.0, 0.0, -0.0, 0]]


def put(x):
    return None if x is None else to_device(np.ascontiguousarray(x), 0).reshape(x.shape)


def close(found, expected: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    here, tolerance = to_host(found), TOLERANCE[expected.dtype]
    if expected.dtype in _dtypes.HALVES:
        here, expected = (copy.cast(a, _dtypes.float32) for a in (here, expected))
    finite = expected[np.isfinite(expected)]
    np.testing.assert_allclose(here, expected, rtol=tolerance, atol=tolerance * max(1.0, np.abs(finite).max(initial=0)))


def scores(shape, dtype=_dtypes.float32, seed: int = 0) -> np.ndarray:
    return copy.cast(np.asarray(np.random.default_rng(seed).standard_normal(shape) * 3, np.float32), dtype)


def both_ways(x: np.ndarray, g: np.ndarray, dim: int) -> None:
    for name in ("softmax", "log_softmax"):
        forward, backward = getattr(S, name), getattr(S, f"{name}_backward")
        y = forward(x, dim)
        close(forward(put(x), dim), y)
        close(backward(put(g), put(y), dim), backward(g, y, dim))


@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_rows(shape):
    both_ways(scores(shape), scores(shape, seed=1), 1)


@pytest.mark.parametrize("shape, dim", COLUMNS, ids=str)
def test_columns(shape, dim):
    both_ways(scores(shape), scores(shape, seed=1), dim)


@pytest.mark.parametrize("dtype", [_dtypes.float64, _dtypes.float16, _dtypes.bfloat16], ids=_dtypes.name)
def test_other_types(dtype):
    for shape, dim in (((2, 24), 1), ((2, 5, 9), 1), ((1, 1100), 1)):
        both_ways(scores(shape, dtype), scores(shape, dtype, 1), dim)


def test_rows_that_are_no_whole_vectors_or_not_aligned():
    x = scores((5, 8))
    whole = put(x)
    moved = put(scores(41).reshape(41))[1:].reshape(5, 8)  # begins between two vectors
    copy.copy_into(moved, whole)
    close(S.softmax(moved, 1), S.softmax(x, 1))
    close(S.softmax(whole.T, 0), S.softmax(x.T, 0))
    close(S.softmax(whole[:, 1:6], 1), S.softmax(x[:, 1:6], 1))


@pytest.mark.parametrize("copies", [3, 80, 300], ids=["warp", "block", "looped"])
def test_infinity_and_nan(copies):
    x = np.tile(np.array(SPECIAL, np.float32), (1, copies))
    for name in ("softmax", "log_softmax"):
        close(getattr(S, name)(put(x), 1), getattr(S, name)(x, 1))
    columns = np.concatenate([x.T[:12]] * 2, 1)  # of twelve scores, which two threads share
    close(S.softmax(put(columns), 0), S.softmax(columns, 0))


def test_nothing():
    for shape, dim in [((0, 4), 1), ((4, 0), 1), ((0, 3, 5), 1), ((2, 3, 0), 1)]:
        x = put(np.empty(shape, np.float32))
        assert S.softmax(x, dim).shape == S.log_softmax_backward(x, x, dim).shape == shape
    loss, _ = S.cross_entropy(put(np.empty((0, 3), np.float32)), put(np.empty(0, np.int64)))
    assert np.isnan(loss.item())


# ---- losses -----------------------------------------------------------------------------------------------------------------------------------------


def losses(shape, weighted: bool, smoothing: float, reduction: str, soft: bool, dtype=_dtypes.float32) -> None:
    rng = np.random.default_rng(3)
    x, classes = scores(shape, dtype), shape[1] if len(shape) > 1 else shape[0]
    target = np.asarray(rng.integers(0, classes, (shape[0], *shape[2:]) if len(shape) > 1 else ()))
    ignore = 3
    if soft:
        target, ignore = copy.cast(rng.random(shape).astype(np.float32), dtype), -100
    weight = copy.cast(rng.random(classes).astype(np.float32), dtype) if weighted else None
    expected, saved = S.cross_entropy(x, target, weight, ignore, smoothing, reduction)
    g = scores(expected.shape, dtype, 5)
    slope = S.cross_entropy_backward(g, x, target, saved, weight, ignore, smoothing, reduction)
    here = [put(a) for a in (x, target, weight)]
    found, kept = S.cross_entropy(*here, ignore, smoothing, reduction)
    close(found, expected)
    assert kept.dtype == _dtypes.compute_dtype(dtype)
    close(S.cross_entropy_backward(put(g), here[0], here[1], kept, here[2], ignore, smoothing, reduction), slope)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(7,), (4, 7), (3, 24), (2, 7, 5), (2, 12, 4)], ids=str)
def test_cross_entropy(shape, reduction):
    for weighted, smoothing, soft in itertools.product((False, True), (0.0, 0.1), (False, True)):
        losses(shape, weighted, smoothing, reduction, soft)


@pytest.mark.parametrize("soft", [False, True], ids=["indices", "probabilities"])
def test_cross_entropy_of_long_rows(soft):
    losses((2, 300), True, 0.1, "mean", soft)
    losses((1, 1300), True, 0.1, "mean", soft)
    losses((1, 2100), False, 0.0, "none", soft)


@pytest.mark.parametrize("dtype", [_dtypes.float64, _dtypes.float16, _dtypes.bfloat16], ids=_dtypes.name)
def test_cross_entropy_of_other_types(dtype):
    for shape, reduction in (((3, 8), "mean"), ((2, 5, 3), "none")):
        losses(shape, True, 0.1, reduction, False, dtype)
        losses(shape, True, 0.0, reduction, True, dtype)


def test_many_losses_are_added_by_several_blocks():
    x, target = scores((4200, 2)), np.zeros(4200, np.int64)
    close(S.nll_loss(put(x), put(target), reduction="sum")[0], S.nll_loss(x, target, reduction="sum")[0])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(7,), (4, 6), (2, 5, 4)], ids=str)
def test_nll_loss(shape, reduction):
    rng = np.random.default_rng(4)
    x, classes = scores(shape), shape[1] if len(shape) > 1 else shape[0]
    target = np.asarray(rng.integers(0, classes, (shape[0], *shape[2:]) if len(shape) > 1 else ()))
    for weight in (None, rng.random(classes).astype(np.float32)):
        loss, counted = S.nll_loss(x, target, weight, 2, reduction)
        found, here = S.nll_loss(put(x), put(target), put(weight), 2, reduction)
        close(found, loss)
        close(here, counted)
        g = scores(loss.shape, seed=6)
        slope = S.nll_loss_backward(g, shape, target, counted, weight, 2, reduction)
        close(S.nll_loss_backward(put(g), shape, put(target), here, put(weight), 2, reduction), slope)


def test_indices_out_of_range():
    x, ok = put(scores((2, 3))), put(np.array([0, 2]))
    for wrong in ([0, 3], [-1, 0]):
        for loss in (S.cross_entropy, S.nll_loss):
            found = loss(x, put(np.array(wrong)))[0]
            with pytest.raises(IndexError, match=f"Target {min(wrong) if min(wrong) < 0 else max(wrong)} is out of bounds."):
                found.item()
    assert np.isfinite(S.cross_entropy(x, ok)[0].item())
    S.cross_entropy(put(scores((1, 3, 2))), put(np.array([[0, 9]])))
    with pytest.raises(IndexError, match="Target 9"):
        ng.cuda.synchronize()


# ---- tensors ----------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["indices", "probabilities"])
def test_tensors_and_second_derivatives(target):
    rng = np.random.default_rng(7)
    x, weight = scores((3, 5)), rng.random(5).astype(np.float32)
    wanted = np.array([1, 4, 2]) if target == "indices" else rng.random((3, 5)).astype(np.float32)
    results = []
    for device in ("cpu", "cuda"):
        t = ng.tensor(x, device=device).requires_grad_()
        loss = F.cross_entropy(
            t * 2, ng.tensor(wanted, device=device), weight=ng.tensor(weight, device=device), label_smoothing=0.1, ignore_index=-1
        )
        (slope,) = ng.autograd.grad(loss, t, create_graph=True)
        (slope * slope).sum().backward()
        results.append([r.detach().cpu().numpy() for r in (loss, slope, t.grad)])
    for here, there in zip(*results):
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)


def test_tensors_of_softmax():
    x = scores((3, 4, 5))
    for function, dim in ((F.softmax, 1), (F.log_softmax, -1)):
        results = []
        for device in ("cpu", "cuda"):
            t = ng.tensor(x, device=device).requires_grad_()
            (slope,) = ng.autograd.grad((function(t, dim) ** 2).sum(), t, create_graph=True)
            (slope * slope).sum().backward()
            results.append([slope.detach().cpu().numpy(), t.grad.cpu().numpy()])
        for here, there in zip(*results):
            np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_other_devices_are_refused_or_used():
    x = ng.tensor(scores((2, 3)), device="cuda:0")
    with pytest.raises(RuntimeError, match="same device"):
        F.cross_entropy(x, ng.tensor([0, 1]))
    last = f"cuda:{ng.cuda.device_count() - 1}"
    there = x.to(last).requires_grad_()
    for _ in range(2):  # the second time without checks
        loss = F.cross_entropy(there, ng.tensor([0, 1], device=last))
        loss.backward()
        assert str(loss.device) == str(there.grad.device) == last
