"""Dynamic automatic differentiation: the graph that operations record, the walk back over it, and its tools."""

from typing import Any

from . import functional
from .anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .graph import backward, grad
from .mode import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """What older scripts wrap tensors in: the tensor, as a leaf of its own."""
    made = data.detach()
    return made.requires_grad_() if requires_grad else made


__all__ = [
    "Function",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
