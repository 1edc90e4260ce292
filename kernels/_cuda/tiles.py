"""What a thread holds of a tile, in registers: tuples, and the sums of products over a tile in shared memory.

A tuple whose length is known when a kernel is compiled is registers and nothing else, while an array in local memory is so only where every loop over
it is unrolled.  A loop over a tuple takes what is in front (``head``) and turns the rest (``rotated``), or appends behind (``pushed``): if it is not
unrolled, registers move, but none is spilled.

    x = load_vectors(a, i, step, groups, lanes)
    y = load_vectors(b, j, step, groups, lanes)
    sums = outer_add(sums, x, y)   # a multiply-add for each pair, without a loop

``tile_product`` does that for each of the outer products that a tile is made of.

Each intrinsic has a twin in Python for the simulator, as those in ``intrinsics``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError

from .intrinsics import _is_pointer, _or_simulated, _Vector, check_vector, first_address, inline

__all__ = ["Fragment", "each_add", "head", "load_vectors", "outer_add", "picked", "pushed", "repeat", "rotated", "tile_product"]


def _literal(value: Any) -> Any:
    return value.literal_value if isinstance(value, types.IntegerLiteral) else None


def _parts(builder: Any, value: Any, count: int) -> list[Any]:
    return [builder.extract_value(value, k) for k in range(count)]


@_or_simulated(lambda value, count: (value,) * count)
def repeat(typingctx: Any, value: Any, count: Any) -> Any:
    """``repeat(x, 4)``: (x, x, x, x).  ``count`` is a constant."""
    n = _literal(count)
    if n is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, [args[0]] * n)

    return types.UniTuple(value, n)(value, count), codegen


@_or_simulated(lambda values, count: values[:count])
def head(typingctx: Any, values: Any, count: Any) -> Any:
    """The first ``count`` (a constant) of ``values``."""
    n = _literal(count)
    if n is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, _parts(builder, args[0], n))

    return types.UniTuple(values.dtype, n)(values, count), codegen


@_or_simulated(lambda values, count: values[count:] + values[:count])
def rotated(typingctx: Any, values: Any, count: Any) -> Any:
    """``values`` with the first ``count`` (a constant) put behind the others."""
    n = _literal(count)
    if n is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = _parts(builder, args[0], values.count)
        return context.make_tuple(builder, signature.return_type, parts[n:] + parts[:n])

    return values(values, count), codegen


@_or_simulated(lambda values, new: values[len(new) :] + new)
def pushed(typingctx: Any, values: Any, new: Any) -> Any:
    """``values`` without as many of the first as there are ``new`` ones, and those behind."""
    if new.dtype != values.dtype:
        raise TypingError(f"pushed: expected a tuple of {values.dtype}, but got {new}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = _parts(builder, args[0], values.count)[new.count :] + _parts(builder, args[1], new.count)
        return context.make_tuple(builder, signature.return_type, parts)

    return values(values, new), codegen


def _pick(values: Any, first: int, groups: int, step: int, width: int) -> Any:
    return tuple([values[first + g * step + k] for g in range(groups) for k in range(width)])


@_or_simulated(_pick)
def picked(typingctx: Any, values: Any, first: Any, groups: Any, step: Any, width: Any) -> Any:
    """``picked(x, 1, 2, 4, 2)``: (x[1], x[2], x[5], x[6]); all but ``values`` are constants."""
    start, count, apart, wide = _literal(first), _literal(groups), _literal(step), _literal(width)
    if start is None or count is None or apart is None or wide is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = _parts(builder, args[0], values.count)
        return context.make_tuple(builder, signature.return_type, list(_pick(parts, start, count, apart, wide)))

    return types.UniTuple(values.dtype, count * wide)(values, first, groups, step, width), codegen


def _load_each(array: Any, index: Any, step: int, groups: int, lanes: int) -> Any:
    check_vector(array, index, lanes)
    return tuple([array[int(index) + g * step + k] for g in range(groups) for k in range(lanes)])


@_or_simulated(_load_each)
def load_vectors(typingctx: Any, array: Any, index: Any, step: Any, groups: Any, lanes: Any) -> Any:
    """``load_vectors(s, i, 64, 2, 4)``: s[i] to s[i + 3] and s[i + 64] to s[i + 67] as one tuple, by a load for each group.  ``step``, ``groups`` and
    ``lanes`` are constants; alignment as of ``load_vector``."""
    _is_pointer("load_vectors", array, index)
    apart, count, width = _literal(step), _literal(groups), _literal(lanes)
    if apart is None or count is None or width is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _Vector(context, array.dtype, width)
        first = vector.address(builder, first_address(context, builder, array, args[0]), args[1], signature.args[1].signed)
        values = []
        for g in range(count):
            address = builder.gep(first, [ir.Constant(ir.IntType(64), g * apart // width)]) if g else first
            values += vector.elements(builder, builder.load(address, align=vector.bytes))
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(array.dtype, count * width)(array, index, step, groups, lanes), codegen


# ---- multiply-adds --------------------------------------------------------------------------------------------------------------------------


def _outer_add(sums: Any, a: Any, b: Any) -> Any:
    dtype = type(sums[0])
    found = np.array(sums, dtype).reshape(len(a), len(b)) + np.multiply.outer(np.array(a, dtype), np.array(b, dtype))
    return tuple(found.astype(dtype).ravel())


def _multiply_add(context: Any, builder: Any, kind: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, rounded once where that is an instruction."""
    if isinstance(kind, types.Float):
        return builder.fma(a, b, c)
    if not isinstance(kind, types.Complex):
        return builder.add(builder.mul(a, b), c)
    x, y, z = (context.make_complex(builder, kind, value) for value in (a, b, c))
    found = context.make_complex(builder, kind)
    negative = builder.fsub(ir.Constant(x.imag.type, -0.0), x.imag)  # NVVM has no fneg
    found.real = builder.fma(negative, y.imag, builder.fma(x.real, y.real, z.real))
    found.imag = builder.fma(x.imag, y.real, builder.fma(x.real, y.imag, z.imag))
    return found._getvalue()


