"""``save`` and ``load``: tensors in a safetensors file, the structure around them as JSON in its header.  No pickle.

The file is an ordinary safetensors file (any tool that reads the format sees the tensors); the header's metadata entry ``numbagrad`` describes
dictionaries, lists, tuples and plain values, with tensors by name.  Written beside its target and moved into place, so that a crash or
a full disk leaves the old file as it was.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Iterator

import numpy as np
import safetensors

from . import dtypes, torch_files
from .devices import as_device, cpu, device
from .kernels import copy as copy_kernels
from .tensor import Parameter, Tensor, wrap

_FORMAT = 1
_READ = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip


def _encode(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    """``value`` as JSON; tensors are put aside under their path."""
    if isinstance(value, Tensor):
        name = _unused(where or "tensor", tensors)
        tensors[name] = value
        kind = "parameter" if isinstance(value, Parameter) else "tensor"
        place = {} if value.device == cpu else {"device": str(value.device)}
        return {"kind": kind, "name": name, "requires_grad": value.requires_grad, **place}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return value if type(value) in (int, float) else value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return _encode(value.item(), tensors, where)
    if isinstance(value, dtypes.dtype):
        return {"kind": "dtype", "name": value.name}
    if isinstance(value, dict):
        items = [[_encode(k, tensors, where), _encode(v, tensors, f"{where}.{k}" if where else str(k))] for k, v in value.items()]
        return {"kind": "ordered" if isinstance(value, OrderedDict) else "dict", "items": items}
    if isinstance(value, (list, tuple)):
        items = [_encode(v, tensors, f"{where}.{i}" if where else str(i)) for i, v in enumerate(value)]
        return {"kind": "tuple" if isinstance(value, tuple) else "list", "items": items}
    if isinstance(value, np.ndarray):
        return _encode(wrap(np.ascontiguousarray(value)), tensors, where)
    hint = "; save its state_dict()" if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: cannot store a {type(value).__name__} (at {where or 'the top'!r}){hint}; "
        "tensors, numbers, strings and dicts, lists and tuples of them can be"
    )


def _unused(name: str, tensors: dict[str, Tensor]) -> str:
    """``name``, or where another tensor has it (keys 1 and "1", "a.b" and "a" over "b") ``name~2`` and so on."""
    found, n = name, 1
    while found in tensors or found == "__metadata__":
        n += 1
        found = f"{name}~{n}"
    return found


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What ``_encode`` described.  Raises KeyError, TypeError, ValueError or RuntimeError for what it would not have written."""
    if isinstance(value, list):
        raise ValueError("a list without a kind")
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    if kind in ("tensor", "parameter"):
        tensor = tensors[value["name"]]
        if kind == "parameter":
            return Parameter(tensor, value["requires_grad"])
        return tensor.requires_grad_() if value["requires_grad"] else tensor
    if kind == "dtype":
        return dtypes.named(value["name"])
    items = value["items"]
    if kind in ("dict", "ordered"):
        made = ((_decode(k, tensors), _decode(v, tensors)) for k, v in items)
        return OrderedDict(made) if kind == "ordered" else dict(made)
    if kind not in ("tuple", "list"):
        raise ValueError(f"unknown kind {kind!r}")
    found = [_decode(v, tensors) for v in items]
    return tuple(found) if kind == "tuple" else found


