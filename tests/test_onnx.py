"""Models as ONNX files: what onnxruntime computes from them is what the model computes, for other sizes of the dynamic axes too."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

import numbagrad as ng
from numbagrad import nn

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
F = nn.functional
pytestmark = pytest.mark.cpu


def exported(model, *xs, **settings):
    """A function from arrays to arrays: the exported model in onnxruntime."""
    names = [f"x{i}" for i in range(len(flat(xs)))]
    proto = ng.onnx.export(model, xs, input_names=names, **settings)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda *inputs: session.run(None, {x.name: v.numpy() for x, v in zip(session.get_inputs(), flat(inputs), strict=True)})


def flat(value):
    return [value] if isinstance(value, ng.Tensor) else [x for part in value for x in flat(part)]


def compare(run, model, *xs, tolerance=1e-5):
    if isinstance(model, nn.Module):
        model.eval()
    with ng.no_grad():
        expected = flat(model(*xs))
    found = run(*xs)
    assert len(found) == len(expected)
    for want, got in zip(expected, found):
        assert want.numpy().dtype == got.dtype
        np.testing.assert_allclose(got, want.numpy(), rtol=tolerance, atol=tolerance)


def check(model, *xs, **settings):
    compare(exported(model, *xs, **settings), model, *xs)


# ---- models ------------------------------------------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = F.avg_pool2d(self.conv1(x).sigmoid(), 2)
        x = F.max_pool2d(ng.tanh(self.conv2(x)), 2, 2)
        x = x.view(x.size(0), -1)
        x = self.dropout(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc3(F.relu(self.fc2(x))), dim=1)


class Residual(nn.Module):
    """Two convolutions with batch normalisation, twice, and shortcuts around them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
                nn.Conv2d(8, 8, 3, padding="same"), nn.BatchNorm2d(8),
            )
            for _ in range(2)
        )  # fmt: skip
        self.pool, self.head = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(8, 5)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            y = block(x)
            y += x
            x = y.relu_()
        return self.head(self.pool(x).flatten(1))


class Language(nn.Module):
    """Words and places embedded, an encoder with a causal mask, and scores."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 16), nn.Embedding(6, 16)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=True), 2)
        self.register_buffer("mask", ng.full((6, 6), float("-inf")).triu(1))
        self.norm = nn.LayerNorm(16)

    def forward(self, ids):
        x = self.words(ids) * 4.0 + self.places(ng.arange(ids.shape[1]))
        return self.norm(self.encoder(x, mask=self.mask)) @ self.words.weight.T


class Attention(nn.Module):
    """Attention written out."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, 2, c // 2).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
        scores = (q @ k.transpose(-2, -1)) / (c // 2) ** 0.5
        seen = ng.tril(ng.ones(t, t)).bool()
        scores = scores.masked_fill(~seen, float("-inf"))
        return x + self.out((scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(b, t, c))


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=-1))


MODELS = {
    "perceptron": (perceptron, lambda n: ng.randn(n, 3, 4)),
    "LeNet": (LeNet, lambda n: ng.randn(n, 1, 28, 28)),
    "residual": (Residual, lambda n: ng.randn(n, 3, 8, 8)),
    "language": (Language, lambda n: ng.randint(0, 20, (n, 6))),
    "attention": (Attention, lambda n: ng.randn(n, 5, 8)),
    "MultiheadAttention": (lambda: SelfAttention(nn.MultiheadAttention(8, 2, batch_first=True)), lambda n: ng.randn(n, 5, 8)),
    "LSTM": (lambda: nn.LSTM(4, 6, 2, bidirectional=True, batch_first=True), lambda n: ng.randn(n, 5, 4)),
    "GRU": (lambda: nn.GRU(4, 6, 2, batch_first=True, bias=False), lambda n: ng.randn(n, 5, 4)),
    "RNN": (lambda: nn.RNN(4, 6, nonlinearity="relu", batch_first=True), lambda n: ng.randn(n, 5, 4)),
}


