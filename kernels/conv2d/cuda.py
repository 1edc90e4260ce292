"""2-D convolution on CUDA: each pass is a correlation (``_cuda_geometry``), computed as an implicit matrix product or, in narrow groups, directly.

forward          x against the weight
input gradient   the output gradient against the weight with its channels exchanged; once for each remainder of the input's position by the stride
weight gradient  the output gradient against the inputs that each tap meets, summed over pixels in parts of fixed size

Strides are the kernels': no operand is copied for the way it lies.  Nothing is added up by atomics: results are the same bits each time.
"""

from __future__ import annotations

import functools
from typing import Sequence

import numpy as np

from .. import _dtypes, _precision
from .._cuda.array import CudaArray, empty, zeros
from .._cuda.intrinsics import divider
from .._cuda.launch import blocks, launch
from ..copy import contiguous
from ..matmul._cuda_kind import computed
from . import _cuda_direct, _cuda_gemm, _cuda_geometry, _cuda_sums, _cuda_units, _cuda_weight, _folded
from ._cuda_geometry import Axis, Correlation, Pair
from ._cuda_units import Units
from ._folded import Sizes

__all__ = [
    "conv2d",
    "conv2d_bias_grad",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv3d",
    "conv3d_input_grad",
    "conv3d_weight_grad",
    "zeros",
]

# The most of a grid in its second and third dimension.
_MOST = 65535
# Blocks that keep a large GPU busy, and the pixels that a part of a weight gradient has at least and at most.
_ENOUGH_BLOCKS, _LEAST_PIXELS, _MOST_PIXELS = 528, 256, 1 << 15


def _by_tensor_cores(dtype: np.dtype) -> bool:
    """Whether tensor cores multiply: always for 16-bit floats, for float32 only where it may be rounded to TF32."""
    return dtype in _dtypes.HALVES or (dtype == _dtypes.float32 and _precision.convolution.allow_tf32)


def _divisor(n: int) -> tuple[int, int, int]:
    return (n, *divider(max(1, n)))


def _taps(axis: Axis) -> tuple[int, int, int]:
    return axis.step, axis.first, axis.apart


def _source_strides(array: CudaArray, channels: int) -> tuple[int, int, int, int, int]:
    """Between images, groups of ``channels``, channels, rows and columns."""
    image, channel, row, column = _cuda_geometry.steps(array)
    return image, channels * channel, channel, row, column


