"""Whole networks on a GPU: each step's loss and the parameters at the end are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad import nn, optim
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Convolutions in float32 and not in TF32, which is PyTorch's default."""
    monkeypatch.setattr(ng.backends.cudnn, "allow_tf32", False)


class Attention(nn.Module):
    """A token embedding, one head of causal self-attention, layer norm and a projection: the parts of a small Transformer."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(11, 8), nn.Parameter(ng.zeros(5, 8))
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 11)

    def forward(self, tokens):
        x = self.embed(tokens) + self.place
        scores = self.query(x) @ self.key(x).mT / 8**0.5
        hidden = ng.ones(5, 5, dtype=ng.bool, device=x.device).triu(1)
        x = self.norm(x + F.softmax(scores.masked_fill(hidden, -ng.inf), -1) @ self.value(x))
        return self.out(x).flatten(0, 1)


class Recurrent(nn.Module):
    """A recurrent cell by hand, over the steps of a sequence."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer, self.out = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = ng.zeros(x.shape[0], 6, device=x.device)
        for step in x.unbind(1):
            h = ng.tanh(self.inner(step) + self.outer(h))
        return self.out(h)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)), (ng.randn(6, 3, 4), ng.randint(0, 4, (6,)))


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, stride=2), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    return net, (ng.randn(4, 1, 8, 8), ng.randint(0, 3, (4,)))


def transformer():
    return Attention(), (ng.randint(0, 11, (2, 5)), ng.randint(0, 11, (10,)))


def recurrent():
    return Recurrent(), (ng.randn(3, 4, 3), ng.randint(0, 2, (3,)))


NETWORKS = {"mlp": mlp, "cnn": cnn, "transformer": transformer, "recurrent": recurrent}
OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda p: optim.Adam(p, 1e-2),
    "adamw": lambda p: optim.AdamW(p, 1e-2, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-2, centered=True, momentum=0.5),
    "adagrad": lambda p: optim.Adagrad(p, 1e-1),
}


def trained(network, optimizer, device, steps=3):
    """The losses of some steps, and the state at the end, on the CPU."""
    ng.manual_seed(0)
    net, (x, target) = NETWORKS[network]()
    net, x, target = net.to(device), x.to(device), target.to(device)
    stepping = OPTIMIZERS[optimizer](net.parameters())
    losses = []
    for _ in range(steps):
        stepping.zero_grad()
        loss = F.cross_entropy(net(x), target, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        stepping.step()
        losses.append(loss.item())
    return losses, {name: value.cpu() for name, value in net.state_dict().items()}


@pytest.mark.parametrize(
    "network, optimizer", [("mlp", name) for name in OPTIMIZERS] + [("cnn", "adam"), ("transformer", "adamw"), ("recurrent", "sgd")]
)
def test_training(network, optimizer):
    losses, state = trained(network, optimizer, "cuda")
    expected, wanted = trained(network, optimizer, "cpu")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for name, value in state.items():
        np.testing.assert_allclose(value.numpy(), wanted[name].numpy(), rtol=1e-3, atol=1e-5, err_msg=name)
    assert losses[-1] < losses[0]


def test_same_bits_again():
    first, second = (trained("cnn", "adam", "cuda", 2) for _ in range(2))
    assert first[0] == second[0]
    assert all(ng.equal(value, second[1][name]) for name, value in first[1].items())


@pytest.mark.parametrize("dtype", [ng.bfloat16, ng.float16])
def test_mixed_precision(dtype):
    """Autocast and a scaled loss: near what float32 gives, with parameters and gradients in float32."""
    ng.manual_seed(0)
    net, (x, target) = cnn()
    net, x, target = net.cuda(), x.cuda(), target.cuda()
    exact = F.cross_entropy(net(x), target).item()
    optimizer, scaler = optim.SGD(net.parameters(), 0.05), ng.amp.GradScaler("cuda", init_scale=2.0**10)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        with ng.autocast("cuda", dtype=dtype):
            y = net(x)
            loss = F.cross_entropy(y, target)
        assert y.dtype is dtype and loss.dtype is ng.float32
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(p.dtype is ng.float32 and p.grad.dtype is ng.float32 for p in net.parameters())
    assert abs(losses[0] - exact) < 2e-2 and losses[-1] < losses[0]


def test_evaluation_and_checkpoint(tmp_path):
    _, _ = trained("cnn", "adam", "cuda", 1)
    ng.manual_seed(0)
    net, (x, _) = cnn()
    net = net.cuda().eval()
    with ng.no_grad():
        expected = net(x.cuda())
    ng.save(net.state_dict(), tmp_path / "net.safetensors")
    other, _ = cnn()
    other.load_state_dict(ng.load(tmp_path / "net.safetensors", map_location="cpu"))
    other.eval()
    with ng.no_grad():
        np.testing.assert_allclose(other(x).numpy(), expected.cpu().numpy(), rtol=1e-4, atol=1e-5)