class SelfAttention(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x)


@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    make, draw = MODELS[name]
    model = make()
    run = exported(model, draw(2), dynamic_axes={"x0": {0: "batch"}})
    for size in (2, 1, 5):
        compare(run, model, draw(size))


def test_two_dynamic_axes():
    model = nn.LSTM(4, 6, batch_first=True)
    run = exported(model, ng.randn(2, 5, 4), dynamic_axes={"x0": {0: "batch", 1: "time"}})
    compare(run, model, ng.randn(3, 9, 4))


def test_states_are_inputs():
    check(nn.LSTM(4, 6, 2), ng.randn(5, 3, 4), (ng.randn(2, 3, 6), ng.randn(2, 3, 6)))


# ---- operations --------------------------------------------------------------------------------------------------------------------------

ACTIVATIONS = (
    "ReLU ReLU6 Sigmoid Tanh GELU SiLU Mish ELU CELU SELU LeakyReLU Hardtanh Hardsigmoid Hardswish Softplus Softsign LogSigmoid Tanhshrink Hardshrink "
    "Softshrink PReLU"
).split()
LAYERS = {
    **{name: (lambda name=name: getattr(nn, name)(), (3, 4)) for name in ACTIVATIONS},
    "GELU tanh": (lambda: nn.GELU("tanh"), (3, 4)),
    "PReLU channels": (lambda: nn.PReLU(3), (2, 3, 4)),
    "Softplus beta": (lambda: nn.Softplus(2.0, 1.0), (3, 4)),
    "Threshold": (lambda: nn.Threshold(0.1, 7), (3, 4)),
    "GLU": (lambda: nn.GLU(), (3, 4)),
    "Softmin": (lambda: nn.Softmin(1), (3, 4)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 2, 9)),
    "Conv1d unbatched": (lambda: nn.Conv1d(2, 4, 3), (2, 9)),
    "Conv1d reflect": (lambda: nn.Conv1d(2, 4, 3, padding=1, padding_mode="reflect"), (2, 2, 9)),
    "Conv2d grouped": (lambda: nn.Conv2d(4, 8, (3, 2), dilation=(1, 2), groups=2), (2, 4, 7, 7)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1), (2, 2, 5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2), (2, 4, 5, 5)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2), (1, 2, 3, 3, 3)),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1), (2, 3, 9)),
    "MaxPool2d ceil": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 8)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (2, 3, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 8, 8)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, 4)), (2, 3, 8, 8)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(1), (2, 3, 5, 7)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (3, 4)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2, affine=False), (2, 2, 3, 3, 3)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    "LayerNorm": (lambda: nn.LayerNorm((3, 4)), (2, 3, 4)),
    "LayerNorm plain": (lambda: nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (2, 3, 4)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), (4, 6)),
    "ZeroPad2d": (lambda: nn.ZeroPad2d((1, 2, 0, 1)), (1, 2, 3, 3)),
    "ReplicationPad1d": (lambda: nn.ReplicationPad1d(2), (1, 2, 5)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), (1, 2, 3, 4)),
    "Upsample bilinear": (lambda: nn.Upsample(size=(5, 7), mode="bilinear"), (1, 2, 3, 4)),
    "Upsample corners": (lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), (1, 2, 3, 4)),
    "Linear on (B, T, C)": (lambda: nn.Linear(4, 2), (2, 3, 4)),
    "Linear without bias": (lambda: nn.Linear(4, 2, bias=False), (3, 4)),
    "Dropout2d": (lambda: nn.Dropout2d(), (1, 2, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, shape = LAYERS[name]
    check(make(), ng.randn(*shape))


# Expressions in x, of shape (2, 3, 4), and n, whole numbers of the same shape.
EXPRESSIONS = """
x + 1; 1 - x; x * x; x / 3; 2 / (x + 9); x // 2; x % 2; x ** 2; x ** 3; abs(x) ** 0.5; 2 ** x; -x; x + n; n / 2; n // 3; n % 3; n * 2 - 1; n + 0.5
x > 0; x <= n; x == x; x != 0; (x > 0) & (n > 2); ~(x > 0); (x > 0) | (n > 0); (x > 0) ^ (n > 0); n & 3; ng.logical_and(n, x > 0)
ng.add(x, n, alpha=2); ng.sub(x, 1, alpha=3); ng.rsub(x, 1); ng.div(x, 2, rounding_mode="floor"); ng.maximum(x, -x); ng.minimum(x, x * 2)
x.exp(); (abs(x) + 1).log(); ng.sin(x) + x.cos(); x.abs().sqrt(); (abs(x) + 1).rsqrt(); x.reciprocal(); x.sign(); x.floor(); x.ceil(); x.round()
x.erf()
x.square(); x.clamp(-0.5, 0.5); x.clamp(min=0); ng.clamp(x, max=n); x.clamp_min(0.1); n.clamp(1, 2); ng.where(x > 0, x, 0.0); x.masked_fill(n > 2, 7)
x.atan(); x.sinh(); x.asinh(); ng.isnan(x); ng.addcmul(x, x, x, value=2); ng.lerp(x, -x, 0.25); x.tan(); x.silu() if hasattr(x, "silu") else F.silu(x)
x.double(); x.to(ng.float64); n.float(); x.long(); x.bool(); x.type_as(n); x.half(); x.clone(); x.contiguous(); x.detach() * 1
x.reshape(6, 4); x.view(-1); x.flatten(1); x.flatten(); x.unflatten(2, (2, 2)); x.transpose(0, 1); x.permute(2, 0, 1); x[0].T; x.mT; x[0].t()
x.swapaxes(0, 2)
x.movedim(0, 2); ng.movedim(x, (0, 1), (2, 0)); x.unsqueeze(1); x[:1].squeeze(); x[:, :1].squeeze(1); x[:1].expand(3, 3, 4); x.expand(2, 2, 3, 4)
x.repeat(2, 1, 1); x.repeat(2, 1, 1, 3); ng.tile(x, (2,)); ng.cat([x, x * 2], 1); ng.cat((x, n)); ng.stack([x, -x], dim=1); x.split(2, 1)
x.split([1, 3], 2)
x.chunk(2, -1); x.chunk(2, 1); x.unbind(1); [y * 2 for y in x]; ng.flip(x, (0, 2)); x.tril(); ng.triu(x, 1); x.cumsum(1); x.topk(2)
x.narrow(1, 1, 2); x.select(1, -1); x[0]; x[-1]; x[:, 1]; x[..., 0]; x[:, 1:]; x[:, :-1]; x[..., ::2]; x[0, :, 1:3]; x[None]; x[:, None, 1]
x[1, ..., None]; x[:, ng.tensor([0, 2])]; x[:, [2, 0]]
x.index_select(2, ng.tensor([1, 1, 0])); ng.gather(x, 2, n % 4); ng.take_along_dim(x, n % 3, 1); x[:, -2:]; x[()]
x @ x.mT; ng.matmul(x, ng.ones(4)); x.bmm(x.transpose(1, 2)); x[0].mm(x[1].T); ng.einsum("bij,bkj->bik", x, x)
ng.addmm(x[0, :, :3], x[0], x[1].T, beta=2)
ng.baddbmm(x @ x.mT, x, x.mT, alpha=0.5); F.linear(x, ng.ones(5, 4), ng.ones(5)); x[0, 0].dot(x[1, 1])
F.scaled_dot_product_attention(x, x, x, is_causal=True)
F.scaled_dot_product_attention(x, x, x, attn_mask=ng.ones(3, 3).tril().bool())
x.sum(); x.sum(1); x.sum((0, 2), keepdim=True); n.sum(1); (x > 0).sum(-1); x.mean(); x.mean(-1, keepdim=True); x.mean(dim=(1, 2)); x.amax(1)
x.amin((0, 1))
x.prod(2); x.max(); x.max(1); x.min(2, keepdim=True); ng.max(x, -x); x.max(dim=1).values; x.argmax(); x.argmax(1); ng.argmin(x, -1, keepdim=True)
(x > 0).any()
(x > 0).all(1); x.var(); x.var(1); x.std(2, keepdim=True); x.var(1, correction=0); x.var(-1, unbiased=False); x.norm(); x.norm(dim=1)
x.norm(p=1, dim=-1); x.logsumexp(1)
F.one_hot(n, 5); x.softmax(-1); ng.softmax(x, 1); x.log_softmax(1); F.softmin(x, 1); x.relu().sigmoid().tanh(); F.leaky_relu(x, 0.2); F.glu(x); F.gelu(x)
F.normalize(x, dim=1)
F.pad(x, (1, 2)); F.pad(x, (1, 1, 0, 2), value=3.0); x + ng.zeros_like(x) + ng.arange(4); x.new_ones(3, 1) * x; x * float(x.shape[-1])
ng.ones(3, 1) + x
"""
EXPRESSIONS = [text.strip() for line in EXPRESSIONS.splitlines() for text in line.split("; ") if text.strip()]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text):
    code = compile(text, "expression", "eval")
    xs = ng.randn(2, 3, 4), ng.randint(0, 5, (2, 3, 4))

    def model(x, n):
        return eval(code, {"ng": ng, "F": F, "x": x, "n": n})

    check(model, *xs)


def test_two_names_for_embedding():
    check(lambda i: F.embedding(i, ng.arange(6.0).reshape(3, 2)), ng.tensor([[2, 0]]))


# ---- what is in the file -----------------------------------------------------------------------------------------------------------------


def test_names(tmp_path):
    import onnx

    model = perceptron()
    path = tmp_path / "model.onnx"
    returned = ng.onnx.export(model, ng.ones(1, 12), path, input_names=["image"], output_names=["scores"], dynamic_axes={"image": [0]})
    read = onnx.load(path)
    assert read == returned
    assert {x.name for x in read.graph.initializer} >= set(model.state_dict())
    assert [x.name for x in read.graph.input] == ["image"] and [x.name for x in read.graph.output] == ["scores"]
    for value in (*read.graph.input, *read.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "image_dynamic_axes_1"
    file = io.BytesIO()
    ng.onnx.export(model, ng.ones(1, 12), file, opset_version=20)
    assert onnx.load_from_string(file.getvalue()).opset_import[0].version == 20


def test_dynamic_shapes():
    run = exported(perceptron(), ng.ones(2, 12), dynamic_shapes=({0: "batch"},))
    assert run(ng.ones(7, 12))[0].shape == (7, 3)


def test_model_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    model[1].eval()
    before, add, relu = {k: v.clone() for k, v in model.state_dict().items()}, ng.Tensor.__add__, F.relu
    ng.onnx.export(model, ng.ones(2, 3))
    assert model.training and model[0].training and not model[1].training
    assert all(ng.equal(v, before[k]) for k, v in model.state_dict().items())
    assert ng.Tensor.__add__ is add and F.relu is relu and "__bool__" not in vars(ng.Tensor)


def test_functions_kept_by_the_model():
    class Holder(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    check(Holder(F.gelu), ng.randn(3))


def test_own_entry():
    @ng.onnx.entry("sinc")
    def sinc(g, y, input):
        angle = g.op("Mul", input, np.asarray(np.pi, y.dtype.numpy))
        return g.op("Div", g.op("Sin", angle), angle)

    try:
        check(lambda x: ng.sinc(x), ng.rand(3) + 1)
    finally:
        del ng.onnx._table.ENTRIES["sinc"]


# ---- errors ------------------------------------------------------------------------------------------------------------------------------


def in_place_on_view(x):
    y = x * 1
    y[0].add_(1)
    return y


def in_place_unseen(x):
    y = x * 1
    y[0] = 0
    return y


def in_place_on_constant(x):
    y = ng.zeros(3)
    y += x
    return y


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda x: ng.erfinv(x), "erfinv"),
        (lambda x: x + ng.special.i1(x), "could not be recorded"),
        (lambda x: x.lgamma() + 1, "lgamma"),
        (lambda x: x * x.sum().item(), "item reads values"),
        (lambda x: x if x.sum() > 0 else -x, "__bool__ reads values"),
        (lambda x: x * float(x[0]), "__float__ reads values"),
        (lambda x: x * ng.from_numpy(np.asarray(x)), "reads values"),
        (lambda x: x + ng.rand(3), "rand draws random numbers"),
        (lambda x: ng.bernoulli(x * 0), "bernoulli draws random numbers"),
        (lambda x: F.dropout(x), "dropout with training=True"),
        (lambda x: x[x > 0], "indexing with a mask"),
        (lambda x: x.norm(p=3), "norm with p=3"),
        (lambda x: ng.add(x, x, out=ng.empty(3)), "add"),
        (lambda x: F.one_hot(x.long()), "one_hot with a number of classes"),
        (nn.RNNCell(3, 2), "within RNNCell, which has no ONNX entry"),
        (in_place_on_view, "changed in place"),
        (in_place_unseen, "__setitem__"),
        (in_place_on_constant, "add"),
        (lambda x: x.bfloat16() + 1, "bfloat16"),
    ],
)
def test_unsupported(model, message):
    with pytest.raises(ng.onnx.UnsupportedOperatorError, match=message):
        ng.onnx.export(model, ng.ones(3))


