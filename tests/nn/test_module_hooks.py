"""Hooks around calls, registrations and state dicts, extra state, Buffer, to_empty: the same little stories told to numbagrad and, where it is installed,
to PyTorch."""

from __future__ import annotations

import copy
import itertools
import warnings
from typing import Any

import pytest

import numbagrad as ng
from numbagrad import nn
from numbagrad.nn.modules import module as module_file


def _libraries() -> list[Any]:
    try:
        import torch
        import torch.nn.modules.module
    except ImportError:
        return [ng]
    return [ng, torch]


def _same(story: Any) -> Any:
    """What ``story(library)`` tells of numbagrad, having checked that it tells the same of PyTorch."""
    ours, *theirs = [story(library) for library in _libraries()]
    for told in theirs:
        assert [pair for pair in itertools.zip_longest(ours, told) if pair[0] != pair[1]] == []
    return ours


def _error(call: Any) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__, str(caught.value).replace("torch.", "numbagrad.").split(" Please")[0]


# ---- calls -------------------------------------------------------------------------------------------------------------------------


def _failing(library: Any) -> list[Any]:
    told: list[Any] = []

    class Picky(library.nn.Module):
        def forward(self, x, wrong=False):
            if wrong:
                raise ValueError("forward failed")
            return x + 1

    def after(label, value=None):
        def hook(m, args, kwargs, out):
            told.append((label, len(args), sorted(kwargs), None if out is None else float(out)))
            return value if value is None or out is None else out * value

        return hook

    def broken(m, args, out):
        raise KeyError("hook failed")

    x = library.ones(())
    m = Picky()
    m.register_forward_hook(after("plain"), with_kwargs=True)
    m.register_forward_hook(after("always", 10), with_kwargs=True, always_call=True)
    m.register_forward_hook(after("first", 2), with_kwargs=True, prepend=True, always_call=True)
    told.append(float(m(x)))
    told.append(_error(lambda: m(x, wrong=True)))
    m.register_forward_hook(broken)
    m.register_forward_hook(after("after the broken one"), with_kwargs=True, always_call=True)
    told.append(_error(lambda: m(x)))
    late = m.register_forward_hook(broken, always_call=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        told.append(_error(lambda: m(x, wrong=True)))
    told.append([str(w.message) for w in seen if "always_call" in str(w.message)])
    late.remove()
    m.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    told.append(_error(lambda: m(x)))
    return told


def test_forward_hooks_that_are_always_called():
    assert ("always", 1, ["wrong"], 2.0) in _same(_failing)  # the hook before it answered for the forward that failed


def _everywhere(library: Any) -> list[Any]:
    told: list[Any] = []
    tools = module_file if library is ng else library.nn.modules.module
    handles = [
        tools.register_module_forward_pre_hook(lambda m, args: told.append(("pre", type(m).__name__))),
        tools.register_module_forward_hook(
            lambda m, args, kwargs, out: told.append(("post", out is None)), with_kwargs=True, always_call=True
        ),
    ]

    class Fails(library.nn.Module):
        def forward(self, x, **options):
            raise ValueError("no")

    library.nn.Sequential(library.nn.ReLU(), library.nn.Identity())(library.ones(2))
    try:
        # PyTorch hands a global hook that is always called after a failure no keyword arguments, and warns.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _error(lambda: Fails()(library.ones(2)))
    finally:
        for handle in handles:
            handle.remove()
    count = len(told)
    library.nn.ReLU()(library.ones(2))
    assert len(told) == count
    return told[:6]


def test_hooks_on_all_modules():
    assert _same(_everywhere)[0] == ("pre", "Sequential")
    told: list[Any] = []

    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    watch = module_file.register_module_forward_hook(
        lambda m, args, kwargs, out: told.append((kwargs, out)), with_kwargs=True, always_call=True
    )
    with watch, pytest.raises(ValueError, match="no"):
        Fails()(3)
    assert told == [({}, None)]


def _registrations(library: Any) -> list[Any]:
    told: list[Any] = []
    tools = module_file if library is ng else library.nn.modules.module
    other = library.nn.Parameter(library.zeros(7))
    handles = [
        tools.register_module_parameter_registration_hook(lambda m, name, p: told.append((name, p is None))),
        tools.register_module_parameter_registration_hook(lambda m, name, p: other if name == "swapped" else None),
        tools.register_module_buffer_registration_hook(lambda m, name, b: b * 2 if b is not None else None),
        tools.register_module_module_registration_hook(lambda m, name, child: told.append((name, type(child).__name__))),
    ]
    try:
        m = library.nn.Module()
        m.swapped = library.nn.Parameter(library.ones(1))
        m.child = library.nn.Linear(1, 2, bias=False)
        m.add_module("added", library.nn.ReLU())
        m.register_buffer("kept", library.ones(2))
        m.register_buffer("none", None)
        m.kept = library.ones(3)
        m.child = None
        m.swapped = None
    finally:
        for handle in handles:
            handle.remove()
    library.nn.Linear(1, 1)
    return [*told, m.kept.tolist(), m.none, m.swapped is None]


def test_hooks_on_registrations():
    assert ("child", "Linear") in _same(_registrations)
    for library in _libraries():
        tools = module_file if library is ng else library.nn.modules.module
        swap = library.nn.Parameter(library.zeros(2, 7))
        with tools.register_module_parameter_registration_hook(lambda m, name, p: swap):
            assert library.nn.Linear(2, 2).weight is swap


# ---- state dicts -------------------------------------------------------------------------------------------------------------------


def _saving(library: Any) -> list[Any]:
    told: list[Any] = []
    m = library.nn.Sequential(library.nn.Linear(1, 1), library.nn.ReLU())
    m.register_state_dict_pre_hook(lambda module, prefix, keep: told.append(("pre", type(module).__name__, prefix, keep)))
    m[0].register_state_dict_pre_hook(lambda module, prefix, keep: told.append(("pre", type(module).__name__, prefix, keep)))

    def more(module, state, prefix, metadata):
        told.append((sorted(state), prefix, dict(metadata)))
        state[prefix + "more"] = 1

    handle = m[0].register_state_dict_post_hook(more)
    told.append(list(m.state_dict(prefix="p.", keep_vars=True)))
    told.append(list(copy.deepcopy(m).state_dict()))
    handle.remove()
    m.register_state_dict_post_hook(lambda *args: {})
    told.append(_error(m.state_dict))
    plain = library.nn.Linear(1, 1)
    plain._register_state_dict_hook(lambda module, state, prefix, metadata: {"other": 2})
    told.append(plain.state_dict())
    with pytest.warns(FutureWarning):
        told.append(list(library.nn.Linear(1, 1).state_dict({}, "q.")))
    told.append({key: dict(value) for key, value in library.nn.Sequential(library.nn.ReLU()).state_dict()._metadata.items()})
    return told


def test_hooks_on_saving():
    _same(_saving)


def _loading(library: Any) -> list[Any]:
    told: list[Any] = []
    m = library.nn.Sequential(library.nn.Linear(2, 1), library.nn.Linear(1, 1, bias=False))

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        told.append((type(module).__name__, sorted(state), prefix, strict, list(missing), list(unexpected)))
        if prefix + "scale" in state:
            state[prefix + "weight"] = state.pop(prefix + "scale")

    def look(module, found):
        told.append((type(module).__name__, sorted(found.missing_keys), sorted(found.unexpected_keys)))

    m[0].register_load_state_dict_pre_hook(rename)
    m[1].register_load_state_dict_post_hook(look)
    m.register_load_state_dict_post_hook(look)
    state = {"0.scale": library.ones(1, 2), "0.bias": library.zeros(1), "1.weight": library.full((1, 1), 3.0)}
    told.append(str(m.load_state_dict(state)))
    told.append([p.tolist() for p in m.parameters()] + [sorted(state)])
    again = copy.deepcopy(m)  # whose hook is called with the copy
    told.append(str(again.load_state_dict(state)))

    def forgive(module, found):
        found.missing_keys.clear()
        found.unexpected_keys.clear()

    m.register_load_state_dict_post_hook(forgive)
    told.append(str(m.load_state_dict({"9.weight": 3})))
    m.register_load_state_dict_post_hook(lambda module, found: 3)
    told.append(_error(lambda: m.load_state_dict(state)))
    own = library.nn.Linear(1, 1)
    own._register_load_state_dict_pre_hook(lambda state, prefix, *rest: told.append((prefix, len(rest))))
    own._register_load_state_dict_pre_hook(lambda module, *rest: told.append((module is own, len(rest))), with_module=True)
    own.load_state_dict({}, strict=False)
    return told


def test_hooks_on_loading():
    _same(_loading)


def _extra(library: Any) -> list[Any]:
    class Counting(library.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    m = library.nn.Sequential(Counting(), library.nn.ReLU())
    told: list[Any] = [dict(m.state_dict())]
    m.load_state_dict({"0._extra_state": {"count": 8}})
    told += [m[0].count, _error(lambda: m.load_state_dict({})), _error(lambda: m.load_state_dict({"1._extra_state": 0}))]
    plain = library.nn.ReLU()
    told += [
        _error(plain.get_extra_state),
        _error(lambda: plain.set_extra_state(3)),
        _error(lambda: plain.load_state_dict({"_extra_state": 1})),
    ]
    return told


def test_extra_state():
    _same(_extra)


def _own_entries(library: Any) -> list[Any]:
    """A class that saves and loads its entries its own way."""

    class Doubling(library.nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "double"] = destination.pop(prefix + "weight") * 2

        def _load_from_state_dict(self, state_dict, prefix, *rest):
            if prefix + "double" in state_dict:
                state_dict[prefix + "weight"] = state_dict.pop(prefix + "double") / 2
            super()._load_from_state_dict(state_dict, prefix, *rest)

    m = library.nn.ModuleDict({"a": Doubling(1, 1, bias=False)})
    with library.no_grad():
        m["a"].weight.fill_(4)
    state = m.state_dict()
    told: list[Any] = [{key: value.tolist() for key, value in state.items()}]
    with library.no_grad():
        m["a"].weight.zero_()
    told += [str(m.load_state_dict(state)), m["a"].weight.tolist()]
    apart = library.nn.Linear(1, 1, bias=False)
    missing: list[str] = []
    unexpected: list[str] = []
    apart._load_from_state_dict({"x.weight": library.ones(1, 1), "x.y": 0}, "x.", {}, True, missing, unexpected, [])
    return [*told, apart.weight.tolist(), missing, unexpected]


def test_own_entries():
    _same(_own_entries)


def _assigning(library: Any) -> list[Any]:
    m = library.nn.BatchNorm1d(2)
    m.weight.requires_grad_(False)
    given = m.state_dict() | {"weight": library.nn.Parameter(library.ones(2)), "bias": library.zeros(2), "running_mean": library.ones(2)}
    m.load_state_dict(given, assign=True)
    told = [
        m.weight is given["weight"],
        m.weight.requires_grad,
        type(m.bias).__name__,
        m.bias.requires_grad,
        m.running_mean is given["running_mean"],
    ]
    m = library.nn.Module()
    m.register_buffer("scale", library.tensor(2.0))
    m.load_state_dict({"scale": library.tensor([5.0])})  # a number as old files have it
    return [*told, m.scale.tolist(), _error(lambda: library.nn.Linear(1, 2).load_state_dict({"a": 1, "bias": library.zeros(3)}))]


def test_load_assigns():
    _same(_assigning)


def test_a_tree_that_does_not_fit_stays_as_it_was():
    m = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    before = [p.tolist() for p in m.parameters()]
    with pytest.raises(RuntimeError, match=r"size mismatch for 1\.bias"):
        m.load_state_dict({k: ng.full(tuple(v.shape) if k != "1.bias" else (2,), 9.0) for k, v in m.state_dict().items()})
    assert [p.tolist() for p in m.parameters()] == before


# ---- buffers, errors, empty copies --------------------------------------------------------------------------------------------------


def _buffers(library: Any) -> list[Any]:
    Buffer = library.nn.Buffer
    kept, scratch = Buffer(library.ones(2)), Buffer(library.ones(3), persistent=False)
    m = library.nn.Module()
    m.kept, m.scratch = kept, scratch
    told: list[Any] = [
        sorted(m.state_dict()),
        [n for n, _ in m.named_buffers()],
        isinstance(kept, Buffer),
        isinstance(library.ones(1), Buffer),
    ]
    told += [isinstance(library.nn.Parameter(library.ones(1)), Buffer), type(kept) is library.Tensor, Buffer().shape == (0,)]
    m.scratch = library.zeros(1)
    told.append(sorted(m.state_dict()))
    m.scratch = Buffer(library.zeros(1))
    told.append(sorted(m.state_dict()))
    m.scratch = library.nn.Parameter(library.zeros(1))
    told.append([n for n, _ in m.named_buffers()])
    m.register_buffer("gone", library.zeros(1), persistent=False)
    del m.gone
    m.gone = library.zeros(1)
    return [*told, m._non_persistent_buffers_set, sorted(m.state_dict())]


def test_buffer():
    _same(_buffers)
    assert nn.parameter.is_lazy(nn.parameter.UninitializedBuffer()) and nn.UninitializedParameter is nn.parameter.UninitializedParameter


def _mistakes(library: Any) -> list[Any]:
    nn_ = library.nn

    def early(act):
        class Early(nn_.Module):
            def __init__(self):
                act(self)

        return Early

    class Hides(nn_.Module):
        @property
        def broken(self):
            return self.absent

    m = nn_.Module()
    m.weight = nn_.Parameter(library.ones(1))
    m.child = nn_.ReLU()
    calls = [
        early(lambda s: s.register_buffer("a", None)),
        early(lambda s: s.register_parameter("a", None)),
        early(lambda s: setattr(s, "a", nn_.Buffer(library.zeros(1)))),
        early(lambda s: setattr(s, "a", nn_.Parameter(library.zeros(1)))),
        early(lambda s: setattr(s, "a", nn_.ReLU())),
        lambda: Hides().broken,
        lambda: m.absent,
        lambda: setattr(m, "weight", nn_.ReLU()),
        lambda: setattr(m, "child", 3),
        lambda: m.set_submodule("", m),
        lambda: m.set_submodule("a", 3),
        lambda: m.set_submodule("a.b", m),
        lambda: m.set_submodule("a", nn_.ReLU(), strict=True),
        lambda: m.set_submodule("weight", nn_.ReLU()),
        lambda: m.get_parameter("absent"),
        lambda: m.get_buffer("absent"),
        lambda: m.get_buffer("weight"),
        lambda: m.get_submodule("absent"),
        lambda: m.get_submodule("weight"),
    ]
    told = [_error(call) for call in calls]
    m.set_submodule("child", nn_.Tanh())
    m.set_submodule("new", nn_.ReLU())
    assert m.compile() is None
    return [(kind, text.replace("numbagrad.nn.modules.activation.", "")) for kind, text in told] + [str(m)]


def test_mistakes():
    _same(_mistakes)


def _emptied(library: Any) -> list[Any]:
    m = library.nn.Sequential(library.nn.BatchNorm1d(2), library.nn.Linear(2, 1))
    before = m[1].weight
    pointer = before.data_ptr()
    assert m.to_empty(device=None) is m and m[1].weight is before
    told: list[Any] = [before.data_ptr() != pointer, [tuple(p.shape) for p in m.parameters()], before.requires_grad]
    child = m[0].weight.data_ptr()
    m.to_empty(device="cpu", recurse=False)
    told.append(m[0].weight.data_ptr() == child)
    m.type(library.float64)
    return [
        *told,
        [str(t.dtype).split(".")[1] for t in m.state_dict().values()],
        len(list(library.nn.Sequential(m[0], m[0]).modules(remove_duplicate=False))),
    ]


def test_to_empty_and_type():
    _same(_emptied)
