"""Matrix products on CUDA: which of the kernels takes a product, and how it is cut into blocks.

All of that but the alignment of the arrays follows from dtypes, shapes and strides, so it is decided once for each combination: ``prepare`` returns the
function to call.  16-bit floats are multiplied as they are and summed in float32; the result is rounded once.
"""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple

import numpy as np

from .. import _dtypes, _precision
from .._cuda.array import CudaArray, empty
from .._cuda.launch import blocks, launch
from ..copy import copy_into, fill
from ..elementwise import activations
from . import _cuda_kind, _cuda_parts, _cuda_plan, _cuda_simt, _cuda_tensor, _cuda_vector
from ._cuda_kind import Ending
from ._cuda_plan import Batch, Cut, Walk

Product = Callable[[Any, Any, Any], Any]

# Rows or columns of one launch, which kernels count in 32 bits.
_MOST = 1 << 30


class _Shape(NamedTuple):
    """A product: the type, the rows and columns of the result, what is summed over, the shape of all, and strides in elements."""

    dtype: np.dtype
    m: int
    n: int
    k: int
    shape: tuple[int, ...]
    a: tuple[int, int]
    b: tuple[int, int]
    d: tuple[int, int]
    batch: Batch
    ending: Ending


def matmul(a: CudaArray, b: CudaArray, batch: tuple[int, ...], initial: Any, activation: str = "") -> CudaArray:
    """out[..., m, n] = f(initial + Σ_k a[..., m, k]·b[..., k, n]).

    ``batch`` is what the leading dimensions of a and b broadcast to; ``initial`` broadcasts to [m, n] or is None; ``activation`` names f,
    one of ``_cuda_kind.ACTIVATIONS``.
    """
    return prepare(a, b, batch, initial, activation)(a, b, initial)


