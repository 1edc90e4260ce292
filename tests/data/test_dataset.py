"""Datasets and their combinations."""

from __future__ import annotations

import warnings

import pytest

import numbagrad as ng
from numbagrad.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from numbagrad.random import Generator


class Numbers(Dataset):
    def __init__(self, *numbers):
        self.numbers = numbers

    def __getitem__(self, i):
        return self.numbers[i]

    def __len__(self):
        return len(self.numbers)


class Letters(IterableDataset):
    def __iter__(self):
        return iter("ab")

    def __len__(self):
        return 2


def test_tensor_dataset():
    x, y = ng.arange(6).reshape(3, 2), ng.tensor([5.0, 6.0, 7.0])
    data = TensorDataset(x, y)
    assert len(data) == 3
    assert [t.tolist() for t in data[1]] == [[2, 3], 6]
    assert [t.tolist() for t in data[-1]] == [[4, 5], 7]
    with pytest.raises(IndexError):
        data[3]
    with pytest.raises(AssertionError, match=r"\[3, 2\]"):
        TensorDataset(x, ng.zeros(2))


def test_whole_batches_equal_collated_samples():
    x, y = ng.arange(24).reshape(4, 3, 2), ng.tensor([5.0, 6.0, 7.0, 8.0])
    data = Subset(TensorDataset(x.transpose(1, 2), y), [3, 1, 2])
    fast = list(DataLoader(data, batch_size=2))
    slow = list(DataLoader(data, batch_size=2, collate_fn=lambda batch: [ng.stack([sample[k] for sample in batch]) for k in (0, 1)]))
    assert [[t.tolist() for t in batch] for batch in fast] == [[t.tolist() for t in batch] for batch in slow]
    assert [type(batch) for batch in fast] == [list, list]


def test_whole_batches_share_nothing():
    x = ng.zeros(4, 2)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=4):
        batch.numpy()[:] = 1
    assert x.tolist() == [[0, 0]] * 4


def test_subclass_that_redefines_a_sample_is_respected():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return super().__getitem__(i)[0] * 2

    data = Doubled(ng.arange(4))
    assert [batch.tolist() for batch in DataLoader(data, batch_size=2)] == [[0, 2], [4, 6]]
    assert [batch.tolist() for batch in DataLoader(Subset(data, [3, 0]), batch_size=2)] == [[6, 0]]


def test_gradients_flow_through_a_tensor_dataset():
    x = ng.arange(4).to(ng.float32).requires_grad_()
    for (batch,) in DataLoader(TensorDataset(x), batch_size=2):
        (batch * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2, 2]


def test_index_out_of_range_in_a_whole_batch():
    with pytest.raises(IndexError):
        next(iter(DataLoader(TensorDataset(ng.arange(3)), batch_sampler=[[0, 3]])))


def test_concat():
    data = Numbers(1, 2) + Numbers(3) + Numbers(4, 5)
    assert isinstance(data, ConcatDataset) and len(data) == 5
    assert [data[i] for i in range(5)] == [1, 2, 3, 4, 5]
    assert [data[-i] for i in range(1, 6)] == [5, 4, 3, 2, 1]
    with pytest.raises(IndexError):
        data[5]
    with pytest.raises(ValueError):
        data[-6]
    with pytest.raises(AssertionError):
        ConcatDataset([])
    with pytest.raises(AssertionError):
        ConcatDataset([Letters()])


def test_chain():
    data = Letters() + Letters()
    assert isinstance(data, ChainDataset) and list(data) == list("abab") and len(data) == 4
    with pytest.raises(AssertionError):
        list(ChainDataset([Numbers(1)]))


def test_stack():
    assert StackDataset(Numbers(1, 2), Numbers(3, 4))[1] == (2, 4)
    named = StackDataset(a=Numbers(1, 2), b=Numbers(3, 4))
    assert named[0] == {"a": 1, "b": 3} and len(named) == 2
    with pytest.raises(ValueError):
        StackDataset(Numbers(1), Numbers(1, 2))
    with pytest.raises(ValueError):
        StackDataset()


def test_subset():
    data = Subset(Subset(Numbers(1, 2, 3, 4), [3, 2, 1]), [0, 2])
    assert [data[0], data[1]] == [4, 2] and len(data) == 2
    assert data.__getitems__([1, 0]) == [2, 4]


def test_random_split():
    data = Numbers(*range(10))
    parts = random_split(data, [6, 4], generator=Generator().manual_seed(1))
    again = random_split(data, [6, 4], generator=Generator().manual_seed(1))
    assert [len(part) for part in parts] == [6, 4]
    assert [list(part.indices) for part in parts] == [list(part.indices) for part in again]
    assert sorted(i for part in parts for i in part.indices) == list(range(10))
    assert list(parts[0].indices) != list(range(6))


@pytest.mark.parametrize("fractions, sizes", [([0.5, 0.5], [6, 5]), ([0.3, 0.3, 0.4], [4, 3, 4]), ([1.0], [11])])
def test_random_split_in_fractions(fractions, sizes):
    assert [len(part) for part in random_split(Numbers(*range(11)), fractions)] == sizes


def test_random_split_errors():
    data = Numbers(1, 2, 3)
    for lengths in ([1, 1], [4], [5, -2]):
        with pytest.raises(ValueError, match="length of the input dataset"):
            random_split(data, lengths)
    with pytest.raises(ValueError):
        random_split(data, [1.5, -0.5])
    with pytest.warns(UserWarning, match="index 1 is 0"):
        random_split(Numbers(1), [0.5, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_split(data, [3, 0])


def test_base_classes_say_what_is_missing():
    with pytest.raises(NotImplementedError):
        Dataset()[0]
    with pytest.raises(NotImplementedError):
        iter(IterableDataset())
