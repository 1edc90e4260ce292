"""Indexing of tensors against PyTorch: any index expression, assignment, gradients of both, in place and not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.ops.index import embedding, one_hot

torch = pytest.importorskip("torch")


def leaf(*shape, seed=0):
    return ng.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def as_torch(item):
    """The same index expression for PyTorch."""
    if isinstance(item, tuple):
        return tuple(as_torch(i) for i in item)
    return torch.tensor(item.numpy()) if isinstance(item, ng.Tensor) else item


@st.composite
def expressions(draw, max_items=5):
    """A shape and an index expression of every kind of item that PyTorch takes."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    places = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    items, at = [], 0
    ellipsis = draw(st.booleans())
    for _ in range(draw(st.integers(1, max_items))):
        kind = draw(st.sampled_from(["int", "int0", "slice", "none", "ellipsis", "bool", "tensor", "list", "mask", "tensor"]))
        if kind == "none":
            items.append(None)
        elif kind == "bool":
            items.append(draw(st.booleans()))
        elif kind == "ellipsis" and ellipsis:
            items.append(...)
            ellipsis = False
            at += draw(st.integers(0, len(shape) - at))
        elif at == len(shape):
            continue
        else:
            n = shape[at]
            if kind in ("int", "int0"):
                i = draw(st.integers(-n, n - 1))
                items.append(i if kind == "int" else ng.tensor(i))
            elif kind == "slice":
                bound = st.none() | st.integers(-n - 1, n + 1)
                items.append(slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3]))))
            elif kind == "mask":
                covers = draw(st.integers(1, min(2, len(shape) - at)))
                size = int(np.prod(shape[at : at + covers]))
                values = draw(st.lists(st.booleans(), min_size=size, max_size=size))
                items.append(ng.tensor(np.array(values).reshape(shape[at : at + covers])))
                at += covers - 1
            elif kind == "list":
                items.append(draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=3)))
            else:
                count = int(np.prod(places))
                values = np.array(draw(st.lists(st.integers(-n, n - 1), min_size=count, max_size=count))).reshape(places)
                items.append(ng.tensor(values if draw(st.booleans()) else values.astype(np.int32)))
            at += 1
    if ... not in [i if not isinstance(i, ng.Tensor) else None for i in items] and len(items) == 1 and draw(st.booleans()):
        return shape, items[0]
    return shape, tuple(items)


@settings(max_examples=400, deadline=None)
@given(expressions())
def test_getitem_as_torch(case):
    shape, index = case
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    x, t = ng.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    try:
        expected = t[as_torch(index)]
    except (IndexError, RuntimeError) as error:
        with pytest.raises(type(error)):
            x[index]
        return
    found = x[index]
    assert tuple(found.shape) == tuple(expected.shape), index
    assert np.array_equal(found.detach().numpy(), expected.detach().numpy())
    weights = np.arange(1.0, expected.numel() + 1, dtype=np.float32).reshape(tuple(expected.shape))
    found.backward(ng.tensor(weights))
    expected.backward(torch.tensor(weights))
    assert np.array_equal(x.grad.numpy(), t.grad.numpy())


@settings(max_examples=250, deadline=None)
@given(expressions(), st.sampled_from(["number", "tensor", "row"]))
def test_setitem_as_torch(case, kind):
    shape, index = case
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    base, tbase = ng.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    x, t = base * 2, tbase * 2
    try:
        part = t[as_torch(index)]
    except (IndexError, RuntimeError) as error:
        with pytest.raises(type(error)):
            x[index] = 1.0
        return
    size = tuple(part.shape) if kind == "tensor" else tuple(part.shape[-1:])
    new = np.full(size, -3.0, np.float32)  # equal values: PyTorch leaves open which of several writes to a place wins
    if kind == "number":
        v = tv = -3.0
    else:
        v, tv = ng.tensor(new, requires_grad=True), torch.tensor(new, requires_grad=True)
    x[index] = v
    t[as_torch(index)] = tv
    assert np.array_equal(x.detach().numpy(), t.detach().numpy())
    g = np.arange(1.0, x.numel() + 1, dtype=np.float32).reshape(shape)
    x.backward(ng.tensor(g))
    t.backward(torch.tensor(g))
    assert np.array_equal(base.grad.numpy(), tbase.grad.numpy())
    if kind != "number":
        expected = np.zeros(size) if tv.grad is None else tv.grad.numpy()  # an index that chooses nothing cuts PyTorch's graph
        assert np.array_equal(np.zeros(size) if v.grad is None else v.grad.numpy(), expected)


