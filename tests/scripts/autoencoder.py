"""An autoencoder from Sequential blocks, trained on one batch, with hooks that watch the code."""

from collections import OrderedDict

import numpy as np
import torch
import torch.nn as nn
from torch import optim
from torch.utils.data import DataLoader, TensorDataset

rng = np.random.RandomState(5)
codes = rng.rand(64, 3).astype("float32")
images = torch.tensor(codes @ rng.rand(3, 25).astype("float32") / 3).reshape(-1, 1, 5, 5)
loader = DataLoader(TensorDataset(images, torch.arange(64)), batch_size=32)


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            OrderedDict([("flat", nn.Flatten()), ("hidden", nn.Linear(25, 12)), ("act", nn.Tanh()), ("code", nn.Linear(12, 3))])
        )
        self.decoder = nn.Sequential(nn.Linear(3, 12), nn.ELU(), nn.Linear(12, 25), nn.Sigmoid(), nn.Unflatten(1, (1, 5, 5)))

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code), code


model = AutoEncoder()
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel(), dtype=torch.float32) * (i + 1)).view(p.shape) * 0.4
print(model)

seen = []
handle = model.encoder.register_forward_hook(lambda module, args, output: seen.append(output.shape))
optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9, nesterov=True)
scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[20, 30], gamma=0.5)
loss_function = nn.SmoothL1Loss(beta=0.5)
losses = []
for _epoch in range(40):
    for x, _index in loader:
        decoded, code = model(x)
        loss = loss_function(decoded, x) + 1e-4 * code.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    losses.append(loss.item())
    scheduler.step()
handle.remove()
model(images)
calls = len(seen)

# fine-tuning: the encoder frozen
for param in model.encoder.parameters():
    param.requires_grad = False
trainable = filter(lambda p: p.requires_grad, model.parameters())
optimizer = optim.Adam(trainable, lr=1e-3, betas=(0.9, 0.99))
before = model.encoder.hidden.weight.clone()
loss = loss_function(model(images)[0], images)
optimizer.zero_grad()
loss.backward()
optimizer.step()
frozen = bool((model.encoder.hidden.weight == before).all()) and model.encoder.hidden.weight.grad is not None
final = [losses[0], losses[-1], loss.item(), torch.allclose(before, model.encoder.hidden.weight)]
