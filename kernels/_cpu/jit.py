"""The flags every CPU kernel is compiled with, in one place."""

from __future__ import annotations

import hashlib
import linecache
import operator
import secrets
from typing import Any, Callable

import numpy as np
from numba import njit
from numba.core import ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types.misc import unliteral
from numba.core.untyped_passes import FixupArgs

from .._collector import resting
from .cache import ContentCache, cache_directory, write_atomically
from .inlined import InlinedLowering
from .wrapper import RANGE, KernelLowering

# Sums may be reassociated and multiply-adds contracted, which is what lets a reduction loop vectorise; NaN, infinities and signed
# zeros keep their meaning.
REASSOCIATE = {"reassoc", "contract"}

_NATURAL = (1 << 62) - 1


@register_pass(mutates_CFG=False, analysis_only=False)
class _NaturalRange(FunctionPass):
    """Begin a kernel with ``lo &= 2**62 - 1; hi &= 2**62 - 1``.

    Neither is ever negative, but LLVM cannot know it, and would keep Python's meaning of a negative index in ``x[i]``, which makes a
    gather of what is a vector load, several times slower.
    """

    _name = "numbagrad_natural_range"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        function = state.func_ir
        if tuple(function.arg_names[:2]) != RANGE:
            return False
        block = function.blocks[min(function.blocks)]
        last = max(index for index, statement in enumerate(block.body) if isinstance(getattr(statement, "value", None), ir.Arg))
        mask = ir.Var(block.scope, "$natural", block.loc)
        block.scope.localvars.define(mask.name, mask)
        added = [ir.Assign(ir.Const(_NATURAL, block.loc), mask, block.loc)]
        for name in ("lo", "hi"):
            variable = block.scope.get_exact(name)
            added.append(ir.Assign(ir.Expr.binop(operator.and_, variable, mask, block.loc), variable, block.loc))
        block.body[last + 1 : last + 1] = added
        for assignment in added:
            function._definitions[assignment.target.name].append(assignment.value)
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _OwnName(FunctionPass):
    """Give the machine code a name that no other process gives to any other.

    Numba numbers the functions of a process, and finds machine code by names made of that number, the function's name and its types.  Kernels of one
    factory share the rest; compiled by two processes, and loaded from the cache by a third, they may share the number too, and one would be called
    for the other.
    """

    _name = "numbagrad_own_name"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        identity = state.func_ir.func_id
        identity.unique_id = secrets.randbits(62)
        identity.unique_name = f"{identity.func_qualname}${identity.unique_id}"
        return False


class _Compiler(CompilerBase):
    """Numba's passes, with ``lowering`` for the last one and ``first`` behind the one that reads the arguments."""

    lowering: Any
    first: Any = None

    def compile_extra(self, func: Any) -> Any:
        # Compiling makes many objects and leaves little garbage: looking for it would take a sixth of the time.
        with resting():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(self.lowering if step is NativeLowering else step, name) for step, name in passes.passes]
        passes.add_pass_after(_OwnName, FixupArgs)
        if self.first is not None:
            passes.add_pass_after(self.first, FixupArgs)
        passes.finalize()
        return [passes]


class _KernelCompiler(_Compiler):
    lowering = KernelLowering
    first = _NaturalRange


class _InlinedCompiler(_Compiler):
    lowering = InlinedLowering


def kernel(function: Callable[..., Any] | None = None, *, reassociate: bool = False, source: str | None = None) -> Any:
    """Compile ``function(lo, hi, *args)`` on first call, without the GIL, with NumPy's rules for division by zero, cached on disk.  The names
    of the first two arguments are what makes it a function of a range, which can be launched.

    ``reassociate`` lets floating-point sums be reordered (it never ignores NaN or infinity).  ``source`` is the text of a generated
    function.
    """
    if function is None:
        return lambda f: kernel(f, reassociate=reassociate, source=source)
    dispatcher = njit(pipeline_class=_KernelCompiler, nogil=True, error_model="numpy", fastmath=REASSOCIATE if reassociate else False)(
        function
    )
    if hasattr(dispatcher, "_cache"):  # absent under NUMBA_DISABLE_JIT
        dispatcher._cache = ContentCache(function, source)
        dispatcher.over_range = function.__code__.co_varnames[: function.__code__.co_argcount][:2] == RANGE
    return dispatcher


def inline(function: Callable[..., Any] | None = None, *, reassociate: bool = False) -> Any:
    """Compile a helper that kernels call, always inlined, however long: a call left in a loop would keep it from being vectorised.  It
    needs no cache entry of its own."""
    if function is None:
        return lambda f: inline(f, reassociate=reassociate)
    dispatcher = njit(
        pipeline_class=_InlinedCompiler, nogil=True, error_model="numpy", forceinline=True, fastmath=REASSOCIATE if reassociate else False
    )(function)
    if hasattr(dispatcher, "get_call_template"):  # absent under NUMBA_DISABLE_JIT
        find = dispatcher.get_call_template

        # Numba would compile a helper anew for every constant it is called with.  LLVM, which inlines it, knows the constant anyway.
        def for_any_value(arguments: Any, named: Any) -> Any:
            return find(tuple(map(unliteral, arguments)), {name: unliteral(kind) for name, kind in named.items()})

        dispatcher.get_call_template = for_any_value
    return dispatcher


def address(dispatcher: Any, types: Any) -> int:
    """Where the machine code of ``dispatcher`` for arguments of these ``types`` begins, as a C function; it is compiled, or loaded from the
    cache, when need be.

    A void kernel is ``void f(int64_t lo, int64_t hi, ...)`` in C.  It may run without the GIL and on any thread.  An exception raised in it
    is printed, not passed on, so it is for kernels that raise none.  The code stays as long as the dispatcher.
    """
    types = tuple(types)
    dispatcher.compile(types)
    compiled = dispatcher.overloads[types]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)


def compile_source(name: str, source: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """The function ``name`` of a generated ``source``, which is kept as a real file in the cache directory, for reading and for
    tracebacks."""
    label = f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.py"
    directory = cache_directory()
    if directory is None:
        path = f"<numbagrad {label}>"
    else:
        file = directory / "generated" / label
        path = str(file)
        if not file.exists():
            write_atomically(file, source.encode())
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    scope = {"__name__": __name__} | namespace  # a cached function is loaded by way of its module, so there has to be one
    exec(compile(source, path, "exec"), scope)
    return scope[name]


@inline
def u(i):  # type: ignore[no-untyped-def]
    """An unsigned index: it spares the test for negative (wrap-around) ones, and with it many a loop vectorises."""
    return np.uint64(i)
