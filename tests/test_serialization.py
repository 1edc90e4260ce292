"""save and load: every dtype and structure, atomic writes, and files that are not what they should be."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import stat
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.numpy

import numbagrad as ng
from numbagrad import nn, serialization

DTYPES = [
    ng.bool, ng.uint8, ng.int8, ng.int16, ng.int32, ng.int64, ng.float16, ng.bfloat16, ng.float32, ng.float64, ng.complex64,
]  # fmt: skip


def same(a, b):
    """The same structure, types, values, dtypes and flags."""
    assert type(a) is type(b)
    if isinstance(a, ng.Tensor):
        assert a.dtype is b.dtype and a.shape == b.shape and a.requires_grad == b.requires_grad and a._data.tobytes() == b._data.tobytes()
    elif isinstance(a, dict):
        assert list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b]
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert a == b or (a != a and b != b)


def round_trip(value, path):
    ng.save(value, path)
    return ng.load(path)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype, tmp_path):
    values = ng.tensor([[0, 1, 0], [1, 1, 0]]).to(dtype)
    same(
        round_trip({"a": values, "empty": values[:0], "scalar": values[0, 1]}, tmp_path / "x"),
        {"a": values, "empty": values[:0], "scalar": values[0, 1]},
    )


def test_complex128_is_refused_before_a_byte_is_written(tmp_path):
    with pytest.raises(TypeError, match="'z' is complex128"):
        ng.save({"z": ng.zeros(2, dtype=ng.complex128)}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_layouts(tmp_path):
    base = ng.arange(12.0).reshape(3, 4)
    for view in (base.T, base[:, ::2], base[1:], base[0].expand(3, 4)):
        found = round_trip(view, tmp_path / "x")
        assert ng.equal(found, view) and found.is_contiguous()


STRUCTURES = {
    "none": None, "numbers": [1, -2.5, True, 10**30, float("inf"), float("-inf"), 1e-300], "nan": float("nan"), "text": "α\n\"", "empty": [{}, [], (), ""],
    "nested": {"a": [1, (2, {"b": None})], 3: "int key", 2.5: "float key", (1, 2): "tuple key", None: 0, True: 1},
    "ordered": OrderedDict([("z", 1), ("a", OrderedDict())]), "dtype": {"d": ng.float32, "x": [ng.bfloat16]}, "kind": {"kind": "tensor", "items": [1]},
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name, tmp_path):
    same(round_trip(STRUCTURES[name], tmp_path / "x"), STRUCTURES[name])


def test_tensors_in_structures(tmp_path):
    value = {
        "w": nn.Parameter(ng.ones(2)), "frozen": nn.Parameter(ng.ones(1), requires_grad=False), "leaf": ng.zeros(1, requires_grad=True),
        "__metadata__": ng.ones(5), "list": [ng.zeros(1), (ng.ones(2),)], 1: ng.ones(3), "1": ng.zeros(3), "a.b": ng.ones(1),
        "a": {"b": ng.zeros(1)}, "": ng.ones(4),
    }  # fmt: skip
    same(round_trip(value, tmp_path / "x"), value)


def test_numpy_values(tmp_path):
    found = round_trip({"a": np.arange(3), "b": np.float32(1.5), "c": np.int64(7), "d": np.bool_(True)}, tmp_path / "x")
    assert found["a"].tolist() == [0, 1, 2] and found["b"] == 1.5 and found["c"] == 7 and found["d"] is True


def test_shared_storage_and_names(tmp_path):
    tied = ng.randn(3)
    found = round_trip({"a": tied, "b": tied}, tmp_path / "x")
    assert ng.equal(found["a"], tied) and ng.equal(found["b"], tied)
    found["a"].fill_(0)  # what is loaded can be written to


STRANGERS = [object(), {1, 2}, lambda: 0, {"a": [object()]}, b"bytes", 1j]


@pytest.mark.parametrize("value", STRANGERS, ids=["object", "set", "function", "nested", "bytes", "complex"])
def test_what_cannot_be_stored(value, tmp_path):
    path = tmp_path / "x"
    ng.save(1, path)
    with pytest.raises(TypeError, match="save: cannot store a"):
        ng.save(value, path)
    assert ng.load(path) == 1 and list(tmp_path.iterdir()) == [path]


def test_whole_modules_are_refused_with_advice(tmp_path):
    with pytest.raises(TypeError, match=r"cannot store a Linear \(at 'model'\); save its state_dict\(\)"):
        ng.save({"model": nn.Linear(1, 1)}, tmp_path / "x")


def test_module_and_optimizer(tmp_path):
    def fresh():
        ng.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        return model, ng.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)

    def train(model, optimizer, steps):
        for i in range(steps):
            optimizer.zero_grad()
            model(ng.arange(15.0).reshape(5, 3) / (i + 3)).square().mean().backward()
            optimizer.step()

    model, optimizer = fresh()
    train(model, optimizer, 2)
    ng.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": ng.get_rng_state(), "epoch": 2}, tmp_path / "c.pt")
    train(model, optimizer, 2)
    again, other = fresh()
    checkpoint = ng.load(tmp_path / "c.pt", map_location="cpu", weights_only=True)
    same(checkpoint["rng"], ng.get_rng_state())
    again.load_state_dict(checkpoint["model"])
    other.load_state_dict(checkpoint["optimizer"])
    train(again, other, 2)
    same(again.state_dict(), model.state_dict())
    same(other.state_dict(), optimizer.state_dict())


# ---- where it is written -----------------------------------------------------------------------------------------------------------


def test_file_objects(tmp_path):
    stream = io.BytesIO()
    ng.save([1, ng.ones(2)], stream)
    stream.seek(0)
    assert ng.load(stream)[1].tolist() == [1, 1]
    with open(tmp_path / "x", "wb") as file:
        ng.save({"a": 1}, file)
    with open(tmp_path / "x", "rb") as file:
        assert ng.load(file) == {"a": 1}


def test_names_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("plain.pt", str(tmp_path / "é 1.pt"), tmp_path / "pathlib.pt"):
        ng.save(3, path)
        assert ng.load(path) == 3


def test_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        ng.save(1, tmp_path / "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    ng.save(1, tmp_path / "real" / "x")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "x")
    ng.save(2, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and ng.load(tmp_path / "real" / "x") == 2


def test_missing_folder(tmp_path):
    with pytest.raises(RuntimeError, match=r"Parent directory .*no does not exist"):
        ng.save(1, tmp_path / "no" / "x")
    with pytest.raises(FileNotFoundError):
        ng.load(tmp_path / "no")


class _Full:
    """A file that takes a few bytes, then finds the disk full."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()

    def write(self, data):
        self.file.write(data[:10])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    ng.save({"a": ng.ones(3)}, path)
    before = path.read_bytes()
    real = os.fdopen
    monkeypatch.setattr(serialization.os, "fdopen", lambda *a, **k: _Full(real(*a, **k)))
    with pytest.raises(OSError, match="No space left"):
        ng.save({"a": ng.zeros(3)}, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=["EIO", "Ctrl-C"])
