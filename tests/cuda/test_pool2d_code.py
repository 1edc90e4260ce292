"""The kernels of ``pool2d`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.pool2d import _cuda_average as average
from numbagrad.kernels.pool2d import _cuda_max as maximum
from numbagrad.kernels.pool2d import _cuda_teams as teams
from numbagrad.kernels.pool2d._cuda_windows import LONG, SHORT
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

SINGLE, DOUBLE, BRAIN, BYTE = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16, _dtypes.uint8

# What makes a kernel of a type of elements and a type to count in.
POOLS: dict[str, Callable[[Any, Any], Any]] = {
    "max 2x2": lambda d, c: maximum.windows(d, c, (2, 2)),
    "max 3x3": lambda d, c: maximum.windows(d, c, (3, 3)),
    "max": lambda d, c: maximum.windows(d, c, (0, 0)),
    "max backward": lambda d, c: maximum.windows_backward(d, c, False),
    "adaptive max": maximum.adaptive,
    "adaptive max backward": lambda d, c: maximum.windows_backward(d, c, True),
    "max, warp": lambda d, c: teams.maximum(d, c, 32),
    "max, block": lambda d, c: teams.maximum(d, c, 256),
    "average 2x2": lambda d, c: average.windows(d, c, (2, 2)),
    "average": lambda d, c: average.windows(d, c, (0, 0)),
    "average backward": average.windows_backward,
    "adaptive average": average.adaptive,
    "adaptive average backward": average.adaptive_backward,
    "average, warp": lambda d, c: teams.average(d, c, 32),
    "average, block": lambda d, c: teams.average(d, c, 256),
}
TILED = (SINGLE, BRAIN, BYTE)


class Case(NamedTuple):
    """A kernel, the threads that a multiprocessor should have room for, and whether it computes in float64."""

    make: Callable[[], Any]
    threads: int
    double: bool = False


def _of(dtype: np.dtype, count: Any, threads: int, names: Iterable[str]) -> dict[str, Case]:
    label = _dtypes.name(dtype) + (", 64 bits" if count is LONG else "")
    return {f"{name} {label}": Case(lambda name=name: POOLS[name](dtype, count), threads, dtype == DOUBLE) for name in names}


CASES = {
    **_of(SINGLE, SHORT, 2048, POOLS),  # as many threads as a multiprocessor has
    **_of(SINGLE, LONG, 1024, POOLS),
    **_of(BRAIN, SHORT, 1536, ("max 2x2", "max backward", "max, warp")),
    **_of(BYTE, SHORT, 1536, ("max 2x2", "max backward", "max, warp")),
    **_of(DOUBLE, SHORT, 1536, ("average", "average backward")),
    **{f"scatter {_dtypes.name(d)}": Case(lambda d=d: maximum.scatter(d), 1536) for d in TILED},
    **{f"gather {I.__name__}": Case(lambda I=I: maximum.gather(SINGLE, I), 2048) for I in (np.uint32, np.uint64)},
    **{f"tiles {_dtypes.name(d)}": Case(lambda d=d: maximum.tiles(d, 16 // d.itemsize, SHORT), 1024) for d in TILED},
    **{f"tiles backward {_dtypes.name(d)}": Case(lambda d=d: maximum.tiles_backward(d, 16 // d.itemsize, SHORT), 768) for d in TILED},
}
KERNELS = Kernels({name: case.make for name, case in CASES.items()})


@architectures
@pytest.mark.parametrize("name", CASES)
def test_compiled(name, arch):
    _, threads, double = CASES[name]
    opcodes = checked(KERNELS.code(name, arch), threads, double)
    if name.startswith("tiles backward"):
        assert {op for op in opcodes if op.startswith("STG")} == {"STG.E.128"}
    elif name.startswith("tiles"):
        assert [op for op in opcodes if op.startswith("LDG")] == ["LDG.E.128"] * 2
