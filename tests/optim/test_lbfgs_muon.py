"""The optimizers that do more than walk over elements: L-BFGS and its line search, Muon."""

import copy

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import optim

torch = pytest.importorskip("torch")


def rosenbrock(library, p):
    return ((1 - p[:-1]) ** 2 + 100 * (p[1:] - p[:-1] ** 2) ** 2).sum()


def quartic(library, p):
    return (p**4).sum() + (p * library.arange(1, p.numel() + 1, dtype=p.dtype)).sum() + 0.1 * library.cos(3 * p).sum()


def closure_of(library, function, p, optimizer, losses):
    def closure():
        optimizer.zero_grad()
        loss = function(library, p)
        loss.backward()
        losses.append(loss.item())
        return loss

    return closure


def pair(function, options):
    start = np.linspace(-1.3, 1.7, 6)
    ours, theirs = ng.from_numpy(start.copy()).requires_grad_(), torch.from_numpy(start.copy()).requires_grad_()
    found = []
    for library, p in ((ng, ours), (torch, theirs)):
        optimizer, losses = library.optim.LBFGS([p], **options), []
        found.append((optimizer, closure_of(library, function, p, optimizer, losses), losses, p))
    return found


@pytest.mark.parametrize("function", [rosenbrock, quartic])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-3},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 7, "max_eval": 9},
        {"lr": 0.5, "line_search_fn": "strong_wolfe", "tolerance_change": 1e-3},
    ],
)
def test_lbfgs_takes_pytorchs_steps(function, options):
    ours, theirs = pair(function, options)
    for _ in range(3):
        a, b = ours[0].step(ours[1]), theirs[0].step(theirs[1])
        assert a.item() == pytest.approx(b.item(), rel=1e-8)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-6)  # every evaluation's loss, those of the line search too
    np.testing.assert_allclose(ours[3].detach().numpy(), theirs[3].detach().numpy(), rtol=1e-6)
    mine, other = (next(iter(o[0].state_dict()["state"].values())) for o in (ours, theirs))
    assert set(mine) == set(other) and mine["n_iter"] == other["n_iter"] and mine["func_evals"] == other["func_evals"]


def test_lbfgs_finds_the_minimum_and_resumes():
    (optimizer, closure, _, p), _ = pair(rosenbrock, {"line_search_fn": "strong_wolfe"})
    for _ in range(2):
        optimizer.step(closure)
    other = p.detach().clone().requires_grad_()
    resumed = optim.LBFGS([other], line_search_fn="strong_wolfe")
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    again = closure_of(ng, rosenbrock, other, resumed, [])
    for _ in range(4):
        optimizer.step(closure)
        resumed.step(again)
    np.testing.assert_array_equal(p.detach().numpy(), other.detach().numpy())
    np.testing.assert_allclose(p.detach().numpy(), 1.0, rtol=1e-4)


def test_lbfgs_with_several_shapes_and_complex_numbers():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    w, z = ng.zeros(2, 3, dtype=ng.float64, requires_grad=True), ng.zeros(3, dtype=ng.complex128, requires_grad=True)
    unused = ng.ones(4, dtype=ng.float64, requires_grad=True)
    optimizer = optim.LBFGS([w, z, unused], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((w - 2) ** 2).sum() + ((z - ng.from_numpy(target)).abs() ** 2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(w.detach().numpy(), 2, rtol=1e-6)
    np.testing.assert_allclose(z.detach().numpy(), target, rtol=1e-6)
    assert unused.detach().numpy().tolist() == [1.0] * 4


def test_lbfgs_errors():
    p = ng.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [p]}, {"params": [ng.ones(2, requires_grad=True)]}])
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optim.LBFGS([p], lr=-1)
    optimizer = optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optimizer.step(lambda: p.sum())
    with pytest.raises(TypeError):
        optimizer.step()


@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.1, "nesterov": False, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}]
)
@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_muon_takes_pytorchs_steps(shape, options):
    rng = np.random.default_rng(1)
    start = rng.standard_normal(shape).astype(np.float32)
    ours, theirs = ng.from_numpy(start.copy()).requires_grad_(), torch.from_numpy(start.copy()).requires_grad_()
    a, b = optim.Muon([ours], **options), torch.optim.Muon([theirs], **options)
    for _ in range(4):
        gradient = rng.standard_normal(shape).astype(np.float32)
        ours.grad, theirs.grad = ng.from_numpy(gradient.copy()), torch.from_numpy(gradient.copy())
        a.step()
        b.step()
        # Both round every product of the iteration to bfloat16, whose sums may be taken in another order: 2 ** -8 of the step's size.
        step = options.get("lr", 1e-3) * 3
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=step * 2**-5)
    assert np.abs(ours.detach().numpy() - start).max() > options.get("lr", 1e-3)


def test_muon_orthogonalizes():
    rng = np.random.default_rng(2)
    p = ng.zeros(6, 10, requires_grad=True)
    p.grad = ng.from_numpy(rng.standard_normal((6, 10)).astype(np.float32))
    optim.Muon([p], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False).step()
    singular = np.linalg.svd(p.detach().numpy(), compute_uv=False)
    assert singular.min() > 0.5 and singular.max() < 1.3


def test_muon_and_adafactor_errors():
    p = ng.ones(2, 2, requires_grad=True)
    for wrong in ({"lr": -1}, {"momentum": -0.1}, {"weight_decay": -1.0}, {"adjust_lr_fn": "other"}):
        with pytest.raises(ValueError):
            optim.Muon([p], **wrong)
    with pytest.raises(ValueError, match="2D"):
        optim.Muon([ng.ones(2, requires_grad=True)])
    for wrong in ({"lr": -1}, {"beta2_decay": 0.1}, {"eps": (-1, 1e-3)}, {"d": 0.5}, {"weight_decay": -1.0}):
        with pytest.raises(ValueError):
            optim.Adafactor([p], **wrong)
    z = ng.ones(2, 2, dtype=ng.complex64, requires_grad=True)
    z.grad = ng.ones(2, 2, dtype=ng.complex64)
    for optimizer in (optim.Muon([z]), optim.Adafactor([z])):
        with pytest.raises(RuntimeError, match="complex"):
            optimizer.step()
