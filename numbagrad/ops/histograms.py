"""Counts of elements in bins."""

from __future__ import annotations

import math
from typing import Any, Sequence

from ..creation import linspace
from ..tensor import Tensor
from ._along import named_result
from ._arguments import tensor_argument
from ._attach import public
from ._out import into
from .elementwise import where
from .masks import bincount
from .sort import searchsorted


def _ends(op: str, x: Any, low: float, high: float, widen: float) -> tuple[float, float]:
    """The ends of the bins: those given or, where they are equal, of the elements; ``widen`` apart from these where they are all the same."""
    if not low <= high:
        raise RuntimeError(f"{op}: max must be larger than min")
    if low == high and x.numel():
        low, high = x.min().item(), x.max().item()
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{op}: range of [{low}, {high}] is not finite")
    return (low - widen, high + widen) if low == high else (low, high)


@public
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None) -> Tensor:
    """How many elements are in each of ``bins`` intervals of one width between ``min`` and ``max`` (both 0: the least and the greatest element).

    The last interval holds its upper end; elements outside and NaN are not counted.  Raises RuntimeError for bins < 1, a range that is not finite or is
    turned round, NotImplementedError for integers.
    """
    x: Any = tensor_argument(input, "histc", "input").detach()
    if not x.is_floating_point():
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{x.dtype.title}'")
    if bins < 1:
        raise RuntimeError(f"torch.histc: bins must be > 0, but got {bins}")
    low, high = _ends("torch.histc", x, float(min), float(max), 1.0)
    place = ((x - low) * (bins / (high - low))).floor()
    inside = (x >= low) & (x <= high)
    place = where(inside, place.clamp(0, bins - 1), bins).long()  # what is outside goes to a bin that is left out
    counts = bincount(place.reshape(-1), None, bins + 1)[:bins].to(x.dtype)  # type: ignore[attr-defined]
    return counts if out is None else into(out, counts)


_HistogramResult, _HistogramddResult = named_result("histogram", "hist", "bin_edges"), named_result("histogramdd", "hist", "bin_edges")


def _edges(op: str, x: Any, bins: Any, low: float, high: float) -> Any:
    """The edges of the bins of one coordinate: as given, or ``bins`` of one width."""
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() == 0:
            raise RuntimeError(f"{op}: bins tensor should have one dimension and at least one element, but got shape {list(bins.shape)}")
        if bins.dtype is not x.dtype:
            raise RuntimeError(
                f"{op}: input tensor and bins tensors should have the same dtype, but got {x.dtype.title} and {bins.dtype.title}"
            )
        return bins.detach()
    if bins < 1:
        raise RuntimeError(f"{op}: bins must be > 0, but got {bins}")
    return linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)


def _binned(op: str, x: Any, edges: Sequence[Any], weight: Any, density: bool) -> Any:
    """The counts (or sums of weights) of the rows of ``x``, one coordinate in each column."""
    sizes = [e.numel() - 1 for e in edges]
    total = math.prod(sizes)
    place: Any = 0
    inside: Any = True
    for k, (e, size) in enumerate(zip(edges, sizes)):
        column = x[:, k].contiguous()
        inside = inside & (column >= e[0]) & (column <= e[-1])
        place = place * size + (searchsorted(e.contiguous(), column, right=True) - 1).clamp(0, max(size - 1, 0))
    weights = None
    if weight is not None:
        if weight.dtype is not x.dtype:
            raise RuntimeError(
                f"{op}: input tensor and weight tensor should have the same dtype, but got {x.dtype.title} and {weight.dtype.title}"
            )
        weights = weight.detach().reshape(-1)
        if weights.numel() != x.shape[0]:
            raise RuntimeError(f"{op}: weight tensor should have one element for each point, but got {weights.numel()} for {x.shape[0]}")
    place = where(inside, place, total)
    counts: Any = bincount(place, weights, total + 1)[:total].to(x.dtype).reshape(sizes)
    if density:
        counts = counts / counts.sum()
        for k, e in enumerate(edges):
            counts = counts / (e[1:] - e[:-1]).reshape([-1 if i == k else 1 for i in range(len(sizes))])
    return counts


@public(out=True)
def histogram(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:
    """(hist, bin_edges): how many elements, or the sum of their weights, are between neighbouring edges; the last bin holds its upper edge.

    ``bins``: the edges in order, or a number of intervals of one width within ``range`` (default: from the least to the greatest element).  ``density``:
    divided by the sum and the widths.  Raises RuntimeError for arguments that do not fit, NotImplementedError for integers.
    """
    x: Any = tensor_argument(input, "histogram", "input").detach()
    if x.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(f"\"histogram_cpu\" not implemented for '{x.dtype.title}'")
    low, high = (0.0, 1.0)
    if not isinstance(bins, Tensor):
        low, high = _range_of("torch.histogram", x, range)
    edges = _edges("torch.histogram", x, bins, low, high)
    return _HistogramResult(_binned("torch.histogram", x.reshape(-1, 1), [edges], weight, density), edges)


def _range_of(op: str, x: Any, given: Any) -> tuple[float, float]:
    """The ends of bins of one width: ``given`` or, without, of the elements of ``x``, (0, 1) for none."""
    if given is not None:
        low, high = map(float, given)
        if not low <= high:
            raise RuntimeError(f"{op}: min should not exceed max, but got min {low} and max {high}")
    elif x.numel():
        low, high = x.min().item(), x.max().item()
    else:
        return 0.0, 1.0
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{op}: range of [{low}, {high}] is not finite")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


@public
def histogramdd(input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False) -> Any:
    """``histogram`` of points of N coordinates, which stand in the last dimension: (hist of N dimensions, the edges along each of them).

    ``bins``: a number of intervals for all or for each, or the edges for each; ``range``: 2N ends.
    """
    x: Any = tensor_argument(input, "histogramdd", "input").detach()
    op = "torch.histogramdd"
    if x.ndim < 2:
        raise RuntimeError(f"{op}: input tensor should have at least 2 dimensions, but got {x.ndim}")
    if x.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(f"\"histogramdd_cpu\" not implemented for '{x.dtype.title}'")
    count = x.shape[-1]
    each = [bins] * count if isinstance(bins, int) else list(bins)
    if len(each) != count:
        raise RuntimeError(f"{op}: bins should have one entry for each of the {count} dimensions, but got {len(each)}")
    if range is not None and len(range) != 2 * count:
        raise RuntimeError(f"{op}: for a {count}-dimensional histogram range should have {2 * count} elements, but got {len(range)}")
    points = x.reshape(-1, count)
    edges = []
    for k, b in enumerate(each):
        low, high = (
            (0.0, 1.0) if isinstance(b, Tensor) else _range_of(op, points[:, k], None if range is None else range[2 * k : 2 * k + 2])
        )
        edges.append(_edges(op, x, b, low, high))
    return _HistogramddResult(_binned(op, points, edges, weight, density), edges)
