"""Image transforms, on tensors and on arrays, with PyTorch's names, arguments and printed forms; in ``v2`` those of its second version."""

from importlib import import_module
from typing import Any

from . import functional
from ._resample import InterpolationMode
from .colour import ColorJitter, RandomErasing, RandomGrayscale
from .compose import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from .convert import ConvertImageDtype, Grayscale, Normalize, PILToTensor, ToPILImage, ToTensor
from .geometry import (
    CenterCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "functional",
]


def __getattr__(name: str) -> Any:
    if name == "v2":
        return import_module(".v2", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
