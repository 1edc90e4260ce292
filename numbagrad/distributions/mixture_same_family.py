"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from ..autograd import no_grad
from ..ops.softmax import log_softmax
from ..tensor import Tensor
from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """p(x) = Σₖ wₖ pₖ(x), the w being those of ``mixture_distribution``, a Categorical, and the p the last batch dimension of ``component_distribution``.

    Raises ValueError for other types, or where the numbers of components or the batches do not agree.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False
    _expands = ("_mixture_distribution", "_component_distribution")
    _keeps = ("_num_component", "_event_ndims")

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        weights, batch = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for ours, theirs in zip(reversed(weights), reversed(batch)):
            if ours != 1 and theirs != 1 and ours != theirs:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({weights}) is not compatible with `component_distribution.batch_shape`({batch})"
                )
        ours, theirs = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if ours != theirs:
            raise ValueError(
                f"`mixture_distribution component` ({ours}) does not equal `component_distribution.batch_shape[-1]` ({theirs})"
            )
        self._num_component, self._event_ndims = ours, len(component_distribution.event_shape)
        super().__init__(batch, component_distribution.event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> Any:  # type: ignore[override]
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Any:
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        return self._component_distribution

    def _pad(self, value: Tensor) -> Tensor:
        """With a dimension of components, of size 1."""
        return value.unsqueeze(-1 - self._event_ndims)

    def _weighted(self, values: Tensor) -> Tensor:
        """The mean over the components of something that each has in the shape of its event."""
        probs = self.mixture_distribution.probs
        probs = probs.reshape(probs.shape + (1,) * self._event_ndims)
        return (probs * values).sum(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._weighted(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means."""
        away = self.component_distribution.mean - self._pad(self.mean)
        return self._weighted(self.component_distribution.variance) + self._weighted(away.pow(2.0))

    def cdf(self, value: Tensor) -> Tensor:
        return (self.component_distribution.cdf(self._pad(value)) * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_probs = self.component_distribution.log_prob(self._pad(value))
        return (log_probs + log_softmax(self.mixture_distribution.logits, dim=-1)).logsumexp(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One sample of each component, of which one is chosen."""
        with no_grad():
            samples = self.component_distribution.sample(sample_shape)
            at = len(sample_shape) + len(self.batch_shape)
            choice = self.mixture_distribution.expand(self.batch_shape).sample(sample_shape)
            choice = choice.reshape(choice.shape + (1,) * (1 + self._event_ndims))
            sizes = samples.shape[:at] + (1,) + self.event_shape
            return samples.gather(at, choice.expand(sizes)).squeeze(at)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
