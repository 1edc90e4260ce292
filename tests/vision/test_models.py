"""Well-known networks: the published numbers of parameters, their names, shapes of scores, training, and what asking for trained weights says."""

from __future__ import annotations

import subprocess
import sys

import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.vision import models

# As their authors and torchvision publish them, for 1000 classes.
PARAMETERS = {
    "alexnet": 61_100_840,
    "mobilenet_v2": 3_504_872,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def empty(monkeypatch):
    """Parameters that nobody fills: the memory of hundreds of megabytes stays untouched."""
    for name in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **options: tensor)


def test_numbers_of_parameters(empty):
    assert set(PARAMETERS) == set(models.list_models())
    for name, count in PARAMETERS.items():
        assert sum(p.numel() for p in models.get_model(name, weights=None).parameters()) == count, name


def _norm(prefix):
    return [f"{prefix}.{name}" for name in NORM]


def test_names_of_resnets(empty):
    names = list(models.resnet18(num_classes=3).state_dict())
    first = [
        "conv1.weight",
        *_norm("bn1"),
        "layer1.0.conv1.weight",
        *_norm("layer1.0.bn1"),
        "layer1.0.conv2.weight",
        *_norm("layer1.0.bn2"),
    ]
    assert names[: len(first)] == first and names[-2:] == ["fc.weight", "fc.bias"]
    assert "layer2.0.downsample.0.weight" in names and "layer2.0.downsample.1.running_var" in names and len(names) == 122
    state = models.resnet50().state_dict()
    assert state["layer1.0.conv3.weight"].shape == (256, 64, 1, 1) and state["layer4.2.conv2.weight"].shape == (512, 512, 3, 3)
    assert (
        state["layer3.0.downsample.0.weight"].shape == (1024, 512, 1, 1) and state["fc.weight"].shape == (1000, 2048) and len(state) == 320
    )
    assert models.resnext50_32x4d().layer1[0].conv2.weight.shape == (128, 4, 3, 3)


def test_names_of_the_others(empty):
    assert [n for n in models.alexnet().state_dict() if n.endswith("weight")] == [
        *(f"features.{i}.weight" for i in (0, 3, 6, 8, 10)),
        *(f"classifier.{i}.weight" for i in (1, 4, 6)),
    ]
    assert [n for n in models.vgg16().state_dict() if n.endswith("weight")] == [
        *(f"features.{i}.weight" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
        *(f"classifier.{i}.weight" for i in (0, 3, 6)),
    ]
    assert list(models.vgg11_bn().state_dict())[:7] == ["features.0.weight", "features.0.bias", *_norm("features.1")]
    mobile = models.mobilenet_v2().state_dict()
    assert list(mobile)[:8] == ["features.0.0.weight", *_norm("features.0.1"), "features.1.conv.0.0.weight", "features.1.conv.0.1.weight"]
    assert mobile["features.1.conv.1.weight"].shape == (16, 32, 1, 1) and mobile["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    assert mobile["features.17.conv.3.bias"].shape == (320,) and mobile["features.18.0.weight"].shape == (1280, 320, 1, 1)
    assert mobile["classifier.1.weight"].shape == (1000, 1280)
    squeezed = models.squeezenet1_1().state_dict()
    assert squeezed["features.3.squeeze.weight"].shape == (16, 64, 1, 1) and squeezed["features.12.expand3x3.bias"].shape == (256,)
    assert (
        squeezed["classifier.1.weight"].shape == (1000, 512, 1, 1) and "features.12.squeeze.weight" in models.squeezenet1_0().state_dict()
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_scores_and_gradients(name):
    ng.manual_seed(0)
    net = models.get_model(name, num_classes=4)
    scores = net(ng.randn(2, 3, 33, 40))
    assert scores.shape == (2, 4)
    nn.functional.cross_entropy(scores, ng.tensor([1, 3])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    x = ng.randn(1, 3, 32, 32)
    assert ng.equal(net(x), net(x))


def test_residual_blocks_begin_as_the_identity():
    net = models.ResNet(
        models.Bottleneck, [1, 1, 1, 1], num_classes=2, zero_init_residual=True, replace_stride_with_dilation=[False, True, True]
    )
    assert all(net.get_submodule(f"layer{i}.0.bn3").weight.eq(0).all() for i in (1, 2, 3, 4))
    assert net.layer4[0].conv2.dilation == (2, 2) and net.layer4[0].conv2.stride == (1, 1) and net.dilation == 4
    assert net.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.05)


def test_trained_weights_are_refused():
    assert str(models.ResNet18_Weights.IMAGENET1K_V1) == "ResNet18_Weights.IMAGENET1K_V1"
    for asked in ({"weights": models.ResNet18_Weights.DEFAULT}, {"weights": "IMAGENET1K_V1"}, {"pretrained": True}):
        with pytest.raises(RuntimeError, match=r"resnet18: .* are not downloaded.*load_state_dict\(numbagrad\.load\(file\)\)"):
            models.resnet18(**asked)
    with pytest.raises(RuntimeError, match="vgg11_bn: pretrained=True asks for trained weights"):
        models.vgg11_bn(True)
    with pytest.raises(AttributeError, match="nothing of the weights themselves"):
        models.ResNet18_Weights.DEFAULT.transforms()
    with pytest.raises(ValueError, match="Unknown model resnet19"):
        models.get_model("resnet19")
    with pytest.raises(ValueError, match="BasicBlock only supports"):
        models.resnet18(groups=2)


@pytest.mark.parametrize(
    "script",
    [
        "from numbagrad import vision; import sys; assert 'numbagrad.vision.models' not in sys.modules; vision.models.resnet18",
        "from numbagrad.compat import torch as c; c.install(); import torchvision.models as m; from torchvision.models import vgg11; assert m.vgg11 is vgg11",
        "from numbagrad.compat import torch as c; c.install(); from torchvision.transforms import v2; from torchvision.models.resnet import ResNet; v2.Compose",
    ],
)
def test_where_they_are_found(script):
    subprocess.run([sys.executable, "-c", script], check=True)