def prepare(a: CudaArray, b: CudaArray, batch: tuple[int, ...], initial: Any, activation: str = "") -> Product:
    """``matmul`` for operands of these dtypes, shapes and strides: a function of a, b and initial, which ends in ``activation``."""
    (m, k), n, dtype, size = a.shape[-2:], b.shape[-1], a.dtype, a.itemsize
    shape = (*batch, m, n)
    if activation and (k == 0 or dtype in _dtypes.COMPLEXES):  # which relu refuses
        plain = prepare(a, b, batch, initial)
        return lambda a, b, initial: getattr(activations, activation)(plain(a, b, initial))
    if 0 in shape:
        return lambda a, b, initial: empty(shape, dtype)
    if k == 0:
        return lambda a, b, initial: _started(shape, dtype, initial)
    if max(m, n) > _MOST:
        return _sliced(a, b, batch, initial, activation)
    found = _Shape(
        dtype, m, n, k, shape,
        (a.strides[-2] // size, a.strides[-1] // size), (b.strides[-1] // size, b.strides[-2] // size), _steps(initial, (m, n)),
        _cuda_plan.batched(batch, (a.shape[:-2], a.strides[:-2]), (b.shape[:-2], b.strides[:-2]), size), Ending(initial is not None, activation),
    )  # fmt: skip
    return _with_vector(found) if min(m, n) == 1 else _by_tiles(found)


def _started(shape: tuple[int, ...], dtype: np.dtype, initial: Any) -> CudaArray:
    """The result where there is nothing to sum."""
    out = empty(shape, dtype)
    if initial is None:
        fill(out, 0)
    else:
        copy_into(out, initial)
    return out


def _steps(initial: Any, shape: tuple[int, int]) -> tuple[int, int]:
    """The strides in elements of what is added, which broadcasts to ``shape``."""
    if initial is None:
        return 0, 0
    steps = [0 if size == 1 else step // initial.itemsize for size, step in zip(initial.shape, initial.strides)]
    row, column = [0] * (2 - len(steps)) + steps
    return row, column


def _sliced(a: CudaArray, b: CudaArray, batch: tuple[int, ...], initial: Any, activation: str) -> Product:
    """A product of more rows or columns than a launch takes, in slices."""

    def product(a: Any, b: Any, initial: Any) -> Any:
        m, n = a.shape[-2], b.shape[-1]
        out = empty((*batch, m, n), a.dtype)
        if initial is not None:
            row, column = _steps(initial, (m, n))
            initial = initial.as_strided((m, n), (row * initial.itemsize, column * initial.itemsize))
        for i in range(0, m, _MOST):
            for j in range(0, n, _MOST):
                rows, columns = slice(i, i + _MOST), slice(j, j + _MOST)
                added = None if initial is None else initial[rows, columns]
                copy_into(out[..., rows, columns], matmul(a[..., rows, :], b[..., columns], batch, added, activation))
        return out

    return product


# ---- launches -------------------------------------------------------------------------------------------------------------------------------


def _ended(found: _Shape, splits: int, run: Callable[[Any, Any, Any, Any, int, Ending], None]) -> Product:
    """The product that ``run`` makes: of the array to write to, the operands, which of the launches it is, and what is to happen to the sums.  Where k is
    cut into parts, their results are added up in a second pass."""
    dtype, ending, starts = found.dtype, found.ending, found.batch.starts
    size = found.batch.products * found.m * found.n
    wide = _cuda_kind.computed(dtype)
    added = _cuda_parts.add_parts(dtype, ending) if splits > 1 else None

    def product(a: Any, b: Any, initial: Any) -> Any:
        out = empty(found.shape, dtype)
        d = out if initial is None else initial
        flat = out.reshape(len(starts), size)
        for i in range(len(starts)):
            if added is None:
                run(flat[i], a, b, d, i, ending)
                continue
            parts = empty((splits, size), wide)
            run(parts, a, b, parts, i, Ending())
            arguments = (flat[i].pointer, parts.pointer, d.pointer, size, splits, found.m, found.n, *found.d)
            launch(added, *blocks(size), arguments)
        return out

    return product


def _aligned(x: Any, start: int, lanes: int) -> int:
    """How many elements of ``x`` are loaded at once, from the one number ``start`` on."""
    return lanes if not (x.pointer + start * x.itemsize) % (lanes * x.itemsize) else 1


def _by_tiles(found: _Shape) -> Product:
    """The kernels for matrices; which of them takes float32 is the setting's to say, whenever a product is made."""
    dtype = found.dtype
    if _cuda_tensor.takes(dtype):
        return _on_tensor_cores(found)
    ways: dict[bool, Product] = {}

    def product(a: Any, b: Any, initial: Any) -> Any:
        tf32 = dtype == _dtypes.float32 and _precision.matmul.allow_tf32
        way = ways.get(tf32) or ways.setdefault(tf32, _on_tensor_cores(found) if tf32 else _simt(found))
        return way(a, b, initial)

    return product


def _walks(found: _Shape, lanes: int, ragged: bool = False) -> tuple[Walk, Walk]:
    batch = found.batch
    a = _cuda_plan.walk(found.m, found.k, *found.a, batch.a, [s[0] for s in batch.starts], lanes, ragged)
    b = _cuda_plan.walk(found.n, found.k, *found.b, batch.b, [s[1] for s in batch.starts], lanes, ragged)
    return a, b


def _numbers(found: _Shape, of_a: Walk, of_b: Walk, how: Cut, part_k: int) -> tuple[int, ...]:
    """The arguments of a tile kernel behind its pointers."""
    tiles_m, tiles_n, batch = -(-found.m // how.tile.rows), -(-found.n // how.tile.columns), found.batch
    return (
        found.m, found.n, found.k, of_a.across, of_a.step, of_b.step, of_b.across, *found.d, *batch.a, *batch.b, part_k,
        tiles_m, tiles_n, how.splits, batch.inner, batch.products,
    )  # fmt: skip


def _simt(found: _Shape) -> Product:
    dtype, batch = found.dtype, found.batch
    how = _cuda_plan.cut(_cuda_plan.tiles_for(dtype), batch.products, found.m, found.n, found.k)
    tile = how.tile
    vector = _cuda_simt.shared_vector(dtype)
    of_a, of_b = _walks(found, vector)
    part_k, splits = _cuda_plan.parts(found.k, how.splits, tile.depth)
    how = how._replace(splits=splits)
    numbers = _numbers(found, of_a, of_b, how, part_k)
    grid = math.prod(numbers[-5:-2]) * batch.products
    out_lanes = 1 if found.n % vector else vector

    def run(out: Any, a: Any, b: Any, d: Any, number: int, ending: Ending) -> None:
        start_a, start_b = batch.starts[number]
        a_lies = _cuda_simt.Operand(of_a.along_k, _aligned(a, start_a, of_a.lanes))
        b_lies = _cuda_simt.Operand(of_b.along_k, _aligned(b, start_b, of_b.lanes))
        lanes = _aligned(out, 0, out_lanes)
        gemm = _cuda_simt.product(dtype, tile, a_lies, b_lies, lanes, out.dtype, ending)
        pointers = (out.pointer, a.pointer + start_a * a.itemsize, b.pointer + start_b * b.itemsize, d.pointer)
        launch(gemm, grid, tile.threads, (*pointers, *numbers))

    return _ended(found, how.splits, run)


def _on_tensor_cores(found: _Shape) -> Product:
    dtype, batch = found.dtype, found.batch
    how = _cuda_plan.cut(_cuda_tensor.tiles(), batch.products, found.m, found.n, found.k)
    tile, vector = how.tile, _cuda_tensor.vector_of(dtype)
    of_a, of_b = _walks(found, vector, True)
    part_k, splits = _cuda_plan.parts(found.k, how.splits, _cuda_tensor.depth_of(dtype))
    how = how._replace(splits=splits)
    numbers = _numbers(found, of_a, of_b, how, part_k)
    grid = math.prod(numbers[-5:-2]) * batch.products
    shared = _cuda_tensor.shared_bytes(dtype, tile, of_a.along_k, of_b.along_k)
    out_lanes = 1 if found.n % 2 else 2

    def run(out: Any, a: Any, b: Any, d: Any, number: int, ending: Ending) -> None:
        start_a, start_b = batch.starts[number]
        a_lies = _cuda_simt.Operand(of_a.along_k, _aligned(a, start_a, of_a.lanes))
        b_lies = _cuda_simt.Operand(of_b.along_k, _aligned(b, start_b, of_b.lanes))
        gemm = _cuda_tensor.product(dtype, tile, a_lies, b_lies, _aligned(out, 0, out_lanes), out.dtype, ending)
        pointers = (out.pointer, a.pointer + start_a * a.itemsize, b.pointer + start_b * b.itemsize, d.pointer)
        launch(gemm, grid, tile.threads, (*pointers, *numbers), shared)

    return _ended(found, how.splits, run)


def _with_vector(found: _Shape) -> Product:
    """A product with one row or one column: the other operand is the matrix, and its rows are those whose sums are wanted."""
    dtype, batch, turned = found.dtype, found.batch, found.m == 1
    rows, (across, step), (_, x_step) = (found.n, found.b, found.a) if turned else (found.m, found.a, found.b)
    m_batch, x_batch = (batch.b, batch.a) if turned else (batch.a, batch.b)
    lanes = _cuda_vector.lanes_of(dtype)
    starts = [[s[i] for s in batch.starts] for i in (0, 1)]
    of_m = _cuda_plan.walk(rows, found.k, across, step, m_batch, starts[turned], lanes)
    of_x = _cuda_plan.walk(1, found.k, 0, x_step, x_batch, starts[not turned], lanes)
    by_columns = not of_m.along_k
    splits = _cuda_plan.vector_splits(rows * batch.products, found.k, by_columns)
    part_k, splits = _cuda_plan.parts(found.k, splits, lanes)
    kernels = _cuda_vector.column_sums if by_columns else _cuda_vector.row_dots
    numbers = (
        rows, found.k, part_k, of_m.across, of_m.step, of_x.step, found.d[turned], *m_batch, *x_batch, batch.inner, batch.products, splits
    )  # fmt: skip
    together = of_m.lanes if by_columns else min(of_m.lanes, of_x.lanes)

    def run(out: Any, a: Any, b: Any, d: Any, number: int, ending: Ending) -> None:
        start_a, start_b = batch.starts[number]
        first_a, first_b = a.pointer + start_a * a.itemsize, b.pointer + start_b * b.itemsize
        matrix, x = (first_b, first_a) if turned else (first_a, first_b)
        unaligned = (matrix if by_columns else matrix | x) % (together * dtype.itemsize)
        here = 1 if unaligned else together
        units = -(-rows // (_cuda_vector.WARP * here)) * batch.products * splits
        grid = units if by_columns else -(-rows * batch.products * splits // _cuda_vector.WARPS)
        found_kernel = kernels(dtype, here, out.dtype, ending)
        launch(found_kernel, grid, _cuda_vector.THREADS, (out.pointer, matrix, x, d.pointer, *numbers))

    return _ended(found, splits, run)


def dot(a: CudaArray, b: CudaArray) -> CudaArray:
    """Σ_k a[k]·b[k]."""
    return matmul(a[None, :], b[:, None], (), None).reshape(())
