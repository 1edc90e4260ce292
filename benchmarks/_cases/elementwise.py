"""Elementwise operations: bound by memory where they are cheap, by arithmetic where they are transcendental."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal, count

MILLION = 1_000_000
LADDER = (1, 17, 1000, 4099, 65536, 100_003, 10_000_000)  # beside the million of the other rows; powers of two, primes
TRANSCENDENTAL_GOALS = {"exp": 2.0, "tanh": 2.0, "log": 2.0, "sigmoid": 1.3, "gelu": 2.0}


def _function(library: Any, name: str) -> Callable[..., Any]:
    """The library's function of PyTorch's name."""
    if library.api == "jax":
        special = {
            "sigmoid": lambda x: library.lib.nn.sigmoid(x),
            "gelu": lambda x: library.lib.nn.gelu(x, approximate=False),
            "relu": lambda x: library.lib.nn.relu(x),
        }
        return special.get(name) or getattr(library.jnp, name)
    if library.api == "tinygrad":
        return lambda x, *more: getattr(x, name)(*more)
    if library.api == "torch" and name == "gelu":
        return library.F.gelu
    return getattr(library.lib, name)


def _inputs(library: Any, name: str, *shape: int) -> Any:
    low, high = (0.1, 8.0) if name in ("log", "sqrt") else (-4.0, 4.0)
    return library.uniform(low, high, *shape)


def _unary(name: str, n: int, gradient: bool = False, **more: Any) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        x = _inputs(library, name, n)
        function = _function(library, name)
        return library.backward(function, x) if gradient else library.forward(function, x)

    apis = ["torch", "jax"]
    if not gradient:
        apis += ["tinygrad"] + ["numpy"] * (name not in ("sigmoid", "gelu", "relu"))
    # Forward reads x and writes y; backward reads x or y and the gradient, and writes one.
    return Case(
        "ops",
        "elementwise",
        f"{name} {count(n)}{' f+b' * gradient}",
        dict.fromkeys(apis, build),
        bytes=4 * n * (5 if gradient else 2),
        **more,
    )


def _binary(name: str, label: str, shapes: tuple[tuple[int, ...], ...], gradient: bool = False, prepare: Any = None, **more: Any) -> Case:
    def build(library: Any) -> Callable[[], Any]:
        inputs = [library.uniform(0.5, 2.0, *shape) for shape in shapes]
        if prepare is not None:
            inputs = [prepare(x) for x in inputs]
        function = _function(library, name)
        return library.backward(function, *inputs, wrt=(0, 1)) if gradient else library.forward(function, *inputs)

    apis = ("torch", "jax") if gradient else ("torch", "numpy", "jax")
    return Case("ops", "elementwise", f"{name} {label}{' f+b' * gradient}", dict.fromkeys(apis, build), **more)


def formula(n: int, gradient: bool, **more: Any) -> Case:
    """tanh(2x + 1) sigmoid(y): a user's formula, one kernel of ours; PyTorch's users write the same expression."""

    def expression(library: Any) -> Callable[..., Any]:
        tanh, sigmoid = _function(library, "tanh"), _function(library, "sigmoid")
        return lambda x, y: tanh(x * 2 + 1) * sigmoid(y)

    def build(library: Any, function: Any = None) -> Callable[[], Any]:
        x, y = library.uniform(-4.0, 4.0, n), library.uniform(-4.0, 4.0, n)
        function = function or expression(library)
        return library.backward(function, x, y, wrt=(0, 1)) if gradient else library.forward(function, x, y)

    def formula(library: Any) -> Callable[[], Any]:
        ng = library.lib

        @ng.elementwise
        def gated(x, y):
            """tanh(2x + 1) sigmoid(y)"""
            return ng.tanh(x * 2 + 1) * ng.sigmoid(y)

        return build(library, gated)

    builders = {"numbagrad": formula, "torch": build, "jax": build}
    label = f"formula tanh(x*2+1)*sigmoid(y) {count(n)}{' f+b' * gradient}"
    return Case("ops", "elementwise", label, builders, bytes=4 * n * (9 if gradient else 3), **more)


def cases() -> Iterator[Case]:
    for name in ("exp", "tanh", "log", "sigmoid", "gelu"):
        yield _unary(name, MILLION, goals=(Goal("torch", TRANSCENDENTAL_GOALS[name]),), tolerance=2e-6)
    for name in ("sqrt", "sin", "relu", "abs"):
        yield _unary(name, MILLION, tolerance=2e-6)
    for name in ("exp", "tanh", "sigmoid", "gelu", "relu"):
        yield _unary(name, MILLION, gradient=True, tolerance=1e-5)
    for n in LADDER:
        yield _unary("tanh", n, tolerance=2e-6, quick=n == 1000)

    n = MILLION
    yield _binary("add", count(n), ((n,), (n,)), bytes=12 * n, goals=(Goal("torch", 1.0),))
    for name in ("mul", "div", "maximum"):
        if name == "maximum":
            yield _binary(name, count(n), ((n,), (n,)), bytes=12 * n)
        else:
            yield _arithmetic(name, n)
    yield _binary("add", count(n), ((n,), (n,)), gradient=True, bytes=12 * n)
    yield _arithmetic("mul", n, gradient=True)
    yield _arithmetic("div", n, gradient=True)
    yield _binary("add", "1000x1000 + 1000", ((1000, 1000), (1000,)), bytes=8 * n)
    yield _binary("add", "1000x1000 + 1000x1", ((1000, 1000), (1000, 1)), bytes=8 * n)
    yield _binary("add", "1000x1 + 1x1000", ((1000, 1), (1, 1000)), bytes=4 * n)
    yield _binary("add", "997x1009 + 1009", ((997, 1009), (1009,)), bytes=8 * 997 * 1009)
    yield _binary("add", "1000x1000 + 1000", ((1000, 1000), (1000,)), gradient=True, bytes=12 * n)
    yield _binary("add", "of transposed 1000x1000", ((1000, 1000), (1000, 1000)), prepare=lambda x: x.T, bytes=12 * n)
    yield _binary("add", "of every other column 1000x1000", ((1000, 1000),) * 2, prepare=lambda x: x[:, ::2], bytes=6 * n)

    yield formula(MILLION, False, goals=(Goal("torch", 4.0),))
    yield formula(MILLION, True, goals=(Goal("torch", 3.0),))
    yield formula(1000, False, quick=True)
    yield formula(1000, True)


def _arithmetic(name: str, n: int, gradient: bool = False) -> Case:
    """x * y and x / y, by operator: the libraries' function names differ."""
    operator = {"mul": lambda x, y: x * y, "div": lambda x, y: x / y}[name]

    def build(library: Any) -> Callable[[], Any]:
        x, y = library.uniform(0.5, 2.0, n), library.uniform(0.5, 2.0, n)
        return library.backward(operator, x, y, wrt=(0, 1)) if gradient else library.forward(operator, x, y)

    apis = ("torch", "jax") if gradient else ("torch", "numpy", "jax", "tinygrad")
    label = f"{name} {count(n)}{' f+b' * gradient}"
    return Case("ops", "elementwise", label, dict.fromkeys(apis, build), bytes=4 * n * (8 if gradient else 3))
