"""The house rules, read from the imports and the syntax trees of the sources; nothing here imports what it checks.

Every rule is a function from sources to complaints.  It is tried on sources that break it before it is trusted with ours.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 500

# Imports run from a higher floor to a lower one, or stay on theirs.
FLOORS = [
    {"kernels"},
    {"dtypes", "devices", "layouts", "size", "autograd"},
    {
        "tensor",
        "ops",
        "creation",
        "generator",
        "random",
        "fuse",
        "legacy",
        "amp",
        "cuda",
        "accelerator",
        "array_api",
        "backends",
        "fft",
        "linalg",
        "masked",
        "signal",
        "special",
        "_printing",
        "_declared",
        "_values",
        "_facts",
        "_sequences",
        "storage",
        "types",
        "version",
    },
    {"nn", "optim", "data", "distributions", "utils", "func", "serialization", "torch_files", "natives", "runtime"},
    {"vision", "compat", "testing", "onnx"},
    {""},  # numbagrad/__init__.py: the front door sees all floors
]

# Imports inside a function that run up, each with its reason: "importing module -> imported module".
UPWARD: dict[str, str] = {
    "numbagrad.autograd.functional -> numbagrad.ops.copy": "the rows of a Jacobian are stacked into one tensor, which is recorded",
}

# Loops over elements outside the kernels, each with its reason: "path".
ELEMENT_LOOPS: dict[str, str] = {}

# Files over MAX_LINES, each with its reason.
LONG_FILES: dict[str, str] = {}

NUMBA = {"numba", "llvmlite", "numba_cuda"}
DOORS = ("kernels/_cpu/", "kernels/_cuda/", "kernels/_cpu.py", "kernels/_cuda.py")


class Source(NamedTuple):
    """A file of ours: its path from the root, and its text."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """Its dotted name; kernels/ is numbagrad.kernels."""
        name = self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"numbagrad.{name}" if name.split(".")[0] == "kernels" else name

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.module if self.path.endswith("__init__.py") else self.module.rpartition(".")[0]


class Import(NamedTuple):
    target: str
    line: int
    lazy: bool  # inside a function
    relative: bool


def _tree_imports(source: Source) -> Iterator[Import]:
    """Every import, as absolute dotted names; those for type checkers only are left out.  ``from a import b`` is ``a.b``."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, lazy)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy, False)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = source.package.split(".")
                kept = parts[: len(parts) - (node.level - 1)]
                base = ".".join(kept + ([node.module] if node.module else []))
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, lazy, node.level > 0)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    yield from visit(ast.parse(source.text, source.path), False)


def kernels_know_nothing_above(sources: list[Source]) -> list[str]:
    """kernels/ imports nothing of numbagrad but itself, and itself by relative imports only."""
    complaints = []
    for source in sources:
        for found in _tree_imports(source) if source.path.startswith("kernels/") else ():
            ours = found.target.split(".")[0] in ("numbagrad", "kernels")
            if ours and not (found.relative and found.target.startswith("numbagrad.kernels")):
                complaints.append(
                    f"{source.path}:{found.line}: kernels import {found.target}{'' if found.relative else ' by its absolute name'}"
                )
    return complaints


def numba_behind_its_doors(sources: list[Source]) -> list[str]:
    """numba and llvmlite are imported in kernels/_cpu and kernels/_cuda alone, numba.cuda in kernels/_cuda alone."""
    complaints = []
    for source in sources:
        for found in _tree_imports(source):
            if found.target.split(".")[0] not in NUMBA:
                continue
            cuda = found.target.startswith(("numba.cuda", "numba_cuda"))
            if not source.path.startswith(DOORS) or (cuda and not source.path.startswith("kernels/_cuda")):
                complaints.append(f"{source.path}:{found.line}: imports {found.target}")
    return complaints


def _over_elements(iterable: ast.expr) -> bool:
    text = ast.unparse(iterable)
    if isinstance(iterable, ast.Attribute) and iterable.attr == "flat":
        return True
    if not isinstance(iterable, ast.Call):
        return False
    called = ast.unparse(iterable.func)
    if called == "enumerate" and iterable.args:
        return _over_elements(iterable.args[0])
    counted = text.endswith((".size)", ".numel())", ".nelement())"))
    return called.endswith(("nditer", "ndenumerate", "ndindex")) or (called == "range" and counted)


