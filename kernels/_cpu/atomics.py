"""Sequentially consistent atomics on 64-bit words, the spin-wait hint, calls by address and the system calls of the thread pool, as Numba
intrinsics."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)
TASK_TYPE = ir.FunctionType(ir.VoidType(), [_WORD, _WORD])  # (address of the frame, number of the chunk)

# Words of a pool's control block.  Those that threads write to have a cache line each, so that nobody slows others down by writing to a
# neighbour; those that only a launch writes share one.
LINE = 64
GENERATION, TICKETS, DONE, SLEEPERS, BUSY, LAUNCH, POOL = range(0, 7 * LINE, LINE)
TASK, FRAME, PROCESSOR, SKIPPED = range(LAUNCH, LAUNCH + 32, 8)  # the last counts launches since sleepers were woken
RUN, THREADS, STOP = range(POOL, POOL + 24, 8)
CONTROL_BYTES = 7 * LINE

# The number of Linux's futex system call by machine; elsewhere idle workers sleep in Python (see pool.py).
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
FUTEX_NUMBER = _FUTEX_NUMBERS.get(platform.machine(), 0) if sys.platform == "linux" and sys.maxsize > 2**32 else 0
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129
_CLOCK_MONOTONIC = 6 if sys.platform == "darwin" else 1
_CLOCK_THREAD = 3
# Linux's set of processors, a bit for each, as the C library declares it.
_SET_WORDS = 16


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
    triple = builder.module.triple
    if triple.startswith(("x86_64", "i386", "i686")):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
        builder.call(function, [])
    elif triple.startswith(("aarch64", "arm64")):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [ir.IntType(32)]), "llvm.aarch64.hint")
        builder.call(function, [ir.Constant(ir.IntType(32), 1)])


@intrinsic
def relax(typingctx: Any) -> Any:
    """Tell the processor that this is a spin loop, where it has an instruction for that."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _relax(builder)
        return context.get_dummy_value()

    return types.void(), codegen


def _low_half(builder: Any, address: Any) -> Any:
    """A futex has 32 bits: the low half of the word, which stands first or second by byte order."""
    return address if sys.byteorder == "little" else builder.add(address, ir.Constant(_WORD, 4))


def _futex(builder: Any, address: Any, operation: int, value: Any, time: Any) -> None:
    if not FUTEX_NUMBER:
        return
    kind = ir.FunctionType(_WORD, [_WORD] * 7)
    function = cgutils.get_or_insert_function(builder.module, kind, "syscall")
    zero = ir.Constant(_WORD, 0)
    address = _low_half(builder, address)
    builder.call(function, [ir.Constant(_WORD, FUTEX_NUMBER), address, ir.Constant(_WORD, operation), value, time, zero, zero])


