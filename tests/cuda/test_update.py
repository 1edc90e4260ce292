"""Optimizer steps, norms, scaling and clearing of lists of arrays on a GPU, against the CPU's."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes, update
from numbagrad.kernels.copy import cast, transfer
from tests.cuda.tensors import ON_A_GPU, ON_TWO_GPUS

pytestmark = ON_A_GPU

FLOATS = (_dtypes.float32, _dtypes.float64, _dtypes.float16, _dtypes.bfloat16)
# Where a GPU fuses a product and a sum that the CPU rounds twice, and the other way round: a few roundings of the numbers' own type.
ROUNDINGS = {d: 8 * eps for d, eps in zip(FLOATS, (2.0**-23, 2.0**-52, 2.0**-10, 2.0**-7))}
# More than a chunk of the simulator's, with a rest that is no vector; one element; none; an array that does not begin at a multiple of 16 bytes.
SHAPES = ((5, 31), (1,), (0, 3), (130,))


def as_dtype(values, dtype):
    return cast(values.astype(np.float32), dtype) if dtype in _dtypes.HALVES else values.astype(dtype)


def plain(x):
    """An array of any device as NumPy's, 16-bit floats as float32."""
    return cast(transfer(x, "cpu"), _dtypes.compute_dtype(x.dtype))


def lists(dtype, columns, positive=(), seed=0):
    """The same ``columns`` lists of arrays on both devices; the last of each begins one element behind an aligned address."""
    rng = np.random.default_rng(seed)
    here, there = [], []
    for column in range(columns):
        arrays = []
        for shape in SHAPES:
            values = rng.standard_normal(shape)
            if dtype.kind == "c":
                values = values + 1j * rng.standard_normal(shape)
            arrays.append(as_dtype(abs(values) if column in positive else values, dtype))
        here.append(arrays)
        placed = [transfer(x, "cuda:0") for x in arrays[:-1]]
        wide = transfer(np.concatenate([arrays[-1][:1], arrays[-1]]), "cuda:0")
        there.append([*placed, wide[1:]])
    return here, there


