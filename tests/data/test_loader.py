"""The loader in one process: batches, order, arguments."""

from __future__ import annotations

from itertools import chain

import pytest
from worker_datasets import Squares, Stream

import numbagrad as ng
from numbagrad.data import DataLoader, SequentialSampler, TensorDataset
from numbagrad.random import Generator
from numbagrad.utils.data import DataLoader as FromUtils


def values(loader):
    """The second fields of all batches."""
    return [batch[1].tolist() for batch in loader]


def test_same_class_by_pytorchs_name():
    assert FromUtils is DataLoader


def test_batches():
    loader = DataLoader(Squares(5), batch_size=2)
    batches = list(loader)
    assert len(loader) == 3 and values(loader) == [[0, 1], [4, 9], [16]]
    assert batches[1][0].tolist() == [[[2, 2], [2, 2]], [[3, 3], [3, 3]]]
    assert values(DataLoader(Squares(5), batch_size=2, drop_last=True)) == [[0, 1], [4, 9]]
    assert len(DataLoader(Squares(5), batch_size=2, drop_last=True)) == 2
    assert values(DataLoader(Squares(2))) == [[0], [1]]


def test_empty_dataset():
    assert list(DataLoader(Squares(0))) == []
    with pytest.raises(ValueError):
        DataLoader(Squares(0), shuffle=True)


def test_shuffle_follows_the_seed():
    def order(seed):
        return values(DataLoader(Squares(20), batch_size=4, shuffle=True, generator=Generator().manual_seed(seed)))

    assert order(1) == order(1) != order(2)
    assert sorted(chain(*order(1))) == [i * i for i in range(20)]
    loader = DataLoader(Squares(20), shuffle=True, generator=Generator().manual_seed(1))
    assert values(loader) != values(loader)
    ng.manual_seed(0)
    first = values(DataLoader(Squares(20), shuffle=True))
    ng.manual_seed(0)
    assert values(DataLoader(Squares(20), shuffle=True)) == first


def test_samplers():
    assert values(DataLoader(Squares(5), sampler=[4, 0], batch_size=2)) == [[16, 0]]
    assert values(DataLoader(Squares(5), batch_sampler=[[4], [0, 1]])) == [[16], [0, 1]]
    assert len(DataLoader(Squares(5), batch_sampler=[[4], [0, 1]])) == 2


def test_without_batches():
    samples = list(DataLoader(Squares(3), batch_size=None))
    assert [sample[1] for sample in samples] == [0, 1, 4]
    assert samples[1][0].tolist() == [[1, 1], [1, 1]]


def test_stream():
    assert [batch.tolist() for batch in DataLoader(Stream(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in DataLoader(Stream(5), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(TypeError):
        len(DataLoader(Stream(5)))


def test_stream_longer_than_it_said():
    class Liar(Stream):
        def __len__(self):
            return 2

    with pytest.warns(UserWarning, match="reported to be 2"):
        list(DataLoader(Liar(3)))


def test_collate_fn_sees_a_list_of_samples():
    seen = []

    def collate(batch):
        seen.append(batch)
        return len(batch)

    data = TensorDataset(ng.arange(3))
    assert list(DataLoader(data, batch_size=2, collate_fn=collate)) == [2, 1]
    assert isinstance(seen[0], list) and seen[0][1][0].item() == 1


def test_getitems_is_used():
    class Many(Squares):
        def __getitems__(self, indices):
            return [(-i, -i) for i in indices]

    assert values(DataLoader(Many(3), batch_size=3)) == [[0, -1, -2]]


def test_iterating_twice_and_at_once():
    loader = DataLoader(Squares(3))
    assert values(loader) == values(loader)
    assert [(a[1].item(), b[1].item()) for a, b in zip(loader, loader)] == [(0, 0), (1, 1), (4, 4)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"prefetch_factor": 0, "num_workers": 1}, "prefetch_factor"),
        ({"persistent_workers": True}, "persistent_workers"),
        ({"sampler": [0], "shuffle": True}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "drop_last": True}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"num_workers": 1, "multiprocessing_context": "fork"}, "fork"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Squares(3), **arguments)


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_streams_have_no_order_to_choose(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        DataLoader(Stream(3), **arguments)


def test_attributes_are_fixed():
    loader = DataLoader(Squares(3))
    assert isinstance(loader.sampler, SequentialSampler) and loader.batch_size == 1
    with pytest.raises(ValueError, match="batch_size"):
        loader.batch_size = 2
