"""Learning-rate schedules against PyTorch's."""

import copy
import json
import warnings

import pytest

import numbagrad as ng
from numbagrad import optim
from numbagrad.optim import lr_scheduler
from numbagrad.tensor import Parameter

CASES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.9**epoch, lambda epoch: 1 / (epoch + 1)]}),
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 2, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.3}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 6}),
    ("LinearLR", {}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.01}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 0.9 + 0.01 * epoch}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 15, "power": 0.7}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": [0.7, 1.1], "step_size_up": 3}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2", "base_momentum": [0.5, 0.6]},
    ),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9, "cycle_momentum": False}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 4, "scale_fn": lambda x: 1 / (5 ** (x * 0.0001)), "scale_mode": "iterations"},
    ),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 26}),
    ("OneCycleLR", {"max_lr": [0.5, 3.0], "epochs": 5, "steps_per_epoch": 6, "anneal_strategy": "linear", "three_phase": True}),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": 25, "pct_start": 0.5, "cycle_momentum": False, "div_factor": 5.0, "final_div_factor": 10.0},
    ),
]
METRICS = [5, 4, 4, 4, 3.9999, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, float("nan"), 0.5, 1, 1, 1, 1]
PLATEAUS = [
    {"patience": 2},
    {"patience": 1, "factor": 0.5, "cooldown": 2, "min_lr": 0.02},
    {"mode": "max", "patience": 3, "threshold_mode": "abs", "threshold": 0.1},
    {"patience": 0, "min_lr": [0.05, 0.3], "threshold_mode": "abs"},
]


def new_optimizer(library=None):
    if library is None:
        return optim.SGD([{"params": [Parameter(ng.zeros(1))]}, {"params": [Parameter(ng.zeros(1))], "lr": 2.0}], lr=0.1, momentum=0.3)
    zero = library.nn.Parameter
    return library.optim.SGD([{"params": [zero(library.zeros(1))]}, {"params": [zero(library.zeros(1))], "lr": 2.0}], lr=0.1, momentum=0.3)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def momenta(optimizer):
    return [group["momentum"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name, options", CASES)
def test_rates(name, options):
    torch = pytest.importorskip("torch")
    ours, theirs = new_optimizer(), new_optimizer(torch)
    a, b = getattr(lr_scheduler, name)(ours, **options), getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(25):
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-12, abs=1e-15)
        assert a.get_last_lr() == rates(ours)
        assert momenta(ours) == pytest.approx(momenta(theirs), rel=1e-12)
        for optimizer in (ours, theirs):
            optimizer.step()
        a.step()
        b.step()
    assert a.last_epoch == 25


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateau(options):
    torch = pytest.importorskip("torch")
    ours, theirs = new_optimizer(), new_optimizer(torch)
    a, b = lr_scheduler.ReduceLROnPlateau(ours, **options), torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for metric in METRICS:
        a.step(metric)
        b.step(metric)
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-12)
        assert a.get_last_lr() == rates(ours)
        assert (a.num_bad_epochs, a.cooldown_counter, a.in_cooldown) == (b.num_bad_epochs, b.cooldown_counter, b.in_cooldown)
    a.step(ng.tensor(0.25))
    assert a.best == (0.25 if a.mode == "min" else 5)


