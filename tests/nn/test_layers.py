"""What PyTorch's databases do not show of the layers: odd sizes and strides, extremes, lazy modules in their trees, bad input of other kinds."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn, optim
from numbagrad.nn import functional as F


def of(*shape, seed=0):
    return ng.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_conv3d_of_strided_input_is_that_of_a_copy():
    x, w = of(2, 4, 5, 6, 3).permute(0, 4, 1, 2, 3), of(2, 3, 2, 2, 3)
    for padding in (0, 1, "same"):
        assert ng.equal(F.conv3d(x, w, padding=padding), F.conv3d(x.contiguous(), w, padding=padding))


def test_conv3d_of_no_samples():
    x, w = ng.zeros(0, 2, 3, 4, 5, requires_grad=True), ng.ones(3, 2, 2, 2, 2, requires_grad=True)
    y = F.conv3d(x, w, ng.zeros(3))
    assert y.shape == (0, 3, 2, 3, 4)
    y.sum().backward()
    assert x.grad.shape == x.shape and not w.grad.any()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_convolution_is_the_adjoint(dims):
    sizes = (7, 6, 5)[:dims]
    conv, transposed = (getattr(F, name) for name in (f"conv{dims}d", f"conv_transpose{dims}d"))
    x, w = of(2, 3, *sizes), of(4, 3, *(3,) * dims, seed=1)
    y = conv(x, w, stride=2, padding=1)
    g = of(*y.shape, seed=2)
    extra = tuple((n - 1) % 2 for n in sizes)
    assert (y * g).sum().item() == pytest.approx((x * transposed(g, w, stride=2, padding=1, output_padding=extra)).sum().item())


def test_group_norm_keeps_the_digits_of_data_far_from_zero():
    x = (of(2, 4, 300) + 1e4).float()
    x[0, 1] += 1e3  # a plane unlike the first of its group
    found = F.group_norm(x, 2).double()
    rows = x.double().reshape(4, 600)
    expected = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    np.testing.assert_allclose(found.reshape(4, 600).numpy(), expected.numpy(), atol=2e-3)


def test_group_norm_of_strided_input_and_nan():
    x = of(3, 5, 4).permute(0, 2, 1)
    np.testing.assert_allclose(F.group_norm(x, 2).numpy(), F.group_norm(x.contiguous(), 2).numpy())
    x = x.contiguous()
    x[0, 0, 0] = float("nan")
    wrong = F.group_norm(x, 2).isnan()
    assert wrong[0, :2].all() and not wrong[0, 2:].any() and not wrong[1:].any()


def test_softshrink_and_threshold_of_nan():
    x = ng.tensor([float("nan"), 1.0, -1.0])
    for y in (F.softshrink(x), F.threshold(x, 0.0, 5.0), F.hardshrink(x)):
        assert y[0].isnan()


def test_max_pool3d_takes_the_first_of_equals_and_the_last_nan():
    x = ng.zeros(1, 1, 2, 2, 2)
    assert F.max_pool3d(x, 2, return_indices=True)[1].item() == 0
    x[0, 0, 0, 1, 0] = x[0, 0, 1, 0, 1] = float("nan")
    y, place = F.max_pool3d(x, 2, return_indices=True)
    assert y.isnan().item() and place.item() == 5


def test_unpooling_puts_maxima_back():
    x = of(2, 3, 4, 6)
    y, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, places, 2)
    assert back.shape == x.shape and ng.equal(F.max_pool2d(back.where(back != 0, -9.0), 2), y)
    with pytest.raises(RuntimeError, match="invalid max index"):
        F.max_unpool2d(y, places + 24, 2)


def test_resizing_to_the_same_size_changes_nothing():
    x = of(1, 2, 5, 4)
    x[0, 0, 0, 0] = float("inf")
    for mode in ("nearest", "nearest-exact", "bilinear", "area"):
        assert ng.equal(F.interpolate(x, size=(5, 4), mode=mode), x)


def test_affine_grid_of_the_identity_samples_the_image():
    x, theta = of(1, 2, 4, 5), ng.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype=ng.float64)
    for align in (True, False):
        found = F.grid_sample(x, F.affine_grid(theta, (1, 2, 4, 5), align), align_corners=align)
        np.testing.assert_allclose(found.numpy(), x.numpy(), atol=1e-12)


def test_lazy_modules_in_a_tree():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert "in_features=0" in repr(net[3])
    with pytest.raises(RuntimeError, match="uninitialized"):
        _ = net[0].weight.shape
    optimizer = optim.SGD(net.parameters(), lr=0.1)  # keeps the parameters, which become ordinary ones
    net(ng.zeros(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    assert [type(m) for m in net] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear] and net[3].in_features == 36
    other = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    other.load_state_dict(net.state_dict())
    x = of(2, 3, 5, 5).float()
    assert ng.equal(other.eval()(x), net.eval()(x))


@pytest.mark.parametrize("kind", ["BatchNorm2d", "InstanceNorm2d"])
def test_state_dicts_from_before_num_batches_tracked(kind):
    """Files of that time have neither the entry nor a version."""
    nets = [nn.Sequential(getattr(nn, kind)(3, track_running_stats=True)) for _ in range(2)]
    nets[0](of(2, 3, 4, 4).float())
    state = {k: v for k, v in nets[0].state_dict().items() if k != "0.num_batches_tracked"}
    assert repr(nets[1].load_state_dict(state)) == "<All keys matched successfully>"
    assert ng.equal(nets[1][0].running_mean, nets[0][0].running_mean) and nets[1][0].num_batches_tracked.item() == 0
    new = nets[0].state_dict()
    del new["0.num_batches_tracked"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"0.num_batches_tracked\""):
        nets[1].load_state_dict(new)


REFUSED = {
    "conv_transpose output_padding": (lambda: F.conv_transpose2d(of(1, 2, 3, 3), of(2, 1, 2, 2), output_padding=1), RuntimeError, "output padding"),
    "conv_transpose channels": (lambda: F.conv_transpose1d(of(1, 3, 3), of(2, 1, 2)), RuntimeError, "channels"),
    "conv3d rank": (lambda: F.conv3d(of(3, 4, 4), of(2, 3, 1, 1, 1)), RuntimeError, "4D"),
    "group_norm groups": (lambda: F.group_norm(of(2, 5, 3), 2), RuntimeError, "divisible"),
    "group_norm weight": (lambda: F.group_norm(of(2, 4, 3), 2, ng.ones(3)), RuntimeError, "weight"),
    "group_norm single": (lambda: nn.GroupNorm(4, 4, dtype=ng.float64)(of(1, 4)), ValueError, "more than 1 value"),
    "instance_norm single": (lambda: F.instance_norm(of(2, 3, 1)), ValueError, "spatial"),
    "max_pool1d stride": (lambda: F.max_pool1d(of(2, 3, 4), 2, stride=0), RuntimeError, "stride"),
    "avg_pool3d divisor": (lambda: F.avg_pool3d(of(1, 1, 2, 2, 2), 2, divisor_override=0), RuntimeError, "divisor"),
    "softshrink negative": (lambda: F.softshrink(of(2), -1.0), RuntimeError, "lambda"),
    "rrelu bounds": (lambda: F.rrelu(of(2), 0.5, 0.1), RuntimeError, "bound"),
    "interpolate both": (lambda: F.interpolate(of(1, 1, 4), size=2, scale_factor=2), ValueError, "only one"),
    "interpolate rank": (lambda: F.interpolate(of(1, 1, 4), size=2, mode="bilinear"), NotImplementedError, "bilinear"),
    "grid_sample mode": (lambda: F.grid_sample(of(1, 1, 2, 2), of(1, 2, 2, 2), mode="cubic"), ValueError, "mode"),
    "affine_grid theta": (lambda: F.affine_grid(of(1, 3, 3), (1, 1, 2, 2)), ValueError, "affine"),
    "conv without a size": (lambda: nn.Conv2d(3, 4), TypeError, "Conv2d.__init__() missing 1 required positional argument: 'kernel_size'"),
    "lazy conv without a size": (lambda: nn.LazyConvTranspose1d(3), TypeError, "LazyConvTranspose1d.__init__() missing 1"),
    "lazy channels": (lambda: nn.LazyConv1d(2, 3)(of(4)), RuntimeError, "2D"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    act, error, text = REFUSED[case]
    with pytest.raises(error) as caught:
        act()
    assert text in str(caught.value)
