"""Elementwise loops on the CPU: one straight-line loop per formula, computing type and layout, printed as source and compiled on first use.

Two shapes of loop.  ``flat`` walks contiguous arrays of one shape; LLVM vectorises it, and what bounds it is memory bandwidth
(or, for transcendentals, the polynomial).  ``rows`` walks any strides: the outer dimensions by index arithmetic once per row, the
innermost with, per operand, unit stride (``c``), one value per row (``b``) or any stride (``s``).  Arrays arrive as ``id(array)``: reading the
data pointer in the kernel costs a load, boxing an array costs more than a small operation.
"""

from __future__ import annotations

import re
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._cpu import compiled, empty, kernel
from .._cpu.functions import functions_for
from .._cpu.half import HALF_FUNCTIONS
from .._cpu.intrinsics import address_of, array_at, array_from, load, store
from .._cpu.jit import compile_source
from .._cpu.types import BY_DTYPE, IN_SOURCE, boolean, int64, intp, signature
from .._formula import Expr, Formula
from .._source import statements, variable
from ._declare import Elementwise

__all__ = ["bound", "empty", "flat", "number", "rows"]


def number(value: Any, kind: type) -> Any:
    """A Python number of type ``kind`` from a number or a 0-d array."""
    if isinstance(value, np.ndarray):
        if value.dtype == _dtypes.bfloat16:
            value = (value.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        value = value.item()
    return kind(value) if kind is not int or not isinstance(value, float) else int(value)


def flat(op: Elementwise, compute: np.dtype, results: Sequence[np.ndarray], values: Sequence[Any]) -> None:
    """Run ``op`` over contiguous ``results`` and ``values`` (arrays of the same shape, or numbers)."""
    n = results[0].size
    if n:
        call = bound(op, compute, results, values)
        call(n, *map(id, results), *[id(x) if type(x) is np.ndarray else x for x in values], work=n * op.cost)


def bound(op: Elementwise, compute: np.dtype, results: Sequence[np.ndarray], values: Sequence[Any]) -> Any:
    """The compiled flat loop for these types: called with the size, the ``id`` of each array, the numbers, and ``work``.

    An operand that is the result's own array is read through the result's pointer: of two pointers LLVM would have to find out, at every call, that they
    are equal, and then take the loop that is not vectorised.
    """
    own = next((i for i, x in enumerate(values) if x is results[0]), None)
    key = (own, compute, *[r.dtype for r in results], *[x.dtype if type(x) is np.ndarray else type(x) for x in values])
    call = op.compiled.get(key)
    if call is None:
        call = op.compiled[key] = _build(op, compute, results, values, None, own)
    return call


def rows(
    op: Elementwise,
    compute: np.dtype,
    results: Sequence[Any],
    values: Sequence[Any],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
) -> None:
    """Run ``op`` over ``sizes``; ``strides`` holds one list of byte strides per result and per array among ``values``."""
    n = int(np.prod(sizes))
    if n == 0:
        return
    arrays = [*results, *(x for x in values if type(x) is np.ndarray)]
    modes = "".join(
        "c" if s[-1] == x.itemsize else "b" if s[-1] == 0 and i >= len(results) else "s" for i, (s, x) in enumerate(zip(strides, arrays))
    )
    if "s" in modes:
        modes = "s" * len(modes)
    inner = sizes[-1]
    ids = [*map(id, results), *[id(x) if type(x) is np.ndarray else x for x in values]]
    if modes.strip("c") == "" and len(sizes) == 1:  # merged into one contiguous run
        bound(op, compute, results, values)(n, *ids, work=n * op.cost)
    else:
        key = (modes, compute, *[r.dtype for r in results], *[x.dtype if type(x) is np.ndarray else type(x) for x in values])
        call = op.compiled.get(key)
        if call is None:
            call = op.compiled[key] = _build(op, compute, results, values, modes)
        geometry = np.array([len(sizes) - 1, inner, *sizes[:-1], *(s for row in strides for s in (*row[:-1], row[-1]))], np.int64)
        call(n // inner, id(geometry), *ids, work=n * op.cost)


def _build(
    op: Elementwise, compute: np.dtype, results: Sequence[np.ndarray], values: Sequence[Any], modes: str | None, own: int | None = None
) -> Any:
    """The compiled loop for these types; ``modes`` is None for the flat one, whose operand at position ``own`` is the result's own array."""
    formula = op.formula
    outs = [r.dtype for r in results]
    ins = [x.dtype if type(x) is np.ndarray else None for x in values]
    body, names, calls = statements(formula, _constant, _dtypes.category(compute) < 2, _dtypes.category(compute) == 3)
    types = {f"out{i}": d for i, d in enumerate(outs)} | {f"in{i}": d for i, d in enumerate(ins) if d is not None} | {"T": compute}
    stores = [_narrow(name, d, y, i) for i, (name, d, y) in enumerate(zip(names, outs, formula.outputs))]
    writer: Any = _flat_source if modes is None else _rows_source
    label = f"{re.sub(r'[^0-9A-Za-z_]', '', op.name)}_{'flat' if modes is None else 'rows'}"  # a lambda's name is no identifier
    source = writer(label, formula, types, body, stores, outs, ins, own if modes is None else modes)
    namespace = {k: IN_SOURCE[d] for k, d in types.items()} | functions_for(compute, calls) | HALF_FUNCTIONS
    namespace |= {"array_at": array_at, "array_from": array_from, "address_of": address_of, "load": load, "store": store}
    namespace |= {"inf": float("inf"), "nan": float("nan"), "int64": IN_SOURCE[_dtypes.int64], "BITS": 8 * compute.itemsize}
    function = kernel(compile_source(label, source, namespace), source=source)
    scalar_types = [intp if d is not None else _scalar_type(v, compute) for d, v in zip(ins, values)]
    geometry = [] if modes is None else [intp]
    return compiled(function, signature(*geometry, *[intp] * len(outs), *scalar_types))


def _scalar_type(value: Any, compute: np.dtype) -> Any:
    if isinstance(value, bool):
        return boolean
    return int64 if isinstance(value, int) else BY_DTYPE[compute]


def _constant(e: Expr) -> str:
    value = e.args[0]
    if isinstance(value, int) and abs(value) >= 2**63:  # more than a literal of the source can be
        value = float(value)
    return f"T(complex({value.real!r}, {value.imag!r}))" if isinstance(value, complex) else f"T({value!r})"


def _widen(text: str, dtype: np.dtype, kind: str) -> str:
    """Source that reads a stored element into the computing type."""
    if dtype in _dtypes.HALVES:
        text = f"{_dtypes.name(dtype)}_to_float32({text})"
    if kind == "bool":
        return text if dtype == _dtypes.bool_ else f"({text} != 0)"
    return f"T({text})"


def _narrow(name: str, dtype: np.dtype, y: Expr, i: int) -> str:
    """Source that converts a result to the type it is stored in."""
    if dtype in _dtypes.HALVES:
        return f"float32_to_{_dtypes.name(dtype)}({name})"
    if dtype == _dtypes.bool_ and y.kind == "number":
        return f"{name} != 0"
    return f"out{i}({name})"


def _head(name: str, types: dict[str, np.dtype], function: str) -> list[str]:
    """The types stand in the source as a comment line, so that the same formula in two types is two sources with two cache entries."""
    return [f"# {name}: " + ", ".join(f"{k} = {_dtypes.name(d)}" for k, d in types.items()), function]


def _flat_source(name: str, formula: Formula, types: Any, body: list[str], stores: list[str], outs: Any, ins: Any, own: int | None) -> str:
    params = [f"x{i}" if d is not None else f"s{i}" for i, d in enumerate(ins)]
    lines = _head(name, types, f"def {name}(lo, hi, {', '.join([f'o{i}' for i in range(len(outs))] + params)}):")
    lines += [f"    O{i} = array_at(o{i}, hi, out{i})" for i in range(len(outs))]
    loop = []
    for i, (p, d) in enumerate(zip(formula.params, ins)):
        if d is None:
            lines.append(f"    {variable(p)} = {_number_in(i, p)}")
        else:
            lines.append(f"    X{i} = " + ("O0" if i == own else f"array_at(x{i}, hi, in{i})"))
            loop.append(f"{variable(p)} = {_widen(f'X{i}[i]', d, p.kind)}")
    lines.append("    for i in range(lo, hi):")
    lines += [f"        {line}" for line in [*loop, *body, *(f"O{i}[i] = {text}" for i, text in enumerate(stores))]]
    return "\n".join(lines) + "\n"


def _number_in(i: int, p: Expr) -> str:
    return f"s{i} != 0" if p.kind == "bool" else f"T(s{i})"


def _rows_source(name: str, formula: Formula, types: Any, body: list[str], stores: list[str], outs: Any, ins: Any, modes: str) -> str:
    """Row r of the outer dimensions is found by division, innermost first; each operand's address is its base plus the offsets."""
    params = [f"x{i}" if d is not None else f"s{i}" for i, d in enumerate(ins)]
    tensors = [(f"o{i}", f"out{i}") for i in range(len(outs))] + [(f"x{i}", f"in{i}") for i, d in enumerate(ins) if d is not None]
    lines = _head(name, types, f"def {name}(lo, hi, geometry, {', '.join([f'o{i}' for i in range(len(outs))] + params)}):")
    lines.append("    # geometry: outer dimensions, inner size, outer sizes, then the byte strides of each operand")
    lines.append("    head = array_at(geometry, 2, int64)")
    lines.append("    outer, inner = head[0], head[1]")
    lines.append(f"    G = array_at(geometry, 2 + outer + {len(tensors)} * (outer + 1), int64)")
    lines += [f"    base_{t} = address_of({t})" for t, _ in tensors]
    lines += [f"    step_{t} = G[2 + outer + {k} * (outer + 1) + outer]" for k, (t, _) in enumerate(tensors)]
    lines += [f"    {variable(p)} = {_number_in(i, p)}" for i, (p, d) in enumerate(zip(formula.params, ins)) if d is None]
    lines.append("    for r in range(lo, hi):")
    lines += [f"        at_{t} = base_{t}" for t, _ in tensors]
    lines += ["        q = r", "        for k in range(outer - 1, -1, -1):", "            i = q % G[2 + k]", "            q //= G[2 + k]"]
    lines += [f"            at_{t} += i * G[2 + outer + {k} * (outer + 1) + k]" for k, (t, _) in enumerate(tensors)]
    loop = []
    index = {t: k for k, (t, _) in enumerate(tensors)}
    for i, (p, d) in enumerate(zip(formula.params, ins)):
        if d is None:
            continue
        mode = modes[index[f"x{i}"]]
        if mode == "b":
            lines.append(f"        {variable(p)} = {_widen(f'load(at_x{i}, in{i})', d, p.kind)}")
        elif mode == "c":
            lines.append(f"        X{i} = array_from(at_x{i}, inner, in{i})")
            loop.append(f"{variable(p)} = {_widen(f'X{i}[j]', d, p.kind)}")
        else:
            loop.append(f"{variable(p)} = {_widen(f'load(at_x{i} + j * step_x{i}, in{i})', d, p.kind)}")
    ends = []
    for i, text in enumerate(stores):
        if modes[i] == "c":
            lines.append(f"        O{i} = array_from(at_o{i}, inner, out{i})")
            ends.append(f"O{i}[j] = {text}")
        else:
            ends.append(f"store(at_o{i} + j * step_o{i}, {text})")
    lines.append("        for j in range(inner):")
    lines += [f"            {line}" for line in [*loop, *body, *ends]]
    return "\n".join(lines) + "\n"
