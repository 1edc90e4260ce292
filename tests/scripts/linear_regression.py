"""Linear regression by hand: parameters, a loss, and updates under no_grad; then the same with nn and optim."""

import numpy as np
import torch
import torch.nn as nn

np.random.seed(1)
x_numpy = np.random.uniform(-1, 1, size=(64, 1)).astype(np.float32)
y_numpy = 2 * x_numpy + 0.5 + 0.05 * np.random.randn(64, 1).astype(np.float32)
x = torch.from_numpy(x_numpy)
y = torch.tensor(y_numpy)

# by hand
w = torch.zeros(1, 1, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
learning_rate = 0.3
losses = []
for epoch in range(60):
    y_pred = x @ w + b
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= learning_rate * w.grad
        b -= learning_rate * b.grad
    w.grad.zero_()
    b.grad = None
    losses.append(loss.item())
    if epoch % 20 == 0:
        print(f"epoch {epoch}: w = {w.item():.3f}, b = {b.item():.3f}, loss = {loss:.5f}")

# the former way, through .data
v = torch.FloatTensor([[0.0]])
v.requires_grad = True
for _ in range(5):
    loss = torch.mean((torch.mm(x, v) - y).pow(2))
    loss.backward()
    v.data = v.data - 0.1 * v.grad.data
    v.grad.data.zero_()

# with a layer
model = nn.Linear(1, 1)
nn.init.constant_(model.weight, 0.0)
nn.init.zeros_(model.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
criterion = nn.MSELoss()
for epoch in range(60):  # noqa: B007
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())

predicted = model(x).detach().numpy()
weight, bias = model.weight.item(), model.bias.data[0].item()
for name, param in model.named_parameters():
    if param.requires_grad:
        print(name, param.data)
final = [w.item(), b.item(), weight, bias, v.item(), float(np.mean(predicted))]
