"""The geometry of views, as NumPy has it: pure functions of shapes and strides (in bytes), which know nothing of memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """A view: how many bytes behind the first element of the original its own first one lies, its shape and its strides."""

    offset: int
    shape: Shape
    strides: Shape


def row_major(shape: Sequence[int], itemsize: int) -> Shape:
    """The strides of a C-contiguous array."""
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n or 1
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Shape, itemsize: int) -> bool:
    """Whether the elements lie in row-major order without gaps; the strides of dimensions of size 1, and of empty arrays, say nothing."""
    if 0 in shape:
        return True
    expected = itemsize
    for n, stride in zip(reversed(shape), reversed(strides)):
        if n != 1:
            if stride != expected:
                return False
            expected *= n
    return True


def span(shape: Shape, strides: Shape, itemsize: int) -> tuple[int, int]:
    """The bytes that a view touches, from and up to, counted from its first element; (0, 0) for an empty one."""
    if 0 in shape:
        return 0, 0
    reach = [(n - 1) * stride for n, stride in zip(shape, strides)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + itemsize


def inferred(shape: Sequence[int], size: int) -> Shape:
    """``shape`` with its one -1 replaced.  Raises ValueError where it does not hold ``size`` elements."""
    found = tuple(shape)
    known = math.prod(n for n in found if n != -1)
    if found.count(-1) == 1 and known and size % known == 0:
        found = tuple(size // known if n == -1 else n for n in found)
    if (found and min(found) < 0) or math.prod(found) != size:
        raise ValueError(f"cannot reshape array of size {size} into shape {tuple(shape)}")
    return found


def reshaped(shape: Shape, strides: Shape, target: Shape, itemsize: int) -> Shape | None:
    """The strides under which the elements, in order, have the shape ``target`` (as many of them); None where that needs a copy.

    Dimensions that are walked as one are a run; each run has to be a product of dimensions of ``target``.
    """
    if 0 in shape:
        return row_major(target, itemsize)
    found = [itemsize] * len(target)
    j = len(target) - 1
    for size, step in reversed(_runs(shape, strides)):
        while size > 1 and j >= 0:
            if size % target[j]:
                return None
            found[j] = step
            step *= target[j]
            size //= target[j]
            j -= 1
        if size > 1:
            return None
    while j >= 0:  # what is left are sizes of 1
        found[j] = found[j + 1] * target[j + 1] if j + 1 < len(target) else itemsize
        j -= 1
    return tuple(found)


def _runs(shape: Shape, strides: Shape) -> list[tuple[int, int]]:
    """(size, stride) of the fewest dimensions that walk the same elements in the same order."""
    runs: list[tuple[int, int]] = []
    for n, stride in zip(shape, strides):
        if n == 1:
            continue
        if runs and runs[-1][1] == stride * n:
            runs[-1] = runs[-1][0] * n, stride
        else:
            runs.append((n, stride))
    return runs


def indexed(shape: Shape, strides: Shape, key: Any) -> Geometry:
    """The view by a basic index: integers, slices, None and one Ellipsis.

    Raises IndexError for too many of them, an integer that is out of bounds, or anything else.
    """
    items = key if isinstance(key, tuple) else (key,)
    used = sum(item is not None and item is not ... for item in items)
    if used > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {used} were indexed")
    if sum(item is ... for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    offset, dim = 0, 0
    sizes: list[int] = []
    steps: list[int] = []
    for item in items:
        if item is None:
            sizes.append(1)
            steps.append(0)
        elif item is ...:
            whole = dim + len(shape) - used
            sizes += shape[dim:whole]
            steps += strides[dim:whole]
            dim = whole
        elif isinstance(item, slice):
            start, stop, step = item.indices(shape[dim])
            n = len(range(start, stop, step))
            offset += start * strides[dim] if n else 0
            sizes.append(n)
            steps.append(step * strides[dim])
            dim += 1
        else:
            offset += _position(item, shape[dim], dim) * strides[dim]
            dim += 1
    return Geometry(offset, (*sizes, *shape[dim:]), (*steps, *strides[dim:]))


def _position(index: Any, size: int, dim: int) -> int:
    """``index`` counted from the front."""
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise IndexError("only integers, slices (`:`), ellipsis (`...`) and None are valid indices of an array on a GPU")
    found = index.__index__()
    if not -size <= found < size:
        raise IndexError(f"index {found} is out of bounds for axis {dim} with size {size}")
    return found + size if found < 0 else found


def retyped(shape: Shape, strides: Shape, itemsize: int, wanted: int) -> Geometry:
    """The view with elements of ``wanted`` bytes instead of ``itemsize``: the last dimension, which must have no gaps, holds more or fewer of them.

    Raises ValueError where it does not come out even.
    """
    if wanted == itemsize:
        return Geometry(0, shape, strides)
    if not shape:
        raise ValueError("Changing the dtype of a 0d array is only supported if the itemsize is unchanged")
    if shape[-1] != 1 and strides[-1] != itemsize and 0 not in shape:
        raise ValueError("To change to a dtype of a different size, the last axis must be contiguous")
    if shape[-1] * itemsize % wanted:
        raise ValueError(
            "When changing to a larger dtype, its size must be a divisor of the total size in bytes of the last axis of the array."
        )
    return Geometry(0, (*shape[:-1], shape[-1] * itemsize // wanted), (*strides[:-1], wanted))


def diagonal(shape: Shape, strides: Shape, offset: int, dim1: int, dim2: int) -> Geometry:
    """The diagonals of the matrices in ``dim1`` and ``dim2`` (counted from either end), as a last dimension."""
    a, b = (d + len(shape) if d < 0 else d for d in (dim1, dim2))
    rows, columns = max(-offset, 0), max(offset, 0)
    n = max(min(shape[a] - rows, shape[b] - columns), 0)
    kept = [d for d in range(len(shape)) if d not in (a, b)]
    first = rows * strides[a] + columns * strides[b] if n else 0
    return Geometry(first, (*(shape[d] for d in kept), n), (*(strides[d] for d in kept), strides[a] + strides[b]))
