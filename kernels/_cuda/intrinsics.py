"""The instructions that Python has no word for, for kernels on CUDA: vectors of up to 16 bytes, read-only loads, warp shuffles, 16-bit floats.

Each is a Numba intrinsic with a twin in plain Python of the same name, which stands in under the simulator (``NUMBA_ENABLE_CUDASIM=1``); which
one a name means is settled when this module is imported.  ``cuda`` is numba.cuda itself, for what it has words for: ``cuda.threadIdx``,
``cuda.syncthreads``, ``cuda.shared.array`` ...

Numba computes integers in 64 bits: ``np.int32(a + b)``, not ``a + b``, is what stays in a 32-bit register.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

import numpy as np
from llvmlite import ir
from numba import cuda as numba_cuda
from numba import types
from numba.core.errors import TypingError

from . import simulator
from .driver import SIMULATED

if not SIMULATED:
    from numba.cuda.extending import intrinsic

__all__ = [
    "ballot",
    "bfloat16_to_float32",
    "compare_and_swap",
    "cuda",
    "divide",
    "divider",
    "float16_to_float32",
    "float32_to_bfloat16",
    "float32_to_float16",
    "inline",
    "load_readonly",
    "load_vector",
    "pointer_at",
    "shuffle",
    "shuffle_down",
    "shuffle_xor",
    "store_vector",
]

cuda: Any = simulator.cuda if SIMULATED else numba_cuda

_FULL_WARP = 0xFFFFFFFF
_GLOBAL = 1  # the address space of device memory


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper that kernels call; it is always inlined.  Under the simulator it stays as it is."""
    return function if SIMULATED else numba_cuda.jit(device=True, forceinline=True)(function)


