"""A tour of automatic differentiation, each stop a few lines with its result checked."""

import argparse

import numbagrad as ng


def first_gradient() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    print("d(x·x)/dx =", x.grad)
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def accumulation() -> None:
    x = ng.tensor(2.0, requires_grad=True)
    (3 * x).backward()
    (4 * x).backward()
    print("gradients add up until they are reset:", x.grad.item())
    assert x.grad.item() == 7.0


def second_derivative() -> None:
    x = ng.tensor(0.5, dtype=ng.float64, requires_grad=True)
    (first,) = ng.autograd.grad(x.sin(), x, create_graph=True)
    (second,) = ng.autograd.grad(first, x)
    print("sin'' = -sin:", second.item(), -x.sin().item())
    assert abs(second.item() + x.sin().item()) < 1e-12


def without_recording() -> None:
    w = ng.ones(3, requires_grad=True)
    with ng.no_grad():
        w -= 0.1
    print("changed without a graph:", w)
    assert w.is_leaf


def in_place_and_views() -> None:
    x = ng.ones(4, requires_grad=True)
    y = x * 1
    y[:2] *= 10
    y.sum().backward()
    print("an in-place change of a part is seen by the gradient:", x.grad)
    assert x.grad.tolist() == [10.0, 10.0, 1.0, 1.0]


def stale_value() -> None:
    x = ng.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)
    try:
        y.sum().backward()
    except RuntimeError as error:
        print("a value that was needed has changed:", str(error).split(":")[0])
    else:
        raise AssertionError("the change went unnoticed")


class Cube(ng.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x * x


def own_function() -> None:
    x = ng.tensor([2.0], dtype=ng.float64, requires_grad=True)
    Cube.apply(x).backward()
    print("a Function with its own backward:", x.grad.item())
    assert x.grad.item() == 12.0


def hooks() -> None:
    x = ng.ones(2, requires_grad=True)
    x.register_hook(lambda grad: grad * 100)
    x.sum().backward()
    print("a hook may change a gradient on its way:", x.grad)
    assert x.grad.tolist() == [100.0, 100.0]


def main() -> None:
    for stop in (first_gradient, accumulation, second_derivative, without_recording, in_place_and_views, stale_value, own_function, hooks):
        stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="where to compute: cpu or cuda")
    with ng.device(parser.parse_args().device):  # what is made without device= is made there
        main()
