"""Neural networks: modules, their functional forms, initialisation and training helpers."""

from ..tensor import Parameter
from . import functional, init, parallel, parameter, utils
from .modules import *  # noqa: F403
from .modules import __all__ as _layers
from .modules.lazy import UninitializedBuffer, UninitializedParameter
from .parallel import DataParallel
from .parameter import Buffer

__all__ = [
    *_layers,
    "Buffer",
    "DataParallel",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "parallel",
    "parameter",
    "utils",
]
