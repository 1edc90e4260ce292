"""Training steps: forward, loss, backward and the optimizer, on slices of arrays that lie ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._declare import Case, Checked, Goal
from .update import adam, progress

CHECKED = 5  # steps that are compared
TOLERANCE = (
    2e-2  # a rounding may decide which of two pixels is the larger one, or the sign of a gradient, which is all Adam's first step takes
)
POOL = 3840  # images that batches are taken from, if that makes four


class _Shapes:
    """The parameters of each network in order, (weight, bias) by (weight, bias), and its multiply-adds for one image."""

    mlp = [(128, 784), (128,), (64, 128), (64,), (10, 64), (10,)]
    lenet = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84), (10,)]
    cnn = [(32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 3136), (128,), (10, 128), (10,)]
    # weights times the pixels that each is used for
    products = {
        "mlp": 784 * 128 + 128 * 64 + 640,
        "lenet": 150 * 784 + 2400 * 100 + 48000 + 10080 + 840,
        "cnn": 288 * 784 + 18432 * 196 + 401408 + 1280,
    }
    # of the first layer, whose input needs no gradient
    first = {"mlp": 784 * 128, "lenet": 150 * 784, "cnn": 288 * 784}


def network(nn: Any, name: str) -> Any:
    """The network in a library with PyTorch's names."""
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    if name == "lenet":
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def drawn(library: Any, name: str, batch: int, pool: int = POOL) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Initial parameters and the batches, the same in every library."""
    weights = []
    for i, shape in enumerate(getattr(_Shapes, name)):
        fan_in = np.prod(getattr(_Shapes, name)[i - i % 2][1:])
        bound = float(1 / np.sqrt(fan_in))
        weights.append(library.uniform(-bound, bound, *shape))
    n = max(pool, 4 * batch)
    images, labels = library.normal(n, 1, 28, 28), library.integers(10, n)
    return weights, [(images[i : i + batch], labels[i : i + batch]) for i in range(0, n - batch + 1, batch)]


def torch_step(library: Any, name: str, batch: int, pool: int = POOL) -> Checked:
    """One training step per call; it returns the loss.  What is compared is how far it moves the parameters, too."""
    weights, batches = drawn(library, name, batch, pool)
    lib = library.lib
    net = network(library.nn, name)
    if library.device != "cpu":
        net.to(library.device)
    with lib.no_grad():
        for parameter, weight in zip(net.parameters(), weights):
            parameter.copy_(weight)
    parameters = list(net.parameters())
    optimizer = lib.optim.Adam(parameters, lr=1e-3) if name == "mlp" else lib.optim.SGD(parameters, lr=0.01, momentum=0.9)
    criterion = library.nn.CrossEntropyLoss()
    turn = 0

    def iteration() -> Any:
        nonlocal turn
        x, y = batches[turn % len(batches)]
        turn += 1
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return progress(library, iteration, lambda: parameters, iteration)


def jax_step(library: Any, name: str, batch: int, pool: int = POOL) -> Checked:
    """The same as one function that is compiled whole."""
    jax, jnp, lax = library.lib, library.jnp, library.lax
    weights, batches = drawn(library, name, batch, pool)
    convolutions, pad_first = {"mlp": 0, "lenet": 2, "cnn": 2}[name], {"mlp": 0, "lenet": 2, "cnn": 1}[name]
    paddings = [pad_first, 1 if name == "cnn" else 0]

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        pairs = list(zip(parameters[::2], parameters[1::2]))
        for (weight, bias), padding in zip(pairs[:convolutions], paddings):
            x = lax.conv_general_dilated(x, weight, (1, 1), [(padding, padding)] * 2) + bias[:, None, None]
            x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = x.reshape(len(x), -1)
        for i, (weight, bias) in enumerate(pairs[convolutions:]):
            x = (jax.nn.relu(x) if i else x) @ weight.T + bias
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

    def step(state: Any, x: Any, y: Any) -> Any:
        parameters, first, second, count = state
        value, gradients = jax.value_and_grad(loss)(parameters, x, y)
        if name == "mlp":
            return value, adam(jnp, state, gradients)
        first = [0.9 * m + g for m, g in zip(first, gradients)]
        return value, ([p - 0.01 * m for p, m in zip(parameters, first)], first, second, count)

    update = library.jit(step, donate_argnums=0)
    zeros = [[library.put(np.zeros(w.shape, np.float32)) for w in weights] for _ in range(2)]
    state = (weights, *zeros, library.put(np.zeros((), np.float32)))
    turn = 0

    def iteration() -> Any:
        nonlocal state, turn
        x, y = batches[turn % len(batches)]
        turn += 1
        value, state = update(state, x, y)
        return value

    return progress(library, iteration, lambda: state[0], iteration)


def tinygrad_step(library: Any, name: str, batch: int) -> Checked:
    """The MLP alone."""
    from tinygrad import Context, TinyJit
    from tinygrad.nn.optim import Adam

    weights, batches = drawn(library, name, batch)
    batches = [(x.contiguous().realize(), y.contiguous().realize()) for x, y in batches[: POOL // 64]]  # each takes milliseconds
    optimizer = Adam(weights, lr=1e-3)

    @TinyJit
    def update(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        x = x.reshape(batch, 784)
        for i, (weight, bias) in enumerate(zip(weights[::2], weights[1::2])):
            x = (x.relu() if i else x).linear(weight.T, bias)
        loss = x.sparse_categorical_crossentropy(y)
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    turn = 0

    def iteration() -> Any:
        nonlocal turn
        turn += 1
        with Context(TRAINING=1):
            return update(*batches[(turn - 1) % len(batches)])

    return progress(library, iteration, lambda: weights, iteration)


LABELS = {"mlp": "MLP 784-128-64-10 Adam", "lenet": "LeNet-5 SGD momentum", "cnn": "CNN 32-64 SGD momentum"}
GOALS = {
    "mlp": (Goal("torch", 2.5), Goal("jax", 1.5)),
    "lenet": (Goal("torch", 1.6),),
    "cnn": (Goal("torch", 1.25),),
}


def _case(name: str, batch: int) -> Case:
    builders = {
        "torch": lambda library: torch_step(library, name, batch),
        "jax": lambda library: jax_step(library, name, batch),
    }
    if name == "mlp":
        builders["tinygrad"] = lambda library: tinygrad_step(library, name, batch)
    return Case(
        "train",
        "step",
        f"{LABELS[name]} b{batch}",
        builders,
        flops=2 * batch * (3 * _Shapes.products[name] - _Shapes.first[name]),
        goals=GOALS[name] if batch == 64 else (),
        tolerance=TOLERANCE,
        checked=CHECKED,
        overall=True,
        quick=name == "mlp" and batch == 1,
    )


def cases() -> Iterator[Case]:
    for name in LABELS:
        for batch in (64, 1024):
            yield _case(name, batch)
    yield _case("mlp", 1)
