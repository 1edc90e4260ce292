"""Results of numbagrad held against PyTorch's: shape, dtype, values, gradients, second gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import numbagrad as ng

from . import translate

# What rounding may do to a result, relative to the largest element beside the element's own size.  float64 gradients go through more steps.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-5, "complex64": 2e-5, "float64": 1e-7, "complex128": 1e-7}


def array(t: Any) -> np.ndarray:
    """The values of either library's tensor; 16-bit floats as float32."""
    t = t.detach()
    if str(t.dtype).endswith("float16"):
        t = t.float()
    if isinstance(t, torch.Tensor):
        t = t.clone() if t._is_zerotensor() else t.resolve_conj().resolve_neg()
    return np.asarray(t.numpy())


def name_of(t: Any) -> str:
    return str(t.dtype).rsplit(".", 1)[-1]


def outputs(x: Any) -> list[Any]:
    """A result's parts in order, tensors and plain values."""
    if isinstance(x, (list, tuple)) and not isinstance(x, (torch.Size, ng.Size)):
        return [part for v in x for part in outputs(v)]
    return [x]


def same(ours: Any, theirs: Any, *, values: bool = True, loose: float = 1.0, what: str = "result") -> None:
    """Assert that a result is PyTorch's.  ``values``: False where they are random.  ``loose``: times the usual tolerance."""
    mine, other = outputs(ours), outputs(theirs)
    assert len(mine) == len(other), f"{what}: {len(mine)} parts, expected {len(other)}"
    for k, (a, b) in enumerate(zip(mine, other)):
        label = f"{what} {k}" if len(mine) > 1 else what
        if not isinstance(b, torch.Tensor):
            _same_plain(a, b, label)
            continue
        assert isinstance(a, ng.Tensor), f"{label} is {type(a).__name__}, expected Tensor"
        assert tuple(a.shape) == tuple(b.shape), f"{label} has shape {tuple(a.shape)}, expected {tuple(b.shape)}"
        assert name_of(a) == name_of(b), f"{label} has dtype {name_of(a)}, expected {name_of(b)}"
        if values:
            close(array(a), array(b), TOLERANCE.get(name_of(b), 0.0) * loose, label)


def _same_plain(a: Any, b: Any, label: str) -> None:
    if isinstance(b, torch.Size):
        assert tuple(a) == tuple(b), f"{label} is {a}, expected {b}"
    elif isinstance(b, torch.dtype):
        assert str(a).rsplit(".", 1)[-1] == str(b).rsplit(".", 1)[-1], f"{label} is {a}, expected {b}"
    elif isinstance(b, float):
        close(np.asarray(a), np.asarray(b), 1e-6, label)
    else:
        assert a == b and type(a) is type(b), f"{label} is {a!r}, expected {b!r}"


def close(a: np.ndarray, b: np.ndarray, tolerance: float, label: str) -> None:
    finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind in "fc" else b
    scale = float(finite.max(initial=0.0)) if b.dtype.kind in "fc" else 0.0
    np.testing.assert_allclose(a, b, rtol=10 * tolerance, atol=tolerance * min(1.0, scale) + tolerance * 1e-3, err_msg=label)


def weights(t: Any, k: int) -> np.ndarray:
    """What a result is multiplied by before it is summed: the gradient that flows in, the same for both libraries."""
    rng = np.random.default_rng(k)
    found = rng.uniform(0.5, 1.5, tuple(t.shape))
    if "complex" in str(t.dtype):
        return found + 1j * rng.uniform(0.5, 1.5, tuple(t.shape))
    return found


def gradients(library: Any, results: Any, inputs: list[Any], second: bool) -> tuple[list[Any], list[Any]]:
    """Of the weighted sum of all differentiable parts of ``results``; and, with ``second``, of the weighted sum of those gradients."""
    total = _weighted(library, results, 0)
    if total is None:
        return [], []
    first = list(library.autograd.grad(total, inputs, create_graph=second, allow_unused=True))
    if not second:
        return first, []
    again = _weighted(library, [g for g in first if g is not None], 100)
    if again is None:
        return first, []
    try:
        return first, list(library.autograd.grad(again, inputs, allow_unused=True))
    except RuntimeError as error:
        if library is torch and "is not implemented" in str(error):  # PyTorch has no derivative of some of its backward kernels
            return first, []
        raise


def _weighted(library: Any, results: Any, seed: int) -> Any:
    total = None
    for k, part in enumerate(outputs(results)):
        if not (hasattr(part, "requires_grad") and part.requires_grad):
            continue
        w = weights(part, seed + k)
        made = library.from_numpy(np.ascontiguousarray(w)).to(part.dtype)
        term = (part * made).sum()
        if "complex" in str(term.dtype):
            term = term.real + term.imag if library is torch else library.real(term) + library.imag(term)
        total = term if total is None else total + term
    return total


def same_gradients(ours: list[Any], theirs: list[Any], what: str, loose: float = 1.0, values: bool = True) -> None:
    """None and zeros are the same gradient.  ``values``: False where they are random."""
    assert len(ours) == len(theirs) or not theirs or not ours, f"{what}: {len(ours)} gradients, expected {len(theirs)}"
    if not ours and theirs:
        ours = [None] * len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs)):
        if a is None or b is None:
            other = b if a is None else a
            assert other is None or not values or not np.any(array(other)), f"{what} {k} is {'None' if a is None else 'not None'}"
            continue
        same(a, b, what=f"{what} {k}", loose=loose, values=values)


__all__ = ["array", "close", "gradients", "outputs", "same", "same_gradients", "translate"]
