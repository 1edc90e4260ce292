"""What is done for each of a fixed number of places, one after the other and without a loop: what lies in registers is then known by name.

    load = joined([element(i) for i in range(8)])    # made once, where the kernel is made; element(i) returns (value,)
    values = load(pointer, start, step)              # in the kernel: the tuple of eight values

Loops with constant bounds are unrolled too, as long as the compiler finds them small enough; a loop over registers that is not costs more than it does.
"""

from __future__ import annotations

from typing import Any, Sequence

from .intrinsics import inline

__all__ = ["chained", "in_turn", "joined"]


def joined(functions: Sequence[Any]) -> Any:
    """The function that gives its arguments to each of ``functions``, of which each returns a tuple; all of these in one."""
    if len(functions) == 1:
        return functions[0]
    first, rest = joined(functions[: len(functions) // 2]), joined(functions[len(functions) // 2 :])

    @inline
    def both(*args):  # type: ignore[no-untyped-def]
        return first(*args) + rest(*args)

    return both


def in_turn(functions: Sequence[Any]) -> Any:
    """The function that gives its arguments to each of ``functions``, which return nothing."""
    if len(functions) == 1:
        return functions[0]
    first, rest = in_turn(functions[: len(functions) // 2]), in_turn(functions[len(functions) // 2 :])

    @inline
    def both(*args):  # type: ignore[no-untyped-def]
        first(*args)
        rest(*args)

    return both


def chained(functions: Sequence[Any]) -> Any:
    """The function of a value and other arguments that gives the value to the first of ``functions``, what that returns to the next, and so on."""
    if len(functions) == 1:
        return functions[0]
    first, rest = chained(functions[: len(functions) // 2]), chained(functions[len(functions) // 2 :])

    @inline
    def both(value, *args):  # type: ignore[no-untyped-def]
        return rest(first(value, *args), *args)

    return both
