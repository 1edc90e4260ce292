"""Elementwise operations: any formula of scalars over arrays of any strides, any dtypes and any broadcast.

The contract, in two steps.  ``plan`` settles types once per combination of operand dtypes (PyTorch's promotion; Python numbers and 0-d
arrays are weak).  ``run`` settles geometry on each call: operands that are all contiguous and of one shape are one flat run; anything
else is broadcast, its dimensions sorted by stride and merged where they can be, and handed over as rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from .. import _dtypes, _formula
from .._device import family
from ._declare import Derivative, Elementwise, elementwise

__all__ = ["Derivative", "Elementwise", "elementwise", "result_type", "run", "set_default_float", "default_float"]

_on = family(__name__)
_NUMBERS = {bool: 0, int: 1, float: 2, complex: 3}
_SCALARS = ((np.bool_, 0), (np.integer, 1), (int, 1), (np.floating, 2), (float, 2), (np.complexfloating, 3), (complex, 3))
_default_float = _dtypes.float32


def default_float() -> np.dtype:
    """What Python floats and true division of integers become."""
    return _default_float


def set_default_float(dtype: np.dtype) -> None:
    """Change ``default_float``; plans made under the old one are forgotten by being keyed on it."""
    global _default_float
    _default_float = dtype


class Plan(NamedTuple):
    """How an operation runs on given operand types."""

    compute: np.dtype  # the type of the arithmetic
    outputs: tuple[np.dtype, ...]  # the types of the results
    scalars: tuple[Any, ...]  # per operand: None for an array, else the Python type that a number is passed as
    divisors: tuple[int, ...]  # positions of the operands among which a zero is an error


def _descriptor(x: Any) -> Any:
    """What of an operand decides the types: its dtype, whether it is 0-d, or which kind of Python number it is."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or isinstance(x, np.generic):
        return type(x)
    return dtype if x.ndim else (dtype,)


def _combine(high: np.dtype | None, low: np.dtype | None) -> np.dtype | None:
    """The type of a stronger group of operands joined by a weaker one, which can only raise the category."""
    if high is None or low is None:
        return low if high is None else high
    a, b = _dtypes.category(high), _dtypes.category(low)
    if a == 3:
        return high
    if a == 2:
        return _dtypes.complex_dtype(high) if b == 3 else high
    return _dtypes.promote(high, low) if a == 0 or b >= 2 else high


def _number_dtype(kind: type) -> np.dtype:
    category = _NUMBERS.get(kind)
    if category is None:  # a subclass, or a NumPy scalar, which counts as the Python number it holds
        category = next((rank for known, rank in _SCALARS if issubclass(kind, known)), None)
    if category is None:
        raise TypeError(f"expected a tensor or a number, but got {kind.__name__}")
    return (_dtypes.bool_, _dtypes.int64, _default_float, _dtypes.complex_dtype(_default_float))[category]


def result_type(descriptors: Sequence[Any]) -> np.dtype:
    """``torch.result_type`` over dtypes (arrays with dimensions), 1-tuples of a dtype (0-d arrays) and types of Python numbers."""
    groups: list[np.dtype | None] = [None, None, None]
    for d in descriptors:
        rank, dtype = (0, d) if isinstance(d, np.dtype) else (1, d[0]) if isinstance(d, tuple) else (2, _number_dtype(d))
        held = groups[rank]
        groups[rank] = dtype if held is None else _dtypes.promote(held, dtype)
    result = _combine(_combine(groups[0], groups[1]), groups[2])
    if result is None:
        raise TypeError("expected at least one operand")
    return result


