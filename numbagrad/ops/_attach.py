"""Where an operation gets its names: ``numbagrad.<name>`` and ``Tensor.<name>``.

@public                         function and method
@public(method=False)           function only
@public(function=False)         method only
public(op, name="mul", aliases=("multiply",))
@public(out=True)                the function takes ``out=``
"""

from __future__ import annotations

from typing import Any, Callable

from ..tensor import Tensor
from ._keywords import widened

FUNCTIONS: dict[str, Any] = {}


def public(
    op: Any = None,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    function: bool = True,
    method: bool = True,
    out: bool = False,
) -> Any:
    """Register ``op`` under its name and ``aliases`` as a function of the package and/or a method of Tensor, and return it.

    What is registered takes ``axis=`` for ``dim=`` and the like as well, and the function, with ``out``, ``out=``; see ``_keywords``.
    """
    if op is None:
        return lambda f: public(f, name=name, aliases=aliases, function=function, method=method, out=out)
    label = name or op.__name__
    as_method = widened(op, label)
    as_function = widened(op, label, out=True) if out else as_method
    if as_function is not op:
        _place(as_function, "numbagrad", label) if function else _place(as_method, Tensor.__module__, f"Tensor.{label}")
    for each in (label, *aliases):
        if function:
            FUNCTIONS[each] = as_function
        if method:
            setattr(Tensor, each, as_method if _is_function(op) else _method(op, each))
    return op


def _place(made: Any, module: str, name: str) -> None:
    """Say where ``made`` is found, for messages, ``help`` and pickle."""
    made.__module__, made.__qualname__, made.__name__ = module, name, name.rpartition(".")[2]


def _is_function(op: Any) -> bool:
    return type(op) is type(_is_function)


def _method(op: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A plain function that binds as a method: a callable object in a class body would not receive ``self``."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return op(self, *args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = op.__doc__
    return method