@intrinsic
def futex_wait(typingctx: Any, address: Any, expected: Any, nanoseconds: Any) -> Any:
    """Sleep until woken, or for so long if ``nanoseconds`` is not 0, unless the low half of the word at ``address`` is no longer
    ``expected``'s; may return early."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, expected, nanoseconds = args
        billion = ir.Constant(_WORD, 1_000_000_000)
        space = cgutils.alloca_once(builder, ir.ArrayType(_WORD, 2))
        seconds = builder.bitcast(space, _WORD.as_pointer())
        builder.store(builder.sdiv(nanoseconds, billion), seconds)
        builder.store(builder.srem(nanoseconds, billion), builder.gep(seconds, [ir.Constant(_WORD, 1)]))
        zero = ir.Constant(_WORD, 0)
        time = builder.select(builder.icmp_signed("==", nanoseconds, zero), zero, builder.ptrtoint(seconds, _WORD))
        _futex(builder, address, _FUTEX_WAIT_PRIVATE, builder.and_(expected, ir.Constant(_WORD, 0xFFFFFFFF)), time)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64, types.int64), codegen


@intrinsic
def futex_wake(typingctx: Any, address: Any, count: Any) -> Any:
    """Wake up to ``count`` sleepers on the word at ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _futex(builder, args[0], _FUTEX_WAKE_PRIVATE, args[1], ir.Constant(_WORD, 0))
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def atomic_swap_if(typingctx: Any, address: Any, expected: Any, value: Any) -> Any:
    """Write ``value`` to the word at ``address`` if ``expected`` stands there; whether it did."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_value(builder.cmpxchg(_pointer(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst"), 1)

    return types.boolean(types.intp, types.int64, types.int64), codegen


@intrinsic
def call_task(typingctx: Any, task: Any, frame: Any, chunk: Any) -> Any:
    """Call the task at an address on one chunk."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(builder.inttoptr(args[0], TASK_TYPE.as_pointer()), [args[1], args[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def offer_processor(typingctx: Any) -> Any:
    """Let other threads have this processor: one that is being waited for may not have any."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if os.name == "posix":
            builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _call_with_words(builder: Any, name: str, selector: int, words: int) -> Any:
    """Call ``int name(int selector, struct of that many words *)``; the address of the first word."""
    kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), _WORD.as_pointer()])
    space = cgutils.alloca_once(builder, ir.ArrayType(_WORD, words), zfill=True)
    first = builder.bitcast(space, _WORD.as_pointer())
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [ir.Constant(ir.IntType(32), selector), first])
    return first


def _nanoseconds(builder: Any, clock: int) -> Any:
    """What a clock of the system's says; 0 where there is none."""
    if os.name != "posix" or sys.maxsize < 2**32:
        return ir.Constant(_WORD, 0)
    first = _call_with_words(builder, "clock_gettime", clock, 2)
    nanoseconds = builder.load(builder.gep(first, [ir.Constant(_WORD, 1)]))
    return builder.add(builder.mul(builder.load(first), ir.Constant(_WORD, 1_000_000_000)), nanoseconds)


@intrinsic
def now(typingctx: Any) -> Any:
    """Nanoseconds on a clock that only runs forward; 0 where there is none."""
    return types.int64(), lambda context, builder, signature, args: _nanoseconds(builder, _CLOCK_MONOTONIC)


@intrinsic
def processor_time(typingctx: Any) -> Any:
    """Nanoseconds for which this thread had a processor; ``now`` where the system does not tell."""
    clock = _CLOCK_THREAD if FUTEX_NUMBER else _CLOCK_MONOTONIC
    return types.int64(), lambda context, builder, signature, args: _nanoseconds(builder, clock)


@intrinsic
def processor(typingctx: Any) -> Any:
    """The number of the processor that this thread is on; -1 where the system does not tell."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not FUTEX_NUMBER:
            return ir.Constant(_WORD, -1)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_getcpu")
        return builder.sext(builder.call(function, []), _WORD)

    return types.int64(), codegen


@intrinsic
def leave_processor(typingctx: Any, number: Any) -> Any:
    """Move this thread from the processor of that ``number`` to another that it may use; whether there was one.

    The set of those it may use is taken from the system, as somebody may have changed it, and is the same again afterwards: a thread that
    is let back to a processor stays where it is.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not FUTEX_NUMBER:
            return ir.Constant(ir.IntType(1), 0)
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), _WORD, _WORD.as_pointer()])
        get, put = (cgutils.get_or_insert_function(builder.module, kind, f"sched_{name}affinity") for name in ("get", "set"))
        this, size = ir.Constant(ir.IntType(32), 0), ir.Constant(_WORD, 8 * _SET_WORDS)
        allowed, others = (cgutils.alloca_once(builder, ir.ArrayType(_WORD, _SET_WORDS), zfill=True) for _ in range(2))
        first, first_other = (builder.bitcast(space, _WORD.as_pointer()) for space in (allowed, others))
        builder.call(get, [this, size, first])  # where that fails the set stays empty, and an empty set is refused below
        builder.store(builder.load(allowed), others)
        at = builder.gep(first_other, [builder.and_(builder.lshr(args[0], ir.Constant(_WORD, 6)), ir.Constant(_WORD, _SET_WORDS - 1))])
        bit = builder.shl(ir.Constant(_WORD, 1), builder.and_(args[0], ir.Constant(_WORD, 63)))
        builder.store(builder.and_(builder.load(at), builder.not_(bit)), at)
        moved = builder.icmp_signed("==", builder.call(put, [this, size, first_other]), this)
        builder.call(put, [this, size, first])
        return moved

    return types.boolean(types.int64), codegen
