"""Where an operation gets its names: ``numbagrad.<name>`` and ``Tensor.<name>``.

@public                         function and method
@public(method=False)           function only
@public(function=False)         method only
public(op, name="mul", aliases=("multiply",), inplace=True)
"""

from __future__ import annotations

from typing import Any, Callable

from ..tensor import Tensor

FUNCTIONS: dict[str, Any] = {}


def public(
    op: Any = None,
    *,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    function: bool = True,
    method: bool = True,
) -> Any:
    """Register ``op`` under its name and ``aliases`` as a function of the package and/or a method of Tensor."""
    if op is None:
        return lambda f: public(f, name=name, aliases=aliases, function=function, method=method)
    label = name or op.__name__
    for each in (label, *aliases):
        if function:
            FUNCTIONS[each] = op
        if method:
            setattr(Tensor, each, op if _is_function(op) else _method(op, each))
    return op


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
