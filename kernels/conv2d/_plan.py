"""How one convolution is cut into pieces: what is packed, which tiles run, and where each tap finds its inputs.

Everything here is integers computed from shapes, once per shape (the result is cached) and handed to the kernels as one int64 array.

*The layout.*  A band of output rows is computed from a packed copy of the inputs it needs.  For each input channel and each kernel column the
packed rows are as long as an *output* row and already shifted by that column (and zero outside the input), so the inputs that one tap meets
along the flattened output pixels q = row * OW + column are consecutive, whatever the stride, padding or dilation.  Kernel rows share the
packed rows: a tap is a constant distance from q.  That is KW times the input, not KH*KW times as in im2col (Cho and Brand, "MEC:
Memory-efficient Convolution for Deep Neural Network", ICML 2017), and it is made for a band small enough to stay in the L2 cache.
With a vertical stride, the packed rows are sorted by their remainder (``SLOTS``) for the same reason.  In three dimensions an output plane of a
volume counts as an image, and each input plane that the kernel's depth reaches from it as a channel.  Lanes over output channels read single
inputs, so they need not meet them in one run: where tiles fit the output rows (``SEGMENT``), each row is computed by itself, the kernel
columns share the packed rows as the kernel rows do (``PITCH`` apart), and the copy is no larger than the input.  Outputs of fewer pixels than a tile
put several images into one band, each kernel row with a copy of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._cpu import get_num_threads, simd_conv

# Elements of the header of the int64 array; behind it, the depths of the kernel's planes start at FIRST_LEVEL, what to pack at PACKS and the tap table
# at TABLE.
_FIELDS = (
    "IMAGES CHANNELS OUT GROUPS HEIGHT WIDTH OUT_HEIGHT OUT_WIDTH STRIDE_H STRIDE_W BAND_ROWS BANDS TOGETHER IMAGE_GROUPS SLOTS SLOT_ROWS"
    " PACKED PITCH SEGMENT TAPS STYLE DIRECT AREA SCRATCH CHUNKS CHUNK_BLOCKS BLOCKS WORKERS UNITS_PER_BLOCK UNIT_BLOCKS PARTIAL WEIGHTS"
    " DEPTH OUT_DEPTH STRIDE_D LEVELS PACKS TABLE FIRST_LEVEL"
).split()
F = {name: i for i, name in enumerate(_FIELDS)}

WIDE, NARROW, SINGLE = 0, 1, 2

# Bytes of packed input that a band aims at: half of the smallest L2 cache of current servers and desktops.
_BAND_BYTES = 512 << 10
# The weight gradient is summed in this many blocks of bands, whatever the number of threads, unless these partial sums are larger than this.
_WEIGHT_BLOCKS = 8
# From here on each thread gets several shares, so that one that was held up does not hold up the others.
_BALANCED_WORK = 100_000_000
_PARTIAL_BYTES = 8 << 20


@dataclass(frozen=True)
class Geometry:
    """A grouped correlation: out[n, g·OUT+m, r, c] = sum over (channel, a, b) of x[n, g·CHANNELS+channel, r·sh + rows[a], c·sw + columns[b]] · w.

    The forward pass, and (for each remainder of the stride) the input gradient, are of this form; the weight gradient sums over the same
    triples.  Inputs outside the plane count as zero.  Volumes have a dimension more, before the rows: ``depth``, ``out_depth``, ``stride_d``, ``levels``.
    """

    images: int
    groups: int
    channels: int
    out: int
    height: int
    width: int
    out_height: int
    out_width: int
    stride_h: int
    stride_w: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    depth: int = 1
    out_depth: int = 1
    stride_d: int = 1
    levels: tuple[int, ...] = (0,)

    @property
    def flat(self) -> bool:
        """Whether there are no more than two dimensions."""
        return self.depth == self.out_depth == 1 and self.levels == (0,)

    @property
    def folded(self) -> Geometry:
        """That of ``_folded``: output planes as images, the input planes that the kernel's depth covers as channels."""
        return replace(self, images=self.planes, channels=self.channels * len(self.levels), depth=1, out_depth=1, stride_d=1, levels=(0,))

    @property
    def planes(self) -> int:
        """The output planes of a channel."""
        return self.images * self.out_depth

    @property
    def taps(self) -> int:
        return self.channels * len(self.levels) * len(self.rows) * len(self.columns)