def no_loops_over_elements(sources: list[Source]) -> list[str]:
    """Nothing under numbagrad/ compiles code or visits the elements of an array one by one."""
    complaints = []
    for source in sources:
        if not source.path.startswith("numbagrad/") or source.path in ELEMENT_LOOPS:
            continue
        for node in ast.walk(ast.parse(source.text, source.path)):
            if isinstance(node, (ast.For, ast.comprehension)) and _over_elements(node.iter):
                complaints.append(f"{source.path}:{node.iter.lineno}: a loop over elements, {ast.unparse(node.iter)}")
            if isinstance(node, (ast.Name, ast.Attribute)):
                name = ast.unparse(node)
                if name.split(".")[-1] in ("njit", "prange") or name in ("cuda.jit", "np.vectorize", "np.frompyfunc", "numpy.vectorize"):
                    complaints.append(f"{source.path}:{node.lineno}: {name}")
    return complaints


def _floor(module: str) -> int | None:
    """The floor of a module of ours, None for one that has none."""
    room = module.removeprefix("numbagrad").removeprefix(".").split(".")[0]
    return next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)


def imports_run_down(sources: list[Source], upward: dict[str, str] = UPWARD) -> list[str]:
    """No module imports one from a floor above its own, not even inside a function unless ``upward`` gives a reason."""
    complaints = []
    known = {source.module for source in sources}
    for source in sources:
        if not source.path.startswith(("numbagrad/", "kernels/")):
            continue
        own = _floor(source.module)
        if own is None:
            complaints.append(f"{source.path}: {source.module} is on no floor; give it one in tests/test_house.py")
            continue
        for found in _tree_imports(source):
            if found.target.split(".")[0] != "numbagrad":
                continue
            # `from .tensor import Tensor` names a class in a module, `from . import tensor` a module.
            target = found.target if found.target in known else found.target.rpartition(".")[0]
            floor = _floor(target)
            if floor is None or floor <= own or (found.lazy and f"{source.module} -> {target}" in upward):
                continue
            complaints.append(f"{source.path}:{found.line}: {source.module} imports {target}, which is above it")
    return complaints


def _public(source: Source, sources: dict[str, Source]) -> dict[str, str]:
    """The public functions of an implementation with their signatures; kernels are no functions of Python's.  Names that come from the family's other
    modules are public where ``__all__`` lists them, and are followed there."""
    found: dict[str, str] = {}
    body = ast.parse(source.text, source.path).body
    listed: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = set(ast.literal_eval(node.value))
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            decorators = {ast.unparse(d).split("(")[0] for d in node.decorator_list}
            if not decorators & {"kernel", "inline"}:
                arguments = node.args
                bare = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
                starred = [arguments.vararg.arg] if arguments.vararg else []
                keywords = [a.arg for a in arguments.kwonlyargs]
                defaults = [ast.unparse(d) for d in (*arguments.defaults, *(k for k in arguments.kw_defaults if k))]
                found[node.name] = f"({', '.join(bare)}; *{', '.join(starred + keywords)}; {', '.join(defaults)})"
        elif isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            sibling = sources.get(f"{source.path.rpartition('/')[0]}/{node.module.replace('.', '/')}.py")
            if sibling is not None:
                theirs = _public(sibling, sources)
                exported = {alias.asname or alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs}
                found.update({name: signature for name, signature in exported.items() if name in listed})
    return found


