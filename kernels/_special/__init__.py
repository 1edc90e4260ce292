"""Functions of numbers that need a loop or a branch: one body, which each target compiles with its own compiler and its own elementary functions.

A module here has ``build(inline, T, base)``: ``inline`` makes a helper of the target, ``T`` is the type of the arithmetic and ``base`` names the target's
functions of that type.  It returns functions by name.  They are made when a formula first asks for one of them.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from . import complexes, gamma, integers, orthogonal

_HOMES = {
    "complex_div": complexes,
    "zeta": gamma,
    "igamma": gamma,
    "igammac": gamma,
    "gcd": integers,
    "quotient": integers,
} | dict.fromkeys(orthogonal.NAMES, orthogonal)
_made: dict[Any, dict[str, Any]] = {}


def find(names: set[str], inline: Callable[..., Any], dtype: np.dtype, base: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``names`` that there are in the type ``dtype``, made for the target that ``inline`` belongs to."""
    found = {}
    for name in names & _HOMES.keys():
        home = _HOMES[name]
        if dtype.kind in home.KINDS:
            key = (inline, dtype, home)
            if key not in _made:
                _made[key] = home.build(inline, dtype.type, base)
            found[name] = _made[key][name]
    return found
