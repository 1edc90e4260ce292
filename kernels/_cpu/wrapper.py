"""How Python enters a kernel: on the calling thread, or cut into chunks for a pool.

Numba gives each compiled function a wrapper that unpacks Python's arguments and calls it.  A kernel ``(lo, hi, *args)`` gets one that calls
this instead, which costs a few instructions and compiles nothing twice:

    launcher(lo, hi, *args):
        if lo >= 0: return kernel(lo, hi, *args)
        -lo is a pool's request (see pool.py), hi is n: call the pool's run(request, n, task, frame), on a frame made of n, chunks, and args
    task(frame, chunk):
        kernel(n * chunk // chunks, n * (chunk + 1) // chunks, *args); the frame keeps the first exception

What is passed on are the words that Numba's calling convention makes of the arguments, so this knows nothing of their types.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.callconv import RETCODE_NONE
from numba.core.callwrapper import PyCallWrapper
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

from .atomics import LINE, RUN, TASK_TYPE

# The names of a kernel's first two arguments.
RANGE = ("lo", "hi")

_WORD = ir.IntType(64)
_ZERO = ir.Constant(_WORD, 0)
_RUN_TYPE = ir.FunctionType(ir.VoidType(), [_WORD] * 4)
# The fields of a frame; pool.py reads and writes the first two.
_N, _CHUNKS, _STATUS, _EXCEPTION, _ARGUMENTS = range(5)


def _field(builder: Any, frame: Any, index: int) -> Any:
    return builder.gep(frame, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), index)], inbounds=True)


def _call(builder: Any, kernel: Any, result: Any, exception: Any, arguments: Any) -> Any:
    """The status of a call to the kernel, which is not compiled a second time into its caller."""
    return builder.call(kernel, [result, exception, *arguments], attrs=("noinline",))


def _build_task(module: Any, kernel: Any, frame_type: Any) -> Any:
    task = ir.Function(module, TASK_TYPE, f"{kernel.name}.task")
    task.linkage = "internal"
    builder = ir.IRBuilder(task.append_basic_block())
    frame = builder.inttoptr(task.args[0], frame_type.as_pointer())
    chunk = task.args[1]
    n, chunks = builder.load(_field(builder, frame, _N)), builder.load(_field(builder, frame, _CHUNKS))
    low = builder.sdiv(builder.mul(n, chunk), chunks)
    high = builder.sdiv(builder.mul(n, builder.add(chunk, ir.Constant(_WORD, 1))), chunks)
    arguments = [builder.load(_field(builder, frame, index)) for index in range(_ARGUMENTS, len(frame_type.elements))]
    result = cgutils.alloca_once(builder, kernel.args[0].type.pointee, zfill=True)
    exception = cgutils.alloca_once(builder, kernel.args[1].type.pointee, zfill=True)
    status = _call(builder, kernel, result, exception, [low, high, *arguments])
    failed = builder.and_(builder.icmp_signed("!=", status, ir.Constant(status.type, 0)), builder.icmp_signed("!=", status, RETCODE_NONE))
    with builder.if_then(failed, likely=False):
        slot = _field(builder, frame, _STATUS)
        first = builder.extract_value(builder.cmpxchg(slot, _ZERO, builder.sext(status, _WORD), "seq_cst", "seq_cst"), 1)
        with builder.if_then(first):
            builder.store(builder.load(exception), _field(builder, frame, _EXCEPTION))
    builder.ret_void()
    return task


def _build_launcher(module: Any, kernel: Any) -> Any:
    """A function of the kernel's own type."""
    launcher = ir.Function(module, kernel.function_type, f"{kernel.name}.launcher")
    launcher.linkage = "internal"
    result, exception, low, high, *arguments = launcher.args
    builder = ir.IRBuilder(launcher.append_basic_block())
    with builder.if_then(builder.icmp_signed(">=", low, _ZERO)):
        builder.ret(_call(builder, kernel, result, exception, [low, high, *arguments]))
    frame_type = ir.LiteralStructType([_WORD, _WORD, _WORD, exception.type.pointee, *(argument.type for argument in arguments)])
    frame = cgutils.alloca_once(builder, frame_type)
    empty = ir.Constant(exception.type.pointee, None)
    for index, value in enumerate([high, _ZERO, _ZERO, empty, *arguments]):
        builder.store(value, _field(builder, frame, index))
    task = _build_task(module, kernel, frame_type)
    request = builder.neg(low)
    control = builder.and_(request, ir.Constant(_WORD, -LINE))
    slot = builder.inttoptr(builder.add(control, ir.Constant(_WORD, RUN)), _RUN_TYPE.as_pointer().as_pointer())
    builder.call(builder.load(slot), [request, high, builder.ptrtoint(task, _WORD), builder.ptrtoint(frame, _WORD)])
    builder.store(builder.load(_field(builder, frame, _EXCEPTION)), exception)
    builder.ret(builder.trunc(builder.load(_field(builder, frame, _STATUS)), launcher.function_type.return_type))
    return launcher


class _Lower(Lower):
    def create_cpython_wrapper(self, release_gil: bool = False) -> None:
        if tuple(self.func_ir.arg_names[:2]) != RANGE:
            super().create_cpython_wrapper(release_gil)
            return
        module = self.context.create_module("wrapper")
        kind = self.call_conv.get_function_type(self.fndesc.restype, self.fndesc.argtypes)
        kernel = ir.Function(module, kind, self.fndesc.llvm_func_name)
        launcher = _build_launcher(module, kernel)
        PyCallWrapper(self.context, module, launcher, self.fndesc, self.env, self.call_helper, release_gil).build()
        self.library.add_ir_module(module)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """Numba's last pass, with the wrapper of this module."""

    _name = "numbagrad_lowering"

    @property
    def lowering_class(self) -> Any:
        return _Lower
