"""The memory under a tensor: ``tensor.untyped_storage()`` in bytes, ``tensor.storage()`` in elements.

All views of one tensor have the same storage: the same ``data_ptr()``.  A storage here is a look at that memory through a tensor, which it keeps alive.
"""

from __future__ import annotations

from typing import Any, Iterator

from . import dtypes
from .tensor import Tensor


class _Storage:
    """What both kinds share.  ``_elements`` is a vector over all of the memory."""

    def __init__(self, tensor: Tensor):
        self._root = (tensor if tensor._base is None else tensor._base).detach()
        self._elements = self._seen(tensor.dtype)

    def _seen(self, dtype: Any) -> Tensor:
        """The memory as elements of ``dtype``."""
        from .ops.strided import held

        size = held(self._root)
        return self._root.as_strided((size,), (1,), 0).view(dtype) if size else self._root.new_empty((0,), dtype=dtype)  # type: ignore[attr-defined]

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return self._elements.data_ptr()

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._elements.nbytes

    def size(self) -> int:
        """How many entries there are: bytes of an untyped storage, elements of a typed one."""
        return self._elements.numel()

    def __len__(self) -> int:
        return self.size()

    def element_size(self) -> int:
        """The bytes of an entry."""
        return self._elements.itemsize

    @property
    def device(self) -> Any:
        return self._elements.device

    @property
    def is_cuda(self) -> bool:
        return self._elements.is_cuda

    def is_shared(self) -> bool:
        """Whether processes that are forked see the same memory; see ``Tensor.share_memory_``."""
        return self._root.is_shared()

    def tolist(self) -> list[Any]:
        """The entries as Python numbers."""
        return self._elements.tolist()

    def fill_(self, value: Any) -> Any:
        """Set every entry to ``value``."""
        self._elements.fill_(value)  # type: ignore[attr-defined]
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Copy the entries of another storage of the same size."""
        self._elements.copy_(source._elements, non_blocking)  # type: ignore[attr-defined]
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise TypeError(f"{type(self).__name__}: slices are not supported, take tensor[...] instead")
        return self._elements[_place(index, self.size())].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[index if isinstance(index, slice) else _place(index, self.size())] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.data_ptr() == self.data_ptr() and other.nbytes() == self.nbytes()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((self.data_ptr(), self.nbytes()))


def _place(index: Any, size: int) -> int:
    if not hasattr(index, "__index__"):
        raise TypeError(f"can't index a storage with {type(index).__name__}")
    place = index.__index__()
    if not -size <= place < size:
        raise IndexError(f"index {place} out of range for storage of size {size}")
    return place % size


class UntypedStorage(_Storage):
    """The memory of a tensor in bytes."""

    def _seen(self, dtype: Any) -> Tensor:
        return super()._seen(dtypes.uint8)

    def __repr__(self) -> str:
        return f"{self.tolist() if self.size() <= 64 else '...'}\n[numbagrad.storage.UntypedStorage(device={self.device}) of size {self.size()}]"


class TypedStorage(_Storage):
    """The memory of a tensor in elements of its dtype."""

    @property
    def dtype(self) -> Any:
        return self._elements.dtype

    def untyped(self) -> UntypedStorage:
        """The same memory in bytes."""
        return UntypedStorage(self._elements)

    def __repr__(self) -> str:
        values = self.tolist() if self.size() <= 64 else "..."
        return f"{values}\n[numbagrad.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"


def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, _Storage)