@pytest.mark.parametrize("masks", ["x > 2", "M.tensor([True, False])", "slice(None), x[0] > 1", "[False, True], slice(1, 3)", "True"])
def test_masks_alone_are_filled_with_a_number_of_any_dtype(masks):
    def filled(M):
        x = M.arange(6).reshape(2, 3)
        index = eval(masks, {"M": M, "x": x})
        x[index] = M.tensor([-7.5])
        return x.tolist()

    assert filled(ng) == filled(torch)
    x = ng.zeros(2, dtype=ng.float64)
    assert x.index_put_((x == 0,), ng.tensor(2)).tolist() == x.index_put((x > 0,), ng.tensor(2)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="values to have the dtype of input, float64, but got float32"):
        x[[0]] = ng.ones(1)


def test_numbers_that_are_too_large_for_half_become_infinite():
    def written(M):
        x = M.zeros(6, dtype=M.half)
        x[0], x[[1]], x[M.arange(6) == 2], x[3], x[4] = 1e6, -1e9, 65521, 65510.0, -(10**9)
        return x.tolist()

    assert written(ng) == written(torch) == [math.inf, -math.inf, math.inf, 65504.0, -math.inf, 0.0]
    with pytest.raises(RuntimeError, match="without overflow"):
        ng.zeros(2)[0] = 1e60


def test_basic_indexing_makes_views():
    x = ng.zeros(4, 5)
    x[1:3, 2][0] = 7
    x[..., None][3, 4] = 8
    assert x[1, 2].item() == 7 and x[3, 4].item() == 8 and x[1].data_ptr() != x[[1]].data_ptr()
    assert x[ng.tensor(1)].data_ptr() == x[1].data_ptr() and type(x[1, 2]._data) is type(x._data)
    assert x[np.int64(1), np.bool_(True)].shape == (1, 5)


@pytest.mark.parametrize(
    "expression",
    [
        "x[3]", "x[-4]", "x[0, 4]", "x[0, 0, 0]", "x[::-1]", "x[::0]", "x[0.5]", "x[L([0.5])]", "x[L([True, False])]", "x[L([[True, False]])]",
        "x[L([3])]", "x[L([0, 1]), L([0, 1, 2])]", "x[L([0]), L([0]), L([0])]", "x[{}]", "s[0]", "x['a':]", "x[3, None]", "x[..., 4]",
        "x.index_select(0, L([3]))", "x.gather(0, L([[3]]))", "x.take(L([12]))", "x.masked_select(L([1]))", "x.masked_fill(L([True, False]), 1)",
        "x.scatter_(0, L([[3]]), 1.0)", "x[0].index_add_(0, L([4]), x[1, :1] + 0)", "x.masked_fill_(L([[[True]]] * 2), 1)", "x.index_fill(0, L([3]), 1.0)",
        "x.index_put_((L([3]),), x[0] + 0)",
    ],
)  # fmt: skip
def test_errors_as_torch_and_nothing_written(expression):
    values = np.arange(12.0).reshape(3, 4)
    theirs = {"x": torch.tensor(values), "s": torch.tensor(1.0), "L": torch.tensor}
    with pytest.raises(Exception) as error:
        eval(expression, theirs)
    ours = {"x": ng.tensor(values), "s": ng.tensor(1.0), "L": ng.tensor}
    with pytest.raises(type(error.value)):
        eval(expression, ours)
        ours["x"].tolist()  # on a GPU, errors in values are raised when somebody waits for them
    assert np.array_equal(ours["x"].numpy(), values)


