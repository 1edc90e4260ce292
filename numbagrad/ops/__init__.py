"""Differentiable operations on tensors, by family.  Importing this package gives Tensor its methods and operators.

Each module declares the operations of one kernel family: a kernel, and a gradient rule per input (see ``_operation``).
"""

from . import elementwise, operators, views  # isort: skip
from . import conversion  # isort: skip
from . import (
    closeness,
    complex_views,
    conv,
    copy,
    einsum,
    embedding,
    gather,
    grids,
    index,
    masks,
    matmul,
    norm,
    parts,
    pool,
    random,
    reduce,
    scan,
    softmax,
    sort,
)
from ._attach import FUNCTIONS

__all__ = [
    "FUNCTIONS", "closeness", "complex_views", "conv", "conversion", "copy", "einsum", "elementwise", "embedding", "gather",
    "grids", "index", "masks", "matmul", "norm", "operators", "parts", "pool", "random", "reduce", "scan", "softmax", "sort", "views",
]  # fmt: skip
