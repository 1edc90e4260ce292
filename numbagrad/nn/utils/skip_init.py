"""A module whose parameters are not initialised."""

from __future__ import annotations

import inspect
from typing import Any

from ..modules.module import Module


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """``module_cls(*args, **kwargs)`` without ``reset_parameters``: its own parameters hold whatever was in memory, and no random numbers are drawn for them.

    Raises RuntimeError for what is no Module class, and for one without an argument ``device``.
    """
    if not isinstance(module_cls, type) or not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    bare: Any = type(module_cls.__name__, (module_cls,), {"reset_parameters": lambda self: None})
    made = bare(*args, **kwargs)
    made.__class__ = module_cls
    return made
