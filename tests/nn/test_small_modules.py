"""Modules and helpers that say the same as others in other words: SyncBatchNorm, DataParallel, CrossMapLRN2d, the containers' operators, parameters as one
vector, memory formats of weights."""

from __future__ import annotations

from typing import Any

import pytest

import numbagrad as ng
from numbagrad import nn


def test_sync_batch_norm():
    ng.manual_seed(0)
    plain, sync = nn.BatchNorm2d(3, momentum=None), nn.SyncBatchNorm(3, momentum=None)
    x = ng.randn(4, 3, 2, 2)
    for _ in range(2):
        assert ng.equal(plain(x), sync(x))
    assert list(sync.state_dict()) == list(plain.state_dict()) and ng.equal(sync.running_var, plain.running_var)
    assert ng.equal(plain.eval()(x), sync.eval()(x)) and sync(ng.randn(4, 3)).shape == (4, 3)
    with pytest.raises(ValueError, match="expected at least 2D input"):
        sync(ng.ones(3))
    with pytest.raises(ValueError, match="input channels should be non-zero"):
        sync(ng.ones(2, 0))
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.ReLU()), nn.InstanceNorm2d(3)).eval()
    inner = net[1][0]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert (
        converted is net and type(net[1][0]) is nn.SyncBatchNorm and net[1][0].running_mean is inner.running_mean and not net[1][0].training
    )
    assert type(net[2]) is nn.InstanceNorm2d and net[1][0].weight is None
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(2), "group")) is nn.SyncBatchNorm


def test_data_parallel():
    inner = nn.Linear(2, 3)
    parallel = nn.DataParallel(inner)
    assert parallel.module is inner and list(parallel.state_dict()) == ["module.weight", "module.bias"]
    x = ng.randn(4, 2, device=inner.weight.device)
    assert ng.equal(parallel(x), inner(x)) and nn.parallel.DataParallel is nn.DataParallel

    class Both(nn.Module):
        def forward(self, a, *, b):
            return a + b["x"][0]

    assert nn.DataParallel(Both())(ng.ones(1), b={"x": (ng.ones(1),)}).item() == 2
    with pytest.raises(RuntimeError, match=r"device_ids=\[0, 1\]"):
        nn.DataParallel(inner, [0, 1])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_cross_map_lrn(size):
    m = nn.CrossMapLRN2d(size, alpha=0.5, beta=0.6, k=2)
    x = ng.randn(2, 6, 2, 2, dtype=ng.float64, requires_grad=True)
    reach = (size - 1) // 2
    sums = [(x[:, max(c - reach, 0) : c + reach + 1] ** 2).sum(1) for c in range(6)]
    assert ng.allclose(m(x), x * (2 + 0.5 / size * ng.stack(sums, 1)) ** -0.6)
    assert ng.autograd.gradcheck(m, (x,)) and str(m) == f"CrossMapLRN2d({size}, alpha=0.5, beta=0.6, k=2)"
    with pytest.raises(ValueError, match="Expected input to be 4D, got 3D"):
        m(x[0])


# ---- containers --------------------------------------------------------------------------------------------------------------------


