"""Elementwise operations: any formula of scalars over arrays of any strides, any dtypes and any broadcast.

The contract, in two steps.  ``plan`` settles types once per combination of operand dtypes (PyTorch's promotion; Python numbers and 0-d
arrays are weak, and a NumPy scalar counts as the Python number that it holds, a NumPy bool as a Python bool).  ``run`` settles geometry on
each call: operands that are all contiguous and of one shape are one flat run; anything else is broadcast, its dimensions sorted by stride
and merged where they can be, and handed over as rows.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import _dtypes, _formula
from .._cpu import layout
from .._device import family, on_cpu
from ._declare import Box, Caller, Derivative, Elementwise, elementwise

__all__ = [
    "Box",
    "Caller",
    "Derivative",
    "Elementwise",
    "default_float",
    "elementwise",
    "result_type",
    "run",
    "set_default_float",
    "settle",
]

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


class Route(NamedTuple):
    """How a call on operands of these types, shapes and strides is done."""

    scalars: tuple[Any, ...]  # as in the plan; empty where all operands are arrays
    divisors: tuple[int, ...]
    results: tuple[Any, ...]  # per result: its shape in memory, its dtype, and the order of its dimensions (None: as in memory)
    implementation: Any
    launch: Callable[[Sequence[Any], Sequence[Any]], None]  # given the results and the values of the operands
    teach: Callable[[Sequence[Any], Sequence[Any]], None] | None  # given the operands and the results, makes the next such call quicker


_MOST_ROUTES = 256  # of one operation; a program with more shapes than that settles them anew


def run(op: Elementwise, *operands: Any, out: Sequence[Any] | None = None) -> Any:
    """``op`` over ``operands`` (arrays, Python numbers); one array, or a tuple for an operation with several results.

    ``out``: arrays to write into, of the broadcast shape and of any dtype that the result's converts to; they may be the operands themselves but not
    overlap them otherwise.

    Errors: RuntimeError where shapes do not broadcast or an integer is divided by zero; NotImplementedError for dtypes the operation has no meaning for;
    OverflowError for an integer that 64 bits do not hold, among integers, or that is larger than any float, among floats.
    """
    key: Any = layout.layout(*operands) if out is None else (layout.layout(*operands, *out), _own(operands, out))
    if _default_float is not _dtypes.float32:
        key = key, _default_float
    route = op.routes.get(key)
    if route is None:
        return _first(op, key, operands, out)
    for position in route.divisors:
        _check_divisor(operands[position])
    values: Sequence[Any] = operands
    if route.scalars:
        number = route.implementation.number
        values = [x if s is None else _passed(x, s, number) for x, s in zip(operands, route.scalars)]
    results = _allocate(route.implementation, route.results) if out is None else out
    route.launch(results, values)
    if route.teach is not None:
        route.teach(operands, results)
    return results[0] if len(results) == 1 else tuple(results)


def _own(operands: Sequence[Any], out: Sequence[Any]) -> int | None:
    """Which operand is the array that the result is written to."""
    return next((i for i, x in enumerate(operands) if x is out[0]), None)


def _allocate(implementation: Any, results: Sequence[Any]) -> list[Any]:
    empty = implementation.empty
    return [empty(shape, dtype) if order is None else empty(shape, dtype).transpose(order) for shape, dtype, order in results]


def _first(op: Elementwise, key: Any, operands: Sequence[Any], out: Sequence[Any] | None) -> Any:
    """A call of a kind not seen before: settle how it is done, and do it."""
    settled = settle(op, operands)
    arrays = [x for x, scalar in zip(operands, settled.scalars) if scalar is None]
    for position in settled.divisors:
        _check_divisor(operands[position])
    shape = broadcast_shape([x.shape for x in arrays]) if arrays else ()  # numbers and 0-d arrays only
    flat = all(x.shape == shape and x.flags.c_contiguous for x in (*arrays, *(out or ())))
    if out is not None and any(target.shape != shape for target in out):
        raise RuntimeError(f"{op.name}: output with shape {list(out[0].shape)} doesn't match the broadcast shape {list(shape)}")
    implementation = _on(*_placed(operands), *(out or ()))
    values = [x if s is None else _passed(x, s, implementation.number) for x, s in zip(operands, settled.scalars)]
    order = None if flat or out is not None else _order(arrays, shape)
    stored = shape if order is None else tuple(shape[i] for i in order)
    back = None if order is None else tuple(sorted(range(len(order)), key=order.__getitem__))
    made = tuple((stored, dtype, back) for dtype in settled.outputs)
    results = _allocate(implementation, made) if out is None else out
    if flat:
        launch = implementation.flat(op, settled.compute, results, values)
    else:
        launch = _rows(op, settled.compute, implementation, shape, results, values)
    launch(results, values)
    in_place, teach = out is not None, None
    if in_place in op.callers and not settled.divisors and (not in_place or (_own(operands, results) == 0 and len(results) == 1)):
        teach = implementation.learn(op, settled.compute, results, operands, values, in_place, flat, launch)
        if teach is not None:
            teach(operands, results)
    if len(op.routes) >= _MOST_ROUTES:
        op.routes.clear()
    op.routes[key] = Route(settled.scalars if any(settled.scalars) else (), settled.divisors, made, implementation, launch, teach)
    return results[0] if len(results) == 1 else tuple(results)


def _placed(operands: Sequence[Any]) -> list[Any]:
    """The arrays that say where the operation runs: beside those of a GPU, a 0-d array of the CPU is a number."""
    arrays = [x for x in operands if hasattr(x, "dtype") and not isinstance(x, np.generic)]
    if all(map(on_cpu, arrays)):
        return arrays
    return [x for x in arrays if x.ndim or not on_cpu(x)]


def _passed(x: Any, kind: type, number: Callable[[Any, type], Any]) -> Any:
    """The number of that kind for an operand that is a number or a 0-d array.

    An integer is one of 64 bits, signed or, as in PyTorch, unsigned: among integers 2^64 - 1 is -1.  Any other is an OverflowError.
    """
    if kind is int and isinstance(x, (int, np.integer)):
        x = int(x)
        if not -(1 << 63) <= x < 1 << 64:
            raise OverflowError("int too big to convert")
        return x if x < 1 << 63 else x - (1 << 64)
    return x if type(x) is kind else number(x, kind)


def _check_divisor(divisor: Any) -> None:
    """RuntimeError for a zero, but not on a GPU, where nobody waits for the values: as in PyTorch, what comes of it there is undefined."""
    if not divisor if isinstance(divisor, (bool, int)) else on_cpu(divisor) and bool((divisor == 0).any()):
        raise RuntimeError("ZeroDivisionError")


def _strides(x: Any, shape: tuple[int, ...]) -> list[int]:
    """Byte strides of ``x`` seen as ``shape``: 0 where it is broadcast."""
    missing = len(shape) - x.ndim
    return [0] * missing + [0 if have == 1 else stride for have, stride in zip(x.shape, x.strides)]


def _order(arrays: Sequence[Any], shape: tuple[int, ...]) -> list[int] | None:
    """The dimensions from the outermost in memory to the innermost, by the first operand that has the result's shape, so that a column-major
    computation stays column-major.  None for their own order."""
    leader = next((_strides(x, shape) for x in arrays if x.shape == shape), None)
    if leader is None or 0 in leader:
        return None
    order = sorted(range(len(shape)), key=lambda i: -leader[i])
    return None if order == sorted(order) else order


def _rows(
    op: Elementwise, compute: np.dtype, implementation: Any, shape: tuple[int, ...], results: Sequence[Any], values: Sequence[Any]
) -> Any:
    """The launch of the general path: dimensions by falling stride of the result, merged where all operands allow it, row by row."""
    arrays = [*results, *(x for x in values if hasattr(x, "strides"))]
    table = [_strides(x, shape) for x in arrays]
    order = sorted(range(len(shape)), key=lambda i: -table[0][i])
    sizes, merged = _merge([shape[i] for i in order], [[row[i] for i in order] for row in table])
    steps = [row[-1] for row in merged]
    modes = "".join(
        "c" if step == x.itemsize else "b" if step == 0 and i >= len(results) else "s" for i, (step, x) in enumerate(zip(steps, arrays))
    )
    return implementation.rows(op, compute, results, values, sizes, merged, modes)


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
