"""Order statistics and covariances: mode, quantile, cov, corrcoef."""

from __future__ import annotations

import warnings
from typing import Any

from .. import dtypes
from ..kernels.reduce import normalize_dim
from ..tensor import Tensor
from ._along import named_result
from ._arguments import tensor_argument
from ._attach import public
from .complex_views import joined
from .elementwise import lerp, where
from .reduce import sum_
from .running import cummax
from .sort import sort

# ---- mode --------------------------------------------------------------------------------------------------------------------------

_ModeResult = named_result("mode", "values", "indices")


@public(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the element that is most frequent along ``dim``, the smallest of several, and of its last place.

    Raises IndexError for a dim of size 0.
    """
    x: Any = tensor_argument(input, "mode", "input")
    d = normalize_dim(dim, x.ndim)
    if x.ndim == 0:
        return _ModeResult(x.clone(), x.new_zeros((), dtype=dtypes.int64))
    if x.shape[d] == 0:
        raise IndexError(f"mode(): Expected reduction dim {d} to have non-zero size.")
    ordered, order = sort(x.detach(), d)
    places = _positions(x, d)
    begins = ordered != ordered.roll(1, d)
    start = cummax(where(begins, places, 0), d)[0]
    end = (places - start).argmax(d, True)  # the first of the longest runs of equals ends here
    index = order.gather(d, end)
    values = x.gather(d, index)
    return _ModeResult(values, index) if keepdim else _ModeResult(values.squeeze(d), index.squeeze(d))


def _positions(x: Any, d: int) -> Any:
    """0, 1, 2, ... along dim ``d``, of the shape of x"""
    shape = [-1 if i == d else 1 for i in range(x.ndim)]
    return x.new_ones(x.shape[d], dtype=dtypes.int64).cumsum(0).sub(1).reshape(shape)


# ---- quantiles ---------------------------------------------------------------------------------------------------------------------

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _checked(op: str, x: Any, q: Any, interpolation: str) -> Any:
    """``q`` as a tensor beside ``x``."""
    tensor_argument(x, op, "input")
    if x.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"{op}() input tensor must be either float or double dtype, but got {x.dtype.title}")
    if not x.numel():
        raise RuntimeError(f"{op}() input tensor must be non-empty")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{op}() interpolation must be one of {', '.join(_INTERPOLATIONS)}, but got {interpolation}")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{op}() q must be in the range [0, 1] but got {q}")
        return x.new_tensor(q)
    if q.ndim > 1:
        raise RuntimeError(f"{op}() q must be a scalar or 1D tensor, but got {q.ndim} dimensions")
    if q.dtype is not x.dtype:
        raise RuntimeError(f"{op}() q tensor must be same dtype as the input tensor: {x.dtype.title}, but got {q.dtype.title}")
    if q.device != x.device:
        raise RuntimeError(f"{op}() q tensor must be on the same device as the input tensor: {x.device}, but got {q.device}")
    held: Any = q.detach()
    if q._data.size and not ((held >= 0) & (held <= 1)).all().item():
        raise RuntimeError(f"{op}() q values must be in the range [0, 1]")
    return q


def _quantile(op: str, x: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, ignore_nan: bool) -> Any:
    q = _checked(op, x, q, interpolation)
    d = 0 if dim is None else normalize_dim(dim, x.ndim)
    kept = [1] * x.ndim if dim is None else [1 if i == d else n for i, n in enumerate(x.shape)]
    values = x.reshape(-1) if dim is None or x.ndim == 0 else x.movedim(d, -1)
    ordered = sort(values, -1)[0]
    missing = ordered.detach().isnan()  # at the end of the order
    if ignore_nan:
        last = (missing.shape[-1] - 1 - sum_(missing, -1, True)).to(x.dtype)
        ranks = (q * last).clamp(min=0)
    else:
        last = ordered.shape[-1] - 1
        ranks = where(missing.any(-1, True), float(last), q * last)
    if interpolation == "lower":
        ranks = ranks.floor()
    elif interpolation == "higher":
        ranks = ranks.ceil()
    elif interpolation == "nearest":
        ranks = ranks.round()
    below = ranks.detach().long()
    found = ordered.gather(-1, below)
    if interpolation in ("linear", "midpoint"):
        weight = ranks.new_full(ranks.shape, 0.5) if interpolation == "midpoint" else ranks - below
        found = lerp(found, ordered.gather(-1, ranks.detach().ceil().long()), weight)
    shape = kept if keepdim else [] if dim is None else [n for i, n in enumerate(x.shape) if i != d]
    return found.squeeze(-1).reshape(shape) if q.ndim == 0 else found.movedim(-1, 0).reshape([q.shape[0], *shape])


@public(out=True)
def quantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """The ``q``-th quantiles (numbers from 0 to 1) of each row along ``dim``, or of all elements; NaN where there is one.

    Between the elements of ranks below and above q (n − 1) the value is found by ``interpolation``: linear, lower, higher, midpoint or nearest.  A tensor q of
    one dimension gives the result a first dimension.  Raises RuntimeError for dtypes other than float32 and float64, a q of another dtype or out of
    range, and an empty input.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@public(out=True)
def nanquantile(input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """``quantile`` of the elements that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# ---- covariances -------------------------------------------------------------------------------------------------------------------


def _weights(name: str, weights: Any, observations: int, kinds: str) -> None:
    if weights.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.ndim} dimensions")
    if weights._data.dtype.kind not in kinds:
        expected = "integral" if name == "fweights" else "floating point"
        raise RuntimeError(f"cov(): expected {name} to have {expected} dtype but got {name} with {weights.dtype.title} dtype")
    if weights.numel() != observations:
        raise RuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got {weights.numel()} != {observations}"
        )
    if observations and (weights.detach() < 0).any().item():
        raise RuntimeError(f"cov(): {name} cannot be negative")


@public
def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """Σ_k w_k (x_ik − m_i) (x_jk − m_j)* / N for variables in rows and observations in columns, m the weighted means.

    w = fweights (how often each observation counts) · aweights (how much); N = Σ w − correction (· Σ w·aweights / Σ w).  Raises RuntimeError for more than two
    dimensions, bools, and weights that do not fit.
    """
    x: Any = tensor_argument(input, "cov", "input")
    if x.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {x.ndim} dimensions")
    if x.dtype.name == "bool":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    observations = rows.shape[1]
    weight: Any = None
    if fweights is not None:
        _weights("fweights", fweights, observations, "iu")
        weight = fweights
    if aweights is not None:
        _weights("aweights", aweights, observations, "f")
        weight = aweights if weight is None else weight * aweights
    total = observations if weight is None else weight.sum()
    if weight is not None and observations and total.item() == 0:
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = (rows if weight is None else rows * weight).sum(1) / total
    freedom = total - correction
    if weight is not None and aweights is not None and correction:
        freedom = total - correction * (weight * aweights).sum() / total
    if (freedom.item() if isinstance(freedom, Tensor) else freedom) <= 0:
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.", stacklevel=2
        )
        freedom = 0
    centred = rows - mean.unsqueeze(1)
    return ((centred @ (centred if weight is None else centred * weight).mT.conj()) / freedom).squeeze()


@public
def corrcoef(input: Tensor) -> Tensor:
    """cov(x)_ij / √(cov(x)_ii cov(x)_jj), limited to [−1, 1].  Raises RuntimeError for more than two dimensions."""
    tensor_argument(input, "corrcoef", "input")
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    c: Any = cov(input)
    if c.ndim == 0:
        return c / c
    variances = c.diagonal()
    deviations = (variances.real if c.is_complex() else variances).sqrt()
    c = c / deviations.unsqueeze(1) / deviations.unsqueeze(0)
    if c.is_complex():
        return joined(c.real.clip(-1, 1), c.imag.clip(-1, 1))
    return c.clip(-1, 1)