def devices_agree(sources: list[Source]) -> list[str]:
    """A family's cpu.py and cuda.py have the same public names and signatures, and each has every function its contract calls."""
    by_path = {source.path: source for source in sources}
    complaints = []
    for source in sources:
        parts = source.path.split("/")
        if len(parts) != 3 or parts[0] != "kernels" or parts[2] != "__init__.py" or parts[1].startswith("_"):
            continue
        folder = "/".join(parts[:2])
        twins = {kind: _public(by_path[f"{folder}/{kind}.py"], by_path) for kind in ("cpu", "cuda") if f"{folder}/{kind}.py" in by_path}
        called = {
            node.func.attr
            for node in ast.walk(ast.parse(source.text))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Call)
            and ast.unparse(node.func.value.func) == "_on"
        }
        for kind in twins:
            text = by_path[f"{folder}/{kind}.py"].text
            defined = set(twins[kind]) | {
                alias.asname or alias.name for node in ast.parse(text).body if isinstance(node, ast.ImportFrom) for alias in node.names
            }
            defined |= {
                target.id
                for node in ast.parse(text).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for name in sorted(called - defined):
                complaints.append(f"{folder}/{kind}.py: the contract calls {name}, which is not there")
        if len(twins) == 2:
            for name in sorted(set(twins["cpu"]) | set(twins["cuda"])):
                here, there = twins["cpu"].get(name, "nothing"), twins["cuda"].get(name, "nothing")
                if here != there:
                    complaints.append(f"{folder}: {name} is {here} in cpu.py and {there} in cuda.py")
    return complaints


def packages_listed(listed: list[str], sources: list[Source]) -> list[str]:
    """setup.cfg lists the packages that the tree has, and no others."""
    tree = {
        source.module for source in sources if source.path.endswith("/__init__.py") and source.path.startswith(("numbagrad/", "kernels/"))
    }
    complaints = [f"setup.cfg does not list the package {name}" for name in sorted(tree - set(listed))]
    complaints += [f"setup.cfg lists the package {name}, which does not exist" for name in sorted(set(listed) - tree)]
    complaints += [f"setup.cfg lists the package {name} twice" for name in sorted({n for n in listed if listed.count(n) > 1})]
    return complaints


def folders_are_packages(sources: list[Source]) -> list[str]:
    """Every folder of sources has an __init__.py, or it would be missing from the wheel."""
    folders = {source.path.rpartition("/")[0] for source in sources if source.path.startswith(("numbagrad/", "kernels/"))}
    paths = {source.path for source in sources}
    return [f"{folder} has no __init__.py" for folder in sorted(folders) if f"{folder}/__init__.py" not in paths]


def files_are_short(sources: list[Source]) -> list[str]:
    """No file has more than MAX_LINES lines: what two things is it?"""
    counts = {source.path: source.text.count("\n") for source in sources if source.path not in LONG_FILES}
    return [f"{path}: {count} lines" for path, count in counts.items() if count > MAX_LINES]


# ---- the rules, on our sources ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house() -> list[Source]:
    """All sources; numbagrad/kernels is a link to kernels/ and is read there."""
    paths = []
    for folder in ("kernels", "numbagrad", "tests", "examples", "benchmarks"):
        paths += sorted(path for path in (ROOT / folder).rglob("*.py") if "numbagrad/kernels/" not in path.as_posix())
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


@pytest.fixture(scope="module")
def ours(house: list[Source]) -> list[Source]:
    return [source for source in house if source.path.startswith(("kernels/", "numbagrad/"))]


@pytest.mark.parametrize(
    "rule",
    [kernels_know_nothing_above, numba_behind_its_doors, no_loops_over_elements, imports_run_down, devices_agree, folders_are_packages],
)
def test_house_rule(rule, ours):
    assert ours
    assert rule(ours) == []


def test_package_list(ours):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert packages_listed(config["options"]["packages"].split(), ours) == []


def test_files_are_short(house):
    assert files_are_short(house) == []


def test_exceptions_are_needed(ours):
    """An exception that no longer excuses anything goes."""
    without = imports_run_down(ours, {})
    for name in UPWARD:
        module, target = name.split(" -> ")
        assert any(f"{module} imports {target}," in complaint for complaint in without), f"{name} excuses nothing"
    paths = {source.path for source in ours}
    assert set(ELEMENT_LOOPS) <= paths
    for path in LONG_FILES:
        assert (ROOT / path).read_text(encoding="utf-8").count("\n") > MAX_LINES, f"{path} is short by now"


# ---- the rules, on sources that break them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule, path, text",
    [
        (kernels_know_nothing_above, "kernels/x.py", "import numbagrad"),
        (kernels_know_nothing_above, "kernels/x.py", "from numbagrad.kernels import copy"),
        (kernels_know_nothing_above, "kernels/x.py", "from ..tensor import Tensor"),
        (kernels_know_nothing_above, "kernels/f/cpu.py", "def g():\n    from ...tensor import Tensor"),
        (kernels_know_nothing_above, "kernels/f/cpu.py", "from kernels import copy"),
        (numba_behind_its_doors, "kernels/f/cpu.py", "from numba import njit"),
        (numba_behind_its_doors, "kernels/f/cpu.py", "def g():\n    import llvmlite.ir as ir"),
        (numba_behind_its_doors, "kernels/_cpu/x.py", "from numba import cuda"),
        (numba_behind_its_doors, "numbagrad/x.py", "import numba"),
        (no_loops_over_elements, "numbagrad/tensor.py", "for x in a.flat:\n    pass"),
        (no_loops_over_elements, "numbagrad/tensor.py", "for i in range(a.numel()):\n    pass"),
        (no_loops_over_elements, "numbagrad/tensor.py", "[f(x) for i, x in enumerate(np.nditer(a))]"),
        (no_loops_over_elements, "numbagrad/tensor.py", "g = np.vectorize(f)"),
        (no_loops_over_elements, "numbagrad/tensor.py", "@njit\ndef f(): pass"),
        (imports_run_down, "numbagrad/tensor.py", "from . import nn"),
        (imports_run_down, "numbagrad/tensor.py", "from .nn import Module"),
        (imports_run_down, "numbagrad/tensor.py", "def f():\n    from .nn import Module"),
        (imports_run_down, "numbagrad/autograd/graph.py", "import numbagrad.tensor"),
        (imports_run_down, "numbagrad/data/x.py", "from ..vision.datasets import MNIST"),
        (imports_run_down, "numbagrad/data/x.py", "from .. import vision"),
        (imports_run_down, "numbagrad/tensor.py", "import numbagrad.vision.datasets.mnist as m"),
        (imports_run_down, "numbagrad/unheard_of.py", ""),
        (folders_are_packages, "kernels/f/cpu.py", ""),
    ],
)
def test_rule_finds(rule, path, text):
    lawful = [Source("numbagrad/nn/__init__.py", ""), Source("numbagrad/vision/__init__.py", ""), Source("numbagrad/tensor.py", "")]
    lawful += [Source("kernels/__init__.py", ""), Source("kernels/_cpu/__init__.py", "from numba import njit")]
    lawful += [Source("numbagrad/__init__.py", "from .tensor import Tensor\nfrom . import nn")]
    lawful = [source for source in lawful if source.path != path]
    assert rule(lawful) == []
    assert len(rule([*lawful, Source(path, text)])) == 1


