"""The kernels of ``random`` compiled for CUDA without a device: registers, stack, width of stores, and that nothing is fused which the CPU rounds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels._cuda.launch import kernel, pointer
from numbagrad.kernels.random import _cuda_discrete, _cuda_words, cuda
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together, disassembler

pytestmark = compiled_together(__name__)

F32, F64, U8, I64 = _dtypes.float32, _dtypes.float64, _dtypes.uint8, _dtypes.int64
KERNELS = Kernels(
    {
        "uniform32": lambda: cuda._uniform32(True),
        "uniform32, unaligned": lambda: cuda._uniform32(False),
        "uniform64": lambda: cuda._uniform64(True),
        "normal32": lambda: cuda._normal32(True),
        "normal64": lambda: cuda._normal64(True),
        "exponential32": lambda: cuda._exponential32(True),
        "exponential64": lambda: cuda._exponential64(True),
        **{f"bernoulli {d}": lambda d=d: cuda._bernoulli(d, True) for d in (F64, U8)},
        **{f"bernoulli_each {p}": lambda p=p: cuda._bernoulli_each(U8, p) for p in (F32, F64)},
        **{f"randint {d}": lambda d=d: cuda._randint(d, True) for d in (U8, I64, F32)},
        **{f"dropout {d}": lambda d=d: cuda._dropout(d, True) for d in (F32, F64)},
        **{f"masked_scale {d}": lambda d=d: cuda._masked_scale(d, True) for d in (F32,)},
        "random_keys": lambda: _cuda_discrete._keys(True),
        **{f"weigh {d}": lambda d=d: _cuda_discrete._weigh(d) for d in (F32,)},
        **{f"running_sums {d}": lambda d=d: _cuda_discrete._running_sums(d) for d in (F32,)},
        "search": lambda: _cuda_discrete._search,
        **{f"races {d}": lambda d=d: _cuda_discrete._races(d) for d in (F32,)},
    }
)
# Words that a kernel promises to store at once.
WIDE = ("uniform32", "uniform64", "normal32", "normal64", "exponential32", "exponential64", "bernoulli float64",
        "randint int64", "dropout float32", "dropout float64", "masked_scale float32", "random_keys")  # fmt: skip
IN_DOUBLE = ("64", "running_sums", "search", "races")


@architectures
@pytest.mark.parametrize("name", KERNELS)
def test_compiled(name, arch):
    """Four blocks of 256 threads on a multiprocessor."""
    opcodes = checked(KERNELS.code(name, arch), 1024, None if any(part in name for part in IN_DOUBLE) else False)
    assert ("STG.E.128" in opcodes) == (name in WIDE)
    if "dropout" in name or "masked" in name:
        assert "LDG.E.128" in opcodes


@kernel(pointer(np.float32), np.uint32)
def _turn(out, word):
    out[0], out[1] = _cuda_words.cos_sin_turn(word)


@kernel(pointer(np.float32), np.uint32)
def _log(out, word):
    out[0] = _cuda_words.minus_log(word)


@kernel(pointer(np.float32), np.float32, np.float32)
def _quotient(out, a, b):
    out[0] = a / b


FORMULAS = Kernels({"turn": lambda: _turn, "log": lambda: _log, "quotient": lambda: _quotient})


@pytest.mark.skipif(disassembler() is None, reason="needs nvdisasm")
@architectures
def test_nothing_fused(arch):
    """The products of the formulas are rounded before something is added to them, as on the CPU: multiply-adds are those of correctly rounded divisions
    and roots, and of products with a power of two."""

    def count(kernels, name, instruction):
        return sum(op.startswith(instruction) for op in kernels.code(name, arch).opcodes)

    assert count(KERNELS, "uniform32", "FFMA") == 0
    assert (count(FORMULAS, "turn", "FFMA"), count(FORMULAS, "turn", "FADD")) == (0, 8)
    assert count(FORMULAS, "log", "FFMA") - count(FORMULAS, "quotient", "FFMA") <= 2, "those of u and 2 s, which are exact"
