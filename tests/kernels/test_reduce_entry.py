"""The short way into reductions gives the general way's bits, leaves to it what it should, and keeps every reference count right."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.kernels import reduce as K
from numbagrad.kernels._cpu import capi
from numbagrad.kernels._cpu.threads import PARALLEL_WORK
from numbagrad.kernels.reduce._fold import ROW_BLOCK, SHORT
from tests.interpreter import run_python

pytestmark = pytest.mark.skipif(not capi.SUPPORTED, reason="this interpreter is called the general way only")

SHAPES = [
    (), (1,), (SHORT,), (SHORT + 1,), (ROW_BLOCK,), (ROW_BLOCK + 1,), (PARALLEL_WORK - 1,), (PARALLEL_WORK,), (PARALLEL_WORK + 77,), (3, 5), (2, 300),
    (300, 2), (1000, 50), (7, 1, 11), (1, 4000, 2), (40, 3, 300), (2, 3, 2, 3, 2),
]  # fmt: skip
NAMES = ["sum", "prod", "mean", "amax", "amin", "any", "all", "max", "min", "argmax", "argmin"]


def sample(shape, dtype):
    x = np.random.default_rng(len(shape)).integers(-3, 4, shape)
    return np.asarray(x * 0.37 if np.dtype(dtype).kind == "f" else x, dtype)


def same(got, wanted):
    got, wanted = (v if isinstance(v, tuple) else (v,) for v in (got, wanted))
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted):
        assert type(a) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def dims_of(name, shape):
    pair = name in ("max", "min")
    return [*([] if pair else [None]), *range(len(shape)), *([-1] if shape else [])]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("name", NAMES)
def test_the_bits_of_the_general_way(name, dtype):
    if name == "mean" and dtype in ("int32", "bool"):
        pytest.skip("no mean of integers")
    quick = K.quick[name]
    for shape in SHAPES:
        x = sample(shape, dtype)
        for dim in dims_of(name, shape):
            for keepdim in (False, True):
                wanted = quick.general(x, dim, keepdim)
                same(quick.call(x, dim, keepdim), wanted)
                same(quick.call(x, dim, keepdim), wanted)  # where the first call was the one that taught it
    assert quick.call is not quick.general


@pytest.mark.parametrize("name", NAMES)
def test_tensors_of_every_kind(name):
    method = {"any": "any", "all": "all"}.get(name, name)
    x = sample((6, 7), "float32")
    if name in ("max", "min"):
        wanted = getattr(K, f"{name}_with_indices")(x, 1)
    else:
        wanted = getattr(K, name)(x, 1)
    for t in (ng.tensor(x), ng.nn.Parameter(ng.tensor(x)), ng.tensor(x, requires_grad=True), ng.tensor(x.T.copy()).T, ng.tensor(x)[:]):
        for _ in range(2):
            got = getattr(t, method)(1)
            same(tuple(g.detach().numpy() for g in got) if isinstance(got, tuple) else got.detach().numpy(), wanted)
    plain = getattr(ng.tensor(x), method)(1)
    assert not (plain[0] if isinstance(plain, tuple) else plain).requires_grad


def test_what_is_in_a_graph_is_recorded():
    x = ng.tensor(sample((6, 7), "float32"), requires_grad=True)
    x.sum()  # taught
    for result in (x.sum(), x.mean(0).sum(), x.amax(), x.max(1).values.sum()):
        assert result.requires_grad
        (g,) = ng.autograd.grad(result, x)
        assert g.shape == x.shape
    with ng.no_grad():
        assert not x.sum().requires_grad


def test_a_view_of_a_leaf_is_recorded():
    x = ng.tensor(sample((6, 7), "float32"), requires_grad=True)
    view = x[2:]
    ng.tensor([1.0, 2.0]).sum()
    view.sum().backward()
    assert x.grad.numpy().sum() == 28


@pytest.mark.parametrize("bad", [(2,), (-3,), (True,), ("a",), (1.5,)])
def test_dims_are_the_general_ways_business(bad):
    x = ng.tensor(sample((6, 7), "float32"))
    x.sum(0)
    if bad == (True,):
        assert x.sum(True).shape == (6,)  # an int after all
        return
    with pytest.raises((IndexError, TypeError)):
        x.sum(*bad)


def test_no_tensor_is_an_error():
    ng.tensor([1.0]).sum()
    for value in (np.ones(3, np.float32), 3, None, [1.0]):
        with pytest.raises(TypeError, match="must be Tensor"):
            ng.sum(value)


def test_strides_are_the_general_ways_business():
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    for y in (x.T, x[::-1], x[:, ::2], np.broadcast_to(x[0], (3, 6))):
        for dim in (None, 0, 1):
            np.testing.assert_array_equal(K.sum(y, dim), y.sum(dim))
            np.testing.assert_array_equal(K.argmax(y, dim), y.argmax(dim))


@pytest.mark.parametrize("name", ["sum", "argmax", "max", "any"])
def test_reference_counts(name):
    x = ng.tensor(sample((30, 40), "float32"))
    f = getattr(x, name)
    f(1)
    result = f(1)
    array = x._data
    dtypes = [np.dtype(d) for d in ("float32", "int64", "bool")]
    gc.collect()
    before = [sys.getrefcount(o) for o in (x, array, *dtypes, True, None, ng.Tensor)]
    for _ in range(1000):
        result = f(1)
    del result
    result = f(1)
    after = [sys.getrefcount(o) for o in (x, array, *dtypes, True, None, ng.Tensor)]
    assert all(abs(a - b) < 50 for a, b in zip(before, after)), (before, after)
    parts = result if isinstance(result, tuple) else (result,)
    assert all(sys.getrefcount(p._data) <= 3 for p in parts)


def test_rows_run_out():
    """More types than there is room for take the general way."""
    for dtype in ("uint8", "int8", "int16", "int32", "int64", "bool", "float32", "float64"):
        x = np.ones(5, dtype)
        for _ in range(2):
            assert K.sum(x) == 5


def test_bits_do_not_depend_on_what_was_reduced_before():
    """Columns are known before rows here: rows are not to be folded as columns for that."""
    code = (
        "import numpy as np, sys\nfrom numbagrad.kernels import reduce as K\n"
        "x = np.random.default_rng(0).standard_normal((40, 333)).astype(np.float32)\n"
        "for _ in range(3): K.sum(x, 0)\n"
        "print(K.sum(x, 1).tobytes().hex(), K.quick['sum'].general(x, 1, False).tobytes().hex())\n"
    )
    found, wanted = run_python(code).split()
    assert found == wanted