def agree(here, there, dtype):
    for ours, theirs in zip(here, there):
        for a, b in zip(ours, theirs):
            real = _dtypes.real_dtype(dtype)
            expected = plain(a)
            np.testing.assert_allclose(
                plain(b), expected, rtol=ROUNDINGS[real], atol=ROUNDINGS[real] * max(1.0, abs(expected).max(initial=0))
            )


ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.01}
RMSPROP = {"lr": 0.1, "alpha": 0.9, "eps": 1e-8}
# What is called, with how many columns of states, which of them hold no negative numbers, and what with.
STEPS = {
    "sgd": lambda p, g: update.sgd(p, g, lr=0.1, weight_decay=0.01),
    "momentum": lambda p, g, b: update.sgd(p, g, b, [True, False, False, True], lr=0.1, momentum=0.9, dampening=0.5, nesterov=False),
    "nesterov": lambda p, g, b: update.sgd(p, g, b, [False] * 4, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda p, g, m, v: update.adam(p, g, m, v, None, [3.0] * 4, **ADAM),
    "adamw": lambda p, g, m, v: update.adam(p, g, m, v, None, [1.0, 2.0, 2.0, 7.0], decoupled=True, maximize=True, **ADAM),
    "amsgrad": lambda p, g, m, v, most: update.adam(p, g, m, v, most, [3.0] * 4, **ADAM),
    "adagrad": lambda p, g, s: update.adagrad(p, g, s, [1.0, 2.0, 3.0, 4.0], lr=0.1, lr_decay=0.1, weight_decay=0.01),
    "rmsprop": lambda p, g, s: update.rmsprop(p, g, s, **RMSPROP),
    "rmsprop centered": lambda p, g, s, a: update.rmsprop(p, g, s, a, **RMSPROP),
    "rmsprop momentum": lambda p, g, s, b: update.rmsprop(p, g, s, None, b, momentum=0.9, **RMSPROP),
    "rmsprop both": lambda p, g, s, a, b: update.rmsprop(p, g, s, a, b, momentum=0.9, **RMSPROP),
    "adadelta": lambda p, g, s, d: update.adadelta(p, g, s, d, lr=0.5, rho=0.9, eps=1e-3, weight_decay=0.01),
    "adamax": lambda p, g, m, u: update.adamax(p, g, m, u, [1.0, 2.0, 2.0, 7.0], **ADAM),
    "nadam": lambda p, g, m, v: update.nadam(p, g, m, v, [(0.8, 0.82, 0.4)] * 3 + [(0.7, 0.71, 0.3)], [3.0] * 4, decoupled=True, **ADAM),
    "radam": lambda p, g, m, v: update.radam(p, g, m, v, [1.0, 9.0, 9.0, 40.0], maximize=True, **ADAM),
    "rprop": lambda p, g, b, s: update.rprop(p, g, b, s, etas=(0.5, 1.2), limits=(0.1, 1.0)),
    "asgd": lambda p, g, a: update.asgd(p, g, a, [0.1, 0.1, 0.2, 0.2], [1.0, 0.5, 0.5, 0.25], lambd=0.1, weight_decay=0.01),
}
POSITIVE = {
    "adam": (3,),
    "adamw": (3,),
    "amsgrad": (3, 4),
    "adagrad": (2,),
    "adadelta": (2, 3),
    "adamax": (3,),
    "nadam": (3,),
    "radam": (3,),
    "rprop": (3,),
}


def run(name, dtype):
    step = STEPS[name]
    here, there = lists(dtype, step.__code__.co_argcount, POSITIVE.get(name, (2,) if name.startswith("rmsprop") else ()))
    if name in ("rmsprop centered", "rmsprop both"):  # s - a * a is the variance: not negative, and not near 0
        for columns in (here, there):
            update.scale_(columns[3], 0.1)
            update.scale_(columns[2], 10.0)
    for columns in (here, there):
        step(*columns)
    agree(here, there, dtype)


@pytest.mark.parametrize("name", STEPS)
def test_step(name):
    run(name, _dtypes.float32)


@pytest.mark.parametrize("dtype", [_dtypes.float64, _dtypes.bfloat16, _dtypes.float16, _dtypes.complex64], ids=_dtypes.name)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_other_types(name, dtype):
    if dtype.kind == "c" and name == "adam":  # squares are of the parts
        pytest.skip("a complex second moment has no order")
    run(name, dtype)


def test_sixteen_bits_are_computed_in_32():
    """Rounded once, at the end: 1 + 3/512 lies nearest to 1 + 1/128, of what a bfloat16 can be."""
    (p,), (there,) = [[as_dtype(np.full(9, 1.0), _dtypes.bfloat16)]], [[transfer(as_dtype(np.full(9, 1.0), _dtypes.bfloat16), "cuda:0")]]
    g = as_dtype(np.full(9, -(2.0**-9) * 3), _dtypes.bfloat16)
    update.sgd(p, [g], lr=1.0)
    update.sgd(there, [transfer(g, "cuda:0")], lr=1.0)
    assert plain(there[0]).tolist() == plain(p[0]).tolist() == [1.0 + 2.0**-7] * 9


def test_layouts():
    """Arrays whose dimensions lie in another order are walked where they are; others by way of a copy."""
    values, slopes = np.arange(24.0).reshape(2, 3, 4), np.arange(24.0, 0.0, -1.0).reshape(2, 3, 4)
    for view in (lambda x: x.transpose(2, 0, 1), lambda x: x[:, 1:], lambda x: x[:, :, ::2]):
        p, g = values.copy(), slopes.copy()
        q, h = transfer(p, "cuda:0"), transfer(g, "cuda:0")
        update.sgd([view(p)], [view(g)], lr=0.5)
        update.sgd([view(q)], [view(h)], lr=0.5)
        assert plain(q).tolist() == p.tolist()


def test_plan():
    """New gradients of the same parameters are found, and so are other parameters."""
    plan, expected = update.Plan(), update.Plan()
    p, q = np.arange(70.0), transfer(np.arange(70.0), "cuda:0")
    for k in range(3):
        g = np.arange(70.0)[::-1] * k
        update.sgd([p], [g], lr=0.5, plan=expected)
        update.sgd([q], [transfer(g.copy(), "cuda:0")], lr=0.5, plan=plan)
        assert plain(q).tolist() == p.tolist()
    table = plan.parts[0].table
    other = transfer(np.zeros(3), "cuda:0")
    update.sgd([other], [transfer(np.ones(3), "cuda:0")], lr=0.5, plan=plan)
    assert plain(other).tolist() == [-0.5] * 3 and plan.parts[0].table is not table


@pytest.mark.parametrize("power", [2.0, 1.0, 3.0, 0.5, 0.0, -1.0, math.inf, -math.inf])
def test_norms(power):
    here, there = [], []
    for dtype in (_dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.complex64):
        ((arrays,), (placed,)) = lists(dtype, 1, seed=dtype.itemsize)
        here, there = [*here, *arrays], [*there, *placed]
    expected = update.norms(here, power)
    # Sums of a chunk are float32's, in another order than the CPU's.
    np.testing.assert_allclose(update.norms(there, power), expected, rtol=1e-5)
    found = update.total_norm(there, power)
    assert found.shape == () and found.dtype == np.float64
    np.testing.assert_allclose(found.item(), update.total_norm(here, power).item(), rtol=1e-5)


@pytest.mark.parametrize("power", [2.0, 1.0, 3.0, 0.0, -1.0, math.inf, -math.inf])
@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0])
def test_odd_norms(power, odd):
    arrays = [np.full(70, 2.0), np.array([1.0, odd, 3.0]), np.zeros(0)]
    placed = [transfer(x, "cuda:0") for x in arrays]
    np.testing.assert_allclose(update.norms(placed, power), update.norms(arrays, power), rtol=1e-12)
    np.testing.assert_allclose(update.total_norm(placed, power).item(), update.total_norm(arrays, power).item(), rtol=1e-12)


