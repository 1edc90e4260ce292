"""Gathering, scattering and copying: bound by memory, and by how it is walked through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal

Build = Callable[[Any], Callable[[], Any]]


def _numpy(library: Any) -> Any:
    """The namespace with NumPy's names."""
    return library.lib if library.api == "numpy" else library.jnp


def _rows(n: int, width: int, picked: int, gradient: bool = False, **more: Any) -> Case:
    """y = x[i], whole rows."""

    def build(library: Any) -> Callable[[], Any]:
        x, rows = library.normal(n, width), library.integers(n, picked)
        gather = lambda x: x[rows]
        return library.backward(gather, x) if gradient else library.forward(gather, x)

    apis = ("torch", "jax") if gradient else ("torch", "numpy", "jax")
    label = f"gather {picked} of {n}x{width} rows{' f+b' * gradient}"
    return Case("ops", "index", label, dict.fromkeys(apis, build), bytes=8 * picked * width * (2 if gradient else 1), **more)


def _elements(n: int, width: int, picked: int, gradient: bool = False) -> Case:
    """y[i, j] = x[i, k[i, j]]."""

    def torch(library: Any) -> Callable[[], Any]:
        x, k = library.normal(n, width), library.integers(width, n, picked)
        gather = lambda x: library.lib.gather(x, 1, k)
        return library.backward(gather, x) if gradient else library.forward(gather, x)

    def numpy(library: Any) -> Callable[[], Any]:
        x, k = library.normal(n, width), library.integers(width, n, picked)
        gather = lambda x: _numpy(library).take_along_axis(x, k, 1)
        return library.backward(gather, x) if gradient else library.forward(gather, x)

    builders = {"torch": torch, "jax": numpy} | ({} if gradient else {"numpy": numpy})
    return Case("ops", "index", f"gather {picked} per row of {n}x{width}{' f+b' * gradient}", builders, bytes=16 * n * picked)


def _embedding(n: int, width: int, picked: int) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        table, rows = library.normal(n, width), library.integers(n, picked)
        return library.backward(lambda table: library.F.embedding(rows, table), table)

    return Case("ops", "index", f"embedding {picked} of {n}x{width} f+b", {"torch": torch}, bytes=4 * (n + 4 * picked) * width)


def _index_add(n: int, width: int, picked: int) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        x, rows, values = library.normal(n, width), library.integers(n, picked), library.normal(picked, width)
        return library.forward(lambda: library.lib.index_add(x, 0, rows, values))

    def jax(library: Any) -> Callable[[], Any]:
        x, rows, values = library.normal(n, width), library.integers(n, picked), library.normal(picked, width)
        return library.forward(lambda x, values: x.at[rows].add(values), x, values)

    return Case(
        "ops", "index", f"index_add {picked} to {n}x{width} rows", {"torch": torch, "jax": jax}, bytes=4 * (2 * n + 3 * picked) * width
    )


def _mask(n: int) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        x = library.normal(n)
        mask = x > 0
        return library.forward(lambda: x[mask])

    return Case("ops", "index", f"x[x > 0] {n}", {"torch": build, "numpy": build}, bytes=7 * n)


def _where(n: int) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        x, y = library.normal(n), library.normal(n)
        where = library.jnp.where if library.api == "jax" else library.lib.where
        return library.forward(lambda x, y: where(x > 0, x, y), x, y)

    return Case("ops", "index", f"where(x > 0, x, y) {n}", dict.fromkeys(("torch", "numpy", "jax"), build), bytes=12 * n)


def _copy(label: str, shape: tuple[int, ...], view: Callable[[Any], Any], copied: int, **more: Any) -> Case:
    """A contiguous copy of a view."""

    def torch(library: Any) -> Callable[[], Any]:
        x = view(library.normal(*shape))
        contiguous = x.is_contiguous()
        return library.forward(lambda x: x.clone() if contiguous else x.contiguous(), x)

    def numpy(library: Any) -> Callable[[], Any]:
        return library.forward(lambda x: x.copy(), view(library.normal(*shape)))

    return Case("ops", "copy", label, {"torch": torch, "numpy": numpy}, bytes=8 * copied, **more)


def _cat(n: int, parts: int) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        pieces = [library.normal(n // parts) for _ in range(parts)]
        return library.forward(lambda: library.lib.cat(pieces))

    def numpy(library: Any) -> Callable[[], Any]:
        pieces = [library.normal(n // parts) for _ in range(parts)]
        return library.forward(lambda: library.lib.concatenate(pieces))

    return Case("ops", "copy", f"cat of {parts}, {n} together", {"torch": torch, "numpy": numpy}, bytes=8 * n)


def cases() -> Iterator[Case]:
    yield _rows(10_000, 100, 10_000, goals=(Goal("torch", 1.0),))
    yield _rows(10_000, 100, 10_000, gradient=True)
    for n, width, picked in ((1_000_000, 1, 1_000_000), (1009, 997, 1013), (100, 10_000, 100), (100, 3, 17)):
        yield _rows(n, width, picked, quick=picked == 17)
    yield _elements(1000, 1000, 1000)
    yield _elements(1000, 1000, 1000, gradient=True)
    yield _elements(100_000, 10, 1)
    yield _embedding(10_000, 64, 2048)
    yield _index_add(1000, 100, 10_000)
    yield _mask(1_000_000)
    yield _where(1_000_000)

    same = lambda x: x
    turned = lambda x: x.swapaxes(0, 1)
    yield _copy("copy 1000x1000", (1000, 1000), same, 1_000_000, goals=(Goal("torch", 1.0),))
    yield _copy("transpose-copy 1000x1000", (1000, 1000), turned, 1_000_000, goals=(Goal("torch", 1.0),))
    for n, m in ((1024, 1024), (997, 1009), (3, 333_333), (333_333, 3), (2, 3)):
        yield _copy(f"transpose-copy {n}x{m}", (n, m), turned, n * m, quick=n == 2)
    yield _copy("copy 1e7", (10_000_000,), same, 10_000_000)
    yield _copy("copy of every other column 1000x1000", (1000, 1000), lambda x: x[:, ::2], 500_000)
    yield _copy("copy of inner 998x998", (1000, 1000), lambda x: x[1:-1, 1:-1], 998 * 998)
    yield _copy("channels-last copy 64x32x28x28", (64, 32, 28, 28), lambda x: x.swapaxes(1, 2).swapaxes(2, 3), 64 * 32 * 28 * 28)
    yield _cat(1_000_000, 10)
