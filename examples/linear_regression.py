"""Fit y = 2x with one weight and one bias: the smallest training loop there is.

python examples/linear_regression.py --device cuda
"""

import argparse

import numbagrad as ng
from numbagrad import nn, optim


def main(steps: int = 100) -> tuple[float, float]:
    ng.manual_seed(0)
    x = ng.linspace(-1, 1, 100).reshape(100, 1)
    y = 2 * x

    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    for step in range(steps):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step:3d}: loss {loss.item():.6f}")

    weight, bias = model.weight.item(), model.bias.item()
    print(f"y = {weight:.4f} x + {bias:.4f}")
    return weight, bias


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    with ng.device(parser.parse_args().device):  # what is made without device= is made there
        main()
