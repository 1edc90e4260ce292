"""How an array and its dims become passes over (outer, n, inner): shape logic only, the same for every device."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Sequence

# What combines the partial results of an operation, where that is another operation.
CONTINUES = {
    "count_nonzero": "sum",
    "magnitude": "sum",
    "squared": "sum",
    "power": "sum",
    "magnitude_max": "amax",
    "magnitude_min": "amin",
}


class Plan(NamedTuple):
    """The passes of one reduction, and how its input and output are laid out for them."""

    order: tuple[int, ...] | None  # the permutation that makes the input row-major; None if it is (or has to be copied)
    copy: bool  # the input has gaps or overlaps
    passes: tuple[tuple[int, int, int], ...]  # (outer, n, inner), innermost group of dims first
    packed: tuple[int, ...]  # the result's shape in the order of the passes
    back: tuple[int, ...] | None  # the permutation from there to the order of the input's dims
    shape: tuple[int, ...]  # the result's shape without the reduced dims
    kept: tuple[int, ...]  # the result's shape with them, as 1
    elements: int  # per result


def normalize_dim(dim: int, ndim: int) -> int:
    """``dim`` counted from the front.  A 0-d array has one dim for this purpose.  IndexError if it is out of range."""
    size = max(ndim, 1)
    if not -size <= dim < size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size - 1}], but got {dim})")
    return dim + size if dim < 0 else dim


def normalize_dims(op: str, dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """The dims to reduce, sorted, from the front; None and () stand for all of them."""
    if type(dim) is list:
        dim = tuple(dim)
    elif dim is not None and type(dim) is not tuple and hasattr(dim, "__index__"):
        dim = dim.__index__()
    return _normalized(op, dim, ndim)


@functools.lru_cache(maxsize=4096, typed=True)
def _normalized(op: str, dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if dim is None or dim == ():
        return tuple(range(ndim))
    dims: tuple[int, ...]
    if isinstance(dim, int):
        dims = (normalize_dim(dim, ndim),)
    elif isinstance(dim, tuple):
        dims = tuple(sorted(normalize_dim(d.__index__(), ndim) for d in dim))
    else:
        raise TypeError(f"{op}(): argument 'dim' must be int or tuple of ints, not {type(dim).__name__}")
    for d, following in zip(dims, dims[1:]):
        if d == following:
            raise RuntimeError(f"{op}(): dim {d} appears multiple times in the list of dims")
    return dims if ndim else ()


@functools.lru_cache(maxsize=4096)
def plan(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, dims: tuple[int, ...], ordered: bool = False) -> Plan:
    """The passes that reduce ``dims`` (normalised) of an array.  ``ordered``: elements have to be met in the order of the dims."""
    ndim = len(shape)
    wide = [j for j in range(ndim) if shape[j] != 1]
    order = wide if ordered else sorted(wide, key=lambda j: -strides[j])
    expected = itemsize
    dense = True
    for j in reversed(order):
        dense = dense and strides[j] == expected
        expected *= shape[j]
    if not dense:
        order = wide
    segments: list[list[Any]] = []  # [size, is reduced], neighbours of one kind merged
    for j in order:
        reduced = j in dims
        if segments and segments[-1][1] == reduced:
            segments[-1][0] *= shape[j]
        else:
            segments.append([shape[j], reduced])
    passes = []
    inner = 1
    for i in reversed(range(len(segments))):
        size, reduced = segments[i]
        if reduced:
            passes.append((math.prod(s for s, _ in segments[:i]), size, inner))
        else:
            inner *= size
    kept_order = [j for j in order if j not in dims]
    moved = kept_order != sorted(kept_order)
    return Plan(
        order=None if order == wide else tuple(order) + tuple(j for j in range(ndim) if shape[j] == 1),
        copy=not dense,
        passes=tuple(passes) or ((1, 1, inner),),
        packed=tuple(shape[j] for j in kept_order),
        back=tuple(sorted(range(len(kept_order)), key=lambda i: kept_order[i])) if moved else None,
        shape=tuple(s for j, s in enumerate(shape) if j not in dims),
        kept=tuple(1 if j in dims else s for j, s in enumerate(shape)),
        elements=math.prod(shape[j] for j in dims),
    )
