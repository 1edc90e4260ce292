"""Optimizers against PyTorch's, and what surrounds their steps: groups, states, hooks, errors."""

import copy
import importlib
import pickle
import warnings

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import optim
from numbagrad.tensor import Parameter

SHAPES = [(4, 5), (5,), (), (33, 70)]

OPTIONS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    ],
    "Adam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "amsgrad": True},
        {"maximize": True, "decoupled_weight_decay": True},
    ],
    "AdamW": [{}, {"lr": 0.1, "amsgrad": True, "maximize": True}],
    "Adagrad": [{}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2}],
    "RMSprop": [{}, {"momentum": 0.9, "weight_decay": 0.1, "alpha": 0.9}, {"centered": True, "momentum": 0.5, "lr": 1e-3}],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.7, "eps": 1e-4, "weight_decay": 0.1, "maximize": True}],
    "Adamax": [{}, {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "momentum_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 1.9), "step_sizes": (0.05, 0.2), "maximize": True}],
    "Adafactor": [{}, {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 2.0, "weight_decay": 0.1, "maximize": True}],
    "ASGD": [{}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 4, "weight_decay": 0.1, "maximize": True}],
}
CASES = [(name, options) for name, every in OPTIONS.items() for options in every]


def values(seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [np.array(rng.standard_normal(s), dtype=dtype) for s in SHAPES]


def parameters(dtype=np.float64):
    return [Parameter(ng.from_numpy(v)) for v in values(0, dtype)]


def set_gradients(params, seed, skip=()):
    for i, (p, v) in enumerate(zip(params, values(seed, params[0].detach().numpy().dtype))):
        p.grad = None if i in skip else ng.from_numpy(v)


def snapshot(params):
    return [p.detach().numpy().copy() for p in params]


class Pair:
    """The same parameters under our optimizer and PyTorch's."""

    def __init__(self, name, options, dtype=np.float64):
        self.torch = pytest.importorskip("torch")
        self.ours = parameters(dtype)
        self.theirs = [self.torch.nn.Parameter(self.torch.from_numpy(v)) for v in values(0, dtype)]
        self.optimizer = getattr(optim, name)(self.ours, **options)
        self.reference = getattr(self.torch.optim, name)(self.theirs, **options)

    def gradients(self, seed, skip=()):
        set_gradients(self.ours, seed, skip)
        for p, q in zip(self.ours, self.theirs):
            q.grad = None if p.grad is None else self.torch.from_numpy(p.grad.numpy().copy())

    def step(self, seed, skip=()):
        self.gradients(seed, skip)
        self.optimizer.step()
        self.reference.step()

    def compare(self, rtol=1e-11):
        for p, q in zip(self.ours, self.theirs):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name, options", CASES)
def test_trajectory(name, options):
    pair = Pair(name, options)
    for step in range(12):
        pair.step(step, skip=(1,) if step in (0, 3) else ())  # one parameter joins late and misses a step
        pair.compare()


@pytest.mark.parametrize("name", OPTIONS)
def test_trajectory_in_float32(name):
    pair = Pair(name, OPTIONS[name][1], np.float32)
    for step in range(12):
        pair.step(step)
    pair.compare(2e-6)


@pytest.mark.parametrize("name, options", CASES)
def test_state_dict_is_like_pytorchs_and_resumes_exactly(name, options):
    pair = Pair(name, options)
    for step in range(3):
        pair.step(step)
    ours, theirs = pair.optimizer.state_dict(), pair.reference.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    assert list(ours["param_groups"][0]) == list(theirs["param_groups"][0])
    assert {k: set(v) for k, v in ours["state"].items()} == {k: set(v) for k, v in theirs["state"].items()}
    for k, state in theirs["state"].items():
        for key, want in state.items():
            got = ours["state"][k][key]
            assert str(got.dtype).rpartition(".")[2] == str(want.dtype).rpartition(".")[2]
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-11)
    saved, weights = copy.deepcopy(ours), snapshot(pair.ours)
    for step in range(3, 6):
        pair.step(step)
    others = [Parameter(ng.from_numpy(w)) for w in weights]
    resumed = getattr(optim, name)(others, lr=5.0)
    resumed.load_state_dict(saved)
    for step in range(3, 6):
        set_gradients(others, step)
        resumed.step()
    for a, b in zip(snapshot(others), snapshot(pair.ours)):
        np.testing.assert_array_equal(a, b)


