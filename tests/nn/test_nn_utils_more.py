"""Normalised weights by hooks, fused layers, modules without initialisation, and hooks on all modules, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng

torch = pytest.importorskip("torch")


def close(ours, theirs, tolerance=1e-5):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)


def filled(module, library):
    """``module`` with parameters and statistics that are the same in both libraries."""
    rng = np.random.default_rng(0)
    with library.no_grad():
        for t in [*module.parameters(), *[b for b in module.buffers() if b.is_floating_point()]]:
            t.copy_(library.from_numpy(rng.uniform(0.5, 1.5, size=tuple(t.shape)).astype(np.float32)))
    return module


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim):
    found = []
    for library in (ng, torch):
        utils = library.nn.utils
        m = utils.weight_norm(filled(library.nn.Linear(4, 3), library), dim=dim)
        assert [name for name, _ in m.named_parameters()] == ["bias", "weight_g", "weight_v"]
        with library.no_grad():
            m.weight_g.mul_(2)
        (m(library.ones(2, 4)) ** 2).sum().backward()
        found.append([m.weight, m.weight_g.grad, m.weight_v.grad])
        with pytest.raises(RuntimeError, match="two weight_norm hooks"):
            utils.weight_norm(m)
        utils.remove_weight_norm(m)
        found[-1].append(m.weight)
        assert sorted(m.state_dict()) == ["bias", "weight"]
        with pytest.raises(ValueError, match="not found"):
            utils.remove_weight_norm(m)
    close(*found, 1e-3)


def test_spectral_norm():
    found = []
    for library in (ng, torch):
        utils = library.nn.utils
        m = utils.spectral_norm(filled(library.nn.Linear(4, 3), library), n_power_iterations=30)
        assert sorted(m.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
        (m(library.ones(2, 4)) ** 2).sum().backward()
        m.eval()
        found.append([m(library.ones(2, 4)), m.weight, m.weight_orig.grad])
        with pytest.raises(RuntimeError, match="two spectral_norm hooks"):
            utils.spectral_norm(m)
        utils.remove_spectral_norm(m)
        found[-1].append(m.weight)
        with pytest.raises(ValueError, match="not found"):
            utils.remove_spectral_norm(m)
        with pytest.raises(ValueError):
            utils.spectral_norm(m, n_power_iterations=0)
    close(*found, 1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_fusion(bias, affine):
    found = []
    for library in (ng, torch):
        nn, utils = library.nn, library.nn.utils
        x = library.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
        norm = filled(nn.BatchNorm2d(5, affine=affine), library).eval()
        for layer, transpose in ((nn.Conv2d(3, 5, 2, bias=bias), False), (nn.ConvTranspose2d(3, 5, 2, bias=bias), True)):
            layer = filled(layer, library).eval()
            fused = utils.fuse_conv_bn_eval(layer, norm, transpose)
            close([fused(x)], [norm(layer(x))])
            found.append(fused.weight)
            with pytest.raises(AssertionError):
                utils.fuse_conv_bn_eval(layer.train(), norm)
        layer, norm = filled(nn.Linear(3, 5, bias=bias), library).eval(), filled(nn.BatchNorm1d(5, affine=affine), library).eval()
        if library is torch and not affine:  # which PyTorch does not take
            continue
        close([utils.fuse_linear_bn_eval(layer, norm)(library.ones(2, 3))], [norm(layer(library.ones(2, 3)))])
        with pytest.raises(AssertionError):
            utils.fuse_linear_bn_eval(layer, nn.BatchNorm1d(4).eval())
    close(found[:2], found[2:])


def test_skip_init():
    before = ng.get_rng_state()
    m = ng.nn.utils.skip_init(ng.nn.Linear, 5, out_features=2)
    assert type(m) is ng.nn.Linear and m.weight.shape == (2, 5) and m.weight.requires_grad and ng.equal(before, ng.get_rng_state())
    m.reset_parameters()
    assert not ng.equal(before, ng.get_rng_state())
    for library in (ng, torch):
        with pytest.raises(RuntimeError, match="Expected a Module"):
            library.nn.utils.skip_init(int)
        with pytest.raises(RuntimeError, match="'device'"):
            library.nn.utils.skip_init(library.nn.ReLU)


def test_stateless():
    for library in (ng, torch):
        m = library.nn.Linear(2, 1)
        with pytest.warns(FutureWarning, match="deprecated"):
            y = library.nn.utils.stateless.functional_call(m, {"weight": library.ones(1, 2), "bias": library.zeros(1)}, library.ones(1, 2))
        assert y.tolist() == [[2]]


def test_hooks_on_all_modules():
    found = []
    for library in (ng, torch):
        from_all = library.nn.modules.module
        net = library.nn.Sequential(filled(library.nn.Linear(2, 2), library), library.nn.ReLU())
        seen = []
        handles = [
            from_all.register_module_forward_pre_hook(lambda m, args, seen=seen: seen.append(("before", type(m).__name__, len(args)))),
            from_all.register_module_forward_hook(lambda m, args, y, seen=seen: seen.append(("after", type(m).__name__))),
            from_all.register_module_forward_hook(
                lambda m, args, kwargs, y: y * 2 if type(m).__name__ == "Linear" else None, with_kwargs=True
            ),
            from_all.register_module_full_backward_pre_hook(lambda m, g, seen=seen: seen.append(("into", type(m).__name__, g[0].tolist()))),
            from_all.register_module_full_backward_hook(
                lambda m, given, g, seen=seen: seen.append(("back", type(m).__name__, [round(v, 4) for v in given[0].flatten().tolist()]))
            ),
        ]
        net[0].register_forward_hook(lambda m, args, y, seen=seen: seen.append(("own", round(float(y.detach().sum()), 4))))
        x = library.ones(1, 2, requires_grad=True)
        net(x).sum().backward()
        count = len(seen)
        for handle in handles:
            handle.remove()
        net(x).sum().backward()
        assert len(seen) == count + 1  # the module's own
        found.append(seen)
    assert found[0] == found[1]


def test_names_of_old():
    import inspect

    names = [
        "uniform",
        "normal",
        "constant",
        "eye",
        "dirac",
        "xavier_uniform",
        "xavier_normal",
        "kaiming_uniform",
        "kaiming_normal",
        "orthogonal",
        "sparse",
    ]
    for name in names:
        t = ng.zeros(4, 4, 3) if name == "dirac" else ng.zeros(4, 4)
        arguments = {"constant": (2.0,), "sparse": (0.5,)}.get(name, ())
        with pytest.warns(FutureWarning, match=f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`"):
            assert getattr(ng.nn.init, name)(t, *arguments) is t
        assert bool((t != 0).any())
        ours, theirs = inspect.signature(getattr(ng.nn.init, name + "_")), inspect.signature(getattr(torch.nn.init, name + "_"))
        assert list(ours.parameters) == list(theirs.parameters)
        assert [p.default for p in ours.parameters.values()] == [p.default for p in theirs.parameters.values()]
