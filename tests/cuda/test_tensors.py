"""Tensors on a GPU through the public interface, against the same on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.kernels._cuda import driver
from numbagrad.kernels._device import family
from tests.cuda.tensors import LAST, ON_A_GPU, ON_TWO_GPUS, numbers, same

pytestmark = ON_A_GPU

FLOATS = (ng.float32, ng.float64, ng.float16, ng.bfloat16)
DTYPES = (ng.bool, ng.uint8, ng.int8, ng.int16, ng.int32, ng.int64, *FLOATS, ng.complex64, ng.complex128)


# ---- where it is ------------------------------------------------------------------------------------------------------------------------


@ON_TWO_GPUS
def test_device():
    x = numbers(2, 3).to("cuda")
    assert x.device == ng.device("cuda", 0) and str(x.device) == "cuda:0"
    assert (x.is_cuda, x.is_cpu, x.get_device(), x.type()) == (True, False, 0, "numbagrad.cuda.FloatTensor")
    assert x.to("cuda:0") is x and x.cuda() is x and x.to(x) is x and x.to("cuda", ng.float32) is x
    y = x.cuda(1)
    assert str(y.device) == "cuda:1" and y.cpu().tolist() == x.tolist() == numbers(2, 3).tolist()
    assert y.cpu().cpu().device == ng.device("cpu") and numbers(1).cpu().get_device() == -1
    assert x.to("cpu").device.type == "cpu" and numbers(2).to(y).device == y.device
    assert x.to(x.device, ng.float64, copy=True).dtype is ng.float64 and x.to("cuda", copy=True) is not x
    with ng.cuda.device(1):
        assert numbers(1).cuda().device.index == 1
    assert x.data_ptr() and x[1].storage_offset() == 3


@pytest.mark.parametrize("name", [f"cuda:{LAST + 1}", ng.device("cuda", 77), 99])
def test_no_such_device(name):
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        numbers(1).to(name)
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        ng.zeros(1, device=name)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_there_and_back(dtype):
    x = numbers(2, 3, 4, dtype=dtype)
    for view in (x, x.T, x.permute(1, 2, 0), x[:0], x[1, 1, 1]):
        same(view.cuda(), view)
    for view in (x[:, 1], x[..., ::2], x[:, :1].expand(2, 3, 4)):
        same(view.cuda(), view.contiguous())


def test_layout():
    """A dense tensor keeps the order of its dimensions; one with gaps or overlaps is packed."""
    x = numbers(2, 3, 4)
    assert x.permute(2, 0, 1).cuda().stride() == x.permute(2, 0, 1).stride()
    assert x.permute(2, 0, 1).cuda().cpu().stride() == x.permute(2, 0, 1).stride()
    assert x[:, ::2].cuda().stride() == (8, 4, 1) and x[:1].expand(5, 3, 4).cuda().stride() == (12, 4, 1)
    assert x.cuda()[:, ::2].cpu().stride() == (8, 4, 1)


def test_non_blocking():
    x = numbers(300).pin_memory()
    assert x.is_pinned() and not numbers(3).is_pinned() and x.pin_memory() is x
    y = x.to("cuda", non_blocking=True)
    back = y.to("cpu", non_blocking=True)
    ng.cuda.synchronize()
    assert back.is_pinned() and back.tolist() == numbers(300).tolist()
    assert x.cuda(non_blocking=True).tolist() == x.tolist() == x.to("cuda", ng.float32, True).tolist()
    assert ng.tensor([1.0, 2.0], pin_memory=True).is_pinned() and ng.empty(3, pin_memory=True).is_pinned()
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        y.pin_memory()


def test_used_on_another_stream():
    x = numbers(30).cuda(LAST)
    with ng.cuda.stream(ng.cuda.Stream(LAST)):
        y = x * 2
        x.record_stream(ng.cuda.current_stream(LAST))
    del x
    assert y.tolist() == (numbers(30) * 2).tolist()
    with pytest.raises(NotImplementedError):
        numbers(3).record_stream(ng.cuda.current_stream())


# ---- values -----------------------------------------------------------------------------------------------------------------------------


def test_values():
    x = numbers(2, 2).cuda()
    assert x.tolist() == [[-2, -1], [0, 1]] and x[1, 1].item() == 1 and float(x[0, 0]) == -2 and bool(x[1, 1])
    assert [row.tolist() for row in x] == x.tolist() and len(x) == 2
    assert ng.ones(1, dtype=ng.bfloat16, device="cuda").item() == 1 and x.T.tolist() == [[-2, 0], [-1, 1]]
    assert int(ng.tensor(3, device="cuda")) == 3 and [1, 2, 3][ng.tensor(1, device="cuda")] == 2


def test_numpy_is_refused():
    x = numbers(2).cuda(LAST)
    text = f"can't convert cuda:{LAST} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
    for act in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array(x), lambda: np.sin(x), lambda: x.__array_interface__):
        with pytest.raises(TypeError) as caught:
            act()
        assert str(caught.value) == text
    assert x.numpy(force=True).tolist() == [-1, 0]
    assert x.requires_grad_().numpy(force=True).tolist() == [-1, 0]
    with pytest.raises(RuntimeError, match="requires grad"):
        x.numpy()


def test_printed():
    x = ng.tensor([1.0, 2.0], device="cuda")
    assert str(x) == "tensor([1., 2.], device='cuda:0')"
    assert str(x.requires_grad_()) == "tensor([1., 2.], device='cuda:0', requires_grad=True)"
    assert str(x * 2) == "tensor([2., 4.], device='cuda:0', grad_fn=<MulBackward0>)"
    assert str(ng.tensor(1, device=f"cuda:{LAST}")) == f"tensor(1, device='cuda:{LAST}')"
    assert str(ng.empty(0, 2, device="cuda", dtype=ng.int32)) == "tensor([], device='cuda:0', size=(0, 2), dtype=numbagrad.int32)"
    assert str(ng.tensor([1.5], dtype=ng.bfloat16, device="cuda")) == "tensor([1.5000], device='cuda:0', dtype=numbagrad.bfloat16)"


def test_by_the_name_of_a_type():
    """A type's name says the device too, as does another tensor."""
    x, y = numbers(2).cuda(LAST), numbers(2)
    assert x.type("numbagrad.cuda.DoubleTensor").device == x.type(ng.float64).device == x.device == y.type_as(x).device
    assert x.type("numbagrad.FloatTensor").is_cpu and x.type(ng.LongTensor).is_cpu and x.type_as(y).is_cpu
    assert y.type("numbagrad.cuda.IntTensor").type() == "numbagrad.cuda.IntTensor" and y.type_as(x.double()).dtype is ng.float64


