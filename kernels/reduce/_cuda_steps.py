"""What the loops of a reduction on CUDA do to elements, for each operation and its types: read, map, combine, store.

The arithmetic is ``_operations``'s.  An accumulator is at least as wide as a register, because that is what lanes exchange; 16-bit floats are read
as they are stored and computed in float32.  Operations that need more than an element's value are added here: those that compare it with a number for
each result (``c``), and those that need its place along the axis (``j``).

Functions of as many elements as a thread takes at once are printed, so that tuples are indexed by constants.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, NamedTuple

import numpy as np

from .. import _dtypes
from .._cpu.jit import compile_source
from .._cuda.collectives import team
from .._cuda.elements import widen
from .._cuda.functions import functions_for
from .._cuda.intrinsics import inline, load_vector
from ._cuda_first import packed
from ._operations import OPERATIONS

THREADS = team(256)  # of a block

_BYTES = 16  # what a load takes at most
_MOST_LANES = 8
_WORD, _LONG = np.dtype(np.int32), np.dtype(np.int64)
# The operations beside OPERATIONS, and what combines their results: sum |x - c|², sum exp(x - c), the first place where x is c or NaN; and words of an
# element and its place (``_cuda_first``).  "part" is the product of a part of an axis, in which zero absorbs infinity: the part may overflow where the
# product with what comes before it does not.
FROM_CENTRE = {"deviation": "sum", "exponential": "sum", "place": "amin"}
FIRST = {"first amax": "amax", "first amin": "amax"}
PART = {"part": "prod"}


class Steps(NamedTuple):
    """The scalar functions of one operation, and the types they compute with."""

    name: str
    register: Any  # the type of accumulators
    power: Any  # of ``p``
    centre: np.dtype  # of ``c``
    identity: Any  # what changes nothing that it is combined with
    one: Callable[..., Any]  # (stored element, p, c, j) -> accumulator
    both: Callable[..., Any]  # (accumulator, accumulator) -> accumulator
    store: Any  # accumulator -> element of the result


def lanes_for(*dtypes: np.dtype) -> int:
    """How many elements at once make the widest of these types 16 bytes."""
    return min(_MOST_LANES, max(1, _BYTES // max(d.itemsize for d in dtypes)))


def _register(target: np.dtype) -> np.dtype:
    return _WORD if target.itemsize < 4 else target


def _identity(combining: str, T: Any) -> Any:
    kind = np.dtype(T).kind
    if combining == "prod":
        return T(1)
    if combining in ("amax", "amin"):
        limits = np.iinfo(T) if kind == "i" else None
        low, high = (limits.min, limits.max) if limits is not None else (-np.inf, np.inf)
        return T(low if combining == "amax" else high)
    if combining in ("any", "all"):
        return T(combining == "all")
    return T(-0.0) if kind == "f" else T(0)  # 0 + -0 is 0, but -0 + -0 is -0


_COMBINED_AS = {
    "magnitude_max": "amax",
    "magnitude_min": "amin",
    "count_nonzero": "sum",
    "magnitude": "sum",
    "squared": "sum",
    "power": "sum",
}


def absorbing(T: Any) -> Any:
    """a * b; 0 where one of them is, and the other is a number or infinite."""
    zero = T(0)

    @inline
    def multiplied(a, b):
        return zero if (a == zero and b == b) or (b == zero and a == a) else T(a * b)

    return multiplied


def _squared_complex(value, p):
    """|value|² without the square root that |value| takes"""
    return value.real * value.real + value.imag * value.imag


def _mapped(name: str, source: np.dtype, R: Any) -> Callable[..., Any]:
    """(value, p, c, j) -> what is combined."""
    if name in FIRST:
        return packed(name, source)
    if name == "exponential":
        exp = functions_for(source, {"exp"})["exp"]

        @inline
        def exponential(value, p, c, j):
            return exp(value - c)

        return exponential
    if name == "place":
        nowhere = _identity("amin", R)

        @inline
        def place(value, p, c, j):
            return R(j) if value == c or value != value else nowhere

        return place
    squares = name in ("squared", "deviation")
    element = inline(_squared_complex if squares and source.kind == "c" else OPERATIONS["squared" if squares else PART.get(name, name)][0])
    if name == "deviation":

        @inline
        def deviation(value, p, c, j):
            return element(value - c, p)

        return deviation

    @inline
    def plain(value, p, c, j):
        return element(value, p)

    return plain


@functools.lru_cache(maxsize=None)
def steps(name: str, source: np.dtype, target: np.dtype) -> Steps:
    """The steps of the operation ``name`` from elements of ``source`` to results of ``target``; bools are bytes here."""
    computed = _dtypes.compute_dtype(source)
    register = _register(target)
    R, S = register.type, computed.type
    combining = (FROM_CENTRE | FIRST | PART | _COMBINED_AS).get(name, name)
    mapped = _mapped(name, computed, R)
    combine = absorbing(R) if name in PART else inline(OPERATIONS[combining][1])
    read = widen(source)

    @inline
    def one(value, p, c, j):
        return R(mapped(S(read(value)), p, c, j))

    @inline
    def both(a, b):
        return R(combine(a, b))

    real = _dtypes.real_dtype(computed)
    power = real.type if real.kind == "f" else np.float32
    return Steps(name, R, power, computed, _identity(combining, R), one, both, target.type)


class Lanes(NamedTuple):
    """The same for ``lanes`` elements at once; ``source``: how the functions read."""

    start: Any  # () -> accumulators, each the identity
    tree: Any  # (elements, p, c, j) -> one accumulator, of elements whose places are j, j + 1, ...
    each: Any  # (elements, p, centres, j) -> an accumulator of each
    join: Any  # (accumulators, accumulators) -> accumulators
    stored: Any  # accumulators -> elements of the result
    put: Any  # (shared array, thread, accumulators)
    take: Any  # (shared array, thread) -> accumulators
    centre: Any  # (pointer, i) -> c
    centres: Any  # (pointer, i) -> as many
    source: str


def _tree(first: int, count: int) -> str:
    if count == 1:
        return f"one(v[{first}], p, c, {f'j + {first}' if first else 'j'})"
    half = count // 2
    return f"both({_tree(first, half)}, {_tree(first + half, half)})"


@functools.lru_cache(maxsize=None)
def lanes_of(name: str, source: np.dtype, target: np.dtype, lanes: int) -> Lanes:
    """The functions for ``lanes`` elements, a power of two."""
    found = steps(name, source, target)

    def each(text: str) -> str:
        return "(" + "".join(f"{text.format(k=k)}, " for k in range(lanes)) + ")"

    centred = name in FROM_CENTRE
    bodies = {
        "start()": f"return {each('identity')}",
        "tree(v, p, c, j)": f"return {_tree(0, lanes)}",
        "each(v, p, c, j)": f"return {each('one(v[{k}], p, c[{k}], j)')}",
        "join(a, b)": f"return {each('both(a[{k}], b[{k}])')}",
        "stored(a)": f"return {each('store(a[{k}])')}",
        "put(shared, thread, a)": "; ".join(f"shared[thread + uint32({k * THREADS})] = a[{k}]" for k in range(lanes)),
        "take(shared, thread)": f"return {each('shared[thread + uint32({k} * ' + str(THREADS) + ')]')}",
        "centre(pointer, i)": "return pointer[i]" if centred else "return zero",
        "centres(pointer, i)": f"return load_vector(pointer, i, {lanes})" if centred else f"return {each('zero')}",
    }
    names = [head.partition("(")[0] for head in bodies]
    text = f"# {name} of {_dtypes.name(source)} in {_dtypes.name(target)}\n"
    text += "\n\n".join(f"def {head}:\n    {body}" for head, body in bodies.items()) + "\n"
    namespace = {"identity": found.identity, "one": found.one, "both": found.both, "store": found.store, "uint32": np.uint32}
    namespace |= {"zero": found.centre.type(0), "load_vector": load_vector}
    return Lanes(*[*(inline(compile_source(part, text, namespace)) for part in names), text])
