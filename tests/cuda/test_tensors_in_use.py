"""Tensors on a GPU in graphs, modules, files and other libraries."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.kernels._cuda import driver
from tests.cuda.tensors import LAST, ON_A_GPU, ON_TWO_GPUS, numbers, same

pytestmark = ON_A_GPU


# ---- autograd ---------------------------------------------------------------------------------------------------------------------------


def test_backward():
    x, w = numbers(3, 4).requires_grad_(), numbers(3, 4).requires_grad_()
    a, b = x.detach().cuda().requires_grad_(), w.detach().cuda().requires_grad_()
    for left, right in ((x, w), (a, b)):
        y = (left * 0.3).tanh() * right + left.T.contiguous().view(3, 4).exp()
        y = y + ng.stack(right.unbind(0), 0) / 4 + right.t().flip(1).reshape(3, 4)
        y.backward(ng.ones_like(y))
        y = ng.cat([left, right], 1).split(3, 1)[1]
        y.backward(y.detach())
        y = left.unbind(0)  # of which one is not used
        (y[0] * y[2] * right.reshape(-1)[::3]).to(ng.float64).backward(ng.ones(4, dtype=ng.float64, device=left.device))
    for found, expected in ((a.grad, x.grad), (b.grad, w.grad)):
        assert found.is_cuda and np.allclose(found.cpu().numpy(), expected.numpy(), rtol=1e-5)


@ON_TWO_GPUS
def test_backward_across_devices():
    x = numbers(3).requires_grad_()
    y = (x.cuda() * 3).to("cuda:1") * 2
    z = y.cpu()
    z.backward(ng.ones(3))
    assert x.grad.device.type == "cpu" and x.grad.tolist() == [6, 6, 6]
    x = numbers(3).cuda().requires_grad_()
    x.to("cpu", ng.float64).backward(ng.ones(3, dtype=ng.float64))
    assert x.grad.is_cuda and x.grad.dtype is ng.float32
    with pytest.raises(RuntimeError, match="different device"):
        x.grad = numbers(3)
    x = numbers(3).requires_grad_()
    x.pin_memory().backward(ng.ones(3))
    assert x.grad.tolist() == [1, 1, 1]


def indexed(y, value):
    y[ng.tensor([0, 2], device=y.device)] = value


def masked(y, value):
    y[ng.tensor([True, False, True], device=y.device)] = value


def assigned(y, value):
    y[::2] = value


WRITTEN = {
    "assigned": assigned,
    "indexed": indexed,
    "masked": masked,
    "fill_": lambda y, value: y[::2].fill_(value),
    "copy_": lambda y, value: y[::2].copy_(value.expand(2)),
    "masked_fill_": lambda y, value: y.masked_fill_(ng.tensor([True, False, True], device=y.device), value),
    "index_fill_": lambda y, value: y.index_fill_(0, ng.tensor([0, 2], device=y.device), value),
    "index_put_": lambda y, value: y.index_put_((ng.tensor([0, 2], device=y.device),), value),
}


@pytest.mark.parametrize("of", ["a constant", "a result"])
@pytest.mark.parametrize("name", WRITTEN)
def test_gradient_of_a_number_from_the_cpu(name, of):
    """A 0-d tensor of the CPU is written into one of a GPU; its gradient comes back to the CPU."""
    leaf, start = ng.tensor(2.0, requires_grad=True), ng.ones(3, device="cuda")
    y = start if of == "a constant" else start.requires_grad_() * 1
    WRITTEN[name](y, leaf * 3)  # through what is computed on the CPU
    assert y.tolist() == [6, 1, 6]
    (slope,) = ng.autograd.grad((y**3 * numbers(3).cuda().abs()).sum(), leaf, create_graph=True)
    assert slope.is_cpu and slope.item() == 2 * 9 * 6**2
    (curve,) = ng.autograd.grad(slope, leaf)
    assert curve.is_cpu and curve.item() == 2 * 9 * 6 * 6


def test_gradient_of_a_copy_to_the_cpu():
    x, y = numbers(3).cuda().requires_grad_(), ng.zeros(2, 3, dtype=ng.float64)
    y[1].copy_(x)
    y[0, 0] = x[2]
    (y * 3).sum().backward()
    assert x.grad.is_cuda and x.grad.dtype is ng.float32 and x.grad.tolist() == [3, 3, 6]


@pytest.mark.parametrize("place, other", [("cpu", "cuda"), ("cuda", "cpu")])
def test_seed_elsewhere(place, other):
    """A gradient to start with lies where its tensor does; one without dimensions is taken there."""
    x = ng.ones(3, device=place).requires_grad_()
    seed = ng.ones(3, device=other)
    for act in (lambda: (x * 2).backward(seed), lambda: ng.autograd.grad(x * 2, x, seed)):
        with pytest.raises(RuntimeError, match=f"invalid gradient at index 0 - expected device {x.device} but got {seed.device}"):
            act()
    x.sum().backward(ng.tensor(2.0, device=other))
    assert x.grad.device == x.device and x.grad.tolist() == [2, 2, 2]


def test_scalar_backward():
    x = ng.tensor(3.0, device="cuda", requires_grad=True)
    (x * x).backward()
    assert x.grad.item() == 6 and x.grad.is_cuda
    (g,) = ng.autograd.grad(x**3, x, create_graph=True)
    (h,) = ng.autograd.grad(g, x)
    assert (g.item(), h.item()) == (27, 18)


class OnTheWrongDevice(ng.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g.cpu()


def test_gradient_on_the_wrong_device():
    y = OnTheWrongDevice.apply(numbers(3).cuda().requires_grad_())
    with pytest.raises(RuntimeError, match="invalid gradient at index 0 - expected device cuda:0 but got cpu"):
        y.backward(ng.ones(3, device="cuda"))


class Scaled(ng.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        return g * scale, (g * x).sum()


def test_gradient_of_a_number_from_the_cpu_in_a_function():
    x, scale = numbers(3).cuda().requires_grad_(), ng.tensor(2.0, requires_grad=True)
    Scaled.apply(x, scale).backward(numbers(3).cuda())
    assert scale.grad.is_cpu and scale.grad.item() == 2 and x.grad.is_cuda and x.grad.tolist() == [-2, 0, 2]


def test_gradcheck():
    x = ng.tensor([0.3, -0.7], dtype=ng.float64, device="cuda", requires_grad=True)
    assert ng.autograd.gradcheck(lambda x: (x * x).tanh(), (x,))


# ---- kept, moved, saved -----------------------------------------------------------------------------------------------------------------


def test_deepcopy_and_pickle():
    x = numbers(2, 3).cuda(LAST).T.requires_grad_()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.device == x.device and y.tolist() == x.tolist() and y.stride() == x.stride() and y.requires_grad
        assert y.data_ptr() != x.data_ptr()
    assert copy.deepcopy(ng.nn.Parameter(x.detach())).is_cuda


def saved(value) -> io.BytesIO:
    file = io.BytesIO()
    ng.save(value, file)
    file.seek(0)
    return file


@ON_TWO_GPUS
def test_saved():
    x = {"a": numbers(2, 3).cuda(1).T, "b": [numbers(2), nn.Parameter(numbers(2).cuda())]}
    y = ng.load(saved(x))
    assert [str(t.device) for t in (y["a"], *y["b"])] == ["cuda:1", "cpu", "cuda:0"]
    assert y["a"].tolist() == x["a"].tolist() and isinstance(y["b"][1], nn.Parameter)
    for place, expected in (
        ("cpu", ["cpu"] * 3),
        (ng.device("cuda"), ["cuda:0"] * 3),
        ({"cuda:1": "cpu"}, ["cpu", "cpu", "cuda:0"]),
        ({"cuda:0": "cuda:1", "cpu": "cuda:0"}, ["cuda:1", "cuda:0", "cuda:1"]),
        (lambda storage, location: storage, ["cpu"] * 3),
        (lambda storage, location: storage.cuda(0) if location == "cuda:1" else None, ["cuda:0", "cpu", "cuda:0"]),
    ):
        y = ng.load(saved(x), map_location=place)
        assert [str(t.device) for t in (y["a"], *y["b"])] == expected
    with pytest.raises(RuntimeError, match="map_location returned a int"):
        ng.load(saved(x), map_location=lambda storage, location: 3)


@ON_TWO_GPUS
def test_saved_where_there_is_no_such_gpu(monkeypatch):
    file = saved(numbers(2).cuda(1))
    monkeypatch.setattr(driver.load(), "DeviceGetCount", lambda: 1, raising=False)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on CUDA device cuda:1"):
        ng.load(file)
    file.seek(0)
    assert ng.load(file, map_location="cpu").tolist() == [-1, 0]


class Two(nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.weight = nn.Parameter(ng.ones(2, device=device))
        self.register_buffer("steps", ng.tensor(3, device=device))

    def forward(self, x):
        return x * self.weight + self.steps


def test_module():
    model = Two()
    model(numbers(2)).backward(ng.ones(2))
    kept = model.weight
    assert model.to("cuda", ng.float64) is model and model.weight is kept
    assert [t.device.type for t in (model.weight, model.weight.grad, model.steps)] == ["cuda"] * 3
    assert (model.weight.dtype, model.weight.grad.dtype, model.steps.dtype) == (ng.float64, ng.float64, ng.int64)
    assert model(numbers(2).cuda()).tolist() == [2, 3]
    state = model.state_dict()
    assert state["weight"].is_cuda and Two().to("cuda").load_state_dict(state) is not None
    other = Two()
    other.load_state_dict(state)  # onto the CPU, where the module is
    assert other.weight.device.type == "cpu"
    assert not model.cpu().weight.is_cuda and model.cuda(LAST).steps.device.index == LAST
    ng.manual_seed(3)
    expected = nn.Linear(3, 2)
    ng.manual_seed(3)
    same(nn.Linear(3, 2, device="cuda").weight, expected.weight)


def test_optimizer_state():
    model = Two()
    optimizer = ng.optim.Adam(model.parameters())
    model(numbers(2)).backward(ng.ones(2))
    optimizer.step()
    state = optimizer.state_dict()
    there = ng.optim.Adam(Two().to(f"cuda:{LAST}").parameters())
    there.load_state_dict(state)
    (found,) = there.state.values()
    assert found["exp_avg"].device.index == LAST and found["exp_avg"].tolist() == state["state"][0]["exp_avg"].tolist()
    assert found["step"].device.type == "cpu"


def test_assert_close():
    x = numbers(3)
    ng.testing.assert_close(x.cuda(), x.cuda())
    ng.testing.assert_close(x.cuda(), x, check_device=False)
    with pytest.raises(AssertionError, match="'device' do not match: cuda:0 != cpu"):
        ng.testing.assert_close(x.cuda(), x)


def test_loader():
    class Pair:
        def __init__(self, x):
            self.x, self.pinned = x, False

        def pin_memory(self):
            self.pinned = True
            return self

    data = [{"x": numbers(2), "y": (1, "a")}] * 4
    batch = next(iter(ng.data.DataLoader(data, batch_size=2, pin_memory=True)))
    assert batch["x"].is_pinned() and batch["y"][0].is_pinned() and list(batch["y"][1]) == ["a", "a"]
    assert batch["x"].to("cuda", non_blocking=True).shape == (2, 2)
    pairs = ng.data.DataLoader([1, 2], batch_size=2, pin_memory=True, collate_fn=lambda batch: Pair(ng.tensor(batch)))
    assert next(iter(pairs)).pinned


# ---- other libraries --------------------------------------------------------------------------------------------------------------------


class Holder:
    """An array of another library."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.__cuda_array_interface__ = tensor.__cuda_array_interface__


def test_shared_memory():
    x = numbers(3, 4).cuda(LAST)
    for y in (ng.from_dlpack(x), ng.as_tensor(Holder(x)), ng.as_tensor(Holder(x.T), device=f"cuda:{LAST}").T):
        assert y.data_ptr() == x.data_ptr() and y.device == x.device and y.shape == x.shape
        y[0, 0] += 1
    assert x[0, 0] == -3
    assert x.__dlpack_device__() == (2, LAST) and not hasattr(numbers(1), "__cuda_array_interface__")
    x.requires_grad_()
    with pytest.raises(BufferError):
        x.__dlpack__()
    with pytest.raises(RuntimeError, match="requires grad"):
        _ = x.__cuda_array_interface__
