"""Mixed precision: which functions compute in a 16-bit float type, and which in float32, while ``autocast`` is on.

A function that is on one of the lists below begins with

    if casting.active:
        input, weight = casting.arguments("name", input, weight)

``active`` is False until a context is entered somewhere, so that where there is none a listed function reads one flag of a module.
Elementwise operations and ``sum``, which on the CPU take less time than ten such flags, are listed for "cuda" alone: they look at it on the
general way, which arrays of a GPU always take.  The lists are PyTorch's, per type of device, as far as the functions exist here ("CUDA
Op-Specific Behavior" and "CPU Op-Specific Behavior" of its documentation).  P. Micikevicius et al., "Mixed precision training", ICLR 2018.

What is cast is float16, bfloat16 and float32; float64, integers and complex numbers stay as they are.  Casts are recorded, so gradients
come back in the type of what was cast.  The settings are a thread's own.  A walk back over a graph takes place with casting suspended:
gradients are computed in the types of the forward pass.
"""

from __future__ import annotations

import threading
from typing import Any, Sequence

from ..kernels import _dtypes
from ..kernels._device import on_cpu
from .mode import state as recording

LOWER, FLOAT32, WIDEST, REFUSED = "lower", "float32", "widest", "refused"


def _listed(**policies: str) -> dict[str, str]:
    return {name: policy for policy, names in policies.items() for name in names.split()}


# A FLOAT32 function is one that loses too much in 16 bits; WIDEST ones take arguments of several types, which must agree.
LISTS = {
    "cuda": _listed(
        lower="addbmm addmm addmv addr baddbmm bmm chain_matmul conv2d conv3d conv_transpose2d conv_transpose3d einsum linear matmul mm mv prelu"
        " scaled_dot_product_attention",
        float32="acos asin cosh cosine_similarity cross_entropy cumprod cumsum erfinv exp expm1 huber_loss kl_div l1_loss layer_norm log"
        " log10 log1p log2 log_softmax logsumexp mse_loss nll_loss norm pow prod reciprocal root rsqrt sinh smooth_l1_loss softmax"
        " softplus square sum tan binary_cross_entropy_with_logits"
        " cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss poisson_nll_loss"
        " soft_margin_loss triplet_margin_loss ctc_loss",
        widest="addcdiv addcmul atan2 dot index_put inner scatter_add tensordot vdot",
        refused="binary_cross_entropy",
    ),
    "cpu": _listed(
        lower="addbmm addmm baddbmm bmm conv2d conv3d conv_transpose2d conv_transpose3d inner linear matmul mm prelu tensordot"
        " scaled_dot_product_attention",
        float32="binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss kl_div l1_loss mse_loss nll_loss prod"
        " smooth_l1_loss"
        " cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss poisson_nll_loss"
        " soft_margin_loss triplet_margin_loss ctc_loss",
        widest="cat index_copy stack",
    ),
}
_DEFAULTS = {"cuda": _dtypes.float16, "cpu": _dtypes.bfloat16}
_CAST = frozenset((_dtypes.float16, _dtypes.bfloat16, _dtypes.float32))

# Whether casting is on in any thread; read by every function on a list.
active = False
_threads = 0
_lock = threading.Lock()


class _State(threading.local):
    """The settings of a thread."""

    nesting = 0
    caching = True
    suspended = False

    def __init__(self) -> None:
        self.lower = dict(_DEFAULTS)  # per type of device, the type that LOWER functions compute in
        self.enabled = dict.fromkeys(_DEFAULTS, False)
        self.cache: dict[Any, Any] = {}


state = _State()


def set_enabled(kind: str, enabled: bool) -> None:
    """Turn casting on the devices of a kind on or off for this thread."""
    global active, _threads
    before = any(state.enabled.values())
    state.enabled[kind] = bool(enabled)
    after = any(state.enabled.values())
    if before != after:
        with _lock:
            _threads += 1 if after else -1
            active = _threads > 0


def clear_cache() -> None:
    """Forget the casts of weights."""
    state.cache.clear()


def suspend(on: bool) -> bool:
    """Let nothing be cast in this thread, or again what was enabled; returns how it was."""
    before, state.suspended = state.suspended, on
    return before


class suspended:
    """``with suspended():`` nothing is cast in this thread."""

    def __enter__(self) -> None:
        self._before = suspend(True)

    def __exit__(self, *error: Any) -> None:
        suspend(self._before)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "_node")


def _policy(name: str, args: Sequence[Any]) -> tuple[Any, Any]:
    """What is to be done with the arguments of ``name`` (None: nothing), and the type that LOWER functions compute in."""
    if state.suspended:
        return None, None
    first = next((x for x in args if _is_tensor(x)), None)
    if first is None:
        return None, None
    kind = "cpu" if on_cpu(first._data) else "cuda"
    return LISTS[kind].get(name) if state.enabled[kind] else None, state.lower[kind]


def arguments(name: str, *args: Any) -> Sequence[Any]:
    """``args`` of the function ``name`` in the types that it is to compute in.  What is no tensor stays as it is.

    Raises RuntimeError for a function that is unsafe in mixed precision.
    """
    policy, lower = _policy(name, args)
    if policy is None:
        return args
    if policy == REFUSED:
        raise RuntimeError(
            f"numbagrad.nn.functional.{name} and numbagrad.nn.BCELoss are unsafe to autocast.\n"
            "Many models use a sigmoid layer right before the binary cross entropy layer.\n"
            f"In this case, combine the two layers using numbagrad.nn.functional.{name}_with_logits\n"
            "or numbagrad.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and BCEWithLogits are\n"
            "safe to autocast."
        )
    if policy == WIDEST:
        wide = any(_is_tensor(x) and x._data.dtype == _dtypes.float32 for x in args)
        target = _dtypes.float32 if wide else lower
    else:
        target = lower if policy == LOWER else _dtypes.float32
    return [_cast(x, target) if _is_tensor(x) else x for x in args]


def _cast(x: Any, target: Any) -> Any:
    dtype = x._data.dtype
    if dtype == target or dtype not in _CAST:
        return x
    weight = state.caching and state.nesting and target != _dtypes.float32 and x._requires_grad and x._node is None and x._base is None
    return _weight(x, target) if weight else x.to(target)


def _weight(x: Any, target: Any) -> Any:
    """A leaf's cast, made once within the outermost context as long as the leaf does not change.

    One that was made without recording has no gradient, and so is not given out where things are recorded.
    """
    key = id(x), target, recording.recording
    held = state.cache.get(key)
    if held is not None and held[0] is x and held[1] is x._data and held[2] == x._version:
        return held[3]
    cast = x.to(target)
    state.cache[key] = x, x._data, x._version, cast
    return cast
