"""The register tiles of the convolutions, for the vector width that ``simd`` chose.

All of them work on a *tap table*: input rows are laid out so that the inputs which one tap (input channel, kernel row, kernel column)
meets at consecutive output pixels are consecutive in memory; the table holds the byte offset of each tap's first one.  Addresses are
``intp``, strides are in bytes, edges are padded by the caller unless said otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .simd import REGISTERS, Emitter, emitted, lanes, vectors


def _function(arity: int, emit: Callable[..., None], dtype: Any, label: str) -> Any:
    """``emitted``, but as a function of its own that is called, not inlined.

    A tile needs every register; inlined, it shares them with what the code around it keeps, and one accumulator in memory halves its speed.  It
    is also compiled once per kernel instead of once per call.
    """

    def emit_call(e: Emitter, *values: Any) -> None:
        module, name = e.builder.module, f"numbagrad_{label}_{e.dtype.name}"
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            function.attributes.add("nounwind")
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            emit(Emitter(builder, dtype, e.lanes), *function.args)
            builder.ret_void()
        e.builder.call(function, values)

    return emitted(arity, emit_call, dtype)


def inlined(function: Callable[..., Any]) -> Any:
    """A helper whose statements become part of each kernel that calls it before types are inferred.

    For long helpers of one or two kernels: LLVM then sees them once per kernel, and not once more on their own.
    """
    return njit(nogil=True, error_model="numpy", inline="always")(function)


# Tiles that fill the register file: accumulators + operands <= REGISTERS, and at least 8 accumulators to cover the latency of an fma.
_MANY = REGISTERS >= 32
WIDE_PIXELS = 14 if _MANY else 6  # x 1 or 2 vectors of output channels
NARROW_CHANNELS, NARROW_VECTORS = (8, 3) if _MANY else (4, 3)
SINGLE_VECTORS = 8
BATCH_TILES = ((6, 4), (12, 2), (24, 1)) if _MANY else ((6, 2), (12, 1))
TAP_PIXELS = 4
LANE_CHANNELS, LANE_TAPS = (3, 9) if _MANY else (3, 3)


@functools.lru_cache(maxsize=None)
def wide_tile(dtype: Any, columns: int) -> Any:
    """out[i, :] = start[:] + sum_k x[i + table[k]] * w[k, :]: ``wide_tile(k, x, table, w, start, out)``.

    Lanes are output channels, rows are WIDE_PIXELS consecutive output pixels.  Rows of ``w`` and ``out`` are two vectors long, of which the
    first ``columns`` are used.
    """

    def emit(e: Emitter, k: Any, x: Any, table: Any, w: Any, start: Any, out: Any) -> None:
        add, at = e.builder.add, e.integer

        def turn(_: Any, values: list[Any]) -> list[Any]:
            entry, weights, sums = values[0], values[1], values[2:]
            pixel = add(x, e.word(entry))
            right = [e.load(add(weights, at(j * e.register_bytes))) for j in range(columns)]
            after = []
            for i in range(WIDE_PIXELS):
                left = e.broadcast(add(pixel, at(i * e.itemsize)))
                after += [e.fma(left, right[j], sums[i * columns + j]) for j in range(columns)]
            return [add(entry, at(8)), add(weights, at(2 * e.register_bytes)), *after]

        first = [e.load(add(start, at(j * e.register_bytes))) for j in range(columns)]
        for n, total in enumerate(e.loop(k, [table, w, *first * WIDE_PIXELS], turn)[2:]):
            e.store(add(out, at((n // columns * 2 + n % columns) * e.register_bytes)), total)

    return _function(6, emit, dtype, f"wide_tile_{columns}")


@functools.lru_cache(maxsize=None)
def tap_tile(dtype: Any, columns: int) -> Any:
    """out[i, :] += sum_p x[p + table[i]] * g[p, :]: ``tap_tile(rows, width, x_row, x, table, g, out)``.

    p are the pixels of ``rows`` rows of ``width``, which lie ``x_row`` bytes apart in x and one after the other in g.  The weight
    gradient's counterpart of ``wide_tile``: lanes are output channels, rows are WIDE_PIXELS entries of the table, and the sum runs over
    pixels.  It starts from zero, so what is added to ``out`` is the sum of one block.  Rows of ``g`` and ``out`` are two vectors long, of
    which the first ``columns`` are used.

    The addresses of the entries are more than there are registers for: TAP_PIXELS pixels at a time share what it takes to move them on.
    """

    def emit(e: Emitter, rows: Any, width: Any, x_row: Any, x: Any, table: Any, g: Any, out: Any) -> None:
        builder, add, at = e.builder, e.builder.add, e.integer
        offsets = [e.word(add(table, at(8 * i))) for i in range(WIDE_PIXELS)]
        several = builder.sdiv(width, at(TAP_PIXELS))
        rest, begin = builder.srem(width, at(TAP_PIXELS)), builder.mul(several, at(TAP_PIXELS))

        def row(_: Any, values: list[Any]) -> list[Any]:
            taps = [add(values[0], offset) for offset in offsets]
            carried = e.loop(several, values[1:], lambda k, carried: pixels(taps, builder.mul(k, at(TAP_PIXELS)), TAP_PIXELS, carried))
            return [add(values[0], x_row), *e.loop(rest, carried, lambda k, carried: pixels(taps, add(begin, k), 1, carried))]

        def pixels(taps: list[Any], first: Any, count: int, values: list[Any]) -> list[Any]:
            gradient, sums = values[0], values[1:]
            shift = builder.mul(first, at(e.itemsize))
            here = [add(tap, shift) for tap in taps]
            for pixel in range(count):
                right = [e.load(add(gradient, at((2 * pixel + j) * e.register_bytes))) for j in range(columns)]
                after = []
                for i in range(WIDE_PIXELS):
                    left = e.broadcast(add(here[i], at(pixel * e.itemsize)))
                    after += [e.fma(left, right[j], sums[i * columns + j]) for j in range(columns)]
                sums = after
            return [add(gradient, at(2 * count * e.register_bytes)), *sums]

        for n, total in enumerate(e.loop(rows, [x, g, *[e.zero] * (WIDE_PIXELS * columns)], row)[2:]):
            address = add(out, at((n // columns * 2 + n % columns) * e.register_bytes))
            e.store(address, builder.fadd(e.load(address), total))

    return _function(7, emit, dtype, f"tap_tile_{columns}")


@functools.lru_cache(maxsize=None)
def narrow_tile(dtype: Any, rows: int, columns: int) -> Any:
    """out[i, :] = start[i] + sum_k w[k, i] * x[table[k] + :]: ``narrow_tile(k, x, table, w, start, out, out_row, present)``.

    Lanes are consecutive output pixels (``columns`` vectors), rows are output channels, of which the first ``present`` are written.
    """

    def emit(e: Emitter, k: Any, x: Any, table: Any, w: Any, start: Any, out: Any, out_row: Any, present: Any) -> None:
        builder, add, at = e.builder, e.builder.add, e.integer

        def turn(_: Any, values: list[Any]) -> list[Any]:
            entry, weights, sums = values[0], values[1], values[2:]
            pixel = add(x, e.word(entry))
            right = [e.load(add(pixel, at(j * e.register_bytes))) for j in range(columns)]
            after = []
            for i in range(rows):
                left = e.broadcast(add(weights, at(i * e.itemsize)))
                after += [e.fma(left, right[j], sums[i * columns + j]) for j in range(columns)]
            return [add(entry, at(8)), add(weights, at(rows * e.itemsize)), *after]

        first = [e.broadcast(add(start, at(i * e.itemsize))) for i in range(rows) for _ in range(columns)]
        sums = e.loop(k, [table, w, *first], turn)[2:]
        end = builder.append_basic_block("stored")
        for i in range(rows):
            for j in range(columns):
                e.store(add(e.offset(out, out_row, i), at(j * e.register_bytes)), sums[i * columns + j])
            if i + 1 < rows:
                following = builder.append_basic_block("row")
                builder.cbranch(builder.icmp_signed("<", at(i + 1), present), following, end)
                builder.position_at_end(following)
        builder.branch(end)
        builder.position_at_end(end)

    return _function(8, emit, dtype, f"narrow_tile_{rows}_{columns}")


@functools.lru_cache(maxsize=None)
def batch_tile(dtype: Any, rows: int, columns: int) -> Any:
    """out[i, :] = start[i] + sum over runs r and taps k of w[r, k, i] * x[r, k, :], for ``rows`` i and ``columns`` vectors:
    ``batch_tile(runs, taps, x, x_run, w, w_run, start, out, out_row)``.

    The taps of a run are consecutive in x and in w; runs lie ``x_run`` and ``w_run`` bytes apart.
    """

    def emit(e: Emitter, runs: Any, taps: Any, x: Any, x_run: Any, w: Any, w_run: Any, start: Any, out: Any, out_row: Any) -> None:
        add, at = e.builder.add, e.integer

        def run(_: Any, values: list[Any]) -> list[Any]:
            return [add(values[0], x_run), add(values[1], w_run), *e.loop(taps, values, tap)[2:]]

        def tap(_: Any, values: list[Any]) -> list[Any]:
            here, weights, sums = values[0], values[1], values[2:]
            right = [e.load(add(here, at(j * e.register_bytes))) for j in range(columns)]
            after = []
            for i in range(rows):
                left = e.broadcast(add(weights, at(i * e.itemsize)))
                after += [e.fma(left, right[j], sums[i * columns + j]) for j in range(columns)]
            return [add(here, at(columns * e.register_bytes)), add(weights, at(rows * e.itemsize)), *after]

        first = [e.broadcast(add(start, at(i * e.itemsize))) for i in range(rows) for _ in range(columns)]
        sums = e.loop(runs, [x, w, *first], run)[2:]
        for i in range(rows):
            for j in range(columns):
                e.store(add(e.offset(out, out_row, i), at(j * e.register_bytes)), sums[i * columns + j])

    return _function(9, emit, dtype, f"batch_tile_{rows}_{columns}")


@functools.lru_cache(maxsize=None)
def lane_tile(dtype: Any, rows: int) -> Any:
    """out[i, t, :] += sum over blocks of g[i, p:] * x[table[t] + p:]: ``lane_tile(pixels, x, table, g, g_row, out)``.

    The weight gradient's counterpart of ``narrow_tile``: lanes are pixels, tiles are ``rows`` output channels by LANE_TAPS taps, and the
    lanes are left to be summed later.  The last, partial vector is read under a mask on both sides (what lies beyond the pixels may be
    infinite).
    """

    def emit(e: Emitter, pixels: Any, x: Any, table: Any, g: Any, g_row: Any, out: Any) -> None:
        builder, add, at = e.builder, e.builder.add, e.integer
        taps = [add(x, e.word(add(table, at(8 * t)))) for t in range(LANE_TAPS)]
        gradients = [e.offset(g, g_row, i) for i in range(rows)]

        def step(shift: Any, sums: list[Any], mask: Any) -> list[Any]:
            left = [e.load(add(row, shift), mask) for row in gradients]
            after = []
            for t in range(LANE_TAPS):
                right = e.load(add(taps[t], shift), mask)
                after += [e.fma(left[i], right, sums[t * rows + i]) for i in range(rows)]
            return after

        whole = builder.sdiv(pixels, at(e.lanes))
        zeros = [e.zero] * (rows * LANE_TAPS)
        sums = e.loop(whole, zeros, lambda k, sums: step(builder.mul(k, at(e.register_bytes)), sums, None))
        rest = builder.sub(pixels, builder.mul(whole, at(e.lanes)))
        partial, end = builder.append_basic_block("partial"), builder.append_basic_block("stored")
        before = builder.block
        builder.cbranch(builder.icmp_signed(">", rest, at(0)), partial, end)
        builder.position_at_end(partial)
        masked = step(builder.mul(whole, at(e.register_bytes)), sums, e.mask(rest))
        builder.branch(end)
        builder.position_at_end(end)
        for n, (a, b) in enumerate(zip(sums, masked)):
            total = builder.phi(e.vector)
            total.add_incoming(a, before)
            total.add_incoming(b, partial)
            sums[n] = total
        for t in range(LANE_TAPS):
            for i in range(rows):
                address = add(out, at((i * LANE_TAPS + t) * e.register_bytes))
                e.store(address, builder.fadd(e.load(address), sums[t * rows + i]))

    return _function(6, emit, dtype, f"lane_tile_{rows}")


@functools.lru_cache(maxsize=None)
def store_columns(dtype: Any) -> Any:
    """to[c, r] = source[r, c] for r < rows, c < columns: ``store_columns(to, to_row, source, source_row, rows, columns)``.

    A whole square of ``source`` is read; only the elements asked for are written (columns >= 1).
    """

    def emit(e: Emitter, to: Any, to_row: Any, source: Any, source_row: Any, rows: Any, columns: Any) -> None:
        builder, within = e.builder, e.mask(rows)
        vectors = e.transposed([e.load(e.offset(source, source_row, r)) for r in range(e.lanes)])
        end = builder.append_basic_block("stored")
        for c in range(e.lanes):
            e.store(e.offset(to, to_row, c), vectors[c], within)
            if c + 1 < e.lanes:
                following = builder.append_basic_block("column")
                builder.cbranch(builder.icmp_signed("<", e.integer(c + 1), columns), following, end)
                builder.position_at_end(following)
        builder.branch(end)
        builder.position_at_end(end)

    return _function(6, emit, dtype, "store_columns")


@functools.lru_cache(maxsize=None)
def interleave(dtype: Any) -> Any:
    """to[2c] = even[c] and to[2c + 1] = odd[c] for one vector of c, as far as 2c and 2c + 1 are below ``count``:
    ``interleave(to, even, odd, count)``."""

    def emit(e: Emitter, to: Any, even: Any, odd: Any, count: Any) -> None:
        builder, at = e.builder, e.integer
        left = e.load(even, e.mask(builder.ashr(builder.add(count, at(1)), at(1))))
        right = e.load(odd, e.mask(builder.ashr(count, at(1))))
        for part in range(2):
            order = [c + side for c in range(part * e.lanes // 2, (part + 1) * e.lanes // 2) for side in (0, e.lanes)]
            vector = builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), e.lanes), order))
            e.store(builder.add(to, at(part * e.register_bytes)), vector, e.mask(builder.sub(count, at(part * e.lanes))))

    return emitted(4, emit, dtype)


@functools.lru_cache(maxsize=None)
def copy_rows(dtype: Any) -> Any:
    """to[r, c] = source[r, c] for first <= r < last and low <= c < high, else 0, for one vector of columns c and every row r < ``rows``:
    ``copy_rows(to, to_row, source, source_row, source_column, rows, first, last, low, high)``.

    The vector is written whole, so where rows of ``to`` are shorter, the next row (ascending) must be written after it.  ``source`` is read only
    where it is copied.
    """

    def emit(
        e: Emitter, to: Any, to_row: Any, source: Any, source_row: Any, column: Any, rows: Any, first: Any, last: Any, low: Any, high: Any
    ) -> None:
        builder, at = e.builder, e.integer
        every, none = ir.Constant(e.mask_type, [1] * e.lanes), ir.Constant(e.mask_type, [0] * e.lanes)
        count = builder.sub(last, first)
        words = ir.VectorType(ir.IntType(64), e.lanes)
        steps = builder.mul(e.splat(column), ir.Constant(words, list(range(e.lanes))))
        pointers = ir.VectorType(e.element.as_pointer(), e.lanes)

        def between(start: Any, stop: Any) -> Any:
            return builder.and_(e.mask(stop), builder.xor(e.mask(start), every))

        def row(load: Callable[[Any, Any], Any]) -> Callable[[Any, list[Any]], list[Any]]:
            def turn(r: Any, values: list[Any]) -> list[Any]:
                target, origin = values
                inside = builder.icmp_unsigned("<", builder.sub(r, first), count)
                e.store(target, load(origin, lambda mask: builder.select(inside, mask, none)))
                return [builder.add(target, to_row), builder.add(origin, source_row)]

            return turn

        def load_dense(address: Any, where: Any) -> Any:
            return e.load(address, where(within))

        def load_pairs(address: Any, where: Any) -> Any:
            halves = e.load(address, where(even[0])), e.load(builder.add(address, at(e.register_bytes)), where(even[1]))
            return builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(ir.IntType(32), e.lanes), list(range(0, 2 * e.lanes, 2))))

        def load_spread(address: Any, where: Any) -> Any:
            cells = builder.inttoptr(builder.add(e.splat(address), steps), pointers)
            name = f"{e.name('masked.gather')}.v{e.lanes}p0"
            return e.call(name, e.vector, [cells, ir.Constant(ir.IntType(32), e.itemsize), where(within), e.zero])

        within = between(low, high)
        start, stop = builder.mul(low, at(2)), builder.sub(builder.mul(high, at(2)), at(1))
        even = between(start, stop), between(builder.sub(start, at(e.lanes)), builder.sub(stop, at(e.lanes)))
        dense, pairs, spread, end = (builder.append_basic_block(label) for label in ("dense", "pairs", "spread", "copied"))
        choice = builder.switch(column, spread)
        choice.add_case(at(e.itemsize), dense)
        choice.add_case(at(2 * e.itemsize), pairs)
        for block, load in ((dense, load_dense), (pairs, load_pairs), (spread, load_spread)):
            builder.position_at_end(block)
            e.loop(rows, [to, source], row(load))
            builder.branch(end)
        builder.position_at_end(end)

    return _function(10, emit, dtype, "copy_rows")


def _prefetch(write: int) -> Any:
    @intrinsic
    def prefetch(typingctx, address):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word, name = ir.IntType(32), "llvm.prefetch.p0"
            pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            builder.call(function, [pointer, word(write), word(3), word(1)])
            return context.get_dummy_value()

        return types.void(types.intp), codegen

    return prefetch


# Ask for the cache line at an address that will be read, or written, some hundred cycles from now; any address will do.
prefetch_read, prefetch_write = _prefetch(0), _prefetch(1)


@functools.lru_cache(maxsize=None)
def load_between(dtype: Any) -> Any:
    """``load_between(address, low, high)``: the vector at ``address`` with zeros in the lanes before ``low`` and from ``high`` on, which are
    not read."""
    vector = vectors(dtype).type

    @intrinsic
    def load(typingctx, address, low, high):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            e = Emitter(builder, dtype, lanes(dtype))
            outside = builder.xor(e.mask(args[1]), ir.Constant(e.mask_type, [1] * e.lanes))
            return e.load(args[0], builder.and_(e.mask(args[2]), outside))

        return vector(types.intp, types.intp, types.intp), codegen

    return load


__all__ = [
    "BATCH_TILES",
    "LANE_CHANNELS",
    "LANE_TAPS",
    "NARROW_CHANNELS",
    "NARROW_VECTORS",
    "SINGLE_VECTORS",
    "WIDE_PIXELS",
    "batch_tile",
    "copy_rows",
    "inlined",
    "interleave",
    "lane_tile",
    "lanes",
    "load_between",
    "narrow_tile",
    "prefetch_read",
    "prefetch_write",
    "store_columns",
    "tap_tile",
    "wide_tile",
]
