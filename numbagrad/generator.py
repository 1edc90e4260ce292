"""Generator: a seed and a counter, from which every random number follows."""

from __future__ import annotations

import os
import secrets
import threading
from typing import Any

import numpy as np

from .devices import as_device, device
from .tensor import Tensor, wrap

_DEFAULT_SEED = 67280421310721
_WORDS = np.dtype("<u8")
# One for all generators: it is held for two assignments, and one can be replaced in the child of a fork.  Reentrant: a signal handler may draw.
_lock = threading.RLock()


def _forget_lock() -> None:
    """In the child of a fork a thread that held the lock does not exist."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


class Generator:
    """The state of the random functions: a 64-bit seed and how many steps of the counter have been used up.

    Numbers depend on the seed, the counter and their place in the result alone: the same on any number of threads and on any device.
    """

    __slots__ = ("_device", "_offset", "_seed")

    def __init__(self, device: Any = "cpu"):
        self._device = as_device(device, "Generator")
        self._seed = _DEFAULT_SEED
        self._offset = 0

    @property
    def device(self) -> device:
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start again from ``seed``, -2^63 <= seed < 2^64 (negative ones count from 2^64 down).  Raises RuntimeError beyond that."""
        if not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        seed = seed.__index__()
        if not -(1 << 63) <= seed < 1 << 64:
            raise RuntimeError(f"manual_seed: expected a seed in [-2^63, 2^64), but got {seed}: Overflow when unpacking long")
        with _lock:
            self._seed, self._offset = seed % (1 << 64), 0
        return self

    def seed(self) -> int:
        """Start again from a seed that the operating system picks; returns it."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    def initial_seed(self) -> int:
        """The seed last set."""
        return self._seed

    def get_state(self) -> Tensor:
        """The seed and the counter, as 16 bytes (uint8)."""
        with _lock:
            state = np.array([self._seed, self._offset], _WORDS)
        return wrap(state.view(np.uint8))

    def set_state(self, new_state: Tensor) -> None:
        """Continue from what ``get_state`` returned.  Raises TypeError if it is no uint8 tensor, RuntimeError if it has another size."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"set_state: expected a Tensor, but got {type(new_state).__name__}")
        data = new_state._data
        if data.dtype != np.uint8 or not isinstance(data, np.ndarray):
            raise TypeError(f"set_state: RNG state must be a uint8 tensor on the CPU, but got {new_state.dtype} on {new_state.device}")
        if data.shape != (16,):
            raise RuntimeError(f"set_state: RNG state is wrong size: expected shape [16], but got {list(data.shape)}")
        seed, offset = np.frombuffer(data.tobytes(), _WORDS)
        with _lock:
            self._seed, self._offset = int(seed), int(offset)

    def clone_state(self) -> Generator:
        """Another generator that goes on from here."""
        made = Generator(self._device)
        made.set_state(self.get_state())
        return made

    def take(self, steps: int) -> tuple[int, int]:
        """The seed and counter of a draw that uses up ``steps`` of the counter; threads that share a generator get draws of their own."""
        with _lock:
            offset = self._offset
            self._offset = (offset + steps) % (1 << 64)
            return self._seed, offset

    def __reduce__(self) -> Any:
        return _rebuild, (str(self._device), self.get_state())

    def __repr__(self) -> str:
        return f"<numbagrad.Generator device={self._device} seed={self._seed}>"


def _rebuild(place: str, state: Tensor) -> Generator:
    made = Generator(place)
    made.set_state(state)
    return made


default_generator = Generator()

# The default generators of the GPUs, by index, and the seed of one that has not been asked for yet.
_of_gpus: dict[int, Generator] = {}
_gpu_seed = _DEFAULT_SEED


def default_generator_of(place: device) -> Generator:
    """The default generator of a device that ``as_device`` has checked.  A GPU has one of its own, made when it is first asked for."""
    if place.type == "cpu":
        return default_generator
    index = place.index or 0
    with _lock:
        found = _of_gpus.get(index)
        if found is None:
            made = Generator(place)
            found = _of_gpus[index] = made.manual_seed(_gpu_seed)
    return found


def seed_gpus(seed: int) -> None:
    """Let the default generators of all GPUs, those too that have not been asked for yet, start again from ``seed``."""
    global _gpu_seed
    seed = Generator().manual_seed(seed).initial_seed()
    with _lock:
        _gpu_seed = seed
        for generator in _of_gpus.values():
            generator.manual_seed(seed)


def generators_of_gpus() -> dict[int, Generator]:
    """The default generators of GPUs that have been asked for, by index."""
    with _lock:
        return dict(_of_gpus)
