"""Pooling one output row at a time, lanes over output columns, for the vector width that ``simd`` chose.

LLVM's own vectoriser leaves rows shorter than a few registers to scalar code, and rows of pooled images are short.  Here the last
register of a row is masked instead, so a row of 14 costs one turn of 16 lanes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .simd import Emitter, emitted

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


@functools.lru_cache(maxsize=None)
def max_tiles_row(dtype: Any) -> Any:
    """``max_tiles_row(upper, lower, best, at, index, width, n)``: n maxima of 2 x 2 tiles, and their flat places as int64.

    ``upper`` and ``lower`` are the addresses of two rows of input, ``index`` the place of the first element of ``upper`` in its plane and ``width``
    the distance of the rows, in elements.  Of equal elements the first wins; a NaN replaces whatever came before it.
    """

    def emit(e: Emitter, upper: Any, lower: Any, best: Any, at: Any, index: Any, width: Any, n: Any) -> None:
        b, count = e.builder, e.lanes
        codes, places = ir.VectorType(_INT32, count), ir.VectorType(_INT64, count)
        picks = [ir.Constant(ir.VectorType(_INT32, count), list(range(start, 2 * count, 2))) for start in (0, 1)]
        steps = ir.Constant(places, [2 * lane for lane in range(count)])
        narrow = b.trunc(width, _INT32)
        below = [e.splat(narrow), e.splat(b.add(narrow, ir.Constant(_INT32, 1)))]
        offsets = [ir.Constant(codes, [0] * count), ir.Constant(codes, [1] * count), *below]

        def chunk(k: Any, carried: list[Any]) -> list[Any]:
            done = b.mul(k, e.integer(count))
            left = b.sub(n, done)
            pairs = b.mul(left, e.integer(2))
            masks = e.mask(pairs), e.mask(b.sub(pairs, e.integer(count)))
            skip = b.mul(done, e.integer(2 * e.itemsize))
            candidates = []
            for row in (upper, lower):
                address = b.add(row, skip)
                halves = e.load(address, masks[0]), e.load(b.add(address, e.integer(e.register_bytes)), masks[1])
                candidates += [b.shuffle_vector(*halves, pick) for pick in picks]
            value, code = candidates[0], offsets[0]
            for candidate, offset in zip(candidates[1:], offsets[1:]):
                wins = b.or_(b.fcmp_ordered(">", candidate, value), b.fcmp_unordered("uno", candidate, candidate))
                value, code = b.select(wins, candidate, value), b.select(wins, offset, code)
            first = e.splat(b.add(index, b.mul(done, e.integer(2))))
            place = b.add(b.add(first, steps), b.zext(code, places))
            outs = e.mask(left)
            e.store(b.add(best, b.mul(done, e.integer(e.itemsize))), value, outs)
            pointer = e.pointer(b.add(at, b.mul(done, e.integer(8))), places)
            e.call(f"llvm.masked.store.v{count}i64.p0", ir.VoidType(), [place, pointer, ir.Constant(_INT32, 8), outs])
            return carried

        e.loop(b.sdiv(b.add(n, e.integer(count - 1)), e.integer(count)), [], chunk)

    return emitted(7, emit, dtype)


def _row_loader(e: Emitter, step: int) -> Callable[[Any, Any, Any, Any], tuple[Any, Any]]:
    """``load(row, column, width, stride)``: lanes x[column + lane · stride] of the row at an address, zero and not read outside [0, width), with the
    mask of what is inside.  ``step`` 1 and 2 are loads and a shuffle, 0 stands for any step, which is then a gather."""
    b, count = e.builder, e.lanes
    every = ir.Constant(e.mask_type, [1] * count)

    def between(low: Any, high: Any) -> Any:
        return b.and_(e.mask(high), b.xor(e.mask(low), every))

    def load(row: Any, column: Any, width: Any, stride: Any) -> tuple[Any, Any]:
        low, high = b.sub(e.integer(0), column), b.sub(width, column)
        address = b.add(row, b.mul(column, e.integer(e.itemsize)))
        if step == 1:
            inside = between(low, high)
            return e.load(address, inside), inside
        if step == 2:
            far = e.integer(count)
            masks = between(low, high), between(b.sub(low, far), b.sub(high, far))
            evens = ir.Constant(ir.VectorType(_INT32, count), list(range(0, 2 * count, 2)))
            halves = e.load(address, masks[0]), e.load(b.add(address, e.integer(e.register_bytes)), masks[1])
            return b.shuffle_vector(*halves, evens), b.shuffle_vector(*masks, evens)
        places = ir.VectorType(_INT64, count)
        columns = b.add(e.splat(column), b.mul(e.splat(stride), ir.Constant(places, list(range(count)))))
        inside = b.icmp_unsigned("<", columns, e.splat(width))
        pointers = b.inttoptr(
            b.add(e.splat(row), b.mul(columns, ir.Constant(places, [e.itemsize] * count))), ir.VectorType(e.element.as_pointer(), count)
        )
        name = f"{e.name('masked.gather')}.v{count}p0"
        return e.call(name, e.vector, [pointers, ir.Constant(_INT32, e.itemsize), inside, e.zero]), inside

    return load


def _window_rows(e: Emitter, n: Any, stride: Any, begin: Any, window: Callable[[Any, Any], None]) -> None:
    """``window(first output, its first column)`` for each register of n output columns."""
    b = e.builder

    def chunk(k: Any, carried: list[Any]) -> list[Any]:
        done = b.mul(k, e.integer(e.lanes))
        window(done, b.add(begin, b.mul(done, stride)))
        return carried

    e.loop(b.sdiv(b.add(n, e.integer(e.lanes - 1)), e.integer(e.lanes)), [], chunk)


@functools.lru_cache(maxsize=None)
def max_windows_row(dtype: Any, step: int) -> Any:
    """``max_windows_row(plane, best, at, n, width, stride, begin, top, rows, row_step, taps, tap_step)``: the maxima of n windows of one output
    row, and their flat places as int64.

    Window j begins at column ``begin + j * stride`` and has ``taps`` columns ``tap_step`` apart, in ``rows`` rows (all of them inside the plane)
    from row ``top`` on, ``row_step`` apart.  Of equal elements the first wins, a NaN replaces whatever came before it; -inf at -1 where a window
    holds nothing.
    """

    def emit(e: Emitter, plane, best, at, n, width, stride, begin, top, rows, row_step, taps, tap_step) -> None:  # type: ignore[no-untyped-def]
        b, count = e.builder, e.lanes
        codes, places = ir.VectorType(_INT32, count), ir.VectorType(_INT64, count)
        load = _row_loader(e, step)
        lane_steps = b.mul(e.splat(b.trunc(stride, _INT32)), ir.Constant(codes, list(range(count))))
        nothing = ir.Constant(e.vector, [float("-inf")] * count), ir.Constant(codes, [-1] * count)

        def window(done: Any, column: Any) -> None:
            def row(r: Any, values: list[Any]) -> Any:
                h = b.add(top, b.mul(r, row_step))
                address = b.add(plane, b.mul(b.mul(h, width), e.integer(e.itemsize)))
                base = b.mul(h, width)

                def tap(t: Any, values: list[Any]) -> list[Any]:
                    value, code = values
                    place = b.add(column, b.mul(t, tap_step))
                    candidate, inside = load(address, place, width, stride)
                    wins = b.or_(b.fcmp_ordered(">", candidate, value), b.fcmp_unordered("uno", candidate, candidate))
                    wins = b.and_(inside, b.or_(wins, b.icmp_signed("<", code, ir.Constant(codes, [0] * count))))
                    offset = b.add(e.splat(b.trunc(b.add(base, place), _INT32)), lane_steps)
                    return [b.select(wins, candidate, value), b.select(wins, offset, code)]

                return e.loop(taps, values, tap)

            value, code = e.loop(rows, list(nothing), row)
            outs = e.mask(b.sub(n, done))
            e.store(b.add(best, b.mul(done, e.integer(e.itemsize))), value, outs)
            pointer = e.pointer(b.add(at, b.mul(done, e.integer(8))), places)
            e.call(f"llvm.masked.store.v{count}i64.p0", ir.VoidType(), [b.sext(code, places), pointer, ir.Constant(_INT32, 8), outs])

        _window_rows(e, n, stride, begin, window)

    return emitted(12, emit, dtype)


@functools.lru_cache(maxsize=None)
def average_windows_row(dtype: Any, step: int) -> Any:
    """``average_windows_row(plane, out, n, width, stride, begin, top, rows, taps, height, widths)``: the sums of n windows of one output row,
    each the sum of its rows' sums, divided by ``height`` (the address of one element) and ``widths`` (of n); the windows are those of
    ``max_windows_row``."""

    def emit(e: Emitter, plane, out, n, width, stride, begin, top, rows, taps, height, widths) -> None:  # type: ignore[no-untyped-def]
        b, load = e.builder, _row_loader(e, step)

        def window(done: Any, column: Any) -> None:
            def row(r: Any, values: list[Any]) -> Any:
                address = b.add(plane, b.mul(b.mul(b.add(top, r), width), e.integer(e.itemsize)))

                def tap(t: Any, values: list[Any]) -> list[Any]:
                    return [b.fadd(values[0], load(address, b.add(column, t), width, stride)[0])]

                return [b.fadd(values[0], e.loop(taps, [e.zero], tap)[0])]

            total = e.loop(rows, [e.zero], row)[0]
            outs, shift = e.mask(b.sub(n, done)), b.mul(done, e.integer(e.itemsize))
            divisor = b.fmul(e.broadcast(height), e.load(b.add(widths, shift), outs))
            e.store(b.add(out, shift), b.fdiv(total, divisor), outs)

        _window_rows(e, n, stride, begin, window)

    return emitted(11, emit, dtype)


@functools.lru_cache(maxsize=None)
def max_window(dtype: Any) -> Any:
    """``max_window(window, best, at, rows, columns, width, index)``: the maximum of one window, lanes over its columns, and its flat place as int64.

    ``window`` is the address of its first element, ``index`` that element's place, ``width`` the distance of rows in elements; ties and NaN are as
    in ``max_windows_row``.
    """

    def emit(e: Emitter, window: Any, best: Any, at: Any, rows: Any, columns: Any, width: Any, index: Any) -> None:
        b, count = e.builder, e.lanes
        codes = ir.VectorType(_INT32, count)
        lane, none = ir.Constant(codes, list(range(count))), ir.Constant(codes, [0] * count)
        chunks = b.sdiv(b.add(columns, e.integer(count - 1)), e.integer(count))

        def row(r: Any, values: list[Any]) -> Any:
            shift = b.mul(r, width)
            address, place = b.add(window, b.mul(shift, e.integer(e.itemsize))), b.add(index, shift)

            def chunk(k: Any, values: list[Any]) -> list[Any]:
                value, code = values
                done = b.mul(k, e.integer(count))
                inside = e.mask(b.sub(columns, done))
                candidate = e.load(b.add(address, b.mul(done, e.integer(e.itemsize))), inside)
                wins = b.or_(b.fcmp_ordered(">", candidate, value), b.fcmp_unordered("uno", candidate, candidate))
                wins = b.and_(inside, b.or_(wins, b.icmp_signed("<", code, none)))
                found = b.add(e.splat(b.trunc(b.add(place, done), _INT32)), lane)
                return [b.select(wins, candidate, value), b.select(wins, found, code)]

            return e.loop(chunks, values, chunk)

        value, code = e.loop(rows, [ir.Constant(e.vector, [float("-inf")] * count), ir.Constant(codes, [-1] * count)], row)
        step = count // 2
        while step:  # the larger of two lanes; of equal ones the earlier place, of two NaN the later
            turned = ir.Constant(codes, [(i + step) % count for i in range(count)])
            v, w = b.shuffle_vector(value, value, turned), b.shuffle_vector(code, code, turned)
            earlier = b.icmp_signed("<", w, code)
            number = b.or_(b.fcmp_ordered(">", v, value), b.and_(b.fcmp_ordered("==", v, value), earlier))
            nan = b.fcmp_unordered("uno", v, v)
            beaten = b.or_(b.fcmp_ordered("ord", value, value), b.icmp_signed(">", w, code))
            wins = b.or_(number, b.and_(nan, beaten))
            wins = b.and_(b.or_(wins, b.icmp_signed("<", code, none)), b.icmp_signed(">=", w, none))
            value, code = b.select(wins, v, value), b.select(wins, w, code)
            step //= 2
        first = ir.Constant(_INT32, 0)
        b.store(b.extract_element(value, first), e.pointer(best, e.element), align=e.itemsize)
        b.store(b.sext(b.extract_element(code, first), _INT64), e.pointer(at, _INT64), align=8)

    return emitted(7, emit, dtype)


@functools.lru_cache(maxsize=None)
def weighted_windows_row(dtype: Any, step: int) -> Any:
    """``weighted_windows_row(x, out, n, table, taps, weights, start)``: n weighted sums over windows of one output row,
    out[j] = start + sum over t of weights[t] * x[table[t] + j · step], for ``step`` 1 or 2.

    ``table`` holds byte offsets; ``start`` is the address of one element.  Whole registers of x are read, also beyond the last window.
    """

    def emit(e: Emitter, x: Any, out: Any, n: Any, table: Any, taps: Any, weights: Any, start: Any) -> None:
        b = e.builder
        evens = ir.Constant(ir.VectorType(_INT32, e.lanes), list(range(0, 2 * e.lanes, 2)))

        def chunk(k: Any, carried: list[Any]) -> list[Any]:
            done = b.mul(k, e.integer(e.register_bytes))
            here = b.add(x, b.mul(done, e.integer(step)))

            def tap(t: Any, values: list[Any]) -> list[Any]:
                address = b.add(here, e.word(b.add(table, b.mul(t, e.integer(8)))))
                inputs = e.load(address)
                if step == 2:
                    inputs = b.shuffle_vector(inputs, e.load(b.add(address, e.integer(e.register_bytes))), evens)
                return [e.fma(inputs, e.broadcast(b.add(weights, b.mul(t, e.integer(e.itemsize)))), values[0])]

            total = e.loop(taps, [e.broadcast(start)], tap)[0]
            e.store(b.add(out, done), total, e.mask(b.sub(n, b.mul(k, e.integer(e.lanes)))))
            return carried

        e.loop(b.sdiv(b.add(n, e.integer(e.lanes - 1)), e.integer(e.lanes)), [], chunk)

    return emitted(7, emit, dtype)
