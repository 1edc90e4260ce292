"""The values of a tensor in Python and NumPy: numbers, lists, arrays, DLPack, and what ``bool``, ``len``, ``in`` and loops make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from . import dtypes
from .kernels import copy as copy_kernels
from .kernels._device import on_cpu

if TYPE_CHECKING:
    from .tensor import Tensor


class Values:
    """The part of Tensor that hands its values to Python; ``_data`` holds them."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def item(self) -> Any:
        """The only element, as a Python number.  Raises RuntimeError when there is not exactly one."""
        if self._data.size != 1:
            raise RuntimeError(f"a Tensor with {self._data.size} elements cannot be converted to Scalar")
        return self._numpy_values().item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self._numpy_values().tolist()

    def _numpy_values(self) -> np.ndarray:
        """The values as an array that NumPy can read: from a GPU as a copy, bfloat16 as float32."""
        data = self._data
        if not isinstance(data, np.ndarray):
            data = copy_kernels.transfer(data, "cpu")
        return data if data.dtype.fields is None else copy_kernels.cast(data, dtypes.float32.numpy)

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The array itself, sharing memory; with ``force``, whatever it takes: ``tensor.detach().cpu()``'s.

        Raises RuntimeError for a tensor that requires a gradient, TypeError for one on a GPU, both unless ``force``; TypeError for bfloat16.
        """
        if self.requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        if on_cpu(self._data):
            return self._data
        if force:
            return copy_kernels.transfer(self._data, "cpu")
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        data = self.numpy()
        if dtype is not None and np.dtype(dtype) != data.dtype:
            return data.astype(dtype)
        return data.copy() if copy else data

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.numpy().__array_interface__

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """How other libraries find the memory of a tensor on a GPU, without a copy."""
        if on_cpu(self._data):  # no AttributeError, and ``hasattr`` would be True of every tensor
            raise AttributeError(
                f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} "
                "If CUDA data is required use tensor.cuda() to copy tensor to device memory."
            )
        if self.requires_grad:
            raise RuntimeError(
                "Can't get __cuda_array_interface__ on Variable that requires grad. "
                "If gradients aren't required, use var.detach() to get Variable that doesn't require grad."
            )
        return self._data.__cuda_array_interface__

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self._data.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions of the Python array API standard for tensors.  Raises ValueError for a version other than its own or an older one."""
        from . import array_api

        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"__array_namespace__: api_version must be '2024.12' or older, but got {api_version!r}")
        return array_api

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor on ``device``: the array API standard's name for ``to``.  ``stream`` must be None."""
        if stream is not None:
            raise ValueError("to_device: stream must be None; use numbagrad.cuda.stream")
        return self.to(device)

    def __bool__(self) -> bool:
        if self._data.size != 1:
            what = "no values" if self._data.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._only())

    def __int__(self) -> int:
        return int(self._only())

    def __complex__(self) -> complex:
        return complex(self._only())

    def _only(self) -> Any:
        if self._data.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __index__(self) -> int:
        value = self.item() if self._data.size == 1 else None
        if not isinstance(value, int):
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(value)

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Values, int, float, complex, bool)):
            equal: Any = self == element
            return bool(equal.any())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")
