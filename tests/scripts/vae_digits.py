"""A variational autoencoder of seven-segment digits: reparameterisation, binary cross-entropy and KL divergence, samples."""

import argparse

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser(description="VAE")
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--no-cuda", action="store_true", default=False)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
args.cuda = not args.no_cuda and torch.cuda.is_available()
torch.manual_seed(args.seed)
device = torch.device("cuda" if args.cuda else "cpu")
kwargs = {"num_workers": 1, "pin_memory": True} if args.cuda else {}

# Rows and columns that each of the seven segments covers in a picture of 12 x 8, and the segments of the ten digits.
SEGMENTS = {
    "a": (slice(1, 2), slice(2, 6)), "b": (slice(2, 6), slice(5, 6)), "c": (slice(6, 10), slice(5, 6)), "d": (slice(10, 11), slice(2, 6)),
    "e": (slice(6, 10), slice(2, 3)), "f": (slice(2, 6), slice(2, 3)), "g": (slice(5, 7), slice(2, 6)),
}  # fmt: skip
DIGITS = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"]


def draw(n):
    images = torch.zeros(n, 1, 12, 8)
    labels = torch.arange(n) % 10
    for image, label in zip(images, labels):
        for segment in DIGITS[label]:
            rows, columns = SEGMENTS[segment]
            image[0, rows, columns] = 1.0
    noisy = images * (0.8 + 0.2 * torch.rand(n, 1, 12, 8)) + 0.05 * torch.rand_like(images)
    return noisy.clamp_(0, 1), labels


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(96, 48)
        self.fc21 = nn.Linear(48, 4)
        self.fc22 = nn.Linear(48, 4)
        self.fc3 = nn.Linear(4, 48)
        self.fc4 = nn.Linear(48, 96)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 96))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 96), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


train_set, test_set = random_split(TensorDataset(*draw(400)), [320, 80], generator=torch.Generator().manual_seed(args.seed))
train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True, **kwargs)
test_loader = DataLoader(test_set, batch_size=args.batch_size, **kwargs)
model = VAE().to(device)
optimizer = optim.Adam(model.parameters(), lr=5e-3)

losses, test_losses = [], []
for epoch in range(1, args.epochs + 1):
    model.train()
    train_loss = 0
    for data, _ in train_loader:
        data = data.to(device)
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
    losses.append(train_loss / len(train_loader.dataset))
    model.eval()
    with torch.no_grad():
        total = sum(
            loss_function(model(data.to(device))[0], data.to(device), *model.encode(data.to(device).view(-1, 96)))
            for data, _ in test_loader
        )
    test_losses.append(total.item() / len(test_loader.dataset))
    print(f"====> Epoch: {epoch} Average loss: {losses[-1]:.4f} Test set loss: {test_losses[-1]:.4f}")

with torch.no_grad():
    sample = model.decode(torch.randn(8, 4, device=device)).cpu().view(8, 1, 12, 8)
    real, _ = draw(10)
    distance = torch.cdist(sample.flatten(1), real.flatten(1)).min(dim=1).values.mean().item()
sample_range = [sample.min().item(), sample.max().item()]
