"""Sequentially consistent atomics on 64-bit words, the spin-wait hint, the futex system call and the fork-join loop, as Numba
intrinsics."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_TASK = ir.FunctionType(ir.VoidType(), [_BYTES, _WORD])  # (arguments, number of the chunk)

# Words of a pool's control block, each on a cache line of its own so that threads do not slow each other down by writing to neighbours.
LINE = 64
GENERATION, TICKETS, DONE, SLEEPERS, BUSY, TASK, ARGUMENTS, STOP = range(0, 8 * LINE, LINE)
CONTROL_BYTES = 8 * LINE

# The number of Linux's futex system call by machine; elsewhere idle workers sleep in Python (see pool.py).
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
FUTEX_NUMBER = _FUTEX_NUMBERS.get(platform.machine(), 0) if sys.platform == "linux" and sys.maxsize > 2**32 else 0
# How often a launching thread looks whether the others are done before it yields between looks.
_PATIENCE = 5000
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _WORD.as_pointer())


@intrinsic
def atomic_load(typingctx: Any, address: Any) -> Any:
    """The word at ``address``."""
    return types.int64(types.intp), lambda context, builder, signature, args: builder.load_atomic(_pointer(builder, args[0]), "seq_cst", 8)


@intrinsic
def atomic_store(typingctx: Any, address: Any, value: Any) -> Any:
    """Write the word at ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], _pointer(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def atomic_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to the word at ``address``; the result is what stood there before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(builder, args[0]), args[1], "seq_cst")

    return types.int64(types.intp, types.int64), codegen


def _relax(builder: Any) -> None:
    """Tell the processor that this is a spin loop, where it has an instruction for that."""
    triple = builder.module.triple
    if triple.startswith(("x86_64", "i386", "i686")):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
        builder.call(function, [])
    elif triple.startswith(("aarch64", "arm64")):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [ir.IntType(32)]), "llvm.aarch64.hint")
        builder.call(function, [ir.Constant(ir.IntType(32), 1)])


@intrinsic
def relax(typingctx: Any) -> Any:
    """The spin-wait hint."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _relax(builder)
        return context.get_dummy_value()

    return types.void(), codegen


def _low_half(builder: Any, address: Any) -> Any:
    """A futex has 32 bits: the low half of the word, which stands first or second by byte order."""
    return address if sys.byteorder == "little" else builder.add(address, ir.Constant(_WORD, 4))


def _futex(builder: Any, address: Any, operation: int, value: Any) -> None:
    kind = ir.FunctionType(_WORD, [_WORD] * 7)
    function = cgutils.get_or_insert_function(builder.module, kind, "syscall")
    zero = ir.Constant(_WORD, 0)
    builder.call(function, [ir.Constant(_WORD, FUTEX_NUMBER), address, ir.Constant(_WORD, operation), value, zero, zero, zero])


@intrinsic
def futex_wait(typingctx: Any, address: Any, expected: Any) -> Any:
    """Sleep until woken, unless the low half of the word at ``address`` is no longer ``expected``'s; may return early."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _futex(builder, _low_half(builder, args[0]), _FUTEX_WAIT_PRIVATE, builder.and_(args[1], ir.Constant(_WORD, 0xFFFFFFFF)))
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def futex_wake(typingctx: Any, address: Any, count: Any) -> Any:
    """Wake up to ``count`` sleepers on the word at ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _futex(builder, _low_half(builder, args[0]), _FUTEX_WAKE_PRIVATE, args[1])
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def call_task(typingctx: Any, task: Any, arguments: Any, chunk: Any) -> Any:
    """Call the task at an address on one chunk."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(builder.inttoptr(args[0], _TASK.as_pointer()), [builder.inttoptr(args[1], _BYTES), args[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


def _yield(builder: Any) -> None:
    """Offer this processor to other threads: the one being waited for may not have one."""
    if os.name == "posix":
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])


def _build_task(context: Any, module: Any, name: str, kernel: Any, signature: Any, frame: Any) -> Any:
    """``task(frame, chunk)``: the kernel over the chunk's share of [0, n); an exception sets the frame's flag.

    The frame is (n, chunks, failed, arguments...), on the launching thread's stack.
    """
    task = ir.Function(module, _TASK, name)
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    pointer = builder.bitcast(task.args[0], frame.as_pointer())

    def field(index: int) -> Any:
        return builder.gep(pointer, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), index)])

    n, chunks = builder.load(field(0)), builder.load(field(1))
    chunk = task.args[1]
    low = builder.sdiv(builder.mul(n, chunk), chunks)
    high = builder.sdiv(builder.mul(n, builder.add(chunk, ir.Constant(_WORD, 1))), chunks)
    arguments = [builder.load(field(3 + index)) for index in range(len(signature.args) - 2)]
    status, _ = context.call_internal_no_propagate(builder, kernel.fndesc, signature, [low, high, *arguments])
    with builder.if_then(status.is_error, likely=False):
        builder.store_atomic(ir.Constant(_WORD, 1), field(2), "seq_cst", 8)
    builder.ret_void()
    return task


