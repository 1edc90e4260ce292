"""The benchmarks on a GPU: whose rows there are, by which clocks, and the whole of it at tiny sizes."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as program
from benchmarks._cases import select
from benchmarks._libraries import LIBRARIES
from benchmarks._results import Results, Row
from benchmarks._server import Server
from benchmarks._turns import plan
from tests.cuda.tensors import ON_A_GPU


def on_a_gpu(test):
    for mark in ON_A_GPU:
        test = mark(test)
    return test


def rows(text: str, devices: tuple[str, ...] = ("cpu", "cuda")) -> list[tuple[Row, list[str]]]:
    """The rows of one case, and who takes part."""
    (case,) = select((), text)
    found = plan(case, ["numbagrad", "torch", "numpy", "copy"], [d for d in devices if case.on(d)], 0, [1])
    return [(row, [c.library for c in who]) for row, who in found]


def test_goals_are_for_one_device_and_one_clock():
    cpu, events, wall = rows("ops/conv2d/64x1->32 f+b")
    assert [row.where for row, _ in (cpu, events, wall)] == ["cpu", "cuda, events", "cuda"]
    assert cpu[0].goals and not events[0].goals and not wall[0].goals
    assert cpu[1] == ["numbagrad", "torch"] and events[1] == ["numbagrad", "torch"]
    assert len({row.key for row, _ in (cpu, events, wall)}) == 3


def test_the_rows_of_the_goals():
    (events, beside), (wall, _) = rows("gpu/elementwise/relu 256")
    assert (events.where, wall.where, events.goals[0].peer, events.goals[0].ratio) == ("cuda, events", "cuda", "copy", 0.92)
    assert beside == ["numbagrad", "torch", "copy"] and not wall.goals
    ((host, _),) = rows("gpu/launch/a + b")
    assert host.where == "cuda, host" and host.goals[0].at_most == 3e-6
    assert [row.where for row, _ in rows("gpu/train/CNN b64 sgd momentum b64, tf32")] == ["cuda"]
    names = {case.name for case in select(["gpu"])}
    for name in ("AB 4096", "64x64->64 56² k3 f+b"):
        assert {name, f"{name}, TF32"} <= names
    assert not [case.id for case in select(["gpu"]) if case.on("cpu")]


def test_without_a_gpu_it_says_what_is_missing(capsys):
    from numbagrad import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit) as stop:
        program.main(["gpu", "--quick", "--device", "cuda", "--vs", "numpy"])
    error = capsys.readouterr().err
    assert (
        stop.value.code == 2 and error.startswith("python -m benchmarks: error: --device cuda: ") and ("CUDA" in error or "NVIDIA" in error)
    )


@on_a_gpu
@pytest.mark.parametrize("clock", ["wall", "events", "host"])
def test_clocks(clock):
    library = LIBRARIES["numbagrad"]("cuda")
    library._copy = (lambda: None, 1.0)  # what keeps a GPU busy is too much for the simulator
    server = Server(library, {case.id: case for case in select(["gpu"], quick=True)})
    server.build("gpu/elementwise/formula tanh(x*2+1)*sigmoid(y) 1e3")
    assert server.burst(2, clock)["seconds"] > 0


@on_a_gpu
def test_a_run(tmp_path, capsys):
    file = tmp_path / "r.json"
    assert program.main(["gpu", "--quick", "--device", "cuda", "--filter", "add 1e3", "--vs", "numpy", "--json", str(file)]) == 0
    results = Results.load(file)
    assert [row.where for row in results.rows] == ["cuda, events", "cuda"]
    for row in results.rows:
        assert not row.errors and set(row.samples) == {"numbagrad", "copy"}
    assert results.machine["gpu"]["name"] and results.machine["gpu"]["memory_gib"] > 0
    assert results.machine["gpu"]["name"] in capsys.readouterr().out
