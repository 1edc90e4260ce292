"""Two-dimensional pooling: maximum (with indices) and average, over given windows or adaptive ones.

Arrays are (N, C, H, W) or (C, H, W) of any strides; float16 and bfloat16 are computed in float32 (on the CPU converted before, on CUDA by the
kernels).  A size argument is an int or a pair (height, width).  Indices are int64, flat in each H x W plane; -1 marks a window that holds no
element, which only dilation can make.
"""

from __future__ import annotations

import functools
from typing import Any, Sequence

from .. import _dtypes
from .._device import family, on_cpu
from .._half import float32_on_cpu
from ..copy import contiguous

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "avg_pool2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool2d_gather",
]

_on = family(__name__)
_FLOATS = _dtypes.FLOATS
_MAX_TYPES = (*_FLOATS, *_dtypes.INTEGERS)

Size = int | Sequence[int]


def _pair(op: str, name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            value = (value[0], value[0])
        if len(value) != 2:
            raise RuntimeError(f"{op}: {name} must either be a single int, or a tuple of two ints, but got {value!r}")
        pair = tuple(value)
    else:
        pair = (value, value)
    try:
        return pair[0].__index__(), pair[1].__index__()
    except AttributeError:
        raise TypeError(f"{op}: {name} must either be a single int, or a tuple of two ints, but got {value!r}") from None


def _check_input(op: str, shape: tuple[int, ...]) -> None:
    """Three or four dimensions, none of them empty but the batch's."""
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise RuntimeError(f"{op}: Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got: {list(shape)}")


def _check_dtype(op: str, x: Any, allowed: tuple[Any, ...]) -> None:
    if x.dtype not in allowed:
        raise NotImplementedError(f"{op}: not implemented for {_dtypes.name(x.dtype)}")


def _output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = -(-span // stride) if ceil_mode else span // stride
    # Rounded up, the last window must still start inside the image or its leading padding.
    if ceil_mode and steps * stride >= size + padding:
        steps -= 1
    return steps + 1


def _as_kernel(stride: Any) -> bool:
    """Whether ``stride`` stands for the size of the window: None or an empty sequence."""
    return stride is None or (isinstance(stride, (tuple, list)) and not stride)


class _Geometry:
    """Checked window arguments and the output size they give."""

    def __init__(self, op: str, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool):
        self.kernel = _pair(op, "kernel_size", kernel_size)
        self.stride = self.kernel if _as_kernel(stride) else _pair(op, "stride", stride)
        self.padding = _pair(op, "padding", padding)
        self.dilation = _pair(op, "dilation", dilation)
        for name, pair in (("kernel size", self.kernel), ("stride", self.stride), ("dilation", self.dilation)):
            if min(pair) <= 0:
                raise RuntimeError(f"{op}: {name} should be greater than zero, but got {pair}")
        _check_input(op, shape)
        if min(self.padding) < 0:
            raise RuntimeError(f"{op}: pad must be non-negative, but got pad: {self.padding}")
        for pad, kernel, dilation_ in zip(self.padding, self.kernel, self.dilation):
            if pad > (dilation_ * (kernel - 1) + 1) // 2:
                raise RuntimeError(
                    f"{op}: pad should be at most half of effective kernel size, but got pad={pad}, kernel_size={kernel} and dilation={dilation_}"
                )
        self.output = tuple(
            _output_size(*sizes, ceil_mode) for sizes in zip(shape[-2:], self.kernel, self.stride, self.padding, self.dilation)
        )
        if min(self.output) < 1:
            channels, height, width = shape[-3:]
            rows, columns = self.output
            raise RuntimeError(
                f"{op}: Given input size: ({channels}x{height}x{width}). Calculated output size: ({channels}x{rows}x{columns}). "
                "Output size is too small"
            )


_kept_geometry = functools.lru_cache(maxsize=256)(_Geometry)


def _geometry(op: str, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> _Geometry:
    """``_Geometry``, which for plain integers is worked out once."""
    if type(kernel_size) is int and type(padding) is int and type(dilation) is int and (stride is None or type(stride) is int):
        return _kept_geometry(op, shape, kernel_size, stride, padding, dilation, bool(ceil_mode))
    return _Geometry(op, shape, kernel_size, stride, padding, dilation, ceil_mode)


def _planes(x: Any) -> Any:
    """(N, C, H, W) or (C, H, W) as contiguous (planes, H, W)."""
    shape = x.shape
    return contiguous(x).reshape((_plane_count(shape), shape[-2], shape[-1]))


def _plane_count(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] if len(shape) == 4 else shape[0]


def _pairs(op: str, windows: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    """(kernel_size, stride, padding, dilation) as pairs; nothing of nothing."""
    if not windows:
        return ()
    kernel_size, stride, padding, dilation = windows
    stride = kernel_size if _as_kernel(stride) else stride
    return tuple([_pair(op, "window", value) for value in (kernel_size, stride, padding, dilation)])


def _check_gradient(op: str, grad: Any, expected: tuple[int, ...]) -> None:
    if grad.shape != expected:
        raise RuntimeError(f"{op}: expected grad of shape {list(expected)}, but got {list(grad.shape)}")


@float32_on_cpu
def max_pool2d(
    x: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1, ceil_mode: bool = False
) -> tuple[Any, Any]:
    """y[oh, ow] = max over (i, j) of x[oh * stride - padding + i * dilation, ...]; padding never wins.  Returns (y, indices).

    Of equal maxima the first in row-major order counts; a NaN beats every number, the last of several counts.  ``stride`` defaults to
    ``kernel_size``.  Any floating or integer dtype.  Raises RuntimeError for windows that do not fit.
    """
    _check_dtype("max_pool2d", x, _MAX_TYPES)
    w = _geometry("max_pool2d", x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    values, indices = _on(x).max_pool2d(_planes(x), w.kernel, w.stride, w.padding, w.dilation, w.output)
    shape = (*x.shape[:-2], *w.output)
    return values.reshape(shape), indices.reshape(shape)


@float32_on_cpu
def max_pool2d_backward(grad: Any, indices: Any, input_shape: Sequence[int], windows: Sequence[Any] | None = None) -> Any:
    """dx[indices[o]] += grad[o] in each plane, for ``max_pool2d`` and ``adaptive_max_pool2d``.

    ``windows`` may say where the indices come from, which CUDA's quicker kernels need to know: (kernel_size, stride, padding, dilation) of
    ``max_pool2d``, or () for adaptive windows.  Raises IndexError for an index outside the plane (on CUDA, when the kernel's work is waited for).
    """
    _check_dtype("max_pool2d_backward", grad, _MAX_TYPES)
    shape = tuple(input_shape)
    _check_gradient("max_pool2d_backward", grad, (*shape[:-2], *grad.shape[-2:]))
    _check_indices("max_pool2d_backward", indices, grad.shape)
    known = None if windows is None or on_cpu(grad) else _pairs("max_pool2d_backward", windows)
    dx, inside = _on(grad, indices).max_pool2d_backward(_planes(grad), _planes(indices), shape[-2:], known)
    if not inside:
        raise _outside("max_pool2d_backward", indices, shape)
    return dx.reshape(shape)


@float32_on_cpu
def max_pool2d_gather(x: Any, indices: Any) -> Any:
    """x[indices[o]] in each plane: the adjoint of ``max_pool2d_backward``.  Raises IndexError for an index outside the plane."""
    _check_dtype("max_pool2d_gather", x, _MAX_TYPES)
    _check_indices("max_pool2d_gather", indices, (*x.shape[:-2], *indices.shape[-2:]))
    y, inside = _on(x, indices).max_pool2d_gather(_planes(x), _planes(indices))
    if not inside:
        raise _outside("max_pool2d_gather", indices, x.shape)
    return y.reshape(indices.shape)


def _check_indices(op: str, indices: Any, expected: tuple[int, ...]) -> None:
    if indices.dtype != _dtypes.int64 or indices.shape != expected:
        raise RuntimeError(
            f"{op}: expected indices of dtype int64 and shape {list(expected)}, but got {_dtypes.name(indices.dtype)} and {list(indices.shape)}"
        )


def _outside(op: str, indices: Any, shape: tuple[int, ...]) -> IndexError:
    size = shape[-2] * shape[-1]
    wrong = next(i for i in indices.reshape(-1).tolist() if not -1 <= i < size)
    return IndexError(f"{op}: found an invalid max index {wrong} for a plane of {shape[-2]} x {shape[-1]} elements")


@float32_on_cpu
def avg_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """y[oh, ow] = sum of x over the window / divisor, padding counting as zero.

    The divisor is the number of elements of the window, with its padding (but never what ``ceil_mode`` lets it hang over beyond that) or,
    without ``count_include_pad``, without; or ``divisor_override``.  Raises RuntimeError for windows that do not fit.
    """
    _check_dtype("avg_pool2d", x, _FLOATS)
    w = _geometry("avg_pool2d", x.shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor("avg_pool2d", divisor_override)
    y = _on(x).avg_pool2d(_planes(x), w.kernel, w.stride, w.padding, w.output, bool(count_include_pad), divisor)
    return y.reshape((*x.shape[:-2], *w.output))


@float32_on_cpu
def avg_pool2d_backward(
    grad: Any,
    input_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The gradient of ``avg_pool2d``'s input: each output's ``grad / divisor`` added to every element of its window."""
    _check_dtype("avg_pool2d_backward", grad, _FLOATS)
    shape = tuple(input_shape)
    w = _geometry("avg_pool2d_backward", shape, kernel_size, stride, padding, 1, ceil_mode)
    _check_gradient("avg_pool2d_backward", grad, (*shape[:-2], *w.output))
    divisor = _divisor("avg_pool2d_backward", divisor_override)
    dx = _on(grad).avg_pool2d_backward(_planes(grad), shape[-2:], w.kernel, w.stride, w.padding, bool(count_include_pad), divisor)
    return dx.reshape(shape)


def _divisor(op: str, override: int | None) -> int:
    """The divisor that replaces the window's size, or 0 for none."""
    if override is None:
        return 0
    if override == 0:
        raise RuntimeError(f"{op}: divisor must be not zero")
    return int(override)


def _adaptive(op: str, shape: tuple[int, ...], output_size: Any) -> tuple[int, int]:
    if len(shape) not in (3, 4):
        raise RuntimeError(f"{op}: Expected 3D or 4D tensor, but got {list(shape)}")
    if 0 in shape[1:]:
        raise RuntimeError(f"{op}: Expected input to have non-zero size for non-batch dimensions, but input has sizes {list(shape)}")
    pair = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(pair) != 2:
        raise RuntimeError(f"{op}: output_size must be 2, but got {output_size!r}")
    rows, columns = _pair(op, "output_size", tuple(size if wanted is None else wanted for size, wanted in zip(shape[-2:], pair)))
    if rows < 0 or columns < 0:
        raise RuntimeError(f"{op}: elements of output_size must be greater than or equal to 0 but received {{{rows}, {columns}}}")
    return rows, columns


@float32_on_cpu
def adaptive_avg_pool2d(x: Any, output_size: Size) -> Any:
    """y[oh, ow] = mean of x over rows floor(oh * H / OH) to ceil((oh + 1) * H / OH), columns likewise.  None in ``output_size`` keeps a size."""
    _check_dtype("adaptive_avg_pool2d", x, _FLOATS)
    output = _adaptive("adaptive_avg_pool2d", x.shape, output_size)
    return _on(x).adaptive_avg_pool2d(_planes(x), output).reshape((*x.shape[:-2], *output))


@float32_on_cpu
def adaptive_avg_pool2d_backward(grad: Any, input_shape: Sequence[int]) -> Any:
    """The gradient of ``adaptive_avg_pool2d``'s input, of ``input_shape``: each output's gradient shared out evenly over its window."""
    _check_dtype("adaptive_avg_pool2d_backward", grad, _FLOATS)
    shape = tuple(input_shape)
    _check_gradient("adaptive_avg_pool2d_backward", grad, (*shape[:-2], *grad.shape[-2:]))
    return _on(grad).adaptive_avg_pool2d_backward(_planes(grad), shape[-2:]).reshape(shape)


@float32_on_cpu
def adaptive_max_pool2d(x: Any, output_size: Size) -> tuple[Any, Any]:
    """(y, indices): the maximum over the windows of ``adaptive_avg_pool2d``, with ties and NaN as in ``max_pool2d``."""
    _check_dtype("adaptive_max_pool2d", x, _MAX_TYPES)
    output = _adaptive("adaptive_max_pool2d", x.shape, output_size)
    values, indices = _on(x).adaptive_max_pool2d(_planes(x), output)
    shape = (*x.shape[:-2], *output)
    return values.reshape(shape), indices.reshape(shape)
