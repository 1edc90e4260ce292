"""``python -m tests.torch_samples [name ...]``: which entries of PyTorch's databases numbagrad covers, and what stands against the others.

``nn.functional.conv1d`` is an operation, ``nn.Conv1d`` a module.
"""

from __future__ import annotations

import fnmatch
import sys
import warnings

from . import translate
from .entries import check_errors, check_gradients, check_in_place, check_out, check_values, entries
from .modules import CHECKS as MODULE_CHECKS
from .modules import modules

OPERATION_CHECKS = (check_values, check_gradients, check_in_place, check_out, check_errors)


def verdict(entry, checks=OPERATION_CHECKS) -> str:
    """Empty where everything is right; else what is not."""
    for check in checks:
        try:
            check(entry)
        except translate.Missing as missing:
            return f"missing: {missing}"
        except Exception as error:
            lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
            return f"{check.__name__.removeprefix('check_').removeprefix('module_')}: {' | '.join(lines[:4])[:400]}"
    return ""


def main() -> None:
    warnings.simplefilter("ignore")
    kinds = {**dict.fromkeys(entries(), OPERATION_CHECKS), **dict.fromkeys(modules(), MODULE_CHECKS)}
    found = {**entries(), **modules()}
    names = [n for n in found if not sys.argv[1:] or any(fnmatch.fnmatchcase(n, a) for a in sys.argv[1:])]
    right = 0
    for name in sorted(names):
        said = verdict(found[name], kinds[name])
        right += not said
        print(f"{name:45s} {said or 'ok'}", flush=True)
    print(f"{right} of {len(names)}")


if __name__ == "__main__":
    main()
