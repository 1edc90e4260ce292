"""``gradcheck`` and ``gradgradcheck``: compare gradients with central differences.

The full check compares every entry of the Jacobian.  The fast one compares one random projection, uᵀ J v: two evaluations of the function
whatever its size (PyTorch, "Gradcheck mechanics").
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from ..kernels.copy import copy_into
from .graph import grad as compute_grad
from .mode import no_grad


class GradcheckError(RuntimeError):
    """A gradient differs from the numerical one."""


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _is_differentiable(t: Any) -> bool:
    return hasattr(t, "_node") and t.requires_grad


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    return [t for t in _tuple(function(*inputs)) if hasattr(t, "_node") and (t.is_floating_point() or t.is_complex())]


def _values(t: Any) -> np.ndarray:
    """A copy of the values as one real vector (complex numbers as pairs)."""
    data = np.array(t.detach().cpu()._data, copy=True).reshape(-1)
    return data.view(data.real.dtype) if data.dtype.kind == "c" else data


def _write(t: Any, values: np.ndarray) -> None:
    """Put ``values`` (as ``_values`` gives them) into ``t``, unseen by autograd."""
    data = t._data
    copy_into(data, (values.view(data.dtype) if data.dtype.kind == "c" else values).reshape(data.shape))


def _directional(function: Callable[..., Any], inputs: Sequence[Any], which: int, direction: np.ndarray, eps: float) -> list[np.ndarray]:
    """(f(x + eps v) - f(x - eps v)) / (2 eps) for each output."""
    x = inputs[which]
    start = _values(x)
    with no_grad():
        try:
            _write(x, start + eps * direction)
            high = [_values(t) for t in _outputs(function, inputs)]
            _write(x, start - eps * direction)
            low = [_values(t) for t in _outputs(function, inputs)]
        finally:
            _write(x, start)
    return [(h - low_) / (2 * eps) for h, low_ in zip(high, low)]


def _analytic(output: Any, inputs: Sequence[Any], seed: np.ndarray) -> list[np.ndarray]:
    """The gradients of the inputs for one seed of one output, as real vectors."""
    weight = output.detach().clone()
    _write(weight, seed.astype(_values(output).dtype))
    found = compute_grad(output, inputs, weight, retain_graph=True, allow_unused=True)
    return [np.zeros_like(_values(x)) if g is None else _values(g) for x, g in zip(inputs, found)]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    fast_mode: bool = False,
    **_: Any,
) -> bool:
    """Check the gradients of ``func`` at ``inputs`` (float64, ``requires_grad``) against central differences.

    ``fast_mode`` compares one random projection instead of every entry.  Returns True, or raises GradcheckError (False without ``raise_exception``).
    Raises ValueError if no input requires a gradient.
    """
    try:
        return _check(func, _tuple(inputs), eps, atol, rtol, fast_mode, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False


def _check(func: Callable[..., Any], inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, fast: bool, nondet_tol: float) -> bool:
    chosen = [i for i, t in enumerate(inputs) if _is_differentiable(t)]
    if not chosen:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.")
    outputs = _outputs(func, inputs)
    if not outputs:
        raise GradcheckError("gradcheck: the function has no differentiable output")
    rng = np.random.default_rng(0)
    for number, output in enumerate(outputs):
        size = _values(output).size
        for which in chosen:
            x = inputs[which]
            if fast:
                directions, seeds = [_unit(rng, _values(x).size)], [_unit(rng, size)]
            else:
                directions, seeds = list(np.eye(_values(x).size)), list(np.eye(size))
            numeric = np.array([_directional(func, inputs, which, v, eps)[number] for v in directions]).reshape(len(directions), size)
            analytic = np.zeros((len(seeds), _values(x).size))
            if output.requires_grad:
                for row, u in enumerate(seeds):
                    analytic[row] = _analytic(output, [x], u)[0]
                    again = _analytic(output, [x], u)[0]
                    if not np.allclose(again, analytic[row], rtol=0, atol=nondet_tol, equal_nan=True):
                        raise GradcheckError(f"Backward is not reentrant: output {number}, input {which} gave two different gradients")
            if fast:
                numeric, analytic = numeric @ seeds[0], analytic @ directions[0]
            else:
                numeric = numeric.T
            if not np.allclose(analytic, numeric, rtol=rtol, atol=atol, equal_nan=False):
                worst = np.unravel_index(np.nanargmax(np.abs(analytic - numeric)) if np.isfinite(analytic).any() else 0, np.shape(analytic))
                raise GradcheckError(
                    f"Jacobian mismatch for output {number} with respect to input {which} (largest difference at {tuple(map(int, worst))}):\n"
                    f"numerical:{numeric}\nanalytical:{analytic}\n"
                )
    return True


def _unit(rng: np.random.Generator, n: int) -> np.ndarray:
    v = rng.standard_normal(n)
    return v / (np.linalg.norm(v) or 1.0)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    **_: Any,
) -> bool:
    """Check the second derivatives of ``func``: ``gradcheck`` of its gradient, as a function of the inputs and of the outputs' gradients."""
    arguments = _tuple(inputs)
    outputs = [t for t in _outputs(func, arguments) if t.requires_grad]
    rng = np.random.default_rng(1)
    if grad_outputs is None:
        seeds = []
        for t in outputs:
            seed = t.detach().clone()
            _write(seed, rng.standard_normal(_values(seed).size))
            seeds.append(seed.requires_grad_())
    else:
        seeds = list(_tuple(grad_outputs))
    chosen = [i for i, t in enumerate(arguments) if _is_differentiable(t)]
    count = len(arguments)

    def gradient(*values: Any) -> tuple[Any, ...]:
        results = [t for t in _outputs(func, values[:count]) if t.requires_grad]
        wanted = [values[i] for i in chosen]
        found = compute_grad(results, wanted, values[count:], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    def recorded(*values: Any) -> tuple[Any, ...]:
        from .mode import enable_grad

        with enable_grad():
            return gradient(*values)

    return gradcheck(
        recorded,
        (*arguments, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        fast_mode=fast_mode,
    )
