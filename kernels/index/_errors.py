"""How an index out of range is refused: the exception and its text, which a device that finds it later needs to know as well."""

from __future__ import annotations

import functools
from typing import NamedTuple


class Refusal(NamedTuple):
    """``text`` has {index}, {size} and {dim} in it."""

    error: type[Exception]
    text: str

    def of(self, index: int, size: int, dim: int) -> Exception:
        """The exception for ``index`` in a dimension of ``size``."""
        return self.error(self.text.format(index=index, size=size, dim=dim))


@functools.lru_cache(maxsize=None)
def listed(op: str, wrap: bool) -> Refusal:
    """Of an index array in place of a dimension; ``wrap``: in an expression, where negative indices count from the end."""
    if wrap:
        return Refusal(IndexError, "index {index} is out of bounds for dimension {dim} with size {size}")
    return Refusal(IndexError, f"{op}: index {{index}} out of range in self, of size {{size}} in dimension {{dim}}")


@functools.lru_cache(maxsize=None)
def along(op: str) -> Refusal:
    """Of an index with as many dimensions as the array."""
    return Refusal(RuntimeError, f"{op}: index {{index}} is out of bounds for dimension {{dim}} with size {{size}}")
