"""New tensors."""

from __future__ import annotations

from typing import Any

from .. import creation
from ..creation import empty_like, from_dlpack, full_like, ones_like, zeros_like
from ..ops import FUNCTIONS
from ..tensor import Tensor

__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "meshgrid", "ones", "ones_like", "tril", "triu",
    "zeros", "zeros_like",
]  # fmt: skip


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """``obj``, a number, nested sequences, an array or a tensor, as a tensor; ``copy``: True always, False never (ValueError if it takes one)."""
    return creation.asarray(obj, dtype=dtype, device=device, copy=copy)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Tensor:
    """start, start + step, ... up to but without stop; empty where that lies the other way."""
    start, stop = (0, start) if stop is None else (start, stop)
    if (stop - start) * step < 0:
        stop = start
    return creation.arange(start, stop, step, dtype=dtype, device=device)


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Uninitialised values."""
    return creation.empty(_shape(shape), dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros."""
    return creation.zeros(_shape(shape), dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones."""
    return creation.ones(_shape(shape), dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``fill_value`` everywhere."""
    return creation.full(_shape(shape), fill_value, dtype=dtype, device=device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones on diagonal ``k``, zeros elsewhere."""
    n_cols = n_rows if n_cols is None else n_cols
    rows, columns = creation.arange(n_rows, device=device), creation.arange(n_cols, device=device)
    return (columns[None] - rows[:, None] == k).to(dtype or creation.empty(0).dtype)


def linspace(start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True) -> Tensor:
    """``num`` numbers at equal distances from ``start`` to ``stop``, which is left out without ``endpoint``."""
    values = creation.linspace(start, stop, num if endpoint else num + 1, dtype=dtype, device=device)
    return values if endpoint else values[:num]


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of the grid that one-dimensional tensors span, Cartesian ("xy") or by rows ("ij")."""
    return list(FUNCTIONS["meshgrid"](*arrays, indexing=indexing))


def tril(x: Any, /, *, k: int = 0) -> Tensor:
    """What is on and below diagonal ``k``."""
    return x.tril(k)


def triu(x: Any, /, *, k: int = 0) -> Tensor:
    """What is on and above diagonal ``k``."""
    return x.triu(k)
