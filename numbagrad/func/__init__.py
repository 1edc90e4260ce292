"""Functions of functions: derivatives by composition, ``vmap``, and modules called with other parameters.

per_sample = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
"""

from .batching import vmap
from .derivatives import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp
from .modules import functional_call, stack_module_state

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]
