"""What tests of indexing share: both ways that elements at listed places go, and numbers to index."""

from __future__ import annotations

import numpy as np
import pytest

from numbagrad.kernels.index import _few


@pytest.fixture(autouse=True, scope="module", params=["few", "many"])
def share(request):
    """Everything once as it is, and once the way that more elements go."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(_few, "FEW", 0)
        yield request.param


def sample(shape, dtype=np.float32, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 50).astype(dtype)
