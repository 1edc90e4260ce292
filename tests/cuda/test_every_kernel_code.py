"""That the tests of compiled kernels leave none out: every function in the sources that makes a kernel has made one that they look at."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda")

from numbagrad.kernels._cpu.fingerprint import PACKAGE
from tests.cuda.cubin import Kernels, compiled_together

pytestmark = compiled_together(__name__)

# Kernels of generated source do not say what made them. Those that do, and a kernel that each has made.
GENERATED = {
    "numbagrad.kernels.elementwise.cuda._Arguments": "add_flat4",
    "numbagrad.kernels.update._cuda_source.looped": "adam",
    "numbagrad.kernels.update._cuda_sums.squares": "squares",
    "numbagrad.kernels.update._cuda_sums.unscale": "unscale",
}


def _is_kernel(node: ast.AST) -> bool:
    """``kernel(...)``, which is called with the function."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "kernel"


def _makers(path: Path) -> tuple[set[str], set[str]]:
    """The functions below ``@kernel(...)`` in a file, with the function that makes them; and what makes kernels of generated source."""
    tree = ast.parse(path.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("launch")]
    if not any(name.name == "kernel" for node in imports for name in node.names):
        return set(), set()
    module = ".".join(["numbagrad.kernels", *path.relative_to(PACKAGE).with_suffix("").parts])
    written, generated = set(), set()
    for top in tree.body:
        for node in ast.walk(top):
            if isinstance(node, ast.FunctionDef) and any(map(_is_kernel, node.decorator_list)):
                written.add(f"{module}.{top.name}.{node.name}")
            if isinstance(node, ast.Call) and _is_kernel(node.func):
                generated.add(f"{module}.{top.name}")
    return written, generated


def test_every_kernel_is_looked_at():
    found = [_makers(path) for path in sorted(PACKAGE.rglob("*.py"))]
    written, generated = (set().union(*sets) for sets in zip(*found))
    assert len(written) > 80 and generated == GENERATED.keys()

    seen = set()
    for path in Path(__file__).parent.glob("test_*_code.py"):
        for table in vars(importlib.import_module(f"tests.cuda.{path.stem}")).values():
            if isinstance(table, Kernels):
                for make in table.values():
                    function = make().function
                    maker = function.__qualname__.partition(".")[0]
                    seen |= {f"{function.__module__}.{maker}.{function.__name__}", function.__name__}
    assert written <= seen, f"no test compiles {sorted(written - seen)}"
    assert set(GENERATED.values()) <= seen
