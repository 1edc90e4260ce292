"""The switches that scripts set before they train.  ``cudnn`` takes any setting and none has an effect: there is no cuDNN here, and results are
the same each time without it.  ``mps`` and the like say that they are not there."""

from __future__ import annotations

from typing import Any


class _Absent:
    """A backend that is not there: it can be asked, and told settings."""

    def __init__(self, **settings: Any):
        self.__dict__.update(settings)

    def is_available(self) -> bool:
        return False

    def is_built(self) -> bool:
        return False


cudnn = _Absent(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
cuda = _Absent(matmul=_Absent(allow_tf32=False))
mps = _Absent()
