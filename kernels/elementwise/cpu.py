"""Elementwise loops on the CPU: one straight-line loop per formula, computing type and layout, printed as source and compiled on first use.

Two shapes of loop.  ``flat`` walks contiguous arrays of one shape; LLVM vectorises it, and what bounds it is memory bandwidth
(or, for transcendentals, the polynomial).  ``rows`` walks any strides: the outer dimensions by index arithmetic once per row, the
innermost with, per operand, unit stride (``c``), one value per row (``b``) or any stride (``s``).  Arrays arrive as ``id(array)``: reading the
data pointer in the kernel costs a load, boxing an array costs more than a small operation.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any, Callable, Sequence

import numpy as np

from .. import _dtypes
from .._cpu import compiled, empty, entry, kernel
from .._cpu.functions import functions_for
from .._cpu.half import HALF_FUNCTIONS
from .._cpu.intrinsics import address_of, array_at, array_from, load, store
from .._cpu.jit import address, compile_source
from .._cpu.threads import PARALLEL_WORK
from .._cpu.types import IN_SOURCE, int64, signature
from .._formula import Expr, Formula
from .._source import statements, variable
from . import _quick
from ._declare import Elementwise

__all__ = ["empty", "flat", "learn", "number", "rows"]

# Where the bytes of a bytes object stand behind its head.
_BYTES = bytes.__basicsize__ - 1
_LARGEST = float(np.finfo(np.float32).max)
_ARRAY = "Q"
# Numbers are packed in the type of the arithmetic, each into whole words.
_NUMBER_LAYOUTS = {_dtypes.float32: "f4x", _dtypes.float64: "d", _dtypes.complex64: "ff", _dtypes.complex128: "dd"}
_FORMS = {_dtypes.float32: entry.SINGLE, _dtypes.float64: entry.DOUBLE, _dtypes.int64: entry.INTEGER}


def number(value: Any, kind: type) -> Any:
    """A Python number of type ``kind`` from a number or a 0-d array."""
    if isinstance(value, np.ndarray):
        if value.dtype == _dtypes.bfloat16:
            value = (value.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        value = value.item()
    return kind(value) if kind is not int or not isinstance(value, float) else int(value)


Launch = Callable[[Sequence[np.ndarray], Sequence[Any]], None]


def flat(op: Elementwise, compute: np.dtype, results: Sequence[np.ndarray], values: Sequence[Any]) -> Launch:
    """What runs ``op`` over contiguous results and values (arrays of the same shape, or numbers) like these."""
    n = results[0].size
    loop = _bound(op, compute, results, values)
    work = n * op.cost
    return lambda results, values: loop.run(n, (*results, *values), work)


def _bound(op: Elementwise, compute: np.dtype, results: Sequence[np.ndarray], values: Sequence[Any], single: tuple[int, ...] = ()) -> Loop:
    """The flat loop for these types.  Of the operands at the positions ``single`` there is one element for all.

    An operand that is the result's own array is read through the result's pointer: of two pointers LLVM would have to find out, at every call, that they
    are equal, and then take the loop that is not vectorised.
    """
    own = next((i for i, x in enumerate(values) if x is results[0]), None)
    key = (own, single, compute, *[r.dtype for r in results], *[x.dtype if type(x) is np.ndarray else type(x) for x in values])
    loop = op.compiled.get(key)
    if loop is None:
        loop = op.compiled[key] = _build(op, compute, results, values, None, own, single)
    return loop


def learn(
    op: Elementwise,
    compute: np.dtype,
    results: Sequence[np.ndarray],
    operands: Sequence[Any],
    values: Sequence[Any],
    in_place: bool,
    flat: bool,
    launch: Launch,
) -> None:
    """Let the entry that ``op.callers[in_place]`` calls from now on take small calls with operands of these types."""
    if not flat or not entry.SUPPORTED or len(operands) > entry.MOST_OPERANDS or len(results) > entry.MOST_RESULTS:
        return
    keys = [x.dtype if type(x) is np.ndarray else type(x) for x in operands]
    forms = [entry.NOT_A_NUMBER if type(x) is np.ndarray else _FORMS.get(compute) for x in values]
    # Other numbers than these (a bool, a subclass), and arrays without dimensions that are passed as numbers, stay with ``flat``.
    plain = all(not form if isinstance(key, np.dtype) else key in (int, float) for key, form in zip(keys, forms))
    # So do calls whose types are the default dtype's doing, which may change.
    settled = _dtypes.category(compute) < 2 or any(isinstance(key, np.dtype) and _dtypes.category(key) >= 2 for key in keys)
    if None in forms or not plain or not settled or not any(isinstance(key, np.dtype) for key in keys):
        return
    if in_place not in op.entries:
        caller = op.callers[in_place]
        op.entries[in_place] = entry.Entry(op.name, len(operands), len(results), caller.general, caller.marked, caller.box, in_place)
        caller.install(op.entries[in_place].call)
    loop = _bound(op, compute, results, values)
    dtypes = [r.dtype for r in results]
    run = _large(loop, in_place, dtypes, values, op.cost)
    large, array = op.callers[in_place].large(run), run if len(dtypes) == 1 and not in_place else None
    op.entries[in_place].add(keys, forms, dtypes, loop.address(), (PARALLEL_WORK - 1) // op.cost, large, array)


def _large(loop: Loop, in_place: bool, dtypes: Sequence[np.dtype], values: Sequence[Any], cost: int) -> Callable[..., Any]:
    """``loop`` as a function of contiguous arrays of one shape and numbers, like ``values``."""
    lead = next(i for i, x in enumerate(values) if type(x) is np.ndarray)

    def run(*values: Any) -> Any:
        x = values[lead]
        results = (x,) if in_place else [empty(x.shape, dtype) for dtype in dtypes]
        loop.run(x.size, (*results, *values), x.size * cost)
        return results[0] if len(results) == 1 else tuple(results)

    return run


class Loop:
    """A compiled loop ``void f(lo, hi, words)``: ``words`` is the address of one word per array (its ``id``) or number (its value)."""

    def __init__(self, function: Any, layout: str):
        self.kernel = function
        self.launch = compiled(function, signature(int64))
        self.pack = struct.Struct("=" + layout).pack
        self.arrays_only = not layout.strip(_ARRAY)

    def run(self, n: int, arguments: Sequence[Any], work: int) -> None:
        """Run over [0, n)."""
        if n:
            packed = self.pack(*map(id, arguments)) if self.arrays_only else self._packed(arguments)
            self.launch(n, id(packed) + _BYTES, work=work)

    def _packed(self, arguments: Sequence[Any]) -> bytes:
        words: list[Any] = []
        for x in arguments:
            words += (id(x),) if type(x) is np.ndarray else (x.real, x.imag) if type(x) is complex else (x,)
        try:
            return self.pack(*words)
        except OverflowError:  # of a number that is infinite in the computing type
            return self.pack(*[math.copysign(math.inf, x) if type(x) is float and abs(x) > _LARGEST else x for x in words])

    def address(self) -> int:
        return address(self.kernel, (int64, int64, int64))


def rows(
    op: Elementwise,
    compute: np.dtype,
    results: Sequence[Any],
    values: Sequence[Any],
    sizes: Sequence[int],
    strides: Sequence[Sequence[int]],
    modes: str,
) -> Launch:
    """What runs ``op`` over ``sizes``; ``strides`` holds one list of byte strides per result and per array among ``values``, and ``modes`` a letter for
    each: along the innermost dimension its elements are contiguous (``c``), one for all (``b``), or neither (``s``)."""
    n = math.prod(sizes)
    if "s" in modes:
        modes = "s" * len(modes)
    inner, work = sizes[-1], n * op.cost
    if "s" not in modes and len(sizes) == 1:  # merged into one contiguous run
        positions = [i for i, x in enumerate(values) if type(x) is np.ndarray]
        single = tuple(i for i, mode in zip(positions, modes[len(results) :]) if mode == "b")
        loop = _bound(op, compute, results, values, single)
        return lambda results, values: loop.run(n, (*results, *values), work)
    key = (modes, compute, *[r.dtype for r in results], *[x.dtype if type(x) is np.ndarray else type(x) for x in values])
    found = op.compiled.get(key)
    if found is None:
        found = op.compiled[key] = _build(op, compute, results, values, modes)
    geometry = np.array([len(sizes) - 1, inner, *sizes[:-1], *(s for row in strides for s in row)], np.int64)
    return lambda results, values: found.run(n // inner if n else 0, (geometry, *results, *values), work)


def _build(
    op: Elementwise,
    compute: np.dtype,
    results: Sequence[np.ndarray],
    values: Sequence[Any],
    modes: str | None,
    own: int | None = None,
    single: tuple[int, ...] = (),
) -> Loop:
    """The compiled loop for these types; ``modes`` is None for the flat one, whose operand at position ``own`` is the result's own array."""
    formula = op.formula
    outs = [r.dtype for r in results]
    ins = [x.dtype if type(x) is np.ndarray else None for x in values]
    body, names, calls = statements(formula, _constant, _dtypes.category(compute) < 2, _dtypes.category(compute) == 3)
    types = {f"out{i}": d for i, d in enumerate(outs)} | {f"in{i}": d for i, d in enumerate(ins) if d is not None} | {"T": compute}
    stores = [_narrow(name, d, y, i) for i, (name, d, y) in enumerate(zip(names, outs, formula.outputs))]
    writer: Any = _flat_source if modes is None else _rows_source
    label = f"{re.sub(r'[^0-9A-Za-z_]', '', op.name)}_{'flat' if modes is None else 'rows'}"  # a lambda's name is no identifier
    source = writer(label, formula, types, body, stores, outs, ins, (own, single) if modes is None else modes)
    namespace = {k: IN_SOURCE[d] for k, d in types.items()} | functions_for(compute, calls) | HALF_FUNCTIONS
    namespace |= _quick.quick_names(compute, calls)
    namespace |= {"array_at": array_at, "array_from": array_from, "address_of": address_of, "load": load, "store": store}
    namespace |= {"inf": float("inf"), "nan": float("nan"), "int64": IN_SOURCE[_dtypes.int64], "BITS": 8 * compute.itemsize}
    function = kernel(compile_source(label, source, namespace), source=source)
    arrays = len(outs) + (modes is not None)
    return Loop(function, _ARRAY * arrays + "".join(_ARRAY if d is not None else _layout(v, compute) for d, v in zip(ins, values)))


