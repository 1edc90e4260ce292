"""A function with a backward of one's own, used in a module and trained full batch."""

import numpy as np
import torch
from torch import nn
from torch.autograd import Function


class Cube(Function):
    @staticmethod
    def forward(ctx, input, scale):
        ctx.save_for_backward(input)
        ctx.scale = scale
        return scale * input**3

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output * 3 * ctx.scale * input**2
        return grad_input, None


class ClippedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0, max=4)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[x < 0] = 0
        grad_input[x > 4] = 0
        return grad_input


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.inner = nn.Linear(1, hidden)
        self.outer = nn.Linear(hidden, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        h = ClippedReLU.apply(self.inner(x))
        return self.scale * self.outer(h) + 0.1 * Cube.apply(x, 0.5)


x = torch.linspace(-1, 1, 64).unsqueeze(1)
y = torch.cos(3 * x) + x.pow(3)
net = Net(16)
rng = np.random.RandomState(0)
with torch.no_grad():
    for p in net.parameters():
        p.copy_(torch.from_numpy(rng.uniform(-1, 1, tuple(p.shape))))

optimizer = torch.optim.Adam([{"params": net.inner.parameters(), "lr": 2e-2}, {"params": [*net.outer.parameters(), net.scale]}], lr=1e-2)
losses = []
for _ in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
final = [losses[0], losses[-1], net.scale.item(), net.calls.item()]
ok = torch.autograd.gradcheck(Cube.apply, (torch.randn(4, dtype=torch.double, requires_grad=True), 0.7))
