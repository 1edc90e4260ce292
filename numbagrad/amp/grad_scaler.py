"""``GradScaler``: the loss is multiplied by a large scale, so that small gradients do not underflow in float16, and the gradients divided by it.

The scale grows by a factor after a number of steps in a row whose gradients were finite, and shrinks after one where they were not, which is
then skipped.  P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2.

Scale, tracker and what was found stay on the device; only ``step`` waits for it, to know whether to skip.
"""

from __future__ import annotations

import enum
import warnings
from collections import abc, defaultdict
from typing import Any

from ..autograd.mode import no_grad
from ..creation import full
from ..dtypes import float16, float32, int32
from ..kernels import update as kernels
from ..ops.elementwise import elementwise, where
from ..tensor import Tensor, wrap


class OptState(enum.Enum):
    """How far an optimizer is since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _new_state() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


@elementwise
def _next_scale(scale, tracker, found, growth: float, backoff: float, interval: float):  # type: ignore[no-untyped-def]
    """The scale after a step: smaller where something was not finite, larger after ``interval`` steps unless that is infinite."""
    grown = where((tracker + 1 == interval) & (scale * growth < float("inf")), scale * growth, scale)
    return where(found > 0, scale * backoff, grown)


@elementwise
def _next_tracker(tracker, found, interval: float):  # type: ignore[no-untyped-def]
    """The number of steps in a row that were finite, since the scale last grew."""
    return where((found > 0) | (tracker + 1 == interval), 0, tracker + 1)


class _Copies:
    """A scalar on each device that asks for it, copied once."""

    def __init__(self, scalar: Tensor):
        self._scalar = scalar
        self._copies: dict[Any, Tensor] = {}

    def on(self, device: Any) -> Tensor:
        found = self._copies.get(device)
        if found is None:
            found = self._copies[device] = self._scalar.to(device=device, non_blocking=True)  # type: ignore[attr-defined]
        return found


class GradScaler:
    """Scale a loss, step optimizers with the gradients unscaled unless one of them is not finite, and update the scale.

        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    Starts with ``init_scale``; ``growth_factor`` (> 1) applies after ``growth_interval`` steps without a skip, ``backoff_factor`` (< 1) after one
    that was skipped.  With ``enabled=False``, or for "cuda" where there is no GPU (with a warning), ``scale`` returns what it is given, ``step``
    steps and ``update`` does nothing.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled:
            from .. import cuda

            if not cuda.is_available():
                warnings.warn("GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
                self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._init_growth_tracker = 0
        self._scale: Tensor | None = None  # made by the first scale(), on the device of what it is given
        self._growth_tracker: Tensor | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_new_state)

    # ---- scaling ------------------------------------------------------------------------------------------------------------------

    def _started(self, op: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._growth_tracker is None:
            name = "_scale" if self._scale is None else "_growth_tracker"
            raise AssertionError(
                f"Attempted {op} but {name} is None.  "
                "This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def _start(self, device: Any) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=float32, device=device)
            self._growth_tracker = full((), self._init_growth_tracker, dtype=int32, device=device)
        return self._scale

    def scale(self, outputs: Any) -> Any:
        """``outputs``, a tensor or an iterable of them, times the scale.  Raises ValueError for anything else."""
        if not self._enabled:
            return outputs
        copies: _Copies | None = None

        def scaled(value: Any) -> Any:
            nonlocal copies
            if isinstance(value, Tensor):
                copies = copies or _Copies(self._start(value.device))
                return value * copies.on(value.device)
            if isinstance(value, abc.Iterable):
                parts = map(scaled, value)
                return type(value)(parts) if isinstance(value, (list, tuple)) else parts  # type: ignore[call-arg]
            raise ValueError("outputs must be a Tensor or an iterable of Tensors")

        return scaled(outputs)

    # ---- unscaling and stepping ---------------------------------------------------------------------------------------------------

    def _unscale(self, optimizer: Any, inverse: Tensor, allow_float16: bool) -> dict[Any, Tensor]:
        """Multiply all gradients by ``inverse``, in one launch per device; per device, 1.0 if one was not finite, else 0.0."""
        by_device: dict[Any, list[Tensor]] = defaultdict(list)
        for group in optimizer.param_groups:
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                if grad.dtype is float16 and not allow_float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                by_device[grad.device].append(grad)
        found, copies = {}, _Copies(inverse)
        for device, grads in by_device.items():
            found[device] = wrap(kernels.unscale_([g._data for g in grads], copies.on(device)._data))
            for grad in grads:
                grad._bump()
        return found

    def unscale_(self, optimizer: Any) -> None:
        """Divide the optimizer's gradients by the scale now, before they are clipped or looked at.  Once before each ``step``: RuntimeError."""
        if not self._enabled:
            return
        scale, _ = self._started("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            inverse = scale.double().reciprocal().float()  # type: ignore[attr-defined]
            state["found_inf_per_device"] = self._unscale(optimizer, inverse, False)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(...)`` with its gradients unscaled, and its result; skipped (None) if one of them is not finite.

        Raises RuntimeError for a second call before ``update``, and for a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._started("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if not any(found.item() for found in state["found_inf_per_device"].values()):
            result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: Any = None) -> None:
        """Change the scale after the steps of this iteration, or set it to ``new_scale``, a float or a tensor of one element."""
        if not self._enabled:
            return
        scale, tracker = self._started("update")
        with no_grad():
            if new_scale is not None:
                self._set(scale, new_scale)
            else:
                states = self._per_optimizer_states.values()
                found = [f.to(device=scale.device) for state in states for f in state["found_inf_per_device"].values()]
                if not found:
                    raise AssertionError("No inf checks were recorded prior to update.")
                total = found[0] if len(found) == 1 else sum(found[1:], found[0])
                factors = float(self._growth_factor), float(self._backoff_factor), float(self._growth_interval)
                self._scale = _next_scale(scale, tracker, total, *factors)
                self._growth_tracker = _next_tracker(tracker, total, factors[2]).to(int32)
        self._per_optimizer_states = defaultdict(_new_state)

    def _set(self, scale: Tensor, value: Any) -> None:
        if isinstance(value, float):
            scale.fill_(value)  # type: ignore[attr-defined]
            return
        fits = isinstance(value, Tensor) and value.device.type == self._device and value.numel() == 1 and not value.requires_grad
        if not fits:
            raise AssertionError("new_scale should be a float or a 1-element Tensor on the scaler's device with requires_grad=False.")
        scale.copy_(value.reshape(()))  # type: ignore[attr-defined]

    # ---- what it is set to --------------------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale, 1.0 where scaling is off.  Waits for the device."""
        if not self._enabled:
            return 1.0
        return float(self._init_scale) if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by as it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Change what the scale is multiplied by as it grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a skipped step."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Change what the scale is multiplied by after a skipped step."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps in a row the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Change after how many steps in a row the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    # ---- saving and loading -------------------------------------------------------------------------------------------------------

    def _tracked(self) -> int:
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and the steps since the scale last changed; empty where scaling is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._tracked(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave.  Raises RuntimeError for the empty one of a scaler that was off."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(float(self._init_scale))  # type: ignore[attr-defined]
            self._growth_tracker.fill_(self._init_growth_tracker)  # type: ignore[attr-defined]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]

    def __getstate__(self) -> dict[str, Any]:
        held = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after scaler.update()."
                )
            held |= {"_init_scale": self.get_scale(), "_init_growth_tracker": self._tracked(), "_scale": None, "_growth_tracker": None}
        return held
