"""Elementwise operations on tensors: each is a formula of ``kernels.elementwise.formulas``; its derivative comes from the formula.

One line declares the function, the method, the in-place method and every derivative.  The derivative of an operation is itself an
operation of this kind, so it is differentiable in turn, to any order.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from ..autograd.graph import Node, edge_of
from ..autograd.mode import state
from ..kernels import _dtypes
from ..kernels import elementwise as kernels
from ..kernels._formula import Expr
from ..kernels.elementwise import formulas as f
from ..tensor import Tensor, wrap
from ._attach import FUNCTIONS, public
from ._inplace import check_writable, may_overlap, overwrite, rebase
from ._operation import Saved, freed


class ElementwiseNode(Node):
    """A recorded call of an ElementwiseOperation: keeps what its derivative reads, and nothing else."""

    def __init__(self, operation: ElementwiseOperation, derivative: Any, edges: Sequence[Any], outputs: Any):
        super().__init__(edges, outputs)
        self.operation = operation
        self.derivative: Any = derivative
        self.saved: Any = None

    def name(self) -> str:
        return self.operation.node_name

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        if self.saved is None:
            raise freed()
        derivative = self.derivative
        results: list[Any] = [None] * len(self.edges)
        if derivative.operation is None:
            return results
        many = len(grads) > 1
        if many and any(g is None for g in grads):
            have = tuple(i for i, g in enumerate(grads) if g is not None)
            derivative = self.operation.kernel.derivative(tuple(i for i, e in enumerate(self.edges) if e is not None), have)
            if derivative.operation is None:
                return results
        operands = []
        for need in derivative.needs:
            if need in derivative.seeds:
                operands.append(grads[derivative.seeds[need]])
            else:
                held = self.saved[need]
                operands.append(held.unpack(self) if type(held) is Saved else held)
        found = ElementwiseOperation.of(derivative.operation)(*operands)
        for position, gradient in zip(derivative.gives, found if type(found) is tuple else (found,)):
            results[position] = gradient
        return results

    def release(self) -> None:
        self.saved = None


class ElementwiseOperation:
    """A formula as a differentiable function of tensors and numbers."""

    _made: dict[int, ElementwiseOperation] = {}

    def __init__(self, kernel: kernels.Elementwise, name: str | None = None):
        self.kernel = kernel
        self.name = self.__name__ = name or kernel.name
        self.node_name = "".join(part.capitalize() for part in self.name.strip("_").split("_")) + "Backward0"
        self.__doc__ = kernel.__doc__

    @classmethod
    def of(cls, kernel: kernels.Elementwise) -> ElementwiseOperation:
        """The operation of ``kernel``, made once."""
        found = cls._made.get(id(kernel))
        if found is None:
            found = cls._made[id(kernel)] = cls(kernel)
        return found

    def __repr__(self) -> str:
        return f"<elementwise operation {self.name}({', '.join(self.kernel.params)})>"

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient by a formula of its own: ``rule`` names what it reads among ``g``, ``y`` and the parameters."""
        return self.kernel.vjp(rule)

    def __call__(self, *operands: Any) -> Any:
        try:
            y = kernels.run(self.kernel, *[x._data if isinstance(x, Tensor) else x for x in operands])
        except TypeError:
            if any(isinstance(x, Expr) for x in operands):
                return self.kernel.inside(*operands)
            raise self._argument_error(operands) from None
        many = type(y) is tuple
        result = tuple(map(wrap, y)) if many else wrap(y)
        if state.recording:
            for x in operands:
                if isinstance(x, Tensor) and (x._node is not None or x._requires_grad or (x._base is not None and x.requires_grad)):
                    self._record(operands, result if many else (result,))
                    break
        return result

    def _argument_error(self, operands: Sequence[Any]) -> TypeError:
        expected = len(self.kernel.params)
        if len(operands) != expected:
            return TypeError(f"{self.name}() takes {expected} arguments ({', '.join(self.kernel.params)}), but {len(operands)} were given")
        for position, x in enumerate(operands):
            if not isinstance(x, (Tensor, bool, int, float, complex)):
                return TypeError(f"{self.name}(): argument '{self.kernel.params[position]}' (position {position + 1}) must be Tensor, not {type(x).__name__}")
        return TypeError(f"{self.name}(): invalid combination of arguments: {', '.join(type(x).__name__ for x in operands)}")

    def _record(self, operands: Sequence[Any], results: Sequence[Tensor]) -> None:
        if results[0]._data.dtype.kind not in "fcV":
            return
        wanted = tuple([i for i, x in enumerate(operands) if isinstance(x, Tensor) and x.requires_grad and _differentiable(x)])
        derivative = self.kernel.derivative(wanted)
        edges = [edge_of(x) if i in wanted else None for i, x in enumerate(operands)]
        node = ElementwiseNode(self, derivative, edges, [(t._data.shape, t._data.dtype) for t in results])
        saved: dict[str, Any] = {}
        for need in derivative.needs:
            if need == "<y>":
                saved[need] = Saved(results[0], node, 0)
            elif need in self.kernel.params:
                x = operands[self.kernel.params.index(need)]
                saved[need] = Saved(x) if isinstance(x, Tensor) else x
        node.saved = saved
        for i, t in enumerate(results):
            t._node, t._index = node, i

    def in_place(self, target: Tensor, *others: Any) -> Tensor:
        """``target`` overwritten by the operation's result on (target, *others)."""
        op = self.name + "_"
        check_writable(target, op)
        operands = (target, *others)
        data = target._data
        for x in others:
            if isinstance(x, Tensor) and may_overlap(data, x._data):
                return self.in_place(target, *[o.clone() if isinstance(o, Tensor) and may_overlap(data, o._data) else o for o in others])
        if state.recording and any(isinstance(x, Tensor) and x.requires_grad for x in operands):
            kept = target.clone()  # what the derivative may read must survive the change
            written = self(kept, *others)
            self._check_result(target, written)
            return overwrite(target, written, op)
        descriptors = tuple(x._data.dtype if isinstance(x, Tensor) and x.ndim else (x._data.dtype,) if isinstance(x, Tensor) else type(x) for x in operands)
        settled = kernels.plan(self.kernel, descriptors) if descriptors else None
        assert settled is not None
        self._check_type(target, settled.outputs[0])
        kernels.run(self.kernel, *[x._data if isinstance(x, Tensor) else x for x in operands], out=(data,))
        target._bump()
        return target

    def _check_type(self, target: Tensor, dtype: np.dtype) -> None:
        if _dtypes.category(dtype) > _dtypes.category(target._data.dtype):
            from ..dtypes import of

            raise RuntimeError(
                f"result type {kernels._TITLES[_dtypes.name(dtype)]} can't be cast to the desired output type {kernels._TITLES[of(target._data.dtype).name]}"
            )

    def _check_result(self, target: Tensor, written: Tensor) -> None:
        self._check_type(target, written._data.dtype)
        if written.shape != target.shape:
            raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape {list(written.shape)}")


