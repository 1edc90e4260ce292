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
