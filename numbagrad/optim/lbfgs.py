"""L-BFGS, with a line search for the strong Wolfe conditions."""

from __future__ import annotations

from typing import Any, Callable, Iterable, NamedTuple

from ..autograd import enable_grad, no_grad
from ..ops.complex_views import view_as_real
from ..ops.copy import cat
from ..tensor import Tensor
from .optimizer import Optimizer, check_rate

# A step is taken into the history only where the curvature along it is above this.
_LEAST_CURVATURE = 1e-10
# The conditions of Wolfe: the loss falls by at least this part of what the slope promises, and the slope to at most this part of itself.
_DECREASE, _CURVATURE = 1e-4, 0.9


class _Point(NamedTuple):
    """What is known at a step length along a direction."""

    length: float
    loss: float
    gradient: Tensor
    slope: float  # of the loss along the direction


def _minimum_between(a: _Point, b: _Point, low: float, high: float) -> float:
    """Where the cubic with the values and slopes of ``a`` and ``b`` has its minimum, within [low, high]; the middle of these if it has none."""
    left, right = (a, b) if a.length <= b.length else (b, a)
    mean = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.length - right.length)
    square = mean * mean - left.slope * right.slope
    if square < 0:
        return (low + high) / 2.0
    root = square**0.5
    found = right.length - (right.length - left.length) * ((right.slope + root - mean) / (right.slope - left.slope + 2 * root))
    return min(max(found, low), high)


class _Search:
    """A search along one direction (J. Nocedal and S. J. Wright, "Numerical Optimization", 2nd ed., algorithms 3.5 and 3.6, with cubic interpolation)."""

    def __init__(self, evaluate: Callable[[float], tuple[float, Tensor]], direction: Tensor, start: _Point, tolerance: float, most: int):
        self.evaluate, self.direction, self.start, self.most = evaluate, direction, start, most
        self.tolerance = tolerance / float(direction.abs().max())
        self.evaluations = 0

    def at(self, length: float) -> _Point:
        self.evaluations += 1
        loss, gradient = self.evaluate(length)
        return _Point(length, loss, gradient, gradient.dot(self.direction).item())

    def too_high(self, point: _Point) -> bool:
        return point.loss > self.start.loss + _DECREASE * point.length * self.start.slope

    def flat_enough(self, point: _Point) -> bool:
        return abs(point.slope) <= -_CURVATURE * self.start.slope

    def run(self, length: float) -> _Point:
        """The first point found that meets the conditions, or the best one after ``most`` rounds."""
        before, point = self.start, self.at(length)
        rounds = 0
        while rounds < self.most:
            if self.too_high(point) or (rounds > 1 and point.loss >= before.loss):
                break
            if self.flat_enough(point):
                return point
            if point.slope >= 0:
                break
            further = _minimum_between(before, point, point.length + 0.01 * (point.length - before.length), point.length * 10)
            before, point = point, self.at(further)
            rounds += 1
        else:
            before = self.start
        low, high = (before, point) if before.loss <= point.loss else (point, before)
        return self.zoom(low, high, rounds)

    def zoom(self, low: _Point, high: _Point, rounds: int) -> _Point:
        """Narrow the interval between ``low``, which has the lower loss, and ``high``."""
        stalled = False
        while rounds < self.most and abs(high.length - low.length) >= self.tolerance:
            least, largest = sorted((low.length, high.length))
            length = _minimum_between(low, high, least, largest)
            margin = 0.1 * (largest - least)
            if min(largest - length, length - least) >= margin:
                stalled = False
            elif stalled or not least < length < largest:  # twice close to an end: keep away from it
                length = largest - margin if abs(length - largest) < abs(length - least) else least + margin
                stalled = False
            else:
                stalled = True
            point = self.at(length)
            rounds += 1
            if self.too_high(point) or point.loss >= low.loss:
                high = point
                if high.loss < low.loss:
                    low, high = high, low
                continue
            if self.flat_enough(point):
                return point
            if point.slope * (high.length - low.length) >= 0:
                high = low
            low = point
        return low