def test_failing_write_leaves_the_old_file(call, error, tmp_path, monkeypatch):
    path = tmp_path / "x"
    ng.save("old", path)

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(serialization.os, call, fail)
        with pytest.raises(type(error)):
            ng.save("new", path)
    assert ng.load(path) == "old" and list(tmp_path.iterdir()) == [path]


# ---- files that are something else -------------------------------------------------------------------------------------------------


def test_plain_safetensors_file(tmp_path):
    path = tmp_path / "m.safetensors"
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3, np.int64)}
    safetensors.numpy.save_file(arrays, path, {"format": "pt"})
    found = ng.load(path)
    assert (
        set(found) == {"w", "n"} and found["w"].tolist() == arrays["w"].tolist() and found["n"].item() == 3 and found["n"].dtype is ng.int64
    )


def test_others_can_read_ours(tmp_path):
    ng.save({"layer": {"weight": ng.ones(2, 2)}}, tmp_path / "x")
    assert safetensors.numpy.load_file(tmp_path / "x")["layer.weight"].tolist() == [[1, 1], [1, 1]]


def test_truncated_anywhere(tmp_path):
    path = tmp_path / "cut.pt"
    ng.save({"a": ng.arange(8), "b": [1, 2]}, path)
    whole = path.read_bytes()
    for size in [*range(0, 40, 7), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(RuntimeError, match=r"cut\.pt"):
            ng.load(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(RuntimeError, match=r"cut\.pt"):
        ng.load(path)


def _edited(path, change):
    """The file with its JSON header changed."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def _description(change):
    def edit(header):
        described = json.loads(header["__metadata__"]["numbagrad"])
        described = change(described) or described
        header["__metadata__"]["numbagrad"] = json.dumps(described)

    return edit


DAMAGE = {
    "not json": lambda h: h["__metadata__"].update(numbagrad="{"),
    "a list": lambda h: h["__metadata__"].update(numbagrad="[]"),
    "a number": lambda h: h["__metadata__"].update(numbagrad="3"),
    "empty": _description(lambda d: d.clear()),
    "newer": _description(lambda d: d.update(format=99)),
    "format": _description(lambda d: d.update(format="x")),
    "unknown kind": _description(lambda d: d["structure"].update(kind="code", items=[])),
    "no kind": _description(lambda d: d["structure"].pop("kind")),
    "no such tensor": _description(lambda d: d["structure"]["items"][0][1].update(name="b")),
    "no such dtype": _description(lambda d: d.update(structure={"kind": "dtype", "name": "float7"})),
    "pairs": _description(lambda d: d["structure"].update(items=[[1]])),
    "items": _description(lambda d: d["structure"].update(items=5)),
    "bare list": _description(lambda d: d.update(structure=[1])),
    "unhashable key": _description(lambda d: d["structure"].update(items=[[{"kind": "list", "items": []}, 1]])),
    "flag": _description(lambda d: d.update(structure={"kind": "tensor", "name": "n", "requires_grad": True})),
    "offsets": lambda h: h["a"].update(data_offsets=[0, 10**6]),
    "shape": lambda h: h["a"].update(shape=[-1]),
    "dtype": lambda h: h["a"].update(dtype="F8_E4M3", shape=[12]),
    "deep": lambda h: h["__metadata__"].update(
        numbagrad='{"format": 1, "structure": ' + '{"kind": "list", "items": [' * 9999 + "]}" * 9999 + "}"
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged(case, tmp_path):
    path = tmp_path / "damaged.pt"
    ng.save({"a": ng.ones(3), "n": ng.zeros(1, dtype=ng.int64)}, path)
    _edited(path, DAMAGE[case])
    with pytest.raises(RuntimeError, match=r"damaged\.pt"):
        ng.load(path)


def test_nested_too_deeply(tmp_path):
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RecursionError):
        ng.save(value, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


class _Mine:
    def __reduce__(self):
        return os.mkdir, (os.environ["NUMBAGRAD_TEST_MARK"],)


def test_pickle_is_refused_unexecuted(tmp_path, monkeypatch):
    mark = tmp_path / "executed"
    monkeypatch.setenv("NUMBAGRAD_TEST_MARK", str(mark))
    path = tmp_path / "pickled.pt"
    path.write_bytes(pickle.dumps(_Mine()))
    for weights_only in (True, False):
        with pytest.raises(RuntimeError, match=r"pickled\.pt is not a readable checkpoint"):
            ng.load(path, weights_only=weights_only)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the pickle was a live one
    assert mark.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04" * 30, b"\xff" * 64, b"not a checkpoint at all, just text"], ids=len)
def test_foreign_files(content, tmp_path):
    path = tmp_path / "foreign.bin"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"foreign\.bin"):
        ng.load(path)
    with pytest.raises(RuntimeError, match="the given file"):
        ng.load(io.BytesIO(content))
    assert path.read_bytes() == content


def test_map_location(tmp_path):
    ng.save(ng.ones(1), tmp_path / "x")
    for place in ("cpu", ng.device("cpu"), None, {"cuda:0": "cpu"}, lambda storage, loc: storage):
        assert ng.load(tmp_path / "x", map_location=place).item() == 1
    with pytest.raises(RuntimeError, match="CUDA"):
        ng.load(tmp_path / "x", map_location="cuda")
