"""Nested tuples, lists and dicts of values, taken apart and put together again."""

from __future__ import annotations

from typing import Any, Callable, Iterator


def _children(tree: Any) -> Any:
    return tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else None


def leaves(tree: Any) -> list[Any]:
    """The values of ``tree``, in order."""
    children = _children(tree)
    return [tree] if children is None else [leaf for child in children for leaf in leaves(child)]


def rebuilt(tree: Any, values: Iterator[Any]) -> Any:
    """A tree of the same form over the next of ``values``."""
    if isinstance(tree, dict):
        return type(tree)((key, rebuilt(child, values)) for key, child in tree.items())
    if isinstance(tree, (tuple, list)):
        children = [rebuilt(child, values) for child in tree]
        return type(tree)(*children) if hasattr(tree, "_fields") else type(tree)(children)
    return next(values)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """``function`` of every value, in the same form."""
    return rebuilt(tree, iter([function(leaf) for leaf in leaves(tree)]))


def form(tree: Any) -> str:
    """The form of ``tree`` in writing, ``*`` for a value: equal for trees of the same form."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {form(child)}" for key, child in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        listed = ", ".join(map(form, tree))
        return f"({listed})" if isinstance(tree, tuple) else f"[{listed}]"
    return "*"


def spread(prefix: Any, tree: Any) -> list[Any] | None:
    """For every value of ``tree`` that of ``prefix``, whose values may stand for whole branches; None where the two have other forms."""
    inner, outer = _children(tree), _children(prefix)
    if outer is None:
        return [prefix] * len(leaves(tree))
    if (
        inner is None
        or type(prefix) is not type(tree)
        or len(outer) != len(inner)
        or isinstance(tree, dict)
        and prefix.keys() != tree.keys()
    ):
        return None
    pairs = [(prefix[key], tree[key]) for key in tree] if isinstance(tree, dict) else list(zip(outer, inner))
    parts = [spread(p, t) for p, t in pairs]
    return None if any(part is None for part in parts) else [value for part in parts for value in part]  # type: ignore[union-attr]
