"""Views in place: ``t_``, ``unsqueeze_`` and their kin give a tensor another shape over the same elements; ``resize_`` another number of them."""

from __future__ import annotations

import math
from typing import Any, Callable

from ..autograd.mode import state
from ..kernels import copy as copy_kernels
from ..kernels.copy.strided import reaching
from ..kernels.index.strided import Strides
from ..layouts import order_of, strides_in
from ..tensor import Tensor
from . import strided, views
from ._attach import public


def _in_place(name: str, view: Callable[..., Tensor]) -> None:
    def changed(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become(self, view, args, kwargs)

    changed.__name__ = changed.__qualname__ = name
    changed.__doc__ = f"``{name.removesuffix('_')}`` in place: the same elements, under the view's shape and strides.  RuntimeError for a leaf in a graph."
    public(changed, name=name, function=name == "as_strided_")


def become(tensor: Tensor, view: Callable[..., Tensor], args: Any, kwargs: Any) -> Tensor:
    """``tensor`` as ``view`` of what it was: that goes on, nameless, as the base that the view is of."""
    if state.recording and tensor._node is None and tensor._requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    before = _stand_in(tensor)
    seen = view(before, *args, **kwargs)
    tensor._data = seen._data
    if seen is not before and not tensor._requires_grad:
        tensor._node, tensor._index = seen._node, seen._index
        tensor._base, tensor._replay, tensor._seen = seen._base, seen._replay, seen._seen
    tensor._bump()
    return tensor


def _stand_in(tensor: Tensor) -> Tensor:
    """Another tensor in ``tensor``'s place in the graph."""
    other = tensor._alias()
    other._node, other._index = tensor.grad_fn, tensor._index
    other._base, other._replay = tensor._base, tensor._replay
    other._seen, other._rebased = tensor._seen, tensor._rebased
    return other


for _name, _view in (
    ("squeeze_", views.squeeze), ("unsqueeze_", views.unsqueeze), ("transpose_", views.transpose), ("swapaxes_", views.transpose),
    ("swapdims_", views.transpose), ("t_", views.t), ("as_strided_", strided.as_strided),
):  # fmt: skip
    _in_place(_name, _view)


# ---- another number of elements --------------------------------------------------------------------------------------------------------


@public(function=False)
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Another size: the first elements of the storage, row-major, which is enlarged by uninitialised ones where they are too few.

    A storage that has to be enlarged is this tensor's alone afterwards.  Raises RuntimeError for a tensor that requires a gradient.
    """
    shape = views.sizes_of(sizes, "resize_")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    order = order_of(memory_format, len(shape), "resize_")
    if tuple(self.shape) == shape and order is None:
        return self
    place = Strides.row_major(shape) if order is None else Strides(shape, strides_in(shape, order), 0)
    needed, held = math.prod(shape), strided.held(self) - self.storage_offset()
    if needed <= held:
        if self._base is None:
            self._base = _stand_in(self)  # what is not shown is kept
        self._data = reaching(self._data, shape, place.strides, 0)
    else:
        memory = copy_kernels.empty((needed,), self._data.dtype, str(self.device))
        copy_kernels.copy_into(memory[:held], reaching(self._data, (held,), (1,), 0))
        self._data = reaching(memory, shape, place.strides, 0)
        self._base = self._replay = None
    self._bump()
    return self


@public
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """``resize_(the_template.shape)``"""
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


@public(function=False)
def set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """Let this tensor show the elements of ``source``: the same storage, shape and strides; without ``source``, none.

    Raises RuntimeError for another dtype or device, and for a tensor that requires a gradient while a graph is recorded.
    """
    if source is None:
        source = self.new_empty((0,))  # type: ignore[attr-defined]
    if not isinstance(source, Tensor):
        raise TypeError(f"set_(): argument 'source' must be Tensor, not {type(source).__name__}")
    if source.dtype is not self.dtype or source.device != self.device:
        raise RuntimeError(
            f"set_: expected a source of dtype {self.dtype} on {self.device}, but got one of {source.dtype} on {source.device}"
        )
    if state.recording and self.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    self._data, self._counter = source._data, source._shared_counter()
    self._base, self._replay = source if source._base is None else source._base, None
    self._bump()
    return self


@public
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input.shape == other.shape


@public(function=False)
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both show the same elements: the same memory, shape and strides."""
    return self.data_ptr() == tensor.data_ptr() and self.shape == tensor.shape and self.stride() == tensor.stride()
