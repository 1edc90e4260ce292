"""The benchmarks.  Each module has a function ``cases`` that yields declarations; nothing here imports a library that is measured."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

from .._declare import SUITES, Case, Once

_MODULES = (
    "elementwise",
    "reduce",
    "matmul",
    "conv",
    "pool_norm",
    "softmax",
    "resize",
    "sequence",
    "index",
    "sort",
    "random",
    "update",
    "train",
    "data",
    "launch",
    "compile",
    "memory",
    "threads",
    "gpu",
)


def declared(modules: Iterable[str] = ()) -> Iterator[Case | Once]:
    """All benchmarks, suite by suite; ``modules`` are further ones to ask, by their full names."""
    names = [f"{__name__}.{name}" for name in _MODULES] + list(modules)
    found = [case for name in names for case in importlib.import_module(name).cases()]
    ids = [case.id for case in found]
    twice = {id for id in ids if ids.count(id) > 1}
    if twice:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    order = {suite: i for i, suite in enumerate(SUITES)}
    yield from sorted(found, key=lambda case: order.get(case.suite, len(order)))


def select(suites: Iterable[str] = (), text: str = "", quick: bool = False, modules: Iterable[str] = ()) -> list[Case | Once]:
    """Those of ``suites`` ("goals": whatever has a goal; none: all) whose id holds every word of ``text``, in upper or lower case, or of one
    of its parts between |."""
    wanted, alternatives = set(suites), [part.split() for part in text.lower().split("|")]
    return [
        case
        for case in declared(modules)
        if (not wanted or case.suite in wanted or ("goals" in wanted and case.goals))
        and any(all(word in case.id.lower() for word in words) for words in alternatives)
        and (case.quick or not quick)
    ]
