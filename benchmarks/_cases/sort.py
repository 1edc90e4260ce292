"""Sorting, selecting and running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _sort(shape: tuple[int, ...], indices: bool, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        return library.forward(lambda: library.lib.argsort(x, dim=-1, stable=True) if indices else library.lib.sort(x, dim=-1)[0])

    def numpy(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        return library.forward(lambda: library.lib.argsort(x, axis=-1, kind="stable") if indices else library.lib.sort(x, axis=-1))

    return Case("ops", "sort", f"{'argsort' if indices else 'sort'} {_text(shape)}", {"torch": torch, "numpy": numpy}, **more)


def _unique(n: int, high: int, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x = library.integers(high, n)
        return library.forward(lambda: library.lib.unique(x))

    def numpy(library: Any) -> Callable[[], Any]:
        x = library.integers(high, n)
        return library.forward(lambda: library.lib.unique(x))

    return Case("ops", "sort", f"unique {n} of {high}", {"torch": torch, "numpy": numpy}, **more)


def _topk(shape: tuple[int, ...], k: int, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        return library.forward(lambda: library.lib.topk(x, k, dim=-1)[0])

    def jax(library: Any) -> Callable[[], Any]:
        return library.forward(lambda x: library.lax.top_k(x, k)[0], library.normal(*shape))

    return Case("ops", "sort", f"topk {k} of {_text(shape)}", {"torch": torch, "jax": jax}, **more)


def _cumsum(shape: tuple[int, ...], axis: int, gradient: bool = False, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        scan = lambda x: library.lib.cumsum(x, dim=axis)
        return library.backward(scan, x) if gradient else library.forward(scan, x)

    def numpy(library: Any) -> Callable[[], Any]:
        return library.forward(lambda x: library.lib.cumsum(x, axis=axis), library.normal(*shape))

    n = 1
    for size in shape:
        n *= size
    builders = {"torch": torch} | ({} if gradient else {"numpy": numpy})
    # Partial sums of a million float32 numbers in different orders.
    label = f"cumsum {_text(shape)} dim {axis}{' f+b' * gradient}"
    return Case("ops", "scan", label, builders, bytes=8 * n * (2 if gradient else 1), tolerance=2e-3, **more)


def cases() -> Iterator[Case]:
    goal = (Goal("torch", 0.8),)
    yield _sort((1_000_000,), False, goals=goal)
    for shape in ((1000, 1000), (100_000, 10), (1009, 127), (16,)):
        yield _sort(shape, False, quick=shape == (16,))
    yield _unique(1_000_000, 1000, goals=goal)
    yield _unique(1_000_000, 1 << 40)
    yield _sort((1_000_000,), True)
    yield _sort((1000, 1000), True)
    yield _topk((256, 1000), 5)
    yield _topk((1, 1_000_000), 100, goals=goal)
    yield _topk((64, 10), 1)
    yield _cumsum((1_000_000,), 0, goals=goal)
    yield _cumsum((1000, 1000), 0)
    yield _cumsum((1000, 1000), 1)
    yield _cumsum((1000, 1000), 1, gradient=True)
