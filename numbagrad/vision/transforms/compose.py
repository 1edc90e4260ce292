"""Transforms made of transforms.

A transform may have a method ``_batched(images)`` that does to stacked images, all of one shape, what it does to each: then a loader
applies it to whole batches.  It may return None where it cannot.  Random transforms have none, since each image needs its own draw.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ...data import host_random
from ...data.dataset import whole_batch

Transform = Callable[[Any], Any]


def _indented(transforms: Sequence[Transform]) -> str:
    return "".join(f"\n    {transform}" for transform in transforms)


class Compose:
    """One transform after another."""

    def __init__(self, transforms: Sequence[Transform]):
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def _batched(self, images: Any) -> Any:
        steps = [whole_batch(transform, "_batched", "__call__") for transform in self.transforms]
        if None in steps:
            return None
        for step in steps:
            assert step is not None
            images = step(images)
            if images is None:
                return None
        return images

    def __repr__(self) -> str:
        return f"Compose({_indented(self.transforms)}\n)"


class Lambda:
    """A function as a transform.  Raises TypeError for what cannot be called."""

    def __init__(self, lambd: Transform):
        if not callable(lambd):
            raise TypeError(f"Lambda: Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return "Lambda()"


class _RandomTransforms:
    def __init__(self, transforms: Sequence[Transform]):
        if not isinstance(transforms, Sequence):
            raise TypeError(f"{type(self).__name__}: Argument transforms should be a sequence, got {type(transforms).__name__}")
        self.transforms = transforms

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_indented(self.transforms)}\n)"


class RandomApply(_RandomTransforms):
    """All of the transforms, with probability ``p``; none of them otherwise."""

    def __init__(self, transforms: Sequence[Transform], p: float = 0.5):
        super().__init__(transforms)
        self.p = p

    def __call__(self, img: Any) -> Any:
        if self.p < host_random.uniform(0.0, 1.0):
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return f"RandomApply(\n    p={self.p}{_indented(self.transforms)}\n)"


class RandomOrder(_RandomTransforms):
    """All of the transforms, in random order."""

    def __call__(self, img: Any) -> Any:
        left = list(self.transforms)
        while left:
            img = left.pop(host_random.integer(0, len(left)))(img)
        return img


class RandomChoice(_RandomTransforms):
    """One of the transforms, chosen with probabilities proportional to ``p`` (by default all the same)."""

    def __init__(self, transforms: Sequence[Transform], p: Sequence[float] | None = None):
        super().__init__(transforms)
        if p is not None and len(p) != len(transforms):
            raise ValueError(f"RandomChoice: {len(p)} probabilities for {len(transforms)} transforms")
        self.p = p

    def __call__(self, img: Any) -> Any:
        weights = [1.0] * len(self.transforms) if self.p is None else list(self.p)
        at = host_random.uniform(0.0, sum(weights))
        for transform, weight in zip(self.transforms, weights):
            if at < weight:
                return transform(img)
            at -= weight
        return self.transforms[-1](img)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"
