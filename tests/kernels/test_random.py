"""Random draws: the generator against published vectors, the distributions against their laws, and independence of how work is split."""

import numba
import numpy as np
import pytest

from numbagrad.kernels import _dtypes, random
from numbagrad.kernels.random import _words, cpu

KEY = {"seed": 1234, "offset": 5}


def ks_distance(samples, cdf):
    """The Kolmogorov-Smirnov statistic times sqrt(n); above 1.95 with probability 0.1 %."""
    samples = np.sort(samples.astype(np.float64).ravel())
    n = samples.size
    steps = np.arange(n + 1) / n
    values = cdf(samples)
    return np.sqrt(n) * max(np.abs(values - steps[1:]).max(), np.abs(values - steps[:-1]).max())


def normal_cdf(x):
    from math import erf

    return np.array([0.5 * (1 + erf(v / 2**0.5)) for v in x])


def compiled(helper):
    """A helper of kernels as something that Python can call."""
    return numba.njit(lambda *args: helper(*args))


def test_philox_known_answers():
    """The published vector for a zero counter and key."""
    words = compiled(_words.philox)(np.uint64(0), np.uint64(0))
    assert [int(w) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def philox_python(seed, block):
    """Philox4x32-10 in Python integers."""
    mask = 0xFFFFFFFF
    k, c = [seed & mask, seed >> 32], [block & mask, block >> 32, 0, 0]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & mask, (p >> 32) ^ c[3] ^ k[1], p & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def test_words_are_philox_of_seed_and_block():
    seed, offset = 0xDEADBEEF12345678, (1 << 33) - 1
    got = random.uniform((10,), _dtypes.float32, seed=seed, offset=offset)
    words = [w for block in range(3) for w in philox_python(seed, offset + block)]
    np.testing.assert_array_equal(got, np.array([(w >> 8) / 2**24 for w in words[:10]], np.float32))
    got = random.uniform((5,), _dtypes.float64, seed=seed, offset=offset)
    pairs = [(words[2 * i] << 32 | words[2 * i + 1]) >> 11 for i in range(5)]
    np.testing.assert_array_equal(got, np.array(pairs) * 2.0**-53)


def test_float32_formulas_against_float64():
    words = np.concatenate([np.array([0, 1, 2, 255, 2**32 - 1, 2**31, 2**30, 3 << 30, 2**29, 2**29 - 1], np.uint32),
                            np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32)])  # fmt: skip
    minus_log, cos_sin_turn = compiled(_words.minus_log), compiled(_words.cos_sin_turn)
    logs = np.array([minus_log(w) for w in words], np.float64)
    u = np.float32(2.0**-32) * words.astype(np.float32) + np.float32(2.0**-33)
    np.testing.assert_allclose(logs, -np.log(u.astype(np.float64)), rtol=3e-7, atol=1e-12)
    turns = np.array([cos_sin_turn(w) for w in words], np.float64)
    angle = 2 * np.pi * words.astype(np.float64) / 2**32
    np.testing.assert_allclose(turns, np.stack([np.cos(angle), np.sin(angle)], 1), atol=1.5e-7)


@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.float64])
def test_laws(dtype):
    n = 20001
    u = random.uniform((n,), dtype, -1.0, 3.0, **KEY)
    assert u.dtype == dtype and u.min() >= -1 and u.max() < 3
    assert ks_distance(u, lambda x: (x + 1) / 4) < 1.95
    z = random.normal((n,), dtype, 2.0, 3.0, **KEY)
    assert z.dtype == dtype
    assert ks_distance((z - 2) / 3, normal_cdf) < 1.95
    assert abs(np.corrcoef(z[:-1:2], z[1::2])[0, 1]) < 0.04
    e = random.exponential((n,), dtype, 0.5, **KEY)
    assert e.min() > 0
    assert ks_distance(e, lambda x: 1 - np.exp(-0.5 * x)) < 1.95


def test_float32_and_float64_are_different_precisions_of_the_same_law_with_halves():
    for dtype in (_dtypes.float16, _dtypes.bfloat16):
        u = random.uniform((5000,), dtype, **KEY)
        assert u.dtype == dtype
        from numbagrad.kernels.copy import cast

        wide = cast(u, _dtypes.float32)
        assert wide.min() >= 0 and wide.max() < 1 and abs(wide.mean() - 0.5) < 0.02
        shifted = cast(random.uniform((5000,), dtype, 2.0, 3.0, **KEY), _dtypes.float32)
        assert shifted.min() >= 2 and shifted.max() < 3
        z = cast(random.normal((5000,), dtype, **KEY), _dtypes.float32)
        assert abs(z.mean()) < 0.05 and abs(z.std() - 1) < 0.05


