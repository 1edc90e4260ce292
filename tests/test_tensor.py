"""Tensor: shapes and views, creation, conversion, printing, copying, interchange."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import numbagrad as ng


class TestViews:
    @pytest.mark.cpu
    def test_views_share_storage(self):
        x = ng.arange(12).reshape(3, 4)
        for view in (x.view(4, 3), x.reshape(-1), x.t(), x.T, x[1:], x.unsqueeze(0), x.expand(2, 3, 4), x.narrow(1, 1, 2), x.flatten(),
                     x.permute(1, 0), x.chunk(2)[0], x.split(2)[1], x.unbind(0)[2],
                     x.select(1, 0), x.diagonal(), x.detach(), x.unflatten(1, (2, 2)), x.movedim(0, 1), x.squeeze()):  # fmt: skip
            assert np.shares_memory(view.numpy(), x.numpy())

    def test_a_write_is_seen_by_every_view(self):
        x = ng.zeros(2, 3)
        y = x.t()
        x[0, 1] = 7
        assert y[1, 0].item() == 7
        assert y._version == x._version == 1

    def test_strides_are_counted_in_elements(self):
        x = ng.zeros(2, 3, 4)
        assert x.stride() == (12, 4, 1)
        assert x.permute(2, 0, 1).stride() == (1, 12, 4)
        assert x.expand(5, 2, 3, 4).stride(0) == 0
        assert x[:, 1].storage_offset() == 4

    def test_view_needs_compatible_strides(self):
        x = ng.zeros(2, 3).t()
        with pytest.raises(RuntimeError, match="view size is not compatible"):
            x.view(6)
        assert x.reshape(6).shape == (6,)

    def test_shapes_that_do_not_fit(self):
        x = ng.zeros(2, 3)
        for call, message in [
            (lambda: x.view(4), r"shape '\[4\]' is invalid for input of size 6"),
            (lambda: x.view(-1, -1), "only one dimension can be inferred"),
            (lambda: x.expand(2, 4), "must match the existing size"),
            (lambda: x.permute(0, 0), "duplicate dims"),
            (lambda: x.split([1, 2]), "sum exactly to 2"),
            (lambda: x.narrow(0, 1, 5), "exceeds dimension size"),
            (lambda: x.unsqueeze(0).t(), "2 dimensions"),
        ]:
            with pytest.raises(RuntimeError, match=message):
                call()
        for call in (lambda: x.transpose(0, 2), lambda: x.unsqueeze(4), lambda: x.size(2), lambda: x.select(0, 2), lambda: x.flatten(3)):
            with pytest.raises(IndexError):
                call()

    def test_empty_and_scalar(self):
        assert ng.zeros(0, 3).reshape(3, 0).shape == (3, 0)
        assert ng.tensor(1.0).view(1, 1).shape == (1, 1)
        assert ng.tensor(1.0).T.shape == ()
        with pytest.raises(RuntimeError, match="ambiguous"):
            ng.zeros(0).view(0, -1)

    def test_contiguous(self):
        x = ng.arange(6).reshape(2, 3)
        assert x.contiguous() is x
        y = x.t().contiguous()
        assert y.is_contiguous()
        assert y.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("f", [
    lambda x: x.reshape(3, 2), lambda x: x.t(), lambda x: x.expand(2, 2, 3), lambda x: x[:, 1:], lambda x: x[None, :, ::2], lambda x: x.unsqueeze(1).squeeze(),
    lambda x: x.permute(1, 0), lambda x: x.diagonal(1), lambda x: x.narrow(1, 0, 2), lambda x: x.chunk(2, 1)[1], lambda x: x.unbind(1)[0], lambda x: x.mT,
    lambda x: x.contiguous(), lambda x: x.clone(), lambda x: x.to(ng.float64), lambda x: x.t().reshape(-1), lambda x: x.flatten(), lambda x: x.movedim(0, 1),
    lambda x: x.sum_to_size(1, 3), lambda x: x.broadcast_to((2, 2, 3)), lambda x: x.view_as(ng.zeros(6)), lambda x: x.type(ng.complex128) * 1j,
])  # fmt: skip
def test_gradients_of_views(f):
    x = ng.randn(2, 3, dtype=ng.float64, requires_grad=True)
    assert ng.autograd.gradcheck(f, (x,))
    assert ng.autograd.gradgradcheck(f, (x,))


class TestCreation:
    def test_inferred_dtypes(self):
        assert ng.tensor([1, 2]).dtype is ng.int64
        assert ng.tensor([1.0]).dtype is ng.float32
        assert ng.tensor([True]).dtype is ng.bool
        assert ng.tensor([1j]).dtype is ng.complex64
        assert ng.tensor(np.float64(1)).dtype is ng.float64
        assert ng.tensor(np.arange(3, dtype=np.int16)).dtype is ng.int16
        assert ng.tensor([]).dtype is ng.float32
        assert ng.full((2,), 3).dtype is ng.int64
        assert ng.arange(3).dtype is ng.int64
        assert ng.arange(0, 1, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
        assert ng.tensor([[1, 2], [3, 4.5]]).tolist() == [[1.0, 2.0], [3.0, 4.5]]
        assert ng.tensor([ng.tensor(1), ng.tensor([2])]).tolist() == [1, 2]
        assert ng.full((2,), np.int64(3)).dtype is ng.arange(np.int32(3)).dtype is ng.int64
        assert ng.ones(1, dtype=float).dtype is ng.ones(1).to(float).dtype is ng.float64 and ng.ones(1).to(complex).dtype is ng.complex128
        assert ng.nn.Linear(1, 1).to(float).weight.dtype is ng.nn.Linear(1, 1).to("cpu", dtype=float).bias.dtype is ng.float64
        assert ng.FloatTensor(ng.Size([2, 1])).shape == ng.Tensor(ng.Size([2, 1])).shape == (2, 1)

    @pytest.mark.parametrize(
        "data, expected",
        [
            ("[np.float64(0.1), 1.0]", "float64"), ("[1, np.float32(1)]", "float32"), ("[[np.int32(1)], [np.int32(2)]]", "int32"),
            ("[np.uint8(1), np.int8(1)]", "int16"), ("[np.int32(1), 1]", "int64"), ("[np.int64(1), 2.0]", "float32"), ("[np.float32(1), 1j]", "complex64"),
            ("[np.bool_(True)]", "bool"), ("[np.ones(2), np.zeros(2)]", "float64"), ("[np.ones((1, 2), np.uint8), [[3, 4]]]", "int64"),
            ("(np.float16(1),)", "float16"), ("[M.tensor(1.0, dtype=M.float64), 2]", "float64"), ("[M.tensor([1], dtype=M.int16)]", "int16"),
            ("[[M.tensor([[1.5]])], [2]]", "float32"), ("[M.tensor(1, dtype=M.bfloat16), 1]", "bfloat16"), ("[M.tensor(1).half(), 1.0]", "float32"),
            ("[np.float64(1), 1j]", "complex128"), ("[np.ones(2, '>i2')]", "int16"),
        ],
    )  # fmt: skip
    def test_sequences_of_arrays_and_tensors_have_their_dtypes(self, data, expected):
        made = ng.tensor(eval(data, {"np": np, "M": ng}))
        assert made.dtype is getattr(ng, expected)
        torch = pytest.importorskip("torch")
        if ">" not in data:
            theirs = torch.tensor(eval(data, {"np": np, "M": torch}))
            assert str(theirs.dtype) == f"torch.{expected}" and made.tolist() == theirs.tolist()

    @pytest.mark.cpu
    def test_tensor_copies_and_from_numpy_shares(self):
        a = np.zeros(3)
        copied, shared = ng.tensor(a), ng.from_numpy(a)
        a[0] = 1
        assert copied[0].item() == 0
        assert shared[0].item() == 1

    def test_default_dtype(self):
        ng.set_default_dtype(ng.float64)
        try:
            assert ng.tensor(1.0).dtype is ng.float64
            assert (ng.tensor(1) / 2).dtype is ng.float64
            assert ng.ones(1).dtype is ng.float64
        finally:
            ng.set_default_dtype(ng.float32)
        assert (ng.tensor(1) / 2).dtype is ng.float32

    @pytest.mark.parametrize("call, error", [
        (lambda: ng.tensor([[1], [2, 3]]), ValueError), (lambda: ng.tensor("a"), TypeError), (lambda: ng.tensor(["a"]), TypeError),
        (lambda: ng.tensor([None]), RuntimeError), (lambda: ng.tensor(300, dtype=ng.int8), RuntimeError), (lambda: ng.zeros(-1), RuntimeError),
        (lambda: ng.zeros("3"), TypeError), (lambda: ng.arange(0, 1, 0), RuntimeError), (lambda: ng.arange(1, 0), RuntimeError),
        (lambda: ng.from_numpy([1]), TypeError), (lambda: ng.from_numpy(np.zeros(3)[::-1]), ValueError), (lambda: ng.from_numpy(np.array(["a"])), TypeError),
        (lambda: ng.zeros(1, device="cuda"), RuntimeError), (lambda: ng.zeros(1, device="tpu"), RuntimeError), (lambda: ng.zeros(1, dtype="f"), TypeError),
        (lambda: ng.eye(-1), RuntimeError), (lambda: ng.linspace(0, 1, -1), RuntimeError), (lambda: ng.tensor(2**70), ValueError),
    ])  # fmt: skip
    @pytest.mark.cpu
    def test_bad_arguments(self, call, error):
        with pytest.raises(error):
            call()

    def test_like_and_new(self):
        x = ng.zeros(2, 3, dtype=ng.float64).t()
        assert ng.ones_like(x).stride() == x.stride()
        assert x.new_full((2,), 5).dtype is ng.float64
        assert ng.empty_like(x, dtype=ng.int32).dtype is ng.int32
        assert ng.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
        assert ng.linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


class TestConversion:
    def test_item_and_bool(self):
        assert ng.tensor([[3]]).item() == 3
        with pytest.raises(RuntimeError, match="a Tensor with 2 elements cannot be converted to Scalar"):
            ng.ones(2).item()
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
            bool(ng.ones(2))
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with no values is ambiguous"):
            bool(ng.ones(0))
        assert [10, 20, 30][ng.tensor(1)] == 20
        assert f"{ng.tensor(3.14159):.2f}" == "3.14"

    def test_sequence_protocol(self):
        x = ng.arange(6).reshape(3, 2)
        assert len(x) == 3
        assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
        assert 4 in x
        assert 9 not in x
        for call in (lambda: len(ng.tensor(1)), lambda: iter(ng.tensor(1))):
            with pytest.raises(TypeError):
                call()

    @pytest.mark.cpu
    def test_numpy(self):
        x = ng.ones(2, 2)
        assert np.asarray(x).base is not None or np.shares_memory(np.asarray(x), x.numpy())
        assert np.asarray(x, dtype=np.float64).dtype == np.float64
        with pytest.raises(RuntimeError, match="requires grad"):
            ng.ones(1, requires_grad=True).numpy()
        assert (np.ones(2) * ng.ones(2)).tolist() == [1.0, 1.0]
        assert isinstance(np.float64(2) * ng.ones(2), ng.Tensor)
        assert isinstance(np.ones(2, np.float32) + ng.ones(2), ng.Tensor)

    @pytest.mark.cpu
    def test_dlpack(self):
        x = ng.arange(4).float()
        a = np.from_dlpack(x)
        assert np.shares_memory(a, x.numpy())
        assert ng.from_dlpack(a).tolist() == [0, 1, 2, 3]
        torch = pytest.importorskip("torch")
        theirs = torch.from_dlpack(x)
        theirs[0] = 9
        assert x[0].item() == 9
        assert ng.from_dlpack(torch.arange(3)).tolist() == [0, 1, 2]

    @pytest.mark.cpu
    def test_casts(self):
        x = ng.tensor([1.7, -2.3])
        assert x.long().tolist() == [1, -2]
        assert x.to(ng.int8).dtype is ng.int8
        assert x.to("cpu") is x
        assert x.double().float().dtype is ng.float32
        assert x.type() == "numbagrad.FloatTensor"
        assert x.type_as(ng.ones(1, dtype=ng.float64)).dtype is ng.float64
        with pytest.raises(RuntimeError, match="cuda"):
            x.to("cuda")
        with pytest.raises(TypeError):
            x.to(3.5)

    def test_pickle_and_deepcopy(self):
        x = ng.randn(3, 2).t().requires_grad_()
        x.grad = ng.ones(2, 3)
        for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
            assert again.tolist() == x.tolist()
            assert again.requires_grad
            assert not np.shares_memory(again.detach().numpy(), x.detach().numpy())
        assert copy.deepcopy(x).grad.tolist() == x.grad.tolist()
        with pytest.raises(RuntimeError, match="graph leaves"):
            copy.deepcopy(x * 2)
        p = ng.nn.Parameter(ng.ones(2))
        shared = copy.deepcopy([p, p])
        assert shared[0] is shared[1]
        assert type(shared[0]) is ng.nn.Parameter
        half = ng.ones(2, dtype=ng.bfloat16)
        assert pickle.loads(pickle.dumps(half)).dtype is ng.bfloat16

    def test_dtype_objects(self):
        assert pickle.loads(pickle.dumps(ng.float32)) is ng.float32
        assert repr(ng.bfloat16) == "numbagrad.bfloat16"
        assert ng.promote_types(ng.int32, ng.float16) is ng.float16
        assert ng.result_type(ng.ones(1, dtype=ng.int8), 1.5) is ng.float32
        assert ng.finfo(ng.float32).eps == np.finfo(np.float32).eps
        assert ng.iinfo(ng.int8).max == 127
        assert repr(ng.iinfo(ng.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
        assert repr(ng.finfo(ng.float16)) == (
            "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, smallest_normal=6.10352e-05, tiny=6.10352e-05, dtype=float16)"
        )

    def test_size_by_name(self):
        for made in (ng.zeros(size=(2, 3)), ng.ones(size=[2, 3]), ng.empty(size=ng.Size((2, 3))), ng.ones(1).new_zeros(size=(2, 3))):
            assert made.shape == (2, 3)
        with pytest.raises(TypeError, match=r"zeros\(\) got multiple values for argument 'size'"):
            ng.zeros(2, size=(3,))
        with pytest.raises(TypeError, match=r"ones\(\) got an unexpected keyword argument 'sizes'"):
            ng.ones(sizes=(3,))

    @pytest.mark.cpu
    def test_format(self):
        """One number is formatted as Python's; a parameter and what has dimensions print as they do."""
        assert f"{ng.tensor(3)} {ng.tensor(0.25)} {ng.tensor(1.0):.2f} {ng.tensor(2.0, requires_grad=True) * 2}" == "3 0.25 1.00 4.0"
        p = ng.nn.Parameter(ng.tensor(1.5))
        assert f"{p}" == repr(p) and f"{ng.ones(2)}" == "tensor([1., 1.])"
        for x in (p, ng.ones(2)):
            with pytest.raises(TypeError, match="unsupported format string"):
                f"{x:.2f}"


