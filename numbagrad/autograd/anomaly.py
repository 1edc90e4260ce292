"""``detect_anomaly``: find the forward line whose backward made a NaN."""

from __future__ import annotations

import os
import traceback
from typing import Any, Sequence

enabled = False
_check_nan = True
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def call_site() -> list[traceback.FrameSummary]:
    """The stack of the call that records a node, without this library's own frames."""
    frames = traceback.extract_stack()
    return [f for f in frames if not os.path.abspath(f.filename).startswith(_PACKAGE + os.sep)]


def check(node: Any, grads: Sequence[Any]) -> None:
    """Raise RuntimeError, naming the forward line of ``node``, if one of its input gradients holds a NaN."""
    if not _check_nan:
        return
    for index, grad in enumerate(grads):
        if grad is not None and (grad.is_floating_point() or grad.is_complex()) and bool(grad.detach().isnan().any()):
            where = "".join(traceback.format_list(node.where)) if node.where else "  (recorded before anomaly detection was turned on)\n"
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {index}th output. The forward call that it belongs to:\n{where}"
            )


class detect_anomaly:
    """While active, remember where each operation was called, and stop a backward pass that makes a NaN, naming the forward line."""

    def __init__(self, check_nan: bool = True):
        self._wanted = (True, check_nan)
        self._before = (enabled, _check_nan)

    def __enter__(self) -> None:
        global enabled, _check_nan
        self._before = (enabled, _check_nan)
        enabled, _check_nan = self._wanted

    def __exit__(self, *_: Any) -> None:
        global enabled, _check_nan
        enabled, _check_nan = self._before


class set_detect_anomaly(detect_anomaly):
    """Turn anomaly detection on or off from here on, or inside a ``with``."""

    def __init__(self, mode: bool, check_nan: bool = True):
        global enabled, _check_nan
        super().__init__(check_nan)
        self._wanted = (mode, check_nan)
        self._before = (enabled, _check_nan)
        enabled, _check_nan = self._wanted

    def __enter__(self) -> None:
        pass


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return enabled
