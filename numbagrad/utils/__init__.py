"""Where PyTorch keeps its data loading: ``from numbagrad.utils.data import DataLoader``."""

from . import data

__all__ = ["data"]
