"""What every test starts from: the same seed, and no state left behind by another.

``pytest --device cuda`` runs tests with the tensors that they create on a GPU (or in the simulator, where there is none): what holds on the CPU holds
there.  Values are then fetched as ``.numpy()`` on a copy; tests marked ``cpu`` are about the CPU and are left out.
"""

from __future__ import annotations

import gc
import os
import signal

import pytest

import numbagrad as ng
from numbagrad.autograd import anomaly, mode

# A shell starts what it runs in the background with interrupts ignored, and children inherit that; the tests of interrupts send some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where tests create their tensors")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--device") != "cpu":
        for item in items:
            if item.get_closest_marker("cpu"):
                item.add_marker(pytest.mark.skip(reason="about the CPU"))


@pytest.fixture(scope="module")
def frozen():
    """For files that call ``gc.collect()`` in every test: it looks at what they make, and no longer for half a second at all that was imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def sealed():
    """Seed the generator; afterwards, see that the global settings are as they were."""
    before = (mode.state.recording, mode.state.inference, ng.get_default_dtype(), anomaly.enabled, ng.get_num_threads())
    ng.manual_seed(0)
    yield
    after = (mode.state.recording, mode.state.inference, ng.get_default_dtype(), anomaly.enabled, ng.get_num_threads())
    assert after == before, "a test changed a global setting and did not put it back"


@pytest.fixture(autouse=True)
def on_device(request, monkeypatch):
    """Create tensors where ``--device`` says."""
    device = request.config.getoption("--device")
    if device == "cpu":
        yield
        return
    to_numpy, from_numpy = ng.Tensor.numpy, ng.from_numpy
    monkeypatch.setattr(ng.Tensor, "numpy", lambda self, *, force=False: to_numpy(self.cpu(), force=force))
    monkeypatch.setattr(ng, "from_numpy", lambda array: from_numpy(array).to(device))
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":  # where every evaluation takes long: two of them in place of two for each element
        for check in (ng.autograd.gradcheck, ng.autograd.gradgradcheck):
            monkeypatch.setitem(check.__kwdefaults__, "fast_mode", True)
    with ng.device(device):
        yield
    ng.cuda.synchronize()  # what its kernels have to report is this test's
