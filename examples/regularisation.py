"""What L1 and L2 penalties and early stopping do to a network that has more weights than the data can support.

    python examples/regularisation.py

Of forty features three matter; sixty samples are seen.
"""

from __future__ import annotations

import argparse
import copy

import numbagrad as ng
from numbagrad import Tensor, nn, optim

FEATURES, USEFUL = 40, 3


def samples(count: int) -> tuple[Tensor, Tensor]:
    x = ng.randn(count, FEATURES)
    return x, (x[:, :USEFUL] * ng.tensor([2.0, -1.5, 1.0])).sum(1, keepdim=True) + 0.5 * ng.randn(count, 1)


class EarlyStopping:
    """Says when the loss on data that is not trained on has not fallen for ``patience`` epochs, and keeps the best weights."""

    def __init__(self, patience: int = 20):
        self.patience, self.best, self.waited = patience, float("inf"), 0
        self.weights: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module, loss: float) -> bool:
        if loss < self.best:
            self.best, self.waited, self.weights = loss, 0, copy.deepcopy(model.state_dict())
        else:
            self.waited += 1
        return self.waited >= self.patience


def train(l1: float = 0.0, l2: float = 0.0, early: bool = False, epochs: int = 300) -> dict[str, float]:
    """Fit with the penalties ``l1 · Σ|w|`` and ``l2 · Σw² / 2`` (as weight decay); returns the losses and how many first weights are near 0."""
    ng.manual_seed(0)
    (x, y), (validation, wanted), (test, truth) = samples(60), samples(60), samples(1000)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 1))
    matrices = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    optimizer = optim.Adam([{"params": matrices, "weight_decay": l2}, {"params": biases}], lr=5e-3)
    stopping = EarlyStopping()
    taken = 0
    while taken < epochs:
        taken += 1
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        penalty = l1 * sum(w.abs().sum() for w in matrices) if l1 else 0.0
        (loss + penalty).backward()
        optimizer.step()
        with ng.no_grad():
            if early and stopping(model, nn.functional.mse_loss(model(validation), wanted).item()):
                model.load_state_dict(stopping.weights)
                break
    with ng.no_grad():
        small = (model[0].weight.abs() < 1e-2).float().mean().item()
        return {"train": loss.item(), "test": nn.functional.mse_loss(model(test), truth).item(), "near 0": small, "epochs": taken}


SETTINGS = {
    "none": {},
    "L2": {"l2": 0.1},
    "L1": {"l1": 3e-3},
    "early stopping": {"early": True},
    "L1 + stopping": {"l1": 3e-3, "early": True},
}


def main(epochs: int = 300) -> dict[str, dict[str, float]]:
    found = {}
    print(f"{'':16s} train    test   near 0  epochs")
    for name, settings in SETTINGS.items():
        found[name] = r = train(**settings, epochs=epochs)
        print(f"{name:16s} {r['train']:5.3f}   {r['test']:5.3f}   {r['near 0']:5.1%}   {r['epochs']:4.0f}", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=300, help="most passes over the samples")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    options = parser.parse_args()
    with ng.device(options.device):  # what is made without device= is made there
        main(options.epochs)