def test_imports_for_type_checkers_may_run_up():
    text = "if TYPE_CHECKING:\n    from ..tensor import Tensor\nelse:\n    Tensor = None"
    assert imports_run_down([Source("numbagrad/autograd/graph.py", text)]) == []


def test_upward_imports_need_a_reason():
    sources = [Source("numbagrad/tensor.py", "def f():\n    from .nn import Module"), Source("numbagrad/nn/__init__.py", "")]
    assert imports_run_down(sources, {"numbagrad.tensor -> numbagrad.nn": "because"}) == []
    eager = [Source("numbagrad/tensor.py", "from .nn import Module"), sources[1]]
    assert len(imports_run_down(eager, {"numbagrad.tensor -> numbagrad.nn": "because"})) == 1


@pytest.mark.parametrize(
    "cuda, complaints",
    [
        ("def f(x, y=1): pass", 0),
        ('__all__ = ["f"]\nfrom ._tile import f', 0),
        ("from ._tile import f", 1),
        ("def f(x, y=2): pass", 1),
        ("def f(x): pass", 1),
        ("def f(y, x=1): pass", 1),
        ("def f(x, *, y=1): pass", 1),
        ("def f(x, y=1): pass\ndef g(): pass", 1),
        ("def _f(x, y=1): pass", 2),  # the contract misses it as well
    ],
)
def test_devices_that_disagree(cuda, complaints):
    sources = [
        Source("kernels/f/__init__.py", "def g(x):\n    return _on(x).f(x)"),
        Source("kernels/f/cpu.py", "@kernel\ndef k(lo, hi): pass\ndef f(x, y=1): pass"),
        Source("kernels/f/_tile.py", "def f(x, y=1): pass"),
    ]
    assert devices_agree(sources) == []
    assert len(devices_agree([*sources, Source("kernels/f/cuda.py", cuda)])) == complaints


def test_contract_that_calls_nothing_there():
    sources = [Source("kernels/f/__init__.py", "_on(x).h(x)"), Source("kernels/f/cpu.py", "def f(x): pass")]
    assert len(devices_agree(sources)) == 1


def test_package_list_that_is_wrong():
    sources = [Source("numbagrad/__init__.py", ""), Source("kernels/__init__.py", ""), Source("kernels/f/__init__.py", "")]
    listed = ["numbagrad", "numbagrad.kernels", "numbagrad.kernels.f"]
    assert packages_listed(listed, sources) == []
    assert len(packages_listed(listed[:2], sources)) == 1
    assert len(packages_listed([*listed, "numbagrad.g"], sources)) == 1
    assert len(packages_listed([*listed, "numbagrad"], sources)) == 1


def test_file_that_is_long():
    assert files_are_short([Source("numbagrad/a.py", "\n" * MAX_LINES)]) == []
    assert len(files_are_short([Source("numbagrad/a.py", "\n" * (MAX_LINES + 1))])) == 1