def geometry(
    images: int,
    groups: int,
    channels: int,
    out: int,
    extent: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    offsets: Sequence[tuple[int, ...]],
) -> Geometry:
    """The geometry of two or three dimensions; of three, two neighbours along which the kernel is one element wide become one."""
    axes = list(zip(extent, size, stride, offsets))
    for i in range(len(axes) - 2):
        if all(axis[0] == axis[1] and axis[2:] == (1, (0,)) for axis in axes[i : i + 2]):
            merged = axes[i][0] * axes[i + 1][0]
            axes[i : i + 2] = [(merged, merged, 1, (0,))]
            break
    *volume, rows, columns = axes
    planes = [value for axis in zip(rows, columns) for value in axis]
    return Geometry(images, groups, channels, out, *planes, *(volume[0] if volume else ()))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Plan:
    """The integers for the kernels, and what the caller allocates (in elements)."""

    numbers: np.ndarray
    workers: int
    scratch: int
    style: int
    block: int  # output channels per block of packed weights
    weights: int  # elements of a block of packed weights: its taps and a few rows that transposing them may overwrite
    blocks: int  # of all groups
    partial: int
    unit_blocks: int
    taps: int
    work: int


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _style(geometry: Geometry, lanes: int, taps: int, pixels: int) -> tuple[float, int]:
    """The tile with the least estimated time, and that time: cycles of two multiply-add units, plus what storing a tile costs.

    Measured on Zen 5, AVX-512, float32, one thread (microseconds, wide / narrow / single; and what the estimate picks):

        64 x  1 -> 32, 28x28, k3                 233 /  184 /   349    narrow
        64 x  6 -> 16, 12x12, k5                 138 /  152 /   577    wide
        64 x 16 ->  6, 14x14, k5, padding 2      913 /  483 /   871    narrow
        64 x 32 -> 64, 14x14, k3                2320 / 2578 / 13579    wide
        16 x 64 -> 64, 28x28, k3, 4 groups      1449 / 1323 /  3064    narrow
        16 x 64 -> 64, 28x28, k3, depthwise     2248 /  656 /   335    single

    Packing counts too: a copy for each kernel column, but one for all of them where wide tiles go row by row (Zen 4: 16 x 64 -> 64, 56x56, k3:
    34200 / 36700, wide).
    """
    m, rows, px = geometry.out, simd_conv.NARROW_CHANNELS, simd_conv.WIDE_PIXELS
    plane = geometry.out_height * geometry.out_width
    whole, part = divmod(m, 2 * lanes)
    columns = 2 * whole + _ceil(part, lanes)
    wide = _ceil(pixels, px) * columns * (taps * px / 2 + 5 * lanes)
    span = simd_conv.NARROW_VECTORS * lanes
    narrow = _ceil(pixels, span) * _ceil(m, rows) * (taps * rows * simd_conv.NARROW_VECTORS / 2 + 2 * rows * simd_conv.NARROW_VECTORS)
    span = simd_conv.SINGLE_VECTORS * lanes
    single = _ceil(pixels, span) * m * (taps * simd_conv.SINGLE_VECTORS + 2 * simd_conv.SINGLE_VECTORS)
    copy = geometry.channels * len(geometry.levels) * pixels / lanes * 8
    copies = copy * len(geometry.columns)
    shared = len(geometry.columns) > 1 and pixels == plane and _fits_rows(geometry.out_height, geometry.out_width, False)
    return min((wide + (copy if shared else copies), WIDE), (narrow + copies, NARROW), (single + copies, SINGLE))