def _differentiable(x: Tensor) -> bool:
    return x._data.dtype.kind in "fcV"


def operation(kernel: kernels.Elementwise, name: str | None = None) -> ElementwiseOperation:
    """The operation of ``kernel``, under ``name``."""
    op = ElementwiseOperation.of(kernel)
    if name is not None:
        op.name = op.__name__ = name
        op.node_name = "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"
    return op


def elementwise(function: Callable[..., Any] | None = None, *, result: str = "same", accepts: str = "bif") -> Any:
    """Make a differentiable operation from a scalar formula.

        @ng.elementwise
        def swish(x, beta):
            return x * ng.sigmoid(beta * x)

    The function is traced once: it may use arithmetic, comparisons and numbagrad's elementwise functions, and ``ng.where`` in place of ``if``.  The result
    is called with tensors and numbers, which broadcast and promote as everywhere; gradients of every order come from the formula, as one fused
    kernel each.  ``@swish.vjp`` declares a gradient by hand.

    ``result``: ``"same"`` as the operands' common dtype, ``"float"`` (integers become floats) or ``"bool"``.  ``accepts``: the kinds of operands, letters of
    ``"bifc"`` (bool, integer, floating, complex).  Raises TypeError for a formula that branches on its data or leaves scalars.
    """
    if function is None:
        return lambda f: elementwise(f, result=result, accepts=accepts)
    made = kernels.elementwise(function, result=result, accepts=accepts)
    made.formula  # trace now, so that a mistake in a formula shows where it is written  # noqa: B018
    return ElementwiseOperation(made)


