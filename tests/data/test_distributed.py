"""DistributedSampler: every index in some share, shares of equal size, the same order for the same epoch; as PyTorch's, where it is installed."""

from __future__ import annotations

import pytest

import numbagrad as ng
from numbagrad.data import DataLoader, DistributedSampler, StackDataset
from numbagrad.utils import data as under_pytorchs_name


def _shares(size, replicas, **options):
    return [list(DistributedSampler(range(size), replicas, rank, **options)) for rank in range(replicas)]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_shares_in_order(size, replicas, drop_last):
    shares = _shares(size, replicas, shuffle=False, drop_last=drop_last)
    sampler = DistributedSampler(range(size), replicas, 0, drop_last=drop_last)
    assert all(len(share) == sampler.num_samples == len(sampler) for share in shares) and sampler.total_size == replicas * len(sampler)
    order = [i for row in zip(*shares) for i in row]
    assert order == [i % size for i in range(len(order))] and (drop_last or set(order) == set(range(size)))
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data.DistributedSampler
    assert shares == [list(theirs(range(size), replicas, r, shuffle=False, drop_last=drop_last)) for r in range(replicas)]


def test_shuffled_shares():
    first, again, other = _shares(20, 4), _shares(20, 4), _shares(20, 4, seed=1)
    assert first == again != other and sorted(i for share in first for i in share) == list(range(20))
    sampler = DistributedSampler(range(20), 4, 0)
    sampler.set_epoch(1)
    assert list(sampler) == other[0]  # epoch and seed are counted together
    loader = DataLoader(ng.arange(20), batch_size=2, sampler=sampler)
    assert ng.cat(list(loader)).tolist() == list(sampler) and under_pytorchs_name.distributed.DistributedSampler is DistributedSampler


def test_mistakes():
    with pytest.raises(ValueError, match="Invalid rank 2, rank should be in the interval"):
        DistributedSampler(range(4), 2, 2)
    with pytest.raises(ValueError, match="expected num_replicas and rank"):
        DistributedSampler(range(4))


def test_stacked_datasets_give_many_samples():
    assert StackDataset(range(3), range(5, 8)).__getitems__([0, 2]) == [(0, 5), (2, 7)]
    assert StackDataset(a=range(3)).__getitems__([1]) == [{"a": 1}]


def test_loader_arguments():
    with pytest.raises(ValueError, match="can only be used with multi-process loading"):
        DataLoader(range(3), multiprocessing_context="spawn")
    with pytest.raises(ValueError, match=r"should specify a valid start method in .* but got multiprocessing_context='nope'"):
        DataLoader(range(3), num_workers=1, multiprocessing_context="nope")
    with pytest.raises(TypeError, match="a valid context object or a string specifying the start method"):
        DataLoader(range(3), num_workers=1, multiprocessing_context=3)
    with pytest.warns(UserWarning, match="will create 9999 worker processes in total"):
        DataLoader(range(3), num_workers=9999)
