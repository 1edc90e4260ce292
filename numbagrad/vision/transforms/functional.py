"""Image transforms as functions with every parameter given.

Images are tensors (..., channels, height, width) or arrays (height, width) or (height, width, channels); each function gives back the kind
it was given, and leaves its argument as it was.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from ...creation import from_numpy
from ...creation import tensor as make_tensor
from ...dtypes import get_default_dtype
from ...tensor import Tensor
from . import _colours, _resample
from ._adjust import *  # noqa: F403
from ._planes import is_image, opened, pillow_array, rounded
from ._resample import InterpolationMode

_PADDING = {"constant": "constant", "edge": "edge", "reflect": "reflect", "symmetric": "symmetric"}
_MODES = {0: InterpolationMode.NEAREST, 2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}  # Pillow's numbers


def as_mode(mode: Any, op: str) -> InterpolationMode:
    """The mode that ``mode`` names: a member, its value, or Pillow's number for it.  Raises TypeError or ValueError otherwise."""
    if isinstance(mode, InterpolationMode):
        return mode
    if isinstance(mode, (int, str)) and not isinstance(mode, bool):
        return _MODES[mode] if mode in _MODES else InterpolationMode(mode)  # type: ignore[index]
    raise TypeError(f"{op}: interpolation should be a InterpolationMode, but got {mode!r}")


def to_tensor(pic: Any) -> Tensor:
    """The image as a tensor (channels, height, width): uint8 divided by 255 in the default dtype, other dtypes as they are.

    Raises TypeError for what is no array or image, ValueError for an array with neither 2 nor 3 dimensions.
    """
    if isinstance(pic, Tensor) or not (is_image(pic) or isinstance(pic, np.ndarray)):
        raise TypeError(f"to_tensor: pic should be an image or ndarray. Got {type(pic)}")
    array = pic if isinstance(pic, np.ndarray) else pillow_array(pic)
    if array.ndim not in (2, 3):
        raise ValueError(f"to_tensor: pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    return from_numpy(scaled(array[None] if array.ndim == 2 else array.transpose(2, 0, 1)))


def scaled(planes: np.ndarray) -> np.ndarray:
    """A new array of the values: uint8 from 0 .. 255 to 0 .. 1 in the default dtype, other dtypes as they are."""
    if planes.dtype != np.uint8:
        return np.array(planes, order="C")
    dtype = get_default_dtype().numpy
    return np.divide(planes, dtype.type(255), dtype=dtype, order="C")


def pil_to_tensor(pic: Any) -> Tensor:
    """The image as a tensor (channels, height, width) of its own dtype.  Raises TypeError for what is no image."""
    if isinstance(pic, Tensor):
        raise TypeError(f"pil_to_tensor: pic should be an image. Got {type(pic)}")
    planes, _ = opened(pic, "pil_to_tensor")
    return from_numpy(np.array(planes if planes.ndim == 3 else planes[None], order="C"))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """The image as one of Pillow's: a tensor (channels, height, width), floating ones times 255, or an array (height, width, channels).

    Raises TypeError for what is no image, ValueError for a number of channels that Pillow does not have, ModuleNotFoundError without Pillow.
    """
    if not isinstance(pic, (Tensor, np.ndarray)):
        raise TypeError(f"to_pil_image: pic should be Tensor or ndarray. Got {type(pic)}.")
    array = pic.detach().cpu().numpy() if isinstance(pic, Tensor) else pic  # type: ignore[attr-defined]
    if array.ndim not in (2, 3):
        raise ValueError(f"to_pil_image: pic should be 2/3 dimensional. Got {array.ndim} dimensions.")
    if isinstance(pic, Tensor):
        if array.dtype.kind == "f" and mode != "F":
            array = (array * 255).astype(np.uint8)
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    if array.ndim == 3 and array.shape[2] > 4:
        raise ValueError(f"to_pil_image: pic should not have > 4 channels. Got {array.shape[2]} channels.")
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("to_pil_image: Pillow makes its images: pip install pillow") from error
    made = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array))
    if mode is not None and mode != made.mode:
        made = made.convert(mode)
    return made


