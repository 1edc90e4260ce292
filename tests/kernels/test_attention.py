"""Attention against its definition: edges of tiles, several blocks of keys, masks, heads that broadcast, dropout."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import attention as A
from numbagrad.kernels import random

NO_DROPOUT = (0.0, 0, 0)
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def numbers(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def weights(q, k, mask, scale, causal):
    s = scale * q @ np.swapaxes(k, -1, -2)
    s = s if mask is None else s + mask
    if causal:
        s = np.where(np.tril(np.ones(s.shape[-2:], bool)), s, -np.inf)
    top = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(top), top, 0))
    total = e.sum(-1, keepdims=True)
    return np.divide(e, total, out=np.zeros_like(e), where=total != 0)


def expected(q, k, v, mask, scale, causal, g, kept=1.0):
    p = weights(q, k, mask, scale, causal)
    y = (p * kept) @ v
    dp = (g @ np.swapaxes(v, -1, -2)) * kept
    ds = p * (dp - (g * y).sum(-1, keepdims=True))
    return y, scale * ds @ k, scale * np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p * kept, -1, -2) @ g


def check(q, k, v, mask, causal, dropout=NO_DROPOUT, kept=1.0):
    dtype = q.dtype.type
    y, lse = A.attention(q, k, v, mask, 0.3, causal, dropout)
    g = numbers(*y.shape, dtype=dtype, seed=9)
    found = y, *A.attention_backward(g, q, k, v, mask, y, lse, 0.3, causal, dropout)
    wide = [None if x is None else x.astype(np.float64) for x in (q, k, v, mask)]
    for here, there in zip(found, expected(*wide, 0.3, causal, g.astype(np.float64), kept)):
        assert here.dtype == q.dtype and here.shape == there.shape
        np.testing.assert_allclose(here, there, rtol=0, atol=TOLERANCE[dtype] * max(1.0, np.abs(there).max()))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 5, 4, 6), (70, 300, 40, 33), (300, 129, 64, 64), (8, 128, 32, 32)], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_sizes(sizes, dtype, causal):
    length, count, inner, outer = sizes
    q, k, v = (numbers(2, n, d, dtype=dtype, seed=n) for n, d in ((length, inner), (count, inner), (count, outer)))
    check(q, k, v, None, causal)


@pytest.mark.parametrize("shape", [(150,), (1, 150), (9, 1), (2, 9, 150), (1, 9, 150), ()], ids=str)
def test_masks(shape):
    q, k, v, mask = numbers(2, 9, 8), numbers(2, 150, 8, seed=1), numbers(2, 150, 8, seed=2), np.array(numbers(*shape, seed=3))
    if len(shape) == 3:
        mask[0, 2], mask[0, :, 40:] = -np.inf, -np.inf  # a query that attends to nothing, keys that nobody attends to
    check(q, k, v, mask, False)


def test_heads_broadcast_and_strides():
    q, k = numbers(6, 3, 2, 4).transpose(1, 2, 0, 3), numbers(1, 2, 4, 7).swapaxes(-1, -2)  # rows apart, and columns contiguous
    v = numbers(3, 1, 7, 5, seed=2)
    check(q, k, v, None, False)


def test_dropout_is_that_of_random():
    q, k, v = numbers(2, 6, 8), numbers(2, 150, 8, seed=1), numbers(2, 150, 8, seed=2)
    kept = random.dropout_mask((2, 6, 152), 0.3, seed=5, offset=70)[..., :150] / 0.7
    check(q, k, v, None, False, (0.3, 5, 70), kept)


def test_every_weight_dropped_and_nothing_to_attend_to():
    q, k, v = numbers(1, 3, 4), numbers(1, 6, 4), numbers(1, 6, 4)
    assert not A.attention(q, k, v, None, 1.0, False, (1.0, 1, 1))[0].any()
    assert not A.attention(q, k[:, :0], v[:, :0], None, 1.0, False, NO_DROPOUT)[0].any()
    assert A.attention(q[:, :0], k, v, None, 1.0, False, NO_DROPOUT)[0].shape == (1, 0, 4)


def test_nan_stays_in_its_row():
    q, k, v = numbers(1, 4, 8), numbers(1, 200, 8), numbers(1, 200, 8)
    q[0, 2, 1] = np.nan
    assert np.isnan(A.attention(q, k, v, None, 1.0, False, NO_DROPOUT)[0]).all(-1).tolist() == [[False, False, True, False]]


def test_bad_input():
    q, k, v = numbers(1, 3, 4), numbers(1, 6, 4), numbers(1, 6, 4)
    with pytest.raises(RuntimeError, match="dtype"):
        A.attention(q, k.astype(np.float32), v, None, 1.0, False, NO_DROPOUT)
    with pytest.raises(RuntimeError, match=r"\[..., L, E\]"):
        A.attention(q, k[..., :3], v, None, 1.0, False, NO_DROPOUT)
    with pytest.raises(RuntimeError, match="mask"):
        A.attention(q, k, v, numbers(3, 5), 1.0, False, NO_DROPOUT)


@pytest.mark.parametrize("heads, length, width", [(2, 5, 3), (4, 70, 32), (16, 20, 32)], ids=str)
def test_heads_side_by_side_in_a_projection(heads, length, width):
    """They are read where they lie, rows that are whole pages apart too, and results lie in memory as they do."""
    projected = numbers(3, length, 3, heads, width, dtype=np.float32)
    q, k, v = projected.transpose(2, 0, 3, 1, 4)
    check(q, k, v, None, True)
    y, lse = A.attention(q, k, v, None, 0.3, False, NO_DROPOUT)
    assert y.transpose(0, 2, 1, 3).flags.c_contiguous
    g = numbers(*y.shape, dtype=np.float32)
    for slope in A.attention_backward(g, q, k, v, None, y, lse, 0.3, False, NO_DROPOUT):
        assert slope.transpose(0, 2, 1, 3).flags.c_contiguous


def test_gradients_written_where_they_belong():
    projected, mask = numbers(7, 2, 3, 4, 5), numbers(7, 7, seed=1)
    q, k, v = projected.transpose(2, 1, 3, 0, 4)
    y, lse = A.attention(q, k, v, mask, 0.3, False, NO_DROPOUT)
    g, slope = numbers(*y.shape, seed=2), np.full_like(projected, np.nan)
    out = tuple(slope.transpose(2, 1, 3, 0, 4))
    found = A.attention_backward(g, q, k, v, mask, y, lse, 0.3, False, NO_DROPOUT, out)
    assert all(a is b for a, b in zip(found, out))
    for here, there in zip(out, A.attention_backward(g, q, k, v, mask, y, lse, 0.3, False, NO_DROPOUT)):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("causal", [False, True])
def test_mask_beside_causal(causal):
    q, k, v = numbers(2, 150, 8), numbers(2, 150, 8, seed=1), numbers(2, 150, 8, seed=2)
    mask = numbers(150, 150, seed=3)
    mask[3], mask[:, :140] = -np.inf, -np.inf  # most rows, and whole blocks, without a key to attend to
    check(q, k, v, mask, causal)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nan_of_a_mask_stays_in_its_row(sign):
    """Whatever its sign, and in whichever block of keys it is met."""
    q, k, v, mask = numbers(9, 8), numbers(300, 8, seed=1), numbers(300, 8, seed=2), numbers(9, 300, seed=3)
    plain, _ = A.attention(q, k, v, mask, 0.3, False, NO_DROPOUT)
    mask[1, 4] = mask[5, 299] = np.copysign(np.nan, sign)
    y, lse = A.attention(q, k, v, mask, 0.3, False, NO_DROPOUT)
    rows = [1, 5]
    assert np.isnan(y[rows]).all() and np.isnan(lse[rows]).all()
    np.testing.assert_array_equal(np.delete(y, rows, 0), np.delete(plain, rows, 0))
