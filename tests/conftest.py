"""What every test starts from: the same seed, and no state left behind by another."""

from __future__ import annotations

import signal

import pytest

import numbagrad as ng
from numbagrad.autograd import anomaly, mode

# A shell starts what it runs in the background with interrupts ignored, and children inherit that; the tests of interrupts send some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def sealed():
    """Seed the generator; afterwards, see that the global settings are as they were."""
    before = (mode.state.recording, mode.state.inference, ng.get_default_dtype(), anomaly.enabled, ng.get_num_threads())
    ng.manual_seed(0)
    yield
    after = (mode.state.recording, mode.state.inference, ng.get_default_dtype(), anomaly.enabled, ng.get_num_threads())
    assert after == before, "a test changed a global setting and did not put it back"
