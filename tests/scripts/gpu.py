"""Everything that only a machine with an NVIDIA GPU can show: ``make gpu``, or ``python tests/scripts/gpu.py [--only STEP ...]``.

tests        the tests marked ``gpu``, and general ones with their tensors on the GPU
sanitizers   the kernel tests under compute-sanitizer: out-of-bounds accesses, races in shared memory, reads of what was never written
examples     the examples on ``--device cuda``, MNIST with each network, and in mixed precision
benchmarks   all of them on both devices beside PyTorch, saved in benchmarks/results

Every step runs, whatever became of those before it; at the end stands what each came to.  The status is 1 if one of them failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = ("memcheck", "racecheck", "initcheck")


class Step(NamedTuple):
    kind: str
    title: str
    command: list[str]
    missing: str = ""  # why it cannot run


class Outcome(NamedTuple):
    step: Step
    status: int  # of the command
    seconds: float

    @property
    def text(self) -> str:
        if self.step.missing:
            return f"skipped: {self.step.missing}"
        return "passed" if self.status == 0 else f"FAILED (status {self.status})"


def steps(python: str, sanitizer: str | None, out: Path) -> Iterator[Step]:
    """All there is to run.  ``sanitizer``: the path of compute-sanitizer, if it is installed."""
    tests = [python, "-m", "pytest", "-m", "gpu", "-q"]
    yield Step("tests", "pytest -m gpu", tests)
    general = [python, "-m", "pytest", "-q", "--device", "cuda", "@tests/on_device.txt", "tests/ops"]
    yield Step("tests", "pytest --device cuda", general)
    for tool in SANITIZERS:
        command = [
            sanitizer or "compute-sanitizer",
            "--tool",
            tool,
            "--error-exitcode",
            "86",
            "--target-processes",
            "all",
            *tests,
            "tests/cuda",
        ]
        yield Step("sanitizers", tool, command, "" if sanitizer else "compute-sanitizer is not installed")
    for name in ("autograd_tour", "linear_regression", "custom_op"):
        yield Step("examples", name, [python, f"examples/{name}.py", "--device", "cuda"])
    for model, more in (("mlp", []), ("lenet", []), ("cnn", []), ("cnn", ["--amp"])):
        command = [
            python,
            "examples/train_mnist.py",
            "--device",
            "cuda",
            "--model",
            model,
            *more,
            "--out",
            str(out / f"{model}{len(more)}"),
        ]
        yield Step("examples", " ".join(["train_mnist", model, *more]), command)
    command = [python, "-m", "benchmarks", "--device", "cpu,cuda", "--vs", "torch", "--save", "--fail-on-error"]
    yield Step("benchmarks", "python -m benchmarks --device cpu,cuda", command)


def run(step: Step) -> Outcome:
    print(f"\n==== {step.kind}: {step.title}\n", flush=True)
    if step.missing:
        print(f"skipped: {step.missing}", flush=True)
        return Outcome(step, 0, 0.0)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    try:
        status = subprocess.run(step.command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}).returncode
    except OSError as error:
        print(error, flush=True)
        status = 127
    return Outcome(step, status, time.perf_counter() - start)


def report(outcomes: list[Outcome]) -> str:
    lines = [f"  {o.step.kind:<11} {o.step.title:<42} {o.seconds:>7.0f} s  {o.text}" for o in outcomes]
    failed = sum(o.status != 0 for o in outcomes)
    return "\n".join(["", *lines, "", f"{failed} of {len(outcomes)} steps failed" if failed else "no step failed"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("tests", "sanitizers", "examples", "benchmarks")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds, help="these steps alone")
    options = parser.parse_args(arguments)
    # In a process of its own, so that this one holds no part of the GPU.
    why = "import numbagrad as ng; ng.cuda.init(); print(ng.cuda.get_device_name())"
    found = run(Step("device", "is there a GPU?", [sys.executable, "-c", why]))
    if found.status:
        print("\nmake gpu needs an NVIDIA GPU that numbagrad can use: nothing was run")
        return 2
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as out:
        try:
            for step in steps(sys.executable, shutil.which("compute-sanitizer"), Path(out)):
                if step.kind in options.only:
                    outcomes.append(run(step))
        except KeyboardInterrupt:
            print("\ninterrupted")
            outcomes.append(Outcome(Step("", "interrupted", []), 130, 0.0))
    print(report(outcomes))
    return int(any(outcome.status for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
