"""Measurements, each a module with ``run()`` that yields (what, seconds): ``python -m benchmarks [name ...]``."""