# ---- declarations ------------------------------------------------------------------------------------------------------------------


def _declare(
    kernel: kernels.Elementwise, name: str, *, aliases: tuple[str, ...] = (), method: bool = True, inplace: bool = True, wrapper: Any = None
) -> Any:
    """Function, method and in-place method of ``kernel`` under ``name``.  ``wrapper`` gives it another signature and calls the operation."""
    op = operation(kernel, name)
    call = op if wrapper is None else wrapper
    if wrapper is None and len(kernel.params) == 1:
        call = _unary(op)
    elif wrapper is None and len(kernel.params) == 2:
        call = _binary(op)
    public(call, name=name, aliases=aliases, method=method)
    if inplace and method:
        for each in (name, *aliases):
            changed = _in_place(op, call)
            changed.__name__ = f"{each}_"
            public(changed, name=f"{each}_", function=len(kernel.params) == 1)
    return call


def _unary(op: ElementwiseOperation) -> Any:
    def call(input: Any, *, out: Any = None) -> Any:  # noqa: A002 - PyTorch's argument name
        return op(input) if out is None else into(out, op(input))

    return _named(call, op)


def _binary(op: ElementwiseOperation) -> Any:
    def call(input: Any, other: Any, *, out: Any = None) -> Any:  # noqa: A002 - PyTorch's argument name
        return op(input, other) if out is None else into(out, op(input, other))

    return _named(call, op)


def _named(call: Any, op: ElementwiseOperation) -> Any:
    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = op.__doc__
    call.operation = op
    return call


def _in_place(op: ElementwiseOperation, call: Any) -> Any:
    direct = getattr(call, "operation", None) is op

    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if direct and not kwargs:
            return op.in_place(self, *args)
        if direct:
            return op.in_place(self, *args, *kwargs.values())
        check_writable(self, op.name + "_")
        source = self.clone() if state.recording and self.requires_grad else self
        written = call(source, *args, **kwargs)
        op._check_result(self, written)
        return overwrite(self, written, op.name + "_")

    changed.__doc__ = f"In-place version of ``{op.name}``."
    return changed


def into(out: Tensor, value: Tensor) -> Tensor:
    """Write ``value`` into ``out=``, resizing nothing: the shapes must agree."""
    if out.requires_grad or value.requires_grad:
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad.")
    if out.shape != value.shape:
        raise RuntimeError(f"out= has shape {list(out.shape)}, but the result has shape {list(value.shape)}")
    return overwrite(out, value, "out=")


