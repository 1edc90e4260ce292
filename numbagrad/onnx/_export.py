"""``export``: the recorded graph as an ONNX model."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Sequence

from ..autograd.mode import no_grad
from ..nn.modules.module import Module
from ..tensor import Tensor
from ._graph import Graph, OnnxExporterError, array_of, onnx_type, reconcile
from ._record import Recorder, existing, recording, tensors_in

_OLDEST, _DEFAULT = 18, 18


def export(
    model: Any,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Any:
    """Write ``model`` to the file ``f`` (a path or a binary file; None: nowhere) in the ONNX format, and return it as an ``onnx.ModelProto``.

    ``model(*args, **kwargs)`` runs once, in evaluation mode; every tensor in ``args`` and ``kwargs`` is an input of the graph and every tensor in the
    result an output, called ``input_names`` and ``output_names`` in order.  Parameters and buffers are initializers under their names in the state dict.

    ``dynamic_axes``: the axes whose size is left open, as {"name": {axis: "size"}} or {"name": [axis, ...]}.  ``dynamic_shapes`` says the same by
    position: one {axis: "size"} (or None) per input.  The model then runs a second time with larger sizes, which shows where they go.

    Raises UnsupportedOperatorError for an operation without an ONNX entry, OnnxExporterError if a dynamic size ends up as a number in the graph,
    ValueError for arguments that do not fit together, ImportError where the package ``onnx`` is missing.
    """
    _require_onnx()
    args = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    kwargs = dict(kwargs or {})
    inputs = list(tensors_in((args, kwargs)))
    names = list(input_names or ())
    if len(names) > len(inputs):
        raise ValueError(f"onnx.export: number of input names provided ({len(names)}) exceeds number of inputs ({len(inputs)})")
    names += [f"input_{i}" for i in range(len(names), len(inputs))]
    known = existing()
    with _evaluating(model):
        graph, outputs = _run(model, args, kwargs, inputs, names, known)
        ends = list(output_names or ())
        if len(ends) > len(outputs):
            raise ValueError(f"onnx.export: number of output names provided ({len(ends)}) exceeds number of outputs ({len(outputs)})")
        ends += [f"output_{i}" for i in range(len(ends), len(outputs))]
        axes = _axes(dynamic_axes, dynamic_shapes, names, ends, inputs)
        lengths = [tuple(x.shape) for x in outputs]
        longer = lengths
        if any(axes.get(name) for name in names):
            made = {id(x): _longer(x, axes.get(name, {})) for x, name in zip(inputs, names)}
            more_args, more_kwargs = _replaced(args, made), _replaced(kwargs, made)
            known = {**graph.known, **{key: x for key, x in existing().items() if key not in graph.values}}
            other, others = _run(model, more_args, more_kwargs, list(tensors_in((more_args, more_kwargs))), names, known)
            reconcile(graph, other, ", ".join(sorted({size for sizes in axes.values() for size in sizes.values()})))
            longer = [tuple(x.shape) for x in others]
    made_outputs = [(name, x, _open(name, a, b, axes)) for name, x, a, b in zip(ends, outputs, lengths, longer, strict=True)]
    given = [(name, x, axes.get(name, {})) for name, x in zip(names, inputs)]
    proto = _proto(graph, given, made_outputs, _DEFAULT if opset_version is None else opset_version)
    if f is not None:
        _write(proto, f)
    return proto


def _require_onnx() -> None:
    try:
        importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError("numbagrad.onnx.export needs the package onnx: pip install onnx") from error


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Let the model be in evaluation mode here."""
    parts = [(part, part.training) for part in model.modules()] if isinstance(model, Module) else []
    if isinstance(model, Module):
        model.eval()
    try:
        yield
    finally:
        for part, training in parts:
            part.training = training


def _run(
    model: Any, args: Any, kwargs: Any, inputs: list[Tensor], names: list[str], known: dict[int, Tensor]
) -> tuple[Graph, list[Tensor]]:
    """The graph of one run, and the tensors of its result; the names of the graph's outputs are what they are bound to."""
    graph = Graph(known)
    if isinstance(model, Module):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            graph.bind(tensor, name, dependent=False)
            graph.known[id(tensor)] = tensor
    for name, tensor in zip(names, inputs, strict=True):
        graph.bind(tensor, name)
    recorder = Recorder(graph)
    with no_grad(), recording(recorder, model):
        result = model(*args, **kwargs)
    outputs = list(tensors_in(result))
    if not outputs:
        raise OnnxExporterError(f"onnx.export: the model returned no tensor, but {type(result).__name__}")
    graph.ends = [graph.op("Identity", x) for x in outputs]
    return graph, outputs


