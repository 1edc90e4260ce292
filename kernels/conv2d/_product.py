"""Convolutions that are matrix products of arrays as they lie: kernels of one pixel, and kernels as large as the plane.

A kernel that covers the plane meets every input once, so all three passes are one product of matrices with a row for each image
(``covers``).  A kernel of one pixel at stride 1 is one product for each image, ``weight [out, channels] · x[n] [channels, pixels]``
(``BATCHED``), which wastes registers on planes of few pixels; there the inputs are turned to one matrix [images · pixels, channels], and the
results back (``TURNED``).  The tiles of ``_engine`` compute the same without packing anything, and stay in use where they are faster.
"""

from __future__ import annotations

import functools

import numpy as np

from .. import reduce
from .._cpu import simd_conv
from ..copy import contiguous
from ..matmul import linear, matmul
from ._plan import Geometry

Sizes = tuple[int, ...]  # of each spatial dimension

BATCHED, TURNED = 1, 2

# Outputs up to which a bias is added in a second pass: beyond, they leave the cache between the two.
_BIASED = 1 << 18
# Outputs from which on memory bounds the product, while the tiles ask for the lines that they will store to.
_FAR = 1 << 20
# Bytes of the products of some images that are summed together.
_PRODUCT_BYTES = 8 << 20
# Pixels of a plane up to which the products of few channels, summed pixel after pixel, are as exact as the blocks of the tiles.
_SUMMED = 1 << 14


