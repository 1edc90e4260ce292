"""Results as pictures: bars of ratios, the roofline, and time over size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ._results import OURS, Results, Row
from ._table import ratios

COLOURS = {"torch": "#d1492e", "numpy": "#4b73b5", "jax": "#3a9a6b", "tinygrad": "#8a62a8", OURS: "#222222"}
MOST = 60  # bars in one picture: a suite's families are split over several


def draw(results: Results, folder: Path, stem: str) -> list[Path]:
    """Write the charts that the results are enough for; the files.  Raises ImportError where matplotlib is missing."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    files = []

    def save(figure: Any, name: str) -> None:
        files.append(folder / f"{stem}-{name}.png")
        figure.savefig(files[-1], dpi=110, bbox_inches="tight")
        plt.close(figure)

    goals = [row for row in results.rows if row.goals]
    pictures = {"goals": goals} | {
        suite: [r for r in results.rows if r.suite == suite] for suite in dict.fromkeys(r.suite for r in results.rows)
    }
    for name, rows in pictures.items():
        for i, part in enumerate(_parts([row for row in rows if any(_finite(x) for x in ratios(row).values())])):
            save(_bars(plt, part, results), f"ratios-{name}{i or ''}")
    under_roof = [
        row for row in results.rows if row.device == "cpu" and row.suite == "ops" and _finite(row.rate(row.flops)) and row.bytes > 0
    ]
    if results.peaks and under_roof:
        save(_roofline(plt, under_roof, results), "roofline")
    ladder = [row for row in results.rows if (row.suite, row.family) == ("launch", "ladder")]
    if len(ladder) > 1:
        save(_ladder(plt, ladder, results), "ladder")
    return files


def _finite(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _parts(rows: list[Row]) -> list[list[Row]]:
    count = math.ceil(len(rows) / MOST)
    return [rows[i * len(rows) // count : (i + 1) * len(rows) // count] for i in range(count)]


def _caption(results: Results) -> str:
    machine = results.machine
    threads = results.options.get("threads") or machine["cores"]
    return f"{machine['cpu']}, {threads} thread{'s' * (threads != 1)}, {machine['date'][:10]}"


def _bars(plt: Any, rows: list[Row], results: Results) -> Any:
    """One group of bars per benchmark, to the right of 1 where numbagrad is faster."""
    peers = list(dict.fromkeys(peer for row in rows for peer in ratios(row)))
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.24 * len(rows) * max(1, 0.6 * len(peers))))
    height = 0.8 / len(peers)
    for i, peer in enumerate(peers):
        places = [j + (i - (len(peers) - 1) / 2) * height for j, row in enumerate(rows) if _finite(ratios(row).get(peer, math.nan))]
        values = [ratios(row)[peer] for row in rows if _finite(ratios(row).get(peer, math.nan))]
        colour = COLOURS.get(peer.partition(" ")[0])
        bars = axes.barh(places, [value - 1 for value in values], height, left=1, label=peer, color=colour, alpha=0.5 if " " in peer else 1)
        axes.bar_label(bars, [f"{value:.2g}" for value in values], fontsize=6, padding=2)
    for j, row in enumerate(rows):
        for goal in row.goals:
            if goal.ratio:
                axes.plot([goal.ratio] * 2, [j - 0.45, j + 0.45], color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high * 1.3, 2))
    marks = [2.0**k for k in range(-6, 11) if axes.get_xlim()[0] <= 2.0**k <= axes.get_xlim()[1]]
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_xlabel("the peer's time divided by numbagrad's: to the right of 1, numbagrad is faster (dotted: the goal)")
    axes.set_title(_caption(results), fontsize=9)
    axes.legend(fontsize=7, loc="lower right")
    return figure


def _roofline(plt: Any, rows: list[Row], results: Results) -> Any:
    """GFLOP/s over flops per byte, under what the machine allows (Williams, Waterman and Patterson, 2009)."""
    peak, bandwidth = results.peaks["gflops"], max(results.peaks["copy_gbs"], results.peaks["triad_gbs"])
    figure, axes = plt.subplots(figsize=(9, 6))
    intensities = [row.flops / row.bytes for row in rows]
    edges = [min([0.1, *intensities]) / 2, peak / bandwidth, max([100.0, *intensities]) * 2]
    axes.plot(edges, [min(peak, x * bandwidth) for x in edges], color="black", linewidth=1.5)
    axes.annotate(f"{peak:.0f} GFLOP/s", (edges[2], peak), ha="right", va="bottom", fontsize=8)
    axes.annotate(f"{bandwidth:.0f} GB/s", (edges[0], edges[0] * bandwidth), va="bottom", fontsize=8)
    for i, family in enumerate(dict.fromkeys(row.family for row in rows)):
        for label, marker in ((OURS, "o"), ("torch", "x")):
            here = [row for row in rows if row.family == family and _finite(row.median(label))]
            if not here:
                continue
            axes.scatter(
                [row.flops / row.bytes for row in here],
                [row.flops / row.median(label) / 1e9 for row in here],
                marker=marker,
                color=f"C{i}",
                s=22,
                alpha=0.8,
                label=f"{family}, {label}",
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("flops per byte that has to be moved")
    axes.set_ylabel("GFLOP/s (above the slope where the caches hold the data)")
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=7)
    axes.set_title(_caption(results), fontsize=9)
    return figure


def _ladder(plt: Any, rows: list[Row], results: Results) -> Any:
    """Time of a + b over the number of elements."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for label in dict.fromkeys(label for row in rows for label in row.samples):
        points = sorted((row.bytes / 12, row.median(label)) for row in rows if _finite(row.median(label)))
        axes.plot(*zip(*points), marker=".", label=label, color=COLOURS.get(label))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("elements of a + b")
    axes.set_ylabel("seconds")
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=8)
    axes.set_title(_caption(results), fontsize=9)
    return figure
