"""default_collate and default_convert against PyTorch's."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.data import default_collate, default_convert

Point = namedtuple("Point", "x y")

SAMPLES = {
    "ints": [1, 2, 3],
    "bools": [True, False],
    "floats": [0.1, 2.0],
    "int and float": [1, 2.5],
    "strings": ["a", "bc"],
    "bytes": [b"a", b"bc"],
    "arrays": [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)],
    "arrays of no dimension": [np.array(3), np.array(4)],
    "numpy scalars": [np.float32(1), np.float32(2)],
    "numpy doubles": [np.float64(1), np.float64(2)],
    "numpy bools": [np.bool_(True), np.bool_(False)],
    "transposed": [np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T],
    "empty": [np.zeros((0, 2)), np.zeros((0, 2))],
    "tuples": [(1, "a", 2.0), (2, "b", 3.0)],
    "lists": [[1, 2], [3, 4]],
    "named": [Point(1, 2.0), Point(3, 4.0)],
    "dicts": [{"x": 1, "y": "s"}, {"x": 2, "y": "t"}],
    "ordered": [OrderedDict(x=1), OrderedDict(x=2)],
    "nested": [{"x": (np.ones(2), [1, 2])}, {"x": (np.zeros(2), [3, 4])}],
    "range": [range(2), range(2)],
}


def plain(value):
    """Tensors of either kind as (dtype, values), inside the same containers."""
    if hasattr(value, "detach"):
        return "tensor", str(value.dtype).split(".")[1], value.tolist()
    if isinstance(value, dict):
        return type(value), {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value), [plain(item) for item in value]
    return value


@pytest.mark.parametrize("name", SAMPLES)
def test_collate_as_pytorch(name):
    torch = pytest.importorskip("torch")
    assert plain(default_collate(SAMPLES[name])) == plain(torch.utils.data.default_collate(SAMPLES[name]))


@pytest.mark.parametrize("name", SAMPLES)
def test_convert_as_pytorch(name):
    torch = pytest.importorskip("torch")
    expected = torch.utils.data.default_convert(SAMPLES[name])
    if name.startswith("numpy"):  # PyTorch's leaves NumPy's scalars to torch.as_tensor, which gives the same values
        expected = [torch.as_tensor(item) for item in SAMPLES[name]]
    assert plain(default_convert(SAMPLES[name])) == plain(expected)


def test_tensors_are_stacked():
    batch = default_collate([ng.tensor([1.0, 2.0]), ng.tensor([3.0, 4.0])])
    assert isinstance(batch, ng.Tensor) and batch.tolist() == [[1, 2], [3, 4]]
    batch = default_collate([(ng.tensor(1), ng.tensor(2.0)), (ng.tensor(3), ng.tensor(4.0))])
    assert [b.tolist() for b in batch] == [[1, 3], [2, 4]]
    assert [b.dtype for b in batch] == [ng.int64, ng.float32]


def test_stacked_tensors_share_nothing():
    sample = ng.tensor([1.0, 2.0])
    batch = default_collate([sample])
    batch.numpy()[0, 0] = 9
    assert sample.tolist() == [1, 2]


def test_bfloat16_and_half():
    for dtype in (ng.bfloat16, ng.float16):
        batch = default_collate([ng.tensor([1.0, 2.0]).to(dtype), ng.tensor([3.0, 4.0]).to(dtype)])
        assert batch.dtype is dtype and batch.tolist() == [[1, 2], [3, 4]]


def test_gradients_flow_through_stacking():
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    batch = default_collate([x, x])
    batch.sum().backward()
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    "batch, error, message",
    [
        ([object()], TypeError, "default_collate: batch must contain tensors"),
        ([None], TypeError, "NoneType"),
        ([np.array(["a"])], TypeError, "U1"),
        ([[1], [1, 2]], RuntimeError, "equal size"),
        ([(1,), (1, 2)], RuntimeError, "equal size"),
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"got \[2\] at entry 0 and \[3\] at entry 1"),
        ([], IndexError, "out of range"),
    ],
)
def test_bad_batches(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_tensors_of_different_sizes():
    with pytest.raises(RuntimeError, match=r"got \[2\] at entry 0 and \[3\] at entry 1"):
        default_collate([ng.zeros(2), ng.zeros(3)])
