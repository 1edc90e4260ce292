"""Layers that are composed of other kernels, on a GPU: results and gradients are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

CASES = {
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
    "group_norm plain": (lambda x: F.group_norm(x, 2), (2, 4, 3)),
    "instance_norm": (lambda x, w: F.instance_norm(x, weight=w), (2, 2, 3), (2,)),
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b, padding=1), (1, 1, 2, 3, 3), (2, 1, 2, 2, 2), (2,)),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2), (1, 2, 2, 2), (2, 1, 2, 2), (1,)),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), (1, 1, 2, 4, 4)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2, padding=1), (1, 1, 2, 3, 4)),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (1, 1, 2, 3)),
    "grid_sample": (lambda x, g: F.grid_sample(x, g.tanh(), align_corners=False), (1, 1, 3, 3), (1, 2, 2, 2)),
    "glu": (F.glu, (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_as_on_the_cpu(case, monkeypatch):
    monkeypatch.setattr(ng.backends.cudnn, "allow_tf32", False)
    function, *shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    found = []
    for device in ("cpu", "cuda"):
        inputs = [ng.from_numpy(a).to(device).requires_grad_() for a in arrays]
        y = function(*inputs)
        (y * y).sum().backward()
        found.append([t.detach().cpu().numpy() for t in (y, *(x.grad for x in inputs))])
    for here, there in zip(*found):
        np.testing.assert_allclose(there, here, rtol=2e-5, atol=2e-5)