def plan(op: Elementwise, descriptors: tuple[Any, ...]) -> Plan:
    """The types of ``op`` on operands so described.

    Raises TypeError for the wrong number of them, NotImplementedError for types it has no meaning for.
    """
    if len(descriptors) != len(op.params):
        raise TypeError(f"{op.name}() takes {len(op.params)} arguments ({', '.join(op.params)}), but {len(descriptors)} were given")
    kinds = [p.kind for p in op.formula.params]
    described = [d if isinstance(d, np.dtype) else d[0] if isinstance(d, tuple) else _number_dtype(d) for d in descriptors]
    if op.name == "sub" and op.result == "same" and _dtypes.bool_ in described:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported: use the `~` or `^` operator or logical_not() instead."
        )
    voters = [d for d, p in zip(descriptors, op.formula.params) if p.kind == "number" and not p.args[1]] or list(descriptors)
    common = result_type(voters)
    category = _dtypes.category(common)
    if "bifc"[category] not in op.accepts:
        raise NotImplementedError(f"\"{op.name}\" not implemented for '{_dtypes.title(common)}'")
    if op.result == "auto":
        return _eager(op, descriptors, described, common)
    if op.result == "float" and category < 2:
        common = _default_float
    elif op.result == "number" and category == 0:
        common = _dtypes.int64
    compute = _dtypes.compute_dtype(common)
    if op.result == "real":
        common = _dtypes.real_dtype(common)
    outputs = tuple(_dtypes.bool_ if op.result == "bool" or y.kind == "bool" else common for y in op.formula.outputs)
    return Plan(compute, outputs, _scalars(compute, descriptors, kinds), _divisors(op, compute))


def _scalars(compute: np.dtype, descriptors: Sequence[Any], kinds: Sequence[str]) -> tuple[Any, ...]:
    """Per operand: None for an array, else the Python type that a number is passed as."""
    width = (int, int, float, complex)[_dtypes.category(compute)]
    return tuple((bool if kind == "bool" else width) if not isinstance(d, np.dtype) else None for d, kind in zip(descriptors, kinds))


def _join(parts: Sequence[Any]) -> Any:
    """The description of a result from those of its operands: a Python number only if all of them are."""
    if all(isinstance(d, type) for d in parts):
        return _KINDS[max(_dtypes.category(_number_dtype(d)) for d in parts)]
    dtype = result_type(parts)
    return dtype if any(isinstance(d, np.dtype) for d in parts) else (dtype,)


_KINDS = (bool, int, float, complex)


def _as(dtype: np.dtype, like: Any) -> Any:
    """``dtype`` as a result of the rank of ``like``: an array with dimensions, a 0-d array or a number."""
    return dtype if isinstance(like, np.dtype) else (dtype,) if isinstance(like, tuple) else _KINDS[_dtypes.category(dtype)]


def _dtype_of(description: Any) -> np.dtype:
    return (
        description
        if isinstance(description, np.dtype)
        else description[0]
        if isinstance(description, tuple)
        else _number_dtype(description)
    )


def _eager(op: Elementwise, descriptors: Sequence[Any], described: Sequence[np.dtype], common: np.dtype) -> Plan:
    """The types that the formula's operations would give one by one: a float constant or a division makes integers floats.

    The arithmetic is in one type, the widest that any of them needs; float64 where integers come out of it, which keeps their digits.
    """
    params = op.formula.params
    found: dict[int, Any] = {}
    for p, d, dtype in zip(params, descriptors, described):
        found[id(p)] = _as(_dtypes.bool_, d) if p.kind == "bool" else _KINDS[_dtypes.category(dtype)] if p.args[1] else d
    needed: list[Any] = [common]
    outputs = _formula.expand(op.formula.outputs)
    for e in _formula.order(outputs):
        if e.op is _formula.CONSTANT:
            found[id(e)] = type(e.args[0])
        elif e.op is not _formula.ARGUMENT:
            joined = _join([found[id(a)] for a in (e.args[1:] if e.op is _formula.where else e.args)])
            category = _dtypes.category(_dtype_of(joined))
            if e.op in _formula.BITWISE and category >= 2:
                raise NotImplementedError(f"\"{e.op.name}\" not implemented for '{_dtypes.title(_dtype_of(joined))}'")
            if e.op in _formula.FLOATING and category < 2:
                joined = _as(_default_float, joined)
            needed.append(joined)
            if e.kind == "bool":
                joined = _as(_dtypes.bool_, joined)
            elif e.op in (_formula.real, _formula.imag, _formula.absolute):
                joined = _as(_dtypes.real_dtype(_dtype_of(joined)), joined)
            found[id(e)] = joined
    results = tuple(_dtype_of(found[id(y)]) for y in outputs)
    widest = result_type([*needed, *(found[id(y)] for y in outputs)])
    for dtype in results:
        widest = _dtypes.promote(widest, dtype)
    compute = _dtypes.compute_dtype(widest)
    if _dtypes.category(compute) == 2 and any(_dtypes.category(dtype) == 1 for dtype in results):
        compute = _dtypes.float64
    return Plan(compute, results, _scalars(compute, descriptors, [p.kind for p in params]), _divisors(op, compute))


