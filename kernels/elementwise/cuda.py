"""Elementwise kernels on CUDA: the formula as a scalar function, and around it two shapes of loop, printed as source and compiled on first use.

``flat`` walks contiguous arrays of one shape, 16 bytes at a time.  ``rows`` walks any strides: the index is divided by the sizes, by multiplication;
where the innermost dimension is contiguous (or broadcast) in all arrays it goes 16 bytes at a time as well.  What bounds both is memory bandwidth.
An array without dimensions is read on the device: to look at it here would wait for whatever computes it.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import _dtypes
from .._cpu.entry import DOUBLE, INTEGER, NOT_A_NUMBER, SINGLE
from .._cpu.jit import compile_source
from .._cuda import devices
from .._cuda import launch as door
from .._cuda.array import CudaArray, empty
from .._cuda.functions import functions_for
from .._cuda.intrinsics import (
    bfloat16_to_float32,
    cuda,
    divide,
    divider,
    float16_to_float32,
    float32_to_bfloat16,
    float32_to_float16,
    inline,
    load_vector,
    store_vector,
)
from .._cuda.launch import Kernel, blocks, kernel, pointer
from .._source import statements
from . import _cuda_entry
from . import _cuda_source as printed
from . import cpu as _cpu
from ._declare import Elementwise

__all__ = ["empty", "flat", "learn", "number", "rows"]

_VECTOR_BYTES = 16
_MOST_LANES = 8  # elements of a byte could be 16 at once, which would make long kernels for little
_MOST_DIMS = 8  # dimensions that a kernel walks; what is outside of them is walked here
_NARROW = 1 << 31  # more elements than this need 64-bit indices

_HALF_FUNCTIONS = {f"{a}_to_{b}": f for a, b, f in (
    ("float16", "float32", float16_to_float32), ("float32", "float16", float32_to_float16),
    ("bfloat16", "float32", bfloat16_to_float32), ("float32", "bfloat16", float32_to_bfloat16))}  # fmt: skip

# How the short way passes a number, by the type of the kernel's parameter.
_WAYS = {np.int64: INTEGER, np.float32: SINGLE, np.float64: DOUBLE}

Launch = Callable[[Sequence[Any], Sequence[Any]], None]


def number(value: Any, kind: type) -> Any:
    """A Python number of type ``kind`` from a number or a 0-d array of the host; one of a device stays there."""
    return value if isinstance(value, CudaArray) else _cpu.number(value, kind)


def flat(op: Elementwise, compute: np.dtype, results: Sequence[Any], values: Sequence[Any]) -> Launch:
    """What runs ``op`` over contiguous results and values (arrays of the same shape, or numbers) like these.  Of an array without dimensions there is one
    element for all."""
    modes = "c" * len(results) + "".join("c" if x.ndim else "b" for x in values if isinstance(x, CudaArray))
    return _flat(_Arguments(op, compute, results, values, modes), results[0].size)


def learn(
    op: Elementwise,
    compute: np.dtype,
    results: Sequence[Any],
    operands: Sequence[Any],
    values: Sequence[Any],
    in_place: bool,
    flat: bool,
    launch: Launch,
) -> Callable[[Sequence[Any], Sequence[Any]], None] | None:
    """What lets ``op.callers[in_place]`` go the short way from now on with operands like those that it is given with the results; None for a kind of call
    that has no short way."""
    launcher = getattr(launch, "__wrapped__", launch)  # there are several devices: see ``_device``
    if not _cuda_entry.SUPPORTED or door.BLOCKING or not isinstance(launcher, _Launcher) or launcher.starts:
        return None
    ways = [NOT_A_NUMBER if isinstance(x, CudaArray) else _WAYS.get(_number_type(compute)) for x in values]
    plain = all(isinstance(x, CudaArray) or type(x) in (int, float) for x in operands)
    # A type that is the default dtype's doing may change; so do addresses of results that are not in order.
    settled = _dtypes.category(compute) < 2 or any(isinstance(x, CudaArray) and _dtypes.category(x.dtype) >= 2 for x in operands)
    ordered = all(x.flags.c_contiguous for x in (*results, *(x for x in operands if in_place and isinstance(x, CudaArray))))
    split = compute.kind == "c" and set(ways) != {NOT_A_NUMBER}  # a complex number is two arguments
    if split or not (plain and settled and ordered and _cuda_entry.has_room(operands, results)):
        return None
    return functools.partial(_teach, op, launcher, tuple(ways), in_place)


def _teach(
    op: Elementwise, launcher: _Launcher, ways: Sequence[Any], in_place: bool, operands: Sequence[Any], results: Sequence[Any]
) -> None:
    """Let the entry of ``op`` know how these operands were dealt with, if they were aligned, on the current device's stream."""
    walk, here = launcher.walks.get(launcher.lanes), devices.here()
    if walk is None or walk.kernel.count > _cuda_entry.MOST_ARGUMENTS or here.desk is None or here.device != results[0].device_index:
        return
    entry = op.entries.get(("cuda", in_place)) or _new_entry(op, len(operands), len(results), in_place)
    if entry.knows(operands, here.desk):
        return
    arguments = [0] * (walk.kernel.count - len(walk.scalars))
    launch = door.packed(walk.kernel, here, *walk.grid, (*arguments, *walk.scalars))
    refused = functools.partial(_refused, walk)
    masks = iter(launcher.masks[len(results) :])
    entry.add(
        operands,
        here.desk,
        ways,
        [next(masks) if way == NOT_A_NUMBER else 0 for way in ways],
        results,
        launch,
        walk.kernel,
        refused,
    )