def convert_image_dtype(image: Tensor, dtype: Any = None) -> Tensor:
    """The tensor image in another dtype (by default float32), its values scaled from the range of the one to that of the other: 0 to the largest for integers,
    0 to 1 for floating dtypes.  Raises RuntimeError from float32 to int32 or int64 and from float64 to int64, which would not hold them exactly."""
    target = make_tensor(0.0).dtype if dtype is None else dtype
    if image.dtype == target:
        return image
    whole = [not d.is_floating_point for d in (image.dtype, target)]
    if whole == [False, False]:
        return image.to(target)  # type: ignore[attr-defined]
    most = [np.iinfo(d.numpy).max if w else 1 for d, w in zip((image.dtype, target), whole)]
    if whole == [True, False]:
        return image.to(target) / most[0]  # type: ignore[attr-defined]
    if whole == [False, True]:
        if (image.dtype.itemsize, target.itemsize) in ((4, 4), (4, 8), (8, 8)):
            raise RuntimeError(f"convert_image_dtype: The cast from {image.dtype} to {target} cannot be performed safely.")
        return (image * (most[1] + 1.0 - 1e-3)).to(target)  # type: ignore[attr-defined]
    if most[0] > most[1]:
        return (image // ((most[0] + 1) // (most[1] + 1))).to(target)
    return image.to(target) * ((most[1] + 1) // (most[0] + 1))  # type: ignore[attr-defined]


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """(tensor - mean) / std, channel by channel, of a floating tensor (..., channels, height, width).

    Raises TypeError for what is no floating tensor, ValueError for less than 3 dimensions and for a zero in ``std``, RuntimeError when
    ``mean`` and ``std`` do not fit the channels.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"normalize: img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"normalize: Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(f"normalize: Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}")
    plain = not tensor.requires_grad and isinstance(tensor._data, np.ndarray) and tensor._data.dtype.kind == "f"
    dtype = tensor._data.dtype if plain else np.dtype(np.float64)
    centre, spread = np.array(mean, dtype).reshape(-1, 1, 1), np.array(std, dtype).reshape(-1, 1, 1)
    if not spread.all():
        raise ValueError(f"normalize: std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    channels = tensor.shape[-3]
    if centre.size not in (1, channels) or spread.size not in (1, channels):
        raise RuntimeError(f"normalize: {centre.size} means and {spread.size} standard deviations for {channels} channels")
    if not plain:  # the graph, another device or bfloat16: the same in tensor operations
        centre_tensor, spread_tensor = (make_tensor(a.tolist(), dtype=tensor.dtype, device=tensor.device) for a in (centre, spread))
        result = (tensor - centre_tensor) / spread_tensor
        return tensor.copy_(result) if inplace else result
    if inplace:
        tensor._data -= centre
        tensor._data /= spread
        tensor._bump()
        return tensor
    values = tensor._data - centre
    values /= spread
    return from_numpy(values)


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    planes, _ = opened(img, "get_dimensions")
    return [planes.shape[-3] if planes.ndim > 2 else 1, planes.shape[-2], planes.shape[-1]]


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    _, height, width = get_dimensions(img)
    return [width, height]


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """The image at another size: (height, width), or an int for the shorter edge, the longer one following (and at most ``max_size``).

    Raises ValueError for sizes that are not positive or do not go together, TypeError for sizes of the wrong type.
    """
    planes, close = opened(img, "resize")
    height, width = resized_shape(planes.shape[-2], planes.shape[-1], size, max_size)
    if (height, width) == planes.shape[-2:]:
        return img if isinstance(img, (Tensor, np.ndarray)) else close(planes)
    if 0 in planes.shape[-2:]:
        raise ValueError(f"resize: an image of height {planes.shape[-2]} and width {planes.shape[-1]} has no pixels to resize")
    return close(_resample.resize(planes, height, width, as_mode(interpolation, "resize"), bool(antialias)))


def resized_shape(height: int, width: int, size: int | Sequence[int], max_size: int | None = None) -> tuple[int, int]:
    """The (height, width) that ``resize`` gives an image of ``height`` and ``width``."""
    if isinstance(size, int):
        size = [size]
    if not isinstance(size, (list, tuple)):
        raise TypeError(f"resize: Size should be int or sequence. Got {type(size)}")
    if len(size) not in (1, 2) or any(s < 1 for s in size):
        raise ValueError(f"resize: Size must be an int or a 1 or 2 element tuple/list of positive ints, not {size}")
    if len(size) == 2:
        if max_size is not None:
            raise ValueError("resize: max_size should only be passed if size specifies the length of the smaller edge")
        return size[0], size[1]
    short, long = size[0], max(height, width) * size[0] // max(min(height, width), 1)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(
                f"resize: max_size = {max_size} must be strictly greater than the requested size for the smaller edge, {size[0]}"
            )
        if long > max_size:
            short, long = max_size * short // long, max_size
    return (long, short) if width <= height else (short, long)


def _four(padding: int | Sequence[int], op: str) -> tuple[int, int, int, int]:
    """(left, top, right, bottom)."""
    sides = [padding] if isinstance(padding, int) else list(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"{op}: Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element tuple")
    left, top, right, bottom = (sides * 4)[:4] if len(sides) != 2 else (sides[0], sides[1], sides[0], sides[1])
    return left, top, right, bottom


def _fill_per_channel(fill: Any, planes: np.ndarray, op: str) -> np.ndarray:
    values = np.atleast_1d(np.asarray(0 if fill is None else fill, dtype=np.float64))
    channels = planes.shape[-3] if planes.ndim > 2 else 1
    if values.ndim != 1 or values.size not in (1, channels):
        raise ValueError(f"{op}: the number of elements in 'fill' does not match the image's channels ({values.size} != {channels})")
    return values.reshape(-1, 1, 1) if planes.ndim > 2 else values.reshape(-1, 1)


def pad(img: Any, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> Any:
    """The image with a border: ``padding`` is one width, (left and right, top and bottom), or (left, top, right, bottom); negative crops.

    ``padding_mode``: "constant" (``fill``), "edge", "reflect" (without repeating the border) or "symmetric".

    Raises ValueError for another mode, RuntimeError for a reflected border that is wider than the image.
    """
    if padding_mode not in _PADDING:
        raise ValueError(f"pad: Padding mode should be either constant, edge, reflect or symmetric, got {padding_mode}")
    planes, close = opened(img, "pad")
    left, top, right, bottom = _four(padding, "pad")
    if min(left, top, right, bottom) < 0:
        height, width = planes.shape[-2:]
        planes = planes[..., max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]
        left, top, right, bottom = (max(side, 0) for side in (left, top, right, bottom))
    if padding_mode == "reflect" and (max(left, right) >= planes.shape[-1] or max(top, bottom) >= planes.shape[-2]):
        raise RuntimeError(f"pad: a reflected border of {(left, top, right, bottom)} does not fit an image of {planes.shape[-2:]}")
    if padding_mode == "constant":
        shape = (*planes.shape[:-2], planes.shape[-2] + top + bottom, planes.shape[-1] + left + right)
        out = np.empty(shape, planes.dtype)
        out[...] = rounded(_fill_per_channel(fill, planes, "pad"), planes.dtype)
        out[..., top : top + planes.shape[-2], left : left + planes.shape[-1]] = planes
        return close(out)
    widths = [(0, 0)] * (planes.ndim - 2) + [(top, bottom), (left, right)]
    return close(np.pad(planes, widths, mode=padding_mode))  # type: ignore[call-overload]


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The rectangle of ``height`` x ``width`` whose upper left corner is (top, left); what lies outside of the image is 0."""
    planes, close = opened(img, "crop")
    rows, columns = planes.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= rows and left + width <= columns:
        return close(np.array(planes[..., top : top + height, left : left + width], order="C"))
    return pad(img, [-left, -top, left + width - columns, top + height - rows])


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """The middle of the image; an image that is too small is padded with 0."""
    height, width = pair(output_size, "center_crop")
    _, rows, columns = get_dimensions(img)
    if rows < height or columns < width:
        left, top = max(width - columns, 0) // 2, max(height - rows, 0) // 2
        img = pad(img, [left, top, (max(width - columns, 0) + 1) // 2, (max(height - rows, 0) + 1) // 2])
        _, rows, columns = get_dimensions(img)
    return crop(img, round((rows - height) / 2.0), round((columns - width) / 2.0), height, width)


def pair(size: int | Sequence[int], op: str) -> tuple[int, int]:
    """(height, width) from an int or a sequence of one or two."""
    sizes = [size] if isinstance(size, int) else list(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"{op}: Please provide only two dimensions (h, w) for size, got {size}")
    return sizes[0], sizes[-1]


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """``resize(crop(img, top, left, height, width), size)``."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    planes, close = opened(img, "hflip")
    return close(np.array(planes[..., ::-1], order="C"))


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    planes, close = opened(img, "vflip")
    return close(np.array(planes[..., ::-1, :], order="C"))


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    """The image turned clockwise by ``angle`` degrees, scaled and sheared (degrees) about its middle or ``center`` (x, y), then shifted.

    Pixels that show nothing of the image are ``fill`` (0).  Raises ValueError for a scale that is not positive, for sequences of the wrong
    length, and for an interpolation other than NEAREST and BILINEAR.
    """
    planes, close = opened(img, "affine")
    if len(translate) != 2:
        raise ValueError(f"affine: translate should be a sequence of length 2, got {translate}")
    if scale <= 0.0:
        raise ValueError(f"affine: Argument scale should be positive, got {scale}")
    shears = [shear, 0.0] if isinstance(shear, (int, float)) else [*shear, 0.0][:2]
    height, width = planes.shape[-2:]
    middle = [width / 2, height / 2] if center is None else list(center)
    matrix = _resample.affine_matrix(angle, translate, scale, shears, middle)
    fills = _fill_per_channel(fill, planes, "affine")
    return close(_resample.warp(planes, matrix, height, width, _warp_mode(interpolation, "affine"), fills))


def _warp_mode(interpolation: Any, op: str) -> InterpolationMode:
    mode = as_mode(interpolation, op)
    if mode not in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR):
        raise ValueError(f"{op}: interpolation should be NEAREST or BILINEAR, got {mode}")
    return mode


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    """The image turned counter-clockwise by ``angle`` degrees about its middle or ``center`` (x, y).

    With ``expand`` the result is large enough to hold all of it (turned about the middle).  Errors as for ``affine``.
    """
    planes, close = opened(img, "rotate")
    height, width = planes.shape[-2:]
    middle = [width / 2, height / 2] if center is None or expand else [float(c) for c in center]
    matrix = _resample.affine_matrix(-angle, (0.0, 0.0), 1.0, (0.0, 0.0), middle)
    new_height, new_width = height, width
    if expand:
        corners = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
        low, high = corners.min(1), corners.max(1)
        new_width, new_height = (math.ceil(high[i] - low[i] - 1e-4) for i in (0, 1))
        matrix = _resample.affine_matrix(0.0, (new_width / 2 - middle[0], new_height / 2 - middle[1]), 1.0, (0.0, 0.0), (0.0, 0.0)) @ matrix
    fills = _fill_per_channel(fill, planes, "rotate")
    return close(_resample.warp(planes, matrix, new_height, new_width, _warp_mode(interpolation, "rotate"), fills))


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """0.2989 red + 0.587 green + 0.114 blue (ITU-R BT.601), in one channel or repeated in three.

    Raises ValueError for another number of channels, TypeError for an image that has neither 1 nor 3.
    """
    if num_output_channels not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: num_output_channels should be either 1 or 3, got {num_output_channels}")
    planes, close = opened(img, "rgb_to_grayscale")
    if planes.ndim == 2:
        planes, close = planes[None], (close if isinstance(img, Tensor) else lambda p: np.ascontiguousarray(p.transpose(1, 2, 0)))
    if planes.shape[-3] == 3:
        planes = _colours.grey(planes)
    elif planes.shape[-3] != 1:
        raise TypeError(f"rgb_to_grayscale: Input image tensor permitted channel values are 1 or 3, but found {planes.shape[-3]}")
    return close(np.repeat(planes, num_output_channels, axis=-3))


to_grayscale = rgb_to_grayscale