def test_out_of_range_names_the_dimension():
    x = ng.zeros(5, 2)
    with pytest.raises(IndexError, match="index 10 is out of bounds for dimension 0 with size 5"):
        x[10]
    with pytest.raises(IndexError, match="index 10 is out of bounds for dimension 0 with size 5"):
        x[[0, 10]].tolist()
    with pytest.raises(IndexError, match="index 2 is out of bounds for dimension 1 with size 2"):
        x[:, 2] = 1
    with pytest.raises(TypeError, match="can't assign a str"):
        x[0] = "a"
    with pytest.raises(RuntimeError, match="shape"):
        x[0] = ng.zeros(3)
    with pytest.raises(RuntimeError, match=r"\[3\].*\[1, 2\]"):
        x[[0]] = ng.zeros(3)


def i2():
    return ng.tensor([[0, 2, 1], [2, 2, 0]])


@pytest.mark.parametrize(
    "function, shapes",
    [
        (lambda x: x[1:, ::2], [(3, 4)]),
        (lambda x: x[ng.tensor([2, 0, 2])], [(3, 4)]),
        (lambda x: x[:, ng.tensor([1, 1])], [(3, 4)]),
        (lambda x: x[ng.tensor([[True, False], [True, True]])], [(2, 2, 2)]),
        (lambda x: x[0, ..., [0, 1]], [(3, 2, 3)]),
        (lambda x: x.gather(0, i2()), [(3, 4)]),
        (lambda x: x.gather(1, i2()), [(3, 4)]),
        (lambda x: x.take(i2()), [(2, 3)]),
        (lambda x: ng.take_along_dim(x, i2()[:, :1], 1), [(2, 3)]),
        (lambda x: x.index_select(1, i2()[0]), [(2, 3)]),
        (lambda x: x.scatter(1, ng.tensor([[0], [3]]), 2.0), [(3, 4)]),
        (lambda x, s: x.scatter(1, ng.tensor([[0], [3]]), s), [(3, 4), (3, 2)]),
        (lambda x, s: x.scatter_add(1, i2(), s), [(3, 4), (2, 3)]),
        (lambda x, s: x.index_add(0, i2()[1], s, alpha=3), [(3, 2), (3, 2)]),
        (lambda x, s: x.index_copy(0, i2()[0], s), [(3, 2), (3, 2)]),
        (lambda x: x.index_fill(1, ng.tensor([0, -1]), 5.0), [(2, 3)]),
        (lambda x, v: x.index_put((i2(),), v, accumulate=True), [(3, 2), (2,)]),
        (lambda x, v: x.index_put((ng.tensor([2, 0]), ng.tensor([1, 1])), v), [(3, 2), (1,)]),
        (lambda x: x.masked_select(ng.tensor([[True], [False], [True]])), [(3, 2)]),
        (lambda x: x.masked_select(ng.tensor([[True], [False]])), [(3,)]),
        (lambda x, v: x.masked_fill(ng.tensor([True, False]), v), [(3, 2), ()]),
        (lambda x, s: x.masked_scatter(ng.tensor([True, False]), s), [(3, 2), (2, 3)]),
        (lambda w: embedding(ng.tensor([[1, 0], [1, 2]]), w), [(3, 2)]),
    ],
)
def test_first_and_second_derivatives(function, shapes):
    inputs = tuple(leaf(*shape, seed=i) for i, shape in enumerate(shapes))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, v: x.__setitem__(1, v[0, :4]),
        lambda x, v: x.__setitem__((slice(None), [0, 2]), v[:3, :2]),
        lambda x, v: x.__setitem__(x > 0, 3.0),
        lambda x, v: x[1:].__setitem__(0, 2.0),
        lambda x, v: x.scatter_(1, ng.tensor([[0], [3], [1]]), v),
        lambda x, v: x.scatter_add_(1, ng.tensor([[0, 0]]), v),
        lambda x, v: x.index_add_(0, ng.tensor([1, 1]), v[:2]),
        lambda x, v: x.index_copy_(0, ng.tensor([1]), v[:1]),
        lambda x, v: x.index_fill_(1, ng.tensor([1]), 2.0),
        lambda x, v: x.masked_fill_(ng.tensor([True, False, True, False]), v[0, 0]),
        lambda x, v: x.masked_scatter_(ng.tensor([True, False, True, False]), v),
        lambda x, v: x.index_put_((ng.tensor([0, 0]),), v[:2], accumulate=True),
        lambda x, v: x.put_(ng.tensor([0, -1]), v[0, :2]),
    ],
)
def test_in_place_gradients(change):
    def function(x, v):
        y = x * 1
        change(y, v)
        return y * y

    assert gradcheck(function, (leaf(3, 4), leaf(3, 4, seed=1)))
    x = leaf(3, 4)
    with pytest.raises(RuntimeError, match="in-place"):
        change(x, leaf(3, 4))