def _refused(walk: _Walk, code: int) -> None:
    grid, block = walk.grid
    door.refused(walk.kernel, code, (grid, 1, 1), (block, 1, 1), 0)


def _new_entry(op: Elementwise, ins: int, outs: int, in_place: bool) -> Any:
    """The entry for an operation's launches, before what is called for all else: by the caller itself, or by the entry for arrays of the host."""
    caller, host = op.callers[in_place], op.entries.get(in_place)
    entry = op.entries["cuda", in_place] = _cuda_entry.Entry(op.name, ins, outs, caller, in_place)
    op.callers[in_place] = caller._replace(general=entry.call)
    if host is None:
        caller.install(entry.call)
    else:
        host.leave_to(entry.call)
    return entry


class _Arguments:
    """What of a call a kernel depends on, how its arguments are passed, and the kernels for it."""

    def __init__(self, op: Elementwise, compute: np.dtype, results: Sequence[Any], values: Sequence[Any], modes: str):
        self.op, self.compute, self.modes = op, compute, modes
        self.outs = [r.dtype for r in results]
        self.ins = [x.dtype if isinstance(x, CudaArray) else None for x in values]
        self.itemsizes = [d.itemsize for d in (*self.outs, *self.ins) if d is not None]
        self._positions = [i for i, d in enumerate(self.ins) if d is not None]
        self._numbers = [i for i, d in enumerate(self.ins) if d is None]

    def split(self, results: Sequence[Any], values: Sequence[Any]) -> tuple[list[int], Sequence[Any]]:
        """The addresses of the arrays, and the numbers, as a kernel takes them."""
        pointers = [x.pointer for x in results]
        for i in self._positions:
            pointers.append(values[i].pointer)
        if not self._numbers:
            return pointers, ()
        numbers = [values[i] for i in self._numbers]
        if self.compute.kind == "c":
            numbers = [part for z in map(complex, numbers) for part in (z.real, z.imag)]
        return pointers, numbers

    def masks(self, lanes: int) -> list[int]:
        """The bits of each array's address that are zero where a vector of so many elements may begin."""
        return [lanes * size - 1 if mode == "c" and lanes > 1 else 0 for size, mode in zip(self.itemsizes, self.modes)]

    def kernel(self, form: str, lanes: int, dims: int, index: Any, offset: Any) -> Kernel:
        """The ``flat`` or ``rows`` kernel with ``lanes`` elements at once, counting in the type ``index`` and with offsets of the type ``offset``."""
        key = (
            "cuda",
            form,
            lanes,
            dims,
            index,
            offset,
            self.modes if lanes > 1 or form == "flat" else "",
            self.compute,
            *self.outs,
            *self.ins,
        )
        found = self.op.compiled.get(key)
        if found is None:
            found = self.op.compiled[key] = self._build(form, lanes, dims, index, offset)
        return found

    def _build(self, form: str, lanes: int, dims: int, index: Any, offset: Any) -> Kernel:
        operands = [x for i, d in enumerate(self.ins) for x in ([f"x{i}"] if d is not None else printed.number_names(i, self.compute))]
        shape = printed.Shape(len(self.outs), [f"x{i}" for i in self._positions], self.modes, operands, lanes, dims)
        name = f"{_label(self.op)}_{form}{lanes}"
        divides = index is np.uint32
        source = printed.flat_source(name, shape) if form == "flat" else printed.rows_source(name, shape, divides)
        types = [pointer(d) for d in (*self.outs, *(d for d in self.ins if d is not None))]
        types += [_number_type(self.compute)] * len(shape.numbers)
        rest = ["n"] if form == "flat" else printed.rows_parameters(shape, divides)
        types += [offset if "_" in parameter else index for parameter in rest]
        scalar = self._scalar()
        namespace = {
            "I": index,
            "J": offset,
            "f": scalar[0],
            "cuda": cuda,
            "divide": divide,
            "load_vector": load_vector,
            "store_vector": store_vector,
        }
        return kernel(*types, source=scalar[1] + source)(compile_source(name, source, namespace))

    def _scalar(self) -> tuple[Any, str]:
        """The formula as a device function for these types, and its source."""
        key = ("cuda", "scalar", self.compute, *self.outs, *self.ins)
        found = self.op.compiled.get(key)
        if found is None:
            compute, formula = self.compute, self.op.formula
            category = _dtypes.category(compute)
            body, names, calls = statements(formula, lambda e: printed.constant(e, compute), category < 2, category == 3)
            name = f"{_label(self.op)}_scalar"
            source = printed.scalar_source(name, formula, compute, body, names, self.outs, self.ins)
            T: Any = bool if compute == _dtypes.bool_ else compute.type  # Python's bool, because NumPy's does not subtract
            namespace: dict[str, Any] = {"T": T, "BITS": 8 * compute.itemsize, "inf": math.inf, "nan": math.nan}
            namespace |= {"uint8": np.uint8, "int32": np.int32, "int64": np.int64, "float32": np.float32}
            namespace |= {f"out{i}": d.type for i, d in enumerate(self.outs)} | functions_for(compute, calls) | _HALF_FUNCTIONS
            found = self.op.compiled[key] = inline(compile_source(name, source, namespace)), source
        return found


