"""From a list of samples to one batch.

Everything here copies with NumPy and runs no kernel, so that worker processes stay free of compiled code and of its threads.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from ..creation import from_numpy
from ..ops import FUNCTIONS
from ..tensor import Tensor, wrap

_NUMBERS = "biufc"  # NumPy's kinds that are numbers: bool, int, unsigned, float, complex


def is_plain(tensor: Tensor) -> bool:
    """True for a tensor that is only its numbers: on the CPU and outside any graph, so that NumPy may copy it."""
    return tensor.device.type == "cpu" and not tensor.requires_grad


def _stack_arrays(arrays: Sequence[np.ndarray]) -> np.ndarray:
    first = arrays[0]
    for i, array in enumerate(arrays):
        if array.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and {list(array.shape)} at entry {i}"
            )
    # One call of concatenate and a reshape cost a third of numpy.stack, which makes a view of every array first.
    joined = np.concatenate(arrays if first.ndim else [array.reshape(1) for array in arrays])
    return joined.reshape(len(arrays), *first.shape)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    dtype = tensors[0].dtype
    if all(isinstance(t, Tensor) and is_plain(t) and t.dtype == dtype for t in tensors):
        return wrap(_stack_arrays([t._data for t in tensors]))
    return FUNCTIONS["stack"](tensors)


def default_collate(batch: Any) -> Any:
    """The samples of ``batch`` with a new first dimension, inside whatever containers they come in.

    Tensors and arrays are stacked, numbers become a tensor (floats float64, ints int64), strings and bytes stay as they are; dicts,
    tuples, named tuples and lists are collated entry by entry.  Raises TypeError for anything else and RuntimeError for samples of
    different sizes.
    """
    sample = batch[0]
    kind = type(sample)
    if isinstance(sample, Tensor):
        return _stack(batch)
    if isinstance(sample, (np.ndarray, np.number, np.bool_)):
        if sample.dtype.kind not in _NUMBERS:
            raise TypeError(_unknown(sample.dtype))
        if sample.ndim:
            return from_numpy(_stack_arrays([np.asarray(item) for item in batch]))
        return from_numpy(np.array(batch))
    if isinstance(sample, float):
        return from_numpy(np.array(batch, dtype=np.float64))
    if isinstance(sample, int):
        values = np.array(batch)
        return from_numpy(values.astype(np.float32) if values.dtype == np.float64 else values)
    if isinstance(sample, (str, bytes)):
        return batch
    if isinstance(sample, Mapping):
        collated = {key: default_collate([item[key] for item in batch]) for key in sample}
        if kind is dict:
            return collated
        try:
            if isinstance(sample, MutableMapping):
                filled = copy(sample)
                filled.update(collated)
                return filled
            return kind(collated)  # type: ignore[call-arg]
        except TypeError:  # the type cannot be built from a mapping
            return collated
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return kind(*map(default_collate, zip(*batch)))
    if isinstance(sample, Sequence):
        if any(len(item) != len(sample) for item in batch):
            sizes = [len(item) for item in batch]
            raise RuntimeError(f"default_collate: each element in list of batch should be of equal size, got {sizes}")
        columns = [default_collate(column) for column in zip(*batch)]
        if isinstance(sample, (tuple, list)):
            return columns
        try:
            return kind(columns)  # type: ignore[call-arg]
        except TypeError:  # the type cannot be built from a list, as range
            return columns
    raise TypeError(_unknown(kind))


def _unknown(what: Any) -> str:
    return f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {what}"


def default_convert(data: Any) -> Any:
    """One sample as it comes out of a loader without batches: arrays become tensors, all else stays what it is."""
    if isinstance(data, (np.ndarray, np.number, np.bool_)):
        return from_numpy(np.array(data)) if data.dtype.kind in _NUMBERS else data
    if isinstance(data, (str, bytes, Tensor)):
        return data
    if isinstance(data, Mapping):
        converted = {key: default_convert(value) for key, value in data.items()}
        try:
            return type(data)(converted)  # type: ignore[call-arg]
        except TypeError:
            return converted
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence):
        try:
            return type(data)([default_convert(item) for item in data])  # type: ignore[call-arg]
        except TypeError:
            return [default_convert(item) for item in data]
    return data