@pytest.mark.parametrize("name, options", CASES)
def test_state_dict_resumes_exactly(name, options):
    first = new_optimizer()
    scheduler = getattr(lr_scheduler, name)(first, **options)
    first.step()
    for _ in range(7):
        scheduler.step()
    saved = copy.deepcopy({"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()})
    if name != "LambdaLR":
        saved["scheduler"] = json.loads(json.dumps(saved["scheduler"]))
    assert "optimizer" not in saved["scheduler"]
    second = new_optimizer()
    resumed = getattr(lr_scheduler, name)(second, **options)
    resumed.load_state_dict(saved["scheduler"])
    second.load_state_dict(saved["optimizer"])
    second.step()
    for _ in range(10):
        assert rates(first) == rates(second)
        scheduler.step()
        resumed.step()


def test_plateau_state_dict():
    first = new_optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(first, patience=1)
    for metric in METRICS[:5]:
        scheduler.step(metric)
    second = new_optimizer()
    resumed = lr_scheduler.ReduceLROnPlateau(second, mode="max")
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for metric in METRICS[5:]:
        scheduler.step(metric)
        resumed.step(metric)
        assert rates(first) == rates(second)


class Halving:
    """A callable with state of its own."""

    def __init__(self, base):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


def test_lambda_state_keeps_attributes_of_callables():
    saved = lr_scheduler.LambdaLR(new_optimizer(), [Halving(0.5), lambda epoch: 1.0]).state_dict()
    assert saved["lr_lambdas"] == [{"base": 0.5}, None]
    other = lr_scheduler.LambdaLR(new_optimizer(), [Halving(0.1), lambda epoch: 1.0])
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].base == 0.5
    assert saved["lr_lambdas"] == [{"base": 0.5}, None]


@pytest.mark.parametrize("name, options", [c for c in CASES if c[0] in ("StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR")])
def test_continuing_from_an_epoch(name, options):
    torch = pytest.importorskip("torch")
    pairs = [(new_optimizer(), lr_scheduler), (new_optimizer(torch), torch.optim.lr_scheduler)]
    found = []
    for optimizer, module in pairs:
        for group in optimizer.param_groups:
            group["initial_lr"] = 4.0
        scheduler = getattr(module, name)(optimizer, **options, last_epoch=3)
        trace = [rates(optimizer)]
        optimizer.step()
        for _ in range(6):
            scheduler.step()
            trace.append(rates(optimizer))
        with pytest.warns(UserWarning, match="epoch parameter"):
            scheduler.step(2)
        trace.append(rates(optimizer))
        found.append([r for both in trace for r in both])
    assert found[0] == pytest.approx(found[1], rel=1e-12, abs=1e-15)


def test_chained_schedules():
    torch = pytest.importorskip("torch")
    found = []
    for optimizer, module in ((new_optimizer(), lr_scheduler), (new_optimizer(torch), torch.optim.lr_scheduler)):
        every = [module.ExponentialLR(optimizer, 0.9), module.StepLR(optimizer, 3), module.ConstantLR(optimizer, 0.5, 4)]
        optimizer.step()
        trace = []
        for _ in range(10):
            for scheduler in every:
                scheduler.step()
            trace += rates(optimizer)
        found.append(trace)
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_warning_when_the_scheduler_steps_first():
    scheduler = lr_scheduler.StepLR(new_optimizer(), 1)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    optimizer = new_optimizer()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="overridden"):
        scheduler.step()
    optimizer = new_optimizer()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()
        scheduler.step()


def test_get_lr_outside_of_step_warns():
    scheduler = lr_scheduler.ExponentialLR(new_optimizer(), 0.5)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def test_rates_that_are_tensors_are_set_in_place():
    p = Parameter(ng.zeros(1))
    lr = ng.tensor(1.0)
    optimizer = optim.SGD([p], lr=lr)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr and lr.item() == 0.5
    assert scheduler.get_last_lr()[0].item() == 0.5 and scheduler.get_last_lr()[0] is not lr


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda o: lr_scheduler.StepLR(None, 1), TypeError, "NoneType is not an Optimizer"),
        (lambda o: lr_scheduler.LambdaLR(5, lambda e: 1), TypeError, "int is not an Optimizer"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(5), TypeError, "int is not an Optimizer"),
        (lambda o: lr_scheduler.StepLR(o, 1, last_epoch=3), KeyError, "initial_lr"),
        (lambda o: lr_scheduler.LambdaLR(o, [lambda e: 1]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, "between 0 and 1"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, "greater than 0"),
        (lambda o: lr_scheduler.LinearLR(o, 1.0, 1.5), ValueError, "between 0 and 1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "< 1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="low"), ValueError, "mode low is unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="low"), ValueError, "threshold mode low is unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "expected 2 min_lrs, got 1"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(new_optimizer())


def composed(library, optimizer, kind):
    schedules = library.optim.lr_scheduler
    if kind == "chained":
        return schedules.ChainedScheduler([schedules.ConstantLR(optimizer, 0.1, total_iters=4), schedules.ExponentialLR(optimizer, 0.9)])
    if kind == "nested":
        inner = schedules.SequentialLR(optimizer, [schedules.StepLR(optimizer, 2), schedules.ExponentialLR(optimizer, 0.7)], milestones=[3])
        return schedules.SequentialLR(optimizer, [inner, schedules.ConstantLR(optimizer, 0.5)], milestones=[8])
    parts = [
        schedules.LinearLR(optimizer, 0.1, total_iters=4),
        schedules.CosineAnnealingLR(optimizer, 6),
        schedules.ExponentialLR(optimizer, 0.9),
    ]
    return schedules.SequentialLR(optimizer, parts, milestones=[5, 11])


@pytest.mark.parametrize("kind", ["sequential", "chained", "nested"])
def test_schedules_of_schedules(kind):
    torch = pytest.importorskip("torch")
    ours, theirs = new_optimizer(), new_optimizer(torch)
    a, b = composed(ng, ours, kind), composed(torch, theirs, kind)
    saved = None
    for step in range(20):
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-12)
        assert a.get_last_lr() == rates(ours)
        if step == 7:
            saved = copy.deepcopy(a.state_dict()), rates(ours)
        for optimizer in (ours, theirs):
            optimizer.step()
        a.step()
        b.step()
    again = new_optimizer()
    resumed = composed(ng, again, kind)
    resumed.load_state_dict(saved[0])
    for group, lr in zip(again.param_groups, saved[1]):
        group["lr"] = lr
    for _ in range(13):
        again.step()
        resumed.step()
    assert rates(again) == rates(ours)


