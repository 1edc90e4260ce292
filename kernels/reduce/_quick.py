"""How small reductions skip most of Python: each has a function that is replaced by a compiled one once its kernels are known."""

from __future__ import annotations

from typing import Any, Callable

Call = Callable[[Any, Any, bool], Any]

# What is wanted: the reduction itself, the index of the element that it is, or both.
VALUES, INDICES, BOTH = range(3)


class Quick:
    """A reduction as two functions (x, dim, keepdim): ``call`` takes an array, ``boxed`` an object that holds one, such as a tensor.

    Both begin as the general way, which knows any ``x``, and ``dim`` of any kind.  ``cpu.learn`` puts compiled code in their place, which does all
    on small contiguous arrays, calls ``large`` for others that are contiguous and the general way for the rest.
    """

    def __init__(self, name: str, general: Call, wanted: int = VALUES):
        self.name, self.general, self.wanted = name, general, wanted
        self.call: Call = general
        self.boxed: Call = general
        self.box: Any = None
        self.boxed_general: Call = general
        self.rows: Any = None
        self.routes: dict[Any, Any] = {}  # what ``large`` has to do, by layout, dim and keepdim

    def box_in(self, box: Any, general: Call) -> Quick:
        """Make ``boxed`` take a box (see ``kernels._cpu.entry``); ``general`` is its general way."""
        self.box, self.boxed, self.boxed_general = box, general, general
        self.rows = None
        return self
