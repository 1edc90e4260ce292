"""The sources of elementwise kernels on CUDA: a scalar function per formula and types, and the loops that call it.

The scalar function takes elements as they are stored and returns a tuple of results as they are stored, so that the loops know nothing of types.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._formula import Expr, Formula
from .._source import variable


def scalar_source(
    label: str,
    formula: Formula,
    compute: np.dtype,
    body: Sequence[str],
    results: Sequence[str],
    outs: Sequence[np.dtype],
    ins: Sequence[Any],
) -> str:
    """``label(x0, k1, ...)``: one argument per parameter, an element (its dtype in ``ins``) or a number (None); a complex number is two."""
    types = [f"T = {_dtypes.name(compute)}"]
    types += [f"out{i} = {_dtypes.name(d)}" for i, d in enumerate(outs)]
    types += [f"in{i} = {_dtypes.name(d)}" for i, d in enumerate(ins) if d is not None]
    names = [name for i, d in enumerate(ins) for name in ([f"x{i}"] if d is not None else number_names(i, compute))]
    lines = [f"# {', '.join(types)}", f"def {label}({', '.join(names)}):"]
    for i, (p, d) in enumerate(zip(formula.params, ins)):
        text = _passed(i, p.kind, compute) if d is None else _widen(f"x{i}", d, p.kind)
        lines.append(f"    {variable(p)} = {text}")
    lines += [f"    {line}" for line in body]
    stored = [_narrow(name, d, y, compute, i) for i, (name, d, y) in enumerate(zip(results, outs, formula.outputs))]
    return "\n".join([*lines, f"    return ({', '.join(stored)},)"]) + "\n"


def number_names(i: int, compute: np.dtype) -> list[str]:
    """The parameters of a kernel that the number at position ``i`` is passed as."""
    return [f"k{i}", f"k{i}_imag"] if compute.kind == "c" else [f"k{i}"]


def constant(e: Expr, compute: np.dtype) -> str:
    """A constant of a formula, in the type of the arithmetic."""
    value = e.args[0]
    if isinstance(value, complex):
        return f"T(complex({value.real!r}, {value.imag!r}))"
    if isinstance(value, int) and compute.kind in "iu" and abs(value) < 2**63:
        return f"T(int64({value!r}))"  # it wraps where the type is narrower
    return f"T({float(value) if abs(value) >= 2**63 else value!r})"


def _passed(i: int, kind: str, compute: np.dtype) -> str:
    """Source for the value of a number that was passed."""
    if kind == "bool":
        return f"k{i} != 0"
    return f"T(complex(k{i}, k{i}_imag))" if compute.kind == "c" else f"T(k{i})"


def _widen(text: str, dtype: np.dtype, kind: str) -> str:
    """Source that reads a stored element into the computing type."""
    if dtype in _dtypes.HALVES:
        text = f"{_dtypes.name(dtype)}_to_float32({text})"
    if kind == "bool":
        return f"{text} != 0"
    return f"T({text} != 0)" if dtype == _dtypes.bool_ else f"T({text})"


def _narrow(name: str, dtype: np.dtype, y: Expr, compute: np.dtype, i: int) -> str:
    """Source that converts a result to the type it is stored in."""
    if dtype in _dtypes.HALVES:
        return f"float32_to_{_dtypes.name(dtype)}(float32({name}))"
    if dtype == _dtypes.bool_:
        return f"uint8({name} != 0)" if y.kind == "number" else f"uint8({name})"
    if y.kind == "number" and compute.kind == "f" and dtype.kind in "iu":  # narrow integers by way of wider ones: -1.0 is 255, not 0
        name = f"int64({name})" if dtype.itemsize == 8 else f"int32({name})"
    return f"out{i}({name})"


_THREAD = [
    "    thread = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)",
    "    step = I(cuda.gridDim.x * cuda.blockDim.x)",
]


class Shape:
    """What of a loop shows in its source: for each result and operand that is an array its name and its mode (``c``: unit stride in the innermost
    dimension, ``b``: one element for all of it, ``s``: any stride), the numbers, how many elements a thread takes at once, and how many dimensions."""

    def __init__(self, outs: int, arrays: Sequence[str], modes: str, operands: Sequence[str], lanes: int, dims: int):
        self.outs = [f"o{i}" for i in range(outs)]
        self.ins = list(arrays)
        self.mode = dict(zip([*self.outs, *self.ins], modes))
        self.operands = list(operands)  # of the scalar function: names of arrays and numbers
        self.numbers = [name for name in operands if name not in self.mode]
        self.lanes, self.dims = lanes, dims

    @property
    def arrays(self) -> list[str]:
        return [*self.outs, *self.ins]

    def one(self, element: dict[str, str], indent: str) -> list[str]:
        """Lines that read, compute and write one element; ``element``: the place or value of each array's."""
        call = f"f({', '.join(element.get(name, name) for name in self.operands)})"
        return [f"{indent}r = {call}", *(f"{indent}{element[o]} = r[{k}]" for k, o in enumerate(self.outs))]

    def vector(self, at: dict[str, str], single: dict[str, str], indent: str) -> list[str]:
        """The same for ``lanes`` elements; ``at``: the index of each array's first, ``single``: the values that are the same for all."""
        lines = [f"{indent}v_{x} = load_vector({x}, {at[x]}, {self.lanes})" for x in self.ins if x not in single]
        for k in range(self.lanes):
            values = {x: single.get(x, f"v_{x}[{k}]") for x in self.ins}
            lines.append(f"{indent}r{k} = f({', '.join(values.get(name, name) for name in self.operands)})")
        for j, o in enumerate(self.outs):
            lines.append(f"{indent}store_vector({o}, {at[o]}, ({', '.join(f'r{k}[{j}]' for k in range(self.lanes))},))")
        return lines


