"""Sentences of unequal lengths, judged by a Transformer encoder with padding masks and sinusoidal positions."""

import argparse
import math
import random

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

PAD = "<pad>"
GOOD, BAD = ["good", "great", "lovely", "fine"], ["bad", "awful", "dull", "poor"]
OTHER = ["the", "film", "was", "it", "and", "story", "actors", "a", "little"]
VOCABULARY = {word: i for i, word in enumerate([PAD, *GOOD, *BAD, *OTHER])}


def sentence(rng):
    """Some words with a few judgements among them; most of those say the label."""
    label, fewer = rng.randrange(2), rng.randrange(2)
    words = [rng.choice(OTHER) for _ in range(rng.randrange(1, 8))]
    words += rng.choices(GOOD if label else BAD, k=fewer + 1) + rng.choices(BAD if label else GOOD, k=fewer)
    rng.shuffle(words)
    return words, label


def collate_fn(batch):
    texts = [torch.tensor([VOCABULARY[w] for w in words], dtype=torch.int64) for words, _ in batch]
    return pad_sequence(texts, batch_first=True, padding_value=VOCABULARY[PAD]), torch.tensor([label for _, label in batch])


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, max_len: int = 32):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.size(1)]


class Classifier(nn.Module):
    def __init__(self, vocab_size: int, d_model: int = 32, nhead: int = 4, num_layers: int = 2):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model, padding_idx=VOCABULARY[PAD])
        self.positions = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward=64, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=num_layers, enable_nested_tensor=False)
        self.fc = nn.Linear(d_model, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        padding = tokens == VOCABULARY[PAD]
        x = self.positions(self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim))
        x = self.encoder(x, src_key_padding_mask=padding)
        x = x.masked_fill(padding.unsqueeze(-1), 0.0).sum(dim=1) / (~padding).sum(dim=1, keepdim=True)
        return self.fc(x)


def accuracy_of(model, loader, device):
    model.eval()
    hits, n = 0, 0
    with torch.no_grad():
        for tokens, labels in loader:
            hits += (model(tokens.to(device)).argmax(-1) == labels.to(device)).sum().item()
            n += labels.size(0)
    return 100.0 * hits / n


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--save", default=None)
parser.add_argument("--resume", default=None)
args = parser.parse_args()
torch.manual_seed(5)
rng = random.Random(5)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
train_loader = DataLoader([sentence(rng) for _ in range(192)], batch_size=24, collate_fn=collate_fn)
test_loader = DataLoader([sentence(rng) for _ in range(64)], batch_size=32, collate_fn=collate_fn)
model = Classifier(len(VOCABULARY)).to(device)
optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
if args.resume:
    checkpoint = torch.load(args.resume, map_location=device, weights_only=True)
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
scheduler = CosineAnnealingLR(optimizer, T_max=args.epochs, eta_min=1e-4)
criterion = nn.CrossEntropyLoss()

losses = []
for _epoch in range(args.epochs):
    model.train()
    for tokens, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(tokens.to(device)), labels.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
accuracy = accuracy_of(model, test_loader, device)
print(f"Accuracy: {accuracy:>0.1f}%, last loss: {losses[-1]:>8f}")
if args.save:
    torch.save({"epoch": args.epochs, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, args.save)
