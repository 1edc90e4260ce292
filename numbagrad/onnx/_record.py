"""Recording a model: while it runs once, every outermost call of a public function, a method or an operator becomes nodes of a graph.

The functions of the library, wherever the model may have them from, and the methods of Tensor are replaced for the time of the run.  A call
with an entry is one step of the graph; what it calls itself is not looked at.  A call without one is followed into: it is fine if all it does
has entries.  What depends on no input becomes a constant of the graph.  A tensor that was made in the run by anything else is an error, since it
would silently become a constant.
"""

from __future__ import annotations

import functools
import gc
import inspect
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Iterator

from .. import creation
from .._values import Values
from ..nn import functional, modules
from ..nn.modules.module import Module
from ..ops import FUNCTIONS
from ..tensor import Tensor
from ._graph import Graph, UnsupportedOperatorError
from ._table import ENTRIES, OPERATORS, find

# Their results have the shape of a tensor but do not depend on its values.
LIKE = frozenset(
    (
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
        "new_empty_strided",
    )
)
RANDOM = frozenset(
    ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "rand_like", "randn_like", "randint_like", "normal_",
     "uniform_", "bernoulli_", "random_", "exponential_", "geometric_", "log_normal_", "cauchy_", "gumbel_softmax")
)  # fmt: skip
# What hands values to Python, where they could not be followed.
READS = frozenset(
    ("item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__bool__", "__int__", "__float__", "__complex__", "__index__", "__array__",
     "__contains__", "__dlpack__", "__array_interface__")
)  # fmt: skip
_PROPERTIES = ("T", "mT", "H", "mH", "real", "imag", "data", "__array_interface__")
_FACTS = ("requires_grad_", "backward", "size", "stride", "dim", "register_hook")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, dictionaries and slices."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, slice):
        yield from tensors_in([value.start, value.stop, value.step])


def existing() -> dict[int, Tensor]:
    """All tensors that there are, by identity."""
    return {id(x): x for x in gc.get_objects() if issubclass(type(x), Tensor)}


_RE_EXPORTING = ("array_api", "fft", "func", "linalg", "masked", "nn", "signal", "special")


