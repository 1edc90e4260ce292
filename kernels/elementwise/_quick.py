"""Loops over functions that are much quicker on a part of their domain, as sin is where |x| is not huge.

A vector cannot branch, so the whole domain would cost every element what it costs the rarest.  Instead the range is walked in blocks: one loop looks at
the arguments of all such functions in a block, which costs a comparison each, and then runs either the quick loop or the full one.
Both give the same bits, so a result depends on nothing but its element.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Sequence

import numpy as np

from .._cpu.trig32 import QUICK
from .._dtypes import float32

# Long enough that the vector loops are entered and left rarely, short enough that the block stays in the first-level cache.
BLOCK = 512
# A mask that tells LLVM what it cannot know of a block's bounds: that they are not negative, which an index may not be in a vector loop.
_NATURAL = (1 << 62) - 1
_CALL = re.compile(r"(v\d+) = (\w+)\((.*)\)")


def quick_names(compute: np.dtype, calls: Collection[str]) -> dict[str, Any]:
    """What the source of ``loops`` calls: ``quick_f`` and ``in_range_f`` for every f among ``calls`` that has them in the type ``compute``."""
    found = {name: QUICK[name] for name in calls if name in QUICK} if compute == float32 else {}
    return {f"in_range_{name}": pair[0] for name, pair in found.items()} | {f"quick_{name}": pair[1] for name, pair in found.items()}


def loops(compute: np.dtype, reads: Sequence[str], body: Sequence[str], writes: Sequence[str]) -> list[str]:
    """The lines, inside a function of ``lo`` and ``hi``, that run ``reads``, ``body`` and ``writes`` for every i."""
    calls = [match if match and quick_names(compute, [match[2]]) else None for match in map(_CALL.fullmatch, body)]
    if not any(calls):
        return ["    for i in range(lo, hi):", *_indented(2, [*reads, *body, *writes])]
    quick = [f"{call[1]} = quick_{call[2]}({call[3]})" if call else line for call, line in zip(calls, body)]
    looks: list[str] = []
    for call, line in zip(calls, quick):
        looks += [f"outside |= not in_range_{call[2]}({call[3]})", line] if call else [line]
    return [
        f"    for at in range(lo, hi, {BLOCK}):",
        f"        start, stop = at & {_NATURAL}, min(hi, at + {BLOCK}) & {_NATURAL}",
        "        outside = False",
        "        for i in range(start, stop):",
        *_indented(3, [*reads, *looks]),
        "        if outside:",
        "            for i in range(start, stop):",
        *_indented(4, [*reads, *body, *writes]),
        "        else:",
        "            for i in range(start, stop):",
        *_indented(4, [*reads, *quick, *writes]),
    ]


def _indented(depth: int, lines: Sequence[str]) -> list[str]:
    return [4 * depth * " " + line for line in lines]
