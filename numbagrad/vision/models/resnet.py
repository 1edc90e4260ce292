"""Residual networks.  (K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2016.)  With groups and wider blocks: S. Xie et al.,
"Aggregated residual transformations", 2017; S. Zagoruyko and N. Komodakis, "Wide residual networks", 2016."""

from __future__ import annotations

from typing import Any, Callable

from ... import nn
from ...tensor import Tensor
from ._weights import refuse

__all__ = [
    "BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "wide_resnet50_2", "wide_resnet101_2",
]  # fmt: skip


def _conv3x3(inputs: int, outputs: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, groups=groups, bias=False, dilation=dilation)


def _conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """relu(x + two convolutions of x), x by way of ``downsample`` where the sizes change"""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise NotImplementedError("Dilation > 1 not supported in BasicBlock")
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y: Any = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Bottleneck(nn.Module):
    """relu(x + three convolutions of x), the one over neighbours between two that narrow and widen; the stride is the middle one's"""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = _conv1x1(inplanes, width)
        self.bn1 = norm(width)
        self.conv2 = _conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm(width)
        self.conv3 = _conv1x1(width, planes * self.expansion)
        self.bn3 = norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y: Any = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Four stages of ``layers`` blocks each, of 64, 128, 256 and 512 planes, on images (N, 3, H, W); scores (N, num_classes).

    ``replace_stride_with_dilation``: three flags, for the stages after the first, to keep the size and dilate the convolutions instead.
    """

    def __init__(
        self,
        block: Any,
        layers: list[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: list[bool] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        dilated = [False, False, False] if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilated) != 3:
            raise ValueError(f"replace_stride_with_dilation should be None or a 3-element tuple, got {dilated}")
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = 64, 1, groups, width_per_group
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0], 1, False)
        self.layer2 = self._stage(block, 128, layers[1], 2, dilated[0])
        self.layer3 = self._stage(block, 256, layers[2], 2, dilated[1])
        self.layer4 = self._stage(block, 512, layers[3], 2, dilated[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _stage(self, block: Any, planes: int, count: int, stride: int, dilate: bool) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        outputs = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != outputs:
            downsample = nn.Sequential(_conv1x1(self.inplanes, outputs, stride), self._norm_layer(outputs))
        blocks = [block(self.inplanes, planes, stride, downsample, self.groups, self.base_width, before, self._norm_layer)]
        self.inplanes = outputs
        blocks += [
            block(outputs, planes, groups=self.groups, base_width=self.base_width, dilation=self.dilation, norm_layer=self._norm_layer)
            for _ in range(1, count)
        ]
        return nn.Sequential(*blocks)

    def _initialise(self, zero_init_residual: bool) -> None:
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        if zero_init_residual:  # every block begins as the identity (P. Goyal et al., 2017)
            for m in self.modules():
                if isinstance(m, (BasicBlock, Bottleneck)):
                    last: Any = m.bn3 if isinstance(m, Bottleneck) else m.bn2
                    nn.init.constant_(last.weight, 0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(self.avgpool(y).flatten(1))


def _built(name: str, block: Any, layers: list[int], weights: Any, pretrained: Any, options: dict[str, Any]) -> ResNet:
    refuse(name, weights, pretrained)
    return ResNet(block, layers, **options)


def resnet18(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """18 layers, 11,689,512 parameters; further arguments are those of ``ResNet``."""
    return _built("resnet18", BasicBlock, [2, 2, 2, 2], weights, pretrained, kwargs)


def resnet34(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """34 layers, 21,797,672 parameters; further arguments are those of ``ResNet``."""
    return _built("resnet34", BasicBlock, [3, 4, 6, 3], weights, pretrained, kwargs)


def resnet50(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """50 layers, 25,557,032 parameters; further arguments are those of ``ResNet``."""
    return _built("resnet50", Bottleneck, [3, 4, 6, 3], weights, pretrained, kwargs)


def resnet101(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """101 layers, 44,549,160 parameters; further arguments are those of ``ResNet``."""
    return _built("resnet101", Bottleneck, [3, 4, 23, 3], weights, pretrained, kwargs)


def resnet152(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """152 layers, 60,192,808 parameters; further arguments are those of ``ResNet``."""
    return _built("resnet152", Bottleneck, [3, 8, 36, 3], weights, pretrained, kwargs)


def resnext50_32x4d(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """50 layers in 32 groups of width 4, 25,028,904 parameters; further arguments are those of ``ResNet``."""
    return _built("resnext50_32x4d", Bottleneck, [3, 4, 6, 3], weights, pretrained, {"groups": 32, "width_per_group": 4} | kwargs)


def resnext101_32x8d(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """101 layers in 32 groups of width 8, 88,791,336 parameters; further arguments are those of ``ResNet``."""
    return _built("resnext101_32x8d", Bottleneck, [3, 4, 23, 3], weights, pretrained, {"groups": 32, "width_per_group": 8} | kwargs)


def wide_resnet50_2(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """50 layers twice as wide inside the blocks, 68,883,240 parameters; further arguments are those of ``ResNet``."""
    return _built("wide_resnet50_2", Bottleneck, [3, 4, 6, 3], weights, pretrained, {"width_per_group": 128} | kwargs)


def wide_resnet101_2(pretrained: bool = False, progress: bool = True, *, weights: Any = None, **kwargs: Any) -> ResNet:
    """101 layers twice as wide inside the blocks, 126,886,696 parameters; further arguments are those of ``ResNet``."""
    return _built("wide_resnet101_2", Bottleneck, [3, 4, 23, 3], weights, pretrained, {"width_per_group": 128} | kwargs)
