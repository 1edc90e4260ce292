"""Exponential families: densities exp(⟨t(x), η⟩ − A(η)) h(x), with natural parameters η and log normaliser A."""

from __future__ import annotations

from typing import Any

from ..autograd import enable_grad, grad
from ..tensor import Tensor
from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A family whose entropy and divergences follow from its log normaliser.

    A member defines ``_natural_params`` (a tuple of tensors), ``_log_normalizer`` of them, and ``_mean_carrier_measure``, E log h(x).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def _normalizer_slopes(self) -> tuple[list[Tensor], Tensor, tuple[Tensor, ...]]:
        """The natural parameters cut off from the graph, the log normaliser of them, and its derivatives, which are the means of t(x)."""
        with enable_grad():
            natural = [p.detach().requires_grad_() for p in self._natural_params]
            log_normalizer = self._log_normalizer(*natural)
            return natural, log_normalizer, grad(log_normalizer.sum(), natural, create_graph=True)

    def entropy(self) -> Tensor:
        """A(η) − ⟨η, ∇A(η)⟩ − E log h(x).  F. Nielsen and R. Nock, "Entropies and cross-entropies of exponential families" (2010)."""
        natural, log_normalizer, slopes = self._normalizer_slopes()
        result = log_normalizer - self._mean_carrier_measure
        for eta, slope in zip(natural, slopes):
            result = result - (eta * slope).reshape((*self._batch_shape, -1)).sum(-1)
        return result
