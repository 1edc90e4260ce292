"""Passes over a few contiguous rows at a time, for layer norm: what they share is loaded once, and their sums stay in registers.

A row is ``n`` elements at an address, the next one ``step`` bytes further.  What belongs to one row alone (its mean, its scale) comes as the address of
one number per row.  The last register of a row is masked, so nothing is read or written outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .simd import Emitter, emitted

_DOUBLE, _INT32 = ir.DoubleType(), ir.IntType(32)
# Rows that go together: enough independent sums to cover the latency of an addition, few enough for the first-level cache.
GROUP = 4
# How many times an accumulator is added to before it goes into a float64 sum: short enough to be exact to the last digits.
_SHORT = 64

# One register's worth of each row: (offset in bytes, mask or None, what is carried) -> what is carried on.
Visit = Callable[[Any, Any, list[Any]], list[Any]]


def _sweep(e: Emitter, n: Any, ways: int, carried: Sequence[Any], visit: Visit) -> list[Any]:
    """``visit`` the registers of ``n`` elements, ``ways`` of them in one turn, each with its own share of what is carried."""
    b, share = e.builder, len(carried) // ways
    group = e.integer(ways * e.lanes)
    groups = b.udiv(n, group)

    def turn(k: Any, values: list[Any]) -> list[Any]:
        start, after = b.mul(k, e.integer(ways * e.register_bytes)), []
        for way in range(ways):
            after += visit(b.add(start, e.integer(way * e.register_bytes)), None, values[way * share : (way + 1) * share])
        return after

    carried = e.loop(groups, carried, turn)
    done = b.mul(groups, group)
    left = b.sub(n, done)

    def rest(k: Any, values: list[Any]) -> list[Any]:
        at = b.mul(k, e.integer(e.lanes))
        mask = e.mask(b.sub(left, at))
        return visit(b.mul(b.add(done, at), e.integer(e.itemsize)), mask, values[:share]) + values[share:]

    return e.loop(b.udiv(b.add(left, e.integer(e.lanes - 1)), e.integer(e.lanes)), carried, rest)


def _across(e: Emitter, value: Any) -> Any:
    """The sum of the lanes, halves first, in float64."""
    b, width = e.builder, e.lanes
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(_INT32, width), list(range(s, s + width))) for s in (0, width))
        value = b.fadd(b.shuffle_vector(value, value, low), b.shuffle_vector(value, value, high))
    value = b.extract_element(value, ir.Constant(_INT32, 0))
    return value if value.type == _DOUBLE else b.fpext(value, _DOUBLE)


def _store_sums(e: Emitter, sums: Any, n: Any, count: int, ways: int, visit: Visit) -> None:
    """Write the ``count`` float64 sums that ``visit`` adds to, over ``n`` elements, to the address ``sums``."""
    b = e.builder
    block = e.integer(_SHORT * ways * e.lanes)

    def one(k: Any, totals: list[Any]) -> list[Any]:
        start = b.mul(k, block)
        left, skip = b.sub(n, start), b.mul(start, e.integer(e.itemsize))
        size = b.select(b.icmp_unsigned("<", left, block), left, block)
        parts = _sweep(e, size, ways, [e.zero] * (count * ways), lambda at, mask, values: visit(b.add(at, skip), mask, values))
        for way in range(1, ways):
            parts[:count] = [b.fadd(a, c) for a, c in zip(parts[:count], parts[way * count : (way + 1) * count])]
        return [b.fadd(total, _across(e, part)) for total, part in zip(totals, parts)]

    blocks = b.udiv(b.add(n, b.sub(block, e.integer(1))), block)
    for i, total in enumerate(e.loop(blocks, [ir.Constant(_DOUBLE, 0.0)] * count, one)):
        b.store(total, e.pointer(b.add(sums, e.integer(8 * i)), _DOUBLE), align=8)


def _rows(e: Emitter, address: Any, step: Any, rows: int) -> list[Any]:
    return [e.offset(address, step, r) for r in range(rows)]


def _each(e: Emitter, numbers: Any, rows: int) -> list[Any]:
    """One number per row, in every lane."""
    return [e.broadcast(e.offset(numbers, e.integer(e.itemsize), r)) for r in range(rows)]


def _ways(rows: int) -> int:
    return max(1, GROUP // rows)


@functools.lru_cache(maxsize=None)
def moments(dtype: Any, rows: int) -> Any:
    """``moments(sums, x, step, centers, n)``: per row the sums of d and of d * d as float64, for d = x - center."""

    def emit(e: Emitter, sums: Any, x: Any, step: Any, centers: Any, n: Any) -> None:
        b, center = e.builder, _each(e, centers, rows)

        def visit(at: Any, mask: Any, values: list[Any]) -> list[Any]:
            here, after = _rows(e, b.add(x, at), step, rows), []
            for r in range(rows):
                d = b.fsub(e.load(here[r], mask), center[r])
                d = d if mask is None else b.select(mask, d, e.zero)
                after += [b.fadd(values[2 * r], d), e.fma(d, d, values[2 * r + 1])]
            return after

        _store_sums(e, sums, n, 2 * rows, _ways(rows), visit)

    return emitted(5, emit, dtype)


@functools.lru_cache(maxsize=None)
def normalize(dtype: Any, rows: int) -> Any:
    """``normalize(y, x, step, weight, bias, centers, scales, shifts, n)``: y = ((x - center) * scale + shift) * weight + bias."""

    def emit(e: Emitter, y: Any, x: Any, step: Any, weight: Any, bias: Any, centers: Any, scales: Any, shifts: Any, n: Any) -> None:
        b = e.builder
        center, scale, shift = (_each(e, numbers, rows) for numbers in (centers, scales, shifts))

        def visit(at: Any, mask: Any, values: list[Any]) -> list[Any]:
            here, to = (_rows(e, b.add(line, at), step, rows) for line in (x, y))
            factor, offset = e.load(b.add(weight, at), mask), e.load(b.add(bias, at), mask)
            for r in range(rows):
                d = b.fsub(e.load(here[r], mask), center[r])
                e.store(to[r], e.fma(e.fma(d, scale[r], shift[r]), factor, offset), mask)
            return []

        _sweep(e, n, _ways(rows), [], visit)

    return emitted(9, emit, dtype)


@functools.lru_cache(maxsize=None)
def products(dtype: Any, rows: int) -> Any:
    """``products(sums, g, x, step, weight, centers, n)``: per row the sums of h and of h * (x - center) as float64, for h = g * weight."""

    def emit(e: Emitter, sums: Any, g: Any, x: Any, step: Any, weight: Any, centers: Any, n: Any) -> None:
        b, center = e.builder, _each(e, centers, rows)

        def visit(at: Any, mask: Any, values: list[Any]) -> list[Any]:
            here, there = (_rows(e, b.add(line, at), step, rows) for line in (x, g))
            factor, after = e.load(b.add(weight, at), mask), []
            for r in range(rows):
                h = b.fmul(e.load(there[r], mask), factor)
                d = b.fsub(e.load(here[r], mask), center[r])
                after += [b.fadd(values[2 * r], h), e.fma(h, d, values[2 * r + 1])]
            return after

        _store_sums(e, sums, n, 2 * rows, _ways(rows), visit)

    return emitted(7, emit, dtype)


@functools.lru_cache(maxsize=None)
def slopes(dtype: Any, rows: int) -> Any:
    """``slopes(dx, dw, db, g, x, step, weight, centers, scales, factors, shifts, n)``: with d = x - center, per row
    dx = g * scale * weight + (d * factor + shift), and over the rows dw += g * scale * d and db += g."""

    def emit(e: Emitter, dx, dw, db, g, x, step, weight, centers, scales, factors, shifts, n) -> None:  # type: ignore[no-untyped-def]
        b = e.builder
        center, scale, slope, shift = (_each(e, numbers, rows) for numbers in (centers, scales, factors, shifts))

        def visit(at: Any, mask: Any, values: list[Any]) -> list[Any]:
            here, there, to = (_rows(e, b.add(line, at), step, rows) for line in (x, g, dx))
            factor, first, second = (e.load(b.add(line, at), mask) for line in (weight, dw, db))
            for r in range(rows):
                grad = e.load(there[r], mask)
                d = b.fsub(e.load(here[r], mask), center[r])
                h = b.fmul(grad, scale[r])
                e.store(to[r], e.fma(h, factor, e.fma(d, slope[r], shift[r])), mask)
                first, second = e.fma(h, d, first), b.fadd(second, grad)
            e.store(b.add(dw, at), first, mask)
            e.store(b.add(db, at), second, mask)
            return []

        _sweep(e, n, 1, [], visit)

    return emitted(12, emit, dtype)
