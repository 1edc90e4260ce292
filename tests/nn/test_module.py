"""Module: registration, walking, state, hooks, copies, and the printed form."""

from __future__ import annotations

import copy
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn


class Block(nn.Module):
    def __init__(self, width: int = 3):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.scale = nn.Parameter(ng.ones(width))
        self.register_buffer("seen", ng.zeros(1))
        self.register_buffer("scratch", ng.zeros(2), persistent=False)
        self.label = "block"

    def forward(self, x):
        return self.first(x).tanh() * self.scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.tail = nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))

    def forward(self, x):
        return self.tail(self.block(x))


NAMES = ["block.scale", "block.first.weight", "block.first.bias", "tail.1.weight"]


# ---- registration ------------------------------------------------------------------------------------------------------------------


def test_names():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_buffers()] == ["block.seen", "block.scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "block", "block.first", "tail", "tail.0", "tail.1"]
    assert [n for n, _ in net.named_children()] == ["block", "tail"] and list(net.children()) == [net.block, net.tail]
    assert [n for n, _ in net.named_parameters("net", recurse=True)] == [f"net.{n}" for n in NAMES]
    assert list(net.parameters(recurse=False)) == [] and len(list(net.buffers())) == 2
    assert net.get_submodule("tail.1") is net.tail[1] and net.get_parameter("block.scale") is net.block.scale
    assert net.get_buffer("block.seen") is net.block.seen and net.get_submodule("") is net
    assert {"block", "tail"} <= set(dir(net))


def test_assignment_and_deletion():
    net = Block()
    net.first = None
    assert net.first is None and [n for n, _ in net.named_parameters()] == ["scale"]
    net.first = nn.Linear(1, 1)
    net.label = nn.Parameter(ng.zeros(2))  # an ordinary attribute becomes a parameter
    assert "label" in net._parameters and "label" not in net.__dict__
    del net.label, net.first, net.seen
    assert not hasattr(net, "label") and not hasattr(net, "seen")
    net.seen = ng.ones(1)  # no longer a buffer
    assert "seen" not in net._buffers
    net.scratch = ng.ones(3)
    assert net._buffers["scratch"].shape == (3,)


def test_shared_parameters_count_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twice = nn.Sequential(net[0], net[0])
    assert len(list(twice.modules())) == 2 and len(list(twice.parameters())) == 2


def test_before_init():
    class Hasty(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="cannot assign module before Module"):
        Hasty()


REFUSED = {
    "assign parameter": (lambda m: setattr(m, "scale", ng.ones(3)), TypeError, "cannot assign 'Tensor' as parameter 'scale'"),
    "assign module": (lambda m: setattr(m, "first", 3), TypeError, "cannot assign 'int' as child module 'first'"),
    "assign buffer": (lambda m: setattr(m, "seen", 3), TypeError, "cannot assign 'int' as buffer 'seen'"),
    "parameter type": (lambda m: m.register_parameter("a", ng.zeros(1)), TypeError, "cannot assign 'Tensor' object to parameter 'a'"),
    "buffer type": (lambda m: m.register_buffer("a", 3), TypeError, "cannot assign 'int' object to buffer 'a'"),
    "module type": (lambda m: m.add_module("a", 3), TypeError, "int is not a Module subclass"),
    "dot": (lambda m: m.register_parameter("a.b", None), KeyError, 'contain "."'),
    "empty": (lambda m: m.register_buffer("", None), KeyError, "be empty string"),
    "name type": (lambda m: m.add_module(3, None), TypeError, "name should be a string. Got int"),
    "taken": (lambda m: m.register_buffer("scale", ng.zeros(1)), KeyError, "attribute 'scale' already exists"),
    "taken by method": (lambda m: m.register_parameter("forward", None), KeyError, "attribute 'forward' already exists"),
    "missing": (lambda m: m.nothing, AttributeError, "'Block' object has no attribute 'nothing'"),
    "no submodule": (lambda m: m.get_submodule("first.deeper"), AttributeError, "Linear has no attribute `deeper`"),
    "no parameter": (lambda m: m.get_parameter("seen"), AttributeError, "`seen` is not an nn.Parameter"),
    "no buffer": (lambda m: m.get_buffer("scale"), AttributeError, "`scale` is not a buffer"),
    "integer dtype": (lambda m: m.to(ng.int64), TypeError, "only accepts floating point or complex dtypes"),
    "no gpu": (lambda m: m.cuda(), RuntimeError, "CUDA"),
    "mode": (lambda m: m.train(3), ValueError, "training mode is expected to be boolean"),
    "sequential": (lambda m: nn.Sequential(3), TypeError, "int is not a Module subclass"),
    "sequential index": (lambda m: nn.Sequential(m)[1], IndexError, "index 1 is out of range"),
    "list index": (lambda m: nn.ModuleList([m])[-2], IndexError, "index -2 is out of range"),
    "dict key": (lambda m: nn.ModuleDict({"a": m})["b"], KeyError, "b"),
    "parameter dict key": (lambda m: nn.ParameterDict()["b"], AttributeError, "no attribute 'b'"),
    "argument": (lambda m: nn.Module(3), TypeError, "takes 1 positional argument but 2 were given"),
    "keyword": (lambda m: nn.Module(width=3), TypeError, "unexpected keyword argument 'width'"),
    "state": (lambda m: m.load_state_dict(3), TypeError, "Expected state_dict to be dict-like"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    act, error, text = REFUSED[case]
    with pytest.raises(error) as caught:
        act(Block())
    assert text in str(caught.value)


def test_no_forward():
    with pytest.raises(NotImplementedError, match='is missing the required "forward" function'):
        nn.Module()(1)


# ---- state -------------------------------------------------------------------------------------------------------------------------


def test_state_dict():
    net = Net()
    state = net.state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == ["block.scale", "block.seen", "block.first.weight", "block.first.bias", "tail.1.weight"]
    assert not any(t.requires_grad for t in state.values())
    state["block.scale"].fill_(5)
    assert net.block.scale[0].item() == 5  # shares memory
    assert net.state_dict(keep_vars=True)["block.scale"] is net.block.scale
    assert next(iter(net.block.state_dict(prefix="p."))) == "p.scale"
    other = Net()
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    x = ng.randn(4, 3)
    assert ng.equal(net(x), other(x))
    assert other.block.scale.data_ptr() != net.block.scale.data_ptr() and other.block.scale.requires_grad


def test_load_state_dict_errors():
    net = nn.Linear(2, 3)
    before = net.weight.detach().clone()
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict({})
    assert str(caught.value) == 'Error(s) in loading state_dict for Linear:\n\tMissing key(s) in state_dict: "weight", "bias". '
    wrong = {"weight": ng.zeros(2, 2), "bias": ng.zeros(3), "x": ng.zeros(1)}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrong)
    assert str(caught.value) == (
        'Error(s) in loading state_dict for Linear:\n\tUnexpected key(s) in state_dict: "x". \n\t'
        "size mismatch for weight: copying a param with shape numbagrad.Size([2, 2]) from checkpoint, "
        "the shape in current model is numbagrad.Size([3, 2])."
    )
    with pytest.raises(RuntimeError, match="size mismatch for weight"):  # a shape is an error even when not strict
        net.load_state_dict(wrong, strict=False)
    with pytest.raises(RuntimeError, match='While copying the parameter named "weight", expected numbagrad'):
        net.load_state_dict({"weight": 1, "bias": ng.zeros(3)})
    assert ng.equal(net.weight, before)  # nothing was changed by any of them
    found = net.load_state_dict({"bias": ng.ones(3), "x": ng.zeros(1)}, strict=False)
    assert found.missing_keys == ["weight"] and found.unexpected_keys == ["x"]
    assert net.bias.tolist() == [1, 1, 1] and ng.equal(net.weight, before)


def test_load_casts_and_assigns():
    net = nn.Linear(2, 1)
    net.load_state_dict({"weight": ng.ones(1, 2, dtype=ng.float64), "bias": ng.zeros(1, dtype=ng.float64)})
    assert net.weight.dtype is ng.float32 and net.weight.tolist() == [[1, 1]]
    given = {"weight": ng.ones(1, 2, dtype=ng.float64), "bias": ng.zeros(1, dtype=ng.float64)}
    net.load_state_dict(given, assign=True)
    assert net.weight.dtype is ng.float64 and net.weight.data_ptr() == given["weight"].data_ptr() and net.weight.requires_grad


def test_modes():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    net.block.train()
    assert net.block.first.training and not net.tail.training
    assert net.requires_grad_(False) is net and not any(p.requires_grad for p in net.parameters())


def test_apply_visits_children_first():
    visited = []
    net = Net()
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    assert visited == ["Linear", "Block", "ReLU", "Linear", "Sequential", "Net"]


def test_to():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net(ng.randn(3, 2)).sum().backward()
    assert net.double() is net
    assert net[0].weight is weight and weight.dtype is ng.float64 and weight.grad.dtype is ng.float64
    assert net[1].running_mean.dtype is ng.float64 and net[1].num_batches_tracked.dtype is ng.int64
    assert net(ng.randn(3, 2, dtype=ng.float64)).dtype is ng.float64
    for act, dtype in (
        (lambda: net.float(), ng.float32), (lambda: net.half(), ng.float16), (lambda: net.bfloat16(), ng.bfloat16),
        (lambda: net.to(ng.float64), ng.float64), (lambda: net.to("cpu", ng.float32), ng.float32),
        (lambda: net.to(dtype=ng.float64), ng.float64), (lambda: net.to(ng.zeros(1)), ng.float32), (lambda: net.to(ng.device("cpu")), ng.float32),
        (lambda: net.cpu(), ng.float32),
    ):  # fmt: skip
        assert act() is net and weight.dtype is dtype and weight.is_leaf


def test_zero_grad():
    net = nn.Linear(2, 1)
    net(ng.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0, 0]]
    net.zero_grad()
    assert net.weight.grad is None


def test_copies():
    net = Net()
    net.eval()
    net(ng.ones(2, 3)).sum().backward()
    made = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    stream = io.BytesIO()
    ng.save(net.state_dict(), stream)
    stream.seek(0)
    third = Net().eval()
    third.load_state_dict(ng.load(stream))
    x = ng.randn(2, 3)
    expected = net(x)
    assert all(p.grad is not None for p in net.parameters()) and all(p.grad is None for other in made for p in other.parameters())
    for other in [*made, third]:
        assert ng.equal(other(x), expected) and not other.training and repr(other) == repr(net)
        assert [n for n, _ in other.named_parameters()] == NAMES
        with ng.no_grad():
            other.block.scale.fill_(0)
    assert net.block.scale.tolist() == [1, 1, 1]
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    again = copy.deepcopy(tied)
    assert again[1].weight is again[0].weight and again[0].weight is not tied[0].weight


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.LeakyReLU(0.3), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.CrossEntropyLoss(), nn.PReLU()])
def test_layers_pickle(layer):
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer) and type(again) is type(layer)


