"""Where a run's results go while it runs: to the terminal, and into a file."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ._results import Results

INSTALL = 'pip install ".[bench]"'


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@contextlib.contextmanager
def progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """(what is done next, print a line): with a bar on a terminal that has tqdm, plainly elsewhere."""
    if not sys.stderr.isatty() or not installed("tqdm"):
        yield (lambda name: None), (lambda line: print(line, flush=True))
        return
    from tqdm import tqdm

    bar = tqdm(total=total, unit="row", dynamic_ncols=True, leave=False)

    def step(name: str) -> None:
        bar.set_description_str(name[:50])
        bar.update()

    try:
        yield step, lambda line: bar.write(line, file=sys.stdout)
    finally:
        bar.close()


def unwritable(folder: Path) -> str:
    """Why no file can be made in ``folder``, "" where one can; the folder is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


class Keeper:
    """Keeps a run's results in a file from the first row on, so that an interrupted run leaves what it has.

    Where ``whole``, the file itself is replaced by the results of a complete run alone; until then they are in ``FILE.partial``.
    """

    def __init__(self, file: Path | None, whole: bool):
        self.file, self.whole = file, whole
        self.written: Path | None = None  # where the results are now
        self.trouble = ""

    def keep(self, results: Results) -> None:
        if self.file is None or not results.rows:
            return
        partial = self.file.with_name(self.file.name + ".partial")
        target = partial if self.whole and not results.complete else self.file
        try:
            results.save(target)
        except OSError as error:  # measuring goes on: the terminal shows the results
            self.trouble = f"the results were not written to {target}: {error.strerror or error}"
            return
        if self.whole and target == self.file and partial.exists():
            os.unlink(partial)
        self.written, self.trouble = target, ""
