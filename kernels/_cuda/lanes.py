"""Vectors of elements as a thread holds them: tuples of ``lanes`` numbers in the type they are computed in.

    load, store = lanes.access(dtype, 4)                 # made once, where the kernel is made
    act = lanes.mapped(function, 4, inputs=2, outputs=1)

    x, y = load(x_at, i), load(y_at, i)                  # x_at[i], ..., x_at[i + 3]
    store(z_at, i, act(x, y, scale))                     # function(x[k], y[k], scale) for each of them

16-bit floats are loaded and stored as such and computed in float32.  The functions are printed, an expression for each lane, since neither Numba nor
PTX has registers that can be indexed.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import _dtypes
from .._cpu.jit import compile_source
from .elements import narrow, widen
from .intrinsics import inline, load_vector, store_vector

__all__ = ["access", "lanes_of", "mapped", "registers", "summed"]

_VECTOR_BYTES = 16


def lanes_of(length: int, *arrays: Any) -> int:
    """How many elements can be moved at once, by ``access``, of rows of ``length`` elements that follow each other in each of the ``arrays`` (None is
    skipped): a power of two, of 16 bytes of the narrowest at most."""
    places = [(x.pointer, x.itemsize) for x in arrays if x is not None]
    lanes = _VECTOR_BYTES // min(size for _, size in places)
    while lanes > 1 and (length % lanes or any(at % min(lanes * size, _VECTOR_BYTES) for at, size in places)):
        lanes //= 2
    return lanes


def _printed(name: str, source: str, **namespace: Any) -> Any:
    return inline(compile_source(name, source, namespace))


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)},)"


@functools.lru_cache(maxsize=None)
def access(dtype: np.dtype, lanes: int) -> tuple[Any, Any]:
    """``load(pointer, i)``: a tuple of ``lanes`` numbers; ``store(pointer, i, values)``.  The address of element i is a multiple of 16 bytes, or of all
    lanes together where that is less; ``lanes`` may be more than 16 bytes have room for."""
    half = dtype in _dtypes.HALVES
    step = min(lanes, _VECTOR_BYTES // dtype.itemsize)
    loads, stores = [], []
    for at in range(0, lanes, step):
        loads += [f"    v{at} = load_vector(p, i + I({at}), {step})"] if step > 1 else []
        given = [f"values[{at + k}]" for k in range(step)]
        given = [f"narrow({x})" for x in given] if half else given
        stores.append(f"    store_vector(p, i + I({at}), {_tuple(given)})" if step > 1 else f"    p[i + I({at})] = {given[0]}")
    found = [f"v{k // step * step}[{k % step}]" if step > 1 else f"p[i + I({k})]" for k in range(lanes)]
    found = [f"widen({x})" for x in found] if half else found
    names = {"load_vector": load_vector, "store_vector": store_vector, "widen": widen(dtype), "narrow": narrow(dtype), "I": np.uint64}
    label = f"{_dtypes.name(dtype)}_{lanes}"
    load = "\n".join([f"def load_{label}(p, i):", *loads, f"    return {_tuple(found)}", ""])
    store = "\n".join([f"def store_{label}(p, i, values):", *stores, ""])
    return _printed(f"load_{label}", load, **names), _printed(f"store_{label}", store, **names)


@functools.lru_cache(maxsize=None)
def mapped(function: Any, lanes: int, inputs: int, outputs: int = 1, scalars: int = 0) -> Any:
    """The function of ``inputs`` tuples and ``scalars`` numbers that gives what ``function`` does of one element of each tuple and the numbers, lane by
    lane: a tuple, or where ``function`` gives a tuple of several ``outputs``, as many."""
    tuples, numbers = [f"x{j}" for j in range(inputs)], [f"s{j}" for j in range(scalars)]
    lines = [f"    y{k} = function({', '.join([f'{x}[{k}]' for x in tuples] + numbers)})" for k in range(lanes)]
    if outputs == 1:
        result = _tuple([f"y{k}" for k in range(lanes)])
    else:
        result = ", ".join(_tuple([f"y{k}[{j}]" for k in range(lanes)]) for j in range(outputs))
    source = "\n".join([f"def mapped({', '.join(tuples + numbers)}):", *lines, f"    return {result}", ""])
    return _printed("mapped", source, function=function)


@functools.lru_cache(maxsize=None)
def summed(lanes: int, T: Any) -> Any:
    """The sum of a tuple, in pairs."""

    def add(parts: list[str]) -> str:
        half = len(parts) // 2
        return parts[0] if len(parts) == 1 else f"T({add(parts[:half])} + {add(parts[half:])})"

    return _printed("summed", f"def summed(x):\n    return {add([f'x[{k}]' for k in range(lanes)])}\n", T=T)


@functools.lru_cache(maxsize=None)
def registers(lanes: int) -> tuple[Any, Any]:
    """``put(array, at, values)`` and ``take(array, at)``: a tuple written to and read from a ``cuda.local.array``, whose indices are constants
    once loops are unrolled, so that it lies in registers."""
    put = "".join(["def put(array, at, values):\n", *[f"    array[at + U({k})] = values[{k}]\n" for k in range(lanes)]])
    take = f"def take(array, at):\n    return {_tuple([f'array[at + U({k})]' for k in range(lanes)])}\n"
    return _printed("put", put, U=np.uint64), _printed("take", take, U=np.uint64)
