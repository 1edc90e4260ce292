"""Elementwise operations on tensors: each is a formula of ``kernels.elementwise.formulas``; its derivative comes from the formula.

One line declares the function, the method, the in-place method and every derivative.  The derivative of an operation is itself an
operation of this kind, so it is differentiable in turn, to any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.mode import state
from ..autograd.node import Node
from ..kernels import elementwise as kernels
from ..kernels.elementwise import activations, logic
from ..kernels.elementwise import formulas as f
from ..tensor import Tensor
from ._attach import public
from ._elementwise import ElementwiseOperation, check_result, elementwise, operation
from ._inplace import check_writable, overwrite
from ._keywords import with_others
from ._out import into

__all__ = ["ElementwiseOperation", "composed", "declare", "elementwise", "function", "operation", "where", "without_derivative"]


def function(kernel: kernels.Elementwise, name: str, *, numbers: str = "other") -> Any:
    """``kernel`` as a function of tensors called ``name``.  ``numbers``: which of two operands may be a number, ``"other"``, ``"both"`` or ``"none"``."""
    op = operation(kernel, name)
    return _unary(op) if len(kernel.params) == 1 else _binary(op, numbers) if len(kernel.params) == 2 else op


def declare(
    kernel: kernels.Elementwise,
    name: str,
    *,
    aliases: tuple[str, ...] = (),
    method: bool = True,
    inplace: bool = True,
    wrapper: Any = None,
    numbers: str = "other",
    out: bool = False,
) -> Any:
    """Function, method and in-place method of ``kernel`` under ``name``.  ``wrapper`` gives it another signature and calls the operation; with ``out``
    the function takes ``out=``."""
    op = operation(kernel, name)
    if wrapper is not None:
        wrapper.__name__ = wrapper.__qualname__ = name  # what Python's own messages call it
        call = wrapper
    else:
        call = function(kernel, name, numbers=numbers)
    public(call, name=name, aliases=aliases, method=method, out=out)
    if inplace and method:
        for each in (name, *aliases):
            changed = _in_place(op, call)
            changed.__name__ = f"{each}_"
            public(changed, name=f"{each}_", function=len(kernel.params) == 1)
    return call


def _unary(op: ElementwiseOperation) -> Any:
    def call(input: Any, *, out: Any = None) -> Any:
        return op.call(input) if out is None else into(out, op(input), op.name)

    return _named(call, op)


_PYTHON_NUMBERS = frozenset((bool, int, float, complex))


def _binary(op: ElementwiseOperation, numbers: str) -> Any:
    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        if type(input) in _PYTHON_NUMBERS and isinstance(other, Tensor):
            raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        return op.call(input, other) if out is None else into(out, op(input, other), op.name)

    def call_on_tensors(input: Any, other: Any, *, out: Any = None) -> Any:
        if type(other) in _PYTHON_NUMBERS and isinstance(input, Tensor):
            raise TypeError(f"{op.name}(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
        return call(input, other, out=out)

    def call_on_any(input: Any, other: Any, *, out: Any = None) -> Any:
        return op.call(input, other) if out is None else into(out, op(input, other), op.name)

    return _named({"other": call, "both": call_on_any, "none": call_on_tensors}[numbers], op)


def _named(call: Any, op: ElementwiseOperation) -> Any:
    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = op.__doc__
    call.operation = op
    return call


# Wrappers that are the operation itself unless a setting is given: their in-place forms can write straight into the tensor.
_PLAIN: tuple[Any, ...] = ()


def _in_place(op: ElementwiseOperation, call: Any) -> Any:
    direct = getattr(call, "operation", None) is op
    plain = call in _PLAIN
    general = _overwriting(call, op.name)

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not kwargs and (direct or (plain and len(args) == 1)):
            return op.change(self, *args)
        if direct:
            return op.change(self, *args, *kwargs.values())
        return general(self, *args, **kwargs)

    changed.__doc__ = f"In-place version of ``{op.name}``."
    return changed


def _overwriting(call: Any, name: str) -> Any:
    """The in-place form of ``call``: its result written over its first argument."""

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, f"{name}_")
        source = self.clone() if state.recording and self.requires_grad else self
        written = call(source, *args, **kwargs)
        check_result(self, written)
        return overwrite(self, written, f"{name}_")

    changed.__name__ = f"{name}_"
    changed.__doc__ = f"In-place version of ``{name}``."
    return changed


def composed(call: Any, name: str, aliases: tuple[str, ...] = (), *, out: bool = True) -> Any:
    """Function, method and in-place method of ``call``, which is made of other operations, under ``name``."""
    call.__name__ = call.__qualname__ = name
    public(call, name=name, aliases=aliases, out=out)
    for each in (name, *aliases):
        public(_overwriting(call, each), name=f"{each}_", function=False)
    return call


for _kernel, _name, _aliases in (
    (f.neg, "neg", ("negative",)), (f.sign, "sign", ()), (f.sqrt, "sqrt", ()), (f.rsqrt, "rsqrt", ()),
    (f.square, "square", ()), (f.reciprocal, "reciprocal", ()), (f.exp_, "exp", ()), (f.exp2, "exp2", ()), (f.expm1, "expm1", ()),
    (f.log, "log", ()), (f.log2, "log2", ()), (f.log10, "log10", ()), (f.log1p, "log1p", ()), (f.sin, "sin", ()), (f.cos, "cos", ()),
    (f.tan, "tan", ()), (f.asin, "asin", ("arcsin",)), (f.acos, "acos", ("arccos",)), (f.atan, "atan", ("arctan",)), (f.sinh, "sinh", ()),
    (f.cosh, "cosh", ()), (f.tanh, "tanh", ()), (f.asinh, "asinh", ("arcsinh",)), (f.acosh, "acosh", ("arccosh",)),
    (f.atanh, "atanh", ("arctanh",)), (f.sigmoid, "sigmoid", ()), (activations.relu, "relu", ()), (activations.selu, "selu", ()),
    (f.erf_, "erf", ()), (f.erfc, "erfc", ()),
    (f.erfinv, "erfinv", ()), (f.floor, "floor", ()), (f.ceil, "ceil", ()), (f.trunc, "trunc", ("fix",)), (f.frac, "frac", ()),
    (logic.logical_not, "logical_not", ()),
    (logic.bitwise_not, "bitwise_not", ()), (f.mul, "mul", ("multiply",)),
    (f.copysign_, "copysign", ()), (f.fmod_, "fmod", ()), (logic.eq, "eq", ()), (logic.ne, "ne", ("not_equal",)), (logic.lt, "lt", ("less",)),
    (logic.le, "le", ("less_equal",)), (logic.gt, "gt", ("greater",)), (logic.ge, "ge", ("greater_equal",)),
    (logic.bitwise_and, "bitwise_and", ()), (logic.bitwise_or, "bitwise_or", ()),
    (logic.bitwise_xor, "bitwise_xor", ()), (logic.bitwise_left_shift, "bitwise_left_shift", ()), (logic.bitwise_right_shift, "bitwise_right_shift", ()),
):  # fmt: skip
    declare(_kernel, _name, aliases=_aliases)
for _kernel, _name, _aliases in (
    (f.atan2, "atan2", ("arctan2",)), (f.hypot, "hypot", ()), (logic.logical_and, "logical_and", ()), (logic.logical_or, "logical_or", ()),
    (logic.logical_xor, "logical_xor", ()),
):  # fmt: skip
    declare(_kernel, _name, aliases=_aliases, numbers="none")
for _kernel, _name in (
    (logic.isnan, "isnan"),
    (logic.isfinite, "isfinite"),
    (f.maximum, "maximum"),
    (f.minimum, "minimum"),
    (f.fmax, "fmax"),
    (f.fmin, "fmin"),
):
    declare(_kernel, _name, inplace=False, numbers="none")

_isinf = operation(logic.isinf, "isinf")
_abs, _abs_complex = operation(f.abs_, "abs"), operation(f.abs_complex, "abs")
_round, _conj = operation(f.round_, "round"), operation(f.conj, "conj")
_add, _add_scaled, _sub = operation(f.add, "add"), operation(f.add_scaled, "add"), operation(f.sub, "sub")
_div, _trunc, _floor = operation(f.div, "div"), operation(f.trunc, "trunc"), operation(f.floor, "floor")
_floor_divide_float, _floor_divide_int = operation(f.floor_divide_float, "floor_divide"), operation(f.floor_divide_int, "floor_divide")
_fmod = operation(f.fmod_, "fmod")
_remainder_float, _remainder_int = operation(f.remainder_float, "remainder"), operation(f.remainder_int, "remainder")
_where = operation(f.where_, "where")
_clamp, _clamp_min, _clamp_max = operation(f.clamp, "clamp"), operation(f.clamp_min, "clamp"), operation(f.clamp_max, "clamp")


def is_complex(x: Any) -> bool:
    return isinstance(x, Tensor) and x._data.dtype.kind == "c" or isinstance(x, complex)


def is_integer(*operands: Any) -> bool:
    """Whether every operand is an integer or bool: then division is that of integers."""
    return all(x._data.dtype.kind in "biu" if isinstance(x, Tensor) else isinstance(x, int) for x in operands)


def absolute(input: Any, **others: Any) -> Any:
    """|x|; of a complex number, its modulus."""
    if others:
        return with_others(absolute, others, input)
    return (_abs_complex if is_complex(input) else _abs)(input)


def _check_setting(name: str, value: Any, *tensors: Any) -> None:
    if isinstance(value, float) and is_integer(*tensors):
        raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")


def _scaled(input: Any, other: Any, alpha: Any) -> Any:
    if not isinstance(alpha, (bool, int, float, complex, np.generic)):
        raise TypeError(f"argument 'alpha' must be Number, not {type(alpha).__name__}")
    _check_setting("alpha", alpha, input, other)
    return _add_scaled(input, other, alpha)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """input + alpha · other"""
    y = _add(input, other) if alpha == 1 else _scaled(input, other, alpha)
    return y if out is None else into(out, y, "add")


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """input − alpha · other"""
    y = _sub(input, other) if alpha == 1 else _scaled(input, other, alpha if isinstance(alpha, str) else -alpha)
    return y if out is None else into(out, y, "sub")


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """input / other; ``rounding_mode`` ``"trunc"`` rounds towards zero, ``"floor"`` down."""
    if rounding_mode is None:
        y = _div(input, other)
    elif rounding_mode == "floor":
        y = _floored(input, other)
    elif rounding_mode == "trunc":
        if is_integer(input, other):
            y = _sub(input, _fmod(input, other))
            y = _floor_divide_int(y, other)
        else:
            y = _trunc(_div(input, other))
    else:
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return y if out is None else into(out, y, "div")


def _floored(input: Any, other: Any) -> Any:
    return (_floor_divide_int if is_integer(input, other) else _floor_divide_float)(input, other)


class _NotImplemented(Node):
    """The record of an operation without a derivative, which is an error to differentiate and not to call."""

    operation = ""

    def name(self) -> str:
        return "NotImplemented"

    def backward(self, grads: list[Any]) -> Any:
        raise RuntimeError(f"derivative for {self.operation} is not implemented")


def without_derivative(y: Any, name: str) -> Any:
    """The result of the operation ``name``, of which PyTorch has no derivative: to ask for it is a RuntimeError."""
    if isinstance(y, Tensor) and y._node is not None:
        y._node = _NotImplemented(y._node.edges, y._node.outputs)
        y._node.operation = name
    return y


def floor_divide(input: Any, other: Any) -> Any:
    """⌊input / other⌋, without a derivative; that of ``div(rounding_mode="floor")`` is zero"""
    return without_derivative(_floored(input, other), "floor_divide")


def remainder(input: Any, other: Any) -> Any:
    """the remainder of input / other with the sign of other"""
    return (_remainder_int if is_integer(input, other) else _remainder_float)(input, other)


def round_(input: Any, *, decimals: int = 0) -> Any:
    """the nearest integer, ties to even; ``decimals`` digits are kept"""
    if isinstance(input, Tensor) and is_integer(input):
        return input.clone()
    if decimals == 0:
        return _round(input)
    scale = 10.0 ** abs(decimals)
    return _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale


def clamp(input: Any, min: Any = None, max: Any = None, **others: Any) -> Any:
    """input limited to [min, max]; either bound may be None"""
    if others:
        return with_others(clamp, others, input, min, max)
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if type(min) is int or type(max) is int:
        _check_bounds(input, min, max)
    if max is None:
        return _clamp_min(input, min)
    return _clamp_max(input, max) if min is None else _clamp(input, min, max)


def _check_bounds(input: Any, *bounds: Any) -> None:
    """RuntimeError for a Python int that the dtype of ``input``, an integer one, cannot hold: it would wrap around and limit to something else."""
    if (
        not isinstance(input, Tensor)
        or input._data.dtype.kind not in "iu"
        or any(type(bound) is float or isinstance(bound, Tensor) for bound in bounds)
    ):
        return
    limits = np.iinfo(input._data.dtype)
    low = int(limits.min) or -int(limits.max)  # negative numbers wrap around in unsigned types
    for bound in bounds:
        if type(bound) is int and not low <= bound <= int(limits.max):
            raise RuntimeError(f"clamp: value {bound} cannot be converted to type {input.dtype.name} without overflow")


_PLAIN += (add, sub, div)
declare(f.abs_, "abs", aliases=("absolute",), wrapper=absolute)
declare(f.add, "add", wrapper=add)
declare(f.sub, "sub", aliases=("subtract",), wrapper=sub)
declare(f.div, "div", aliases=("divide", "true_divide"), wrapper=div)
declare(f.floor_divide_float, "floor_divide", wrapper=floor_divide, out=True)
declare(f.remainder_float, "remainder", wrapper=remainder, out=True)
declare(f.round_, "round", wrapper=round_, out=True)
declare(f.clamp, "clamp", aliases=("clip",), wrapper=clamp)


def isinf(input: Any) -> Any:
    """x is infinite"""
    if is_complex(input):
        return operation(logic.isinf_complex)(input)  # type: ignore[attr-defined]
    return _isinf(input)


public(isinf, name="isinf")


def clamp_min(input: Any, min: Any) -> Any:
    """max(input, min)"""
    return clamp(_tensor(input, "clamp_min", min), min)


def clamp_max(input: Any, max: Any) -> Any:
    """min(input, max)"""
    return clamp(_tensor(input, "clamp_max", max), max=max)


def _tensor(input: Any, op: str, other: Any) -> Any:
    if type(input) in _PYTHON_NUMBERS and isinstance(other, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


composed(clamp_min, "clamp_min")
composed(clamp_max, "clamp_max")


@public(name="conj")
def conj(input: Any) -> Any:
    """The complex conjugate; a real tensor as it is."""
    return _conj(input) if is_complex(input) else input


@public(method=False, name="where")
def where(condition: Any, input: Any = None, other: Any = None, **others: Any) -> Any:
    """``input`` where ``condition`` holds, else ``other``; with the condition alone, the indices where it holds, per dimension.

    Raises RuntimeError if the condition is not boolean.
    """
    if others:
        return with_others(where, others, condition, input, other)
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if isinstance(condition, Tensor) and condition._data.dtype != np.bool_:
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}")
    return _where(condition, input, other)


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Any:
    """``self`` where ``condition`` holds, else ``other``"""
    return where(condition, self, other)


Tensor.where = _where_method  # type: ignore[attr-defined]
_lerp, _addcmul, _addcdiv = operation(f.lerp, "lerp"), operation(f.addcmul, "addcmul"), operation(f.addcdiv, "addcdiv")


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight · (end − input)"""
    if is_complex(input) or is_complex(weight):  # from the nearer end, as the formula, which cannot compare complex numbers
        near = (absolute(weight) if isinstance(weight, Tensor) else abs(weight)) < 0.5
        ahead, back = input + weight * (end - input), end - (end - input) * (1 - weight)
        return _where(near, ahead, back) if isinstance(near, Tensor) else ahead if near else back
    return _lerp(input, end, weight)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value · tensor1 · tensor2"""
    _check_setting("value", value, input, tensor1, tensor2)
    return _addcmul(input, tensor1, tensor2, value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value · tensor1 / tensor2"""
    return _addcdiv(input, tensor1, tensor2, value)


declare(f.lerp, "lerp", wrapper=lerp, out=True)
declare(f.addcmul, "addcmul", wrapper=addcmul, out=True)
declare(f.addcdiv, "addcdiv", wrapper=addcdiv, out=True)
