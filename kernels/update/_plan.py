"""How a list of arrays of any layout and dtype is brought before a kernel that walks memory.

An optimizer's arrays are the same from step to step, only the gradients are new.  A ``Plan`` remembers what was found out about them and
checks by identity, array by array, that they are still the same objects; it keeps them alive, so an identity cannot be reused.
"""

from __future__ import annotations

from itertools import chain
from operator import is_
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cpu import layout
from .._device import device_of
from ..copy import cast, contiguous, copy_into, dense_order


class Plan:
    """What is kept between calls over the same arrays.  Pass the same object each time; it adapts when the arrays are others."""

    __slots__ = ("arrays", "parts")

    def __init__(self) -> None:
        self.arrays: tuple[Any, ...] = ()
        self.parts: list[Part] = []


class Part:
    """The arrays of one device and working dtype: their table for the kernel, and the temporaries that stand in for arrays it cannot walk.

    An array that is dense in another order of dimensions is walked in memory order, and its companions are asked for in that order.  One
    that is not dense, or of 16 bits where the kernels do not walk those, is copied to a temporary before the kernel and back after it.
    """

    __slots__ = (
        "implementation", "device", "real", "index", "dtypes", "orders", "staged", "table", "shapes", "plain", "all", "seen", "held",
    )  # fmt: skip

    def __init__(self, implementation: Any, op: str, index: Sequence[int], columns: Sequence[Sequence[Any]], real: np.dtype, gaps: int):
        self.implementation, self.real = implementation, real
        self.index = list(index)
        self.staged: list[tuple[Any, Any]] = []
        self.held: Sequence[Any] = ()  # gradients that the table refers to
        self.seen: Any = None  # the layouts of gradients that need no preparation
        params = [columns[0][i] for i in index]
        self.device = device_of(params[0])
        self.shapes = [p.shape for p in params]
        self.dtypes = [p.dtype for p in params]
        self.orders = [None if p.flags.c_contiguous else dense_order(p) for p in params]
        self.plain = all(order is None for order in self.orders) and all(self._walked(d) for d in self.dtypes)
        self.all = len(index) == len(columns[0])
        work = [[self._work(column[i], order) for i, order in zip(index, self.orders)] for column in columns]
        sizes = [p.size * (2 if p.dtype in _dtypes.COMPLEXES else 1) for p in params]
        self.table = implementation.Table(work, sizes, real, gaps)

    def _walked(self, dtype: np.dtype) -> bool:
        """Whether the kernels walk arrays of ``dtype`` as they are."""
        return _dtypes.real_dtype(dtype) == self.real

    def _work(self, array: Any, order: list[int] | None) -> Any:
        home = array if order is None else array.transpose(order)
        if home.flags.c_contiguous and self._walked(home.dtype):
            return home
        temporary = cast(contiguous(home), self._work_type(home.dtype))
        self.staged.append((home, temporary))
        return temporary

    def _work_type(self, dtype: np.dtype) -> np.dtype:
        """The type of a temporary that stands in for an array of ``dtype``."""
        return dtype if self._walked(dtype) else self.real

    def pick(self, values: Sequence[Any]) -> Sequence[Any]:
        """The entries of a list over all arrays that belong to this part."""
        return values if self.all else [values[i] for i in self.index]

    def fetch(self) -> None:
        """Copy staged arrays in."""
        for home, temporary in self.staged:
            copy_into(temporary, home)

    def bring(self, op: str, grads: Sequence[Any]) -> None:
        """Copy staged arrays in and point the table to ``grads``, which are held until ``settle``."""
        self.fetch()
        grads = self.pick(grads)
        layouts = layout.layout(*grads)
        if layouts == self.seen:
            self.held = grads
            self.table.point(grads)
            return
        for i, (g, shape, dtype) in enumerate(zip(grads, self.shapes, self.dtypes)):
            if g.shape != shape:
                raise RuntimeError(
                    f"{op}: expected gradient {self.index[i]} to have the shape of its parameter, {list(shape)}, but got {list(g.shape)}"
                )
            if g.dtype != dtype:
                raise RuntimeError(
                    f"{op}: expected gradient {self.index[i]} to have the dtype of its parameter, "
                    f"{_dtypes.name(dtype)}, but got {_dtypes.name(g.dtype)}"
                )
            if device_of(g) != self.device:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found at least two devices, {self.device} and {device_of(g)}!"
                )
        if self.plain:
            ready = [g if g.flags.c_contiguous else contiguous(g) for g in grads]
            if all(map(is_, ready, grads)):
                self.seen = layouts
        else:
            ready = [
                cast(contiguous(g if order is None else g.transpose(order)), self._work_type(g.dtype))
                for g, order in zip(grads, self.orders)
            ]
        self.held = ready
        self.table.point(ready)

    def settle(self) -> None:
        """Let the gradients go, and copy staged arrays back."""
        self.held = ()
        for home, temporary in self.staged:
            copy_into(home, temporary)


def parts_of(on: Any, op: str, plan: Plan | None, params: Sequence[Any], states: dict[str, Sequence[Any]], gaps: int) -> list[Part]:
    """The parts of ``params`` and their ``states`` (lists of equal length, by name), from ``plan`` if it is about the same arrays.

    ``gaps`` columns of the table are left for gradients.  Raises RuntimeError for lists of different lengths, states that do not match
    their parameter or lie on another device, and dtypes without an update.
    """
    arrays = tuple(chain(params, *states.values())) if states else tuple(params)
    if plan is not None and len(arrays) == len(plan.arrays) and all(map(is_, arrays, plan.arrays)):
        return plan.parts
    groups: dict[Any, list[int]] = {}
    implementations: dict[str, Any] = {}
    for i, p in enumerate(params):
        if p.dtype not in _dtypes.FLOATS and p.dtype not in _dtypes.COMPLEXES:
            raise RuntimeError(
                f"{op}: expected parameters of a floating point or complex dtype, but parameter {i} is {_dtypes.name(p.dtype)}"
            )
        here = "cpu" if type(p) is np.ndarray else device_of(p)
        implementation = implementations.get(here)
        if implementation is None:
            implementation = implementations[here] = on(p)
        groups.setdefault((here, implementation.work_dtype(p.dtype)), []).append(i)
    for name, column in states.items():
        if len(column) != len(params):
            raise RuntimeError(f"{op}: expected {len(params)} arrays of {name}, but got {len(column)}")
        for i, (p, s) in enumerate(zip(params, column)):
            if s.shape != p.shape or s.dtype != p.dtype:
                raise RuntimeError(
                    f"{op}: expected {name} {i} to be like its parameter, {_dtypes.name(p.dtype)} {list(p.shape)}, "
                    f"but got {_dtypes.name(s.dtype)} {list(s.shape)}"
                )
    columns = [params, *states.values()]
    parts = []
    for (here, real), index in groups.items():
        if states:
            on(*[column[i] for i in index for column in columns])
        parts.append(Part(implementations[here], op, index, columns, real, gaps))
    if plan is not None:
        plan.arrays, plan.parts = arrays, parts
    return parts