@_or_simulated(_outer_add)
def outer_add(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
    """sums[i·len(b) + j] + a[i]·b[j] for all i and j, of one type: real, complex or integers, which wrap around."""
    if not a.dtype == b.dtype == sums.dtype or sums.count != a.count * b.count:
        raise TypingError(f"outer_add: expected {a.count * b.count} sums of {a.dtype}, but got {sums}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c, x, y = (_parts(builder, value, kind.count) for value, kind in zip(args, signature.args))
        found = [_multiply_add(context, builder, a.dtype, x[i // b.count], y[i % b.count], c[i]) for i in range(sums.count)]
        return context.make_tuple(builder, signature.return_type, found)

    return sums(sums, a, b), codegen


@_or_simulated(lambda sums, a, b: tuple([type(c)(c + x * y) for c, x, y in zip(sums, a, b)]))
def each_add(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
    """sums[i] + a[i]·b[i] for all i, as ``outer_add``."""
    if not a.dtype == b.dtype == sums.dtype or not sums.count == a.count == b.count:
        raise TypingError(f"each_add: expected tuples of one type and length, but got {sums}, {a} and {b}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = [_parts(builder, value, sums.count) for value in args]
        found = [_multiply_add(context, builder, a.dtype, x, y, c) for c, x, y in zip(*parts)]
        return context.make_tuple(builder, signature.return_type, found)

    return sums(sums, a, b), codegen


# ---- tiles ----------------------------------------------------------------------------------------------------------------------------------


class Fragment(NamedTuple):
    """What a thread reads of a tile that lies with k outermost: ``groups`` vectors of ``lanes`` elements, ``apart`` from one to the next, and the same
    again ``pitch`` elements behind for the next k."""

    pitch: int
    apart: int
    groups: int
    lanes: int


@functools.lru_cache(maxsize=None)
def tile_product(a: Fragment, b: Fragment, depth: int) -> Any:
    """The function of sums, a tile of A and where the thread's first fragment begins in it, and the same for B, which adds the products over ``depth``
    (a power of two) elements along k.  It is unrolled by doubling: a loop would cost a tenth."""
    if depth > 1:
        half = tile_product(a, b, depth // 2)
        a_step, b_step = depth // 2 * a.pitch, depth // 2 * b.pitch

        @inline
        def twice(sums, a_tile, i, b_tile, j):  # type: ignore[no-untyped-def]
            sums = half(sums, a_tile, i, b_tile, j)
            return half(sums, a_tile, i + np.uint64(a_step), b_tile, j + np.uint64(b_step))

        return twice
    _, a_apart, a_groups, a_lanes = a
    _, b_apart, b_groups, b_lanes = b

    @inline
    def once(sums, a_tile, i, b_tile, j):  # type: ignore[no-untyped-def]
        x = load_vectors(a_tile, i, a_apart, a_groups, a_lanes)
        y = load_vectors(b_tile, j, b_apart, b_groups, b_lanes)
        return outer_add(sums, x, y)

    return once
