"""The graph under construction: which tensor has which name, the nodes, and the constants they read.

Entries (see ``_table``) write nodes with ``Graph.op``; tensors, Python numbers and NumPy arrays may stand as inputs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Sequence

import numpy as np

from .. import dtypes
from ..tensor import Tensor


class OnnxExporterError(RuntimeError):
    """A model could not be exported."""


class UnsupportedOperatorError(OnnxExporterError):
    """An operation, or one of its arguments, that has no form in ONNX here."""


@dataclass
class Node:
    """A node of the graph.  ``reshapes``: of a Reshape, the shape of its input, which tells what its target stands for."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    reshapes: tuple[int, ...] | None = None


@dataclass
class Value:
    """What a tensor is called, as long as nothing changes it in place.  The tensor is held: its identity must not be used again."""

    tensor: Tensor
    name: str
    version: int
    dependent: bool


@dataclass
class Graph:
    """``known``: tensors that hold no computed value of this graph: parameters and what else was there before, by identity."""

    known: dict[int, Tensor]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)
    frozen: dict[int, str] = field(default_factory=dict)  # the names of a call's arguments before it changed any of them
    within: list[str] = field(default_factory=list)  # the functions without an entry that are running
    ends: list[str] = field(default_factory=list)  # the names of the results
    _numbers: Any = field(default_factory=itertools.count)
    _same: dict[Any, str] = field(default_factory=dict)

    # ---- names ----------------------------------------------------------------------------------------------------------------------

    def bind(self, tensor: Tensor, name: str, dependent: bool = True) -> None:
        """Let ``tensor`` be called ``name``."""
        self.values[id(tensor)] = Value(tensor, name, tensor._version, dependent)

    def depends(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` depends on the inputs.  Raises UnsupportedOperatorError if nobody saw where it comes from."""
        value = self.values.get(id(tensor))
        if value is not None:
            return value.dependent
        if id(tensor) not in self.known:
            made = f" by {tensor.grad_fn.name()}" if tensor.grad_fn is not None else ""
            inside = f"; it comes from within {self.within[-1]}, which has no ONNX entry" if self.within else ""
            raise UnsupportedOperatorError(
                f"onnx.export: a tensor of shape {list(tensor.shape)} was made{made} in an operation that could not be recorded{inside}. Call it as "
                "a function of numbagrad or nn.functional, or as a method of the tensor"
            )
        return False

    def name(self, tensor: Tensor) -> str:
        """What ``tensor`` is called; a constant is taken into the graph when first asked for."""
        if id(tensor) in self.frozen:
            return self.frozen[id(tensor)]
        dependent = self.depends(tensor)
        value = self.values.get(id(tensor))
        if value is not None and value.version != tensor._version:
            if dependent:
                raise UnsupportedOperatorError(
                    f"onnx.export: the tensor of shape {list(tensor.shape)} called '{value.name}' was changed in place, through a view of it or by "
                    "an operation without an ONNX entry; write it out of place"
                )
            value = None
        if value is None:
            self.bind(tensor, self.constant(array_of(tensor)), dependent=False)
        return self.values[id(tensor)].name

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        return f"{stem}_{next(self._numbers)}"

    def constant(self, array: np.ndarray) -> str:
        """An initializer with the values of ``array``; equal small ones are shared."""
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 else None
        if key is not None and key in self._same:
            return self._same[key]
        name = self.fresh("constant")
        self.constants[name] = array.copy()
        if key is not None:
            self._same[key] = name
        return name

    # ---- nodes ----------------------------------------------------------------------------------------------------------------------

    def op(self, operator: str, *inputs: Any, outputs: int = 1, reshapes: Any = None, **attributes: Any) -> Any:
        """Add a node and return the name of its output, or the names if it has several.

        ``inputs``: tensors, names, arrays, numbers or lists of whole numbers (int64), None for one that is left out.  Attributes that are None are
        left out too.
        """
        names = [self._input(x) for x in inputs]
        while names and not names[-1]:
            names.pop()
        made = [self.fresh(operator.lower()) for _ in range(outputs)]
        self.nodes.append(Node(operator, names, made, {k: v for k, v in attributes.items() if v is not None}, reshapes))
        return made[0] if outputs == 1 else tuple(made)

    def _input(self, x: Any) -> str:
        if x is None:
            return ""
        if isinstance(x, str):
            return x
        if isinstance(x, Tensor):
            return self.name(x)
        return self.constant(x if isinstance(x, np.ndarray) else np.asarray(x, np.int64))

    def cast(self, x: Any, dtype: dtypes.dtype) -> Any:
        """``x``, a tensor or a number, as an operand of type ``dtype``."""
        if not isinstance(x, Tensor):
            return np.asarray(x, dtype.numpy)
        return x if x.dtype is dtype else self.op("Cast", x, to=onnx_type(dtype))

    def reshape(self, x: Any, before: Sequence[int], shape: Sequence[int]) -> str:
        """``x``, of shape ``before``, in another shape.  The target is kept apart, so that dynamic axes can be told by comparing two."""
        name = self.fresh("shape")
        self.constants[name] = np.asarray(shape, np.int64)
        return self.op("Reshape", x, name, reshapes=tuple(before))


def array_of(tensor: Tensor) -> np.ndarray:
    """The values of a constant."""
    onnx_type(tensor.dtype)
    return np.ascontiguousarray(tensor._numpy_values()).reshape(tuple(tensor.shape))


def onnx_type(dtype: dtypes.dtype) -> int:
    """ONNX's number of ``dtype``.  Raises UnsupportedOperatorError for bfloat16, which NumPy does not have."""
    from onnx import helper

    if dtype is dtypes.bfloat16:
        raise UnsupportedOperatorError("onnx.export: tensors of bfloat16 are not exported; convert the model, as by model.float()")
    return helper.np_dtype_to_tensor_dtype(dtype.numpy)


# ---- dynamic axes ------------------------------------------------------------------------------------------------------------------------


def reconcile(graph: Graph, other: Graph, names: str) -> None:
    """Make ``graph`` hold for other sizes of the dynamic axes, given the same model recorded with other sizes.

    What differs between the two is what depends on the sizes.  The target of a Reshape may: 0 copies the input's size there, one size is left to be
    computed (−1).  Anything else would be right for one size only, and is an error.
    """
    if [n.operator for n in graph.nodes] != [n.operator for n in other.nodes]:
        raise OnnxExporterError(f"onnx.export: the operations that the model runs depend on the size of a dynamic axis ({names})")
    for node, twin in zip(graph.nodes, other.nodes):
        here, there = ([g.constants.get(name) for name in n.inputs] for g, n in ((graph, node), (other, twin)))
        if node.reshapes is not None and twin.reshapes is not None:
            graph.constants[node.inputs[1]] = _target(node, twin, here[1], there[1], names)
            here, there = here[:1], there[:1]
        if node.attributes != twin.attributes or [_contents(a) for a in here] != [_contents(b) for b in there]:
            raise OnnxExporterError(
                f"onnx.export: the size of a dynamic axis ({names}) goes into {node.operator} as a number, which would be right for this size only"
            )


def _contents(array: np.ndarray | None) -> Any:
    """What two equal constants have in common; None for what is computed."""
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def _target(node: Node, twin: Node, here: Any, there: Any, names: str) -> np.ndarray:
    """The target of a Reshape that holds for both sizes."""
    target = []
    for i, (a, b) in enumerate(zip(here.tolist(), there.tolist(), strict=True)):
        copied = i < len(node.reshapes or ()) and (node.reshapes[i], twin.reshapes[i]) == (a, b)  # type: ignore[index]
        target.append(a if a == b else 0 if copied else -1)
    if target.count(-1) > 1:
        raise OnnxExporterError(f"onnx.export: more than one size of a Reshape to {here.tolist()} depends on the dynamic axes ({names})")
    return np.asarray(target, np.int64)
