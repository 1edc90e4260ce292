"""Modules that hold modules: Sequential, ModuleList, ModuleDict; and parameters: ParameterList, ParameterDict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from typing import Any, Iterable, Iterator, Mapping

from ...ops.matmul import linear_relu
from ...tensor import Parameter, Tensor
from .activation import ReLU
from .linear import Linear
from .module import Module


def _position(index: Any, size: int, what: str) -> int:
    i = operator.index(index)
    if not -size <= i < size:
        raise IndexError(f"{what}: index {i} is out of range" if what != "Sequential" else f"index {i} is out of range")
    return i % size


class _Row(Module):
    """What Sequential and ModuleList share: modules in a row, named by their positions."""

    def _renumber(self, modules: Iterable[Module | None]) -> None:
        self.__dict__["_modules"] = OrderedDict((str(i), m) for i, m in enumerate(modules))

    def __delitem__(self, index: Any) -> None:
        kept = list(self._modules.values())
        del kept[index]
        self._renumber(kept)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        kept = list(self._modules.values())
        kept.insert(index, module)
        self._renumber(kept)

    def pop(self, index: Any) -> Any:
        """Remove a module and return it."""
        module = self[index]  # type: ignore[index]
        del self[index]
        return module


# What calling them does, unless somebody puts something in its place.
_CALLS = {kind: (kind.__call__, kind.forward) for kind in (Linear, ReLU)}


def _is_plain(module: Any, kind: Any) -> bool:
    """Whether calling ``module`` is no more than the forward of ``kind``, without hooks and with nothing replaced."""
    return (
        type(module) is kind
        and not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks)
        and "forward" not in module.__dict__
        and (kind.__call__, kind.forward) == _CALLS[kind]
    )


class Sequential(_Row):
    """Modules called one after another: ``Sequential(a, b)`` or ``Sequential(OrderedDict(first=a, second=b))``.

    A Linear with a ReLU right behind it is computed as one operation, of the same values and gradients; not where either has hooks, which
    see what is between them.
    """

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        waiting: Any = None  # a Linear, until it is known what follows it
        for module in self._modules.values():
            if waiting is not None:
                if _is_plain(module, ReLU) and _is_plain(waiting, Linear):
                    input, waiting = linear_relu(input, waiting.weight, waiting.bias), None
                    continue
                input = waiting(input)
            if type(module) is Linear:
                waiting = module
            else:
                input, waiting = module(input), None
        return input if waiting is None else waiting(input)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return list(self._modules.values())[_position(index, len(self), "Sequential")]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[_position(index, len(self), "Sequential")], module)

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module in before position ``index``."""
        self._insert(index, module)
        return self


class ModuleList(_Row):
    """A list of modules, each registered."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return list(self._modules.values())[_position(index, len(self), "ModuleList")]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(_position(index, len(self), "ModuleList")), module)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def insert(self, index: int, module: Module) -> None:
        """Put a module in before position ``index``."""
        self._insert(index, module)

    def __repr__(self) -> str:
        """As of any module, with runs of equal lines as one: ``(0-2): 3 x ReLU()``."""
        if not len(self):
            return self._get_name() + "()"
        lines = []
        start = 0
        texts = [repr(module) for module in self]
        for i, text in enumerate(texts):
            if i + 1 < len(texts) and texts[i + 1] == text:
                continue
            many = f"({start}-{i}): {i - start + 1} x " if i > start else f"({i}): "
            lines.append("  " + many + text.replace("\n", "\n  "))
            start = i + 1
        return self._get_name() + "(\n" + "\n".join(lines) + "\n)"


class ModuleDict(Module):
    """A dictionary of modules, each registered."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def items(self) -> Any:
        """The names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Remove a module and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def update(self, modules: Any) -> None:
        """Add or replace modules."""
        for key, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self[key] = module


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(key: Any, value: Any, kind: str) -> str:
    """How an entry of a ParameterList or ParameterDict prints."""
    if not isinstance(value, Tensor):
        return f"  ({key}): Object of type: {type(value).__name__}"
    what = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"  ({key}): {what} containing: [{kind} of size {'x'.join(map(str, value.shape))}]"


class ParameterList(Module):
    """A list of parameters; plain tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None):
        super().__init__()
        self._size = 0
        for value in values or ():
            self.append(value)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(self._size))])
        return getattr(self, str(_position(index, self._size, "ParameterList")))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(index, self._size, "ParameterList")), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def extra_repr(self) -> str:
        return "\n".join(_line(i, p, str(p.dtype) if isinstance(p, Tensor) else "") for i, p in enumerate(self))


class ParameterDict(Module):
    """A dictionary of parameters; plain tensors become parameters."""

    def __init__(self, parameters: Any = None):
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def values(self) -> Any:
        """The parameters."""
        return (self[k] for k in self._keys)

    def items(self) -> Any:
        """The names and parameters."""
        return ((k, self[k]) for k in self._keys)

    def update(self, parameters: Any) -> None:
        """Add or replace parameters."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        return "\n".join(_line(k, p, f"numbagrad.{p.dtype.title}Tensor" if isinstance(p, Tensor) else "") for k, p in self.items())

    def pop(self, key: str) -> Any:
        """Remove a parameter and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all parameters."""
        for key in list(self._keys):
            del self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """A parameter, ``default`` where there is none."""
        return self[key] if key in self else default  # noqa: SIM401 - this is get
