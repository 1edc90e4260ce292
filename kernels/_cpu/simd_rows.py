"""Reducing one contiguous row to a number in registers.

The row is folded onto 64 accumulators, a number that is the same on every machine, and so is the result: the width of a register decides only
how many instructions a step takes.  Eight vectors at a time are combined with one another first, which keeps the chains of rounding errors
short.  They are combined one after another rather than as a tree: LLVM reads a tree's operands in the tree's order, and a row that is not read
in the order of its addresses defeats the prefetcher of the first-level cache (a sixth slower from the third-level cache on).  The last,
short vector is read under a mask.  Bound by the loads: of the second-level cache up to its size, then of memory.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic

from .simd import Emitter

LANES = 64
_CHAIN = 8

# By name: what stands in for no element, and how to combine two vectors.
_COMBINE = {"sum": (-0.0, "fadd"), "prod": (1.0, "fmul"), "amax": (-np.inf, ">"), "amin": (np.inf, "<")}
# What is done to an element first, and the combination that follows.
ROW_OPERATIONS = {
    "sum": ("same", "sum"),
    "prod": ("same", "prod"),
    "amax": ("same", "amax"),
    "amin": ("same", "amin"),
    "magnitude": ("magnitude", "sum"),
    "magnitude_max": ("magnitude", "amax"),
    "magnitude_min": ("magnitude", "amin"),
    "squared": ("squared", "sum"),
}


class _Fold:
    """The instructions of one reduction."""

    def __init__(self, e: Emitter, name: str):
        self.e, self.b = e, e.builder
        self.element, kind = ROW_OPERATIONS[name]
        identity, self.combination = _COMBINE[kind]
        self.identity = ir.Constant(e.vector, [identity] * e.lanes)
        self.ordered = self.combination in "<>"

    def load(self, address: Any, mask: Any = None) -> Any:
        e, b = self.e, self.b
        value = e.load(address, mask)
        if self.element == "magnitude":
            value = e.call(e.name("fabs"), e.vector, [value])
        elif self.element == "squared":
            value = b.fmul(value, value)
        return value if mask is None else b.select(mask, value, self.identity)

    def combine(self, left: Any, right: Any) -> Any:
        if self.ordered:
            return self.b.select(self.b.fcmp_ordered(self.combination, left, right), left, right)
        return getattr(self.b, self.combination)(left, right)

    def step(self, carried: list[Any], values: list[Any]) -> list[Any]:
        """``carried``: the accumulators and, of an extremum, whether a NaN has been met, which the comparisons pass over."""
        after = [self.combine(carried[0], functools.reduce(self.combine, values))]
        if self.ordered:
            pairs = [self.b.fcmp_unordered("uno", a, b) for a, b in zip(values[::2], values[1::2] or values)]
            after.append(functools.reduce(self.b.or_, pairs, carried[1]))
        return after

    def across(self, carried: list[Any]) -> Any:
        """The lanes of the accumulators combined, halves first."""
        e, b = self.e, self.b
        value, width = carried[0], e.lanes
        while width > 1:
            width //= 2
            low, high = (ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(s, s + width))) for s in (0, width))
            value = self.combine(b.shuffle_vector(value, value, low), b.shuffle_vector(value, value, high))
        value = b.extract_element(value, ir.Constant(ir.IntType(32), 0))
        if self.ordered:
            flags = b.bitcast(carried[1], ir.IntType(e.lanes))
            value = b.select(b.icmp_unsigned("!=", flags, ir.Constant(flags.type, 0)), ir.Constant(e.element, np.nan), value)
        return value


def _row(e: Emitter, name: str, address: Any, count: Any) -> Any:
    b, fold = e.builder, _Fold(e, name)
    group = e.integer(_CHAIN * e.lanes)
    groups = b.udiv(count, group)
    start = [fold.identity] + ([ir.Constant(e.mask_type, [0] * e.lanes)] if fold.ordered else [])

    def turn(k: Any, carried: list[Any]) -> list[Any]:
        at = b.add(address, b.mul(k, e.integer(_CHAIN * e.register_bytes)))
        return fold.step(carried, [fold.load(b.add(at, e.integer(i * e.register_bytes))) for i in range(_CHAIN)])

    carried = e.loop(groups, start, turn)
    left = b.sub(count, b.mul(groups, group))
    address = b.add(address, b.mul(groups, e.integer(_CHAIN * e.register_bytes)))
    singles = b.udiv(left, e.integer(e.lanes))
    carried = e.loop(singles, carried, lambda k, c: fold.step(c, [fold.load(b.add(address, b.mul(k, e.integer(e.register_bytes))))]))
    address = b.add(address, b.mul(singles, e.integer(e.register_bytes)))
    part = e.mask(b.sub(left, b.mul(singles, e.integer(e.lanes))))
    return fold.across(fold.step(carried, [fold.load(address, part)]))


@functools.lru_cache(maxsize=None)
def fold_row(name: str, dtype: Any) -> Any:
    """``fold_row(name, dtype)(address, count)``: the ``count`` elements at ``address``, float32 or float64, reduced as ``name`` says; for kernels."""
    word, element = types.intp, from_dtype(np.dtype(dtype))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _row(Emitter(builder, dtype, LANES), name, *args)

    @intrinsic
    def fold(typingctx, address, count):  # type: ignore[no-untyped-def]
        return element(word, word), generate

    return fold