# ---- hooks -------------------------------------------------------------------------------------------------------------------------


def test_forward_hooks():
    net = nn.Linear(2, 2)
    calls: list[Any] = []
    x = ng.ones(1, 2)
    plain = net(x)
    first = net.register_forward_hook(lambda m, args, out: calls.append(("a", m is net, args[0] is x, tuple(out.shape))))
    second = net.register_forward_hook(lambda m, args, out: out * 2, prepend=True)
    assert ng.equal(net(x), plain * 2) and calls == [("a", True, True, (1, 2))]
    second.remove()
    assert ng.equal(net(x), plain)
    first.remove()
    pre = net.register_forward_pre_hook(lambda m, args: args[0] * 3)
    assert ng.allclose(net(x), net.forward(x * 3))
    pre.remove()
    assert ng.equal(net(x), plain) and len(calls) == 2

    class Scaled(nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    scaled = Scaled()
    scaled.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": kwargs["factor"] + 1}), with_kwargs=True)
    scaled.register_forward_hook(lambda m, args, kwargs, out: out + kwargs["factor"], with_kwargs=True)
    assert scaled(ng.ones(1), factor=2).item() == 6


class Two(nn.Module):
    def forward(self, a, b, c):
        return a * b, (b * c).sum()


def _backward_story(library: Any) -> list[Any]:
    """What full backward hooks see and change, on the same little graphs in either library."""
    story: list[Any] = []

    def watch(name):
        def hook(module, grad_input, grad_output):
            story.append(
                (name, [None if g is None else g.tolist() for g in grad_input], [None if g is None else g.tolist() for g in grad_output])
            )

        return hook

    class Both(library.nn.Module):
        forward = Two.forward

    t = library.tensor
    # several inputs, one without gradient, two outputs
    both = Both()
    both.register_full_backward_hook(watch("both"))
    both.register_full_backward_pre_hook(lambda m, g: story.append(("before", len(g))))
    a, b, c = t([1.0, 2.0], requires_grad=True), t([3.0, 4.0], requires_grad=True), t([5.0, 6.0])
    first, second = both(a, b, c)
    (first.sum() + 2 * second).backward()
    story += [a.grad.tolist(), b.grad.tolist()]
    # only one output used
    a.grad = b.grad = None
    both(a, b, c)[0].sum().backward()
    story += [a.grad.tolist(), b.grad.tolist()]
    # one module called twice, hooks replacing gradients
    relu = library.nn.ReLU()
    handle = relu.register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    relu.register_full_backward_hook(watch("relu"))
    x = t([1.0, -1.0, 2.0], requires_grad=True)
    relu(relu(x) * 3).sum().backward()
    story.append(x.grad.tolist())
    handle.remove()
    x.grad = None
    relu(x).sum().backward()
    story.append(x.grad.tolist())
    # no input wants a gradient
    linear = library.nn.Linear(2, 1)
    linear.register_full_backward_hook(watch("linear"))
    linear(t([[1.0, 2.0]])).sum().backward()
    # a pre-hook replaces the gradient that enters
    tanh = library.nn.Tanh()
    tanh.register_full_backward_pre_hook(lambda m, g: (g[0] * 10,))
    x = t([0.0], requires_grad=True)
    tanh(x).sum().backward()
    story.append(x.grad.tolist())
    return story


def test_backward_hooks():
    story = _backward_story(ng)
    assert story[:2] == [("before", 2), ("both", [[3, 4], [11, 14], [0, 0]], [[1, 1], 2])]
    assert story[2:4] == [[3, 4], [11, 14]]
    assert story[5] == ("both", [[3, 4], [1, 2], [0, 0]], [[1, 1], None])
    relu = [s for s in story if s[0] == "relu"]
    assert [s[1] for s in relu] == [[[2, 0, 2]], [[12, 0, 12]], [[1, 0, 1]]]
    assert story[-2][:1] == ("linear",) and story[-2][1:] == ([None], [[[1.0]]]) and story[-1] == [10]


def test_backward_hooks_as_torch():
    torch = pytest.importorskip("torch")
    assert _backward_story(ng) == _backward_story(torch)


def test_backward_hook_of_wrong_length():
    net = nn.ReLU()
    net.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(RuntimeError, match="invalid number of grad_input: expected 1, got 2"):
        net(ng.ones(1, requires_grad=True)).backward()


def test_second_derivative_through_backward_hook():
    net = nn.Tanh()
    seen = []
    net.register_full_backward_hook(lambda m, gi, go: seen.append(1))
    x = ng.tensor([0.5], dtype=ng.float64, requires_grad=True)
    (first,) = ng.autograd.grad(net(x).sum(), x, create_graph=True)
    (second,) = ng.autograd.grad(first, x)
    t = np.tanh(0.5)
    np.testing.assert_allclose(second.item(), -2 * t * (1 - t * t), rtol=1e-12)
    assert seen


# ---- containers --------------------------------------------------------------------------------------------------------------------


def test_sequential():
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net and len(net) == 3 and list(net) == [a, b, c] and net[-1] is c
    assert isinstance(net[:2], nn.Sequential) and list(net[1:]) == [b, c]
    x = ng.ones(1, 2)
    assert ng.equal(net(x), c(b(a(x))))
    net[1] = nn.Tanh()
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    del net[1]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    net.insert(1, b)
    assert list(net) == [a, b, c] and len(net.extend([nn.ReLU()])) == 4
    named = nn.Sequential(OrderedDict([("fc", a), ("act", b)]))
    assert named.fc is a and [n for n, _ in named.named_children()] == ["fc", "act"]


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(2)])
    layers.append(nn.ReLU()).extend([nn.Tanh()])
    layers += [nn.ReLU()]
    assert len(layers) == 5 and isinstance(layers[1:3], nn.ModuleList) and len(list(layers.parameters())) == 4
    popped = layers.pop(-1)
    assert isinstance(popped, nn.ReLU) and len(layers) == 4
    layers.insert(0, popped)
    assert layers[0] is popped and next(iter(layers.state_dict())) == "1.weight"
    with pytest.raises(NotImplementedError):
        layers(1)
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.ReLU()
    table.update([("c", nn.Tanh())])
    assert list(table) == ["a", "b", "c"] == list(table.keys()) and "b" in table and len(table) == 3
    assert isinstance(table.pop("c"), nn.Tanh) and [k for k, _ in table.items()] == ["a", "b"] and len(list(table.values())) == 2
    del table["b"]
    table.clear()
    assert len(table) == 0