def test_warm_restarts_at_fractions_of_an_epoch():
    torch = pytest.importorskip("torch")
    ours, theirs = new_optimizer(), new_optimizer(torch)
    options = {"T_0": 2, "T_mult": 3, "eta_min": 0.01}
    a = lr_scheduler.CosineAnnealingWarmRestarts(ours, **options)
    b = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(theirs, **options)
    for tenth in range(100):
        a.step(tenth / 10)
        b.step(tenth / 10)
        assert rates(ours) == pytest.approx(rates(theirs), rel=1e-12)
    with pytest.raises(ValueError, match="non-negative"):
        a.step(-1)


def test_momentum_of_adam_is_its_first_beta():
    torch = pytest.importorskip("torch")
    found = []
    for library in (ng, torch):
        optimizer = library.optim.Adam([library.nn.Parameter(library.zeros(1))])
        schedule = library.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
        found.append([])
        for _ in range(9):
            optimizer.step()
            schedule.step()
            found[-1] += optimizer.param_groups[0]["betas"]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_errors_of_cycles_and_compositions():
    plain = optim.Adagrad([Parameter(ng.zeros(1))])
    sgd, other = new_optimizer(), new_optimizer()
    schedules = lr_scheduler
    for refused in (
        lambda: schedules.CyclicLR(sgd, 0.1, 0.2, mode="square"),
        lambda: schedules.CyclicLR(sgd, [0.1], 0.2),
        lambda: schedules.CyclicLR(plain, 0.1, 0.2),
        lambda: schedules.OneCycleLR(plain, 0.1, total_steps=3),
        lambda: schedules.OneCycleLR(sgd, 0.1),
        lambda: schedules.OneCycleLR(sgd, 0.1, epochs=3),
        lambda: schedules.OneCycleLR(sgd, 0.1, total_steps=0),
        lambda: schedules.OneCycleLR(sgd, 0.1, total_steps=3, pct_start=1.5),
        lambda: schedules.OneCycleLR(sgd, 0.1, total_steps=3, anneal_strategy="step"),
        lambda: schedules.CosineAnnealingWarmRestarts(sgd, 0),
        lambda: schedules.CosineAnnealingWarmRestarts(sgd, 2, T_mult=0),
        lambda: schedules.SequentialLR(sgd, [], []),
        lambda: schedules.SequentialLR(sgd, [schedules.StepLR(sgd, 1)], [1]),
        lambda: schedules.SequentialLR(sgd, [schedules.StepLR(sgd, 1), schedules.StepLR(other, 1)], [1]),
        lambda: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(sgd)]),
    ):
        with pytest.raises(ValueError):
            refused()
    with pytest.raises(TypeError):
        schedules.MultiplicativeLR(sgd, [1.0, 2.0])
    with pytest.raises(TypeError):
        schedules.CyclicLR(3, 0.1, 0.2)
    once = schedules.OneCycleLR(new_optimizer(), 0.1, total_steps=2)
    once.optimizer.step()
    once.step()
    once.step()
    with pytest.raises(ValueError, match="total steps"):
        once.step()
