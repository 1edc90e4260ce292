"""Random numbers on a GPU: those of the CPU, whatever the distribution, the dtype, the size and where the memory begins."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.kernels import random as kernels
from numbagrad.tensor import wrap
from tests.cuda.tensors import LAST, ON_A_GPU, ON_TWO_GPUS, same

pytestmark = ON_A_GPU

SIZES = (0, 1, 2, 5, 37)
KEY = {"seed": 0x0123456789ABCDEF, "offset": (1 << 33) - 2}  # both halves of both words are used
FLOATS = (ng.float32, ng.float64, ng.float16, ng.bfloat16)
COMPLEX = (ng.complex64, ng.complex128)
# float64 numbers go through each device's own logarithm: one unit in the last place of log is half of one in its root, and sine and cosine,
# the products and the mean add one each; the exponential has the logarithm and one product.
UNITS = 4


def on_both(draw):
    """What ``draw`` makes on the CPU and on a GPU, from the same seed."""
    ng.manual_seed(77)
    return draw("cpu"), draw(f"cuda:{LAST}")


def close(found, expected):
    """float64 numbers that are at most UNITS apart: of the largest of them, where they are differences."""
    assert found.is_cuda and found.dtype is expected.dtype and found.shape == expected.shape
    a, b = found.cpu().numpy(), expected.numpy()
    assert np.abs(a - b).max(initial=0) <= UNITS * np.spacing(np.abs(b).max(initial=1))


@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX), ids=str)
def test_floats(dtype):
    wide = dtype in (ng.float64, ng.complex128)
    for n in SIZES:
        expected, found = on_both(lambda d: ng.empty(n, dtype=dtype, device=d).uniform_(-1.3, 2.7))
        same(found, expected)
        expected, found = on_both(lambda d: ng.empty(n, dtype=dtype, device=d).normal_(0.5, 1.5))
        (close if wide else same)(found, expected)
        if dtype in FLOATS:
            expected, found = on_both(lambda d: ng.empty(n, dtype=dtype, device=d).exponential_(1.5))
            (close if wide else same)(found, expected)


@pytest.mark.parametrize("dtype", (ng.bool, ng.uint8, ng.int8, ng.int16, ng.int32, ng.int64, *FLOATS), ids=str)
def test_integers(dtype):
    for n in SIZES:
        same(*reversed(on_both(lambda d: ng.empty(n, dtype=dtype, device=d).random_(0, 2))))
        same(*reversed(on_both(lambda d: ng.empty(n, dtype=dtype, device=d).random_())))
        same(*reversed(on_both(lambda d: ng.empty(n, dtype=dtype, device=d).bernoulli_(0.3))))
    if dtype not in (ng.bool, ng.uint8):
        same(*reversed(on_both(lambda d: ng.randint(-100, 28, (21,), dtype=dtype, device=d))))


def test_all_integers():
    for low, high in ((-(1 << 63), 1 << 63), (-(1 << 62), 1 << 62), (5, 6)):
        same(*reversed(on_both(lambda d: ng.randint(low, high, (9,), device=d))))


def test_words_of_both_halves():
    """The high halves of seed and counter are used."""
    expected = kernels.randint(0, 1 << 40, (7,), **KEY)
    found = kernels.randint(0, 1 << 40, (7,), device=f"cuda:{LAST}", **KEY)
    same(wrap(found), wrap(expected))


@pytest.mark.parametrize("dtype", [ng.float32, ng.float64, ng.uint8, ng.int64], ids=str)
def test_anywhere_in_memory(dtype):
    """What begins at no multiple of 16 bytes, and what is not contiguous."""
    for view in (lambda x: x[1:20], lambda x: x[::2], lambda x: x[:36].view(6, 6).T):
        draw = {True: lambda x: x.uniform_(1, 2)}.get(dtype.is_floating_point, lambda x: x.random_(50))

        def drawn(d, draw=draw, view=view):
            x = ng.zeros(41, dtype=dtype, device=d)
            draw(view(x))
            return x

        same(*reversed(on_both(drawn)))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_bernoulli_each(dtype):
    p = ng.tensor([0.0, 1.0, 0.5, 1e-9, 0.999, 0.25, 0.75, 1 / 3, 2.0**-31], dtype=ng.float64).repeat(3).to(dtype)
    same(*reversed(on_both(lambda d: ng.bernoulli(p.to(d)))))
    same(*reversed(on_both(lambda d: ng.empty(27, dtype=ng.bool, device=d).bernoulli_(p.to(d)))))
    for bad in (-0.5, 1.5, float("nan")):
        with pytest.raises(RuntimeError, match=r"expected all probabilities to be in \[0, 1\]"):
            ng.bernoulli(ng.tensor([0.5, bad], dtype=dtype).cuda(LAST))
            ng.cuda.synchronize(LAST)


def test_forms():
    x = ng.zeros(2, 3, dtype=ng.float64).cuda(LAST)
    for draw in (
        lambda d: ng.rand(2, 3, device=d),
        lambda d: ng.randn(2, 3, device=d),
        lambda d: ng.randint(9, (3,), device=d),
        lambda d: ng.rand_like(x if "cuda" in d else x.cpu(), dtype=ng.float32),
        lambda d: ng.randint_like(x if "cuda" in d else x.cpu(), 3, 8),
        lambda d: ng.normal(1.0, 2.0, (5,), device=d),
        lambda d: ng.normal(ng.arange(3.0, device=d), ng.ones(2, 1, device=d)),
        lambda d: ng.bernoulli(ng.zeros(7, device=d), 0.4),
        lambda d: nn.init.xavier_uniform_(ng.empty(3, 4, device=d)),
        lambda d: nn.init.kaiming_normal_(ng.empty(3, 4, device=d)),
    ):
        same(*reversed(on_both(draw)))
    out = ng.empty(4, device=f"cuda:{LAST}")
    ng.manual_seed(3)
    assert ng.rand(4, out=out) is out
    ng.manual_seed(3)
    same(out, ng.rand(4))
    with pytest.raises(RuntimeError, match="from=2 > to=1"):
        out.uniform_(2, 1)


# ---- dropout --------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout(dtype, p):
    values = [1.0, -2.0, np.inf, np.nan, 0.0, -0.0, 7.5] * 4

    def dropped(d):
        x = ng.tensor(values, dtype=dtype).to(d).requires_grad_()
        y = nn.functional.dropout(x, p)
        (g,) = ng.autograd.grad(y, x, ng.ones_like(y), create_graph=True)
        return y.detach(), g.detach()

    (y, g), (found, slope) = on_both(dropped)
    same(found, y)
    same(slope, g)


def test_dropout_of_a_view():
    def dropped(d):
        return nn.functional.dropout(ng.arange(1.0, 42.0).to(d)[1:], 0.5), nn.functional.dropout(
            ng.arange(1.0, 41.0).to(d).view(5, 8).T, 0.5
        )

    for expected, found in zip(*on_both(dropped)):
        same(found, expected)


# ---- permutations and choices -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 9, 10, 50, 72, 80])
def test_randperm(n):
    same(*reversed(on_both(lambda d: ng.randperm(n, device=d))))


def test_randperm_dtypes():
    for dtype in (ng.int32, ng.uint8, ng.float32):
        same(*reversed(on_both(lambda d: ng.randperm(20, dtype=dtype, device=d))))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(dtype, replacement):
    weights = np.random.default_rng(0).uniform(0, 3, (3, 70)) * (np.random.default_rng(1).random((3, 70)) < 0.7)
    for w, k in ((weights, 5), (weights[0], 7), (weights[:, :6] + 0.1, 6), (weights[:1, 2:3] + 1, 1)):
        w = ng.tensor(w).to(dtype)
        same(*reversed(on_both(lambda d: ng.multinomial(w.to(d), k, replacement))))


def test_multinomial_of_many():
    w = ng.tensor(np.random.default_rng(0).uniform(0, 1, (1, 80)).astype(np.float32))
    same(*reversed(on_both(lambda d: ng.multinomial(w.to(d), 75))))


@pytest.mark.parametrize(
    "bad, message", [([1.0, -1.0], "contains either"), ([np.nan, 1], "contains either"), ([0.0, 0.0], "sum of"), ([1.0, 0.0], "not enough")]
)
def test_bad_weights(bad, message):
    with pytest.raises(RuntimeError, match=message):
        ng.multinomial(ng.tensor([[1.0, 2.0], bad]).cuda(LAST), 2)


# ---- generators -----------------------------------------------------------------------------------------------------------------------------------


def test_generators():
    g = ng.Generator(device=f"cuda:{LAST}").manual_seed(5)
    assert g.device == ng.device("cuda", LAST)
    same(ng.rand(5, generator=g, device=f"cuda:{LAST}"), ng.rand(5, generator=ng.Generator().manual_seed(5)))
    ng.cuda.manual_seed(5)
    before = ng.get_rng_state()
    first, state = ng.rand(3, device="cuda"), ng.cuda.get_rng_state()
    assert ng.get_rng_state().tolist() == before.tolist(), "a generator of its own"
    second = ng.rand(3, device="cuda")
    ng.cuda.set_rng_state(state)
    same(ng.rand(3, device="cuda"), second.cpu())
    assert ng.cuda.initial_seed() == 5
    ng.manual_seed(5)
    same(first, ng.rand(3))
    same(ng.rand(3, device="cuda"), first.cpu())
    states = ng.cuda.get_rng_state_all()
    ng.cuda.manual_seed_all(6)
    assert ng.cuda.initial_seed() == 6 and len(states) == ng.cuda.device_count()
    ng.cuda.set_rng_state_all(states)
    same(ng.rand(3, device="cuda"), second.cpu())
    with ng.fork_rng():
        inside = ng.rand(3, device="cuda")
    same(ng.rand(3, device="cuda"), inside.cpu())
    ng.cuda.seed()
    ng.cuda.seed_all()
    with pytest.raises(TypeError, match="on the CPU"):
        ng.cuda.set_rng_state(state.cuda())


@ON_TWO_GPUS
def test_a_generator_for_each():
    ng.cuda.manual_seed_all(1)
    first = ng.rand(3, device="cuda:0")
    with ng.cuda.device(1):
        ng.cuda.manual_seed(2)
    assert ng.rand(3, device="cuda:1").tolist() != first.tolist()
    ng.cuda.manual_seed_all(1)
    assert ng.rand(3, device="cuda:1").tolist() == first.tolist()
