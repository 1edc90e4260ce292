"""16-bit floats as bits: float16 (IEEE binary16) and bfloat16 (the upper half of a float32) to and from float32, rounding to nearest even.

Integer arithmetic and one float operation per case, without branches that LLVM could not turn into selections, so that loops over them vectorise
on any CPU; narrowing to float16 takes a processor's instruction where there is one.  Layouts: IEEE 754-2019, 3.6; bfloat16 as in Kalamkar et
al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from .intrinsics import _or_python
from .jit import inline

_SCALE = np.float32(2.0**112)  # moves a binary16 exponent (bias 15) to binary32 (bias 127); exact, and normalises subnormals


@inline
def float16_to_float32(bits):
    """The value of a binary16 bit pattern."""
    magnitude = np.uint32(bits) & np.uint32(0x7FFF)
    sign = (np.uint32(bits) & np.uint32(0x8000)) << np.uint32(16)
    finite = np.float32(np.uint32(magnitude << np.uint32(13)).view(np.float32) * _SCALE)
    special = np.uint32((magnitude << np.uint32(13)) | np.uint32(0x7F800000))
    value = special if magnitude >= np.uint32(0x7C00) else np.float32(finite).view(np.uint32)
    return np.uint32(value | sign).view(np.float32)


def _narrow(x):
    """``float32_to_float16`` in integer arithmetic; subnormals are rounded by adding 0.5."""
    bits = np.float32(x).view(np.uint32)
    sign = np.uint32((bits >> np.uint32(16)) & np.uint32(0x8000))
    magnitude = np.uint32(bits & np.uint32(0x7FFFFFFF))
    large = np.uint32(0x7E00) if magnitude > np.uint32(0x7F800000) else np.uint32(0x7C00)
    # 0.5 has one unit in the last place of 2**-24, binary16's smallest step, so the addition rounds to it.
    small = np.uint32(np.float32(magnitude.view(np.float32) + np.float32(0.5)).view(np.uint32) - np.uint32(0x3F000000))
    rebias = np.uint32(magnitude - np.uint32(0x38000000) + np.uint32(0xFFF) + ((magnitude >> np.uint32(13)) & np.uint32(1)))
    normal = np.uint32(rebias >> np.uint32(13))
    value = large if magnitude >= np.uint32(0x47800000) else (small if magnitude < np.uint32(0x38800000) else normal)
    return np.uint16(value | sign)


def _narrows(context: Any) -> bool:
    """True where the processor that code is generated for narrows to binary16 by an instruction; elsewhere it would be a slow library call."""
    triple, _, features = context.codegen().magic_tuple()
    return "+f16c" in features.split(",") or triple.startswith(("aarch64", "arm64"))


@_or_python(_narrow)
def _narrow_by_instruction(typingctx: Any, x: Any) -> Any:
    """``_narrow(x)``, by the processor's own instruction where it has one."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not _narrows(context):
            return context.compile_internal(builder, _narrow, signature, args)
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), codegen


@inline
def float32_to_float16(x):
    """The binary16 bit pattern nearest to ``x``: overflow to infinity, NaN stays NaN."""
    return _narrow_by_instruction(np.float32(x))


@inline
def bfloat16_to_float32(bits):
    """The value of a bfloat16 bit pattern."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@inline
def float32_to_bfloat16(x):
    """The bfloat16 bit pattern nearest to ``x``; every NaN becomes the same quiet one, as in PyTorch."""
    x = np.float32(x)
    bits = x.view(np.uint32)
    rounded = np.uint32((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
    return np.uint16(np.uint32(0x7FC0) if x != x else rounded)


HALF_FUNCTIONS = {f.__name__: f for f in (float16_to_float32, float32_to_float16, bfloat16_to_float32, float32_to_bfloat16)}
