"""Samplers: the order in which a loader visits its dataset."""

from __future__ import annotations

import itertools
from typing import Any, Generic, Iterable, Iterator, Sequence, Sized, TypeVar

import numpy as np

from ..creation import from_numpy
from ..generator import Generator
from ..random import multinomial, randint, randperm
from . import host_random

T_co = TypeVar("T_co", covariant=True)

_BLOCK = 4096  # how many indices a sampler with replacement draws at a time


def _seeded(generator: Generator | None) -> Generator:
    """``generator``, or a new one whose seed comes from the default generator, so that iterators do not disturb each other."""
    if generator is not None:
        return generator
    own = Generator()
    own.manual_seed(host_random.bits())
    return own


class Sampler(Generic[T_co]):
    """An iterable of indices (or of lists of indices); subclasses define ``__iter__`` and, where it is known, ``__len__``."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random permutation of the indices, or ``num_samples`` of them drawn with replacement.

    Without replacement and with more samples than indices, one permutation follows another.
    Raises TypeError for a ``replacement`` that is no bool, ValueError for ``num_samples`` that is no positive integer, which
    it is not for an empty ``data_source``.
    """

    def __init__(self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None):
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement should be a boolean value, but got replacement={replacement}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        if n == 0:
            raise ValueError("RandomSampler: there is nothing to draw from in an empty data source")
        generator = _seeded(self.generator)
        left = self.num_samples
        while left > 0:
            if self.replacement:
                chosen = randint(0, n, (min(left, _BLOCK),), generator=generator).tolist()
            else:
                chosen = randperm(n, generator=generator).tolist()[:left]
            yield from chosen
            left -= len(chosen)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` indices, index i with a probability proportional to ``weights[i]``; the weights need not sum to 1.

    Raises ValueError for ``num_samples`` that is no positive integer, a ``replacement`` that is no bool, and weights that are not 1-D.
    """

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Generator | None = None):
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"WeightedRandomSampler: num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: replacement should be a boolean value, but got replacement={replacement}")
        array = np.array(weights, dtype=np.float64)
        if array.ndim != 1:
            raise ValueError(f"WeightedRandomSampler: weights should be a 1d sequence but given weights have shape {array.shape}")
        self.weights = from_numpy(array)
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        yield from multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of ``batch_size`` successive indices of ``sampler``; the last one may be shorter unless ``drop_last``.

    Raises ValueError for a ``batch_size`` that is no positive integer and a ``drop_last`` that is no bool.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def infinite() -> Iterator[Any]:
    """What stands for the sampler of a stream, which has no indices."""
    while True:
        yield None
