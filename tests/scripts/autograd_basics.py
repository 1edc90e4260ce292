"""What a first tour of tensors and gradients shows."""

import math

import numpy as np
import torch

data = [[1, 2], [3, 4]]
x_data = torch.tensor(data)
np_array = np.array(data)
x_np = torch.from_numpy(np_array)
x_ones = torch.ones_like(x_data)
x_rand = torch.rand_like(x_data, dtype=torch.float)
print(f"Ones Tensor: \n {x_ones} \n")
shape = (2, 3)
print(torch.rand(shape).shape, torch.zeros(shape).dtype, torch.ones(shape).device)

tensor = torch.ones(4, 4)
tensor[:, 1] = 0
print("First row:", tensor[0], "Last column:", tensor[..., -1])
t1 = torch.cat([tensor, tensor, tensor], dim=1)
y1 = tensor @ tensor.T
y2 = tensor.matmul(tensor.T)
y3 = torch.rand_like(tensor)
torch.matmul(tensor, tensor.T, out=y3)
z1 = tensor * tensor
agg_item = tensor.sum().item()
tensor.add_(5)
t = torch.ones(5)
n = t.numpy()
t.add_(1)
shared = n.tolist()

a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
external_grad = torch.tensor([1.0, 1.0])
Q.backward(gradient=external_grad)
checks = [bool((9 * a**2 == a.grad).all()), bool((-2 * b == b.grad).all())]

x = torch.ones(5)
y = torch.zeros(3)
w = torch.full((5, 3), 0.1, requires_grad=True)
bias = torch.linspace(-1, 1, 3, requires_grad=True)
z = torch.matmul(x, w) + bias
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
print("Gradient function:", z.grad_fn is not None, loss.grad_fn is not None)
loss.backward()
z_det = z.detach()
with torch.no_grad():
    frozen = torch.matmul(x, w) + bias
flags = [z.requires_grad, z_det.requires_grad, frozen.requires_grad]

# a sine fitted by a cubic
x = torch.linspace(-math.pi, math.pi, 200, dtype=torch.float)
y = torch.sin(x)
p = torch.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
with torch.no_grad():
    model[0].weight.fill_(0.01)
    model[0].bias.fill_(0.0)
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
losses = []
for step in range(100):  # noqa: B007
    y_pred = model(xx)
    loss = loss_fn(y_pred, y)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
linear_layer = model[0]
print(f"Result: y = {linear_layer.bias.item()} + {linear_layer.weight[:, 0].item()} x + {linear_layer.weight[:, 1].item()} x^2")

# second derivatives
u = torch.tensor(2.0, requires_grad=True)
(first,) = torch.autograd.grad(u**3, u, create_graph=True)
(second,) = torch.autograd.grad(first, u)
final = [a.grad.tolist(), b.grad.tolist(), w.grad.tolist(), bias.grad.tolist(), second.item(), agg_item, losses[-1]]
