"""Results as text: a row as a line, ratios first."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ._declare import Goal
from ._results import OURS, Change, Results, Row

NAME, RATIO, TIME = 46, 9, 11  # widths


def quantity(value: float, unit: str = "s") -> str:
    """Three digits and a unit: 12.3 µs, 45.6 MiB."""
    if math.isnan(value):
        return "-"
    if unit == "s":
        scale, name = next(((s, n) for s, n in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= s), (1e-9, "ns"))
    elif unit == "B":
        scale, name = next(((s, n) for s, n in ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")) if value >= s), (1.0, "B"))
    else:
        return f"{value:.4g}"
    scaled = value / scale
    digits = 0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:.{digits}f} {name}"


def times(ratio: float) -> str:
    return "-" if math.isnan(ratio) else f"{ratio:.0f}x" if ratio >= 99.5 else f"{ratio:.2f}x"


def _rate(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}" if value >= 0.01 else "0"


def _pairs(row: Row) -> dict[str, tuple[str, str]]:
    """The columns of ratios, and which label's median is divided by which.

    Rows of numbers of threads compare with peers on the same number, and every library with itself on one thread.
    """
    if "@" not in row.ours:
        return {peer: (peer, row.ours) for peer in row.peers}
    n = row.ours.partition("@")[2]
    libraries = [label.partition("@")[0] for label in row.samples if label.endswith(f"@{n}")]
    pairs = {library: (f"{library}@{n}", row.ours) for library in libraries if library != OURS}
    if n != "1":
        pairs |= {f"{library} x1": (f"{library}@1", f"{library}@{n}") for library in libraries}
    return pairs


def ratios(row: Row) -> dict[str, float]:
    """The columns of ratios: each peer's median by ours, and in rows of numbers of threads each library's on one thread by its own."""
    return {
        column: row.median(above) / row.median(below) if row.median(below) else math.nan for column, (above, below) in _pairs(row).items()
    }


def _peak(row: Row, peaks: dict[str, float], name: str) -> float:
    """That of the row's number of threads, where the row has one: what one can do times that number, and no more than what all can do."""
    threads, one = row.ours.partition("@")[2], peaks.get(f"{name}_one")
    return min(int(threads) * one, peaks[name]) if threads and one else peaks[name]


def share(row: Row, peaks: dict[str, float]) -> tuple[float, str]:
    """What part ours reaches of the most that the machine allows for this work, and what bounds it (Williams et al., 2009)."""
    flops, bytes_ = row.rate(row.flops), row.rate(row.bytes)
    if not peaks or row.device != "cpu" or (math.isnan(flops) and math.isnan(bytes_)):
        return math.nan, ""
    bandwidth = max(_peak(row, peaks, "copy_gbs"), _peak(row, peaks, "triad_gbs")) * 1e9
    by_memory = 0.0 if math.isnan(bytes_) else bytes_ / bandwidth
    by_arithmetic = 0.0 if math.isnan(flops) else flops / (_peak(row, peaks, "gflops") * 1e9)
    return max((by_memory, "memory"), (by_arithmetic, "arithmetic"))


def goal_text(goal: Goal, unit: str = "s") -> str:
    if goal.at_most:
        return f"<= {quantity(goal.at_most, unit)}"
    return f">= {goal.ratio:g} {goal.peer.partition('@')[0] if goal.peer.partition('@')[0] != OURS else 'x1'}"


def verdict_text(reached: bool | None) -> str:
    return "not measured" if reached is None else "reached" if reached else "NOT REACHED"


class Painter:
    """Colours for terminals."""

    def __init__(self, on: bool):
        self.on = on

    def __call__(self, text: str, good: bool | None) -> str:
        if not self.on or good is None:
            return text
        return f"\x1b[{32 if good else 31}m{text}\x1b[0m"


class Lines:
    """Turns rows into lines as they come, with a heading wherever a family begins."""

    def __init__(self, libraries: Iterable[str], peaks: dict[str, float], devices: int = 1, colour: bool = False):
        self.peers = [library for library in libraries if library != OURS]
        self.libraries, self.peaks, self.devices = list(libraries), peaks, devices
        self.paint = Painter(colour)
        self._group: tuple[str, ...] = ()

    def heading(self, row: Row) -> Iterator[str]:
        scaling = "@" in row.ours
        columns = self._ratio_columns(scaling)
        measured = [library for library in self.libraries if library == OURS or library in self.peers]
        yield ""
        head = f"{row.suite} / {row.family}".ljust(NAME)
        head += "".join(f"{('vs ' if column in self.peers else '') + column:>{max(RATIO, len(column) + 3)}}" for column in columns)
        head += "".join(f"{library:>{TIME}}    ±" for library in measured)
        yield head + ("   GFLOP/s   GB/s  of peak   goal" if row.unit == "s" else "   goal")

    def _ratio_columns(self, scaling: bool) -> list[str]:
        return self.peers + ([f"{library} x1" for library in self.libraries] if scaling else [])

    def __call__(self, row: Row) -> Iterator[str]:
        group = (row.suite, row.family, "@" if "@" in row.ours else "")
        if group != self._group:
            self._group = group
            yield from self.heading(row)
        yield self._line(row)
        for label, error in row.errors.items():
            yield self.paint(f"    error: {label} {error}", False)

    def _line(self, row: Row) -> str:
        scaling, found, pairs = "@" in row.ours, ratios(row), _pairs(row)
        n = row.ours.partition("@")[2]
        name = row.name + (f" [{row.where}]" if self.devices > 1 or row.device != "cpu" else "")
        line = f"  {name}".ljust(NAME) if len(name) < NAME - 2 else f"  {name}\n{'':{NAME}}"
        for column in self._ratio_columns(scaling):
            ratio = found.get(column, math.nan)
            good = None if math.isnan(ratio) or abs(ratio - 1) < 0.03 or column not in self.peers else ratio > 1
            doubt = "?" * row.unsure(*pairs.get(column, ()))
            line += self.paint(f"{times(ratio) + doubt:>{max(RATIO, len(column) + 3)}}", good)
        for library in self.libraries:
            label = f"{library}@{n}" if scaling else library
            median = row.median(label)
            spread = "" if math.isnan(median) else f"{row.spread(label) * 100:.0f}%"
            line += f"{'error' if label in row.errors else quantity(median, row.unit):>{TIME}} {spread:>4}"
        if row.unit == "s":
            flops, bytes_ = row.rate(row.flops) / 1e9, row.rate(row.bytes) / 1e9
            part, bound = share(row, self.peaks)
            line += f"{_rate(flops):>10}{_rate(bytes_):>7}"
            line += f"{'-' if math.isnan(part) else f'{part * 100:.0f}% {bound[0]}':>9}"
        verdicts = [self.paint(f"{goal_text(goal, row.unit)} {verdict_text(good)}", good) for goal, _, good in row.verdicts()]
        return (line + "   " + "; ".join(verdicts)).rstrip()


