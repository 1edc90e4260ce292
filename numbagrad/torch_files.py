"""Reading the ``.pt`` and ``.pth`` files of PyTorch's ``save``: tensors and plain containers, without running what is in the file.

Such a file describes its structure as a program for Python's pickle machine.  Here that program is read by a machine of our own which knows the
instructions that build containers, numbers and strings, and a short list of names (tensors, parameters, ordered dictionaries, sizes, dtypes, devices); it
calls nothing else, so that a file with anything else in it is refused by name.  Both containers are read: the zip archive (PyTorch 1.6 and newer) and the
plain sequence of pickles before it.
"""

from __future__ import annotations

import io
import pickletools
import sys
import zipfile
from collections import Counter, OrderedDict
from typing import Any, Callable, Iterator, NamedTuple

import numpy as np

from . import dtypes
from .devices import device
from .size import Size
from .tensor import Parameter, Tensor, wrap

__all__ = ["is_torch_file", "read"]

Located = Callable[[Tensor, str], Tensor]

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "BoolStorage": "bool", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32", "LongStorage": "int64",
    "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "FloatStorage": "float32", "DoubleStorage": "float64", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip


class _Refused(ValueError):
    """The file asks for what is not read."""


def is_torch_file(data: bytes) -> bool:
    """Whether ``data`` begins as a file of PyTorch's does."""
    return data[:4] == _ZIP or (data[:1] == b"\x80" and len(data) > 2 and data[1] in range(2, 6) and data[2:3] == b"\x8a")


