"""The README's table of results, between two marker comments."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ._declare import SUITES
from ._results import OURS, UNSURE, Results, Row
from ._table import goal_text, quantity, times

BEGIN = "<!-- benchmarks: begin (written by python -m benchmarks --readme FILE.json) -->"
END = "<!-- benchmarks: end -->"
NAMES = {"torch": "PyTorch", "jax": "jax.jit", "numpy": "NumPy", OURS: "numbagrad"}


def _display(label: str) -> str:
    name, _, threads = label.partition("@")
    return NAMES.get(name, name) + (f" on {threads} thread{'s' * (threads != '1')}" if threads else "")


def _cells(row: Row) -> list[tuple[str, str, str, str]]:
    """(ours, the other's, ratio, goal) for each goal."""
    cells = []
    for goal, reached, good in row.verdicts():
        other = f"{quantity(row.median(goal.peer), row.unit)} ({_display(goal.peer)})" if goal.ratio and reached == reached else ""
        factor = times(reached) + "?" * row.unsure(goal.peer, row.ours)
        ratio = "not measured" if good is None else "" if not goal.ratio else f"**{factor}**" if good else factor
        mark = "" if good is None else " ✓" if good else " ✗"
        text = f"≥ {goal.ratio:g}" if goal.ratio else goal_text(goal, row.unit).replace("<=", "≤")
        cells.append((quantity(row.median(row.ours), row.unit), other, ratio, text + mark))
    return cells


def render(results: Results) -> str:
    """The section: where it was measured, and each benchmark that has a goal."""
    machine, options = results.machine, results.options
    versions = ", ".join(f"{NAMES.get(name, name)} {about['version']}" for name, about in options.get("libraries", {}).items())
    threads = options.get("threads") or machine["cores"]
    lines = [
        f"{machine['cpu']}, {threads} thread{'s' * (threads != 1)}, {machine['os'].split('-')[0]}, Python {machine['python']}; {versions};"
        f" {machine['date'][:10]}, commit {machine['commit'] or 'unknown'}. Medians; the libraries take turns, each in a process of its own,"
        " after their results were compared. The goal is the ratio that was set before measuring.",
        "",
        "| work | numbagrad | the other | times as fast | goal |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in results.rows:
        for ours, other, ratio, goal in _cells(row):
            lines.append(f"| {row.title.replace('|', chr(92) + '|')} | {ours} | {other} | {ratio} | {goal} |")
    if any("?" in ratio for row in results.rows for _, _, ratio, _ in _cells(row)):
        lines += [
            "",
            f"?: one of the two times varied so much that half the distance of its quartiles is above {UNSURE:.0%} of its median.",
        ]
    if machine.get("busy"):
        lines += ["", f"The machine was busy: {machine['busy']}."]
    if not results.complete:
        lines += ["", "The run was not completed."]
    return "\n".join(lines) + "\n"


def refusal(results: Results, file: Path, folder: Path) -> str:
    """Why these results do not belong into the README, "" where they do: everyone can find the file, it is a whole run with the settings
    that the README speaks of, and it says which code it measured."""
    options, suites = results.options, set(results.options.get("suites") or SUITES)
    if file.resolve().parent != folder.resolve():
        return f"expected a file in {folder}, where --save writes it"
    if options.get("quick"):
        return "expected results of a full run, but these were made with --quick"
    if not results.complete:
        return "expected results of a complete run, but this one was interrupted"
    if options.get("filter") or not (suites >= set(SUITES) or "goals" in suites):
        chosen = " ".join(sorted(options.get("suites") or ())) + (f" --filter {options['filter']!r}" if options.get("filter") else "")
        return f"expected results of all benchmarks that have a goal, but these are of {chosen.strip()}"
    if options.get("default_allocator"):
        return "expected results with the allocator's thresholds raised, but these were made with --default-allocator"
    commit = results.machine["commit"]
    if not commit or commit.endswith("+"):
        return f"expected results of a commit without changes, but these are of {commit or 'an unknown one'}"
    return ""


def unknown_to_git(results: Results, file: Path) -> str:
    """Why others could not find these results or what they measured, "" where they can: the file is added, the commit is there."""

    def known(*command: str) -> bool:
        try:
            return subprocess.run(["git", *command], cwd=file.resolve().parent, capture_output=True, timeout=10).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    if not known("ls-files", "--error-unmatch", "--", file.resolve().name):
        return "expected a file that git has: git add it first"
    commit = results.machine["commit"]
    if not known("cat-file", "-e", commit + "^{commit}"):
        return f"expected results of a commit that git has, but these are of {commit}"
    return ""


def rewrite(path: Path, results: Results, picture: Path | None = None) -> None:
    """Put the section between the markers of ``path``.  Raises ValueError where they are not both there, once and in this order."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(re.escape(BEGIN) + r".*?" + re.escape(END), text, re.DOTALL)
    if len(found) != 1 or text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{path} has no place for the results: it needs the lines\n{BEGIN}\n{END}")
    section = render(results)
    if picture is not None and picture.exists():
        shown = picture.resolve().relative_to(path.resolve().parent).as_posix()
        section += f"\n![Times as fast as the other libraries, by benchmark]({shown})\n"
    path.write_text(text.replace(found[0], f"{BEGIN}\n\n{section}\n{END}"), encoding="utf-8")
