"""What the copy family leaves to NumPy for few elements: the same results, layouts and errors as its kernels give."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels import _dtypes
from numbagrad.kernels import copy as C
from numbagrad.kernels.copy import _move

DTYPES = [_dtypes.bool_, _dtypes.uint8, _dtypes.int32, _dtypes.int64, _dtypes.float16, _dtypes.bfloat16, _dtypes.float32, _dtypes.float64]
DTYPES += [_dtypes.complex64]


def outcome(call):
    """The array a call returns, or its error."""
    try:
        return call()
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return type(error), str(error)


def both(monkeypatch, call):
    """The outcomes of ``call`` by NumPy and by the kernels."""
    small = outcome(call)
    with monkeypatch.context() as patched:
        patched.setattr(_move, "SMALL_BYTES", 0)
        patched.setattr(_move, "FEW", 0)
        return small, outcome(call)


def check(monkeypatch, call):
    a, b = both(monkeypatch, call)
    if isinstance(b, tuple):
        assert a == b
        return
    assert a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides and a.tobytes() == b.tobytes()
    assert a.flags.writeable


def sample(shape, dtype=_dtypes.float32):
    values = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape) % 100
    return C.cast(values, dtype)


VIEWS = {
    "packed": lambda x: x,
    "transposed": lambda x: x.T,
    "columns": lambda x: x[:, ::2],
    "reversed": lambda x: x[::-1],
    "repeated": lambda x: np.broadcast_to(x[:1], (3, *x.shape[1:])),
    "element": lambda x: x[1, 1:2].reshape(()),
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("dtype", DTYPES, ids=_dtypes.name)
@pytest.mark.parametrize("view", VIEWS)
def test_copies_and_casts(monkeypatch, dtype, view):
    x = VIEWS[view](sample((6, 8), dtype))
    check(monkeypatch, lambda: C.clone(x))
    check(monkeypatch, lambda: C.contiguous(x).copy())
    for target in DTYPES:
        check(monkeypatch, lambda: C.cast(x, target) if target != dtype else C.clone(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=_dtypes.name)
def test_writes(monkeypatch, dtype):
    def written(write):
        out = sample((6, 8), dtype)
        write(out)
        return out

    x = sample((6, 8), dtype)
    for write in (
        lambda out: C.copy_into(out, x[::-1]),
        lambda out: C.copy_into(out.T, C.clone(x.T)),
        lambda out: C.copy_into(out, x[:1]),
        lambda out: C.copy_into(out[:, 1:], out[:, :-1]),
        lambda out: C.copy_into(out, out[::-1]),
        lambda out: C.copy_into(out, x[:, :3]),
        lambda out: C.fill(out[:, ::2], 1),
        lambda out: C.fill(out, 0),
        lambda out: C.fill(out, 2.5),
        lambda out: C.fill(out, -3),
        lambda out: C.fill(out, 1e300),
        lambda out: C.fill(out, 300),
        lambda out: C.fill(out, True),
    ):
        check(monkeypatch, lambda: written(write))


@pytest.mark.parametrize("dtype", DTYPES, ids=_dtypes.name)
def test_joining(monkeypatch, dtype):
    x, y = sample((2, 3), dtype), sample((4, 3), dtype)
    empty = C.cast(np.empty(0, np.float32), dtype)
    for call in (
        lambda: C.cat([x, y]),
        lambda: C.cat([x, y], 1),
        lambda: C.cat([x, x, x], -1),
        lambda: C.cat([x, empty, y], 0),
        lambda: C.cat([empty, empty]),
        lambda: C.cat([x, y], 2),
        lambda: C.cat([x, y[0]]),
        lambda: C.cat([x.reshape(6)[0:1].reshape(()), y]),
        lambda: C.cat([x, C.cast(y, _dtypes.float64)]),
        lambda: C.cat([x.T, y.T], 1),
        lambda: C.stack([x, x]),
        lambda: C.stack([x, x], 1),
        lambda: C.stack([x, x], -1),
        lambda: C.stack([x, y]),
        lambda: C.stack([x, x], 4),
        lambda: C.stack([x, C.cast(x, _dtypes.float64)]),
    ):
        check(monkeypatch, call)
