"""Softmax and cross-entropy: one exponential per element, and memory read once where a row fits in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal


def softmax(suite: str, rows: int, columns: int, gradient: bool = False, name: str = "softmax", **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        function = getattr(library.F, name)
        run = lambda x: function(x, dim=-1)
        return library.backward(run, library.normal(rows, columns)) if gradient else library.forward(run, library.normal(rows, columns))

    def jax(library: Any) -> Callable[[], Any]:
        run = getattr(library.lib.nn, name)
        return library.backward(run, library.normal(rows, columns)) if gradient else library.forward(run, library.normal(rows, columns))

    n = rows * columns
    label = f"{name} {rows}x{columns}{' f+b' * gradient}"
    return Case(suite, "softmax", label, {"torch": torch, "jax": jax}, bytes=4 * n * (5 if gradient else 2), **more)


def cross_entropy(suite: str, rows: int, columns: int, **more: Any) -> Case:
    """The mean loss and its gradient."""

    def torch(library: Any) -> Callable[[], Any]:
        x, target = library.normal(rows, columns), library.integers(columns, rows)
        return library.backward(lambda x: library.F.cross_entropy(x, target), x)

    def jax(library: Any) -> Callable[[], Any]:
        x, target = library.normal(rows, columns), library.integers(columns, rows)

        def loss(x: Any, target: Any) -> Any:
            return -library.jnp.take_along_axis(library.lib.nn.log_softmax(x), target[:, None], axis=1).mean()

        return library.backward(loss, x, target)

    label = f"cross-entropy {rows}x{columns} f+b"
    return Case(suite, "softmax", label, {"torch": torch, "jax": jax}, bytes=4 * rows * columns * 3, **more)


def cases() -> Iterator[Case]:
    yield softmax("ops", 256, 1000, goals=(Goal("torch", 1.2),))
    yield softmax("ops", 256, 1000, gradient=True)
    yield softmax("ops", 256, 1000, name="log_softmax")
    yield softmax("ops", 256, 1000, gradient=True, name="log_softmax")
    for rows, columns in ((64, 10), (1, 1_000_000), (100_000, 3), (1021, 127), (1, 10)):
        yield softmax("ops", rows, columns, quick=(rows, columns) == (64, 10))
    yield cross_entropy("ops", 64, 10, goals=(Goal("torch", 5.0),), quick=True)
    yield cross_entropy("ops", 128, 1000, goals=(Goal("torch", 1.4),))
    for rows, columns in ((1024, 10), (1, 50_257), (1021, 127), (100_000, 3)):
        yield cross_entropy("ops", rows, columns)