def test_powers_do_not_overflow():
    x = [transfer(np.full(3, 1e30, np.float32), "cuda:0"), transfer(np.full(70, 1e200), "cuda:0")]
    assert update.norms(x[:1], 5.0)[0] == pytest.approx(3**0.2 * 1e30, rel=1e-5)
    assert update.total_norm([transfer(np.array([1e200]), "cuda:0")] * 2, 1.0).item() == pytest.approx(2e200)


@pytest.mark.parametrize("dtype", [*FLOATS, _dtypes.complex64], ids=_dtypes.name)
def test_scale_and_zero(dtype):
    here, there = lists(dtype, 1)
    update.scale_(here[0], 0.5)
    update.scale_(there[0][:2], 0.5)
    update.scale_(there[0][2:], transfer(np.array(0.5, np.float32), "cuda:0"))
    agree(here, there, dtype)
    update.zero_(there[0])
    assert not any(plain(x).any() for x in there[0])


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("dtype", FLOATS, ids=_dtypes.name)
def test_unscale(dtype, device):
    arrays = [as_dtype(np.arange(n) - 70.0, dtype) for n in (150, 0, 3)]
    for factor in (0.5, transfer(np.array(0.5, np.float32), device)):
        for wrong in (None, math.inf, -math.inf, math.nan):
            values = [x.copy() for x in arrays]
            if wrong is not None:
                values[0][-1] = as_dtype(np.array(wrong), dtype)
            placed = [transfer(x, device) for x in values]
            found = update.unscale_(placed, factor)
            assert found.shape == () and found.dtype == np.float32 and found.item() == (wrong is not None)
            assert plain(placed[0])[:149].tolist() == (np.arange(149) / 2 - 35).tolist()
            assert update.unscale_(placed[1:], factor, found) is found and found.item() == (wrong is not None)


@ON_TWO_GPUS
def test_devices():
    """Parameters on several devices each have a launch; what belongs together must lie together."""
    x = [np.arange(5.0), transfer(np.arange(5.0), "cuda:0"), transfer(np.arange(5.0), "cuda:1")]
    g = [np.ones(5), transfer(np.ones(5), "cuda:0"), transfer(np.ones(5), "cuda:1")]
    update.sgd(x, g, lr=1.0)
    assert [plain(p).tolist() for p in x] == [[-1, 0, 1, 2, 3]] * 3
    assert update.norms(x, 1.0) == [7.0] * 3 and update.total_norm(x[1:], 1.0).item() == 14 and update.total_norm(x, 1.0).item() == 21
    update.scale_(x, transfer(np.array(2, np.float32), "cuda:1"))
    assert [plain(p).tolist() for p in x] == [[-2, 0, 2, 4, 6]] * 3
    for step in (lambda: update.sgd(x[1:2], g[2:], lr=1.0), lambda: update.sgd(x[1:2], g[1:2], g[2:], lr=1.0, momentum=0.5)):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but found at least two devices, cuda:"):
            step()
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        update.unscale_(x, 0.5)
