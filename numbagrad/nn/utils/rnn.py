"""Sequences of different lengths in one batch: padded, or packed without padding for recurrent layers.

A packed batch holds the sequences, the longest first, step by step: the rows of ``data`` are the first elements of all sequences, then the second ones
of those that have one, and so on; ``batch_sizes[t]`` counts those of step t.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ... import dtypes
from ...creation import arange, as_tensor, empty_like
from ...ops.copy import cat, pad, stack
from ...tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence", "unpack_sequence",
    "unpad_sequence",
]  # fmt: skip


class _PackedSequence(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_PackedSequence):
    """A packed batch: ``data`` (rows), ``batch_sizes`` (int64, on the CPU), and the order ``sorted_indices`` that the sequences were brought into, with
    its inverse, or None.  Made by ``pack_padded_sequence`` and ``pack_sequence``.  Raises ValueError for batch sizes that are not on the CPU."""

    def __new__(cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None) -> PackedSequence:
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU: packed sequences are made by pack_sequence and pack_padded_sequence")
        unsorted_indices = invert_permutation(sorted_indices) if unsorted_indices is None else unsorted_indices
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With ``data.to(...)``, and the orders on the device of that."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return PackedSequence(data, self.batch_sizes, *(None if t is None else t.to(data.device) for t in self[2:]))

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> PackedSequence:
        """On a GPU."""
        return self.to(device)

    def double(self) -> PackedSequence:
        """In float64."""
        return self.to(dtypes.float64)

    def float(self) -> PackedSequence:
        """In float32."""
        return self.to(dtypes.float32)

    def half(self) -> PackedSequence:
        """In float16."""
        return self.to(dtypes.float16)

    def pin_memory(self) -> PackedSequence:
        """With ``data`` and the orders in pinned memory."""
        return PackedSequence(self.data.pin_memory(), self.batch_sizes, *(None if t is None else t.pin_memory() for t in self[2:]))

    @property
    def is_cuda(self) -> bool:
        """Whether ``data`` is on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether ``data`` is in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Any:
    """q with q[permutation[i]] = i"""
    if permutation is None:
        return None
    return empty_like(permutation).scatter_(0, permutation, arange(permutation.numel(), device=permutation.device))  # type: ignore[attr-defined]


def _counted(lengths: list[int]) -> list[int]:
    """How many of the falling ``lengths`` reach each step."""
    return [sum(n > t for n in lengths) for t in range(lengths[0])]


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """The packed batch of ``input`` (T, B, ...), or (B, T, ...) with ``batch_first``, of which sequence b has ``lengths[b]`` elements.

    Unless ``enforce_sorted`` the sequences are sorted first.  Raises RuntimeError for lengths that are not sorted, not positive, not one per sequence
    or beyond T.
    """
    order, x = None, input
    lengths = as_tensor(lengths, dtype=dtypes.int64).to(dtypes.int64).cpu()
    if not enforce_sorted:
        lengths, order = lengths.sort(descending=True)
        order = order.to(x.device)
        x = x.index_select(0 if batch_first else 1, order)  # type: ignore[attr-defined]
    steps = x.transpose(0, 1) if batch_first else x  # type: ignore[attr-defined]
    counts = lengths.tolist()
    if not counts or x.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(counts) != steps.shape[1]:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} (batch_size={steps.shape[1]})")
    if counts[-1] <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if any(after > before for before, after in zip(counts, counts[1:])):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to "
            "pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability."
        )
    if counts[0] > steps.shape[0]:
        raise RuntimeError(f"pack_padded_sequence: expected lengths of at most {steps.shape[0]}, but got {counts[0]}")
    sizes = _counted(counts)
    return PackedSequence(cat([steps[t, :n] for t, n in enumerate(sizes)]), as_tensor(sizes, dtype=dtypes.int64), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded batch (T, B, ...), or (B, T, ...), and the lengths of the sequences, in the order in which they were before they were packed.

    ``total_length`` is T, by default the longest length.  Raises ValueError for a shorter one.
    """
    sizes = sequence.batch_sizes.tolist()
    longest = len(sizes)
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    tail = (0, 0) * (sequence.data.ndim - 1)
    steps = [pad(rows, (*tail, 0, sizes[0] - n), value=padding_value) for rows, n in zip(sequence.data.split(sizes), sizes)]
    padded: Any = stack(steps)
    if longest > len(sizes):
        padded = pad(padded, (*tail, 0, 0, 0, longest - len(sizes)), value=padding_value)
    padded = padded.transpose(0, 1) if batch_first else padded
    lengths = as_tensor(_counted(sizes), dtype=dtypes.int64)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]  # type: ignore[index]
    return padded, lengths


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Sequences (Lᵢ, ...) as one batch (T, B, ...), or (B, T, ...), T the longest of their lengths; the rest, at the ``padding_side``, is ``padding_value``.

    Raises RuntimeError for what is no sequence of tensors, for none, and for an unknown side.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    each: Sequence[Any] = tuple(sequences)
    if not each:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(s.shape[0] for s in each)
    tail = (0, 0) * (each[0].ndim - 1)
    sides = [(longest - s.shape[0], 0) if padding_side == "left" else (0, longest - s.shape[0]) for s in each]
    return stack([pad(s, (*tail, *side), value=padding_value) for s, side in zip(each, sides)], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, of these lengths"""
    rows: Any = padded_sequences if batch_first else padded_sequences.transpose(0, 1)  # type: ignore[attr-defined]
    return [row[:n] for row, n in zip(rows.unbind(0), as_tensor(lengths).tolist(), strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """The packed batch of a list of sequences (Lᵢ, ...)"""
    lengths = as_tensor([s.shape[0] for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch"""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
