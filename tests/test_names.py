"""Names that scripts written for PyTorch expect to find: typed constructors, constants, backends, devices."""

from __future__ import annotations

import math

import pytest

import numbagrad as ng

TYPES = {
    "FloatTensor": ng.float32, "DoubleTensor": ng.float64, "HalfTensor": ng.float16, "LongTensor": ng.int64, "IntTensor": ng.int32,
    "ShortTensor": ng.int16, "CharTensor": ng.int8, "ByteTensor": ng.uint8, "BoolTensor": ng.bool,
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_typed_tensors(name):
    kind, dtype = getattr(ng, name), TYPES[name]
    made = kind([[1, 0], [1, 1]])
    assert type(made) is ng.Tensor and made.dtype is dtype and made.tolist() == [[1, 0], [1, 1]]
    assert kind(2, 3).shape == (2, 3) and kind(2, 3).dtype is dtype and kind().shape == (0,)
    assert isinstance(made, kind) and isinstance(made, ng.Tensor) and not isinstance([1], kind)
    assert not any(isinstance(made, getattr(ng, other)) for other in TYPES if other != name)
    assert (
        ng.ones(2).type(kind).dtype is dtype and made.type() == f"numbagrad.{name}" and ng.ones(2).type(f"numbagrad.{name}").dtype is dtype
    )


def test_constants():
    assert (ng.pi, ng.e, ng.inf) == (math.pi, math.e, math.inf) and math.isnan(ng.nan)
    assert ng.ones(2)[:, ng.newaxis].shape == (2, 1)


def test_backends():
    for name, value in (("benchmark", True), ("deterministic", False), ("enabled", True)):
        before = getattr(ng.backends.cudnn, name)
        setattr(ng.backends.cudnn, name, value)
        assert getattr(ng.backends.cudnn, name) is value
        setattr(ng.backends.cudnn, name, before)
    assert not any(b.is_available() or b.is_built() for b in (ng.backends.cudnn, ng.backends.mps))
    assert ng.backends.cuda.is_available() is ng.cuda.is_available()
    assert ng.backends.cuda.matmul.allow_tf32 is False
    with pytest.raises(AttributeError):
        _ = ng.backends.nothing


def test_float32_matmul_precision():
    try:
        for precision, allowed in (("high", True), ("highest", False), ("medium", True)):
            ng.set_float32_matmul_precision(precision)
            assert ng.backends.cuda.matmul.allow_tf32 is allowed
            assert ng.get_float32_matmul_precision() == ("high" if allowed else "highest")
        for wrong in ("low", 3):
            with pytest.raises(ValueError, match=f"expected 'highest', 'high' or 'medium', but got {wrong!r}"):
                ng.set_float32_matmul_precision(wrong)
        assert ng.backends.cuda.matmul.allow_tf32 is True
    finally:
        ng.backends.cuda.matmul.allow_tf32 = False


def test_choosing_a_device():
    there = ng.cuda.is_available()
    assert ng.accelerator.is_available() is there is (ng.cuda.device_count() > 0) is (ng.accelerator.device_count() > 0)
    assert ng.accelerator.current_accelerator() == (ng.device("cuda") if there else None)
    ng.cuda.empty_cache()
    ng.cuda.manual_seed_all(1)


@pytest.mark.parametrize(
    "args, error, message",
    [
        (("cuda:01",), RuntimeError, "Invalid device string: 'cuda:01'"),
        (("cuda:-1",), RuntimeError, "Invalid device string"),
        (("cuda:",), RuntimeError, "Invalid device string"),
        (("cuda", -1), RuntimeError, "Device index must not be negative"),
        ((-1,), RuntimeError, "Device index must not be negative"),
        ((True,), TypeError, "got bool"),
    ],
)
def test_no_name_of_a_device(args, error, message):
    with pytest.raises(error, match=message):
        ng.device(*args)


def test_deterministic_algorithms():
    ng.use_deterministic_algorithms(True)
    assert ng.are_deterministic_algorithms_enabled()
    ng.use_deterministic_algorithms(False, warn_only=True)
    assert not ng.are_deterministic_algorithms_enabled()


def test_variable():
    x = ng.ones(2)
    v = ng.autograd.Variable(x, requires_grad=True)
    (v * v).sum().backward()
    assert v.grad.tolist() == [2, 2] and not x.requires_grad and v.data_ptr() == x.data_ptr()
    assert not ng.autograd.Variable(x).requires_grad


def test_where_things_are():
    from numbagrad.nn.parameter import Parameter
    from numbagrad.utils.data import DataLoader

    assert Parameter is ng.nn.Parameter and DataLoader is ng.data.DataLoader
