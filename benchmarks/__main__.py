"""Measure numbagrad beside other libraries: ``python -m benchmarks [suite ...]``.

Suites: ops (each kernel family), train (whole training steps), launch (overhead per operation), compile (start-up), memory, threads, and
goals, which are the rows of the others that have a goal.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from . import _cases, _machine, _readme, _table
from ._children import Contestant, Failed, run_once
from ._declare import SUITES, Case, Once
from ._libraries import LIBRARIES
from ._results import OURS, Results, Row, compare
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


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"{', '.join(SUITES)} or goals (default: all)")
    parser.add_argument("--vs", type=listed, metavar="NAMES", help=f"the peers, of {', '.join(n for n in LIBRARIES if n != OURS)}")
    parser.add_argument("--device", type=listed, default=["cpu"], metavar="NAMES", help="cpu, cuda or cpu,cuda (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="of every library (default: what each takes by itself)")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only benchmarks whose suite/family/name holds these words; A | B: either"
    )
    parser.add_argument("--quick", action="store_true", help="a few tiny benchmarks, hardly repeated: does it all work?")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw the results")
    parser.add_argument("--save", action="store_true", help="write results and charts to benchmarks/results, named after the machine")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing: show these results")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="mark what is slower or faster than in these results")
    parser.add_argument("--fail-on-regression", action="store_true", help="exit with status 1 if --compare finds something slower")
    parser.add_argument("--fail-on-error", action="store_true", help="exit with status 1 if a benchmark fails or results differ")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="measure nothing: rewrite README.md's table from these results")
    parser.add_argument("--default-allocator", action="store_true", help="leave malloc's thresholds alone")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds after which a process counts as hanging (120)")
    parser.add_argument(
        "--with", dest="modules", action="append", default=[], metavar="MODULE", help="more benchmarks: a module with cases()"
    )
    options = parser.parse_args(given)
    if unknown := set(options.suites) - {*SUITES, "goals"}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)} and goals")
    if unknown := set(options.device) - {"cpu", "cuda"}:
        parser.error(f"no such device: {', '.join(sorted(unknown))}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads: expected a positive number, but got {options.threads}")
    options.threads = options.threads or 0
    if not options.timeout > 0:
        parser.error(f"--timeout: expected a positive number, but got {options.timeout:g}")
    if options.fail_on_regression and not options.compare:
        parser.error("--fail-on-regression needs --compare")
    return options


def peers(options: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Us and the peers that are installed."""
    wanted = options.vs if options.vs is not None else ["torch", "jax"] if options.suites == ["goals"] else ["torch", "numpy"]
    if unknown := [name for name in wanted if name not in LIBRARIES]:
        raise SystemExit(f"no such library: {', '.join(unknown)}; there are {', '.join(LIBRARIES)}")
    for name in wanted:
        if not LIBRARIES[name].installed():
            say(f"{name} is not installed: skipped")
    return ours_first({OURS: None} | {name: None for name in wanted if LIBRARIES[name].installed()})