def test_parameter_containers():
    each = nn.ParameterList([ng.zeros(2), nn.Parameter(ng.ones(1))])
    each.append(ng.zeros(3)).extend([ng.zeros(1)])
    each[0] = nn.Parameter(ng.ones(2))
    assert len(each) == 4 and each[0].tolist() == [1, 1] and len(each[1:]) == 3 and all(isinstance(p, nn.Parameter) for p in each)
    assert list(each.state_dict()) == ["0", "1", "2", "3"]
    table = nn.ParameterDict({"a": ng.zeros(2)})
    table["b"] = nn.Parameter(ng.zeros(1))
    assert list(table.state_dict()) == ["a", "b"] and "a" in table and table.get("z") is None and len(table) == 2
    assert table.pop("a").shape == (2,) and list(table.keys()) == ["b"] and len(list(table.values())) == len(list(table.items())) == 1
    del table["b"]
    assert len(table) == 0


# ---- printing ----------------------------------------------------------------------------------------------------------------------

PRINTED = [
    "Linear(2, 3)", "Linear(2, 3, bias=False)", "Conv2d(1, 4, 3)", "Conv2d(4, 4, (2, 3), stride=2, padding=(0, 1), dilation=2, groups=2, bias=False)",
    "Conv2d(1, 1, 3, padding='same', padding_mode='reflect')", "MaxPool2d(2)", "MaxPool2d((2, 3), 1, 1, ceil_mode=True)", "AvgPool2d(2, 1)",
    "AdaptiveAvgPool2d((1, 1))", "AdaptiveMaxPool2d(3)", "BatchNorm1d(3)", "BatchNorm2d(3, momentum=None, affine=False)",
    "BatchNorm1d(3, bias=False)", "LayerNorm(3)", "LayerNorm((2, 3), elementwise_affine=False)", "LayerNorm(3, bias=False)", "Embedding(5, 2)",
    "Embedding(5, 2, padding_idx=-1, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True)", "Dropout(0.2)", "Dropout2d(0.1, True)", "Flatten()",
    "Flatten(0, 1)", "Unflatten(1, (2, 3))", "Identity(5)", "CosineSimilarity()", "PairwiseDistance()",
    "ReLU()", "ReLU(inplace=True)", "ReLU6()", "LeakyReLU()",
    "LeakyReLU(0.2, True)", "ELU(2)", "CELU()", "SELU(True)", "GELU()", "GELU('tanh')", "SiLU()", "Mish()", "Softplus()", "Softplus(2, 10)",
    "Softsign()", "Hardtanh()", "Hardtanh(-2, 2, inplace=True)", "Hardsigmoid()", "Hardswish()", "LogSigmoid()", "Sigmoid()", "Tanh()", "GLU()",
    "Threshold(0.1, 20)", "Softmax(dim=1)", "LogSoftmax(-1)", "Softmin(1)", "PReLU()", "PReLU(3)", "MSELoss()", "L1Loss()", "SmoothL1Loss()",
    "HuberLoss()", "CrossEntropyLoss()", "NLLLoss()", "BCELoss()", "BCEWithLogitsLoss()", "KLDivLoss()", "Sequential()", "ModuleList()",
    "ModuleDict({'a': nn.Linear(1, 2), 'b': nn.Sequential(nn.ReLU(), nn.Dropout())})", "ModuleList([nn.ReLU(), nn.ReLU(), nn.Linear(1, 1), nn.ReLU()])",
    "Sequential(nn.ModuleList([nn.Sequential(nn.Tanh(), nn.Tanh()) for _ in range(3)]), nn.Flatten())",
    "ParameterList([lib.zeros(2, 3), lib.zeros(1)])", "ParameterDict({'a': lib.zeros(2), 'b': lib.zeros(1)})", "ParameterList([lib.zeros(2)])",
    "AdaptiveLogSoftmaxWithLoss(4, 6, [2])", "EmbeddingBag(5, 2)", "EmbeddingBag(5, 2, mode='sum', padding_idx=0)", "MaxUnpool1d(2)", "MaxUnpool2d((2, 3), 1)",
    "MaxUnpool3d(2)", "NLLLoss2d()", "RNNBase('LSTM', 2, 3)", "RNNCellBase(2, 3, True, 4)", "TripletMarginLoss()", "TripletMarginWithDistanceLoss()",
    "TransformerDecoder(nn.TransformerDecoderLayer(4, 2), 1)", "SyncBatchNorm(3, momentum=None)", "CrossMapLRN2d(5, k=2.0)", "DataParallel(nn.ReLU())",
    "LinearCrossEntropyLoss(3, 4)", "LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True, options=nn.LinearCrossEntropyOptions())",
]  # fmt: skip


