"""The arguments of pooling functions: checked, and one per dimension."""

from __future__ import annotations

import math
from typing import Any, Callable

from ..tensor import Tensor


def check_dims(op: str, input: Tensor, dims: int) -> None:
    """Raise RuntimeError unless ``input`` is (N, C, ...) or (C, ...) with ``dims`` spatial dimensions, of which only N may be empty."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if input.ndim not in (dims + 1, dims + 2) or 0 in input.shape[1:] or (input.ndim == dims + 1 and not input.shape[0]):
        raise RuntimeError(
            f"{op}: Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with optional 0 dim batch size for input, but got: {list(input.shape)}"
        )


def one(op: str, name: str, value: Any) -> int:
    """``value``, or the only element of a sequence."""
    return _each(op, name, value, 1)[0]


def _each(op: str, name: str, value: Any, dims: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= dims
    if len(values) != dims:
        raise RuntimeError(f"{op}: {name} must be either a single int, or a tuple of {dims} ints, but got {value!r}")
    if not all(hasattr(v, "__index__") for v in values):
        raise TypeError(f"{op}: {name} must be either a single int, or a tuple of {dims} ints, but got {value!r}")
    return tuple(v.__index__() for v in values)


def windows_of(op: str, dims: int, **settings: Any) -> list[tuple[int, ...]]:
    """``kernel_size``, ``stride`` (by default the same), ``padding`` and, if it is given, ``dilation``: a number for each dimension."""
    stride = settings["stride"]
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        settings["stride"] = settings["kernel_size"]
    found = {name: _each(op, name, value, dims) for name, value in settings.items()}
    for name, values in found.items():
        if name != "padding" and min(values) <= 0:
            raise RuntimeError(f"{op}: {name.replace('_', ' ')} should be greater than zero, but got {values}")
    if min(found["padding"]) < 0:
        raise RuntimeError(f"{op}: pad must be non-negative, but got pad: {found['padding']}")
    spread = found.get("dilation", (1,) * dims)
    for pad, kernel, dilation in zip(found["padding"], found["kernel_size"], spread):
        if pad > (dilation * (kernel - 1) + 1) // 2:
            raise RuntimeError(
                f"{op}: pad should be at most half of effective kernel size, but got pad={pad}, kernel_size={kernel} and dilation={dilation}"
            )
    return list(found.values())


def sizes_of(op: str, input: Tensor, output_size: Any, dims: int) -> tuple[int, ...]:
    """An adaptive pool's ``output_size`` for each dimension, None standing for the size that it has."""
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(wanted) != dims:
        raise RuntimeError(f"{op}: output_size must be {dims}, but got {output_size!r}")
    if input.ndim <= dims:
        if not isinstance(output_size, (tuple, list)):
            raise RuntimeError(f"{op}: Expected {dims + 1}D or {dims + 2}D tensor, but got {list(input.shape)}")
        raise ValueError(f"{op}: Input dimension should be at least {dims + 1}, but got {input.ndim}")
    sizes = tuple(n if size is None else size for n, size in zip(input.shape[-dims:], wanted))
    if any(size < 0 for size in sizes):
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0 but received {list(sizes)}")
    return sizes


def in_three(input: Tensor, pool_planes: Callable[[Tensor], Tensor], pool_rows: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, C, D, H, W) or (C, D, H, W): first each plane pooled, then the depth, as the rows of (D, H' · W')."""
    *outer, depth, height, width = input.shape
    planes = pool_planes(input.reshape(math.prod(outer), depth, height, width))  # type: ignore[attr-defined]
    rows, columns = planes.shape[-2:]
    pooled = pool_rows(planes.reshape(math.prod(outer), depth, rows * columns)) if rows * columns else planes.flatten(-2)  # type: ignore[attr-defined]
    return pooled.reshape(*outer, pooled.shape[-2], rows, columns)
