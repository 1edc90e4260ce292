"""How work speeds up from one thread to all cores: each number of threads beside a single one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .._declare import Case, Goal, count
from . import conv, matmul, softmax

MILLION = 1_000_000
DOUBLE = (Goal("numbagrad@1", 1.8),)


def _tanh(n: int) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        return library.forward(library.lib.tanh, library.uniform(-4.0, 4.0, n))

    return Case("threads", "elementwise", f"tanh {count(n)}", {"torch": build}, bytes=8 * n)


def _add(n: int) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        return library.forward(lambda a, b: a + b, library.normal(n), library.normal(n))

    return Case("threads", "elementwise", f"add {count(n)}", {"torch": build}, bytes=12 * n)


def cases() -> Iterator[Case]:
    found = [
        matmul.product("threads", 1024, 1024, 1024, goals=DOUBLE),
        matmul.product("threads", 128, 128, 128, quick=True),
        conv.convolution("threads", conv.Shape(16, 64, 64, 56, 56, 3, 1), goals=DOUBLE),
        conv.convolution("threads", conv.Shape(64, 32, 64, 14, 14, 3, 1), goals=DOUBLE),
        _tanh(MILLION),
        _add(MILLION),
        softmax.softmax("threads", 256, 1000),
    ]
    for case in found:
        yield replace(case, scaling=True)
