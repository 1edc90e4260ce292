"""Loops over functions that are much quicker on a part of their domain, as sin is where |x| is not huge, or that are looked up in a table there.

A vector cannot branch, so the whole domain would cost every element what it costs the rarest.  Instead the range is walked in blocks: one loop does a
block by the quick functions and notes whether all their arguments were in range, which costs a comparison each; where one was not, the full loop does
the block again.  To look first would read the operands twice, and what waits for memory then is not hidden behind arithmetic any more.
The quick functions give the same bits as the full ones, so a result depends on nothing but its element.

A function that has a table (see ``_cpu/tables32.py``), applied to an operand, fills a block of its values before either loop.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Mapping, Sequence

import numpy as np

from .._cpu.intrinsics import address_of, array_from
from .._cpu.simd import stack_space
from .._cpu.tables32 import BLOCK, LOOKUPS
from .._cpu.trig32 import QUICK
from .._dtypes import float32

# A mask that tells LLVM what it cannot know of a block's bounds: that they are not negative, which an index may not be in a vector loop.
_NATURAL = (1 << 62) - 1
_BLOCKS = [
    f"    for at in range(lo, hi, {BLOCK}):",
    f"        start, stop = at & {_NATURAL}, min(hi, at + {BLOCK}) & {_NATURAL}",
]
_CALL = re.compile(r"(v\d+) = (\w+)\((.*)\)")


def quick_names(compute: np.dtype, calls: Collection[str]) -> dict[str, Any]:
    """What the source of ``loops`` calls, for every f among ``calls`` that has it in the type ``compute``: ``quick_f`` and ``in_range_f``, or
    ``fill_f``."""
    if compute != float32:
        return {}
    found: dict[str, Any] = {}
    for name in calls:
        if name in QUICK:
            found[f"in_range_{name}"], found[f"quick_{name}"] = QUICK[name]
        if name in LOOKUPS:
            found[f"fill_{name}"] = LOOKUPS[name]
            found |= {"stack_space": stack_space(4 * BLOCK), "array_from": array_from, "address_of": address_of}
    return found


def loops(
    compute: np.dtype,
    reads: Sequence[str],
    body: Sequence[str],
    writes: Sequence[str],
    shared: str = "False",
    operands: Mapping[str, str] = {},
    result: str | None = None,
) -> list[str]:
    """The lines, inside a function of ``lo`` and ``hi``, that run ``reads``, ``body`` and ``writes`` for every i.

    ``shared`` is the condition that a result is written over an operand, which a block done again would have to read once more: there is no quick loop
    then.  ``operands``: the variables that ``reads`` takes as they are from a contiguous array, and the name of that array's id.  ``result``: the id of
    the array that the one result goes to as it is.
    """
    calls = [found.groups() if (found := _CALL.fullmatch(line)) else ("", "", "") for line in body]
    known = quick_names(compute, [function for _, function, _ in calls])
    if result is not None and len(calls) == 1 and f"fill_{calls[0][1]}" in known and calls[0][2] in operands:
        return _looked_up(calls[0], reads[0], operands[calls[0][2]], result, shared)
    head: list[str] = []
    filling: list[str] = []
    quick: list[str] = []
    full: list[str] = []
    repeats = False
    for line, (value, function, argument) in zip(body, calls):
        if f"fill_{function}" in known and argument in operands:
            head.append(f"    room_{value} = stack_space()")
            filling.append(f"        fill_{function}(room_{value}, address_of({operands[argument]}) + 4 * start, stop - start)")
            filling.append(f"        {value.upper()} = array_from(room_{value} - 4 * start, stop, T)")
            quick.append(f"{value} = {value.upper()}[i]")
            full.append(quick[-1])
        elif f"quick_{function}" in known:
            repeats = True
            quick += [f"outside |= not in_range_{function}({argument})", f"{value} = quick_{function}({argument})"]
            full.append(line)
        else:
            quick.append(line)
            full.append(line)
    if not filling and (not repeats or shared == "True"):
        return ["    for i in range(lo, hi):", *_indented(2, [*reads, *body, *writes])]
    lines = [*head, f"    shared = {shared}", *_BLOCKS, *filling]
    if not repeats:
        return [*lines, "        for i in range(start, stop):", *_indented(3, [*reads, *quick, *writes])]
    return [
        *lines,
        "        outside = shared",
        "        if not shared:",
        "            for i in range(start, stop):",
        *_indented(4, [*reads, *quick, *writes]),
        "        if outside:",
        "            for i in range(start, stop):",
        *_indented(4, [*reads, *full, *writes]),
    ]


def _looked_up(call: Sequence[str], read: str, operand: str, result: str, shared: str) -> list[str]:
    """The same where all there is to do is to look up: straight into the result, which a copy of the operand is kept for where they are one array."""
    _, function, argument = call
    array = read.removeprefix(f"{argument} = T(").removesuffix("[i])")
    return [
        f"    shared, room = {shared}, stack_space()",
        *_BLOCKS,
        f"        source = room if shared else address_of({operand}) + 4 * start",
        "        kept = array_from(source - 4 * start, stop, T)",
        "        if shared:",
        "            for i in range(start, stop):",
        f"                kept[i] = {array}[i]",
        f"        fill_{function}(address_of({result}) + 4 * start, source, stop - start)",
    ]


def _indented(depth: int, lines: Sequence[str]) -> list[str]:
    return [4 * depth * " " + line for line in lines]