def test_uniform_never_reaches_high():
    close = random.uniform((4000,), _dtypes.float32, 1.0, 1.0 + 2.0**-22, **KEY)
    assert set(np.unique(close)) == {np.float32(1 + k * 2.0**-23) for k in range(2)}
    assert (random.uniform((10,), _dtypes.float32, 2.0, 2.0, **KEY) == 2).all()
    assert random.uniform((10,), _dtypes.float32, -1.0, 0.0, **KEY).max() < 0


def test_complex_normal_has_unit_variance():
    z = random.normal((20000,), _dtypes.complex64, 1 + 2j, 1.0, **KEY)
    assert abs(z.mean() - (1 + 2j)) < 0.03
    assert abs(z.real.var() - 0.5) < 0.02 and abs(z.imag.var() - 0.5) < 0.02


def test_bernoulli():
    for dtype in (_dtypes.bool_, _dtypes.float32, _dtypes.int64, _dtypes.bfloat16):
        x = random.bernoulli(0.3, (2000,), dtype, **KEY)
        assert x.dtype == dtype
    x = random.bernoulli(0.3, (20000,), _dtypes.float64, **KEY)
    assert set(np.unique(x)) == {0.0, 1.0} and abs(x.mean() - 0.3) < 0.015
    assert random.bernoulli(1.0, (500,), _dtypes.bool_, **KEY).all() and not random.bernoulli(0.0, (500,), _dtypes.bool_, **KEY).any()
    p = np.linspace(0, 1, 20000, dtype=np.float32).reshape(100, 200)
    x = random.bernoulli(p.T, **KEY)
    assert x.shape == (200, 100) and x.dtype == np.float32
    assert not x.T[p == 0].any() and x.T[p == 1].all()
    assert abs((x.T - p).mean()) < 0.01
    for bad in (np.array([0.5, np.nan]), np.array([0.5, 1.1]), np.array([-0.1, 0.5])):
        with pytest.raises(RuntimeError, match="in \\[0, 1\\]"):
            random.bernoulli(bad, **KEY)
    with pytest.raises(RuntimeError, match=r"p=1\.5"):
        random.bernoulli(1.5, (3,), _dtypes.float32, **KEY)


@pytest.mark.parametrize("dtype", [_dtypes.int64, _dtypes.uint8, _dtypes.float32, _dtypes.float16, _dtypes.bool_])
def test_randint(dtype):
    high = 2 if dtype == _dtypes.bool_ else 7
    x = random.randint(0, high, (7000,), dtype, **KEY)
    assert x.dtype == dtype
    values, counts = np.unique(x, return_counts=True)
    assert list(values) == list(range(high))
    assert (np.abs(counts - 7000 / high) < 5 * np.sqrt(7000 / high)).all()


def test_randint_is_multiply_high_over_the_whole_range():
    words = [w for block in range(3) for w in philox_python(KEY["seed"], KEY["offset"] + block)]
    longs = [words[2 * i] << 32 | words[2 * i + 1] for i in range(6)]
    for low, high in ((-(1 << 63), 1 << 63), (-5, (1 << 62) + 12345), (0, 10), (-(1 << 63), 1)):
        got = random.randint(low, high, (6,), **KEY)
        assert [int(v) for v in got] == [low + (w * (high - low) >> 64) for w in longs]


def test_randperm():
    for n in (0, 1, 2, 3, 10, 1000):
        x = random.randperm(n, **KEY)
        assert x.dtype == np.int64 and np.array_equal(np.sort(x), np.arange(n))
    keys = np.array([(w[0] << 32 | w[1], w[2] << 32 | w[3]) for w in (philox_python(1234, 5 + b) for b in range(500))], np.uint64).ravel()
    np.testing.assert_array_equal(random.randperm(1000, **KEY), np.argsort(keys, kind="stable"))
    counts = np.zeros((3, 3))
    for offset in range(600):
        counts[np.arange(3), random.randperm(3, seed=0, offset=2 * offset)] += 1
    assert (np.abs(counts - 200) < 60).all()
    assert random.randperm(5, _dtypes.float32, **KEY).dtype == np.float32
    with pytest.raises(RuntimeError, match="too large"):
        random.randperm(257, _dtypes.uint8, **KEY)
    with pytest.raises(RuntimeError, match="non-negative"):
        random.randperm(-1, **KEY)


