"""The processes that are measured, what is asked of them, and what becomes of those that do not answer."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks._cases import declared, select
from benchmarks._children import Child, Contestant, Failed, Lost, run_once
from benchmarks._declare import SUITES, Case, count
from benchmarks._libraries import LIBRARIES, environment
from benchmarks._results import Row
from benchmarks._turns import Arena, Effort, difference, ours_first, plan
from tests.benchmarks import fakes

FAKES = ("tests.benchmarks.fakes",)
EFFORT = Effort(bursts=3, seconds=1e-4, samples=2, timeout=20, modules=FAKES)
THREADS_OF_JAX = """
import json, os, jax
a = jax.numpy.ones((300, 300))
(a @ a).block_until_ready()
names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
print(json.dumps({"": sum("XLAEigen" in name for name in names)}))
"""
ONE, REMEMBERED, SCALING, NUMBERS = fakes.cases()


@pytest.fixture(scope="module")
def arena():
    arena = Arena(EFFORT)
    yield arena
    arena.close()


def measured(arena: Arena, *names: str, case: Case = ONE) -> Row:
    return arena.measure(case, Row(case.suite, case.family, case.name), [Contestant(name) for name in names])


# ---- the protocol -----------------------------------------------------------------------------------------------------------------------


def test_protocol(tmp_path):
    child = Child(Contestant("numpy"), modules=FAKES, timeout=20)
    try:
        assert child.greeting["version"] == np.__version__
        assert child.ask("build", case=ONE.id) == {}
        assert child.ask("check", file=str(tmp_path / "x.npz")) == {"arrays": 2}
        with np.load(tmp_path / "x.npz") as arrays:
            np.testing.assert_array_equal(arrays["arr_1"], arrays["arr_0"] / 2 + 1)
        iterations = child.ask("calibrate", seconds=1e-3)["iterations"]
        assert 10 < iterations < 100_000
        assert 1e-8 < child.ask("burst", iterations=iterations)["seconds"] < 1e-2
        assert child.ask("recheck", file=str(tmp_path / "y.npz")) == {"arrays": 2}
        with np.load(tmp_path / "x.npz") as before, np.load(tmp_path / "y.npz") as after:
            np.testing.assert_array_equal(after["arr_0"], before["arr_0"][::-1])
        for request in ("explode", "__init__", "answer"):
            with pytest.raises(Failed, match="no such request"):
                child.ask(request)
        with pytest.raises(Failed, match="KeyError"):
            child.ask("build", case="nothing")
        assert child.ask("build", case=ONE.id) == {}  # it lives on
    finally:
        child.close()
    with pytest.raises(Lost):
        child.ask("build", case=ONE.id)


def test_environment():
    assert environment(None, default_allocator=True) == {}
    assert set(environment(None, False)) == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert {environment(3, True)[name] for name in ("NUMBAGRAD_NUM_THREADS", "OMP_NUM_THREADS", "NPROC", "NUM_CPU_THREADS")} == {"3"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_of_jax():
    pytest.importorskip("jax")
    for threads in (1, 3):
        assert run_once(THREADS_OF_JAX, Contestant("jax", threads=threads), True, 60) == {"": threads}


# ---- those who fail ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("numpy", "wrong", "same"), ("wrong", "numpy", "same"), ("same", "numpy")])
def test_only_equal_results_are_timed(arena, names):
    """Right is what most say, whoever comes first."""
    row = measured(arena, *names)
    assert set(row.samples) == {"numpy", "same"} and len(row.samples["numpy"]) == EFFORT.bursts
    assert set(row.errors) == {"wrong"} & set(names)
    assert all(
        "result 0 differs in" in error and f"({names[0] if names[0] != 'wrong' else 'numpy'}'s)" in error for error in row.errors.values()
    )


@pytest.mark.parametrize("names", [("numpy", "wrong"), ("wrong", "numpy"), ("numpy", "wrong", "also wrong", "same")])
def test_nobody_is_timed_where_opinions_are_divided(arena, names):
    row = measured(arena, *names)
    assert not row.samples and set(row.errors) == set(names)
    assert "(wrong's)" in row.errors["numpy"] and "(numpy's)" in row.errors["wrong"]


@pytest.mark.parametrize("case, name", [(ONE, "tiring"), (REMEMBERED, "same")])
def test_results_are_compared_again_after_the_bursts(arena, case, name):
    """Those of a second way that is only taken later, and of one that has not noticed that the numbers are others now."""
    row = measured(arena, "numpy", name, case=case)
    assert not row.samples and "after the bursts result 0 differs" in row.errors[name]


@pytest.mark.parametrize("name, error", [("dying", "status 3"), ("late", "status 4"), ("refusing", "ValueError: no arrays")])
def test_the_rest_goes_on(arena, name, error):
    row = measured(arena, name, "numpy")
    assert error in row.errors[name] and name not in row.samples
    assert len(row.samples["numpy"]) == EFFORT.bursts and "numpy" not in row.errors
    assert len(measured(arena, "numpy").samples["numpy"]) == EFFORT.bursts


def test_last_words(arena):
    assert "a last word" in measured(arena, "dying").errors["dying"]


def test_hanging_is_noticed():
    hasty = Arena(Effort(bursts=2, seconds=1e-4, timeout=3, modules=FAKES))
    try:
        row = measured(hasty, "numpy", "hanging")
        assert "no answer in 3 s" in row.errors["hanging"] and len(row.samples["numpy"]) == 2
        _check_numbers(hasty)
    finally:
        hasty.close()


def _check_numbers(arena: Arena) -> None:
    """A program's numbers become rows; the errors of the others stand beside them."""
    a, b = arena.run(NUMBERS, [Contestant("numpy"), Contestant("wrong"), Contestant("hanging")])
    assert (a.name, a.unit, b.name, b.unit) == ("numbers: a", "B", "numbers: b", "s")
    samples = arena.effort.samples or NUMBERS.samples
    assert a.samples == {"numpy": [2] * samples} and b.samples == {"numpy": [3.5] * samples}
    assert "not today" in a.errors["wrong"] and "did not end" in a.errors["hanging"]
    assert [good for _, _, good in a.verdicts()] == [None]


