"""Random numbers from a counter: element i of a draw depends on ``(seed, offset, i)`` alone.

So a draw is the same on any number of threads and on any device, and is repeated by repeating its seed and offset.  A draw of n
numbers uses up ``draws(n)`` steps of the counter, whatever its distribution or dtype; the caller adds that to its offset before the next
draw.  (``multinomial`` says its own count.)  The generator and the layout of its words are described in ``_philox``.

Functions that make an array take its ``shape``, its ``dtype`` and a ``device``, or the array ``out`` to fill instead.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Sequence

import numpy as np

from .. import _dtypes
from .._device import family, place
from ..copy import cast, contiguous, copy_into

_on = family(__name__)

_SEED_RANGE = 1 << 64


def draws(n: int) -> int:
    """How many steps of the counter a draw of ``n`` numbers uses up: two numbers a step."""
    return (n + 1) // 2


def _shape(op: str, shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple([int(n) for n in shape])
    if shape and min(shape) < 0:
        raise RuntimeError(f"{op}: expected non-negative sizes, but got {shape}")
    return shape


def _key(seed: int, offset: int) -> tuple[np.uint64, np.uint64]:
    return np.uint64(seed % _SEED_RANGE), np.uint64(offset % _SEED_RANGE)


def _target(op: str, shape: Sequence[int] | None, dtype: Any, device: str, out: Any) -> tuple[Any, Any]:
    """The array to fill and the implementation that fills it."""
    if out is not None:
        return out, _on(out)
    if shape is None or dtype is None:
        raise TypeError(f"{op}: expected a shape and a dtype, or an array to fill")
    implementation = _on(place(device)) if device != "cpu" else _on()
    return implementation.empty(_shape(op, shape), np.dtype(dtype)), implementation


def _room(target: Any, implementation: Any, dtypes: Sequence[np.dtype], otherwise: np.dtype) -> Any:
    """A C-contiguous array for the kernel to fill: ``target`` itself if its dtype is one of ``dtypes``, or a temporary one."""
    dtype = target.dtype if target.dtype in dtypes else otherwise
    return target if target.flags.c_contiguous and dtype == target.dtype else implementation.empty(target.shape, dtype)


def _delivered(target: Any, values: Any) -> Any:
    """``target``, after what a kernel put into its ``_room`` has been brought there."""
    if values is not target:
        copy_into(target, values)
    return target


def _floating(op: str, dtype: np.dtype) -> None:
    if dtype not in _dtypes.FLOATS and dtype not in _dtypes.COMPLEXES:
        raise NotImplementedError(f"{op}: expected a floating point or complex dtype, but got {_dtypes.name(dtype)}")


def _parts(array: Any) -> Any:
    """A flat view of ``array``; the real and imaginary parts of complex numbers follow each other."""
    flat = array.reshape(-1)
    return flat.view(_dtypes.real_dtype(flat.dtype)) if flat.dtype in _dtypes.COMPLEXES else flat


_WIDE = (_dtypes.float32, _dtypes.float64, _dtypes.complex64, _dtypes.complex128)

# Significant bits of the 16-bit floats: uniform numbers with no more than that never round up to 1.
_HALF_BITS = {_dtypes.float16: 11, _dtypes.bfloat16: 8}


@functools.lru_cache(maxsize=64)
def _below(value: float, low: float, dtype: np.dtype) -> float:
    """The largest number of ``dtype`` below ``value``, or ``low`` if that is not smaller than ``value``."""
    if dtype == _dtypes.bfloat16:
        single = np.float32(value)
        bits = int(single.view(np.uint32))
        bits = bits & 0xFFFF0000 if bits & 0xFFFF and single > 0 else ((bits >> 16) + (1 if single <= 0 else -1)) << 16
        below = float(np.uint32(bits).view(np.float32)) if single != 0 else -9.2e-41
    else:
        below = float(np.nextafter(dtype.type(value), dtype.type(-np.inf)))
    return max(below, low)


def uniform(
    shape: Sequence[int] | None,
    dtype: Any,
    low: float = 0.0,
    high: float = 1.0,
    *,
    seed: int,
    offset: int,
    device: str = "cpu",
    out: Any = None,
) -> Any:
    """``low + u (high - low)`` with u uniform on [0, 1) in steps of 2^-24 (float32) or 2^-53 (float64).

    Results lie in [low, high): what rounds up to ``high`` becomes its predecessor.  Floating dtypes; complex numbers get independent parts.
    Raises RuntimeError if ``low > high``, if either is not finite, or if the distance overflows.
    """
    target, implementation = _target("uniform", shape, dtype, device, out)
    dtype = target.dtype
    _floating("uniform", dtype)
    low, high = float(low), float(high)
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    real = _dtypes.real_dtype(dtype)
    largest = _largest(real)
    if not (-largest <= low <= high <= largest and high - low <= largest):
        raise RuntimeError(
            f"uniform_: expected finite bounds at most {largest:g} apart for {_dtypes.name(dtype)}, but got from={low:g}, to={high:g}"
        )
    key = _key(seed, offset)
    values = _room(target, implementation, _WIDE, _dtypes.float32)
    implementation.uniform(_parts(values), low, high, _below(high, low, real), _HALF_BITS.get(real, 24), *key)
    return _delivered(target, values)


@functools.lru_cache(maxsize=None)
def _largest(dtype: np.dtype) -> float:
    return 3.3895313892515355e38 if dtype == _dtypes.bfloat16 else float(np.finfo(dtype).max)


def normal(
    shape: Sequence[int] | None,
    dtype: Any,
    mean: complex = 0.0,
    std: float = 1.0,
    *,
    seed: int,
    offset: int,
    device: str = "cpu",
    out: Any = None,
) -> Any:
    """``mean + std z`` with z standard normal: Box and Muller, "A note on the generation of random normal deviates" (1958).

    Elements 2k and 2k + 1 are ``r cos t`` and ``r sin t`` with ``r = sqrt(-2 log u)``; u and t are the k-th pair of numbers of the draw.
    float32 is computed in float32 from 32-bit numbers (so |z| <= 6.8), float64 in float64 from 53-bit ones.  The parts of a complex number
    are independent with half the variance each.  Raises RuntimeError if ``std`` is negative.
    """
    target, implementation = _target("normal", shape, dtype, device, out)
    dtype = target.dtype
    _floating("normal", dtype)
    mean, std = complex(mean), float(std)
    if not std >= 0.0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if mean.imag and dtype not in _dtypes.COMPLEXES:
        raise RuntimeError(f"normal: expected a real mean for {_dtypes.name(dtype)}, but got {mean}")
    key = _key(seed, offset)
    values = _room(target, implementation, _WIDE, _dtypes.float32)
    if dtype in _dtypes.COMPLEXES:
        implementation.normal(_parts(values), mean.real, mean.imag, std * math.sqrt(0.5), *key)
    else:
        implementation.normal(_parts(values), mean.real, mean.real, std, *key)
    return _delivered(target, values)


def exponential(
    shape: Sequence[int] | None,
    dtype: Any,
    lambd: float = 1.0,
    *,
    seed: int,
    offset: int,
    device: str = "cpu",
    out: Any = None,
) -> Any:
    """``-log(u) / lambd`` with u uniform on (0, 1); results are positive.  Floating dtypes.  Raises RuntimeError unless ``lambd > 0``."""
    target, implementation = _target("exponential", shape, dtype, device, out)
    dtype = target.dtype
    if dtype not in _dtypes.FLOATS:
        raise RuntimeError(f"exponential: expected a floating point dtype, but got {_dtypes.name(dtype)}")
    if not lambd > 0.0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    key = _key(seed, offset)
    values = _room(target, implementation, _WIDE, _dtypes.float32)
    implementation.exponential(values.reshape(-1), float(lambd), *key)
    return _delivered(target, values)


def bernoulli(
    p: Any,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    *,
    seed: int,
    offset: int,
    device: str = "cpu",
    out: Any = None,
) -> Any:
    """1 with probability ``p`` and 0 otherwise: ``u < p`` with u uniform on [0, 1) in steps of 2^-32.

    ``p`` is a number, or a floating array of the result's shape (whose dtype is the default one).  Any dtype.
    Raises RuntimeError if a probability lies outside [0, 1].
    """
    key = _key(seed, offset)
    if isinstance(p, (int, float)):
        target, implementation = _target("bernoulli", shape, dtype, device, out)
        if not 0.0 <= p <= 1.0:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")
        values = _room(target, implementation, _FLAGS, _dtypes.uint8)
        implementation.bernoulli(_flags(values), _threshold(p), *key)
    else:
        if p.dtype not in _dtypes.FLOATS:
            raise RuntimeError(f"bernoulli: expected probabilities of a floating point dtype, but got {_dtypes.name(p.dtype)}")
        if out is None:
            target, implementation = _on(p).empty(p.shape, np.dtype(p.dtype if dtype is None else dtype)), _on(p)
        else:
            target, implementation = _target("bernoulli", None, None, device, out)
            _on(p, target)
            if target.shape != p.shape:
                raise RuntimeError(f"bernoulli: expected p of shape {target.shape}, but got {p.shape}")
        values = _room(target, implementation, _FLAGS, _dtypes.uint8)
        wide = contiguous(cast(p, _dtypes.compute_dtype(p.dtype)))
        if not implementation.bernoulli_each(_flags(values), wide.reshape(-1), *key):
            raise RuntimeError("bernoulli: expected all probabilities to be in [0, 1]")
    return _delivered(target, values)


_FLAGS = (_dtypes.float32, _dtypes.float64, _dtypes.uint8, _dtypes.bool_)


def _flags(array: Any) -> Any:
    """A flat view of ``array``, bool as uint8."""
    flat = array.reshape(-1)
    return flat.view(_dtypes.uint8) if flat.dtype == _dtypes.bool_ else flat


def _threshold(p: float) -> np.uint64:
    """The number t of 2^32 words for which ``word < t`` has probability ``p``."""
    return np.uint64(round(float(p) * 2.0**32))


def randint(
    low: int,
    high: int,
    shape: Sequence[int] | None,
    dtype: Any = _dtypes.int64,
    *,
    seed: int,
    offset: int,
    device: str = "cpu",
    out: Any = None,
) -> Any:
    """Integers uniform on [low, high): ``low + floor(w (high - low) / 2^64)`` of a 64-bit w, so no value is favoured by more than
    ``(high - low) / 2^64``.

    Any real dtype.  Raises RuntimeError unless ``low < high`` and both ends fit the dtype.
    """
    target, implementation = _target("random_", shape, dtype, device, out)
    dtype = target.dtype
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if dtype in _dtypes.COMPLEXES:
        raise RuntimeError(f"random_: expected a real dtype, but got {_dtypes.name(dtype)}")
    first, last = _integers(dtype)
    if low < first or high - 1 > last:
        bound, value = ("from", low) if low < first else ("to - 1", high - 1)
        raise RuntimeError(f"random_: {bound} is out of bounds for {_dtypes.name(dtype)}: expected {first} to {last}, but got {value}")
    key = _key(seed, offset)
    span = np.uint64((high - low) % _SEED_RANGE)  # 0 stands for 2^64
    values = _room(target, implementation, (*_dtypes.INTEGERS, *_WIDE), _dtypes.float32)
    implementation.randint(values.reshape(-1), np.int64(low), span, *key)
    return _delivered(target, values)


def _integers(dtype: np.dtype) -> tuple[int, int]:
    """The range of integers that ``randint`` lets ``dtype`` have: all of an integer type's, those a floating type holds."""
    if dtype == _dtypes.bool_:
        return 0, 1
    if dtype in _dtypes.INTEGERS:
        info = np.iinfo(dtype)
        return int(info.min), int(info.max)
    if dtype in (_dtypes.float16, _dtypes.bfloat16):
        return (-65504, 65504) if dtype == _dtypes.float16 else (-(1 << 63), (1 << 63) - 1)
    return -(1 << 63), (1 << 63) - 1


