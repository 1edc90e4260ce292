"""The loops of running sums, running products and linear recurrences along the middle axis of (outer, n, inner) on CUDA.

``scan_rows``: contiguous rows.  A block goes along its row by tiles of a few elements per thread; threads, then warps, are told by shuffles and shared
memory what comes before them (W. D. Hillis, G. L. Steele, "Data Parallel Algorithms", 1986).  ``sum_columns``, ``multiply_columns`` and
``linear_columns``: a thread goes down its column, four loads before the first is used.  Where there are too few rows or columns to fill a device the
axis is cut into parts, which are told by ``through``, the scan of the parts' totals (outer, parts, inner), what comes before them.  The order of
additions depends on the shape alone.  Bound by memory bandwidth, but for ``linear_columns`` where inner == 1, whose threads read apart from each other.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu.jit import compile_source
from .._cuda.collectives import WARP
from .._cuda.elements import widen
from .._cuda.intrinsics import cuda, inline, load_vector, shuffle, store_vector
from .._cuda.launch import kernel, pointer
from ._cuda_steps import THREADS, steps

CHUNK = 64  # rows of a column that are added up from zero


def _prefix(both: Any, identity: Any, T: Any) -> Any:
    """The function that combines the values of all threads of a block; each is given (that of the threads before it, that of all)."""
    warps = THREADS // WARP

    @inline
    def prefix(value):
        totals = cuda.shared.array(warps, dtype=T)
        thread = np.uint32(cuda.threadIdx.x)
        lane, warp = np.uint32(thread % np.uint32(WARP)), np.uint32(thread // np.uint32(WARP))
        through = value
        distance = np.uint32(1)
        while distance < np.uint32(WARP):
            below = shuffle(through, np.uint32(np.uint32(lane - distance) % np.uint32(WARP)))
            if lane >= distance:
                through = both(below, through)
            distance = np.uint32(distance + distance)
        before = shuffle(through, np.uint32(np.uint32(lane - np.uint32(1)) % np.uint32(WARP)))
        if lane == np.uint32(0):
            before = identity
        cuda.syncthreads()  # the totals of a tile before this have been read
        if lane == np.uint32(WARP - 1):
            totals[warp] = through
        cuda.syncthreads()
        ahead, total = identity, identity
        for k in range(warps):
            if k == warp:
                ahead = total
            total = both(total, totals[k])
        return both(ahead, before), total

    return prefix


def _steps(name: str, target: np.dtype) -> tuple[Any, Any, Any]:
    """Of the scan ``name``: (element after element, parts, the identity).  The elements of "parts" are products of parts."""
    parts = steps("sum" if name == "cumsum" else "part", target, target)
    return (steps("prod", target, target).both if name == "cumprod" else parts.both), parts.both, parts.identity


@functools.lru_cache(maxsize=None)
def _tile(name: str, source: np.dtype, target: np.dtype, lanes: int, vectors: bool) -> tuple[Any, ...]:
    """(load, running, scanned, store, source text): what a thread does with its ``lanes`` elements, of which ``left`` are in the row."""
    T = target.type
    step, _, identity = _steps(name, target)

    def each(text: str) -> str:
        return "(" + "".join(f"{text.format(k=k)}, " for k in range(lanes)) + ")"

    chain = [f"s{k} = step({f's{k - 1}' if k else 'lead'}, v[{k}])" for k in range(lanes)]
    ends = f"return ({', '.join(f's{k}' for k in range(lanes))},)"
    running = "; ".join(["s0 = v[0]", *chain[1:], ends])
    # A product goes on from what comes before, element by element; a sum is added to it as a whole, which is more exact.
    scanned = f"return {each('step(lead, s[{k}])')}" if name == "cumsum" else "; ".join([*chain, ends])
    some = each("(T(read(x[at + I({k})])) if left > {k} else identity)")
    stores = "".join(f"    if left > {k}:\n        out[at + I({k})] = y[{k}]\n" for k in range(lanes))
    whole = f"    if left >= {lanes}:\n        " if vectors else "    "
    load = f"{whole}v = load_vector(x, at, {lanes})\n        return {each('T(read(v[{k}]))')}\n" if vectors else ""
    store = f"{whole}store_vector(out, at, y)\n        return\n" if vectors else ""
    bodies = {
        "load(x, at, left)": f"{load}    return {some}",
        "running(v)": f"    {running}",
        "scanned(lead, v, s)": f"    {scanned}",
        "store(out, at, left, y)": store + stores,
    }
    text = (
        f"# {name} of {_dtypes.name(source)} in {_dtypes.name(target)}\n"
        + "\n\n".join(f"def {head}:\n{body}" for head, body in bodies.items())
        + "\n"
    )
    names = {
        "T": T,
        "I": np.uint64,
        "identity": identity,
        "step": step,
        "read": widen(source),
        "load_vector": load_vector,
        "store_vector": store_vector,
    }
    return (*(inline(compile_source(head.partition("(")[0], text, names)) for head in bodies), text)


@functools.lru_cache(maxsize=None)
def scan_rows(name: str, source: np.dtype, target: np.dtype, lanes: int, vectors: bool, wide: bool) -> Any:
    """The kernel of out (rows, n) from x (rows, n), a block for each part of ``chunk`` elements of a row.  ``vectors``: a thread's elements are one load."""
    I: Any = np.uint64 if wide else np.uint32
    load, running, scanned, store, text = _tile(name, source, target, lanes, vectors)
    _, both, identity = _steps(name, target)
    prefix = _prefix(both, identity, target.type)

    @kernel(pointer(target), pointer(source), pointer(target), *[I] * 4, bounds=THREADS, source=text)
    def scan_rows(out, x, through, n, chunk, parts, tasks):
        task = I(cuda.blockIdx.x)
        while task < tasks:
            row = I(task // parts)
            part = I(task - row * parts)
            first = I(part * chunk)
            count = min(chunk, I(n - first))
            at = I(row * n + first)
            carry = identity
            if part > I(0):
                carry = through[I(task - I(1))]
            base = I(0)
            while base < count:
                j = I(base + I(cuda.threadIdx.x) * I(lanes))
                left = np.int32(min(I(count - j), I(lanes))) if j < count else np.int32(0)
                v = load(x, I(at + j), left)
                s = running(v)
                before, total = prefix(s[lanes - 1])
                store(out, I(at + j), left, scanned(both(carry, before), v, s))
                carry = both(carry, total)
                base = I(base + I(THREADS * lanes))
            task = I(task + I(cuda.gridDim.x))

    return scan_rows


@functools.lru_cache(maxsize=None)
def sum_columns(source: np.dtype, target: np.dtype, wide: bool) -> Any:
    """The kernel of running sums down columns: they start again from zero in every ``CHUNK`` rows and are added to the compensated (Knuth's TwoSum) sum of
    the chunks before, as on the CPU."""
    I: Any = np.uint64 if wide else np.uint32
    T, read = target.type, widen(source)
    zero = T(0)

    @inline
    def raised(before, lost, local):
        return T(before + T(lost + local))

    @kernel(pointer(target), pointer(source), pointer(target), *[I] * 5, bounds=THREADS)
    def sum_columns(out, x, through, n, inner, rows, parts, tasks):
        task = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while task < tasks:
            rest = I(task // inner)
            o = I(rest // parts)
            part = I(rest - o * parts)
            j = I(part * rows)
            end = min(n, I(j + rows))
            at = I(I(o * n + j) * inner + I(task - rest * inner))
            before, lost = zero, zero
            if part > I(0):
                before = through[I(task - inner)]
            while j < end:
                stop = min(end, I(j + I(CHUNK)))
                local = zero
                while I(j + I(3)) < stop:
                    i1, i2, i3 = I(at + inner), I(at + I(2) * inner), I(at + I(3) * inner)
                    v0, v1, v2, v3 = T(read(x[at])), T(read(x[i1])), T(read(x[i2])), T(read(x[i3]))
                    local = T(local + v0)
                    out[at] = raised(before, lost, local)
                    local = T(local + v1)
                    out[i1] = raised(before, lost, local)
                    local = T(local + v2)
                    out[i2] = raised(before, lost, local)
                    local = T(local + v3)
                    out[i3] = raised(before, lost, local)
                    at = I(at + I(4) * inner)
                    j = I(j + I(4))
                while j < stop:
                    local = T(local + T(read(x[at])))
                    out[at] = raised(before, lost, local)
                    at = I(at + inner)
                    j = I(j + I(1))
                addend = T(local + lost)
                total = T(before + addend)
                shadow = T(total - before)
                error = T(T(before - T(total - shadow)) + T(addend - shadow))
                lost = error if error == error else zero  # an infinite total has no error
                before = total
            task = I(task + I(cuda.gridDim.x * cuda.blockDim.x))

    return sum_columns


@functools.lru_cache(maxsize=None)
def multiply_columns(name: str, source: np.dtype, target: np.dtype, wide: bool) -> Any:
    """The kernel of running products down columns, of elements ("cumprod") or of products of parts ("parts")."""
    I: Any = np.uint64 if wide else np.uint32
    T, read = target.type, widen(source)
    step, _, unit = _steps(name, target)

    @kernel(pointer(target), pointer(source), pointer(target), *[I] * 5, bounds=THREADS)
    def multiply_columns(out, x, through, n, inner, rows, parts, tasks):
        task = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while task < tasks:
            rest = I(task // inner)
            o = I(rest // parts)
            part = I(rest - o * parts)
            j = I(part * rows)
            end = min(n, I(j + rows))
            at = I(I(o * n + j) * inner + I(task - rest * inner))
            product = unit
            if part > I(0):
                product = through[I(task - inner)]
            while I(j + I(3)) < end:
                i1, i2, i3 = I(at + inner), I(at + I(2) * inner), I(at + I(3) * inner)
                v0, v1, v2, v3 = T(read(x[at])), T(read(x[i1])), T(read(x[i2])), T(read(x[i3]))
                product = step(product, v0)
                out[at] = product
                product = step(product, v1)
                out[i1] = product
                product = step(product, v2)
                out[i2] = product
                product = step(product, v3)
                out[i3] = product
                at = I(at + I(4) * inner)
                j = I(j + I(4))
            while j < end:
                product = step(product, T(read(x[at])))
                out[at] = product
                at = I(at + inner)
                j = I(j + I(1))
            task = I(task + I(cuda.gridDim.x * cuda.blockDim.x))

    return multiply_columns


@functools.lru_cache(maxsize=None)
def linear_totals(dtype: np.dtype, wide: bool) -> Any:
    """The kernel that sums up parts of a recurrence: y behind a part is total + factor · (y in front of it).  (outer, parts, inner) of each."""
    I: Any = np.uint64 if wide else np.uint32
    T = dtype.type

    @kernel(*[pointer(dtype)] * 4, *[I] * 5, np.bool_, bounds=THREADS)
    def linear_totals(factors, totals, a, b, n, inner, rows, parts, tasks, reverse):
        task = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while task < tasks:
            rest = I(task // inner)
            o = I(rest // parts)
            first = I(I(rest - o * parts) * rows)
            base = I(I(o * n) * inner + I(task - rest * inner))
            factor, total = T(1), T(0)
            for j in range(first, min(n, I(first + rows))):
                at = I(base + I(I(n - I(1) - I(j)) if reverse else I(j)) * inner)
                slope = a[at]
                total = T(b[at] + T(slope * total)) if I(j) > I(0) else b[at]
                factor = T(factor * slope)
            factors[task] = factor
            totals[task] = total
            task = I(task + I(cuda.gridDim.x * cuda.blockDim.x))

    return linear_totals


@functools.lru_cache(maxsize=None)
def linear_columns(dtype: np.dtype, wide: bool) -> Any:
    """The kernel of y_j = b_j + a_j · y_(j-1), from the end if ``reverse``.  ``totals``: a and b are what ``linear_totals`` found; there the product of
    a part may be infinite where no element is, and is not looked at where it is multiplied by zero."""
    I: Any = np.uint64 if wide else np.uint32
    T = dtype.type
    zero = T(0)

    @kernel(*[pointer(dtype)] * 4, *[I] * 5, np.bool_, np.bool_, bounds=THREADS)
    def linear_columns(out, a, b, through, n, inner, rows, parts, tasks, reverse, totals):
        task = I(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        while task < tasks:
            rest = I(task // inner)
            o = I(rest // parts)
            part = I(rest - o * parts)
            first = I(part * rows)
            base = I(I(o * n) * inner + I(task - rest * inner))
            y = zero
            if part > I(0):
                y = through[I(task - inner)]
            for j in range(first, min(n, I(first + rows))):
                at = I(base + I(I(n - I(1) - I(j)) if reverse else I(j)) * inner)
                if I(j) == I(0) or (totals and y == zero):
                    y = b[at]
                else:
                    y = T(b[at] + T(a[at] * y))
                out[at] = y
            task = I(task + I(cuda.gridDim.x * cuda.blockDim.x))

    return linear_columns
