"""Views: shapes, the graph they record, and errors, as PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng

torch = pytest.importorskip("torch")


def outcome(call):
    """The shape of a result and its strides where they matter, or the kind of its error."""
    try:
        result = call()
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        return type(error)
    return tuple(result.shape), [s for n, s in zip(result.shape, result.stride()) if n > 1] if result.numel() else None


SHAPES = [(), (0,), (6,), (2, 3), (2, 0, 3), (1, 6, 1), (2, 3, 4)]
CALLS = {
    "view_flat": lambda x: x.view(-1),
    "view_two": lambda x: x.view(2, -1),
    "view_list": lambda x: x.view([6]),
    "view_two_free": lambda x: x.view(-1, -1),
    "view_minus_two": lambda x: x.view(-2, -3),
    "view_zero_free": lambda x: x.view(0, -1),
    "view_nothing": lambda x: x.view(()),
    "view_wrong": lambda x: x.view(7),
    "reshape": lambda x: x.reshape(3, -1),
    "flatten": lambda x: x.flatten(),
    "flatten_last": lambda x: x.flatten(1),
    "flatten_first": lambda x: x.flatten(0, 1),
    "ravel": lambda x: x.ravel(),
    "squeeze": lambda x: x.squeeze(),
    "squeeze_first": lambda x: x.squeeze(0),
    "squeeze_last": lambda x: x.squeeze(-1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze_last": lambda x: x.unsqueeze(-1),
    "transpose": lambda x: x.transpose(0, -1),
    "permute": lambda x: x.permute(1, 0),
    "permute_twice": lambda x: x.permute(1, 1),
    "permute_three": lambda x: x.permute((2, 0, 1)),
    "mT": lambda x: x[None].mT,
    "expand": lambda x: x.expand(2, 2, 3),
    "expand_keep": lambda x: x.expand(4, -1, -1),
    "expand_column": lambda x: x[..., :1].expand(2, 3),
    "narrow": lambda x: x.narrow(0, 1, 1),
    "select": lambda x: x.select(-1, 1),
    "first": lambda x: x[0],
    "rows": lambda x: x[1:],
    "column": lambda x: x[:, 1],
    "new": lambda x: x[None],
    "ellipsis": lambda x: x[..., 1],
    "split": lambda x: x.split(2)[-1],
    "split_sizes": lambda x: x.split([1, 1])[-1],
    "chunk": lambda x: x.chunk(2, -1)[0],
    "unbind": lambda x: x.unbind()[0],
    "diagonal": lambda x: x.diagonal(),
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)) or "scalar")
@pytest.mark.parametrize("name", CALLS)
def test_shapes_and_strides_as_torch(name, shape):
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    for order in (lambda x: x, lambda x: x.transpose(0, -1) if x.ndim > 1 else x):
        x, t = order(ng.from_numpy(values.copy())), order(torch.from_numpy(values.copy()))
        expected = outcome(lambda: CALLS[name](t))
        assert outcome(lambda: CALLS[name](x)) == expected
        if isinstance(expected, tuple):
            assert np.array_equal(CALLS[name](x).numpy(), CALLS[name](t).numpy())


@pytest.mark.parametrize("name", CALLS)
def test_gradients_as_torch(name):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    x, t = ng.from_numpy(values.copy()).requires_grad_(), torch.from_numpy(values.copy()).requires_grad_()
    try:
        y = CALLS[name](t * 2)
    except (RuntimeError, IndexError):
        return
    (y * y).sum().backward()
    z = CALLS[name](x * 2)
    (z * z).sum().backward()
    assert np.array_equal(x.grad.numpy(), t.grad.numpy())


def test_a_view_records_its_source_alone():
    x = ng.ones(3, 4, requires_grad=True)
    for made, name in (
        (x.view(12), "ViewBackward0"),
        (x.T, "PermuteBackward0"),
        (x[1], "SliceBackward0"),
        (x.expand(2, 3, 4), "ExpandBackward0"),
    ):
        assert made.grad_fn.name() == name and len(made.grad_fn.next_functions) == 1
    chained = (x * 1).view(12)[2:4]
    chained.sum().backward()
    assert x.grad.sum().item() == 2
    with ng.no_grad():
        assert x.view(12).grad_fn is None and not x.view(12).requires_grad


def test_a_change_of_the_base_reaches_its_views():
    x = ng.ones(4, requires_grad=True)
    base = x * 2
    part = base.view(2, 2)[1]
    base.mul_(3)
    part.sum().backward()
    assert x.grad.tolist() == [0, 0, 6, 6]
    x.grad = None
    base = x * 2
    part = base.view(2, 2)[1]
    part.mul_(5)
    base.sum().backward()
    assert x.grad.tolist() == [2, 2, 10, 10]


def test_diagonals_can_be_written():
    x = ng.zeros(3, 4)
    x.diagonal().fill_(2.0)
    assert x.sum().item() == 6 and x[2, 2].item() == 2


PARTS = {
    "split": lambda m, x: x.split(2),
    "split last": lambda m, x: x.split(3, -1),
    "split sizes": lambda m, x: x.split([1, 0, 4]),
    "chunk": lambda m, x: x.chunk(3, 1),
    "unbind": lambda m, x: x.unbind(),
    "unbind last": lambda m, x: x.unbind(-1),
    "iteration": lambda m, x: list(x),
    "of a view": lambda m, x: x.T.split(2),
}


@pytest.mark.parametrize("used", ["one", "some", "all"])
@pytest.mark.parametrize("name", PARTS)
def test_gradients_of_parts(name, used):
    """Of a part alone, of some (the others count as zero) and of all, to second order."""
    grads = []
    for m in (ng, torch):
        x = m.arange(35, dtype=m.float64).reshape(5, 7).requires_grad_()
        parts = PARTS[name](m, x * 1)
        chosen = {"one": parts[1:2], "some": parts[::2], "all": parts}[used]
        total = sum((part**3).sum() * (k + 1) for k, part in enumerate(chosen))
        (first,) = m.autograd.grad(total, x, create_graph=True)
        (second,) = m.autograd.grad((first * first).sum(), x)
        grads.append((first.detach().numpy(), second.numpy()))
    for ours, theirs in zip(*grads):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_parts_share_a_node():
    x = ng.ones(4, 3, requires_grad=True)
    a, b = x.split(2)
    assert a.grad_fn is b.grad_fn and a.grad_fn.name() == "SplitBackward0" and (a.output_nr, b.output_nr) == (0, 1)
    assert x.unbind()[0].grad_fn.name() == "UnbindBackward0"
    a.sum().backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2
    b.sum().backward()  # which walks the same node again: it keeps nothing that the first walk could have freed
    assert x.grad.tolist() == [[1.0] * 3] * 4
    with ng.no_grad():
        assert all(part.grad_fn is None for part in x.unbind())


@pytest.mark.parametrize("change", [lambda part: part.mul_(5), lambda part: part.__setitem__(slice(None), 3.0)], ids=["mul_", "setitem"])
@pytest.mark.parametrize("name", PARTS)
def test_parts_are_not_changed_in_place(name, change):
    for m in (ng, torch):
        base = m.ones(5, 7, requires_grad=True) * 2
        with pytest.raises(
            RuntimeError, match=r"Output . of .* is a view and is being modified inplace. This view is the output of a function"
        ):
            change(PARTS[name](m, base)[1])
        with m.no_grad():
            change(PARTS[name](m, base)[1])
        change(PARTS[name](m, m.ones(5, 7))[1])  # nothing is recorded of these


def test_parts_of_a_base_that_is_changed_in_place():
    x = ng.ones(4, requires_grad=True)
    base = x * 2
    _, b = base.split(2)
    base[:2].mul_(5)
    (base.sum() + b.sum()).backward()
    assert x.grad.tolist() == [10, 10, 4, 4]


def test_gradient_of_many_parts_is_linear_work():
    """Each part's gradient is not as large as the whole: a thousand of 4 kB would fill 4 GB one by one."""
    x = ng.ones(1000, 1000, requires_grad=True)
    total = ng.stack([row.sum() for row in x]).sum()
    total.backward()
    assert x.grad.numpy().min() == x.grad.numpy().max() == 1


@pytest.mark.parametrize(
    "call,match",
    [
        (lambda x: x.reshape(5, 5), "shape '.5, 5.' is invalid for input of size 24"),
        (lambda x: x.reshape(-2, 12), "invalid shape dimension -2"),
        (lambda x: x.reshape(-1, -1), "only one dimension can be inferred"),
        (lambda x: x.view(7, -1), "shape '.7, -1.' is invalid for input of size 24"),
        (lambda x: x[:0].reshape(0, -1), "ambiguous"),
    ],
    ids=["product", "negative", "two unknown", "no divisor", "ambiguous"],
)
def test_shapes_that_do_not_fit(call, match):
    with pytest.raises(RuntimeError, match=match):
        call(ng.ones(2, 3, 4))
