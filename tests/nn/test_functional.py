"""Layers, activations and losses against torch: one table of expressions, run in both libraries, forward and backward."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn import functional as F


class Case(NamedTuple):
    """``text``: an expression over ``nn``, ``F``, ``lib`` and the inputs ``x``, ``y``, ...  ``inputs``: names and how they are drawn."""

    text: str
    inputs: dict[str, Any]


def normal(*shape: int) -> Any:
    """Standard normal draws, a little away from zero, where the kinks are."""
    return lambda rng: _away(rng.standard_normal(shape))


def _away(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 0.02, 0.1, x)


def unit(*shape: int) -> Any:
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def log_probabilities(*shape: int) -> Any:
    return lambda rng: np.log(_simplex(rng, shape))


def probabilities(*shape: int) -> Any:
    return lambda rng: _simplex(rng, shape)


def _simplex(rng: Any, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.uniform(0.1, 1, shape)
    return x / x.sum(1, keepdims=True)


def classes(high: int, *shape: int) -> Any:
    return lambda rng: rng.integers(0, high, shape)


X = {"x": normal(4, 6)}
XY = {"x": normal(4, 6), "y": normal(4, 6)}
UU = {"x": unit(4, 6), "y": unit(4, 6)}
IMAGE = {"x": normal(2, 4, 6, 6)}

ACTIVATIONS = [
    "ReLU()", "ReLU6()", "LeakyReLU()", "LeakyReLU(0.3)", "ELU()", "ELU(alpha=0.5)", "CELU()", "CELU(0.5)", "SELU()", "GELU()", "GELU(approximate='tanh')",
    "SiLU()", "Mish()", "Softplus()", "Softplus(beta=2, threshold=3)", "Softsign()", "Hardtanh()", "Hardtanh(-0.5, 0.7)", "Hardsigmoid()",
    "Hardswish()", "LogSigmoid()", "Sigmoid()", "Tanh()", "GLU()", "GLU(0)", "Threshold(0.1, -2)", "Softmax(1)", "Softmax(dim=0)", "LogSoftmax(-1)",
    "Softmin(1)", "PReLU()", "PReLU(6)", "Identity()", "Flatten(0)", "Dropout(0)", "Unflatten(1, (2, 3))",
]  # fmt: skip
IN_PLACE = [
    "relu(lib_x, inplace=True)", "relu_(lib_x)", "leaky_relu(lib_x, 0.1, inplace=True)", "elu(lib_x, inplace=True)", "selu(lib_x, inplace=True)",
    "silu(lib_x, inplace=True)", "hardtanh(lib_x, inplace=True)", "relu6(lib_x, inplace=True)", "threshold(lib_x, 0.1, 3, inplace=True)",
    "celu(lib_x, inplace=True)", "mish(lib_x, inplace=True)", "hardswish(lib_x, inplace=True)", "hardsigmoid(lib_x, inplace=True)",
]  # fmt: skip
CASES = [
    *[Case(f"nn.{a}(x)", X) for a in ACTIVATIONS],
    *[Case("F." + a.replace("lib_x", "x * 1"), X) for a in IN_PLACE],
    # losses
    *[Case(f"nn.{loss}({r})(x, y)", XY) for loss in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss") for r in ("", "reduction='sum'", "reduction='none'")],
    Case("nn.SmoothL1Loss(beta=0.3)(x, y)", XY),
    Case("nn.SmoothL1Loss(beta=0.0)(x, y)", XY),
    Case("nn.HuberLoss(delta=0.4)(x, y)", XY),
    *[Case(f"F.{loss}(x, y, weight=w, reduction='{r}')", {**XY, "w": unit(4, 6)}) for loss in ("mse_loss", "l1_loss", "huber_loss") for r in ("mean", "sum")],
    *[Case(f"nn.BCELoss({r})(x, y)", UU) for r in ("", "reduction='sum'", "reduction='none'")],
    Case("F.binary_cross_entropy(x, y, w)", {**UU, "w": unit(6)}),
    *[Case(f"nn.BCEWithLogitsLoss({r})(x * 5, y)", {"x": normal(4, 6), "y": unit(4, 6)}) for r in ("", "reduction='sum'", "reduction='none'")],
    Case("F.binary_cross_entropy_with_logits(x, y, w, pos_weight=p)", {"x": normal(4, 6), "y": unit(4, 6), "w": unit(4, 1), "p": unit(6)}),
    *[
        Case(f"nn.KLDivLoss({r})(x, y)", {"x": log_probabilities(4, 6), "y": probabilities(4, 6)})
        for r in ("reduction='sum'", "reduction='batchmean'", "reduction='none'", "reduction='mean'")
    ],
    Case("F.kl_div(x, y, reduction='batchmean', log_target=True)", {"x": log_probabilities(4, 6), "y": log_probabilities(4, 6)}),
    *[
        Case(f"nn.CrossEntropyLoss({r})(x, t)", {**X, "t": classes(6, 4)})
        for r in ("", "reduction='sum'", "reduction='none'", "label_smoothing=0.1", "ignore_index=2")
    ],
    Case("nn.CrossEntropyLoss()(x, y)", {**X, "y": probabilities(4, 6)}),
    Case("F.cross_entropy(x, t, weight=w)", {**X, "t": classes(6, 4), "w": unit(6)}),
    Case("F.cross_entropy(x, t)", {"x": normal(2, 4, 6, 6), "t": classes(4, 2, 6, 6)}),
    *[Case(f"nn.NLLLoss({r})(x, t)", {"x": log_probabilities(4, 6), "t": classes(6, 4)}) for r in ("", "reduction='sum'", "ignore_index=1")],
    Case("nn.CosineSimilarity()(x, y)", XY),
    Case("F.cosine_similarity(x, y, dim=0)", XY),
    Case("F.pairwise_distance(x, y)", XY),
    Case("nn.PairwiseDistance(3, keepdim=True)(x, y)", XY),
    Case("F.pairwise_distance(x, y, p=1, keepdim=True)", XY),
    Case("F.normalize(x)", X),
    Case("F.normalize(x, p=1, dim=0)", X),
    Case("F.normalize(x.detach(), out=x.detach().clone())", X),
    Case("F.one_hot(t, 6)", {"t": classes(6, 4)}),
    # layers
    Case("nn.Linear(6, 3)(x)", X),
    Case("nn.Linear(6, 3, bias=False)(x)", {"x": normal(6)}),
    Case("nn.Linear(6, 2)(x)", {"x": normal(2, 3, 6)}),
    *[
        Case(f"nn.Conv2d({a})(x)", IMAGE)
        for a in ("4, 3, 3", "4, 3, 3, bias=False", "4, 4, (3, 2), stride=2, padding=(1, 0), groups=2", "4, 2, 3, dilation=2", "4, 2, 3, padding='same'")
    ],
    *[Case(f"nn.Conv2d(4, 2, 3, padding=1, padding_mode='{mode}')(x)", IMAGE) for mode in ("reflect", "replicate", "circular")],
    Case("nn.Conv2d(4, 2, (2, 3), padding='same', padding_mode='circular')(x)", IMAGE),
    Case("nn.Conv2d(4, 2, 3)(x)", {"x": normal(4, 6, 6)}),
    *[Case(f"nn.{p}(x)", IMAGE) for p in ("MaxPool2d(2)", "MaxPool2d(3, 2, 1)", "AvgPool2d(2)", "AvgPool2d(3, 2, 1, count_include_pad=False)")],
    *[Case(f"nn.{p}(x)", IMAGE) for p in ("AdaptiveAvgPool2d((2, 3))", "AdaptiveAvgPool2d(1)", "AdaptiveMaxPool2d(2)", "BatchNorm2d(4)", "LayerNorm((6, 6))")],
    Case("nn.MaxPool2d(2, return_indices=True)(x)[0]", IMAGE),
    Case("nn.BatchNorm1d(6)(x)", X),
    Case("nn.BatchNorm1d(6).eval()(x)", X),
    Case("nn.BatchNorm1d(6, affine=False)(x)", X),
    Case("nn.BatchNorm1d(6, bias=False)(x)", X),
    Case("nn.BatchNorm1d(6, track_running_stats=False).eval()(x)", X),
    Case("nn.BatchNorm1d(4)(x)", {"x": normal(3, 4, 5)}),
    Case("nn.LayerNorm(6)(x)", X),
    Case("nn.LayerNorm(6, bias=False)(x)", X),
    Case("nn.LayerNorm(6, elementwise_affine=False)(x)", X),
    Case("nn.Embedding(7, 3)(t)", {"t": classes(7, 2, 5)}),
    Case("nn.Embedding(7, 3, padding_idx=2)(t)", {"t": classes(7, 4, 5)}),
    Case("nn.Embedding(7, 3, scale_grad_by_freq=True)(t)", {"t": classes(7, 4, 5)}),
    Case("nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5).eval(), nn.Linear(8, 3), nn.LogSoftmax(1))(x)", X),
    Case(
        "nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5))(x)",
        IMAGE,
    ),
]  # fmt: skip


def run(library: Any, case: Case) -> dict[str, np.ndarray]:
    """The value, and the gradients of the float inputs and of the layer's parameters, which are drawn the same in either library."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, draw in case.inputs.items():
        values = draw(rng)
        tensors[name] = library.tensor(values, requires_grad=values.dtype == np.float64 and name not in "wp")
    layers: list[Any] = []

    class Double:
        """``nn`` whose outermost layers are in float64, with parameters drawn from ``rng``."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(library.nn, name)
            return lambda *args, **kwargs: self.ready(found(*args, **kwargs))

        def ready(self, layer: Any) -> Any:
            layers.append(layer.double())
            with library.no_grad():
                for p in layer.parameters():
                    p.copy_(library.tensor(rng.uniform(-1, 1, tuple(p.shape))))
            return layer

    result = eval(case.text, {"nn": Double(), "F": library.nn.functional, "lib": library, **tensors})
    found = {"value": result.detach().numpy()}
    parameters = {f"{i}.{n}": p for i, layer in enumerate(layers) for n, p in layer.named_parameters()}
    wanted = {n: t for n, t in {**tensors, **parameters}.items() if t.requires_grad}
    if result.requires_grad:
        weights = np.random.default_rng(1).standard_normal(tuple(result.shape))
        (result * library.tensor(weights)).sum().backward()
        found |= {n: t.grad.numpy() for n, t in wanted.items() if t.grad is not None}
    found |= {f"buffer {i}.{n}": b.numpy() for i, layer in enumerate(layers) for n, b in layer.named_buffers()}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.text)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_as_torch(case):
    torch = pytest.importorskip("torch")
    theirs, ours = run(torch, case), run(ng, case)
    rtol = 4e-8 if "ardsigmoid" in case.text else 1e-9  # torch's constant 1/6 is float32's, in float64 too
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape
        np.testing.assert_allclose(ours[name], expected, rtol=rtol, atol=1e-11, err_msg=name)


# ---- from one library's state dict to the other ------------------------------------------------------------------------------------

LAYERS = {
    "Linear(3, 2)": (5, 3),
    "Conv2d(3, 4, 3, groups=1)": (2, 3, 5, 5),
    "BatchNorm1d(3)": (5, 3),
    "BatchNorm2d(3)": (2, 3, 4, 4),
    "LayerNorm((3, 4))": (2, 3, 4),
    "Embedding(6, 3, padding_idx=1)": None,
    "PReLU(3)": (5, 3),
    "Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))": (2, 3, 4),
    "Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3))": (
        3,
        3,
        5,
        5,
    ),
}


@pytest.mark.parametrize("text", LAYERS)
def test_state_dict_from_torch(text):
    """Names and shapes are torch's: its weights load, and give the same outputs, gradients and running statistics, in training and after."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = eval(f"nn.{text}", {"nn": torch.nn})
    ours = eval(f"nn.{text}", {"nn": nn})
    state = theirs.state_dict()
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: ng.from_numpy(v.numpy().copy()) for k, v in state.items()})
    rng = np.random.default_rng(0)
    shape = LAYERS[text]
    for _ in range(2):
        values = rng.integers(0, 6, (4, 3)) if shape is None else rng.standard_normal(shape, dtype=np.float32)
        outputs = []
        for library, layer in ((torch, theirs), (ng, ours)):
            layer.zero_grad()
            y = layer(library.from_numpy(values))
            (y * y).sum().backward()
            outputs.append(y.detach().numpy())
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
        for (name, p), q in zip(theirs.named_parameters(), ours.parameters()):
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)
    for (name, p), q in zip(theirs.state_dict().items(), ours.state_dict().values()):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    theirs.eval(), ours.eval()
    np.testing.assert_allclose(
        ours(ng.from_numpy(values)).detach().numpy(), theirs(torch.from_numpy(values)).detach().numpy(), rtol=1e-4, atol=1e-5
    )


