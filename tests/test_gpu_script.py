"""``make gpu``: every step runs whatever became of the others, and none hides another's failure."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "scripts" / "gpu.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_steps(script):
    found = list(script.steps("python", "/usr/bin/compute-sanitizer", Path("out")))
    assert {step.kind for step in found} == {"tests", "sanitizers", "examples", "benchmarks"}
    assert not any(step.missing for step in found)
    assert [step.command[2] for step in found if step.kind == "sanitizers"] == ["memcheck", "racecheck", "initcheck"]
    root = SCRIPT.parents[2]
    for step in found:
        for word in step.command:
            if word.startswith(("examples/", "tests/")):
                assert (root / word).exists()
    without = [step for step in script.steps("python", None, Path("out")) if step.missing]
    assert [step.kind for step in without] == ["sanitizers"] * 3


def test_every_step_runs_and_every_failure_is_reported(script, monkeypatch, capfd):
    def program(text):
        return [sys.executable, "-c", text]

    monkeypatch.setattr(
        script,
        "steps",
        lambda *_: [
            script.Step("tests", "first", program("raise SystemExit(3)")),
            script.Step("sanitizers", "absent", ["nothing"], "it is not installed"),
            script.Step("examples", "second", program("import numbagrad as ng; print('version', ng.__version__[0])")),
            script.Step("benchmarks", "third", ["/no/such/program"]),
        ],
    )
    real = script.run
    monkeypatch.setattr(script, "run", lambda step: script.Outcome(step, 0, 0.0) if step.kind == "device" else real(step))
    assert script.main([]) == 1
    out = capfd.readouterr().out
    for text in ("FAILED (status 3)", "skipped: it is not installed", "passed", "FAILED (status 127)", "version 0", "2 of 4 steps failed"):
        assert text in out
    assert script.main(["--only", "examples"]) == 0
    assert "no step failed" in capfd.readouterr().out


def test_without_a_gpu_nothing_is_run(script, monkeypatch, capfd):
    monkeypatch.setattr(script, "run", lambda step: script.Outcome(step, 1, 0.0))
    assert script.main([]) == 2
    assert "needs an NVIDIA GPU" in capfd.readouterr().out
