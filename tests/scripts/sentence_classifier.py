"""Bags of words: Embedding, a mean, LayerNorm, a head; padding by a collate_fn; logits against BCEWithLogits."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

rng = np.random.RandomState(3)
VOCABULARY = 30
PAD = 0


class Sentences(Dataset):
    def __init__(self, n):
        self.items = []
        for _ in range(n):
            words = rng.randint(1, VOCABULARY, rng.randint(3, 9))
            self.items.append((words.tolist(), float((words < VOCABULARY // 2).mean() > 0.5)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    longest = max(len(words) for words, _ in batch)
    words = torch.zeros(len(batch), longest, dtype=torch.long)
    for i, (each, _) in enumerate(batch):
        words[i, : len(each)] = torch.LongTensor(each)
    return words, torch.tensor([label for _, label in batch])


class Model(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.heads = nn.ModuleDict({"label": nn.Linear(width, 1)})

    def forward(self, words):
        mask = (words != PAD).unsqueeze(-1).float()
        x = (self.embedding(words) * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        x = self.norm(x)
        for block in self.blocks:
            x = x + F.gelu(block(x))
        return self.heads["label"](x).squeeze(1)


model = Model(VOCABULARY, 8)
with torch.no_grad():
    for name, p in model.named_parameters():
        if "norm" not in name:
            p.copy_(torch.as_tensor(rng.normal(0, 0.4, p.size())))
    model.embedding.weight[PAD] = 0
print(model)
loader = DataLoader(Sentences(96), batch_size=24, shuffle=False, collate_fn=collate)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
losses = []
for _epoch in range(8):
    total = 0.0
    for words, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(words), labels)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        total += loss.item()
    scheduler.step()
    losses.append(total / len(loader))
with torch.no_grad():
    right = sum(((torch.sigmoid(model(w)) > 0.5).float() == t).sum().item() for w, t in loader)
accuracy = 100 * right / len(loader.dataset)
padding = model.embedding.weight[PAD].abs().sum().item()
final = [losses[0], losses[-1]]
