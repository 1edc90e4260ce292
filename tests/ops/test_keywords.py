"""``out=`` by PyTorch's rules, NumPy's names of arguments, and the names of arguments themselves."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import numbagrad as ng

X = ng.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])


def values(x):
    return x.detach().numpy()


BACK = "functions with out=... arguments don't support automatic differentiation"
# Of each way that a function comes by ``out=``: its own signature, ``**others``, the wrapper, several results.
FUNCTIONS = {
    "exp": lambda x, **kw: ng.exp(x, **kw),
    "add": lambda x, **kw: ng.add(x, 1, **kw),
    "abs": lambda x, **kw: ng.abs(x, **kw),
    "sum": lambda x, **kw: ng.sum(x, 1, **kw),
    "amax": lambda x, **kw: ng.amax(x, 1, **kw),
    "where": lambda x, **kw: ng.where(x > 1, x, 0.0, **kw),
    "lerp": lambda x, **kw: ng.lerp(x, x, 0.5, **kw),
    "std": lambda x, **kw: ng.std(x, 1, **kw),
    "cumsum": lambda x, **kw: ng.cumsum(x, 1, **kw),
    "softmax": lambda x, **kw: ng.softmax(x, 1, **kw),
    "matmul": lambda x, **kw: ng.matmul(x, x.T, **kw),
    "logit": lambda x, **kw: ng.special.logit(x / 6, **kw),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_out(name):
    function = FUNCTIONS[name]
    expected = function(X)
    for out in (ng.empty(0), ng.empty(expected.shape), ng.empty(expected.shape, dtype=ng.float64)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # none for an empty one, or one of the right shape
            assert function(X, out=out) is out
        assert out.shape == expected.shape
        np.testing.assert_allclose(values(out), values(expected), rtol=1e-6)
    other = ng.ones(7)
    with pytest.warns(UserWarning, match=r"was resized since it had shape \[7\]"):
        function(X, out=other)
    assert other.shape == expected.shape
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Int"):
        function(X, out=ng.empty(expected.shape, dtype=ng.int32))
    with pytest.raises(TypeError, match="argument 'out' must be Tensor, not list"):
        function(X, out=[])
    with pytest.raises(RuntimeError, match=BACK):
        function(X.clone().requires_grad_(), out=ng.empty(0))
    leaf = ng.ones(expected.shape, requires_grad=True)
    with pytest.raises(RuntimeError, match=BACK):
        function(X, out=leaf)
    with ng.no_grad():
        assert function(X.clone().requires_grad_(), out=leaf) is leaf and leaf.requires_grad
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        function(X, foo=1)


def test_out_of_several_results():
    result = ng.max(X, 1, out=(a := ng.empty(0), b := ng.empty(0, dtype=ng.int64)))
    assert result.values is a and result.indices is b and a.tolist() == [3, 5] and b.tolist() == [0, 1]
    result = ng.sort(X, out=[ng.empty(0), ng.empty(0, dtype=ng.int64)])
    assert type(result).__name__ == "sort" and result.indices[0].tolist() == [1, 2, 0]
    with pytest.raises(TypeError, match="out= takes 2 tensors, but got 1"):
        ng.topk(X, 1, out=(ng.empty(0),))
    with pytest.raises(TypeError, match="argument 'out' must be tuple of Tensors, not Tensor"):
        ng.kthvalue(X, 1, out=ng.empty(0))


def test_out_that_is_the_input():
    """The result is complete before it is written, so it may lie in its own argument."""
    x = ng.arange(4.0)
    assert ng.cumsum(x[:-1], 0, out=x[1:]).tolist() == [0, 1, 3] and x.tolist() == [0, 0, 1, 3]
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        ng.std(X, 1, out=ng.zeros(1).expand(2))


PLAIN = {"axis": "dim", "keepdims": "keepdim", "x": "input"}


@pytest.mark.parametrize(
    "name, args, named",
    [
        ("sum", (X,), {"axis": 1, "keepdims": True}), ("mean", (X,), {"axis": 0}), ("max", (X,), {"axis": 1}), ("argmax", (X,), {"axis": 0}),
        ("any", (X,), {"axis": 1}), ("cumsum", (X,), {"axis": 0}), ("std", (X,), {"axis": 1, "keepdims": True}), ("squeeze", (X[:1],), {"axis": 0}),
        ("unsqueeze", (X,), {"axis": -1}), ("softmax", (X,), {"axis": 1}), ("sort", (X,), {"axis": 0}), ("logsumexp", (X,), {"axis": 1}),
        ("chunk", (X, 2), {"axis": 0}), ("median", (X,), {"axis": 1, "keepdims": True}), ("unbind", (X,), {"axis": 1}),
        ("cat", ([X, X],), {"axis": 1}), ("stack", ([X, X],), {"axis": 2}), ("cumsum", (), {"x": X, "axis": 0}), ("linalg.norm", (X,), {"axis": 1}),
    ],
)  # fmt: skip
def test_numpys_names(name, args, named):
    """``axis`` is ``dim`` and ``keepdims`` ``keepdim``, of functions and methods."""
    space, _, name = name.rpartition(".")
    plain = {PLAIN[word]: value for word, value in named.items()}
    functions = [getattr(getattr(ng, space) if space else ng, name)]
    if args and isinstance(args[0], ng.Tensor) and not space:
        functions.append(getattr(ng.Tensor, name))
    for function in functions:
        result, expected = function(*args, **named), function(*args, **plain)
        for y, z in zip(result, expected, strict=True) if isinstance(expected, tuple) else [(result, expected)]:
            assert y.shape == z.shape and y.tolist() == z.tolist()


@pytest.mark.parametrize("call", [lambda: X.sum(1, axis=1), lambda: ng.cumsum(X, 0, axis=1), lambda: ng.median(X, dim=1, axis=1)])
def test_a_dimension_that_is_given_twice(call):
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        call()


def test_names_of_sizes():
    assert X.view(size=(3, 2)).shape == (3, 2) and X.reshape(shape=(6,)).shape == (6,) and ng.reshape(input=X, shape=(6,)).shape == (6,)
    assert X.permute(dims=(1, 0)).shape == (3, 2) and X.expand(size=(2, 2, 3)).shape == (2, 2, 3)
    assert X.repeat(repeats=(2, 1)).shape == (4, 3) and X.view(dtype=ng.int32).dtype is ng.int32
    assert ng.transpose(input=X, dim0=0, dim1=1).shape == (3, 2) == ng.swapaxes(X, axis0=0, axis1=1).shape
    for call in (X.view, X.reshape, X.permute, X.expand, X.repeat, X.flip, X.new_zeros, ng.zeros, ng.ones, ng.empty):
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            call()


def test_dropout_as_the_native_one():
    assert ng.dropout(X, 0.5, train=False).tolist() == X.tolist()


def test_numpys_functions_call_the_methods():
    for function in (np.sum, np.mean, np.argmax, np.argmin, np.any, np.all, np.max, np.min):
        np.testing.assert_allclose(np.asarray(function(X)), function(values(X)))
    np.testing.assert_allclose(values(np.sum(X, axis=1, keepdims=True)), np.sum(values(X), axis=1, keepdims=True))


def test_where_functions_are_found():
    for name in ("median", "cumsum", "sum", "lerp", "std"):
        function = getattr(ng, name)
        assert pickle.loads(pickle.dumps(function)) is function
        assert function.__doc__


@pytest.mark.parametrize(
    "call",
    [
        "M.ones(4).chunk(two)[0]", "M.ones(5).tensor_split(two)[0]", "M.ones(1, 3).squeeze(two - 2)", "M.ones(2, 3).movedim(two - 2, two - 1)",
        "M.linalg.matrix_power(M.ones(2, 2), two)", "M.nn.MaxPool2d(two)(M.ones(1, 4, 4))", "M.nn.functional.avg_pool2d(M.ones(1, 4, 4), two, two)",
        "M.nn.LayerNorm(two)(M.ones(3, 2))", "M.nn.RMSNorm(two)(M.ones(3, 2))", "M.nn.functional.lp_pool2d(M.ones(1, 4, 4), 2, two)",
    ],
)  # fmt: skip
def test_integers_of_numpy(call):
    torch = pytest.importorskip("torch")
    expected, found = (eval(call, {"M": module, "two": np.int64(2)}) for module in (torch, ng))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-6)
