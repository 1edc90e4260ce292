"""Contractions of any number of dimensions: einsum, tensordot, kron and chains of products, all by way of one matrix product per pair."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from ..autograd import casting
from ..tensor import Tensor
from ._arguments import result_into, tensors_of
from ._attach import public
from .matmul import matmul

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# A label is an int: the place of its letter, or for a dimension under an ellipsis a negative number, -1 being the last such dimension.
Labels = list[int]


def _labels_of(subscripts: str, op: int, equation: str, at: int) -> list[int | None]:
    """The labels of one operand, None standing for its ellipsis; ``at`` is where the operand begins in ``equation``, for messages."""
    labels: list[int | None] = []
    i = 0
    while i < len(subscripts):
        letter = subscripts[i]
        if letter == " ":
            i += 1
        elif letter == ".":
            where = f"operand {op}" if op >= 0 else "the output"
            if None in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            if subscripts[i : i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
            labels.append(None)
            i += 3
        elif letter in _LETTERS:
            labels.append(_LETTERS.index(letter))
            i += 1
        else:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {at + i} in the equation string, subscripts must be in [a-zA-Z]"
            )
    return labels


def _parse(equation: str, count: int) -> tuple[list[list[int | None]], list[int | None] | None]:
    """The labels of the ``count`` operands and of the output (None: not given)."""
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    if len(parts) != count:
        fewer = "fewer" if count < len(parts) else "more"
        raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the equation")
    terms, at = [], 0
    for op, part in enumerate(parts):
        terms.append(_labels_of(part, op, equation, at))
        at += len(part) + 1
    return terms, _labels_of(right, -1, equation, len(left) + 2) if arrow else None


def _from_lists(args: Sequence[Any]) -> tuple[list[Tensor], list[list[int | None]], list[int | None] | None]:
    """The operands and labels of the form einsum(a, [0, 1], b, [1, 2], [0, 2])."""

    def labels(sublist: Any) -> list[int | None]:
        result: list[int | None] = []
        for entry in sublist:
            if entry is Ellipsis:
                result.append(None)
            elif isinstance(entry, int) and 0 <= entry < len(_LETTERS):
                result.append(entry)
            else:
                raise ValueError(f"einsum(): not in the range [0, 52) for a subscript: {entry!r}")
        return result

    pairs = len(args) // 2
    output = labels(args[-1]) if len(args) % 2 else None
    return list(args[: 2 * pairs : 2]), [labels(args[2 * i + 1]) for i in range(pairs)], output


def _without_ellipsis(labels: list[int | None], covered: int) -> Labels:
    """``labels`` with the ellipsis replaced by the labels of the dimensions it covers, which broadcast from the right."""
    result: Labels = []
    for label in labels:
        if label is None:
            result.extend(range(-covered, 0))
        else:
            result.append(label)
    return result


def _diagonals(x: Tensor, labels: Labels, op: int) -> tuple[Tensor, Labels]:
    """``x`` with each repeated label reduced to one dimension, its diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first, second = [i for i, other in enumerate(labels) if other == label][:2]
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(
                    f"einsum(): subscript {_name(label)} is repeated for operand {op} but the sizes don't match, "
                    f"{x.shape[second]} != {x.shape[first]}"
                )
            x = x.diagonal(0, first, second)  # type: ignore[attr-defined]
            labels = [other for i, other in enumerate(labels) if i not in (first, second)] + [label]
    return x, labels


def _name(label: int) -> str:
    return _LETTERS[label] if label >= 0 else "..."


def _reduced(x: Tensor, labels: Labels, keep: set[int]) -> tuple[Tensor, Labels]:
    """``x`` summed over the labels that nothing else needs."""
    gone = [i for i, label in enumerate(labels) if label not in keep]
    if gone:
        x = x.sum(gone)  # type: ignore[attr-defined]
    return x, [label for label in labels if label in keep]


def _arranged(x: Tensor, labels: Labels, order: Sequence[int]) -> Tensor:
    """``x`` with its dimensions in ``order``; a label it lacks becomes a dimension of size 1."""
    x = x.permute([labels.index(label) for label in order if label in labels])  # type: ignore[attr-defined]
    return x.reshape([x.shape[sum(o in labels for o in order[:i])] if label in labels else 1 for i, label in enumerate(order)])  # type: ignore[attr-defined]


def _size(sizes: dict[int, int], labels: Sequence[int]) -> int:
    total = 1
    for label in labels:
        total *= sizes[label]
    return total


