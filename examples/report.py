"""What train_mnist.py shows: a progress bar, curves, the confusion matrix and the digits that were taken for others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class Bar:
    """A progress bar with a text behind it."""

    def __init__(self, bar: Any):
        self._bar = bar

    def advance(self, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()


@contextmanager
def progress(title: str, total: int) -> Iterator[Bar]:
    from tqdm import tqdm

    with tqdm(total=total, desc=title, unit="batch", file=sys.stdout, leave=False, mininterval=0.2, disable=None) as bar:
        yield Bar(bar)


def draw(out: Path, history: dict[str, Any], guesses: np.ndarray, truth: np.ndarray, test: Any) -> None:
    """Write curves.png, confusion.png and mistakes.png into ``out``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves(plt, out / "curves.png", history)
    confusion(plt, out / "confusion.png", guesses, truth)
    mistakes(plt, out / "mistakes.png", guesses, truth, test)


def curves(plt: Any, path: Path, history: dict[str, Any]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    left.plot(epochs, history["loss"], marker="o", color="#c4512d")
    left.set(title="training loss", xlabel="epoch")
    right.plot(epochs, [100 * a for a in history["accuracy"]], marker="o", color="#2d6fc4")
    right.set(title="test accuracy (%)", xlabel="epoch")
    for axes in (left, right):
        axes.set_xticks(list(epochs))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def confusion(plt: Any, path: Path, guesses: np.ndarray, truth: np.ndarray) -> None:
    table = np.zeros((10, 10), np.int64)
    np.add.at(table, (truth.astype(int), guesses.astype(int)), 1)
    figure, axes = plt.subplots(figsize=(6, 5.4), layout="constrained")
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row in range(10):
        for column in range(10):
            if table[row, column]:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, table[row, column], ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="confusion matrix", xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def mistakes(plt: Any, path: Path, guesses: np.ndarray, truth: np.ndarray, test: Any, rows: int = 4, columns: int = 8) -> None:
    wrong = np.flatnonzero(guesses != truth)[: rows * columns]
    figure, grid = plt.subplots(rows, columns, figsize=(columns * 1.1, rows * 1.35), layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, wrong):
        image = test[int(i)][0]
        axes.imshow(np.asarray(image.numpy()).squeeze(), cmap="gray_r")
        axes.set_title(f"{int(truth[i])} as {int(guesses[i])}", fontsize=9)
    figure.suptitle(f"{int((guesses != truth).sum())} of {len(truth)} test digits taken for another")
    figure.savefig(path, dpi=120)
    plt.close(figure)
