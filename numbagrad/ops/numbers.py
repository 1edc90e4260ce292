"""Elementwise operations about single numbers: signs and angles, parts of a floating-point number, logarithms that stay finite.

The formulas are in ``kernels.elementwise.numbers``; what of these needs more than a line stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..creation import tensor
from ..kernels import copy as copy_kernels
from ..kernels.elementwise import formulas as f
from ..kernels.elementwise import logic, numbers
from ..tensor import Tensor
from ._along import named_result
from ._arguments import tensor_argument
from ._attach import public
from ._operation import differentiable
from .complex_views import joined, view_as_complex, view_as_real
from .elementwise import composed, conj, declare, div, is_complex, is_integer, operation, sub, without_derivative
from .sort import searchsorted, sort

# ---- signs and angles --------------------------------------------------------------------------------------------------------------

_sign, _sgn_complex = operation(f.sign), operation(numbers.sgn_complex, "sgn")
_angle_real, _angle_complex = operation(numbers.angle_real, "angle"), operation(numbers.angle_complex, "angle")
_heaviside, _heaviside_int = operation(numbers.heaviside, "heaviside"), operation(numbers.heaviside_int, "heaviside")
_signbit, _negative = operation(numbers.signbit, "signbit"), operation(logic.lt)
_infinite = {"isposinf": operation(numbers.isposinf, "isposinf"), "isneginf": operation(numbers.isneginf, "isneginf")}
_isreal_complex = operation(numbers.isreal_complex, "isreal")


def sgn(input: Any) -> Any:
    """input / |input|, 0 at 0: the sign of a real number, the direction of a complex one"""
    return (_sgn_complex if is_complex(input) else _sign)(input)


@public(out=True)
def angle(input: Tensor) -> Tensor:
    """The angle of a complex number in radians; of a real one 0, or π if it is negative, or NaN if that is it."""
    return _angle_complex(input) if is_complex(input) else _angle_real(input)


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 where input < 0, ``values`` where it is 0, 1 above.  Raises RuntimeError for different or complex dtypes."""
    tensor_argument(input, "heaviside", "input")
    tensor_argument(values, "heaviside", "values")
    if is_complex(input) or is_complex(values):
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return without_derivative((_heaviside_int if is_integer(input) else _heaviside)(input, values), "heaviside")


@public(out=True)
def signbit(input: Tensor) -> Tensor:
    """Whether the sign bit is set, of −0.0 as well.  Raises RuntimeError for complex tensors."""
    if is_complex(input):
        raise RuntimeError("signbit is not implemented for complex tensors.")
    return _negative(input, 0) if is_integer(input) else _signbit(input)


def _is_infinite(name: str, text: str) -> None:
    def test(input: Tensor) -> Tensor:
        if is_complex(input):
            raise RuntimeError(f"{name} does not support complex inputs.")
        return input.new_zeros(input.shape, dtype=dtypes.bool_) if is_integer(input) else _infinite[name](input)  # type: ignore[attr-defined]

    test.__name__, test.__doc__ = name, f"Whether input = {text}.  Raises RuntimeError for complex tensors."
    public(test, out=True)


_is_infinite("isposinf", "∞")
_is_infinite("isneginf", "−∞")


@public
def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part is 0, as it is of a real number."""
    if is_complex(input):
        return _isreal_complex(input)
    return input.new_ones(input.shape, dtype=dtypes.bool_)  # type: ignore[attr-defined]


@public
def positive(input: Tensor) -> Tensor:
    """input itself.  Raises RuntimeError for bool."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@public
def resolve_conj(input: Tensor) -> Tensor:
    """input itself: a conjugate is computed when it is taken."""
    return input


@public
def resolve_neg(input: Tensor) -> Tensor:
    """input itself: a negative is computed when it is taken."""
    return input


def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor as it is."""
    return conj(input)


# ---- arithmetic --------------------------------------------------------------------------------------------------------------------

_power = operation(f.pow_, "pow")


@public
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """other − alpha · input"""
    return sub(other, input, alpha=alpha)


def _reciprocal_times(self: Tensor, other: Any) -> Tensor:
    """other / self"""
    return div(other, self)


Tensor.__rdiv__ = _reciprocal_times  # type: ignore[attr-defined]


def ldexp(input: Any, other: Any) -> Any:
    """input · 2^other"""
    return input * _power(2.0, other)


def float_power(input: Any, exponent: Any) -> Any:
    """input ^ exponent in float64 (complex128 where one of them is complex)"""
    wide = dtypes.complex128 if is_complex(input) or is_complex(exponent) else dtypes.float64
    base, power = (
        x.to(wide) if isinstance(x, Tensor) else complex(x) if wide is dtypes.complex128 else float(x) for x in (input, exponent)
    )
    y: Any = base**power
    return y if y.dtype is wide else y.to(wide)


def _float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place version of ``float_power``.  Raises RuntimeError for a dtype other than that of the result."""
    wide = dtypes.complex128 if is_complex(self) or is_complex(exponent) else dtypes.float64
    if self.dtype is not wide:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {self.dtype.title} but the operation's result requires dtype {wide.title}"
        )
    return self.pow_(exponent)