def randperm(n: int, dtype: Any = _dtypes.int64, *, seed: int, offset: int, device: str = "cpu") -> Any:
    """A random permutation of 0 ... n-1: the order that sorts n random 64-bit keys (equal keys keep their order).

    Raises RuntimeError if ``n`` is negative or ``dtype`` does not hold every integer below ``n``.
    """
    n, dtype = int(n), np.dtype(dtype)
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    limit = {_dtypes.float16: 2048, _dtypes.bfloat16: 256, _dtypes.float32: 1 << 24, _dtypes.float64: 1 << 53}
    if dtype in _dtypes.COMPLEXES or dtype == _dtypes.bool_:
        raise RuntimeError(f"randperm: expected a real dtype, but got {_dtypes.name(dtype)}")
    if n - 1 > limit.get(dtype, _integers(dtype)[1]):
        raise RuntimeError(f"randperm: n is too large for {_dtypes.name(dtype)}: {n}")
    implementation = _on(place(device)) if device != "cpu" else _on()
    order = implementation.empty((n,), _dtypes.int64)
    implementation.randperm(order, *_key(seed, offset))
    return cast(order, dtype)


def multinomial(probs: Any, num_samples: int, replacement: bool = False, *, seed: int, offset: int) -> Any:
    """Indices drawn with probability proportional to the weights in the rows of ``probs``: (n,) -> (k,) or (m, n) -> (m, k), int64.

    With replacement: the inverse of the running sums (taken in float64) at a uniform number; it uses up ``draws(m k)`` steps.  Without: the
    k smallest of ``e_j / probs_j`` with e exponential, in that order, which is the order of successive draws (Efraimidis and Spirakis,
    "Weighted random sampling with a reservoir", 2006); it uses up ``draws(m n)`` steps.

    Raises RuntimeError for weights that are negative, infinite, NaN or sum to zero, for ``num_samples <= 0``, and without replacement for
    more samples than there are categories (of positive weight).
    """
    if probs.dtype not in _dtypes.FLOATS:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {_dtypes.name(probs.dtype)}")
    if probs.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, but got shape {probs.shape}")
    num_samples, categories = int(num_samples), probs.shape[-1]
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, but got {num_samples}")
    if not replacement and num_samples > categories:
        raise RuntimeError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement, but got {num_samples} > {categories}"
        )
    implementation = _on(probs)
    rows = probs.shape[0] if probs.ndim == 2 else 1
    weights = contiguous(cast(probs, _dtypes.compute_dtype(probs.dtype))).reshape(rows, categories)
    out = implementation.empty((rows, num_samples), _dtypes.int64)
    if rows:
        positive, bad = implementation.weigh(weights)
        if bad:
            raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
        if positive == 0:
            raise RuntimeError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
        if not replacement and positive < num_samples:
            raise RuntimeError(
                f"multinomial: invalid multinomial distribution (with replacement=False, not enough positive weights to sample: "
                f"expected at least {num_samples}, but got {positive})"
            )
        draw = implementation.multinomial_with if replacement else implementation.multinomial_without
        draw(out, weights, *_key(seed, offset))
    return out if probs.ndim == 2 else out.reshape(num_samples)