def covers(shape: tuple[int, ...], weight: tuple[int, ...], size: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> bool:
    """Whether one output per image and channel meets every input once."""
    if groups != 1 or max(size) != 1 or max(padding) != 0 or weight[2:] != shape[2:]:
        return False
    return max(dilation) == 1 or max(weight[2:]) == 1


def _rows(x: np.ndarray) -> np.ndarray:
    """``x`` [images, channels, *extent] with a row for each image."""
    return x.reshape(len(x), -1)


def covering(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """The convolution where the kernel ``covers`` the plane."""
    return linear(_rows(x), _rows(weight), bias).reshape(len(x), len(weight), *(1,) * (x.ndim - 2))


def covering_input_grad(grad: np.ndarray, weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return matmul(_rows(grad), _rows(weight)).reshape(shape)


def covering_weight_grad(grad: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return matmul(_rows(grad).T, _rows(x)).reshape(shape)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def pointwise(q: Geometry) -> bool:
    """Whether every output meets the inputs at its own pixel."""
    here = q.flat and q.groups == q.stride_h == q.stride_w == 1 and q.rows == (0,) and q.columns == (0,)
    return here and (q.out_height, q.out_width) == (q.height, q.width)


def planned(q: Geometry, itemsize: int, biased: bool, tiles: float) -> int:
    """``BATCHED`` or ``TURNED`` where that takes less than the estimated time ``tiles`` of the other layouts, in the unit of ``_plan``; else 0.

    Measured (Zen 4, AVX-512, float32, one thread, microseconds, tiles / batched without a bias / turned; and what the estimate
    picks):

        32 x   64 -> 128,  7x7           301 /   311 /     -    batched
        32 x  512 -> 512,  7x7          9057 / 10142 /     -    tiles
        16 x  256 ->  64, 14x14          944 /   968 /     -    batched
        16 x   64 ->  64, 56x56         5850 /  6640 /     -    tiles
         1 x   64 -> 256, 56x56         1041 /   990 /     -    batched
         1 x   16 ->   3, 224x224        224 /   103 /     -    batched
         1 x    3 ->  16, 224x224        103 /   119 /     -    tiles
         2 x   64 ->   4, 64x64          156 /    66 /     -    batched
        64 x    8 ->   8,  5x5            31 /   6.5 /     -    batched
        16 x   64 ->  64,  4x4            48 /    22 /     -    batched
        64 x  256 -> 256,  2x2           553 /   776 /   415    turned
        32 x  512 -> 512,  2x2          1064 /  1475 /   751    turned
    """
    lanes, pixels = simd_conv.lanes(np.float32 if itemsize == 4 else np.float64), q.height * q.width
    outputs = q.images * q.out * pixels

    def product(rows: int, columns: int) -> float:
        """Of registers as of tiles of 4 rows by two vectors, or by one where that is enough."""
        vectors = 1 if columns <= lanes else 2 * _ceil(columns, 2 * lanes)
        return _ceil(rows, 4) * 4 * vectors * (q.channels / 2 + 5)

    batched = q.images * product(q.out, pixels)
    turned = product(q.images * pixels, q.out) + 1.5 * q.images * pixels * (q.channels + q.out)
    if outputs > _FAR:
        batched += 8 * outputs / lanes
    if biased:
        batched = batched + 10 * outputs / lanes if outputs <= _BIASED else float("inf")
    best, way = min((batched, BATCHED), (turned, TURNED))
    return way if best < tiles else 0


def _turned(x: np.ndarray) -> np.ndarray:
    """``x`` [images, channels, *extent] as a matrix [images · pixels, channels]."""
    images, channels = x.shape[:2]
    return contiguous(x.reshape(images, channels, -1).swapaxes(1, 2)).reshape(-1, channels)


def correlate(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, shape: tuple[int, ...], transposed: bool, way: int) -> np.ndarray:
    """The correlation of contiguous ``x`` with a flat ``weight`` [out, channels], or [channels, out] where ``transposed``, of ``shape``."""
    images, channels = x.shape[:2]
    matrix = weight.reshape(channels, -1).T if transposed else weight.reshape(-1, channels)
    if way == TURNED:
        rows = linear(_turned(x), matrix, bias)
        return contiguous(rows.reshape(images, len(rows) // images, -1).swapaxes(1, 2)).reshape(shape)
    out = matmul(matrix[None], x.reshape(images, channels, -1))
    if bias is not None:
        out += bias[:, None]
    return out.reshape(shape)


@functools.lru_cache(maxsize=1024)
def planned_weight(q: Geometry) -> int:
    """As ``planned`` for the weight gradient: ``BATCHED``, the products of each image's gradient with its inputs, which are then summed, or
    ``TURNED``, one product over the pixels of all images.

    Measured as above (tiles / batched / turned):

        32 x   64 -> 128,  7x7           352 /   289 /   341    batched
        32 x  512 -> 512,  7x7         10473 / 11156 / 10088    turned
        16 x  256 ->  64, 14x14         1096 /  1056 /  1381    batched
        16 x   64 ->  64, 56x56         7447 /  5448 / 16094    batched
         1 x   64 -> 256, 56x56         1294 /   952 /  1757    batched
         8 x    3 ->  16, 32x32           40 /    16 /   125    batched
         2 x    8 ->   8, 100x100         37 /    88 /   185    tiles
         2 x   64 ->   4, 64x64           87 /   107 /   333    tiles
        64 x    8 ->   8,  5x5            34 /    13 /    34    batched
        32 x  512 -> 512,  4x4          3733 /  5960 /  2927    turned
        64 x  256 -> 256,  2x2           698 /  2794 /   441    turned
    """
    pixels = q.height * q.width
    if q.images > 1 and q.out * q.channels > 3 * pixels * (q.out + q.channels):
        return TURNED  # the matrices of each image are larger than what they are computed from
    # Few channels leave registers empty, but the tiles pack small planes, and matmul has kernels of its own for up to 4 columns.
    fills = q.out >= 16 and (q.channels >= 16 or q.channels <= 4 and pixels <= _SUMMED)
    return BATCHED if fills or pixels < 32 else 0


def weight_grad(grad: np.ndarray, x: np.ndarray, shape: tuple[int, ...], way: int) -> np.ndarray:
    """The gradient with respect to a weight of ``shape`` [out, channels, 1, 1]."""
    if way == TURNED:
        return matmul(_turned(grad).T, _turned(x)).reshape(shape)
    images, channels = x.shape[:2]
    left, right = grad.reshape(images, shape[0], -1), x.reshape(images, channels, -1).swapaxes(1, 2)
    step, total = max(1, _PRODUCT_BYTES // (shape[0] * channels * x.itemsize)), None
    for first in range(0, images, step):
        products = matmul(left[first : first + step], right[first : first + step])
        part = products[0] if len(products) == 1 else reduce.sum(products, (0,))
        total = part if total is None else np.add(total, part, out=total)
    return total.reshape(shape)  # type: ignore[union-attr]
