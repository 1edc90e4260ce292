"""Indexing on a GPU against the same on the CPU: values, gradients, order of writing, errors after the fact."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad.kernels._cuda import driver
from tests.cuda.tensors import ON_A_GPU, numbers, same

pytestmark = ON_A_GPU

I = ng.tensor([2, 0, -1, 1, 2])
J = ng.tensor([[0, 1, 0], [2, 2, 2]])


def there(t):
    return t.cuda() if isinstance(t, ng.Tensor) else t


def compare(function, *tensors: ng.Tensor) -> None:
    """``function`` of tensors on either device."""
    expected, found = function(*tensors), function(*map(there, tensors))
    assert found.is_cuda
    same(found, expected)


def compare_gradients(function, *tensors: ng.Tensor) -> None:
    """Results, gradients, and gradients of a function of these."""
    results = []
    for move in (lambda t: t, there):
        leaves = [move(t.detach()).requires_grad_(t.is_floating_point()) for t in tensors]
        x = [t for t in leaves if t.requires_grad]
        out = function(*leaves)
        first = ng.autograd.grad((out * out).sum(), x, create_graph=True)
        second = ng.autograd.grad(sum((g * g).sum() for g in first), x)
        results.append([t.detach() for t in (out, *first, *second)])
    for expected, found in zip(*results):
        assert found.is_cuda and found.shape == expected.shape
        # Sums of a few float64 numbers, in an order that differs.
        np.testing.assert_allclose(found.cpu().numpy(), expected.numpy(), rtol=1e-14)


# ---- reading ----------------------------------------------------------------------------------------------------------------------------------------

READS = {
    "rows": lambda x, i: x[i],
    "vectors of rows": lambda x, i: x.reshape(3, 2, 4).permute(0, 1, 2)[i[:2]],
    "int32": lambda x, i: x[i.int()],
    "columns": lambda x, i: x[:, i],
    "within": lambda x, i: x.reshape(2, 3, 4)[:, i],
    "two": lambda x, i: x[i, i],
    "apart": lambda x, i: x.reshape(3, 2, 4)[i, :, i],
    "a transposed": lambda x, i: x.T[i],
    "a permuted": lambda x, i: x.reshape(2, 3, 4).permute(2, 0, 1)[:, :, i],
    "strided rows": lambda x, i: x[:, ::2][i],
    "begins within a vector": lambda x, i: x.reshape(-1)[1:21].reshape(5, 4)[i],
    "mask": lambda x, i: x[x > 0],
    "mask of rows": lambda x, i: x[(x > 2)[:, 0]],
    "mask and slice": lambda x, i: x[:, (x > 0)[-1]],
    "mask of a transposed": lambda x, i: x.T[(x > 0).T],
    "mask and index": lambda x, i: x.reshape(2, 3, 4)[i[1:2], (x > 0)[:3, 0]],
    "nothing": lambda x, i: x[i[:0]],
    "one bool": lambda x, i: x[True],
    "take": lambda x, i: x.take(i),
    "index_select": lambda x, i: x.index_select(1, i.abs()),
    "embedding": lambda x, i: F.embedding(i.abs(), x),
    "masked_select": lambda x, i: x.masked_select(x[:1] > 0),
    "take_along_dim": lambda x, i: x.take_along_dim(i.abs()[None], 1),
}


@pytest.mark.parametrize("name", READS)
def test_reads(name):
    compare(READS[name], numbers(6, 4), I)


DTYPES = (ng.bool, ng.bfloat16, ng.complex128)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_size_of_element(dtype):
    """Elements are moved as they are, rows of whole vectors and others."""
    for width in (16, 3):
        x = numbers(4, width).to(dtype)
        compare(lambda x, i: x[i], x, I)
        compare(lambda x, i: x[:, i], x, I)
        compare(lambda x, i: x.gather(1, i), x, J)
        compare(lambda x, m: x.masked_fill(m, True), x, numbers(4, width) > 0)
        compare(lambda x, i, v: x.index_put((i,), v), x, I, x[I] * x[I])


def test_nan_is_moved_as_it_is():
    x = ng.tensor([1.0, np.nan, np.inf, -0.0])
    compare(lambda x, i: x[i], x, ng.tensor([3, 1, 2, 1]))
    compare(lambda x, m: x.masked_fill(m, -np.inf), x, x != x)


def test_more_kinds_of_dimensions_than_a_kernel_walks():
    x = numbers(2, 2, 2, 2, 2, 2, 2)[:, ::2].permute(6, 0, 5, 1, 4, 2, 3)[..., None].expand(-1, -1, -1, -1, -1, -1, -1, 2)
    i = ng.tensor([1, 0])
    compare(lambda x, i: x[:, :, i], x, i)
    y = numbers(2, 3, 2, 3, 2, 3).permute(5, 1, 3, 0, 4, 2)
    compare(lambda y, i: y.gather(2, i), y, ng.tensor(np.arange(32).reshape(2, 2, 2, 2, 2, 1) % 3))
    compare(lambda y, i: y.clone().scatter_(2, i, 5.0), y, ng.tensor(np.arange(32).reshape(2, 2, 2, 2, 2, 1) % 3))
    compare(lambda y, v: _put(y, v), y, numbers(3, 3, 3, 2, 2, 2))


def _put(y, v):
    y = y.clone()
    y[:, :, ng.tensor([0, 2, 0]).to(y.device)] = v
    return y


@pytest.mark.parametrize("n", [1, 63, 64, 1025, 2300])
def test_masks_of_every_length(n):
    x = ng.tensor(np.random.default_rng(n).integers(0, 3, n + 3)).float()
    compare(lambda x: ng.nonzero(x[:n]), x)
    compare(lambda x: ng.nonzero(x[3:] == 1), x)  # which does not begin where a vector may


def test_nonzero():
    for x in (numbers(2, 3, 4), numbers(3), numbers(2, 2, 2, 1, 2), ng.zeros(0, 2), ng.zeros(2, 2), ng.tensor(3.0), ng.tensor(0)):
        compare(ng.nonzero, x)
        for d in range(x.ndim):
            compare(lambda x: x.nonzero(as_tuple=True)[d], x)


# ---- writing: the last one stays, and sums come in order ----------------------------------------------------------------------------------------------

WRITES = {
    "a row several times": lambda x, i, v: x.index_put((i,), v),
    "columns": lambda x, i, v: x.T.index_put((i[:4].abs(),), v.reshape(-1)[:12].reshape(2, 6)[:1]),
    "added": lambda x, i, v: x.index_put((i,), v, True),
    "one value": lambda x, i, v: x.index_put((i,), v[0, 0]),
    "one value added": lambda x, i, v: x.index_put((i,), v[0, 0], True),
    "elements": lambda x, i, v: x.index_put((i, i), v[:, 0]),
    "elements added": lambda x, i, v: x.index_put((i, i), v[:, 0], True),
    "scatter": lambda x, i, v: x.scatter(1, i.abs()[None].expand(2, -1)[:, :4], v[:2]),
    "scatter along 0": lambda x, i, v: x.scatter(0, i.abs()[:, None], v),
    "scatter a number": lambda x, i, v: x.scatter(1, i.abs()[:, None], 7.0),
    "scatter_add": lambda x, i, v: x.scatter_add(0, i.abs()[:, None].expand(5, 4), v),
    "scatter_reduce": lambda x, i, v: x.scatter_reduce(0, i.abs()[:, None].expand(5, 4), v, "amax", include_self=False),
    "scatter_add to a transposed": lambda x, i, v: x.T.scatter_add(1, i.abs()[None].expand(4, 5), v.T),
    "index_add": lambda x, i, v: x.index_add(0, i.abs(), v, alpha=3),
    "index_copy": lambda x, i, v: x.index_copy(0, i.abs(), v),
    "index_fill": lambda x, i, v: x.index_fill(1, i.abs(), 2),
    "masked_scatter": lambda x, i, v: x.masked_scatter(x > 2, v),
    "put_": lambda x, i, v: x.clone().put_(i, v[:, 0]),
    "put_ added": lambda x, i, v: x.clone().put_(i, v[:, 0], True),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes(name):
    compare(WRITES[name], numbers(6, 4), I, numbers(5, 4) * 10)


@pytest.mark.parametrize("dtype", [ng.int8, ng.bool, ng.bfloat16, ng.complex64], ids=str)
def test_sums_of_every_dtype(dtype):
    compare(lambda x, i, v: x.index_put((i,), v, True), numbers(4, 3).to(dtype), I, (numbers(5, 3) * 50).to(dtype))


def test_long_runs_are_summed_by_levels():
    """Sums of whole numbers, which are exact in whatever order: a few runs of every length, of which some go over many pieces."""
    r = np.random.default_rng(0)
    lengths = [1, 40, 2, 3, 5, 90, 1]
    index = ng.tensor(r.permutation(np.repeat(np.arange(7), lengths)))
    values = ng.tensor(r.integers(-9, 9, (index.numel(), 3))).float()
    compare(lambda i, v: ng.zeros(8, 3, device=v.device).index_add(0, i, v), index, values)


def test_the_same_sums_every_time():
    r = np.random.default_rng(0)
    index, values = ng.tensor(r.integers(0, 3, 70)).cuda(), ng.tensor(r.standard_normal(70)).float().cuda()
    first, second = (ng.zeros(3, device="cuda").index_add(0, index, values).cpu().numpy() for _ in range(2))
    assert first.tobytes() == second.tobytes()
    expected = np.zeros(3)
    np.add.at(expected, index.cpu().numpy(), values.cpu().numpy().astype(np.float64))
    np.testing.assert_allclose(first, expected, rtol=0, atol=70 * 2**-24 * 4)  # n roundings of partial sums below 16


def test_assignments():
    def assigned(x, i):
        x = x.clone()
        x[i] = 5
        x[0, i[:1]] = ng.tensor([2.0]).to(x.device)
        x[x < -3] = 0
        x[:, i[1:2]] += 1
        x[1:3][i[:2] * 0] = x[0]
        x.masked_fill_(x == 5, 4)
        x[::2].masked_fill_(x[::2] > 8, 1)
        return x

    compare(assigned, numbers(6, 4), I)


def test_indices_of_the_host():
    """As in PyTorch, an index or a mask may lie on the host; so may a single value that is assigned."""
    x, y = numbers(6, 4), numbers(6, 4).cuda()
    same(y[I], x[I])
    same(y[x > 0], x[x > 0])
    same(y[[0, 2]], x[[0, 2]])
    for t in (x, y):
        t[I] = ng.tensor(3.0)
        t[x[:, 0] < 0] = 1
    same(y, x)
    with pytest.raises(RuntimeError, match="found at least two devices"):
        x[I.cuda()]
    with pytest.raises(RuntimeError, match="two devices"):
        y.gather(0, J[:, :1])


# ---- gradients ------------------------------------------------------------------------------------------------------------------------------------

GRADIENTS = {
    "index": lambda x, i, v: x[i] * v,
    "index_put": lambda x, i, v: x.index_put((i[:2],), v[:2]),
    "accumulate": lambda x, i, v: x.index_put((i,), v, True),
    "gather": lambda x, i, v: x.gather(0, i.abs()[:, None].expand(5, 3)) * v,
    "scatter_add": lambda x, i, v: x.scatter_add(0, i.abs()[:, None].expand(5, 3), v),
    "index_add": lambda x, i, v: x.index_add(0, i.abs(), v, alpha=2.0),
    "embedding": lambda x, i, v: F.embedding(i.abs(), x, padding_idx=1, scale_grad_by_freq=True) * v,
    "masked_fill": lambda x, i, v: x.masked_fill(x > 0, 2.0) * v[:4],
    "masked_select": lambda x, i, v: x.masked_select(x > 0) * v.reshape(-1)[:5],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    compare_gradients(GRADIENTS[name], numbers(4, 3).double(), I, numbers(5, 3).double() + 0.5)


# ---- counts -----------------------------------------------------------------------------------------------------------------------------------------


def test_counts():
    x = ng.tensor(np.random.default_rng(0).integers(0, 9, 70))
    compare(ng.bincount, x)
    compare(lambda x: ng.bincount(x, minlength=12), x)
    compare(lambda x, w: ng.bincount(x, w), x, ng.ones(70))
    compare(ng.bincount, x[:0])
    compare(F.one_hot, x[:5])
    compare(lambda x: F.one_hot(x.reshape(7, 10), 9), x)
    for wrong in (-1, 9):
        with pytest.raises(RuntimeError, match="class values must be"):
            F.one_hot(ng.tensor([0, wrong]).cuda(), 9)


# ---- errors -----------------------------------------------------------------------------------------------------------------------------------------

ERRORS = {
    "x[[0, 7]]": IndexError,
    "x[:, L([4])]": IndexError,
    "x[L([0]), L([-5])]": IndexError,
    "x.index_select(0, L([-1]))": IndexError,
    "x.gather(1, L([[0, 9]]))": RuntimeError,
    "x.scatter_(1, L([[0, 9]]), 1.0)": RuntimeError,
    "x.scatter_add_(1, L([[9]]), x[:1, :1] + 0)": RuntimeError,
    "x.index_put_((L([8]),), x[0] + 0)": IndexError,
    "x.index_add_(0, L([6]), x[:1] + 0)": IndexError,
    "F.embedding(L([6]), x)": IndexError,
}


@pytest.mark.parametrize("expression", ERRORS)
def test_out_of_range(expression):
    """The text is the CPU's, after the fact, and what is in range has been read or written."""
    messages = []
    for device in ("cpu", "cuda"):
        x = numbers(6, 4).to(device)
        with pytest.raises(ERRORS[expression]) as error:
            eval(expression, {"x": x, "F": F, "L": lambda values: ng.tensor(values).to(device)})
            assert device == "cuda"
            ng.cuda.synchronize()
        messages.append(str(error.value).split("\n")[0])
    assert messages[0] == messages[1]
    changed = (x.cpu() != numbers(6, 4)).sum().item()
    assert changed == (1 if "scatter_(" in expression else 0)
    ng.cuda.synchronize()


def test_out_of_range_is_read_as_zero():
    x = numbers(3, 2).cuda() + 10
    found = x[ng.tensor([1, 5]).cuda()]
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        found.cpu()
    assert found.tolist() == [x[1].tolist(), [0.0, 0.0]]


@pytest.mark.skipif(driver.SIMULATED, reason="too much for the simulator")
def test_many():
    r = np.random.default_rng(0)
    x, i = ng.tensor(r.standard_normal((5000, 65))).float(), ng.tensor(r.integers(0, 5000, 200_000))
    compare(lambda x, i: x[i], x, i)
    compare(lambda x, i: x.T[:, i], x, i)
    compare(lambda i: ng.bincount(i), i)
    compare(lambda i: ng.nonzero(i % 3 == 0), i)
    compare(lambda x, i: x.index_put((i,), x[:1].expand(200_000, 65) + i[:, None]), x, i)
