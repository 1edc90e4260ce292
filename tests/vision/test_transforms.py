"""Transforms against PyTorch's resampling, NumPy's, and their own definitions; printed forms; bad arguments."""

from __future__ import annotations

import math

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.vision import transforms
from numbagrad.vision.transforms import InterpolationMode
from numbagrad.vision.transforms import functional as F

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def tensor_image(*shape, seed=0):
    return ng.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


# ---- values and kinds -------------------------------------------------------------------------------------------------------------------


def test_to_tensor():
    for array, planes in ((GREY, GREY[None]), (COLOUR, COLOUR.transpose(2, 0, 1)), (COLOUR[::-1], COLOUR[::-1].transpose(2, 0, 1))):
        image = transforms.ToTensor()(array)
        assert image.dtype is ng.float32 and image.is_contiguous()
        assert (image.numpy() == planes.astype(np.float32) / np.float32(255)).all()
    assert transforms.ToTensor()(np.ones((2, 2), np.float64)).dtype is ng.float64
    image = transforms.ToTensor()(np.full((2, 2), 200, np.int32))
    assert image.dtype is ng.int32 and image.tolist() == [[[200, 200], [200, 200]]]


def test_to_tensor_copies():
    array = np.zeros((2, 2), np.float32)
    transforms.ToTensor()(array).numpy()[:] = 1
    assert (array == 0).all()


def test_to_tensor_takes_pillows_images():
    image = pytest.importorskip("PIL.Image")
    assert (F.to_tensor(image.fromarray(COLOUR)).numpy() == F.to_tensor(COLOUR).numpy()).all()
    bilevel = image.fromarray(np.eye(3, dtype=np.uint8) * 255).convert("1")
    assert F.to_tensor(bilevel).tolist() == [np.eye(3).tolist()]
    assert (F.hflip(image.fromarray(GREY)) == GREY[:, ::-1]).all()


@pytest.mark.parametrize(
    "bad, error", [(np.zeros(3), ValueError), (np.zeros((1, 1, 1, 1)), ValueError), ([[1]], TypeError), (ng.zeros(1, 2, 2), TypeError)]
)
def test_to_tensor_errors(bad, error):
    with pytest.raises(error, match="to_tensor"):
        F.to_tensor(bad)


def test_pil_to_tensor():
    image = transforms.PILToTensor()(COLOUR)
    assert image.dtype is ng.uint8 and (image.numpy() == COLOUR.transpose(2, 0, 1)).all()
    assert transforms.PILToTensor()(GREY).shape == (1, 6, 9)


def test_normalize():
    x = tensor_image(3, 4, 5)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = (x.numpy() - np.array(mean, np.float32)[:, None, None]) / np.array(std, np.float32)[:, None, None]
    assert (transforms.Normalize(mean, std)(x).numpy() == expected).all()
    assert (F.normalize(tensor_image(2, 3, 4, 5), mean, std).shape) == (2, 3, 4, 5)
    kept = x.numpy().copy()
    F.normalize(x, mean, std)
    assert (x.numpy() == kept).all()
    version = x._version
    assert F.normalize(x, mean, std, inplace=True) is x and (x.numpy() == expected).all() and x._version == version + 1
    assert F.normalize(tensor_image(3, 4, 5), [0.5], [0.5]).shape == (3, 4, 5)


def test_normalize_is_differentiable():
    x = tensor_image(1, 2, 2).requires_grad_()
    F.normalize(x, [0.5], [0.25]).sum().backward()
    assert x.grad.tolist() == [[[4.0, 4.0], [4.0, 4.0]]]