def test_loaded_state_is_a_copy_in_the_dtype_of_the_parameters():
    first, second = parameters(np.float32), parameters(np.float64)
    a, b = optim.Adam(first), optim.Adam(second)
    set_gradients(first, 1)
    a.step()
    b.load_state_dict(a.state_dict())
    before = a.state[first[0]]["exp_avg"].numpy().copy()
    set_gradients(second, 2)
    b.step()
    np.testing.assert_array_equal(a.state[first[0]]["exp_avg"].numpy(), before)
    assert a.state[first[0]]["step"].item() == 1 and b.state[second[0]]["step"].item() == 2
    assert b.state[second[0]]["exp_avg"].dtype is ng.float64 and b.state[second[0]]["step"].dtype is ng.float32


def test_load_state_dict_errors_leave_the_optimizer_alone():
    params = parameters()
    optimizer = optim.SGD(params, lr=0.5)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="size of optimizer's group"):
        optimizer.load_state_dict({"state": {}, "param_groups": [{"params": [0], "lr": 9.0}]})
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["params"] == params


def test_step_counts_that_are_numbers_become_tensors():
    params = parameters()
    optimizer = optim.Adam(params)
    set_gradients(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    for state in saved["state"].values():
        state["step"] = 7
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[params[0]]["step"].item() == 8


@pytest.mark.parametrize("how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_of_optimizers(how):
    params = parameters()
    optimizer = optim.Adam(params)
    set_gradients(params, 0)
    optimizer.step()
    duplicate = how(optimizer)
    others = duplicate.param_groups[0]["params"]
    assert others[0] is not params[0]
    set_gradients(params, 1)
    set_gradients(others, 1)
    optimizer.step()
    duplicate.step()
    for a, b in zip(snapshot(params), snapshot(others)):
        np.testing.assert_array_equal(a, b)


def test_parameter_groups():
    a, b, c = parameters()[:3]
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": (q for q in [c]), "weight_decay": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.1]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0, 0, 0.5]
    before = snapshot([a, b, c])
    for p in (a, b, c):
        p.grad = ng.ones_like(p)
    optimizer.step()
    np.testing.assert_allclose(a.detach().numpy(), before[0] - 0.1)
    np.testing.assert_allclose(b.detach().numpy(), before[1] - 1.0)
    np.testing.assert_allclose(c.detach().numpy(), before[2] - 0.1 * (1 + 0.5 * before[2]))
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_named_parameters():
    a, b, c = parameters()[:3]
    optimizer = optim.SGD([("first", a), ("second", b)], lr=0.1)
    assert optimizer.param_groups[0]["params"] == [a, b] and optimizer.param_groups[0]["param_names"] == ["first", "second"]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [c]})
    with pytest.raises(ValueError, match="names are missing"):
        optim.SGD([("first", a), b], lr=0.1)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda p: optim.SGD(p[0]), TypeError, "iterable of Tensors or dicts"),
        (lambda p: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda p: optim.SGD([1.0]), TypeError, "one of the params is float"),
        (lambda p: optim.SGD([{"params": set(p)}]), TypeError, "ordered collections"),
        (lambda p: optim.SGD([p[0] * 2]), ValueError, "non-leaf"),
        (lambda p: optim.SGD([{"params": [p[0]]}, {"params": [p[0]]}]), ValueError, "more than one parameter group"),
        (lambda p: optim.SGD(p).add_param_group([p[0]]), TypeError, "must be a dict"),
        (lambda p: optim.SGD(p, lr=-0.1), ValueError, "Invalid learning rate: -0.1"),
        (lambda p: optim.SGD(p, momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda p: optim.SGD(p, weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
        (lambda p: optim.SGD(p, nesterov=True), ValueError, "Nesterov"),
        (lambda p: optim.SGD(p, nesterov=True, momentum=0.9, dampening=0.1), ValueError, "Nesterov"),
        (lambda p: optim.SGD(p, fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
        (lambda p: optim.SGD(p, differentiable=True), RuntimeError, "differentiable"),
        (lambda p: optim.SGD(p, lr=ng.ones(2)), ValueError, "1-element"),
        (lambda p: optim.Adam(p, lr=float("nan")), ValueError, "Invalid learning rate"),
        (lambda p: optim.Adam(p, eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda p: optim.Adam(p, betas=(1.0, 0.9)), ValueError, "index 0: 1.0"),
        (lambda p: optim.Adam(p, betas=(0.9, -0.1)), ValueError, "index 1: -0.1"),
        (lambda p: optim.Adam(p, weight_decay=-1), ValueError, "weight_decay"),
        (lambda p: optim.Adam(p, capturable=True), RuntimeError, "capturable"),
        (lambda p: optim.AdamW(p, lr=-1), ValueError, "learning rate"),
        (lambda p: optim.Adagrad(p, lr_decay=-1), ValueError, "lr_decay"),
        (lambda p: optim.Adagrad(p, initial_accumulator_value=-1), ValueError, "initial_accumulator_value"),
        (lambda p: optim.RMSprop(p, alpha=-1), ValueError, "alpha"),
        (lambda p: optim.RMSprop(p, momentum=-1), ValueError, "momentum"),
        (lambda p: optim.Optimizer(p, {}).step(), NotImplementedError, "^$"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(parameters())


def test_required_options():
    from numbagrad.optim.optimizer import required

    with pytest.raises(ValueError, match="required optimization parameter lr"):
        optim.Optimizer(parameters(), {"lr": required})


def test_gradient_that_does_not_fit():
    p = parameters()[0]
    with pytest.raises(RuntimeError, match=r"\[4, 5\], but got \[3\]"):
        p.grad = ng.zeros(3, dtype=ng.float64)
    with pytest.raises(RuntimeError, match=r"float64, but got numbagrad\.float32"):
        p.grad = ng.zeros(4, 5, dtype=ng.float32)


def test_duplicate_parameters_warn():
    p = parameters()[0]
    with pytest.warns(UserWarning, match="duplicate"):
        optim.SGD([p, p])


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    params = parameters()
    set_gradients(params, 0, skip=(2,))
    grads = [p.grad for p in params]
    versions = [g._version if g is not None else None for g in grads]
    optim.SGD(params).zero_grad(set_to_none)
    if set_to_none:
        assert all(p.grad is None for p in params)
        return
    for p, g, v in zip(params, grads, versions):
        assert p.grad is g
        if g is not None:
            assert not g.numpy().any() and g._version == v + 1


def test_closure_is_evaluated_with_recording_on():
    p = Parameter(ng.tensor([3.0]))
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with ng.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    np.testing.assert_allclose(p.detach().numpy(), [2.4], rtol=1e-6)
    assert optim.SGD([p]).step() is None


def test_step_counts_as_a_change_in_place():
    p, x = Parameter(ng.tensor([3.0])), ng.ones(1, requires_grad=True)
    y = p * x
    p.grad = ng.ones(1)
    version = p._version
    optim.SGD([p]).step()
    assert p._version == version + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_step_keeps_the_storage_of_views():
    base = ng.zeros(10)
    p = Parameter(base[2:6])
    p.grad = ng.ones(4)
    optim.SGD([p], lr=1.0).step()
    assert base.tolist() == [0, 0, -1, -1, -1, -1, 0, 0, 0, 0]


def test_tensor_hyperparameters():
    pair = Pair("Adam", {"lr": 0.1})
    group = pair.optimizer.param_groups[0]
    group["lr"] = ng.tensor(0.1, dtype=ng.float64)
    for step in range(2):
        pair.step(step)
    pair.compare()
    group["lr"].fill_(0.0)
    before = snapshot(pair.ours)
    pair.optimizer.step()
    for a, b in zip(before, snapshot(pair.ours)):
        np.testing.assert_array_equal(a, b)


def test_changed_options_and_new_storage_take_effect_at_once():
    pair = Pair("SGD", {"lr": 0.1, "momentum": 0.9})
    pair.step(0)
    for optimizer in (pair.optimizer, pair.reference):
        optimizer.param_groups[0]["lr"] = 0.5
        optimizer.param_groups[0]["weight_decay"] = 0.1
    pair.ours[0].data = ng.from_numpy(pair.ours[0].detach().numpy().copy())
    for step in range(1, 4):
        pair.step(step)
    pair.compare()


def test_step_hooks_also_around_a_users_own_step():
    class Own(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def step(self, closure=None):
            with ng.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(p.grad, alpha=group["lr"])

    for kind in (Own, optim.SGD):
        params, calls = parameters(), []
        set_gradients(params, 0)
        optimizer = kind(params)
        pre = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append(("pre", o, args)))
        optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(("post", o, args)))
        optimizer.step()
        assert calls == [("pre", optimizer, (optimizer,)), ("post", optimizer, (optimizer,))]
        pre.remove()
        optimizer.step()
        assert len(calls) == 3
        optimizer.register_step_pre_hook(lambda o, args, kwargs: 5)
        with pytest.raises(RuntimeError, match="tuple of"):
            optimizer.step()


def test_step_hooks_of_all_optimizers():
    def story(library):
        told = []
        tools = importlib.import_module(f"{library}.optim.optimizer")
        lib = importlib.import_module(library)
        p = lib.nn.Parameter(lib.ones(1))
        optimizers = [lib.optim.SGD([p], lr=0.1), lib.optim.LBFGS([p])]
        optimizers[0].register_step_pre_hook(lambda *_: told.append("own"))
        optimizers[0].register_step_post_hook(lambda *_: told.append("own after"))
        pre = tools.register_optimizer_step_pre_hook(lambda o, args, kwargs: told.append((type(o).__name__, len(args), sorted(kwargs))))
        post = tools.register_optimizer_step_post_hook(lambda o, args, kwargs: told.append("after"))
        for optimizer in optimizers:
            optimizer.step(closure=lambda: p.sum())
        pre.remove(), post.remove()
        optimizers[1].step(lambda: p.sum())
        return told

    told = story("numbagrad")
    assert told == [("SGD", 1, ["closure"]), "own", "own after", "after", ("LBFGS", 1, ["closure"]), "after"]
    pytest.importorskip("torch")
    assert story("torch") == told


def test_state_dict_hooks():
    optimizer, calls = optim.SGD(parameters()), []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    saved = optimizer.state_dict()
    assert calls == ["first", "second"] and saved["extra"] == 1

    def other_rate(o, d):
        return {**d, "param_groups": [{**d["param_groups"][0], "lr": 7.0}]}

    optimizer.register_load_state_dict_pre_hook(other_rate)
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append(o.param_groups[0]["lr"]))
    optimizer.load_state_dict(saved)
    assert calls[-1] == 7.0


def test_printed_form():
    text = repr(optim.SGD(parameters(), lr=0.5))
    assert text == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n    lr: 0.5\n"
        "    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )
    two = repr(optim.SGD([{"params": parameters()}, {"params": parameters()}], lr=0.5))
    assert two == text[:-1] + text[5:].replace("Group 0", "Group 1")


def test_parameters_and_gradients_of_any_layout():
    base = np.arange(12.0).reshape(3, 4)
    p = Parameter(ng.from_numpy(base.copy()).t())
    q = Parameter(ng.from_numpy(base.T.copy()))
    for t in (p, q):
        t.grad = ng.ones(4, 3, dtype=ng.float64)
    a, b = optim.Adam([p], lr=0.1), optim.Adam([q], lr=0.1)
    for _ in range(3):
        a.step()
        b.step()
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_no_warnings_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = parameters()
        set_gradients(params, 0)
        for name in OPTIONS:
            getattr(optim, name)(params).step()
