"""Python's collector of cyclic garbage.  Where many objects are made, and few thrown away, it looks through them again and again for nothing:
a fifth of the time of importing the package, or of compiling a kernel."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting(settle: bool = False) -> Iterator[None]:
    """Collect no cyclic garbage meanwhile.  With ``settle`` all objects there are then count as old ones, which are looked through seldom: what was made
    is there to stay, and the first collection afterwards would look through the whole of it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if settle and gc.get_freeze_count() == 0:  # else somebody keeps objects away from the collector, which is not ours to undo
            gc.freeze()
            gc.unfreeze()
        if collecting:
            gc.enable()
