"""The older place of ``func.functional_call``."""

from __future__ import annotations

import warnings
from typing import Any

from ... import func
from ..modules.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: Any = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """As ``numbagrad.func.functional_call``, with a FutureWarning."""
    warnings.warn(
        "This API is deprecated as of PyTorch 2.0 and will be removed in a future version. Please use numbagrad.func.functional_call instead which is "
        "a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return func.functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