def test_unavailable_is_remembered(arena):
    assert arena.child(Contestant("absent")) is None and arena.unavailable["absent", "cpu"] == "it is not here"
    row = measured(arena, "numpy", "absent")
    assert list(row.samples) == ["numpy"] and not row.errors


# ---- comparing results ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found, expected, agree",
    [
        ([1.0, 2.0], [1.0, 2.0001], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([1e-9, 1.0], [0.0, 1.0], True),  # small beside the others
        ([np.nan, np.inf], [np.nan, np.inf], True),
        ([np.nan, 1.0], [1.0, 1.0], False),
        ([1.0, 1.0], [np.nan, 1.0], False),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([], [], True),
        ([[1.0, 2.0]], [1.0, 2.0], False),
    ],
)
def test_difference(found, expected, agree):
    assert (difference(np.array(found, np.float32), np.array(expected, np.float32), 1e-4) == "") is agree


def test_difference_of_other_types():
    assert difference(np.arange(3), np.arange(3).astype(np.int32), 1e-4) == ""
    assert "of 3" in difference(np.array([0, 1, 3]), np.arange(3), 1e-4)
    types = (np.float64, np.float32, np.int64, np.bool_)
    for i, found in enumerate(types):
        for expected in types[:i] + types[i + 1 :]:  # with the same numbers
            assert "has dtype" in difference(np.ones(3, found), np.ones(3, expected), 1e-4)


@pytest.mark.parametrize(
    "found, expected, agree",
    [
        ([1.0, 1.0, 1.0, 1.1], [1.0] * 4, True),  # 0.05 in the root mean square
        ([1.0, 1.0, 1.0, 1.3], [1.0] * 4, False),
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [1.0, 1.0], False),
        ([0.0, 0.0], [0.0, 1.0], False),
        ([], [], True),
    ],
)
def test_difference_overall(found, expected, agree):
    assert (difference(np.array(found, np.float32), np.array(expected, np.float32), 0.1, overall=True) == "") is agree


# ---- what is declared -------------------------------------------------------------------------------------------------------------------


def test_declarations():
    found = list(declared())
    assert {case.suite for case in found} == set(SUITES)
    assert all(any(case.suite == suite for case in select([suite], quick=True)) for suite in SUITES)
    assert all(case.goals for case in select(["goals"])) and len(select(["goals"])) > 30
    known = {*LIBRARIES, *(library.api for library in LIBRARIES.values())}
    for case in found:
        assert set(case.builders if isinstance(case, Case) else case.programs) <= known, case.id
        assert all(goal.ratio > 0 or goal.at_most > 0 for goal in case.goals), case.id


def test_select():
    assert [case.id for case in select(["ops"], "fake TWICE", modules=FAKES)] == [ONE.id]
    assert {case.id for case in select([], "fake twice | fake numbers", modules=FAKES)} == {ONE.id, SCALING.id, NUMBERS.id}
    assert select([], "no such words") == []


@pytest.mark.parametrize("n, text", [(1, "1"), (10, "10"), (1000, "1e3"), (65536, "65536"), (10_000_000, "1e7"), (4100, "4100")])
def test_count(n, text):
    assert count(n) == text


def test_plan():
    ((row, contestants),) = plan(ONE, ["numpy", "wrong", "torch"], ["cpu", "cuda"], 0, [1, 2])
    assert [contestant.label for contestant in contestants] == ["numpy", "wrong"] and row.device == "cpu"
    (one, alone), (two, both) = plan(SCALING, ["numpy"], ["cpu"], 0, [1, 2])
    assert [c.label for c in alone] == ["numpy@1"] and [c.label for c in both] == ["numpy@2", "numpy@1"]
    assert not one.goals and two.goals[0].peer == "numpy@1" and two.name == "twice, 2 threads"
    assert Contestant("numpy", threads=2, tagged=True) == Contestant("numpy", threads=2)  # one process for both
    assert ours_first(["torch", "numbagrad", "jax"]) == ["numbagrad", "torch", "jax"]
