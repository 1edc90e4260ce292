"""Generators, seeding, random tensors, in-place draws and dropout."""

import copy
import pickle
import threading

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import random
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops import random as ops


@pytest.fixture(autouse=True)
def seeded():
    with random.fork_rng():
        random.manual_seed(0)
        yield


def same(a, b):
    return np.array_equal(a.numpy(), b.numpy())


def test_same_seed_same_numbers():
    draws = [
        lambda: random.rand(3, 4),
        lambda: random.randn(5, dtype=ng.float64),
        lambda: random.randint(10, (7,)),
        lambda: random.randperm(11),
        lambda: random.normal(ng.zeros(3), 2.0),
        lambda: random.bernoulli(ng.full((9,), 0.5)),
        lambda: random.multinomial(ng.ones(6), 4),
        lambda: random.dropout(ng.ones(20)),
        lambda: ng.empty(4).uniform_(),
        lambda: ng.empty(4).exponential_(),
    ]
    random.manual_seed(7)
    first = [f() for f in draws]
    following = [f() for f in draws]
    random.manual_seed(7)
    for f, want in zip(draws, first):
        assert same(f(), want)
    assert sum(same(a, b) for a, b in zip(first, following)) <= 2  # draws of a few bits may repeat


@pytest.mark.cpu
def test_state_round_trip_and_fork():
    random.rand(5)
    state = random.get_rng_state()
    assert state.dtype is ng.uint8
    want = random.rand(4)
    random.set_rng_state(state)
    assert same(random.rand(4), want)
    random.set_rng_state(state)
    with random.fork_rng():
        random.manual_seed(99)
        random.rand(3)
    assert same(random.rand(4), want)
    random.set_rng_state(state)
    with random.fork_rng(enabled=False):
        random.rand(4)
    assert not same(random.rand(4), want)


def test_generator():
    a, b = random.Generator(), random.Generator()
    assert a.initial_seed() == b.initial_seed()
    assert a.manual_seed(5) is a and a.initial_seed() == 5
    assert a.manual_seed(-1).initial_seed() == 2**64 - 1
    a.manual_seed(5)
    b.manual_seed(5)
    before = random.get_rng_state()
    assert same(random.rand(4, generator=a), random.rand(4, generator=b))
    assert same(random.get_rng_state(), before)
    for duplicate in (copy.deepcopy(a), pickle.loads(pickle.dumps(a)), a.clone_state()):
        assert same(random.rand(3, generator=duplicate), random.rand(3, generator=b))
        b.set_state(a.get_state())
    drawn = a.seed()
    assert a.initial_seed() == drawn
    assert a.device.type == "cpu"


@pytest.mark.cpu
def test_generator_errors():
    g = random.Generator()
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(RuntimeError, match="Overflow"):
            g.manual_seed(seed)
    with pytest.raises(TypeError, match="uint8"):
        g.set_state(ng.zeros(16))
    with pytest.raises(RuntimeError, match="wrong size"):
        g.set_state(ng.zeros(15, dtype=ng.uint8))
    with pytest.raises(TypeError, match="Tensor"):
        g.set_state([0] * 16)
    with pytest.raises(TypeError, match="generator"):
        random.rand(3, generator=5)
    with pytest.raises(RuntimeError, match="cuda"):
        random.Generator("cuda")


