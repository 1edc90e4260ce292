"""The table of operations: ``@entry("name", ...)`` says how a call of that name is written in ONNX.

    @entry("relu")
    def _(g, y, input, inplace=False):
        return g.op("Relu", input)

``g`` is the Graph, ``y`` the result that the call had; then come the call's own arguments.  The entry returns the name of the value, or one name
per result.  A function of numbagrad, one of nn.functional and a method of Tensor share an entry, and so does the method that works in place.
"""

from __future__ import annotations

from typing import Any, Callable

from ._graph import UnsupportedOperatorError

ENTRIES: dict[str, Callable[..., Any]] = {}
# a + b and b + a
OPERATORS = {
    f"__{name}__": (function, False)
    for name, function in {
        "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "pow": "pow",
        "matmul": "matmul", "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "and": "bitwise_and", "or": "bitwise_or",
        "xor": "bitwise_xor", "neg": "neg", "abs": "abs", "invert": "bitwise_not", "getitem": "getitem", "pos": "positive",
    }.items()
}  # fmt: skip
OPERATORS |= {
    f"__r{name}__": (OPERATORS[f"__{name}__"][0], True)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
}
OPERATORS |= {
    f"__i{name}__": (OPERATORS[f"__{name}__"][0], False)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
}


def entry(*names: str) -> Callable[[Any], Any]:
    """Register a function as the entry of all ``names``."""

    def register(function: Any) -> Any:
        for name in names:
            ENTRIES[name] = function
        return function

    return register


def find(label: str) -> Any:
    """The entry for a call of ``label``, or None."""
    name, swapped = OPERATORS.get(label, (label, False))
    found = ENTRIES.get(name) or (ENTRIES.get(name[:-1]) if name.endswith("_") else None)
    if found is None or not swapped:
        return found
    return lambda g, y, a, b: found(g, y, b, a)


def need(condition: bool, name: str, what: str) -> None:
    """Raise UnsupportedOperatorError unless ``condition`` holds: ``name`` with ``what`` has no form in ONNX here."""
    if not condition:
        raise UnsupportedOperatorError(f"onnx.export: {name} with {what} has no ONNX entry")
