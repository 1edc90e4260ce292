"""Linear algebra where PyTorch's own samples do not go: errors, empty and strided inputs, singular matrices, named results."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng

RNG = np.random.default_rng(0)
REGULAR = RNG.normal(size=(4, 4))
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


def tensor(x, **kwargs):
    return ng.from_numpy(np.array(x, dtype=np.float64)).requires_grad_(kwargs.get("grad", False))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ng.linalg.inv(tensor(SINGULAR)), "singular"),
        (lambda: ng.linalg.inv(tensor([np.eye(2), SINGULAR])), r"\(Batch element 1\): The diagonal element 2 is zero"),
        (lambda: ng.linalg.solve(tensor(SINGULAR), tensor([1.0, 1.0])), "solver failed because the input matrix is singular"),
        (lambda: ng.linalg.cholesky(tensor(np.diag([1.0, 2.0, -1.0]))), "leading minor of order 3 is not positive-definite"),
        (lambda: ng.linalg.lu_factor(tensor(SINGULAR)), r"U\[2,2\] is zero"),
        (lambda: ng.linalg.eig(tensor([[np.nan, 0], [0, 1]])), "infs or NaNs"),
        (lambda: ng.linalg.matrix_power(tensor(SINGULAR), -1), "singular"),
    ],
)
def test_no_result(call, message):
    with pytest.raises(ng.linalg.LinAlgError, match=message) as raised:
        call()
    assert isinstance(raised.value, RuntimeError)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: ng.linalg.inv([[1.0]]), TypeError, "must be Tensor, not list"),
        (lambda: ng.linalg.inv(ng.ones(3)), RuntimeError, "at least 2 dimensions"),
        (lambda: ng.linalg.inv(ng.ones(3, 4)), RuntimeError, "square matrices, but they are 3 by 4"),
        (lambda: ng.linalg.det(ng.ones(2, 2, dtype=ng.int64)), RuntimeError, "floating point or complex tensor as input. Got Long"),
        (lambda: ng.linalg.svd(ng.ones(2, 2, dtype=ng.float16)), RuntimeError, "Low precision dtypes not supported. Got Half"),
        (lambda: ng.linalg.solve(ng.eye(3), ng.ones(2, 1)), RuntimeError, "Incompatible shapes of A and B"),
        (lambda: ng.linalg.solve(ng.eye(3), ng.ones(3, dtype=ng.float64)), RuntimeError, "same dtype"),
        (lambda: ng.linalg.solve_triangular(ng.ones(2, 3, 3), ng.ones(4, 3, 1), upper=True), RuntimeError, "do not broadcast"),
        (lambda: ng.linalg.qr(ng.eye(2), "full"), RuntimeError, "unrecognized mode 'full'"),
        (lambda: ng.linalg.eigh(ng.eye(2), "X"), RuntimeError, "'L' or 'U'"),
        (lambda: ng.linalg.lu(ng.eye(2), pivot=False), RuntimeError, "without pivoting"),
        (lambda: ng.linalg.matrix_norm(ng.eye(2), 3), RuntimeError, "Order 3 not supported"),
        (lambda: ng.linalg.matrix_norm(ng.eye(2), dim=(0, 0)), RuntimeError, "dims must be different"),
        (lambda: ng.linalg.vector_norm(ng.ones(0), float("inf")), RuntimeError, "does not have an identity"),
        (lambda: ng.linalg.norm(ng.ones(2, dtype=ng.int32)), RuntimeError, "floating point or complex"),
        (lambda: ng.linalg.lstsq(ng.ones(3, 2), ng.ones(3), driver="fast"), RuntimeError, "driver"),
        (lambda: ng.linalg.multi_dot([ng.eye(2)]), RuntimeError, "at least 2 tensors"),
        (lambda: ng.linalg.svd(ng.eye(2), out=(ng.eye(2),)), TypeError, "out= takes 3 tensors"),
        (lambda: ng.ones(2).addmm_(ng.eye(2), ng.eye(2)), RuntimeError, "broadcast shape"),
    ],
)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_info_instead_of_an_error():
    found = ng.linalg.inv_ex(tensor([SINGULAR, np.eye(2)]))
    assert found.info.tolist() == [2, 0] and found.info.dtype is ng.int32
    assert found.inverse[1].tolist() == np.eye(2).tolist() and found.inverse[0].isnan().all()
    assert ng.linalg.cholesky_ex(tensor(np.diag([1.0, -1.0]))).info.item() == 2
    assert ng.linalg.lu_factor_ex(tensor(SINGULAR)).info.item() == 2
    assert ng.linalg.solve_ex(tensor(SINGULAR), tensor([[1.0], [1.0]])).info.item() == 2


@pytest.mark.parametrize("shape", [(0, 0), (3, 0, 0), (0, 2, 2)])
def test_empty(shape):
    x = ng.ones(shape, dtype=ng.float64, requires_grad=True)
    assert ng.linalg.inv(x).shape == shape and ng.linalg.det(x).tolist() == [1.0] * 3 if shape == (3, 0, 0) else True
    assert ng.linalg.svdvals(x).shape == shape[:-1] and ng.linalg.matrix_rank(x).shape == shape[:-2]
    (ng.linalg.inv(x).sum() + ng.linalg.det(x).sum() + ng.linalg.matrix_exp(x).sum()).backward()
    assert x.grad.shape == shape


def test_strided_inputs():
    x = RNG.normal(size=(8, 3, 8))[::2, 0, ::-2]
    t = ng.from_numpy(np.ascontiguousarray(x[:, ::-1])).flip(1)
    for view, array in ((t.T, x.T), (t[1:, 1:], x[1:, 1:]), (t[:1].expand(4, 4) + ng.eye(4, dtype=ng.float64), x[:1] + np.eye(4))):
        np.testing.assert_allclose(ng.linalg.inv(view).numpy(), np.linalg.inv(array), rtol=1e-9)
        LU, pivots = ng.linalg.lu_factor(view)
        P, L, U = ng.lu_unpack(LU, pivots)
        np.testing.assert_allclose((P @ L @ U).numpy(), array, rtol=1e-9, atol=1e-12)


def test_large_triangular_and_lu():
    """Sizes where the recursion has many levels, and is not a power of two."""
    a, b = RNG.normal(size=(2, 37, 37)), RNG.normal(size=(2, 37, 5))
    upper = np.triu(a) + 10 * np.eye(37)
    np.testing.assert_allclose(
        ng.linalg.solve_triangular(tensor(upper), tensor(b), upper=True).numpy(), np.linalg.solve(upper, b), rtol=1e-9
    )
    LU, pivots = ng.linalg.lu_factor(tensor(a))
    np.testing.assert_allclose(ng.linalg.lu_solve(LU, pivots, tensor(b)).numpy(), np.linalg.solve(a, b), rtol=1e-8)
    assert float(np.abs(np.tril(LU.numpy(), -1)).max()) <= 1.0  # partial pivoting


def test_zero_on_a_triangle_divides():
    found = ng.linalg.solve_triangular(tensor([[0.0, 1.0], [0.0, 2.0]]), tensor([[3.0], [2.0]]), upper=True)
    assert found.tolist() == [[float("inf")], [1.0]]


@pytest.mark.parametrize("rank", [2, 1])
def test_gradient_of_a_singular_determinant(rank):
    """The cofactors: zero for a matrix that lacks more than one dimension."""
    x = RNG.normal(size=(3, rank)) @ RNG.normal(size=(rank, 3))
    x[2] = x[0] + x[1] if rank == 2 else x[0]
    x[:2] = np.round(x[:2], 3)
    x[2] = x[0] + x[1] if rank == 2 else x[0]
    t = tensor(x, grad=True)
    ng.linalg.det(t).backward()
    minors = [[np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) * (-1) ** (i + j) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(t.grad.numpy(), minors, rtol=1e-6, atol=1e-9)


def test_gauge_of_complex_vectors():
    """A function of complex singular vectors that depends on their phases has no gradient."""
    x = ng.from_numpy(RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))).requires_grad_()
    with pytest.raises(RuntimeError, match="specified up to multiplication"):
        ng.linalg.svd(x).U[0, 0].imag.backward()
    with pytest.raises(RuntimeError, match="specified up to multiplication"):
        ng.linalg.eigh(x + x.mH).eigenvectors.imag.sum().backward()


@pytest.mark.parametrize("mode", ["complete", "r"])
def test_qr_without_a_gradient(mode):
    x = ng.randn(4, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="linalg_qr_backward"):
        ng.linalg.qr(x, mode).R.sum().backward()


def test_derivatives_of_complex_decompositions():
    x = ng.from_numpy(REGULAR[:3, :3] + 1j * REGULAR[1:, 1:]).requires_grad_()
    for f in (
        ng.linalg.inv,
        lambda a: ng.linalg.slogdet(a)[0].real,
        lambda a: ng.linalg.lu(a).U.abs(),
        lambda a: ng.linalg.qr(a).R.abs(),
        lambda a: ng.linalg.cholesky(a @ a.mH + 1).abs(),
        ng.linalg.matrix_exp,
        ng.linalg.pinv,
    ):
        assert ng.autograd.gradcheck(f, (x,)) and ng.autograd.gradgradcheck(f, (x,), fast_mode=True)


def test_exponential():
    from scipy.linalg import expm

    for scale in (1e-8, 1.0, 30.0):
        np.testing.assert_allclose(ng.matrix_exp(tensor(REGULAR * scale)).numpy(), expm(REGULAR * scale), rtol=1e-9)
    mixed = np.stack([REGULAR * 1e-3, REGULAR * 50])
    np.testing.assert_allclose(ng.matrix_exp(tensor(mixed)).numpy(), expm(mixed), rtol=1e-9)
    assert ng.matrix_exp(tensor([[np.inf, 0], [0, 1]])).isnan().all()


def test_out_and_names():
    x = tensor(REGULAR @ REGULAR.T)
    target = (ng.empty(4, dtype=ng.float64), ng.empty(4, 4, dtype=ng.float64))
    found = ng.linalg.eigh(x, out=target)
    assert (
        found.eigenvalues is target[0] and found.eigenvectors is target[1] and repr(found).startswith("numbagrad.return_types.linalg_eigh(")
    )
    into = ng.empty(4, 4, dtype=ng.float64)
    assert ng.linalg.inv(x, out=into) is into and ng.linalg.svd(x)._fields == ("U", "S", "Vh") and ng.svd(x)._fields == ("U", "S", "V")


def test_views_are_changed_through():
    x = ng.zeros(3, 3)
    ng.linalg.diagonal(x).fill_(2)
    assert x.tolist() == (2 * np.eye(3)).tolist()
    x[1:].addmm_(ng.ones(2, 1), ng.ones(1, 3), beta=0)
    assert x.tolist() == [[2, 0, 0], [1, 1, 1], [1, 1, 1]]


def test_without_scipy(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        ng.linalg.ldl_factor(ng.eye(2))
