"""How tensors print: ``tensor([1., 2.], grad_fn=<MulBackward0>)``, as PyTorch prints them."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from . import dtypes
from .tensor import Tensor

_options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print: digits, the size from which they are abbreviated, how many entries then remain at each edge, the line's width."""
    profiles: dict[str, dict[str, Any]] = {
        "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
        "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
        "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
    }
    if profile is not None:
        _options.update(profiles[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({k: v for k, v in given.items() if v is not None})
    _options["sci_mode"] = sci_mode


class _Formatter:
    """One width and notation for all values that are shown."""

    def __init__(self, values: np.ndarray):
        self.floating = values.dtype.kind == "f"
        self.whole = self.scientific = False
        self.width = 1
        if not self.floating:
            self.width = max([len(str(v)) for v in values.reshape(-1).tolist()], default=0)
            return
        finite = np.abs(values[np.isfinite(values) & (values != 0)].astype(np.float64))
        if finite.size == 0:
            self.whole = True  # zeros print with a bare point
            return
        low, high = float(finite.min()), float(finite.max())
        self.whole = bool((finite == np.floor(finite)).all())
        if self.whole:
            self.scientific = high / low > 1000.0 or high > 1.0e8
        else:
            self.scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if _options["sci_mode"] is not None:
            self.scientific = bool(_options["sci_mode"])
        # As in PyTorch, neither zeros nor NaN and infinities widen the columns.
        self.width = max(len(self._text(v)) for v in values[np.isfinite(values) & (values != 0)].tolist())

    def _text(self, value: Any) -> str:
        if not self.floating:
            return str(value)
        if self.scientific:
            return f"{value:.{_options['precision']}e}"
        if self.whole:
            text = f"{value:.0f}"
            return text if not math.isfinite(value) else text + "."
        return f"{value:.{_options['precision']}f}"

    def __call__(self, value: Any) -> str:
        return self._text(value).rjust(self.width)


class _ComplexFormatter:
    def __init__(self, values: np.ndarray):
        self.real, self.imag = _Formatter(values.real), _Formatter(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: complex) -> str:
        imag = self.imag(value.imag).lstrip()
        return self.real(value.real) + ("+" if not imag.startswith("-") else "") + imag + "j"


def _shown(values: np.ndarray, summarize: bool) -> np.ndarray:
    """The entries that will be printed, which decide the format."""
    edge = int(_options["edgeitems"])  # type: ignore[call-overload]
    if not summarize:
        return values
    for axis, size in enumerate(values.shape):
        if size > 2 * edge:
            values = np.concatenate([values.take(range(edge), axis), values.take(range(size - edge, size), axis)], axis)
    return values


def _lines(values: np.ndarray, indent: int, summarize: bool, text: _Formatter | _ComplexFormatter) -> str:
    edge = int(_options["edgeitems"])  # type: ignore[call-overload]
    if values.ndim == 0:
        return text(values.item())
    size = values.shape[0]
    cut = summarize and size > 2 * edge
    if values.ndim == 1:
        items = values.tolist()
        shown = [*map(text, items[:edge]), " ...", *map(text, items[-edge:])] if cut else [text(v) for v in items]
        return _row(shown, indent, text.width)
    rows = [*range(edge), -1, *range(size - edge, size)] if cut else list(range(size))
    parts = ["..." if r < 0 else _lines(values[r], indent + 1, summarize, text) for r in rows]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _row(items: Sequence[str], indent: int, width: int) -> str:
    """As many ``items`` on a line as there is room for by the column's ``width``; some may be wider."""
    per_line = max(1, (int(_options["linewidth"]) - indent) // (width + 2))  # type: ignore[call-overload]
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)] or [""]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def format_tensor(tensor: Tensor) -> str:
    """The printed form of ``tensor``."""
    prefix = "tensor("
    values = tensor._numpy_values() if tensor.numel() else np.empty(tuple(tensor.shape), tensor._data.dtype)
    suffixes = [f"device='{tensor.device}'"] if tensor.is_cuda else []
    if tensor.numel() == 0:
        body = "[]"
        if tensor.ndim != 1:
            suffixes.append(f"size={tuple(tensor.shape)}")
    else:
        summarize = tensor.numel() > _options["threshold"]  # type: ignore[operator]
        shown = _shown(values, summarize)
        text = (
            _ComplexFormatter(shown)
            if values.dtype.kind == "c"
            else _Formatter(shown.astype(np.float32) if values.dtype == np.float16 else shown)
        )
        body = _lines(values, len(prefix), summarize, text)
    default = (dtypes.get_default_dtype(), dtypes.get_default_dtype().to_complex())
    inferred = (*default, dtypes.int64, dtypes.bool_) if tensor.numel() else default[:1]
    if tensor.dtype not in inferred:
        suffixes.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        name = tensor.grad_fn.name()
        suffixes.append(f"grad_fn=<{name}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    out = prefix + body
    last = len(out) - out.rfind("\n") - 1
    for suffix in suffixes:
        if last + len(suffix) + 2 > int(_options["linewidth"]):  # type: ignore[call-overload]
            out += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + len(suffix)
        else:
            out += ", " + suffix
            last += len(suffix) + 2
    return out + ")"


Tensor.__repr__ = Tensor.__str__ = format_tensor  # type: ignore[method-assign,assignment]
