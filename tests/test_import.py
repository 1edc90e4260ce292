"""``import numbagrad`` is quick: it compiles nothing, runs no kernel, and leaves Python's collector of garbage as it was."""

from __future__ import annotations

import functools
import gc
import inspect
import os
import subprocess
import sys

import pytest

import numbagrad as ng
from numbagrad.kernels import _collector, _parameters


def _printed(code: str, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_compiled_or_kept(tmp_path):
    code = """
from numba.core import event
class Seen(event.Listener):
    def on_start(self, found): print(found.data["dispatcher"])
    def on_end(self, found): pass
event.register("numba:compile", Seen())
import numbagrad
"""
    assert _printed(code, NUMBAGRAD_CACHE_DIR=str(tmp_path)) == ""
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("before, after", [("gc.enable()", "True"), ("gc.disable()", "False")])
def test_the_collector_is_as_it_was(before, after):
    assert _printed(f"import gc; {before}\nimport numbagrad; print(gc.isenabled())").split() == [after]


def test_what_was_imported_counts_as_old():
    code = "import gc, numbagrad; young = sum(len(gc.get_objects(i)) for i in (0, 1)); print(young < 5000 < len(gc.get_objects(2)), gc.get_freeze_count())"
    assert _printed(code).split() == ["True", "0"]


def test_an_error_while_the_collector_rests():
    assert gc.isenabled()
    with pytest.raises(KeyError), _collector.resting():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_objects_kept_away_from_the_collector_stay_so():
    code = """
import gc
gc.freeze()
before = gc.get_freeze_count()
import numbagrad
print(gc.get_freeze_count() > before // 2)  # some of them are gone"""
    assert _printed(code).split() == ["True"]


def test_operations_inside_a_formula_run_no_kernel():
    calls = []
    run = ng.ops._elementwise.kernels.run

    @ng.elementwise
    def finite_or_zero(x):
        return ng.where(ng.isfinite(x), x, 0.0)

    try:
        ng.ops._elementwise.kernels.run = lambda *args, **named: calls.append(args)

        @ng.elementwise
        def both(x, y):
            return ng.tanh(x) + finite_or_zero(y)

    finally:
        ng.ops._elementwise.kernels.run = run
    assert calls == []
    assert both(ng.tensor([0.0, 0.0]), ng.tensor([1.0, float("inf")])).tolist() == [1.0, 0.0]


def _keywords(a, /, b, c=1, *, d, e=None): ...


@functools.wraps(_keywords)
def _wrapped(*args, **named): ...


class _Called:
    def __call__(self, x, y=2): ...


@pytest.mark.parametrize(
    "function", [_keywords, _wrapped, _Called(), functools.partial(_keywords, 1), lambda *rest, k=0, **more: 0, lambda: 0, gc.is_tracked]
)
def test_parameters_are_those_of_the_signature(function):
    expected = {p.name: p.default for p in inspect.signature(function).parameters.values()}
    assert list(_parameters.of(function).items()) == list(expected.items())


def test_a_signature_of_its_own_counts():
    def function(*values): ...

    function.__signature__ = inspect.Signature([inspect.Parameter("g", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    assert list(_parameters.of(function)) == ["g"]
