"""Optimizers, clipping and saved states with parameters on a GPU: as on the CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

import numbagrad as ng
from numbagrad import nn, optim
from tests.cuda.tensors import ON_A_GPU, ON_TWO_GPUS

pytestmark = ON_A_GPU

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "Adam": {"lr": 0.1, "amsgrad": True},
    "AdamW": {"lr": 0.1, "fused": True},
    "Adagrad": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.9, "centered": True},
}


def parameters(device, dtype=ng.float64):
    ng.manual_seed(1)
    values = [ng.randn(3, 2, dtype=ng.float64), ng.randn(2, dtype=ng.float64), ng.randn(2, 3, dtype=ng.float64).t()]
    return [nn.Parameter(x.to(dtype).to(device)) for x in values]


def train(params, optimizer, steps, first=0):
    for k in range(first, first + steps):
        optimizer.zero_grad(set_to_none=k % 2 == 0)
        for i, p in enumerate(params):
            if (i, k) != (1, 0):  # one joins late
                p.grad = (p.detach() * (i + 1) + k).clone()
        optimizer.step()


def values(params):
    return [p.detach().cpu().to(ng.float64).numpy() for p in params]


def agree(a, b, rtol=1e-12):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectory(name):
    here, there = parameters("cpu"), parameters("cuda")
    for params in (here, there):
        train(params, getattr(optim, name)(params, **OPTIMIZERS[name]), 4)
    agree(values(there), values(here))


@pytest.mark.parametrize("dtype, close", [(ng.float32, 1e-5), (ng.bfloat16, 2e-2)], ids=str)
def test_other_types(dtype, close):
    here, there = parameters("cpu", dtype), parameters("cuda", dtype)
    for params in (here, there):
        train(params, optim.AdamW(params, lr=0.1), 3)
    agree(values(there), values(here), close)


def test_state_lies_with_its_parameter():
    params = parameters("cuda")
    optimizer = optim.Adam(params)
    train(params, optimizer, 2)
    for p in params:
        state = optimizer.state[p]
        assert state["exp_avg"].device == p.device and state["exp_avg"].stride() == p.stride()
        assert state["step"].device.type == "cpu"


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
@pytest.mark.parametrize("source, place", [("cuda", None), ("cpu", "cuda"), ("cuda", "cpu")])
def test_saved_state(name, source, place, tmp_path):
    """Saved on one device and loaded on another, training goes on as if it had not been interrupted."""
    target = "cpu" if source == "cpu" else "cuda"
    params = parameters(source)
    optimizer = getattr(optim, name)(params, **OPTIMIZERS[name])
    train(params, optimizer, 2)
    path = tmp_path / "state"
    ng.save({"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, path)
    train(params, optimizer, 2, 2)

    loaded = ng.load(path, map_location=place)
    target = source if place is None else place
    again = [nn.Parameter(x) for x in loaded["params"]]
    assert all(p.device.type == target for p in again)
    other = getattr(optim, name)(again, **OPTIMIZERS[name])
    other.load_state_dict(loaded["optimizer"])
    for p in again:
        assert all(s.device == (p.device if key != "step" else ng.device("cpu")) for key, s in other.state[p].items())
    train(again, other, 2, 2)
    agree(values(again), values(params))


def test_model_moved_before_it_is_optimized():
    ng.manual_seed(0)
    here = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    there = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).cuda()
    there.load_state_dict(here.state_dict())
    x = ng.randn(5, 3)
    for model, inputs in ((here, x), (there, x.cuda())):
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            (model(inputs) ** 2).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    agree(values(there.parameters()), values(here.parameters()), 1e-5)


# ---- clipping -----------------------------------------------------------------------------------------------------------------------------


def with_gradients(device, dtype=ng.float32):
    params = parameters(device, dtype)
    for i, p in enumerate(params):
        p.grad = (p.detach() * (i + 2)).clone()
    return params


@pytest.mark.parametrize("dtype", [ng.float32, ng.bfloat16], ids=str)
@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, 0.0, math.inf])
def test_clip_grad_norm(order, dtype):
    here, there = with_gradients("cpu", dtype), with_gradients("cuda", dtype)
    for limit in (1.0, 100.0):
        expected, found = (nn.utils.clip_grad_norm_(params, limit, order) for params in (here, there))
        assert found.is_cuda and found.dtype is expected.dtype and found.shape == ()
        close = 1e-6 if dtype is ng.float32 else 1e-2
        assert found.item() == pytest.approx(expected.item(), rel=close)
        agree(values(p.grad for p in there), values(p.grad for p in here), close)


def test_clipping_does_not_wait(monkeypatch):
    """Neither the norm nor the factor comes to the host, unless it is to raise an error."""
    from numbagrad.kernels._cuda import transfer

    params = with_gradients("cuda")
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_to_host", lambda *args: pytest.fail("copied to the host"))
        nn.utils.clip_grad_norm_(params, 0.5)
    assert nn.utils.get_total_norm([p.grad for p in params]).item() == pytest.approx(0.5, rel=1e-4)
    params[0].grad.fill_(math.nan)
    with pytest.raises(RuntimeError, match="non-finite, so it cannot be clipped"):
        nn.utils.clip_grad_norm_(params, 0.5, error_if_nonfinite=True)


def test_clip_grad_value():
    params = with_gradients("cuda")
    nn.utils.clip_grad_value_(params, 0.25)
    assert max(float(p.grad.abs().max()) for p in params) == 0.25
    vector = nn.utils.parameters_to_vector(params)
    assert vector.is_cuda
    nn.utils.vector_to_parameters(vector * 2, params)
    agree(values(params), [2 * x for x in values(parameters("cuda", ng.float32))], 1e-6)


# ---- two devices --------------------------------------------------------------------------------------------------------------------------


@ON_TWO_GPUS
def test_parameters_on_several_devices():
    """One optimizer, one group: a launch for each device; the norm of all gradients is on the first's."""
    here, there = parameters("cpu"), [nn.Parameter(p.detach().to(d)) for p, d in zip(parameters("cpu"), ("cuda:1", "cpu", "cuda:0"))]
    for params in (here, there):
        train(params, optim.Adam(params, lr=0.1), 3)
        for p in params:
            p.grad = p.detach().clone()
        norm = nn.utils.clip_grad_norm_(params, 0.5)
    assert norm.device == ng.device("cuda:1") and norm.item() == pytest.approx(nn.utils.get_total_norm([p.detach() for p in here]).item())
    agree(values(there), values(here))
    agree(values(p.grad for p in there), values(p.grad for p in here))
    optimizer = optim.SGD(there)
    optimizer.zero_grad(set_to_none=False)
    assert not any(bool(p.grad.any()) for p in there)


@ON_TWO_GPUS
def test_state_left_behind():
    """Who moves a parameter after a step has to move its state."""
    (p, *_) = params = parameters("cuda:0")
    optimizer = optim.Adam(params)
    train(params, optimizer, 2)
    p.grad = None
    p.data = p.detach().to("cuda:1")
    p.grad = p.detach().clone()
    with pytest.raises(
        RuntimeError, match="Expected all tensors to be on the same device, but found at least two devices, cuda:1 and cuda:0!"
    ):
        optimizer.step()
    with pytest.raises(RuntimeError, match="device"):
        p.grad = p.detach().cpu()