def dropout_mask(shape: Sequence[int], p: float, *, seed: int, offset: int, device: str = "cpu") -> Any:
    """Which elements are kept, as bool: each is False with probability ``p``."""
    return bernoulli(1.0 - _dropped("dropout_mask", p), shape, _dtypes.bool_, seed=seed, offset=offset, device=device)


def _dropped(op: str, p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{op}: dropout probability has to be between 0 and 1, but got {p}")
    return float(p)


def dropout(x: Any, p: float, *, seed: int, offset: int) -> tuple[Any, Any]:
    """``y = x mask / (1 - p)``, with ``mask = dropout_mask(x.shape, p)``: returns (y, mask).

    Floating dtypes.  ``p = 1`` gives ``y = 0 x``.  As in PyTorch, what is dropped is multiplied by zero, so NaN and infinity become NaN.
    """
    p = _dropped("dropout", p)
    if x.dtype not in _dtypes.FLOATS:
        raise RuntimeError(f"dropout: expected a floating point dtype, but got {_dtypes.name(x.dtype)}")
    implementation = _on(x)
    wide = contiguous(cast(x, _dtypes.compute_dtype(x.dtype)))
    y, mask = implementation.empty(x.shape, wide.dtype), implementation.empty(x.shape, _dtypes.bool_)
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    implementation.dropout(y.reshape(-1), mask.reshape(-1), wide.reshape(-1), _threshold(1.0 - p), scale, *_key(seed, offset))
    return cast(y, x.dtype), mask


def masked_scale(x: Any, mask: Any, scale: float) -> Any:
    """``x mask scale``, dropout's derivative: x floating, mask bool of the same shape."""
    if x.shape != mask.shape:
        raise RuntimeError(f"masked_scale: expected a mask of shape {x.shape}, but got {mask.shape}")
    if mask.dtype != _dtypes.bool_:
        raise RuntimeError(f"masked_scale: expected a bool mask, but got {_dtypes.name(mask.dtype)}")
    implementation = _on(x, mask)
    wide = contiguous(cast(x, _dtypes.compute_dtype(x.dtype)))
    y = implementation.empty(x.shape, wide.dtype)
    implementation.masked_scale(y.reshape(-1), wide.reshape(-1), contiguous(mask).reshape(-1), float(scale))
    return cast(y, x.dtype)
