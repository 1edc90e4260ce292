"""Short-time Fourier transforms: transforms of overlapping windows of a signal, and the signal from these."""

from __future__ import annotations

import warnings

from ..tensor import Tensor
from ._arguments import tensors_of
from ._attach import public
from .complex_views import view_as_real
from .copy import pad
from .fourier import _fft, _irfft, _rfft
from .windows import _unfold_rule as overlapped


def _lengths(op: str, n_fft: int, hop_length: int | None, win_length: int | None, longest: int | None) -> tuple[int, int]:
    """(hop, window length) with their defaults.  Raises RuntimeError where they make no sense."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if n_fft <= 0 or (longest is not None and n_fft > longest):
        raise RuntimeError(f"{op}: expected 0 < n_fft{'' if longest is None else f' <= {longest}'}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{op}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{op}: expected 0 < win_length <= n_fft, but got win_length={length}")
    return hop, length


def _window(op: str, window: Tensor | None, length: int, n_fft: int, like: Tensor) -> Tensor:
    """The window, ones by default, with zeros on both sides to size ``n_fft``."""
    if window is None:
        window = like.detach().new_ones((length,), dtype=like.dtype.to_real())  # type: ignore[attr-defined]
    elif window.ndim != 1 or window.shape[0] != length:
        raise RuntimeError(
            f"{op}: expected a 1D window tensor of size equal to win_length={length}, but got window with size {list(window.shape)}"
        )
    elif window.device != like.device:
        raise RuntimeError(f"{op} input and window must be on the same device but got self on {like.device} and window on {window.device}")
    left = (n_fft - length) // 2
    return pad(window, (left, n_fft - length - left)) if length < n_fft else window


@public
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """X[..., ω, m] = Σₖ window[k]·input[..., m·hop + k]·exp(−2πi·ωk/n_fft) of signals [L] or [B, L]: [..., N, T], complex, or pairs of real numbers
    [..., N, T, 2] with ``return_complex=False``.

    ``hop_length``: n_fft // 4 by default; ``window`` [win_length]: ones by default, filled with zeros on both sides to n_fft; ``center``: windows are centred
    on multiples of the hop, for which the signal is extended by n_fft // 2 on both sides as ``pad_mode`` says; ``normalized``: divided by √n_fft; ``onesided``
    (default for real signals): N = n_fft // 2 + 1, else n_fft.
    Raises RuntimeError for lengths that do not fit, a one-sided transform of complex numbers, and a real input without ``return_complex``.
    """
    tensors_of("stft", input=input)
    if not (input.is_floating_point() or input.is_complex()):
        raise RuntimeError(f"stft: expected a tensor of floating point or complex values, but got {input.dtype.title}")
    if input.ndim not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, but got {input.ndim}D")
    turned = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not turned:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that return_complex=True."
            )
        return_complex = True
    if align_to_window is not None and center:
        raise RuntimeError("stft align_to_window should only be set when center = false.")
    x = input.unsqueeze(0) if input.ndim == 1 else input  # type: ignore[attr-defined]
    if center:
        half = n_fft // 2
        x = pad(x.unsqueeze(0), (half, half), pad_mode).squeeze(0)
    hop, length = _lengths("stft", n_fft, hop_length, win_length, x.shape[-1])
    padded = _window("stft", window, length, n_fft, input)
    if onesided is None:
        onesided = not turned
    if onesided and turned:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = x.unfold(-1, n_fft, hop) * padded
    scale = "ortho" if normalized else "backward"
    y = _rfft(frames, 2, scale) if onesided else _fft(frames.to(frames.dtype.to_complex()), (2,), False, scale)
    y = y.transpose(1, 2)
    y = y.squeeze(0) if input.ndim == 1 else y
    return y if return_complex else view_as_real(y)


@public
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal [L] or [B, L] whose ``stft`` with the same settings is the complex input [..., N, T]: windows are added where they overlap, and divided by the
    sum of the squares of ``window``, which gives the nearest signal to any input (D. Griffin and J. Lim, 1984).

    ``onesided`` is N ≠ n_fft by default; ``length`` cuts or fills the signal; ``return_complex`` gives a complex signal, of a two-sided input.
    Raises RuntimeError for a real input, lengths that do not fit, and windows that leave a gap.
    """
    tensors_of("istft", input=input)
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True. If you have a real-valued tensor, "
            "use view_as_complex to convert."
        )
    if input.ndim not in (2, 3) or not input.numel():
        raise RuntimeError(f"istft: expected a non-empty tensor with 2 or 3 dimensions, but got {list(input.shape)}")
    hop, win_length = _lengths("istft", n_fft, hop_length, win_length, None)
    if hop > win_length:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, but got hop_length={hop} and win_length={win_length}")
    bins, count = input.shape[-2:]
    onesided = bins != n_fft if onesided is None else onesided
    if bins != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft{' / 2 + 1' if onesided else ''} when "
            f"onesided={onesided}, but got {bins}"
        )
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    padded = _window("istft", window, win_length, n_fft, input)
    if not return_complex and padded.is_complex():
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    x = (input.unsqueeze(0) if input.ndim == 2 else input).transpose(1, 2)  # type: ignore[attr-defined]
    scale = "ortho" if normalized else "backward"
    frames = _fft(x, (2,), True, scale) if return_complex else _irfft(x[..., : n_fft // 2 + 1], n_fft, 2, scale)
    total = n_fft + hop * (count - 1)
    y = overlapped(frames * padded, (x.shape[0], total), 1, n_fft, hop)
    envelope = overlapped((padded * padded).expand(1, count, n_fft), (1, total), 1, n_fft, hop)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - n_fft // 2 if center else total
    y, envelope = y[:, start:end], envelope[:, start:end]
    if envelope.shape[1] and envelope.detach().abs().min().item() < 1e-11:
        raise RuntimeError("window overlap add min: 1")
    y = y / envelope
    if end > total:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail.", stacklevel=2
        )
        y = pad(y, (0, end - total))
    return y.squeeze(0) if input.ndim == 2 else y
