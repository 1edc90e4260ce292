"""How exactly products are computed where there is a choice; ``numbagrad.backends`` shows these settings under PyTorch's names."""

from __future__ import annotations


class _Matmul:
    """Matrix products on CUDA.  ``allow_tf32``: float32 on the tensor cores, which round each factor to 11 bits (TensorFloat-32).  The other two
    have no effect: products of float16 and bfloat16 are summed in float32 whatever they say.  Any other name is an AttributeError."""

    __slots__ = ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction", "allow_tf32")

    def __init__(self) -> None:
        self.allow_tf32 = False
        self.allow_bf16_reduced_precision_reduction = self.allow_fp16_reduced_precision_reduction = True


matmul = _Matmul()


class _Convolution:
    """Convolutions on CUDA, likewise."""

    allow_tf32 = True


convolution = _Convolution()
