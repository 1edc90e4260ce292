"""Train a classifier of handwritten digits, on the CPU.

    python examples/train_mnist.py --model lenet --epochs 5 --out runs/lenet

Data: ``--data DIR``, else the directory in NUMBAGRAD_DATA, else a cache directory, else a download; without a network, the digits that come with
scikit-learn (and the program says so).  After each epoch a checkpoint is written to ``--out``; ``--resume`` continues from it and gives
exactly the weights that an uninterrupted run gives.  At the end ``--out`` holds metrics.json and the pictures drawn by ``report.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import models
import numpy as np
import report

import numbagrad as ng
from numbagrad import nn, optim
from numbagrad.data import DataLoader
from numbagrad.vision import datasets, transforms

MEAN, STD = 0.1307, 0.3081  # of the training images


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", choices=sorted(models.MODELS), default="mlp", help="the network")
    parser.add_argument("--optimizer", choices=["adam", "adamw", "sgd", "rmsprop", "adagrad"], default="adam", help="how weights are updated")
    parser.add_argument("--lr", type=float, help="learning rate (default: 0.05 for sgd, 0.001 otherwise)")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training data")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step")
    parser.add_argument("--device", default="cpu", help="where to compute")
    parser.add_argument("--data", type=Path, help="directory with the MNIST files")
    parser.add_argument("--seed", type=int, default=0, help="fixes initial weights, order and dropout")
    parser.add_argument("--patience", type=int, default=3, help="stop after this many epochs without a better test accuracy")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist"), help="directory for the checkpoint, metrics and pictures")
    options = parser.parse_args(arguments)
    for name in ("epochs", "batch_size", "patience"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, but got {getattr(options, name)}")
    if options.lr is None:
        options.lr = 0.05 if options.optimizer == "sgd" else 0.001
    if options.lr <= 0:
        parser.error(f"--lr must be positive, but got {options.lr}")
    return options


def find_data(chosen: Path | None) -> tuple[Any, Any, str]:
    """The training set, the test set and where they came from."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    environment = os.environ.get("NUMBAGRAD_DATA")
    if chosen is not None or environment:
        root = chosen if chosen is not None else Path(environment or "")
        return datasets.MNIST(root, True, transform), datasets.MNIST(root, False, transform), f"MNIST in {root}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numbagrad" / "data"
    try:
        sets = datasets.MNIST(cache, True, transform, download=True), datasets.MNIST(cache, False, transform, download=True)
        return *sets, f"MNIST in {cache}"
    except (OSError, RuntimeError) as error:
        print(f"MNIST is not here and cannot be downloaded ({str(error).splitlines()[0]}).", file=sys.stderr)
        print("Using scikit-learn's 1,797 bundled digits instead: accuracies are not MNIST's.", file=sys.stderr)
    enlarge = transforms.Compose([transforms.ToTensor(), transforms.Resize((28, 28)), transforms.Normalize((MEAN,), (STD,))])
    return datasets.Digits(train=True, transform=enlarge), datasets.Digits(train=False, transform=enlarge), "scikit-learn's digits (not MNIST)"


def make_optimizer(name: str, parameters: Any, lr: float) -> optim.Optimizer:
    if name == "sgd":
        return optim.SGD(parameters, lr=lr, momentum=0.9)
    return {"adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad}[name](parameters, lr=lr)


def train_epoch(model: nn.Module, loader: DataLoader, optimizer: optim.Optimizer, device: str, title: str) -> tuple[float, float]:
    """One pass over the data: the mean loss and images per second."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    total, seen, start = 0.0, 0, time.perf_counter()
    with report.progress(title, len(loader)) as bar:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
            bar.advance(f"loss {total / seen:.4f}  {seen / (time.perf_counter() - start):,.0f} images/s")
    return total / seen, seen / (time.perf_counter() - start)


@ng.no_grad()
def predict(model: nn.Module, loader: DataLoader, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes."""
    model.eval()
    guesses, truth = [], []
    for images, labels in loader:
        guesses.append(model(images.to(device)).argmax(1).cpu().numpy())
        truth.append(labels.numpy())
    return np.concatenate(guesses), np.concatenate(truth)


def write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


def resume(path: Path, options: argparse.Namespace, model: nn.Module, optimizer: optim.Optimizer) -> dict[str, Any]:
    """Put everything back as the checkpoint left it; returns the history so far."""
    saved = ng.load(path)
    for name in ("model", "optimizer", "batch_size", "seed"):
        if saved["options"][name] != getattr(options, name):
            raise SystemExit(f"{path} was made with --{name.replace('_', '-')} {saved['options'][name]}, not {getattr(options, name)}")
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["state"])
    ng.set_rng_state(saved["rng"])
    return saved["history"]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    ng.manual_seed(options.seed)
    train, test, source = find_data(options.data)
    print(f"{source}: {len(train):,} images to train on, {len(test):,} to test on")
    model = models.MODELS[options.model]().to(options.device)
    optimizer = make_optimizer(options.optimizer, model.parameters(), options.lr)
    print(model)
    checkpoint = options.out / "checkpoint.safetensors"
    history: dict[str, Any] = {"loss": [], "accuracy": [], "images_per_second": [], "best": 0.0, "since_best": 0}
    if options.resume:
        if not checkpoint.exists():
            raise SystemExit(f"--resume: there is no checkpoint {checkpoint}")
        history = resume(checkpoint, options, model, optimizer)
    # The order of each epoch depends on the seed and the epoch alone, so that a resumed run sees what an uninterrupted one would.
    order = ng.Generator()
    train_loader = DataLoader(train, batch_size=options.batch_size, shuffle=True, generator=order)
    test_loader = DataLoader(test, batch_size=1000)
    guesses = truth = np.empty(0)
    try:
        for epoch in range(len(history["loss"]), options.epochs):
            if history["since_best"] >= options.patience:
                print(f"no better test accuracy in {options.patience} epochs: stopping early")
                break
            order.manual_seed(options.seed * 1_000_003 + epoch)
            loss, speed = train_epoch(model, train_loader, optimizer, options.device, f"epoch {epoch + 1}/{options.epochs}")
            guesses, truth = predict(model, test_loader, options.device)
            accuracy = float((guesses == truth).mean())
            better = accuracy > history["best"]
            history["best"], history["since_best"] = (accuracy, 0) if better else (history["best"], history["since_best"] + 1)
            for name, value in (("loss", loss), ("accuracy", accuracy), ("images_per_second", speed)):
                history[name].append(value)
            print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.2%}, {speed:,.0f} images/s")
            saved = {"options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}, "history": history,
                     "model": model.state_dict(), "state": optimizer.state_dict(), "rng": ng.get_rng_state()}  # fmt: skip
            ng.save(saved, checkpoint)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {'the last whole epoch is in ' + str(checkpoint) if checkpoint.exists() else 'no epoch was finished'}")
        raise SystemExit(130) from None
    if not len(truth):
        guesses, truth = predict(model, test_loader, options.device)
    metrics = {"model": options.model, "data": source, "epochs": len(history["loss"]), "test_accuracy": float((guesses == truth).mean()),
               "best_test_accuracy": history["best"], **{k: history[k] for k in ("loss", "accuracy", "images_per_second")}}  # fmt: skip
    write_json(options.out / "metrics.json", metrics)
    report.draw(options.out, history, guesses, truth, test)
    print(f"test accuracy {metrics['test_accuracy']:.2%}; metrics and pictures are in {options.out}")
    return metrics


if __name__ == "__main__":
    main()
