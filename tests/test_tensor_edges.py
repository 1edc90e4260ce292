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
