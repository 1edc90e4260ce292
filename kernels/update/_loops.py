"""The loop over the chunks of a table that applies a rule to each element, printed as source."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._cpu import inline, kernel, u
from .._cpu.jit import compile_source
from ._rules import RULES
from ._steps import launched
from ._table import GRADIENT, accessors, number, setting


@functools.cache
def rule_kernel(name: str, dtype: np.dtype) -> Any:
    """The step ``name`` in float32 or float64, as a function of the number of chunks and the table's address."""
    rule, access = RULES[name], accessors(dtype)
    function = rule.make(dtype.type, inline, np.sqrt)
    count = rule.settings(function)
    arrays = [f"x{role}" for role in range(GRADIENT + 1 + rule.states)]
    written = [array for role, array in enumerate(arrays) if role != GRADIENT]
    given = [f"n{row}" for row in range(rule.numbers)] + [f"s{k}" for k in range(count)]
    lines = [
        f"def {name}(lo, hi, table):",
        *[f"    s{k} = real(setting(table, {k}))" for k in range(count)],
        "    for c in range(lo, hi):",
        *[f"        {array} = piece(table, {role}, c)" for role, array in enumerate(arrays)],
        *[f"        n{row} = real(number(table, {row}, c))" for row in range(rule.numbers)],
        "        for i in range(x0.size):",
        f"            {', '.join(f'{x}[u(i)]' for x in written)} = act({', '.join([*[f'{x}[u(i)]' for x in arrays], *given])})",
        "",
    ]
    source = "\n".join(lines)
    namespace = {"act": inline(function), "u": u, "real": dtype.type, "piece": access.piece, "number": number, "setting": setting}
    return launched(kernel(compile_source(name, source, namespace), source=f"{source}{dtype}"))
