"""Jacobians, Hessians and their products with vectors, of functions of tensors.

Every function takes ``func``, which maps one or more tensors to one or more, and ``inputs``, a tensor or a tuple of tensors.  With ``create_graph`` what is
returned can be differentiated in turn; with ``strict`` a result that does not depend on an input is an error (RuntimeError) instead of zeros.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from .graph import grad
from .mode import enable_grad, set_grad_enabled, state

Tensors = tuple[Any, ...]


# ---- arguments and results ----------------------------------------------------------------------------------------------------------


def _tensors(x: Any, what: str, op: str) -> tuple[bool, Tensors]:
    """Whether ``x`` is a tuple, and its tensors.  Raises TypeError for anything else."""
    parts = x if isinstance(x, tuple) else (x,)
    for i, t in enumerate(parts):
        if not hasattr(t, "_node"):
            found = f"the value at index {i} has type {type(t)}" if isinstance(x, tuple) else f"it has type {type(t)}"
            raise TypeError(f"The {what} given to {op} must be either a Tensor or a tuple of Tensors but {found}.")
    return isinstance(x, tuple), parts


def _leaves(inputs: Tensors, create_graph: bool) -> Tensors:
    """What ``func`` is differentiated by: the inputs cut off their history, or, where that is to be differentiated too, as results of it."""
    return tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in inputs)


def _vectors(v: Any, of: Tensors, several: bool, what: str, op: str) -> Tensors:
    """The vector(s) ``v``, of the shapes of ``of``; 1 by default where these are a single element.  Raises RuntimeError where they do not fit."""
    if v is None:
        if len(of) != 1 or of[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {what} a single Tensor with a single element.")
        return (of[0].detach().new_ones(of[0].shape),)
    _, vectors = _tensors(v, "v", op)
    if len(vectors) != len(of):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(of)} but got {len(vectors)}.")
    for i, (vector, t) in enumerate(zip(vectors, of)):
        if tuple(vector.shape) != tuple(t.shape):
            prefix = f"Entry {i} in " if several else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {list(t.shape)} but got {list(vector.shape)}.")
    return vectors


def _finished(results: Sequence[Any], create_graph: bool) -> Tensors:
    return tuple(results) if create_graph else tuple(t.detach() for t in results)


def _unwrapped(results: Tensors, several: bool) -> Any:
    return results if several else results[0]


def _gradients(outputs: Tensors, inputs: Tensors, vectors: Tensors, create_graph: bool) -> Tensors:
    """Gradients of those outputs that have one; None where an input has no part in them."""
    pairs = [(y, v) for y, v in zip(outputs, vectors) if y.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    ys, vs = zip(*pairs)
    return tuple(grad(ys, inputs, vs, retain_graph=True, create_graph=create_graph, allow_unused=True))


def _filled(gradients: Tensors, inputs: Tensors, strict: bool, message: str) -> Tensors:
    """Zeros in the place of None, or an error where ``strict``; ``message`` says of what, and {} of which input."""
    for i, g in enumerate(gradients):
        if g is None and strict:
            raise RuntimeError(f"{message.format(i)} This is not allowed in strict mode.")
    return tuple(x.detach().new_zeros(x.shape) if g is None else g for g, x in zip(gradients, inputs))


def _check_recorded(results: Sequence[Any], message: str) -> None:
    """Raise RuntimeError for the first result that is a constant, in strict mode; ``message`` as for ``_filled``."""
    for i, t in enumerate(results):
        if not t.requires_grad:
            raise RuntimeError(f"{message.format(i)} This is not allowed in strict mode.")


_CONSTANT_OUTPUT = (
    "Output {} of the user-provided function does not require gradients. The outputs must be computed in a differentiable manner."
)
_CONSTANT_GRADIENT = "The gradient with respect to input {} is independent of the inputs of the user-provided function."
_INDEPENDENT = "The output of the user-provided function is independent of input {}."
_INDEPENDENT_JACOBIAN = "The jacobian of the user-provided function is independent of input {}."
_INDEPENDENT_HESSIAN = "The hessian of the user-provided function is independent of input {}."


# ---- first derivatives --------------------------------------------------------------------------------------------------------------


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ·J), J the Jacobian; ``v`` has the shapes of the outputs and may be left out where that is a single element."""
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", "vjp")
        leaves = _leaves(inputs, create_graph)
        several_outputs, outputs = _tensors(func(*leaves), "outputs of the user-provided function", "vjp")
        if strict:
            _check_recorded(outputs, _CONSTANT_OUTPUT)
        vectors = _vectors(v, outputs, several_outputs, "the user-provided function returns", "vjp")
    with _recording(create_graph):
        found = _filled(_gradients(outputs, leaves, vectors, create_graph), leaves, strict, _INDEPENDENT)
        if strict and create_graph:
            _check_recorded(found, _INDEPENDENT_JACOBIAN)
    return _unwrapped(_finished(outputs, create_graph), several_outputs), _unwrapped(_finished(found, create_graph), several)


