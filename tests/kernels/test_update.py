"""Fused optimizer steps against PyTorch's optimizers, over lists of arrays of every layout."""

import gc

import numpy as np
import pytest

from numbagrad.kernels import _dtypes, update
from numbagrad.kernels.copy import cast
from numbagrad.kernels.update import _steps, _table, cpu

SHAPES = [(70, 80), (), (3,), (0, 2), (5000,), (2, 3, 4)]


def arrays(seed, dtype, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [np.array(rng.standard_normal(s), dtype=dtype) for s in shapes]


class Run:
    """One optimizer of ours, driven by bare arrays, and PyTorch's beside it."""

    def __init__(self, name, dtype, **options):
        self.torch = pytest.importorskip("torch")
        self.name, self.options = name, dict(options)
        self.params = arrays(0, dtype)
        self.n = len(self.params)
        self.plan = update.Plan()
        self.t = 0
        fill = options.get("initial_accumulator_value", 0.0)
        self.states = [[np.full_like(p, fill if name == "Adagrad" else 0.0) for p in self.params] for _ in range(3)]
        self.theirs = [self.torch.nn.Parameter(self.torch.from_numpy(p.copy())) for p in self.params]
        self.optimizer = getattr(self.torch.optim, name)(self.theirs, **options)

    def ours(self, grads):
        o, (a, b, c) = self.options, self.states
        shared = {k: o[k] for k in ("lr", "weight_decay", "maximize") if k in o} | {"plan": self.plan}
        steps = [float(self.t)] * self.n
        if self.name == "SGD":
            buffered = o.get("momentum", 0)
            update.sgd(
                self.params,
                grads,
                a if buffered else None,
                [self.t == 1] * self.n,
                **shared,
                **{k: o[k] for k in ("momentum", "dampening", "nesterov") if k in o},
            )
        elif self.name in ("Adam", "AdamW"):
            beta1, beta2 = o.get("betas", (0.9, 0.999))
            if self.name == "AdamW":
                shared = {"weight_decay": 1e-2} | shared
            update.adam(
                self.params,
                grads,
                a,
                b,
                c if o.get("amsgrad") else None,
                steps,
                beta1=beta1,
                beta2=beta2,
                eps=o.get("eps", 1e-8),
                decoupled=self.name == "AdamW",
                **shared,
            )
        elif self.name == "Adagrad":
            update.adagrad(self.params, grads, a, steps, lr_decay=o.get("lr_decay", 0.0), **shared)
        else:
            momentum = o.get("momentum", 0.0)
            update.rmsprop(
                self.params,
                grads,
                a,
                b if o.get("centered") else None,
                c if momentum else None,
                alpha=o.get("alpha", 0.99),
                eps=o.get("eps", 1e-8),
                momentum=momentum,
                **shared,
            )

    def steps(self, count):
        for _ in range(count):
            self.t += 1
            grads = arrays(100 + self.t, self.params[0].dtype)
            for p, g in zip(self.theirs, grads):
                p.grad = self.torch.from_numpy(g.copy())
            self.optimizer.step()
            self.ours(grads)

    def compare(self, rtol):
        for ours, theirs in zip(self.params, self.theirs):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=rtol, atol=rtol)


CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.3, 0.9), "eps": 1e-3, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "maximize": True, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.8, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.001, "centered": True, "maximize": True}),
    ("RMSprop", {"lr": 0.001, "centered": True, "momentum": 0.5, "alpha": 0.4}),
]


@pytest.mark.parametrize("name, options", CASES)
def test_trajectories_in_float32(name, options):
    run = Run(name, np.float32, **options)
    run.steps(12)
    run.compare(2e-6 if not options.get("centered") else 2e-5)  # centered: s - a^2 cancels, which magnifies rounding


@pytest.mark.parametrize("name, options", [CASES[i] for i in (1, 3, 5, 8, 10, 14)])
def test_trajectories_in_float64(name, options):
    run = Run(name, np.float64, **options)
    run.steps(12)
    run.compare(1e-12)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_complex_parameters(name):
    run = Run(name, np.complex64, lr=0.01, **({"amsgrad": True} if name == "Adam" else {"momentum": 0.9}))
    run.steps(4)
    run.compare(2e-6)


def layouts(values):
    """The same values as C-contiguous, transposed, and strided arrays."""
    spaced = np.zeros((2 * values.shape[0], 3 * values.shape[1]), values.dtype)[::2, ::3]
    spaced[...] = values
    return values.copy(), np.asfortranarray(values), spaced


