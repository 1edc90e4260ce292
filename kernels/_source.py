"""Printing a formula as straight-line Python source, for a target's loop to be written around."""

from __future__ import annotations

from typing import Callable

from ._formula import ARGUMENT, CONSTANT, Expr, Formula, conj, div, expand, order, where


def variable(parameter: Expr) -> str:
    """The name of ``parameter`` in the printed source.  The underscore keeps it apart from every name that a target's loop has of its own (``i``, ``lo``,
    ``T``, ``exp``, ...), none of which ends in one."""
    return f"{parameter.args[0]}_"


def statements(formula: Formula, scalar: Callable[[Expr], str], integer: bool, is_complex: bool) -> tuple[list[str], list[str], set[str]]:
    """Straight-line source for ``formula``: its assignments, the names of its results, and the functions it calls.

    The computing type is ``T`` in the source; ``scalar`` prints a constant.  Integer results are converted back to ``T`` after each
    operation, so that they wrap as the type does; equal subexpressions are printed once.
    """
    names: dict[int, str] = {}
    known: dict[str, str] = {}
    lines: list[str] = []
    calls: set[str] = set()

    def number(e: Expr) -> str:
        return names[id(e)] if e.kind == "number" else f"T({names[id(e)]})"

    outputs = expand(formula.outputs)
    for e in order(outputs):
        if e.op is ARGUMENT:
            names[id(e)] = variable(e)
            continue
        if e.op is CONSTANT:
            names[id(e)] = repr(e.args[0]) if e.kind == "bool" else scalar(e)
            continue
        if e.op is conj and not is_complex:
            names[id(e)] = names[id(e.args[0])]
            continue
        if e.op is where:
            same = e.args[1].kind == e.args[2].kind
            args = [names[id(e.args[0])], *(names[id(a)] if same else number(a) for a in e.args[1:])]
        elif e.op.casts and (e.op.result == "number" or not all(a.kind == "bool" for a in e.args)):
            args = [number(a) for a in e.args]
        else:
            args = [names[id(a)] for a in e.args]
        if e.op is div and is_complex:
            calls.add("complex_div")
            text = f"complex_div({', '.join(args)})"
        elif e.op.template:
            text = e.op.template.format(*args)
        else:
            calls.add(e.op.name)
            text = f"{e.op.name}({', '.join(args)})"
        if integer and e.kind == "number":
            text = f"T({text})"
        if text not in known:
            known[text] = f"v{len(lines)}"
            lines.append(f"{known[text]} = {text}")
        names[id(e)] = known[text]
    return lines, [names[id(r)] for r in outputs], calls
