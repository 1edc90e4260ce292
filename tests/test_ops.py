"""Every elementwise operation of op_table.py: values, layouts, broadcast, dtypes, gradients of both orders, empty and special values."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn
from numbagrad.autograd import gradcheck, gradgradcheck
from tests.op_table import ELEMENTWISE, Op

each = pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.id)
differentiable = pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.gradient], ids=lambda op: op.id)


def call(op: Op, arrays, dtype=None, requires_grad=False):
    tensors = [ng.tensor(a, dtype=dtype, requires_grad=requires_grad) for a in arrays]
    return op.of(ng)(*tensors, **op.settings)


def expected(op: Op, arrays):
    with np.errstate(all="ignore"):
        return op.reference(*arrays, **op.settings)


@each
def test_float64_value(op):
    arrays = op.samples((3, 5))
    np.testing.assert_allclose(call(op, arrays).numpy(), expected(op, arrays), rtol=1e-13, atol=1e-14)


@each
def test_float32_value(op):
    """Against the float64 reference at the same float32 arguments, in units of the last place."""
    arrays = [a.astype(np.float32) for a in op.samples((257,))]
    found = call(op, arrays).numpy()
    want = expected(op, [a.astype(np.float64) for a in arrays])
    if found.dtype == np.bool_:
        np.testing.assert_array_equal(found, want)
        return
    assert found.dtype == np.float32
    unit = np.spacing(np.maximum(np.abs(want), 1e-6).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(found - want) / unit) <= op.ulps


@each
def test_layouts_agree(op):
    """Transposed, stepped and column-major arguments give what contiguous ones give, to the bit."""
    arrays = op.samples((4, 6))
    plain = call(op, arrays).numpy()
    function = op.of(ng)
    doubled = [np.repeat(np.repeat(a, 2, 0), 3, 1) for a in arrays]
    stepped = [ng.from_numpy(a)[::2, ::3] for a in doubled]
    np.testing.assert_array_equal(function(*stepped, **op.settings).numpy(), plain)
    columns = [ng.from_numpy(np.asfortranarray(a)) for a in arrays]
    turned = function(*columns, **op.settings)
    np.testing.assert_array_equal(turned.numpy(), plain)
    assert turned.stride() == (1, 4)
    mixed = [columns[0], *[ng.tensor(a) for a in arrays[1:]]]
    np.testing.assert_array_equal(function(*mixed, **op.settings).numpy(), plain)


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if len(op.domains) > 1], ids=lambda op: op.id)
@pytest.mark.parametrize("shapes", [((3, 1), (1, 4)), ((4,), (2, 3, 4)), ((2, 1, 4), (3, 1)), ((), (3,)), ((3, 4), ())])
def test_broadcast(op, shapes):
    arrays = [a.reshape(-1)[: int(np.prod(s))].reshape(s) for a, s in zip(op.samples((2, 3, 4)), [*shapes, shapes[1]])]
    np.testing.assert_allclose(call(op, arrays).numpy(), expected(op, arrays), rtol=1e-13, atol=1e-14)


@each
@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,)])
def test_empty_and_scalar(op, shape):
    arrays = op.samples(shape)
    result = call(op, arrays)
    assert tuple(result.shape) == shape
    np.testing.assert_allclose(result.numpy(), expected(op, arrays), rtol=1e-13, atol=1e-14)


@differentiable
def test_gradient(op):
    inputs = [ng.tensor(a, requires_grad=True) for a in op.samples((2, 3))]
    assert gradcheck(lambda *xs: op.of(ng)(*xs, **op.settings), inputs)


@differentiable
def test_second_gradient(op):
    inputs = [ng.tensor(a, requires_grad=True) for a in op.samples((4,))]
    assert gradgradcheck(lambda *xs: op.of(ng)(*xs, **op.settings), inputs)


@differentiable
def test_gradient_of_broadcast_arguments(op):
    if len(op.domains) < 2:
        pytest.skip("one argument")
    arrays = op.samples((3, 2))
    inputs = [ng.tensor(a if i == 0 else a[:1], requires_grad=True) for i, a in enumerate(arrays)]
    assert gradcheck(lambda *xs: op.of(ng)(*xs, **op.settings), inputs)


# Where integers are computed as floats, every kernel reads them in the same way, and then goes on as for int64. The results' dtypes are looked at in all
# operations, the values of these in some.
CONVERTED = ("uint8", "int8", "int16", "int32")
VALUES_OF_ALL = ("exp", "sigmoid", "div", "atan2")


@each
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
def test_dtypes_as_torch(op, dtype):
    """Result dtype, refusal and value as PyTorch's."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    theirs = []
    for low, high in op.domains:
        values = rng.uniform(max(low, 1), max(high, 4), 6)
        theirs.append(torch.tensor(values).to(getattr(torch, dtype)))
    ours = [ng.tensor(t.to(torch.float64).numpy()).to(getattr(ng, dtype) if dtype != "bool" else ng.bool) for t in theirs]
    try:
        want = op.of(torch)(*theirs, **op.settings)
    except (RuntimeError, TypeError):
        want = None
    if want is None:
        pytest.skip("PyTorch has no kernel for this dtype")  # where ours is a formula, integers have their plain meaning
    if dtype in CONVERTED and want.dtype.is_floating_point and op.name not in VALUES_OF_ALL:
        ours = [x[:0] for x in ours]  # nothing is compiled for no elements
        want = want[:0]
    found = op.of(ng)(*ours, **op.settings)
    assert found.dtype.name == str(want.dtype).removeprefix("torch.")
    loose = {"float16": 2e-3, "bfloat16": 1.6e-2}.get(found.dtype.name, 2e-6)
    np.testing.assert_allclose(found.double().numpy(), want.to(torch.float64).numpy(), rtol=loose, atol=1e-6)


