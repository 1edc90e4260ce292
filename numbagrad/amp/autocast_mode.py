"""``autocast``: inside, functions compute in the type that suits them (which: ``autograd.casting``), whatever they are given.

The settings are a thread's own; a new thread starts without.  Weights are cast once within the outermost context, and again once they change.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Callable

import numpy as np

from .. import dtypes
from ..autograd import casting
from ..dtypes import dtype as Dtype
from ..tensor import Tensor

__all__ = [
    "autocast",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
]

_SUPPORTED = (dtypes.bfloat16, dtypes.float16)


# ---- the settings of this thread ----------------------------------------------------------------------------------------------------


def _kind(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if not is_autocast_available(device_type):
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether there is an autocast for devices of a type: "cpu" and "cuda"."""
    return device_type in casting.LISTS


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on for devices of a type, in this thread."""
    return casting.state.enabled[_kind(device_type)] and not casting.state.suspended


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Turn autocast on or off for devices of a type, in this thread; with one argument, for "cuda".  The context does it better."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    casting.set_enabled(_kind(device_type), bool(enabled))


def get_autocast_dtype(device_type: str) -> Dtype:
    """The type that autocast lowers to on devices of a type: unless set otherwise float16 on "cuda", bfloat16 on "cpu"."""
    return dtypes.of(casting.state.lower[_kind(device_type)])


def set_autocast_dtype(device_type: str, dtype: Dtype) -> None:
    """Change the type that autocast lowers to on devices of a type, in this thread."""
    casting.state.lower[_kind(device_type)] = dtypes.as_dtype(dtype, "set_autocast_dtype").numpy


def is_autocast_cache_enabled() -> bool:
    """Whether casts of weights are kept, in this thread."""
    return casting.state.caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Let casts of weights be kept or not, in this thread."""
    casting.state.caching = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of weights that this thread keeps."""
    casting.clear_cache()


# ---- the context --------------------------------------------------------------------------------------------------------------------


class autocast:
    """``with autocast("cuda"):`` or ``@autocast("cuda")``: mixed precision inside, in this thread, for tensors on devices of that type.

    ``dtype`` is the type to lower to (see ``get_autocast_dtype``); ``enabled=False`` switches off what an outer context switched on;
    ``cache_enabled`` says whether a weight is cast once, or by each function that takes it.  Contexts nest.  Leave it before ``backward()``:
    gradients are computed in the types of the forward pass anyway.

    Raises ValueError or RuntimeError for no known type of device.  Where there is no GPU, or for a type of the CPU that is not supported, a
    warning is given and nothing is cast.
    """

    def __init__(self, device_type: str, dtype: Dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None):
        self.device = _kind(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtypes.as_dtype(dtype, "autocast")
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and self._usable()
        self._outer: list[Any] = []  # the settings around each entry that has not been left; one object may be entered several times

    def _usable(self) -> bool:
        if self.device == "cuda":
            from .. import cuda

            if not cuda.is_available():
                warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=4)
                return False
            if self.fast_dtype is dtypes.bfloat16 and not cuda.is_bf16_supported():
                raise RuntimeError("Current CUDA Device does not support bfloat16. Please switch dtype to float16.")
        elif self.fast_dtype not in _SUPPORTED:
            name, supported = self.device.upper(), ", ".join(map(str, _SUPPORTED))
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{name} Autocast only supports dtypes of {supported} currently.",
                stacklevel=4,
            )
            return False
        return True

    def __enter__(self) -> autocast:
        state, kind = casting.state, self.device
        self._outer.append((state.enabled[kind], state.lower[kind], state.caching, state.suspended))
        state.lower[kind] = self.fast_dtype.numpy
        state.caching, state.suspended = self._cache_enabled, False
        state.nesting += 1
        casting.set_enabled(kind, self._enabled)
        return self

    def __exit__(self, *error: Any) -> None:
        state, kind = casting.state, self.device
        state.nesting -= 1
        if state.nesting == 0:
            casting.clear_cache()
        enabled, state.lower[kind], state.caching, state.suspended = self._outer.pop()
        casting.set_enabled(kind, enabled)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. "
                "Did you mean to use autocast as a context manager? For example:\n"
                "    with numbagrad.autocast(device_type=...):\n"
                "        output = model(input)"
            )

        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return wrapped


# ---- functions with a backward of their own -----------------------------------------------------------------------------------------


def _cast(value: Any, device_type: str, dtype: Any) -> Any:
    """Tensors, also inside containers, in ``dtype`` where autocast would cast them."""
    if isinstance(value, Tensor):
        cast = value.is_floating_point() and value.device.type == device_type and value.dtype is not dtypes.float64
        return value.to(dtype) if cast else value  # type: ignore[attr-defined]
    if isinstance(value, (str, bytes, np.ndarray)):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, Iterable):
        parts = (_cast(v, device_type, dtype) for v in value)
        return type(value)(parts) if isinstance(value, (list, tuple)) else parts  # type: ignore[call-arg]
    return value


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: Dtype | None = None) -> Any:
    """A decorator for ``forward`` of an ``autograd.Function``: inside autocast its tensors are cast to ``cast_inputs``, and autocast is off in
    it; without ``cast_inputs`` it computes under the autocast around it.  Outside autocast nothing changes."""
    _kind(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """A decorator for ``backward`` of an ``autograd.Function`` whose forward has ``custom_fwd``: it runs under the autocast of the forward."""
    _kind(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *grads: Any, **kwargs: Any) -> Any:
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *grads, **kwargs)

    return backward
