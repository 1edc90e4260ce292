"""Distribution: what every probability distribution has."""

from __future__ import annotations

import warnings
from typing import Any, Mapping

from ..autograd import no_grad
from ..size import Size
from ..tensor import Tensor
from . import constraints
from .utils import lazy_property

__all__ = ["Distribution"]


class Distribution:
    """A batch of probability distributions of the same kind, differentiable functions of their parameters.

    ``batch_shape``: the shape of the batch, one distribution for each element of it; they are independent and may differ.
    ``event_shape``: the shape of one sample of one distribution.  Samples of ``sample_shape`` have shape
    ``sample_shape + batch_shape + event_shape``, and ``log_prob`` sums over the event.

    ``rsample`` (where ``has_rsample``) is a differentiable function of the parameters (the pathwise or reparameterised gradient), ``sample``
    is not.  Parameters and values are checked unless ``validate_args`` is False; the check is a ValueError that shows what is wrong.

    A subclass of yours defines ``arg_constraints``, ``support``, ``log_prob``, ``sample`` or ``rsample``, and ``expand``.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__

    # What a class that can be expanded lists: attributes (tensors, distributions) with the batch's dimensions in front, and those without.
    _expands: tuple[str, ...]
    _keeps: tuple[str, ...] = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their arguments unless told otherwise.  Raises ValueError for what is no bool."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: expected True or False, but got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            wanted = {}
            warnings.warn(
                f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize the distribution "
                "with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
        for name, constraint in wanted.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # it follows from one that is checked
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {self!r} "
                    f"to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    # ---- shapes ----

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a sample of one distribution."""
        return self._event_shape

    def expand(self, batch_shape: Any, _instance: Distribution | None = None) -> Any:
        """The distribution with its batch expanded to ``batch_shape`` as by ``Tensor.expand``: no memory is taken for it."""
        owner = self._owner()
        if owner is None:
            raise NotImplementedError
        new, batch_shape = self._get_checked_instance(owner, _instance), Size(batch_shape)
        for name in owner._keeps:
            setattr(new, name, getattr(self, name))
        for name in owner._expands:
            if name in self.__dict__:
                setattr(new, name, self._expanded(self.__dict__[name], batch_shape))
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _owner(self) -> Any:
        """The class that says what there is to expand, if any does."""
        return next((cls for cls in type(self).__mro__ if "_expands" in cls.__dict__), None)

    def _expanded(self, value: Any, batch_shape: Size) -> Any:
        """A tensor or distribution with ``batch_shape`` in place of the batch's dimensions."""
        cut = len(self._batch_shape)
        return value.expand(batch_shape + (value.batch_shape if isinstance(value, Distribution) else value.shape)[cut:])

    def _get_checked_instance(self, cls: Any, _instance: Any = None) -> Any:
        """The object that ``expand`` fills: a new one, unless a subclass gives its own.  NotImplementedError where a subclass has to and does not."""
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(
                f"Subclass {self.__class__.__name__} of {cls.__name__} that defines a custom __init__ method "
                "must also define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        """The shape of samples of ``sample_shape``."""
        return Size(sample_shape) + self._batch_shape + self._event_shape

    # ---- what is known of it ----

    @property
    def arg_constraints(self) -> Mapping[str, constraints.Constraint]:
        """The constraint of each parameter."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint that samples satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    def entropy(self) -> Tensor:
        """−E log p(x), of shape ``batch_shape``."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return self.entropy().exp()

    # ---- samples ----

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples, which are no functions of the parameters."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples as differentiable functions of the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``, deprecated."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first dimension; over the batch expanded, or of size 1 there."""
        raise NotImplementedError

    # ---- probabilities ----

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at ``value``."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most ``value``."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile: the inverse of ``cdf``."""
        raise NotImplementedError

    def _validate_sample(self, value: Any) -> None:
        """Raises ValueError unless ``value`` is a tensor whose shape fits and whose events lie in the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape = value.shape
        if shape[len(shape) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {shape} vs {self._event_shape}.")
        expected = self._batch_shape + self._event_shape
        for given, own in zip(reversed(shape), reversed(expected)):
            if given != 1 and own != 1 and given != own:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{self.__class__} does not define `support` to enable sample validation. Please initialize the distribution with "
                "`validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be within the support ({support!r}) "
                f"of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        own = self.__dict__
        shown = [f"{name}: {own[name] if own[name].numel() == 1 else own[name].shape}" for name in self.arg_constraints if name in own]
        return f"{self.__class__.__name__}({', '.join(shown)})"