@each
def test_special_values_as_torch(op):
    """NaN, infinities, zeros of both signs and subnormals, as PyTorch treats them."""
    torch = pytest.importorskip("torch")
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e37, -1e37, 1.0, -1.0, 0.5], np.float32)
    special = special if op.infinite else special[~np.isinf(special)]
    special = special if op.subnormal else special[(special == 0) | ~(np.abs(special) < 1e-38)]
    if len(op.domains) == 1:
        arrays = [special]
    else:
        grids = np.meshgrid(*[special] * 2)
        arrays = [g.reshape(-1).copy() for g in grids] + [np.full(grids[0].size, 0.25, np.float32)] * (len(op.domains) - 2)
    found = call(op, arrays).numpy()
    want = op.of(torch)(*[torch.from_numpy(a) for a in arrays], **op.settings).numpy()
    if found.dtype == np.bool_:
        np.testing.assert_array_equal(found, want)
        return
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-37)


@differentiable
def test_in_place(op):
    method = f"{op.name}_"
    if not hasattr(ng.Tensor, method) or op.home:
        pytest.skip("no in-place form")
    arrays = op.samples((3, 4))
    tensors = [ng.tensor(a) for a in arrays]
    pointer = tensors[0].data_ptr()
    result = getattr(tensors[0], method)(*tensors[1:], **op.settings)
    assert result is tensors[0]
    assert result.data_ptr() == pointer
    assert result._version == 1
    np.testing.assert_allclose(result.numpy(), expected(op, arrays), rtol=1e-13, atol=1e-14)


@differentiable
def test_in_place_gradient(op):
    method = f"{op.name}_"
    if not hasattr(ng.Tensor, method) or op.home:
        pytest.skip("no in-place form")
    inputs = [ng.tensor(a, requires_grad=True) for a in op.samples((3,))]
    assert gradcheck(lambda x, *rest: getattr(x * 1, method)(*rest, **op.settings), inputs)


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op.floats_only], ids=lambda op: op.id)
def test_integers_are_refused(op):
    with pytest.raises(RuntimeError, match="not implemented for 'Long'"):
        op.of(ng)(*[ng.ones(2, dtype=ng.int64)] * len(op.domains), **op.settings)


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if len(op.domains) == 2], ids=lambda op: op.id)
def test_shapes_that_do_not_broadcast(op):
    with pytest.raises(RuntimeError, match=r"size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 1"):
        op.of(ng)(ng.ones(2, 3), ng.ones(2, 4))


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if not op.home], ids=lambda op: op.id)
def test_what_is_no_tensor_is_refused(op):
    with pytest.raises(TypeError):
        op.of(ng)(*["one"] * len(op.domains))
