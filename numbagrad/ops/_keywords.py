"""Keywords that an operation takes besides those of its own signature: ``out=``, and the names that NumPy has for PyTorch's (``axis=`` for ``dim=``).

They are rare, so they may cost nothing where they are not given.  ``public`` wraps an operation that should take them; one that is so quick that the
step into a wrapper would show has ``**others`` in its signature instead and begins with

    if others:
        return with_others(sum_, others, input, dim, keepdim, dtype=dtype)
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ._out import results_into

# As PyTorch's own argument parser has them.
_ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other", "train": "training"}
_RENAMED = frozenset(("dim", "keepdim", "training"))  # whoever has one of these is wrapped; the others alone are not worth it
_TAKES_ANY = 0x08  # of a code object's flags: it has **others


def parameters(op: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters of a Python function; of ``*args`` and ``**others`` there are none."""
    code = op.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def with_others(op: Callable[..., Any], others: dict[str, Any], *args: Any, **settings: Any) -> Any:
    """``op(*args, **settings)`` with what ``others`` says: an ``out``, and arguments by other names, which have their defaults so far.

    Raises TypeError for a name that is none of these, and for an argument that is given twice.
    """
    return _called(op, op.__name__.rstrip("_"), others, list(args), settings)


def _called(op: Callable[..., Any], label: str, others: dict[str, Any], args: list[Any], settings: dict[str, Any]) -> Any:
    names = parameters(op)
    out = others.pop("out", None)
    for alias, value in others.items():
        name = _ALIASES.get(alias)
        if name not in names:
            raise TypeError(f"{label}() got an unexpected keyword argument '{alias}'")
        at = names.index(name)
        if settings.get(name) is not None or (at < len(args) and args[at] is not _default(op, at)):
            raise TypeError(f"{label}() got multiple values for argument '{name}', which '{alias}' is another name of")
        if at < len(args):
            args[at] = value
        else:
            settings[name] = value
    return results_into(out, op(*args, **settings), label)


def _default(op: Callable[..., Any], at: int) -> Any:
    """The default of parameter ``at``, or a new object where there is none."""
    defaults = op.__defaults__ or ()
    first = op.__code__.co_argcount - len(defaults)
    return defaults[at - first] if at >= first else object()


def widened(op: Callable[..., Any], label: str, out: bool = False) -> Callable[..., Any]:
    """``op`` as ``label``, which takes other names of its parameters and, if ``out``, ``out=``; itself where there is nothing to add."""
    code = getattr(op, "__code__", None)
    if code is None or code.co_flags & _TAKES_ANY:
        return op
    names = parameters(op)
    if not out and _RENAMED.isdisjoint(names):
        return op
    more = {alias for alias, name in _ALIASES.items() if name in names and alias not in names}
    if out:
        more.add("out")

    @functools.wraps(op)
    def call(*args: Any, **settings: Any) -> Any:
        if settings and not more.isdisjoint(settings):
            return _called(op, label, {name: settings.pop(name) for name in more.intersection(settings)}, list(args), settings)
        return op(*args, **settings)

    return call


def widen_all(space: dict[str, Any]) -> None:
    """Let the functions that a module, whose names are ``space``, exports take other names of their parameters."""
    for name in space["__all__"]:
        op = space[name]
        made = widened(op, name)
        if made is not op:
            made.__module__, made.__qualname__ = space["__name__"], name
            space[name] = made
