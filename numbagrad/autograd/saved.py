"""What becomes of the tensors that operations keep for the backward pass: ``saved_tensors_hooks``, ``save_on_cpu``.

While a pair of hooks is in force, a tensor that an operation would keep is given to ``pack_hook``, and what that returns is kept in its place;
``unpack_hook`` makes a tensor of it again when the backward pass asks for it.  The innermost pair alone is called.

``active`` is False until a pair is entered somewhere, so that where there is none recording an operation reads one flag of a module.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator

from .mode import no_grad, state

# Whether hooks are in force in any thread; read where operations keep tensors.
active = False
_entered = 0
_lock = threading.Lock()


class _Hooks(threading.local):
    """A thread's hooks, the innermost last, and the message with which new ones are refused."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
        self.refusal: str | None = None


_hooks = _Hooks()


def _enter(pair: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    global active, _entered
    if _hooks.refusal is not None:
        raise RuntimeError(_hooks.refusal)
    _hooks.pairs.append(pair)
    with _lock:
        _entered += 1
        active = True


def _leave() -> None:
    global active, _entered
    _hooks.pairs.pop()
    with _lock:
        _entered -= 1
        active = _entered > 0


class Packed:
    """A tensor that a pack hook took for the backward pass."""

    __slots__ = ("_held", "_unpack", "_edge", "_index")

    def __init__(self, tensor: Any, edge: Any, index: int):
        pack, self._unpack = _hooks.pairs[-1]
        version = tensor._version
        with no_grad():
            self._held = pack(tensor)
        if tensor._version != version:
            raise RuntimeError(
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by "
                "in-place operations as this can lead to unexpected side-effects."
            )
        self._edge = edge  # of an argument: the node that made it and which of its results it is, None where it has no gradient
        self._index = index  # of a result: its number among those of the node that keeps it; else -1

    def unpack(self, node: Any) -> Any:
        """The tensor again, with the history of the one that was packed where the backward pass is recorded."""
        found = self._unpack(self._held)
        if not hasattr(found, "_node"):
            raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(found).__name__}")
        result = found.detach()
        result._counter = None  # its changes are no longer the original's
        if state.recording:
            if self._edge is not None:
                result._node, result._index = self._edge
            elif self._index >= 0 and node.differentiates(self._index):
                result._node, result._index = node, self._index
        return result


def wanted() -> bool:
    """Whether this thread has hooks."""
    return bool(_hooks.pairs)


class saved_tensors_hooks:
    """``with saved_tensors_hooks(pack_hook, unpack_hook):`` decide what is kept of each tensor that an operation saves for backward.

    ``pack_hook(tensor)`` returns anything; ``unpack_hook`` takes that and returns a tensor of equal content.  A pack hook that changes its argument in place
    raises RuntimeError, an unpack hook that returns no tensor TypeError.
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        _enter((self.pack_hook, self.unpack_hook))

    def __exit__(self, *error: Any) -> None:
        _leave()


class save_on_cpu(saved_tensors_hooks):
    """Keep saved tensors in the memory of the CPU, and bring them back to their device when the backward pass asks for them.

    ``pin_memory``: keep those of a GPU in page-locked memory, from which they are brought back asynchronously.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(tensor: Any) -> Any:
            here = tensor.cpu()
            return tensor.device, here.pin_memory() if pin_memory and tensor.is_cuda else here

        def unpack(held: Any) -> Any:
            device, here = held
            return here.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


class _Copies(saved_tensors_hooks):
    """Every saved tensor as a copy, which is there for as long as the context is."""

    entered = False

    def __init__(self) -> None:
        self.open = True

        def pack(tensor: Any) -> Any:
            return tensor.clone()

        def unpack(held: Any) -> Any:
            if not self.open:
                raise AssertionError(
                    "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was originally recorded."
                )
            return held

        super().__init__(pack, unpack)


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[Any]:
    """Inside, tensors that the backward pass needs may be changed in place: it gets what they held when they were saved.

    A copy is made of each (in PyTorch of those that are changed).  Both passes belong inside: a backward pass that is left for later raises AssertionError.
    Raises RuntimeError inside another of its kind.
    """
    if _Copies.entered:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    copies = _Copies()
    _Copies.entered = True
    try:
        with copies:
            yield copies
    finally:
        copies.open = _Copies.entered = False


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, hooks on saved tensors raise RuntimeError with ``error_message``; so does entering it where there are some."""
    if _hooks.pairs:
        raise RuntimeError(error_message)
    before, _hooks.refusal = _hooks.refusal, error_message
    try:
        yield
    finally:
        _hooks.refusal = before
