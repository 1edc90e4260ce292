"""Tables, comparisons, the README and charts, from made-up results."""

from __future__ import annotations

import json
import math
import re

import pytest

from benchmarks import _charts, _readme, _table
from benchmarks.__main__ import FOLDER, ROOT
from benchmarks._declare import SUITES, Goal
from benchmarks._machine import busy, cores, describe, slug
from benchmarks._results import Results, Row, compare, differing, vanished

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "os": "Linux-6.1", "python": "3.11.7", "date": "2026-01-02T03:04:05+00:00", "commit": "abc"}
LIBRARIES = {"numbagrad": {"version": "0.1"}, "torch": {"version": "2.13"}}


def around(middle: float) -> list[float]:
    return [middle * factor for factor in (0.98, 0.99, 1.0, 1.01, 1.02)]


@pytest.fixture
def results() -> Results:
    goals = [Goal("torch", 2.0), Goal("jax", 1.5)]
    rows = [
        Row(
            "ops",
            "matmul",
            "AB 64",
            flops=2 * 64**3,
            bytes=3 * 4 * 64**2,
            goals=goals,
            samples={"numbagrad": around(1e-5), "torch": around(2.5e-5)},
        ),
        Row("ops", "matmul", "A|B", bytes=1e6, goals=[Goal("torch", 1.0)], samples={"numbagrad": around(1e-3), "torch": around(5e-4)}),
        Row("ops", "matmul", "broken", samples={"numbagrad": around(1e-3)}, errors={"torch": "ended with status 3"}),
        Row("compile", "start", "import", goals=[Goal("", at_most=0.4)], samples={"numbagrad": [0.3], "torch": [1.5]}),
        Row(
            "memory",
            "peak",
            "CNN b64: of the step",
            unit="B",
            goals=[Goal("torch", 1.0)],
            samples={"numbagrad": [2**20], "torch": [3 * 2**20]},
        ),
        Row(
            "threads",
            "matmul",
            "AB, 2 threads",
            goals=[Goal("numbagrad@1", 1.8)],
            samples={"numbagrad@2": around(1.0), "numbagrad@1": around(1.9), "torch@2": around(2.0), "torch@1": around(3.0)},
        ),
        *(Row("launch", "ladder", f"a + b of {n}", bytes=12 * n, samples={"numbagrad": around(1e-6 + n * 1e-9)}) for n in (1, 1000)),
    ]
    return Results(MACHINE, {"libraries": LIBRARIES}, {"gflops": 100.0, "copy_gbs": 10.0, "triad_gbs": 20.0}, rows, True)


def test_statistics(results):
    row = results.rows[0]
    assert row.ratio("torch") == pytest.approx(2.5) and math.isnan(row.ratio("jax"))
    assert row.quartiles("torch") == pytest.approx((2.475e-5, 2.525e-5)) and row.spread("torch") == pytest.approx(0.01)
    assert [good for _, _, good in row.verdicts()] == [True, None]
    assert [good for row in results.rows[1:] for _, _, good in row.verdicts()] == [False, True, True, True]
    assert results.rows[5].ours == "numbagrad@2" and results.rows[5].ratio("numbagrad@1") == pytest.approx(1.9)
    assert row.rate(row.flops) == pytest.approx(2 * 64**3 / 1e-5) and math.isnan(results.rows[4].rate(1.0))
    assert math.isnan(Row("a", "b", "c").ratio("torch")) and math.isnan(
        Row("a", "b", "c", samples={"numbagrad": [0.0], "torch": [1.0]}).ratio("torch")
    )