def read(data: bytes, name: Any, located: Located) -> Any:
    """The object in ``data``; ``located(tensor, place)`` brings a tensor that was saved from the device ``place`` to where it is to be.

    Raises RuntimeError, which names the file and what it contains, for one that is damaged or holds anything but tensors and plain containers.
    """
    try:
        return _read_zip(data, located) if data[:4] == _ZIP else _read_legacy(data, located)
    except _Refused as error:
        raise RuntimeError(f"load: {name}: {error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError, TypeError, AttributeError, EOFError, OverflowError) as error:
        raise RuntimeError(f"load: {name} is a damaged file of PyTorch's: {error!r}") from None


# ---- storages ----------------------------------------------------------------------------------------------------------------------------


class _Storage:
    """The elements of one or more tensors.  Those of the older container come after all tensors, which are filled then."""

    def __init__(self, kind: str, size: int, place: str, swap: bool):
        self.dtype = None if kind == "UntypedStorage" else dtypes.named(_STORAGES[kind]).numpy
        self.size, self.place, self.swap = size, place, swap
        self.memory: Any = None

    def fill(self, data: bytes) -> None:
        """Take the bytes of the file, which belong to this storage from then on."""
        self.memory[: len(data)] = np.frombuffer(data, np.uint8)

    def reserve(self) -> None:
        self.memory = np.zeros(self.size * (1 if self.dtype is None else self.dtype.itemsize), np.uint8)

    def view(self, dtype: np.dtype, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
        """Elements of ``dtype`` at ``offset``, checked to lie within."""
        if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
            raise ValueError(f"a tensor of size {size} with strides {stride} at {offset}")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if all(size) else offset - 1
        elements = self.memory[: len(self.memory) // dtype.itemsize * dtype.itemsize].view(dtype)
        if last >= len(elements):
            raise ValueError(
                f"a tensor of size {size} with strides {stride} at {offset} reaches beyond its storage of {len(elements)} elements"
            )
        steps = tuple(s * dtype.itemsize for s in stride)
        return np.lib.stride_tricks.as_strided(elements[offset:] if all(size) else elements[:0], size, steps)


# ---- what a name in a file stands for -----------------------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """A name that may be called, and what that gives."""

    name: str
    make: Callable[..., Any]


class _Deferred(NamedTuple):
    """A tensor that is made once its storage is filled."""

    make: Callable[[Located], Tensor]


def _tensor(
    storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any, extra: Any = None, *, kind: Any = None
) -> _Deferred:
    if not isinstance(storage, _Storage) or hooks:
        raise _Refused("a tensor with hooks is not read" if hooks else "a tensor without a storage is not read")
    found = storage.dtype if kind is None else kind
    if found is None:
        raise ValueError("an untyped storage without a dtype")

    def make(located: Located) -> Tensor:
        array = storage.view(found, offset, tuple(size), tuple(stride))
        if storage.swap:
            array = array.byteswap()
        if extra and extra.get("conj"):
            array = array.conj()
        if extra and extra.get("neg"):
            array = -array
        made = located(wrap(array), storage.place)
        return made.requires_grad_() if requires_grad else made

    return _Deferred(make)


def _typed_tensor(
    storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any, dtype: Any, extra: Any = None
) -> _Deferred:
    return _tensor(storage, offset, size, stride, requires_grad, hooks, extra, kind=dtype.numpy)


def _parameter(data: Any, requires_grad: bool, hooks: Any, state: Any = None) -> _Deferred:
    if not isinstance(data, _Deferred) or hooks or state:
        raise _Refused("a parameter with hooks or attributes is not read")
    return _Deferred(lambda located: Parameter(data.make(located).detach(), requires_grad))


def _named() -> dict[tuple[str, str], Any]:
    utils = "torch._utils"
    known: dict[tuple[str, str], Any] = {
        (utils, "_rebuild_tensor_v2"): _Call("tensor", _tensor),
        (utils, "_rebuild_tensor_v3"): _Call("tensor", _typed_tensor),
        (utils, "_rebuild_parameter"): _Call("parameter", _parameter),
        (utils, "_rebuild_parameter_with_state"): _Call("parameter", _parameter),
        ("torch", "Size"): _Call("Size", lambda sizes=(): Size(sizes)),
        ("torch", "device"): _Call("device", lambda kind, index=None: device(kind if index is None else f"{kind}:{index}")),
        ("collections", "OrderedDict"): _Call("OrderedDict", lambda items=(): OrderedDict(items)),
        ("collections", "Counter"): _Call("Counter", lambda items=(): Counter(items)),
        ("_codecs", "encode"): _Call("bytes", lambda text, _: text.encode("latin1")),  # how bytes are written there
        ("torch.storage", "UntypedStorage"): "UntypedStorage",
    }
    for module in ("builtins", "__builtin__"):
        known[module, "set"] = _Call("set", lambda items=(): set(items))
        known[module, "frozenset"] = _Call("frozenset", lambda items=(): frozenset(items))
    known |= {("torch", kind): kind for kind in _STORAGES}
    return known


_NAMED = _named()


def _global(module: str, name: str) -> Any:
    found = _NAMED.get((module, name))
    if found is None and module == "torch":
        try:
            found = dtypes.named(name)
        except (KeyError, RuntimeError, TypeError, ValueError):
            found = None
    if found is None:
        raise _Refused(
            f"it contains {module}.{name}, which is not read: only tensors and plain containers of them are (in PyTorch, save the model's state_dict())"
        )
    return found


# ---- the machine --------------------------------------------------------------------------------------------------------------------------

_MARK = object()
_VALUES = frozenset(
    """BININT BININT1 BININT2 INT LONG LONG1 LONG4 BINFLOAT FLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 UNICODE BINBYTES SHORT_BINBYTES BINBYTES8
    BINSTRING SHORT_BINSTRING STRING""".split()
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set, "MARK": lambda: _MARK,
}  # fmt: skip
_NOTHING = frozenset(("PROTO", "FRAME"))


class _Machine:
    """Runs the instructions of one pickle that build containers, and those calls that ``_NAMED`` lists.  ``stored`` answers for a storage."""

    def __init__(self, stored: Callable[[Any], Any]):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.stored = stored

    def run(self, stream: Any) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name not in _NOTHING:
                act = getattr(self, f"_{name.lower()}", None)
                if act is None:
                    raise _Refused(f"it contains the instruction {name}, which builds no plain container")
                act(argument)
        raise EOFError("no end")

    def _above_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._above_mark()))

    def _few(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def _tuple1(self, _: Any) -> None:
        self._few(1)

    def _tuple2(self, _: Any) -> None:
        self._few(2)

    def _tuple3(self, _: Any) -> None:
        self._few(3)

    def _list(self, _: Any) -> None:
        self.stack.append(self._above_mark())

    def _dict(self, _: Any) -> None:
        items = self._above_mark()
        self.stack.append(dict(zip(items[::2], items[1::2])))

    def _frozenset(self, _: Any) -> None:
        self.stack.append(frozenset(self._above_mark()))

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self._top(list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._above_mark()
        self._top(list).extend(items)

    def _additems(self, _: Any) -> None:
        items = self._above_mark()
        self._top(set).update(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict)[key] = value

    def _setitems(self, _: Any) -> None:
        items = self._above_mark()
        self._top(dict).update(zip(items[::2], items[1::2]))

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"{type(self.stack[-1]).__name__} where a {kind.__name__} is expected")
        return self.stack[-1]

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._above_mark()

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _global(self, names: str) -> None:
        self.stack.append(_global(*names.split(" ", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_global(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Call) or not isinstance(arguments, tuple):
            raise _Refused(f"it calls {called!r}, which is not read")
        self.stack.append(called.make(*arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        """Attributes of a dictionary (a state dict's ``_metadata``); nothing else has any."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not OrderedDict or not isinstance(state, dict):
            raise _Refused(f"it sets attributes of a {type(target).__name__}, which is not read")
        target.__dict__.update({key: value for key, value in state.items() if isinstance(key, str) and not key.startswith("__")})

    def _binpersid(self, _: Any) -> None:
        self.stack.append(self.stored(self.stack.pop()))


def _finished(value: Any, located: Located, made: dict[int, Any]) -> Any:
    """``value`` with its tensors made, each once."""
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, _Deferred):
        found: Any = value.make(located)
    elif isinstance(value, (dict, list)):
        found, made[id(value)] = value, value  # it may contain itself
        items = list(value.items()) if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            value[key] = _finished(inner, located, made)
    elif type(value) in (tuple, set, frozenset):
        found = type(value)(_finished(inner, located, made) for inner in value)
    elif isinstance(value, (_Call, _Storage)):
        raise _Refused(f"it contains {value!r} itself, which is not read")
    else:
        return value
    made[id(value)] = found
    return found


# ---- the two containers -------------------------------------------------------------------------------------------------------------------


def _described(identity: Any, swap: bool) -> tuple[str, _Storage]:
    """The key and the storage of a persistent identity."""
    if not isinstance(identity, tuple) or identity[0] != "storage" or not isinstance(identity[1], str):
        raise _Refused("it refers to what is no storage")
    _, kind, key, place, size = identity[:5]
    if len(identity) > 5 and identity[5] is not None:
        raise _Refused("it has views of storages, which are not read")
    return str(key), _Storage(kind, size, str(place), swap)


def _read_zip(data: bytes, located: Located) -> Any:
    archive = zipfile.ZipFile(io.BytesIO(data))
    programs = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if not programs:
        raise _Refused("it is a zip archive without the tensors of a PyTorch file")
    if any(name.endswith("/constants.pkl") for name in archive.namelist()):
        raise _Refused("it is a TorchScript program, which is not read; save the model's state_dict()")
    root = programs[0][: -len("data.pkl")]
    order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in archive.namelist() else "little"
    storages: dict[str, _Storage] = {}

    def stored(identity: Any) -> _Storage:
        key, storage = _described(identity, order != sys.byteorder)
        if key not in storages:
            blob = archive.read(f"{root}data/{key}")
            storage.memory = np.frombuffer(bytearray(blob), np.uint8)
            storages[key] = storage
        return storages[key]

    return _finished(_Machine(stored).run(io.BytesIO(archive.read(programs[0]))), located, {})


def _read_legacy(data: bytes, located: Located) -> Any:
    """The magic number, the version, facts about the machine, the object, the keys of its storages, then each one's size and bytes."""
    stream = io.BytesIO(data)
    storages: dict[str, _Storage] = {}
    swap = False

    def stored(identity: Any) -> _Storage:
        key, storage = _described(identity, swap)
        if key not in storages:
            storage.reserve()
            storages[key] = storage
        return storages[key]

    def pickles() -> Iterator[Any]:
        while True:
            yield _Machine(stored).run(stream)

    parts = pickles()
    if next(parts) != _LEGACY_MAGIC:
        raise _Refused("it is not a file of PyTorch's")
    next(parts)
    facts = next(parts)
    swap = bool(facts["little_endian"]) != (sys.byteorder == "little")
    found, keys = next(parts), next(parts)
    for key in keys:
        storage = storages[str(key)]
        count = int.from_bytes(stream.read(8), "little" if facts["little_endian"] else "big")
        width = 1 if storage.dtype is None else storage.dtype.itemsize
        blob = stream.read(count * width)
        if count > storage.size or len(blob) != count * width:
            raise EOFError("a storage is cut off")
        storage.fill(blob)
    return _finished(found, located, {})