def parallel_for(kernel: Any) -> Any:
    """An intrinsic ``(control, n, chunks, arguments)``: run ``kernel(lo, hi, *arguments)`` over [0, n) in ``chunks`` pieces, on this
    thread and the workers of the pool at ``control``.

    Whoever is free takes the next ticket; a ticket is a chunk.  A worker that comes late finds no ticket and touches nothing, so the
    launching thread waits only for chunks that somebody has begun.  When the pool is busy with another thread's launch, this one runs
    alone. The result is 1 if the kernel raised, else 0.

    The kernel is no argument of the intrinsic, because a function as a value is an address, and code that holds one cannot be cached.
    """

    def typing(typingctx: Any, control: Any, n: Any, chunks: Any, arguments: Any) -> Any:
        if not isinstance(arguments, types.BaseTuple):
            raise TypingError(f"parallel_for: expected a tuple of arguments, but got {arguments}")
        argument_types = (types.intp, types.intp, *arguments.types)
        kernel.compile(argument_types)
        compiled = kernel.overloads[argument_types]

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _emit_parallel_for(context, builder, compiled, len(arguments.types), args)

        return types.int64(types.intp, types.intp, types.intp, arguments), codegen

    return intrinsic(typing)


def _emit_parallel_for(context: Any, builder: Any, compiled: Any, count: int, args: Any) -> Any:
    control, n, chunks, packed = args
    context.add_linking_libs([compiled.library])
    values = [builder.extract_value(packed, index) for index in range(count)]
    frame_type = ir.LiteralStructType([_WORD, _WORD, _WORD, *(value.type for value in values)])
    frame = cgutils.alloca_once(builder, frame_type)
    patience = cgutils.alloca_once_value(builder, ir.Constant(_WORD, 0))
    zero, one = ir.Constant(_WORD, 0), ir.Constant(_WORD, 1)
    for index, value in enumerate([n, chunks, zero, *values]):
        builder.store(value, builder.gep(frame, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), index)]))
    name = f"{builder.function.name}.task"
    task = _build_task(context, builder.module, name, compiled, compiled.signature, frame_type)
    frame_bytes = builder.bitcast(frame, _BYTES)

    def word(offset: int) -> Any:
        return _pointer(builder, builder.add(control, ir.Constant(_WORD, offset)))

    taken = builder.cmpxchg(word(BUSY), zero, one, "seq_cst", "seq_cst")
    with builder.if_else(builder.extract_value(taken, 1)) as (ours, busy):
        with ours:
            builder.store(builder.ptrtoint(task, _WORD), word(TASK))
            builder.store(builder.ptrtoint(frame, _WORD), word(ARGUMENTS))
            builder.store_atomic(zero, word(DONE), "seq_cst", 8)
            builder.store_atomic(chunks, word(TICKETS), "seq_cst", 8)
            builder.atomic_rmw("add", word(GENERATION), one, "seq_cst")
            if FUTEX_NUMBER:
                sleepers = builder.load_atomic(word(SLEEPERS), "seq_cst", 8)
                with builder.if_then(builder.icmp_signed(">", sleepers, zero), likely=False):
                    address = _low_half(builder, builder.add(control, ir.Constant(_WORD, GENERATION)))
                    _futex(builder, address, _FUTEX_WAKE_PRIVATE, builder.sub(chunks, one))
            work, wait, end = (builder.append_basic_block(label) for label in ("work", "wait", "end"))
            chunk_block = builder.append_basic_block("chunk")
            builder.branch(work)
            builder.position_at_end(work)
            ticket = builder.atomic_rmw("sub", word(TICKETS), one, "seq_cst")
            builder.cbranch(builder.icmp_signed(">", ticket, zero), chunk_block, wait)
            builder.position_at_end(chunk_block)
            builder.call(task, [frame_bytes, builder.sub(chunks, ticket)])
            builder.atomic_rmw("add", word(DONE), one, "seq_cst")
            builder.branch(work)
            builder.position_at_end(wait)
            _relax(builder)
            waited = builder.add(builder.load(patience), one)
            builder.store(waited, patience)
            with builder.if_then(builder.icmp_signed(">", waited, ir.Constant(_WORD, _PATIENCE)), likely=False):
                _yield(builder)
            done = builder.load_atomic(word(DONE), "seq_cst", 8)
            builder.cbranch(builder.icmp_signed("==", done, chunks), end, wait)
            builder.position_at_end(end)
            builder.store_atomic(zero, word(BUSY), "seq_cst", 8)
        with busy, cgutils.for_range(builder, chunks) as loop:
            builder.call(task, [frame_bytes, loop.index])
    return builder.load_atomic(builder.gep(frame, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), 2)]), "seq_cst", 8)