class TestPromotion:
    def test_as_torch(self):
        torch = pytest.importorskip("torch")
        names = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
        for a in names:
            for b in names:
                ours = ng.promote_types(getattr(ng, a), getattr(ng, b)).name
                theirs = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
                assert ours == theirs, (a, b)
                if {a, b} & {"float16"} and {a, b} & {"complex64", "complex128"}:
                    continue  # PyTorch has a complex32 for these; we have not
                for left, right in (((2,), ()), ((), (2,)), ((), ())):
                    mine = ng.result_type(ng.zeros(*left, dtype=getattr(ng, a)) if left else ng.tensor(0).to(getattr(ng, a)),
                                          ng.zeros(*right, dtype=getattr(ng, b)) if right else ng.tensor(0).to(getattr(ng, b)))  # fmt: skip
                    want = torch.result_type(torch.zeros(left, dtype=getattr(torch, a)), torch.zeros(right, dtype=getattr(torch, b)))
                    assert mine.name == str(want).removeprefix("torch."), (a, left, b, right)
            for number in (True, 1, 1.5, 1j)[: 3 if a == "float16" else 4]:
                mine = ng.result_type(ng.zeros(2, dtype=getattr(ng, a)), number)
                assert mine.name == str(torch.result_type(torch.zeros(2, dtype=getattr(torch, a)), number)).removeprefix("torch."), (
                    a,
                    number,
                )


