"""Colours changed, pieces erased, dtypes of images, and Pillow's images; the references are Python's colorsys and plain arithmetic."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.vision import transforms
from numbagrad.vision.transforms import functional as F
from numbagrad.vision.transforms import v2


def _image(channels=3, dtype=np.uint8):
    values = np.random.default_rng(0).integers(0, 256, (channels, 5, 6)).astype(np.uint8)
    return ng.from_numpy(values if dtype == np.uint8 else (values / 255).astype(dtype))


def _weights(x):
    x = x.numpy().astype(np.float64)
    return 0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]


def test_brightness_contrast_saturation():
    x = _image(dtype=np.float64)
    assert ng.allclose(F.adjust_brightness(x, 1.5), (x * 1.5).clamp(0, 1))
    assert ng.allclose(F.adjust_contrast(x, 0.3), 0.3 * x + 0.7 * _weights(x).mean())
    assert ng.allclose(F.adjust_saturation(x, 0.0), ng.from_numpy(_weights(x)).expand(3, 5, 6))
    whole = _image()
    assert (
        F.adjust_brightness(whole, 2.0).dtype is ng.uint8
        and F.adjust_brightness(whole, 2.0).tolist() == np.minimum(whole.numpy() * 2.0, 255).tolist()
    )
    grey = np.floor(_weights(whole)).mean()
    assert np.abs(F.adjust_contrast(whole, 0.5).numpy() - np.floor(0.5 * whole.numpy() + 0.5 * grey)).max() <= 1
    array = np.ascontiguousarray(whole.numpy().transpose(1, 2, 0))
    assert (F.adjust_brightness(array, 0.5) == array // 2).all() and F.adjust_saturation(array, 0.7).shape == (5, 6, 3)
    one = _image(1)
    assert F.adjust_saturation(one, 0.2) is one and F.adjust_contrast(one, 1.0).tolist() == one.tolist()


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.13, 0.5])
def test_hue(turn):
    x = _image(dtype=np.float64)
    expected = np.empty((3, 5, 6))
    for i, j in np.ndindex(5, 6):
        h, s, v = colorsys.rgb_to_hsv(*x[:, i, j].tolist())
        expected[:, i, j] = colorsys.hsv_to_rgb((h + turn) % 1, s, v)
    assert np.allclose(F.adjust_hue(x, turn).numpy(), expected, atol=1e-12)
    whole = _image()
    close = np.abs(F.adjust_hue(whole, turn).numpy().astype(int) - np.floor(F.adjust_hue(whole / 255.0, turn).numpy() * 255.999))
    assert close.max() <= 1 and F.adjust_hue(whole[:1], turn).tolist() == whole[:1].tolist()
    flat = ng.full((3, 2, 2), 0.25)
    assert ng.allclose(F.adjust_hue(flat, turn), flat)


def test_colour_jitter():
    ng.manual_seed(0)
    jitter = transforms.ColorJitter(brightness=0.5, contrast=(0.5, 1.0), hue=0.1)
    assert str(jitter) == "ColorJitter(brightness=(0.5, 1.5), contrast=(0.5, 1.0), saturation=None, hue=(-0.1, 0.1))"
    x = _image()
    first, second = jitter(x), jitter(x)
    assert first.shape == x.shape and first.dtype is ng.uint8 and not ng.equal(first, second)
    ng.manual_seed(0)
    assert ng.equal(jitter(x), first) and transforms.ColorJitter()(x) is x
    assert transforms.ColorJitter(brightness=3).brightness == (0.0, 4.0)


def test_random_erasing():
    ng.manual_seed(0)
    x = ng.ones(3, 20, 30)
    erased = transforms.RandomErasing(p=1, value=(0, 2, 3))(x)
    rows, columns = np.nonzero(erased[0].numpy() == 0)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert rows.size == height * width and 0.01 < rows.size / 600 < 0.4 and x.min().item() == 1  # one rectangle, of a copy
    assert erased[1].unique().tolist() == [1, 2] and erased[2].unique().tolist() == [1, 3]
    assert transforms.RandomErasing(p=0)(x) is x
    noisy = transforms.RandomErasing(p=1, value="random", inplace=True)(x)
    assert noisy is x and x.unique().numel() > 10
    assert str(transforms.RandomErasing()) == "RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False)"


def test_random_grayscale():
    x = _image()
    grey = transforms.RandomGrayscale(p=1)(x)
    assert grey.shape == x.shape and ng.equal(grey[0], grey[2]) and transforms.RandomGrayscale(p=0)(x) is x
    assert str(transforms.RandomGrayscale()) == "RandomGrayscale(p=0.1)"


def test_dtypes_of_images():
    x = _image()
    assert ng.allclose(F.convert_image_dtype(x, ng.float32), x / 255.0) and F.convert_image_dtype(x, ng.uint8) is x
    assert F.convert_image_dtype(F.convert_image_dtype(x), ng.uint8).tolist() == x.tolist()
    assert F.convert_image_dtype(x, ng.int16).max().item() == x.max().item() * 128
    assert F.convert_image_dtype(F.convert_image_dtype(x, ng.int32), ng.uint8).tolist() == x.tolist()
    assert F.convert_image_dtype(x / 255.0, ng.float64).dtype is ng.float64
    with pytest.raises(RuntimeError, match="cannot be performed safely"):
        F.convert_image_dtype(x / 255.0, ng.int64)
    assert transforms.ConvertImageDtype(ng.float64)(x).dtype is ng.float64


def test_pillow_images():
    image = pytest.importorskip("PIL.Image")
    x = _image()
    made = transforms.ToPILImage()(x)
    assert isinstance(made, image.Image) and made.size == (6, 5) and made.mode == "RGB"
    assert ng.equal(transforms.PILToTensor()(made), x) and ng.equal((transforms.ToTensor()(made) * 255).to(ng.uint8), x)
    assert F.to_pil_image(x[:1] / 255.0).mode == "L" and F.to_pil_image(x[0]).mode == "L" and F.to_pil_image(x, "L").mode == "L"
    assert str(transforms.ToPILImage()) == "ToPILImage()" and str(transforms.ToPILImage("L")) == "ToPILImage(mode=L)"


def test_second_version():
    array = np.ascontiguousarray(_image().numpy().transpose(1, 2, 0))
    steps = v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(p=0), v2.ToDtype(ng.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)])
    old = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    assert ng.allclose(steps(array), old(array)) and v2.ToPureTensor()(array) is array
    assert v2.ToDtype(ng.float32)(_image()).max().item() == _image().max().item() and transforms.v2 is v2
    x = _image()
    assert v2.ToImage()(x) is x and str(v2.ToImage()) == "ToImage()" and set(transforms.__all__) < set(v2.__all__)
    batch = np.stack([array, array])
    quick = v2.Compose([v2.ToImage(), v2.ToDtype(ng.float32, scale=True)])
    assert ng.equal(quick._batched(batch)[1], quick(array))


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: F.adjust_brightness(_image(), -1), ValueError, "is not non-negative"),
        (lambda: F.adjust_hue(_image(), 0.6), ValueError, "is not in"),
        (lambda: F.adjust_contrast(_image(2), 1), TypeError, "permitted channel values are 1 or 3, but found 2"),
        (lambda: transforms.ColorJitter(brightness=-1), ValueError, "must be non negative"),
        (lambda: transforms.ColorJitter(hue=0.7), ValueError, "hue values should be between"),
        (lambda: transforms.ColorJitter(contrast="x"), TypeError, "contrast should be a single number"),
        (lambda: transforms.RandomErasing(value="x"), ValueError, "it should be 'random'"),
        (lambda: transforms.RandomErasing(value=None), TypeError, "value should be either a number or str or a sequence"),
        (lambda: transforms.RandomErasing(p=2), ValueError, "between 0 and 1"),
        (lambda: transforms.RandomErasing(p=1)(np.zeros((2, 2))), TypeError, "img should be a Tensor image"),
        (lambda: transforms.RandomErasing(p=1, value=(1, 2))(ng.ones(3, 20, 20)), ValueError, "one for each of 3 channels, got 2"),
        (lambda: F.erase(3, 0, 0, 1, 1, 0), TypeError, "should be Tensor Image"),
        (lambda: F.to_pil_image("x"), TypeError, "pic should be Tensor or ndarray"),
        (lambda: F.to_pil_image(ng.ones(5, 2, 2)), ValueError, "should not have > 4 channels"),
        (lambda: F.to_pil_image(ng.ones(1, 1, 2, 2)), ValueError, "should be 2/3 dimensional"),
        (lambda: v2.ToDtype(ng.float32)(np.zeros((2, 2))), TypeError, "expected a tensor image"),
    ],
)
def test_mistakes(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
