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
