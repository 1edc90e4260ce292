"""PyTorch's database of modules, and how each is run: both libraries' module from the same arguments, with PyTorch's state, on the same input.

What the database lacks is in ``more_modules``, in the same form.
"""

from __future__ import annotations

import warnings
from typing import Any, Iterator

import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

from . import compare, translate
from .more_modules import MORE

# Modules whose result is random in training: shape and dtype are compared.  Those of the second line are so in evaluation too.
_RANDOM_IN_TRAINING = frozenset(
    "nn.Dropout nn.Dropout1d nn.Dropout2d nn.Dropout3d nn.AlphaDropout nn.FeatureAlphaDropout nn.RReLU nn.TransformerEncoder "
    "nn.TransformerEncoderLayer nn.TransformerDecoder nn.TransformerDecoderLayer nn.Transformer".split()
)
_RANDOM = frozenset("nn.FractionalMaxPool2d nn.FractionalMaxPool3d".split())
_SMALL, _SECONDS = 400, 4


def modules() -> dict[str, Any]:
    """All modules that take float32, by name: ``nn.Conv1d``."""
    return {info.name: info for info in (*module_db, *MORE) if torch.float32 in info.dtypes}


def _inputs(info: Any, dtype: torch.dtype, training: bool) -> Iterator[Any]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)


def _modes(info: Any) -> tuple[bool, ...]:
    return (True, False) if info.train_and_eval_differ else (True,)


def build(info: Any, args: Any, dtype: torch.dtype, training: bool, forward: Any = None) -> tuple[Any, Any]:
    """Our module and PyTorch's, from PyTorch's arguments and with PyTorch's state.  ``forward``: what a lazy one takes its sizes from."""
    theirs = info.module_cls(*args.args, **args.kwargs).to(dtype).train(training)
    ours = translate.find(info.name)(*translate.value(args.args), **translate.value(args.kwargs))
    ours = ours.to(translate.dtype(dtype)).train(training)
    if info.is_lazy:
        with torch.no_grad():
            theirs(*forward.args, **forward.kwargs)
        with compare.ng.no_grad():
            ours(*translate.value(forward.args), **translate.value(forward.kwargs))
        assert type(ours).__name__ == type(theirs).__name__, f"a lazy module became {type(ours).__name__}, expected {type(theirs).__name__}"
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state), f"state of names {list(ours.state_dict())}, expected {list(state)}"
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()], "other parameters"
    ours.load_state_dict({name: translate.tensor(value) for name, value in state.items()})
    return ours, theirs


def check_module_repr(info: Any) -> int:
    """What is printed, before and after a lazy module has its sizes."""
    count = 0
    for sample in _inputs(info, torch.float32, True):
        args = sample.constructor_input
        before = [info.module_cls(*args.args, **args.kwargs)]
        mine = [translate.find(info.name)(*translate.value(args.args), **translate.value(args.kwargs))]
        if info.is_lazy:
            ours, theirs = build(info, args, torch.float32, True, sample.forward_input)
            before.append(theirs)
            mine.append(ours)
        for a, b in zip(mine, before):
            assert repr(a) == repr(b), f"repr is {a!r}, expected {b!r}"
        count += 1
    return count


def check_module_values(info: Any) -> int:
    """Every sample, in training and evaluation: results and state afterwards as PyTorch's."""
    count = 0
    for training in _modes(info):
        for sample in _inputs(info, torch.float32, training):
            ours, theirs = build(info, sample.constructor_input, torch.float32, training, sample.forward_input)
            args, kwargs = sample.forward_input.args, sample.forward_input.kwargs
            mine = translate.value((args, kwargs))
            with torch.no_grad():
                expected = theirs(*args, **kwargs)
            with compare.ng.no_grad():
                result = ours(*mine[0], **mine[1])
            what = _title(info, sample, training)
            compare.same(result, expected, values=not _random(info, training), what=what)
            compare.same(list(ours.state_dict().values()), list(theirs.state_dict().values()), what=f"state after {what}")
            count += 1
    return count


def check_module_gradients(info: Any) -> int:
    """Every sample in float64: gradients of inputs and parameters, and second gradients of small ones, as PyTorch's."""
    count = seconds = 0
    for training in _modes(info):
        if _random(info, training):
            continue
        for sample in _inputs(info, torch.float64, training):
            ours, theirs = build(info, sample.constructor_input, torch.float64, training, sample.forward_input)
            given = sample.forward_input.args, sample.forward_input.kwargs
            mine = translate.value(given)
            inputs = [t for t in translate.leaves(mine, compare.ng.Tensor) if t.requires_grad] + list(ours.parameters())
            others = [t for t in translate.leaves(given, torch.Tensor) if t.requires_grad] + list(theirs.parameters())
            if not others:
                continue
            twice = info.supports_gradgrad and seconds < _SECONDS and sum(t.numel() for t in others) <= _SMALL
            first, second = compare.gradients(torch, theirs(*given[0], **given[1]), others, twice)
            found, found_second = compare.gradients(compare.ng, ours(*mine[0], **mine[1]), inputs, twice)
            what = _title(info, sample, training)
            compare.same_gradients(found, first, f"gradient, {what}")
            compare.same_gradients(found_second, second, f"second gradient, {what}", loose=10)
            count += 1
            seconds += twice
    return count


def check_module_errors(info: Any) -> int:
    """What PyTorch refuses, when it is made or when it is called, is refused with its type of exception."""
    if info.module_error_inputs_func is None:
        return 0
    count = 0
    torch.manual_seed(0)
    for error in info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True):
        sample = error.module_error_input
        try:
            made = translate.find(info.name)(
                *translate.value(sample.constructor_input.args), **translate.value(sample.constructor_input.kwargs)
            )
            if error.error_on == ModuleErrorEnum.FORWARD_ERROR:
                made(*translate.value(sample.forward_input.args), **translate.value(sample.forward_input.kwargs))
        except error.error_type:
            count += 1
            continue
        except Exception as other:
            raise AssertionError(f"raises {other!r}, expected {error.error_type.__name__}: {error.error_regex}") from other
        raise AssertionError(f"{_title(info, sample, True)} is taken, expected {error.error_type.__name__}: {error.error_regex}")
    return count


CHECKS = (check_module_values, check_module_gradients, check_module_repr, check_module_errors)


def _random(info: Any, training: bool) -> bool:
    return info.name in _RANDOM or (training and info.name in _RANDOM_IN_TRAINING)


def _title(info: Any, sample: Any, training: bool) -> str:
    def shown(x: Any) -> str:
        return f"{list(x.shape)}" if isinstance(x, torch.Tensor) else f"({', '.join(map(shown, x))})" if isinstance(x, tuple) else str(x)

    made, given = sample.constructor_input, sample.forward_input
    written = [
        ", ".join([*map(shown, part.args), *(f"{k}={shown(v)}" for k, v in part.kwargs.items())]) if part is not None else ""
        for part in (made, given)
    ]
    return f"{info.name}({written[0]})({written[1]}) in {'training' if training else 'evaluation'}"[:300]
