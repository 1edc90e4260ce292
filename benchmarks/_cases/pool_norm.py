"""Pooling and normalisation: bound by memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Checked, Goal

MAPS = (64, 32, 28, 28)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if len(shape) < 4 or shape[2] != shape[3] else f"{shape[0]}x{shape[1]}x{shape[2]}²"


def pool(kind: str, shape: tuple[int, ...], kernel: int, stride: int, gradient: bool = True, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        function = getattr(library.F, f"{kind}_pool2d")
        x = library.normal(*shape)
        apply = lambda x: function(x, kernel, stride)
        return library.backward(apply, x) if gradient else library.forward(apply, x)

    def jax(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        window, strides = (1, 1, kernel, kernel), (1, 1, stride, stride)
        start, combine = (-math.inf, library.lax.max) if kind == "max" else (0.0, library.lax.add)

        def apply(x: Any) -> Any:
            y = library.lax.reduce_window(x, start, combine, window, strides, "VALID")
            return y if kind == "max" else y / kernel**2

        return library.backward(apply, x) if gradient else library.forward(apply, x)

    n = math.prod(shape)
    label = f"{kind}-pool {_text(shape)} k{kernel} s{stride}{' f+b' * gradient}"
    smaller = n // stride**2
    return Case("ops", "pool", label, {"torch": torch, "jax": jax}, bytes=4 * (n + smaller) * (2 if gradient else 1), **more)


def batch_norm(shape: tuple[int, ...], mode: str, **more: Any) -> Case:
    """``mode``: "f" and "f+b" in training, on the batch's own statistics, which the running ones follow; "eval" on given ones."""
    training = mode != "eval"

    def torch(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        weight, bias = library.normal(shape[1]), library.normal(shape[1])
        mean, var = library.normal(shape[1]), library.uniform(0.5, 2.0, shape[1])

        def norm(x: Any, weight: Any, bias: Any) -> Any:
            return library.F.batch_norm(x, mean, var, weight, bias, training)

        gradient = mode == "f+b"
        run = library.backward(norm, x, weight, bias, wrt=(0, 1, 2)) if gradient else library.forward(norm, x, weight, bias)
        return Checked(run, lambda: [run(), mean, var])

    def jax(library: Any) -> Callable[[], Any]:
        x = library.normal(*shape)
        weight, bias = library.normal(shape[1]), library.normal(shape[1])
        running = library.normal(shape[1]), library.uniform(0.5, 2.0, shape[1])
        over = tuple(i for i in range(len(shape)) if i != 1)
        wide = (1, -1) + (1,) * (len(shape) - 2)
        samples = math.prod(shape) // shape[1]

        def norm(x: Any, weight: Any, bias: Any) -> Any:
            mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
            y = (x - mean) / library.jnp.sqrt(var + 1e-5) * weight.reshape(wide) + bias.reshape(wide)
            return y, (mean.reshape(-1), var.reshape(-1) * samples / (samples - 1))

        def both(seed: Any, running: Any, *inputs: Any) -> Any:
            y, pull, now = library.lib.vjp(norm, *inputs, has_aux=True)
            results = [y, *pull(seed)] if mode == "f+b" else [y]
            return results, [0.9 * old + 0.1 * new for old, new in zip(running, now)]

        compiled = library.jit(both)

        def iteration() -> list[Any]:
            nonlocal running
            results, running = compiled(seed, running, x, weight, bias)
            return results

        seed = x
        if mode == "f+b":  # the other libraries run it once before they draw
            iteration()
            seed = library.normal(*shape)
        return Checked(iteration, lambda: [iteration(), *running])

    builders = {"torch": torch} | ({"jax": jax} if training else {})
    n = math.prod(shape)
    # Forward reads x twice, for the statistics and for y; backward x and the gradient twice, for their sums and for the result.
    passes = {"eval": 2, "f": 3, "f+b": 8}[mode]
    return Case("ops", "norm", f"batch norm {_text(shape)} {mode}", builders, bytes=4 * n * passes, tolerance=5e-4, **more)


def layer_norm(shape: tuple[int, int], gradient: bool, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        inputs = library.normal(*shape), library.normal(shape[1]), library.normal(shape[1])

        def norm(x: Any, weight: Any, bias: Any) -> Any:
            return library.F.layer_norm(x, (shape[1],), weight, bias)

        return library.backward(norm, *inputs, wrt=(0, 1, 2)) if gradient else library.forward(norm, *inputs)

    def jax(library: Any) -> Callable[[], Any]:
        inputs = library.normal(*shape), library.normal(shape[1]), library.normal(shape[1])

        def norm(x: Any, weight: Any, bias: Any) -> Any:
            centred = x - x.mean(-1, keepdims=True)
            return centred / library.jnp.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * weight + bias

        return library.backward(norm, *inputs, wrt=(0, 1, 2)) if gradient else library.forward(norm, *inputs)

    # A row stays in the cache between its statistics and its result.
    n = math.prod(shape)
    label = f"layer norm {_text(shape)}{' f+b' if gradient else ' f'}"
    return Case("ops", "norm", label, {"torch": torch, "jax": jax}, bytes=4 * n * (5 if gradient else 2), tolerance=5e-4, **more)


def map_norm(kind: str, shape: tuple[int, ...], *groups: int, **more: Any) -> Case:
    """Group norm (of ``groups`` groups) or instance norm of maps, with all gradients."""

    def torch(library: Any) -> Callable[[], Any]:
        inputs = library.normal(*shape), library.normal(shape[1]), library.normal(shape[1])
        if kind == "group":
            run = lambda x, weight, bias: library.F.group_norm(x, *groups, weight, bias)
        else:
            run = lambda x, weight, bias: library.F.instance_norm(x, weight=weight, bias=bias)
        return library.backward(run, *inputs, wrt=(0, 1, 2))

    label = " ".join([f"{kind} norm {_text(shape)}", *[f"g{g}" for g in groups], "f+b"])
    return Case("ops", "norm", label, {"torch": torch}, bytes=4 * math.prod(shape) * 5, tolerance=5e-4, **more)


def cases() -> Iterator[Case]:
    yield pool("max", MAPS, 2, 2, goals=(Goal("torch", 3.0),))
    yield pool("max", MAPS, 2, 2, gradient=False)
    yield pool("max", (64, 32, 29, 29), 3, 2)
    yield pool("max", (1, 64, 56, 56), 2, 2)
    yield pool("max", (2, 3, 8, 8), 2, 2, quick=True)
    yield pool("avg", MAPS, 2, 2)
    yield pool("avg", MAPS, 2, 2, gradient=False)
    yield pool("avg", (13, 17, 31, 31), 3, 1)

    yield batch_norm(MAPS, "f+b", goals=(Goal("torch", 3.0),))
    yield batch_norm(MAPS, "f")
    yield batch_norm(MAPS, "eval")
    yield batch_norm((64, 128), "f+b")
    yield batch_norm((4, 3, 5, 7), "f+b", quick=True)
    yield batch_norm((13, 17, 31, 31), "f+b")
    yield layer_norm((512, 768), True, goals=(Goal("torch", 1.5),))
    yield layer_norm((512, 768), False)
    yield layer_norm((1, 1_000_000), True)
    yield layer_norm((127, 1009), True)
    yield layer_norm((100_000, 8), True)
    yield map_norm("group", (16, 64, 28, 28), 8, goals=(Goal("torch", 1.5),))
    yield map_norm("instance", (16, 64, 28, 28), goals=(Goal("torch", 1.5),))
    yield map_norm("group", (2, 4, 5, 5), 2, quick=True)