@pytest.mark.parametrize(
    "image, mean, std, error",
    [
        (GREY, [0], [1], TypeError),
        (ng.zeros(1, 2, 2, dtype=ng.uint8), [0], [1], TypeError),
        (ng.zeros(2, 2), [0], [1], ValueError),
        (ng.zeros(3, 2, 2), [0, 0, 0], [1, 0, 1], ValueError),
        (ng.zeros(1, 2, 2), [0, 0, 0], [1, 1, 1], RuntimeError),
    ],
)
def test_normalize_errors(image, mean, std, error):
    with pytest.raises(error, match="normalize"):
        F.normalize(image, mean, std)


def test_grayscale():
    grey = transforms.Grayscale(3)(COLOUR)
    red, green, blue = (COLOUR[..., c].astype(np.float64) for c in range(3))
    expected = 0.2989 * red + 0.587 * green + 0.114 * blue
    assert grey.shape == (6, 9, 3) and (np.abs(grey - expected[..., None]) <= 1).all()
    assert F.rgb_to_grayscale(tensor_image(3, 4, 5)).shape == (1, 4, 5)
    assert F.rgb_to_grayscale(GREY, 3).shape == (6, 9, 3)
    with pytest.raises(ValueError):
        F.rgb_to_grayscale(COLOUR, 2)
    with pytest.raises(TypeError):
        F.rgb_to_grayscale(tensor_image(2, 4, 5))


# ---- shape ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3, 4), (6, 20), (13, 9), (1, 1), (12, 18), (5, 7)])
@pytest.mark.parametrize("mode, antialias", [("bilinear", True), ("bilinear", False), ("bicubic", True), ("bicubic", False)])
def test_resize_as_pytorch(size, mode, antialias):
    torch = pytest.importorskip("torch")
    x = tensor_image(2, 3, 6, 9)
    expected = torch.nn.functional.interpolate(torch.from_numpy(x.numpy()), size, mode=mode, antialias=antialias, align_corners=False)
    found = F.resize(x, size, InterpolationMode(mode), antialias=antialias)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_resize_to_nearest_as_pytorch(mode):
    torch = pytest.importorskip("torch")
    for size in ((3, 4), (7, 20), (28, 28)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(GREY.astype(np.float32))[None, None], size, mode=mode)
        assert (F.resize(GREY, size, InterpolationMode(mode)) == expected.numpy()[0, 0]).all()


def test_resize_rounds_integers():
    exact = F.resize(ng.from_numpy(COLOUR.transpose(2, 0, 1).astype(np.float64)), [4, 13])
    found = F.resize(COLOUR, [4, 13])
    assert found.dtype == np.uint8 and found.shape == (4, 13, 3)
    assert (np.abs(found.transpose(2, 0, 1) - exact.numpy()) <= 0.501).all()


@pytest.mark.parametrize(
    "size, max_size, shape", [(3, None, (3, 4)), (12, None, (12, 18)), ([12], None, (12, 18)), (12, 16, (10, 16)), ((2, 3), None, (2, 3))]
)
def test_resize_shapes(size, max_size, shape):
    assert transforms.Resize(size, max_size=max_size)(GREY).shape == shape
    assert transforms.Resize(size, max_size=max_size)(GREY.T).shape == (shape if isinstance(size, tuple) else shape[::-1])


def test_resize_to_the_same_size_is_the_image():
    assert F.resize(GREY, 6) is GREY


def test_pad():
    assert (F.pad(GREY, 2, fill=7) == np.pad(GREY, 2, constant_values=7)).all()
    assert (F.pad(COLOUR, (1, 2)) == np.pad(COLOUR, ((2, 2), (1, 1), (0, 0)))).all()
    assert (F.pad(GREY, (1, 2, 3, 4)) == np.pad(GREY, ((2, 4), (1, 3)))).all()
    assert (F.pad(GREY, -1) == GREY[1:-1, 1:-1]).all()
    for mode in ("edge", "reflect", "symmetric"):
        assert (transforms.Pad(2, padding_mode=mode)(GREY) == np.pad(GREY, 2, mode=mode)).all()
    assert (F.pad(COLOUR, 1, fill=(1, 2, 3))[0, 0] == [1, 2, 3]).all()
    assert F.pad(tensor_image(3, 4, 5), 1).shape == (3, 6, 7)


