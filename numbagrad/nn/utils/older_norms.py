"""Weight and spectral normalisation as hooks before the forward pass, as they were before parametrizations; those are to be preferred."""

from __future__ import annotations

from typing import Any

from ...autograd.mode import no_grad
from ...tensor import Parameter
from .. import functional as F
from ..modules.module import Module
from .parametrizations import _matrix, norm_except_dim


class WeightNorm:
    """The hook of ``weight_norm``: weight = g · v / ‖v‖."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Any:
        """The weight from its parts."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return v * (g / norm_except_dim(v, self.dim))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))

    def apply(self, module: Module) -> None:
        weight: Any = module._parameters.pop(self.name)
        module.register_parameter(self.name + "_g", Parameter(norm_except_dim(weight, self.dim).detach()))
        module.register_parameter(self.name + "_v", Parameter(weight.detach()))

    def remove(self, module: Module) -> None:
        weight = self.compute_weight(module)
        module.__dict__.pop(self.name, None)
        del module._parameters[self.name + "_g"], module._parameters[self.name + "_v"]
        module.register_parameter(self.name, Parameter(weight.detach()))


class SpectralNorm:
    """The hook of ``spectral_norm``: weight / σ, by power iteration in training."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight from the original; ``do_power_iteration`` betters the estimate of σ first."""
        weight = getattr(module, self.name + "_orig")
        matrix = _matrix(weight, self.dim)
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = F.normalize(matrix.T.mv(u), dim=0, eps=self.eps)
                    u = F.normalize(matrix.mv(v), dim=0, eps=self.eps)
            setattr(module, self.name + "_u", u)
            setattr(module, self.name + "_v", v)
        return weight / u.dot(matrix.mv(v))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))

    def apply(self, module: Module) -> None:
        weight: Any = module._parameters[self.name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{self.name}` is None")
        del module._parameters[self.name]
        matrix = _matrix(weight.detach(), self.dim)
        module.register_parameter(self.name + "_orig", weight)
        for part, size in zip(("_u", "_v"), matrix.shape):
            module.register_buffer(self.name + part, F.normalize(matrix.new_empty(size).normal_(0, 1), dim=0, eps=self.eps))
        setattr(module, self.name, weight.detach())

    def remove(self, module: Module) -> None:
        with no_grad():
            weight = self.compute_weight(module, False)
        module.__dict__.pop(self.name, None)
        del module._parameters[self.name + "_orig"], module._buffers[self.name + "_u"], module._buffers[self.name + "_v"]
        module.register_parameter(self.name, Parameter(weight.detach()))


def _hook(module: Module, kind: type, name: str) -> tuple[Any, Any]:
    """The hook of a kind on a parameter, with its key; None where there is none."""
    return next(((key, h) for key, (h, _) in module._forward_pre_hooks.items() if isinstance(h, kind) and h.name == name), (None, None))  # type: ignore[attr-defined]


def _add(module: Module, hook: Any, what: str) -> Module:
    if _hook(module, type(hook), hook.name)[1] is not None:
        raise RuntimeError(f"Cannot register two {what} hooks on the same parameter {hook.name}")
    hook.apply(module)
    if isinstance(hook, WeightNorm):
        hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def _take_out(module: Module, kind: type, name: str, what: str) -> Module:
    key, hook = _hook(module, kind, name)
    if hook is None:
        raise ValueError(f"{what} of '{name}' not found in {module}")
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Write a parameter as g · v / ‖v‖, the norm over all dimensions but ``dim`` (None: over all); g is ``<name>_g`` and v ``<name>_v``.

    Raises RuntimeError where it is so already.  ``parametrizations.weight_norm`` does the same by a parametrization.
    """
    return _add(module, WeightNorm(name, dim), "weight_norm")


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo ``weight_norm``: the weight becomes a parameter of its present value.  Raises ValueError where there is none."""
    return _take_out(module, WeightNorm, name, "weight_norm")


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide a parameter (now ``<name>_orig``) by its greatest singular value, with dimension ``dim`` as rows (default: 0; 1 for transposed convolutions).

    Raises RuntimeError where it is so already.  ``parametrizations.spectral_norm`` does the same by a parametrization.
    """
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return _add(module, SpectralNorm(name, n_power_iterations, dim, eps), "spectral_norm")


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo ``spectral_norm``: the weight becomes a parameter of its present value.  Raises ValueError where there is none."""
    return _take_out(module, SpectralNorm, name, "spectral_norm")
