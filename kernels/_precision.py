"""How exactly products are computed where there is a choice; ``numbagrad.backends`` shows these settings under PyTorch's names."""

from __future__ import annotations


class _Matmul:
    """Matrix products on CUDA.  ``allow_tf32``: float32 on the tensor cores, which round each factor to 11 bits (TensorFloat-32)."""

    allow_tf32 = False


matmul = _Matmul()


class _Convolution:
    """Convolutions on CUDA, likewise."""

    allow_tf32 = True


convolution = _Convolution()
