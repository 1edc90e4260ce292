"""Kullback–Leibler divergences: ``kl_divergence(p, q)``, and ``register_kl`` for pairs of your own."""

from __future__ import annotations

from . import _kl_cross, _kl_matrix, _kl_same  # noqa: F401  (each registers its pairs)
from ._kl_registry import REGISTRY, kl_divergence, register_kl

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY = REGISTRY  # PyTorch's name, by which the pairs can be listed
