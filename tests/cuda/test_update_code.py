"""The kernels of ``update`` compiled for CUDA without a device: registers, stack, float64 instructions, width of loads and stores."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes
from numbagrad.kernels.update import _cuda_steps as steps
from numbagrad.kernels.update import _cuda_sums as sums
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

pytestmark = compiled_together(__name__)

SINGLE, DOUBLE, BRAIN = _dtypes.float32, _dtypes.float64, _dtypes.bfloat16
NORMS = (sums.SQUARES, sums.ABSOLUTES, sums.LARGEST, sums.SMALLEST, sums.COUNT, sums.POWERS)
_THREADS = 256  # of a block


class Case(NamedTuple):
    """A kernel, how many of its blocks a multiprocessor should have room for, whether it computes in float64, and at least how many loads and stores are 16
    bytes wide."""

    make: Callable[[], Any]
    blocks: int
    double: bool = False
    reads: int = 0
    writes: int = 0


# The arrays that a step reads and writes.
STEPS = {"sgd": (2, 1), "sgd_momentum": (3, 2), "adam": (4, 3), "amsgrad": (5, 4), "adagrad": (3, 2)}


def _steps(dtype: np.dtype) -> dict[str, Case]:
    made, blocks = lambda name: getattr(steps.step_kernels(dtype), name), 4 if dtype == SINGLE else 2
    return {
        f"{name} {_dtypes.name(dtype)}": Case(lambda name=name: made(name), blocks, dtype == DOUBLE, *moved)
        for name, moved in STEPS.items()
    }


def _rmsprop(centered: bool, buffered: bool) -> dict[str, Case]:
    states = 1 + centered + buffered
    name = "rmsprop" + " centered" * centered + " buffered" * buffered
    return {name: Case(lambda: steps.rmsprop_kernel(SINGLE, centered, buffered), 4, False, 2 + states, 1 + states)}


def _rule(name: str) -> dict[str, Case]:
    moved = 2 + steps.RULES[name].states
    return {name: Case(lambda: steps.rule_kernel(name, SINGLE), 4, False, moved, moved - 1)}


def _lists(dtype: np.dtype) -> dict[str, Case]:
    name = _dtypes.name(dtype)
    return {
        f"scale {name}": Case(lambda: steps.list_kernels(dtype).scale, 6, False, 1, 1),
        f"zero {name}": Case(lambda: steps.list_kernels(dtype).zero, 6, False, 0, 1),
        f"unscale {name}": Case(lambda: sums.unscale(dtype), 6, False, 1, 1),
        f"squares {name}": Case(lambda: sums.squares(dtype), 6, False, 1),
    }


def _norms(kind: str) -> dict[str, Case]:
    """Powers are taken in float64, and all norms are put together in it."""
    return {
        **({f"chunks, {kind}": Case(lambda: sums.powers(SINGLE, kind), 5, kind == sums.POWERS)} if kind != sums.SQUARES else {}),
        f"arrays, {kind}": Case(lambda: sums.join(kind, sums.folded_dtype(kind, SINGLE)), 5, True),
        f"total, {kind}": Case(lambda: sums.total(kind), 4, True),
    }


CASES = {
    **{name: case for dtype in (SINGLE, DOUBLE, BRAIN) for name, case in _steps(dtype).items()},
    **{name: case for centered in (False, True) for buffered in (False, True) for name, case in _rmsprop(centered, buffered).items()},
    **{name: case for rule in steps.RULES for name, case in _rule(rule).items()},
    **{name: case for dtype in (SINGLE, BRAIN) for name, case in _lists(dtype).items()},
    **{name: case for kind in NORMS for name, case in _norms(kind).items()},
}
KERNELS = Kernels({name: case.make for name, case in CASES.items()})


@architectures
@pytest.mark.parametrize("name", CASES)
def test_compiled(name, arch):
    """What is read and written is known to be device memory, although the addresses come from a table."""
    _, blocks, double, reads, writes = CASES[name]
    opcodes = checked(KERNELS.code(name, arch), blocks * _THREADS, double)
    assert sum(op.startswith("LDG.E.128") for op in opcodes) >= reads
    assert sum(op.startswith("STG.E.128") for op in opcodes) >= writes


def test_every_step_is_compiled():
    assert vars(steps.step_kernels(SINGLE)).keys() == STEPS.keys()
    assert {f"{name} float32" for name in vars(steps.list_kernels(SINGLE))} <= CASES.keys()
