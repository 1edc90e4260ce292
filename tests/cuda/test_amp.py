"""Mixed precision on a GPU: PyTorch's lists for "cuda", casts that are recorded, and gradients scaled without waiting."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn.functional as F
from numbagrad import nn
from numbagrad.autograd import casting
from tests.cuda.tensors import ON_A_GPU

pytestmark = ON_A_GPU

ROWS = np.random.default_rng(0).uniform(0.1, 0.9, (4, 4)).astype(np.float32)
T = np.array([0, 3, 1, 2])

# Functions of x (float32) and h (float16), each (4, 4), by the type that they compute in.
LOWER = {
    "matmul": lambda x, h: x @ x,
    "mm": lambda x, h: ng.mm(x, h),
    "bmm": lambda x, h: ng.bmm(x[None], h[None]),
    "mv": lambda x, h: ng.mv(x, h[0]),
    "linear": lambda x, h: F.linear(x, h, x[0]),
    "addmm": lambda x, h: ng.addmm(x, x, h, beta=2),
    "addmv": lambda x, h: ng.addmv(x[0], x, h[0]),
    "addr": lambda x, h: ng.addr(x, x[0], h[0]),
    "einsum": lambda x, h: ng.einsum("ij,kj->ik", x, h),
    "conv2d": lambda x, h: F.conv2d(x[None, None], x[None, None, :2, :2]),
    "prelu": lambda x, h: F.prelu(x, x[0]),
    "conv3d": lambda x, h: F.conv3d(x[None, None, None], x[None, None, None, :2, :2]),
    "conv_transpose2d": lambda x, h: F.conv_transpose2d(x[None, None], x[None, None, :2, :2]),
    "conv_transpose3d": lambda x, h: F.conv_transpose3d(x[None, None, None], x[None, None, None, :2, :2]),
    "scaled_dot_product_attention": lambda x, h: F.scaled_dot_product_attention(x[None], h[None], x[None]),
}
FLOAT32 = {
    "exp": lambda x, h: h.exp(),
    "log1p": lambda x, h: ng.log1p(h),
    "pow": lambda x, h: h**3,
    "square": lambda x, h: h**2,
    "root": lambda x, h: h**0.5,
    "pow of itself": lambda x, h: h**1,
    "reversed pow": lambda x, h: 2**h,
    "reciprocal": lambda x, h: h.reciprocal(),
    "softplus": lambda x, h: F.softplus(h),
    "sum": lambda x, h: h.sum(),
    "sum over a dim": lambda x, h: h.sum(1),
    "sum over an axis": lambda x, h: h.sum(axis=1),
    "prod": lambda x, h: h.prod(),
    "cumsum": lambda x, h: h.cumsum(0),
    "norm": lambda x, h: h.norm(),
    "logsumexp": lambda x, h: h.logsumexp(1),
    "softmax": lambda x, h: h.softmax(1),
    "log_softmax": lambda x, h: F.log_softmax(h, 1),
    "layer_norm": lambda x, h: F.layer_norm(h, (4,), x[0]),
    "cross_entropy": lambda x, h: F.cross_entropy(h, ng.tensor(T, device="cuda")),
    "mse_loss": lambda x, h: F.mse_loss(h, x),
    "kl_div": lambda x, h: F.kl_div(h, h, reduction="sum"),
    "cosine_similarity": lambda x, h: F.cosine_similarity(h, h),
    "binary_cross_entropy_with_logits": lambda x, h: F.binary_cross_entropy_with_logits(h, h),
    "poisson_nll_loss": lambda x, h: F.poisson_nll_loss(h, x.detach()),
    "soft_margin_loss": lambda x, h: F.soft_margin_loss(h, x.detach().sign()),
    "hinge_embedding_loss": lambda x, h: F.hinge_embedding_loss(h, x.detach().sign()),
    "margin_ranking_loss": lambda x, h: F.margin_ranking_loss(h[0], h[1], x[0].detach().sign()),
    "cosine_embedding_loss": lambda x, h: F.cosine_embedding_loss(h, x, x[:, 0].detach().sign()),
    "triplet_margin_loss": lambda x, h: F.triplet_margin_loss(h, x, x.detach() + 1),
    "multi_margin_loss": lambda x, h: F.multi_margin_loss(h, (x[:, 0] * 0).detach().long()),
    "multilabel_margin_loss": lambda x, h: F.multilabel_margin_loss(h, (x * 0).detach().long()),
    "ctc_loss": lambda x, h: F.ctc_loss(h[:, None], (x[:1, :2] * 0 + 1).detach().long(), [len(h)], [1]),
}
WIDEST = {
    "addcmul": (lambda x, h: ng.addcmul(x, h, h), ng.float32),
    "addcdiv of the lower": (lambda x, h: ng.addcdiv(h, h, h), ng.float16),
    "atan2": (lambda x, h: ng.atan2(h, x), ng.float32),
    "dot": (lambda x, h: ng.dot(x[0], h[0]), ng.float32),
    "tensordot": (lambda x, h: ng.tensordot(x, h, 1), ng.float32),
    "scatter_add": (lambda x, h: x.scatter_add(0, ng.tensor([T], device="cuda"), h), ng.float32),
    "index_put": (lambda x, h: x.index_put((ng.tensor(T, device="cuda"),), h), ng.float32),
}
UNTOUCHED = {
    "add": (lambda x, h: h + h, ng.float16),
    "add of types": (lambda x, h: h + x, ng.float32),
    "relu": (lambda x, h: h.relu(), ng.float16),
    "mean": (lambda x, h: h.mean(), ng.float16),
    "sum in a type": (lambda x, h: h.sum(dtype=ng.float16), ng.float16),
    "in place": (lambda x, h: h.clone().exp_(), ng.float16),
    "float64": (lambda x, h: x.double().exp(), ng.float64),
    "integers": (lambda x, h: (x * 10).long().sum(), ng.int64),
}
CASES = (
    {f"lower: {name}": (call, ng.float16) for name, call in LOWER.items()}
    | {f"float32: {name}": (call, ng.float32) for name, call in FLOAT32.items()}
    | {f"widest: {name}": case for name, case in WIDEST.items()}
    | UNTOUCHED
)


@pytest.mark.parametrize("case", CASES)
def test_types_and_values(case):
    call, expected = CASES[case]
    x, h = (ng.tensor(ROWS, device="cuda").to(dtype).requires_grad_() for dtype in (ng.float32, ng.float16))
    with ng.autocast("cuda"):
        y = call(x, h)
    assert y.dtype == expected and y.is_cuda
    exact = call(*(ng.tensor(ROWS).double().requires_grad_() for _ in "xh")) if case not in CPU_ONLY else None
    if exact is not None:
        # Inputs, results and what is between are rounded to 11 bits.
        np.testing.assert_allclose(y.detach().cpu().double().numpy(), exact.detach().double().numpy(), rtol=2**-7, atol=2**-9)
    if y.requires_grad:
        y.float().sum().backward()
        assert all(t.grad is None or t.grad.dtype == t.dtype for t in (x, h)) and (x.grad is not None or h.grad is not None)


# What makes tensors of its own on the GPU, or means another type on the CPU.
CPU_ONLY = {"float32: cross_entropy", "widest: scatter_add", "widest: index_put", "sum in a type", "integers"}


def test_every_listed_function_is_tried():
    tried = {name.rpartition(": ")[2].split()[0] for name in CASES}
    alike = {
        "reciprocal": "acos asin cosh erfinv expm1 log log10 log2 rsqrt sinh tan",
        "bmm": "addbmm baddbmm",
        "matmul": "chain_matmul",
        "mse_loss": "huber_loss l1_loss smooth_l1_loss nll_loss",
        "cumsum": "cumprod",
        "dot": "vdot inner",
        "binary_cross_entropy_with_logits": "binary_cross_entropy",
    }
    tried |= {name for names in alike.values() for name in names.split()}
    assert tried >= set(casting.LISTS["cuda"])


def test_what_is_unsafe_is_refused():
    h = ng.tensor(ROWS, device="cuda")
    with ng.autocast("cuda"), pytest.raises(RuntimeError, match=r"binary_cross_entropy and numbagrad.nn.BCELoss are unsafe to autocast"):
        F.binary_cross_entropy(h, h)


def test_tensors_elsewhere_are_not_cast():
    x = ng.tensor(ROWS)
    with ng.autocast("cuda"):
        assert (x @ x).dtype == ng.float32 and x.half().exp().dtype == ng.float16
    y = ng.tensor(ROWS, device="cuda").half()
    with ng.autocast("cpu"):
        assert y.exp().dtype == ng.float16


def test_a_model_is_trained():
    ng.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)).to("cuda")
    x, t = ng.tensor(ROWS, device="cuda"), ng.tensor(T, device="cuda")
    optimizer, scaler = ng.optim.SGD(model.parameters(), lr=1.0), ng.amp.GradScaler("cuda", init_scale=1024.0)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        with ng.autocast("cuda"):
            y = model(x)
            loss = F.cross_entropy(y, t)
        assert y.dtype == ng.float16 and loss.dtype == ng.float32
        scaler.scale(loss).backward()
        assert all(p.grad.dtype == ng.float32 for p in model.parameters())
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and scaler.get_scale() == 1024.0


def test_a_step_that_is_not_finite_is_skipped():
    w = ng.ones(3, device="cuda", requires_grad=True)
    optimizer, scaler = ng.optim.SGD([w], lr=0.5), ng.amp.GradScaler("cuda", init_scale=8.0, growth_interval=1)
    seen = []
    for factor in (float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append((w.detach().cpu().tolist(), scaler.get_scale(), scaler._scale.is_cuda))
    assert seen == [([1.0] * 3, 4.0, True), ([0.5] * 3, 8.0, True)]