@pytest.mark.parametrize("asked", [numbers(1), nn.Linear(1, 1)], ids=["tensor", "module"])
def test_cuda_of_no_gpu(asked):
    with pytest.raises(RuntimeError, match="Invalid device, must be cuda device, but got cpu"):
        asked.cuda("cpu")


# ---- made there -------------------------------------------------------------------------------------------------------------------------

MADE = {
    "tensor": lambda **at: ng.tensor([[1, 2], [3, 4]], **at),
    "tensor of tensor": lambda **at: ng.tensor(numbers(3), **at),
    "as_tensor": lambda **at: ng.as_tensor([1.0, 2.0], **at),
    "as_tensor of an array": lambda **at: ng.as_tensor(np.arange(3), ng.float32, **at),
    "zeros": lambda **at: ng.zeros(2, 3, **at),
    "ones": lambda **at: ng.ones(2, 3, dtype=ng.float16, **at),
    "ones of bool": lambda **at: ng.ones(5, dtype=ng.bool, **at),
    "full": lambda **at: ng.full((2, 2), 2.5, dtype=ng.float64, **at),
    "full of bfloat16": lambda **at: ng.full((3,), 1.7, dtype=ng.bfloat16, **at),
    "full of complex": lambda **at: ng.full((3,), 1 + 2j, **at),
    "full of complex128": lambda **at: ng.full((3,), 1 + 2j, dtype=ng.complex128, **at),
    "full of int16": lambda **at: ng.full((7,), -300, dtype=ng.int16, **at),
    "arange": lambda **at: ng.arange(2, 11, 3, **at),
    "arange of floats": lambda **at: ng.arange(0.0, 1.0, 0.3, **at),
    "arange of int8": lambda **at: ng.arange(5, dtype=ng.int8, **at),
    "linspace": lambda **at: ng.linspace(0, 1, 5, **at),
    "logspace": lambda **at: ng.logspace(0, 1, 3, **at),
    "eye": lambda **at: ng.eye(3, 4, **at),
    "scalar_tensor": lambda **at: ng.scalar_tensor(3, **at),
    "rand": lambda **at: ng.rand(3, generator=ng.Generator().manual_seed(1), **at),
    "randn": lambda **at: ng.randn(3, generator=ng.Generator().manual_seed(1), **at),
    "randint": lambda **at: ng.randint(9, (3,), generator=ng.Generator().manual_seed(1), **at),
    "randperm": lambda **at: ng.randperm(5, generator=ng.Generator().manual_seed(1), **at),
    "zeros_like": lambda **at: ng.zeros_like(numbers(2, 3).T, **at),
    "full_like": lambda **at: ng.full_like(numbers(2, 3), 7, **at),
    "new_tensor": lambda **at: numbers(2).new_tensor([1, 2], **at),
    "Tensor": lambda **at: ng.Tensor([1.0, 2.0], **at),
}