for _kernel, _name, _aliases in (
    (f.neg, "neg", ("negative",)), (f.sign, "sign", ()), (f.sqrt, "sqrt", ()), (f.rsqrt, "rsqrt", ()),
    (f.square, "square", ()), (f.reciprocal, "reciprocal", ()), (f.exp_, "exp", ()), (f.exp2, "exp2", ()), (f.expm1, "expm1", ()),
    (f.log, "log", ()), (f.log2, "log2", ()), (f.log10, "log10", ()), (f.log1p, "log1p", ()), (f.sin, "sin", ()), (f.cos, "cos", ()),
    (f.tan, "tan", ()), (f.asin, "asin", ("arcsin",)), (f.acos, "acos", ("arccos",)), (f.atan, "atan", ("arctan",)), (f.sinh, "sinh", ()),
    (f.cosh, "cosh", ()), (f.tanh, "tanh", ()), (f.asinh, "asinh", ("arcsinh",)), (f.acosh, "acosh", ("arccosh",)),
    (f.atanh, "atanh", ("arctanh",)), (f.sigmoid, "sigmoid", ()), (f.relu, "relu", ()), (f.erf_, "erf", ()), (f.erfc, "erfc", ()),
    (f.erfinv, "erfinv", ()), (f.floor, "floor", ()), (f.ceil, "ceil", ()), (f.trunc, "trunc", ("fix",)), (f.frac, "frac", ()), (f.logical_not, "logical_not", ()),
    (f.bitwise_not, "bitwise_not", ()), (f.mul, "mul", ("multiply",)), (f.pow_, "pow", ()), (f.atan2, "atan2", ("arctan2",)), (f.hypot, "hypot", ()),
    (f.copysign_, "copysign", ()), (f.fmod_, "fmod", ()), (f.eq, "eq", ()), (f.ne, "ne", ("not_equal",)), (f.lt, "lt", ("less",)),
    (f.le, "le", ("less_equal",)), (f.gt, "gt", ("greater",)), (f.ge, "ge", ("greater_equal",)), (f.logical_and, "logical_and", ()),
    (f.logical_or, "logical_or", ()), (f.logical_xor, "logical_xor", ()), (f.bitwise_and, "bitwise_and", ()), (f.bitwise_or, "bitwise_or", ()),
    (f.bitwise_xor, "bitwise_xor", ()), (f.bitwise_left_shift, "bitwise_left_shift", ()), (f.bitwise_right_shift, "bitwise_right_shift", ()),
):  # fmt: skip
    _declare(_kernel, _name, aliases=_aliases)
for _kernel, _name in ((f.isnan, "isnan"), (f.isfinite, "isfinite"), (f.maximum, "maximum"), (f.minimum, "minimum"), (f.fmax, "fmax"), (f.fmin, "fmin")):
    _declare(_kernel, _name, inplace=False)

_isinf = operation(f.isinf, "isinf")
_abs, _abs_complex = operation(f.abs_, "abs"), operation(f.abs_complex, "abs")
_round, _conj = operation(f.round_, "round"), operation(f.conj, "conj")
_add, _add_scaled, _sub = operation(f.add, "add"), operation(f.add_scaled, "add"), operation(f.sub, "sub")
_div, _trunc, _floor = operation(f.div, "div"), operation(f.trunc, "trunc"), operation(f.floor, "floor")
_floor_divide_float, _floor_divide_int = operation(f.floor_divide_float, "floor_divide"), operation(f.floor_divide_int, "floor_divide")
_remainder_float, _remainder_int = operation(f.remainder_float, "remainder"), operation(f.remainder_int, "remainder")
_where = operation(f.where_, "where")
_clamp, _clamp_min, _clamp_max = operation(f.clamp, "clamp"), operation(f.clamp_min, "clamp"), operation(f.clamp_max, "clamp")


def _is_complex(x: Any) -> bool:
    return isinstance(x, Tensor) and x._data.dtype.kind == "c" or isinstance(x, complex)


def _is_integer(*operands: Any) -> bool:
    """Whether every operand is an integer or bool: then division is that of integers."""
    return all(x._data.dtype.kind in "biu" if isinstance(x, Tensor) else isinstance(x, int) for x in operands)


def _absolute(input: Any) -> Any:  # noqa: A002
    """|x|; of a complex number, its modulus."""
    return (_abs_complex if _is_complex(input) else _abs)(input)