SHOWN = [
    [1.0, 2.0], [1.5, -2.25], [[1.0, 2.0], [3.0, 4.0]], 3.0, [], [1e-5, 1.0], [1e10, 1.0], [float("nan"), 1.0], [float("inf"), -1.5],
    [1, 2, -30], [True, False],
    [[[1, 2], [3, 4]]], [0.1234567], [100000.0, 1.0], [1e-7], [0.0, 0.0], [[]], [1 + 2j, -0.5j], [1234.5, 0.001],
    [0.0] * 60, [float("nan")] * 30, [float("inf"), 1.0] * 20, [0j] * 30, [True] * 30,
]  # fmt: skip


@pytest.mark.cpu
class TestPrinting:
    @pytest.mark.parametrize("values", SHOWN, ids=str)
    def test_as_torch(self, values):
        torch = pytest.importorskip("torch")
        assert repr(ng.tensor(values)) == repr(torch.tensor(values))

    @pytest.mark.parametrize("shape", [(2000,), (40, 40), (10, 10, 20), (30,), (1, 1, 3), (2, 3, 4), (0,), (0, 3), (25, 2)])
    def test_shapes_as_torch(self, shape):
        torch = pytest.importorskip("torch")
        a = (np.arange(np.prod(shape)).reshape(shape) / 7).astype(np.float32)
        assert repr(ng.from_numpy(a)) == repr(torch.from_numpy(a))
        b = np.arange(np.prod(shape)).reshape(shape)
        assert repr(ng.from_numpy(b)) == repr(torch.from_numpy(b)).replace("torch.", "numbagrad.")

    def test_suffixes(self):
        assert repr(ng.ones(2, dtype=ng.float64)) == "tensor([1., 1.], dtype=numbagrad.float64)"
        assert repr(ng.ones(2, requires_grad=True)) == "tensor([1., 1.], requires_grad=True)"
        assert repr(ng.ones(2, requires_grad=True) * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"
        assert repr(ng.ones(1).shape) == "numbagrad.Size([1])"
        assert repr(ng.ones(0, 2, dtype=ng.complex64)) == "tensor([], size=(0, 2), dtype=numbagrad.complex64)"
        assert repr(ng.ones(1, dtype=ng.bfloat16)) == "tensor([1.], dtype=numbagrad.bfloat16)"

    def test_options(self):
        try:
            ng.set_printoptions(precision=2)
            assert repr(ng.tensor([1.2345])) == "tensor([1.23])"
        finally:
            ng.set_printoptions(profile="default")
