"""The entries of PyTorch's database and how each is run: which are random, which results are unique up to a sign only, how many samples."""

from __future__ import annotations

import re
import warnings
from typing import Any, Iterator

import torch
from torch.testing._internal.common_methods_invocations import op_db

from . import compare, translate

# Importing PyTorch's test helpers forbids scripts to set torch.backends.cudnn.*, which other tests of this process run.
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True

# Entries whose values are random, or nobody's (uninitialised memory): shape and dtype are compared.
RANDOM = frozenset(
    "bernoulli cauchy exponential geometric log_normal normal uniform multinomial rand_like randn randn_like randint randint_like empty empty_like "
    "empty_permuted empty_strided new_empty new_empty_strided nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d "
    "nn.functional.alpha_dropout nn.functional.feature_alpha_dropout nn.functional.rrelu nn.functional.fractional_max_pool2d "
    "nn.functional.fractional_max_pool3d svd_lowrank pca_lowrank resize_ resize_as_".split()
)
# Entries whose second derivative is NaN in PyTorch on some samples where it exists (log(e^a + e^b) at b = −∞).
NO_SECOND = frozenset({"masked.logaddexp"})
# Elements of a sample beyond which the second derivative is not taken, and how many samples it is taken of.
_SMALL, _SECONDS = 400, 6


def entries() -> dict[str, Any]:
    """All entries that take float32, by full name: ``linalg.det``, ``div.floor_rounding``."""
    return {op.full_name: op for op in op_db if torch.float32 in op.dtypes}


def samples(op: Any, dtype: torch.dtype, requires_grad: bool) -> Iterator[Any]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from op.sample_inputs("cpu", dtype, requires_grad=requires_grad)


def _processed(sample: Any, result: Any, ours: bool) -> Any:
    """A result as it is to be compared: PyTorch's samples say how, where several results are right (signs of singular vectors)."""
    process = sample.output_process_fn_grad
    return translate.rebound(process)(result) if ours else process(result)


def _is_known(op: Any, sample: Any) -> bool:
    """Whether the values are not random."""
    if op.name == "nn.functional.multi_head_attention_forward":
        return not (sample.args[9] and sample.kwargs.get("training", True))  # dropout_p
    return op.name not in RANDOM and not sample.kwargs.get("dropout_p")


def check_values(op: Any, dtype: torch.dtype = torch.float32) -> int:
    """Every sample: shape, dtype and values as PyTorch's.  The number of samples."""
    fn = translate.function(op)
    count = 0
    for sample in samples(op, dtype, False):
        expected = op.op(sample.input, *sample.args, **sample.kwargs) if not _changes(op) else _on_copy(op.op, sample)
        result, _, _ = translate.call(op, fn, sample)
        compare.same(
            _processed(sample, result, True), _processed(sample, expected, False), values=_is_known(op, sample), what=_title(sample)
        )
        count += 1
    return count


def check_gradients(op: Any) -> int:
    """Every sample in float64: gradients, and second gradients of small ones, as PyTorch's."""
    if not op.supports_autograd:
        return 0
    fn = translate.function(op)
    count = seconds = 0
    for sample in samples(op, torch.float64, True):
        twice = op.supports_gradgrad and seconds < _SECONDS and _elements(sample) <= _SMALL and op.full_name not in NO_SECOND
        expected = op.op(sample.input, *sample.args, **sample.kwargs) if not _changes(op) else _on_copy(op.op, sample)
        result, inputs, theirs = translate.call(op, fn, sample)
        if not theirs:
            continue
        first, second = compare.gradients(torch, _processed(sample, expected, False), theirs, twice)
        mine, mine_second = compare.gradients(compare.ng, _processed(sample, result, True), inputs, twice)
        known = _is_known(op, sample)
        compare.same_gradients(mine, first, f"gradient, {_title(sample)}", values=known)
        compare.same_gradients(mine_second, second, f"second gradient, {_title(sample)}", loose=10, values=known)
        count += 1
        seconds += twice
    return count