# ---- without torch -----------------------------------------------------------------------------------------------------------------


def test_batch_norm_statistics():
    layer = nn.BatchNorm1d(2, momentum=None)
    x, y = ng.tensor([[0.0, 2.0], [2.0, 4.0]]), ng.tensor([[4.0, 0.0], [8.0, 0.0]])
    layer(x)
    assert layer.running_mean.tolist() == [1, 3] and layer.running_var.tolist() == [2, 2]
    layer(y)
    np.testing.assert_allclose(layer.running_mean.numpy(), [3.5, 1.5])  # a plain average when momentum is None
    np.testing.assert_allclose(layer.running_var.numpy(), [5, 1])
    assert layer.num_batches_tracked.item() == 2
    layer.eval()
    layer(x)
    assert layer.num_batches_tracked.item() == 2
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1, 1] and layer.num_batches_tracked.item() == 0


def test_dropout():
    x = ng.ones(1000)
    layer = nn.Dropout(0.25)
    y = layer(x)
    assert set(np.round(np.unique(y.numpy()), 5)) == {0.0, np.float32(1.33333)} and 150 < (y == 0).sum().item() < 350
    layer.eval()
    assert layer(x) is x or ng.equal(layer(x), x)
    assert (F.dropout(x, 1.0) == 0).all()
    ng.manual_seed(3)
    first = F.dropout(x)
    ng.manual_seed(3)
    assert ng.equal(F.dropout(x), first)