def test_multinomial_with_replacement():
    weights = np.array([[0, 1, 0, 3.0, 6.0, 0], [1, 0, 0, 0, 0, 0]], np.float32)
    x = random.multinomial(weights, 20000, True, **KEY)
    assert x.shape == (2, 20000) and x.dtype == np.int64
    np.testing.assert_allclose(np.bincount(x[0], minlength=6) / 20000, weights[0] / 10, atol=0.015)
    assert (x[1] == 0).all()
    assert random.multinomial(np.array([0.0, 1.0]), 3, True, **KEY).tolist() == [1, 1, 1]


def test_multinomial_without_replacement():
    weights = np.tile(np.array([1.0, 0.0, 3.0, 6.0]), (20000, 1))
    x = random.multinomial(weights, 3, **KEY)
    assert (np.sort(x, 1) == [0, 2, 3]).all()
    np.testing.assert_allclose(np.bincount(x[:, 0], minlength=4) / 20000, [0.1, 0, 0.3, 0.6], atol=0.015)
    second = np.array([0.3 * 1 / 7 + 0.6 * 1 / 4, 0, 0.1 * 3 / 9 + 0.6 * 3 / 4, 0.1 * 6 / 9 + 0.3 * 6 / 7])
    np.testing.assert_allclose(np.bincount(x[:, 1], minlength=4) / 20000, second, atol=0.015)
    every = random.multinomial(np.ones(50, np.float32), 50, **KEY)
    assert sorted(every.tolist()) == list(range(50))


@pytest.mark.parametrize(
    "probs, samples, replacement, message",
    [
        (np.array([1.0, -1.0]), 1, True, "element < 0"),
        (np.array([1.0, np.nan]), 1, True, "nan"),
        (np.array([1.0, np.inf]), 1, True, "inf"),
        (np.zeros(3), 1, True, "sum of probabilities <= 0"),
        (np.array([1.0, 0.0]), 2, False, "not enough"),
        (np.ones(2), 3, False, "3 > 2"),
        (np.ones(2), 0, True, "n_sample <= 0"),
        (np.ones((2, 2, 2)), 1, True, "1 or 2 dim"),
        (np.ones(2, np.int64), 1, True, "int64"),
    ],
)
def test_multinomial_errors(probs, samples, replacement, message):
    with pytest.raises(RuntimeError, match=message):
        random.multinomial(probs, samples, replacement, **KEY)


@pytest.mark.parametrize("dtype", [_dtypes.float32, _dtypes.float64])
def test_dropout(dtype):
    x = np.random.default_rng(0).standard_normal((60, 50)).astype(dtype)
    y, mask = random.dropout(x, 0.3, **KEY)
    assert mask.dtype == bool and y.dtype == dtype and abs(mask.mean() - 0.7) < 0.03
    np.testing.assert_array_equal(mask, random.dropout_mask(x.shape, 0.3, **KEY))
    np.testing.assert_allclose(y, np.where(mask, x * (1 / 0.7), 0), rtol=1e-6)
    np.testing.assert_array_equal(y, random.masked_scale(x, mask, 1 / 0.7))
    transposed, mask_t = random.dropout(x.T, 0.3, **KEY)
    assert transposed.shape == (50, 60)
    np.testing.assert_array_equal(mask_t.ravel(), mask.ravel())
    for p, kept in ((0.0, True), (1.0, False)):
        y, mask = random.dropout(x, p, **KEY)
        assert (mask == kept).all()
        np.testing.assert_array_equal(y, x if kept else 0 * x)
    y, mask = random.dropout(np.full(300, np.nan, dtype), 0.5, **KEY)
    assert np.isnan(y).all()
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            random.dropout(x, p, **KEY)


def test_dropout_of_bfloat16():
    from numbagrad.kernels.copy import cast

    y, mask = random.dropout(cast(np.ones(400, np.float32), _dtypes.bfloat16), 0.5, **KEY)
    assert y.dtype == _dtypes.bfloat16
    np.testing.assert_array_equal(cast(y, _dtypes.float32), 2.0 * mask)