# Compared with PyTorch's, printed form and all, by tests/test_torch_samples.py.
SAMPLED = Path(__file__).parents[1] / "torch_samples" / "covered.txt"


def test_every_layer_is_printed_somewhere():
    layers = {n for n in nn.__all__ if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module) and n != "Module"}
    sampled = {line.split()[0][3:] for line in SAMPLED.read_text().splitlines() if line.startswith("nn.")}
    assert layers <= {text.partition("(")[0] for text in PRINTED} | sampled


@pytest.mark.parametrize("text", PRINTED)
def test_prints_as_torch(text):
    torch = pytest.importorskip("torch")
    theirs = repr(eval(f"nn.{text}", {"nn": torch.nn, "lib": torch}))
    ours = repr(eval(f"nn.{text}", {"nn": nn, "lib": ng}))
    assert ours == theirs.replace("torch.", "numbagrad.")


def test_prints():
    assert repr(Net()) == (
        "Net(\n  (block): Block(\n    (first): Linear(in_features=3, out_features=3, bias=True)\n  )\n  (tail): Sequential(\n    (0): ReLU()\n"
        "    (1): Linear(in_features=3, out_features=2, bias=False)\n  )\n)"
    )

    class Extra(nn.Module):
        def __init__(self, lines):
            super().__init__()
            self.lines = lines
            self.child = nn.ReLU()

        def extra_repr(self):
            return self.lines

    assert repr(Extra("a=1")) == "Extra(\n  a=1\n  (child): ReLU()\n)"
    assert repr(nn.Linear(1, 1).weight).startswith("Parameter containing:\ntensor(")
