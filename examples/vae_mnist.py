"""A variational autoencoder of handwritten digits (Kingma and Welling, 2014), which draws new ones.

    python examples/vae_mnist.py --epochs 5 --out runs/vae

Data as for train_mnist.py.  ``--out`` holds the weights and, where matplotlib is installed, a picture of digits that the decoder draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from find_data import find_data

import numbagrad as ng
from numbagrad import Tensor, nn, optim
from numbagrad.data import DataLoader, Subset
from numbagrad.nn import functional as F


class VAE(nn.Module):
    """784 - 256 - (mean and log variance of 16) - 256 - 784."""

    def __init__(self, hidden: int = 256, code: int = 16):
        super().__init__()
        self.code = code
        self.encoder = nn.Sequential(nn.Linear(784, hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 784))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + ng.randn_like(mean) * (0.5 * log_variance).exp()  # drawn so that gradients reach mean and variance
        return self.decoder(z), mean, log_variance

    def draw(self, count: int) -> Tensor:
        """Pictures (count, 28, 28) of codes that are drawn from the prior."""
        return self.decoder(ng.randn(count, self.code)).sigmoid().view(count, 28, 28)


def bound(scores: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The negative evidence lower bound per picture: what the picture costs given its code, and what the code costs."""
    picture = F.binary_cross_entropy_with_logits(scores, x, reduction="sum")
    code = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    return (picture + code) / len(x)


def pixels(images: Tensor) -> Tensor:
    """The normalised images back in [0, 1], as rows."""
    return (images * 0.3081 + 0.1307).clamp(0, 1).flatten(1)


def save_picture(images: Tensor, path: Path) -> None:
    """A sheet of digits, ten in a row."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        print("matplotlib is not installed: no picture is drawn")
        return
    sheet = images.reshape(-1, 10, 28, 28).permute(0, 2, 1, 3).reshape(-1, 280)
    plt.imsave(path, sheet.cpu().numpy(), cmap="gray")


def main(epochs: int = 5, data: Path | None = None, out: Path = Path("runs/vae"), limit: int | None = None) -> list[float]:
    """Train; returns the mean bound of each epoch."""
    ng.manual_seed(0)
    train, _, origin = find_data(data)
    if limit:
        train = Subset(train, range(min(limit, len(train))))
    print(f"{origin}: {len(train):,} images")
    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    history = []
    device = ng.get_default_device()
    for epoch in range(epochs):
        total = 0.0
        for images, _ in DataLoader(train, batch_size=128, shuffle=True):
            x = pixels(images.to(device))
            optimizer.zero_grad()
            scores, mean, log_variance = model(x)
            loss = bound(scores, x, mean, log_variance)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        history.append(total / len(train))
        print(f"epoch {epoch + 1}: bound {history[-1]:.2f} nats per picture", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    ng.save(model.state_dict(), out / "vae.safetensors")
    with ng.no_grad():
        save_picture(model.draw(50), out / "digits.png")
    print(f"weights and picture are in {out}")
    return history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training data")
    parser.add_argument("--data", type=Path, help="directory with the MNIST files")
    parser.add_argument("--limit", type=int, help="train on this many images only")
    parser.add_argument("--out", type=Path, default=Path("runs/vae"), help="directory for the weights and the picture")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    options = parser.parse_args()
    with ng.device(options.device):  # what is made without device= is made there
        main(options.epochs, options.data, options.out, options.limit)
