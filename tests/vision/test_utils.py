"""Grids of images and PNG files."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.vision.utils import make_grid, save_image


def test_grid():
    x = ng.from_numpy(np.arange(5 * 3 * 2 * 4, dtype=np.float32).reshape(5, 3, 2, 4))
    grid = make_grid(x, nrow=3, padding=1, pad_value=-1).numpy()
    assert grid.shape == (3, 2 * 3 + 1, 3 * 5 + 1)
    assert (grid[:, 1:3, 6:10] == x.numpy()[1]).all() and (grid[:, 4:6, 1:5] == x.numpy()[3]).all()
    assert (grid[:, 0] == -1).all() and (grid[:, 4:6, 11:] == -1).all()


def test_grid_of_one_channel_and_of_lists():
    assert make_grid(ng.zeros(4, 1, 3, 3), padding=0, nrow=2).shape == (3, 6, 6)
    assert make_grid([ng.zeros(1, 3, 3)] * 4, padding=0, nrow=2).shape == (3, 6, 6)
    assert make_grid(ng.zeros(3, 3)).shape == (3, 3, 3)


def test_grid_normalized():
    x = ng.from_numpy(np.linspace(-2, 6, 2 * 3 * 4).astype(np.float32).reshape(2, 3, 2, 2))
    grid = make_grid(x, normalize=True, padding=0).numpy()
    assert grid.min() == 0 and grid.max() == 1
    each = make_grid(x, normalize=True, scale_each=True, padding=0).numpy()
    np.testing.assert_allclose(each[:, :, :2], each[:, :, 2:], atol=1e-6)
    ranged = make_grid(x, normalize=True, value_range=(0, 1), padding=0).numpy()
    assert ranged.min() == 0 and ranged.max() == 1 and (ranged == 0).sum() == 6


def test_grid_errors():
    with pytest.raises(TypeError):
        make_grid([np.zeros((1, 2, 2))])
    with pytest.raises(ValueError):
        make_grid(ng.zeros(1, 1, 1, 2, 2))


def test_saved_image(tmp_path):
    image = pytest.importorskip("PIL.Image")
    x = ng.from_numpy(np.random.default_rng(0).random((3, 5, 7), dtype=np.float32))
    path = tmp_path / "grid.png"
    save_image(x, path)
    read = np.asarray(image.open(path))
    assert (np.abs(read.transpose(2, 0, 1) / 255 - x.numpy()) <= 0.5 / 255 + 1e-6).all()
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]
    with pytest.raises(ValueError, match="png"):
        save_image(x, tmp_path / "grid.jpg")