def flat_source(label: str, shape: Shape) -> str:
    """All arrays one contiguous run of n elements, but for those of mode ``b``, of which the first counts."""
    single = {x: f"s_{x}" for x in shape.ins if shape.mode[x] == "b"}
    lines = [f"def {label}({', '.join([*shape.arrays, *shape.numbers, 'n'])}):", *_THREAD]
    lines += [f"    {value} = {x}[0]" for x, value in single.items()]
    first = "thread"
    if shape.lanes > 1:
        lines += [f"    groups = I(n // I({shape.lanes}))", "    i = thread", "    while i < groups:"]
        lines += [f"        at = I(i * I({shape.lanes}))", *shape.vector(dict.fromkeys(shape.arrays, "at"), single, 8 * " ")]
        lines += ["        i = I(i + step)"]
        first = f"I(groups * I({shape.lanes}) + thread)"
    lines += [f"    j = {first}", "    while j < n:"]
    lines += shape.one({x: single.get(x, f"{x}[j]") for x in shape.arrays}, 8 * " ")
    return "\n".join([*lines, "        j = I(j + step)"]) + "\n"


def rows_parameters(shape: Shape, divides: bool) -> list[str]:
    """What a strided loop takes behind the arrays and numbers: n, the sizes of all dimensions but the outermost (each with what divides by it), and
    strides, in elements, of each array along each."""
    sizes = [name for d in range(1, shape.dims) for name in ([f"d{d}", f"m{d}", f"h{d}"] if divides else [f"d{d}"])]
    return ["n", *sizes, *(f"{x}_{d}" for x in shape.arrays for d in range(shape.dims))]


def rows_source(label: str, shape: Shape, divides: bool) -> str:
    """Element (or group of ``lanes``) i of n is found by dividing i by the sizes, innermost first; ``divides``: by multiplication."""
    parameters = [*shape.arrays, *shape.numbers, *rows_parameters(shape, divides)]
    lines = [f"def {label}({', '.join(parameters)}):", *_THREAD, "    i = thread", "    while i < n:", "        q = i"]
    lines += [f"        at_{x} = J(0)" for x in shape.arrays]
    for d in range(shape.dims - 1, -1, -1):
        if d:
            lines.append(f"        p = {f'divide(q, m{d}, h{d})' if divides else f'I(q // d{d})'}")
            lines += [f"        c = J(q - p * d{d})", "        q = p"]
        else:
            lines.append("        c = J(q)")
        lines += [f"        at_{x} = J(at_{x} + c * {x}_{d})" for x in shape.arrays]
    if shape.lanes > 1:
        single = {x: f"{x}[at_{x}]" for x in shape.ins if shape.mode[x] == "b"}
        lines += [f"        s_{x} = {value}" for x, value in single.items()]
        lines += shape.vector({x: f"at_{x}" for x in shape.arrays}, {x: f"s_{x}" for x in single}, 8 * " ")
    else:
        lines += shape.one({x: f"{x}[at_{x}]" for x in shape.arrays}, 8 * " ")
    return "\n".join([*lines, "        i = I(i + step)"]) + "\n"