def _pair(x: Tensor, of_x: Labels, y: Tensor, of_y: Labels, keep: set[int]) -> tuple[Tensor, Labels]:
    """Σ x·y over the labels of both that are not in ``keep``: one batched matrix product, or a broadcast one where nothing is summed."""
    # A dimension of size 1 against a longer one is constant along it, and so does not take part in the sum.
    for label in set(of_x) & set(of_y) - keep:
        m, n = x.shape[of_x.index(label)], y.shape[of_y.index(label)]
        if m != n and m == 1:
            y, of_y = _reduced(y, of_y, set(of_y) - {label})
            x, of_x = _reduced(x, of_x, set(of_x) - {label})
        elif m != n and n == 1:
            x, of_x = _reduced(x, of_x, set(of_x) - {label})
            y, of_y = _reduced(y, of_y, set(of_y) - {label})
    x, of_x = _reduced(x, of_x, keep | set(of_y))
    y, of_y = _reduced(y, of_y, keep | set(of_x))
    shared = [label for label in of_x if label in of_y]
    summed = [label for label in shared if label not in keep]
    batch = [label for label in shared if label in keep]
    only_x, only_y = [label for label in of_x if label not in of_y], [label for label in of_y if label not in of_x]
    labels = batch + only_x + only_y
    if not summed:
        return _arranged(x, of_x, labels) * _arranged(y, of_y, labels), labels
    sizes_x, sizes_y = dict(zip(of_x, x.shape)), dict(zip(of_y, y.shape))
    left = _arranged(x, of_x, batch + only_x + summed)
    left = left.reshape([*(sizes_x[b] for b in batch), _size(sizes_x, only_x), _size(sizes_x, summed)])  # type: ignore[attr-defined]
    right = _arranged(y, of_y, batch + summed + only_y)
    right = right.reshape([*(sizes_y[b] for b in batch), _size(sizes_y, summed), _size(sizes_y, only_y)])  # type: ignore[attr-defined]
    product = matmul(left, right)
    free = [sizes_x[label] for label in only_x] + [sizes_y[label] for label in only_y]
    return product.reshape([*product.shape[: len(batch)], *free]), labels  # type: ignore[attr-defined]


