"""The quotient of complex numbers, which Numba's own raises ZeroDivisionError for."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

KINDS = "c"


def build(inline: Callable[..., Any], T: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    """a / b by the ratio of the divisor's parts, so that no square overflows (R. L. Smith, "Algorithm 116: complex division", CACM 5, 1962); what is divided
    by 0 is infinite in each part that is not 0."""
    one, zero = (np.float32(1), np.float32(0)) if T is np.complex64 else (np.float64(1), np.float64(0))

    @inline
    def complex_div(a, b):  # type: ignore[no-untyped-def]
        if abs(b.real) >= abs(b.imag):
            if b.real == zero:
                size = abs(b.real)
                return T(complex(a.real / size, a.imag / size))
            ratio = b.imag / b.real
            scale = one / (b.real + b.imag * ratio)
            return T(complex((a.real + a.imag * ratio) * scale, (a.imag - a.real * ratio) * scale))
        ratio = b.real / b.imag
        scale = one / (b.real * ratio + b.imag)
        return T(complex((a.real * ratio + a.imag) * scale, (a.imag * ratio - a.real) * scale))

    return {"complex_div": complex_div}
