"""Changing a tensor in place, with the graph kept right.

The history of the changed tensor becomes that of the value written.  When it is a view, the history of its base becomes a ``CopySlices``
of the base's old history and the written value, and every other view of that base takes its history from the base anew when it is next
asked for it.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from ..autograd.mode import state
from ..autograd.node import Node, edge_of
from ..kernels._device import device_of
from ..kernels.copy import copy_into
from ..kernels.copy.strided import may_overlap_itself, with_strides
from ..tensor import Tensor
from ._operation import differentiable
from ._view import PartsNode, ViewNode

# A copy with the given strides, in elements, under which none may share a place.
relaid = differentiable("clone", lambda x, strides: with_strides(x, strides), x=lambda g: g)


class CopySlices(Node):
    """``base`` with a part of it overwritten: the gradient outside the part goes to the old base, inside it to the written value."""

    def __init__(self, base: Tensor, written: Tensor, replay: Any):
        super().__init__([edge_of(base), edge_of(written)], [(base._data.shape, base._data.dtype)])
        self.replay = replay
        self.strides = base._data.strides
        self.overlaps = not base._data.flags.c_contiguous and may_overlap_itself(base._data.shape, self.strides)

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        grad = grads[0]
        outside = inside = None
        ours = grad._data.strides != self.strides and not self.overlaps
        if ours:  # a view by strides means those of the base
            grad = relaid(grad, tuple([step // grad.itemsize for step in self.strides]))
        if self.edges[1] is not None:
            inside = self.replay(grad).clone()
        if self.edges[0] is not None:
            outside = grad if ours else grad.clone()
            part = self.replay(outside)
            if state.recording:
                part.mul_(0)  # recorded, so that a second derivative sees the part as constant zero
            else:
                part.zero_()
        return [outside, inside]


class Overwrite(Node):
    """``old`` overwritten as a whole by ``written``, which is a leaf or constant: the gradient goes there, and ``old`` has none left."""

    def __init__(self, old: Tensor, written: Tensor):
        super().__init__([edge_of(old), edge_of(written)], [(old._data.shape, old._data.dtype)])

    def name(self) -> str:
        return "CopyBackwards"

    def backward(self, grads: list[Any]) -> Sequence[Any]:
        grad = grads[0]
        return [None if self.edges[0] is None else grad.new_zeros(grad.shape), grad]


def check_writable(tensor: Tensor, op: str, uniform: bool = False) -> None:
    """Raise RuntimeError if writing into ``tensor`` would break the graph (a leaf, or a view of one) or is ambiguous (overlapping elements, unless one
    value goes to all of them: ``uniform``)."""
    if state.recording:
        if tensor._node is None and tensor._requires_grad:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        base = tensor._base
        if base is not None and tensor._replay is not None:
            if base._node is None and base._requires_grad:
                raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
            if tensor._node is None and base._node is not None and base._rebased == tensor._seen:  # its base has a history, it has none
                raise RuntimeError(
                    f"{op}: a view was created in no_grad mode and is being modified inplace with grad mode enabled: it is ambiguous whether the "
                    "change is to be recorded, so it is forbidden. Move both the view and the inplace into the no_grad block, or both out of it."
                )
        node, index = tensor._node, tensor._index
        while type(node) is ViewNode:  # a view of a part is refused as the part is
            node, index = node.edges[0]
        if type(node) is PartsNode and node.guarded:
            raise RuntimeError(
                f"Output {index} of {node.name().removesuffix('Backward0')} is a view and is being modified inplace. This view is the output "
                "of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. "
                "You should replace the inplace operation by an out-of-place one."
            )
    data = tensor._data
    if not uniform and not data.flags.c_contiguous and any(stride == 0 and size > 1 for stride, size in zip(data.strides, data.shape)):
        raise RuntimeError(
            f"{op}: unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def rebase(tensor: Tensor, written: Tensor) -> None:
    """Make the history of ``tensor`` (already overwritten) that of ``written``."""
    base = tensor._base
    if base is not None and tensor._replay is not None:
        base._node, base._index = CopySlices(base, written, tensor._replay), 0
        base._requires_grad = False
        base._rebased += 1
        base._follow_history()
        tensor._refresh()
    else:
        node, index = written._node, written._index
        if node is None:
            node, index = Overwrite(tensor, written), 0
        tensor._node, tensor._index = node, index
        tensor._requires_grad = False
        # Views of this tensor replay from it.
        tensor._rebased += 1
        tensor._follow_history()


def overwrite(tensor: Tensor, value: Tensor, op: str) -> Tensor:
    """``tensor[...] = value`` (broadcast and cast) with its history; the common end of every in-place operation."""
    check_writable(tensor, op)
    recorded = state.recording and (tensor.requires_grad or value.requires_grad)
    if recorded and value.requires_grad and device_of(value._data) != device_of(tensor._data):
        value = value.to(tensor.device)  # type: ignore[attr-defined]  # its gradient comes back the same way
    copy_into(tensor._data, value._data)
    tensor._bump()
    if recorded:
        if value.shape != tensor.shape:
            value = value.expand(tensor.shape)
        if value._data.dtype != tensor._data.dtype:
            value = value.to(tensor.dtype)
        rebase(tensor, value)
    return tensor


def may_overlap(target: Any, other: Any) -> bool:
    """Whether ``other`` shares memory with ``target`` without being the same elements in the same order."""
    if other is target:
        return False
    if isinstance(other, np.ndarray) and isinstance(target, np.ndarray):
        if not np.may_share_memory(target, other):
            return False
        same = other.__array_interface__["data"] == target.__array_interface__["data"]
    elif hasattr(other, "overlaps"):  # of a GPU
        if not other.overlaps(target):
            return False
        same = other.pointer == target.pointer
    else:
        return False
    return not (same and other.strides == target.strides and other.shape == target.shape)
