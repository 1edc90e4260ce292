"""Arrays in, arrays out: every numerical loop of numbagrad, forward and backward.

Nothing here knows of tensors, graphs or gradients as objects.  Each family folder holds a contract (``__init__.py``: shapes,
dtypes, checks, which device runs it) and one implementation per device (``cpu.py``, ``cuda.py``) with the same public names.
The underscored modules are shared ground: ``_cpu`` and ``_cuda`` are the only doors to Numba.
"""
