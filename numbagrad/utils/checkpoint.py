"""Activation checkpointing: what a function saves for the backward pass is let go, and computed again when the backward pass asks for it.

    y = checkpoint(block, x, use_reentrant=False)

T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", 2016.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from typing import Any, Callable, Iterator, Sequence

from ..autograd import casting, graph
from ..autograd.function import Function
from ..autograd.mode import enable_grad, state
from ..generator import default_generator, default_generator_of
from ..ops._operation import keep, kept
from ..random import fork_rng
from ..tensor import Tensor

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]

_early_stop: bool | None = None  # None: as each call says


class CheckpointError(RuntimeError):
    """A function did not save the same tensors when it was called again."""


def noop_context_fn() -> tuple[Any, Any]:
    """The default of ``context_fn``: nothing around the forward pass, nothing around its repetition."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether a repetition ends once all that was saved has been computed again, or runs to the function's end; inside, whatever ``early_stop`` says."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, whose saved tensors are computed again in the backward pass instead of being kept.

    ``use_reentrant=False`` (say which; left out, it is True, with a warning) repeats the function under hooks on saved tensors: it may have keyword arguments
    and be differentiated in any way; with ``determinism_check="default"`` tensors of other shapes or dtypes the second time raise CheckpointError, as does
    another number of them.  ``context_fn`` returns a context for the first call and one for the repetition.  ``use_reentrant=True`` runs the function
    unrecorded and walks its own graph within the backward pass: some of ``args`` itself must require a gradient, and ``autograd.grad`` and
    ``backward(inputs=...)`` raise RuntimeError.

    Random numbers are the same the second time unless ``preserve_rng_state=False``, and autocast is on as it was.  Raises ValueError for unknown arguments,
    NotImplementedError for ``debug``.
    """
    if use_reentrant is None:
        warnings.warn(
            "numbagrad.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is recommended, but if you "
            "need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if debug:
        raise NotImplementedError("checkpoint: debug=True is not supported")
    around, around_again = context_fn()
    if not state.recording:
        with around:
            return function(*args, **kwargs)
    region = _Region(function, args, kwargs, preserve, around_again)
    region.checks = determinism_check == "default"
    region.stops = early_stop if _early_stop is None else _early_stop
    with graph.saved_tensors_hooks(region.pack, region.unpack), around:
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """``input`` through ``functions`` (a Sequential or a list of them), cut into ``segments`` parts, all but the last of them checkpointed.

    Keywords: ``preserve_rng_state``.  Raises ValueError for others.
    """
    if use_reentrant is None:
        warnings.warn(
            "numbagrad.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    each = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def segment(first: int, last: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for function in each[first:last]:
                x = function(x)
            return x

        return run

    size, start = len(each) // segments, 0
    for start in range(0, size * (segments - 1), size) if size else ():
        input = checkpoint(segment(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return segment(size * (segments - 1), len(each))(input)


# ---- what the function finds around it ------------------------------------------------------------------------------------------------


class _Surroundings:
    """The states of the random generators and of autocast, to call a function under them again."""

    def __init__(self, args: Sequence[Any], preserve: bool):
        self.generators = None
        if preserve:
            self.gpus = sorted({x.get_device() for x in args if isinstance(x, Tensor) and x.is_cuda})
            used = [default_generator, *(default_generator_of(x.device) for x in args if isinstance(x, Tensor) and x.is_cuda)]
            self.generators = [(generator, generator.get_state()) for generator in used]
        casts = casting.state
        self.casting = None if not casting.active else (dict(casts.enabled), dict(casts.lower), casts.caching)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Inside, things are recorded and are as they were."""
        with enable_grad(), fork_rng(self.gpus) if self.generators else contextlib.nullcontext(), self._casting_again():
            for generator, drawn in self.generators or ():
                generator.set_state(drawn)
            yield

    @contextlib.contextmanager
    def _casting_again(self) -> Iterator[None]:
        casts = casting.state
        before = dict(casts.enabled), dict(casts.lower), casts.caching
        suspended = casting.suspend(False)
        _set_casting(*(self.casting or ({**before[0], **dict.fromkeys(before[0], False)}, *before[1:])))
        try:
            yield
        finally:
            _set_casting(*before)
            casting.suspend(suspended)


def _set_casting(enabled: dict[str, bool], lower: dict[str, Any], caching: bool) -> None:
    for kind, on in enabled.items():
        casting.set_enabled(kind, on)
    casting.state.lower.update(lower)
    casting.state.caching = caching


# ---- by hooks on saved tensors --------------------------------------------------------------------------------------------------------


