"""Train a classifier of handwritten digits, on the CPU or on a GPU.

    python examples/train_mnist.py --model lenet --epochs 5 --out runs/lenet
    python examples/train_mnist.py --model cnn --device cuda --amp

Data: ``--data DIR``, else the directory in NUMBAGRAD_DATA, else a cache directory, else a download; without a network, the digits that come with
scikit-learn (and the program says so).  ``--out`` always holds a checkpoint of the last whole epoch, also after Ctrl-C; ``--resume`` continues
from it and ends with exactly the weights of an uninterrupted run.  At the end ``--out`` also holds metrics.json and the pictures drawn by
``report.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import models
import numpy as np
import report
from find_data import find_data

import numbagrad as ng
from numbagrad import nn, optim
from numbagrad.data import DataLoader

OPTIMIZERS = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad}
RATES = {"adam": 0.002, "adamw": 0.002, "sgd": 0.05, "rmsprop": 0.001, "adagrad": 0.02}


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=Help)
    parser.add_argument("--model", choices=list(models.MODELS), default="mlp", help="the network")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="how weights are updated")
    parser.add_argument("--lr", type=float, help="learning rate of the first epoch (default: one that suits the optimizer)")
    parser.add_argument("--gamma", type=float, default=0.6, help="the learning rate is multiplied by this after every epoch")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training data")
    parser.add_argument("--batch-size", type=int, default=64, help="images per step")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda or cuda:1")
    parser.add_argument("--amp", action="store_true", help="mixed precision: float16 on cuda, bfloat16 on cpu")
    parser.add_argument("--data", type=Path, help="directory with the MNIST files (default: NUMBAGRAD_DATA, else a cache, else a download)")
    parser.add_argument("--seed", type=int, default=0, help="fixes initial weights, order and dropout")
    parser.add_argument("--patience", type=int, default=3, help="stop after this many epochs without a better test accuracy")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist"), help="directory for the checkpoint, metrics and pictures")
    options = parser.parse_args(arguments)
    if options.lr is None:
        options.lr = RATES[options.optimizer]
    for name in ("epochs", "batch_size", "patience"):
        if getattr(options, name) < 1:
            parser.error(f"argument --{name.replace('_', '-')}: expected at least 1, but got {getattr(options, name)}")
    for name in ("lr", "gamma"):
        if not 0 < getattr(options, name) < math.inf:
            parser.error(f"argument --{name}: expected a positive number, but got {getattr(options, name)}")
    if not 0 <= options.seed < 2**32:
        parser.error(f"argument --seed: expected a number from 0 to {2**32 - 1}, but got {options.seed}")
    try:
        ng.zeros(1, device=options.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"argument --device: {error}")
    missing = [name for name in ("matplotlib", "tqdm") if importlib.util.find_spec(name) is None]
    if missing:  # said now rather than after the training
        parser.exit(1, f"error: this example needs {' and '.join(missing)}: pip install {' '.join(missing)}\n")
    return options


class Run:
    """A network in training with all that decides how it goes on: what a checkpoint holds."""

    def __init__(self, options: argparse.Namespace, images: int):
        ng.manual_seed(options.seed)
        self.options = options
        self.model = models.MODELS[options.model]().to(options.device)
        extra = {"momentum": 0.9} if options.optimizer == "sgd" else {}
        self.optimizer = OPTIMIZERS[options.optimizer](self.model.parameters(), lr=options.lr, **extra)
        self.schedule = optim.lr_scheduler.ExponentialLR(self.optimizer, options.gamma)
        self.kind = ng.device(options.device).type
        # Gradients in float16 would underflow without a scale; bfloat16 has the range of float32.
        self.scaler = ng.amp.GradScaler(self.kind, enabled=options.amp and self.kind == "cuda")
        self.history: dict[str, Any] = {"loss": [], "accuracy": [], "images_per_second": [], "best": 0.0, "since_best": 0}
        self.path = options.out / "checkpoint.safetensors"
        # What has to be as before for a resumed run to be the same run.
        self.settings = {name: getattr(options, name) for name in ("model", "optimizer", "lr", "gamma", "batch_size", "seed", "amp")}
        self.images = images

    def save(self) -> None:
        ng.save(
            {
                "settings": self.settings,
                "images": self.images,
                "history": self.history,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": self.random_state(),
            },
            self.path,
        )

    def random_state(self) -> ng.Tensor:
        """The state of the generator that dropout draws from."""
        return ng.get_rng_state() if self.kind == "cpu" else ng.cuda.get_rng_state(self.options.device)

    def resume(self) -> None:
        """Put everything back as the checkpoint has it.  SystemExit when there is none, or one of another run."""
        if not self.path.exists():
            raise SystemExit(f"error: --resume: there is no checkpoint {self.path}")
        try:
            saved = ng.load(self.path)
            for name, value in saved["settings"].items():
                if value != self.settings[name]:
                    raise SystemExit(f"error: {self.path} was made with --{name.replace('_', '-')} {value}, not {self.settings[name]}")
            if saved["images"] != self.images:
                raise SystemExit(f"error: {self.path} was made with {saved['images']:,} training images, not {self.images:,}")
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.schedule.load_state_dict(saved["schedule"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(saved["scaler"])
            if self.kind == "cpu":
                ng.set_rng_state(saved["random"])
            else:
                ng.cuda.set_rng_state(saved["random"], self.options.device)
            self.history = saved["history"]
        except (KeyError, TypeError, AttributeError) as error:
            raise SystemExit(f"error: {self.path} was not written by this program ({type(error).__name__}: {error})") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise SystemExit(f"error: {error}") from None


def train_epoch(run: Run, loader: DataLoader, title: str) -> tuple[float, float]:
    """One pass over the data: the mean loss and images per second."""
    model, optimizer, device = run.model.train(), run.optimizer, run.options.device
    criterion = nn.CrossEntropyLoss()
    # To read a loss is to wait for the GPU, which would idle until it is given more; so they are added up there, and read now and then.
    every = 1 if run.kind == "cpu" else 50
    sums = ng.zeros((), dtype=ng.float64, device=device)
    mean, seen, start = 0.0, 0, time.perf_counter()
    with report.progress(title, len(loader)) as bar:
        for step, (images, labels) in enumerate(loader, 1):
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            optimizer.zero_grad()
            with ng.autocast(run.kind, enabled=run.options.amp):
                loss = criterion(model(images), labels)
            run.scaler.scale(loss).backward()
            run.scaler.step(optimizer)
            run.scaler.update()
            sums += loss.detach() * len(labels)
            seen += len(labels)
            if step % every == 0 or step == len(loader):
                mean = sums.item() / seen
                if not math.isfinite(mean):
                    raise SystemExit(f"error: the loss became {loss.item()}; try a --lr smaller than {run.options.lr}")
            bar.advance(f"loss {mean:.4f}  {seen / (time.perf_counter() - start):,.0f} images/s")
    return mean, seen / (time.perf_counter() - start)


@ng.no_grad()
def predict(run: Run, loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes."""
    run.model.eval()
    guesses, truth = [], []
    for images, labels in loader:
        with ng.autocast(run.kind, enabled=run.options.amp):
            scores = run.model(images.to(run.options.device, non_blocking=True))
        guesses.append(scores.argmax(1).cpu().numpy())
        truth.append(labels.numpy())
    return np.concatenate(guesses), np.concatenate(truth)


