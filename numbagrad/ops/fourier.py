"""Discrete Fourier transforms.  A CUDA tensor is computed on the host and brought back to its device.

Every transform is made of three: of complex numbers, of real ones to half of the complex result (the rest is its conjugate), and from
such a half to real ones.  With y[k] = s·Σⱼ x[j]·exp(∓2πi·jk/n), the gradient is the transform of the other sign with the same scale s.
"""

from __future__ import annotations

from typing import Any, Sequence

from ..kernels import _dtypes
from ..kernels.linalg import fourier as kernels
from ..kernels.linalg import on_host
from ..size import dimension
from ..tensor import Tensor
from ._arguments import result_into, tensors_of
from ._operation import differentiable
from .copy import cat, pad

# Which direction is scaled by 1/n; the other direction with the same scale has the other name.
_OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _half_rule(g: Tensor, x_shape: Sequence[int], dim: int, norm: str) -> Tensor:
    """The real part of the inverse transform of ``g``, whose other half is no part of the result."""
    n = x_shape[dim]
    missing = [0, 0] * (len(x_shape) - 1 - dim) + [0, n - g.shape[dim]]
    return _fft(pad(g, missing), (dim,), True, _OTHER[norm]).real  # type: ignore[attr-defined]


def _whole_rule(g: Tensor, n: int, dim: int, norm: str) -> Tensor:
    """The transform of ``g``, twice where an element stands for its conjugate too: everywhere but at 0 and, for even n, at the end."""
    y = _rfft(g, dim, _OTHER[norm])
    last = y.shape[dim] - (1 if n % 2 == 0 else 0)
    if last <= 1:
        return y
    parts = [y.narrow(dim, 0, 1), y.narrow(dim, 1, last - 1) * 2, y.narrow(dim, last, y.shape[dim] - last)]
    return cat(parts, dim)


_fft = differentiable("fft_c2c", on_host(kernels.fft), x=lambda g, dims, inverse, norm: _fft(g, dims, not inverse, _OTHER[norm]))
_rfft = differentiable("fft_r2c", on_host(kernels.rfft), x=_half_rule)
_irfft = differentiable("fft_c2r", on_host(kernels.irfft), x=_whole_rule)


# ---- arguments ----------------------------------------------------------------------------------------------------------------------


