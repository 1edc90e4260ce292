"""Measure numbagrad beside other libraries: ``python -m benchmarks [suite ...]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from . import _cases, _machine, _readme, _table
from ._arguments import arguments
from ._children import Contestant, Failed, run_once
from ._declare import Case, Once
from ._libraries import LIBRARIES
from ._output import INSTALL, Keeper, installed, progress, unwritable
from ._results import OURS, Results, Row, compare, differing, vanished
from ._turns import QUICK, Arena, Effort, ours_first, plan

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).resolve().parent / "results"


def fail(text: str) -> NoReturn:
    """End as for a wrong argument."""
    print(f"python -m benchmarks: error: {text}", file=sys.stderr)
    raise SystemExit(2)


def loaded(option: str, file: Path) -> Results:
    """The results in a file that an option names."""
    try:
        return Results.load(file)
    except OSError as error:
        fail(f"{option} {file}: {error.strerror or error}")
    except ValueError as error:
        fail(f"{option}: {error}")


def chosen(options: argparse.Namespace) -> list[Case | Once]:
    """The benchmarks that are asked for."""
    try:
        return _cases.select(options.suites, options.filter, options.quick, options.modules)
    except ValueError as error:
        fail(f"--with {', '.join(options.modules)}: {error}")


def peers(options: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Us and the peers that are installed."""
    wanted = options.vs if options.vs is not None else ["torch", "jax"] if options.suites == ["goals"] else ["torch", "numpy"]
    if "cuda" in options.device:
        wanted = [*wanted, "copy"]
    for name in wanted:
        if not LIBRARIES[name].installed():
            say(f"{name} is not installed: skipped")
    return ours_first({OURS: None} | {name: None for name in wanted if LIBRARIES[name].installed()})


