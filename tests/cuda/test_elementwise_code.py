"""Every elementwise formula and its derivative, compiled for CUDA without a device: registers, stack, float64 instructions, width of loads."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels import _dtypes, _formula, elementwise
from numbagrad.kernels._cuda.array import CudaArray
from numbagrad.kernels.elementwise import Elementwise, cuda, formulas
from tests.cuda.cubin import Kernels, architectures, checked, compiled_together

# A worker for each table and not for the file, which has two thirds of all the kernels that tests compile: the others would wait for that one.
TOGETHER = {table: compiled_together(f"{__name__} {table}") for table in ("flat", "rows", "backward", "other types", "forms")}

OPERATIONS = {
    name: op
    for module in pkgutil.iter_modules(elementwise.__path__, f"{elementwise.__name__}.")
    for name, op in vars(importlib.import_module(module.name)).items()
    if isinstance(op, Elementwise) and not name.startswith("_")
}
FLOATING = {name: op for name, op in OPERATIONS.items() if "f" in op.accepts}
# Polynomials so long that arithmetic bounds them, with more coefficients and terms under way than a thread has registers for at four blocks.
_LONG = ("airy_ai", "bessel_y1", "modified_bessel_", "scaled_modified_bessel_", "polygamma")


def _threads(name: str) -> int:
    """That a multiprocessor should have room for, in blocks of 256."""
    return 512 if name.startswith(_LONG) else 1024


# Its formula compares complex numbers, on every device.
_NOT_COMPLEX = "lerp"
DTYPES = {"b": (_dtypes.bool_,), "i": (_dtypes.uint8, _dtypes.int64), "f": (_dtypes.float64, _dtypes.bfloat16), "c": (_dtypes.complex64,)}


def _array(dtype: np.dtype) -> Any:
    return CudaArray(None, 4096, (1024,), (dtype.itemsize,), dtype)


def _kernel(op: Elementwise, dtype: np.dtype, form: str = "flat") -> Any:
    """The kernel that runs ``op`` on arrays of ``dtype`` (its settings numbers), contiguous or with three dimensions of any strides."""
    kinds = [_dtypes.bool_ if p.kind == "bool" else float if p.args[1] else dtype for p in op.formula.params]
    plan = elementwise.plan(op, tuple(kinds))
    values = [_array(kind) if isinstance(kind, np.dtype) else 1.5 for kind in kinds]
    given = cuda._Arguments(op, plan.compute, [_array(d) for d in plan.outputs], values, "c" * (len(plan.outputs) + len(values)))
    flat = form == "flat"
    return given.kernel(form, cuda._lanes(given.itemsizes, given.modes) if flat else 1, 1 if flat else 3, np.uint32, np.int32)


def _derivative(op: Elementwise) -> Any:
    """The operation that computes the gradients of all of its arguments, if it has any."""
    if op.result in ("bool", "real"):
        return None
    return op.derivative(tuple(i for i, p in enumerate(op.formula.params) if p.kind == "number" and not p.args[1])).operation


def _others() -> dict[str, tuple[Elementwise, np.dtype]]:
    """Each operation in the types besides float32.  Of integers that are computed in float32, one does for all."""
    found = {}
    for name, op in OPERATIONS.items():
        floating = op.result == "float" and "i" in op.accepts
        for kind in op.accepts:
            dtypes = DTYPES[kind] if not floating or kind not in "bi" else () if kind == "b" else (_dtypes.int64,)
            found |= {f"{name} {_dtypes.name(dtype)}": (op, dtype) for dtype in dtypes if (name, kind) != (_NOT_COMPLEX, "c")}
    return found


def _form(form: str, modes: str, lanes: int, dims: int, index: Any, offset: Any) -> Any:
    x = _array(_dtypes.float32)
    return cuda._Arguments(formulas.add, _dtypes.float32, [x], [x, x], modes).kernel(form, lanes, dims, index, offset)


DERIVATIVES = {name: derivative for name, op in FLOATING.items() if (derivative := _derivative(op)) is not None}
OTHERS = _others()
# Rows by vectors, a broadcast operand, as many dimensions as there may be, and more elements than 32 bits count.
FORMS = {
    f"{form} {modes} {label}": (form, modes, lanes, dims, index, offset)
    for form, modes, lanes, dims in (("rows", "ccc", 4, 2), ("rows", "ccb", 4, 3), ("rows", "sss", 1, 8), ("flat", "ccb", 4, 1))
    for label, index, offset in (("narrow", np.uint32, np.int32), ("offsets", np.uint32, np.int64), ("wide", np.uint64, np.int64))
}

FLAT = Kernels({name: lambda op=op: _kernel(op, _dtypes.float32) for name, op in FLOATING.items()})
ROWS = Kernels({name: lambda op=op: _kernel(op, _dtypes.float32, "rows") for name, op in FLOATING.items()})
BACKWARD = Kernels({name: lambda op=op: _kernel(op, _dtypes.float32) for name, op in DERIVATIVES.items()})
OF_OTHER_TYPES = Kernels({name: lambda case=case: _kernel(*case) for name, case in OTHERS.items()})
IN_FORMS = Kernels({name: lambda case=case: _form(*case) for name, case in FORMS.items()})


@TOGETHER["flat"]
@architectures
@pytest.mark.parametrize("name", FLAT)
def test_float32(name, arch):
    opcodes = checked(FLAT.code(name, arch), _threads(name))
    assert any(op.startswith("LDG.E.128") for op in opcodes)
    assert not [op for op in opcodes if op.startswith(("LDG", "STG")) and "CONSTANT" in op], "a table in memory"


@TOGETHER["rows"]
@architectures
@pytest.mark.parametrize("name", ROWS)
def test_float32_of_any_strides(name, arch):
    checked(ROWS.code(name, arch), _threads(name))


@TOGETHER["backward"]
@architectures
@pytest.mark.parametrize("name", BACKWARD)
def test_derivative(name, arch):
    checked(BACKWARD.code(name, arch), _threads(name))


def _has_stack(op: Elementwise, dtype: np.dtype) -> bool:
    """Numba's complex functions, and some of libdevice's in float64, keep numbers on the stack."""
    functions = {e.op.name for e in _formula.order(_formula.expand(op.formula.outputs)) if not e.op.template}
    return (dtype == _dtypes.float64 or dtype.kind == "c") and bool(functions & (_formula.FUNCTIONS.keys() | {"pow", "atan2"}))


@TOGETHER["other types"]
@pytest.mark.slow
@architectures
@pytest.mark.parametrize("name", OF_OTHER_TYPES)
def test_other_types(name, arch):
    op, dtype = OTHERS[name]
    opcodes = checked(OF_OTHER_TYPES.code(name, arch), _threads(name), False if dtype in _dtypes.HALVES else None, _has_stack(op, dtype))
    loads = [op for op in opcodes if op.startswith("LDG")]  # none where the result is the same for every integer
    assert "LDG.E.128" in loads or dtype.itemsize == 1 or not loads or name.startswith("isreal_complex"), "which reads imaginary parts only"


@TOGETHER["forms"]
@architectures
@pytest.mark.parametrize("name", IN_FORMS)
def test_forms(name, arch):
    form, modes, lanes, *_ = FORMS[name]
    moved = [op for op in checked(IN_FORMS.code(name, arch), _threads(name)) if op.startswith(("LDG", "STG"))]
    assert ("LDG.E.128" in moved) == ("STG.E.128" in moved) == (lanes == 4)
    assert form == "flat" or "b" in modes or len(set(moved)) == 2, "all of one width"