def test_any_layout():
    """Parameters, states and gradients of every mixture of layouts give what contiguous ones give."""
    rng = np.random.default_rng(0)
    p, g, m, v = (np.abs(rng.standard_normal((9, 7))).astype(np.float32) for _ in range(4))
    choices = [layouts(x) for x in (p, g, m, v)]
    options = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    expected = [x.copy() for x in (p, m, v)]
    update.adam([expected[0]], [g], [expected[1]], [expected[2]], None, [1.0], **options)
    mixtures = [(0, 1, 2, 0), (1, 0, 1, 1), (1, 1, 0, 2), (2, 2, 1, 0)]
    columns = [[choices[role][mixture[role]].copy(order="K") for mixture in mixtures] for role in range(4)]
    columns[0][3] = choices[0][2]  # a copy of a spaced array would be dense
    plan = update.Plan()
    update.adam(columns[0], columns[1], columns[2], columns[3], None, [1.0] * 4, plan=plan, **options)
    for role, want in ((0, expected[0]), (2, expected[1]), (3, expected[2])):
        for array in columns[role]:
            np.testing.assert_array_equal(array, want)
    again = [x.copy() for x in expected]
    update.adam([again[0]], [g], [again[1]], [again[2]], None, [2.0], **options)
    update.adam(columns[0], columns[1], columns[2], columns[3], None, [2.0] * 4, plan=plan, **options)
    for array in columns[0]:
        np.testing.assert_array_equal(array, again[0])


@pytest.mark.parametrize("half", [_dtypes.float16, _dtypes.bfloat16])
def test_halves_are_computed_in_float32(half):
    wide = np.array([1.0, -2.0, 3.0], np.float32)
    p, g, b = cast(wide, half), cast(np.array([0.5, 0.25, -1.0], np.float32), half), cast(np.zeros(3, np.float32), half)
    single = [wide.copy(), np.zeros(3, np.float32)]
    plan = update.Plan()
    for first in (True, False):
        update.sgd([p, single[0]], [g, cast(g, _dtypes.float32)], [b, single[1]], [first, first], lr=0.5, momentum=0.5, plan=plan)
    np.testing.assert_array_equal(cast(p, _dtypes.float32), single[0])  # exact in every type
    np.testing.assert_array_equal(cast(b, _dtypes.float32), single[1])


def test_steps_of_different_age():
    """Parameters that joined at different times have their own bias corrections."""
    p, g = np.ones((2, 3)), np.full((2, 3), 0.5)
    rows = [p[0].copy(), p[1].copy()]
    states = [[np.full(3, 0.1), np.full(3, 0.1)], [np.full(3, 0.2), np.full(3, 0.2)]]
    update.adam(rows, [g[0], g[1]], *states, None, [1.0, 5.0], lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8)
    for i, t in enumerate((1.0, 5.0)):
        m, v = 0.1 * 0.9 + 0.1 * 0.5, 0.2 * 0.99 + 0.01 * 0.25
        want = 1 - 0.1 / (1 - 0.9**t) * m / (np.sqrt(v) / np.sqrt(1 - 0.99**t) + 1e-8)
        np.testing.assert_allclose(rows[i], want, rtol=1e-12)


def test_plan_notices_other_arrays():
    """A plan made for some arrays is not used for others, even when their predecessors are gone."""
    plan = update.Plan()
    for trial in range(20):
        p, g = [np.full(100, float(trial)), np.ones(3)], [np.ones(100), np.ones(3)]
        update.sgd(p, g, lr=1.0, plan=plan)
        assert (p[0] == trial - 1).all() and (p[1] == 0).all()
        update.sgd(p[:1], g[:1], lr=1.0, plan=plan)
        assert (p[0] == trial - 2).all() and (p[1] == 0).all()
        update.sgd([p[1], p[0]], [g[1], g[0]], lr=1.0, plan=plan)
        assert (p[0] == trial - 3).all() and (p[1] == -1).all()
        del p, g
        gc.collect()


def test_new_gradients_every_step():
    plan, p = update.Plan(), [np.zeros(10, np.float32), np.zeros(4000, np.float32)]
    for step in range(30):
        grads = [np.full(10, step, np.float32), np.full(4000, step, np.float32)[::-1]]
        update.sgd(p, grads, lr=1.0, plan=plan)
    assert (p[0] == -435).all() and (p[1] == -435).all()


def test_weight_decay_zero_leaves_infinite_parameters_alone():
    p = [np.array([np.inf, np.nan, 1.0], np.float32)]
    update.sgd(p, [np.zeros(3, np.float32)], lr=1.0)
    np.testing.assert_array_equal(p[0], np.array([np.inf, np.nan, 1.0], np.float32))
    state = [[np.zeros(3, np.float32)] for _ in range(3)]
    update.adam(p, [np.array([np.nan, 1, 1], np.float32)], *state, [1.0], lr=1.0, beta1=0.9, beta2=0.99, eps=1e-8)
    assert np.isnan(state[0][0][0]) and np.isnan(state[2][0][0]) and np.isfinite(state[0][0][1:]).all()


