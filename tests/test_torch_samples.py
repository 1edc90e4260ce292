"""Every entry of PyTorch's databases that numbagrad covers, on PyTorch's own samples: values, gradients, second gradients, in-place forms, errors.

``torch_samples/covered.txt`` lists the entries (a name that begins with ``nn.`` and a capital is a module).  What stands behind a name says where ours is
not PyTorch's: ``errors`` are not compared, or ``second`` gradients, with the reason.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's databases need it

from tests.torch_samples import translate
from tests.torch_samples.entries import check_errors, check_gradients, check_in_place, check_out, check_values, entries
from tests.torch_samples.modules import CHECKS as MODULE_CHECKS
from tests.torch_samples.modules import check_module_errors, modules

LINES = (Path(__file__).parent / "torch_samples" / "covered.txt").read_text().splitlines()
COVERED = {line.split()[0]: line.split()[1:] for line in LINES if line and not line.startswith("#")}
OPERATIONS = [name for name in COVERED if not translate.is_module(name)]
MODULES = [name for name in COVERED if translate.is_module(name)]


@pytest.fixture(scope="module")
def operations():
    return entries()


@pytest.fixture(scope="module")
def layers():
    return modules()


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name, operations):
    entry = operations[name]
    for check in (check_values, check_gradients, check_in_place, check_out):
        check(entry)
    if "errors" not in COVERED[name]:
        check_errors(entry)


@pytest.mark.parametrize("name", MODULES)
def test_module(name, layers):
    for check in MODULE_CHECKS:
        if check is not check_module_errors or "errors" not in COVERED[name]:
            check(layers[name])


def test_breadth():
    """The part of PyTorch's own database that is covered."""
    assert len(OPERATIONS) >= 420


def test_no_name_is_unknown(operations, layers):
    assert [name for name in COVERED if name not in operations and name not in layers] == []
