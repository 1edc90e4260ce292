"""Next values of waves of unequal lengths: pad_sequence in a collate_fn, a packed LSTM, ReduceLROnPlateau."""

import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset


class Waves(Dataset):
    """Sine waves of 8 to 20 points with their own frequency and phase."""

    def __init__(self, n, seed):
        rng = np.random.RandomState(seed)
        self.series = []
        for _ in range(n):
            t = np.arange(rng.randint(9, 22))
            wave = np.sin(rng.uniform(0.4, 0.8) * t + rng.uniform(0, 6.28))
            self.series.append(torch.from_numpy(wave).float().unsqueeze(-1))

    def __len__(self):
        return len(self.series)

    def __getitem__(self, i):
        return self.series[i][:-1], self.series[i][1:]


def collate(batch):
    inputs, targets = zip(*batch)
    lengths = torch.tensor([len(x) for x in inputs])
    return pad_sequence(inputs, batch_first=True), pad_sequence(targets, batch_first=True), lengths


class Forecaster(nn.Module):
    def __init__(self, hidden_size=16, num_layers=2):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden_size, num_layers=num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)
        for name, param in self.lstm.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(param)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(param)
            elif "bias_hh" in name:
                nn.init.zeros_(param)
            else:
                nn.init.constant_(param, 0.1)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed_output, (h_n, _) = self.lstm(packed)
        output, output_lengths = pad_packed_sequence(packed_output, batch_first=True, total_length=x.size(1))
        assert torch.equal(output_lengths, lengths.cpu())
        return self.head(output), h_n[-1]


def masked_mse(prediction, target, lengths):
    mask = torch.arange(target.size(1), device=target.device)[None, :] < lengths[:, None].to(target.device)
    return ((prediction - target).pow(2).squeeze(-1) * mask).sum() / mask.sum()


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--save", default=None)
parser.add_argument("--resume", default=None)
args = parser.parse_args()
torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
train_loader = DataLoader(Waves(48, seed=0), batch_size=12, collate_fn=collate)
val_loader = DataLoader(Waves(16, seed=1), batch_size=16, collate_fn=collate)
model = Forecaster().to(device)
if args.resume is not None:
    model.load_state_dict(torch.load(args.resume, map_location=device, weights_only=True))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)

losses, val_losses = [], []
for epoch in range(args.epochs):
    model.train()
    for x, y, lengths in train_loader:
        x, y = x.to(device), y.to(device)
        prediction, _ = model(x, lengths)
        loss = masked_mse(prediction, y, lengths)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val_losses += [masked_mse(model(x.to(device), lengths)[0], y.to(device), lengths).item() for x, y, lengths in val_loader]
    scheduler.step(val_losses[-1])
    print(f"epoch {epoch}: validation {val_losses[-1]:.4f}, lr {optimizer.param_groups[0]['lr']}")

# The last state of each sequence does not depend on what it was padded with.
x, _, lengths = next(iter(val_loader))
with torch.no_grad():
    together = model(x.to(device), lengths)[1]
    alone = torch.cat([model(x[i : i + 1, :n].to(device), lengths[i : i + 1])[1] for i, n in enumerate(lengths.tolist())])
same = torch.allclose(together, alone, atol=1e-5)
if args.save is not None:
    torch.save(model.state_dict(), args.save)
