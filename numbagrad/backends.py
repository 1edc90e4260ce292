"""The switches that scripts set before they train.  ``cuda.matmul.allow_tf32`` lets products of float32 go by the tensor cores of a GPU in less than
float32's precision; False, as in PyTorch, until it is set.  ``cudnn.allow_tf32`` does so for convolutions, and is True, as in PyTorch, until it is set.
``cudnn`` takes any other setting and none has an effect: there is no cuDNN here, and results are the same each time without it.  ``mps`` and the like say
that they are not there."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Iterator

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
    def version(self) -> None:
        """None: there is none."""

    @contextmanager
    def flags(self, **settings: Any) -> Iterator[None]:
        """``with flags(enabled=False, ...)``: other settings in here."""
        before = {name: getattr(self, name) for name in settings}
        try:
            for name, value in settings.items():
                setattr(self, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    @property
    def allow_tf32(self) -> bool:
        return _precision.convolution.allow_tf32

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        _precision.convolution.allow_tf32 = bool(value)


cudnn = _Cudnn(enabled=False, benchmark=False, benchmark_limit=10, deterministic=True)


class _Cuda(_Absent):
    """Kernels for GPUs."""

    def is_available(self) -> bool:
        from .cuda import is_available

        return is_available()

    def is_built(self) -> bool:
        """Whether kernels for GPUs can be compiled: whether numba-cuda is installed (``pip install numbagrad[cuda]``)."""
        return find_spec("numba_cuda") is not None

    def flash_sdp_enabled(self) -> bool:
        """True: attention's memory is linear in the length of the sequence, and there is no other way of it to choose."""
        return True

    def mem_efficient_sdp_enabled(self) -> bool:
        """True: see ``flash_sdp_enabled``."""
        return True

    def math_sdp_enabled(self) -> bool:
        """True: see ``flash_sdp_enabled``."""
        return True

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Nothing: see ``flash_sdp_enabled``."""

    enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = enable_flash_sdp


class _Cpu:
    """Kernels for the CPU."""

    def get_cpu_capability(self) -> str:
        """The instructions that kernels are compiled for: ``"AVX512"``, ``"AVX2"``, ``"NEON"`` or ``"DEFAULT"``."""
        from .kernels._cpu.simd import INSTRUCTION_SET

        return {"generic": "DEFAULT"}.get(INSTRUCTION_SET, INSTRUCTION_SET.upper())


cuda = _Cuda(matmul=_precision.matmul)
cpu = _Cpu()
mps, mkl, mkldnn, openmp, opt_einsum = (_Absent() for _ in range(5))


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
