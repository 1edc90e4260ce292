"""What a machine without a GPU says to those who ask for one; and that nobody else is troubled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import numbagrad as ng

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
without = pytest.mark.skipif(ng.cuda.is_available(), reason="there is a GPU here")

NOTHING_STARTED = """
import sys
import numbagrad as ng
x = ng.ones(3, requires_grad=True)
(x.to("cpu") * 2).sum().backward()
assert not x.is_cuda and not x.is_pinned() and ng.device("cuda:1").index == 1 and str(x.device) == "cpu"
started = [name for name in sys.modules if name.startswith(("numba.cuda", "numba_cuda")) or "._cuda" in name]
assert not started, started
"""


def test_nothing_is_started_before_it_is_asked_for():
    subprocess.run([sys.executable, "-c", NOTHING_STARTED], check=True, cwd=ROOT)


@without
@pytest.mark.parametrize(
    "ask",
    [
        lambda: ng.ones(2).to("cuda"),
        lambda: ng.ones(2).cuda(1),
        lambda: ng.zeros(2, device="cuda:3"),
        lambda: ng.tensor([1.0], device=ng.device("cuda")),
        lambda: ng.arange(3, device=0),
        lambda: ng.rand(3, device="cuda"),
        lambda: ng.nn.Linear(2, 2).to("cuda"),
        lambda: ng.nn.Linear(2, 2, device="cuda"),
    ],
)
def test_asked_for_a_gpu(ask):
    with pytest.raises(RuntimeError, match=r"the CUDA device cuda(:\d)? was asked for, but .*numbagrad works on device 'cpu'"):
        ask()


@without
def test_pinned_memory_without_a_gpu():
    with pytest.raises(RuntimeError, match="numbagrad works on device 'cpu'"):
        ng.ones(2).pin_memory()
    with pytest.warns(UserWarning, match="no accelerator is found"):
        (batch,) = ng.data.DataLoader([1.0, 2.0], batch_size=2, pin_memory=True)
    assert batch.tolist() == [1, 2] and not batch.is_pinned()