def test_whole_numbers_are_followed_too():
    hidden = ng.special.i1
    with pytest.raises(ng.onnx.UnsupportedOperatorError, match="could not be recorded"):
        ng.onnx.export(lambda i: F.embedding(hidden(i), ng.ones(9, 2)), ng.tensor([1, 2]))


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda x: x * x.shape[0], "goes into Mul as a number"),
        (lambda x: x + ng.arange(x.shape[0])[:, None], "goes into Cast as a number"),
        (lambda x: x.relu() if len(x) == 2 else x, "the operations that the model runs depend on the size"),
        (lambda x: x.var(0), "as a number"),
    ],
)
def test_dynamic_size_as_a_number(model, message):
    with pytest.raises(ng.onnx.OnnxExporterError, match=message):
        ng.onnx.export(model, ng.ones(2, 3), input_names=["x"], dynamic_axes={"x": {0: "batch"}})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"input_names": ["a", "b"]}, "number of input names"),
        ({"output_names": ["a", "b"]}, "number of output names"),
        ({"dynamic_axes": {"z": {0: "batch"}}}, "no input or output"),
        ({"dynamic_axes": {"input_0": {3: "batch"}}}, "dimension 3"),
        ({"dynamic_shapes": ({}, {})}, "2 entries for 1 inputs"),
        ({"dynamic_axes": {"input_0": [0]}, "dynamic_shapes": ({0: "b"},)}, "not both"),
        ({"opset_version": 9}, "opset_version"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        ng.onnx.export(nn.ReLU(), ng.ones(3), **settings)


def test_no_tensor_result():
    with pytest.raises(ng.onnx.OnnxExporterError, match="returned no tensor"):
        ng.onnx.export(lambda x: 1, ng.ones(3))


def test_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        ng.onnx.export(nn.ReLU(), ng.ones(3))


def test_what_is_imported_during_an_export_has_the_functions_themselves(tmp_path):
    import sys

    sys.modules.pop("numbagrad.special", None)

    class Late(nn.Module):
        def forward(self, x):
            from numbagrad import special  # noqa: F401

            return x.relu()

    ng.onnx.export(Late(), (ng.ones(3),), tmp_path / "late.onnx")
    assert ng.special.i0(ng.zeros(2)).tolist() == [1.0, 1.0] and not hasattr(ng.special.i0, "__wrapped__")