def test_crop():
    assert (F.crop(GREY, 1, 2, 3, 4) == GREY[1:4, 2:6]).all()
    assert (F.crop(GREY, -1, -2, 8, 13) == np.pad(GREY, ((1, 1), (2, 2)))).all()
    assert (F.crop(GREY, 4, 7, 4, 4) == np.pad(GREY[4:, 7:], ((0, 2), (0, 2)))).all()
    assert (transforms.CenterCrop(4)(GREY) == GREY[1:5, 2:6]).all()
    assert (F.center_crop(GREY, (8, 3)) == np.pad(GREY, ((1, 1), (0, 0)))[:, 3:6]).all()
    assert (F.resized_crop(GREY, 0, 0, 6, 6, 6) == GREY[:, :6]).all()


def test_flips():
    assert (F.hflip(COLOUR) == COLOUR[:, ::-1]).all() and (F.vflip(COLOUR) == COLOUR[::-1]).all()
    x = tensor_image(2, 3, 4, 5)
    assert (F.hflip(x).numpy() == x.numpy()[..., ::-1]).all() and (F.vflip(x).numpy() == x.numpy()[..., ::-1, :]).all()
    assert F.hflip(x).is_contiguous()


@pytest.mark.parametrize("interpolation", [InterpolationMode.NEAREST, InterpolationMode.BILINEAR])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, -1])
def test_quarter_turns(turns, interpolation):
    square = GREY[:, :6]
    assert (F.rotate(square, 90 * turns, interpolation) == np.rot90(square, turns)).all()
    assert (F.rotate(COLOUR, 90 * turns, interpolation, expand=True) == np.rot90(COLOUR, turns)).all()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    "angle, translate, scale, shear", [(31, (0, 0), 1, 0), (-75, (1, -2), 1.3, (10, 0)), (10, (0.5, 0), 0.7, (-20, 15))]
)
def test_affine_as_pytorchs_grid(mode, angle, translate, scale, shear):
    """The same matrix, written out another way, through PyTorch's grid sampling."""
    torch = pytest.importorskip("torch")
    x = tensor_image(2, 7, 9)
    shear_x, shear_y = (math.radians(s) for s in ((shear, 0) if isinstance(shear, int) else shear))
    turn = math.radians(angle)
    linear = scale * np.array(
        [
            [math.cos(turn - shear_y), -math.cos(turn - shear_y) * math.tan(shear_x) - math.sin(turn) * math.cos(shear_y)],
            [math.sin(turn - shear_y), -math.sin(turn - shear_y) * math.tan(shear_x) + math.cos(turn) * math.cos(shear_y)],
        ]
    )
    linear /= math.cos(shear_y)
    height, width = 7, 9
    y, x_ = np.mgrid[0:height, 0:width].astype(np.float64) + 0.5
    points = np.stack([x_ - width / 2 - translate[0], y - height / 2 - translate[1]])
    source = np.tensordot(np.linalg.inv(linear), points, 1)
    grid = np.stack([source[0] / (width / 2), source[1] / (height / 2)], -1)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(x.numpy()[None].astype(np.float64)), torch.from_numpy(grid[None]), mode=mode, align_corners=False
    )
    found = F.affine(x, angle, translate, scale, shear, InterpolationMode(mode))
    np.testing.assert_allclose(found.numpy(), expected[0].numpy(), atol=1e-5)


def test_fill():
    shifted = F.affine(COLOUR, 0, (2, 0), 1.0, 0, fill=(1, 2, 3))
    assert (shifted[:, :2] == [1, 2, 3]).all() and (shifted[:, 2:] == COLOUR[:, :-2]).all()
    half = F.affine(np.full((4, 4), 100.0), 0, (0.5, 0), 1.0, 0, InterpolationMode.BILINEAR, fill=10)
    assert half[:, 0].tolist() == [55.0] * 4 and half[:, 1:].tolist() == [[100.0] * 3] * 4
    assert (F.rotate(np.zeros((5, 5), np.uint8), 45, fill=9)[0, 0]) == 9
    with pytest.raises(ValueError, match="fill"):
        F.rotate(COLOUR, 10, fill=(1, 2))


