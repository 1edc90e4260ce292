"""Activations as modules: each holds the arguments of the function of the same name and calls it."""

from __future__ import annotations

import inspect
from typing import Any

from ...creation import full
from ...tensor import Parameter, Tensor
from .. import functional as F
from .module import Module

_REQUIRED: Any = object()  # the default of a setting that has none


class _Activation(Module):
    """A module that calls ``function`` with its own settings.  ``settings``: names and defaults, in order, of its arguments."""

    function: Any = None
    settings: tuple[tuple[str, Any], ...] = ()
    shown_bare = ("lambd",)  # settings that print without their name

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()
        names = [name for name, _ in self.settings]
        if len(args) > len(names):
            raise TypeError(
                f"{type(self).__name__}() takes at most {len(names)} arguments ({', '.join(names)}), but {len(args)} were given"
            )
        values = dict(self.settings) | dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in values or name in names[: len(args)]:
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument '{name}'")
            values[name] = value
        for name, value in values.items():
            if value is _REQUIRED:
                raise TypeError(f"{type(self).__name__}() missing a required argument: '{name}'")
            setattr(self, name, value)

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, *[getattr(self, name) for name, _ in self.settings])

    def extra_repr(self) -> str:
        parts = []
        for name, _ in self.settings:
            value = getattr(self, name)
            if name == "inplace":
                if value:
                    parts.append("inplace=True")
            elif name in self.shown_bare:
                parts.append(f"{value}")
            else:
                parts.append(f"{name}={value!r}")
        return ", ".join(parts)


def _activation(name: str, function: Any, *settings: tuple[str, Any]) -> type[_Activation]:
    parameters = [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=inspect.Parameter.empty if d is _REQUIRED else d)
        for n, d in settings
    ]
    doc = f"``functional.{function.__name__}``: {function.__doc__}"
    return type(
        name,
        (_Activation,),
        {
            "function": staticmethod(function),
            "settings": settings,
            "__doc__": doc,
            "__module__": __name__,
            "__signature__": inspect.Signature(parameters),
        },
    )


_INPLACE = ("inplace", False)
ReLU = _activation("ReLU", F.relu, _INPLACE)
ReLU6 = _activation("ReLU6", F.relu6, _INPLACE)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, ("negative_slope", 0.01), _INPLACE)
ELU = _activation("ELU", F.elu, ("alpha", 1.0), _INPLACE)
CELU = _activation("CELU", F.celu, ("alpha", 1.0), _INPLACE)
SELU = _activation("SELU", F.selu, _INPLACE)
GELU = _activation("GELU", F.gelu, ("approximate", "none"))
SiLU = _activation("SiLU", F.silu, _INPLACE)
Mish = _activation("Mish", F.mish, _INPLACE)
Softplus = _activation("Softplus", F.softplus, ("beta", 1.0), ("threshold", 20.0))
Softsign = _activation("Softsign", F.softsign)
Hardtanh = _activation("Hardtanh", F.hardtanh, ("min_val", -1.0), ("max_val", 1.0), _INPLACE)
Hardsigmoid = _activation("Hardsigmoid", F.hardsigmoid, _INPLACE)
Hardswish = _activation("Hardswish", F.hardswish, _INPLACE)
LogSigmoid = _activation("LogSigmoid", F.logsigmoid)
Sigmoid = _activation("Sigmoid", F.sigmoid)
Tanh = _activation("Tanh", F.tanh)
GLU = _activation("GLU", F.glu, ("dim", -1))
Threshold = _activation("Threshold", F.threshold, ("threshold", _REQUIRED), ("value", _REQUIRED), _INPLACE)
Softmax = _activation("Softmax", F.softmax, ("dim", None))
LogSoftmax = _activation("LogSoftmax", F.log_softmax, ("dim", None))
Softmin = _activation("Softmin", F.softmin, ("dim", None))
Hardshrink = _activation("Hardshrink", F.hardshrink, ("lambd", 0.5))
Softshrink = _activation("Softshrink", F.softshrink, ("lambd", 0.5))
Tanhshrink = _activation("Tanhshrink", F.tanhshrink)


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)"""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class RReLU(Module):
    """``functional.rrelu``: in training with random slopes between ``lower`` and ``upper``, else with their mean"""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """``functional.prelu`` with a learned slope, one or one per channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), float(init), dtype=dtype, device=device))

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
