"""Where PyTorch keeps its data loading and activation checkpointing: ``from numbagrad.utils.data import DataLoader``, ``numbagrad.utils.checkpoint``."""

from . import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
