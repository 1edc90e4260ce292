"""Random numbers: bound by arithmetic.  No two libraries draw the same ones, so what is compared is how they are distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._declare import Case, Checked, count

MILLION = 1_000_000
TOLERANCE = 1e-2  # many standard deviations of the moments of a million numbers
CHECKED = 2  # draws that are compared, and no further one after the bursts


def _jax_draw(library: Any, draw: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
    """Iterations draw(key, *inputs), each with a new key, as a program would carry it along."""
    random = library.lib.random

    def step(key: Any, *inputs: Any) -> Any:
        key, now = random.split(key)
        return draw(now, *inputs), key

    compiled, key = library.jit(step), random.key(0)

    def iteration() -> Any:
        nonlocal key
        y, key = compiled(key, *inputs)
        return y

    return iteration


def _distribution(library: Any, run: Callable[[], Any]) -> Checked:
    """Compared are the type, and the moments of the numbers and of the differences of neighbours, which repeated numbers would not have."""

    def check() -> list[np.ndarray]:
        x = np.array(library.get(run()))
        numbers = x.astype(np.float64)
        return [x[:0], np.array([y.mean() for y in (numbers, abs(numbers), numbers**2, np.diff(numbers) ** 2)])]

    return Checked(run, check)


def _draw(name: str, n: int, **more: Any) -> Case:
    """n numbers between 0 and 1 ("rand") or of the normal distribution ("randn")."""

    def torch(library: Any) -> Checked:
        return _distribution(library, lambda: getattr(library.lib, name)(n, device=library.device))

    def numpy(library: Any) -> Checked:
        generator = np.random.default_rng(0)
        function = generator.random if name == "rand" else generator.standard_normal
        return _distribution(library, lambda: function(n, dtype=np.float32))

    def jax(library: Any) -> Checked:
        function = library.lib.random.uniform if name == "rand" else library.lib.random.normal
        return _distribution(library, _jax_draw(library, lambda key: function(key, (n,))))

    builders = {"torch": torch, "numpy": numpy, "jax": jax}
    return Case("ops", "random", f"{name} {count(n)}", builders, bytes=4 * n, checked=CHECKED, **more)


def _dropout(n: int, p: float, gradient: bool, **more: Any) -> Case:
    def compared(library: Any, x: Any, run: Callable[[], Any]) -> Checked:
        """The part that is dropped, that the rest is x / (1 - p), and that gradients vanish where results do."""

        def check() -> list[np.ndarray]:
            found = run()
            y, *gradients = [np.array(library.get(part)) for part in (found if gradient else [found])]
            kept = y != 0
            apart = np.abs(y - np.array(library.get(x)) / np.float32(1 - p))[kept].max()
            others = [np.mean((g != 0) != kept) for g in gradients]
            return [y[:0], np.array([kept.mean(), apart > 1e-5, *others])]

        return Checked(run, check)

    def torch(library: Any) -> Checked:
        x = library.normal(n)
        drop = lambda x: library.F.dropout(x, p, training=True)
        return compared(library, x, library.backward(drop, x) if gradient else library.forward(drop, x))

    def jax(library: Any) -> Checked:
        jnp, x, seed = library.jnp, library.normal(n), library.normal(n)

        def drop(key: Any, x: Any, seed: Any) -> Any:
            kept = library.lib.random.bernoulli(key, 1 - p, x.shape)
            function = lambda x: jnp.where(kept, x / (1 - p), 0.0)
            if not gradient:
                return function(x)
            y, pull = library.lib.vjp(function, x)
            return [y, *pull(seed)]

        return compared(library, x, _jax_draw(library, drop, x, seed))

    label = f"dropout {p:g} of {count(n)}{' f+b' * gradient}"
    builders = {"torch": torch, "jax": jax}
    return Case("ops", "random", label, builders, bytes=(20 if gradient else 8) * n, tolerance=TOLERANCE, checked=CHECKED, **more)


def _multinomial(rows: int, classes: int, samples: int) -> Case:
    def build(library: Any) -> Checked:
        weights = library.uniform(0.5, 2.0, rows, classes)
        run = library.forward(lambda: library.lib.multinomial(weights, samples, replacement=True))

        def check() -> list[np.ndarray]:
            drawn, p = np.array(library.get(run())), np.array(library.get(weights), np.float64)
            p /= p.sum(1, keepdims=True)
            found = np.array([np.bincount(row, minlength=classes) for row in drawn]) / samples
            return [drawn[:0], found.mean(0), np.abs(found - p).max() < 0.1]

        return Checked(run, check)

    label = f"multinomial {samples} of each of {rows}x{classes}"
    return Case("ops", "random", label, {"torch": build}, checked=CHECKED, tolerance=0.05)


def cases() -> Iterator[Case]:
    for name in ("rand", "randn"):
        yield _draw(name, MILLION, tolerance=TOLERANCE)
        yield _draw(name, 1000, tolerance=0.3, quick=name == "randn")
    yield _dropout(MILLION, 0.3, False)
    yield _dropout(MILLION, 0.3, True)
    yield _multinomial(256, 10, 1000)
