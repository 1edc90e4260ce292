"""Stacks of 3x3 convolutions.  (K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.)"""

from __future__ import annotations

from typing import Any

from ... import nn
from ...tensor import Tensor
from ._weights import refuse

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

# Convolutions in each of the five stages, which end with a pooling.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_PLANES = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """``features``, which end in 512 planes, and three linear layers, on images (N, 3, H, W); scores (N, num_classes)"""

    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            self._initialise()

    def _initialise(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
            if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)) and m.bias is not None:
                nn.init.constant_(m.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def make_layers(cfg: list[Any], batch_norm: bool = False) -> nn.Sequential:
    """A convolution with its activation for each number of planes in ``cfg``, and a pooling for each "M"."""
    layers: list[nn.Module] = []
    planes = 3
    for entry in cfg:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, stride=2))
            continue
        layers.append(nn.Conv2d(planes, entry, 3, padding=1))
        planes = entry
        layers += [nn.BatchNorm2d(planes), nn.ReLU(inplace=True)] if batch_norm else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _built(name: str, depth: int, batch_norm: bool, weights: Any, pretrained: Any, options: dict[str, Any]) -> VGG:
    refuse(name, weights, pretrained)
    cfg: list[Any] = []
    for planes, count in zip(_PLANES, _STAGES[depth]):
        cfg += [planes] * count + ["M"]
    return VGG(make_layers(cfg, batch_norm), **options)


def vgg11(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """11 layers, 132,863,336 parameters; further arguments are those of ``VGG``."""
    return _built("vgg11", 11, False, weights, pretrained, kwargs)


def vgg11_bn(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """``vgg11`` with batch normalisation, 132,868,840 parameters."""
    return _built("vgg11_bn", 11, True, weights, pretrained, kwargs)


def vgg13(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """13 layers, 133,047,848 parameters; further arguments are those of ``VGG``."""
    return _built("vgg13", 13, False, weights, pretrained, kwargs)


def vgg13_bn(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """``vgg13`` with batch normalisation, 133,053,736 parameters."""
    return _built("vgg13_bn", 13, True, weights, pretrained, kwargs)


def vgg16(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """16 layers, 138,357,544 parameters; further arguments are those of ``VGG``."""
    return _built("vgg16", 16, False, weights, pretrained, kwargs)


def vgg16_bn(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """``vgg16`` with batch normalisation, 138,365,992 parameters."""
    return _built("vgg16_bn", 16, True, weights, pretrained, kwargs)


def vgg19(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """19 layers, 143,667,240 parameters; further arguments are those of ``VGG``."""
    return _built("vgg19", 19, False, weights, pretrained, kwargs)


def vgg19_bn(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> VGG:
    """``vgg19`` with batch normalisation, 143,678,248 parameters."""
    return _built("vgg19_bn", 19, True, weights, pretrained, kwargs)
