"""Max pooling over 2 x 2 tiles, one output row at a time, for the vector width that ``simd`` chose.

LLVM's own vectoriser leaves rows shorter than a few registers to scalar code, and rows of pooled images are short.  Here the last
register of a row is masked instead, so a row of 14 costs one turn of 16 lanes.
"""

from __future__ import annotations

import functools
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