def test_bits_do_not_depend_on_the_split(monkeypatch):
    grads = arrays(1, np.float32, [(9000,), (10,)])

    def run():
        p, m, v = (arrays(s, np.float32, [(9000,), (10,)]) for s in (2, 3, 4))
        v = [np.abs(x) for x in v]
        update.adam(p, grads, m, v, None, [3.0, 3.0], lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8)
        return p, update.norms(grads)

    whole, norms = run()

    launched = []

    def in_pieces(kernel, signature):
        def call(n, *args, work=0):
            launched.append(n)
            for lo in reversed(range(n)):
                kernel(lo, lo + 1, *args)

        return call

    monkeypatch.setattr(_steps, "compiled", in_pieces)
    for kernels in ("step_kernels", "list_kernels"):
        monkeypatch.setattr(cpu, kernels, getattr(_steps, kernels).__wrapped__)
    pieces, norms_in_pieces = run()
    assert norms == norms_in_pieces and launched == [6, 6]
    for a, b in zip(whole, pieces):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("p", [2.0, 1.0, np.inf, -np.inf, 0.0, 3.0])
def test_norms(p):
    mixed = [*arrays(0, np.float32, [(5000,), (3, 4), (0,)]), *arrays(1, np.float64, [(7, 9)])]
    mixed[1][0, 0] = 0
    mixed.append(mixed[0][::3])
    mixed.append((mixed[3] + 2j * mixed[3]).T)
    got = update.norms(mixed, p)
    want = [0.0 if x.size == 0 else np.linalg.norm(x.astype(np.complex128).ravel(), p) for x in mixed]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert np.isnan(update.norms([np.array([1.0, np.nan, 0.5])], p)[0]) or p == 0.0
    assert update.norms([], p) == []


def test_norm_of_many_ones_is_exact():
    assert update.norms([np.ones(1 << 22, np.float32)]) == [2048.0]


def test_scale_and_zero():
    mixed = [*arrays(0, np.float32), np.zeros((4, 6))[::2, ::3], cast(np.ones(3, np.float32), _dtypes.bfloat16)]
    mixed[-2][...] = 3
    before = [x.copy() if x.dtype != _dtypes.bfloat16 else cast(x, _dtypes.float32) for x in mixed]
    update.scale_(mixed, 0.5)
    for x, b in zip(mixed, before):
        np.testing.assert_array_equal(cast(x, b.dtype), b * b.dtype.type(0.5))
    update.zero_(mixed)
    for x in mixed:
        assert not cast(x, _dtypes.float32).any()


def test_chunks_cover_every_element_once():
    sizes = [0, 1, _table.CHUNK, _table.CHUNK + 1, 0, 3 * _table.CHUNK - 1]
    table = _table.Table([[np.zeros(n) for n in sizes]], sizes, np.dtype(float), 0)
    seen = [np.zeros(n, int) for n in sizes]
    for t, start, count in table.chunks:
        seen[t][start : start + count] += 1
        assert 0 < count <= _table.CHUNK and start + count <= sizes[t]
    assert all((s == 1).all() for s in seen)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.update(grads=a["grads"][:1]), "expected 2 gradients, but got 1"),
        (lambda a: a.update(grads=[a["grads"][0], np.ones(4)]), r"gradient 1 .*\[3\], but got \[4\]"),
        (lambda a: a.update(grads=[a["grads"][0], np.ones(3, np.float32)]), "gradient 1 .*float64, but got float32"),
        (lambda a: a.update(momentum_buffers=[np.ones(2), np.ones(2)]), r"momentum_buffers 1 .*float64 \[3\]"),
        (lambda a: a.update(momentum_buffers=[np.ones(2)]), "expected 2 arrays of momentum_buffers, but got 1"),
        (lambda a: a.update(params=[np.ones(2), np.ones(3, np.int64)]), "parameter 1 is int64"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {
        "params": [np.ones(2), np.ones(3)],
        "grads": [np.ones(2), np.ones(3)],
        "momentum_buffers": [np.ones(2), np.ones(3)],
        "first": [True, True],
    }
    change(arguments)
    with pytest.raises(RuntimeError, match=message):
        update.sgd(**arguments, lr=1.0, momentum=0.9)


@pytest.mark.parametrize("dtype", [*_dtypes.FLOATS, _dtypes.complex64], ids=_dtypes.name)
@pytest.mark.parametrize("odd", [None, np.inf, -np.inf, np.nan])
def test_unscale(odd, dtype):
    """Every element is multiplied, and it shows if one was not finite, whichever chunk it lies in."""
    values = [np.arange(n, dtype=np.float32) for n in (5000, 0, 3)]
    if odd is not None:
        values[0][4000] = odd
    given = [cast(x, dtype) for x in values]
    found = update.unscale_(given, 0.5)
    assert found.shape == () and found.dtype == np.float32 and found == (odd is not None)
    assert cast(given[2], _dtypes.complex64).tolist() == [0, 0.5, 1]
    assert update.unscale_(given[1:], np.array(2.0, np.float32), found) is found and found == (odd is not None)
    assert cast(given[2], _dtypes.complex64).tolist() == [0, 1, 2]
