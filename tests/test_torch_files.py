"""Reading PyTorch's own files, and refusing what is more than tensors and plain containers."""

import io
import pickle
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest

import numbagrad as ng

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def saved(obj, zipped=True):
    file = io.BytesIO()
    torch.save(obj, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def loaded(data):
    return ng.load(io.BytesIO(data))


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype, zipped):
    value = torch.tensor([[1, 0, 3], [4, 5, 0]]).to(getattr(torch, dtype))
    found = loaded(saved(value, zipped))
    assert str(found.dtype).endswith(dtype) and found.to(ng.complex128).tolist() == value.to(torch.complex128).tolist()


@BOTH
def test_a_checkpoint(zipped):
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "name": "net",
        "rates": [0.1, None, True],
        "size": torch.Size([2, 3]),
    }
    state |= {
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "counts": Counter("aab"),
        "set": {1, 2},
        "big": 2**70,
        "pair": (1, ("x", b"y")),
    }
    found = loaded(saved(state, zipped))
    assert type(found["model"]) is OrderedDict and found["model"]._metadata[""]["version"] == 1
    ours = ng.nn.Sequential(ng.nn.Conv2d(1, 3, 3), ng.nn.BatchNorm2d(3), ng.nn.Flatten(), ng.nn.Linear(12, 2))
    ours.load_state_dict(found["model"])
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    ours.eval(), model.eval()
    np.testing.assert_allclose(ours(ng.from_numpy(x)).detach().numpy(), model(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
    resumed = ng.optim.Adam(ours.parameters())
    resumed.load_state_dict(found["optimizer"])
    assert resumed.state[ours[0].weight]["step"].item() == 1
    assert {k: found[k] for k in ("epoch", "name", "rates", "counts", "set", "big", "pair")} == {
        k: state[k] for k in ("epoch", "name", "rates", "counts", "set", "big", "pair")
    }
    assert found["size"] == ng.Size([2, 3]) and found["dtype"] is ng.float16 and found["device"] == ng.device("cpu")


@BOTH
def test_views_share_their_storage(zipped):
    base = torch.arange(12.0)
    found = loaded(
        saved({"a": base[2:8].view(2, 3).t(), "b": base, "empty": base[:0], "scalar": base[3], "wide": base[5].expand(4)}, zipped)
    )
    assert found["a"].tolist() == base[2:8].view(2, 3).t().tolist() and found["a"].stride() == (1, 3)
    found["b"][2] = 99
    assert (
        found["a"][0, 0].item() == 99 and found["empty"].shape == (0,) and found["scalar"].item() == 3 and found["wide"].tolist() == [5] * 4
    )


@BOTH
def test_parameters_conjugates_and_negatives(zipped):
    z = torch.tensor([1 + 2j, 3 - 1j])
    weight = torch.nn.Parameter(torch.ones(2), requires_grad=True)
    found = loaded(saved([weight, torch.ones(2, requires_grad=True), z.conj(), weight], zipped))
    assert isinstance(found[0], ng.nn.Parameter) and found[0].requires_grad and found[0] is found[3]
    assert not isinstance(found[1], ng.nn.Parameter) and found[1].requires_grad
    assert found[2].tolist() == [1 - 2j, 3 + 1j] and loaded(saved(z.conj().imag, zipped)).tolist() == [-2, 1]


def test_map_location():
    seen = []
    ng.load(io.BytesIO(saved(torch.ones(2))), map_location=lambda tensor, place: seen.append(place))
    assert seen == ["cpu"]


class Touch:
    """Pickles as a call that leaves a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@BOTH
def test_nothing_in_a_file_is_run(tmp_path, zipped):
    target = tmp_path / "trace"
    with pytest.raises(RuntimeError, match=r"io\.open|builtins\.open|_io\.open"):
        loaded(saved({"a": torch.ones(1), "b": Touch(target)}, zipped))
    assert not target.exists()


@pytest.mark.parametrize(
    "value",
    [torch.nn.Linear(1, 1), torch.optim.SGD, torch.ones(2).to_sparse(), np.float64(1.0), Exception("x")],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_plain_container_is_refused_by_name(value):
    with pytest.raises(RuntimeError, match="not read"):
        loaded(saved(value))


def altered(data, change):
    """The archive with another program."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            blob = old.read(name)
            new.writestr(name, change(blob) if name.endswith("data.pkl") else blob)
    return out.getvalue()


PROGRAMS = {
    "a call of a list": b"\x80\x02]]R.",
    "attributes of a type": b"\x80\x02ctorch\nfloat32\n}X\x01\x00\x00\x00aK\x01sb.",
    "attributes of a class": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    "an instance": b"(ios\nsystem\n.",
    "a registered extension": b"\x80\x02\x82\x01.",
    "a storage that is none": b"\x80\x02X\x01\x00\x00\x00aQ.",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_other_programs_are_refused(program):
    with pytest.raises(RuntimeError, match=r"not read|builds no plain container|no storage"):
        loaded(altered(saved(torch.ones(2)), lambda _: PROGRAMS[program]))


def test_tensors_stay_within_their_storage():
    data = saved(torch.ones(3))
    for change in (
        lambda p: p.replace(b"K\x03\x85", b"K\x04\x85"),
        lambda p: p.replace(b"QK\x00", b"QK\x01"),
        lambda p: p.replace(b"K\x01\x85", b"K\x02\x85"),
    ):
        broken = altered(data, change)
        with pytest.raises(RuntimeError, match="beyond its storage"):
            loaded(broken)


@BOTH
def test_damaged_files(zipped):
    data = saved({"a": torch.ones(100), "b": [1, 2]}, zipped)
    for end in range(3, len(data) - 1, max(1, len(data) // 40)):
        with pytest.raises(RuntimeError):
            loaded(data[:end])


def test_an_ordinary_zip_archive_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(RuntimeError, match="without the tensors"):
        loaded(file.getvalue())
    with pytest.raises(RuntimeError):
        loaded(pickle.dumps({"a": 1}))
