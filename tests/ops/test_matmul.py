"""Matrix products and contractions on tensors: values and gradients against PyTorch, gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.autograd import gradcheck, gradgradcheck
from numbagrad.nn import functional as F
from numbagrad.ops.matmul import linear_relu


def draw(*shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng((seed, *shape))
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape)).astype(dtype) if np.dtype(dtype).kind == "c" else np.asarray(x).astype(dtype)


def leaves(*shapes, dtype=np.float64):
    return [ng.tensor(draw(*shape, dtype=dtype, seed=i), requires_grad=True) for i, shape in enumerate(shapes)]


def check_gradients(function, *shapes, dtype=np.float64):
    inputs = leaves(*shapes, dtype=dtype)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


# name: (function of the library, shapes of the tensors)
CASES = {
    "mm": (lambda lib, a, b: lib.mm(a, b), (3, 4), (4, 2)),
    "matmul-mm": (lambda lib, a, b: a @ b, (3, 4), (4, 2)),
    "matmul-transposed": (lambda lib, a, b: a.T @ b.T, (4, 3), (2, 4)),
    "matmul-mv": (lambda lib, a, b: a @ b, (3, 4), (4,)),
    "matmul-vm": (lambda lib, a, b: a @ b, (4,), (4, 2)),
    "matmul-vv": (lambda lib, a, b: a @ b, (4,), (4,)),
    "matmul-batch": (lambda lib, a, b: a @ b, (2, 3, 4), (2, 4, 2)),
    "matmul-batch-matrix": (lambda lib, a, b: a @ b, (2, 3, 4), (4, 2)),
    "matmul-matrix-batch": (lambda lib, a, b: a @ b, (3, 4), (2, 4, 2)),
    "matmul-batch-vector": (lambda lib, a, b: a @ b, (2, 2, 3, 4), (4,)),
    "matmul-vector-batch": (lambda lib, a, b: a @ b, (4,), (2, 4, 3)),
    "matmul-broadcast": (lambda lib, a, b: lib.matmul(a, b), (2, 1, 3, 4), (3, 4, 2)),
    "matmul-ones": (lambda lib, a, b: lib.matmul(a, b), (1, 3, 4), (2, 4, 2)),
    "matmul-empty": (lambda lib, a, b: lib.matmul(a, b), (3, 0), (0, 2)),
    "bmm": (lambda lib, a, b: lib.bmm(a, b), (2, 3, 4), (2, 4, 2)),
    "mv": (lambda lib, a, b: lib.mv(a, b), (3, 4), (4,)),
    "dot": (lambda lib, a, b: lib.dot(a, b), (4,), (4,)),
    "vdot": (lambda lib, a, b: lib.vdot(a, b), (4,), (4,)),
    "inner": (lambda lib, a, b: lib.inner(a, b), (2, 3, 4), (5, 4)),
    "inner-scalar": (lambda lib, a, b: lib.inner(a, b), (2, 3), ()),
    "outer": (lambda lib, a, b: lib.outer(a, b), (4,), (3,)),
    "ger": (lambda lib, a, b: lib.ger(a, b), (4,), (3,)),
    "addmm": (lambda lib, c, a, b: lib.addmm(c, a, b), (3, 2), (3, 4), (4, 2)),
    "addmm-row": (lambda lib, c, a, b: lib.addmm(c, a, b), (2,), (3, 4), (4, 2)),
    "addmm-column": (lambda lib, c, a, b: lib.addmm(c, a, b), (3, 1), (3, 4), (4, 2)),
    "addmm-scaled": (lambda lib, c, a, b: c.addmm(a, b, beta=0.5, alpha=-2), (3, 2), (3, 4), (4, 2)),
    "addmv": (lambda lib, c, a, b: lib.addmv(c, a, b, alpha=3), (3,), (3, 4), (4,)),
    "addr": (lambda lib, c, a, b: lib.addr(c, a, b, beta=2), (3, 2), (3,), (2,)),
    "baddbmm": (lambda lib, c, a, b: lib.baddbmm(c, a, b, beta=2, alpha=3), (3, 1), (2, 3, 4), (2, 4, 2)),
    "addbmm": (lambda lib, c, a, b: lib.addbmm(c, a, b, beta=2, alpha=3), (3, 2), (2, 3, 4), (2, 4, 2)),
    "tensordot": (lambda lib, a, b: lib.tensordot(a, b), (2, 3, 4), (3, 4, 2)),
    "tensordot-lists": (lambda lib, a, b: lib.tensordot(a, b, dims=([0, 2], [-1, 0])), (2, 3, 4), (4, 5, 2)),
    "tensordot-outer": (lambda lib, a, b: lib.tensordot(a, b, dims=0), (2, 3), (4,)),
    "tensordot-ones": (lambda lib, a, b: lib.tensordot(a, b, dims=([1], [0])), (2, 1), (3, 4)),
    "kron": (lambda lib, a, b: lib.kron(a, b), (2, 3), (4, 1, 2)),
    "chain_matmul": (lambda lib, a, b, c: lib.chain_matmul(a, b, c), (2, 3), (3, 4), (4, 2)),
    "einsum-mm": (lambda lib, a, b: lib.einsum("ij,jk->ik", a, b), (3, 4), (4, 2)),
    "einsum-implicit": (lambda lib, a, b: lib.einsum("ij, jk", a, b), (3, 4), (4, 2)),
    "einsum-bmm": (lambda lib, a, b: lib.einsum("bij,bjk->bki", a, b), (2, 3, 4), (2, 4, 2)),
    "einsum-outer": (lambda lib, a, b: lib.einsum("i,j->ji", a, b), (3,), (2,)),
    "einsum-trace": (lambda lib, a: lib.einsum("ii", a), (3, 3)),
    "einsum-diagonal": (lambda lib, a: lib.einsum("iij->ji", a), (3, 3, 2)),
    "einsum-triple-diagonal": (lambda lib, a: lib.einsum("iii->i", a), (3, 3, 3)),
    "einsum-sum": (lambda lib, a: lib.einsum("ijk->j", a), (2, 3, 4)),
    "einsum-permute": (lambda lib, a: lib.einsum("bAc", a), (2, 3, 4)),
    "einsum-hadamard": (lambda lib, a, b: lib.einsum("ij,ij->ij", a, b), (2, 3), (2, 3)),
    "einsum-ellipsis": (lambda lib, a, b: lib.einsum("...ij,...jk->...ik", a, b), (2, 1, 3, 4), (5, 4, 2)),
    "einsum-ellipsis-implicit": (lambda lib, a, b: lib.einsum("i...,i...", a, b), (2, 3), (2, 1)),
    "einsum-ellipsis-summed": (lambda lib, a: lib.einsum("...i->i", a), (2, 3, 4)),
    "einsum-ellipsis-middle": (lambda lib, a, b: lib.einsum("i...j,j->...i", a, b), (2, 3, 4), (4,)),
    "einsum-broadcast": (lambda lib, a, b: lib.einsum("ij,ij->i", a, b), (2, 3), (1, 3)),
    "einsum-broadcast-summed": (lambda lib, a, b: lib.einsum("ij,jk->ik", a, b), (2, 1), (3, 4)),
    "einsum-three": (lambda lib, a, b, c: lib.einsum("ij,jk,kl->il", a, b, c), (2, 3), (3, 4), (4, 2)),
    "einsum-bilinear": (lambda lib, a, b, c: lib.einsum("bn,anm,bm->ba", a, b, c), (2, 3), (5, 3, 4), (2, 4)),
    "einsum-one-sided-sum": (lambda lib, a, b: lib.einsum("ij,k->k", a, b), (2, 3), (4,)),
    "einsum-lists": (lambda lib, a, b: lib.einsum(a, [0, 1], b, [1, 2], [0, 2]), (3, 4), (4, 2)),
    "einsum-lists-ellipsis": (lambda lib, a, b: lib.einsum(a, [..., 0, 1], b, [..., 1]), (2, 3, 4), (2, 4)),
    "einsum-sequence": (lambda lib, a, b: lib.einsum("ij,jk->ik", [a, b]), (3, 4), (4, 2)),
    "einsum-scalar": (lambda lib, a, b: lib.einsum(",ij->ij", a, b), (), (2, 3)),
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_values_and_gradients_match_pytorch(name, dtype):
    torch = pytest.importorskip("torch")
    function, *shapes = CASES[name]
    ours = leaves(*shapes, dtype=dtype)
    theirs = [torch.tensor(x.detach().numpy(), requires_grad=True) for x in ours]
    y, z = function(ng, *ours), function(torch, *theirs)
    assert tuple(y.shape) == tuple(z.shape)
    assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-12)
    seed = draw(*y.shape, dtype=dtype, seed=9)
    y.backward(ng.tensor(seed))
    z.backward(torch.tensor(seed))
    for a, b in zip(ours, theirs):
        assert np.allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    function, *shapes = CASES[name]
    check_gradients(lambda *tensors: function(ng, *tensors), *shapes)


@pytest.mark.parametrize("x_shape, weight_shape, bias_shape", [
    ((3, 4), (2, 4), (2,)), ((3, 4), (2, 4), None), ((4,), (2, 4), (2,)), ((2, 3, 4), (2, 4), (2,)), ((2, 0, 4), (2, 4), (2,)),
    ((3, 4), (4,), None), ((3, 0), (2, 0), (2,)),
])  # fmt: skip
def test_linear(x_shape, weight_shape, bias_shape):
    torch = pytest.importorskip("torch")
    shapes = [s for s in (x_shape, weight_shape, bias_shape) if s is not None]
    ours = leaves(*shapes)
    theirs = [torch.tensor(x.detach().numpy(), requires_grad=True) for x in ours]
    y, z = F.linear(*ours), torch.nn.functional.linear(*theirs)
    assert np.allclose(y.detach().numpy(), z.detach().numpy())
    seed = draw(*y.shape, seed=9)
    y.backward(ng.tensor(seed))
    z.backward(torch.tensor(seed))
    for a, b in zip(ours, theirs):
        assert np.allclose(a.grad.numpy(), b.grad.numpy())
    check_gradients(F.linear, *shapes)


def test_linear_complex_gradients():
    check_gradients(F.linear, (3, 4), (2, 4), (2,), dtype=np.complex128)


def test_only_what_is_asked_for_is_differentiated():
    x, w = ng.randn(3, 4), ng.randn(2, 4, requires_grad=True)
    F.linear(x, w).sum().backward()
    assert x.grad is None
    assert np.allclose(w.grad.numpy(), np.tile(x.numpy().sum(0), (2, 1)), atol=1e-6)


@pytest.mark.parametrize("dtype", [ng.float16, ng.bfloat16, ng.float32, ng.int64, ng.uint8])
def test_dtypes(dtype):
    a, b = ng.ones(3, 4).to(dtype), ng.full((4, 2), 2).to(dtype)
    assert (a @ b).dtype is dtype
    assert (a @ b).tolist() == [[8, 8]] * 3
    assert ng.addmm(ng.ones(2).to(dtype), a, b).tolist() == [[9, 9]] * 3


SCALED = {
    "addmm": ((3, 4), (3, 2), (2, 4)),
    "addmv": ((3,), (3, 2), (2,)),
    "addr": ((4,), (3,), (4,)),
    "baddbmm": ((2, 3, 4), (2, 3, 2), (2, 2, 4)),
    "addbmm": ((3, 1), (2, 3, 2), (2, 2, 4)),
}


@pytest.mark.parametrize("alpha", [1, 2, 0])
@pytest.mark.parametrize("name", SCALED)
def test_beta_zero_gives_the_input_a_gradient_of_zeros(name, alpha):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (torch, ng):
        inputs = [lib.full(shape, float("nan") if i == 0 else 2.0, requires_grad=True) for i, shape in enumerate(SCALED[name])]
        result = getattr(lib, name)(*inputs, beta=0, alpha=alpha)
        (result * float("inf")).sum().backward()
        found.append([result.tolist(), *[repr(x.grad.tolist()) for x in inputs]])
    assert found[0] == found[1]


def test_beta_zero_ignores_the_input():
    bad = ng.full((3, 2), float("nan"))
    a, b = ng.ones(3, 4), ng.ones(4, 2)
    assert ng.addmm(bad, a, b, beta=0).tolist() == [[4, 4]] * 3
    assert ng.baddbmm(bad, a.unsqueeze(0), b.unsqueeze(0), beta=0).tolist() == [[[4, 4]] * 3]


def test_out():
    out = ng.empty(3, 2)
    assert ng.mm(ng.ones(3, 4), ng.ones(4, 2), out=out) is out
    assert out.tolist() == [[4, 4]] * 3


def test_names_of_the_nodes():
    x = ng.randn(2, 3, requires_grad=True)
    names = {type_: y.grad_fn.name() for type_, y in (("mm", x @ ng.ones(3, 4)), ("mv", x @ ng.ones(3)), ("dot", x[0] @ ng.ones(3)))}
    assert names == {"mm": "MmBackward0", "mv": "MvBackward0", "dot": "DotBackward0"}


def test_long_chain_is_multiplied_in_the_cheap_order():
    sizes = [30, 1, 40, 10, 25]
    matrices = [ng.tensor(draw(m, n)) for m, n in zip(sizes, sizes[1:])]
    expected = np.linalg.multi_dot([m.numpy() for m in matrices])
    assert np.allclose(ng.chain_matmul(*matrices).numpy(), expected)
    assert ng.chain_matmul(matrices[0]).tolist() == matrices[0].tolist()


one = ng.ones


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: one(2, 3) @ one(4, 5), RuntimeError, r"cannot be multiplied \(2x3 and 4x5\)"),
        (lambda: one(2, 3) @ 3, TypeError, "unsupported operand"),
        (lambda: 3 @ one(2, 3), TypeError, "unsupported operand"),
        (lambda: ng.matmul(one(2, 3), 3), TypeError, r"matmul\(\): argument 'other' \(position 2\) must be Tensor, not int"),
        (lambda: one(2, 3) @ one(3, 2).double(), RuntimeError, "same dtype"),
        (lambda: ng.mm(one(3), one(3, 2)), RuntimeError, "mm: two matrices expected, but got 1D and 2D"),
        (lambda: ng.bmm(one(3, 2), one(3, 2)), RuntimeError, "3D"),
        (lambda: ng.bmm(one(2, 3, 4), one(3, 4, 5)), RuntimeError, r"to be: \[2, 4\] but got: \[3, 4\]"),
        (lambda: ng.mv(one(2, 3), one(2, 3)), RuntimeError, "mv: a matrix and a vector"),
        (lambda: ng.mv(one(2, 3), one(2)), RuntimeError, "size mismatch"),
        (lambda: ng.dot(one(2, 3), one(2)), RuntimeError, "1D tensors expected"),
        (lambda: ng.dot(one(2), one(3)), RuntimeError, "inconsistent tensor size"),
        (lambda: ng.vdot(one(2), one(3)), RuntimeError, "inconsistent tensor size"),
        (lambda: ng.inner(one(2, 3), one(2, 4)), RuntimeError, r"\[2, 3\] and \[2, 4\]"),
        (lambda: ng.outer(one(2, 3), one(2)), RuntimeError, "1D"),
        (lambda: ng.addmm(one(3), one(2, 3), one(3, 4)), RuntimeError, r"Target sizes: \[2, 4\]"),
        (lambda: ng.addmm(one(3), one(2, 3), one(3, 4), alpha=2), RuntimeError, r"Target sizes: \[2, 4\]"),
        (lambda: ng.addmm(one(4).double(), one(2, 3), one(3, 4), alpha=2), RuntimeError, "same dtype"),
        (lambda: ng.addmv(one(5), one(2, 3), one(3)), RuntimeError, r"must match the existing size \(5\)"),
        (lambda: ng.baddbmm(one(3, 2, 2), one(1, 2, 3), one(2, 3, 2)), RuntimeError, "batch2"),
        (lambda: ng.baddbmm(one(3), one(1, 2, 3), one(1, 3, 2)), RuntimeError, "dimension 2"),
        (lambda: ng.kron(one(2), 3), TypeError, "argument 'other'"),
        (lambda: ng.chain_matmul(one(2, 3), one(4, 4)), RuntimeError, r"tensors 0 and 1 with shapes \[2, 3\] and \[4, 4\]"),
        (
            lambda: ng.tensordot(one(2, 3), one(4, 3), dims=([1], [0])),
            RuntimeError,
            "first has size 3 in dim 1 and second has size 4 in dim 0",
        ),
        (lambda: ng.tensordot(one(2, 3), one(4, 3), dims=3), RuntimeError, "dims=3"),
        (lambda: ng.tensordot(one(2, 3), one(4, 3), dims=-1), RuntimeError, "dims >= 0"),
        (lambda: ng.tensordot(one(2, 3), one(4, 3), dims=([2], [0])), IndexError, "Dimension out of range"),
        (lambda: ng.tensordot(one(2, 3), one(3, 4), dims=([0, 1], [0])), RuntimeError, "same length"),
        (lambda: ng.tensordot(one(2, 2), one(2, 2), dims=([0, 0], [0, 1])), RuntimeError, "multiple times"),
        (lambda: ng.einsum("ij,jk->il", one(2, 3), one(3, 4)), RuntimeError, "output subscript l does not appear"),
        (lambda: ng.einsum("ij,jk", one(2, 3), one(4, 4)), RuntimeError, "subscript j has size 4 for operand 1"),
        (lambda: ng.einsum("ij->ii", one(2, 3)), RuntimeError, "output subscript i appears more than once"),
        (lambda: ng.einsum("ij", one(2, 3), one(4, 4)), RuntimeError, "more operands were provided"),
        (lambda: ng.einsum("ij,jk", one(2, 3)), RuntimeError, "fewer operands were provided"),
        (
            lambda: ng.einsum("ij", one(2, 3, 4)),
            RuntimeError,
            r"subscripts in the equation \(2\) does not match the number of dimensions \(3\)",
        ),
        (lambda: ng.einsum("ii", one(2, 3)), RuntimeError, "subscript i is repeated for operand 0"),
        (lambda: ng.einsum("i1", one(2, 3)), RuntimeError, "invalid subscript given at index 1"),
        (lambda: ng.einsum("i.j", one(2, 3)), RuntimeError, "not part of any ellipsis"),
        (lambda: ng.einsum("...i...", one(2, 3)), RuntimeError, "already found"),
        (lambda: ng.einsum("ij"), ValueError, "at least one operand"),
        (lambda: ng.einsum("i,i", one(3), 3), TypeError, "operand 1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("lead", [(), (0,), (3,), (2, 0), (2, 7), (2, 0, 3)], ids=str)
def test_linear_with_sizes_of_zero(lead, bias):
    torch = pytest.importorskip("torch")
    for k in (0, 1, 5):
        for n in (0, 1, 4):
            found = []
            for lib, linear in ((torch, torch.nn.functional.linear), (ng, F.linear)):
                shapes = ((*lead, k), (n, k), (n,))[: 2 + bias]
                inputs = [lib.ones(*shape, requires_grad=True) for shape in shapes]
                y = linear(*inputs)
                y.sum().backward()
                found.append([tuple(y.shape), y.tolist(), *[(tuple(x.grad.shape), x.grad.tolist()) for x in inputs]])
            assert found[0] == found[1]


# ---- linear and relu in one ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("lead", [(), (0,), (3,), (64,), (2, 7)], ids=str)
@pytest.mark.parametrize("dtype", [ng.float32, ng.float64, ng.bfloat16], ids=str)
def test_linear_relu_is_relu_of_linear(dtype, lead, bias):
    """Values and gradients of first and second order, bit for bit."""
    shapes = ((*lead, 9), (20, 9), (20,))[: 2 + bias]
    found = []
    for function in (linear_relu, lambda *inputs: F.relu(F.linear(*inputs))):
        inputs = [ng.tensor(draw(*shape), dtype=dtype, requires_grad=True) for shape in shapes]
        y = function(*inputs)
        g = ng.tensor(draw(*y.shape, seed=7), dtype=dtype, requires_grad=True)
        once = ng.autograd.grad(y, inputs, g, retain_graph=True)
        recorded = ng.autograd.grad(y, inputs, g, create_graph=True)
        twice = ng.autograd.grad(sum((r * r).sum() for r in recorded), [*inputs, g], allow_unused=True)
        assert y.grad_fn.name() == "ReluBackward0"
        found.append([None if t is None else t.double().tolist() for t in (y, *once, *recorded, *twice)])
    assert found[0] == found[1]


def test_linear_relu_gradients():
    check_gradients(linear_relu, (3, 4), (5, 4), (5,))
    check_gradients(linear_relu, (2, 3, 4), (5, 4))


def test_linear_relu_at_zero_and_nan():
    """The gradient at 0 is 0, and flows where the result is NaN, as in relu."""
    torch = pytest.importorskip("torch")
    values = [[0.0], [-1.0], [2.0], [float("nan")], [float("inf")], [-float("inf")]]
    found = []
    for lib, function in ((torch, lambda *a: torch.relu(torch.nn.functional.linear(*a))), (ng, linear_relu)):
        x, weight = lib.tensor(values, requires_grad=True), lib.ones(1, 1)
        y = function(x, weight)
        y.sum().backward()
        found.append((repr(y.tolist()), repr(x.grad.tolist())))
    assert found[0] == found[1]


def test_linear_relu_needs_its_result_unchanged():
    x, weight = leaves((3, 4), (5, 4))
    y = linear_relu(x, weight)
    with ng.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="output of ReluBackward0, is at version 1"):
        y.sum().backward()


def test_linear_relu_refuses_what_linear_refuses():
    for inputs in (([1.0], ng.ones(2, 1)), (ng.ones(3), ng.ones(2, 4)), (ng.ones(3), ng.ones(2, 3), ng.ones(5)), (ng.ones(3), None)):
        with pytest.raises((TypeError, RuntimeError)) as expected:
            F.linear(*inputs)
        with pytest.raises(type(expected.value)) as error:
            linear_relu(*inputs)
        assert str(error.value) == str(expected.value)
    assert linear_relu(ng.ones(2, 3), -ng.ones(3)).tolist() == [0, 0]
