"""What a reduction does to an element, and how two of them are combined: the same formulas for every device."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np


def _same(value, p):
    return value


def _nonzero(value, p):
    return np.uint8(value != 0)


def _magnitude(value, p):
    return abs(value)


def _squared(value, p):
    size = abs(value)
    return size * size


def _power(value, p):
    return abs(value) ** p


def _add(a, b):
    return a + b


def _multiply(a, b):
    return a * b


def _larger(a, b):
    return b if (b > a or b != b) else a


def _smaller(a, b):
    return b if (b < a or b != b) else a


def _or(a, b):
    return a | b


def _and(a, b):
    return a & b


# By name: what is done to an element (``p``: the exponent of a power), and how two results of that are combined.
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (_same, _add),
    "prod": (_same, _multiply),
    "amax": (_same, _larger),
    "amin": (_same, _smaller),
    "any": (_nonzero, _or),
    "all": (_nonzero, _and),
    "count_nonzero": (_nonzero, _add),
    "magnitude": (_magnitude, _add),
    "magnitude_max": (_magnitude, _larger),
    "magnitude_min": (_magnitude, _smaller),
    "squared": (_squared, _add),
    "power": (_power, _add),
}
