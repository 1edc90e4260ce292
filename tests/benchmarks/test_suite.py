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


@pytest.mark.parametrize(
    "wrong",
    [
        ["nothing"],
        ["--device", "tpu"],
        ["--fail-on-regression"],
        ["--threads", "-3"],
        ["--threads", "0"],
        ["--threads", "two"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
    ],
)
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        command.arguments(wrong)
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err


def write(path: Path, factor: float = 1.0, commit: str = "", **options: object) -> Path:
    row = {"suite": "ops", "family": "f", "name": "n", "goals": [], "samples": {"numbagrad": [factor * x for x in (1.0, 1.01, 1.02)]}}
    machine = {"cpu": "x", "cores": 1, "os": "y", "python": "3", "date": "2026-01-02", "commit": commit}
    stored = {"format": 1, "machine": machine, "options": options, "peaks": {}, "rows": [row], "complete": True}
    path.write_text(json.dumps(stored))
    return path


@pytest.mark.parametrize("option", ["--readme", "--compare", "--load"])
def test_wrong_files(option, tmp_path, capsys):
    broken = tmp_path / "broken.json"
    broken.write_text(write(tmp_path / "x.json").read_text()[:-10])
    for file, said in ((broken, "holds no results of format 1"), (tmp_path / "missing", "No such file"), (tmp_path, "directory")):
        with pytest.raises(SystemExit) as caught:
            command.main([option, str(file)])
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert f"error: {option}" in error and said in error and str(file) in error


def test_readme(tmp_path, capsys, monkeypatch):
    """Only results that were saved of a known commit go there; the README stays as it was otherwise."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "FOLDER", tmp_path / "results")
    command.FOLDER.mkdir()
    readme = tmp_path / "README.md"
    readme.write_text(f"{command._readme.BEGIN}\n{command._readme.END}\n")
    before = readme.read_text()
    refused = {
        "expected a file in": write(tmp_path / "elsewhere.json", commit="abc"),
        "--quick": write(command.FOLDER / "quick.json", commit="abc", quick=True),
        "an unknown one": write(command.FOLDER / "unknown.json"),
    }
    for said, file in refused.items():
        with pytest.raises(SystemExit) as caught:
            command.main(["--readme", str(file)])
        assert caught.value.code == 2 and readme.read_text() == before
        error = capsys.readouterr().err
        assert f"--readme {file}: expected" in error and said in error
    good = write(command.FOLDER / "good.json", commit="abc")
    assert command.main(["--readme", str(good)]) == 0 and "commit abc" in readme.read_text()
    readme.write_text("no place")
    with pytest.raises(SystemExit) as caught:
        command.main(["--readme", str(good)])
    assert caught.value.code == 2 and "no place for the results" in capsys.readouterr().err


def test_nothing_without_us(tmp_path, capsys, monkeypatch):
    """Where numbagrad itself cannot run there is no table, no file, and no success."""
    monkeypatch.setattr(command, "meet", lambda *_: {"numpy": {"version": "2", "threads": None}})
    assert command.main(["--vs", "numpy", "--quick", "--json", str(tmp_path / "x.json")]) == 1
    assert "without numbagrad" in capsys.readouterr().out and not (tmp_path / "x.json").exists()


def test_load_and_compare(tmp_path, capsys):
    old, new = write(tmp_path / "old.json", 1.0), write(tmp_path / "new.json", 2.0)
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
