"""Compiling what is only ever inlined: LLVM code to be linked into its callers, and no machine code.

Numba optimises each function by itself and makes machine code of it before a caller links it in.  For a helper that is always inlined all
of that is work for nothing, and most of the time its compilation takes.
"""

from __future__ import annotations

import ctypes
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

# What stands for a helper's machine code where Python wants to call it: a C function of the right kind that raises TypeError, because
# what Numba gives it to call is no callable.
_REFUSAL = ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value


class _Library(JITCodeLibrary):
    """LLVM code that is neither optimised, which is left to the functions it is inlined into, nor compiled."""

    def _optimize_functions(self, module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class InlinedLowering(NativeLowering):
    """Numba's last pass, for a function that is only inlined."""

    _name = "numbagrad_inlined_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        flags = state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        changed = super().run_pass(state)
        lowered = state["cr"]
        name = lowered.fndesc.qualname
        refusal = _dynfunc.make_function(lowered.fndesc.lookup_module(), name, "", _REFUSAL, lowered.env, (state.library,))
        state.targetctx.insert_user_function(refusal, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=refusal)
        return changed
