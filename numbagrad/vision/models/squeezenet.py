"""Networks of few parameters.  (F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016.)"""

from __future__ import annotations

from typing import Any

from ... import nn
from ...ops.copy import cat
from ...tensor import Tensor
from ._weights import refuse

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]


class Fire(nn.Module):
    """Few planes by a 1x1 convolution, and many again by a 1x1 and a 3x3 one side by side"""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int):
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.squeeze_activation(self.squeeze(x))
        return cat([self.expand1x1_activation(self.expand1x1(y)), self.expand3x3_activation(self.expand3x3(y))], 1)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class SqueezeNet(nn.Module):
    """``version`` "1_0" or "1_1", on images (N, 3, H, W); scores (N, num_classes).  Raises ValueError for another version."""

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        self.num_classes = num_classes
        fires = [
            Fire(*sizes)
            for sizes in ((128, 16, 64, 64), (128, 32, 128, 128), (256, 32, 128, 128), (256, 48, 192, 192), (384, 48, 192, 192))
        ]
        fires += [Fire(384, 64, 256, 256), Fire(512, 64, 256, 256)]
        if version == "1_0":
            first: list[nn.Module] = [nn.Conv2d(3, 96, 7, stride=2), nn.ReLU(inplace=True), _pool(), Fire(96, 16, 64, 64)]
            self.features = nn.Sequential(*first, *fires[:2], _pool(), *fires[2:6], _pool(), fires[6])
        elif version == "1_1":
            first = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(inplace=True), _pool(), Fire(64, 16, 64, 64)]
            self.features = nn.Sequential(*first, fires[0], _pool(), *fires[1:3], _pool(), *fires[3:])
        else:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        last = nn.Conv2d(512, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                if m is last:
                    nn.init.normal_(m.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_0(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> SqueezeNet:
    """1,248,424 parameters; further arguments are those of ``SqueezeNet``."""
    refuse("squeezenet1_0", weights, pretrained)
    return SqueezeNet("1_0", **kwargs)


def squeezenet1_1(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> SqueezeNet:
    """1,235,496 parameters, and less than half the work of ``squeezenet1_0``; further arguments are those of ``SqueezeNet``."""
    refuse("squeezenet1_1", weights, pretrained)
    return SqueezeNet("1_1", **kwargs)