def _layout(value: Any, compute: np.dtype) -> str:
    """How ``struct`` packs a number into words."""
    return "q" if isinstance(value, int) else _NUMBER_LAYOUTS[compute]


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


def _flat_source(name: str, formula: Formula, types: Any, body: list[str], stores: list[str], outs: Any, ins: Any, special: Any) -> str:
    own, single = special
    lines = _head(name, types, f"def {name}(lo, hi, words):")
    lines += _unpack(formula, types["T"], outs, ins, 0)
    lines += [f"    O{i} = array_at(o{i}, hi, out{i})" for i in range(len(outs))]
    loop = []
    for i, (p, d) in enumerate(zip(formula.params, ins)):
        if d is not None and i in single:
            lines.append(f"    {variable(p)} = {_widen(f'load(address_of(x{i}), in{i})', d, p.kind)}")
        elif d is not None:
            lines.append(f"    X{i} = " + ("O0" if i == own else f"array_at(x{i}, hi, in{i})"))
            loop.append(f"{variable(p)} = {_widen(f'X{i}[i]', d, p.kind)}")
    arrays = {i: f"x{i}" for i, d in enumerate(ins) if d is not None and i not in single}
    shared = (
        "True"
        if own is not None
        else " | ".join(f"(address_of(o{i}) == address_of({x}))" for i in range(len(outs)) for x in arrays.values())
    )
    plain = {variable(formula.params[i]): x for i, x in arrays.items() if ins[i] == types["T"]}
    result = "o0" if outs == [types["T"]] else None
    lines += _quick.loops(types["T"], loop, body, [f"O{i}[i] = {text}" for i, text in enumerate(stores)], shared or "False", plain, result)
    return "\n".join(lines) + "\n"


