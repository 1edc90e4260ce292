"""Vector code for the CPU that runs it: registers, masked edges, and the loops that are worth unrolling by hand.

Two ways in.  ``vectors(np.float32)`` gives kernels a vector type and functions on it, to be used like numbers in a kernel's Python::

    f32 = vectors(np.float32)
    LANES, load, fma, store = f32.lanes, f32.load, f32.fma, f32.store     # in a kernel: store(y, fma(load(x), load(w), load(y)))

``Emitter`` writes the LLVM instructions of a whole loop from Python, for tiles whose accumulators must stay in registers, where Python
variables would need one name each; ``tile`` (the core of every matrix product) and ``transpose`` are written with it.

Addresses are ``intp`` and all strides are in bytes.  The width follows the CPU: AVX-512, AVX2, NEON, or 128 bits of anything.
``NUMBAGRAD_SIMD=avx512|avx2|neon|generic`` forces one (a width that the CPU lacks still computes the same values, slowly).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import from_dtype, types
from numba.core import config
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

# Bytes in a vector register, and how many registers there are.
_WIDTHS = {"avx512": (64, 32), "avx2": (32, 16), "neon": (16, 32), "generic": (16, 16)}

_INT32, _INT64, _BIT = ir.IntType(32), ir.IntType(64), ir.IntType(1)
_ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_SUFFIX = {"float32": "f32", "float64": "f64"}


def _instruction_set() -> str:
    forced = os.environ.get("NUMBAGRAD_SIMD", "").lower()
    if forced:
        if forced not in _WIDTHS:
            raise ImportError(f"NUMBAGRAD_SIMD: expected one of {', '.join(_WIDTHS)}, but got {forced!r}")
        return forced
    machine = binding.get_process_triple().partition("-")[0]
    if machine in ("aarch64", "arm64"):
        return "neon"
    if config.CPU_FEATURES is not None:
        has = {word[1:] for word in config.CPU_FEATURES.split(",") if word.startswith("+")}
    elif config.CPU_NAME not in (None, "host"):
        has = set()
    else:
        has = {feature for feature, present in binding.get_host_cpu_features().items() if present}
    if not config.ENABLE_AVX:
        has = {feature for feature in has if not feature.startswith("avx")}
    if {"avx512f", "avx512vl"} <= has:
        return "avx512"
    return "avx2" if {"avx2", "fma"} <= has else "generic"


INSTRUCTION_SET = _instruction_set()
# Whether there is vector code at all: there is none where NUMBA_DISABLE_JIT has kernels run as Python.
COMPILED = not config.DISABLE_JIT
VECTOR_BYTES, REGISTERS = _WIDTHS[INSTRUCTION_SET]


def lanes(dtype: Any) -> int:
    """How many elements of ``dtype`` one vector register holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


