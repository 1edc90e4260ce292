"""PyTorch's sample inputs and the functions they are for, as numbagrad's."""

from __future__ import annotations

import types
from typing import Any, Callable

import numpy as np
import torch

import numbagrad as ng

# Functions that PyTorch wraps for its tests in something that knows PyTorch's tensors: the function inside.
_SEEDED = "wrapper_set_seed"


# Operators that PyTorch has no name for outside ``torch.ops.aten``: where numbagrad has them.
_UNNAMED = {"slice": "ops.parts.sliced"}


class Missing(Exception):
    """numbagrad has no function or argument of this name."""


def is_module(name: str) -> bool:
    """Whether an entry is a layer (``nn.Linear``) rather than an operation (``nn.functional.linear``)."""
    return name.startswith("nn.") and name[3].isupper()


def find(path: str) -> Any:
    """``numbagrad.<path>``.  Raises Missing."""
    found: Any = ng
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Missing(f"numbagrad has no {path}") from None
    return found


class _Stand:
    """``torch`` as PyTorch's own helpers see it: what they reach for is numbagrad's."""

    def __init__(self, path: str = ""):
        self._path = path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}" if self._path else name
        if path in ("nn", "nn.functional", "special", "linalg", "fft", "functional", "random", "_C", "_C._nn", "ops", "ops.aten"):
            return _Stand(path)
        return find(path.removeprefix("_C._nn.").removeprefix("functional."))


_STAND = _Stand()


def function(op: Any) -> Callable[..., Any]:
    """numbagrad's function for an entry of the database.  Raises Missing."""
    call = op.op
    if isinstance(call, types.FunctionType) and call.__module__.startswith("torch.testing."):
        return rebound(call)
    name = _UNNAMED.get(op.name, op.name)
    if name.startswith("__") or isinstance(call, types.MethodDescriptorType):
        return find(f"Tensor.{name}")
    try:
        return find(name)
    except Missing:
        if getattr(torch, name.split(".")[0], None) is None and hasattr(ng.Tensor, name):
            return getattr(ng.Tensor, name)
        raise


def rebound(call: Any) -> Any:
    """A Python function of PyTorch's tests with numbagrad in the place of ``torch``, in its globals, defaults and what it closes over."""
    if not isinstance(call, types.FunctionType):
        return value(call)
    space = {**call.__globals__, "torch": _STAND, "S": call.__globals__.get("S", 5)}
    for name in call.__code__.co_names:
        other = call.__globals__.get(name)
        if isinstance(other, types.FunctionType) and other.__module__.startswith("torch.testing.") and other is not call:
            space[name] = _seeded if name == _SEEDED else rebound(other)
    cells = tuple(types.CellType(rebound(c.cell_contents)) for c in call.__closure__ or ())
    made = types.FunctionType(call.__code__, space, call.__name__, tuple(rebound(d) for d in call.__defaults__ or ()), cells)
    made.__kwdefaults__ = call.__kwdefaults__
    return made


def _seeded(call: Any, *args: Any, **kwargs: Any) -> Any:
    ng.manual_seed(42)
    return call(*args, **kwargs)


def dtype(name: Any) -> Any:
    """numbagrad's dtype of PyTorch's."""
    return find(str(name).removeprefix("torch."))


def tensor(t: torch.Tensor) -> Any:
    """A tensor with the same values, strides and need of a gradient."""
    if t.layout is not torch.strided:
        raise Missing(f"numbagrad has no {t.layout}")
    if t.device.type != "cpu":
        raise Missing(f"numbagrad has no device {t.device}")
    plain = t.detach().resolve_conj().resolve_neg()
    if plain.storage_offset() and plain.is_contiguous() and plain.numel():  # a part of something, which as_strided is to reach
        whole = tensor(torch.empty(0, dtype=plain.dtype).set_(plain.untyped_storage()))
        made = whole.as_strided(tuple(plain.shape), plain.stride(), plain.storage_offset())
        return made.requires_grad_() if t.requires_grad else made
    if plain.dtype in (torch.bfloat16, torch.float16):
        made = ng.from_numpy(_array(plain.float())).to(dtype(plain.dtype))
    else:
        made = ng.from_numpy(_array(plain))
    return made.requires_grad_() if t.requires_grad else made


