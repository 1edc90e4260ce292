"""What is installed: dependencies, versions, and (marked ``packaging``) distributions built and installed in environments of their own."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from numbagrad import __version__

ROOT = Path(__file__).resolve().parents[1]
CORE = {"numpy", "numba", "llvmlite", "safetensors"}
# Imported where they are asked for, by parts of the package that work only with them.
OPTIONAL = {"scipy", "sklearn", "onnx", "tensorboard", "matplotlib", "PIL"}

TRAINING_STEP = """
import sys
from pathlib import Path
import numpy as np
import numbagrad as ng
from numbagrad import nn, optim

where = Path(ng.__file__).resolve()
assert Path(sys.argv[1]).resolve() in where.parents, where
ng.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
step = optim.SGD(net.parameters(), lr=0.5)
x, y = ng.randn(32, 4), ng.arange(32) % 3
losses = []
for _ in range(20):
    step.zero_grad()
    loss = nn.CrossEntropyLoss()(net(x), y)
    loss.backward()
    step.step()
    losses.append(loss.item())
assert losses[-1] < losses[0], losses
from numbagrad.utils.data import DataLoader, TensorDataset
assert len(list(DataLoader(TensorDataset(x, y), batch_size=8))) == 4
print("trained", ng.__version__, ng.kernels.__file__)
"""


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def requirement_names(text: str) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", line.strip())[0] for line in text.splitlines() if line.strip()}


def test_one_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert setup_cfg()["metadata"]["version"] == "attr: numbagrad.__version__"
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text() or "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_core_dependencies_are_the_four():
    assert requirement_names(setup_cfg()["options"]["install_requires"]) == CORE


def test_imports_are_declared():
    """Everything the package imports is its own, Python's, or a dependency."""
    allowed = CORE | OPTIONAL | {"numbagrad", "__future__"} | set(sys.stdlib_module_names)
    strangers = set()
    for folder in ("kernels", "numbagrad"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                strangers |= {(path.relative_to(ROOT).as_posix(), name) for name in names if name.split(".")[0] not in allowed}
    if (ROOT / "kernels" / "_cuda").exists():
        strangers = {(path, name) for path, name in strangers if "kernels/_cuda" not in path}
    assert strangers == set()


def test_extras():
    extras = setup_cfg()["options.extras_require"]
    assert {"cuda", "examples", "test", "lint", "mpi"} <= set(extras)
    assert "numba-cuda==0.30.*" in extras["cuda"] and "nvidia-nvjitlink==13.0.*" in extras["cuda"]


def test_kernels_link():
    link = ROOT / "numbagrad" / "kernels"
    assert link.is_symlink() and os.readlink(link) == "../kernels"
    assert (ROOT / "numbagrad" / "py.typed").exists()


# ---- distributions ----------------------------------------------------------------------------------------------------------------------


def run(*command: object, cwd: Path, **environment: str) -> str:
    """The command's output.  It runs without the variables that would let it see this checkout, and fails the test if it fails."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**clean, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the sources: building leaves nothing in the tree, and finds nothing there that an earlier build has left."""
    copy = tmp_path_factory.mktemp("checkout") / "numbagrad"
    made = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=made)
    return copy


@pytest.fixture(scope="module")
def distributions(checkout, tmp_path_factory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, checkout, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.fixture(scope="module")
def environment(distributions, tmp_path_factory) -> Iterator[Path]:
    """The Python of an environment that holds nothing but the wheel with its dependencies, and pytest."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", distributions["wheel"], "pytest", cwd=folder)
    yield python
    shutil.rmtree(folder)  # pytest would keep its last three


def expected_files() -> set[str]:
    """Where the package's modules are found in a wheel."""
    files = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "numbagrad").rglob("*.py") if "numbagrad/kernels/" not in path.as_posix()
    }
    return files | {f"numbagrad/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")} | {"numbagrad/py.typed"}


@pytest.mark.packaging
def test_wheel_holds_every_module(distributions):
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    information = {name for name in names if ".dist-info/" in name}
    assert names - information == expected_files()
    assert any(name.endswith("licenses/LICENSE") for name in information)
    assert f"Version: {__version__}" in metadata and "License-Expression: Apache-2.0" in metadata
    assert {"numpy", "numba", "llvmlite", "safetensors"} == {
        re.split(r"[^A-Za-z0-9_-]", line.removeprefix("Requires-Dist: "))[0]
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }


@pytest.mark.packaging
def test_sdist_holds_every_module(distributions):
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    modules = {name.replace("numbagrad/kernels/", "kernels/") for name in expected_files()}
    assert modules <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "setup.cfg", "pyproject.toml", "tests/test_packaging.py"} <= names


@pytest.mark.packaging
def test_wheel_trains_outside_of_the_checkout(environment, tmp_path):
    assert "trained" in run(environment, "-c", TRAINING_STEP, environment.parents[1], cwd=tmp_path)


@pytest.mark.packaging
@pytest.mark.parametrize("mode", ["install", "editable", "editable_mode=strict", "editable_mode=compat"])
def test_install_from_the_checkout(environment, checkout, tmp_path, mode):
    options = [] if mode == "install" else ["--editable"]
    settings = ["--config-settings", mode] if "=" in mode else []
    run(environment, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", *settings, *options, checkout, cwd=tmp_path)
    # A strict installation links file by file into a folder of its own inside the checkout.
    home = environment.parents[1] if mode == "install" else checkout
    assert "trained" in run(environment, "-c", TRAINING_STEP, home, cwd=tmp_path)


@pytest.mark.packaging
def test_bare_checkout(environment, checkout, tmp_path):
    """Without installing anything, from the root: scripts, ``python -m pytest`` and ``pytest``."""
    run(environment, "-m", "pip", "uninstall", "--quiet", "--yes", "numbagrad", cwd=tmp_path)
    assert "trained" in run(environment, "-c", TRAINING_STEP, checkout, cwd=checkout)
    selected = ["-q", "-p", "no:cacheprovider", "tests/test_house.py", "tests/test_packaging.py", "-k", "version or house_rule"]
    assert "passed" in run(environment, "-m", "pytest", *selected, cwd=checkout)
    assert "passed" in run(environment.with_name("pytest"), *selected, cwd=checkout)
