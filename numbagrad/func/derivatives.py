"""Derivatives as functions of functions, which compose: ``grad(grad(f))``.

Arguments that a function is differentiated by, and what it returns, are tensors or nested tuples, lists and dicts of them.  What is returned can be
differentiated in turn by whatever lies outside: an enclosing transform, an argument that requires a gradient, or a parameter that the function reads.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Sequence

from ..autograd.functional import _gradients, _rows
from ..autograd.mode import enable_grad, state
from ..autograd.node import Node, edge_of
from ..tensor import Tensor
from ._trees import form, leaves, mapped, rebuilt

# ---- arguments and results ------------------------------------------------------------------------------------------------------------


class _Level:
    """One transform at work: what it differentiates by, and what of its results belongs outside."""

    def __init__(self) -> None:
        self.recorded = state.recording  # outside
        self.inputs: list[Tensor] = []

    def track(self, tree: Any) -> Any:
        """``tree`` of tensors to differentiate by."""
        return mapped(self._leaf, tree)

    def _leaf(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
        made = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()  # type: ignore[attr-defined]
        self.inputs.append(made)
        return made

    def finished(self, tree: Any) -> Any:
        """``tree`` as it is seen outside: without history if that leads to nothing but the inputs of this level."""
        return mapped(lambda t: self._finished(t) if isinstance(t, Tensor) else t, tree)

    def _finished(self, t: Tensor) -> Tensor:
        return t if self.recorded and self._leads_out(t) else t.detach()

    def _leads_out(self, t: Tensor) -> bool:
        own = {id(x) for x in self.inputs}
        edges, seen = [edge_of(t)], set()
        while edges:
            edge = edges.pop()
            if edge is None or id(edge[0]) in seen:
                continue
            seen.add(id(edge[0]))
            if isinstance(edge[0], Node):
                edges.extend(edge[0].edges)
            elif id(edge[0]) not in own:
                return True
        return False

    def pulled(self, outputs: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """vᵀ·J by every input, zeros where it plays no part."""
        found = _gradients(tuple(outputs), tuple(self.inputs), tuple(vectors), True)
        return [x.detach().new_zeros(x.shape) if g is None else g for x, g in zip(self.inputs, found)]  # type: ignore[attr-defined]


def _numbers(argnums: Any, count: int) -> tuple[int, ...]:
    """``argnums`` as positions among ``count`` arguments."""
    given = argnums if isinstance(argnums, tuple) else (argnums,)
    if not given or not all(isinstance(n, int) for n in given):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    for n in given:
        if not -count <= n < count:
            raise RuntimeError(f"Got argnum={n}, but only {count} positional inputs")
    places = tuple(n % count for n in given)
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return places


def _tracked(level: _Level, argnums: Any, args: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """The arguments with those numbered by ``argnums`` to be differentiated by, and these as the result will have them."""
    given = list(args)
    places = _numbers(argnums, len(args))
    for n in places:
        given[n] = level.track(given[n])
    chosen = tuple(given[n] for n in places)
    return given, chosen if isinstance(argnums, tuple) else chosen[0]


def _split(output: Any, has_aux: bool, op: str) -> tuple[Any, Any]:
    if not has_aux:
        return output, None
    if not isinstance(output, tuple) or len(output) != 2:
        raise RuntimeError(f"{op}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return output


def _only_tensors(output: Any, op: str) -> list[Tensor]:
    for t in leaves(output):
        if not isinstance(t, Tensor):
            raise RuntimeError(
                f"{op}: expected {op.partition('(')[2].split(',')[0]}(*primals) to return only tensors, got unsupported type {type(t)}"
            )
    return leaves(output)


# ---- gradients ------------------------------------------------------------------------------------------------------------------------


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of ``func`` by its arguments ``argnums`` (a number or a tuple), and its value.

    ``func`` returns a scalar tensor (RuntimeError otherwise), or with ``has_aux`` a pair of it and of anything else, which is returned beside the value.
    """
    op = "grad_and_value(f)(*args)"

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        level = _Level()
        with enable_grad():
            given, chosen = _tracked(level, argnums, args)
            output, aux = _split(func(*given, **kwargs), has_aux, op)
            if not isinstance(output, Tensor):
                raise RuntimeError(f"{op}: Expected f(*args) to return a Tensor, got {type(output)}")
            if output.ndim:
                raise RuntimeError(
                    f"{op}: Expected f(*args) to return a scalar Tensor, got tensor with {output.ndim} dims. "
                    "Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            slopes = level.pulled([output], [output._ones()])
        gradient = level.finished(rebuilt(chosen, iter(slopes)))
        value = level.finished(output)
        return (gradient, (value, level.finished(aux))) if has_aux else (gradient, value)

    return wrapped


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of ``func``: see ``grad_and_value``."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


# ---- products with vectors ------------------------------------------------------------------------------------------------------------


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), pullback): ``pullback(cotangents)``, of the form of the output, is the tuple of vᵀ·J by each of ``primals``.

    With ``has_aux``, ``func`` returns (output, aux), and aux comes third.
    """
    op = "vjp(f, *primals)"
    level = _Level()
    with enable_grad():
        tracked = level.track(primals)
        output, aux = _split(func(*tracked), has_aux, op)
        outputs = _only_tensors(output, op)

    def pullback(cotangents: Any) -> Any:
        if form(cotangents) != form(output):
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {form(cotangents)}, primal output: {form(output)}"
            )
        level.recorded = state.recording
        with enable_grad():
            found = level.pulled(outputs, leaves(cotangents))
        return level.finished(rebuilt(primals, iter(found)))

    value = level.finished(output)
    return (value, pullback, level.finished(aux)) if has_aux else (value, pullback)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """(func(*primals), J·tangents), ``primals`` and ``tangents`` tuples of the same form; with ``has_aux`` aux comes third.

    There is no forward mode here: it is found by differentiating uᵀ·J, which is linear in u, by u.  ``strict``: an output that does not depend on the
    primals raises RuntimeError.
    """
    op = "jvp(f, primals, tangents)"
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise RuntimeError(f"{op}: Expected {name} to be a tuple. E.g. it should be valid to call f(*primals).")
    if form(primals) != form(tangents):
        raise RuntimeError(
            f"{op}: Expected primals and tangents to have the same python structure. Got primals with structure {form(primals)} "
            f"and tangents with structure {form(tangents)}"
        )
    for x, v in zip(leaves(primals), leaves(tangents)):
        if tuple(x.shape) != tuple(v.shape):
            raise RuntimeError(f"{op}: Expected a tangent of the size of its primal, {list(x.shape)}, but got {list(v.shape)}")
    level = _Level()
    with enable_grad():
        output, aux = _split(func(*level.track(primals)), has_aux, op)
        outputs = _only_tensors(output, op)
        if strict and not all(y.requires_grad for y in outputs):
            raise RuntimeError(f"{op}: an output of f does not depend on the primals. This is not allowed in strict mode.")
        dual = [y.detach().new_zeros(y.shape).requires_grad_() for y in outputs]  # type: ignore[attr-defined]
        rows = level.pulled(outputs, dual)
        found = _gradients(tuple(rows), tuple(dual), tuple(leaves(tangents)), True)
        pushed = [u.detach().new_zeros(u.shape) if t is None else t for u, t in zip(dual, found)]  # type: ignore[attr-defined]
    level.inputs += dual
    result = level.finished(output), level.finished(rebuilt(output, iter(pushed)))
    return (*result, level.finished(aux)) if has_aux else result


# ---- matrices of derivatives ----------------------------------------------------------------------------------------------------------


def jacrev(
    func: Callable[..., Any], argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None, _preallocate_and_copy: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``func``: for every output, for every argument in ``argnums``, a tensor of the dimensions of both.

    A row per element of the output, by a walk back over the graph each: ``chunk_size`` is accepted and does not change how it is computed.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    op = "jacrev(f, *primals)"

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        level = _Level()
        with enable_grad():
            given, chosen = _tracked(level, argnums, args)
            output, aux = _split(func(*given, **kwargs), has_aux, op)
            outputs = _only_tensors(output, op)
            found = [_rows(i, y, tuple(level.inputs), True, False) for i, y in enumerate(outputs)]
        jacobian = rebuilt(output, iter([level.finished(rebuilt(chosen, iter(rows))) for rows in found]))
        return (jacobian, level.finished(aux)) if has_aux else jacobian

    return wrapped


def jacfwd(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """As ``jacrev``: there is no forward mode here, and the Jacobian is the same."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of the Jacobian of ``func``."""
    return jacrev(jacrev(func, argnums), argnums)