def test_file(results, tmp_path):
    path = tmp_path / "deep" / "x.json"
    results.save(path)
    assert Results.load(path) == results and json.loads(path.read_text())["complete"] is True
    whole = json.loads(path.read_text())
    broken = [
        {**whole, "format": 99}, {**whole, "machine": {}}, {**whole, "rows": [{}]}, {**whole, "more": 1}, {"format": 1}, [], 1, None
    ]  # fmt: skip
    for place, name, value in (
        (("machine",), "cpu", 1),
        (("machine",), "cores", "two"),
        (("machine",), "packages", []),
        (("options",), "libraries", ["numpy"]),
        (("options",), "libraries", {"numpy": {}}),
        (("options",), "threads", "2"),
        (("peaks",), "gflops", "many"),
        ((), "peaks", {"gflops": 1.0}),
        ((), "complete", "yes"),
        ((), "rows", {}),
        (("rows", 0), "name", None),
        (("rows", 0), "flops", "1"),
        (("rows", 0), "goals", [{"ratio": "2"}]),
        (("rows", 0), "samples", []),
        (("rows", 0), "samples", {"numbagrad": "fast"}),
        (("rows", 0), "samples", {"numbagrad": ["1.0"]}),
        (("rows", 0), "samples", {"numbagrad@two": [1.0]}),
        (("rows", 0), "errors", {"numbagrad": None}),
    ):
        damaged = there = json.loads(json.dumps(whole))
        for key in place:
            there = there[key]
        there[name] = value
        broken.append(damaged)
    for text in (*map(json.dumps, broken), path.read_text()[:-10], ""):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds no results of format 1"):
            Results.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="holds no results of format 1"):
        Results.load(path)
    with pytest.raises(OSError):
        Results.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    "value, unit, text",
    [
        (1.23456e-5, "s", "12.3 µs"),
        (9.999e-5, "s", "100 µs"),
        (2.5, "s", "2.50 s"),
        (4e-10, "s", "0.40 ns"),
        (3 * 2**20, "B", "3.00 MiB"),
        (12, "faults", "12"),
        (math.nan, "s", "-"),
    ],
)
def test_quantity(value, unit, text):
    assert _table.quantity(value, unit) == text


def test_table(results):
    lines = _table.Lines(LIBRARIES, results.peaks)
    text = "\n".join(line for row in results.rows for line in lines(row))
    first = next(line for line in text.splitlines() if "AB 64" in line)
    # ratio, medians with their spread, 52 of 100 GFLOP/s, 4.9 of 20 GB/s
    assert first.split()[2:] == "2.50x 10.0 µs 1% 25.0 µs 1% 52.4 4.92 52% a >= 2 torch reached; >= 1.5 jax not measured".split()
    assert "NOT REACHED" in next(line for line in text.splitlines() if "A|B" in line)
    assert "error: torch ended with status 3" in text
    assert text.count("ops / matmul") == 1 and "\x1b" not in text
    scaled = next(line for line in text.splitlines() if "2 threads" in line)
    assert scaled.split()[3:6] == ["2.00x", "1.90x", "1.50x"]  # beside torch, ours and torch's speed-up


def test_doubtful_ratios(results):
    """A question mark follows the ratio of what varied too much, in the table and in the README, the peer on two threads included."""
    noisy = [0.5, 0.6, 1.0, 1.5, 1.6]
    first, threads = results.rows[0], results.rows[5]
    assert not first.unsure("torch", "numbagrad") and "?" not in _readme.render(results)
    first.samples["torch"] = [2.5e-5 * x for x in noisy]
    threads.samples |= {"torch@2": noisy, "numbagrad@1": noisy}
    lines = [line for row in results.rows for line in _table.Lines(LIBRARIES, results.peaks)(row)]
    assert " 2.50x?" in next(line for line in lines if "AB 64" in line)
    assert next(line for line in lines if "2 threads" in line).split()[3:6] == ["1.00x?", "1.00x?", "3.00x?"]
    assert sum("x?" in line for line in _table.goals(results)) == 2
    text = _readme.render(results)
    assert "| **2.50x?** |" in text and "| 1.00x? |" in text and text.count("?") == 3 and "?: one of the two times varied" in text
    import_row = next(line for line in text.splitlines() if "import" in line)
    assert "?" not in import_row


def test_share_of_the_peak_of_as_many_threads():
    one = {"gflops_one": 60.0, "copy_gbs_one": 15.0, "triad_gbs_one": 15.0}
    peaks = {"gflops": 200.0, "copy_gbs": 20.0, "triad_gbs": 20.0}
    parts = {n: [] for n in ("", "@1", "@2", "@4")}
    for n, found in parts.items():
        for work in ({"flops": 30e9}, {"bytes": 10e9}):
            row = Row("threads", "f", "n", samples={f"numbagrad{n}": [1.0], "numbagrad@1": [1.0]} if n else {"numbagrad": [1.0]}, **work)
            found.append(_table.share(row, peaks | one)[0])
            assert _table.share(row, peaks)[0] in (30 / 200, 10 / 20)  # of files that do not know
    assert parts == {"": [30 / 200, 10 / 20], "@1": [30 / 60, 10 / 15], "@2": [30 / 120, 10 / 20], "@4": [30 / 200, 10 / 20]}


def test_summary(results):
    text = "\n".join(_table.summary(results))
    assert "1.12x" in text  # the geometric mean of 2.5 and 0.5
    assert "0.50x" in text and "A|B" in text
    goals = "\n".join(_table.goals(results))
    assert "Goals: 4 of 5 reached, 1 not measured" in goals


