"""Colours of planes: mixtures of images, and red, green and blue as hue, saturation and value.  (A. R. Smith, "Color gamut transform pairs", 1978.)"""

from __future__ import annotations

import numpy as np


def working(planes: np.ndarray) -> np.dtype:
    """The dtype to compute in."""
    return planes.dtype if planes.dtype in (np.float32, np.float64) else np.dtype(np.float32)


def mixed(one: np.ndarray, other: np.ndarray, ratio: float) -> np.ndarray:
    """ratio · one + (1 − ratio) · other, within the range of one's dtype; integers are cut off, not rounded, as PyTorch's are."""
    work = working(one)
    values = work.type(ratio) * one.astype(work) + work.type(1.0 - ratio) * other.astype(work)
    return np.clip(values, 0, 1 if one.dtype.kind == "f" else np.iinfo(one.dtype).max).astype(one.dtype)


def grey(planes: np.ndarray) -> np.ndarray:
    """0.2989 red + 0.587 green + 0.114 blue (ITU-R BT.601) of planes (..., 3, H, W), as one plane; integers are cut off."""
    work = working(planes)
    red, green, blue = (planes[..., c, :, :].astype(work) for c in range(3))
    return (work.type(0.2989) * red + work.type(0.587) * green + work.type(0.114) * blue)[..., None, :, :].astype(planes.dtype)


def hue_turned(planes: np.ndarray, turn: float) -> np.ndarray:
    """Planes (..., 3, H, W), floating, with the hue turned by ``turn`` of a full circle."""
    hue, saturation, value = _hsv(planes)
    return _rgb(np.mod(hue + planes.dtype.type(turn), 1), saturation, value)


def _hsv(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    red, green, blue = (planes[..., c, :, :] for c in range(3))
    most, least = planes.max(-3), planes.min(-3)
    flat = most == least
    spread = most - least
    one = np.ones_like(most)
    saturation = spread / np.where(flat, one, most)
    divisor = np.where(flat, one, spread)
    r, g, b = ((most - colour) / divisor for colour in (red, green, blue))
    sector = np.where(most == red, b - g, np.where(most == green, 2 + r - b, 4 + g - r))
    return np.mod(sector / 6 + 1, 1), saturation, most


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    sector = np.floor(hue * 6)
    within = hue * 6 - sector
    sector = sector.astype(np.int32) % 6
    p = np.clip(value * (1 - saturation), 0, 1)
    q = np.clip(value * (1 - saturation * within), 0, 1)
    t = np.clip(value * (1 - saturation * (1 - within)), 0, 1)
    colours = [(value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q)]
    return np.stack([np.choose(sector, each) for each in colours], axis=-3)
