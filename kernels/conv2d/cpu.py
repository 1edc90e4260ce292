"""2-D and 3-D convolution on the CPU: all three floating-point passes are correlations that ``_plan`` cuts and ``_engine`` computes.

forward          x against the weight, at the stride of the output
input gradient   the output gradient against the flipped weight with its channels exchanged; with a stride, once for each remainder of the
                 input's position, because only every stride-th tap meets it
weight gradient  the inputs that each tap meets against the output gradient, summed over pixels and images in fixed blocks

A kernel that covers the plane is a matrix product, and so is one of a single pixel where that is faster (``_product``).  Which layout
computes any other correlation is decided by estimates from its shape alone, next to the measurements that they are fitted to:

lanes over images            ``_images.faster``: batches of small planes, much padding, kernels nearly as large as the plane
lanes over output channels   ``_plan._style``, WIDE: many output channels
lanes over pixels            ``_plan._style``, NARROW (several output channels at once) and SINGLE (one: depthwise)
one plane at a time          ``_depthwise.planned``: depthwise on small planes
tap by tap                   ``_by_taps``: input gradients of kernels nearly as large as the plane, for few images

The weight gradient knows the second and third (``_plan._weight_style``).  Integers take the plain loops of ``_plain``.  Of the layouts, the second and
third read volumes; for the others a 3-D convolution is made a 2-D one: by joining axes along which the kernel is one element wide (``_plan.geometry``),
or with the planes of small volumes as images (``_folded``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import reduce
from .._cpu import empty, get_num_threads, launch, simd, zeros
from ..copy import contiguous
from . import _depthwise, _direct, _engine, _folded, _images, _plain, _plan, _product
from ._plan import Geometry

Sizes = tuple[int, ...]  # of each spatial dimension, of which there are two or three


def _forward_geometry(
    shape: tuple[int, ...], weight_shape: tuple[int, ...], size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Geometry:
    (images, channels, *extent), (out, _, *kernel) = shape, weight_shape
    offsets = [tuple(i * apart - before for i in range(n)) for n, apart, before in zip(kernel, dilation, padding)]
    return _plan.geometry(images, groups, channels // groups, out // groups, extent, size, stride, offsets)


@functools.lru_cache(maxsize=1024)
def _integer_array(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def _weight_order(shape: Sizes, groups: int, taps: Sequence[Sequence[int]] | None, exchanged: bool) -> tuple[np.ndarray, np.ndarray]:
    """The places of ``taps`` of each dimension (None: all of them) in a kernel, and the distances in a [out, channels, *kernel] weight between
    groups, output and input channels of the correlation (the weight's input and output channels where ``exchanged``); then the number of places in
    a kernel."""
    (out, channels, *kernel), count = shape, math.prod(shape[2:])
    steps = [channels * count, count]
    places = np.arange(count).reshape(kernel)
    if taps is not None:
        places = places[np.ix_(*taps)]
    return places.reshape(-1), np.array([out // groups * steps[0], *(steps[::-1] if exchanged else steps), count], np.int64)


_NO_BIAS = {np.dtype(d): np.empty(0, d) for d in (np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64)}


@dataclass(frozen=True)
class _Correlation:
    """One correlation made ready: ``geometry``, the elements of the weight that ``order`` finds, and the layout that computes it."""

    geometry: Geometry
    order: tuple[np.ndarray, np.ndarray]
    shape: tuple[int, ...]
    over_images: bool
    cut: Any
    kernels: Any
    product: int = 0  # or ``_product.BATCHED``, ``_product.TURNED``


def _correlation(
    geometry: Geometry, size: Sizes, order: tuple[np.ndarray, np.ndarray], dtype: np.dtype, biased: bool = False
) -> _Correlation:
    """Which layout computes ``geometry``, whose outputs are of ``size``: a matrix product (see ``_product.planned``) or lanes over images where the
    estimate says so (see ``_images.faster``), else the tile with the least estimated time (see ``_plan._style``)."""
    g = geometry
    shape = g.images, g.groups * g.out, *size
    if _product.pointwise(g) and order[1][3] == 1:
        product = _product.planned(g, dtype.itemsize, biased, _images.least(g, dtype.itemsize))
        if product:
            return _Correlation(g, order, shape, False, None, None, product)
    plane_by_plane = _depthwise.planned(g, dtype.itemsize)
    if plane_by_plane is not None:
        return _Correlation(g, order, shape, False, plane_by_plane, _depthwise.kernels(dtype.type, g.stride_w))  # type: ignore[arg-type]
    over_images = _images.faster(g, dtype.itemsize)
    cut: Any = (_images if over_images else _plan).planned(g, dtype.itemsize)
    kernels = _images.kernels(dtype.type, cut.tile) if over_images else _engine.engine(dtype.type)  # type: ignore[arg-type]
    return _Correlation(g, order, shape, over_images, cut, kernels)


def _correlate(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, c: _Correlation) -> np.ndarray:
    """The correlation ``c`` of contiguous ``x`` with ``weight``."""
    if c.product:
        return _product.correlate(x, contiguous(weight), bias, c.shape, c.order[1][2] != 1, c.product)
    dtype, cut, kernels = x.dtype, c.cut, c.kernels
    bias, flat = _NO_BIAS[dtype] if bias is None else contiguous(bias), contiguous(weight).reshape(-1)
    if c.over_images:
        return _images.correlate(x, flat, bias, c.shape, cut, kernels, *c.order)
    out = empty(c.shape, dtype)
    if type(cut) is tuple:
        work = 4 * out.size * c.order[0].size
        launch(
            kernels,
            c.shape[0] * c.shape[1],
            out.reshape(*c.shape[:2], -1, c.shape[-1]),
            x.reshape(-1),
            flat,
            bias,
            *cut,
            *c.order,
            work=work,
        )
        return out
    packed, start, scratch = empty(cut.blocks * cut.weights, dtype), empty(cut.blocks * cut.block, dtype), empty(cut.scratch, dtype)
    launch(kernels.pack_weights, cut.blocks, packed, flat, bias, start, cut.numbers, *c.order, work=2 * packed.size)
    launch(kernels.correlate, cut.workers, cut.numbers, x.reshape(-1), packed, start, out.reshape(-1), scratch, work=cut.work)
    return out


@functools.lru_cache(maxsize=1024)
def _forward(dtype: np.dtype, threads: int, biased: bool, *shapes: Any) -> _Correlation:
    order = _weight_order(shapes[1], shapes[-1], None, False)
    return _correlation(_forward_geometry(*shapes), shapes[2], order, dtype, biased)


def conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """The convolution, of ``size``; ``padding`` is what stands above and to the left."""
    x = contiguous(x)
    if not _tiled(x.dtype):
        out = empty((x.shape[0], weight.shape[0], *size), x.dtype)
        more = (_NO_BIAS[x.dtype] if bias is None else contiguous(bias),)
        planes = out.shape[0] * out.shape[1]
        return _run_plain(_plain.convolve, planes, out, x, contiguous(weight), more, weight.shape, padding, dilation, stride, groups)
    return _convolve(x, weight, bias, size, stride, padding, dilation, groups)


def conv3d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """As ``conv2d``, over volumes."""
    if not _tiled(x.dtype) or _by_planes(x.itemsize, x.shape, weight.shape, size, stride, padding, dilation, groups):
        return _folded.conv3d(conv2d, x, weight, bias, size, stride, padding, dilation, groups)
    return _convolve(contiguous(x), weight, bias, size, stride, padding, dilation, groups)


@functools.lru_cache(maxsize=1024)
def _by_planes(itemsize: int, *shapes: Any) -> bool:
    """Whether the planes of small volumes are made images of a 2-D convolution, copies and all: lanes over images leave the padding out.

    Measured (Zen 4, AVX-512, float32, one thread, microseconds, volumes / planes): 16 x 32 -> 64, 4x7x7, k3, padding 1: 4400 / 3100, its input
    gradient 5000 / 3200; 32 x 64 -> 64, 4x4x4, k3, padding 1: 7300 / 4300 and 7500 / 4600.
    """
    geometry = _forward_geometry(*shapes)
    return not geometry.flat and _images.faster(geometry.folded, itemsize)


def _convolve(x, weight, bias, size, stride, padding, dilation, groups):
    if _product.covers(x.shape, weight.shape, size, padding, dilation, groups):
        return _product.covering(x, weight, bias)
    shapes = x.shape, weight.shape, size, stride, padding, dilation, groups
    return _correlate(x, weight, bias, _forward(x.dtype, get_num_threads(), bias is not None, *shapes))


def _tiled(dtype: np.dtype) -> bool:
    return dtype.kind == "f" and simd.COMPILED


def _run_plain(
    kernel: Any,
    n: int,
    out: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    more: tuple[Any, ...],
    weight_shape,
    padding,
    dilation,
    stride,
    groups,
):
    """Launch one of the ``_plain`` kernels."""
    rows = _integer_array(*(i * dilation[0] - padding[0] for i in range(weight_shape[2])))
    columns = _integer_array(*(i * dilation[1] - padding[1] for i in range(weight_shape[3])))
    size = (weight_shape[1], weight_shape[0] // groups, groups)
    launch(kernel, n, out, a, b, *more, size, rows, columns, *stride, work=out.size * a.size)
    return out


@functools.lru_cache(maxsize=1024)
def _phases(
    dtype: np.dtype,
    threads: int,
    size: Sizes,
    weight_shape: Sizes,
    shape: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> list[tuple[Sizes, _Correlation | None]]:
    """For each remainder of the input's position by the stride: the correlation of the gradient that gives those inputs.

    Input row y meets kernel row a at output row (y + padding - a·dilation) / stride where that is whole.
    """
    (images, channels, *extent), (out, _, *kernel) = shape, weight_shape
    found = []
    for first in np.ndindex(*stride):
        taps, shifts = [], []
        for n, remainder, step, before, apart in zip(kernel, first, stride, padding, dilation):
            met = [k for k in range(n) if (remainder + before - k * apart) % step == 0]
            taps.append(met)
            shifts.append(tuple((remainder + before - k * apart) // step for k in met))
        counts = tuple(len(range(remainder, n, step)) for n, remainder, step in zip(extent, first, stride))
        if 0 in counts:
            continue
        correlation = None
        if all(shifts):
            geometry = _plan.geometry(images, groups, out // groups, channels // groups, size, counts, (1,) * len(size), shifts)
            correlation = _correlation(geometry, counts, _weight_order(weight_shape, groups, taps, True), dtype)
        found.append((first, correlation))
    return found


def _by_taps(size: Sizes, shape: Sizes, weight_shape: Sizes, stride: Sizes, groups: int) -> bool:
    """Whether the input gradient is computed tap by tap: where so much of the gradient's surroundings is padding that leaving it out saves more
    than adding up the taps costs.  Measured (Zen 5, one thread, microseconds, correlated / by taps, batch 64): 16<-120, k5 on 5x5: 1620 / 190;
    64<-64, k7 on 9x9: 9200 / 3900; 6<-16, k5 on 14x14: 540 / 570; 32<-64, k5 on 14x14: 5800 / 13000.
    """
    per_group = weight_shape[0] // groups
    return shape[2] * shape[3] * per_group > 1.5 * size[0] * size[1] * (per_group + 32) * stride[0] * stride[1]


# Elements of the products of some images: what stays in the cache until it is summed.
_PRODUCT_ELEMENTS = 1 << 19


@functools.lru_cache(maxsize=1024)
def _products(dtype: np.dtype, threads: int, images: int, weight_shape: Sizes, size: Sizes, groups: int) -> _Correlation:
    """weightᵀ · gradient: an output channel of this convolution is an (input channel, tap) of the weight, so the weight is one of 1x1 kernels."""
    out, channels = weight_shape[0], math.prod(weight_shape[1:])
    geometry = _plan.geometry(images, groups, out // groups, channels, size, size, (1, 1), ((0,), (0,)))
    return _correlation(geometry, size, _weight_order((out, channels, 1, 1), groups, None, True), dtype)


def _input_grad_by_taps(grad, weight, shape, stride, padding, dilation, groups):
    """Each tap's part of the input gradient (weightᵀ · gradient, a 1x1 convolution), then their sum."""
    images, channels = shape[:2]
    height, width = weight.shape[2:]
    places, size = height * width, grad.shape[2:]
    rows = _integer_array(*(a * dilation[0] - padding[0] for a in range(height)))
    columns = _integer_array(*(b * dilation[1] - padding[1] for b in range(width)))
    out, per_image = empty(shape, grad.dtype), channels * places * size[0] * size[1]
    step = max(1, _PRODUCT_ELEMENTS // per_image)
    for first in range(0, images, step):
        part = grad[first : first + step]
        products = _correlate(part, weight, None, _products(part.dtype, get_num_threads(), len(part), weight.shape, size, groups)).reshape(
            -1, places, *size
        )
        target = out[first : first + step].reshape(-1, *shape[2:])
        launch(_direct.add_taps(grad.dtype.type), len(target), target, products, rows, columns, *stride, work=2 * products.size)
    return out


def conv2d_input_grad(
    grad: np.ndarray, weight: np.ndarray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """The gradient with respect to the input, of ``shape``."""
    grad = contiguous(grad)
    if not _tiled(grad.dtype):
        out, count = empty(shape, grad.dtype), shape[0] * shape[1]
        return _run_plain(_plain.input_gradient, count, out, grad, contiguous(weight), (), weight.shape, padding, dilation, stride, groups)
    return _input_grad(grad, weight, shape, stride, padding, dilation, groups)


def conv3d_input_grad(
    grad: np.ndarray, weight: np.ndarray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """As ``conv2d_input_grad``, over volumes."""
    if not _tiled(grad.dtype) or _by_planes(grad.itemsize, shape, weight.shape, grad.shape[2:], stride, padding, dilation, groups):
        return _folded.conv3d_input_grad(conv2d_input_grad, grad, weight, shape, stride, padding, dilation, groups)
    return _input_grad(contiguous(grad), weight, shape, stride, padding, dilation, groups)


def _input_grad(grad, weight, shape, stride, padding, dilation, groups):
    if _product.covers(shape, weight.shape, grad.shape[2:], padding, dilation, groups):
        return _product.covering_input_grad(grad, weight, shape)
    phases = _phases(grad.dtype, get_num_threads(), grad.shape[2:], weight.shape, shape, stride, padding, dilation, groups)
    correlation = phases[0][1]
    exact = correlation is not None and correlation.over_images  # which spends nothing on padding
    if len(stride) == 2 and not exact and _by_taps(grad.shape[2:], shape, weight.shape, stride, groups):
        return _input_grad_by_taps(grad, weight, shape, stride, padding, dilation, groups)
    if max(stride) == 1:
        assert correlation is not None  # at stride 1 every tap takes part
        return _correlate(grad, weight, None, correlation)
    out = empty(shape, grad.dtype)
    volumes = _volumes(out)
    step = (1,) * (3 - len(stride)) + stride
    pending: np.ndarray | None = None
    for first, correlation in phases:
        place, part = (0,) * (3 - len(first)) + first, np.empty((0, 0, 0, 0), grad.dtype)
        if correlation is not None:
            part = _volumes(_correlate(grad, weight, None, correlation))
        if step[2] == 2 and place[2] == 0 and part.size and shape[-1] > 1:
            pending = part
        elif pending is not None and part.size:
            launch(_direct.place_pair(out.dtype.type), len(volumes), volumes, pending, part, place[:2], step[:2], work=2 * part.size)
            pending = None
        else:
            if pending is not None:
                launch(_direct.place_phase, len(volumes), volumes, pending, (*place[:2], 0), step, work=pending.size)
                pending = None
            launch(_direct.place_phase, len(volumes), volumes, part, place, step, work=out.size // math.prod(step))
    return out


def _volumes(x: np.ndarray) -> np.ndarray:
    """``x`` [images, channels, *extent] as [images · channels, depth, height, width]."""
    extent = x.shape[2:]
    return x.reshape(-1, *(1,) * (3 - len(extent)), *extent)


@functools.lru_cache(maxsize=1024)
def _weight_plan(dtype: np.dtype, threads: int, *shapes: Any) -> Any:
    """The cut of the tiles, or a way of ``_product``."""
    geometry = _forward_geometry(*shapes)
    product = _product.planned_weight(geometry) if _product.pointwise(geometry) else 0
    return product or _plan.planned(geometry, dtype.itemsize, True)


def conv2d_weight_grad(
    grad: np.ndarray, x: np.ndarray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """The gradient with respect to the weight, of ``shape``."""
    grad, x = contiguous(grad), contiguous(x)
    if not _tiled(x.dtype):
        return _run_plain(_plain.weight_gradient, shape[0], empty(shape, x.dtype), grad, x, (), shape, padding, dilation, stride, groups)
    return _weight_grad(grad, x, shape, stride, padding, dilation, groups)


def conv3d_weight_grad(
    grad: np.ndarray, x: np.ndarray, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> np.ndarray:
    """As ``conv2d_weight_grad``, over volumes."""
    if not _tiled(x.dtype):
        return _folded.conv3d_weight_grad(conv2d_weight_grad, grad, x, shape, stride, padding, dilation, groups)
    return _weight_grad(contiguous(grad), contiguous(x), shape, stride, padding, dilation, groups)


def _weight_grad(grad, x, shape, stride, padding, dilation, groups):
    if _product.covers(x.shape, shape, grad.shape[2:], padding, dilation, groups):
        return _product.covering_weight_grad(grad, x, shape)
    cut = _weight_plan(x.dtype, get_num_threads(), x.shape, shape, grad.shape[2:], stride, padding, dilation, groups)
    if type(cut) is int:
        return _product.weight_grad(grad, x, shape, cut)
    kernels = _engine.engine(x.dtype.type)  # type: ignore[arg-type]
    partial, scratch, out = empty(cut.partial, x.dtype), empty(cut.scratch, x.dtype), empty(shape, x.dtype)
    launch(kernels.correlate_weight, cut.workers, cut.numbers, x.reshape(-1), grad.reshape(-1), partial, scratch, work=cut.work)
    launch(kernels.finish_weight, cut.blocks, cut.numbers, partial, out.reshape(-1), work=cut.partial)
    return out


# Below this many, the lanes of a register are better filled with channels than with pixels.
_FEW_PIXELS = 16


def conv2d_bias_grad(grad: np.ndarray) -> np.ndarray:
    """The gradient with respect to the bias: the sum over images and pixels."""
    grad = contiguous(grad)
    images, channels, height, width = grad.shape
    if height * width < _FEW_PIXELS:
        return reduce.sum(grad, (0, 2, 3))
    out = empty(channels, grad.dtype)
    if not _tiled(grad.dtype):
        launch(_plain.bias_gradient, channels, out, grad, work=grad.size)
        return out
    launch(_direct.sum_channels(grad.dtype.type), channels, out, grad.reshape(-1), images, height * width, work=grad.size)  # type: ignore[arg-type]
    return out


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
