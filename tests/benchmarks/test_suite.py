"""The command as a user gives it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks._cases import data
from benchmarks._declare import SUITES
from benchmarks._results import Results, Row

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
    assert results.complete and {row.suite for row in results.rows} == set(SUITES) - {"gpu"}
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
        ["--vs", "numpy,nobody"],
        ["--with", "no_such_module"],
        ["--with", "tests.benchmarks.test_turns"],  # it declares nothing
        ["--load", "x.json", "--json", "y.json"],
        ["--load", "x.json", "--save"],
        ["--save", "--quick"],
        ["--save", "--filter", "exp"],
        ["--save", "--json", "x.json"],
    ],
)
def test_wrong_arguments(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        command.arguments(wrong)
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err


@pytest.fixture
def no_run(monkeypatch):
    """Nobody is started."""
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("it began to measure"))


def test_nothing_is_called_that(no_run, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["ops", "--filter", "no such words"])
    assert caught.value.code == 2 and "no benchmark is called that" in capsys.readouterr().err


@pytest.mark.parametrize("option, name", [("--json", "file/x.json"), ("--json", "."), ("--charts", "file"), ("--charts", "file/deep")])
def test_places_that_cannot_be_written(option, name, no_run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        command.main(["--quick", option, str(tmp_path / name)])
    assert caught.value.code == 2 and f"error: {option} {tmp_path / name}: " in capsys.readouterr().err


def test_charts_without_matplotlib(tmp_path, capsys, monkeypatch):
    """It is said before anything is measured."""
    monkeypatch.setattr(command, "installed", lambda module: False)
    monkeypatch.setattr(command, "measure", lambda *_: print("measuring"))
    command.main(["--quick", "--charts", str(tmp_path)])
    said = capsys.readouterr().out
    assert said.index("charts need matplotlib") < said.index("measuring") and said.count("matplotlib") == 1


def test_interrupted_before_the_first_row(monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "meet", interrupted)
    assert command.main(["--quick", "--vs", "numpy"]) == 130


def saved(options: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> dict[str, str]:
    """The files after a made-up run of two rows; where ``broken``, the second one is interrupted."""

    def measure(options: object, benchmarks: object, results: Results, keeper: object, colour: bool) -> None:
        for i in range(2):
            if i and broken:
                raise KeyboardInterrupt
            results.rows.append(Row("ops", "f", f"n{i}", samples={"numbagrad": [1.0]}))
            keeper.keep(results)
        results.complete = True
        keeper.keep(results)

    monkeypatch.setattr(command, "FOLDER", folder)
    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(command, "draw_charts", lambda *_: True)
    monkeypatch.setattr(command._machine, "slug", lambda *_: "here")
    assert command.main(options) == (130 if broken else 0)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_save_replaces_whole_by_whole(tmp_path, monkeypatch, capsys):
    """An interrupted run leaves the file of an earlier one alone, and what it has beside it."""
    (tmp_path / "here.json").write_text("old")
    files = saved(["ops", "--save"], tmp_path, monkeypatch, broken=True)
    assert files.keys() == {"here.json", "here.json.partial"} and files["here.json"] == "old"
    assert not Results.load(tmp_path / "here.json.partial").complete and "here.json.partial" in capsys.readouterr().out
    files = saved(["ops", "--save"], tmp_path, monkeypatch, broken=False)
    assert files.keys() == {"here.json"} and Results.load(tmp_path / "here.json").complete
    assert str(tmp_path) not in files["here.json"], "where a run wrote its files is not part of its results"
    files = saved(["ops", "--save", "--default-allocator"], tmp_path, monkeypatch, broken=False)
    assert files.keys() == {"here.json", "here-default-allocator.json"}


def test_a_file_that_cannot_be_written_later(tmp_path, monkeypatch, capsys):
    """A full disk, say: the results are on the terminal, and the status tells."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Results, "save", refuse)
    keeper = command.Keeper(tmp_path / "x.json", whole=False)
    keeper.keep(Results({}, {}, rows=[Row("ops", "f", "n")]))
    assert "No space left" in keeper.trouble and keeper.written is None


