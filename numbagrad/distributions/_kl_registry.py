"""Which function computes the divergence of which two distributions."""

from __future__ import annotations

import warnings
from typing import Any, Callable

from ..tensor import Tensor
from .distribution import Distribution

__all__ = ["kl_divergence", "register_kl"]

Divergence = Callable[[Any, Any], Tensor]
REGISTRY: dict[tuple[type, type], Divergence] = {}
_found: dict[tuple[type, type], Any] = {}  # what was found for the types of two distributions


def register_kl(type_p: Any, type_q: Any) -> Callable[[Divergence], Divergence]:
    """A decorator of the function that computes KL(p ‖ q) for p of ``type_p`` and q of ``type_q``, or of classes derived from them.

    Raises TypeError for what is no subclass of Distribution.
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def register(function: Divergence) -> Divergence:
        REGISTRY[type_p, type_q] = function
        _found.clear()
        return function

    return register


def _nearest(candidates: list[tuple[type, type]], first: int) -> tuple[type, type]:
    """The candidate whose classes are the most derived ones, that at ``first`` counting before the other."""

    def nearer(a: tuple[type, type], b: tuple[type, type]) -> bool:
        for place in (first, 1 - first):
            if a[place] is not b[place]:
                return issubclass(a[place], b[place])
        return False

    best = candidates[0]
    for candidate in candidates[1:]:
        if nearer(candidate, best):
            best = candidate
    return best


def _dispatch(type_p: type, type_q: type) -> Any:
    """The function for the nearest registered classes, None where there are none; a RuntimeWarning where p and q disagree on which is nearest."""
    candidates = [pair for pair in REGISTRY if issubclass(type_p, pair[0]) and issubclass(type_q, pair[1])]
    if not candidates:
        return None
    by_p, by_q = _nearest(candidates, 0), _nearest(candidates, 1)
    if REGISTRY[by_p] is not REGISTRY[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl({by_p[0].__name__}, {by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return REGISTRY[by_p]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = ∫ p(x) log(p(x)/q(x)) dx, over batches that broadcast.  Raises NotImplementedError for pairs that have no function."""
    kinds = type(p), type(q)
    if kinds not in _found:
        _found[kinds] = _dispatch(*kinds)
    function = _found[kinds]
    if function is None:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type {q.__class__.__name__}")
    return function(p, q)
