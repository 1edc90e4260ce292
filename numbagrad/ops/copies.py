"""Views as copies: ``permute_copy`` and its kin are the view of that name, packed into memory of its own."""

from __future__ import annotations

from typing import Any, Callable

from ..tensor import Tensor
from . import complex_views, parts, splits, views, windows
from ._arguments import result_into
from ._attach import public


def _copying(name: str, view: Callable[..., Any], method: bool = False) -> Any:
    def copied(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = view(*args, **kwargs)
        if isinstance(found, Tensor):
            return result_into(out, found.clone())  # type: ignore[attr-defined]
        copies = tuple(part.clone() for part in found)
        return copies if out is None else tuple(map(result_into, out, copies))

    copied.__name__ = copied.__qualname__ = name
    copied.__doc__ = f"A copy of what ``{name.removesuffix('_copy')}`` gives as a view, for the same arguments."
    return public(copied, name=name, method=method)


for _name, _view in (
    ("alias", lambda input: input), ("detach", lambda input: input.detach()), ("diagonal", parts.diagonal), ("expand", views.expand),
    ("permute", views.permute), ("select", parts.select), ("slice", parts.sliced), ("split", parts.split),
    ("split_with_sizes", splits.split_with_sizes), ("squeeze", views.squeeze), ("t", views.t), ("transpose", views.transpose),
    ("unbind", parts.unbind), ("unfold", windows.unfold), ("unsqueeze", views.unsqueeze), ("view", views.view),
    ("view_as_complex", complex_views.view_as_complex), ("view_as_real", complex_views.view_as_real),
):  # fmt: skip
    _copying(f"{_name}_copy", _view)
_copying("narrow_copy", parts.narrow, method=True)
