"""Parametrizations, beside PyTorch's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.nn.utils import parametrizations

torch = pytest.importorskip("torch")


def linear(library, rows=3, columns=3):
    made = library.nn.Linear(columns, rows)
    values = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    with library.no_grad():
        made.weight.copy_(library.from_numpy(values))
        made.bias.fill_(1)
    return made


def modules(library):
    class Symmetric(library.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, a):
            return a.triu()

    class Split(library.nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, w):
            return w * 0.25, w * 0.75

    class Double(library.nn.Module):
        def forward(self, x):
            return x * 2

    class Wider(library.nn.Module):
        def forward(self, x):
            return library.cat([x, x])

    return Symmetric, Split, Double, Wider


def test_life_of_a_parametrization():
    found = []
    for library in (ng, torch):
        tools = library.nn.utils.parametrize
        Symmetric, _, Double, _ = modules(library)
        m = linear(library)
        weight, kind = m.weight, type(m)
        assert not tools.is_parametrized(m)
        assert tools.register_parametrization(m, "weight", Symmetric()) is m
        assert tools.is_parametrized(m) and tools.is_parametrized(m, "weight") and not tools.is_parametrized(m, "bias")
        assert m.parametrizations.weight.original is weight and isinstance(m, kind) and type(m).__name__ == "ParametrizedLinear"
        assert tools.type_before_parametrizations(m) is kind and set(m.state_dict()) == {"bias", "parametrizations.weight.original"}
        tools.register_parametrization(m, "weight", Double())
        m(library.ones(1, 3)).sum().backward()
        twin = copy.deepcopy(m)
        assert twin.parametrizations.weight.original is not weight and (twin.weight == m.weight).all()
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            pickle.dumps(m)
        with tools.cached():
            assert m.weight is m.weight
        assert m.weight is not m.weight
        found.append([weight.grad.numpy(), m.weight.detach().numpy()])
        tools.remove_parametrizations(m, "weight")
        assert m.weight is weight and type(m) is kind and not tools.is_parametrized(m) and "weight" in m._parameters
        found[-1].append(weight.detach().numpy())
        assert tools.is_parametrized(twin)
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_assigning_and_several_originals():
    for library in (ng, torch):
        tools = library.nn.utils.parametrize
        Symmetric, Split, _, _ = modules(library)
        m = tools.register_parametrization(linear(library), "weight", Symmetric())
        m.weight = library.ones(3, 3)
        assert m.weight.tolist() == [[1, 1, 1]] * 3 and m.parametrizations.weight.original.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
        tools.remove_parametrizations(m, "weight", leave_parametrized=False)
        assert m.weight.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
        m = tools.register_parametrization(linear(library), "weight", Split())
        assert [name for name, _ in m.named_parameters()] == [
            "bias",
            "parametrizations.weight.original0",
            "parametrizations.weight.original1",
        ]
        m.weight = library.full((3, 3), 4.0)
        assert m.parametrizations.weight.original1.tolist() == [[3, 3, 3]] * 3
        with pytest.raises(ValueError, match="sequence of tensors"):
            tools.remove_parametrizations(m, "weight", leave_parametrized=False)
        tools.remove_parametrizations(m, "weight")
        assert m.weight.tolist() == [[4, 4, 4]] * 3 and m.weight.is_leaf and m.weight.requires_grad


def test_what_is_refused():
    for library in (ng, torch):
        tools = library.nn.utils.parametrize
        Symmetric, _, Double, Wider = modules(library)
        with pytest.raises(ValueError):
            tools.register_parametrization(linear(library), "nothing", Symmetric())
        with pytest.raises(ValueError, match="may not change the shape"):
            tools.register_parametrization(linear(library), "weight", Wider())
        assert tools.register_parametrization(linear(library), "weight", Wider(), unsafe=True).weight.shape == (6, 3)
        m = tools.register_parametrization(linear(library), "weight", Double())
        with pytest.raises(ValueError, match="may not change the shape"):
            tools.register_parametrization(m, "weight", Wider())
        with pytest.raises(RuntimeError, match="does not implement right_inverse"):
            m.weight = library.ones(3, 3)
        with pytest.raises(ValueError):
            tools.remove_parametrizations(m, "bias")
        with pytest.raises(ValueError):
            tools.ParametrizationList([], m.bias)


@pytest.mark.parametrize("dim", [0, 1, None, -1])
def test_weight_norm(dim):
    found = []
    for library in (ng, torch):
        m = library.nn.utils.parametrizations.weight_norm(linear(library, 2, 4), dim=dim)
        before = m.weight
        with library.no_grad():
            m.parametrizations.weight.original0.mul_(3)
        (m(library.ones(1, 4)) ** 2).sum().backward()
        found.append([before, m.weight, *[getattr(m.parametrizations.weight, f"original{i}").grad for i in (0, 1)]])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_spectral_norm():
    for make in (lambda: linear(ng, 4, 6), lambda: ng.nn.Conv2d(3, 5, 2), lambda: ng.nn.ConvTranspose2d(3, 5, 2)):
        m = make()
        weight = m.weight
        parametrizations.spectral_norm(m, n_power_iterations=20)
        assert [name for name, _ in m.named_buffers()] == ["parametrizations.weight.0._u", "parametrizations.weight.0._v"]
        rows = m.weight.movedim(1, 0) if isinstance(m, ng.nn.ConvTranspose2d) else m.weight
        for _ in range(3):
            m.weight  # noqa: B018  # each takes steps
        assert abs(float(ng.linalg.matrix_norm(rows.flatten(1), 2)) - 1) < 1e-3
        m.eval()
        assert ng.equal(m.weight, m.weight)
        (m.weight**2).sum().backward()
        assert weight.grad is not None
    m = linear(ng)
    parametrizations.spectral_norm(m, "bias")
    assert abs(float(m.bias.norm()) - 1) < 1e-5


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 4, 3)])
@pytest.mark.parametrize("how", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivialization", [True, False])
def test_orthogonal(shape, how, trivialization):
    m = ng.nn.Module()
    m.weight = ng.nn.Parameter(ng.randn(*shape, dtype=ng.float64))
    parametrizations.orthogonal(m, orthogonal_map=how, use_trivialization=trivialization)
    with ng.no_grad():
        m.parametrizations.weight.original.add_(ng.randn(*shape, dtype=ng.float64).tril(-1) * 0.1)
        if not trivialization:
            m.parametrizations.weight.original.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    q = m.weight if shape[-2] >= shape[-1] else m.weight.mT
    np.testing.assert_allclose(
        (q.mT @ q).detach().numpy(), np.broadcast_to(np.eye(min(shape[-2:])), (*shape[:-2], *[min(shape[-2:])] * 2)), atol=1e-10
    )
    (m.weight * ng.arange(m.weight.numel()).reshape(shape)).sum().backward()
    assert np.isfinite(m.parametrizations.weight.original.grad.numpy()).all()


def test_assigning_an_orthogonal_matrix():
    m = parametrizations.orthogonal(linear(ng))
    m.weight = ng.eye(3)[[1, 0, 2]]
    np.testing.assert_allclose(m.weight.detach().numpy(), np.eye(3)[[1, 0, 2]], atol=1e-6)
    for library in (ng, torch):
        with pytest.raises(ValueError):
            library.nn.utils.parametrizations.orthogonal(linear(library), "bias")
        with pytest.raises(ValueError):
            library.nn.utils.parametrizations.orthogonal(linear(library), orthogonal_map="x")


def test_transfer():
    for library in (ng, torch):
        tools = library.nn.utils.parametrize
        Symmetric = modules(library)[0]
        a, b = tools.register_parametrization(linear(library), "weight", Symmetric()), library.nn.Linear(3, 3)
        tools.transfer_parametrizations_and_params(a, b)
        assert (a.weight == b.weight).all() and a.parametrizations.weight.original is b.parametrizations.weight.original