@pytest.mark.parametrize(
    "ours, torch, verdict",
    [
        (1.0, 1.0, "same"),
        (1.3, 1.0, "slower"),
        (1.3, 1.3, "same"),  # the machine was slower
        (1.3, None, "slower"),
        (1.04, 1.0, "same"),  # too little to say
        (0.7, 1.0, "faster"),
        (0.7, 0.7, "same"),
    ],
)
def test_compare(results, ours, torch, verdict):
    old = Row("ops", "x", "y", samples={"numbagrad": around(1.0), "torch": around(1.0)})
    new = Row("ops", "x", "y", samples={"numbagrad": around(ours)} | ({"torch": around(torch)} if torch else {}))
    other = Row("ops", "x", "not in the old run", samples={"numbagrad": [1.0]})
    changes = compare(Results(MACHINE, {}, rows=[old]), Results(MACHINE, {}, rows=[new, other]))
    assert [change.verdict for change in changes] == [verdict]
    assert changes[0].factor == pytest.approx(ours)
    text = "\n".join(_table.changes(changes))
    assert ("REGRESSION" in text) is (verdict == "slower")


def test_compare_with_oneself_says_nothing_of_the_machine():
    """One thread is no peer of two: where both became slower, the kernel did."""
    rows = [Row("threads", "x", "y", samples={"numbagrad@2": around(m), "numbagrad@1": around(2 * m)}) for m in (1.0, 1.3)]
    (change,) = compare(Results(MACHINE, {}, rows=rows[:1]), Results(MACHINE, {}, rows=rows[1:]))
    assert change.verdict == "slower" and math.isnan(change.peers)


def test_compare_what_fails_or_is_gone():
    """A row that is an error now counts, a program's too, whose numbers have no names then."""
    names = ("y", "program: a", "gone", "broken before")
    old = Results(MACHINE, {}, rows=[Row("ops", "x", name, samples={"numbagrad": around(1.0)}) for name in names[:3]])
    old.rows.append(Row("ops", "x", names[3], errors={"numbagrad": "ended"}))
    new = Results(MACHINE, {}, rows=[Row("ops", "x", name, errors={"numbagrad": "ended"}) for name in ("y", "program", names[3], "new")])
    changes = compare(old, new)
    assert [(change.row.name, change.verdict) for change in changes] == [("y", "fails"), ("program", "fails")]
    gone = vanished(old, new)
    assert gone == ["ops/x/program: a on cpu", "ops/x/gone on cpu"]
    text = "\n".join(_table.changes(changes, gone))
    assert "2 failing now" in text and "2 rows of the older run are not in this one: ops/x/program: a on cpu, ops/x/gone on cpu" in text


def test_differing():
    old = Results({**MACHINE, "cpu": "Apple M4", "packages": {"numba": "1"}}, {"quick": True, "libraries": LIBRARIES})
    new = Results(
        {**MACHINE, "environment": {"OMP_NUM_THREADS": "1"}, "packages": {"numba": "2"}}, {"threads": 1, "default_allocator": True}
    )
    assert differing(old, old) == []
    assert differing(old, new) == [
        "cpu Apple M4, now AMD EPYC",
        "threads 2, now 1",
        "--quick yes, now no",
        "allocator thresholds raised, now default",
        "numba 1, now 2",
        "OMP_NUM_THREADS not set, now 1",
    ]
    text = "\n".join(_table.changes([], differ=differing(old, new)))
    assert "Not only the code differs from the older run's: cpu Apple M4, now AMD EPYC; threads 2, now 1" in text


def test_compare_needs_quartiles_apart():
    noisy = [0.8, 1.0, 1.2, 1.4, 1.6]
    rows = [Row("ops", "x", "y", samples={"numbagrad": samples}) for samples in (noisy, [x * 1.2 for x in noisy])]
    assert compare(Results(MACHINE, {}, rows=rows[:1]), Results(MACHINE, {}, rows=rows[1:]))[0].verdict == "same"


@pytest.mark.parametrize("samples, verdict", [(3, "same"), (5, "slower")])
def test_compare_few_samples(samples, verdict):
    rows = [Row("ops", "x", "y", samples={"numbagrad": around(middle)[:samples]}) for middle in (1.0, 1.2)]
    assert compare(Results(MACHINE, {}, rows=rows[:1]), Results(MACHINE, {}, rows=rows[1:]))[0].verdict == verdict