def _weight_style(geometry: Geometry, lanes: int, taps: int, pixels: int) -> int:
    """As ``_style`` for the weight gradient: lanes over output channels (WIDE, which transposes the gradient first) or over pixels.

    Measured on Zen 4 as above:

        64 x  1 -> 32, 28x28, k3                    501 /  289 /   435    narrow
        64 x  6 -> 16, 12x12, k5                    236 /  510 /   557    wide
        64 x 16 ->  6, 14x14, k5, padding 2        1616 /  972 /  1438    narrow
        64 x 32 -> 64, 14x14, k3, padding 1        4846 / 7073 / 10080    wide
        16 x 64 -> 64, 28x28, k3, 4 groups         2625 / 3892 /  4601    wide
        16 x 64 -> 64, 28x28, k3, depthwise        6234 /    - /   563    single
         4 x  3 -> 24, 64x64, k5, padding 2         865 /  657 /   930    narrow
         4 x 16 -> 16, 16x28x28, k4, stride 2      2389 / 4893 /  6307    wide
    """
    m, px = geometry.out, simd_conv.WIDE_PIXELS
    whole, part = divmod(m, 2 * lanes)
    columns = 2 * whole + _ceil(part, lanes)
    wide = columns * pixels * (_ceil(taps, px) * px / 2 + 5)
    span, tile = _ceil(pixels, lanes), simd_conv.LANE_CHANNELS * simd_conv.LANE_TAPS
    tiles = _ceil(taps, simd_conv.LANE_TAPS)
    narrow = _ceil(m, simd_conv.LANE_CHANNELS) * tiles * (span * tile * 0.6 + 2 * tile + 20)
    single = m * tiles * (span * simd_conv.LANE_TAPS + 2 * simd_conv.LANE_TAPS + 20)
    if m < simd_conv.LANE_CHANNELS:
        return min((wide, WIDE), (single, SINGLE))[1]
    return min((wide, WIDE), (narrow, NARROW), (single, SINGLE))[1]


Layout = tuple[list[int], list[int], list[int], int]


