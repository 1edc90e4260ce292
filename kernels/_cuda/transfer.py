"""Copies of whole contiguous arrays, in whatever direction: host to device, device to host, within a device, between two.

They are ordered on the current stream, as kernels are.  A copy from or to ordinary host memory is done when the function returns.  One from or
to pinned memory may be left to the stream (``non_blocking``): then the host's side is neither to be changed nor read before the stream has got there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import devices, pinned, streams
from .array import CudaArray, empty
from .driver import load


def copy(dst: Any, src: Any, non_blocking: bool = False) -> None:
    """dst[...] = src, two contiguous arrays of one size in bytes, at least one of them on a device."""
    if not src.nbytes:
        return
    if isinstance(dst, np.ndarray):
        _to_host(dst, src, non_blocking)
    elif isinstance(src, np.ndarray):
        _from_host(dst, src, non_blocking)
    elif dst.device_index == src.device_index:
        with devices.guard(dst.device_index):
            load().MemcpyDtoDAsync(dst.pointer, src.pointer, src.nbytes, streams.current_handle(dst.device_index))
    else:
        _between(dst, src)


def to_host(src: CudaArray, non_blocking: bool = False) -> np.ndarray:
    """A contiguous array on a device as a NumPy array: in pinned memory, and not there before the stream is, if ``non_blocking``."""
    if non_blocking:
        out = pinned_empty(src.shape, src.dtype)
    else:
        out = np.empty(src.shape, src.dtype)
    copy(out, src, non_blocking)
    return out


def to_device(src: Any, device: int, non_blocking: bool = False) -> CudaArray:
    """A contiguous array, of NumPy or on another device, on ``device``."""
    out = empty(src.shape, src.dtype, device)
    copy(out, src, non_blocking)
    return out


def pinned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised NumPy array in page-locked memory."""
    out = np.empty(shape, dtype)  # for its size, and all there is of an empty one
    return out if not out.nbytes else pinned.pinned(out.nbytes)[: out.nbytes].view(dtype).reshape(shape)


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def _from_host(dst: CudaArray, src: np.ndarray, non_blocking: bool) -> None:
    stream = streams.current_stream(dst.device_index)
    with devices.guard(dst.device_index):
        load().MemcpyHtoDAsync(dst.pointer, _address(src), src.nbytes, stream.handle)
        _settle(src, stream, non_blocking)


def _to_host(dst: np.ndarray, src: CudaArray, non_blocking: bool) -> None:
    stream = streams.current_stream(src.device_index)
    with devices.guard(src.device_index):
        load().MemcpyDtoHAsync(_address(dst), src.pointer, src.nbytes, stream.handle)
        _settle(dst, stream, non_blocking)


def _settle(host: np.ndarray, stream: Any, non_blocking: bool) -> None:
    """Wait for a copy from or to ``host``, or see to it that its memory is not handed out again before the copy is done."""
    if non_blocking and pinned.is_pinned(host):
        pinned.record_pinned(host, stream)
    else:
        stream.synchronize()


def _between(dst: CudaArray, src: CudaArray) -> None:
    """On the current stream of the source's device, which waits for that of the destination's, and is waited for."""
    here, there = streams.current_stream(src.device_index), streams.current_stream(dst.device_index)
    contexts = devices.context(dst.device_index), devices.context(src.device_index)
    here.wait_stream(there)
    with devices.guard(src.device_index):
        load().MemcpyPeerAsync(dst.pointer, contexts[0], src.pointer, contexts[1], src.nbytes, here.handle)
    there.wait_stream(here)