def _unpack(formula: Formula, compute: np.dtype, outs: Any, ins: Any, first: int) -> list[str]:
    """Lines that read the arrays' ids and the numbers from ``words``, from word ``first`` on."""
    lines = [f"    o{i} = load(words + {8 * (first + i)}, int64)" for i in range(len(outs))]
    at = 8 * (first + len(outs))
    for i, (p, d) in enumerate(zip(formula.params, ins)):
        if d is not None:
            lines.append(f"    x{i} = load(words + {at}, int64)")
        elif p.kind == "bool":
            lines.append(f"    {variable(p)} = load(words + {at}, int64) != 0")
        else:
            lines.append(f"    {variable(p)} = T(load(words + {at}, {'int64' if _dtypes.category(compute) < 2 else 'T'}))")
        at += 16 if d is None and p.kind != "bool" and compute.itemsize == 16 else 8
    return lines


def _rows_source(name: str, formula: Formula, types: Any, body: list[str], stores: list[str], outs: Any, ins: Any, modes: str) -> str:
    """Row r of the outer dimensions is found by division, innermost first; each operand's address is its base plus the offsets."""
    tensors = [(f"o{i}", f"out{i}") for i in range(len(outs))] + [(f"x{i}", f"in{i}") for i, d in enumerate(ins) if d is not None]
    lines = _head(name, types, f"def {name}(lo, hi, words):")
    lines.append("    geometry = load(words, int64)")
    lines += _unpack(formula, types["T"], outs, ins, 1)
    lines.append("    # geometry: outer dimensions, inner size, outer sizes, then the byte strides of each operand")
    lines.append("    head = array_at(geometry, 2, int64)")
    lines.append("    outer, inner = head[0], head[1]")
    lines.append(f"    G = array_at(geometry, 2 + outer + {len(tensors)} * (outer + 1), int64)")
    lines += [f"    base_{t} = address_of({t})" for t, _ in tensors]
    lines += [f"    step_{t} = G[2 + outer + {k} * (outer + 1) + outer]" for k, (t, _) in enumerate(tensors)]
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
