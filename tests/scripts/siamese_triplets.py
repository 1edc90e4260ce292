"""A siamese network: one convolutional embedding for two or three pictures, with a triplet or a contrastive loss."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


def pictures(n, seed):
    """n pictures of 10 x 10 in four classes: a stroke across, down, and along either diagonal, somewhere and with noise."""
    rng = np.random.RandomState(seed)
    labels = rng.randint(4, size=n)
    images = rng.normal(0, 0.15, (n, 1, 10, 10)).astype(np.float32)
    for image, label in zip(images, labels):
        row, column = rng.randint(1, 4, size=2)
        for k in range(6):
            r, c = ((2, k), (k, 2), (k, k), (k, 5 - k))[label]
            image[0, row + r, column + c] += 1
    return torch.from_numpy(images), torch.from_numpy(labels)


class Triplets(Dataset):
    """(anchor, positive, negative), with partners that are drawn once."""

    def __init__(self, n=96, seed=0):
        self.images, self.labels = pictures(n, seed)
        rng = np.random.RandomState(seed)
        y = self.labels.numpy()
        self.positive = [rng.choice(np.flatnonzero(y == label)) for label in y]
        self.negative = [rng.choice(np.flatnonzero(y != label)) for label in y]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.images[self.positive[index]], self.images[self.negative[index]]


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.convnet = nn.Sequential(
            nn.Conv2d(1, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.PReLU(),
            nn.MaxPool2d(2, stride=2),
            nn.Conv2d(8, 16, 3),
            nn.PReLU(),
            nn.Flatten(),
        )
        self.fc = nn.Sequential(nn.Linear(16 * 2 * 2, 32), nn.PReLU(), nn.Linear(32, 4))

    def forward(self, x):
        return F.normalize(self.fc(self.convnet(x)), p=2, dim=1)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, target):
        distance = F.pairwise_distance(output1, output2)
        return torch.mean(target * distance.pow(2) + (1 - target) * torch.clamp(self.margin - distance, min=0.0).pow(2))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--loss", choices=["triplet", "contrastive"], default="triplet")
parser.add_argument("--save")
parser.add_argument("--resume")
args = parser.parse_args()
torch.manual_seed(7)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
loader = DataLoader(Triplets(), batch_size=24)
model = EmbeddingNet().to(device)
if args.resume:
    model.load_state_dict(torch.load(args.resume, map_location="cpu"), strict=True)
triplet = nn.TripletMarginLoss(margin=0.5)
contrastive = ContrastiveLoss()
optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 6], gamma=0.3)

losses = []
for epoch in range(args.epochs):
    model.train()
    for batch in loader:
        anchor, positive, negative = (model(images.to(device)) for images in batch)
        if args.loss == "triplet":
            loss = triplet(anchor, positive, negative)
        else:
            target = torch.cat((torch.ones(len(anchor)), torch.zeros(len(anchor)))).to(device)
            loss = contrastive(torch.cat((anchor, anchor)), torch.cat((positive, negative)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
    print(f"epoch {epoch}: loss {np.mean(losses[-len(loader) :]):.4f}")

model.eval()
with torch.inference_mode():
    (known, known_labels), (images, labels) = pictures(80, seed=0), pictures(60, seed=1)
    distances = torch.cdist(model(images.to(device)), model(known.to(device)))
    nearest = known_labels.to(device)[distances.argmin(dim=1)].cpu()
accuracy = 100 * (nearest == labels).float().mean().item()
print(f"nearest neighbour: {accuracy:.1f}%")
if args.save:
    torch.save(model.state_dict(), args.save)
