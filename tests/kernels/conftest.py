"""What tests of kernels share."""

from __future__ import annotations

import pytest

from numbagrad.kernels.index import _few


@pytest.fixture(scope="module", params=["few", "many"])
def few_or_many(request):
    """Elements at listed places: everything once as it is, and once the way that more elements go."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(_few, "FEW", 0)
        yield request.param
