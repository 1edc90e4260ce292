"""An 8 x 8 transpose in registers: the inner block of every copy between row- and column-major data."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .intrinsics import _named, _or_python, _view_python

BLOCK = 8


def _transpose_python(to: int, to_step: int, source: int, source_step: int, dtype: Any) -> None:
    for i in range(BLOCK):
        row = _view_python(source + i * source_step, BLOCK, dtype)
        for j in range(BLOCK):
            _view_python(to + j * to_step, BLOCK, dtype)[i] = row[j]


@_or_python(_transpose_python)
def transpose_block(typingctx: Any, to: Any, to_step: Any, source: Any, source_step: Any, dtype: Any) -> Any:
    """``transpose_block(to, to_step, source, source_step, np.uint32)``: read 8 rows of 8 elements, ``source_step`` bytes apart, from the
    address ``source`` and write them as columns: 8 rows of 8, ``to_step`` bytes apart, at ``to``.

    Three rounds exchange the off-diagonal halves of blocks of 8, 4 and 2 lanes (Eklundh, "A Fast Computer Method for Matrix Transposing",
    1972); LLVM picks the shuffles of the host.  Neither side need be aligned to more than an element.
    """
    element = _named("transpose_block", dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = context.get_data_type(element)
        vector = ir.VectorType(scalar, BLOCK)
        align = context.get_abi_sizeof(scalar)
        word = args[0].type

        def at(base: Any, step: Any, i: int) -> Any:
            address = builder.add(base, builder.mul(step, ir.Constant(word, i)))
            return builder.inttoptr(address, vector.as_pointer())

        rows = [builder.load(at(args[2], args[3], i)) for i in range(BLOCK)]
        for row in rows:
            row.align = align
        half = BLOCK // 2
        while half:
            for i in range(BLOCK):
                if i & half:
                    continue
                a, b = rows[i], rows[i + half]
                upper = [j if not j & half else BLOCK + j - half for j in range(BLOCK)]
                lower = [BLOCK + j if j & half else j + half for j in range(BLOCK)]
                mask = [ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), lanes) for lanes in (upper, lower)]
                rows[i], rows[i + half] = builder.shuffle_vector(a, b, mask[0]), builder.shuffle_vector(a, b, mask[1])
            half //= 2
        for j, row in enumerate(rows):
            builder.store(row, at(args[0], args[1], j)).align = align
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, dtype), codegen
