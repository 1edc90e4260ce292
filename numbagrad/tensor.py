"""Tensor: an array with a place in the graph.

``_data`` holds the array (shape, strides, storage); ``_node`` and ``_index`` say which operation made the tensor; a leaf that wants a gradient
has ``_requires_grad``.  A view shares its base's storage and version counter, and remembers how it was made (``_replay``), so that an
in-place change of either is seen by the other's gradient.  The operations themselves (arithmetic, reductions, indexing, ...) are declared in
``ops`` and attached to the class there: one declaration serves as function, method and operator.
"""

from __future__ import annotations

import copy
import sys
import weakref
from collections import OrderedDict
from typing import Any, Callable

import numpy as np

from . import dtypes, layouts
from ._declared import Operations
from ._facts import Facts
from ._values import Values
from .autograd import graph
from .autograd.node import RemovableHandle
from .devices import as_device, cpu, device, of_array
from .kernels import copy as copy_kernels
from .kernels._device import device_of, on_cpu
from .size import Size, dimension

_new = object.__new__
# What the slots of a new tensor hold: a leaf that requires no gradient.
NEW = {"_node": None, "_requires_grad": False, "_base": None, "_index": 0, "_counter": None}


def wrap(data: Any) -> Tensor:
    """A tensor over an array: no copy, no graph."""
    tensor = _new(Tensor)
    tensor._data = data
    tensor._node = None
    tensor._requires_grad = False
    tensor._base = None
    tensor._index = 0
    tensor._counter = None
    return tensor


def saved_version(tensor: Tensor) -> int:
    """How often the storage of ``tensor`` has been changed in place."""
    counter = tensor._counter
    return 0 if counter is None else counter[0]


