"""What a kernel was compiled to: the LLVM code after optimisation, its innermost loops, and what is computed in them.

It is read as text, the same on every processor: an instruction on ``<8 x float>`` is a packed one wherever it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# What surrounds a kernel in its module: how Python, C and the pool of threads call it, and Numba's reference counts.
_WRAPPERS = re.compile(r"cpython|cfunc|\.launcher|\.task\b|^NRT_")
_DEFINITION = re.compile(r"^define [^\n]*?@(\"[^\"]+\"|[-\w.$]+)\([^\n]*\{\n(.*?)^\}", re.M | re.S)
_LABEL = re.compile(r"^(\"[^\"]+\"|[-\w.$]+):")
_TARGET = re.compile(r"label %(\"[^\"]+\"|[-\w.$]+)")

Graph = dict[str, list[str]]


def optimised(library: Any) -> str:
    """The LLVM code of a compiled function's library, whether it was compiled here or comes from the cache."""
    return str(library._get_module_for_linking())


def compiled_text(dispatcher: Any) -> str:
    """The LLVM code of the only signature that ``dispatcher`` was compiled for, without the wrappers."""
    (overload,) = dispatcher.overloads.values()
    found = _DEFINITION.finditer(optimised(overload.library))
    return "\n".join(match[0] for match in found if not _WRAPPERS.search(match[1]))


def bodies(text: str) -> Iterator[tuple[str, str]]:
    """Name and body of each function that is defined in ``text``, the wrappers left out."""
    for name, body in _DEFINITION.findall(text):
        if not _WRAPPERS.search(name):
            yield name, body


def _blocks(body: str) -> dict[str, str]:
    """The basic blocks of a function by label, the first one first."""
    found: dict[str, list[str]] = {}
    current: list[str] = found.setdefault("", [])
    for line in body.splitlines():
        label = _LABEL.match(line)
        if label:
            current = found.setdefault(label[1], [])
        else:
            current.append(line)
    return {label: "\n".join(lines) for label, lines in found.items() if lines}


def _cycles(graph: Graph) -> list[list[str]]:
    """The strongly connected parts that hold a cycle (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts = []
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, following = work[-1]
            for other in following:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    work.append((other, iter(graph[other])))
                    break
                if other in stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    if len(part) > 1 or node in graph[node]:
                        parts.append(part)
    return parts


def _innermost(graph: Graph) -> Iterator[list[str]]:
    """The loops that hold no other: what remains of a loop when its head is cut off is the loops inside it."""
    for part in _cycles(graph):
        members = set(part)
        entered = {target for node in graph if node not in members for target in graph[node]} & members
        head = next(iter(entered), part[0])
        inside = {node: [t for t in graph[node] if t in members and t != head] for node in part}
        inner = list(_innermost(inside))
        yield from inner or [part]


def _graphs(text: str) -> Iterator[tuple[dict[str, str], Graph]]:
    for _, body in bodies(text):
        blocks = _blocks(body)
        yield blocks, {label: [t for t in _TARGET.findall(code) if t in blocks] for label, code in blocks.items()}


def innermost_loops(text: str) -> list[str]:
    """The code of each innermost loop of the functions in ``text``."""
    return ["\n".join(blocks[label] for label in loop) for blocks, graph in _graphs(text) for loop in _innermost(graph)]


def loops(text: str) -> str:
    """The code of ``text`` that stands in loops, of whatever depth: a loop of known length may be unrolled into the one around it."""
    return "\n".join(blocks[label] for blocks, graph in _graphs(text) for part in _cycles(graph) for label in part)


def float64_instructions(code: str) -> list[str]:
    """The lines of ``code`` that have to do with float64 numbers."""
    return [line.strip() for line in code.splitlines() if re.search(r"\bdouble\b", line)]


def element_float64(text: str) -> list[str]:
    """The float64 instructions that run for each element: those of innermost loops, and long vectors in any loop.

    A sum that is kept in float64 and added to once per row or block stands in a loop around the innermost one, and is none of them.
    """
    inside = [line for loop in innermost_loops(text) for line in float64_instructions(loop)]
    return inside + [line for line in float64_instructions(loops(text)) if re.search(r"<(4|8|16|32|64) x double>", line)]


_ARITHMETIC = re.compile(
    r"= (?:f(?:add|sub|mul|div|neg|cmp)\b[^%<]*<\d+ x float>|(?:tail )?call[^@]*@llvm\.(?!masked|vector\.reduce)[.\w]*v\d+f32\b)"
)
_MOVE = re.compile(r"(?:load|store) <\d+ x|@llvm\.mem(?:cpy|move)|@llvm\.masked\.(?:load|store)\.v\d+")


def computes_packed(text: str) -> bool:
    """Whether a loop computes on vectors of float32."""
    return bool(_ARITHMETIC.search(loops(text)))


def moves_packed(text: str) -> bool:
    """Whether a loop moves several elements at a time."""
    return bool(_MOVE.search(loops(text)))
