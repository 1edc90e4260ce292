"""The Python array API standard (2024.12) on tensors: what ``x.__array_namespace__()`` returns.

https://data-apis.org/array-api/2024.12/ describes the functions; they stand here under the standard's names, with its arguments, defaults and rules of
promotion: a tensor without dimensions counts as much as any other, a sum keeps no small integer type, ``sort`` is stable, ``std`` divides by N.

Where Tensor itself has PyTorch's meaning, that stays: ``x.size`` is a method, and operators promote as PyTorch's.  There are no unsigned types but uint8.
"""

from __future__ import annotations

import math as _math

from ..dtypes import bool_ as bool
from ..dtypes import complex64, complex128, float32, float64, int8, int16, int32, int64, uint8
from . import _creation, _elementwise, _info, _manipulation, _reductions, fft, linalg
from ._creation import *  # noqa: F403
from ._elementwise import *  # noqa: F403
from ._info import *  # noqa: F403
from ._manipulation import *  # noqa: F403
from ._reductions import *  # noqa: F403
from .linalg import matmul, matrix_transpose, tensordot, vecdot

__array_api_version__ = "2024.12"
e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None

__all__ = [
    *_creation.__all__, *_elementwise.__all__, *_info.__all__, *_manipulation.__all__, *_reductions.__all__,
    "__array_api_version__", "bool", "complex64", "complex128", "e", "fft", "float32", "float64", "inf", "int8", "int16", "int32", "int64", "linalg",
    "matmul", "matrix_transpose", "nan", "newaxis", "pi", "tensordot", "uint8", "vecdot",
]  # fmt: skip
