"""An activation of one's own, from one formula: compiled, differentiable to any order, and trained.

The formula is written for scalars.  numbagrad traces it once and derives from it the loop, the gradient and the gradient's gradient, each
one fused kernel.  Its slope is a parameter of the network here, learned with the weights.
"""

import argparse

import numbagrad as ng
from numbagrad import nn, optim


@ng.elementwise
def snake(x, a):
    """x + sin²(a x) / a, for data that repeats (Ziyin, Hartwig and Ueda, 2020)"""
    s = ng.sin(a * x)
    return x + s * s / a


class Snake(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.a = nn.Parameter(ng.full((features,), 1.0))

    def forward(self, x: ng.Tensor) -> ng.Tensor:
        return snake(x, self.a)


def main(steps: int = 500) -> float:
    ng.manual_seed(0)
    x = ng.linspace(-6, 6, 256).reshape(256, 1)
    y = ng.sin(2 * x) + 0.3 * x

    small = ng.rand(2, 3, dtype=ng.float64, requires_grad=True)
    slope = ng.rand(3, dtype=ng.float64, requires_grad=True)
    first, second = ng.autograd.gradcheck(snake, (small, slope)), ng.autograd.gradgradcheck(snake, (small, slope))
    print("gradient and second gradient agree with finite differences:", first, second)

    model = nn.Sequential(nn.Linear(1, 32), Snake(32), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step:4d}: loss {loss.item():.5f}")
    print(f"final loss {loss.item():.5f}; learned slopes from {model[1].a.min().item():.2f} to {model[1].a.max().item():.2f}")
    return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    with ng.device(parser.parse_args().device):  # what is made without device= is made there
        main()
