"""What is wrong is refused, with PyTorch's type of exception and a message that says what was expected; what is empty is computed, as PyTorch does.

The calls stand in ``bad_tensor_calls.py`` and ``bad_module_calls.py``, written with the names of ``names``; the same text runs under either library.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import pytest

import numbagrad as ng
import numbagrad.nn
import numbagrad.optim
from numbagrad import data
from tests.bad_module_calls import MODULES
from tests.bad_tensor_calls import TENSORS

CALLS = [*TENSORS, *MODULES]
KINDS = (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError)  # in the order in which subclasses come first


def names(library: Any, loading: Any) -> dict[str, Any]:
    """What a call may refer to.

    A: a matrix, I: of integers, B: of bools, C: complex, H: float64, G: a leaf; V: a vector, S: a scalar, Z: empty, X: an image.
    """
    return {
        "ng": library, "T": library.tensor, "F": library.nn.functional, "nn": library.nn, "optim": library.optim, "data": loading, "np": np,
        "A": library.ones(2, 3), "I": library.ones(2, 3, dtype=library.int64), "B": library.ones(2, 3, dtype=library.bool),
        "C": library.ones(2, 3, dtype=library.complex64), "H": library.ones(2, 3, dtype=library.float64), "G": library.ones(2, 3, requires_grad=True),
        "V": library.ones(3), "S": library.tensor(1.0), "Z": library.zeros(0, 3), "X": library.ones(1, 3, 8, 8),
    }  # fmt: skip


def kind(error: BaseException) -> type:
    return next((k for k in KINDS if isinstance(error, k)), type(error))


@pytest.mark.parametrize("call, error, message", CALLS, ids=[c[0] for c in CALLS])
def test_refused(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        eval(call, names(ng, data))


@pytest.mark.parametrize("call, error", [c[:2] for c in CALLS], ids=[c[0] for c in CALLS])
@pytest.mark.filterwarnings("ignore")
def test_pytorch_refuses_likewise(call, error):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as caught:
        eval(call, names(torch, importlib.import_module("torch.utils.data")))
    assert kind(caught.value) is error


def test_a_refused_change_leaves_the_tensor_alone():
    for call in (
        "A.add_(ng.ones(5))",
        "A.copy_(ng.ones(5))",
        "I.div_(2)",
        "A.__setitem__(0,V[:2])",
        "G.add_(1)",
        "A.fill_('a')",
        "I.exp_()",
    ):
        scope = names(ng, data)
        with pytest.raises((RuntimeError, TypeError)):
            eval(call, scope)
        for name in "AIG":
            assert scope[name].tolist() == [[1, 1, 1], [1, 1, 1]]
            assert scope[name]._version == 0, call


# ---- nothing at all -----------------------------------------------------------------------------------------------------------------------

# Written with L, a leaf of the given shape.
EMPTY = [
    'F.conv2d(L(0,3,8,8),L(4,3,3,3),L(4))', 'F.conv2d(L(2,3,2,2),L(4,3,3,3))', 'F.conv2d(L(2,3,8,8),L(0,3,3,3))',
    'F.conv2d(L(0,3,8,8),L(4,3,3,3),L(4),padding=1,stride=2)', 'F.max_pool2d(L(0,3,8,8),2)', 'F.max_pool2d(L(2,0,8,8),2)',
    'F.avg_pool2d(L(0,3,8,8),2)', 'F.max_pool2d(L(2,3,0,8),2)', 'F.avg_pool2d(L(2,3,0,8),2)', 'F.adaptive_avg_pool2d(L(0,3,8,8),2)',
    'L(0,3) @ L(3,4)', 'L(2,0) @ L(0,4)', 'L(2,3) @ L(3,0)', 'L(0) @ L(0)', 'L(0,3) @ L(3)', 'L(3,0) @ L(0)', 'L(0,2,3) @ L(0,3,4)',
    'L(5,2,0) @ L(5,0,4)', 'L(0,2,3) @ L(3,4)', 'L(4,1,2,0) @ L(3,0,5)', 'F.linear(L(0,3),L(4,3),L(4))', 'F.linear(L(2,0),L(4,0),L(4))',
    'F.linear(L(2,3),L(0,3))', 'ng.addmm(L(2,4),L(2,0),L(0,4))', 'ng.bmm(L(0,2,3),L(0,3,4))', 'ng.outer(L(0),L(3))', 'ng.dot(L(0),L(0))',
    'ng.einsum("ij,jk->ik",L(2,0),L(0,3))', 'F.softmax(L(0,3),1)', 'F.softmax(L(0,3),0)', 'F.softmax(L(3,0),1)', 'F.log_softmax(L(3,0),1)',
    'F.log_softmax(L(0,3),0)', 'F.cross_entropy(L(0,3),ng.zeros(0,dtype=ng.int64))',
    'F.cross_entropy(L(0,3),ng.zeros(0,dtype=ng.int64),reduction="sum")',
    'F.cross_entropy(L(0,3),ng.zeros(0,dtype=ng.int64),reduction="none")', 'F.nll_loss(L(0,3),ng.zeros(0,dtype=ng.int64),reduction="none")',
    'F.mse_loss(L(0,3),L(0,3))', 'F.mse_loss(L(0,3),L(0,3),reduction="sum")', 'F.l1_loss(L(0),L(0),reduction="none")',
    'F.binary_cross_entropy_with_logits(L(0,3),L(0,3))', 'F.layer_norm(L(0,3),(3,),L(3),L(3))', 'F.layer_norm(L(3,0),(0,))',
    'F.batch_norm(L(0,3,4,4),ng.zeros(3),ng.ones(3),L(3),L(3),training=False)',
    'F.batch_norm(L(0,3,4,4),ng.zeros(3),ng.ones(3),L(3),L(3),training=True)', 'F.embedding(ng.zeros(0,dtype=ng.int64),L(4,3))',
    'F.embedding(ng.zeros(2,0,dtype=ng.int64),L(4,3))', 'F.dropout(L(0,3),0.5)', 'F.gelu(L(0,3))', 'F.relu(L(3,0))', 'F.pad(L(0,3),(1,1))',
    'F.pad(L(0,3),(0,0,1,1))', 'F.one_hot(ng.zeros(0,dtype=ng.int64),3)', 'L(0,3).sum()', 'L(0,3).sum(0)', 'L(0,3).sum(1)', 'L(0,3).mean()',
    'L(0,3).mean(0)', 'L(0,3).prod()', 'L(0,3).prod(0)', 'L(3,0).amax(0)', 'L(3,0).amax(1)', 'L(3,0).max(0)[0]', 'L(3,0).max(1)[0]',
    'L(3,0).min()', 'L(0).argmax()', 'L(3,0).argmax(0)', 'L(3,0).argmin(1)', 'L(0,3).var(0)', 'L(0,3).std()', 'L(3,0).var(0)',
    'L(0,3).norm()', 'L(0,3).norm(dim=0)', 'L(0,3).norm(p=1,dim=1)', 'L(0,3).norm(p=float("inf"))', 'L(0,3).logsumexp(0)',
    'L(0,3).logsumexp(1)', 'L(0,3).all()', 'L(0,3).any(1)', 'L(0,3).count_nonzero()', 'L(0,3).cumsum(0)', 'L(3,0).cumsum(0)',
    'L(3,0).cumprod(1)', 'L(0).median()', 'L(3,0).median(0)[0]', 'L(0,3).sort(0)[0]', 'L(3,0).sort(1)[0]', 'L(0,3).argsort()',
    'L(0,3).topk(0)[0]', 'L(0,3).topk(1)[0]', 'L(3,0).topk(1,0)[0]', 'L(0,3)[0:0]', 'L(0,3)[:,1]', 'L(3,4)[1:1]', 'L(3,4)[2:1,::2]',
    'L(3,4)[[]]', 'L(3,4)[ng.zeros(0,dtype=ng.int64)]', 'L(0,3)[ng.zeros(0,dtype=ng.int64)]', 'L(3,4)[ng.zeros(3,4)>1]',
    'L(3,4)[ng.zeros(3)>1]', 'L(0,4)[ng.zeros(0)>1]', 'L(3,0)[1]', 'L(3,0)[[1,2]]', 'L(3,4)[:,ng.zeros(2,0,dtype=ng.int64)]', 'L(0,3)[0]',
    'L(0,3)[[0]]', 'L(3,4).index_select(0,ng.zeros(0,dtype=ng.int64))', 'L(0,4).index_select(1,ng.tensor([1,1]))',
    'L(3,4).gather(0,ng.zeros(0,4,dtype=ng.int64))', 'L(3,4).gather(1,ng.zeros(3,0,dtype=ng.int64))',
    'L(0,4).gather(1,ng.zeros(0,2,dtype=ng.int64))', 'L(3,4).scatter(0,ng.zeros(0,4,dtype=ng.int64),L(0,4))',
    'L(3,4).scatter_add(0,ng.zeros(0,4,dtype=ng.int64),L(0,4))', 'L(3,4).index_add(0,ng.zeros(0,dtype=ng.int64),L(0,4))',
    'L(3,4).masked_fill(ng.zeros(3,4)>1,2.0)', 'L(0,4).masked_fill(ng.zeros(0,4)>1,2.0)', 'L(0,4).masked_select(ng.zeros(0,4)>1)',
    'L(3,0).take(ng.zeros(0,dtype=ng.int64))', 'ng.zeros(0,3).nonzero()', 'ng.where(ng.zeros(0,3)>0,L(0,3),L(1,3))',
    'ng.cat([L(0,3),L(2,3)])', 'ng.cat([L(0,3),L(0,3)])', 'ng.cat([L(2,0),L(2,0)],1)', 'ng.stack([L(0,3),L(0,3)])',
    'ng.stack([L(0),L(0)],1)', 'L(0,3).repeat(2,2)', 'L(2,3).repeat(0,2)', 'L(0,3).flip(0)', 'L(0,3).roll(1,0)', 'L(0,3).roll(1)',
    'L(0,3).split(1)[0]', 'L(0,3).chunk(2)[0]', 'L(3,0).chunk(2,0)[1]', 'L(0,3).unbind(1)[0]', 'L(0,3).expand(2,0,3)', 'L(1,3).expand(0,3)',
    'L(0,3).t().contiguous()', 'L(0,3).reshape(3,0)', 'L(0,3).reshape(-1)', 'L(0,3).reshape(-1,3)', 'L(0,3).flatten()',
    'L(0,2,3).permute(2,0,1)', 'L(0,3).tril()', 'L(0,0).diagonal()', 'L(0,3).diagonal()', 'L(0,3) + L(3)', 'L(0,3) * L(1,3)',
    'L(0,3) + L(2,3)', 'L(0,1) * L(1,3)', 'L(0,3).clamp(0,1)', 'L(0,3).exp()', 'L(0,3).lerp(L(0,3),0.5)', 'L(0,3).double().float()',
    'L(0,3).clone()', 'nn.Linear(3,4)(L(0,3))', 'nn.Conv2d(3,4,3)(L(0,3,8,8))', 'nn.BatchNorm1d(3)(L(0,3))', 'nn.LayerNorm(3)(L(0,3))',
    'nn.Flatten()(L(0,3,4))', 'nn.MaxPool2d(2)(L(0,3,8,8))',
]  # fmt: skip


def outcome(library: Any, call: str) -> tuple[Any, Any, list[Any]]:
    """The exception or None, the result, and the gradients of the leaves when the result's gradient is one everywhere."""
    leaves: list[Any] = []

    def leaf(*shape: int) -> Any:
        leaves.append(library.tensor(np.random.default_rng(len(leaves)).uniform(0.5, 2, shape).astype(np.float32), requires_grad=True))
        return leaves[-1]

    try:
        y = eval(call, {"ng": library, "F": library.nn.functional, "nn": library.nn, "L": leaf})
        if y.requires_grad:
            y.backward(library.ones(tuple(y.shape)))
    except Exception as error:
        return error, None, []
    return None, y.detach().numpy(), [None if x.grad is None else x.grad.numpy() for x in leaves]


@pytest.mark.parametrize("call", EMPTY)
@pytest.mark.filterwarnings("ignore")
def test_empty_as_torch(call):
    torch = pytest.importorskip("torch")
    (error, y, grads), (their_error, their_y, their_grads) = outcome(ng, call), outcome(torch, call)
    assert (error is None) == (their_error is None), (error, their_error)
    if their_error is not None:
        assert kind(error) is kind(their_error)
        return
    assert y.shape == their_y.shape
    random = call.startswith("nn.")  # parameters are drawn
    if not random:
        np.testing.assert_allclose(y, their_y, rtol=1e-5)
    for mine, theirs in zip(grads, their_grads, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert mine.shape == theirs.shape
            if not random:
                np.testing.assert_allclose(mine, theirs, rtol=1e-5)
