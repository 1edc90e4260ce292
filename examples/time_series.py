"""Forecast a time series with an LSTM: a season within a season, with noise, from its last 48 values.

python examples/time_series.py --epochs 12 --device cuda
"""

from __future__ import annotations

import argparse
import math

import numbagrad as ng
from numbagrad import Tensor, nn, optim
from numbagrad.data import DataLoader, TensorDataset

PAST, AHEAD = 48, 12


def series(length: int) -> Tensor:
    """A daily and a weekly rhythm of an hourly quantity, a slow rise, and noise."""
    hours = ng.arange(length, dtype=ng.float32)
    daily, weekly = ng.sin(hours * (2 * math.pi / 24)), ng.sin(hours * (2 * math.pi / 168))
    return daily * (1 + 0.5 * weekly) + 0.3 * weekly + hours / length + 0.05 * ng.randn(length)


def windows(values: Tensor) -> TensorDataset:
    """Every stretch of PAST values (as sequences of one feature) with the AHEAD values that follow."""
    stretches = values.unfold(0, PAST + AHEAD, 1)
    return TensorDataset(stretches[:, :PAST].unsqueeze(-1).contiguous(), stretches[:, PAST:].contiguous())


class Forecaster(nn.Module):
    """An LSTM reads the past, and a linear layer the forecast from its last state, both as differences from the last value."""

    def __init__(self, hidden: int = 48):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, AHEAD)

    def forward(self, past: Tensor) -> Tensor:
        last = past[:, -1:]
        states, _ = self.lstm(past - last)
        return last[:, 0] + self.head(states[:, -1])


@ng.no_grad()
def error(model: nn.Module, data: TensorDataset) -> float:
    """The root of the mean squared error of the forecasts."""
    model.eval()
    past, future = data.tensors
    return nn.functional.mse_loss(model(past), future).sqrt().item()


def main(epochs: int = 10, length: int = 3000) -> tuple[float, float]:
    """Train; returns the forecaster's error and that of saying that tomorrow will be like today, on the last fifth of the series."""
    ng.manual_seed(0)
    values = series(length)
    split = length * 4 // 5
    train, test = windows(values[:split]), windows(values[split:])
    model = Forecaster()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for past, future in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(past), future)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(past)
        schedule.step()
        print(f"epoch {epoch + 1:2d}: training loss {total / len(train):.4f}, test error {error(model, test):.4f}")
    past, future = test.tensors
    naive = nn.functional.mse_loss(past[:, PAST - 24 : PAST - 24 + AHEAD, 0], future).sqrt().item()
    found = error(model, test)
    print(f"error of the forecast {found:.4f}; of repeating what was a day before {naive:.4f}")
    return found, naive


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10, help="passes over the series")
    parser.add_argument("--length", type=int, default=3000, help="hours in the series")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    options = parser.parse_args()
    with ng.device(options.device):  # what is made without device= is made there
        main(options.epochs, options.length)