class Tensor(Values, Facts, Operations):
    """A multi-dimensional array of one dtype on one device, that records what is computed from it."""

    # What every operation looks at stands in slots, whose places compiled code knows; see ``ops._elementwise``.
    __slots__ = ("_data", "_node", "_requires_grad", "_base", "_index", "_counter", "__dict__", "__weakref__")
    _data: Any
    _node: Any
    _index: int
    _requires_grad: bool
    _counter: list[int] | None  # shared by all views of one storage
    _base: Tensor | None
    _grad: Tensor | None = None
    _replay: Callable[[Tensor], Tensor] | None = None
    _rebased: int = 0  # of a base: how often its history was replaced by an in-place change
    _seen: int = 0  # of a view: the base's _rebased that its own history reflects
    _hooks: Any = None
    _post_hooks: Any = None
    _retains: bool = False
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        tensor = _new(cls)
        tensor._node = tensor._base = tensor._counter = None
        tensor._requires_grad = False
        tensor._index = 0
        return tensor

    def __init__(self, *args: Any, dtype: Any = None, device: Any = None):
        """``Tensor(2, 3)``: uninitialised of that shape; ``Tensor([1., 2.])``: the values, in the default dtype.  Prefer ``numbagrad.tensor``."""
        made = self._construct(*args, dtype=dtype, device=device)
        self._data = made._data

    _construct: Callable[..., Tensor]  # set by creation, which lies above this module

    # ---- what it is ---------------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._data.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of dimension ``dim``."""
        return Size(self._data.shape) if dim is None else self._data.shape[self._dim(dim)]

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours, in elements."""
        itemsize = self._data.dtype.itemsize
        steps = tuple(s // itemsize for s in self._data.strides)
        return steps if dim is None else steps[self._dim(dim)]

    def _dim(self, dim: int) -> int:
        return dimension(dim, self._data.ndim)

    @property
    def ndim(self) -> int:
        return self._data.ndim

    def dim(self) -> int:
        return self._data.ndim

    ndimension = dim

    def numel(self) -> int:
        return self._data.size

    nelement = numel

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.of(self._data.dtype)

    @property
    def device(self) -> device:
        data = self._data
        return cpu if isinstance(data, np.ndarray) else of_array(data)

    @property
    def itemsize(self) -> int:
        return self._data.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def element_size(self) -> int:
        return self._data.dtype.itemsize

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def is_contiguous(self, memory_format: layouts.memory_format = layouts.contiguous_format) -> bool:
        """Whether the elements lie in memory without gaps, row-major or in the order ``memory_format``."""
        if memory_format is layouts.contiguous_format:
            return self._data.flags.c_contiguous
        data = self._data
        try:
            order = layouts.order_of(memory_format, data.ndim, "is_contiguous")
        except RuntimeError:  # an order of other than so many dimensions
            return False
        return order is not None and layouts.lies_in(data.shape, data.strides, data.dtype.itemsize, order)

    def data_ptr(self) -> int:
        """The address of the first element."""
        data = self._data
        return data.__array_interface__["data"][0] if on_cpu(data) else data.pointer

    def storage_offset(self) -> int:
        """How far into its storage the first element stands, in elements."""
        root = self._base
        return 0 if root is None else (self.data_ptr() - root.data_ptr()) // self.itemsize

    @property
    def is_cuda(self) -> bool:
        return not on_cpu(self._data)

    @property
    def is_cpu(self) -> bool:
        return on_cpu(self._data)

    @property
    def is_sparse(self) -> bool:
        return False

    @property
    def layout(self) -> layouts.layout:
        return layouts.strided

    def get_device(self) -> int:
        """The index of the GPU that holds the elements; -1 for the CPU."""
        return -1 if on_cpu(self._data) else self._data.device_index

    # ---- its place in the graph ---------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        if self._node is not None or self._requires_grad:
            return True
        if self._base is not None:
            self._refresh()
            return self._node is not None
        return False

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if type(value) is not bool:
            raise RuntimeError(f"requires_grad must be a bool, not {type(value).__name__}")
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make this leaf accumulate a gradient (or not).  Raises RuntimeError for integers, and for turning it off on a non-leaf."""
        if self._node is not None:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't "
                    "require differentiation use var_no_grad = var.detach()."
                )
            return self
        if requires_grad and not (self.is_floating_point() or self.is_complex()):
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Any:
        if self._base is not None:
            self._refresh()
        return self._node

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated so far, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._data.shape != self._data.shape:
                raise RuntimeError(f"assigned grad has data of a different size: expected {list(self.shape)}, but got {list(value.shape)}")
            if value._data.dtype != self._data.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: expected {self.dtype}, but got {value.dtype}")
            if device_of(value._data) != device_of(self._data):
                raise RuntimeError(f"assigned grad has data located on a different device: expected {self.device}, but got {value.device}")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def output_nr(self) -> int:
        return self._index

    @property
    def _version(self) -> int:
        return saved_version(self)

    def _bump(self) -> None:
        """Note that the storage was changed in place."""
        if self._counter is None:
            self._counter = [1]
        else:
            self._counter[0] += 1

    def _shared_counter(self) -> list[int]:
        if self._counter is None:
            self._counter = [0]
        return self._counter

    def _refresh(self) -> None:
        """Bring the history of a view up to date after its base was changed in place."""
        base = self._base
        if base is not None and base._rebased != self._seen and self._replay is not None:
            with_history = self._replay(base)
            self._node, self._index = with_history._node, with_history._index
            self._seen = base._rebased
            self._follow_history()

    def _alias(self) -> Tensor:
        """The same storage, without history."""
        tensor = wrap(self._data)
        tensor._counter = self._shared_counter()
        return tensor

    def detach(self) -> Tensor:
        """The same storage, outside the graph."""
        return self._alias()

    def detach_(self) -> Tensor:
        """Leave the graph."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._index, self._requires_grad = None, 0, False
        return self

    @property
    def data(self) -> Tensor:
        """The same storage, outside the graph and with a version counter of its own: changes through it go unnoticed by autograd."""
        return wrap(self._data)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._data = value._data
        self._base = self._replay = None

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add the gradient of this tensor (weighted by ``gradient`` if it is not a scalar) to ``.grad`` of every leaf it depends on."""
        if gradient is None and inputs is None:  # the usual case, without the detours of the others
            retain = create_graph if retain_graph is None else retain_graph
            graph.walk([graph.root(self, None, "backward")], retain, create_graph)
        else:
            graph.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` whenever the gradient of this tensor is computed; a tensor it returns takes the gradient's place."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node = self.grad_fn
        if node is None:
            if self._hooks is None:
                self._hooks = OrderedDict()
            return RemovableHandle(self._hooks, hook)
        if node.tensor_hooks is None:
            node.hooked, node.tensor_hooks = True, {}
        return RemovableHandle(node.tensor_hooks.setdefault(self._index, OrderedDict()), hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` after a gradient was added to this leaf's ``.grad``."""
        if not self.is_leaf or not self._requires_grad:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._post_hooks is None:
            self._post_hooks = OrderedDict()
        return RemovableHandle(self._post_hooks, hook)

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this non-leaf too."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.is_leaf or self._retains:
            return
        self._retains = True
        self._follow_history()

    def _follow_history(self) -> None:
        """Let the node that this tensor comes from now keep its gradient, if it is to be kept: after ``retain_grad`` and in-place changes."""
        node = self._node
        if self._retains and node is not None:
            node.hooked, node.retaining = True, [*(node.retaining or ()), weakref.ref(self)]

    def _retain(self, grad: Tensor) -> None:
        """Keep ``grad``, which the walk goes on with."""
        self._grad = grad.clone() if self._grad is None else self._grad + grad  # type: ignore[attr-defined, operator]

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def _accumulate(self, grad: Tensor, create_graph: bool) -> None:
        """Add ``grad`` to ``.grad``.  A first gradient is taken over without a copy if nothing else can refer to its storage.

        As in PyTorch ``.grad`` lies in memory as the tensor does, so that ``p.grad.view(-1)`` is possible wherever ``p.view(-1)`` is.
        """
        if self._grad is None:
            if not create_graph:
                self._grad = grad._own(self)
            elif self._data.flags.c_contiguous and not grad._data.flags.c_contiguous:
                self._grad = grad.contiguous()  # type: ignore[attr-defined]
            else:
                self._grad = grad.clone()  # type: ignore[attr-defined]
        elif create_graph:
            self._grad = self._grad + grad
        else:
            self._grad.add_(grad)  # type: ignore[attr-defined]  # nothing is recorded here
        if self._post_hooks:
            for hook in list(self._post_hooks.values()):
                hook(self)

    def _ones(self) -> Tensor:
        """Ones like this tensor: what a gradient starts with."""
        data = self._data
        if type(data) is not np.ndarray or data.dtype.kind not in "fc":
            return self.detach().new_ones(self.shape)  # type: ignore[attr-defined]
        ones = np.empty(data.shape, data.dtype)
        ones.fill(1)
        return wrap(ones)

    def _own(self, leaf: Tensor) -> Tensor:
        """This tensor if it alone holds its storage and lies as ``leaf`` does, but without gaps; else a copy that does."""
        alone = self._base is None and self._node is None and sys.getrefcount(self) <= _sole_references
        if alone and self._data.flags.c_contiguous and leaf._data.flags.c_contiguous:
            return self
        data = copy_kernels.empty_like(leaf._data)
        if alone and data.strides == self._data.strides:
            return self
        copy_kernels.copy_into(data, self._data)
        return wrap(data)

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0 and type(self) is Tensor:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
                "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage"
            )
        if id(self) in memo:
            return memo[id(self)]
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made._data = self._data.copy(order="K") if on_cpu(self._data) else copy_kernels.clone(self._data)
        made._requires_grad = self._requires_grad
        for name, value in self.__dict__.items():
            if (name == "_grad" and not isinstance(self, Parameter)) or not name.startswith("_"):  # copies of parameters start without
                made.__dict__[name] = copy.deepcopy(value, memo)
        return made

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be pickled: call detach() first")
        if on_cpu(self._data):
            return _rebuild, (type(self), self._data.copy(order="K"), self._requires_grad)
        return _rebuild, (type(self), copy_kernels.transfer(self._data, "cpu"), self._requires_grad, str(self.device))