def _recording(create_graph: bool) -> Any:
    """The derivative itself is recorded where it is to be differentiated, or where the caller records."""
    return set_grad_enabled(create_graph or state.recording)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), J·v), J the Jacobian; ``v`` has the shapes of the inputs and may be left out where that is a single element.

    By differentiating uᵀ·J, which is linear in u, by u.
    """
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", "jvp")
        leaves = _leaves(inputs, create_graph)
        vectors = _vectors(v, leaves, several, "the input to the user-provided function is", "jvp")
        several_outputs, outputs = _tensors(func(*leaves), "outputs of the user-provided function", "jvp")
        if strict:
            _check_recorded(outputs, _CONSTANT_OUTPUT)
        dual = tuple(y.detach().new_zeros(y.shape).requires_grad_() for y in outputs)
        rows = _filled(_gradients(outputs, leaves, dual, True), leaves, strict, _INDEPENDENT)
    with _recording(create_graph):
        found = _filled(_gradients(rows, dual, vectors, create_graph), outputs, strict, _INDEPENDENT)
        if strict and create_graph:
            _check_recorded(found, _INDEPENDENT_JACOBIAN)
    return _unwrapped(_finished(outputs, create_graph), several_outputs), _unwrapped(_finished(found, create_graph), several_outputs)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """∂func(inputs)[i] / ∂inputs[j]: a tensor of the output's and the input's dimensions, a tuple over inputs where these are one, and a tuple over
    outputs of those where these are one.

    A row per element of the output, by a walk back over the graph each.  ``vectorize`` and ``strategy`` are accepted and do not change how it is computed.
    Raises RuntimeError for ``strict`` with ``vectorize``, NotImplementedError for a "forward-mode" that is not vectorized, or recorded.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(f'jacobian: Expected strategy to be either "forward-mode" or "reverse-mode", but got "{strategy}"')
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError('jacobian: `create_graph=True` and `strategy="forward-mode"` are not both supported (yet).')
        if not vectorize:
            raise NotImplementedError('jacobian: `strategy="forward-mode"` is only supported when `vectorize=True`')
    if strict and vectorize:
        raise RuntimeError("jacobian: `strict=True` and `vectorize=True` are not supported together.")
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", "jacobian")
        leaves = _leaves(inputs, create_graph)
        several_outputs, outputs = _tensors(func(*leaves), "outputs of the user-provided function", "jacobian")
        if strict:
            _check_recorded(outputs, _CONSTANT_OUTPUT)
        found = tuple(_rows(i, y, leaves, create_graph, strict) for i, y in enumerate(outputs))
    return _unwrapped(tuple(_unwrapped(_finished(each, create_graph), several) for each in found), several_outputs)