def _array(t: torch.Tensor) -> np.ndarray:
    """The same strides in memory of its own."""
    if t.dim() and t.numel() and not t.is_contiguous():
        span = 1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride()))
        memory = torch.empty(span, dtype=t.dtype).as_strided(t.shape, t.stride())
        if all(s > 0 for s in t.stride()):
            memory.copy_(t)
            return memory.numpy()
    return np.ascontiguousarray(t.numpy()).reshape(t.shape).copy()


def value(x: Any, made: dict[int, Any] | None = None) -> Any:
    """Whatever PyTorch was given, as numbagrad is given it; a tensor that is given twice is one tensor here too.  Raises Missing."""
    made = {} if made is None else made
    if isinstance(x, torch.Tensor):
        if id(x) not in made:
            made[id(x)] = tensor(x)
        return made[id(x)]
    if isinstance(x, torch.dtype):
        return dtype(x)
    if isinstance(x, torch.device):
        return ng.device(str(x))
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, (torch.memory_format, torch.layout)):
        return find(str(x).removeprefix("torch."))
    if isinstance(x, torch.nn.utils.rnn.PackedSequence):
        return find("nn.utils.rnn.PackedSequence")(*map(value, x))
    if isinstance(x, torch.nn.Module):
        return _module(x)
    if isinstance(x, dict):
        return {k: value(v, made) for k, v in x.items()}
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return type(x)(value(v, made) for v in x)
    if isinstance(x, types.FunctionType) and x.__module__.startswith("torch.testing."):
        return rebound(x)
    if callable(x) and getattr(x, "__module__", None) and str(x.__module__).startswith("torch") and hasattr(x, "__name__"):
        return find(f"nn.functional.{x.__name__}" if "functional" in x.__module__ or "._nn" in x.__module__ else x.__name__)
    return x


def _module(x: torch.nn.Module) -> Any:
    """A module of the same kind; of a transformer's layers also of the same sizes and values."""
    kind = find(f"nn.{type(x).__name__}")
    if not isinstance(x, (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer)):
        return kind()
    attention, dtype_ = x.self_attn, dtype(x.linear1.weight.dtype)
    sizes = attention.embed_dim, attention.num_heads, x.linear1.out_features, x.dropout.p, value(x.activation), x.norm1.eps
    made = kind(*sizes, attention.batch_first, x.norm_first, x.linear1.bias is not None, dtype=dtype_)
    made.load_state_dict({k: tensor(v.detach()) for k, v in x.state_dict().items()})
    return made.train(x.training)


def call(op: Any, fn: Callable[..., Any], sample: Any) -> tuple[Any, list[Any], list[Any]]:
    """What ``fn`` gives for a sample, the tensors among its arguments that need a gradient, and PyTorch's of these, in the same order."""
    args, kwargs = value(((sample.input, *sample.args), sample.kwargs))
    ours, theirs = leaves((args, kwargs), ng.Tensor), leaves(((sample.input, *sample.args), sample.kwargs), torch.Tensor)
    needing = [(a, b) for a, b in zip(ours, theirs) if b.requires_grad]
    return fn(*args, **kwargs), [a for a, _ in needing], [b for _, b in needing]


def leaves(x: Any, kind: type) -> list[Any]:
    """All tensors within nested containers, in order."""
    if isinstance(x, kind):
        return [x]
    if isinstance(x, dict):
        return [leaf for v in x.values() for leaf in leaves(v, kind)]
    if isinstance(x, (list, tuple)):
        return [leaf for v in x for leaf in leaves(v, kind)]
    return []
