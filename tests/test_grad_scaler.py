"""``GradScaler`` on the CPU, beside PyTorch: scaled steps, skipped steps, and what is an error."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import numbagrad as ng


def scaled_steps(m, losses, **settings):
    """The scale and the weight after each of some steps whose losses are ``losses`` times the sum of the weight."""
    scaler = m.amp.GradScaler("cpu", **settings)
    w = m.ones(3, requires_grad=True)
    optimizer = m.optim.SGD([w], lr=0.1)
    seen = []
    for factor in losses:
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append((scaler.get_scale(), scaler.state_dict()["_growth_tracker"], *w.detach().tolist()))
    return seen


def test_scaled_steps_are_pytorchs():
    torch = pytest.importorskip("torch")
    losses = [1.0, float("inf"), 0.5, 0.25, 2.0, float("nan"), 1.0, 1.0, 1.0, 1e38]
    for settings in ({"init_scale": 8.0, "growth_interval": 2}, {"growth_interval": 3, "growth_factor": 4.0, "backoff_factor": 0.25}):
        np.testing.assert_allclose(scaled_steps(ng, losses, **settings), scaled_steps(torch, losses, **settings), rtol=1e-6)


def test_the_scale_does_not_grow_to_infinity():
    assert scaled_steps(ng, [1e-38] * 2, init_scale=2.0**127, growth_interval=1)[-1][:2] == (2.0**127, 0)


def test_several_losses_and_clipping():
    scaler = ng.amp.GradScaler("cpu", init_scale=4.0)
    w = ng.ones(2, requires_grad=True)
    optimizer = ng.optim.SGD([w], lr=1.0)
    losses = scaler.scale([w.sum(), (w * 2).sum()])
    assert type(losses) is list
    (losses[0] + losses[1]).backward()
    np.testing.assert_array_equal(w.grad.numpy(), [12, 12])
    scaler.unscale_(optimizer)
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3])
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called on this optimizer since the last update\(\)"):
        scaler.unscale_(optimizer)
    ng.nn.utils.clip_grad_norm_([w], 1.0)
    scaler.step(optimizer)
    np.testing.assert_allclose(w.detach().numpy(), 1 - np.sqrt([0.5, 0.5]), rtol=1e-5)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update\(\)"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)"):
        scaler.unscale_(optimizer)
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0
    scaler.update(ng.tensor([5.0]))
    assert scaler.get_scale() == 5.0
    with pytest.raises(AssertionError, match="new_scale should be a float"):
        scaler.update(ng.ones(2))
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()


def test_float16_gradients_cannot_be_unscaled():
    scaler = ng.amp.GradScaler("cpu")
    w = ng.ones(2, dtype=ng.float16, requires_grad=True)
    scaler.scale(w.sum())
    w.grad = ng.ones(2, dtype=ng.float16)
    with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
        scaler.unscale_(ng.optim.SGD([w], lr=1.0))


def test_a_scaler_is_saved_and_loaded():
    scaler = ng.amp.GradScaler("cpu", init_scale=2.0, growth_interval=7)
    scaler.scale(ng.ones(1))
    state = scaler.state_dict()
    assert state == {"scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 7, "_growth_tracker": 0}
    other = ng.amp.GradScaler("cpu")
    other.scale(ng.ones(1))
    other.load_state_dict(state)
    assert other.state_dict() == state and other.scale(ng.ones(1)).item() == 2.0
    for again in (pickle.loads(pickle.dumps(scaler)), copy.deepcopy(scaler)):
        assert again.state_dict() == state and again.scale(ng.ones(1)).item() == 2.0
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        other.load_state_dict({})


def test_a_scaler_that_is_off_leaves_all_as_it_is():
    scaler = ng.amp.GradScaler("cpu", enabled=False)
    w = ng.ones(2, requires_grad=True)
    optimizer = ng.optim.SGD([w], lr=1.0)
    loss = w.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0 and scaler.state_dict() == {} and not scaler.is_enabled()
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict({})
    np.testing.assert_array_equal(w.detach().numpy(), [0, 0])


def test_wrong_use_of_a_scaler():
    scaler = ng.amp.GradScaler("cpu")
    optimizer = ng.optim.SGD([ng.ones(1, requires_grad=True)], lr=1.0)
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=lambda: None)
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3)
    with pytest.raises(AssertionError, match=r"The growth factor must be > 1.0"):
        ng.amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match=r"The backoff factor must be < 1.0"):
        ng.amp.GradScaler("cpu", backoff_factor=1.0)