class Emitter:
    """LLVM instructions on vectors of ``lanes`` elements, appended where ``builder`` stands.

    Every value is an LLVM value; addresses and counts are 64-bit integers.
    """

    def __init__(self, builder: Any, dtype: Any, lanes: int):
        self.builder, self.lanes = builder, lanes
        self.dtype = np.dtype(dtype)
        self.element = _ELEMENTS[self.dtype.name]
        self.vector = ir.VectorType(self.element, lanes)
        self.mask_type = ir.VectorType(_BIT, lanes)
        self.itemsize = self.dtype.itemsize
        self.register_bytes = lanes * self.itemsize
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def integer(self, value: int) -> Any:
        """A 64-bit constant."""
        return ir.Constant(_INT64, value)

    def offset(self, address: Any, stride: Any, times: int) -> Any:
        """``address + stride * times``."""
        return self.builder.add(address, self.builder.mul(stride, self.integer(times))) if times else address

    def call(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """The LLVM intrinsic ``name``."""
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(result, [a.type for a in arguments]), name)
        return self.builder.call(function, arguments)

    def name(self, operation: str) -> str:
        return f"llvm.{operation}.v{self.lanes}{_SUFFIX[self.dtype.name]}"

    def pointer(self, address: Any, pointee: Any) -> Any:
        return self.builder.inttoptr(address, pointee.as_pointer())

    def splat(self, scalar: Any) -> Any:
        """``scalar`` (of any type) in every lane."""
        one = self.builder.insert_element(ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined), scalar, ir.Constant(_INT32, 0))
        return self.builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes))

    def scalar(self, address: Any) -> Any:
        """The element at ``address``."""
        return self.builder.load(self.pointer(address, self.element), align=self.itemsize)

    def broadcast(self, address: Any) -> Any:
        """The element at ``address``, in every lane."""
        return self.splat(self.scalar(address))

    def word(self, address: Any) -> Any:
        """The 64-bit integer at ``address``."""
        return self.builder.load(self.pointer(address, _INT64), align=8)

    def mask(self, count: Any) -> Any:
        """True in the first ``count`` lanes; none where it is negative, all where it is beyond the register."""
        builder, most, none = self.builder, self.integer(self.lanes), self.integer(0)
        count = builder.select(builder.icmp_signed("<", count, most), count, most)
        count = builder.trunc(builder.select(builder.icmp_signed(">", count, none), count, none), _INT32)
        index = ir.Constant(ir.VectorType(_INT32, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed("<", index, self.splat(count))

    def load(self, address: Any, mask: Any = None) -> Any:
        """The vector at ``address`` (aligned to its elements only); zero, and not read, where ``mask`` is False."""
        pointer = self.pointer(address, self.vector)
        if mask is None:
            return self.builder.load(pointer, align=self.itemsize)
        return self.call(f"{self.name('masked.load')}.p0", self.vector, [pointer, ir.Constant(_INT32, self.itemsize), mask, self.zero])

    def store(self, address: Any, value: Any, mask: Any = None) -> None:
        """Write ``value`` to ``address``, where ``mask`` is True."""
        pointer = self.pointer(address, self.vector)
        if mask is None:
            self.builder.store(value, pointer, align=self.itemsize)
        else:
            self.call(f"{self.name('masked.store')}.p0", ir.VoidType(), [value, pointer, ir.Constant(_INT32, self.itemsize), mask])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``, in one instruction where the CPU has it."""
        return self.call(self.name("fmuladd"), self.vector, [a, b, c])

    def relu(self, x: Any) -> Any:
        """0 where x <= 0, else x (NaN too)."""
        return self.builder.select(self.builder.fcmp_ordered("<=", x, self.zero), self.zero, x)

    def loop(self, count: Any, carried: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]) -> list[Any]:
        """``for k in range(count): carried = body(k, carried)``; the values carried after the last turn.

        Values, not variables, so that LLVM keeps each in its register.  ``body`` may hold a loop of its own.
        """
        builder, before = self.builder, self.builder.block
        head, turn, end = (builder.append_basic_block(label) for label in ("head", "turn", "end"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INT64)
        k.add_incoming(self.integer(0), before)
        values = []
        for start in carried:
            value = builder.phi(start.type)
            value.add_incoming(start, before)
            values.append(value)
        builder.cbranch(builder.icmp_signed("<", k, count), turn, end)
        builder.position_at_end(turn)
        after = body(k, values)
        following = builder.add(k, self.integer(1))
        for value, carried_on in zip([k, *values], [following, *after], strict=True):
            value.add_incoming(carried_on, builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        return values

    def transposed(self, rows: Sequence[Any]) -> list[Any]:
        """The ``lanes`` columns of as many row vectors, by exchanging ever larger squares: log2(lanes) shuffles per vector."""
        rows, step = list(rows), 1
        indices = ir.VectorType(_INT32, self.lanes)
        # Lane i of the first result comes from lane i, or from lane i - step of the partner; the second result takes what is left.
        while step < self.lanes:
            first = [i if not i & step else self.lanes + i - step for i in range(self.lanes)]
            second = [i + step if not i & step else self.lanes + i for i in range(self.lanes)]
            for r in range(self.lanes):
                if not r & step:
                    a, b = rows[r], rows[r + step]
                    rows[r] = self.builder.shuffle_vector(a, b, ir.Constant(indices, first))
                    rows[r + step] = self.builder.shuffle_vector(a, b, ir.Constant(indices, second))
            step *= 2
        return rows


def emitted(arity: int, emit: Callable[..., None], dtype: Any, vector_lanes: int | None = None) -> Any:
    """``emit(emitter, *values)`` as an intrinsic of ``arity`` intp arguments without a result: how a hand-written loop enters a kernel."""
    width = vector_lanes or lanes(dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit(Emitter(builder, dtype, width), *args)
        return context.get_dummy_value()

    def typing() -> Any:
        return types.void(*[types.intp] * arity), codegen

    # Numba counts the parameters of the typing function, so it must have ``arity`` of them; what it stands for is in its closure, where
    # the cache of compiled kernels sees it.
    names = ", ".join(f"x{i}" for i in range(arity))
    scope: dict[str, Any] = {}
    exec(f"def factory(typing):\n    def vector_code(typingctx, {names}):\n        return typing()\n    return vector_code\n", scope)
    return intrinsic(scope["factory"](typing))


@functools.lru_cache(maxsize=None)
def stack_space(size: int) -> Any:
    """``stack_space(size)()`` in a kernel: the address of ``size`` bytes of the kernel's stack, uninitialised and aligned to 64."""

    @intrinsic
    def space(typingctx):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            with builder.goto_entry_block():
                area = builder.alloca(ir.ArrayType(ir.IntType(8), size))
            area.align = 64
            return builder.ptrtoint(area, _INT64)

        return types.intp(), codegen

    return space


@functools.lru_cache(maxsize=None)
def tile(dtype: Any, rows: int, columns: int, vector_lanes: int | None = None) -> Any:
    """C = f(D + A·B) for one register tile: ``tile(k, a, a_row, a_col, b, b_row, c, c_row, d, d_row, activation)``.

    ``activation`` says what f is: 0 for the identity, 1 for relu.  A is [rows, k] with any strides, B is [k, columns vectors] and C and D
    are [rows, columns vectors], all with unit column stride.  D may be C itself (accumulate) or one row with ``d_row`` 0 (a bias, or
    zeros).  Everything is read and written whole: the caller pads the edges.  Each element of C is summed in the order of k.

    ``rows * columns`` accumulators stay in registers; each turn loads ``columns`` vectors of B, and the elements of A go from
    memory into the multiply-add, so the arithmetic units bound it once rows * columns covers their latency (8 or more).
    """

    def emit(
        e: Emitter, k: Any, a: Any, a_row: Any, a_col: Any, b: Any, b_row: Any, c: Any, c_row: Any, d: Any, d_row: Any, activation: Any
    ) -> None:  # fmt: skip
        builder = e.builder
        groups = [e.offset(a, a_row, r) for r in range(0, rows, 3)]  # one pointer and two scaled indices reach three rows on x86
        second, third = a_row, builder.mul(a_row, e.integer(2))

        def turn(_: Any, values: list[Any]) -> list[Any]:
            here, pointers, sums = values[0], values[1 : 1 + len(groups)], values[1 + len(groups) :]
            right = [e.load(builder.add(here, e.integer(j * e.register_bytes))) for j in range(columns)]
            after = []
            for r in range(rows):
                pointer = pointers[r // 3]
                left = e.broadcast(pointer if r % 3 == 0 else builder.add(pointer, second if r % 3 == 1 else third))
                after += [e.fma(left, right[j], sums[r * columns + j]) for j in range(columns)]
            return [builder.add(here, b_row), *[builder.add(p, a_col) for p in pointers], *after]

        sums = e.loop(k, [b, *groups, *[e.zero] * (rows * columns)], turn)[1 + len(groups) :]
        places = [(r, e.integer(j * e.register_bytes)) for r in range(rows) for j in range(columns)]
        totals = [builder.fadd(e.load(builder.add(e.offset(d, d_row, r), shift)), s) for (r, shift), s in zip(places, sums)]
        # Which function is asked once for the tile, not for every vector: products without one pay a branch.
        with builder.if_else(builder.icmp_signed("==", activation, e.integer(1))) as (rectified, plain):
            for branch, f in ((rectified, e.relu), (plain, lambda x: x)):
                with branch:
                    for (r, shift), total in zip(places, totals):
                        e.store(builder.add(e.offset(c, c_row, r), shift), f(total))

    return emitted(11, emit, dtype, vector_lanes)


@functools.lru_cache(maxsize=None)
def transpose(dtype: Any) -> Any:
    """to[c, r] = source[r, c] for a square of ``lanes`` by ``lanes``: ``transpose(to, to_row, source, source_row, rows, columns)``.

    The square turns in registers.  Only ``rows`` x ``columns`` elements are read (more than ``lanes`` counts as ``lanes``, below 0 as 0);
    the square is written whole, with zeros beyond them.
    """

    def emit(e: Emitter, to: Any, to_row: Any, source: Any, source_row: Any, rows: Any, columns: Any) -> None:
        builder, most = e.builder, e.integer(e.lanes)
        whole, part, turn = (builder.append_basic_block(label) for label in ("whole", "part", "turn"))
        fits = builder.and_(builder.icmp_signed(">=", rows, most), builder.icmp_signed(">=", columns, most))
        builder.cbranch(fits, whole, part)
        builder.position_at_end(whole)
        from_whole = [e.load(e.offset(source, source_row, r)) for r in range(e.lanes)]
        builder.branch(turn)
        builder.position_at_end(part)
        within, none = e.mask(columns), ir.Constant(e.mask_type, [0] * e.lanes)
        masks = [builder.select(builder.icmp_signed("<", e.integer(r), rows), within, none) for r in range(e.lanes)]
        from_part = [e.load(e.offset(source, source_row, r), mask) for r, mask in enumerate(masks)]
        builder.branch(turn)
        builder.position_at_end(turn)
        loaded = []
        for a, b in zip(from_whole, from_part):
            loaded.append(builder.phi(e.vector))
            loaded[-1].add_incoming(a, whole)
            loaded[-1].add_incoming(b, part)
        for c, column in enumerate(e.transposed(loaded)):
            e.store(e.offset(to, to_row, c), column)

    return emitted(6, emit, dtype)


class Vector(types.Type):
    """The Numba type of a register of ``lanes`` elements."""

    def __init__(self, dtype: np.dtype, lanes: int):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"vector({dtype.name} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector_type: Vector):
        super().__init__(manager, vector_type, ir.VectorType(_ELEMENTS[vector_type.dtype.name], vector_type.lanes))


@functools.lru_cache(maxsize=None)
def vectors(dtype: Any, vector_lanes: int | None = None) -> SimpleNamespace:
    """The vector type of float32 or float64 and its functions for kernels (bind them to names outside the kernel).

    ``lanes`` (an int); ``zero()``; ``splat(x)``; ``load(address)``, ``store(address, v)``, and for edges ``load_part(address, n)`` (zeros
    beyond the first n elements, which alone are read) and ``store_part(address, v, n)``; ``add sub mul`` and ``fma(a, b, c)`` = a·b + c;
    ``maximum minimum`` (NaN where either is, as PyTorch); ``relu(v)`` (NaN where v is); ``total(v)``: the sum of the lanes, pairwise, in a
    fixed order.
    """
    dtype = np.dtype(dtype)
    width = vector_lanes or lanes(dtype)
    vector, element, word = Vector(dtype, width), from_dtype(dtype), types.intp

    def codegen(emit: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            result = emit(Emitter(builder, dtype, width), *args)
            return context.get_dummy_value() if result is None else result

        return generate

    def total(e: Emitter, value: Any) -> Any:
        half, indices = width // 2, ir.VectorType(_INT32, width)
        while half:
            upper = e.builder.shuffle_vector(value, value, ir.Constant(indices, [(i + half) % width for i in range(width)]))
            value, half = e.builder.fadd(value, upper), half // 2
        return e.builder.extract_element(value, ir.Constant(_INT32, 0))

    # Each typing function is written out because Numba reads its parameter names.
    @intrinsic
    def zero(typingctx):  # type: ignore[no-untyped-def]
        return vector(), codegen(lambda e: e.zero)

    @intrinsic
    def splat(typingctx, x):  # type: ignore[no-untyped-def]
        return vector(element), codegen(lambda e, x: e.splat(x))

    @intrinsic
    def load(typingctx, address):  # type: ignore[no-untyped-def]
        return vector(word), codegen(lambda e, address: e.load(address))

    @intrinsic
    def load_part(typingctx, address, n):  # type: ignore[no-untyped-def]
        return vector(word, word), codegen(lambda e, address, n: e.load(address, e.mask(n)))

    @intrinsic
    def store(typingctx, address, v):  # type: ignore[no-untyped-def]
        return types.void(word, vector), codegen(lambda e, address, v: e.store(address, v))

    @intrinsic
    def store_part(typingctx, address, v, n):  # type: ignore[no-untyped-def]
        return types.void(word, vector, word), codegen(lambda e, address, v, n: e.store(address, v, e.mask(n)))

    def binary(emit: Callable[..., Any]) -> Any:
        @intrinsic
        def operation(typingctx, a, b):  # type: ignore[no-untyped-def]
            return vector(vector, vector), codegen(emit)

        return operation

    @intrinsic
    def fma(typingctx, a, b, c):  # type: ignore[no-untyped-def]
        return vector(vector, vector, vector), codegen(lambda e, a, b, c: e.fma(a, b, c))

    @intrinsic
    def relu(typingctx, v):  # type: ignore[no-untyped-def]
        return vector(vector), codegen(lambda e, v: e.relu(v))

    @intrinsic
    def lane_total(typingctx, v):  # type: ignore[no-untyped-def]
        return element(vector), codegen(total)

    def extreme(sign: str) -> Callable[..., Any]:
        def emit(e: Emitter, a: Any, b: Any) -> Any:
            best = e.builder.select(e.builder.fcmp_ordered(sign, a, b), a, b)  # b where either is NaN
            return e.builder.select(e.builder.fcmp_unordered("uno", a, a), a, best)

        return emit

    return SimpleNamespace(
        type=vector,
        lanes=width,
        zero=zero,
        splat=splat,
        load=load,
        load_part=load_part,
        store=store,
        store_part=store_part,
        add=binary(lambda e, a, b: e.builder.fadd(a, b)),
        sub=binary(lambda e, a, b: e.builder.fsub(a, b)),
        mul=binary(lambda e, a, b: e.builder.fmul(a, b)),
        maximum=binary(extreme(">")),
        minimum=binary(extreme("<")),
        relu=relu,
        fma=fma,
        total=lane_total,
    )
