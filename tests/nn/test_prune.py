"""Pruning, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import numbagrad as ng
from numbagrad.nn.utils import prune

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")

VALUES = np.random.default_rng(0).permutation(24).astype(np.float32).reshape(4, 6) - np.float32(7.3)


def linear(library):
    made = library.nn.Linear(6, 4)
    with library.no_grad():
        made.weight.copy_(library.from_numpy(VALUES))
        made.bias.copy_(library.arange(4.0))
    return made


CHOICES = {
    "l1": lambda p, m, t: p.l1_unstructured(m, "weight", 0.3),
    "l1 of a number": lambda p, m, t: p.l1_unstructured(m, "weight", 5),
    "l1 by scores": lambda p, m, t: p.l1_unstructured(m, "weight", 5, importance_scores=t.arange(24.0).reshape(4, 6)),
    "ln": lambda p, m, t: p.ln_structured(m, "weight", 2, n=2, dim=1),
    "ln of rows": lambda p, m, t: p.ln_structured(m, "weight", 0.5, n=float("inf"), dim=0),
    "mask": lambda p, m, t: p.custom_from_mask(m, "weight", t.arange(24).reshape(4, 6) % 3 > 0),
    "identity": lambda p, m, t: p.identity(m, "weight"),
    "twice": lambda p, m, t: p.l1_unstructured(p.l1_unstructured(m, "weight", 5), "weight", 0.5),
    "rows, then columns": lambda p, m, t: p.ln_structured(p.ln_structured(m, "weight", 1, n=1, dim=0), "weight", 2, n=1, dim=1),
    "elements, then columns": lambda p, m, t: p.ln_structured(p.l1_unstructured(m, "weight", 9), "weight", 0.5, n=1, dim=1),
    "global": lambda p, m, t: p.global_unstructured([(m, "weight"), (m, "bias")], p.L1Unstructured, amount=7) or m,
    "global, then more": lambda p, m, t: (
        p.global_unstructured([(p.l1_unstructured(m, "weight", 4), "weight"), (m, "bias")], p.L1Unstructured, amount=7) or m
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_chosen(name):
    found = []
    for library in (ng, torch):
        tools = library.nn.utils.prune
        m = linear(library)
        original = m.weight
        assert CHOICES[name](tools, m, library) is m
        assert (
            m.weight_orig is original
            and tools.is_pruned(m)
            and "weight_mask" in m.state_dict()
            and "weight" not in dict(m.named_parameters())
        )
        (m(library.ones(1, 6)) * library.arange(4.0)).sum().backward()
        found.append([m.weight_mask, m.weight, original.grad])
        tools.remove(m, "weight")
        assert m.weight is original and "weight_mask" not in m.state_dict()
        found[-1].append(m.weight)
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)


def test_at_random():
    m = prune.random_unstructured(linear(ng), "weight", 0.25)
    assert int((m.weight_mask == 0).sum()) == 6
    prune.random_unstructured(m, "weight", 0.5)
    assert int((m.weight_mask == 0).sum()) == 15 and len(next(iter(m._forward_pre_hooks.values()))[0]) == 2
    m = prune.random_structured(linear(ng), "weight", 2, dim=1)
    columns = (m.weight_mask == 0).all(0)
    assert int(columns.sum()) == 2 and int((m.weight_mask == 0).sum()) == 8


REFUSED = [
    lambda p, m, t: p.l1_unstructured(m, "weight", 25),
    lambda p, m, t: p.l1_unstructured(m, "weight", 1.5),
    lambda p, m, t: p.l1_unstructured(m, "weight", -1),
    lambda p, m, t: p.l1_unstructured(m, "weight", "x"),
    lambda p, m, t: p.random_structured(m, "weight", 1, dim=2),
    lambda p, m, t: p.random_structured(m, "bias", 1, dim=0),
    lambda p, m, t: p.remove(m, "weight"),
    lambda p, m, t: p.l1_unstructured(m, "weight", 1, importance_scores=t.ones(2)),
    lambda p, m, t: p.custom_from_mask(m, "weight", t.ones(2)),
    lambda p, m, t: p.global_unstructured([(m, "weight")], p.LnStructured, amount=1, n=1),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_refused(number):
    with pytest.raises(Exception) as theirs:
        REFUSED[number](torch.nn.utils.prune, linear(torch), torch)
    with pytest.raises(theirs.type):
        REFUSED[number](prune, linear(ng), ng)
