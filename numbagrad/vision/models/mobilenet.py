"""Inverted residual blocks.  (M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.)"""

from __future__ import annotations

from typing import Any, Callable

from ... import nn
from ...nn import functional as F
from ...tensor import Tensor
from ._weights import refuse

__all__ = ["MobileNetV2", "mobilenet_v2"]

# Of each group of blocks: how many times wider they are inside, output planes, how many, and the stride of the first.
_GROUPS = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]


def _divisible(value: float, divisor: int) -> int:
    """The multiple of ``divisor`` next to ``value``, which is not more than a tenth below it."""
    found = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * value else found


def _convolved(inputs: int, outputs: int, norm: Any, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Wider by a 1x1 convolution, each plane for itself by a 3x3 one, and narrow again by a 1x1 one; added to x where the sizes are the same"""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Callable[..., nn.Module] | None = None):
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or nn.BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.stride, self.out_channels = stride, oup
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = [] if expand_ratio == 1 else [_convolved(inp, hidden, norm, size=1)]
        layers += [_convolved(hidden, hidden, norm, stride=stride, groups=hidden), nn.Conv2d(hidden, oup, 1, bias=False), norm(oup)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """On images (N, 3, H, W); scores (N, num_classes).  ``width_mult`` scales the planes, which stay multiples of ``round_nearest``.

    Raises ValueError for an ``inverted_residual_setting`` that is not made of four numbers each.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: list[list[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ):
        super().__init__()
        made, norm = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        groups = _GROUPS if inverted_residual_setting is None else inverted_residual_setting
        if not groups or any(len(group) != 4 for group in groups):
            raise ValueError(f"inverted_residual_setting should be non-empty or a 4-element list, got {inverted_residual_setting}")
        planes = _divisible(32 * width_mult, round_nearest)
        self.last_channel = _divisible(1280 * max(1.0, width_mult), round_nearest)
        features: list[nn.Module] = [_convolved(3, planes, norm, stride=2)]
        for wider, outputs, count, first in groups:
            width = _divisible(outputs * width_mult, round_nearest)
            for i in range(count):
                features.append(made(planes, width, first if i == 0 else 1, expand_ratio=wider, norm_layer=norm))
                planes = width
        features.append(_convolved(planes, self.last_channel, norm, size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        self._initialise()

    def _initialise(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.ones_(m.weight)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
            if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.Linear)) and m.bias is not None:
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Any = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(y.flatten(1))


def mobilenet_v2(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> MobileNetV2:
    """3,504,872 parameters; further arguments are those of ``MobileNetV2``."""
    refuse("mobilenet_v2", weights, pretrained)
    return MobileNetV2(**kwargs)
