"""What scripts ask of a tensor about things that there are several kinds of in PyTorch and one here, and the memory under it."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .kernels._device import on_cpu

if TYPE_CHECKING:
    from .tensor import Tensor


def _absent(what: str) -> Any:
    return property(lambda self: False, doc=f"False: there are no {what} here.")


class Facts:
    """The part of Tensor that answers these questions."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    is_meta = _absent("tensors without memory")
    is_quantized = _absent("quantized tensors")
    is_nested = _absent("nested tensors")
    is_sparse_csr = _absent("sparse tensors")
    is_mkldnn = _absent("tensors in oneDNN's layouts")
    is_ipu = is_maia = is_mps = is_mtia = is_vulkan = is_xla = is_xpu = _absent("devices but the CPU and CUDA's")
    name = property(lambda self: None, doc="None: tensors have no names.")

    def is_conj(self) -> bool:
        """False: ``conj`` computes at once."""
        return False

    def is_neg(self) -> bool:
        """False: a negated view is computed at once."""
        return False

    def is_inference(self) -> bool:
        """False: ``inference_mode`` makes tensors as ``no_grad`` does."""
        return False

    def is_distributed(self) -> bool:
        """False: a tensor is in one process."""
        return False

    def is_coalesced(self) -> bool:
        raise RuntimeError("is_coalesced expected sparse coordinate tensor layout but got Strided")

    def sparse_dim(self) -> int:
        """0: all dimensions are dense."""
        return 0

    def dense_dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    def to_dense(self, dtype: Any = None, *, masked_grad: bool | None = None) -> Any:
        """This tensor, or it as ``dtype``."""
        return self if dtype is None else self.to(dtype)

    def dim_order(self) -> tuple[int, ...]:
        """The dimensions from the longest stride to the shortest."""
        strides = self.stride()
        return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))

    # ---- memory ---------------------------------------------------------------------------------------------------------------------

    def const_data_ptr(self) -> int:
        """``data_ptr()``"""
        return self.data_ptr()

    def untyped_storage(self) -> Any:
        """The memory of this tensor and of all views of it, in bytes."""
        from .storage import UntypedStorage

        return UntypedStorage(self)  # type: ignore[arg-type]

    def storage(self) -> Any:
        """The memory of this tensor and of all views of it, in elements of its dtype."""
        from .storage import TypedStorage

        return TypedStorage(self)  # type: ignore[arg-type]

    _typed_storage = storage

    def storage_type(self) -> Any:
        """The class of ``storage()``."""
        from .storage import TypedStorage

        return TypedStorage

    def is_shared(self) -> bool:
        """Whether forked processes see the same memory: after ``share_memory_()``, and on a GPU."""
        if not on_cpu(self._data):
            return True
        holder = self._data
        while isinstance(holder, np.ndarray):
            holder = holder.base
        return isinstance(holder, memoryview) and isinstance(holder.obj, mmap.mmap) or isinstance(holder, mmap.mmap)

    def share_memory_(self) -> Tensor:
        """Move the elements into memory that this process and those it forks from now on share, and return this tensor.

        Raises RuntimeError for a view, whose base it would lose.  Another process that is spawned gets a copy.
        """
        data = self._data
        if not self.is_shared():
            if self._base is not None:
                raise RuntimeError("share_memory_: this is a view; share the tensor that it is a view of, before taking views")
            shared = np.frombuffer(mmap.mmap(-1, max(data.nbytes, 1)), data.dtype, data.size).reshape(data.shape)
            shared[...] = data
            self._data = shared  # type: ignore[misc]  # a slot of Tensor
        return self  # type: ignore[return-value]

    # ---- Python functions on every element ------------------------------------------------------------------------------------------

    def apply_(self, callable: Callable[[Any], Any]) -> Tensor:
        """x ← callable(x) for every element, one call of Python each; for tensors on the CPU.  Not recorded: RuntimeError for one that requires a gradient."""
        return self._replaced("apply_", callable)

    def map_(self, tensor: Any, callable: Callable[[Any, Any], Any]) -> Tensor:
        """x ← callable(x, y) for every element and that of ``tensor``, which broadcasts."""
        return self._replaced("map_", callable, tensor)

    def map2_(self, x: Any, y: Any, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
        """x ← callable(x, y, z) for every element and those of two tensors, which broadcast."""
        return self._replaced("map2_", callable, x, y)

    def _replaced(self, op: str, callable: Callable[..., Any], *others: Any) -> Tensor:
        if any(t.requires_grad for t in (self, *others)):
            raise RuntimeError(f"Can't call {op}() on Variable that requires grad. Use var.detach().{op}() instead.")
        if not on_cpu(self._data):
            raise TypeError(f"{op}() is only implemented for CPU tensors, but this one is on {self.device}")
        columns = [t.expand(self.shape).reshape(-1).tolist() for t in (self, *others)]
        made = list(map(callable, *columns))
        self.copy_(self.new_tensor(made).reshape(self.shape))
        return self  # type: ignore[return-value]

    # ---- other classes --------------------------------------------------------------------------------------------------------------

    def new(self, *args: Any, device: Any = None) -> Any:
        """An older ``new_empty``: ``x.new(2, 3)``, or ``x.new([1, 2])`` with values, in the dtype and on the device of ``x``."""
        return self._construct(*args, dtype=self.dtype, device=self.device if device is None else device)

    def as_subclass(self, cls: Any) -> Any:
        """This tensor as one of ``cls``, a subclass of Tensor: the same elements and the same place in the graph."""
        if not (isinstance(cls, type) and issubclass(cls, Facts)):
            raise RuntimeError(f"cls must be a subclass of Tensor, but got {cls!r}")
        made = self.view_as(self)
        made.__class__ = cls
        return made