def _containers(library: Any) -> list[Any]:
    nn_ = library.nn
    told: list[Any] = []

    def tell(value: Any) -> None:
        told.append(str(value).replace("torch.FloatTensor", "numbagrad.FloatTensor").replace("torch.", "numbagrad."))

    def error(call: Any) -> None:
        with pytest.raises(Exception) as caught:
            call()
        text = str(caught.value).split(". Open")[0].rstrip(".").replace("isint", "is int")
        told.append((type(caught.value).__name__, text.split("<class")[0]))

    a, b, c = nn_.ReLU(), nn_.Tanh(), nn_.Sigmoid()
    row = nn_.Sequential(a, b)
    tell(row + nn_.Sequential(c))
    tell(row * 2)
    tell(2 * row)
    row += nn_.Sequential(c)
    tell(row)
    row *= 2
    tell(row.insert(-1, a))
    told.append("0" in dir(row))
    listed = nn_.ModuleList([a]) + [b]
    listed += (c,)
    tell(listed)
    listed.insert(9, a)
    tell(listed)
    error(lambda: row + [a])
    error(lambda: row * 1.5)
    error(lambda: row * 0)
    error(lambda: row.insert(9, a))
    error(lambda: row.insert(0, 3))
    error(lambda: nn_.ModuleList(3))
    error(lambda: nn_.ModuleDict(3))
    error(lambda: nn_.ModuleDict([3]))
    error(lambda: nn_.ModuleDict([("a", a, b)]))
    error(lambda: nn_.ModuleDict({"a": a}).pop("b"))
    p = [nn_.Parameter(library.full((1,), float(i))) for i in range(3)]
    plist = nn_.ParameterList(p[:1])
    plist += [p[1], library.ones(2)]
    plist.extend((3, "x"))
    tell(plist)
    told.append(("0" in dir(plist), plist[-4] is p[1], len(plist[1:3]), type(plist[2]).__name__))
    error(lambda: nn_.ParameterList(library.ones(2)))
    error(lambda: plist(3))
    error(lambda: plist[5])
    table = nn_.ParameterDict({"b": p[0], "a": p[1]})
    told.append((list(table), list(reversed(table)), table.setdefault("z", library.ones(1)) is table["z"], table.popitem()[0], list(table)))
    other = table | nn_.ParameterDict([("c", p[2]), ("b", p[2])])
    told.append((list(other), other["b"] is p[2], table["b"] is p[0], type({"q": 1} | table).__name__, list({"q": 1} | table)))
    table |= other
    told.append((list(table), table["b"] is p[2], list(table.copy()), list(table.fromkeys(["u", "v"], 3).items())))
    error(lambda: table["absent"])
    error(lambda: table[3])
    error(lambda: table({}))
    error(lambda: nn_.ParameterDict([(1, 2, 3)]))
    error(lambda: nn_.ParameterDict(3))
    error(lambda: nn_.ParameterDict().popitem())
    return told


def test_containers():
    told = _containers(ng)
    assert told[-1] == ("KeyError", "'popitem(): dictionary is empty'")
    torch = pytest.importorskip("torch")
    for ours, theirs in zip(told, _containers(torch)):
        assert ours == theirs


# ---- helpers -----------------------------------------------------------------------------------------------------------------------


def test_parameters_as_one_vector():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,) and ng.equal(vector[6:], net.bias)
    values = ng.arange(9.0)
    nn.utils.vector_to_parameters(values, net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8] and net.weight.is_leaf
    values[8] = 1.0
    assert net.bias[2] == 1  # their memory is the vector's, as in PyTorch
    net(ng.ones(1, 2)).sum().backward()
    assert net.bias.grad.tolist() == [1, 1, 1]
    with pytest.raises(TypeError, match="expected numbagrad"):
        nn.utils.vector_to_parameters([1.0], net.parameters())


def test_older_name_of_clipping():
    p = nn.Parameter(ng.ones(4))
    p.grad = ng.ones(4)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm(p, 1.0).item() == 2.0
    assert ng.allclose(p.grad, ng.full((4,), 0.5))


def test_memory_formats_of_weights():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3), nn.ConvTranspose2d(2, 3, 3), nn.Linear(2, 2))
    before = [p.clone() for p in net.parameters()]
    assert nn.utils.convert_conv2d_weight_memory_format(net, ng.channels_last) is net
    assert net[0].weight.stride() == (18, 1, 6, 2) and net[2].weight.is_contiguous(memory_format=ng.channels_last)
    assert net[1].weight.is_contiguous() and net[3].weight.is_contiguous()
    nn.utils.convert_conv3d_weight_memory_format(net, ng.channels_last_3d)
    assert net[1].weight.is_contiguous(memory_format=ng.channels_last_3d)
    assert all(ng.equal(p, q) for p, q in zip(net.parameters(), before))
