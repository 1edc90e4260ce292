"""Reductions: bound by reading memory once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal, count

SQUARE, PRIMES = (1000, 1000), (997, 1009)


def _reduce(name: str, shape: tuple[int, ...], axis: int | None, gradient: bool = False, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        function = getattr(library.lib, {"max": "amax"}.get(name, name))

        def reduce(x: Any) -> Any:
            if name == "var":
                return function(x, dim=axis, correction=0)
            return function(x) if axis is None else function(x, dim=axis)

        return library.backward(reduce, x) if gradient else library.forward(reduce, x)

    def numpy(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        namespace = library.lib if library.api == "numpy" else library.jnp
        function = getattr(namespace, name)

        def reduce(x: Any) -> Any:
            return function(x, axis=axis)

        return library.backward(reduce, x) if gradient else library.forward(reduce, x)

    builders = {"torch": torch, "jax": numpy} | ({} if gradient else {"numpy": numpy})
    n = math.prod(shape)
    where = "" if axis is None else f" dim {axis}"
    label = f"{name} {count(n) if len(shape) == 1 else 'x'.join(map(str, shape))}{where}{' f+b' * gradient}"
    return Case("ops", "reduce", label, builders, bytes=4 * n * (2 if gradient else 1), flops=n, **more)


def cases() -> Iterator[Case]:
    yield _reduce("sum", (1_000_000,), None, goals=(Goal("torch", 1.0),))
    yield _reduce("sum", (1_000_000,), None, gradient=True)
    for n in (1, 1000, 4099, 65536, 10_000_000):
        yield _reduce("sum", (n,), None, quick=n == 1000)
    for shape in (SQUARE, PRIMES, (1, 1_000_000), (1_000_000, 1), (3, 333_333), (333_333, 3)):
        for axis in (0, 1):
            yield _reduce("sum", shape, axis)
    for name in ("mean", "max", "var", "argmax"):
        yield _reduce(name, SQUARE, 1)
    yield _reduce("max", SQUARE, 0)
    yield _reduce("argmax", SQUARE, 0)
    yield _reduce("mean", SQUARE, 0, gradient=True)
    yield _reduce("var", SQUARE, 1, gradient=True)
