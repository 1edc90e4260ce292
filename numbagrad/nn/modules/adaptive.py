"""A softmax over very many classes, of which few are frequent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...creation import full_like
from ...ops import elementwise as e
from ...ops.copy import cat
from ...tensor import Tensor
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log-probabilities of ``n_classes`` classes sorted by falling frequency: the most frequent ones and one for each cluster of the others come from
    ``head``, the rest from ``tail``, whose projections shrink by ``div_value`` from cluster to cluster; ``cutoffs`` are the clusters' first classes.

    ``forward(input, target)``: (N, in_features) and (N,), or without N; ``output``, the log-probabilities of the targets, and ``loss``, minus their
    mean.  E. Grave et al., "Efficient softmax approximation for GPUs" (2017).
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if cutoffs != sorted(set(cutoffs)) or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes, self.div_value, self.head_bias = in_features, n_classes, div_value, head_bias
        self.cutoffs = [*cutoffs, n_classes]
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **factory)
        self.tail = ModuleList()
        for k, (first, behind) in enumerate(itertools.pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (k + 1))
            self.tail.append(
                Sequential(Linear(in_features, width, bias=False, **factory), Linear(width, behind - first, bias=False, **factory))
            )

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        self.head.reset_parameters()
        cluster: Any
        for cluster in self.tail:
            cluster[0].reset_parameters()
            cluster[1].reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.ndim != target_.ndim + 1:
            raise RuntimeError(
                f"{target_.ndim}D target tensor expects {target_.ndim + 1}D input tensors, but found inputs with size {input_.shape}"
            )
        batched = target_.ndim == 1
        x: Any = input_ if batched else input_.unsqueeze(0)  # type: ignore[attr-defined]
        target: Any = target_ if batched else target_.unsqueeze(0)  # type: ignore[attr-defined]
        if x.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if target.numel() and not bool(((target >= 0) & (target < self.n_classes)).all()):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, {target.max().item()}] were found. "
            )
        places = target  # of each target's class, or cluster, in the head
        output: Any = 0.0
        for k, (first, behind) in enumerate(itertools.pairwise(self.cutoffs)):
            inside = (target >= first) & (target < behind)
            places = e.where(inside, full_like(target, self.shortlist_size + k), places)  # type: ignore[arg-type]
            rows = inside.nonzero().reshape(-1)
            if rows.numel():
                scores = F.log_softmax(self.tail[k](x.index_select(0, rows)), 1).gather(1, (target[rows] - first).unsqueeze(1))  # type: ignore[attr-defined]
                output = output + x.new_zeros(x.shape[0]).index_add(0, rows, scores.squeeze(1))
        output = output + F.log_softmax(self.head(x), 1).gather(1, places.unsqueeze(1)).squeeze(1)  # type: ignore[attr-defined]
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes, (N, n_classes)"""
        head: Any = F.log_softmax(self.head(input), 1)
        size = self.shortlist_size
        parts = [F.log_softmax(cluster(input), 1) + head[:, size + k].unsqueeze(1) for k, cluster in enumerate(self.tail)]
        return cat([head[:, :size], *parts], 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, (N,)"""
        return self.log_prob(input).argmax(1)  # type: ignore[attr-defined]