@public(method=False, out=True)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """abs · (cos angle + i sin angle).  Raises RuntimeError for different dtypes or ones that are not float32 or float64."""
    return joined(abs * angle.cos(), abs * angle.sin())


def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """input with NaN, ∞ and −∞ replaced: by 0, and the largest and smallest numbers of the dtype, unless others are given."""
    tensor_argument(input, "nan_to_num", "input")
    if is_complex(input):
        return view_as_complex(nan_to_num(view_as_real(input), nan, posinf, neginf))
    if is_integer(input):
        return input.clone()
    ends = dtypes.finfo(input.dtype)
    return _nan_to_num(
        input, float(nan or 0.0), ends.max if posinf is None else float(posinf), ends.min if neginf is None else float(neginf)
    )


_nan_to_num = operation(numbers.nan_to_num, "nan_to_num")


def _frexp_forward(x: Any) -> Any:
    mantissa, exponent = numbers.frexp(x)
    return mantissa, copy_kernels.cast(exponent, np.dtype(np.int32))


_frexp = differentiable(
    "frexp", _frexp_forward, results=("mantissa", "exponent"), x=lambda g, exponent: g / _power(2.0, exponent.to(g.dtype))
)
_FrexpResult = named_result("frexp", "mantissa", "exponent")


@public(out=True)
def frexp(input: Tensor) -> Any:
    """(mantissa, exponent) with input = mantissa · 2^exponent, ½ ≤ |mantissa| < 1, the exponent in int32.  Raises RuntimeError for other dtypes than floats."""
    if not tensor_argument(input, "frexp", "input").is_floating_point():
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return _FrexpResult(*_frexp(input))


# ---- logarithms --------------------------------------------------------------------------------------------------------------------

_logit, _logit_clamped = operation(numbers.logit, "logit"), operation(numbers.logit_clamped, "logit")


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(z / (1 − z)) of z = input, or input limited to [eps, 1 − eps]"""
    return _logit(input) if eps is None else _logit_clamped(input, float(eps))


# ---- membership --------------------------------------------------------------------------------------------------------------------


@public(method=False, out=True)
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each of ``elements`` is among ``test_elements`` (either, not both, may be a number); the opposite if ``invert``."""
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        raise TypeError("isin(): expected elements or test_elements to be a Tensor, but got two numbers")
    for x in (elements, test_elements):
        if isinstance(x, Tensor) and x.is_complex():
            raise RuntimeError(f"isin(): unsupported input type: {x.dtype.title}")
    if not isinstance(test_elements, Tensor):
        found = elements == test_elements
    elif not test_elements.numel():
        found = (
            elements.new_zeros(elements.shape, dtype=dtypes.bool_)
            if isinstance(elements, Tensor)
            else test_elements.new_zeros((), dtype=dtypes.bool_)
        )
    else:
        found = _among(elements, test_elements.detach().reshape(-1))
    return ~found if invert else found


def _among(elements: Any, known: Tensor) -> Tensor:
    """Whether ``elements`` are among ``known``, one or more: by where they would stand in these, in order."""
    x = elements.detach() if isinstance(elements, Tensor) else tensor(elements, device=known.device)
    common = dtypes.promote_types(x.dtype, known.dtype)
    if common is dtypes.bool_:
        common = dtypes.uint8
    x, known = x.to(common).contiguous(), sort(known.to(common))[0]
    places = searchsorted(known, x).clamp(max=known.numel() - 1)
    return known[places] == x


# ---- names -------------------------------------------------------------------------------------------------------------------------

for _call in (sgn, conj_physical, heaviside, nan_to_num, logit, ldexp):
    composed(_call, _call.__name__)
public(float_power, out=True)
public(_float_power_, name="float_power_", function=False)
for _kernel, _name in ((numbers.rad2deg, "rad2deg"), (numbers.deg2rad, "deg2rad"), (numbers.sinc, "sinc")):
    declare(_kernel, _name)
for _kernel, _name in ((numbers.logaddexp, "logaddexp"), (numbers.logaddexp2, "logaddexp2")):
    declare(_kernel, _name, inplace=False, numbers="none")
for _kernel, _name in ((numbers.gcd, "gcd"), (numbers.lcm, "lcm")):
    declare(_kernel, _name, numbers="none")
xlogy = declare(numbers.xlogy, "xlogy", numbers="both")
nextafter = declare(numbers.nextafter, "nextafter", numbers="none")
