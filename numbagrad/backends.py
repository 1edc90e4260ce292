"""The switches that scripts set before they train.  ``cuda.matmul.allow_tf32`` lets products of float32 go by the tensor cores of a GPU in less than
float32's precision; False, as in PyTorch, until it is set.  ``cudnn.allow_tf32`` does so for convolutions, and is True, as in PyTorch, until it is set.
``cudnn`` takes any other setting and none has an effect: there is no cuDNN here, and results are the same each time without it.  ``mps`` and the like say
that they are not there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from .kernels import _precision


class _Absent:
    """A backend that is not there: it can be asked, and told settings."""

    def __init__(self, **settings: Any):
        self.__dict__.update(settings)

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False


class _Cudnn(_Absent):
    @property
    def allow_tf32(self) -> bool:
        return _precision.convolution.allow_tf32

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        _precision.convolution.allow_tf32 = bool(value)


cudnn = _Cudnn(enabled=False, benchmark=False, deterministic=True)


class _Cuda(_Absent):
    """Kernels for GPUs."""

    def is_available(self) -> bool:
        from .cuda import is_available

        return is_available()

    def is_built(self) -> bool:
        """Whether kernels for GPUs can be compiled: whether numba-cuda is installed (``pip install numbagrad[cuda]``)."""
        return find_spec("numba_cuda") is not None


cuda = _Cuda(matmul=_precision.matmul)
mps = _Absent()


_PRECISIONS = {"highest": False, "high": True, "medium": True}


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly matrix products of float32 are computed on a GPU: ``"highest"`` in float32's own precision, ``"high"`` and ``"medium"`` as with
    ``backends.cuda.matmul.allow_tf32 = True``.  The CPU's are always in float32's.  Raises ValueError for any other word."""
    if precision not in _PRECISIONS:
        raise ValueError(f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', but got {precision!r}")
    _precision.matmul.allow_tf32 = _PRECISIONS[precision]


def get_float32_matmul_precision() -> str:
    """``"high"`` where ``backends.cuda.matmul.allow_tf32`` is set (``"medium"`` is the same here), else ``"highest"``."""
    return "high" if _precision.matmul.allow_tf32 else "highest"