def _or_simulated(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make a typing function an intrinsic, or ``twin`` under the simulator."""
    return lambda typing: twin if SIMULATED else intrinsic(typing)


# ---- division by a number that many threads share ---------------------------------------------------------------------------------------------------


def divider(divisor: int) -> tuple[int, int]:
    """The multiplier and the shift by which ``divide`` divides by ``divisor`` (Granlund and Montgomery, "Division by Invariant Integers using
    Multiplication", 1994, figure 4.1)."""
    shift = (divisor - 1).bit_length()
    return ((1 << 32) * ((1 << shift) - divisor)) // divisor + 1, shift


@inline
def divide(n, multiplier, shift):  # type: ignore[no-untyped-def]
    """n // divisor of uint32, for n below 2**31."""
    high = np.uint32((np.uint64(n) * np.uint64(multiplier)) >> np.uint64(32))
    return np.uint32(np.uint32(high + n) >> shift)


# ---- vectors --------------------------------------------------------------------------------------------------------------------------------

_INT, _WORD = ir.IntType(32), ir.IntType(64)


class _Vector:
    """``count`` elements next to each other as LLVM moves them: their parts (two of a complex number), or words that several parts share, since
    NVVM makes one instruction of a vector of up to four."""

    def __init__(self, context: Any, element: Any, count: int):
        self.context, self.element = context, element
        self.complex = isinstance(element, types.Complex)
        self.part = context.get_data_type(element.underlying_float if self.complex else element)
        size = context.get_abi_sizeof(self.part)
        self.step = 2 if self.complex else 1
        self.bytes = size * self.step * count
        self.shared = 4 // size if self.step * count > 4 and size < 4 else 1  # parts in a word
        moved = _INT if self.shared > 1 else self.part
        self.type = ir.VectorType(moved, self.step * count // self.shared)

    def address(self, builder: Any, pointer: Any, index: Any, signed: bool) -> Any:
        """Where the vector begins whose first element is pointer[index]."""
        if index.type.width < 64:
            index = builder.sext(index, _WORD) if signed else builder.zext(index, _WORD)
        space = pointer.type.addrspace
        first = builder.bitcast(pointer, self.part.as_pointer(space))
        return builder.bitcast(builder.gep(first, [builder.mul(index, _WORD(self.step))]), self.type.as_pointer(space))

    def elements(self, builder: Any, vector: Any) -> list[Any]:
        """The values in ``vector``."""
        found = [builder.extract_element(vector, _INT(k)) for k in range(self.type.count)]
        if self.shared > 1:
            width = 32 // self.shared
            found = [builder.trunc(builder.lshr(word, _INT(k * width)), self.part) for word in found for k in range(self.shared)]
        if not self.complex:
            return [self.context.data_model_manager[self.element].from_data(builder, part) for part in found]
        values = []
        for parts in zip(found[::2], found[1::2]):
            value = self.context.make_complex(builder, self.element)
            value.real, value.imag = parts
            values.append(value._getvalue())
        return values

    def of(self, builder: Any, values: list[Any]) -> Any:
        """The vector of ``values``."""
        if self.complex:
            numbers = [self.context.make_complex(builder, self.element, value) for value in values]
            parts = [part for z in numbers for part in (z.real, z.imag)]
        else:
            parts = [self.context.data_model_manager[self.element].as_data(builder, value) for value in values]
        if self.shared > 1:
            width = 32 // self.shared
            words = [builder.shl(builder.zext(part, _INT), _INT(k % self.shared * width)) for k, part in enumerate(parts)]
            parts = [functools.reduce(builder.or_, words[k : k + self.shared]) for k in range(0, len(words), self.shared)]
        vector = self.type(ir.Undefined)
        for k, part in enumerate(parts):
            vector = builder.insert_element(vector, part, _INT(k))
        return vector


def _is_pointer(function: str, pointer: Any, index: Any) -> None:
    flat = isinstance(pointer, types.CPointer) or (isinstance(pointer, types.Array) and pointer.ndim == 1)
    if not flat or not isinstance(index, types.Integer):
        raise TypingError(f"{function}: expected a pointer and an index, but got {pointer} and {index}")


def first_address(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The address of the first element behind a pointer, or of a shared array."""
    return context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value


def check_vector(pointer: Any, index: Any, lanes: int) -> None:
    """Raise where a vector is not aligned to its size, in the simulator."""
    if isinstance(pointer, simulator.Pointer):
        pointer.check_vector(index, lanes)
    elif int(index) % lanes:
        raise RuntimeError(f"a kernel's vector of {lanes} elements of shared memory is not aligned to its size")


def _load_each(pointer: Any, index: Any, lanes: int) -> tuple[Any, ...]:
    check_vector(pointer, index, lanes)
    return tuple([pointer[int(index) + k] for k in range(lanes)])


@_or_simulated(_load_each)
def load_vector(typingctx: Any, pointer: Any, index: Any, lanes: Any) -> Any:
    """``load_vector(p, i, 4)``: the tuple of p[i], ..., p[i + 3], by one load, from a pointer or a shared array.  The address of p[i] is a multiple of
    the vector's size, a power of two of up to 16 bytes; ``lanes`` is a constant."""
    _is_pointer("load_vector", pointer, index)
    if not isinstance(lanes, types.IntegerLiteral):
        return None  # asked again with the constant
    count = lanes.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _Vector(context, pointer.dtype, count)
        first = first_address(context, builder, pointer, args[0])
        address = vector.address(builder, first, args[1], signature.args[1].signed)
        values = vector.elements(builder, builder.load(address, align=vector.bytes))
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(pointer.dtype, count)(pointer, index, lanes), codegen


def _store_each(pointer: Any, index: Any, values: Any) -> None:
    check_vector(pointer, index, len(values))
    for k, value in enumerate(values):
        pointer[int(index) + k] = value


@_or_simulated(_store_each)
def store_vector(typingctx: Any, pointer: Any, index: Any, values: Any) -> Any:
    """``store_vector(p, i, (a, b, c, d))``: p[i] = a, ..., p[i + 3] = d, by one store; alignment as of ``load_vector``."""
    _is_pointer("store_vector", pointer, index)
    if not isinstance(values, types.BaseTuple) or any(kind != pointer.dtype for kind in values):
        raise TypingError(f"store_vector: expected a tuple of {pointer.dtype}, but got {values}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _Vector(context, pointer.dtype, len(values))
        first = first_address(context, builder, pointer, args[0])
        address = vector.address(builder, first, args[1], signature.args[1].signed)
        elements = [builder.extract_value(args[2], k) for k in range(len(values))]
        builder.store(vector.of(builder, elements), address, align=vector.bytes)
        return context.get_dummy_value()

    return types.void(pointer, index, values), codegen


@_or_simulated(lambda pointer, index: pointer[index])
def load_readonly(typingctx: Any, pointer: Any, index: Any) -> Any:
    """``load_readonly(p, i)``: p[i] of memory that nobody writes to while the kernel runs, by way of the read-only cache."""
    _is_pointer("load_readonly", pointer, index)
    element = pointer.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index = builder.zext(args[1], ir.IntType(64)) if not signature.args[1].signed and args[1].type.width < 64 else args[1]
        loaded = builder.load(builder.gep(args[0], [index]))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return context.data_model_manager[element].from_data(builder, loaded)

    return element(pointer, index), codegen


@_or_simulated(lambda address, kind: simulator.Pointer(int(address), np.dtype(kind)))
def pointer_at(typingctx: Any, address: Any, kind: Any) -> Any:
    """``pointer_at(address, np.float32)``: the pointer to elements of that type at an ``address`` in device memory, an integer (of a table)."""
    if not isinstance(address, types.Integer) or not isinstance(kind, types.NumberClass):
        raise TypingError(f"pointer_at: expected an integer and the class of a number, but got {address} and {kind}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        generic = context.get_value_type(signature.return_type)
        # By way of the address space of device memory, so that accesses need not find out at run time which space it is.
        space = generic.pointee.as_pointer(_GLOBAL)
        return builder.addrspacecast(builder.inttoptr(args[0], space), generic)

    return types.CPointer(kind.dtype)(address, kind), codegen


# ---- warps ----------------------------------------------------------------------------------------------------------------------------------
# Every lane of the warp takes part.

if SIMULATED:
    ballot = simulator.ballot
    shuffle = simulator.shuffle
    shuffle_down = simulator.shuffle_down
    shuffle_xor = simulator.shuffle_xor
else:

    @inline
    def ballot(vote):  # type: ignore[no-untyped-def]
        """A bit for each lane of the warp, lane 0 the lowest: whether its ``vote`` is true."""
        return np.uint32(cuda.ballot_sync(_FULL_WARP, vote))

    @inline
    def shuffle(value, lane):  # type: ignore[no-untyped-def]
        """``value`` of the lane ``lane``."""
        return cuda.shfl_sync(_FULL_WARP, value, lane)

    @inline
    def shuffle_down(value, distance):  # type: ignore[no-untyped-def]
        """``value`` of the lane ``distance`` above this one; this one's own where there is none."""
        return cuda.shfl_down_sync(_FULL_WARP, value, distance)

    @inline
    def shuffle_xor(value, mask):  # type: ignore[no-untyped-def]
        """``value`` of the lane whose number is this one's with the bits of ``mask`` flipped."""
        return cuda.shfl_xor_sync(_FULL_WARP, value, mask)


# ---- what only one thread may do -----------------------------------------------------------------------------------------------------------


def _swapped(pointer: Any, index: Any, expected: Any, new: Any) -> Any:
    found = pointer[index]
    if found == expected:
        pointer[index] = new
    return found


@_or_simulated(_swapped)
def compare_and_swap(typingctx: Any, pointer: Any, index: Any, expected: Any, new: Any) -> Any:
    """Write ``new`` to pointer[index], an integer of 32 or 64 bits, if it is ``expected``, at once for all threads of the device; what was there.
    Never for results: which thread comes first is chance."""
    _is_pointer("compare_and_swap", pointer, index)
    element = pointer.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.gep(args[0], [args[1]])
        found = builder.cmpxchg(place, args[2], args[3], "monotonic", "monotonic")
        return builder.extract_value(found, 0)

    return element(pointer, types.int64, element, element), codegen


# ---- 16-bit floats, as their bits ----------------------------------------------------------------------------------------------------------


def _by_instruction(instruction: str, argument: Any, result: Any, constraints: str) -> Any:
    """An intrinsic of one argument that is one instruction of PTX."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = context.get_value_type(result), [context.get_value_type(argument)]
        return builder.call(ir.InlineAsm(ir.FunctionType(*kinds), f"{instruction} $0, $1;", constraints, False), args)

    return result(argument), codegen


def _float16_bits(x: Any) -> Any:
    return np.float32(x).astype(np.float16).view(np.uint16)


def _bfloat16_bits(x: Any) -> Any:
    bits = int(np.float32(x).view(np.uint32))
    return np.uint16(0x7FFF if x != x else (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


@_or_simulated(lambda bits: np.float32(np.uint16(bits).view(np.float16)))
def float16_to_float32(typingctx: Any, bits: Any) -> Any:
    """The value of a binary16 bit pattern."""
    return _by_instruction("cvt.f32.f16", types.uint16, types.float32, "=f,h")


@_or_simulated(_float16_bits)
def float32_to_float16(typingctx: Any, x: Any) -> Any:
    """The binary16 bit pattern nearest to ``x``, ties to even; overflow to infinity."""
    return _by_instruction("cvt.rn.f16.f32", types.float32, types.uint16, "=h,f")


@_or_simulated(lambda bits: np.uint32(int(bits) << 16).view(np.float32))
def bfloat16_to_float32(typingctx: Any, bits: Any) -> Any:
    """The value of a bfloat16 bit pattern."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(args[0], word), ir.Constant(word, 16)), ir.FloatType())

    return types.float32(types.uint16), codegen


@_or_simulated(_bfloat16_bits)
def float32_to_bfloat16(typingctx: Any, x: Any) -> Any:
    """The bfloat16 bit pattern nearest to ``x``, ties to even; every NaN becomes the same one.  From sm_80 on."""
    return _by_instruction("cvt.rn.bf16.f32", types.float32, types.uint16, "=h,f")