def _shared(taps: tuple[int, ...], stride: int, extent: int) -> Layout:
    """Packed slots for kernel rows (or columns) that share them: (first input row of each slot, slot of each kernel row, its row in it, rows
    of a slot) for ``extent`` output rows."""
    lowest = min(taps)
    remainders = sorted({(r - lowest) % stride for r in taps})
    slot = [remainders.index((r - lowest) % stride) for r in taps]
    inside = [(r - lowest) // stride for r in taps]
    return [lowest + f for f in remainders], slot, inside, extent + max(inside)


def _apart(taps: tuple[int, ...], extent: int) -> Layout:
    """As ``_shared``, a slot for each."""
    return list(taps), list(range(len(taps))), [0] * len(taps), extent


def _fits_rows(height: int, width: int, gradient: bool) -> bool:
    """Whether the tiles of lanes over output channels, which read single inputs, take each output row by itself: then kernel columns share the
    packed rows too.  The forward tiles are of fixed length, so the last one of a row must not overlap the one before by much."""
    px = simd_conv.WIDE_PIXELS
    return width >= 8 if gradient else width >= px and height * _ceil(width, px) <= 1.07 * _ceil(height * width, px)


def _packs(q: Geometry, bases: list[int], shifts: list[int], pitch: int, band_rows: int, bands: int, shared: int) -> np.ndarray:
    """For each band, packed column shift and slot: rows, place of the first input in its plane (which may lie outside), the rows and then the
    columns (begin, end) that are inside; ``shared`` rows are added to those of the output."""

    def inside(start: int, stride: int, extent: int, count: int) -> tuple[int, int]:
        begin = min(max(_ceil(-start, stride), 0), count)
        return begin, min(max(_ceil(extent - start, stride), begin), count)

    found = []
    for band in range(bands):
        rows = min(band_rows, q.out_height - band * band_rows) + shared
        for shift in shifts:
            for base in bases:
                top = band * band_rows * q.stride_h + base
                place = top * q.width + shift
                found += [rows, place, *inside(top, q.stride_h, q.height, rows), *inside(shift, q.stride_w, q.width, pitch)]
    return np.array(found, np.int64)


def _together(q: Geometry, taps: int, itemsize: int) -> int:
    """How many images share a band: more than one where a plane has few pixels."""
    plane, tile_pixels = q.out_height * q.out_width, simd_conv.WIDE_PIXELS
    if plane >= 2 * tile_pixels:
        return 1
    return max(1, min(q.planes, _ceil(4 * tile_pixels, plane), _BAND_BYTES // max(1, taps * plane * itemsize)))


def estimate(q: Geometry, itemsize: int) -> float:
    """The estimated time of the best tile, in the unit of ``_style``."""
    together = _together(q, q.taps, itemsize)
    lanes = simd_conv.lanes(np.float32 if itemsize == 4 else np.float64)
    packed_alone = q.planes * q.taps * 25 if together > 1 else 0  # each tap's few pixels of each image cost a call
    return q.groups * (packed_alone + _ceil(q.planes, together) * _style(q, lanes, q.taps, q.out_height * q.out_width * together)[0])


@functools.lru_cache(maxsize=1024)
def plan(geometry: Geometry, itemsize: int, gradient: bool, threads: int) -> Plan:
    """The cut of ``geometry`` for elements of ``itemsize`` bytes; ``gradient`` for its weight gradient."""
    q, lanes = geometry, simd_conv.lanes(np.float32 if itemsize == 4 else np.float64)
    kernel_rows, kernel_columns, inputs = len(q.rows), len(q.columns), q.channels * len(q.levels)
    taps, plane = q.taps, q.out_height * q.out_width
    tile_pixels = simd_conv.WIDE_PIXELS
    together = _together(q, taps, itemsize)
    pixels = plane * together
    style = _weight_style(q, lanes, taps, pixels) if gradient else _style(q, lanes, taps, pixels)[1]

    unshifted = q.stride_h == q.stride_w == 1 and q.rows == (0,) and q.columns == (0,)
    direct = unshifted and (q.out_height, q.out_width) == (q.height, q.width) and q.flat and together == 1
    direct = direct and (style == WIDE or gradient) and plane >= tile_pixels
    by_rows = style == WIDE and together == 1 and kernel_columns > 1 and _fits_rows(q.out_height, q.out_width, gradient)
    shifts, column, reach, pitch = _shared(q.columns, q.stride_w, q.out_width) if by_rows else _apart(q.columns, q.out_width)
    band_rows = q.out_height
    if direct:
        bases, slot, inside, slot_rows = [0], [0], [0], q.out_height
    else:
        while True:
            bases, slot, inside, slot_rows = _shared(q.rows, q.stride_h, band_rows)
            if together > 1 or kernel_rows * band_rows <= len(bases) * slot_rows:
                bases, slot, inside, slot_rows = _apart(q.rows, band_rows * together)
            row_bytes = inputs * len(shifts) * len(bases) * pitch * itemsize
            if row_bytes * slot_rows <= _BAND_BYTES or band_rows == 1 or together > 1:
                break
            fits = band_rows - _ceil(row_bytes * slot_rows - _BAND_BYTES, row_bytes)
            band_rows = _ceil(q.out_height, _ceil(q.out_height, max(1, min(fits, band_rows - 1))))
    bands, image_groups = _ceil(q.out_height, band_rows), _ceil(q.planes, together)
    distance = q.height * q.width if direct else len(shifts) * len(bases) * slot_rows * pitch
    places = [
        c * distance + ((column[b] * len(bases) + slot[a]) * slot_rows + inside[a]) * pitch + reach[b]
        for c in range(inputs)
        for a in range(kernel_rows)
        for b in range(kernel_columns)
    ]
    places += places[-1:] * max(simd_conv.WIDE_PIXELS, simd_conv.LANE_TAPS)
    table = np.array(places, np.int64) * itemsize

    packs = _packs(q, bases, shifts, pitch, band_rows, bands, 0 if together > 1 else slot_rows - band_rows)

    # Where the last register of a tile or of a packed row reaches beyond what is packed.
    slack = simd_conv.SINGLE_VECTORS * lanes + lanes
    area = 0 if direct else inputs * distance + slack
    band_pixels = band_rows * q.out_width * together
    tile = max(2 * lanes * _ceil(tile_pixels, lanes) * lanes, simd_conv.NARROW_CHANNELS * simd_conv.NARROW_VECTORS * lanes, slack)
    block = {WIDE: 2 * lanes, NARROW: simd_conv.NARROW_CHANNELS, SINGLE: 1}[style]
    blocks = _ceil(q.out, block)
    partial = unit_blocks = per_block = 0
    units = image_groups * bands
    if gradient:
        if style == WIDE:
            partial = q.groups * blocks * _ceil(taps, tile_pixels) * tile_pixels * block
            transposed = (_ceil(band_pixels, lanes) + 1) * lanes * block
        else:
            channels = simd_conv.LANE_CHANNELS if style == NARROW else 1
            blocks = _ceil(q.out, channels)
            partial = q.groups * blocks * _ceil(taps, simd_conv.LANE_TAPS) * simd_conv.LANE_TAPS * channels * lanes
            transposed = 0
        tile = transposed + (q.out * band_pixels if together > 1 else 0) + lanes
        wanted = max(1, min(_WEIGHT_BLOCKS, units, _PARTIAL_BYTES // (partial * itemsize)))
        per_block = max(1, _ceil(units, wanted))
        unit_blocks = _ceil(units, per_block)
    independent = (unit_blocks if gradient else units) * q.groups
    chunks = max(1, min(blocks, _ceil(4 * threads, independent) if threads > 1 and independent < 4 * threads else 1))
    chunk_blocks = _ceil(blocks, chunks)
    chunks = _ceil(blocks, chunk_blocks)
    work = q.planes * plane * q.groups * q.out * taps
    workers = max(1, min(threads if work < _BALANCED_WORK else 4 * threads, independent * chunks))
    align = 64 // itemsize
    area = _ceil(area, align) * align
    scratch = _ceil(area + tile, align) * align + align
    lists = len(_FIELDS)
    values = {
        "IMAGES": q.planes, "CHANNELS": q.channels, "OUT": q.out, "GROUPS": q.groups, "HEIGHT": q.height, "WIDTH": q.width,
        "OUT_HEIGHT": q.out_height, "OUT_WIDTH": q.out_width, "STRIDE_H": q.stride_h, "STRIDE_W": q.stride_w, "BAND_ROWS": band_rows,
        "BANDS": bands, "TOGETHER": together, "IMAGE_GROUPS": image_groups, "SLOTS": len(bases), "SLOT_ROWS": slot_rows,
        "PACKED": len(shifts) * len(bases), "PITCH": pitch, "SEGMENT": q.out_width if by_rows else 0,
        "TAPS": taps, "STYLE": style, "DIRECT": int(direct), "AREA": area, "SCRATCH": scratch, "CHUNKS": chunks,
        "CHUNK_BLOCKS": chunk_blocks, "BLOCKS": blocks, "WORKERS": workers, "UNITS_PER_BLOCK": per_block, "UNIT_BLOCKS": unit_blocks,
        "PARTIAL": partial, "WEIGHTS": (taps + lanes) * block,
        "DEPTH": q.depth, "OUT_DEPTH": q.out_depth, "STRIDE_D": q.stride_d, "LEVELS": len(q.levels), "FIRST_LEVEL": lists,
        "PACKS": lists + len(q.levels), "TABLE": lists + len(q.levels) + packs.size,
    }  # fmt: skip
    numbers = np.concatenate([np.array([values[name] for name in _FIELDS] + list(q.levels), np.int64), packs, table])
    return Plan(
        numbers=numbers,
        workers=workers,
        scratch=workers * scratch,
        style=style,
        block=block,
        weights=(taps + lanes) * block,
        blocks=q.groups * blocks,
        partial=partial * unit_blocks,
        unit_blocks=unit_blocks,
        taps=taps,
        work=work,
    )


def planned(geometry: Geometry, itemsize: int, gradient: bool = False) -> Plan:
    """``plan`` for the number of threads in force.  The result of a convolution does not depend on that number."""
    return plan(geometry, itemsize, gradient, get_num_threads())