def meet(arena: Arena, libraries: list[str], devices: list[str], threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Start everybody once; who cannot run is named and left out.  What the others say about themselves."""
    about = {}
    for device in devices:
        for library in libraries:
            if device not in LIBRARIES[library].devices and library == "copy":
                continue
            if device not in LIBRARIES[library].devices:
                say(f"{library} on {device}: not measured there, skipped")
                continue
            try:
                child = arena.child(Contestant(library, device, threads))
            except Failed as error:
                arena.unavailable[library, device] = str(error)
                child = None
            if child is None:
                say(f"{library} on {device}: {arena.unavailable[library, device]}, skipped")
            else:
                about[library] = child.greeting
    return about


def ladder(cores: int, most: int) -> list[int]:
    """1, 2, 4, ... and all of them."""
    top = most or cores
    return sorted({1, *(2**i for i in range(1, 10) if 2**i < top), top})


Planned = list[tuple["Case | Once", Row, list[Contestant]]]


def planned(
    options: argparse.Namespace, benchmarks: list[Case | Once], arena: Arena, libraries: list[str], cores: int, say: Callable[[str], None]
) -> Planned:
    found: Planned = []
    for benchmark in benchmarks:
        who = libraries
        if options.suites == ["goals"]:  # those who are needed to judge
            who = [name for name in libraries if name == OURS or any(goal.peer == name for goal in benchmark.goals)]
        devices = [device for device in options.device if benchmark.on(device)]
        for row, contestants in plan(benchmark, who, devices, options.threads, ladder(cores, options.threads)):
            able = [c for c in contestants if (c.library, c.device) not in arena.unavailable]
            if options.suites == ["goals"]:
                if isinstance(benchmark, Case) and benchmark.scaling and not row.goals:
                    continue
            if able:
                found.append((benchmark, row, able))
    for device in options.device:
        off = sorted({f"{benchmark.suite}/{benchmark.family}" for benchmark in benchmarks if not benchmark.on(device)})
        if off and any(device in LIBRARIES[name].devices and (name, device) not in arena.unavailable for name in libraries):
            say(f"measured on the CPU alone, skipped on {device}: {', '.join(off)}")
    return found


def measure_peaks(options: argparse.Namespace, results: Results, threads: int) -> None:
    """What the machine can do, and whether it is quiet enough to show it."""
    machine = results.machine
    seconds = 0.05 if options.quick else 0.5
    source = f"import json; from benchmarks._peaks import measure; print(json.dumps(measure({threads}, {seconds})))"
    try:
        results.peaks = run_once(source, Contestant(OURS), options.default_allocator, options.timeout)
        print(
            "{cpu}: ".format(**machine)
            + "{gflops:.0f} GFLOP/s, copy {copy_gbs:.1f} GB/s, triad {triad_gbs:.1f} GB/s".format(**results.peaks)
        )
    except Failed as error:
        print(f"the machine's peaks were not measured: {error}")
    machine["busy"] = _machine.busy(results.peaks, machine, threads)
    if machine["busy"]:
        print(f"THIS MACHINE IS BUSY ({machine['busy']}): times of several threads mean little, and ratios not much more")


def measure(options: argparse.Namespace, benchmarks: list[Case | Once], results: Results, keeper: Keeper, colour: bool) -> None:
    """Run ``benchmarks``, print row by row, and keep the file up to date.  A Ctrl-C ends it early: ``results`` has what there is."""
    effort = replace(QUICK if options.quick else Effort(), timeout=options.timeout, default_allocator=options.default_allocator)
    arena = Arena(replace(effort, modules=tuple(options.modules)))
    machine = results.machine
    try:
        libraries = peers(options, print)
        results.options["libraries"] = meet(arena, libraries, options.device, options.threads, print)
        if "cuda" in options.device and (OURS, "cuda") in arena.unavailable:
            fail(f"--device cuda: {arena.unavailable[OURS, 'cuda']}")
        libraries = [name for name in libraries if name in results.options["libraries"]]
        if gpu := results.options["libraries"].get(OURS, {}).pop("gpu", None):
            machine["gpu"] = machine.get("gpu", {}) | gpu
            print("{name}: {multiprocessors} multiprocessors, {memory_gib:g} GiB".format(**gpu))
        if OURS not in libraries:
            print(f"without {OURS} there is nothing to compare")
            return
        for name, about in results.options["libraries"].items():
            print(f"{name} {about['version']}" + (f", {about['threads']} threads" if about["threads"] else ""))
        measure_peaks(options, results, options.threads or machine["cores"])
        todo = planned(options, benchmarks, arena, libraries, machine["cores"], print)
        lines = _table.Lines(libraries, results.peaks, len(options.device), colour)
        with progress(len(todo)) as (step, say):
            for benchmark, row, contestants in todo:
                step(row.name)
                rows = [arena.measure(benchmark, row, contestants)] if isinstance(benchmark, Case) else arena.run(benchmark, contestants)
                for done in rows:
                    results.rows.append(done)
                    for line in lines(done):
                        say(line)
                keeper.keep(results)
        results.complete = True
    finally:
        arena.close()
        keeper.keep(results)


def run(options: argparse.Namespace, colour: bool) -> tuple[Results, Keeper, bool]:
    """A new run: its results, where they are kept, and whether it was interrupted.  What would go wrong at its end is found out first."""
    benchmarks = chosen(options)
    if not benchmarks:
        fail("no benchmark is called that; --list names them all")
    machine = _machine.describe()
    if "cuda" in options.device:
        machine["gpu"] = _machine.gpu()
    file = options.json
    if options.save:
        file = (
            FOLDER / f"{_machine.slug(machine, options.threads or machine['cores'])}{'-default-allocator' * options.default_allocator}.json"
        )
        options.charts = options.charts or FOLDER
    if options.charts and not installed("matplotlib"):
        print(f"charts need matplotlib ({INSTALL}): skipped")
        options.charts = None
    if sys.stderr.isatty() and not installed("tqdm"):
        print(f"the progress bar needs tqdm ({INSTALL}): skipped")
    for option, folder in (("--json", file and file.parent), ("--charts", options.charts)):
        if folder and (trouble := unwritable(folder)):
            fail(f"{option} {file if option == '--json' else folder}: {trouble}")
    if file and file.is_dir():
        fail(f"--json {file}: Is a directory")
    # Where files were written is nobody's business who reads them elsewhere.
    results = Results(machine, {name: value for name, value in vars(options).items() if not isinstance(value, Path)})
    keeper = Keeper(file, whole=options.save)
    try:
        measure(options, benchmarks, results, keeper, colour)
    except KeyboardInterrupt:
        print("\ninterrupted" + ": the results so far are kept" * bool(results.rows))
        return results, keeper, True
    return results, keeper, False


def write_readme(options: argparse.Namespace) -> int:
    results = loaded("--readme", options.readme)
    if refusal := _readme.refusal(results, options.readme, FOLDER) or _readme.unknown_to_git(results, options.readme):
        fail(f"--readme {options.readme}: {refusal}")
    try:
        _readme.rewrite(ROOT / "README.md", results, options.readme.with_name(f"{options.readme.stem}-ratios-goals.png"))
    except (OSError, ValueError) as error:
        fail(f"--readme: {error}")
    return 0


def draw_charts(results: Results, folder: Path, stem: str) -> bool:
    """Whether it went well."""
    from ._charts import draw

    try:
        print(*(f"chart: {file}" for file in draw(results, folder, stem)), sep="\n")
    except ImportError:
        print(f"charts need matplotlib ({INSTALL}): skipped")
    except OSError as error:
        print(f"python -m benchmarks: error: --charts {folder}: {error.strerror or error}", file=sys.stderr)
        return False
    return True


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # it too is to leave no process and a whole file
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if options.list:
        for case in chosen(options):
            print(case.id + "".join(f"   [{_table.goal_text(goal)}]" for goal in case.goals))
        return 0
    if options.readme:
        return write_readme(options)
    old = loaded("--compare", options.compare) if options.compare else None  # a wrong name is noticed now, not in ten minutes
    keeper, interrupted = Keeper(None, whole=False), False
    if options.load:
        results = loaded("--load", options.load)
        lines = _table.Lines(results.options.get("libraries", [OURS]), results.peaks, len({row.device for row in results.rows}), colour)
        for row in results.rows:
            print(*lines(row), sep="\n")
    else:
        results, keeper, interrupted = run(options, colour)
    if not results.rows:
        print("nothing was measured")
        return 130 if interrupted else 1
    print("", _table.LEGEND, *_table.summary(results), *_table.goals(results, colour), sep="\n")
    status = 0
    if keeper.trouble:
        print(f"python -m benchmarks: error: {keeper.trouble}", file=sys.stderr)
        status = 1
    if keeper.written:
        print(f"\nresults: {keeper.written}")
    if options.charts and not (options.save and interrupted):  # what --save wrote before stays until a run is complete
        status |= not draw_charts(results, options.charts, (options.load or keeper.file or Path("benchmarks")).stem)
    if old is not None:
        found = compare(old, results)
        print(*_table.changes(found, vanished(old, results), differing(old, results), colour), sep="\n")
        status |= options.fail_on_regression and any(change.verdict in ("slower", "fails") for change in found)
    status |= options.fail_on_error and any(row.errors for row in results.rows)
    return 130 if interrupted else int(status)


if __name__ == "__main__":
    sys.exit(main())
