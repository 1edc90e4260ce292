"""Neural networks: modules, their functional forms, initialisation and training helpers."""

from ..tensor import Parameter
from . import functional, init, parameter, utils
from .modules import *  # noqa: F403
from .modules import __all__ as _layers

__all__ = [*_layers, "Parameter", "functional", "init", "parameter", "utils"]
