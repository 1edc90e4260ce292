"""Seeding, saving and restoring the default generators, and the random functions."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Sequence

from .devices import as_device
from .generator import Generator, default_generator, default_generator_of, generators_of_gpus, seed_gpus
from .ops.random import (
    bernoulli,
    dropout,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from .tensor import Tensor

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "dropout",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices (see ``Generator.manual_seed``); returns the CPU's."""
    seed = int(seed)
    default_generator.manual_seed(seed)
    seed_gpus(seed)
    return default_generator


def seed() -> int:
    """Seed the default generators of all devices from the operating system; returns the seed."""
    drawn = default_generator.seed()
    seed_gpus(drawn)
    return drawn


def initial_seed() -> int:
    """The seed that the default generator was last given."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the default generator to what ``get_rng_state`` returned."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Sequence[Any] | None = None, enabled: bool = True) -> Iterator[None]:
    """Draw inside without moving the default generators: their states are put back afterwards.

    That of the CPU, and those of ``devices``: GPUs, by default all whose generators have been used.
    """
    if not enabled:
        yield
        return
    gpus = generators_of_gpus().values() if devices is None else [default_generator_of(as_device(_gpu(d), "fork_rng")) for d in devices]
    states = [(generator, generator.get_state()) for generator in (default_generator, *gpus)]
    try:
        yield
    finally:
        for generator, saved in states:
            generator.set_state(saved)


def _gpu(place: Any) -> Any:
    """A device, of which a number is a GPU's."""
    return f"cuda:{place}" if isinstance(place, int) else place
