"""One network for two tasks: shared layers, a head for each, and one loss that weighs them.

Points in the plane are classified by the ring they lie in, and their distance from the centre is estimated.

python examples/multi_task.py --device cuda
"""

from __future__ import annotations

import argparse

import numbagrad as ng
from numbagrad import Tensor, nn, optim
from numbagrad.data import DataLoader, TensorDataset, random_split

RINGS = 3


def points(count: int) -> TensorDataset:
    """Points, the number of their ring, and their distance from the centre."""
    position = ng.randn(count, 2)
    distance = position.norm(dim=1)
    return TensorDataset(position, distance.clamp(max=RINGS - 1e-3).long(), distance.unsqueeze(1))


class TwoHeads(nn.Module):
    """Shared layers, which both tasks shape, and a linear head for each."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.ring = nn.Linear(width, RINGS)
        self.distance = nn.Linear(width, 1)
        # Learned weights of the losses: each task's loss is divided by its noise, whose logarithm is paid for (Kendall et al., 2018).
        self.log_noise = nn.Parameter(ng.zeros(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.shared(x)
        return self.ring(h), self.distance(h)

    def loss(self, x: Tensor, ring: Tensor, distance: Tensor) -> Tensor:
        scores, estimate = self(x)
        losses = ng.stack([nn.functional.cross_entropy(scores, ring), nn.functional.mse_loss(estimate, distance)])
        return (losses * (-self.log_noise).exp() + self.log_noise / 2).sum()


def main(epochs: int = 15, count: int = 2000) -> tuple[float, float]:
    """Train; returns the accuracy of the rings and the mean error of the distances on points not seen."""
    ng.manual_seed(0)
    train, test = random_split(points(count), [count * 4 // 5, count - count * 4 // 5], generator=ng.Generator())
    model = TwoHeads()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(epochs):
        for batch in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = model.loss(*batch)
            loss.backward()
            optimizer.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1:2d}: loss {loss.item():.3f}, weights {[round(w, 2) for w in (-model.log_noise).exp().tolist()]}")
    with ng.no_grad():
        x, ring, distance = next(iter(DataLoader(test, batch_size=len(test))))
        scores, estimate = model(x)
        accuracy = (scores.argmax(1) == ring).float().mean().item()
        error = (estimate - distance).abs().mean().item()
    print(f"rings: {accuracy:.1%} right; distances: off by {error:.3f}")
    return accuracy, error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    with ng.device(parser.parse_args().device):  # what is made without device= is made there
        main()
