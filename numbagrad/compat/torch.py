"""``python -m numbagrad.compat.torch script.py [arguments]``: run a script written for PyTorch, as it is, on numbagrad.

In that process, in those it forks and in the workers of its DataLoaders, ``import torch``, ``torch.nn``, ``torchvision.datasets`` and so on give
numbagrad's modules.  An installed PyTorch is neither imported nor touched, and no other process sees a difference.  A name that numbagrad does not have
raises AttributeError or ImportError saying so.

``install()`` does the same for the process that calls it, as long as it has not imported PyTorch.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Sequence

from ..data import worker

__all__ = ["install", "main"]

# What each package of a script's imports is here.  The version says which PyTorch the names follow.
_PACKAGES = {"torch": "numbagrad", "torchvision": "numbagrad.vision"}
_VERSIONS = {"torch": "2.13.0+numbagrad", "torchvision": "0.28.0+numbagrad"}


class _Alias(ModuleType):
    """A module under PyTorch's name, whose names are those of one of numbagrad's."""

    def __init__(self, name: str, target: ModuleType):
        super().__init__(name, target.__doc__)
        self.__dict__["_target"] = target
        self.__path__: list[str] = []  # any of them may have modules within
        if name in _VERSIONS:
            self.__version__ = _VERSIONS[name]
        if hasattr(target, "__all__"):
            self.__all__ = target.__all__

    def __getattr__(self, name: str) -> Any:
        target = self.__dict__["_target"]
        try:
            found = getattr(target, name)
        except AttributeError:
            if not name.startswith("_"):
                raise AttributeError(f"{self.__name__}.{name}: numbagrad does not have it (looked for {target.__name__}.{name})") from None
            raise
        if isinstance(found, ModuleType) and found.__name__.startswith("numbagrad."):
            return _module(f"{self.__name__}.{name}", found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        """What a script sets on a module (``torch.backends.cudnn.benchmark = True``) is set on numbagrad's."""
        if name.startswith("__") or isinstance(value, _Alias):
            super().__setattr__(name, value)
        else:
            setattr(self.__dict__["_target"], name, value)

    def __dir__(self) -> Sequence[str]:
        return dir(self.__dict__["_target"])


def _module(name: str, target: ModuleType) -> ModuleType:
    """The alias of ``target`` called ``name``, one for each name."""
    known = sys.modules.get(name)
    if known is None:
        known = sys.modules[name] = _Alias(name, target)
    return known


class _Finder(MetaPathFinder, Loader):
    """Finds ``torch...`` and ``torchvision...``, before any installed ones are looked for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in _PACKAGES:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Alias(spec.name, _target(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run: the names are looked up when they are asked for."""


def _target(name: str) -> Any:
    """numbagrad's module for ``torch.nn.functional``.  Raises ModuleNotFoundError, which says what is missing."""
    root, _, rest = name.partition(".")
    found: Any = importlib.import_module(_PACKAGES[root])
    for part in rest.split(".") if rest else ():
        inner = getattr(found, part, None)
        if inner is None:
            try:
                inner = importlib.import_module(f"{found.__name__}.{part}")
            except ModuleNotFoundError as error:
                if error.name != f"{found.__name__}.{part}":
                    raise
                raise ModuleNotFoundError(f"{name}: numbagrad does not have it", name=name) from None
        found = inner
    if not isinstance(found, ModuleType) and not hasattr(found, "__dict__"):
        raise ModuleNotFoundError(f"{name}: numbagrad does not have it", name=name)
    return found


def install() -> None:
    """Let ``import torch`` and ``import torchvision`` give numbagrad in this process from now on.  Raises RuntimeError where PyTorch is imported already."""
    taken = [name for name in _PACKAGES if name in sys.modules and not isinstance(sys.modules[name], _Alias)]
    if taken:
        raise RuntimeError(f"{taken[0]} is imported already; numbagrad can stand in for it only before that")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        worker.before_script.append(install)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script that the command line names, with the rest of it as its arguments, as ``python script.py`` would."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if arguments else 2)
    install()
    module = arguments[0] == "-m" and len(arguments) > 1
    script, rest = (arguments[1], arguments[2:]) if module else (arguments[0], arguments[1:])
    sys.argv = [script, *rest]
    if module:
        sys.path.insert(0, "")
        runpy.run_module(script, run_name="__main__", alter_sys=True)
        return
    if not Path(script).is_file():
        print(f"numbagrad.compat.torch: there is no script {script}", file=sys.stderr)
        sys.exit(2)
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    # By its name rather than as __main__, so that there is one of everything in it.
    from numbagrad.compat.torch import main as run

    run()
