"""Weights that somebody else trained: there are none here, and asking for them says what to do instead."""

from __future__ import annotations

from typing import Any


class Weights:
    """What ``ResNet18_Weights.DEFAULT`` is here: the name of weights, to be told by the model that is asked for them."""

    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name: str) -> Weights:
        if not name.isupper() and "_V" not in name:
            raise AttributeError(f"{self.name}.{name}: the names of weights are here, but nothing of the weights themselves")
        return Weights(f"{self.name}.{name}")

    def __repr__(self) -> str:
        return self.name


def refuse(model: str, weights: Any, pretrained: Any) -> None:
    """Raise RuntimeError unless the model is to begin with weights of its own."""
    if weights is None and not pretrained:
        return
    asked = f"weights={weights!r}" if weights is not None else f"pretrained={pretrained!r}"
    raise RuntimeError(
        f"{model}: {asked} asks for trained weights, which are not downloaded: make the model with weights=None, and where you have a file of them as PyTorch "
        "saves it (parameters have the same names and shapes), model.load_state_dict(numbagrad.load(file))"
    )
