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


def test_compile():
    layer = ng.nn.Linear(2, 2)
    assert ng.compile(layer) is layer is ng.compile(layer, mode="max-autotune", fullgraph=True)

    @ng.compile
    def double(x):
        return 2 * x

    @ng.compile(dynamic=True, backend="eager")
    def triple(x):
        return 3 * x

    assert double(ng.ones(1)).item() == 2 and triple(ng.ones(1)).item() == 3
    with pytest.raises(RuntimeError, match="Either mode or options"):
        ng.compile(layer, mode="default", options={})
    with pytest.raises(AssertionError, match="A callable function is expected, but <class 'int'> is provided"):
        ng.compile(3)


def test_storages():
    x = ng.arange(6.0).reshape(2, 3)
    row = x[1]
    for tensor in (x, row, x.t()):
        untyped, typed = tensor.untyped_storage(), tensor.storage()
        assert untyped.data_ptr() == typed.data_ptr() == x.data_ptr() and ng.is_storage(untyped) and ng.is_storage(typed)
        assert untyped.nbytes() == len(untyped) == 24 and typed.size() == len(typed) == 6 and typed.dtype is ng.float32
        assert typed.tolist() == [0, 1, 2, 3, 4, 5] and typed[4] == 4 and typed[-1] == 5
        assert typed == x.storage() and untyped == x.untyped_storage() and typed != ng.ones(6).storage()
    row.storage()[0] = 7
    assert x[0, 0] == 7 and bytes(untyped.tolist()) == x.numpy().tobytes()
    assert row.storage().fill_(2).copy_(ng.ones(6).storage()).untyped().nbytes() == 24 and x.sum() == 6
    with pytest.raises(IndexError, match="index 6 out of range for storage of size 6"):
        typed[6]
    with pytest.raises(TypeError, match="can't index a storage with str"):
        typed["a"]
    assert ng.empty(0).untyped_storage().nbytes() == 0 and not ng.is_storage(x)


def test_shared_memory():
    import os

    x = ng.nn.Parameter(ng.ones(3))
    assert not x.is_shared() and x.share_memory_() is x and x.is_shared() and x.tolist() == [1, 1, 1] and x.requires_grad
    child = os.fork()
    if child == 0:
        x.detach()[1] = 5.0
        os._exit(0)
    os.waitpid(child, 0)
    assert x.tolist() == [1, 5, 1]
    with pytest.raises(RuntimeError, match="share_memory_: this is a view"):
        ng.ones(3)[1:].share_memory_()


def test_python_functions_on_every_element():
    x, y = ng.tensor([[1, 2], [3, 4]]), ng.tensor([10, 20])
    assert x.apply_(lambda v: v * v) is x and x.tolist() == [[1, 4], [9, 16]]
    assert x.map_(y, lambda a, b: a + b).tolist() == [[11, 24], [19, 36]]
    assert x.map2_(y, y, lambda a, b, c: a - b - c).tolist() == [[-9, -16], [-1, -4]]
    with pytest.raises(RuntimeError, match=r"Can't call apply_\(\) on Variable that requires grad"):
        ng.ones(2, requires_grad=True).apply_(abs)


def test_questions_about_tensors():
    x = ng.ones(2, 3)
    assert not any((x.is_conj(), x.is_neg(), x.is_inference(), x.is_meta, x.is_quantized, x.is_mps, x.is_nested, x.is_shared()))
    assert x.to_dense() is x and x.to_dense(ng.float64).dtype is ng.float64 and (x.sparse_dim(), x.dense_dim()) == (0, 2)
    assert x.dim_order() == (0, 1) and x.t().dim_order() == (1, 0) and x.name is None and x.const_data_ptr() == x.data_ptr()
    assert x.double().new(2, 2).dtype is ng.float64 and x.int().new([1, 2]).tolist() == [1, 2] and x.new().shape == (0,)

    class Named(ng.Tensor):
        pass

    leaf = ng.ones(2, requires_grad=True)
    made = leaf.as_subclass(Named)
    assert type(made) is Named and made.data_ptr() == leaf.data_ptr()
    (made * 3).sum().backward()
    assert leaf.grad.tolist() == [3, 3]
    assert ng.typename(x) == "numbagrad.FloatTensor" and ng.typename(3) == "int" and ng.typename(ng.nn.ReLU()).endswith(".ReLU")


def test_switches():
    assert ng.get_num_interop_threads() == 1 and ng.set_flush_denormal(True) is False and not ng.is_inference_mode_enabled()
    for mode, (wanted, warn_only) in {"error": (True, False), 1: (True, True), "default": (False, False)}.items():
        ng.set_deterministic_debug_mode(mode)
        assert ng.are_deterministic_algorithms_enabled() is wanted and ng.is_deterministic_algorithms_warn_only_enabled() is warn_only
    assert ng.get_deterministic_debug_mode() == 0
    with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
        ng.set_deterministic_debug_mode(7)
    try:
        ng.set_default_tensor_type(ng.DoubleTensor)
        assert ng.ones(1).dtype is ng.float64
        with pytest.raises(TypeError, match="only floating-point types"):
            ng.set_default_tensor_type("numbagrad.LongTensor")
    finally:
        ng.set_default_tensor_type("numbagrad.FloatTensor")
    assert ng.get_default_dtype() is ng.float32
    assert ng.version.__version__ == ng.__version__ and ng.version.hip is None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ng.nothing


def test_tensors_in_a_file(tmp_path):
    path = str(tmp_path / "values")
    with pytest.raises(RuntimeError, match="has 0 bytes, but 4 elements of float32 need 16"):
        ng.from_file(path, size=4)
    ng.from_file(path, shared=True, size=4)[:] = ng.arange(4.0)
    again = ng.from_file(path, size=4)
    assert again.tolist() == [0, 1, 2, 3]
    again[0] = 9
    assert ng.from_file(path, size=4, dtype=ng.float32)[0] == 0


def test_dlpack_capsules():
    from numbagrad.utils.dlpack import from_dlpack, to_dlpack

    x = ng.arange(3.0)
    capsule = to_dlpack(x)
    y = from_dlpack(capsule)
    y[0] = 7
    assert x.tolist() == [7, 1, 2] and from_dlpack(x).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match=r"[cC]apsule"):
        from_dlpack(capsule)


def test_settings_of_backends():
    with ng.backends.cudnn.flags(enabled=True, benchmark=True):
        assert ng.backends.cudnn.benchmark is True
    assert ng.backends.cudnn.benchmark is False and ng.backends.cudnn.version() is None
    assert ng.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "NEON", "DEFAULT")
    assert not any(getattr(ng.backends, name).is_available() for name in ("mkl", "mkldnn", "openmp", "opt_einsum"))
