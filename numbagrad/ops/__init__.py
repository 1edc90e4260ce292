"""Differentiable operations on tensors, by family.  Importing this package gives Tensor its methods and operators.

Each module declares the operations of one kernel family: a kernel, and a gradient rule per input (see ``_operation``).
"""

from . import elementwise, operators, views  # isort: skip
from . import conversion  # isort: skip
from . import (
    activations,
    closeness,
    combine,
    complex_views,
    conv,
    conv_transpose,
    copies,
    copy,
    diagonals,
    differences,
    distributions,
    dropout,
    einsum,
    embedding,
    fourier,
    gather,
    grids,
    group_norm,
    histograms,
    index,
    linalg,
    masks,
    matmul,
    native_norm,
    norm,
    norms,
    numbers,
    parts,
    pool,
    pool_more,
    random,
    reduce,
    repeats,
    replaced,
    reshaped,
    resize,
    running,
    samplers,
    sampling,
    scan,
    scatter_reduce,
    softmax,
    sort,
    special,
    splits,
    statistics,
    stft,
    strided,
    windows,
)
from ._attach import FUNCTIONS

__all__ = [
    "FUNCTIONS", "activations", "closeness", "combine", "complex_views", "conv", "conv_transpose", "conversion", "copies", "copy",
    "diagonals", "differences", "distributions", "dropout", "einsum", "elementwise", "embedding", "fourier", "gather", "grids",
    "group_norm", "histograms", "index", "linalg", "masks", "matmul", "native_norm", "norm", "norms", "numbers", "operators", "parts",
    "pool", "pool_more", "random", "reduce", "repeats", "replaced", "reshaped", "resize", "running", "samplers", "sampling", "scan",
    "scatter_reduce", "softmax", "sort", "special", "splits", "statistics", "stft", "strided", "views", "windows",
]  # fmt: skip