# ---- forward, and the gradient with respect to the input --------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _depth(c: Correlation, depth: int) -> tuple[bool, int, int]:
    """Whether steps of the depth hold several taps, the room for channels in a tap, and the number of steps."""
    room = -(-c.channels // depth) * depth
    mixed = 4 * room > 5 * c.channels
    if mixed:
        return True, c.channels, -(-c.taps * c.channels // depth)
    return False, room, c.taps * room // depth


def _pack(weight: CudaArray, strides: Sequence[int], c: Correlation, u: Units, m_room: int, room: int, depth: int) -> CudaArray:
    """``weight`` in the order of ``_cuda_gemm.packer``; ``strides`` between groups, output channels, channels, rows and columns."""
    packed = empty((c.groups, depth, m_room), weight.dtype if u.along_k else computed(weight.dtype))
    if packed.size:
        rows, columns = c.rows, c.columns
        taps = (rows.taps, columns.taps, rows.tap, rows.tap_apart, columns.tap, columns.tap_apart)
        sizes = (c.out, m_room, c.channels, room, *taps, depth, u.depth if u.along_k else 1, packed.size)
        kernel = _cuda_gemm.packer(u.stored, u.element, u.read)
        launch(kernel, *blocks(packed.size), (packed.pointer, weight.pointer, *strides, *sizes))
    return packed


def _whole(out: CudaArray, c: Correlation, run: int) -> bool:
    """Whether the pixels of a plane are those of ``c``, in order, so that ``run`` of them are stored together."""
    height, width = out.shape[2:]
    return (
        c.rows.out_apart == c.columns.out_apart == 1 and c.columns.size == width
        and height * width % run == 0 and (c.rows.size * width) % run == 0 and (c.rows.out * width) % run == 0
    )  # fmt: skip


def _by_product(
    out: CudaArray, source: CudaArray, weight: CudaArray, strides: Sequence[int], bias: CudaArray | None, c: Correlation
) -> None:
    """The correlation ``c`` into its places in ``out`` as an implicit matrix product."""
    dtype, (height, width) = out.dtype, out.shape[2:]
    tile = _cuda_gemm.tile_for(dtype, _by_tensor_cores(dtype), c.out, c.images * c.rows.size * c.columns.size)
    u = _cuda_units.units(dtype, tile)
    mixed, room, count = _depth(c, u.depth)
    m_tiles = -(-c.out // tile.rows)
    packed = _pack(weight, strides, c, u, m_tiles * tile.rows, room, count * u.depth)
    kernel = _cuda_gemm.correlator(dtype, tile, mixed)
    out_image, out_channel = c.groups * c.out * height * width, height * width
    out_strides = (out_image, out_channel, width * c.rows.out_apart, c.columns.out_apart)
    source_strides = _source_strides(source, c.channels)
    for part, image in _cuda_geometry.parts(c):
        area, columns = part.rows.size * part.columns.size, part.columns.size
        pixels = part.images * area
        offset = image * out_image + part.rows.out * width + part.columns.out
        arguments = (
            out.pointer + offset * out.itemsize, source.pointer + image * source_strides[0] * source.itemsize, packed.pointer,
            out.pointer if bias is None else bias.pointer, *source_strides, *out_strides, *_taps(part.rows), *_taps(part.columns),
            part.rows.extent, part.columns.extent, bias is not None, _whole(out, part, u.run), pixels, *_divisor(area), *_divisor(columns),
            c.out, *_divisor(m_tiles), *_divisor(c.channels), c.taps, *_divisor(c.columns.taps), count,
        )  # fmt: skip
        launch(kernel, (m_tiles * -(-pixels // tile.columns), c.groups), tile.threads, arguments)


def _directly(out: CudaArray, source: CudaArray, weight: CudaArray, strides: Sequence[int], bias: CudaArray | None, c: Correlation) -> None:
    """The same, a thread for each pixel."""
    height, width = out.shape[2:]
    outs = 1 if c.out == 1 else _cuda_direct.SEVERAL
    kernel = _cuda_direct.direct(out.dtype, outs, c.rows.taps, c.columns.taps)
    m_parts = -(-c.out // outs)
    group, m, channel, row, column = strides
    taps = (group, m, channel, row * c.rows.tap_apart, column * c.columns.tap_apart)
    first_tap = weight.pointer + (c.rows.tap * row + c.columns.tap * column) * weight.itemsize
    out_image, out_channel = c.groups * c.out * height * width, height * width
    out_strides = (out_image, out_channel, width * c.rows.out_apart, c.columns.out_apart)
    source_strides = _source_strides(source, c.channels)
    for part, image in _cuda_geometry.parts(c):
        area = part.rows.size * part.columns.size
        offset = image * out_image + part.rows.out * width + part.columns.out
        arguments = (
            out.pointer + offset * out.itemsize, source.pointer + image * source_strides[0] * source.itemsize,
            first_tap, out.pointer if bias is None else bias.pointer, *source_strides, *out_strides, *taps, *_taps(part.rows), *_taps(part.columns),
            part.rows.extent, part.columns.extent, bias is not None, part.images, c.groups, c.out, m_parts, c.channels,
            area, *_divisor(part.columns.size),
        )  # fmt: skip
        threads = min(_cuda_direct.THREADS, -(-area // 32) * 32)
        grid = (-(-area // threads), min(_MOST, c.groups * m_parts), min(_MOST, part.images))
        launch(kernel, grid, threads, arguments)


def _correlate(
    out: CudaArray, source: CudaArray, weight: CudaArray, strides: Sequence[int], bias: CudaArray | None, c: Correlation
) -> None:
    way = _directly if _cuda_direct.few(c.channels, c.out, c.groups) or c.groups > _MOST else _by_product
    way(out, source, weight, strides, bias, c)


def conv2d(
    x: CudaArray, weight: CudaArray, bias: CudaArray | None, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> CudaArray:
    """The convolution, of ``size``; ``padding`` is what stands above and to the left."""
    out = empty((x.shape[0], weight.shape[0], *size), x.dtype)
    c = _cuda_geometry.of_forward(x.shape, weight.shape, size, stride, padding, dilation, groups)
    m, channel, row, column = _cuda_geometry.steps(weight)
    _correlate(out, x, weight, (c.out * m, m, channel, row, column), None if bias is None else contiguous(bias), c)
    return out


def conv2d_input_grad(
    grad: CudaArray, weight: CudaArray, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> CudaArray:
    """The gradient with respect to the input, of ``shape``."""
    out = empty(shape, grad.dtype)
    k, channel, row, column = _cuda_geometry.steps(weight)
    strides = (weight.shape[0] // groups * k, channel, k, row, column)
    for c in _cuda_geometry.of_input_gradient(shape, weight.shape, grad.shape[2:], stride, padding, dilation, groups):
        _correlate(out, grad, weight, strides, None, c)
    return out


# ---- the gradients with respect to the weight and the bias ------------------------------------------------------------------------------------


def _part_pixels(pixels: int, blocks_of_one: int, depth: int) -> int:
    """How many pixels a part has: so few that blocks fill a GPU, a multiple of ``depth``."""
    wanted = max(1, _ENOUGH_BLOCKS // blocks_of_one)
    size = min(max(-(-pixels // wanted), _LEAST_PIXELS), _MOST_PIXELS)
    size = max(size, -(-pixels // _MOST))
    return -(-size // depth) * depth


def conv2d_weight_grad(
    grad: CudaArray, x: CudaArray, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> CudaArray:
    """The gradient with respect to the weight, of ``shape``."""
    c = _cuda_geometry.of_forward(x.shape, shape, grad.shape[2:], stride, padding, dilation, groups)
    dtype, elements = x.dtype, c.channels * c.taps
    out, T = empty(shape, dtype), computed(dtype)
    alone = _cuda_direct.few(c.channels, c.out, groups) or groups > _MOST
    tile = _cuda_weight.tile_for(dtype, _by_tensor_cores(dtype), c.out, elements)
    u = _cuda_units.units(dtype, tile)
    m_tiles = -(-c.out // tile.rows)
    tiles = m_tiles * -(-elements // tile.columns)
    pieces = _cuda_geometry.parts(c)
    most = max(p.images * p.rows.size * p.columns.size for p, _ in pieces)
    part = _part_pixels(most, shape[0] * elements if alone else tiles * groups, u.depth)
    counts = [-(-p.images * p.rows.size * p.columns.size // part) for p, _ in pieces]
    direct = sum(counts) == 1 and dtype == T
    sums = out if direct else empty((sum(counts), *shape), T)
    grad_strides, source_strides = _cuda_geometry.steps(grad), _source_strides(x, c.channels)
    target = sums.pointer
    for (p, image), count in zip(pieces, counts):
        area = p.rows.size * p.columns.size
        first = image * grad_strides[0] + p.rows.out * grad_strides[2]
        pixels = (p.images * area, part, *_divisor(area), *_divisor(p.columns.size))
        arguments = (
            target, x.pointer + image * source_strides[0] * x.itemsize, grad.pointer + first * grad.itemsize, *source_strides, *grad_strides,
            *_taps(p.rows), *_taps(p.columns), p.rows.extent, p.columns.extent,
        )  # fmt: skip
        if alone:
            given = (*arguments, *pixels, c.out, c.channels, c.taps, c.columns.taps)
            launch(_cuda_direct.direct_weight(dtype), (shape[0] * elements, count), _cuda_direct.WEIGHT_THREADS, given)
        else:
            given = (*arguments, elements % u.run == 0, *pixels, c.out, *_divisor(m_tiles), c.taps, c.columns.taps, elements)
            launch(_cuda_weight.weight_correlator(dtype, tile), (tiles, groups, count), tile.threads, given)
        target += count * out.size * T.itemsize
    if not direct:
        _cuda_sums.add_up(out, sums)
    return out


def conv2d_bias_grad(grad: CudaArray) -> CudaArray:
    """The gradient with respect to the bias: the sum over images and pixels."""
    return _cuda_sums.sum_of_planes(grad)


# ---- volumes ------------------------------------------------------------------------------------------------------------------------------


def conv3d(
    x: CudaArray, weight: CudaArray, bias: CudaArray | None, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> CudaArray:
    """As ``conv2d``, over volumes."""
    return _folded.conv3d(conv2d, x, weight, bias, size, stride, padding, dilation, groups)


def conv3d_input_grad(
    grad: CudaArray, weight: CudaArray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> CudaArray:
    """As ``conv2d_input_grad``, over volumes."""
    return _folded.conv3d_input_grad(conv2d_input_grad, grad, weight, shape, stride, padding, dilation, groups)


def conv3d_weight_grad(
    grad: CudaArray, x: CudaArray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> CudaArray:
    """As ``conv2d_weight_grad``, over volumes."""
    return _folded.conv3d_weight_grad(conv2d_weight_grad, grad, x, shape, stride, padding, dilation, groups)