@public(method=False)
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products by Einstein's convention, as ``torch.einsum``: ``einsum("bij,bjk->bik", x, y)``.

    Letters of the operands that the output lacks are summed over, a letter twice in one operand takes its diagonal, ``...`` stands for any
    dimensions, and these broadcast.  Without ``->`` the output has the letters that occur once, in alphabetical order, after those of
    ``...``.  Operands are contracted from left to right.  Also ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.
    Raises RuntimeError for an equation that is wrong or does not fit the operands.
    """
    if isinstance(equation, Tensor):
        tensors, terms, output = _from_lists((equation, *operands))
    else:
        tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
        if not tensors:
            raise ValueError(
                "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
            )
        terms, output = _parse(equation, len(tensors))
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum(): expected Tensor as operand {i}, but got {type(x).__name__}")
    if casting.active:
        tensors = list(casting.arguments("einsum", *tensors))

    covered = []
    for op, (x, labels) in enumerate(zip(tensors, terms)):
        named = sum(label is not None for label in labels)
        if named > x.ndim or (named < x.ndim and None not in labels):
            kind = "is more than" if None in labels else "does not match"
            tail = "" if None in labels else " and no ellipsis was given"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) {kind} the number of dimensions ({x.ndim}) "
                f"for operand {op}{tail}"
            )
        covered.append(x.ndim - named if None in labels else 0)
    widest = max(covered)

    work: list[tuple[Tensor, Labels]] = []
    sizes: dict[int, int] = {}
    count: dict[int, int] = {}
    for op, (x, labels) in enumerate(zip(tensors, terms)):
        found = _without_ellipsis(labels, covered[op])
        for label in found:
            count[label] = count.get(label, 0) + 1
        x, found = _diagonals(x, found, op)
        for label, size in zip(found, x.shape):
            known = sizes.get(label, 1)
            if known != 1 and size not in (1, known):
                raise RuntimeError(
                    f"einsum(): subscript {_name(label)} has size {size} for operand {op} which does not broadcast with previously seen "
                    f"size {known}"
                )
            sizes[label] = size if known == 1 else known
        work.append((x, found))

    if output is None:
        wanted = [*range(-widest, 0), *sorted(label for label, n in count.items() if label >= 0 and n == 1)]
    else:
        wanted = _without_ellipsis(output, widest)
    for label in wanted:
        if wanted.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {_name(label)} appears more than once in the output")
        if label not in sizes:
            raise RuntimeError(f"einsum(): output subscript {_name(label)} does not appear in the equation for any input operand")

    result, of_result = work[0]
    if len(work) == 1:
        result, of_result = _reduced(result, of_result, set(wanted))
    for i, (x, of_x) in enumerate(work[1:], 1):
        later = {label for _, rest in work[i + 1 :] for label in rest}
        result, of_result = _pair(result, of_result, x, of_x, set(wanted) | later)
    return result.permute([of_result.index(label) for label in wanted])  # type: ignore[attr-defined]


def _dims_of(dims: Any, ndim: int) -> list[int]:
    values = [int(d) for d in (dims if isinstance(dims, (list, tuple)) else [dims])]
    for d in values:
        if not -ndim <= d < ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {d})")
    places = [d % ndim for d in values]
    for d in places:
        if places.count(d) > 1:
            raise RuntimeError(f"tensordot: dim {d} appears multiple times in the list of dims")
    return places


@public(method=False)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Sums of products over ``dims``: the last ``dims`` dimensions of a with the first of b, or the listed ones of each in order.

    The result has the other dimensions of a, then those of b.  Raises RuntimeError for sizes that do not match.
    """
    tensors_of("tensordot", a=a, b=b)
    if casting.active and out is None and not casting.state.suspended:
        a, b = casting.arguments("tensordot", a, b)
        with casting.suspended():  # the product within computes in the type of the whole
            return tensordot(a, b, dims)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, builtins.int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        of_a, of_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        of_a, of_b = _dims_of(dims[0], a.ndim), _dims_of(dims[1], b.ndim)
    if len(of_a) != len(of_b):
        raise RuntimeError(f"tensordot: both dimension lists should have same length, but got {len(of_a)} and {len(of_b)}")
    for i, j in zip(of_a, of_b):
        m, n = a.shape[i], b.shape[j]
        if m != n and 1 not in (m, n):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {m} in dim {i} and second has size {n} in dim {j}")
    labels_a, labels_b = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(of_a, of_b):
        labels_b[j] = labels_a[i]
    free = [label for i, label in enumerate(labels_a) if i not in of_a] + [label for j, label in enumerate(labels_b) if j not in of_b]
    result, labels = _pair(a, labels_a, b, labels_b, set(free))
    return result_into(out, result.permute([labels.index(label) for label in free]))  # type: ignore[attr-defined]


@public
def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The Kronecker product: each element of ``input`` times the whole of ``other``, in its place."""
    tensors_of("kron", input=input, other=other)
    ndim = max(input.ndim, other.ndim)
    sizes_a = [1] * (ndim - input.ndim) + list(input.shape)
    sizes_b = [1] * (ndim - other.ndim) + list(other.shape)
    spread_a = input.reshape([size for m in sizes_a for size in (m, 1)])  # type: ignore[attr-defined]
    spread_b = other.reshape([size for n in sizes_b for size in (1, n)])  # type: ignore[attr-defined]
    return result_into(out, (spread_a * spread_b).reshape([m * n for m, n in zip(sizes_a, sizes_b)]))


@public(method=False)
def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of all ``matrices``, in the order of multiplication that takes the fewest multiply-adds.

    The order is found by dynamic programming (Cormen et al., "Introduction to Algorithms", matrix-chain multiplication).
    Raises RuntimeError where neighbours do not fit.
    """
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for i, x in enumerate(matrices):
        if not isinstance(x, Tensor):
            raise TypeError(f"chain_matmul(): expected Tensor as argument {i}, but got {type(x).__name__}")
        if x.ndim != 2:
            raise RuntimeError(f"chain_matmul(): Tensor dimension is {x.ndim}, expected 2 instead")
        if i and matrices[i - 1].shape[1] != x.shape[0]:
            shapes = f"{list(matrices[i - 1].shape)} and {list(x.shape)}"
            raise RuntimeError(f"chain_matmul(): tensors {i - 1} and {i} with shapes {shapes} cannot be multiplied")
    n = len(matrices)
    sizes = [matrices[0].shape[0], *(x.shape[1] for x in matrices)]
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [(cost[i][s] + cost[s + 1][j] + sizes[i] * sizes[s + 1] * sizes[j + 1], s) for s in range(i, j)]
            cost[i][j], split[i][j] = min(options)

    def product(i: int, j: int) -> Tensor:
        return matrices[i] if i == j else matmul(product(i, split[i][j]), product(split[i][j] + 1, j))

    return result_into(out, product(0, n - 1))
