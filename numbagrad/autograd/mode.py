"""Whether operations record a graph, per thread: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from types import TracebackType
from typing import Any, Callable


class _State(threading.local):
    recording = True
    inference = False
    partial = False  # whether the walk in progress goes to given inputs alone
    walk: Any = None  # the walk in progress


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on this thread are being recorded."""
    return state.recording


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return state.inference


class _Mode:
    """A setting of the recording state: a context manager, and a decorator of functions and generator functions."""

    _value = True
    _inference: bool | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        # `@no_grad` without parentheses decorates too.
        if len(args) == 1 and callable(args[0]) and not kwargs:
            self.__init__()  # type: ignore[misc]
            return self(args[0])
        return self

    def __init__(self) -> None:
        self._stack: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._stack.append((state.recording, state.inference))
        state.recording = self._value
        if self._inference is not None:
            state.inference = self._inference

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        state.recording, state.inference = self._stack.pop()

    def clone(self) -> Any:
        return type(self)()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(function):
            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions or methods.",
                FutureWarning,
                stacklevel=2,
            )
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapped

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The mode holds while the generator runs and not while its consumer does."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            try:
                with self.clone():
                    item = next(generator)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        with self.clone():
                            item = generator.throw(error)
                    else:
                        with self.clone():
                            item = generator.send(sent)
            except StopIteration as end:
                return end.value

        return wrapped


class no_grad(_Mode):
    """Record nothing inside: results do not require gradients."""

    _value = False


class enable_grad(_Mode):
    """Record inside, also within ``no_grad``."""

    _value = True


class set_grad_enabled(_Mode):
    """Set recording to ``mode``; as a function it holds from here on, as a context manager inside."""

    def __new__(cls, mode: bool) -> Any:
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._value = bool(mode)
        self._before = (state.recording, state.inference)
        state.recording = self._value

    def __enter__(self) -> None:
        self._stack.append(self._before)
        state.recording = self._value

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        state.recording = self._before[0]  # as a decorator it says nothing about the code around it
        return super().__call__(function)

    def clone(self) -> Any:
        return set_grad_enabled(self._value)


class inference_mode(_Mode):
    """As ``no_grad``, for code whose results never meet autograd again."""

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return cls()(mode)
        return object.__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._on = bool(mode)
        self._value = not self._on
        self._inference = self._on

    def clone(self) -> Any:
        return inference_mode(self._on)
