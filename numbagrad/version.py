"""Which version this is, and of what: ``cuda`` is the version of the CUDA toolkit that is installed for it, None without one."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

hip = xpu = git_version = None
debug = False


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return sys.modules[__package__].__version__  # which this module is a part of
    if name == "cuda":
        try:
            return ".".join(metadata.version("cuda-toolkit").split(".")[:2])
        except metadata.PackageNotFoundError:
            return None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
