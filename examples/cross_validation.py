"""Stratified cross-validation with scikit-learn: accuracy, F1 and the area under the ROC curve of a small network.

python examples/cross_validation.py --folds 5
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

import numbagrad as ng
from numbagrad import nn, optim
from numbagrad.data import DataLoader, TensorDataset

SCORES = {"accuracy": accuracy_score, "F1": f1_score}


def fit(x: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    """A network of one hidden layer; the rarer class counts for as much as the other."""
    inputs, labels = ng.from_numpy(x.astype(np.float32)), ng.from_numpy(y.astype(np.float32)).unsqueeze(1)
    model = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss(pos_weight=(len(labels) - labels.sum()) / labels.sum())
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(epochs):
        for features, truth in DataLoader(TensorDataset(inputs, labels), batch_size=32, shuffle=True):
            optimizer.zero_grad()
            criterion(model(features), truth).backward()
            optimizer.step()
    return model.eval()


@ng.no_grad()
def probabilities(model: nn.Module, x: np.ndarray) -> np.ndarray:
    return model(ng.from_numpy(x.astype(np.float32))).sigmoid().squeeze(1).numpy()


def main(folds: int = 5, epochs: int = 20) -> dict[str, float]:
    """The mean scores over the folds."""
    x, y = load_breast_cancer(return_X_y=True)
    found: dict[str, list[float]] = {name: [] for name in (*SCORES, "AUC")}
    for fold, (train, test) in enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(x, y), 1):
        ng.manual_seed(fold)
        scaler = StandardScaler().fit(x[train])  # of the training part alone: the test part must not be known
        chances = probabilities(fit(scaler.transform(x[train]), y[train], epochs), scaler.transform(x[test]))
        for name, score in SCORES.items():
            found[name].append(score(y[test], chances > 0.5))
        found["AUC"].append(roc_auc_score(y[test], chances))
        print(f"fold {fold}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in found.items()), flush=True)
    for name, values in found.items():
        print(f"{name:8s} {np.mean(values):.3f} ± {np.std(values):.3f}")
    return {name: float(np.mean(values)) for name, values in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folds", type=int, default=5, help="parts that the data is divided into")
    parser.add_argument("--epochs", type=int, default=20, help="passes over each training part")
    options = parser.parse_args()
    main(options.folds, options.epochs)
