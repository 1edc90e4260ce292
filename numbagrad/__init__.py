"""numbagrad: PyTorch's way of working, with every kernel written in Python and compiled by Numba.

import numbagrad as ng

x = ng.randn(3, requires_grad=True)
(x * 2).tanh().sum().backward()
x.grad
"""

from typing import Any as _Any

from .kernels import _collector

with _collector.resting(settle=True):
    from . import autograd, ops

from ._printing import set_printoptions
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .creation import *  # noqa: F403
from .devices import device, get_default_device, set_default_device
from .dtypes import (
    bfloat16,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
)  # fmt: skip
from .dtypes import bool_ as bool
from .dtypes import float_ as float
from .dtypes import int_ as int
from .kernels._cpu import get_num_threads, set_num_threads
from .layouts import *  # noqa: F403
from .legacy import *  # noqa: F403
from .ops.elementwise import elementwise
from .random import Generator, default_generator, fork_rng, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from .tensor import Parameter as _Parameter
from .tensor import Size, Tensor

__version__ = "0.1.0"

globals().update(ops.FUNCTIONS)

# Imported when first asked for, so that `import numbagrad` stays quick.
_LAZY = (
    "accelerator",
    "amp",
    "array_api",
    "backends",
    "cuda",
    "data",
    "distributions",
    "fft",
    "func",
    "linalg",
    "masked",
    "nn",
    "onnx",
    "optim",
    "serialization",
    "signal",
    "special",
    "storage",
    "testing",
    "types",
    "utils",
    "version",
    "vision",
)
_MOVED = {"save": "serialization", "load": "serialization"} | dict.fromkeys(
    ("autocast", "clear_autocast_cache", "get_autocast_dtype", "is_autocast_cache_enabled", "is_autocast_enabled", "set_autocast_cache_enabled",
     "set_autocast_dtype", "set_autocast_enabled"), "amp"
) | dict.fromkeys(("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"), "signal.spectral") | dict.fromkeys(
    ("get_float32_matmul_precision", "set_float32_matmul_precision"), "backends"
) | {"GradScaler": "amp", "OutOfMemoryError": "cuda", "vmap": "func"}  # fmt: skip
_MORE = ("natives", "runtime")  # where a name is looked for last: layer_norm, compile, ...


def __getattr__(name: str) -> _Any:
    from importlib import import_module

    if name in _LAZY:
        return import_module(f".{name}", __name__)
    if name in _MOVED:
        return getattr(import_module(f".{_MOVED[name]}", __name__), name)
    for module in () if name.startswith("_") else _MORE:
        found = import_module(f".{module}", __name__)
        if name in getattr(found, "__all__", ()):
            return getattr(found, name)
    raise AttributeError(f"module 'numbagrad' has no attribute {name!r}")


def is_tensor(obj: _Any) -> _Any:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def _tensor(input: _Any, op: str) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


def numel(input: Tensor) -> _Any:
    """The number of elements."""
    return _tensor(input, "numel").numel()


def is_floating_point(input: Tensor) -> _Any:
    """Whether the dtype is a floating-point one."""
    return _tensor(input, "is_floating_point").is_floating_point()


def is_complex(input: Tensor) -> _Any:
    """Whether the dtype is a complex one."""
    return _tensor(input, "is_complex").is_complex()


def result_type(tensor1: _Any, tensor2: _Any) -> dtype:
    """The dtype of arithmetic between ``tensor1`` and ``tensor2``, tensors or numbers."""
    from .dtypes import of
    from .kernels.elementwise import result_type as settle

    return of(settle([(t._data.dtype if t.ndim else (t._data.dtype,)) if isinstance(t, Tensor) else type(t) for t in (tensor1, tensor2)]))