class _Place:
    """Where a saved tensor will be put when it is computed again; ``value`` until the backward pass takes it."""

    __slots__ = ("value", "__weakref__")

    def __init__(self) -> None:
        self.value: Any = None


class _Stop(BaseException):
    """All that was saved has been computed again."""


class _Region:
    """A call of a checkpointed function.

    What it saves is replaced by places, in the order of saving; the first that is asked for has the function called again, which fills all that
    are still in use.  Its tensor arguments are kept as an operation keeps its own, so that an enclosing region has them computed again too.
    """

    checks = stops = True

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], preserve: bool, around: Any):
        self.function, self.around = function, around
        self.surroundings = _Surroundings([*args, *kwargs.values()], preserve)
        self.args = [(keep(x), isinstance(x, Tensor) and x.requires_grad) for x in args]
        self.kwargs = {name: (keep(x), isinstance(x, Tensor) and x.requires_grad) for name, x in kwargs.items()}
        self.places: list[weakref.ref[_Place]] = []
        self.described: list[dict[str, Any]] = []

    def name(self) -> str:
        return "checkpoint"

    def pack(self, tensor: Tensor) -> _Place:
        place = _Place()
        self.places.append(weakref.ref(place))
        self.described.append(_description(tensor))
        return place

    def unpack(self, place: _Place) -> Tensor:
        if place.value is None:
            self._repeat()
        found, place.value = place.value, None
        return found

    def _argument(self, held: Any, wanted: bool) -> Any:
        x = kept(self, held)  # type: ignore[arg-type]  # asked for its name alone
        return x.detach().requires_grad_() if wanted and not x.requires_grad else x

    def _repeat(self) -> None:
        """Call the function again and put what it saves into the places."""
        made: list[dict[str, Any]] = []

        def collect(tensor: Tensor) -> Tensor:
            number = len(made)
            made.append(_description(tensor))
            found = tensor.detach()
            place = self.places[number]() if number < len(self.places) else None
            if place is not None:
                place.value = found
            if self.stops and number + 1 == len(self.places):
                raise _Stop
            return found

        with self.surroundings.again():
            args = [self._argument(*x) for x in self.args]
            kwargs = {name: self._argument(*x) for name, x in self.kwargs.items()}
            with graph.saved_tensors_hooks(collect, lambda tensor: tensor), self.around, contextlib.suppress(_Stop):
                self.function(*args, **kwargs)
        self._check(made)

    def _check(self, made: list[dict[str, Any]]) -> None:
        if len(made) != len(self.places):
            raise CheckpointError(
                "numbagrad.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.places)}\nNumber of tensors saved during recomputation: {len(made)}."
            )
        other = [i for i, (before, after) in enumerate(zip(self.described, made)) if before != after] if self.checks else []
        if other:
            listed = "".join(
                f"tensor at position {i}:\nsaved metadata: {self.described[i]}\nrecomputed metadata: {made[i]}\n" for i in other
            )
            raise CheckpointError(
                "numbagrad.utils.checkpoint: Recomputed values for the following tensors have different metadata than during the forward pass.\n"
                + listed
            )


def _description(tensor: Tensor) -> dict[str, Any]:
    return {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}


# ---- by a walk within the walk --------------------------------------------------------------------------------------------------------


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tensors of ``inputs`` cut off their history, requiring a gradient if they did.  Raises RuntimeError for anything but a tuple."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs)


def check_backward_validity(inputs: Sequence[Any]) -> None:
    """Warn where no tensor of ``inputs`` requires a gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class CheckpointFunction(Function):
    """``apply(function, preserve_rng_state, *args)``: ``checkpoint`` with ``use_reentrant=True``."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.function, ctx.surroundings = run_function, _Surroundings(args, preserve_rng_state)
        ctx.others = [None if isinstance(x, Tensor) else x for x in args]
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if state.partial:
            raise RuntimeError(
                "When use_reentrant=True, numbagrad.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to .backward(). To "
                "resolve this error, you can either set use_reentrant=False, or call .backward() without passing the `inputs` argument."
            )
        args = list(ctx.others)
        for i, x in zip(ctx.places, ctx.saved_tensors):
            args[i] = x
        args = list(detach_variable(tuple(args)))
        with ctx.surroundings.again():
            found = ctx.function(*args)
        outputs = found if isinstance(found, (tuple, list)) else (found,)
        pairs = [(y, g) for y, g in zip(outputs, grads) if isinstance(y, Tensor) and y.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        graph.backward([y for y, _ in pairs], [g for _, g in pairs])
        return (None, None, *[x.grad if isinstance(x, Tensor) else None for x in args])
