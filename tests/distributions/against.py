"""A distribution of numbagrad's and the same of PyTorch's, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.distributions as ours

torch = pytest.importorskip("torch")
theirs = torch.distributions


def tensors(values: Any, requires_grad: bool = False) -> tuple[list[Any], list[Any]]:
    """The arrays as tensors of both."""
    mine = [ng.tensor(v, requires_grad=requires_grad) for v in values]
    return mine, [torch.tensor(v, requires_grad=requires_grad) for v in values]


def both(entry: Any, requires_grad: bool = False) -> tuple[Any, Any]:
    """The distribution of ``entry`` in both."""
    mine, yours = tensors(entry.values, requires_grad)
    return entry.build(ours, *mine), entry.build(theirs, *yours)


def array(x: Any) -> np.ndarray:
    return x.detach().numpy()


def equal(found: Any, expected: Any, rtol: float = 1e-9, what: str = "") -> None:
    """The same dtype, shape and values."""
    assert str(found.dtype).split(".")[-1] == str(expected.dtype).split(".")[-1], what
    assert tuple(found.shape) == tuple(expected.shape), what
    np.testing.assert_allclose(array(found), array(expected), rtol=rtol, atol=rtol, err_msg=what)


def attempt(call: Any, *args: Any) -> tuple[Any, BaseException | None]:
    """What a call returns, or the exception that it raises."""
    try:
        return call(*args), None
    except (NotImplementedError, RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        return None, error


def words(error: Any) -> str:
    """A message, without the name of the package and the layout of tensors and object addresses."""
    return str(error).replace("numbagrad.", "torch.").replace("torch.distributions.", "").replace("\n", "").replace(" ", "")


def alike(mine: Any, yours: Any, rtol: float = 1e-9, what: str = "") -> bool:
    """Both calls return the same tensor, or both raise the same type of error with the same message.  Whether there is a tensor."""
    (found, failed), (expected, expected_failure) = attempt(mine), attempt(yours)
    if expected_failure is not None:
        assert failed is not None, f"{what}: PyTorch raises {expected_failure!r}"
        assert type(failed) is type(expected_failure), f"{what}: {failed!r} for {expected_failure!r}"
        return False
    assert failed is None, f"{what}: {failed!r}"
    equal(found, expected, rtol, what)
    return True
