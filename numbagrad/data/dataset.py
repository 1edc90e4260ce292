"""Datasets: things with samples, by index or in a stream, and the ways to combine them.

A dataset may also know how to make a whole batch at once, which for samples that are rows of an array is one gather instead of one small
tensor per sample.  It says so with a method ``_collated(indices)`` that returns what ``default_collate([self[i] for i in indices])`` would,
or None when it cannot this time.  ``batch_maker`` finds it, and ignores it where a subclass has redefined what a sample is.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from typing import Any, Callable, Generic, Iterable, Iterator, Sequence, TypeVar

from ..generator import Generator
from ..random import randperm
from ..tensor import Tensor, wrap
from .collate import is_plain

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Dataset(Generic[T_co]):
    """A map from indices to samples: subclasses define ``__getitem__`` and usually ``__len__``."""

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """A stream of samples: subclasses define ``__iter__``.

    Every worker process iterates over its own copy; ``get_worker_info()`` tells a copy which part of the stream is its own.
    """

    def __add__(self, other: Dataset[T_co]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is ``(tensors[0][i], tensors[1][i], ...)``.

    Raises AssertionError when the tensors differ in their first size.
    """

    def __init__(self, *tensors: Tensor):
        if any(tensor.size(0) != tensors[0].size(0) for tensor in tensors):
            raise AssertionError(f"TensorDataset: size mismatch between tensors, first sizes {[tensor.size(0) for tensor in tensors]}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].size(0)

    def _collated(self, indices: Sequence[int]) -> list[Tensor] | None:
        if not all(is_plain(tensor) for tensor in self.tensors):
            return None
        return [wrap(tensor._data.take(indices, axis=0)) for tensor in self.tensors]


def _samples(dataset: Any, indices: list[int]) -> list[Any]:
    """The samples at ``indices``, all at once where the dataset has a way."""
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if callable(many) else [dataset[i] for i in indices]


class StackDataset(Dataset[Any]):
    """Datasets side by side: sample i is the tuple (or, for keywords, the dict) of their samples i.

    Raises ValueError when the datasets differ in length, or when both positional and keyword datasets (or none) are given.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected datasets either all by position or all by keyword, and at least one")
        self.datasets: Any = args or kwargs
        lengths = [len(dataset) for dataset in self._members()]  # type: ignore[arg-type]
        if len(set(lengths)) != 1:
            raise ValueError(f"StackDataset: datasets of different lengths, {lengths}")
        self._length = lengths[0]

    def _members(self) -> list[Dataset[Any]]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {key: dataset[index] for key, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = [_samples(dataset, indices) for dataset in self._members()]
        for column in columns:
            if len(column) != len(indices):
                raise ValueError(f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}")
        if isinstance(self.datasets, dict):
            return [dict(zip(self.datasets, row)) for row in zip(*columns)]
        return list(zip(*columns))

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after another.

    Raises AssertionError for no datasets and for a stream, IndexError or (below zero) ValueError for an index out of range.
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset: datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if index < 0:
            if -index > len(self):
                raise ValueError(f"ConcatDataset: index {index} is out of range for a length of {len(self)}")
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        if which == len(self.datasets):
            raise IndexError(f"ConcatDataset: index {index} is out of range for a length of {len(self)}")
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset[Any]):
    """Streams one after another.  Raises AssertionError for a dataset that is no stream."""

    def __init__(self, datasets: Iterable[Dataset[Any]]):
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError(f"ChainDataset only supports IterableDataset, got {type(dataset).__name__}")
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type, misc]


class Subset(Dataset[T_co]):
    """Sample i is ``dataset[indices[i]]``."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return _samples(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)

    def _collated(self, indices: Sequence[int]) -> Any:
        make = batch_maker(self.dataset)
        return make([self.indices[i] for i in indices]) if make else None


def whole_batch(thing: Any, whole: str, *single: str) -> Callable[..., Any] | None:
    """The method ``whole`` of ``thing``, unless a more derived class has redefined one of ``single``, which it stands for."""
    for cls in type(thing).__mro__:
        members = vars(cls)
        if whole in members:
            return getattr(thing, whole)
        if any(name in members for name in single):
            return None
    return None


def batch_maker(dataset: Any) -> Callable[[Sequence[int]], Any] | None:
    """The dataset's ``_collated``, if it has one that still speaks for its samples."""
    return whole_batch(dataset, "_collated", "__getitem__", "__getitems__")


def random_split(dataset: Dataset[T], lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset[T]]:
    """Subsets of the given lengths that share no sample, in random order.

    Lengths that sum to 1 are fractions: each is rounded down, and what is left goes one by one to the first ones.
    Raises ValueError when they sum to neither 1 nor ``len(dataset)``.
    """
    total = len(dataset)  # type: ignore[arg-type]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        for fraction in lengths:
            if fraction < 0 or fraction > 1:
                raise ValueError(f"random_split: a fraction is not between 0 and 1, {fraction}")
        sizes = [math.floor(total * fraction) for fraction in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if size == 0:
                warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2)
    else:
        sizes = [int(length) for length in lengths]
    if sum(sizes) != total or any(size < 0 for size in sizes):
        raise ValueError(f"Sum of input lengths does not equal the length of the input dataset! {list(lengths)} for {total}")
    order = randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes)]