@pytest.mark.parametrize("name", MADE)
def test_made(name):
    found = MADE[name](device=f"cuda:{LAST}")
    assert found.device.index == LAST
    same(found, MADE[name]())


def test_uninitialised():
    assert ng.empty(2, 3, device="cuda").shape == (2, 3) and ng.empty_strided((2, 3), (1, 2), device="cuda").stride() == (1, 2)
    assert ng.empty((2, 3), device="cuda", requires_grad=True).requires_grad


def test_made_beside_another():
    x = numbers(2, 3).cuda(LAST).T
    for y in (ng.zeros_like(x), ng.empty_like(x), ng.rand_like(x), ng.randn_like(x), x.new_zeros(2), x.new_ones(2), x.new_full((2,), 3), x.new_tensor([1]),
              ng.tensor(x), ng.as_tensor(x), ng.asarray(x, copy=True)):  # fmt: skip
        assert y.device == x.device
    assert ng.zeros_like(x).stride() == x.stride() and ng.zeros_like(x, device="cpu").device.type == "cpu"
    assert ng.tensor(x, device="cpu").tolist() == x.tolist() and ng.as_tensor(x, device="cpu").device.type == "cpu"


# ---- views, copies, casts ---------------------------------------------------------------------------------------------------------------

SEEN = {
    "reshape": lambda x: x.reshape(4, 6),
    "reshape of a view": lambda x: x[:, :, ::2].reshape(6, 2),
    "reshape that copies": lambda x: x.permute(2, 1, 0).reshape(-1),
    "view": lambda x: x.view(-1, 3),
    "view of dtype": lambda x: x.view(ng.int32),
    "flatten": lambda x: x.flatten(1),
    "squeeze": lambda x: x[:, :1].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "t": lambda x: x[0].t(),
    "movedim": lambda x: x.movedim(0, 2),
    "expand": lambda x: x[:, :1].expand(2, 3, 4),
    "index": lambda x: x[1, ..., 1:],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unbind": lambda x: x.unbind(1)[2],
    "split": lambda x: x.split(2, 2)[1],
    "contiguous": lambda x: x.permute(1, 2, 0).contiguous(),
    "clone": lambda x: x.permute(1, 2, 0).clone(),
    "clone of a part": lambda x: x[..., ::2].clone(),
    "clone of a broadcast": lambda x: x[:, :1].expand(2, 3, 4).clone(),
    "flip": lambda x: x.flip(0, 2),
    "roll": lambda x: x.roll((1, 2), (0, 2)),
    "roll of all": lambda x: x.roll(5),
    "repeat": lambda x: x.repeat(2, 1, 1, 2),
    "cat": lambda x: ng.cat([x, x[:, :1], x[:, 1:]], 1),
    "cat of columns": lambda x: ng.cat([x, x[..., :1]], 2),
    "cat of dtypes": lambda x: ng.cat([x, x.to(ng.float64)]),
    "cat of nothing": lambda x: ng.cat([x, x[:0]]),
    "stack": lambda x: ng.stack([x, x + 1], 1),
    "stack in front": lambda x: ng.stack([x, x]),
    "tril": lambda x: x.tril(1),
    "triu": lambda x: x.permute(0, 2, 1).triu(-1),
    "triangle of complex128": lambda x: x.to(ng.complex128).tril(),
    "pad": lambda x: nn.functional.pad(x, (1, 2, -1, 1), value=3.0),
    "reflect": lambda x: nn.functional.pad(x, (2, 1), mode="reflect"),
    "reflect in two": lambda x: nn.functional.pad(x, (1, 3, 2, 0), mode="reflect"),
    "replicate": lambda x: nn.functional.pad(x, (3, -1, 1, 2), mode="replicate"),
    "circular": lambda x: nn.functional.pad(x, (4, -2, 1, 3), mode="circular"),
}


