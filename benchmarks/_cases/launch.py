"""What an operation costs before it has done anything, and from which size on the work is what counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal, count
from . import matmul, softmax

Build = Callable[[Any], Callable[[], Any]]


def _add(n: int, recording: bool, **more: Any) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        a, b = library.normal(n), library.normal(n)
        if recording:
            a.requires_grad_()
        return library.forward(lambda a, b: a + b, a, b)

    apis = ("torch",) if recording else ("torch", "numpy", "jax", "tinygrad")
    label = f"a + b of {count(n)}{', recording' * recording}"
    return Case("launch", "overhead" if n == 10 else "ladder", label, dict.fromkeys(apis, build), bytes=12 * n, **more)


def _chain() -> Case:
    def function(x: Any) -> Any:
        return ((x * 2 + 1) * x).sum()

    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(10).requires_grad_()

        def iteration() -> Any:
            x.grad = None
            function(x).backward()
            return x.grad

        return iteration

    def jax(library: Any) -> Callable[[], Any]:
        return library.forward(library.lib.grad(function), library.normal(10))

    label = "((x*2+1)*x).sum().backward() of 10"
    return Case("launch", "overhead", label, {"torch": torch, "jax": jax}, goals=(Goal("torch", 1.0),), quick=True)


def _relu() -> Case:
    def build(library: Any) -> Callable[[], Any]:
        return library.forward(library.F.relu if library.api == "torch" else library.lib.nn.relu, library.normal(10))

    return Case("launch", "overhead", "relu of 10", {"torch": build, "jax": build})


def _view() -> Case:
    def build(library: Any) -> Callable[[], Any]:
        return library.forward(lambda x: x[1:, 2], library.normal(8, 8))

    return Case("launch", "overhead", "x[1:, 2] of 8x8", {"torch": build, "numpy": build})


def _linear() -> Case:
    def build(library: Any) -> Callable[[], Any]:
        x, weight, bias = library.normal(1, 16), library.normal(16, 16), library.normal(16)
        return library.backward(lambda x, weight, bias: library.F.linear(x, weight, bias), x, weight, bias, wrt=(0, 1, 2))

    return Case("launch", "overhead", "linear 1x16x16 f+b", {"torch": build})


def cases() -> Iterator[Case]:
    yield _add(10, False, quick=True)
    yield _add(10, True, goals=(Goal("torch", 1.0),))
    yield _chain()
    yield _relu()
    yield _view()
    yield matmul.product("launch", 8, 8, 8)
    yield _linear()
    yield softmax.cross_entropy("launch", 64, 10)
    for n in (1, 100, 1000, 4096, 10_000, 65_536, 100_003, 1_000_000, 10_000_000):
        yield _add(n, False)