def _divisors(op: Elementwise, compute: np.dtype) -> tuple[int, ...]:
    """Positions of the parameters that integers are divided by.  Raises RuntimeError for a division by the constant zero."""
    if _dtypes.category(compute) > 1:
        return ()
    below = [e.args[1] for e in _formula.order(_formula.expand(op.formula.outputs)) if e.op in _formula.DIVISIONS]
    if any(e.op is _formula.CONSTANT and e.args[0] == 0 for e in below):
        raise RuntimeError("ZeroDivisionError")
    return tuple(i for i, p in enumerate(op.formula.params) if any(e is p for e in below))


def broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that ``shapes`` broadcast to.  Raises RuntimeError, as PyTorch, when they do not."""
    ndim = max(map(len, shapes))
    out = [1] * ndim
    for shape in shapes:
        for i, size in enumerate(shape, ndim - len(shape)):
            if size != out[i]:
                if out[i] == 1:
                    out[i] = size
                elif size != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({out[i]}) must match the size of tensor b ({size}) at non-singleton dimension {i}: "
                        f"shapes {', '.join(map(str, shapes))}"
                    )
    return tuple(out)


def settle(op: Elementwise, operands: Sequence[Any]) -> Plan:
    """The plan for operands of these types, made once.  Errors as of ``plan``."""
    descriptors = tuple([x.dtype if (hasattr(x, "dtype") and x.ndim) else _descriptor(x) for x in operands])
    key = (descriptors, _default_float)
    found = op.plans.get(key)
    if found is None:
        found = op.plans[key] = plan(op, descriptors)
    return found


def run(op: Elementwise, *operands: Any, out: Sequence[Any] | None = None) -> Any:
    """``op`` over ``operands`` (arrays, Python numbers); one array, or a tuple for an operation with several results.

    ``out``: arrays to write into, of the broadcast shape and of any dtype that the result's converts to; they may be the operands themselves but not
    overlap them otherwise.

    Errors: RuntimeError where shapes do not broadcast or an integer is divided by zero; NotImplementedError for dtypes the operation has no meaning for.
    """
    if out is None:
        quick = _quick(op, operands)
        if quick is not None:
            return quick
    settled = settle(op, operands)
    shape = None
    flat = True
    for x, scalar in zip(operands, settled.scalars):
        if scalar is None:
            if shape is None:
                shape = x.shape
            if x.shape != shape or not x.flags.c_contiguous:
                flat = False
                break
    for position in settled.divisors:
        _check_divisor(operands[position])
    if shape is None:  # numbers and 0-d arrays only
        shape = ()
    elif not flat:
        shape = broadcast_shape([x.shape for x, scalar in zip(operands, settled.scalars) if scalar is None])
    implementation = _on(*(x for x in operands if hasattr(x, "dtype") and not isinstance(x, np.generic)))
    values = [
        x if scalar is None else implementation.number(x, scalar) if type(x) is not scalar else x
        for x, scalar in zip(operands, settled.scalars)
    ]
    dtypes = settled.outputs
    if out is not None:
        for target in out:
            if target.shape != shape:
                raise RuntimeError(f"{op.name}: output with shape {list(target.shape)} doesn't match the broadcast shape {list(shape)}")
            flat = flat and target.flags.c_contiguous
        dtypes = tuple(target.dtype for target in out)
    if flat:
        results = out if out is not None else [implementation.empty(shape, d) for d in dtypes]
        implementation.flat(op, settled.compute, results, values)
        if out is None:
            _remember(op, operands, values, settled, implementation, results)
    else:
        results = _rows(op, settled, implementation, shape, dtypes, values, out)
    return results[0] if len(results) == 1 else tuple(results)


def _quick(op: Elementwise, operands: Sequence[Any]) -> Any:
    """The result for one contiguous array, two of one shape, or an array and a number, once such a call has been settled; else None.

    Most calls on small arrays are of this kind, and on them every step counts.
    """
    if not 0 < len(operands) <= 2:
        return None
    first = operands[0]
    if type(first) is not np.ndarray:
        return None
    shape = first.shape
    if len(operands) == 1:
        found = op.quick.get(first.dtype)
    else:
        second = operands[1]
        if type(second) is np.ndarray:
            if second.shape != shape or not second.flags.c_contiguous:
                return None
            found = op.quick.get((first.dtype, second.dtype))
        else:
            found = op.quick.get((first.dtype, type(second)))
    if found is None or found[0] is not _default_float or not shape or not first.flags.c_contiguous:
        return None
    _, call, allocate, dtype, cost, convert = found
    n = first.size
    result = allocate(shape, dtype)
    if n:
        if len(operands) == 1:
            call(n, id(result), id(first), work=n * cost)
        elif type(second) is np.ndarray:
            call(n, id(result), id(first), id(second), work=n * cost)
        else:
            call(n, id(result), id(first), convert(second), work=n * cost)
    return result


def _remember(
    op: Elementwise, operands: Sequence[Any], values: Sequence[Any], settled: Plan, implementation: Any, results: Sequence[Any]
) -> None:
    """Let ``_quick`` take calls like this one: an array first, nothing to check, one result."""
    if len(operands) > 2 or settled.divisors or type(operands[0]) is not np.ndarray or not operands[0].ndim or len(results) != 1:
        return
    if any(hasattr(x, "dtype") and (type(x) is not np.ndarray or not x.ndim) for x in operands):
        return
    call = implementation.bound(op, settled.compute, results, values)
    key = tuple(x.dtype if type(x) is np.ndarray else type(x) for x in operands)
    op.quick[key[0] if len(key) == 1 else key] = (
        _default_float,
        call,
        implementation.empty,
        settled.outputs[0],
        op.cost,
        settled.scalars[-1],
    )


def _check_divisor(divisor: Any) -> None:
    zero = not divisor if isinstance(divisor, (bool, int)) else bool((divisor == 0).any())
    if zero:
        raise RuntimeError("ZeroDivisionError")


def _strides(x: Any, shape: tuple[int, ...]) -> list[int]:
    """Byte strides of ``x`` seen as ``shape``: 0 where it is broadcast."""
    missing = len(shape) - x.ndim
    return [0] * missing + [0 if have == 1 else stride for have, stride in zip(x.shape, x.strides)]


def _rows(op: Elementwise, settled: Plan, implementation: Any, shape: tuple[int, ...], dtypes: Any, values: list[Any], out: Any) -> Any:
    """The general path: order dimensions by stride, merge what can be merged, and run row by row."""
    arrays = [x for x, scalar in zip(values, settled.scalars) if scalar is None]
    table = [_strides(x, shape) for x in arrays]
    leader = next((t for x, t in zip(arrays, table) if x.shape == shape), None)
    # Results are laid out as the first operand that has their shape, so that a column-major computation stays column-major.
    rank = leader if leader is not None and 0 not in leader else None
    perm = sorted(range(len(shape)), key=lambda i: -rank[i]) if rank is not None else list(range(len(shape)))
    if out is None:
        ordered = tuple(shape[i] for i in perm)
        back = np.argsort(perm)
        results = [
            implementation.empty(ordered, d).transpose(back) if perm != sorted(perm) else implementation.empty(shape, d) for d in dtypes
        ]
    else:
        results = list(out)
    table = [_strides(x, shape) for x in results] + table
    sizes, merged = _merge([shape[i] for i in perm], [[t[i] for i in perm] for t in table])
    implementation.rows(op, settled.compute, results, values, sizes, merged)
    return results


def _merge(sizes: list[int], table: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Drop dimensions of size 1 and join neighbours that every operand walks as one."""
    out_sizes: list[int] = []
    out_table: list[list[int]] = [[] for _ in table]
    for i, size in enumerate(sizes):
        if size == 1:
            continue
        if out_sizes and all(row[-1] == strides[i] * size for row, strides in zip(out_table, table)):
            out_sizes[-1] *= size
            for row, strides in zip(out_table, table):
                row[-1] = strides[i]
        else:
            out_sizes.append(size)
            for row, strides in zip(out_table, table):
                row.append(strides[i])
    if not out_sizes:
        return [1], [[0] for _ in table]
    return out_sizes, out_table


Elementwise.run = staticmethod(run)
