"""Products of matrices: bound by arithmetic where all sides are long, by memory where one is short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal

FORMS = {"AB": (False, False), "A^T B": (True, False), "A B^T": (False, True)}


def product(
    suite: str,
    m: int,
    k: int,
    n: int,
    form: str = "AB",
    batch: tuple[int, ...] = (),
    gradient: bool = False,
    label: str = "",
    double: bool = False,
    **more: Any,
) -> Case:
    """(batch, m, k) times (batch, k, n); a transposed factor is a view of an array that lies the other way round.  ``double``: of float64."""
    turned = FORMS[form]

    def build(library: Any) -> Callable[[], Any]:
        normal = library.normal64 if double else library.normal
        a = normal(*batch, *((k, m) if turned[0] else (m, k)))
        b = normal(*batch, *((n, k) if turned[1] else (k, n)))

        def multiply(a: Any, b: Any) -> Any:
            return (a.swapaxes(-1, -2) if turned[0] else a) @ (b.swapaxes(-1, -2) if turned[1] else b)

        if not gradient:
            a, b = (a.swapaxes(-1, -2) if turned[0] else a), (b.swapaxes(-1, -2) if turned[1] else b)
            return library.forward(lambda a, b: a @ b, a, b)
        return library.backward(multiply, a, b, wrt=(0, 1))

    apis = ("torch", *["numpy"] * (not gradient), *["jax"] * (not double))  # JAX has float64 only where all of it has
    shape = f"{m}" if m == k == n else f"{m}x{k}x{n}"
    label = label or f"{form} {'x'.join(map(str, batch))}{':' if batch else ''}{shape}{' f+b' * gradient}{' float64' * double}"
    products = math.prod(batch) * (3 if gradient else 1)
    flops, bytes_ = 2 * m * k * n * products, (8 if double else 4) * (m * k + k * n + m * n) * products
    return Case(suite, "matmul", label, dict.fromkeys(apis, build), flops=flops, bytes=bytes_, **more)


def cases() -> Iterator[Case]:
    for n in (64, 256, 1024):
        for form in FORMS:
            yield product("ops", n, n, n, form, goals=(Goal("torch", 1.0),), quick=n == 64)
    yield product("ops", 128, 64, 128, batch=(16,), label="batched 16x128x64", goals=(Goal("torch", 1.0),))

    for n in (1, 2, 8, 17, 31, 127, 251, 509, 512, 513, 1000, 2048):
        yield product("ops", n, n, n)
    # One side is 1: rows, columns, dots and outer products; and thin ones.
    for m, k, n in (
        (1, 1024, 1024),
        (1024, 1024, 1),
        (1024, 1, 1024),
        (1, 1024, 1),
        (1, 1_000_000, 1),
        (4, 1024, 1024),
        (1024, 1024, 4),
        (1024, 3, 1024),
    ):
        yield product("ops", m, k, n)
    # Linear layers, forward (A B^T) and all of it.
    for m, k, n in ((64, 784, 128), (64, 128, 10), (1024, 784, 128), (64, 3136, 128)):
        yield product("ops", m, k, n, "A B^T")
        yield product("ops", m, k, n, "A B^T", gradient=True)
    for form in FORMS:
        yield product("ops", 256, 256, 256, form, gradient=True)
    for batch, m, k, n in ((1, 128, 64, 128), (1000, 8, 8, 8), (64, 1, 64, 64), (7, 61, 59, 53)):
        yield product("ops", m, k, n, batch=(batch,))
    yield product("ops", 128, 64, 128, batch=(16,), gradient=True)
    yield product("ops", 512, 512, 512, double=True)  # of peak: of that of float32, which is twice as high
