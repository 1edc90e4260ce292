"""What the machine can do is measured on memory that is there, and beyond all of its caches."""

from __future__ import annotations

from benchmarks import _peaks
from benchmarks._machine import largest_cache


def test_measure():
    found = _peaks.measure(1, 0.0)
    assert set(found) == {f"{name}{one}" for name in ("gflops", "copy_gbs", "triad_gbs") for one in ("", "_one")}
    assert all(found[name] == found[f"{name}_one"] > 0 for name in ("gflops", "copy_gbs", "triad_gbs"))


def test_sources_are_written(monkeypatch):
    """Memory that was never written to is a page of zeros, which lies in the cache."""
    seen = []
    monkeypatch.setattr(_peaks, "SMALLEST", 1 << 12)
    monkeypatch.setattr(_peaks, "LARGEST", 1 << 16)
    monkeypatch.setattr(_peaks, "_copy", lambda a, b, c: seen.append((a.size, b.all(), c.all())))
    _peaks.measure(2, 0.0)
    assert {size for size, _, _ in seen} <= {8, 1 << 13, 1 << 14} and all(b and c for _, b, c in seen)


def test_caches_together(tmp_path):
    assert _peaks.caches_together(tmp_path) == largest_cache()
    for cpu in range(8):
        for index, (level, size, shared) in enumerate(
            [(1, "32K", f"{cpu}"), (2, "1M", f"{cpu}"), (3, "32M", f"{cpu // 4 * 4}-{cpu // 4 * 4 + 3}")]
        ):
            folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(f"{text}\n")
    assert _peaks.caches_together(tmp_path) == 2 * 32 << 20
