"""The LLVM instructions that Python has no word for: memory by address, bit patterns, fused multiply-add, rounding, selection.

Each is a Numba intrinsic, usable in kernels and inline helpers, with a plain Python twin that stands in when ``NUMBA_DISABLE_JIT`` is set.
A kernel that takes ``id(array)`` instead of the array saves the boxing of each argument, which costs more than a small operation does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.errors import TypingError
from numba.extending import intrinsic

# Where the data pointer stands in a PyArrayObject: right behind the object head.
_DATA_OFFSET = object.__basicsize__


def _data_pointer(object_id: int) -> int:
    return ctypes.c_size_t.from_address(int(object_id) + _DATA_OFFSET).value


def _check_layout() -> None:
    for probe in (np.zeros(3, np.float32), np.zeros((4, 5))[1:, 2:]):
        if _data_pointer(id(probe)) != probe.__array_interface__["data"][0]:
            raise ImportError(f"numbagrad: the data pointer of a NumPy {np.__version__} array is not where it is expected in this Python")


_check_layout()


def _element_type(dtype: Any) -> Any:
    """The Numba type named by an argument such as ``np.float32`` or ``array.dtype`` in a kernel; None where it names none."""
    if isinstance(dtype, types.NumberClass):
        return dtype.instance_type
    if isinstance(dtype, types.DType):
        return dtype.dtype
    return None


def _named(function: str, dtype: Any) -> Any:
    element = _element_type(dtype)
    if element is None:
        raise TypingError(f"{function}: expected a dtype such as np.float32, but got {dtype}")
    return element


def _or_python(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Make a typing function an intrinsic, or ``twin`` where nothing is compiled."""
    return lambda typing: twin if config.DISABLE_JIT else intrinsic(typing)


def _view_python(address: int, n: int, dtype: Any) -> np.ndarray:
    dtype, address, n = np.dtype(dtype), int(address), int(n)
    if n == 0:
        return np.empty(0, dtype)
    return np.frombuffer((ctypes.c_byte * (n * dtype.itemsize)).from_address(address), dtype, n)


def _store_python(address: int, value: Any) -> None:
    _view_python(address, 1, np.asarray(value).dtype)[0] = value


def _array_value(context: Any, builder: Any, array_type: Any, address: Any, n: Any) -> Any:
    """A Numba array struct over ``n`` elements at ``address`` that owns nothing."""
    from numba.np import arrayobj  # only compiling needs it, and it is slow to import

    array = context.make_array(array_type)(context, builder)
    data_type = context.get_data_type(array_type.dtype)
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(data_type))
    data = builder.inttoptr(address, data_type.as_pointer())
    arrayobj.populate_array(array, data=data, shape=[n], strides=[itemsize], itemsize=itemsize, meminfo=None)
    return array._getvalue()


def _load_data_pointer(context: Any, builder: Any, object_id: Any) -> Any:
    word = context.get_value_type(types.intp)
    slot = builder.inttoptr(builder.add(object_id, ir.Constant(word, _DATA_OFFSET)), word.as_pointer())
    return builder.load(slot)


@_or_python(lambda object_id, n, dtype: _view_python(_data_pointer(object_id), n, dtype))
def array_at(typingctx: Any, object_id: Any, n: Any, dtype: Any) -> Any:
    """``array_at(id(a), n, np.float32)``: the first ``n`` elements from the start of ndarray ``a`` as a contiguous 1-D array that owns
    nothing.

    The caller keeps ``a`` alive and answers for its dtype, alignment and extent.
    """
    array_type = types.Array(_named("array_at", dtype), 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _array_value(context, builder, array_type, _load_data_pointer(context, builder, args[0]), args[1])

    return array_type(types.intp, types.intp, dtype), codegen


@_or_python(_view_python)
def array_from(typingctx: Any, address: Any, n: Any, dtype: Any) -> Any:
    """``array_from(address, n, np.float32)``: ``n`` elements at ``address`` as a contiguous 1-D array that owns nothing."""
    array_type = types.Array(_named("array_from", dtype), 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _array_value(context, builder, array_type, args[0], args[1])

    return array_type(types.intp, types.intp, dtype), codegen


@_or_python(_data_pointer)
def address_of(typingctx: Any, object_id: Any) -> Any:
    """``address_of(id(a))``: the address of the first element of ndarray ``a``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load_data_pointer(context, builder, args[0])

    return types.intp(types.intp), codegen


@_or_python(lambda address, dtype: _view_python(address, 1, dtype)[0])
def load(typingctx: Any, address: Any, dtype: Any) -> Any:
    """``load(address, np.float32)``: the (aligned) value at ``address``."""
    element = _named("load", dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_data_type(element).as_pointer())
        return context.unpack_value(builder, element, pointer)

    return element(types.intp, dtype), codegen


@_or_python(_store_python)
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """``store(address, value)``: write ``value``, in its own type, to the (aligned) ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_data_type(value).as_pointer())
        context.pack_value(builder, value, args[1], pointer)
        return context.get_dummy_value()

    return types.void(types.intp, value), codegen


def _has_fma(context: Any) -> bool:
    """True where the code being generated may hold a fused multiply-add; elsewhere the instruction would become a slow library call."""
    codegen = context.codegen()
    triple, _, features = codegen.magic_tuple()
    return "+fma" in features.split(",") or triple.startswith(("aarch64", "arm64", "powerpc64", "ppc64", "s390x"))


def _function(builder: Any, name: str, kind: Any, arguments: int) -> Any:
    module = builder.module
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, ir.FunctionType(kind, [kind] * arguments), name)


