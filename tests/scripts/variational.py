"""A variational autoencoder and a small GAN on the same pictures: noise, detach, two optimizers, summed losses."""

import torch
from torch import nn, optim
from torch.nn import functional as F
from torchvision import datasets, transforms

torch.manual_seed(3)
kwargs = {"num_workers": 1, "pin_memory": True} if torch.cuda.is_available() else {}
dataset = datasets.MNIST("data", train=True, transform=transforms.ToTensor())
train_loader = torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True, **kwargs)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 64)
        self.fc21 = nn.Linear(64, 8)
        self.fc22 = nn.Linear(64, 8)
        self.fc3 = nn.Linear(8, 64)
        self.fc4 = nn.Linear(64, 784)

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
        mu, logvar = self.encode(x.view(-1, 784))
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


model = VAE()
optimizer = optim.Adam(model.parameters(), lr=3e-3)
losses = []
for _epoch in range(6):
    model.train()
    train_loss = 0
    for data, _ in train_loader:
        optimizer.zero_grad()
        recon_batch, mu, logvar = model(data)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
    losses.append(train_loss / len(train_loader.dataset))
with torch.no_grad():
    sample = model.decode(torch.randn(4, 8)).cpu().view(4, 1, 28, 28)

discriminator = nn.Sequential(nn.Linear(784, 32), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(32, 1), nn.Sigmoid())
generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(True), nn.Linear(32, 784), nn.Sigmoid())
criterion = nn.BCELoss()
d_optimizer = optim.Adam(discriminator.parameters(), lr=0.002, betas=(0.5, 0.999))
g_optimizer = optim.Adam(generator.parameters(), lr=0.002, betas=(0.5, 0.999))
d_losses = []
for images, _ in train_loader:
    images = images.reshape(images.size(0), -1)
    real_labels = torch.ones(images.size(0), 1)
    fake_labels = torch.zeros(images.size(0), 1)
    fake_images = generator(torch.randn(images.size(0), 8))
    d_loss = criterion(discriminator(images), real_labels) + criterion(discriminator(fake_images.detach()), fake_labels)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()
    g_loss = criterion(discriminator(fake_images), real_labels)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    d_losses.append(d_loss.item())
    print(f"d_loss: {d_loss.item():.4f}, g_loss: {g_loss.item():.4f}, D(x): {discriminator(images).mean().item():.2f}")
