"""Functions of float32 by looking up: a register of coefficients is a table, and one permutation instruction looks up as many elements as it has lanes.

    gelu  gelu_slope        on AVX-512 and AVX2, three times as fast as normal32.py

Both are antisymmetric but for a term without rounding errors, so what is tabulated depends on a = |x| < 4 alone.  Lane n of the table is for the
interval of width w around n w.  Adding 1.5 * 2**23 to a/w leaves n in the low bits; t = a - n w is exact, since w has few digits; and the coefficients of
the polynomial in t are those of a Chebyshev interpolant (Trefethen, *Approximation Theory and Approximation Practice*, chapter 4), found when a
kernel is compiled.
The compiler's own vectoriser does not know such tables, so ``LOOKUPS`` has functions that fill a block of memory, for the loops of kernels to
read.  Arguments that are beyond the table are put together, go through the function of normal32.py, and their results back to where they belong, so that a
few of them cost little.  The arithmetic units bound it all: half of the work is permutations, half multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .intrinsics import array_from
from .jit import inline
from .normal32 import FUNCTIONS, f32
from .simd import COMPILED, INSTRUCTION_SET, Emitter, lanes, stack_space

# Elements in a block: long enough that the vector loops are entered and left rarely, short enough that it stays in the first-level cache.
BLOCK = 256
_INT32 = ir.IntType(32)
LIMIT = 4.0  # of the tables; of normally distributed arguments one in 16,000 is beyond
_ROUND = 12582912.0  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits


class Permutation(NamedTuple):
    """How an instruction set looks up: its instruction, the feature that has it, and the degree that suits intervals for as many lanes."""

    instruction: str
    feature: str
    degree: int


_PERMUTATIONS = {
    "avx512": Permutation("llvm.x86.avx512.permvar.sf.512", "+avx512f", 6),
    "avx2": Permutation("llvm.x86.avx2.permps", "+avx2", 9),
}


def _gelu_tail(a: float) -> float:
    """a Phi(-a) = max(x, 0) - gelu(x) for a = |x|."""
    return 0.5 * a * math.erfc(a * math.sqrt(0.5))


def _slope_tail(a: float) -> float:
    """The derivative of gelu at -a, which is 1 less the derivative at a."""
    return 0.5 * math.erfc(a * math.sqrt(0.5)) - a * math.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)


def _gelu_from_tail(e: Emitter, x: Any, tail: Any) -> Any:
    nothing = _all(e, -0.0)
    positive = e.builder.select(e.builder.fcmp_ordered(">", nothing, x), nothing, x)  # x where it is NaN
    return e.builder.fsub(positive, tail)


def _slope_from_tail(e: Emitter, x: Any, tail: Any) -> Any:
    return e.builder.select(e.builder.fcmp_ordered(">", x, e.zero), e.builder.fsub(_all(e, 1.0), tail), tail)


def _width(size: int) -> float:
    """Of the intervals of a table that covers [0, 4), with half of the first: a multiple of 1/512, whose multiples float32 holds."""
    return math.ceil(512 * LIMIT / (size - 0.5)) / 512


def _coefficients(tail: Callable[[float], float], size: int, width: float, degree: int) -> np.ndarray:
    """[degree + 1, size]: the coefficients of t**k, in float32, in the interval around n width."""
    from numpy.polynomial import chebyshev  # only compiling needs it

    interpolate: Any = chebyshev.chebinterpolate
    exact = np.zeros((degree + 3, size))
    for n in range(size):
        polynomial = chebyshev.cheb2poly(interpolate(lambda u, n=n: [tail(width * (n + 0.5 * v)) for v in u], degree))
        exact[: polynomial.size, n] = polynomial / (0.5 * width) ** np.arange(polynomial.size)
    exact[0, 0] = tail(0.0)  # so that a tail of 0 at 0 is as exact around it as elsewhere
    table = exact[: degree + 1].astype(np.float32)
    for k in range(degree + 1):
        # The error of a rounded coefficient is made up for at the ends of the interval, where the function may be half of what it is amid.
        table[k] = exact[k]
        exact[k + 2] += (exact[k] - table[k]) / (0.5 * width) ** 2
    return table


def _all(e: Emitter, value: float) -> Any:
    return ir.Constant(e.vector, [float(np.float32(value))] * e.lanes)


def _look_up(e: Emitter, row: Any, index: Any, instruction: str | None) -> Any:
    """The elements of ``row`` at the low bits of ``index``; one by one for a processor that lacks the instruction."""
    table = ir.Constant(e.vector, [float(c) for c in row])
    if instruction is not None:
        return e.call(instruction, e.vector, [table, index])
    value = e.zero
    for lane in range(e.lanes):
        at = e.builder.and_(e.builder.extract_element(index, ir.Constant(_INT32, lane)), ir.Constant(_INT32, e.lanes - 1))
        value = e.builder.insert_element(value, e.builder.extract_element(table, at), ir.Constant(_INT32, lane))
    return value


def _over(e: Emitter, count: Any, carried: Any, step: Callable[[Any, Any, Any], Any]) -> Any:
    """``carried`` after step(offset in bytes, mask, carried) for every register of ``count`` elements; the mask is None where the register is full."""
    builder = e.builder

    def at(k: Any) -> Any:
        return builder.mul(k, e.integer(e.register_bytes))

    whole = builder.sdiv(count, e.integer(e.lanes))
    (carried,) = e.loop(whole, [carried], lambda k, values: [step(at(k), None, values[0])])
    rest = builder.sub(count, builder.mul(whole, e.integer(e.lanes)))
    some = builder.zext(builder.icmp_signed(">", rest, e.integer(0)), rest.type)
    (carried,) = e.loop(some, [carried], lambda k, values: [step(at(builder.add(whole, k)), e.mask(rest), values[0])])
    return carried


def _emit_known(e: Emitter, table: np.ndarray, finish: Any, instruction: str | None, to: Any, source: Any, count: Any) -> Any:
    """to[i] = f(source[i]) for i < count; whether all were in the table.  NaN is not."""
    builder, integers, width = e.builder, ir.VectorType(_INT32, e.lanes), _width(e.lanes)
    rounding = _all(e, _ROUND)

    def step(at: Any, mask: Any, largest: Any) -> Any:
        x = e.load(builder.add(source, at), mask)
        a = e.call(e.name("fabs"), e.vector, [x])
        shifted = e.fma(a, _all(e, 1.0 / width), rounding)
        t = e.fma(builder.fsub(rounding, shifted), _all(e, width), a)
        index = builder.bitcast(shifted, integers)
        value = _look_up(e, table[-1], index, instruction)
        for row in table[-2::-1]:
            value = e.fma(value, t, _look_up(e, row, index, instruction))
        e.store(builder.add(to, at), finish(e, x, value), mask)
        pattern = builder.bitcast(a, integers)  # as integers, patterns are in the order of the numbers, with NaN behind them
        return builder.select(builder.icmp_unsigned(">", pattern, largest), pattern, largest)

    largest = _over(e, count, ir.Constant(integers, [0] * e.lanes), step)
    outside = builder.icmp_unsigned(">=", largest, builder.bitcast(_all(e, LIMIT), integers))
    return builder.icmp_unsigned("==", _bits(e, outside), ir.Constant(ir.IntType(e.lanes), 0))


def _bits(e: Emitter, mask: Any) -> Any:
    return e.builder.bitcast(mask, ir.IntType(e.lanes))


def _beyond(e: Emitter, x: Any, mask: Any) -> tuple[Any, Any]:
    """Which lanes of x are not in the table, and how many."""
    outside = e.builder.fcmp_unordered(">=", e.call(e.name("fabs"), e.vector, [x]), _all(e, LIMIT))
    outside = outside if mask is None else e.builder.and_(outside, mask)
    number = e.call(f"llvm.ctpop.i{e.lanes}", ir.IntType(e.lanes), [_bits(e, outside)])
    return outside, e.builder.zext(number, ir.IntType(64))


def _emit_pack(e: Emitter, to: Any, source: Any, count: Any) -> Any:
    """Put those of the source that are not in the table together in ``to``; how many there are."""
    builder, integers = e.builder, ir.VectorType(_INT32, e.lanes)

    def step(at: Any, mask: Any, found: Any) -> Any:
        x = e.load(builder.add(source, at), mask)
        outside, number = _beyond(e, x, mask)
        # As integers: where there is no instruction for it, LLVM cannot do it to floats.
        packed = [builder.bitcast(x, integers), outside, builder.bitcast(e.zero, integers)]
        packed = e.call(f"llvm.experimental.vector.compress.v{e.lanes}i32", integers, packed)
        e.store(builder.add(to, builder.mul(found, e.integer(e.itemsize))), builder.bitcast(packed, e.vector))
        return builder.add(found, number)

    return _over(e, count, e.integer(0), step)


def _emit_unpack(e: Emitter, to: Any, source: Any, values: Any, count: Any) -> None:
    """Put ``values`` where ``_emit_pack`` took their arguments from."""
    builder = e.builder

    def step(at: Any, mask: Any, found: Any) -> Any:
        outside, number = _beyond(e, e.load(builder.add(source, at), mask), mask)
        here = e.pointer(builder.add(values, builder.mul(found, e.integer(e.itemsize))), e.element)
        e.store(builder.add(to, at), e.call(e.name("masked.expandload"), e.vector, [here, outside, e.zero]), outside)
        return builder.add(found, number)

    _over(e, count, e.integer(0), step)


def _lookup(tail: Callable[[float], float], finish: Callable[..., Any], function: Any) -> Any:
    """``fill(to, source, count)`` in a kernel: to[i] = function(source[i]) for i < count <= BLOCK between two addresses."""
    instruction, feature, degree = _PERMUTATIONS[INSTRUCTION_SET]
    size = lanes(np.float32)
    room = stack_space(4 * (BLOCK + size))

    def known_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        e = Emitter(builder, np.float32, size)
        available = feature in context.codegen().magic_tuple()[2].split(",")
        table = _coefficients(tail, size, _width(size), degree)
        return _emit_known(e, table, finish, instruction if available else None, *args)

    def pack_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_pack(Emitter(builder, np.float32, size), *args)

    def unpack_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _emit_unpack(Emitter(builder, np.float32, size), *args)
        return context.get_dummy_value()

    word = types.intp

    @intrinsic
    def known(typingctx, to, source, count):  # type: ignore[no-untyped-def]
        return types.boolean(word, word, word), known_code

    @intrinsic
    def pack(typingctx, to, source, count):  # type: ignore[no-untyped-def]
        return word(word, word, word), pack_code

    @intrinsic
    def unpack(typingctx, to, source, values, count):  # type: ignore[no-untyped-def]
        return types.void(word, word, word, word), unpack_code

    @inline
    def fill(to, source, count):
        if not known(to, source, count):
            beyond = room()
            # Whole registers: what is behind the arguments does no harm, and one by one a few elements would take as long as many.
            number = (pack(beyond, source, count) + (size - 1)) & (2 * BLOCK - size)
            values = array_from(beyond, number, f32)
            for i in range(number):
                values[i] = function(values[i])
            unpack(to, source, beyond, count)

    return fill


LOOKUPS: dict[str, Any] = {}
if COMPILED and INSTRUCTION_SET in _PERMUTATIONS:
    LOOKUPS["gelu"] = _lookup(_gelu_tail, _gelu_from_tail, FUNCTIONS["gelu"])
    LOOKUPS["gelu_slope"] = _lookup(_slope_tail, _slope_from_tail, FUNCTIONS["gelu_slope"])
