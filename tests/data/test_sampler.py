"""Samplers: orders, seeds, and bad arguments."""

from __future__ import annotations

from collections import Counter

import pytest

import numbagrad as ng
from numbagrad.data import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from numbagrad.random import Generator

DATA = list("abcdefghij")


def seeded(seed=0):
    return Generator().manual_seed(seed)


def test_sequential():
    assert list(SequentialSampler(DATA)) == list(range(10)) and len(SequentialSampler(DATA)) == 10


def test_random_is_a_permutation_fixed_by_its_seed():
    first, second = list(RandomSampler(DATA, generator=seeded())), list(RandomSampler(DATA, generator=seeded()))
    assert first == second and sorted(first) == list(range(10)) and first != list(range(10))
    assert list(RandomSampler(DATA, generator=seeded(1))) != first
    ng.manual_seed(3)
    by_default = list(RandomSampler(DATA))
    assert list(RandomSampler(DATA)) != by_default
    ng.manual_seed(3)
    assert list(RandomSampler(DATA)) == by_default


def test_random_goes_on_where_its_generator_is():
    sampler = RandomSampler(DATA, generator=seeded())
    assert list(sampler) != list(sampler)


def test_random_number_of_samples():
    more = list(RandomSampler(DATA, num_samples=25, generator=seeded()))
    assert len(more) == 25 and sorted(more[:10]) == sorted(more[10:20]) == list(range(10)) and len(set(more[20:])) == 5
    drawn = list(RandomSampler(DATA, replacement=True, num_samples=5000, generator=seeded()))
    assert len(drawn) == 5000
    counts = Counter(drawn)
    assert set(counts) == set(range(10)) and all(400 < count < 600 for count in counts.values())


def test_subset_random():
    assert sorted(SubsetRandomSampler([7, 3, 9], generator=seeded())) == [3, 7, 9]
    assert len(SubsetRandomSampler([7, 3, 9])) == 3


def test_weighted():
    drawn = Counter(WeightedRandomSampler([1, 0, 3], 4000, generator=seeded()))
    assert drawn[1] == 0 and 850 < drawn[0] < 1150
    assert sorted(WeightedRandomSampler([1, 2, 3], 3, replacement=False, generator=seeded())) == [0, 1, 2]


@pytest.mark.parametrize("drop_last, batches", [(False, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]), (True, [[0, 1, 2, 3], [4, 5, 6, 7]])])
def test_batches(drop_last, batches):
    sampler = BatchSampler(SequentialSampler(DATA), 4, drop_last)
    assert list(sampler) == batches and len(sampler) == len(batches)
    assert len(list(BatchSampler(range(8), 4, drop_last))) == 2


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: RandomSampler(DATA, replacement=1), TypeError, "replacement=1"),
        (lambda: RandomSampler(DATA, num_samples=0), ValueError, "num_samples=0"),
        (lambda: RandomSampler([]), ValueError, "num_samples=0"),
        (lambda: list(RandomSampler([], num_samples=2)), ValueError, "empty"),
        (lambda: RandomSampler(DATA, num_samples=-1), ValueError, "num_samples=-1"),
        (lambda: RandomSampler(DATA, num_samples=1.5), ValueError, "num_samples=1.5"),
        (lambda: BatchSampler(DATA, 0, False), ValueError, "batch_size=0"),
        (lambda: BatchSampler(DATA, 2, 1), ValueError, "drop_last=1"),
        (lambda: WeightedRandomSampler([[1, 2]], 2), ValueError, r"\(1, 2\)"),
        (lambda: WeightedRandomSampler([1, 2], 0), ValueError, "num_samples=0"),
        (lambda: WeightedRandomSampler([1, 2], 2, 1), ValueError, "replacement=1"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