def check_in_place(op: Any) -> int:
    """The in-place variant on up to three samples: the same values as out of place, in the same tensor, with its version advanced."""
    variant = op.inplace_variant
    name = getattr(variant, "__name__", "")
    if variant is None or not name.endswith("_") or name.startswith("__") or name in ("resize_", "resize_as_"):
        return 0
    mine = translate.find(f"Tensor.{name}")
    count = 0
    for sample in samples(op, torch.float32, False):
        if sample.broadcasts_input or count == 3:
            continue
        try:
            expected = variant(sample.input.clone(), *sample.args, **sample.kwargs)
        except RuntimeError:
            continue  # not possible in place: another dtype, or a shape that broadcasts
        x = translate.value(sample.input.clone())
        version = x._version
        result = mine(x, *translate.value(sample.args), **translate.value(sample.kwargs))
        assert result is x, f"{name} returns another tensor"
        assert x._version > version, f"{name} does not count as a change"
        compare.same(result, expected, values=op.name not in RANDOM, what=f"{name}, {_title(sample)}")
        count += 1
    return count


def check_errors(op: Any) -> int:
    """What PyTorch refuses is refused with its type of exception."""
    if op.error_inputs_func is None:
        return 0
    fn = translate.function(op)
    count = 0
    for error in op.error_inputs("cpu"):
        sample = error.sample_input
        # Where PyTorch's parser takes no number for a tensor (type Exception) we do.
        if _changes(op) or error.error_type is Exception or not _refused(op, sample, error.error_type):
            continue
        # PyTorch refuses, here and there, an out= of another dtype that the result converts to, or one that overlaps the input.
        if "out" in sample.kwargs and re.search(
            "dtype|scalar type|Long tensor out|unsupported operation|single memory location", error.error_regex
        ):
            continue
        try:
            args, kwargs = translate.value((sample.input, *sample.args)), translate.value(sample.kwargs)
        except (translate.Missing, ValueError):  # NumPy has no arrays of more than 64 dimensions
            continue
        try:
            result = fn(*args, **kwargs)
        except error.error_type:
            count += 1
            continue
        except Exception as other:
            raise AssertionError(f"{_title(sample)} raises {other!r}, expected {error.error_type.__name__}: {error.error_regex}") from other
        raise AssertionError(f"{_title(sample)} gives {result!r}, expected {error.error_type.__name__}: {error.error_regex}")
    return count


def check_out(op: Any) -> int:
    """``out=``, empty and of the result's shape, on up to three samples: the same values, in the tensors that were given.

    Not for those in nn.functional, of which only ``normalize`` is documented to take it.
    """
    fn = translate.function(op)
    count = 0
    for sample in samples(op, torch.float32, False):
        if not op.supports_out or op.name.startswith(("_", "nn.")) or count == 3:
            break
        expected = op.op(sample.input, *sample.args, **sample.kwargs)
        args, kwargs = translate.value((sample.input, *sample.args)), translate.value(sample.kwargs)
        for made in (_empty, torch.empty_like):
            try:
                op.op(sample.input, *sample.args, **sample.kwargs, out=_each(made, expected))
            except (TypeError, RuntimeError):  # a sample of the overload without out=; `normal` takes no empty one
                continue
            out = translate.value(_each(made, expected))
            result = fn(*args, **kwargs, out=out)
            for x, y in zip(translate.leaves(result, compare.ng.Tensor), translate.leaves(out, compare.ng.Tensor), strict=True):
                assert x is y, "the result is not what was given as out="
            compare.same(
                _processed(sample, result, True),
                _processed(sample, expected, False),
                values=_is_known(op, sample),
                what=f"out=, {_title(sample)}",
            )
            count += 1
    return count


def _empty(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty(0)


def _each(made: Any, results: Any) -> Any:
    return made(results) if isinstance(results, torch.Tensor) else tuple(_each(made, x) for x in results)


def _refused(op: Any, sample: Any, error: type) -> bool:
    try:
        op.op(sample.input, *sample.args, **sample.kwargs)
    except error:
        return True
    return False


def _changes(op: Any) -> bool:
    """Whether the entry itself is an in-place method."""
    return (
        op.name.endswith("_")
        and not op.name.endswith("__")
        or op.name in ("cauchy", "exponential", "geometric", "log_normal", "uniform", "fill")
    )


def _on_copy(fn: Any, sample: Any) -> Any:
    return fn(sample.input.detach().clone().requires_grad_(sample.input.requires_grad), *sample.args, **sample.kwargs)


def _elements(sample: Any) -> int:
    return sum(t.numel() for t in translate.leaves(((sample.input, *sample.args), sample.kwargs), torch.Tensor))


def _title(sample: Any) -> str:
    def shown(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
        if isinstance(x, (list, tuple)):
            return f"({', '.join(map(shown, x))})"
        return str(x)

    parts = [shown(sample.input), *map(shown, sample.args), *(f"{k}={shown(v)}" for k, v in sample.kwargs.items())]
    return f"of ({', '.join(parts)})"[:300]
