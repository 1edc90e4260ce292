"""Ways to look at images: many in one grid, and into a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ..creation import from_numpy
from ..tensor import Tensor
from ..utils._png import png


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images (N, channels, height, width), or a list of images, in one image of rows of ``nrow``, ``padding`` pixels apart.

    ``normalize`` shifts and scales the values from ``value_range`` (by default their own, each image's with ``scale_each``) to [0, 1].
    One channel becomes three.  Raises TypeError for what is no tensor, ValueError for tensors that are no images.
    """
    images = [tensor] if isinstance(tensor, Tensor) else list(tensor)
    if not images or not all(isinstance(image, Tensor) for image in images):
        raise TypeError(f"make_grid: tensor or list of tensors expected, got {type(tensor)}")
    arrays = [image.detach().numpy() for image in images]
    stacked = arrays[0] if isinstance(tensor, Tensor) else np.stack(arrays)
    if stacked.ndim == 2:
        stacked = stacked[None, None]
    elif stacked.ndim == 3:
        stacked = stacked[None] if isinstance(tensor, Tensor) else stacked[:, None]
    if stacked.ndim != 4:
        raise ValueError(f"make_grid: expected images (N, channels, height, width), but got shape {stacked.shape}")
    if stacked.shape[1] == 1:
        stacked = np.repeat(stacked, 3, axis=1)
    if normalize:
        work = stacked.astype(np.float32) if stacked.dtype.kind != "f" else stacked
        axes = (1, 2, 3) if scale_each else None
        low = work.min(axes, keepdims=True) if value_range is None else np.asarray(value_range[0], work.dtype)
        high = work.max(axes, keepdims=True) if value_range is None else np.asarray(value_range[1], work.dtype)
        stacked = (np.clip(work, low, high) - low) / np.maximum(high - low, 1e-5).astype(work.dtype)
    count, channels, height, width = stacked.shape
    if count == 1:
        return from_numpy(np.ascontiguousarray(stacked[0]))
    columns = min(nrow, count)
    rows = -(-count // columns)
    cell_height, cell_width = height + padding, width + padding
    grid = np.full((channels, cell_height * rows + padding, cell_width * columns + padding), pad_value, stacked.dtype)
    for i, image in enumerate(stacked):
        top, left = i // columns * cell_height + padding, i % columns * cell_width + padding
        grid[:, top : top + height, left : left + width] = image
    return from_numpy(grid)


def save_image(tensor: Tensor | Sequence[Tensor], fp: str | Path, format: str | None = None, **kwargs: Any) -> None:
    """Write images with values from 0 to 1 as a PNG, in a grid (``make_grid``'s keyword arguments); the file appears whole or not at all.

    Raises ValueError for another format than PNG.
    """
    kind = format or Path(fp).suffix.lstrip(".")
    if kind.lower() != "png":
        raise ValueError(f"save_image: only the format 'png' is supported, got {kind!r}")
    grid = make_grid(tensor, **kwargs).numpy()
    pixels = np.clip(grid.astype(np.float64) * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    target = Path(fp)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(png(pixels))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