def test_draws_continue_each_other_and_do_not_depend_on_the_split(monkeypatch):
    """A draw in pieces is the draw as a whole, and every way of splitting a launch gives the same bits."""
    draw = {
        "uniform": lambda: random.uniform((3001,), _dtypes.float32, **KEY),
        "normal": lambda: random.normal((3001,), _dtypes.float32, **KEY),
        "normal64": lambda: random.normal((3001,), _dtypes.float64, **KEY),
        "randperm": lambda: random.randperm(3001, **KEY),
        "without": lambda: random.multinomial(np.ones((40, 30)), 7, **KEY),
        "with": lambda: random.multinomial(np.ones((40, 30)), 7, True, **KEY),
    }
    whole = {name: f() for name, f in draw.items()}

    def in_pieces(kernel, n, *args, work=0):
        for lo in range(0, n, 3):
            kernel(lo, min(lo + 3, n), *args)

    from numbagrad.kernels.random import _discrete

    monkeypatch.setattr(cpu, "launch", in_pieces)
    monkeypatch.setattr(_discrete, "launch", in_pieces)
    for name, f in draw.items():
        np.testing.assert_array_equal(whole[name], f(), err_msg=name)
    for name, dtype in (("uniform", _dtypes.float32), ("normal64", _dtypes.float64)):
        f = getattr(random, name.removesuffix("64"))
        start = f((1000,), dtype, **KEY)
        np.testing.assert_array_equal(start, whole[name][:1000])
    tail = random.uniform((100,), _dtypes.float64, seed=7, offset=3 + random.draws(50))
    np.testing.assert_array_equal(random.uniform((150,), _dtypes.float64, seed=7, offset=3)[50:], tail)


def test_seeds_and_offsets_give_different_numbers():
    base = random.uniform((100,), _dtypes.float32, seed=0, offset=0)
    for seed, offset in ((1, 0), (1 << 32, 0), (0, 1000), (-1, 0)):
        other = random.uniform((100,), _dtypes.float32, seed=seed, offset=offset)
        assert np.intersect1d(base, other).size < 5
    np.testing.assert_array_equal(
        random.uniform((4,), _dtypes.float32, seed=-1, offset=0), random.uniform((4,), _dtypes.float32, seed=2**64 - 1, offset=0)
    )


def test_out_of_any_layout_and_zero_sizes():
    memory = np.zeros((6, 8), np.float32)
    view = memory[::2, 1::3].T
    assert random.uniform(None, None, out=view, **KEY) is view
    np.testing.assert_array_equal(view, random.uniform(view.shape, np.float32, **KEY))
    assert np.count_nonzero(memory) == view.size
    assert random.uniform((0, 3), np.float32, **KEY).shape == (0, 3)
    assert random.normal((), np.float64, **KEY).shape == ()
    assert random.dropout(np.zeros((0,), np.float32), 0.5, **KEY)[0].shape == (0,)
    assert random.bernoulli(np.zeros((0, 2)), **KEY).shape == (0, 2)
    assert random.multinomial(np.ones((0, 4)), 2, **KEY).shape == (0, 2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: random.uniform((2,), np.float32, 2.0, 1.0, **KEY), "from=2 > to=1"),
        (lambda: random.uniform((2,), np.float32, 0.0, np.inf, **KEY), "finite"),
        (lambda: random.uniform((2,), np.int64, **KEY), "int64"),
        (lambda: random.uniform((-2,), np.float32, **KEY), "non-negative"),
        (lambda: random.normal((2,), np.float32, 0.0, -1.0, **KEY), "std -1"),
        (lambda: random.exponential((2,), np.float32, 0.0, **KEY), "lambda=0"),
        (lambda: random.randint(3, 3, (2,), **KEY), "from=3 >= to=3"),
        (lambda: random.randint(0, 300, (2,), np.uint8, **KEY), "out of bounds for uint8"),
        (lambda: random.randint(-1, 3, (2,), np.uint8, **KEY), "out of bounds for uint8"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 16383, 16384, 70001])
def test_randperm_is_the_stable_order_of_its_keys(n):
    """Dealt out to parts or not."""
    keys = np.array([(lambda w: (w[2 * (i % 2)] << 32) | w[2 * (i % 2) + 1])(philox_python(1234, 5 + i // 2)) for i in range(n)], np.uint64)
    assert np.array_equal(random.randperm(n, **KEY), np.argsort(keys, kind="stable"))