def gradients_of_batch(
    outputs: Tensors,
    inputs: Tensors,
    batches: Tensors,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: Any,
    materialize_grads: bool,
) -> Tensors:
    """``grad`` for every entry of ``batches``, gradients of the outputs with a first dimension more; stacked.  Raises RuntimeError for other shapes."""
    from ..ops.copy import stack

    for i, (output, batch) in enumerate(zip(outputs, batches)):
        if not hasattr(batch, "shape") or batch.ndim == 0:
            raise ValueError(f"grad: is_grads_batched=True expects grad_outputs with a batch dimension, but grad_outputs[{i}] has none")
        if batch.shape[1:] != output.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch dimension. The sizes of the remaining "
                "dimensions are expected to match the shape of corresponding output, but a mismatch was detected: "
                f"grad_output[{i}] has a shape of {batch.shape} and output[{i}] has a shape of {output.shape}."
            )
    retain = create_graph if retain_graph is None else retain_graph
    sizes = {batch.shape[0] for batch in batches}
    if len(sizes) != 1:
        raise ValueError(f"grad: expected grad_outputs of one batch size, but got {sorted(sizes)}")
    count = sizes.pop()
    each = [
        grad(
            outputs,
            inputs,
            [batch[i] for batch in batches],
            retain or i + 1 < count,
            create_graph,
            True,
            allow_unused,
            False,
            materialize_grads,
        )
        for i in range(count)
    ]
    return tuple(
        x.detach().new_zeros((0, *x.shape)) if not each else None if rows[0] is None else stack(list(rows))
        for x, rows in zip(inputs, zip(*each) if each else inputs)
    )


def _rows(which: int, output: Any, inputs: Tensors, create_graph: bool, strict: bool) -> list[Any]:
    """The Jacobians of one output by each input."""
    from ..ops.copy import stack

    rows: list[list[Any]] = [[] for _ in inputs]
    for element in output.reshape(-1).unbind(0):
        gradients = _gradients((element,), inputs, (element.detach().new_ones(()),), create_graph)
        message = f"Output {which} of the user-provided function is independent of input {{}}."
        for i, g in enumerate(_filled(gradients, inputs, strict, message)):
            if strict and create_graph and not g.requires_grad:
                raise RuntimeError(f"{_INDEPENDENT_JACOBIAN.format(i)} This is not allowed in strict mode when create_graph=True.")
            rows[i].append(g)
    return [
        stack(each).reshape((*output.shape, *x.shape)) if each else x.detach().new_zeros((*output.shape, *x.shape))
        for each, x in zip(rows, inputs)
    ]


# ---- second derivatives -------------------------------------------------------------------------------------------------------------


def _single(output: Any, op: str) -> Any:
    """The output of a function that has second derivatives here, a single element.  Raises RuntimeError for anything else."""
    several, outputs = _tensors(output, "outputs of the user-provided function", op)
    if several:
        raise RuntimeError(f"The function given to {op} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {op} should contain a single element")
    return outputs[0]


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """∂²func(inputs) / ∂inputs[i]∂inputs[j] of a function with a single element as output: the Jacobian of the Jacobian, in the same form."""
    several, inputs = _tensors(inputs, "inputs", "hessian")

    def gradient(*leaves: Any) -> Any:
        found = jacobian(lambda *x: _single(func(*x), "hessian").reshape(()), leaves, create_graph=True, strict=strict)
        if strict:
            _check_recorded(found, _CONSTANT_GRADIENT)
        return found

    found = jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if several else found[0][0]


def _hessian_product(op: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool) -> tuple[Any, Any]:
    with enable_grad():
        several, inputs = _tensors(inputs, "inputs", op)
        leaves = _leaves(inputs, create_graph)
        vectors = _vectors(v, leaves, several, "the input to the user-provided function is", op)
        output = _single(func(*leaves), op)
        if strict:
            _check_recorded((output,), _CONSTANT_OUTPUT)
        slopes = _gradients((output,), leaves, (output.detach().new_ones(output.shape),), True)
        slopes = _filled(slopes, leaves, strict, _INDEPENDENT)
        if strict:
            _check_recorded(slopes, _CONSTANT_GRADIENT)
    with _recording(create_graph):
        found = _filled(_gradients(slopes, leaves, vectors, create_graph), leaves, strict, _INDEPENDENT_JACOBIAN)
        if strict and create_graph:
            _check_recorded(found, _INDEPENDENT_HESSIAN)
    return _finished((output,), create_graph)[0], _unwrapped(_finished(found, create_graph), several)


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀ·H), H the Hessian of a function with a single element as output; ``v`` has the shapes of the inputs."""
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), H·v): as ``vhp``, since the Hessian is symmetric."""
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
