"""Run the measurements that are named, or all of them, and print their table; ``--json FILE`` writes it with the machine it was taken on."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
from pathlib import Path

import numbagrad as ng


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name != "__main__")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names, []], help="what to measure")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for name in options.names or names:
        print(name)
        results[name] = {}
        for what, seconds in importlib.import_module(f"benchmarks.{name}").run():
            results[name][what] = seconds
            print(f"    {what:48} {seconds * 1e3:10.2f} ms", flush=True)
    if options.json:
        machine = {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": ng.get_num_threads(),
            "python": platform.python_version(),
            "numbagrad": ng.__version__,
        }
        options.json.write_text(json.dumps({"machine": machine, "seconds": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