# ---- dynamic axes ------------------------------------------------------------------------------------------------------------------------


def _axes(dynamic_axes: Any, dynamic_shapes: Any, names: list[str], ends: list[str], inputs: list[Tensor]) -> dict[str, dict[int, str]]:
    """The open axes of each name, with what their sizes are called."""
    if dynamic_axes and dynamic_shapes:
        raise ValueError("onnx.export: give dynamic_axes or dynamic_shapes, not both")
    if dynamic_shapes:
        by_name = isinstance(dynamic_shapes, Mapping)
        if not by_name and len(dynamic_shapes) != len(names):
            raise ValueError(f"onnx.export: dynamic_shapes has {len(dynamic_shapes)} entries for {len(names)} inputs")
        dynamic_axes = dynamic_shapes if by_name else dict(zip(names, dynamic_shapes))
    found = {}
    for name, axes in (dynamic_axes or {}).items():
        if name not in names and name not in ends:
            raise ValueError(f"onnx.export: dynamic axes are given for {name!r}, which is no input or output; these are {[*names, *ends]}")
        axes = axes or {}
        axes = {axis: f"{name}_dynamic_axes_{k + 1}" for k, axis in enumerate(axes)} if isinstance(axes, (tuple, list)) else dict(axes)
        if name in names:
            ndim = inputs[names.index(name)].ndim
            for axis in axes:
                if not -ndim <= axis < ndim:
                    raise ValueError(f"onnx.export: {name!r} has {ndim} dimensions, but dynamic axes are given for dimension {axis}")
            axes = {axis % ndim: size for axis, size in axes.items()}
        found[name] = {axis: str(size) for axis, size in axes.items() if size is not None}
    return found


def _longer(x: Tensor, axes: dict[int, str]) -> Tensor:
    """The input with one more of its first slice along each open axis."""
    from ..ops.combine import cat

    x = x.detach()
    for axis in axes:
        x = cat([x, x.narrow(axis, 0, 1)], axis)
    return x


def _replaced(value: Any, made: dict[int, Tensor]) -> Any:
    """``value`` with other tensors in it."""
    if isinstance(value, Tensor):
        return made[id(value)]
    if isinstance(value, (tuple, list)):
        parts = [_replaced(part, made) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return {key: _replaced(part, made) for key, part in value.items()} if isinstance(value, dict) else value


def _open(name: str, here: tuple[int, ...], there: tuple[int, ...], axes: dict[str, dict[int, str]]) -> dict[int, str]:
    """What the sizes of an output that differ between the two runs are called."""
    ndim, called = len(here), axes.get(name, {})
    called = {axis % ndim: size for axis, size in called.items()}
    sizes = sorted({size for open_ in axes.values() for size in open_.values()})
    return {
        i: called.get(i, sizes[0] if len(sizes) == 1 and here[i] + 1 == there[i] else f"{name}_dim_{i}")
        for i in range(ndim)
        if here[i] != there[i]
    }


# ---- the file ----------------------------------------------------------------------------------------------------------------------------


def _proto(graph: Graph, inputs: Any, outputs: Any, opset: int) -> Any:
    """The model as ONNX has it."""
    import onnx
    from onnx import helper, numpy_helper

    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST <= opset <= newest:
        raise ValueError(f"onnx.export: opset_version must be from {_OLDEST} to {newest}, but got {opset}")
    renamed = dict(zip(graph.ends, (name for name, _, _ in outputs)))
    nodes = [
        helper.make_node(n.operator, n.inputs, [renamed.get(name, name) for name in n.outputs], name=f"{n.operator}_{i}", **n.attributes)
        for i, n in enumerate(graph.nodes)
    ]
    read = {name for n in graph.nodes for name in n.inputs}
    parameters = {
        v.name: array_of(v.tensor) for v in graph.values.values() if not v.dependent and v.name in read and v.name not in graph.constants
    }
    arrays = {**parameters, **{name: array for name, array in graph.constants.items() if name in read}}
    body = helper.make_graph(
        nodes,
        "main",
        [_info(*each) for each in inputs],
        [_info(*each) for each in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    proto = helper.make_model(body, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets), producer_name="numbagrad")
    onnx.checker.check_model(proto)
    return proto


def _info(name: str, tensor: Tensor, axes: dict[int, str]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, onnx_type(tensor.dtype), [axes.get(i, int(size)) for i, size in enumerate(tensor.shape)])


def _write(proto: Any, f: Any) -> None:
    if isinstance(f, (str, os.PathLike)):
        with open(f, "wb") as file:
            file.write(proto.SerializeToString())
    else:
        f.write(proto.SerializeToString())
