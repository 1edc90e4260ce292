"""What scripts ask of the library, and tell it, besides computing: ``compile``, how many threads, whether warnings repeat, what an object is.

Much of it is about things that are not here (an interpreter of graphs, pools of threads between operations); then the answer says so.
"""

from __future__ import annotations

from typing import Any, Callable

from . import legacy
from .amp import get_autocast_dtype, is_autocast_enabled
from .autograd import anomaly
from .autograd.mode import is_inference_mode_enabled
from .dtypes import as_dtype, set_default_dtype
from .ops._arguments import tensor_argument
from .storage import is_storage
from .tensor import Tensor


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """``model``, a function or module, as it is: every kernel is compiled already when it is first called, and nothing traces Python.

    Without ``model`` a decorator.  The settings are taken and have no effect.  Raises RuntimeError for ``mode`` together with ``options``, as PyTorch,
    AssertionError for what cannot be called.
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return compile
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    return model


# ---- threads, numbers ----------------------------------------------------------------------------------------------------------------


def get_num_interop_threads() -> int:
    """1: operations follow each other; what ``set_num_threads`` sets is shared out within each."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Nothing: see ``get_num_interop_threads``.  Raises RuntimeError for a number below 1."""
    if not isinstance(num, int):
        raise RuntimeError(f"set_num_interop_threads expects an int, but got {type(num).__name__}")
    if num < 1:
        raise RuntimeError("Expected nthreads > 0 to be true, but got false.")


def set_flush_denormal(mode: bool) -> bool:
    """False: the kernels compute with denormal numbers, and cannot be told to take them for 0."""
    return False


# ---- determinism, warnings -------------------------------------------------------------------------------------------------------------

_MODES = ("default", "warn", "error")


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether ``use_deterministic_algorithms`` was last called with ``warn_only``."""
    return legacy.deterministic["warn_only"]


def get_deterministic_debug_mode() -> int:
    """0, 1 with ``use_deterministic_algorithms(True, warn_only=True)``, 2 with ``use_deterministic_algorithms(True)``."""
    return 0 if not legacy.deterministic["mode"] else 1 if legacy.deterministic["warn_only"] else 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """``"default"`` or 0, ``"warn"`` or 1, ``"error"`` or 2: see ``get_deterministic_debug_mode``.  Raises RuntimeError for anything else."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if debug_mode in _MODES:
        debug_mode = _MODES.index(debug_mode)  # type: ignore[arg-type]
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected `default`, `warn`, `error` or 0, 1, 2, but got {debug_mode}")
    legacy.use_deterministic_algorithms(bool(debug_mode), warn_only=debug_mode == 1)


_warnings = {"always": False}


def set_warn_always(b: bool) -> None:
    """Nothing but remembered: how often a warning is shown is up to Python's filters, ``warnings.simplefilter("always")``."""
    if not isinstance(b, bool):
        raise TypeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _warnings["always"] = b


def is_warn_always_enabled() -> bool:
    """What ``set_warn_always`` was last called with."""
    return _warnings["always"]


def is_anomaly_enabled() -> bool:
    """Whether ``autograd.detect_anomaly`` is on."""
    return anomaly.is_anomaly_enabled()


def set_default_tensor_type(t: Any) -> None:
    """The default dtype by the name of a typed constructor, ``FloatTensor`` or ``"numbagrad.DoubleTensor"``; prefer ``set_default_dtype``.

    Raises TypeError for a type that is not one of floating-point tensors.
    """
    name = t.rpartition(".")[2] if isinstance(t, str) else getattr(t, "__name__", "")
    found: Any = getattr(legacy, name, None)
    if not hasattr(found, "dtype") or not as_dtype(found.dtype).is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    set_default_dtype(found.dtype)


def get_autocast_cpu_dtype() -> Any:
    """``get_autocast_dtype("cpu")``"""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> Any:
    """``get_autocast_dtype("cuda")``"""
    return get_autocast_dtype("cuda")


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``"""
    return is_autocast_enabled("cpu")


# ---- objects -------------------------------------------------------------------------------------------------------------------------


def typename(obj: Any) -> str:
    """``"numbagrad.FloatTensor"`` for a tensor, else the name of the type with its module's unless that is Python's own."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = obj if isinstance(obj, type) or callable(obj) and hasattr(obj, "__qualname__") else type(obj)
    module = getattr(kind, "__module__", None)
    return kind.__qualname__ if module in (None, "builtins") else f"{module}.{kind.__qualname__}"


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A vector of ``size`` elements over the bytes of a file, mapped into memory: what is ``shared`` is written back to the file, which is made or
    lengthened where it is too short.  Raises RuntimeError where it is too short and not ``shared``."""
    import os

    import numpy as np

    from . import dtypes
    from .creation import from_numpy

    target = (dtypes.get_default_dtype() if dtype is None else as_dtype(dtype, "from_file")).numpy
    needed = size * target.itemsize
    held = os.path.getsize(filename) if os.path.exists(filename) else 0
    if held < needed:
        if not shared:
            raise RuntimeError(f"from_file: {filename} has {held} bytes, but {size} elements of {target} need {needed}")
        with open(filename, "ab") as file:
            file.truncate(needed)
    if not size:
        return from_numpy(np.empty(0, target))
    mapped = from_numpy(np.memmap(filename, target, "r+" if shared else "c", shape=(size,)).view(np.ndarray))
    return mapped.requires_grad_(requires_grad) if device is None else mapped.to(device).requires_grad_(requires_grad)


def frobenius_norm(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """√Σ|x|² over ``dim``; prefer ``linalg.vector_norm``."""
    return tensor_argument(input, "frobenius_norm", "input").norm(2, dim or None, keepdim)  # type: ignore[attr-defined]


def nuclear_norm(input: Tensor, dim: Any = (0, 1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values; prefer ``linalg.matrix_norm``."""
    return tensor_argument(input, "nuclear_norm", "input").norm("nuc", dim, keepdim)  # type: ignore[attr-defined]


__all__ = [
    "compile", "from_file", "frobenius_norm", "get_autocast_cpu_dtype", "get_autocast_gpu_dtype", "get_deterministic_debug_mode",
    "get_num_interop_threads", "is_anomaly_enabled", "is_autocast_cpu_enabled", "is_deterministic_algorithms_warn_only_enabled",
    "is_inference_mode_enabled", "is_storage", "is_warn_always_enabled", "nuclear_norm", "set_default_tensor_type",
    "set_deterministic_debug_mode", "set_flush_denormal", "set_num_interop_threads", "set_warn_always", "typename",
]  # fmt: skip
