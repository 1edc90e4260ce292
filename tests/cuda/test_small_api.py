"""What tutorials ask of ``numbagrad.cuda`` and ``numbagrad.backends`` besides the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

import numbagrad as ng
from numbagrad.kernels._cuda import memory


def test_memory_summary(simulated):
    held = memory.allocate(3 << 20)
    text = ng.cuda.memory_summary()
    assert text.splitlines()[0] == "numbagrad CUDA memory, device 0"
    assert "allocated" in text and "3.0 MiB" in text and "out of memory" in text
    assert len(ng.cuda.memory_summary(0, abbreviated=True)) < len(text)
    del held


def test_what_there_is(simulated):
    assert ng.cuda.get_arch_list() == ["sm_{}{}".format(*ng.cuda.get_device_capability(0))]
    assert not ng.cuda.is_current_stream_capturing() and ng.cuda.ipc_collect() is None
    assert ng.cuda.is_bf16_supported() == (ng.cuda.get_device_capability() >= (8, 0))


def test_backends():
    assert isinstance(ng.backends.cuda.is_built(), bool)
    assert not ng.backends.mps.is_available() and not ng.backends.cudnn.is_available()
    with pytest.raises(AttributeError, match="allow_tf33"):
        ng.backends.cuda.matmul.allow_tf33 = True


def test_mixed_precision_of_older_scripts_is_found_without_starting_cuda():
    code = """
import numbagrad as ng, sys
assert ng.cuda.amp.GradScaler and ng.amp.autocast is ng.autocast and not ng.is_autocast_enabled()
assert not ng.cuda.is_initialized()
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
