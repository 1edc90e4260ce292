"""Tensor cores and asynchronous copies, as PTX from sm_80 on has them, and what stands in for them under the simulator.

    mma_bfloat16(sums, a, b)    products of 16 x 16 and 16 x 8 blocks, whose elements are spread over the registers of a warp
    load_matrices(...)          brings such blocks from shared memory into registers (ldmatrix)
    copy_async(...)             16 bytes from device to shared memory, past the registers, while the threads go on (cp.async)

Which element lies in which lane is laid down in the PTX ISA (NVIDIA, "Parallel Thread Execution ISA", sections 9.7.14.5.8 and 9.7.14.5.15): with
g = lane / 4 and t = lane % 4, of a block of A words hold rows g and g + 8, of B column g, of the sums rows g and g + 8 and columns 2t and 2t + 1.
Under the simulator copies are made when they are waited for, and no sooner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError

from . import simulator
from .intrinsics import _is_pointer, _or_simulated, first_address
from .tiles import _literal, _parts

__all__ = [
    "commit_copies",
    "copy_async",
    "load_matrices",
    "mma_bfloat16",
    "mma_float16",
    "mma_tf32",
    "round_tf32",
    "wait_copies",
]

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_SHARED, _GLOBAL = 3, 1  # address spaces


def _asm(
    builder: Any, results: list[Any], arguments: list[Any], text: str, constraints: str, effect: bool, together: bool = True
) -> list[Any]:
    """The results of PTX instructions; ``together``: of those that all lanes of a warp execute at once, and that stay where they are."""
    kind = results[0] if len(results) == 1 else ir.LiteralStructType(results) if results else ir.VoidType()
    function = ir.FunctionType(kind, [x.type for x in arguments])
    attributes = ("convergent", "nounwind") if together else ()
    found = builder.call(ir.InlineAsm(function, text, constraints, side_effect=effect), arguments, attrs=attributes)
    return [found] if len(results) == 1 else _parts(builder, found, len(results))


def _address(context: Any, builder: Any, kind: Any, value: Any, index: Any, signed: bool, space: int) -> Any:
    """The address of an element in an address space: 32 bits of shared memory, 64 of device memory."""
    if index.type.width < 64:
        index = builder.sext(index, _I64) if signed else builder.zext(index, _I64)
    place = builder.gep(first_address(context, builder, kind, value), [index])
    if place.type.addrspace != space:
        place = builder.addrspacecast(place, place.type.pointee.as_pointer(space))
    return builder.ptrtoint(place, _I32 if space == _SHARED else _I64)


# ---- products -------------------------------------------------------------------------------------------------------------------------------


def _words(values: Any, count: int) -> np.ndarray:
    """[lane, block, register] of what the lanes of a warp hold."""
    return np.array(values).reshape(len(values), -1, count)


def _simulated_product(name: str) -> Any:
    """The product of blocks as the lanes hold them: computed by the first lane that asks, for all."""

    def product(sums: Any, a: Any, b: Any) -> Any:
        here, brought = simulator.cuda.launch.exchange((sums, a, b))
        first = here // 32 * 32
        if "product" not in brought:
            held = [brought[first + lane] for lane in range(32)]
            brought["product"] = _multiplied(name, *(_words([one[i] for one in held], count) for i, count in enumerate((4, 4, 2))))
        return tuple(brought["product"][here - first])

    return product


def _multiplied(name: str, sums: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sums + a·b of [lane, block, register], with the elements where the hardware has them; products and their sums in float64, rounded once."""
    of_a, of_b = _elements(name, a.astype(np.uint32)), _elements(name, b.astype(np.uint32))
    per_word = of_a.shape[-1]
    g, t = np.arange(32) // 4, np.arange(32) % 4
    depth = 8 * per_word
    left = np.zeros((a.shape[1], 16, depth))
    right = np.zeros((b.shape[1], depth, 8))
    for e in range(per_word):
        for register in range(4):
            left[:, g + 8 * (register % 2), t * per_word + e + depth // 2 * (register // 2)] = of_a[:, :, register, e].T
        for register in range(2):
            right[:, t * per_word + e + depth // 2 * register, g] = of_b[:, :, register, e].T
    found = np.einsum("ikp,jpn->ijkn", left, right).reshape(-1, 16, 8)
    spread = np.stack([found[:, g + 8 * (r // 2), 2 * t + r % 2] for r in range(4)], 2).transpose(1, 0, 2)
    return (sums + spread).astype(np.float32).reshape(32, -1)


def _elements(name: str, words: np.ndarray) -> np.ndarray:
    """The values in 32-bit registers, along a new last axis."""
    if name == "tf32":
        return (words & np.uint32(0xFFFFE000)).view(np.float32)[..., None].astype(np.float64)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], -1)
    if name == "bf16":
        return (halves << np.uint32(16)).view(np.float32).astype(np.float64)
    return halves.astype(np.uint16).view(np.float16).astype(np.float64)


def _product(name: str, shape: str) -> Any:
    """The typing function of the products of blocks of a type."""

    def typing(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
        high, wide = a.count // 4, b.count // 2
        if (a.count % 4, b.count % 2) != (0, 0) or a.dtype != types.uint32 or b.dtype != types.uint32:
            raise TypingError(f"mma: expected 4 words of uint32 for each block of a and 2 for each of b, but got {a} and {b}")
        if sums.dtype != types.float32 or sums.count != 4 * high * wide:
            raise TypingError(f"mma: expected {4 * high * wide} sums of float32, but got {sums}")
        text = f"mma.sync.aligned.{shape}.row.col.f32.{name}.{name}.f32 {{$0,$1,$2,$3}}, {{$4,$5,$6,$7}}, {{$8,$9}}, {{$10,$11,$12,$13}};"
        constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            c, x, y = (_parts(builder, value, kind.count) for value, kind in zip(args, signature.args))
            found = []
            for i in range(high):
                for j in range(wide):
                    block = 4 * (i * wide + j)
                    registers = x[4 * i : 4 * i + 4] + y[2 * j : 2 * j + 2] + c[block : block + 4]
                    found += _asm(builder, [_F32] * 4, registers, text, constraints, False)
            return context.make_tuple(builder, signature.return_type, found)

        return sums(sums, a, b), codegen

    return typing


@_or_simulated(_simulated_product("bf16"))
def mma_bfloat16(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
    """sums + a·b for blocks of bfloat16: ``a`` holds blocks of 16 x 16 (4 words of uint32 each), ``b`` blocks of 16 x 8 (2 words), and ``sums`` a block
    of 16 x 8 float32 (4 of them) for each pair.  All lanes of the warp take part."""
    return _product("bf16", "m16n8k16")(typingctx, sums, a, b)


@_or_simulated(_simulated_product("f16"))
def mma_float16(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
    """As ``mma_bfloat16``, for float16."""
    return _product("f16", "m16n8k16")(typingctx, sums, a, b)


@_or_simulated(_simulated_product("tf32"))
def mma_tf32(typingctx: Any, sums: Any, a: Any, b: Any) -> Any:
    """As ``mma_bfloat16``, for float32 of which the first 10 bits behind the point are looked at: blocks of 16 x 8 and 8 x 8."""
    return _product("tf32", "m16n8k8")(typingctx, sums, a, b)


def _rounded(words: Any) -> Any:
    bits = np.array(words, np.uint32)
    finite = (bits & np.uint32(0x7F800000)) != np.uint32(0x7F800000)
    return tuple(np.where(finite, (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits))


@_or_simulated(_rounded)
def round_tf32(typingctx: Any, words: Any) -> Any:
    """Words that hold float32, rounded to the nearest that TF32 has, ties away from zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = []
        for word in _parts(builder, args[0], words.count):
            found += _asm(builder, [_I32], [builder.bitcast(word, _F32)], "cvt.rna.tf32.f32 $0, $1;", "=r,f", False, False)
        return context.make_tuple(builder, signature.return_type, found)

    return words(words), codegen


# ---- from shared memory ---------------------------------------------------------------------------------------------------------------------


def _simulated_matrices(shared: Any, index: Any, step: int, count: int, transposed: int) -> Any:
    here, brought = simulator.cuda.launch.exchange(int(index))
    first, lane = here // 32 * 32, here % 32
    per_row, per_word = 16 // shared.itemsize, 4 // shared.itemsize
    words = []
    for group in range(count):
        for matrix in range(4):
            starts = [brought[first + 8 * matrix + row] + group * step for row in range(8)]
            if any(start % per_row for start in starts):
                raise RuntimeError("load_matrices: a row is not aligned to 16 bytes")
            if transposed:
                pair = np.array([shared[starts[2 * (lane % 4) + e] + lane // 4] for e in range(2)], np.uint16)
            else:
                at = starts[lane // 4] + lane % 4 * per_word
                pair = np.array(shared[at : at + per_word])
            words.append(pair.view(np.uint32)[0])
    return tuple(words)


@_or_simulated(_simulated_matrices)
def load_matrices(typingctx: Any, shared: Any, index: Any, step: Any, count: Any, transposed: Any) -> Any:
    """``count`` times four matrices of 8 rows of 16 bytes from an array in shared memory: the words of this lane, four for each time.

    Lane l says by ``index`` where row l % 8 of matrix l / 8 begins, at a multiple of 16 bytes; the next four lie ``step`` elements behind.  The lane is
    given word t of row g of each matrix, or, ``transposed`` (1; elements of 16 bits), the elements 2t and 2t + 1 of column g.
    ``step``, ``count`` and ``transposed`` are constants."""
    _is_pointer("load_matrices", shared, index)
    apart, times, turned = _literal(step), _literal(count), _literal(transposed)
    if apart is None or times is None or turned is None:
        return None
    size = shared.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = _address(context, builder, shared, args[0], args[1], signature.args[1].signed, _SHARED)
        way = ".trans" if turned else ""
        found = []
        for k in range(times):
            text = f"ldmatrix.sync.aligned.m8n8.x4{way}.shared.b16 {{$0,$1,$2,$3}}, [$4+{k * apart * size}];"
            found += _asm(builder, [_I32] * 4, [first], text, "=r,=r,=r,=r,r,~{memory}", True)
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.uint32, 4 * times)(shared, index, step, count, transposed), codegen


# ---- asynchronous copies --------------------------------------------------------------------------------------------------------------------


def _pending() -> Any:
    """The copies of the running thread that nobody has waited for: groups, the last of which is not closed."""
    thread = simulator.cuda.launch.running
    if not hasattr(thread, "copies"):
        thread.copies = [[]]
    return thread.copies


def _simulated_copy(shared: Any, index: Any, pointer: Any, place: Any, count: Any) -> None:
    elements, wanted = 16 // shared.itemsize, int(count) // shared.itemsize
    if int(index) % elements:
        raise RuntimeError("copy_async: the destination is not aligned to 16 bytes")
    if wanted > 0:
        pointer.check_vector(place, elements)

    def copy() -> None:
        for k in range(elements):
            shared[int(index) + k] = pointer[int(place) + k] if k < wanted else 0

    _pending()[-1].append(copy)


def _simulated_wait(count: int) -> None:
    groups = _pending()
    while len(groups) > count + 1:
        for copy in groups.pop(0):
            copy()


@_or_simulated(_simulated_copy)
def copy_async(typingctx: Any, shared: Any, index: Any, pointer: Any, place: Any, count: Any) -> Any:
    """Begin to copy 16 bytes from pointer[place] to shared[index], both aligned to that; only the first ``count`` bytes are read, the others are 0."""
    _is_pointer("copy_async", shared, index)
    _is_pointer("copy_async", pointer, place)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to = _address(context, builder, shared, args[0], args[1], signature.args[1].signed, _SHARED)
        source = _address(context, builder, pointer, args[2], args[3], signature.args[3].signed, _GLOBAL)
        read = builder.trunc(args[4], _I32) if args[4].type.width > 32 else args[4]
        _asm(builder, [], [to, source, read], "cp.async.cg.shared.global [$0], [$1], 16, $2;", "r,l,r,~{memory}", True)
        return context.get_dummy_value()

    return types.void(shared, index, pointer, place, count), codegen


@_or_simulated(lambda: _pending().append([]))
def commit_copies(typingctx: Any) -> Any:
    """Close the group of copies that this thread has begun since the last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _asm(builder, [], [], "cp.async.commit_group;", "~{memory}", True)
        return context.get_dummy_value()

    return types.void(), codegen


@_or_simulated(_simulated_wait)
def wait_copies(typingctx: Any, count: Any) -> Any:
    """Wait until all of this thread's groups but the last ``count`` (a constant) are there; other threads see them behind the next barrier."""
    n = _literal(count)
    if n is None:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _asm(builder, [], [], f"cp.async.wait_group {n};", "~{memory}", True)
        return context.get_dummy_value()

    return types.void(count), codegen