@pytest.mark.parametrize("name", SEEN)
def test_seen(name):
    x = numbers(2, 3, 4)
    same(SEEN[name](x.cuda()), SEEN[name](x))


@pytest.mark.parametrize("source", DTYPES, ids=str)
@pytest.mark.parametrize("target", DTYPES, ids=str)
def test_cast(source, target):
    x = numbers(2, 3, dtype=source)
    same(x.cuda().to(target), x.to(target))


def test_cast_of_fractions():
    x = ng.tensor([-1.7, -0.2, 0.0, 0.3, 1.5, 200.9, float("nan")], dtype=ng.float64)
    for source in FLOATS:
        for target in (ng.bool, ng.int32, ng.uint8, *FLOATS):
            y = x.to(source)[: 6 if target in (ng.int32, ng.uint8) else 7]
            same(y.cuda().to(target), y.to(target))
    same((x[:6] + 1j * x[:6]).cuda().to(ng.bool), (x[:6] + 1j * x[:6]).to(ng.bool))


@pytest.mark.parametrize(
    "shape, dtype, view",
    [
        ((40, 33), ng.float32, lambda x: x.T),
        ((9, 130), ng.uint8, lambda x: x.T),
        ((2, 17, 33), ng.float64, lambda x: x.permute(0, 2, 1)),
        ((2, 18, 34), ng.int16, lambda x: x.permute(2, 0, 1)[1:, :, 1:]),
        ((33, 32), ng.float32, lambda x: x.flip(0).T),
    ],
)
def test_transposed_by_tiles(shape, dtype, view):
    x = numbers(*shape, dtype=dtype)
    same(view(x.cuda()).contiguous(), view(x).contiguous())


# ---- in place ---------------------------------------------------------------------------------------------------------------------------


def test_written():
    x, y = numbers(3, 4), numbers(3, 4).cuda()
    for t in (x, y):
        t[1] = 7
        t[:, 1] = t[0, :3].clone()
        t[2, 2:] = ng.tensor([8.0, 9.0], device=t.device)
        t[0, 0].fill_(5)
        t[:, ::2].zero_()
        t.T[3].copy_(ng.tensor([True, False, True]).to(t.device))
        t += 1
        t[:, :2].mul_(2)
        t[1:].copy_(t[:-1].clone())
    same(y, x)


@ON_TWO_GPUS
def test_copied_between_devices():
    x = numbers(3, 4)
    y = ng.zeros(3, 4, device="cuda")
    y.copy_(x)
    same(y, x)
    y.T.copy_(x.T)
    same(y, x)
    y[:, 1:3].copy_(numbers(1, 2, dtype=ng.int32))
    z = ng.zeros(3, 4, device="cuda:1")
    z.copy_(y)
    w = ng.zeros(3, 4, dtype=ng.float64)
    w.copy_(z)
    assert w.tolist() == y.tolist()
    y[0] = ng.tensor(3.0)  # a number that happens to be a tensor
    y.fill_(ng.tensor(2))
    assert set(y.flatten().tolist()) == {2}
    w[1, 1] = y[0, 0]
    assert w[1, 1] == 2


