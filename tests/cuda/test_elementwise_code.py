"""Every elementwise formula and its derivative, compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes, _formula, elementwise
from numbagrad.kernels._cuda.driver import SIMULATED
from numbagrad.kernels.elementwise import Elementwise, activations, formulas, logic
from tests.cuda.cubin import disassembler, doubles, instructions, opcode, usage

pytestmark = pytest.mark.skipif(SIMULATED, reason="the simulator compiles nothing")

A100, H200 = (8, 0), (9, 0)
_THREADS, _REGISTERS = 256, 65536  # of a block; of a multiprocessor

# Its formula compares complex numbers, on every device.
_NOT_COMPLEX = "lerp"

OPERATIONS = {
    f"{name}": op
    for module in (formulas, activations, logic)
    for name, op in vars(module).items()
    if isinstance(op, Elementwise) and not name.startswith("_")
}
DTYPES = {"b": (_dtypes.bool_,), "i": (_dtypes.uint8, _dtypes.int64), "f": (_dtypes.float64, _dtypes.bfloat16)}
DTYPES["c"] = (_dtypes.complex64,)


def _array(dtype: np.dtype) -> Any:
    from numbagrad.kernels._cuda.array import CudaArray

    return CudaArray(None, 4096, (1024,), (dtype.itemsize,), dtype, True)


def _kernel(op: Elementwise, dtype: np.dtype, form: str = "flat") -> Any:
    """The kernel that runs ``op`` on arrays of ``dtype`` (its settings numbers), contiguous or with three dimensions of any strides."""
    from numbagrad.kernels.elementwise import cuda

    kinds = [_dtypes.bool_ if p.kind == "bool" else float if p.args[1] else dtype for p in op.formula.params]
    plan = elementwise.plan(op, tuple(kinds))
    values = [_array(kind) if isinstance(kind, np.dtype) else 1.5 for kind in kinds]
    given = cuda._Arguments(op, plan.compute, [_array(d) for d in plan.outputs], values, "c" * (len(plan.outputs) + len(values)))
    flat = form == "flat"
    return given.kernel(form, cuda._lanes(given.itemsizes, given.modes) if flat else 1, 1 if flat else 3, np.uint32, np.int32)


def _check(code: bytes, single: bool, stack: bool = False) -> list[str]:
    """No stack (but where it is known), four blocks on a multiprocessor at least, and no float64 in a ``single`` kernel; the instructions, where they
    can be read."""
    used = usage(code)
    assert used.stack == 0 or stack
    assert 4 * _THREADS * used.registers <= _REGISTERS
    if disassembler() is None:
        return []
    found = instructions(code)
    assert stack or not [line for line in found if opcode(line).startswith(("LDL", "STL"))], "spilled"
    assert not single or not doubles(found)
    return found


@pytest.mark.parametrize("capability", [A100, H200], ids=["sm_80", "sm_90a"])
@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if "f" in op.accepts])
def test_float32(name, capability):
    op = OPERATIONS[name]
    code = _check(_kernel(op, _dtypes.float32).build(capability).code, True)
    if code:
        assert any(opcode(line).startswith("LDG.E.128") for line in code)
        narrow = [line for line in code if opcode(line).startswith(("LDG", "STG")) and "CONSTANT" in opcode(line)]
        assert not narrow, "a table in memory"
    if capability != H200:
        return
    _check(_kernel(op, _dtypes.float32, "rows").build(capability).code, True)


@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if "f" in op.accepts and op.result not in ("bool", "real")])
def test_derivative(name):
    op = OPERATIONS[name]
    differentiable = tuple(i for i, p in enumerate(op.formula.params) if p.kind == "number" and not p.args[1])
    derivative = op.derivative(differentiable).operation
    if derivative is not None:
        _check(_kernel(derivative, _dtypes.float32).build(H200).code, True)


def _has_stack(op: Elementwise, dtype: np.dtype) -> bool:
    """Numba's complex functions, and some of libdevice's in float64, keep numbers on the stack."""
    functions = {e.op.name for e in _formula.order(_formula.expand(op.formula.outputs)) if not e.op.template}
    return (dtype == _dtypes.float64 or dtype.kind == "c") and bool(functions & (_formula.FUNCTIONS.keys() | {"pow", "atan2"}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, dtype",
    [
        (name, dtype)
        for name, op in OPERATIONS.items()
        for kind in op.accepts
        for dtype in DTYPES[kind]
        if (name, kind) != (_NOT_COMPLEX, "c")
    ],
    ids=lambda x: x if isinstance(x, str) else _dtypes.name(x),
)
def test_other_types(name, dtype):
    op = OPERATIONS[name]
    code = _check(_kernel(op, dtype).build(H200).code, dtype in _dtypes.HALVES, _has_stack(op, dtype))
    loads = [opcode(line) for line in code if opcode(line).startswith("LDG")]  # none where the result is the same for every integer
    assert "LDG.E.128" in loads or dtype.itemsize == 1 or not loads


@pytest.mark.parametrize(
    "index, offset", [(np.uint32, np.int32), (np.uint32, np.int64), (np.uint64, np.int64)], ids=["narrow", "offsets", "wide"]
)
@pytest.mark.parametrize(
    "form, modes, lanes, dims", [("rows", "ccc", 4, 2), ("rows", "ccb", 4, 3), ("rows", "sss", 1, 8), ("flat", "ccb", 4, 1)]
)
def test_forms(form, modes, lanes, dims, index, offset):
    """Rows by vectors, a broadcast operand, as many dimensions as there may be, and more elements than 32 bits count."""
    from numbagrad.kernels.elementwise import cuda

    x = _array(_dtypes.float32)
    given = cuda._Arguments(formulas.add, _dtypes.float32, [x], [x, x], modes)
    code = _check(given.kernel(form, lanes, dims, index, offset).build(H200).code, True)
    if code:
        moved = [opcode(line) for line in code if opcode(line).startswith(("LDG", "STG"))]
        assert ("LDG.E.128" in moved) == ("STG.E.128" in moved) == (lanes == 4)
        assert form == "flat" or "b" in modes or len(set(moved)) == 2, "all of one width"