def _norm(op: str, norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in _OTHER:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _input(op: str, input: Tensor, complex: bool) -> Tensor:
    """``input`` in a dtype that transforms take: integers as the default float, and complex if it has to be."""
    tensors_of(op, input=input)
    dtype = input._data.dtype
    if dtype in _dtypes.HALVES:
        raise RuntimeError(f"Unsupported dtype {_dtypes.title(dtype)}")
    if dtype.kind not in "fc":
        from ..dtypes import get_default_dtype

        input = input.to(get_default_dtype())  # type: ignore[attr-defined]
    return input.to(input.dtype.to_complex()) if complex and not input.is_complex() else input  # type: ignore[attr-defined]


def _real_input(op: str, input: Tensor) -> Tensor:
    tensors_of(op, input=input)
    if input.is_complex():
        raise RuntimeError(f"{op} expects a real input tensor, but got {input.dtype.title}")
    return _input(op, input, False)


def _resized(x: Tensor, sizes: Sequence[int], dims: Sequence[int]) -> Tensor:
    """``x`` with its first elements along each of ``dims``, or zeros after its last ones, to ``sizes``; -1 leaves a size as it is."""
    missing = [0] * (2 * x.ndim)
    for size, d in zip(sizes, dims):
        if size == -1:
            continue
        if x.shape[d] > size:
            x = x.narrow(d, 0, size)  # type: ignore[attr-defined]
        else:
            missing[2 * (x.ndim - 1 - d) + 1] = size - x.shape[d]
    return pad(x, missing) if any(missing) else x


def _length(op: str, x: Tensor, n: int | None, dim: int, half: bool = False) -> tuple[int, int]:
    """(size of the signal, dimension) of a one-dimensional transform; ``half``: of a signal whose transform is given by half."""
    if x.ndim == 0:
        dimension(dim, 0)
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = dimension(dim, x.ndim)
    size = n if n is not None else 2 * (x.shape[d] - 1) if half else x.shape[d]
    if size < 1:
        raise RuntimeError(f"Invalid number of data points ({size}) specified")
    return size, d


def _lengths(op: str, x: Tensor, s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """(sizes, dimensions) of an n-dimensional transform; a size of -1 is the input's."""
    if dim is not None:
        given = [dim] if isinstance(dim, int) else list(dim)
        dims = [dimension(d, x.ndim) for d in given]
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    if s is None:
        dims = list(range(x.ndim)) if dim is None else dims
        sizes = [x.shape[d] for d in dims]
    else:
        sizes = [s] if isinstance(s, int) else list(s)
        if dim is None:
            if len(sizes) > x.ndim:
                raise RuntimeError(f"Got shape with {len(sizes)} values but input tensor only has {x.ndim} dimensions.")
            dims = list(range(x.ndim - len(sizes), x.ndim))
        elif len(sizes) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        sizes = [x.shape[d] if size == -1 else size for size, d in zip(sizes, dims)]
    for size in sizes:
        if size < 1:
            raise RuntimeError(f"Invalid number of data points ({size}) specified")
    return sizes, dims


# ---- one dimension ------------------------------------------------------------------------------------------------------------------


def _transform(op: str, input: Tensor, n: int | None, dim: int, norm: str | None, inverse: bool) -> Tensor:
    x, scale = _input(op, input, True), _norm(op, norm)
    size, d = _length(op, x, n, dim)
    return _fft(_resized(x, [size], [d]), (d,), inverse, scale)


def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """y[k] = Σⱼ x[j]·exp(−2πi·jk/n) along ``dim``, complex.

    The input is cut or filled with zeros to size ``n``.  ``norm``: "forward" divides by n, "ortho" by √n, "backward" (the default) leaves that to the
    inverse.  Raises RuntimeError for n < 1, another norm and 16-bit floats.
    """
    return result_into(out, _transform("fft", input, n, dim, norm, False))


def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``fft``: y[j] = 1/n·Σₖ x[k]·exp(2πi·jk/n)."""
    return result_into(out, _transform("ifft", input, n, dim, norm, True))


def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The first n//2 + 1 entries of ``fft`` of a real input; the others are their conjugates.  Raises RuntimeError for a complex one."""
    x, scale = _real_input("rfft", input), _norm("rfft", norm)
    size, d = _length("rfft", x, n, dim)
    return result_into(out, _rfft(_resized(x, [size], [d]), d, scale))


def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The real signal of size ``n`` (2·(size − 1) if not given) whose ``rfft`` is the input."""
    x, scale = _input("irfft", input, True), _norm("irfft", norm)
    size, d = _length("irfft", x, n, dim, half=True)
    return result_into(out, _irfft(_resized(x, [size // 2 + 1], [d]), size, d, scale))


def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The real ``fft`` of size ``n`` (2·(size − 1) if not given) of a signal whose second half is the conjugate of the input."""
    x, scale = _input("hfft", input, True), _norm("hfft", norm)
    size, d = _length("hfft", x, n, dim, half=True)
    return result_into(out, _irfft(_resized(x, [size // 2 + 1], [d]).conj(), size, d, _OTHER[scale]))  # type: ignore[attr-defined]


def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The first n//2 + 1 entries of ``ifft`` of a real input: the inverse of ``hfft``.  Raises RuntimeError for a complex one."""
    x, scale = _real_input("ihfft", input), _norm("ihfft", norm)
    size, d = _length("ihfft", x, n, dim)
    return result_into(out, _rfft(_resized(x, [size], [d]), d, _OTHER[scale]).conj())


# ---- several dimensions -------------------------------------------------------------------------------------------------------------


def _transform_n(op: str, input: Tensor, s: Any, dim: Any, norm: str | None, inverse: bool) -> Tensor:
    x, scale = _input(op, input, True), _norm(op, norm)
    sizes, dims = _lengths(op, x, s, dim)
    return _fft(_resized(x, sizes, dims), tuple(dims), inverse, scale)


def _half_n(op: str, input: Tensor, s: Any, dim: Any, norm: str | None, inverse: bool) -> Tensor:
    """Real to half of a complex result along the last of ``dim``, complex along the others."""
    x, scale = _real_input(op, input), _norm(op, norm)
    sizes, dims = _lengths(op, x, s, dim)
    if not dims:
        raise RuntimeError(f"{op} must transform at least one axis")
    x = _resized(x, sizes, dims)
    y = _rfft(x, dims[-1], _OTHER[scale] if inverse else scale)
    y = y.conj() if inverse else y
    return _fft(y, tuple(dims[:-1]), inverse, scale) if dims[1:] else y


def _whole_n(op: str, input: Tensor, s: Any, dim: Any, norm: str | None, inverse: bool) -> Tensor:
    """Complex along all but the last of ``dim``, and from a half to a real result along that."""
    x, scale = _input(op, input, True), _norm(op, norm)
    given = None if s is None else [s] if isinstance(s, int) else list(s)
    if given is not None and any(size != -1 and size < 1 for size in given):
        raise RuntimeError(f"Invalid number of data points ({min(given)}) specified")
    sizes, dims = _lengths(op, x, given, dim)
    if not dims:
        raise RuntimeError(f"{op} must transform at least one axis")
    last = given[-1] if given is not None and given[-1] != -1 else 2 * (x.shape[dims[-1]] - 1)
    if last < 1:
        raise RuntimeError(f"Invalid number of data points ({last}) specified")
    x = _resized(x, [*sizes[:-1], last // 2 + 1], dims)
    x = _fft(x, tuple(dims[:-1]), inverse, scale) if dims[1:] else x
    return _irfft(x, last, dims[-1], scale) if inverse else _irfft(x.conj(), last, dims[-1], _OTHER[scale])  # type: ignore[attr-defined]


def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """``fft`` over each of the dimensions ``dim`` (all, or the last as many as ``s`` has sizes), cut or filled with zeros to the sizes ``s``."""
    return result_into(out, _transform_n("fftn", input, s, dim, norm, False))


def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``fftn``."""
    return result_into(out, _transform_n("ifftn", input, s, dim, norm, True))


def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """``rfft`` over the last of ``dim`` and ``fft`` over the others."""
    return result_into(out, _half_n("rfftn", input, s, dim, norm, False))


def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``rfftn``, real; without ``s`` the last of its sizes is 2·(size − 1)."""
    return result_into(out, _whole_n("irfftn", input, s, dim, norm, True))


def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """``hfft`` over the last of ``dim``, after ``fft`` over the others."""
    return result_into(out, _whole_n("hfftn", input, s, dim, norm, False))


def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
    """The inverse of ``hfftn``."""
    return result_into(out, _half_n("ihfftn", input, s, dim, norm, True))


def _two(name: str, transform: Any) -> Any:
    """``transform`` over the last two dimensions unless others are named."""

    def call(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        return transform(input, s, dim, norm, out=out)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{transform.__name__}`` over two dimensions, the last ones."
    return call


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = (
    _two(name, each)
    for name, each in (("fft2", fftn), ("ifft2", ifftn), ("rfft2", rfftn), ("irfft2", irfftn), ("hfft2", hfftn), ("ihfft2", ihfftn))
)


# ---- order of frequencies -----------------------------------------------------------------------------------------------------------


def _shift(input: Tensor, dim: Any, sign: int) -> Tensor:
    tensors_of("fftshift", input=input)
    dims = list(range(input.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    steps = [input.shape[d] // 2 if sign > 0 else (input.shape[d] + 1) // 2 for d in dims]
    return input.roll(steps, dims) if dims else input.clone()  # type: ignore[attr-defined]


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The entries along ``dim`` (all dimensions) turned so that frequency 0 is in the middle."""
    return _shift(input, dim, 1)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of ``fftshift``."""
    return _shift(input, dim, -1)