def test_readme(results, tmp_path):
    path, picture = tmp_path / "README.md", tmp_path / "x.png"
    picture.write_bytes(b"")
    path.write_text(f"before\n{_readme.BEGIN}\nold\n{_readme.END}\nafter\n")
    for _ in range(2):  # the second time changes nothing
        _readme.rewrite(path, results, picture)
        text = path.read_text()
        assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and text.count(_readme.BEGIN) == 1
        assert "| matmul AB 64 | 10.0 µs | 25.0 µs (PyTorch) | **2.50x** | ≥ 2 ✓ |" in text
        assert r"| matmul A\|B | 1.00 ms | 500 µs (PyTorch) | 0.50x | ≥ 1 ✗ |" in text
        assert "| compile import | 300 ms |  |  | ≤ 400 ms ✓ |" in text
        assert "AMD EPYC, 2 threads" in text and "(x.png)" in text and "not completed" not in text
    for broken in ("", f"{_readme.END}\n{_readme.BEGIN}", _readme.BEGIN):
        path.write_text(broken)
        with pytest.raises(ValueError, match="no place"):
            _readme.rewrite(path, results)


def test_what_the_readme_refuses(results, tmp_path):
    file = tmp_path / "x.json"
    assert _readme.refusal(results, file, tmp_path) == _readme.refusal(results, tmp_path / "a" / ".." / "x.json", tmp_path) == ""
    assert "expected a file in" in _readme.refusal(results, file, tmp_path / "results")
    for commit, said in (("", "an unknown one"), ("abc+", "abc+")):
        other = Results({**MACHINE, "commit": commit}, results.options, {}, results.rows, True)
        assert f"a commit without changes, but these are of {said}" in _readme.refusal(other, file, tmp_path)
    for more, said in (
        ({"quick": True}, "made with --quick"),
        ({"filter": "conv"}, "these are of --filter 'conv'"),
        ({"suites": ["ops", "train"]}, "these are of ops train"),
        ({"default_allocator": True}, "--default-allocator"),
    ):
        other = Results(MACHINE, {**results.options, **more}, {}, results.rows, True)
        assert said in _readme.refusal(other, file, tmp_path)
    for suites in ([], ["goals"], ["goals", "ops"], list(SUITES)):
        assert _readme.refusal(Results(MACHINE, {"suites": suites}, complete=True), file, tmp_path) == ""
    assert "interrupted" in _readme.refusal(Results(MACHINE, results.options), file, tmp_path)


def test_the_readme_shows_the_committed_results(tmp_path):
    """Nobody has edited the table by hand, and no results were committed without it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition(_readme.BEGIN)[2].partition(_readme.END)[0]
    (picture,) = re.findall(r"\((benchmarks/results/[^)]+-ratios-goals\.png)\)", section)
    file = ROOT / picture.replace("-ratios-goals.png", ".json")
    assert (ROOT / picture).exists()
    results = Results.load(file)
    assert _readme.refusal(results, file, FOLDER) == ""
    copy = tmp_path / "README.md"
    copy.write_text(text.replace(section, "\n"), encoding="utf-8")
    (tmp_path / picture).parent.mkdir(parents=True)
    (tmp_path / picture).write_bytes(b"")
    _readme.rewrite(copy, results, tmp_path / picture)
    assert copy.read_text(encoding="utf-8") == text, f"write it with python -m benchmarks --readme {file.relative_to(ROOT)}"


def test_charts(results, tmp_path):
    pytest.importorskip("matplotlib")
    files = _charts.draw(results, tmp_path, "x")
    assert {"x-ratios-goals.png", "x-ratios-ops.png", "x-ratios-threads.png", "x-roofline.png", "x-ladder.png"} <= {
        file.name for file in files
    }
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_no_roofline_without_points(results, tmp_path):
    pytest.importorskip("matplotlib")
    results.rows[0].device = "cuda"
    assert not any("roofline" in file.name for file in _charts.draw(results, tmp_path, "x"))


def test_busy():
    machine, peaks = {"cores": 2, "load": [0.1, 0, 0]}, {"gflops": 190.0, "gflops_one": 100.0}
    assert busy(peaks, machine, 2) == busy({}, machine, 2) == ""
    assert "1.2 times" in busy({**peaks, "gflops": 120.0}, machine, 2)
    assert "load was 3" in busy(peaks, {**machine, "load": [3.0, 1, 1]}, 2)


def test_machine():
    machine = describe()
    json.dumps(machine)
    assert machine["cpu"] and machine["cores"] == cores() >= 1 and machine["packages"]["numpy"]
    assert slug({"cpu": "AMD EPYC 9654 96-Core Processor"}, 2) == "cpu-amd-epyc-9654-2threads"
    assert slug({"cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz"}, 16) == "cpu-intel-xeon-16threads"