def test_programs_and_threads_stay_on_the_cpu(capsys):
    """Their rows say nothing of another device, and are not there twice."""
    options = command.arguments(["--device", "cpu,cuda", "--vs", "torch"])
    benchmarks = command._cases.select()
    rows = command.planned(options, benchmarks, command.Arena(command.QUICK), ["numbagrad", "torch"], 2, print)
    on_cuda = {(row.suite, row.family) for _, row, _ in rows if row.device == "cuda"}
    assert ("ops", "matmul") in on_cuda and not {suite for suite, _ in on_cuda} & {"memory", "compile", "threads"}
    assert all(c.device == row.device for _, row, contestants in rows for c in contestants)
    said = capsys.readouterr().out
    assert "skipped on cuda" in said and all(word in said for word in ("memory/peak", "compile/start", "threads/matmul", "train/loader"))


def test_an_epoch_follows_the_device(monkeypatch):
    """The network and its batches go where the library is; the data set waits on the host."""
    torch = pytest.importorskip("torch")
    library = command.LIBRARIES["torch"]()
    monkeypatch.setattr(data, "N", 2 * data.BATCH)
    loader = data._loader(library)
    library.device = "meta"  # a device without numbers, which every PyTorch has
    nets, inputs = [], []

    def network(nn: object, name: str) -> object:
        nets.append(
            torch.nn.Sequential(torch.nn.Flatten(), *[torch.nn.Linear(784, 128), torch.nn.Linear(128, 64), torch.nn.Linear(64, 10)])
        )
        nets[0].register_forward_pre_hook(lambda net, given: inputs.append(given[0].device.type))
        return nets[0]

    monkeypatch.setattr(data, "network", network)
    monkeypatch.setattr(data, "_loader", lambda library: loader)
    assert data._epoch(library)() == [2]
    assert {parameter.device.type for parameter in nets[0].parameters()} == {"meta"} and inputs == ["meta", "meta"]


def test_a_module_beside_the_user(tmp_path):
    """--with finds a module where the command was given, in the processes of the libraries too."""
    (tmp_path / "mine.py").write_text(
        "from benchmarks._declare import Case\n"
        "def cases():\n"
        "    yield Case('ops', 'mine', 'sum of 10', {'numpy': lambda l: l.forward(lambda x: x.sum(), l.normal(10)),\n"
        "                                            'torch': lambda l: l.forward(lambda x: x.sum(), l.normal(10))}, quick=True)\n"
    )
    arguments = ["--quick", "--with", "mine", "--vs", "numpy", "--filter", "mine", "--fail-on-error", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": os.path.relpath(ROOT, tmp_path)}
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0 and "sum of 10" in found.stdout, found.stdout + found.stderr


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


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_readme(tmp_path, capsys, monkeypatch):
    """Only whole results that were saved of a known commit go there; the README stays as it was otherwise."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y.z"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
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
        "git add": write(command.FOLDER / "new.json", commit=commit),
        "a commit that git has": write(command.FOLDER / "unborn.json", commit="0" * 12),
    }
    subprocess.run([*git, "add", "results/unborn.json"], cwd=tmp_path, check=True)
    for said, file in refused.items():
        with pytest.raises(SystemExit) as caught:
            command.main(["--readme", str(file)])
        assert caught.value.code == 2 and readme.read_text() == before
        error = capsys.readouterr().err
        assert f"--readme {file}: expected" in error and said in error
    good = write(command.FOLDER / "good.json", commit=commit)
    subprocess.run([*git, "add", str(good)], cwd=tmp_path, check=True)
    assert command.main(["--readme", str(good)]) == 0 and f"commit {commit}" in readme.read_text()
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
    said = capsys.readouterr().out
    assert "REGRESSION" in said and "Not only the code" not in said
    quick = write(tmp_path / "quick.json", 1.0, quick=True, threads=3)
    assert command.main(["--load", str(new), "--compare", str(quick)]) == 0
    assert "Not only the code differs from the older run's: threads 3, now 1; --quick yes, now no" in capsys.readouterr().out


def test_a_row_that_fails_now_is_a_regression(tmp_path, capsys):
    old, new = write(tmp_path / "old.json"), write(tmp_path / "new.json")
    stored = json.loads(new.read_text())
    stored["rows"][0] |= {"samples": {}, "errors": {"numbagrad": "ended with status 3"}}
    new.write_text(json.dumps(stored))
    assert command.main(["--load", str(new), "--compare", str(old), "--fail-on-regression"]) == 1
    said = capsys.readouterr().out
    assert "1 failing now" in said and "FAILS" in said and "ended with status 3" in said


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
