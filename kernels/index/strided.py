"""Elements carried from one set of strides to another within one memory: ``as_strided`` as a linear map, and its adjoint."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from .. import _dtypes
from .._device import device_of
from .._half import through_float32
from ..copy import contiguous, copy_into, ramp, zeros
from ..copy.strided import may_overlap_itself, reaching, span
from .advanced import index_add_into


class Strides(NamedTuple):
    """Where elements lie in a memory, all counted in elements."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @classmethod
    def row_major(cls, shape: Sequence[int]) -> Strides:
        steps, step = [], 1
        for n in reversed(shape):
            steps.append(step)
            step *= n
        return cls(tuple(shape), tuple(reversed(steps)), 0)

    def span(self) -> tuple[int, int]:
        low, high = span(self.shape, self.strides)
        return low + self.offset, high + self.offset

    def of(self, memory: Any, start: int) -> Any:
        """The elements in ``memory``, which begins at place ``start``."""
        return reaching(memory, self.shape, self.strides, self.offset - start)


def windows(shape: Sequence[int], strides: Sequence[int], d: int, size: int, step: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides of the windows of ``size`` entries, ``step`` apart, along dimension ``d``: the windows stand there, their entries last."""
    if not shape:
        return (size,), (1,)
    count = (shape[d] - size) // step + 1
    return (*shape[:d], count, *shape[d + 1 :], size), (*strides[:d], step * strides[d], *strides[d + 1 :], strides[d])


@through_float32
def restride(x: Any, put: Strides, read: Strides) -> Any:
    """The elements of ``x`` put into zeros where ``put`` says, added up where they share a place; then what lies where ``read`` says."""
    spans = [s for s in (put.span(), read.span()) if s[0] < s[1]]
    start, stop = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else (0, 0)
    memory = zeros((stop - start,), x.dtype, x)
    if not may_overlap_itself(put.shape, put.strides):
        copy_into(put.of(memory, start), x)
    elif x.size:
        places = ramp(0, 1, stop - start, _dtypes.int64, device_of(x))
        index_add_into(memory, 0, contiguous(put.of(places, start)).reshape(-1), contiguous(x).reshape(-1))
    return contiguous(read.of(memory, start))
