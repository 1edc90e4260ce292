"""The command as a user gives it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks._declare import SUITES
from benchmarks._results import Results

ROOT = Path(__file__).resolve().parents[2]
ONE_OF_EACH = "ops tanh 1e3 | MLP Adam b1 | launch a + b of 10 | compile import | memory mlp | threads AB 128"


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=300, **options
    )


def test_one_of_each_suite(tmp_path):
    file = tmp_path / "x.json"
    found = run(
        "--quick", "--vs", "numpy", "--threads", 1, "--filter", ONE_OF_EACH, "--json", file, "--fail-on-error", "--charts", tmp_path
    )
    assert found.returncode == 0, found.stdout + found.stderr
    results = Results.load(file)
    assert results.complete and {row.suite for row in results.rows} == set(SUITES)
    assert all("numbagrad" in label for row in results.rows for label in [row.ours]) and not any(row.errors for row in results.rows)
    assert results.peaks["gflops"] > 1 and results.peaks["copy_gbs"] > 0.1
    assert results.machine["cores"] >= 1 and results.options["libraries"]["numbagrad"]["threads"] == 1
    for word in ("vs numpy", "tanh 1e3", "Geometric means", "Goals:"):
        assert word in found.stdout
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "x-ratios-ops.png").exists()


def test_list(capsys):
    assert command.main(["goals", "--list", "--filter", "exp 1e6"]) == 0
    assert capsys.readouterr().out.splitlines() == ["ops/elementwise/exp 1e6   [>= 2 torch]"]


def test_who_is_missing_is_said(capsys, monkeypatch):
    monkeypatch.setattr(command.LIBRARIES["jax"], "installed", classmethod(lambda cls: False))
    options = command.arguments(["--vs", "jax,numpy"])
    assert command.peers(options, print) == ["numbagrad", "numpy"]
    assert "jax is not installed: skipped" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no such library"):
        command.peers(command.arguments(["--vs", "nobody"]), print)


@pytest.mark.parametrize("wrong", [["nothing"], ["--device", "tpu"], ["--fail-on-regression"]])
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit):
        command.arguments(wrong)
    assert "error:" in capsys.readouterr().err


def test_load_and_compare(tmp_path, capsys):
    def write(name: str, factor: float) -> Path:
        row = {"suite": "ops", "family": "f", "name": "n", "goals": [], "samples": {"numbagrad": [factor * x for x in (1.0, 1.01, 1.02)]}}
        machine = {"cpu": "x", "cores": 1, "os": "y", "python": "3", "date": "2026-01-02", "commit": ""}
        stored = {"format": 1, "machine": machine, "options": {}, "peaks": {}, "rows": [row], "complete": True}
        (tmp_path / name).write_text(json.dumps(stored))
        return tmp_path / name

    old, new = write("old.json", 1.0), write("new.json", 2.0)
    assert command.main(["--load", str(new), "--compare", str(old)]) == 0
    assert command.main(["--load", str(new), "--compare", str(old), "--fail-on-regression"]) == 1
    assert command.main(["--load", str(old), "--compare", str(new), "--fail-on-regression"]) == 0
    assert "REGRESSION" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_interrupted(tmp_path):
    """What was measured before a Ctrl-C is in the file, and no process stays behind."""
    file = tmp_path / "x.json"
    arguments = [sys.executable, "-u", "-m", "benchmarks", "ops", "--vs", "numpy", "--threads", "1", "--filter", "add", "--json", str(file)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "% m" in line:  # the first row
                process.send_signal(signal.SIGINT)
                break
        lines += process.stdout.readlines()
    assert process.returncode == 130, "".join(lines)
    results = Results.load(file)
    assert not results.complete and results.rows and "interrupted" in "".join(lines)