def test_overlapping():
    x = numbers(6).cuda()
    x[1:].copy_(x[:-1])
    assert x.tolist() == [-3, -3, -2, -1, 0, 1]
    x = numbers(6).cuda()
    x[1:].add_(x[:-1])
    assert x.tolist() == (numbers(6)[1:] + numbers(6)[:-1]).tolist()[:0] or x.tolist() == [-3, -5, -3, -1, 1, 3]


# ---- mixed devices ----------------------------------------------------------------------------------------------------------------------

MIXED = {
    "add": lambda a, b: a + b,
    "in place": lambda a, b: a.add_(b),
    "where": lambda a, b: ng.where(a > 0, a, b),
    "cat": lambda a, b: ng.cat([a, b]),
    "stack": lambda a, b: ng.stack([a, b]),
}


@ON_TWO_GPUS
@pytest.mark.parametrize("name", MIXED)
def test_mixed(name):
    for a, b, text in (("cpu", "cuda", "cpu and cuda:0"), ("cuda:1", "cpu", "cuda:1 and cpu"), ("cuda:0", "cuda:1", "cuda:0 and cuda:1")):
        with pytest.raises(RuntimeError, match=f"Expected all tensors to be on the same device, but found at least two devices, {text}"):
            MIXED[name](numbers(3).to(a), numbers(3).to(b))


def test_mixed_says_where():
    x = ng.ones(2, 2)
    for act, name in (
        (lambda: x @ x.cuda(), "matmul"),
        (lambda: x * x.cuda(), "elementwise"),
        (lambda: nn.Linear(2, 2)(x.cuda()), "matmul"),
    ):
        with pytest.raises(RuntimeError, match=rf"\(when checking the arguments of {name}\)"):
            act()


@pytest.mark.parametrize("place, other", [("cpu", "cuda"), ("cuda", "cpu")])
def test_out_elsewhere(place, other):
    x, out = ng.ones(2, 2, device=place), ng.empty(2, 2, device=other)
    for act in (
        lambda: ng.add(x, x, out=out),
        lambda: ng.exp(x, out=out),
        lambda: ng.matmul(x, x, out=out),
        lambda: ng.cat([x[:1], x[:1]], out=out),
    ):
        with pytest.raises(RuntimeError, match=f"Expected out tensor to have device {x.device}, but got {out.device} instead"):
            act()


def test_mixed_with_numbers():
    """A tensor of the CPU without dimensions is a number beside those of a GPU, but not the other way around."""
    x = numbers(3).cuda(LAST)
    for y in (x * ng.tensor(2.0), ng.tensor(2.0) * x, x * 2, x.mul(np.float32(2))):
        assert y.device.index == LAST and y.tolist() == [-2, 0, 2]
    assert (x[0] + ng.tensor(1)).device.index == LAST
    x.mul_(ng.tensor(3))
    assert x.tolist() == [-3, 0, 3]
    with pytest.raises(RuntimeError, match="same device"):
        numbers(3) * x[0]
    with pytest.raises(RuntimeError, match="same device"):
        ng.tensor(2.0).add_(x[0])


def test_no_host_copy_of_a_scalar(monkeypatch):
    """A tensor of a GPU without dimensions is read by the kernel."""
    x, scale = numbers(4).cuda(), ng.tensor(2.5).cuda()
    here = driver.load()
    monkeypatch.setattr(here, "MemcpyDtoHAsync", None, raising=False)
    y = x * scale, scale * scale, x.T + scale, scale - x
    monkeypatch.undo()
    assert [v.tolist() for v in y] == [(numbers(4) * 2.5).tolist(), 6.25, (numbers(4) + 2.5).tolist(), (2.5 - numbers(4)).tolist()]


def test_nothing_for_this_device():
    with pytest.raises(NotImplementedError, match="there are no kernels for cuda:0 yet"):
        family("numbagrad.kernels._cpu")(numbers(3).cuda()._data)