def test_threads_sharing_a_generator_get_different_numbers():
    g, results = random.Generator().manual_seed(1), []

    def work():
        for _ in range(20):
            results.append(random.rand(50, dtype=ng.float64, generator=g).numpy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    every = np.concatenate(results)
    assert len(np.unique(every)) == every.size == 4000


def test_forms_of_creation():
    assert random.rand(2, 3).shape == random.rand((2, 3)).shape == random.rand(size=(2, 3)).shape == (2, 3)
    assert random.rand([]).shape == () and random.randn(()).shape == ()
    assert random.rand(3).dtype is ng.float32 and random.randn(3, dtype=ng.complex64).dtype is ng.complex64
    assert random.rand(3, requires_grad=True).requires_grad
    assert random.randint(5, (3,)).dtype is ng.int64
    assert random.randint(high=5, size=(3,)).shape == (3,)
    assert random.randint(2, 3, (4,)).tolist() == [2, 2, 2, 2]
    assert random.randint(low=2, high=3, size=[1]).tolist() == [2]
    assert random.randint(2, high=3, size=(1,)).tolist() == [2]
    assert random.randperm(4, dtype=ng.int32).dtype is ng.int32
    x = ng.zeros(2, 3, dtype=ng.float64)
    for f in (random.rand_like, random.randn_like):
        assert f(x).dtype is ng.float64 and f(x).shape == (2, 3)
        assert f(x, dtype=ng.float32).dtype is ng.float32
    assert random.randint_like(x, 5, 6).tolist() == [[5.0] * 3] * 2
    assert random.randint_like(x, 1).tolist() == [[0.0] * 3] * 2
    out = ng.zeros(3)
    assert random.rand(3, out=out) is out and out.numpy().all()


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: random.rand(), TypeError, "size"),
        (lambda: random.rand(2, size=(3,)), TypeError, "size"),
        (lambda: random.rand(2, wrong=1), TypeError, "wrong"),
        (lambda: random.rand(-1), RuntimeError, "negative dimension -1"),
        (lambda: random.rand(2, dtype=ng.int64), RuntimeError, "int64"),
        pytest.param(lambda: random.rand(2, device="cuda"), RuntimeError, "cuda", marks=pytest.mark.cpu),
        (lambda: random.randint(5), TypeError, "size"),
        (lambda: random.randint(5, 5, (2,)), RuntimeError, "from=5 >= to=5"),
        (lambda: random.randperm(-1), RuntimeError, "non-negative"),
        (lambda: random.normal(0.0, 1.0), TypeError, "size"),
        (lambda: random.normal(ng.zeros(2), ng.tensor([1.0, -1.0])), RuntimeError, "std >= 0"),
        (lambda: random.normal(ng.zeros(2), -1.0), RuntimeError, "std >= 0"),
        (lambda: random.multinomial(ng.ones(2), 3), RuntimeError, "n_sample > prob_dist"),
        pytest.param(
            lambda: random.bernoulli(ng.full((2,), 2.0)), RuntimeError, r"\[0, 1\]", marks=pytest.mark.cpu
        ),  # elsewhere it is raised later
        (lambda: random.rand_like([1]), TypeError, "Tensor"),
        (lambda: ng.zeros(3).uniform_(2, 1), RuntimeError, "from=2 > to=1"),
        (lambda: ng.zeros(3).normal_(0, -1), RuntimeError, "std"),
        (lambda: ng.zeros(3).exponential_(0), RuntimeError, "lambda"),
        (lambda: ng.zeros(3).random_(0), RuntimeError, "from=0 >= to=0"),
        (lambda: ng.zeros(3, dtype=ng.int64).uniform_(), RuntimeError, "int64"),
        (lambda: random.dropout(ng.ones(3), 1.5), ValueError, "between 0 and 1"),
        (lambda: random.dropout(ng.ones(3, dtype=ng.int64)), RuntimeError, "int64"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_normal_of_tensors():
    mean, std = ng.tensor([[0.0], [100.0]]), ng.tensor([1.0, 0.0, 5.0])
    x = random.normal(mean, std)
    assert x.shape == (2, 3)
    assert x.numpy()[0, 1] == 0 and x.numpy()[1, 1] == 100 and abs(x.numpy()[1] - 100).max() < 40
    assert random.normal(1.0, ng.zeros(4)).tolist() == [1.0] * 4
    assert random.normal(ng.full((3,), 2.0), 0.0).tolist() == [2.0] * 3
    assert random.normal(2.0, 0.0, (2,)).tolist() == [2.0, 2.0]
    assert not random.normal(ng.zeros(2, requires_grad=True), 1.0).requires_grad


def test_in_place_draws():
    x = ng.zeros(2000)
    version = x._version
    assert x.uniform_(-1, 1) is x and x._version == version + 1
    assert -1 <= x.numpy().min() < -0.9 and 0.9 < x.numpy().max() < 1
    assert abs(x.normal_(5, 2).numpy().mean() - 5) < 0.3
    assert set(np.unique(x.bernoulli_(0.5).numpy())) == {0, 1}
    assert abs(x.bernoulli_(ng.full((1,), 0.9)).numpy().mean() - 0.9) < 0.05
    assert set(np.unique(x.random_(3).numpy())) == {0, 1, 2}
    assert set(np.unique(x.random_(-1, 1).numpy())) == {-1, 0}
    assert x.random_().numpy().max() <= 2**24 and (x.numpy() == np.floor(x.numpy())).all()
    assert ng.zeros(100, dtype=ng.bool).random_().numpy().any()
    assert ng.zeros(100, dtype=ng.uint8).random_().numpy().max() > 100
    assert x.exponential_(2.0).numpy().min() > 0
    base = ng.zeros(4, 6)
    base[:, ::2].uniform_(1, 2)
    assert (base.numpy()[:, ::2] >= 1).all() and not base.numpy()[:, 1::2].any()
    with pytest.raises(RuntimeError, match="single memory location"):
        ng.zeros(1).expand(3).uniform_()


def test_in_place_draws_and_gradients():
    with pytest.raises(RuntimeError, match="leaf"):
        ng.zeros(3, requires_grad=True).uniform_()
    with ng.no_grad():
        leaf = ng.zeros(3, requires_grad=True).uniform_()
    assert leaf.requires_grad
    a = ng.ones(4, requires_grad=True)
    b = a * 2
    b[:2].uniform_()
    b.sum().backward()
    assert a.grad.tolist() == [0, 0, 2, 2]
    x = ng.ones(3, requires_grad=True)
    y = x * 2
    y.normal_()  # a constant from here on
    (y * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_values_and_gradient():
    x = random.randn(40, 30, requires_grad=True)
    y = random.dropout(x, 0.25)
    kept = y.detach().numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.06
    np.testing.assert_allclose(y.detach().numpy()[kept], x.detach().numpy()[kept] / 0.75, rtol=1e-6)
    y.backward(ng.ones(40, 30))
    np.testing.assert_allclose(x.grad.numpy(), kept / np.float32(0.75), rtol=1e-6)
    assert random.dropout(x, 0.25, training=False) is x and random.dropout(x, 0.0) is x
    assert not random.dropout(x, 1.0).detach().numpy().any()
    z = ng.ones(100)
    assert random.dropout(z, 0.5, inplace=True) is z and set(np.unique(z.numpy())) == {0, 2}
    with pytest.raises(RuntimeError, match="leaf"):
        random.dropout(x, 0.5, inplace=True)
    assert random.dropout(ng.zeros(0)).shape == (0,)


def test_dropout_derivatives():
    x = random.randn(5, 4, dtype=ng.float64, requires_grad=True)

    def fixed(t):
        return ops._dropout(t, 0.4, 11, 0)[0]

    assert gradcheck(fixed, (x,))
    assert gradgradcheck(fixed, (x,))
    mask = random.bernoulli(ng.full((5, 4), 0.5)).bool()
    assert gradgradcheck(lambda t: ops.masked_scale(t, mask, 1.5) * t, (x,))
