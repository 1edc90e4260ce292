"""Layer norm on CUDA: each row is the work of a team of threads, which hold it in registers between the passes over it.

A team is 1 to 32 lanes of a warp, several teams a block, or all threads of a block.  A thread has up to 32 bytes of numbers of its row, by vectors of 16
bytes that neighbouring threads load next to each other; sums go by shuffles.  Every element is read and written once, and memory bandwidth bounds it.

Backward, a team goes on to further rows.  A thread always has the same columns, so it sums its part of the gradients of weight and bias in registers
too; a block adds up its teams' sums, and the blocks' are summed afterwards, all in an order that the shape alone decides.

A variance is the sum of squares about a center near the mean, less what that misses of the mean: large means cost no digits.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import _dtypes
from .._cuda import lanes as vectors
from .._cuda.collectives import WARP, add, block_fold, team, warp_fold
from .._cuda.functions import functions_for
from .._cuda.intrinsics import cuda, inline, shuffle_xor
from .._cuda.launch import kernel, pointer

BLOCK = team(256)
_MOST_THREADS = team(1024)
_ROW_BYTES = 32  # of a row in a thread's registers; backward there are four times as many


class Shape(NamedTuple):
    """How rows are divided: each among ``threads``, which have ``steps`` vectors of ``lanes`` elements; ``whole``: all of them have."""

    lanes: int
    threads: int
    steps: int
    whole: bool

    @property
    def teams(self) -> int:
        """Rows at a time of a block."""
        return BLOCK // self.threads if self.threads <= WARP else 1

    @property
    def block(self) -> int:
        """Threads."""
        return BLOCK if self.threads <= WARP else self.threads


def shape_of(dtype: np.dtype, width: int, lanes: int) -> Shape | None:
    """How rows of ``width`` elements of ``dtype`` are divided; None if they are too long for registers."""
    groups = width // lanes
    most = max(1, _ROW_BYTES // (_dtypes.compute_dtype(dtype).itemsize * lanes))
    threads = 1 << (-(-groups // most) - 1).bit_length()
    if threads > _MOST_THREADS:
        return None
    steps = -(-groups // threads)
    return Shape(lanes, threads, steps, groups == threads * steps)


@functools.lru_cache(maxsize=None)
def _functions(real: Any) -> tuple[Any, ...]:
    """What is done to single elements."""

    @inline
    def minus(x, center):  # type: ignore[no-untyped-def]
        return x - center

    @inline
    def times(a, b):  # type: ignore[no-untyped-def]
        return a * b

    @inline
    def scaled(d, scale, shift):  # type: ignore[no-untyped-def]
        return d * scale + shift

    @inline
    def weighted(y, weight):  # type: ignore[no-untyped-def]
        return y * weight

    @inline
    def plus(y, bias):  # type: ignore[no-untyped-def]
        return y + bias

    @inline
    def slope(h, d, scale, factor, shift):  # type: ignore[no-untyped-def]
        """The gradient of the input, of that of the output (times the weight) and of x - mean."""
        return h * scale + (d * factor + shift)

    @inline
    def onto(total, g, d, scale):  # type: ignore[no-untyped-def]
        """The gradient of a weight so far, and with one more row."""
        return total + g * (d * scale)

    return minus, times, scaled, weighted, plus, slope, onto


@functools.lru_cache(maxsize=None)
def finisher(real: Any) -> Any:
    """rstd and variance from the sums of d and d² over ``1 / share`` elements, d = x - center: (the mean of d, the variance, 1 / √(variance + eps))."""
    zero, one, root = real(0), real(1), functions_for(np.dtype(real), {"sqrt"})["sqrt"]

    @inline
    def finish(first, second, share, eps):  # type: ignore[no-untyped-def]
        offset = first * share
        spread = second * share - offset * offset
        spread = spread if spread > zero or spread != spread else zero
        return offset, spread, one / root(spread + eps)

    return finish


def _folding(real: Any, shape: Shape) -> Any:
    """The sum over a team."""
    return warp_fold(add(real), shape.threads) if shape.threads <= WARP else block_fold(add(real), real, shape.threads)


@functools.lru_cache(maxsize=None)
def forward(dtype: np.dtype, shape: Shape, weighs: bool, shifts: bool) -> Any:
    """y, mean and rstd of ``count`` rows; ``share`` is 1 / width."""
    lanes, threads, steps, whole = shape
    teams, kind = shape.teams, _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero, zeros, room = real(0), (real(0),) * lanes, steps * lanes
    load, store = vectors.access(dtype, lanes)
    load_real, _ = vectors.access(kind, lanes)
    put, take = vectors.registers(lanes)
    minus, times, scaled, weighted, plus, _, _ = _functions(real)
    subtract, multiply = vectors.mapped(minus, lanes, 1, scalars=1), vectors.mapped(times, lanes, 2)
    scale_all, weigh, shift_all = (
        vectors.mapped(scaled, lanes, 1, scalars=2),
        vectors.mapped(weighted, lanes, 2),
        vectors.mapped(plus, lanes, 2),
    )
    total_of, fold, finish = vectors.summed(lanes, real), _folding(real, shape), finisher(real)
    # Eight elements at once take more registers than 2048 threads have, and would be spilled.
    bounds = (shape.block, max(1, 1536 // shape.block)) if lanes > 4 else shape.block

    @kernel(
        pointer(dtype), pointer(kind), pointer(kind), pointer(dtype), pointer(kind), pointer(kind),
        np.uint64, np.uint32, kind, kind, bounds=bounds,
    )  # fmt: skip
    def layer_norm(y, mean, rstd, x, weight, bias, count, width, share, eps):  # type: ignore[no-untyped-def]
        values = cuda.local.array(room, real)
        thread = np.uint32(cuda.threadIdx.x)
        own = np.uint32(np.uint32(thread % np.uint32(threads)) * np.uint32(lanes))
        row = np.uint64(cuda.blockIdx.x) * np.uint64(teams) + np.uint64(thread // np.uint32(threads))
        live = row < count
        at = row * np.uint64(width) + np.uint64(own)
        for u in range(steps):
            if live and (whole or np.uint32(own + np.uint32(u * threads * lanes)) < width):
                put(values, np.uint64(u * lanes), load(x, at + np.uint64(u * threads * lanes)))
            else:
                put(values, np.uint64(u * lanes), zeros)
        total = zero
        for u in range(steps):
            total += total_of(take(values, np.uint64(u * lanes)))
        center = fold(total) * share
        first, second = zero, zero
        for u in range(steps):
            if whole or np.uint32(own + np.uint32(u * threads * lanes)) < width:
                d = subtract(take(values, np.uint64(u * lanes)), center)
                put(values, np.uint64(u * lanes), d)
                first += total_of(d)
                second += total_of(multiply(d, d))
        offset, _spread, scale = finish(fold(first), fold(second), share, eps)
        for u in range(steps):
            column = np.uint32(own + np.uint32(u * threads * lanes))
            if live and (whole or column < width):
                out = scale_all(take(values, np.uint64(u * lanes)), scale, -offset * scale)
                if weighs:
                    out = weigh(out, load_real(weight, column))
                if shifts:
                    out = shift_all(out, load_real(bias, column))
                store(y, at + np.uint64(u * threads * lanes), out)
        if live and own == 0:
            mean[row] = center + offset
            rstd[row] = scale

    return layer_norm


@functools.lru_cache(maxsize=None)
def _team_sums(real: Any, shape: Shape) -> Any:
    """Adds up what the teams of a block have found for each column, and writes it to row ``block`` of ``part``, (blocks, 2, width)."""
    lanes, threads, steps, _ = shape
    room = steps * lanes
    across, warps = threads * room, shape.block // WARP
    places = warps * 2 * across if threads <= WARP else 1

    @inline
    def of_lanes(array):  # type: ignore[no-untyped-def]
        """The teams of a warp."""
        for i in range(room):
            value = array[np.uint64(i)]
            distance = threads
            while distance < WARP:
                value += shuffle_xor(value, distance)
                distance *= 2
            array[np.uint64(i)] = value

    @inline
    def of_teams(part, slopes, shifts, width):  # type: ignore[no-untyped-def]
        shared = cuda.shared.array(places, dtype=real)
        thread = np.uint32(cuda.threadIdx.x)
        lane, warp = np.uint32(thread % np.uint32(WARP)), np.uint32(thread // np.uint32(WARP))
        of_lanes(slopes)
        of_lanes(shifts)
        if lane < threads:
            for u in range(steps):
                for k in range(lanes):
                    place = np.uint32(
                        warp * np.uint32(2 * across) + np.uint32(u * threads * lanes + k) + np.uint32(lane * np.uint32(lanes))
                    )
                    shared[place] = slopes[np.uint64(u * lanes + k)]
                    shared[np.uint32(place + np.uint32(across))] = shifts[np.uint64(u * lanes + k)]
        cuda.syncthreads()
        j = thread
        while j < np.uint32(2) * width:
            place = np.uint32(j if j < width else np.uint32(j - width) + np.uint32(across))
            value = shared[place]
            for k in range(1, warps):
                value += shared[np.uint32(place + np.uint32(k * 2 * across))]
            part[np.uint64(cuda.blockIdx.x) * np.uint64(2) * np.uint64(width) + np.uint64(j)] = value
            j = np.uint32(j + np.uint32(cuda.blockDim.x))

    @inline
    def of_block(part, slopes, shifts, width):  # type: ignore[no-untyped-def]
        """A block that is one team has nothing to add up."""
        at = np.uint64(cuda.blockIdx.x) * np.uint64(2) * np.uint64(width)
        for u in range(steps):
            for k in range(lanes):
                column = np.uint32(np.uint32(np.uint32(cuda.threadIdx.x) * np.uint32(lanes)) + np.uint32(u * threads * lanes + k))
                if column < width:
                    part[at + np.uint64(column)] = slopes[np.uint64(u * lanes + k)]
                    part[at + np.uint64(width) + np.uint64(column)] = shifts[np.uint64(u * lanes + k)]

    return of_teams if threads <= WARP else of_block


@functools.lru_cache(maxsize=None)
def backward(dtype: np.dtype, shape: Shape, weighs: bool, affine: bool) -> Any:
    """dx, and with ``affine`` the sums of each block for weight and bias, of which it does ``each`` rounds of rows."""
    lanes, threads, steps, whole = shape
    teams, kind = shape.teams, _dtypes.compute_dtype(dtype)
    real: Any = kind.type
    zero, zeros, room = real(0), (real(0),) * lanes, steps * lanes
    load, store = vectors.access(dtype, lanes)
    load_real, _ = vectors.access(kind, lanes)
    put, take = vectors.registers(lanes)
    minus, times, _, _, plus, slope, onto = _functions(real)
    subtract, multiply, sum_all = (
        vectors.mapped(minus, lanes, 1, scalars=1),
        vectors.mapped(times, lanes, 2),
        vectors.mapped(plus, lanes, 2),
    )
    slope_all, gather = vectors.mapped(slope, lanes, 2, scalars=3), vectors.mapped(onto, lanes, 3, scalars=1)
    total_of, fold, join = vectors.summed(lanes, real), _folding(real, shape), _team_sums(real, shape)

    @kernel(
        pointer(dtype), pointer(kind), pointer(dtype), pointer(dtype), pointer(kind), pointer(kind), pointer(kind),
        np.uint64, np.uint32, np.uint32, kind, bounds=shape.block,
    )  # fmt: skip
    def layer_norm_backward(dx, part, g, x, weight, mean, rstd, count, width, each, share):  # type: ignore[no-untyped-def]
        values = cuda.local.array(room, real)
        grads = cuda.local.array(room, real)
        slopes = cuda.local.array(room, real)
        shifts = cuda.local.array(room, real)
        thread = np.uint32(cuda.threadIdx.x)
        own = np.uint32(np.uint32(thread % np.uint32(threads)) * np.uint32(lanes))
        row = np.uint64(cuda.blockIdx.x) * np.uint64(each) * np.uint64(teams) + np.uint64(thread // np.uint32(threads))
        for u in range(steps):
            put(slopes, np.uint64(u * lanes), zeros)
            put(shifts, np.uint64(u * lanes), zeros)
        for _turn in range(each):
            live = row < count
            at = row * np.uint64(width) + np.uint64(own)
            center, scale = zero, zero
            if live:
                center, scale = mean[row], rstd[row]
            for u in range(steps):
                if live and (whole or np.uint32(own + np.uint32(u * threads * lanes)) < width):
                    put(grads, np.uint64(u * lanes), load(g, at + np.uint64(u * threads * lanes)))
                    put(values, np.uint64(u * lanes), subtract(load(x, at + np.uint64(u * threads * lanes)), center))
                else:
                    put(grads, np.uint64(u * lanes), zeros)
                    put(values, np.uint64(u * lanes), zeros)
            first, second = zero, zero
            for u in range(steps):
                column = np.uint32(own + np.uint32(u * threads * lanes))
                grad, d = take(grads, np.uint64(u * lanes)), take(values, np.uint64(u * lanes))
                if affine:
                    put(slopes, np.uint64(u * lanes), gather(take(slopes, np.uint64(u * lanes)), grad, d, scale))
                    put(shifts, np.uint64(u * lanes), sum_all(take(shifts, np.uint64(u * lanes)), grad))
                if weighs and (whole or column < width):
                    grad = multiply(grad, load_real(weight, column))
                    put(grads, np.uint64(u * lanes), grad)
                first += total_of(grad)
                second += total_of(multiply(grad, d))
            factor = -scale * scale * scale * (fold(second) * share)
            shift = -scale * (fold(first) * share)
            for u in range(steps):
                if live and (whole or np.uint32(own + np.uint32(u * threads * lanes)) < width):
                    grad, d = take(grads, np.uint64(u * lanes)), take(values, np.uint64(u * lanes))
                    store(dx, at + np.uint64(u * threads * lanes), slope_all(grad, d, scale, factor, shift))
            row += np.uint64(teams)
        if affine:
            join(part, slopes, shifts, width)

    return layer_norm_backward
