"""Random tensors and dropout.  Every function takes ``generator``, by default the device's, and moves its counter on.

A generator is a seed and a counter, and gives the same numbers on every device; so one of another device is taken as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..autograd.mode import no_grad, state
from ..devices import as_device, cpu, device
from ..generator import Generator, default_generator, default_generator_of
from ..kernels import copy as copy_kernels
from ..kernels import random as kernels
from ..tensor import Tensor, wrap
from ._attach import public
from ._inplace import check_writable, overwrite, rebase
from ._operation import differentiable
from ._out import into
from .views import only_size, sizes_of


def _key(generator: Generator | None, n: int, op: str, place: device = cpu) -> dict[str, Any]:
    """Where a draw of ``n`` numbers starts, and unless it is on the CPU, on which device it is made."""
    if generator is None:
        generator = default_generator if place is cpu else default_generator_of(place)
    elif not isinstance(generator, Generator):
        raise TypeError(f"{op}(): argument 'generator' must be a Generator, but got {type(generator).__name__}")
    seed, offset = generator.take(kernels.draws(n))
    return {"seed": seed, "offset": offset} if place is cpu else {"seed": seed, "offset": offset, "device": str(place)}


def _key_beside(tensor: Tensor, generator: Generator | None, n: int, op: str) -> dict[str, Any]:
    """``_key`` of a draw that is made where ``tensor`` is."""
    data = tensor._data
    key = _key(generator, n, op, cpu if type(data) is np.ndarray else tensor.device)
    key.pop("device", None)
    return key


def _place(wanted: Any, out: Tensor | None, op: str) -> device:
    """The device of the result: what was asked for, or that of ``out``."""
    return out.device if out is not None and wanted is None else as_device(wanted, op)


def _count(shape: Any, dtype: np.dtype) -> int:
    return math.prod(shape) * (2 if dtype.kind == "c" else 1)


def _size(args: tuple[Any, ...], size: Any, op: str) -> tuple[int, ...]:
    """The shape from sizes given one by one, as a sequence, or by name."""
    if size is not None:
        if args:
            raise TypeError(f"{op}() got multiple values for argument 'size'")
        args = (tuple(size),)
    elif not args:
        raise TypeError(f"{op}() missing required argument: 'size'")
    shape = sizes_of(args, op)
    if shape and min(shape) < 0:
        raise RuntimeError(f"{op}: Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    return shape


def _numpy_dtype(dtype: Any, default: dtypes.dtype | None = None) -> np.dtype:
    return (default or dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)).numpy


def _made(data: Any, out: Tensor | None, requires_grad: bool, op: str) -> Tensor:
    """The tensor for numbers that were drawn."""
    if out is None:
        made = wrap(data)
        return made.requires_grad_() if requires_grad else made
    return into(out, wrap(data), op)


@public(method=False)
def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Numbers uniform on [0, 1)."""
    place = _place(device, out, "rand")
    shape, kind = _size(size, only_size(named, "rand"), "rand"), _numpy_dtype(dtype, None if out is None else out.dtype)
    data = kernels.uniform(shape, kind, **_key(generator, _count(shape, kind), "rand", place))
    return _made(data, out, requires_grad, "rand")


@public(method=False)
def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **named: Any,
) -> Tensor:
    """Numbers of the standard normal distribution (complex ones of variance 1)."""
    place = _place(device, out, "randn")
    shape, kind = _size(size, only_size(named, "randn"), "randn"), _numpy_dtype(dtype, None if out is None else out.dtype)
    data = kernels.normal(shape, kind, **_key(generator, _count(shape, kind), "randn", place))
    return _made(data, out, requires_grad, "randn")