LEGEND = (
    "vs X: X's median divided by numbagrad's, above 1 where numbagrad is faster.  ±: half the distance of the quartiles; a ratio with ? has\n"
    "one above 25%.  GFLOP/s, GB/s: of numbagrad, for the arithmetic and the memory traffic that the work needs at least.  of peak: the larger\n"
    "share of what this machine was measured to do, a(rithmetic) or m(emory); above 100% of memory where the caches hold the data."
)


def goals(results: Results, colour: bool = False) -> Iterator[str]:
    """Every goal of the run, and how many are reached."""
    paint = Painter(colour)
    verdicts = [(row, *verdict) for row in results.rows for verdict in row.verdicts()]
    if not verdicts:
        return
    measured = [good for _, _, _, good in verdicts if good is not None]
    yield ""
    yield f"Goals: {sum(measured)} of {len(measured)} reached" + (
        f", {len(verdicts) - len(measured)} not measured" if len(measured) < len(verdicts) else ""
    )
    for row, goal, reached, good in verdicts:
        text = times(reached) + "?" * row.unsure(goal.peer, row.ours) if goal.ratio else quantity(reached, row.unit)
        yield f"  {text:>9}  {goal_text(goal, row.unit):<15}" + paint(f"{verdict_text(good):<14}", good) + f"{row.title}"


def summary(results: Results, worst: int = 10) -> Iterator[str]:
    """The geometric means of the ratios by family, and the rows furthest behind."""
    by_family: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    behind: list[tuple[float, str, str]] = []
    peers: dict[str, None] = {}
    for row in results.rows:
        if row.unit != "s":
            continue
        for peer, ratio in ratios(row).items():
            if " x1" in peer or math.isnan(ratio) or ratio <= 0:
                continue
            peers[peer] = None
            by_family[row.suite, row.family][peer].append(ratio)
            behind.append((ratio, peer, f"{row.suite}/{row.family}: {row.name}"))
    if not behind:
        return
    yield ""
    yield "Geometric means".ljust(NAME) + "".join(f"{'vs ' + peer:>13}" for peer in peers) + "   rows"
    for (suite, family), found in by_family.items():
        means = [times(statistics.geometric_mean(found[peer])) if found.get(peer) else "-" for peer in peers]
        yield f"  {suite} / {family}".ljust(NAME) + "".join(f"{mean:>13}" for mean in means) + f"{max(map(len, found.values())):>7}"
    lost = sorted(entry for entry in behind if entry[0] < 0.97)[:worst]
    if lost:
        yield ""
        yield "Furthest behind"
        yield from (f"  {times(ratio):>8}  vs {peer:<9} {name}" for ratio, peer, name in lost)


def changes(found: list[Change], gone: Sequence[str] = (), differ: Sequence[str] = (), colour: bool = False) -> Iterator[str]:
    """The comparison with an older run: what changed beyond the noise, the worst first; after what else differs between them."""
    paint = Painter(colour)
    moved = sorted((change for change in found if change.verdict != "same"), key=lambda change: (change.verdict != "fails", -change.factor))
    count = Counter(change.verdict for change in moved)
    yield ""
    if differ:
        yield f"Not only the code differs from the older run's: {'; '.join(differ)}"
    failing = f", {count['fails']} failing now" * (count["fails"] > 0)
    yield f"Compared {len(found)} rows with the older run: {count['slower']} slower, {count['faster']} faster beyond the noise{failing}"
    if gone:
        yield f"{len(gone)} rows of the older run are not in this one: {', '.join(gone[:3])}{', ...' * (len(gone) > 3)}"
    for change in moved:
        if change.verdict == "fails":
            yield f"  {paint('FAILS     ', False)}  {change.row.errors[change.row.ours]}: {change.row.key}"
            continue
        peers = "" if math.isnan(change.peers) else f", its peers {change.peers:.2f}x"
        mark = paint("REGRESSION" if change.verdict == "slower" else "faster    ", change.verdict == "faster")
        yield f"  {mark}  took {change.factor:.2f}x the time{peers}: {change.row.key}"