def meet(arena: Arena, libraries: list[str], devices: list[str], threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Start everybody once; who cannot run is named and left out.  What the others say about themselves."""
    about = {}
    for device in devices:
        for library in libraries:
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


def planned(options: argparse.Namespace, arena: Arena, libraries: list[str], cores: int) -> Planned:
    found: Planned = []
    for benchmark in _cases.select(options.suites, options.filter, options.quick, options.modules):
        who = libraries
        if options.suites == ["goals"]:  # those who are needed to judge
            who = [name for name in libraries if name == OURS or any(goal.peer == name for goal in benchmark.goals)]
        for row, contestants in plan(benchmark, who, options.device, options.threads, ladder(cores, options.threads)):
            able = [c for c in contestants if (c.library, c.device) not in arena.unavailable]
            if options.suites == ["goals"]:
                if isinstance(benchmark, Case) and benchmark.scaling and not row.goals:
                    continue
            if able:
                found.append((benchmark, row, able))
    return found


@contextlib.contextmanager
def progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """(what is done next, print a line): with a bar on a terminal that has tqdm, plainly elsewhere."""
    bar = None
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm

            bar = tqdm(total=total, unit="row", dynamic_ncols=True, leave=False)
        except ImportError:
            pass
    if bar is None:
        yield (lambda name: None), (lambda line: print(line, flush=True))
        return

    def step(name: str) -> None:
        bar.set_description_str(name[:50])
        bar.update()

    try:
        yield step, lambda line: bar.write(line, file=sys.stdout)
    finally:
        bar.close()


def measure(options: argparse.Namespace, colour: bool) -> Results:
    """Run what is asked for, print row by row, and keep the file up to date.  A Ctrl-C ends it early, with what there is."""
    effort = replace(QUICK if options.quick else Effort(), timeout=options.timeout, default_allocator=options.default_allocator)
    arena = Arena(replace(effort, modules=tuple(options.modules)))
    machine = _machine.describe()
    results = Results(machine, {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()})
    try:
        libraries = peers(options, print)
        results.options["libraries"] = meet(arena, libraries, options.device, options.threads, print)
        libraries = [name for name in libraries if name in results.options["libraries"]]
        if OURS not in libraries:
            print(f"without {OURS} there is nothing to compare")
            return results
        threads = options.threads or machine["cores"]
        for name, about in results.options["libraries"].items():
            print(f"{name} {about['version']}" + (f", {about['threads']} threads" if about["threads"] else ""))
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
        if options.save:
            options.json = options.json or FOLDER / f"{_machine.slug(machine, threads)}.json"
            options.charts = options.charts or FOLDER
        todo = planned(options, arena, libraries, machine["cores"])
        lines = _table.Lines(libraries, results.peaks, len(options.device), colour)
        with progress(len(todo)) as (step, say):
            for benchmark, row, contestants in todo:
                step(row.name)
                rows = [arena.measure(benchmark, row, contestants)] if isinstance(benchmark, Case) else arena.run(benchmark, contestants)
                for done in rows:
                    results.rows.append(done)
                    for line in lines(done):
                        say(line)
                if options.json:
                    results.save(options.json)
        results.complete = True
    except KeyboardInterrupt:
        print("\ninterrupted: the results so far are kept")
    finally:
        arena.close()
        if options.json and results.rows:
            results.save(options.json)
    return results


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # it too is to leave no process and a whole file
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if options.list:
        for case in _cases.select(options.suites, options.filter, options.quick, options.modules):
            print(case.id + "".join(f"   [{_table.goal_text(goal)}]" for goal in case.goals))
        return 0
    if options.readme:
        results = loaded("--readme", options.readme)
        if refusal := _readme.refusal(results, options.readme, FOLDER):
            fail(f"--readme {options.readme}: {refusal}")
        try:
            _readme.rewrite(ROOT / "README.md", results, options.readme.with_name(f"{options.readme.stem}-ratios-goals.png"))
        except (OSError, ValueError) as error:
            fail(f"--readme: {error}")
        return 0
    old = loaded("--compare", options.compare) if options.compare else None  # a wrong name is noticed now, not in ten minutes
    if options.load:
        results = loaded("--load", options.load)
        lines = _table.Lines(results.options.get("libraries", [OURS]), results.peaks, len({row.device for row in results.rows}), colour)
        for row in results.rows:
            print(*lines(row), sep="\n")
    else:
        results = measure(options, colour)
    if not results.rows:
        print("nothing was measured")
        return 1
    print("", _table.LEGEND, *_table.summary(results), *_table.goals(results, colour), sep="\n")
    if options.json:
        print(f"\nresults: {options.json}")
    if options.charts:
        from ._charts import draw

        stem = (options.load or options.json or Path("benchmarks")).stem
        try:
            print(*(f"chart: {file}" for file in draw(results, options.charts, stem)), sep="\n")
        except ImportError:
            print("charts need matplotlib: skipped")
    status = 0
    if old is not None:
        found = compare(old, results)
        print(*_table.changes(found, colour), sep="\n")
        status = int(options.fail_on_regression and any(change.verdict == "slower" for change in found))
    if options.fail_on_error and any(row.errors for row in results.rows):
        status = 1
    return 130 if not results.complete and not options.load else status


if __name__ == "__main__":
    sys.exit(main())
