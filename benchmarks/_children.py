"""Child processes that are asked line by line, and that may die or hang without taking anybody along."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._libraries import environment

ROOT = Path(__file__).resolve().parents[1]
STOPPABLE = hasattr(signal, "SIGSTOP")  # not on Windows


class Failed(Exception):
    """The child answered with an error; it lives."""


class Lost(Failed):
    """The child died or did not answer in time; it is gone."""


@dataclass(frozen=True)
class Contestant:
    """A library, where it runs and with how many threads (0: as many as it likes)."""

    library: str
    device: str = "cpu"
    threads: int = 0
    tagged: bool = field(default=False, compare=False)  # rows that compare numbers of threads have them in the label

    @property
    def label(self) -> str:
        return f"{self.library}@{self.threads}" if self.tagged else self.library


def child_environment(threads: int, default_allocator: bool, **more: str) -> dict[str, str]:
    """This process's, with the checkout importable and what every contestant gets."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **environment(threads or None, default_allocator), "PYTHONPATH": path, **more}


def _last_words(stderr: Any) -> str:
    stderr.seek(0)
    lines = [line.strip() for line in stderr.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def _ending(status: int) -> str:
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with status {status}"


def _kill(process: subprocess.Popen[Any]) -> int:
    """End the process and what it started.  SIGKILL ends stopped processes too."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):
        process.kill()
    return process.wait()


class Child:
    """A server (see _server.py).

    It is stopped, with all its threads, whenever nothing is asked of it: a library's idle threads may keep a processor busy for long after
    their last work (OpenBLAS's and OpenMP's, 100 ms and more), which would be somebody else's loss.  It makes itself the leader of a
    process group: a Ctrl-C reaches the parent alone, who decides what becomes of it.
    """

    def __init__(self, contestant: Contestant, default_allocator: bool = False, modules: tuple[str, ...] = (), timeout: float = 120.0):
        self.contestant, self.timeout = contestant, timeout
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the child)
        command = [sys.executable, "-m", "benchmarks._server", contestant.library, contestant.device, str(contestant.threads), *modules]
        self._process = subprocess.Popen(
            command,
            env=child_environment(contestant.threads, default_allocator),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._pending = b""
        try:
            self.greeting = self._read()
        except BaseException:
            self.close()
            raise
        self._rest(True)

    def _rest(self, on: bool) -> None:
        """Stop the process and what it started, or let them go on."""
        if STOPPABLE and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGSTOP if on else signal.SIGCONT)
            except OSError:
                pass  # it is dead: reading says how it died

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self.timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    _kill(self._process)
                    raise Lost(f"gave no answer in {self.timeout:g} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    status = self._process.wait()
                    raise Lost(_ending(status) + _last_words(self._stderr))
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """The answer to a request.  Raises Failed for an error, Lost when the process is no more."""
        assert self._process.stdin is not None
        self._rest(False)
        try:
            self._process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            self._process.stdin.flush()
        except ValueError:
            raise Lost("was closed") from None
        except OSError:
            pass  # as above
        try:
            answer = self._read()
        finally:
            self._rest(True)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self) -> None:
        if self._process.poll() is None:
            _kill(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass


def run_once(source: str, contestant: Contestant, default_allocator: bool, timeout: float, **more: str) -> dict[str, float]:
    """The numbers that a program prints, as JSON in its last line, when a new process runs it.  Raises Failed."""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", source],
            env=child_environment(contestant.threads, default_allocator, **more),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise Failed(f"did not end in {timeout:g} s") from None
        except BaseException:
            _kill(process)
            raise
        if process.returncode:
            raise Failed(_ending(process.returncode) + _last_words(stderr))
        try:
            return json.loads(output.decode().strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failed(f"printed no numbers but {output[-200:]!r}") from None
