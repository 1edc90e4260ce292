"""Views by strides, parts replaced, splits, windows, repeats, memory formats and tensors that change their shape, held against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numbagrad as ng

BOTH = (ng, torch)


def same(ours, theirs):
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)


def _written_through_strides(L):
    """Writes through overlapping geometries, of a base that is not row-major and whose gradient comes expanded."""
    x = L.arange(12.0, dtype=L.float64).reshape(3, 4).requires_grad_()
    y = (x * 2).T.clone()  # lies in memory as x
    y.as_strided((2, 2), (1, 3), 2).mul_(3)
    y[1:].as_strided((2,), (5,), 0).add_(x[0, :2])
    (y * L.arange(12.0, dtype=L.float64).reshape(4, 3)).sum().backward()
    z = (x * 1).expand(2, 3, 4)
    z.as_strided((2, 3, 4), (0, 4, 1)).sum().backward()
    return y, x.grad


def test_writes_through_strides():
    for ours, theirs in zip(*map(_written_through_strides, BOTH)):
        same(ours, theirs)


def test_strides_share_memory():
    x = ng.arange(6.0)
    part = x[2:]
    seen = part.as_strided((2,), (2,), 1)  # the offset counts in the storage, not in the part
    assert seen.tolist() == [1, 3] and seen.storage_offset() == 1
    seen.fill_(9)
    assert x.tolist() == [0, 9, 2, 9, 4, 5]
    assert part.as_strided((0, 2), (1, 1)).shape == (0, 2)


@pytest.mark.parametrize("args", [((3,), (-1,)), ((7,), (1,)), ((2, 2), (1,)), ((2,), (5,), 1), ((2,), (1,), -1), ((-1,), (1,))])
def test_strides_refused(args):
    for L in BOTH:
        with pytest.raises(RuntimeError):
            L.arange(6.0).as_strided(*args)


def _in_place_views(L):
    x = L.arange(6.0, dtype=L.float64).requires_grad_()
    y = (x * 1).reshape(2, 3)
    part = y[0]
    y.t_().unsqueeze_(0)
    y.mul_(2)
    y.squeeze_(0).transpose_(0, 1)
    (y * L.arange(6.0, dtype=L.float64).reshape(2, 3)).sum().backward()
    return y, x.grad, part


def test_in_place_views():
    for ours, theirs in zip(*map(_in_place_views, BOTH)):
        same(ours, theirs)
    for L in BOTH:
        with pytest.raises(RuntimeError, match="leaf"):
            L.ones(2, 2, requires_grad=True).t_()


def test_resize():
    for L in BOTH:
        x = L.arange(6.0)
        x.resize_(2, 2)
        assert x.tolist() == [[0, 1], [2, 3]] and x.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
        assert tuple(x.resize_(3, 4).shape) == (3, 4) and x[0].tolist() == [0, 1, 2, 3]
        with pytest.raises(RuntimeError):
            L.ones(2, requires_grad=True).resize_(3)
        assert L.add(L.ones(2), 1, out=L.empty(0)).tolist() == [2, 2]


def test_memory_formats():
    for L in BOTH:
        x = L.arange(48.0).reshape(2, 2, 3, 4)
        y = x.contiguous(memory_format=L.channels_last)
        assert y.stride() == (24, 1, 8, 2) and y.is_contiguous(memory_format=L.channels_last) and not y.is_contiguous()
        assert bool((x == y).all()) and y.contiguous(memory_format=L.channels_last) is y
        assert x.to(L.float64, memory_format=L.channels_last).stride() == y.clone().stride() == L.zeros_like(y).stride() == y.stride()
        assert L.empty(2, 2, 3, 4, memory_format=L.channels_last).stride() == y.stride()
        with pytest.raises(RuntimeError):
            x[0].contiguous(memory_format=L.channels_last)
    assert repr(ng.channels_last) == "numbagrad.channels_last" and ng.ones(1).layout is ng.strided


def test_unsafe_pieces_are_written():
    with pytest.raises(RuntimeError, match="multiple views"):
        ng.ones(4, requires_grad=True).mul(1).split(2)[0].add_(1)
    x = ng.ones(4, requires_grad=True)
    a, b = x.mul(1).unsafe_split(2)
    (a.mul_(3) + b).sum().backward()
    assert x.grad.tolist() == [3, 3, 1, 1]


@pytest.mark.parametrize("name", ["amax", "amin", "prod", "sum", "mean"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool"])
def test_scatter_reduce(name, dtype):
    rng = np.random.default_rng(0)
    x, src, index = rng.integers(0, 4, (3, 4)), rng.integers(0, 4, (6, 7)), rng.integers(0, 3, (5, 4))
    for include in (True, False):
        found = [
            L.tensor(x)
            .to(getattr(L, dtype))
            .T.scatter_reduce(1, L.tensor(index).T, L.tensor(src).to(getattr(L, dtype)).T, name, include_self=include)
            for L in BOTH
            if dtype != "bool" or name != "mean"
        ]
        if found:
            same(*found)


def test_scatter_reduce_keeps_nan():
    values = [float("nan"), 1.0, -float("inf"), 2.0]
    for name in ("amax", "amin", "prod", "sum"):
        found = [L.zeros(2).scatter_reduce(0, L.tensor([0, 0, 1, 1]), L.tensor(values), name) for L in BOTH]
        np.testing.assert_array_equal(*[f.numpy() for f in found])
    with pytest.raises(RuntimeError, match="complex"):
        ng.zeros(2, dtype=ng.complex64).scatter_reduce(0, ng.tensor([0]), ng.ones(1, dtype=ng.complex64), "amax")
    with pytest.raises(RuntimeError, match="reduce"):
        ng.zeros(2).scatter_reduce(0, ng.tensor([0]), ng.ones(1), "median")


def test_unique_slices():
    rows = [[1, 2], [0, 5], [1, 2], [1, 0], [0, 5], [0, 5]]
    for dim in (0, 1):
        found = [L.unique(L.tensor(rows), dim=dim, return_inverse=True, return_counts=True) for L in BOTH]
        for ours, theirs in zip(*found):
            same(ours, theirs)
    with pytest.raises(RuntimeError):
        ng.unique(ng.zeros(2, 0), dim=0)


def test_fold_is_the_adjoint_of_unfold():
    x, kernel = ng.randn(2, 3, 7, 6), {"kernel_size": (3, 2), "dilation": (1, 2), "padding": (2, 1), "stride": (2, 1)}
    columns = ng.nn.functional.unfold(x, **kernel)
    g = ng.randn(*columns.shape)
    back = ng.nn.functional.fold(g, (7, 6), **kernel)
    theirs = torch.nn.functional.fold(torch.tensor(g.numpy()), (7, 6), **kernel)
    np.testing.assert_allclose(back.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-5)
    assert (columns * g).sum().item() == pytest.approx((x * back).sum().item(), rel=1e-4)
    assert ng.nn.functional.fold(g[0], (7, 6), **kernel).shape == (3, 7, 6)
    for bad in (
        lambda F, L: F.fold(L.ones(1, 5, 4), 3, 2),
        lambda F, L: F.fold(L.ones(1, 4, 5), 3, 2),
        lambda F, L: F.unfold(L.ones(1, 1, 2, 2), 3),
    ):
        for L in BOTH:
            with pytest.raises(RuntimeError):
                bad(L.nn.functional, L)


def test_coordinates():
    for row, col, offset in ((3, 3, 0), (2, 4, 1), (4, 2, -2), (0, 3, 0)):
        for name in ("tril_indices", "triu_indices"):
            same(*[getattr(L, name)(row, col, offset) for L in BOTH])
    for ours, theirs in zip(*[L.unravel_index(L.tensor([[7, 0], [11, 3]]), (3, 4)) for L in BOTH]):
        same(ours, theirs)
    for increasing in (False, True):
        same(*[L.vander(L.tensor([1, 2, 3]), 4, increasing) for L in BOTH])
    for L in BOTH:
        with pytest.raises(RuntimeError):
            L.tril_indices(-1, 2)


def test_diagonal_filled():
    for shape in ((3, 3), (7, 3), (2, 5), (3, 3, 3)):
        for wrap in (False, True):
            same(*[L.zeros(shape).fill_diagonal_(2, wrap=wrap) for L in BOTH])
    for L in BOTH:
        with pytest.raises(RuntimeError):
            L.zeros(3).fill_diagonal_(1)