def _label(op: Elementwise) -> str:
    """The operation's name, as an identifier; a lambda's name is none."""
    return re.sub(r"[^0-9A-Za-z_]", "", op.name)


def _number_type(compute: np.dtype) -> Any:
    """The type of a kernel's parameter for a number."""
    return np.int64 if compute.kind in "biu" else _dtypes.real_dtype(compute).type


# ---- launching --------------------------------------------------------------------------------------------------------------------------------


class _Walk(NamedTuple):
    """A kernel and what it is launched with besides arrays and numbers."""

    kernel: Kernel
    grid: tuple[int, int]
    scalars: tuple[int, ...]


class _Launcher:
    """What launches ``walk(lanes)``, or ``walk(1)`` where the arrays are not aligned; ``starts``: for each launch how many bytes behind its first
    element each array is begun with."""

    def __init__(self, given: _Arguments, lanes: int, walk: Callable[[int], _Walk], starts: Sequence[Sequence[int]] = ()):
        self.masks = given.masks(lanes)
        aligned = not any(s & mask for start in starts for s, mask in zip(start, self.masks))
        self.lanes = lanes if aligned else 1
        self.starts = starts
        self.walks: dict[int, _Walk] = {}  # by lanes
        self._given, self._walk = given, walk

    def __call__(self, results: Sequence[Any], values: Sequence[Any]) -> None:
        pointers, numbers = self._given.split(results, values)
        lanes = self.lanes
        for p, mask in zip(pointers, self.masks):
            if p & mask:
                lanes = 1
        found = self.walks.get(lanes)
        if found is None:
            found = self.walks[lanes] = self._walk(lanes)
        if not self.starts:
            door.launch(found.kernel, *found.grid, (*pointers, *numbers, *found.scalars))
        for start in self.starts:
            door.launch(found.kernel, *found.grid, (*(p + s for p, s in zip(pointers, start)), *numbers, *found.scalars))