class LBFGS(Optimizer):
    """Quasi-Newton steps whose curvature is known from the last ``history_size`` steps (the two-loop recursion); ``step`` needs a closure that evaluates the
    model anew, and takes up to ``max_iter`` iterations and ``max_eval`` evaluations.

    It ends where the largest gradient is at most ``tolerance_grad``, or a step or the change of the loss is within ``tolerance_change``.  ``line_search_fn``:
    None (steps of ``lr``) or ``"strong_wolfe"``.  All parameters form one group.

    D. C. Liu and J. Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45 (1989).
    Raises ValueError for a negative ``lr`` and for several groups.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        check_rate(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _flat_gradient(self) -> Tensor:
        """The gradients of all parameters, one after another, complex ones as pairs."""
        parts = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in self._params]
        return cat([(view_as_real(g) if g.is_complex() else g).reshape(-1) for g in parts])

    def _move(self, length: float, direction: Tensor) -> None:
        """p += length · direction, for the part of ``direction`` that is each parameter's."""
        start = 0
        for p in self._params:
            target = view_as_real(p) if p.is_complex() else p
            target.add_(direction[start : start + target.numel()].view(target.shape), alpha=length)
            start += target.numel()

    def _evaluated(self, closure: Callable[[], Any], direction: Tensor) -> Callable[[float], tuple[float, Tensor]]:
        """Loss and gradient at a step length from where the parameters are now; they are put back."""
        start = [p.clone() for p in self._params]

        def evaluate(length: float) -> tuple[float, Tensor]:
            self._move(length, direction)
            loss = float(closure())
            gradient = self._flat_gradient()
            for p, value in zip(self._params, start):
                p.copy_(value)
            return loss, gradient

        return evaluate

    def _direction(self, state: dict[str, Any], gradient: Tensor, history_size: int) -> Tensor:
        """Where to step: the gradient times the inverse of the curvature, as far as the history knows it."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return gradient.neg()
        change, moved = gradient.sub(state["prev_flat_grad"]), state["d"].mul(state["t"])
        curvature = change.dot(moved)
        changes, steps, inverses = state["old_dirs"], state["old_stps"], state["ro"]
        if curvature > _LEAST_CURVATURE:
            if len(changes) == history_size:
                for column in (changes, steps, inverses):
                    column.pop(0)
            changes.append(change)
            steps.append(moved)
            inverses.append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change)
        weights: list[Any] = state.setdefault("al", [None] * history_size)
        direction = gradient.neg()
        for i in reversed(range(len(changes))):
            weights[i] = steps[i].dot(direction) * inverses[i]
            direction.sub_(changes[i] * weights[i])
        direction = direction * state["H_diag"]
        for i in range(len(changes)):
            direction.add_(steps[i] * (weights[i] - changes[i].dot(direction) * inverses[i]))
        return direction

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate; returns the loss of the first evaluation of ``closure``.  Raises RuntimeError for another line search than "strong_wolfe"."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        lr, tolerance = float(group["lr"]), group["tolerance_change"]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        evaluate = enable_grad()(closure)
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = evaluate()
        loss, gradient, evaluations, iterations = float(first), self._flat_gradient(), 1, 0
        state["func_evals"] += 1
        done = float(gradient.abs().max()) <= group["tolerance_grad"]
        while not done and iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            direction = self._direction(state, gradient, group["history_size"])
            length = lr * min(1.0, 1.0 / float(gradient.abs().sum())) if state["n_iter"] == 1 else lr
            slope = gradient.dot(direction).item()
            before = loss
            state.update(d=direction, t=length, prev_flat_grad=gradient, prev_loss=loss)
            if slope > -tolerance:
                break
            used = 0
            if group["line_search_fn"]:
                start, most = _Point(0.0, loss, gradient, slope), group["max_eval"] - evaluations
                search = _Search(self._evaluated(evaluate, direction), direction, start, tolerance, most)
                found = search.run(length)
                loss, gradient, length, used = found.loss, found.gradient, found.length, search.evaluations
                self._move(length, direction)
            else:
                self._move(length, direction)
                if iterations != group["max_iter"]:  # the next step evaluates first
                    loss, used = float(evaluate()), 1
                    gradient = self._flat_gradient()
            state["t"] = length
            evaluations += used
            state["func_evals"] += used
            done = (
                evaluations >= group["max_eval"]
                or float(gradient.abs().max()) <= group["tolerance_grad"]
                or float(direction.abs().max()) * abs(length) <= tolerance
                or abs(loss - before) < tolerance
            )
        return first
