"""Corners of views and in-place writes that random programs found."""

from __future__ import annotations

import pytest

import numbagrad as ng


def test_empty_diagonals_of_contiguous_tensors():
    """The diagonal beyond the edge is empty, and its start lies outside the array."""
    for shape, offset in (((1, 1), 1), ((2, 3), 3), ((2, 3), -2), ((1, 2, 2), 5)):
        x = ng.ones(shape, requires_grad=True)
        assert x.diagonal(offset, -2, -1).numel() == 0
        x.diagonal(offset, -2, -1).sum().backward()
        assert x.grad.abs().sum().item() == 0


def test_one_value_into_overlapping_elements():
    """A number may go to elements that share memory; anything else, and anything recorded, is refused."""
    x = ng.zeros(1)
    x.expand(3).fill_(2)
    assert x.tolist() == [2.0]
    x.expand(3).zero_()
    assert x.tolist() == [0.0]
    for refused in (
        lambda: x.expand(3).mul_(2),
        lambda: x.expand(3).copy_(ng.ones(3)),
        lambda: (ng.ones(1, requires_grad=True) * 1).expand(3).zero_(),
    ):
        with pytest.raises(RuntimeError, match="single memory location"):
            refused()


def test_view_without_history_of_what_has_one():
    """Recording the change or not would be a guess, and the gradient of the base wrong in half of the cases."""
    y = ng.tensor([1.0, 2.0], requires_grad=True) * 1
    with ng.no_grad():
        v, (_, b) = y[1:], y.split(1)
        v.mul_(2)
        v[0] = 5.0
    assert y.tolist() == [1.0, 5.0]
    for refused in (
        lambda: v.mul_(2),
        lambda: v.__setitem__(0, 2.0),
        v.zero_,
        lambda: v[:1].exp_(),
        lambda: v.copy_(ng.ones(1)),
        lambda: b.add_(1),
    ):
        with pytest.raises(RuntimeError, match="created in no_grad mode"):
            refused()
    assert y.tolist() == [1.0, 5.0]
    y.detach()[1:].mul_(2)  # outside the graph, as was asked for
    assert y.tolist() == [1.0, 10.0]


def test_complex_division_by_zero():
    """Infinite in each part that is not 0, as everywhere; not an error, and not the end of the loop."""
    x = ng.tensor([1 + 1j, 2, 0, -3j, 6 + 8j] * 5)
    y = ng.tensor([0j, 0, 0, 0, 2j] * 5)
    for dtype in (ng.complex64, ng.complex128):
        found = (x.to(dtype) / y.to(dtype)).tolist()
        assert str(found[:4]) == "[(inf+infj), (inf+nanj), (nan+nanj), (nan-infj)]" and found[4::5] == [4 - 3j] * 5
    z = ng.zeros(3, dtype=ng.complex128, requires_grad=True)
    (z.abs() ** 2).sum().backward()
    assert z.grad.tolist() == [0, 0, 0]


def test_bytes_seen_as_other_sizes():
    """Seen as elements of another size, the last dimension has to be dense; there has to be one."""
    for x, message in ((ng.ones(2, 3).t(), "stride"), (ng.ones(4)[::2], "stride"), (ng.tensor(1.0), "dim")):
        with pytest.raises(RuntimeError, match=rf"self\.{message}.* to view Float as Short \(different element sizes\)"):
            x.view(ng.int16)
        assert x.view(ng.int32).shape == x.shape


def test_several_elements_of_a_number():
    x = ng.tensor(5.0)
    assert x.index_select(0, ng.tensor([0])).item() == 5
    with pytest.raises(RuntimeError, match="Index to scalar can have only 1 value, got 2"):
        x.index_select(0, ng.tensor([0, 0]))


def test_angle_of_the_origin():
    """The gradient of atan2 at (0, 0) is 0, as PyTorch's, so that one such point does not spoil a sum."""
    y, x = (ng.tensor([0.0, 1.0], requires_grad=True) for _ in range(2))
    ng.atan2(y, x).sum().backward()
    assert y.grad.tolist() == [0, 0.5] and x.grad.tolist() == [0, -0.5]
