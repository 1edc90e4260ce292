"""What is built of all combinations of elements: cartesian_prod, combinations, vander."""

from __future__ import annotations

from ..tensor import Tensor
from ._attach import public
from .copy import cat, stack
from .grids import meshgrid
from .masks import masked_select


@public(method=False)
def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Every choice of one element of each vector, in the order of ``itertools.product``: (n₁·...·nₖ, k); a single vector as it is.

    Raises RuntimeError for tensors of other than one dimension and for different dtypes.
    """
    if not tensors:
        raise RuntimeError("cartesian_prod: expected a non-empty list of tensors")
    for t in tensors:
        if t.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors, indexing="ij")], 1)  # type: ignore[attr-defined]


@public(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """The choices of ``r`` elements of a vector, in the order of ``itertools.combinations`` (or ``combinations_with_replacement``): (count, r).

    Raises RuntimeError for other than one dimension and for a negative ``r``.
    """
    from ..creation import arange

    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_empty((0,))  # type: ignore[attr-defined]
    places = meshgrid(*[arange(input.shape[0], device=input.device)] * r, indexing="ij")
    chosen = places[0] >= 0
    for one, next_one in zip(places, places[1:]):
        chosen = chosen & (one <= next_one if with_replacement else one < next_one)
    return stack([masked_select(values, chosen) for values in meshgrid(*[input] * r, indexing="ij")], 1)


@public(method=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The Vandermonde matrix of a vector: row i holds the powers xᵢ^(N-1), ..., xᵢ, 1, or 1, xᵢ, ... if ``increasing``.  ``N`` defaults to len(x).

    Raises RuntimeError for other than one dimension and for a negative ``N``.
    """
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x.shape[0]
    count = n if N is None else N
    if count < 0:
        raise RuntimeError("N must be non-negative.")
    powers = x.unsqueeze(1).expand(n, max(count - 1, 0)).cumprod(1)  # type: ignore[attr-defined]
    found = cat([powers.new_ones((n, min(count, 1))), powers], 1)
    return found if increasing else found.flip(1)
