"""Where PyTorch keeps it: ``from numbagrad.nn.parameter import Parameter``."""

from ..tensor import Parameter

__all__ = ["Parameter"]