@public(method=False)
def randint(
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randint(low=0, high, size)``: integers uniform on [low, high), int64 unless ``dtype`` says otherwise."""
    place = _place(device, out, "randint")
    given: list[Any] = list(args)
    if given and isinstance(given[-1], (tuple, list)):
        if size is not None:
            raise TypeError("randint() got multiple values for argument 'size'")
        size = given.pop()
    if len(given) == 2 and low is None and high is None:
        low, high = given
    elif len(given) == 1 and high is None:
        high = given[0]
    elif len(given) == 1 and low is None:
        low = given[0]
    elif given:
        raise TypeError(f"randint() takes (low, high, size) or (high, size), but got {len(args)} positional arguments")
    if high is None or size is None:
        raise TypeError(f"randint() missing required argument: '{'high' if high is None else 'size'}'")
    shape = _size((), size, "randint")
    kind = _numpy_dtype(dtype, dtypes.int64 if out is None else out.dtype)
    data = kernels.randint(int(low or 0), int(high), shape, kind, **_key(generator, math.prod(shape), "randint", place))
    return _made(data, out, requires_grad, "randint")


@public(method=False)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A random permutation of 0 ... n-1, int64 unless ``dtype`` says otherwise."""
    place = _place(device, out, "randperm")
    kind = _numpy_dtype(dtype, dtypes.int64 if out is None else out.dtype)
    data = kernels.randperm(n, kind, **_key(generator, max(int(n), 0), "randperm", place))
    return _made(data, out, requires_grad, "randperm")


def _like(input: Tensor, dtype: Any, op: str) -> tuple[tuple[int, ...], np.dtype]:
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' must be a Tensor, but got {type(input).__name__}")
    return input._data.shape, input._data.dtype if dtype is None else _numpy_dtype(dtype)


@public(method=False)
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``rand`` of the shape and dtype of ``input``."""
    shape, kind = _like(input, dtype, "rand_like")
    device = input.device if device is None else device
    return rand(shape, generator=generator, dtype=dtypes.of(kind), device=device, requires_grad=requires_grad)


@public(method=False)
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``randn`` of the shape and dtype of ``input``."""
    shape, kind = _like(input, dtype, "randn_like")
    device = input.device if device is None else device
    return randn(shape, generator=generator, dtype=dtypes.of(kind), device=device, requires_grad=requires_grad)


@public(method=False)
def randint_like(
    input: Tensor,
    low: int = 0,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``randint_like(input, low=0, high)``: ``randint`` of the shape and dtype of ``input``."""
    shape, kind = _like(input, dtype, "randint_like")
    if high is None:
        low, high = 0, low
    device = input.device if device is None else device
    return randint(low, high, shape, generator=generator, dtype=dtypes.of(kind), device=device, requires_grad=requires_grad)


@public(method=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """``mean + std z`` with z standard normal: ``mean`` and ``std`` are tensors that broadcast, or numbers (two numbers need ``size``).

    The result is not differentiable with respect to them.  Raises RuntimeError for a negative ``std``.
    """
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() missing required argument: 'size'")
        place = _place(device, out, "normal")
        shape, kind = _size((), size, "normal"), _numpy_dtype(dtype, None if out is None else out.dtype)
        data = kernels.normal(shape, kind, mean, std, **_key(generator, _count(shape, kind), "normal", place))
        return _made(copy_kernels.pinned(data) if pin_memory else data, out, requires_grad, "normal")
    if size is not None:
        raise TypeError("normal() got an unexpected argument 'size': the shape is that of the tensors")
    with no_grad():
        if isinstance(std, Tensor):
            if std.is_complex():
                raise RuntimeError("normal expects standard deviation to be non-complex")
            if std.numel() and bool((std < 0).any()):  # type: ignore[attr-defined]
                raise RuntimeError("normal expects all elements of std >= 0.0")
        elif std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        total: Any = mean + std * 0 if isinstance(std, Tensor) else mean  # for its shape and dtype
        noise = randn(tuple(total.shape), generator=generator, dtype=total.dtype, device=total.device)
        result: Any = noise * std + mean  # type: ignore[operator]
    return _made(result._data, out, requires_grad, "normal")


@public
def bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """1 with the probability that ``input`` holds for each element (or ``p`` for all), else 0, in the dtype of ``input``.

    Its gradient is zero.  Raises RuntimeError for probabilities outside [0, 1].
    """
    chance: Any = input._data if p is None else float(p)
    key = _key(generator, input.numel(), "bernoulli", input.device)
    data = kernels.bernoulli(chance, input._data.shape, input._data.dtype, **key)
    return _made(data, out, False, "bernoulli")


@public
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """``num_samples`` indices for each row of weights in ``input``, drawn with probability proportional to them; see the kernel."""
    data = input._data
    rows = data.shape[0] if data.ndim == 2 else 1
    numbers = rows * max(int(num_samples), 0) if replacement else data.size
    found = kernels.multinomial(data, num_samples, replacement, **_key_beside(input, generator, numbers, "multinomial"))
    return _made(found, out, False, "multinomial")


def _refilled(tensor: Tensor, op: str) -> Any:
    """The array of ``tensor``, to draw into, checked to be writable."""
    check_writable(tensor, op)
    return tensor._data


def _done(tensor: Tensor) -> Tensor:
    """``tensor``, whose elements were all replaced by constants: the gradient of what it held before is zero."""
    tensor._bump()
    if state.recording and tensor.requires_grad:
        rebase(tensor, tensor.detach())
    return tensor


@public(function=False)
def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers uniform on [from, to)."""
    data = _refilled(self, "uniform_")
    kernels.uniform(None, None, from_, to, out=data, **_key_beside(self, generator, _count(data.shape, data.dtype), "uniform_"))
    return _done(self)


@public(function=False)
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with ``mean + std z``, z standard normal."""
    data = _refilled(self, "normal_")
    kernels.normal(None, None, mean, std, out=data, **_key_beside(self, generator, _count(data.shape, data.dtype), "normal_"))
    return _done(self)


@public(function=False)
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of density ``lambd exp(-lambd x)``."""
    data = _refilled(self, "exponential_")
    kernels.exponential(None, None, lambd, out=data, **_key_beside(self, generator, data.size, "exponential_"))
    return _done(self)


@public(function=False)
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 with probability ``p``, a number or a tensor that broadcasts, and 0 otherwise."""
    data = _refilled(self, "bernoulli_")
    chance = p.expand(self.shape)._data if isinstance(p, Tensor) else float(p)  # type: ignore[attr-defined]
    kernels.bernoulli(chance, out=data, **_key_beside(self, generator, data.size, "bernoulli_"))
    return _done(self)


# Up to where every integer is a number of the type.
_WHOLE = {dtypes.float16: 2048, dtypes.bfloat16: 256, dtypes.float32: 1 << 24, dtypes.float64: 1 << 53, dtypes.bool_: 1}


@public(function=False)
def random_(self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """``random_(to)``, ``random_(from, to)``: fill with integers uniform on [from, to).

    Without ``to``, up to the largest of the dtype (of a floating dtype, the largest up to which it holds every integer).
    """
    data = _refilled(self, "random_")
    if from_ is not None and to is None:
        from_, to = 0, from_
    if to is None:
        largest = _WHOLE.get(self.dtype)
        to = (int(np.iinfo(data.dtype).max) if largest is None and data.dtype.kind in "iu" else largest or 0) + 1
    kernels.randint(int(from_ or 0), int(to), None, None, out=data, **_key_beside(self, generator, data.size, "random_"))
    return _done(self)


def _scale(p: float) -> float:
    return 1.0 / (1.0 - p) if p < 1.0 else 0.0


masked_scale = differentiable("masked_scale", kernels.masked_scale, x=lambda g, mask, scale: masked_scale(g, mask, scale))
_dropout = differentiable(
    "dropout",
    lambda x, p, seed, offset: kernels.dropout(x, p, seed=seed, offset=offset),
    results=("y", "mask"),
    x=lambda g, mask, p: masked_scale(g, mask, _scale(p)),
)


@public(method=False)
def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """``input mask / (1 - p)``, each element of the mask being 0 with probability ``p``; ``input`` itself unless ``training``.

    G. E. Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
    Raises ValueError for ``p`` outside [0, 1], RuntimeError for an integer tensor.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0 or input.numel() == 0:
        return input
    dropped, _ = _dropout(input, float(p), *_key_beside(input, generator, input.numel(), "dropout").values())
    return overwrite(input, dropped, "dropout_") if inplace else dropped