def _add_call(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input + alpha · other"""
    y = _add(input, other) if alpha == 1 else _add_scaled(input, other, alpha)
    return y if out is None else into(out, y)


def _sub_call(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:  # noqa: A002
    """input − alpha · other"""
    y = _sub(input, other) if alpha == 1 else _add_scaled(input, other, -alpha)
    return y if out is None else into(out, y)


def _div_call(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:  # noqa: A002
    """input / other; ``rounding_mode`` ``"trunc"`` rounds towards zero, ``"floor"`` down."""
    if rounding_mode is None:
        y = _div(input, other)
    elif rounding_mode == "floor":
        y = _floor_divide_call(input, other)
    elif rounding_mode == "trunc":
        if _is_integer(input, other):
            y = _sub(input, operation(f.fmod_, "fmod")(input, other))
            y = _floor_divide_int(y, other)
        else:
            y = _trunc(_div(input, other))
    else:
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return y if out is None else into(out, y)


def _floor_divide_call(input: Any, other: Any) -> Any:  # noqa: A002
    """⌊input / other⌋"""
    return (_floor_divide_int if _is_integer(input, other) else _floor_divide_float)(input, other)


def _remainder_call(input: Any, other: Any) -> Any:  # noqa: A002
    """the remainder of input / other with the sign of other"""
    return (_remainder_int if _is_integer(input, other) else _remainder_float)(input, other)


def _round_call(input: Any, *, decimals: int = 0) -> Any:  # noqa: A002
    """the nearest integer, ties to even; ``decimals`` digits are kept"""
    if isinstance(input, Tensor) and _is_integer(input):
        return input.clone()
    if decimals == 0:
        return _round(input)
    scale = 10.0 ** abs(decimals)
    return _round(input * scale) / scale if decimals > 0 else _round(input / scale) * scale


def _clamp_call(input: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """input limited to [min, max]; either bound may be None"""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None".replace("torch.", ""))
    if max is None:
        return _clamp_min(input, min)
    return _clamp_max(input, max) if min is None else _clamp(input, min, max)


_declare(f.abs_, "abs", aliases=("absolute",), wrapper=_absolute)
_declare(f.add, "add", wrapper=_add_call)
_declare(f.sub, "sub", aliases=("subtract",), wrapper=_sub_call)
_declare(f.div, "div", aliases=("divide", "true_divide"), wrapper=_div_call)
_declare(f.floor_divide_float, "floor_divide", wrapper=_floor_divide_call)
_declare(f.remainder_float, "remainder", wrapper=_remainder_call)
_declare(f.round_, "round", wrapper=_round_call)
_declare(f.clamp, "clamp", aliases=("clip",), wrapper=_clamp_call)


def _isinf_call(input: Any) -> Any:  # noqa: A002
    """x is infinite"""
    if _is_complex(input):
        return operation(f.isinf_complex)(input)
    return _isinf(input)


public(_isinf_call, name="isinf")


@public(name="clamp_min")
def clamp_min(input: Any, min: Any) -> Any:  # noqa: A002
    """max(input, min)"""
    return _clamp_min(input, min)


@public(name="clamp_max")
def clamp_max(input: Any, max: Any) -> Any:  # noqa: A002
    """min(input, max)"""
    return _clamp_max(input, max)


@public(name="conj")
def conj(input: Any) -> Any:  # noqa: A002
    """The complex conjugate; a real tensor as it is."""
    return _conj(input) if _is_complex(input) else input


@public(method=False, name="where")
def where(condition: Any, input: Any = None, other: Any = None) -> Any:  # noqa: A002
    """``input`` where ``condition`` holds, else ``other``; with the condition alone, the indices where it holds, per dimension.

    Raises TypeError if the condition is not boolean.
    """
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


def _lerp_call(input: Any, end: Any, weight: Any) -> Any:  # noqa: A002
    """input + weight · (end − input)"""
    return _lerp(input, end, weight)


def _addcmul_call(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:  # noqa: A002
    """input + value · tensor1 · tensor2"""
    return _addcmul(input, tensor1, tensor2, value)


def _addcdiv_call(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:  # noqa: A002
    """input + value · tensor1 / tensor2"""
    return _addcdiv(input, tensor1, tensor2, value)


_declare(f.lerp, "lerp", wrapper=_lerp_call)
_declare(f.addcmul, "addcmul", wrapper=_addcmul_call)
_declare(f.addcdiv, "addcdiv", wrapper=_addcdiv_call)


# ---- operators ---------------------------------------------------------------------------------------------------------------------

_mul, _neg, _pow = operation(f.mul), operation(f.neg), operation(f.pow_)
_NUMBERS = (Tensor, bool, int, float, complex, np.ndarray, np.generic)


def _operand(x: Any) -> Any:
    """A NumPy array or scalar beside a tensor counts as a tensor or number."""
    if isinstance(x, np.generic):
        return x.item()
    return wrap(x) if isinstance(x, np.ndarray) else x


def _operator(name: str, op: Any, swapped: str | None = None, changed: str | None = None) -> None:
    """Install the dunder methods of a binary operation: a + b, b + a, a += b."""

    def forward(self: Tensor, other: Any) -> Any:
        if type(other) is Tensor or type(other) is float or type(other) is int:
            return op(self, other)
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return op(self, _operand(other))

    def reflected(self: Tensor, other: Any) -> Any:
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return op(_operand(other), self)

    setattr(Tensor, name, forward)
    if swapped:
        setattr(Tensor, swapped, reflected)
    if changed:
        method = getattr(Tensor, changed)
        setattr(Tensor, "__i" + name[2:], lambda self, other: method(self, _operand(other)))


def _power(a: Any, b: Any) -> Any:
    """a ** b; the common whole exponents have formulas of their own, which are faster and exact."""
    if isinstance(a, Tensor) and not isinstance(b, Tensor):
        if b == 2:
            return operation(f.square)(a)
        if b == 1:
            return a.clone()
        if b == 0.5:
            return operation(f.sqrt)(a)
        if isinstance(b, int) and b < 0 and _is_integer(a):
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    return _pow(a, b)


def _pow_call(input: Any, exponent: Any) -> Any:  # noqa: A002
    """input ** exponent"""
    return _power(input, exponent)


_declare(f.pow_, "pow", wrapper=_pow_call)
for _dunder, _op, _swapped, _changed in (
    ("__add__", _add, "__radd__", "add_"), ("__sub__", _sub, "__rsub__", "sub_"), ("__mul__", _mul, "__rmul__", "mul_"),
    ("__truediv__", _div, "__rtruediv__", "div_"), ("__floordiv__", _floor_divide_call, "__rfloordiv__", "floor_divide_"),
    ("__mod__", _remainder_call, "__rmod__", "remainder_"), ("__pow__", _power, "__rpow__", "pow_"), ("__eq__", operation(f.eq), None, None),
    ("__ne__", operation(f.ne), None, None), ("__lt__", operation(f.lt), None, None), ("__le__", operation(f.le), None, None),
    ("__gt__", operation(f.gt), None, None), ("__ge__", operation(f.ge), None, None), ("__and__", operation(f.bitwise_and), "__rand__", "bitwise_and_"),
    ("__or__", operation(f.bitwise_or), "__ror__", "bitwise_or_"), ("__xor__", operation(f.bitwise_xor), "__rxor__", "bitwise_xor_"),
    ("__lshift__", operation(f.bitwise_left_shift), "__rlshift__", "bitwise_left_shift_"),
    ("__rshift__", operation(f.bitwise_right_shift), "__rrshift__", "bitwise_right_shift_"),
):  # fmt: skip
    _operator(_dunder, _op, _swapped, _changed)
Tensor.__neg__ = lambda self: _neg(self)  # type: ignore[attr-defined]
Tensor.__pos__ = lambda self: self  # type: ignore[attr-defined]
Tensor.__abs__ = lambda self: _absolute(self)  # type: ignore[attr-defined]
Tensor.__invert__ = lambda self: operation(f.bitwise_not)(self)  # type: ignore[attr-defined]
assert FUNCTIONS
