"""Mixed precision on the CPU, in bfloat16, beside PyTorch: which functions compute in which type, contexts, and the cache of weights."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import numbagrad as ng

ROWS = np.random.default_rng(0).uniform(0.1, 0.9, (4, 4)).astype(np.float32)
IMAGE = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
KERNELS = np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype(np.float32)
CLASSES = np.array([0, 3, 1, 2])

# A function of the library and of x (float32) and h (bfloat16), each (4, 4).
CALLS = {
    # in the lower type
    "matmul": lambda m, x, h: m.matmul(x, x),
    "matmul of types": lambda m, x, h: x @ h,
    "matmul of vectors": lambda m, x, h: m.matmul(x[0], x[1]),
    "mm": lambda m, x, h: m.mm(x, h),
    "bmm": lambda m, x, h: m.bmm(x[None], h[None]),
    "linear": lambda m, x, h: m.nn.functional.linear(x, h, x[0]),
    "addmm": lambda m, x, h: m.addmm(x, h, x),
    "addmm, scaled": lambda m, x, h: m.addmm(x, h, x, beta=0.5, alpha=2),
    "baddbmm": lambda m, x, h: m.baddbmm(x[None], h[None], x[None]),
    "addbmm": lambda m, x, h: m.addbmm(x, h[None], x[None]),
    "chain_matmul": lambda m, x, h: m.chain_matmul(x, x, x),
    "einsum": lambda m, x, h: m.einsum("ij,jk->ik", x, h),
    "tensordot": lambda m, x, h: m.tensordot(x, x, 1),
    "inner": lambda m, x, h: m.inner(x, x),
    "prelu": lambda m, x, h: m.nn.functional.prelu(x - 0.5, x[0]),
    # in float32
    "cross_entropy": lambda m, x, h: m.nn.functional.cross_entropy(h, m.tensor(CLASSES)),
    "cross_entropy, weights": lambda m, x, h: m.nn.functional.cross_entropy(h, m.tensor(CLASSES), x[0].detach()),
    "cross_entropy, probabilities": lambda m, x, h: m.nn.functional.cross_entropy(h, x),
    "nll_loss": lambda m, x, h: m.nn.functional.nll_loss(h, m.tensor(CLASSES)),
    "mse_loss": lambda m, x, h: m.nn.functional.mse_loss(h, h),
    "l1_loss": lambda m, x, h: m.nn.functional.l1_loss(h, x),
    "smooth_l1_loss": lambda m, x, h: m.nn.functional.smooth_l1_loss(h, h * 2),
    "huber_loss": lambda m, x, h: m.nn.functional.huber_loss(h, h * 2),
    "kl_div": lambda m, x, h: m.nn.functional.kl_div(h, x, reduction="batchmean"),
    "binary_cross_entropy": lambda m, x, h: m.nn.functional.binary_cross_entropy(h, h),
    "binary_cross_entropy_with_logits": lambda m, x, h: m.nn.functional.binary_cross_entropy_with_logits(h, h),
    "prod": lambda m, x, h: h.prod(),
    # in the widest type
    "cat": lambda m, x, h: m.cat([x, h]),
    "cat of the lower": lambda m, x, h: m.cat([h, h]),
    "stack": lambda m, x, h: m.stack([h, x]),
    "index_copy": lambda m, x, h: x.index_copy(0, m.tensor([0, 1, 2, 3]), h),
    # as they are
    "add": lambda m, x, h: h + h,
    "add of types": lambda m, x, h: x + h,
    "exp": lambda m, x, h: h.exp(),
    "pow": lambda m, x, h: h**2,
    "sum": lambda m, x, h: h.sum(),
    "sum of float32": lambda m, x, h: x.sum(),
    "mean": lambda m, x, h: h.mean(0),
    "softmax": lambda m, x, h: m.nn.functional.softmax(h, 1),
    "log_softmax": lambda m, x, h: m.nn.functional.log_softmax(h, 1),
    "softplus": lambda m, x, h: m.nn.functional.softplus(h),
    "relu": lambda m, x, h: m.nn.functional.relu(h),
    "mv": lambda m, x, h: m.mv(x, x[0]),
    "dot": lambda m, x, h: m.dot(x[0], x[1]),
    "outer": lambda m, x, h: m.outer(x[0], x[1]),
    "cumsum": lambda m, x, h: h.cumsum(0),
    "norm": lambda m, x, h: h.norm(),
    "layer_norm": lambda m, x, h: m.nn.functional.layer_norm(h, (4,)),
    "layer_norm, weights of float32": lambda m, x, h: m.nn.functional.layer_norm(h, (4,), x[0], x[1]),
    "cosine_similarity": lambda m, x, h: m.nn.functional.cosine_similarity(h, h),
    "float64": lambda m, x, h: x.double() @ x.double(),
    "integers": lambda m, x, h: (x * 10).long().cumsum(0),
}


def both(call, *arrays):
    """``call`` with numbagrad and with torch, each with ROWS in float32 and bfloat16, both requiring gradients."""
    torch = pytest.importorskip("torch")
    found = []
    for m in (ng, torch):
        x = m.tensor(ROWS, requires_grad=True)
        h = m.tensor(ROWS).to(m.bfloat16).requires_grad_()
        with m.autocast("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = call(m, x, h)
        grads = [None, None]
        if y.requires_grad:
            (y * m.linspace(0.5, 1.5, y.numel()).reshape(y.shape)).sum().backward()
            grads = [x.grad, h.grad]
        found.append((y, grads))
    return found


def name(dtype):
    return str(dtype).rpartition(".")[2]


def close(ours, theirs, lower):
    """Equal but for the rounding of results and of what is between: bfloat16 has 8 bits."""
    ours, theirs = ours.detach().double().numpy(), theirs.detach().double().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2**-5 if lower else 1e-5, atol=2**-6 if lower else 1e-5)


@pytest.mark.parametrize("case", CALLS)
def test_types_values_and_gradients_are_pytorchs(case):
    (ours, our_grads), (theirs, their_grads) = both(CALLS[case])
    assert name(ours.dtype) == name(theirs.dtype)
    close(ours, theirs, name(ours.dtype) == "bfloat16" or case in ("binary_cross_entropy",))
    for mine, other in zip(our_grads, their_grads):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert name(mine.dtype) == name(other.dtype)
            if case != "layer_norm":  # PyTorch rounds to bfloat16 on the way, and is off by tenths
                close(mine, other, True)


def test_convolutions_compute_in_the_lower_type():
    torch = pytest.importorskip("torch")
    found = []
    for m in (ng, torch):
        w, b = m.tensor(KERNELS, requires_grad=True), m.zeros(4, requires_grad=True)
        with m.autocast("cpu"):
            y = m.nn.functional.conv2d(m.tensor(IMAGE), w, b, padding=1)
            row = m.nn.functional.conv1d(m.tensor(IMAGE[:, :, 0]), w[:, :, 0])
        (y.float().sum() + row.float().sum()).backward()
        assert name(y.dtype) == name(row.dtype) == "bfloat16" and name(w.grad.dtype) == name(b.grad.dtype) == "float32"
        found.append((y, row, w.grad, b.grad))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours.detach().float().numpy(), theirs.detach().float().numpy(), rtol=0.03, atol=0.1)


def model():
    ng.manual_seed(0)
    return ng.nn.Sequential(
        ng.nn.Conv2d(3, 4, 3), ng.nn.BatchNorm2d(4), ng.nn.ReLU(), ng.nn.MaxPool2d(2), ng.nn.Flatten(), ng.nn.Linear(16, 8), ng.nn.ReLU(),
        ng.nn.LayerNorm(8), ng.nn.Linear(8, 5),
    )  # fmt: skip


def test_a_model_trains_and_its_parameters_stay_float32():
    m, x, t = model(), ng.tensor(IMAGE), ng.tensor([1, 4])
    optimizer = ng.optim.SGD(m.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        with ng.autocast("cpu"):
            y = m(x)
            loss = ng.nn.functional.cross_entropy(y, t)
        assert y.dtype == ng.bfloat16 and loss.dtype == ng.float32
        loss.backward()
        assert all(p.grad.dtype == p.dtype == ng.float32 for p in m.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(b.dtype in (ng.float32, ng.int64) for b in m.buffers())


# ---- contexts -----------------------------------------------------------------------------------------------------------------------


def test_nothing_is_cast_outside_and_settings_come_back():
    x = ng.ones(2, 2)
    assert not ng.is_autocast_enabled("cpu") and (x @ x).dtype == ng.float32
    with pytest.raises(KeyError), ng.autocast("cpu", dtype=ng.float16, cache_enabled=False):
        assert ng.is_autocast_enabled("cpu") and not ng.is_autocast_enabled("cuda") and not ng.is_autocast_cache_enabled()
        assert (x @ x).dtype == ng.get_autocast_dtype("cpu") == ng.float16
        raise KeyError
    assert not ng.is_autocast_enabled("cpu") and ng.get_autocast_dtype("cpu") == ng.bfloat16 and ng.is_autocast_cache_enabled()
    assert (x @ x).dtype == ng.float32


def test_contexts_nest():
    x = ng.ones(2, 2)
    with ng.autocast("cpu") as outer:
        with ng.autocast("cpu", enabled=False):
            assert (x @ x).dtype == ng.float32
            with outer:  # again the same object
                assert (x @ x).dtype == ng.bfloat16
            assert (x @ x).dtype == ng.float32
        with ng.autocast("cpu", dtype=ng.float16):
            assert (x @ x).dtype == ng.float16
        assert (x @ x).dtype == ng.bfloat16
    assert (x @ x).dtype == ng.float32


def test_it_decorates_functions():
    @ng.amp.autocast("cpu")
    def product(x, *, y):
        """A product."""
        return x @ y

    x = ng.ones(2, 2)
    assert product(x, y=x).dtype == ng.bfloat16 and product.__doc__ == "A product."
    assert (x @ x).dtype == ng.float32
    with pytest.raises(TypeError, match="requires a callable, but got Tensor"):
        ng.autocast("cpu")(x)


def test_each_thread_has_settings_of_its_own():
    x, found = ng.ones(2, 2), []

    def other():
        found.append((ng.is_autocast_enabled("cpu"), (x @ x).dtype))

    with ng.autocast("cpu"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [(False, ng.float32)]


def test_the_flag_is_down_when_no_context_is_left():
    from numbagrad.autograd import casting

    assert not casting.active
    with ng.autocast("cpu"):
        with ng.autocast("cpu", enabled=False):
            assert not casting.active
        assert casting.active
    assert not casting.active


def test_results_into_tensors_are_not_cast():
    x, out = ng.full((2, 2), 1.001), ng.empty(2, 2)
    with ng.autocast("cpu"):
        ng.mm(x, x, out=out)
    np.testing.assert_array_equal(out.numpy(), ng.mm(x, x).numpy())


def test_gradients_are_computed_in_the_types_of_the_forward_pass():
    w = ng.ones(3, 3, requires_grad=True)
    with ng.autocast("cpu"):
        with ng.autocast("cpu", enabled=False):
            y = (w @ (w * 1.001)).sum()
        y.backward()
        assert ng.is_autocast_enabled("cpu")
    inside, w.grad = w.grad, None
    (w @ (w * 1.001)).sum().backward()
    np.testing.assert_array_equal(inside.numpy(), w.grad.numpy())


def test_second_derivatives_pass_through_casts():
    x = ng.tensor(ROWS, requires_grad=True)
    with ng.autocast("cpu"):
        y = ((x @ x) ** 2).sum()
    (g,) = ng.autograd.grad(y, x, create_graph=True)
    g.sum().backward()
    assert g.dtype == x.grad.dtype == ng.float32 and bool(x.grad.abs().sum() > 0)


@pytest.mark.parametrize(
    "device, dtype, message",
    [("cpu", ng.float32, "In CPU autocast, but the target dtype is not supported"), ("cuda", None, "CUDA is not available")],
)
def test_what_cannot_be_is_switched_off_with_a_warning(device, dtype, message):
    if device == "cuda" and ng.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.warns(UserWarning, match=message), ng.autocast(device, dtype):
        assert not ng.is_autocast_enabled(device)


def test_other_devices_are_errors():
    with pytest.raises(RuntimeError, match="User specified an unsupported autocast device_type 'tpu'"):
        ng.autocast("tpu")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got: `<class 'int'>`"):
        ng.autocast(0)


def test_settings_without_a_context():
    x = ng.ones(2, 2)
    ng.set_autocast_enabled("cpu", True)
    try:
        assert (x @ x).dtype == ng.bfloat16
    finally:
        ng.set_autocast_enabled("cpu", False)
    assert (x @ x).dtype == ng.float32
    assert ng.amp.is_autocast_available("cpu") and not ng.amp.is_autocast_available("tpu")
    assert ng.get_autocast_dtype("cuda") == ng.float16


# ---- the cache of weights -----------------------------------------------------------------------------------------------------------


def casts_of(w, y):
    """The node that cast ``w`` on the way to ``y``."""
    return next(node for node, _ in y.grad_fn.next_functions if node and node.next_functions[0][0].variable is w)


def test_a_weight_is_cast_once_within_the_outermost_context():
    w, x = ng.tensor(ROWS, requires_grad=True), ng.tensor(ROWS)
    with ng.autocast("cpu"):
        first = casts_of(w, x @ w)
        with ng.autocast("cpu"):
            second = casts_of(w, x @ w)
        assert first is second is casts_of(w, x @ w)
        ng.clear_autocast_cache()
        assert first is not casts_of(w, x @ w)
    with ng.autocast("cpu"):
        assert first is not casts_of(w, x @ w)
    with ng.autocast("cpu", cache_enabled=False):
        assert casts_of(w, x @ w) is not casts_of(w, x @ w)


def test_a_changed_weight_is_cast_anew():
    w, x = ng.ones(2, 2, requires_grad=True), ng.eye(2)
    with ng.autocast("cpu"):
        x @ w
        with ng.no_grad():
            w.mul_(3)
        np.testing.assert_array_equal((x @ w).float().detach().numpy(), 3 * np.ones((2, 2)))
        w.data = ng.full((2, 2), 5.0)
        np.testing.assert_array_equal((x @ w).float().detach().numpy(), 5 * np.ones((2, 2)))


def test_a_weight_that_was_cast_without_recording_has_a_gradient_all_the_same():
    w, x = ng.ones(2, 2, requires_grad=True), ng.ones(2, 2)
    with ng.autocast("cpu"):
        with ng.no_grad():
            x @ w
        y = (x @ w).sum()
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * np.ones((2, 2)))


def test_backward_may_run_twice_within_a_context():
    w, x = ng.ones(2, 2, requires_grad=True), ng.ones(2, 2)
    with ng.autocast("cpu"):
        for _ in range(2):
            (x @ w).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 4 * np.ones((2, 2)))


# ---- functions with a backward of their own -----------------------------------------------------------------------------------------


def test_custom_functions_cast_and_run_backward_as_forward():
    seen = []

    class Product(ng.autograd.Function):
        @staticmethod
        @ng.amp.custom_fwd(device_type="cpu", cast_inputs=ng.float32)
        def forward(ctx, a, b):
            seen.append((a.dtype, ng.is_autocast_enabled("cpu")))
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @ng.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            seen.append((g.dtype, ng.is_autocast_enabled("cpu")))
            return g @ b.mT, a.mT @ g

    a = ng.tensor(ROWS, requires_grad=True)
    with ng.autocast("cpu"):
        y = Product.apply(a.bfloat16(), a)
    y.sum().backward()
    assert seen == [(ng.float32, False)] * 1 + [(ng.float32, False)] and y.dtype == a.grad.dtype == ng.float32
    assert Product.apply(a, a).dtype == ng.float32

    class Lower(ng.autograd.Function):
        @staticmethod
        @ng.amp.custom_fwd(device_type="cpu")
        def forward(ctx, a):
            return a @ a

        @staticmethod
        @ng.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append((g @ g.float()).dtype)
            return g.float()

    with ng.autocast("cpu"):
        y = Lower.apply(a)
    y.sum().backward()
    assert y.dtype == seen[-1] == ng.bfloat16


# ---- older scripts -------------------------------------------------------------------------------------------------------------------


def test_the_names_of_older_scripts():
    from numbagrad.cuda.amp import GradScaler, autocast

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.warns(FutureWarning, match=r"Please use `numbagrad.amp.autocast\('cuda', args...\)` instead"):
            assert isinstance(autocast(), ng.autocast)
        with pytest.warns(FutureWarning, match=r"Please use `numbagrad.amp.GradScaler\('cuda', args...\)` instead"):
            assert isinstance(GradScaler(), ng.amp.GradScaler)
