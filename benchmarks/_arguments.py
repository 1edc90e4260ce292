"""The command's options."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from ._declare import SUITES
from ._libraries import LIBRARIES
from ._results import OURS

DESCRIPTION = """Measure numbagrad beside other libraries.

Suites: ops (each kernel family), train (whole training steps), launch (overhead per operation), compile (start-up), memory, threads, gpu
(large work on a GPU), and goals, which are the rows of the others that have a goal.
"""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = lambda text: [word for word in text.split(",") if word]
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"{', '.join(SUITES)} or goals (default: all)")
    parser.add_argument("--vs", type=listed, metavar="NAMES", help=f"the peers, of {', '.join(n for n in LIBRARIES if n != OURS)}")
    parser.add_argument("--device", type=listed, default=["cpu"], metavar="NAMES", help="cpu, cuda or cpu,cuda (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="of every library that can be told (default: what each takes by itself)")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only benchmarks whose suite/family/name holds these words; A | B: either"
    )
    parser.add_argument("--quick", action="store_true", help="a few tiny benchmarks, hardly repeated: does it all work?")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw the results")
    parser.add_argument(
        "--save", action="store_true", help="write results and charts of a whole run to benchmarks/results, named after the machine"
    )
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
    _import(parser, options.modules)
    _check(parser, options)
    options.threads = options.threads or 0
    return options


def _import(parser: argparse.ArgumentParser, modules: list[str]) -> None:
    """Import the modules of --with, which may bring libraries of their own, here and in the processes to come."""
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            parser.error(f"--with {name}: {error}")
        if not callable(getattr(module, "cases", None)):
            parser.error(f"--with {name}: it has no function cases")
    if modules:  # those processes start in another folder
        places = [os.getcwd(), *map(os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(places))


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End for options that mean nothing, alone or together."""
    if unknown := set(options.suites) - {*SUITES, "goals"}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)} and goals")
    if unknown := set(options.device) - {"cpu", "cuda"}:
        parser.error(f"no such device: {', '.join(sorted(unknown))}")
    if unknown := set(options.vs or ()) - set(LIBRARIES):
        parser.error(f"no such library: {', '.join(sorted(unknown))}; there are {', '.join(LIBRARIES)}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads: expected a positive number, but got {options.threads}")
    if not options.timeout > 0:
        parser.error(f"--timeout: expected a positive number, but got {options.timeout:g}")
    if options.fail_on_regression and not options.compare:
        parser.error("--fail-on-regression needs --compare")
    if options.load and (options.json or options.save):
        parser.error(f"--load measures nothing that {'--json' if options.json else '--save'} could write")
    if options.save and (options.quick or options.filter):
        parser.error(f"--save keeps whole runs, none with {'--quick' if options.quick else '--filter'}: use --json FILE")
    if options.save and options.json:
        parser.error("--save names its file itself: give it or --json FILE")