def test_in_place_without_recording_counts_a_version():
    x = ng.zeros(3, 4)
    before = x._version
    x[0] = 1
    x[[1]] = 2
    x.scatter_(0, ng.tensor([[2]]), 3.0)
    x.masked_fill_(x == 2, 4)
    assert x._version == before + 4 and x.sum().item() == 4 + 16 + 3
    w = leaf(3)
    index = ng.tensor([0, 1])
    y = w[index]
    index[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_masks_and_counts():
    x = ng.tensor([[0.0, 2.0], [3.0, 0.0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]] and ng.argwhere(x).tolist() == [[0, 1], [1, 0]]
    assert [v.tolist() for v in x.nonzero(as_tuple=True)] == [[0, 1], [1, 0]] and x[ng.where(x > 0)].tolist() == [2, 3]
    assert ng.tensor(1.0).nonzero(as_tuple=True)[0].tolist() == [0]
    assert one_hot(ng.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert ng.bincount(ng.tensor([1, 2]), ng.tensor([0.5, 1.5]), 5).tolist() == [0, 0.5, 1.5, 0, 0]
    out = ng.empty(1)
    assert ng.masked_select(x, x > 2, out=out) is out and out.tolist() == [3]


@pytest.mark.parametrize(
    "options", [{}, {"padding_idx": -1}, {"scale_grad_by_freq": True}, {"max_norm": 1.0}, {"max_norm": 1.0, "norm_type": 1.0}]
)
def test_embedding_as_torch(options):
    values = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    index = np.array([[1, 4, 1], [0, 1, 4]])
    w, t = ng.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    ours = embedding(ng.tensor(index), w, **options)
    theirs = torch.nn.functional.embedding(torch.tensor(index), t, **options)
    assert np.allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)
    assert np.allclose(w.detach().numpy(), t.detach().numpy(), rtol=1e-6)
    g = np.random.default_rng(1).standard_normal(ours.shape).astype(np.float32)
    ours.backward(ng.tensor(g))
    theirs.backward(torch.tensor(g))
    assert np.allclose(w.grad.numpy(), t.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"padding_idx": 1}, {"scale_grad_by_freq": True}])
def test_embedding_second_derivative(options):
    """What ``padding_idx`` and ``scale_grad_by_freq`` do to the gradient is no derivative of the forward pass, but it is linear in g."""
    assert gradgradcheck(lambda w: embedding(ng.tensor([[1, 0], [1, 2]]), w, **options), (leaf(3, 2),))


def test_embedding_bad_input():
    w = ng.zeros(3, 2)
    with pytest.raises(IndexError, match="out of range"):
        embedding(ng.tensor([3]), w).tolist()  # a GPU tells it to who waits for the values
    with pytest.raises(AssertionError, match="Padding_idx"):
        embedding(ng.tensor([0]), w, padding_idx=3)
    with pytest.raises(RuntimeError, match="int32 or int64"):
        embedding(ng.tensor([0.0]), w)