def test_rotation_about_a_point():
    image = np.zeros((5, 5), np.uint8)
    image[0, 1] = 1
    assert F.rotate(image, 90, center=(0.5, 0.5))[0, 0] == 0
    assert np.argwhere(F.rotate(image, -90, center=(0.5, 0.5))).tolist() == [[1, 0]]


def test_transforms_leave_their_argument_alone():
    kept = COLOUR.copy()
    for change in (
        F.hflip,
        F.vflip,
        lambda i: F.pad(i, 1),
        lambda i: F.crop(i, 0, 0, 2, 2),
        lambda i: F.rotate(i, 10),
        lambda i: F.resize(i, 3),
    ):
        result = change(COLOUR)
        result[:] = 0
        assert (kept == COLOUR).all()


# ---- random -----------------------------------------------------------------------------------------------------------------------------

RANDOM = {
    "crop": transforms.RandomCrop(4, padding=2),
    "resized crop": transforms.RandomResizedCrop(5),
    "flip": transforms.RandomHorizontalFlip(),
    "rotation": transforms.RandomRotation(30, interpolation=InterpolationMode.BILINEAR),
    "affine": transforms.RandomAffine(20, translate=(0.2, 0.2), scale=(0.8, 1.2), shear=10),
    "apply": transforms.RandomApply([transforms.RandomVerticalFlip(1.0)]),
    "choice": transforms.RandomChoice([transforms.RandomVerticalFlip(1.0), transforms.RandomHorizontalFlip(1.0)]),
    "order": transforms.RandomOrder([transforms.Pad((1, 0)), transforms.Pad((0, 1), fill=255), transforms.RandomHorizontalFlip()]),
}


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("image", [GREY, COLOUR, tensor_image(3, 6, 9)], ids=["grey", "colour", "tensor"])
def test_seed_fixes_random_transforms(name, image):
    def draw(seed):
        ng.manual_seed(seed)
        return [np.asarray(RANDOM[name](image)) for _ in range(12)]

    first, again = draw(1), draw(1)
    assert all(a.shape == b.shape and (a == b).all() for a, b in zip(first, again))
    assert len({a.tobytes() for a in first}) > 1
    assert type(RANDOM[name](image)) is type(image)


def test_flip_probability():
    ng.manual_seed(0)
    image = np.array([[0, 1]], np.uint8)
    flips = sum(int(transforms.RandomHorizontalFlip(0.3)(image)[0, 0]) for _ in range(2000))
    assert 520 < flips < 680
    assert not any(transforms.RandomHorizontalFlip(0)(image)[0, 0] for _ in range(50))
    assert all(transforms.RandomVerticalFlip(1)(image.T)[0, 0] for _ in range(50))


def test_random_crop_is_everywhere():
    ng.manual_seed(0)
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    corners = [int(transforms.RandomCrop(3)(image)[0, 0]) for _ in range(200)]
    assert set(corners) == {0, 1, 4, 5}
    assert transforms.RandomCrop((4, 4))(image) is image
    assert transforms.RandomCrop((6, 5), pad_if_needed=True)(image).shape == (6, 5)
    with pytest.raises(ValueError, match="larger than input image"):
        transforms.RandomCrop(5)(image)


def test_random_rotation_range():
    ng.manual_seed(0)
    image = np.zeros((21, 21), np.uint8)
    image[10, 11:] = 1
    for _ in range(20):
        rows = np.argwhere(transforms.RandomRotation((80, 100))(image))[:, 0]
        assert rows.max() <= 10  # counter-clockwise: what pointed right points up