def _bytes(obj: Any) -> bytes:
    tensors: dict[str, Tensor] = {}
    structure = _encode(obj, tensors, "")
    entries, kept = {}, []
    for name, tensor in tensors.items():
        kind = tensor.dtype.name
        data = copy_kernels.contiguous(copy_kernels.transfer(tensor._data, "cpu"))
        if kind == "complex128":
            raise TypeError(f"save: {name!r} is complex128, which the safetensors format does not have; store its real and imaginary parts")
        kept.append(data)  # the entry holds its address only
        entries[name] = safetensors.TensorSpec(
            dtype=kind, shape=list(tensor.shape), data_ptr=data.__array_interface__["data"][0], data_len=data.nbytes
        )
    return bytes(safetensors.serialize(entries, {"numbagrad": json.dumps({"format": _FORMAT, "structure": structure})}))


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` so that at every moment the file is the old one or the new one, whole."""
    target = Path(os.path.realpath(path))  # as open() would, write through a link
    if not target.parent.is_dir():
        raise RuntimeError(f"Parent directory {target.parent} does not exist.")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(obj: Any, f: str | os.PathLike[str] | BinaryIO) -> None:
    """Store tensors, numbers, strings, and dicts, lists and tuples of them, in a path (atomically) or an open binary file.

    NumPy's arrays and numbers are stored as tensors and numbers; tensors that share storage come back as tensors of their own.
    Raises TypeError for anything else, before a byte is written.
    """
    data = _bytes(obj)
    if hasattr(f, "write"):
        f.write(data)  # type: ignore[union-attr]
    else:
        write_file(f, data)  # type: ignore[arg-type]


def load(f: str | os.PathLike[str] | BinaryIO, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What ``save`` stored; a safetensors file from elsewhere gives a dict of its tensors, and of PyTorch's ``.pt`` and ``.pth`` files tensors and plain
    containers are read.

    Never executes anything in the file.  A tensor comes to the device that it was saved from; ``map_location`` changes that: a device for all, a dict from
    devices' names to devices, or a function of the tensor on the CPU and the name of its device, that returns the tensor where it is to be, or None.
    Raises FileNotFoundError, or RuntimeError naming the file where it is truncated, damaged or of another format, or for a device that cannot be used.
    """
    if not (map_location is None or isinstance(map_location, dict) or callable(map_location)):
        map_location = as_device(map_location, "load")
    name = getattr(f, "name", "the given file") if hasattr(f, "read") else os.fspath(f)  # type: ignore[arg-type]
    data = f.read() if hasattr(f, "read") else Path(f).read_bytes()  # type: ignore[union-attr,arg-type]
    if torch_files.is_torch_file(data):
        return torch_files.read(data, name, lambda tensor, place: _located(tensor, place, map_location))
    try:
        found = safetensors.deserialize(data)
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
    except Exception as error:
        raise RuntimeError(f"load: {name} is not a readable checkpoint (a safetensors file): {error}") from None
    tensors = {key: _tensor(key, entry, name) for key, entry in found}
    description = (header.get("__metadata__") or {}).get("numbagrad")
    if description is None:
        return {key: _located(tensor, "cpu", map_location) for key, tensor in tensors.items()}
    try:
        parsed = json.loads(description)
        newer = parsed["format"] > _FORMAT
        places = {} if newer else dict(_places(parsed["structure"]))
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise RuntimeError(f"load: {name} has a damaged description: {error!r}") from None
    tensors = {key: _located(tensor, places.get(key, "cpu"), map_location) for key, tensor in tensors.items()}
    try:
        made = None if newer else _decode(parsed["structure"], tensors)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise RuntimeError(f"load: {name} has a damaged description: {error!r}") from None
    if newer:
        raise RuntimeError(
            f"load: {name} was written by a newer version of numbagrad (format {parsed['format']}, this one reads up to {_FORMAT})"
        )
    return made


def _places(value: Any) -> Iterator[tuple[str, str]]:
    """The names of the tensors in a description that were saved from a GPU, and of that GPU."""
    if isinstance(value, dict) and "device" in value:
        yield value["name"], str(device(value["device"]))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _places(inner)


def _located(tensor: Tensor, place: str, map_location: Any) -> Tensor:
    """``tensor``, which was saved from the device called ``place``, where ``map_location`` sends it."""
    if isinstance(map_location, device):
        return tensor.to(map_location)  # type: ignore[attr-defined]
    if isinstance(map_location, dict):
        return tensor.to(as_device(map_location.get(place, place), "load"))  # type: ignore[attr-defined]
    moved = None if map_location is None else map_location(tensor, place)
    if isinstance(moved, Tensor):
        return moved
    if moved is not None:
        raise RuntimeError(f"load: map_location returned a {type(moved).__name__}, but a tensor or None was expected")
    if place == "cpu":
        return tensor
    try:
        return tensor.to(place)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise RuntimeError(
            f"Attempting to deserialize object on CUDA device {place}, but it cannot be used. If you are running on a CPU-only machine, please use "
            f"load with map_location=device('cpu') to map your storages to the CPU. ({error})"
        ) from None


def _tensor(key: str, entry: dict[str, Any], name: Any) -> Tensor:
    kind = _READ.get(entry["dtype"])
    if kind is None:
        raise RuntimeError(f"load: {name}: tensor {key!r} has dtype {entry['dtype']}, which numbagrad does not have")
    return wrap(np.frombuffer(bytearray(entry["data"]), dtypes.named(kind).numpy).reshape(entry["shape"]))