def train(run: Run, train_set: Any, test_loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Epochs until there are as many as asked for or accuracy no longer rises; predictions after the last."""
    options, history = run.options, run.history
    # The order of each epoch depends on the seed and the epoch alone, so that a resumed run sees what an uninterrupted one would.
    order = ng.Generator()
    train_loader = DataLoader(train_set, batch_size=options.batch_size, shuffle=True, generator=order, pin_memory=run.kind == "cuda")
    results = None
    for epoch in range(len(history["loss"]), options.epochs):
        if history["since_best"] >= options.patience:
            print(f"no better test accuracy in {options.patience} epochs: stopping early", flush=True)
            break
        order.manual_seed(options.seed * 1_000_003 + epoch)
        loss, speed = train_epoch(run, train_loader, f"epoch {epoch + 1}/{options.epochs}")
        run.schedule.step()
        results = predict(run, test_loader)
        accuracy = float((results[0] == results[1]).mean())
        history["since_best"] = 0 if accuracy > history["best"] else history["since_best"] + 1
        history["best"] = max(accuracy, history["best"])
        for name, value in (("loss", loss), ("accuracy", accuracy), ("images_per_second", speed)):
            history[name].append(value)
        run.save()
        print(f"epoch {epoch + 1}: loss {loss:.4f}, test accuracy {accuracy:.2%}, {speed:,.0f} images/s", flush=True)
    return results or predict(run, test_loader)


def write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    train_set, test_set, origin = find_data(options.data)
    print(f"{origin}: {len(train_set):,} images to train on, {len(test_set):,} to test on")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        run = Run(options, len(train_set))
        if options.resume:
            run.resume()
            print(f"continuing after epoch {len(run.history['loss'])}")
        else:
            run.save()  # so that there is one whenever the run ends
        print(run.model, flush=True)
        guesses, truth = train(run, train_set, DataLoader(test_set, batch_size=1000, pin_memory=run.kind == "cuda"))
        metrics = {"model": options.model, "data": origin, "epochs": len(run.history["loss"]), "test_accuracy": float((guesses == truth).mean()),
                   "best_test_accuracy": run.history["best"], **{k: run.history[k] for k in ("loss", "accuracy", "images_per_second")}}  # fmt: skip
        write_json(options.out / "metrics.json", metrics)
        report.draw(options.out, run.history, guesses, truth, test_set)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SystemExit(f"error: cannot write to {options.out}: {error}") from None
    except KeyboardInterrupt:
        print(f"\ninterrupted; {options.out} holds the checkpoint of the last whole epoch, and --resume continues from it")
        raise SystemExit(130) from None
    print(f"test accuracy {metrics['test_accuracy']:.2%}; checkpoint, metrics and pictures are in {options.out}")
    return metrics


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before there was anything to keep
        raise SystemExit(130) from None
    except BrokenPipeError:  # who read the output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
