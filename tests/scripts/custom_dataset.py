"""A tabular classifier: custom Dataset, random_split, init by apply, clipping, early stopping, the best weights kept."""

import copy
import os
import random

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset, random_split


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


class MoonsDataset(Dataset):
    def __init__(self, n, transform=None):
        angle = np.random.uniform(0, np.pi, n)
        label = np.random.randint(0, 2, n)
        x = np.where(label, 1 - np.cos(angle), np.cos(angle)) + 0.1 * np.random.randn(n)
        y = np.where(label, 0.5 - np.sin(angle), np.sin(angle)) + 0.1 * np.random.randn(n)
        self.data = torch.tensor(np.stack([x, y], 1), dtype=torch.float32)
        self.targets = torch.from_numpy(label).long()
        self.transform = transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        sample = self.data[idx]
        if self.transform:
            sample = self.transform(sample)
        return sample, self.targets[idx]


class Classifier(nn.Module):
    def __init__(self, sizes, num_classes):
        super().__init__()
        layers = []
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.LeakyReLU(0.1, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x):
        return self.head(self.features(x))


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        m.bias.data.fill_(0.01)
    elif isinstance(m, nn.BatchNorm1d):
        nn.init.ones_(m.weight)


class EarlyStopping:
    def __init__(self, patience=3, delta=1e-3):
        self.patience, self.delta = patience, delta
        self.best, self.counter, self.stop = float("inf"), 0, False

    def __call__(self, value, model):
        if value < self.best - self.delta:
            self.best, self.counter = value, 0
            self.state = copy.deepcopy(model.state_dict())
        else:
            self.counter += 1
            self.stop = self.counter >= self.patience


set_seed(7)
dataset = MoonsDataset(200)
train_set, val_set = random_split(dataset, [160, 40], generator=torch.Generator().manual_seed(0))
train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
val_loader = DataLoader(val_set, batch_size=40)

model = Classifier([2, 16, 16], 2)
model.apply(init_weights)
print(model)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1)
stopper = EarlyStopping()

losses = []
for epoch in range(15):
    model.train()
    epoch_loss = 0.0
    for inputs, targets in train_loader:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(inputs), targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        epoch_loss += loss.item() * inputs.size(0)
    losses.append(epoch_loss / len(train_loader.dataset))

    model.eval()
    val_loss, correct = 0.0, 0
    with torch.no_grad():
        for inputs, targets in val_loader:
            outputs = model(inputs)
            val_loss += criterion(outputs, targets).item()
            correct += (torch.argmax(outputs, dim=1) == targets).float().sum().item()
    accuracy = 100 * correct / len(val_set)
    scheduler.step(val_loss)
    stopper(val_loss, model)
    print(f"epoch {epoch}: {losses[-1]:.4f} val {val_loss:.4f} acc {accuracy:.1f}% lr {optimizer.param_groups[0]['lr']}")
    if stopper.stop:
        print("Early stopping")
        break

model.load_state_dict(stopper.state)
torch.save(
    {"epoch": epoch, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "loss": losses[-1]}, "best.pt"
)
checkpoint = torch.load("best.pt", map_location="cpu")
model.load_state_dict(checkpoint["model_state_dict"])
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
probabilities = torch.softmax(model(dataset.data[:5]), dim=1)
confidence, index = probabilities.max(dim=1)
assert os.path.exists("best.pt") and checkpoint["epoch"] == epoch