_SUFFIX = {types.float32: "f32", types.float64: "f64"}


def _emit_fma(context: Any, builder: Any, float_type: Any, a: Any, b: Any, c: Any) -> Any:
    if _has_fma(context):
        return builder.call(_function(builder, f"llvm.fma.{_SUFFIX[float_type]}", a.type, 3), [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


def _floats(function: str, *arguments: Any) -> Any:
    if arguments[0] not in _SUFFIX or any(argument != arguments[0] for argument in arguments):
        raise TypingError(f"{function}: expected arguments of one type, float32 or float64, but got {arguments}")
    return arguments[0]


@_or_python(lambda a, b, c: a * b + c)
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor has the instruction (else twice)."""
    kind = _floats("fma", a, b, c)
    return kind(kind, kind, kind), lambda context, builder, signature, args: _emit_fma(context, builder, kind, *args)


def _product_error_python(a: Any, b: Any) -> Any:
    kind = type(a)
    exact = np.longdouble(a) * np.longdouble(b)
    return kind(exact - np.longdouble(kind(a * b)))


def _emit_product_error(context: Any, builder: Any, kind: Any, a: Any, b: Any) -> Any:
    product = builder.fmul(a, b)
    if _has_fma(context):
        return _emit_fma(context, builder, kind, a, b, builder.fneg(product))
    factor = ir.Constant(a.type, 4097.0 if kind == types.float32 else 134217729.0)

    def halves(x: Any) -> tuple[Any, Any]:
        scaled = builder.fmul(x, factor)
        high = builder.fsub(scaled, builder.fsub(scaled, x))
        return high, builder.fsub(x, high)

    (a1, a2), (b1, b2) = halves(a), halves(b)
    error = builder.fsub(builder.fmul(a1, b1), product)
    error = builder.fadd(builder.fadd(error, builder.fmul(a1, b2)), builder.fmul(a2, b1))
    return builder.fadd(error, builder.fmul(a2, b2))


@_or_python(_product_error_python)
def product_error(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b`` exactly, less ``a * b`` as rounded.  One fused multiply-add, or Dekker's splitting (Numerische Mathematik 18, 1971)
    without it; the latter wants |a|, |b| and the product well inside the range of the type."""
    kind = _floats("product_error", a, b)
    return kind(kind, kind), lambda context, builder, signature, args: _emit_product_error(context, builder, kind, *args)


@_or_python(lambda a, b, c: type(a)(np.longdouble(a) * np.longdouble(b) + np.longdouble(c)))
def precise_fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once or, where the processor has no instruction for that, as if the sum had been found in twice the precision:
    the product and its error, the sum and its (Knuth, *The Art of Computer Programming* 2, 4.2.2), put together.  Ranges as of ``product_error``.
    """
    kind = _floats("precise_fma", a, b, c)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, c = args
        if _has_fma(context):
            return _emit_fma(context, builder, kind, a, b, c)
        product, error = builder.fmul(a, b), _emit_product_error(context, builder, kind, a, b)
        total = builder.fadd(product, c)
        part = builder.fsub(total, product)
        lost = builder.fadd(builder.fsub(product, builder.fsub(total, part)), builder.fsub(c, part))
        return builder.fadd(total, builder.fadd(lost, error))

    return kind(kind, kind, kind), codegen


def _horner_python(x: Any, coefficients: Any) -> Any:
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@_or_python(_horner_python)
def horner(typingctx: Any, x: Any, coefficients: Any) -> Any:
    """``c[0] + c[1]·x + c[2]·x² + ...`` for a global tuple of coefficients, unrolled, by Horner's rule with fused multiply-adds."""
    kind = _floats("horner", x)
    if not isinstance(coefficients, types.UniTuple) or coefficients.dtype != kind:
        raise TypingError(f"horner: expected a tuple of {kind} coefficients, but got {coefficients}")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        c = [builder.extract_value(args[1], i) for i in range(coefficients.count)]
        value = c[-1]
        for coefficient in c[-2::-1]:
            value = _emit_fma(context, builder, kind, value, args[0], coefficient)
        return value

    return kind(kind, coefficients), codegen


@_or_python(lambda condition, a, b: a if condition else b)
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """``a`` if ``condition`` else ``b``, both already computed: never a branch, so the loop around it vectorises."""
    if not isinstance(a, types.Number) or a != b:
        raise TypingError(f"select: expected two numbers of one type, but got {a} and {b}")
    return a(types.boolean, a, a), lambda context, builder, signature, args: builder.select(*args)


@_or_python(np.rint)
def rint(typingctx: Any, x: Any) -> Any:
    """The integer nearest to ``x``, ties to even, as a float."""
    kind = _floats("rint", x)
    return kind(kind), lambda context, builder, signature, args: builder.call(
        _function(builder, f"llvm.rint.{_SUFFIX[kind]}", args[0].type, 1), args
    )


@_or_python(np.copysign)
def copysign(typingctx: Any, x: Any, y: Any) -> Any:
    """The magnitude of ``x`` with the sign of ``y``."""
    kind = _floats("copysign", x, y)
    return kind(kind, kind), lambda context, builder, signature, args: builder.call(
        _function(builder, f"llvm.copysign.{_SUFFIX[kind]}", args[0].type, 2), args
    )


@_or_python(lambda x: x.view(np.int32))
def bits(typingctx: Any, x: Any) -> Any:
    """The bit pattern of a float32 as an int32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))


@_or_python(lambda pattern: np.int32(pattern).view(np.float32))
def from_bits(typingctx: Any, pattern: Any) -> Any:
    """The float32 with the bit pattern of an int32."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.FloatType())
