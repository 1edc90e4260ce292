"""Well-known networks for images, by torchvision's names, with the names and shapes of its parameters.

There are no trained weights: ``weights=`` and ``pretrained=True`` raise an error that says how to load a file of them.
"""

from __future__ import annotations

from typing import Any

from . import alexnet as _alexnet
from . import mobilenet as _mobilenet
from . import resnet as _resnet
from . import squeezenet as _squeezenet
from . import vgg as _vgg
from ._weights import Weights
from .alexnet import *  # noqa: F403
from .mobilenet import *  # noqa: F403
from .resnet import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .vgg import *  # noqa: F403

_FILES = (_alexnet, _mobilenet, _resnet, _squeezenet, _vgg)
_MODELS = {name: getattr(file, name) for file in _FILES for name in file.__all__ if name.islower()}

__all__ = [*(name for file in _FILES for name in file.__all__), "get_model", "list_models"]


def list_models() -> list[str]:
    """The names of the functions that make models."""
    return sorted(_MODELS)


def get_model(name: str, **config: Any) -> Any:
    """The model called ``name``, made with the arguments ``config``.  Raises ValueError for a name that there is not."""
    if name.lower() not in _MODELS:
        raise ValueError(f"Unknown model {name}; there are {', '.join(list_models())}")
    return _MODELS[name.lower()](**config)


def __getattr__(name: str) -> Any:
    if name.endswith("_Weights"):
        return Weights(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
