"""Linear algebra: decompositions, systems, norms, products of matrices.  ``numbagrad.linalg`` names what is public of it.

What needs LAPACK runs on the host (``kernels.linalg``); a CUDA tensor's result is brought back to its device.  Gradients are written in
differentiable operations, so second gradients follow, on every device.
"""

from ...kernels.linalg import LinAlgError
from . import cholesky, determinant, least_squares, lowrank, lu, norms, orthogonal, products, solve, spectral

__all__ = [
    "LinAlgError", "cholesky", "determinant", "least_squares", "lowrank", "lu", "norms", "orthogonal", "products", "solve", "spectral",
]  # fmt: skip