def _rebuild(kind: type[Tensor], data: np.ndarray, requires_grad: bool, place: str | None = None) -> Tensor:
    tensor = kind.__new__(kind)
    tensor._data = data if place is None else copy_kernels.transfer(data, str(as_device(place, "unpickling a tensor")))
    tensor._requires_grad = requires_grad
    return tensor


class _Probe(graph.Node):
    """A node that makes a fresh gradient: what ``_measure_sole_references`` walks."""

    def backward(self, grads: list[Any]) -> list[Any]:
        return [_ProbeGradient.__new__(_ProbeGradient)]


class _ProbeGradient(Tensor):
    _data = np.ones(1, np.float32)

    def _own(self, leaf: Tensor) -> Tensor:
        global _sole_references
        _sole_references = sys.getrefcount(self)
        return self


def _measure_sole_references() -> None:
    """How many references ``_own`` sees to a gradient that the walk alone holds: it depends on the Python version, so it is measured."""
    leaf = wrap(np.ones(1, np.float32))
    leaf._requires_grad = True
    probe = _Probe([(leaf, 0)], [((1,), np.dtype(np.float32))])
    graph.walk([((probe, 0), wrap(np.ones(1, np.float32)))], False, False)


_sole_references = 0
_measure_sole_references()


class Parameter(Tensor):
    """A tensor that is a module's parameter: a leaf that requires a gradient."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        tensor = super().__new__(cls)
        if data is not None and not isinstance(data, Tensor):
            raise TypeError(f"Parameter: the data must be a Tensor, not {type(data).__name__}")
        if data is None:
            data = wrap(np.empty(0, dtypes.get_default_dtype().numpy))
        tensor._data = data._data
        tensor._counter = data._shared_counter()
        tensor._requires_grad = requires_grad
        return tensor

    def __init__(self, data: Any = None, requires_grad: bool = True):
        """``Parameter(tensor)``: the same storage as a parameter."""
        if requires_grad and not (self.is_floating_point() or self.is_complex()):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    __str__ = __repr__
    __hash__ = object.__hash__