def _nothing(results: Sequence[Any], values: Sequence[Any]) -> None:
    """What is run over no elements."""


def _lanes(itemsizes: Sequence[int], modes: str) -> int:
    """How many elements a thread takes at once, so that the widest of those it walks are 16 bytes."""
    return min(_MOST_LANES, max(1, _VECTOR_BYTES // max(size for size, mode in zip(itemsizes, modes) if mode == "c")))


def _flat(given: _Arguments, n: int) -> Launch:
    """What runs over n elements in a row."""
    index = np.uint32 if n < _NARROW else np.uint64

    def walk(lanes: int) -> _Walk:
        return _Walk(given.kernel("flat", lanes, 1, index, np.int32), blocks(-(-n // lanes)), (n,))

    return _Launcher(given, _lanes(given.itemsizes, given.modes), walk) if n else _nothing


# ---- any strides ----------------------------------------------------------------------------------------------------------------------------


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
    if not n:
        return _nothing
    given = _Arguments(op, compute, results, values, modes)
    if "s" not in modes and len(sizes) == 1:  # merged into one contiguous run
        return _flat(given, n)
    outer = max(0, len(sizes) - _MOST_DIMS)
    starts = [[sum(i * s for i, s in zip(at, row)) for row in strides] for at in np.ndindex(*sizes[:outer])] if outer else []
    inner, steps = list(sizes[outer:]), [list(row[outer:]) for row in strides]
    return _Launcher(given, _row_lanes(given, inner, steps), lambda lanes: _walk(given, inner, steps, lanes), starts)


def _row_lanes(given: _Arguments, sizes: Sequence[int], strides: Sequence[Sequence[int]]) -> int:
    """How many elements of a row can be taken at once: rows are whole vectors, and each begins at a multiple of a vector's size."""
    if "s" in given.modes:
        return 1
    lanes = _lanes(given.itemsizes, given.modes)
    walked = [(size, row) for size, row, mode in zip(given.itemsizes, strides, given.modes) if mode == "c"]
    while lanes > 1 and (sizes[-1] % lanes or any(step % (lanes * size) for size, row in walked for step in row[:-1])):
        lanes //= 2
    return lanes


def _walk(given: _Arguments, sizes: Sequence[int], strides: Sequence[Sequence[int]], lanes: int) -> _Walk:
    """The launch over ``sizes`` with byte ``strides``, by groups of ``lanes`` along the innermost dimension."""
    groups = [*sizes[:-1], sizes[-1] // lanes]
    n = math.prod(groups)
    steps = [[*row[:-1], row[-1] * lanes] for row in strides]
    steps = [[step // size for step in row] for row, size in zip(steps, given.itemsizes)]
    reach = max(sum(abs(step) * (size - 1) for step, size in zip(row, groups)) for row in steps) + lanes
    index = np.uint32 if n < _NARROW else np.uint64
    offset = np.int32 if reach < _NARROW else np.int64
    divisors = [part for size in groups[1:] for part in ((size, *divider(size)) if index is np.uint32 else (size,))]
    found = given.kernel("rows", lanes, len(groups), index, offset)
    return _Walk(found, blocks(n), (n, *divisors, *(step for row in steps for step in row)))
