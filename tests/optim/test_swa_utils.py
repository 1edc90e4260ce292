"""Averages of weights against PyTorch's."""

import copy

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.optim import swa_utils

torch = pytest.importorskip("torch")


def network(library):
    return library.nn.Sequential(library.nn.Linear(3, 4), library.nn.BatchNorm1d(4), library.nn.Linear(4, 1)).to(library.float64)


def pair():
    ours, theirs = network(ng), network(torch)
    ours.load_state_dict({k: ng.from_numpy(v.numpy().copy()) if v.dim() else ng.tensor(v.item()) for k, v in theirs.state_dict().items()})
    return ours, theirs


AVERAGES = {
    "mean": lambda utils: {},
    "mean, one by one": lambda utils: {"avg_fn": utils.get_swa_avg_fn()},
    "mean of buffers": lambda utils: {"use_buffers": True},
    "exponential": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.8), "use_buffers": True},
    "exponential, one by one": lambda utils: {"avg_fn": utils.get_ema_avg_fn(0.8)},
    "of its own": lambda utils: {"avg_fn": lambda a, p, n: a * 0.5 + p * 0.5 + n},
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_averages(kind):
    (ours, theirs), rng = pair(), np.random.default_rng(0)
    averages = [
        swa_utils.AveragedModel(ours, **AVERAGES[kind](swa_utils)),
        torch.optim.swa_utils.AveragedModel(theirs, **AVERAGES[kind](torch.optim.swa_utils)),
    ]
    for _ in range(4):
        x = rng.standard_normal((6, 3))
        for library, model, average in ((ng, ours, averages[0]), (torch, theirs, averages[1])):
            model(library.from_numpy(x.copy()))  # moves the running statistics
            for p in model.parameters():
                p.data.mul_(1.1).add_(0.1)
            average.update_parameters(model)
    mine, other = (a.state_dict() for a in averages)
    assert list(mine) == list(other)
    for name, value in other.items():
        np.testing.assert_allclose(mine[name].numpy(), value.numpy(), rtol=1e-12, err_msg=name)
    x = rng.standard_normal((6, 3))
    for average in averages:
        average.eval()
    np.testing.assert_allclose(
        averages[0](ng.from_numpy(x)).detach().numpy(), averages[1](torch.from_numpy(x)).detach().numpy(), rtol=1e-10
    )


def test_the_average_is_a_model_of_its_own():
    ours, _ = pair()
    average = swa_utils.AveragedModel(ours)
    before = copy.deepcopy(average.state_dict())
    for p in ours.parameters():
        p.data.add_(1.0)
    assert all((average.state_dict()[k] == v).all() for k, v in before.items())
    average.update_parameters(ours)
    assert (average.module[0].weight == ours[0].weight).all() and average.n_averaged.item() == 1


def test_update_bn():
    (ours, theirs), rng = pair(), np.random.default_rng(1)
    batches = [rng.standard_normal((5, 3)) for _ in range(3)]
    ours.eval()
    theirs.eval()
    swa_utils.update_bn([(ng.from_numpy(b), None) for b in batches], ours)
    torch.optim.swa_utils.update_bn([torch.from_numpy(b) for b in batches], theirs)
    assert not ours.training and ours[1].momentum == 0.1
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_allclose(getattr(ours[1], name).numpy(), getattr(theirs[1], name).numpy(), rtol=1e-12)
    swa_utils.update_bn(None, ng.nn.Linear(1, 1))  # nothing to do, nothing asked for


@pytest.mark.parametrize("options", [{}, {"anneal_epochs": 4, "anneal_strategy": "linear"}, {"anneal_epochs": 0}])
def test_rates(options):
    found = []
    for library in (ng, torch):
        optimizer = library.optim.SGD([{"params": [library.nn.Parameter(library.zeros(1))], "lr": lr} for lr in (0.1, 2.0)], lr=1.0)
        schedule = library.optim.swa_utils.SWALR(optimizer, [0.05, 0.5], **options)
        found.append([])
        for _ in range(15):
            optimizer.step()
            schedule.step()
            found[-1] += schedule.get_last_lr()
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_errors():
    optimizer = ng.optim.SGD([ng.nn.Parameter(ng.zeros(1))], lr=1.0)
    for refused in (
        lambda: swa_utils.get_ema_avg_fn(1.5),
        lambda: swa_utils.get_ema_multi_avg_fn(-0.1),
        lambda: swa_utils.SWALR(optimizer, 0.1, anneal_strategy="step"),
        lambda: swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1),
        lambda: swa_utils.SWALR(optimizer, [0.1, 0.2]),
    ):
        with pytest.raises(ValueError):
            refused()
    with pytest.raises(AssertionError, match="Only one"):
        swa_utils.AveragedModel(ng.nn.Linear(1, 1), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