class Recorder:
    """One run of a model."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self._inside = False  # within a call that is one step of the graph

    @contextmanager
    def step(self) -> Iterator[None]:
        """What is called here is not looked at."""
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before

    def call(self, label: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run ``function`` and take it into the graph."""
        if self._inside:
            return function(*args, **kwargs)
        graph = self.graph
        tensors = list(tensors_in((args, kwargs)))
        dependent = True in [graph.depends(t) for t in tensors]  # all are asked: one may be of unknown origin
        if label in RANDOM:
            raise UnsupportedOperatorError(
                f"onnx.export: {label} draws random numbers, which would be the same ones in every run of the exported model"
            )
        if not dependent or label in LIKE:
            with self.step():
                result = function(*args, **kwargs)
            graph.known.update((id(t), t) for t in tensors_in(result))
            return result
        if label in READS:
            raise UnsupportedOperatorError(
                f"onnx.export: {label} reads values that depend on the inputs, which would be fixed in the exported model"
            )
        entry = find(label)
        return self.followed(label, function, args, kwargs) if entry is None else self._recorded(label, entry, function, args, kwargs)

    def followed(self, label: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call without an entry: what it calls is recorded."""
        if self._inside:
            return function(*args, **kwargs)
        graph = self.graph
        versions = [(t, t._version) for t in tensors_in((args, kwargs))]
        graph.within.append(label)
        try:
            result = function(*args, **kwargs)
            for t in tensors_in(result):
                graph.depends(t)
        finally:
            graph.within.pop()
        for t, version in versions:
            value = graph.values.get(id(t))
            if t._version != version and not (value is not None and value.version == t._version):
                raise UnsupportedOperatorError(f"onnx.export: {label} changes a tensor in place and has no ONNX entry")
        return result

    def _recorded(self, label: str, entry: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with an entry: one step of the graph."""
        graph = self.graph
        tensors = list(tensors_in((args, kwargs)))
        frozen = {id(t): graph.name(t) for t in tensors}
        versions = [t._version for t in tensors]
        with self.step():
            result = function(*args, **kwargs)
            if result is NotImplemented:
                return result
            try:
                inspect.signature(entry).bind(graph, result, *args, **kwargs)
            except TypeError as error:
                raise UnsupportedOperatorError(f"onnx.export: the ONNX entry of {label} does not take these arguments: {error}") from None
            graph.frozen = frozen
            try:
                made = entry(graph, result, *args, **kwargs)
            finally:
                graph.frozen = {}
        for t, version in zip(tensors, versions):
            if t._version != version and not (t is result and graph.depends(t)):
                raise UnsupportedOperatorError(
                    f"onnx.export: {label} writes what depends on the inputs into another tensor, which has no form in ONNX"
                )
        names = [made] if isinstance(made, str) else made
        for t, name in zip(tensors_in(result), names, strict=True):
            graph.bind(t, name)
        return result


# ---- replaced names ------------------------------------------------------------------------------------------------------------------------


def _functions() -> Iterator[tuple[str, Any]]:
    """The functions of the library and their labels."""
    for name, value in {**FUNCTIONS, **{name: getattr(creation, name) for name in creation.__all__}}.items():
        if not isinstance(value, type):
            yield name, value
            if hasattr(value, "__wrapped__"):  # by which the library's own modules call it
                yield name, value.__wrapped__
    for name in functional.__all__:
        yield f"functional.{name}" if f"functional.{name}" in ENTRIES else name, getattr(functional, name)


def _methods() -> Iterator[tuple[str, Any]]:
    """The methods, operators and properties of Tensor that compute."""
    for name, value in {**vars(Values), **vars(Tensor)}.items():
        public = name[0] != "_" or name in OPERATORS or name in READS or name == "__setitem__"
        if name in _PROPERTIES or inspect.isfunction(value) and public and name not in _FACTS:
            yield name, value


def _namespaces(model: Any) -> Iterator[dict[str, Any]]:
    """Where functions of the library may stand: its own modules, the modules and the attributes of the model's parts."""
    parts = list(model.modules()) if isinstance(model, Module) else []
    theirs = {type(part).__module__ for part in parts} | {getattr(model, "__module__", "") or ""}
    for name, module in list(sys.modules.items()):
        if name in theirs or name == "numbagrad" or name.startswith(("numbagrad.ops.", "numbagrad.nn.")):
            yield vars(module)
    for part in parts:
        yield vars(part)


@contextmanager
def recording(recorder: Recorder, model: Any) -> Iterator[None]:
    """Let ``recorder`` see the calls that ``model`` makes here; the names are replaced for all threads."""
    undo: list[Any] = []
    for name in _RE_EXPORTING:  # imported while the names are replaced, they would keep the replacements
        import_module(f"numbagrad.{name}")

    def recorded(label: str, function: Any) -> Any:
        @functools.wraps(function)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return recorder.call(label, function, args, kwargs)

        return replacement

    def call_module(module: Any, *args: Any, **kwargs: Any) -> Any:
        for cls in type(module).__mro__:
            if f"nn.{cls.__name__}" in ENTRIES and type(module).forward is vars(cls).get("forward"):
                return recorder.call(f"nn.{cls.__name__}", call, (module, *args), kwargs)
        return recorder.followed(type(module).__name__, call, (module, *args), kwargs)

    def put(owner: Any, name: str, new: Any) -> None:
        old = vars(owner).get(name)
        setattr(owner, name, new)
        undo.append(lambda: setattr(owner, name, old) if old is not None else delattr(owner, name))

    def put_into(names: dict[str, Any], name: str, new: Any) -> None:
        undo.append(functools.partial(names.__setitem__, name, names[name]))
        names[name] = new

    call = Module.__call__
    named = sorted(_functions(), key=lambda pair: find(pair[0]) is not None)  # of a function's names, the one that has an entry counts
    functions = {id(value): recorded(label, value) for label, value in named}
    try:
        for label, value in list(_methods()):
            put(Tensor, label, property(recorded(label, value.fget)) if isinstance(value, property) else recorded(label, value))
        for layer in [cls for cls in vars(modules).values() if isinstance(cls, type)]:
            value = vars(layer).get("function")
            if isinstance(value, staticmethod) and id(value.__func__) in functions:
                put(layer, "function", staticmethod(functions[id(value.__func__)]))
        for names in list(_namespaces(model)):
            for name, value in list(names.items()):
                if id(value) in functions:
                    put_into(names, name, functions[id(value)])
        put(Module, "__call__", call_module)
        yield
    finally:
        for restore in reversed(undo):
            restore()
        recorder._inside = True  # who took a replacement meanwhile has the function itself from now on
