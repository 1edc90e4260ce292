"""A convolutional network with batch norm and augmentation on pictures of CIFAR-10's shape: 3 channels, 32 x 32 pixels, ten classes.

    python examples/small_pictures.py --epochs 8

The pictures are made here: ten kinds of coloured shapes on noise, at random places and sizes.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import numbagrad as ng
from numbagrad import Tensor, nn, optim
from numbagrad.data import DataLoader, Dataset
from numbagrad.vision import transforms

SHAPES = {
    "disc": lambda x, y: x**2 + y**2 < 0.8,
    "ring": lambda x, y: abs(x**2 + y**2 - 0.6) < 0.3,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.75,
    "frame": lambda x, y: abs(np.maximum(abs(x), abs(y)) - 0.75) < 0.2,
    "cross": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.25) & (np.maximum(abs(x), abs(y)) < 1),
}
COLOURS = {"warm": (0.9, 0.4, 0.2), "cold": (0.2, 0.5, 0.9)}


class Shapes(Dataset[Any]):
    """``count`` pictures (32, 32, 3) of bytes, each with its class, through ``transform``."""

    def __init__(self, count: int, transform: Any, seed: int):
        draw = np.random.default_rng(seed)
        self.labels = draw.integers(0, len(SHAPES) * len(COLOURS), count)
        self.pictures = np.stack([self.picture(int(label), draw) for label in self.labels])
        self.transform = transform

    @staticmethod
    def picture(label: int, draw: np.random.Generator) -> np.ndarray:
        shape, colour = list(SHAPES.values())[label % len(SHAPES)], list(COLOURS.values())[label // len(SHAPES)]
        (x0, y0), radius = draw.uniform(10, 22, 2), draw.uniform(6, 10)
        y, x = np.mgrid[:32, :32]
        inside = shape((x - x0) / radius, (y - y0) / radius)[..., None]
        picture = draw.uniform(0, 0.5, (32, 32, 3)) + inside * np.array(colour) * draw.uniform(0.4, 0.8)
        return (255 * picture.clip(0, 1)).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.pictures[index]), int(self.labels[index])


def block(inside: int, outside: int) -> nn.Sequential:
    """Two convolutions, each normalised over the batch, and a pool."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        nn.Conv2d(outside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Network(nn.Module):
    """Three blocks of 16, 32 and 64 channels, the mean over what is left of the picture, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(block(3, 16), block(16, 32), block(32, 64))
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, len(SHAPES) * len(COLOURS)))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


NORMALIZE = [transforms.ToTensor(), transforms.Normalize((0.3, 0.3, 0.3), (0.2, 0.2, 0.2))]
AUGMENT = transforms.Compose([transforms.ToTensor(), transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), NORMALIZE[1]])


@ng.no_grad()
def accuracy(model: nn.Module, loader: DataLoader, device: ng.device) -> float:
    model.eval()
    right = sum((model(images.to(device)).argmax(1).cpu() == labels).sum().item() for images, labels in loader)
    return right / len(loader.dataset)


def main(epochs: int = 8, count: int = 2000, workers: int = 0) -> float:
    """Train; returns the accuracy on pictures that were not trained on."""
    ng.manual_seed(0)
    device = ng.get_default_device()
    train = DataLoader(Shapes(count, AUGMENT, seed=1), batch_size=64, shuffle=True, num_workers=workers, drop_last=True)
    test = DataLoader(Shapes(max(100, count // 4), transforms.Compose(NORMALIZE), seed=2), batch_size=250)
    model = Network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=epochs, steps_per_epoch=len(train))
    found = 0.0
    for epoch in range(epochs):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device), label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
        found = accuracy(model, test, device)
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, test accuracy {found:.1%}", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8, help="passes over the pictures")
    parser.add_argument("--count", type=int, default=2000, help="pictures to train on")
    parser.add_argument("--workers", type=int, default=0, help="processes that load and augment")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    options = parser.parse_args()
    with ng.device(options.device):  # what is made without device= is made there
        main(options.epochs, options.count, options.workers)