def test_dropout_of_channels():
    x = ng.ones(20, 10, 3, 3, requires_grad=True)
    y = nn.Dropout2d(0.5)(x)
    per_channel = y.detach().numpy().reshape(200, 9)
    assert (per_channel == per_channel[:, :1]).all() and set(np.unique(per_channel)) == {0, 2}
    y.sum().backward()
    assert ng.equal(x.grad, y.detach())
    plain = ng.ones(2, 3, 1, 1)
    assert F.dropout2d(plain, 0.9, training=False) is plain
    assert nn.Dropout2d(1.0, inplace=True)(plain) is plain and plain.sum().item() == 0


def test_padding_row_has_no_gradient():
    layer = nn.Embedding(5, 2, padding_idx=-1)
    assert layer.padding_idx == 4 and layer.weight[4].tolist() == [0, 0]
    layer(ng.tensor([4, 0, 4])).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    table = ng.arange(6.0).reshape(3, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and frozen(ng.tensor([2])).tolist() == [[4, 5]]


def test_embedding_max_norm():
    layer = nn.Embedding(3, 2, max_norm=1.0)
    with ng.no_grad():
        layer.weight.copy_(ng.tensor([[3.0, 4.0], [0.1, 0.1], [6.0, 8.0]]))
    np.testing.assert_allclose(layer(ng.tensor([0, 1])).detach().numpy(), [[0.6, 0.8], [0.1, 0.1]], rtol=1e-4)
    assert layer.weight[2].tolist() == [6, 8]  # not looked up, not changed


def test_former_reduction_flags():
    x, t = ng.zeros(2, 3), ng.ones(2, 3) * 2
    for flags, expected in (
        ({"size_average": False}, 24),
        ({"reduce": False}, [[4.0] * 3] * 2),
        ({"size_average": True, "reduce": True}, 4),
    ):
        with pytest.warns(UserWarning, match="please use reduction"):
            assert F.mse_loss(x, t, **flags).tolist() == expected
        with pytest.warns(UserWarning, match="please use reduction"):
            assert nn.MSELoss(**flags)(x, t).tolist() == expected


def test_extreme_values():
    assert F.binary_cross_entropy(ng.tensor([0.0, 1.0]), ng.tensor([1.0, 0.0])).item() == 100  # logarithms are limited
    x = ng.tensor([1000.0, -1000.0], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, ng.tensor([0.0, 1.0]), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [1000, 1000] and x.grad.tolist() == [1, -1]
    p = ng.tensor([[0.0, 1.0]], requires_grad=True)
    F.kl_div(ng.tensor([[-1.0, -2.0]]), p, reduction="sum").backward()
    assert np.isfinite(p.grad.numpy()).all()
    assert F.softplus(ng.tensor([1000.0])).item() == 1000


def test_losses_of_nothing():
    assert np.isnan(F.mse_loss(ng.zeros(0), ng.zeros(0)).item()) and F.mse_loss(ng.zeros(0), ng.zeros(0), reduction="sum").item() == 0
    assert nn.Linear(3, 2)(ng.zeros(0, 3)).shape == (0, 2)
    assert nn.Conv2d(1, 2, 3)(ng.zeros(0, 1, 5, 5)).shape == (0, 2, 3, 3)


def test_broadcast_target_warns():
    with pytest.warns(UserWarning, match="different to the input size"):
        F.mse_loss(ng.zeros(3, 1), ng.zeros(3))


REFUSED = {
    "linear": (lambda: nn.Linear(3, 2)(ng.zeros(4, 5)), RuntimeError, "4"),
    "conv channels": (lambda: nn.Conv2d(3, 2, 3)(ng.zeros(1, 4, 5, 5)), RuntimeError, "channels"),
    "conv groups": (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups"),
    "conv out groups": (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups"),
    "conv no groups": (lambda: nn.Conv2d(4, 3, 3, groups=0), ValueError, "groups must be a positive integer"),
    "conv padding": (lambda: nn.Conv2d(4, 3, 3, padding="full"), ValueError, "Invalid padding string 'full'"),
    "conv strided same": (lambda: nn.Conv2d(4, 3, 3, 2, padding="same"), ValueError, "not supported for strided"),
    "conv mode": (lambda: nn.Conv2d(4, 3, 3, padding_mode="mirror"), ValueError, "padding_mode must be one of"),
    "dropout p": (lambda: nn.Dropout(1.5), ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    "dropout2d p": (lambda: F.dropout2d(ng.ones(1, 1, 1, 1), -1), ValueError, "dropout probability"),
    "dropout2d rank": (lambda: nn.Dropout2d()(ng.ones(3)), RuntimeError, "1-D"),
    "batch norm rank": (lambda: nn.BatchNorm2d(3)(ng.zeros(2, 3)), ValueError, "expected 4D input (got 2D input)"),
    "batch norm 1d rank": (lambda: nn.BatchNorm1d(3)(ng.zeros(3)), ValueError, "expected 2D or 3D input (got 1D input)"),
    "batch norm one value": (lambda: nn.BatchNorm1d(3)(ng.zeros(1, 3)), ValueError, "more than 1 value per channel"),
    "layer norm shape": (lambda: nn.LayerNorm(3)(ng.zeros(2, 4)), RuntimeError, "3"),
    "embedding index": (lambda: nn.Embedding(3, 2)(ng.tensor([3])), IndexError, "3"),
    "embedding dtype": (lambda: nn.Embedding(3, 2)(ng.tensor([1.0])), RuntimeError, "embedding"),
    "embedding padding": (lambda: nn.Embedding(3, 2, padding_idx=3), AssertionError, "Padding_idx must be within num_embeddings"),
    "pool": (lambda: nn.MaxPool2d(3)(ng.zeros(3)), RuntimeError, "3"),
    "prelu": (lambda: nn.PReLU(3)(ng.zeros(2, 4)), RuntimeError, "number"),
    "glu": (lambda: F.glu(ng.zeros(3)), RuntimeError, "Halving dimension must be even"),
    "gelu": (lambda: F.gelu(ng.zeros(3), "fast"), RuntimeError, "approximate"),
    "celu": (lambda: F.celu(ng.zeros(3), 0), RuntimeError, "alpha"),
    "hardtanh": (lambda: F.hardtanh(ng.zeros(3), 2, 1), ValueError, "min_val cannot be greater than max_val"),
    "activation argument": (lambda: nn.ReLU(slope=1), TypeError, "unexpected keyword argument 'slope'"),
    "too many arguments": (lambda: nn.GLU(1, 2), TypeError, "takes at most 1 arguments"),
    "missing argument": (lambda: nn.Threshold(1), TypeError, "missing a required argument: 'value'"),
    "mse target": (lambda: F.mse_loss(ng.zeros(3), 3), TypeError, "argument 'target' (position 2) must be Tensor, not int"),
    "mse shapes": (lambda: F.mse_loss(ng.zeros(3), ng.zeros(3), weight=ng.ones(2)), ValueError, "must have the same size"),
    "huber delta": (lambda: F.huber_loss(ng.zeros(3), ng.zeros(3), delta=0), RuntimeError, "delta"),
    "smooth l1 beta": (lambda: F.smooth_l1_loss(ng.zeros(3), ng.zeros(3), beta=-1), RuntimeError, "beta"),
    "reduction": (lambda: F.l1_loss(ng.zeros(3), ng.zeros(3), reduction="average"), ValueError, "average is not a valid value for reduction"),
    "bce range": (lambda: F.binary_cross_entropy(ng.tensor([1.5]), ng.tensor([1.0])), RuntimeError, "between 0 and 1"),
    "bce shapes": (lambda: F.binary_cross_entropy(ng.ones(2), ng.ones(3)), ValueError, "different to the input size"),
    "bce logits shapes": (lambda: F.binary_cross_entropy_with_logits(ng.ones(2), ng.ones(3)), ValueError, "must be the same as input size"),
    "class range": (lambda: F.cross_entropy(ng.zeros(2, 3), ng.tensor([0, 3])), IndexError, "3"),
    "batch sizes": (lambda: F.cross_entropy(ng.zeros(2, 3), ng.tensor([0, 1, 2])), ValueError, "batch_size"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    act, error, text = REFUSED[case]
    with pytest.raises(error) as caught:
        act()
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["smooth_l1_loss", "huber_loss", "mse_loss", "l1_loss"])
def test_nan_is_not_hidden_in_a_gradient(name):
    x = ng.tensor([float("nan"), 2.0], requires_grad=True)
    getattr(F, name)(x, ng.zeros(2)).backward()
    assert x.grad[0].isnan().item()
    assert x.grad[1].item() != 0
