"""One step of an optimizer over all parameters: bound by memory, or by what each tensor costs where they are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._declare import Case, Checked, Goal

CHECKED = 4  # steps that are compared, each with other gradients: the first step of Adam takes nothing but their signs

ALGORITHMS: dict[str, tuple[str, dict[str, float], int]] = {  # the class, its options, how many numbers it reads and writes per parameter
    "Adam": ("Adam", {"lr": 1e-3}, 7),
    "AdamW": ("AdamW", {"lr": 1e-3, "weight_decay": 0.1}, 7),
    "SGD momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}, 5),
    "RMSprop": ("RMSprop", {"lr": 1e-3}, 5),
}


def progress(library: Any, run: Callable[[], Any], parameters: Callable[[], list[Any]], step: Callable[[], Any]) -> Checked:
    """Iterations ``run``; compared are the result of ``step`` and how far each parameter is from where it was before the first one, beside
    which the parameters themselves are so large that they would hide much."""
    before: list[np.ndarray] = []

    def now() -> list[np.ndarray]:
        return [np.array(library.get(p)) for p in parameters()]

    def check() -> list[Any]:
        before[:] = before or now()
        result = step()
        return [result, [p - start for p, start in zip(now(), before)]]

    return Checked(run, check)


def _step(algorithm: str, shapes: list[tuple[int, ...]], label: str, **more: Any) -> Case:
    name, options, moved = ALGORITHMS[algorithm]

    def torch(library: Any) -> Callable[[], Any]:
        parameters = [library.normal(*shape).requires_grad_() for shape in shapes]
        optimizer = getattr(library.lib.optim, name)(parameters, **options)

        def step() -> list[Any]:
            for p, shape in zip(parameters, shapes):
                p.grad = library.normal(*shape)
            optimizer.step()
            return []

        return progress(library, optimizer.step, lambda: parameters, step)

    def jax(library: Any) -> Callable[[], Any]:
        parameters = [library.normal(*shape) for shape in shapes]
        gradients: list[Any] = []
        zeros = [library.put(np.zeros(shape, np.float32)) for shape in shapes]
        state = [parameters, zeros, zeros, library.put(np.zeros((), np.float32))]
        update = library.jit(lambda state, gradients: adam(library.jnp, state, gradients))

        def iteration() -> None:
            state[:] = update(state, gradients)

        def step() -> list[Any]:
            gradients[:] = [library.normal(*shape) for shape in shapes]
            iteration()
            return []

        return progress(library, iteration, lambda: state[0], step)

    n = sum(int(np.prod(shape)) for shape in shapes)
    builders = {"torch": torch} | ({"jax": jax} if algorithm == "Adam" else {})
    return Case("ops", "update", f"{algorithm} {label}", builders, bytes=4 * moved * n, checked=CHECKED, tolerance=1e-3, **more)


def adam(jnp: Any, state: Any, gradients: Any, lr: float = 1e-3) -> Any:
    """A step of Adam (Kingma and Ba, 2015) for JAX: the new state, which is (parameters, first moments, second moments, step)."""
    parameters, first, second, step = state
    step = step + 1
    first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients)]
    second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients)]
    rate, root = lr / (1 - 0.9**step), jnp.sqrt(1 - 0.999**step)
    parameters = [p - rate * m / (jnp.sqrt(v) / root + 1e-8) for p, m, v in zip(parameters, first, second)]
    return parameters, first, second, step


def cases() -> Iterator[Case]:
    half_million = [(256, 240), (240,)] * 8  # 16 tensors
    for algorithm in ALGORITHMS:
        goals = (Goal("torch", 3.0),) if algorithm == "Adam" else ()
        yield _step(algorithm, half_million, "0.5 M in 16 tensors", goals=goals)
    yield _step("Adam", [(10,)], "10 in 1 tensor", quick=True)
    yield _step("Adam", [(17, 3)] * 200, "51 in each of 200 tensors")
    yield _step("Adam", [(4_000_000,)], "4 M in 1 tensor")
    yield _step("SGD momentum", [(17, 3)] * 200, "51 in each of 200 tensors")