# ---- printed forms and arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform, text",
    [
        (transforms.Compose([transforms.ToTensor(), transforms.Lambda(abs)]), "Compose(\n    ToTensor()\n    Lambda()\n)"),
        (transforms.Normalize((0.5,), (0.5,)), "Normalize(mean=(0.5,), std=(0.5,))"),
        (transforms.Resize(28), "Resize(size=28, interpolation=bilinear, max_size=None, antialias=True)"),
        (transforms.RandomCrop(28, padding=4), "RandomCrop(size=(28, 28), padding=4)"),
        (transforms.CenterCrop((3, 4)), "CenterCrop(size=(3, 4))"),
        (transforms.RandomHorizontalFlip(), "RandomHorizontalFlip(p=0.5)"),
        (transforms.RandomRotation(10), "RandomRotation(degrees=[-10.0, 10.0], interpolation=nearest, expand=False, fill=0)"),
        (transforms.RandomAffine(15, (0.1, 0.2), shear=5), "RandomAffine(degrees=[-15.0, 15.0], translate=(0.1, 0.2), shear=[-5.0, 5.0])"),
        (transforms.RandomApply([transforms.ToTensor()], p=0.3), "RandomApply(\n    p=0.3\n    ToTensor()\n)"),
        (transforms.Lambda(abs), "Lambda()"),
        (transforms.Grayscale(), "Grayscale(num_output_channels=1)"),
        (transforms.Pad(2), "Pad(padding=2, fill=0, padding_mode=constant)"),
        (transforms.PILToTensor(), "PILToTensor()"),
    ],
)  # fmt: skip
def test_printed_forms(transform, text):
    assert repr(transform) == text


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: transforms.Resize("large"), TypeError),
        (lambda: transforms.Resize((1, 2, 3)), ValueError),
        (lambda: transforms.Resize(0), ValueError),
        (lambda: transforms.Resize(8, max_size=4), ValueError),
        (lambda: transforms.Resize((8, 8), max_size=16), ValueError),
        (lambda: transforms.Resize(8, interpolation=None), TypeError),
        (lambda: transforms.RandomCrop(0), ValueError),
        (lambda: transforms.RandomCrop((1, 2, 3)), ValueError),
        (lambda: transforms.RandomRotation(-1), ValueError),
        (lambda: transforms.RandomRotation((1, 2, 3)), ValueError),
        (lambda: transforms.RandomRotation(None), TypeError),
        (lambda: transforms.RandomAffine(0, translate=(2, 0)), ValueError),
        (lambda: transforms.RandomAffine(0, scale=(0, 1)), ValueError),
        (lambda: transforms.Lambda(3), TypeError),
        (lambda: transforms.RandomApply(3), TypeError),
        (lambda: transforms.RandomChoice([abs], p=[0.5, 0.5]), ValueError),
        (lambda: transforms.Pad(1, padding_mode="wrap")(GREY), ValueError),
        (lambda: F.pad(GREY, (1, 2, 3)), ValueError),
        (lambda: F.pad(GREY, 9, padding_mode="reflect"), RuntimeError),
        (lambda: F.affine(GREY, 0, (0, 0), 0, 0), ValueError),
        (lambda: F.affine(GREY, 0, (0, 0, 0), 1, 0), ValueError),
        (lambda: F.rotate(GREY, 0, InterpolationMode.BICUBIC), ValueError),
        (lambda: F.hflip("image"), TypeError),
        (lambda: F.hflip(np.zeros(3)), TypeError),
        (lambda: F.hflip(ng.zeros(3)), ValueError),
        (lambda: F.hflip(ng.zeros(1, 2, 2).requires_grad_()), RuntimeError),
        (lambda: F.resize(np.zeros((0, 3), np.uint8), (2, 2)), ValueError),
    ],
)
def test_bad_arguments(make, error):
    with pytest.raises(error):
        make()
