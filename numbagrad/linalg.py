"""Linear algebra, with PyTorch's names: ``numbagrad.linalg.solve(A, B)``.

Matrices are the last two dimensions, what stands before is a batch.  Decompositions take float32, float64, complex64 and complex128, and
are computed on the host by NumPy's LAPACK, for CUDA tensors too; products and norms are computed where the tensors are.
"""

from .ops._keywords import widen_all as _widen_all
from .ops.linalg import LinAlgError
from .ops.linalg.cholesky import cholesky, cholesky_ex
from .ops.linalg.determinant import det, slogdet
from .ops.linalg.least_squares import lstsq, matrix_rank, pinv
from .ops.linalg.lu import ldl_factor, ldl_factor_ex, ldl_solve, lu, lu_factor, lu_factor_ex, lu_solve
from .ops.linalg.norms import cond, matrix_norm, norm, vector_norm
from .ops.linalg.orthogonal import householder_product, qr
from .ops.linalg.products import linalg_cross as cross
from .ops.linalg.products import linalg_diagonal as diagonal
from .ops.linalg.products import matrix_exp, matrix_power, multi_dot, vander, vecdot
from .ops.linalg.solve import inv, inv_ex, solve, solve_ex, solve_triangular, tensorinv, tensorsolve
from .ops.linalg.spectral import eig, eigh, eigvals, eigvalsh, svd, svdvals
from .ops.matmul import matmul

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "householder_product",
    "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp",
    "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd",
    "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip

_widen_all(globals())
