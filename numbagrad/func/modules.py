"""Modules as functions of their parameters."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Sequence

from ..ops.copy import stack
from ..tensor import Tensor


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with the tensors of a dict (or of several) in place of its parameters and buffers, by their dotted names.

    A parameter that the module has under several names is replaced under all of them if ``tie_weights``.  With ``strict`` every parameter and buffer must be
    given, and nothing else (RuntimeError).  Raises ValueError for a name in several dicts and for tied names that are given different values.
    """
    given = _merged(parameter_and_buffer_dicts)
    with _replaced(module, given, tie_weights, strict):
        return module(*(() if args is None else args if isinstance(args, tuple) else (args,)), **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, (list, tuple)) or not all(isinstance(d, dict) for d in dicts):
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}")
    names = [name for d in dicts for name in d]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: t for d in dicts for name, t in d.items()}


@contextlib.contextmanager
def _replaced(module: Any, given: dict[str, Tensor], tie_weights: bool, strict: bool) -> Iterator[None]:
    """Inside, ``module`` has ``given`` in place of what it has under those names."""
    places = {}  # of every name: the table of its module, and its name there
    for path, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for name, held in table.items():
                if held is not None:
                    places[f"{path}.{name}" if path else name] = table, name
    if strict:
        complaints = [
            f"{what} key(s): {', '.join(repr(name) for name in sorted(names))}."
            for what, names in (("Unexpected", given.keys() - places.keys()), ("Missing", places.keys() - given.keys()))
            if names
        ]
        if complaints:
            raise RuntimeError(f"Error(s) in reparametrizing for {type(module).__name__}:\n\t" + "\n\t".join(complaints))
    wanted = {name: t for name, t in given.items() if name in places}
    if tie_weights:
        wanted.update(_tied(places, wanted))
    before = {name: places[name][0][places[name][1]] for name in wanted}
    try:
        for name, t in wanted.items():
            table, own = places[name]
            table[own] = t
        yield
    finally:
        for name, t in before.items():
            table, own = places[name]
            table[own] = t


def _tied(places: dict[str, Any], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """What goes in the places of names that share a tensor with one in ``wanted``."""
    value_of: dict[int, tuple[str, Tensor]] = {}
    for name, t in wanted.items():
        held = id(places[name][0][places[name][1]])
        if held in value_of and value_of[held][1] is not t:
            raise ValueError(f"functional_call got multiple values for keys {sorted([value_of[held][0], name])}, which are tied.")
        value_of[held] = name, t
    return {name: value_of[id(table[own])][1] for name, (table, own) in places.items() if id(table[own]) in value_of}


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of ``models``, which are alike, stacked name by name: what ``vmap`` over an ensemble takes.

    Raises RuntimeError for no models, and for models of several classes or modes.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters, buffers = ({name: stack([dict(table(m))[name] for m in models]).detach() for name, _ in table(models[0])}
                           for table in (lambda m: m.named_parameters(), lambda m: m.named_buffers()))  # fmt: skip
    for name, p in models[0].named_parameters():
        parameters[name].requires_grad_(p.requires_grad)
    return parameters, buffers
