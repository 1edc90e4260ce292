"""Rules of an operation whose gradients are kernels, for the case that the gradients are to be differentiated themselves.

The operation is computed again from its inputs by a composition of differentiable operations, and the rules are the gradients of that graph, which
depend differentiably on the inputs and on what flows back.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Sequence

from ..autograd.graph import grad
from ..autograd.mode import enable_grad


def rules(composed: Callable[..., Any], grads: Sequence[str] = ("g",), keeps: Sequence[str] = ()) -> dict[str, Callable[..., Any]]:
    """A rule for each positional parameter of ``composed(*inputs, *, settings)``, which returns what the operation's differentiable results are.

    ``grads``: the names of the gradients of these; ``keeps``: results that the kernels of the gradients need, and a rule has to name to have them kept.
    """
    parameters = inspect.signature(composed).parameters.values()
    inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    settings = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    names = [*grads, *inputs, *settings, *keeps]

    def rule_for(position: int) -> Callable[..., Any]:
        def rule(*values: Any) -> Any:
            given = dict(zip(names, values))
            return _gradient(composed, [given[n] for n in grads], [given[n] for n in inputs], {n: given[n] for n in settings}, position)

        rule.__signature__ = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])  # type: ignore[attr-defined]
        return rule

    return {name: rule_for(position) for position, name in enumerate(inputs)}


def _gradient(composed: Callable[..., Any], grads: list[Any], inputs: list[Any], settings: dict[str, Any], position: int) -> Any:
    """The gradient of input ``position``, recorded."""
    with enable_grad():
        # Views, so that a tensor that is given twice is told apart, and the walk ends at them.
        own = [x if x is None else x.view(x.shape) if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        results = composed(*own, **settings)
        results = results if isinstance(results, tuple) else (results,)
        flowing = [(y, g) for y, g in zip(results, grads) if g is not None and y.requires_grad]
        found = grad([y for y, _ in flowing], [own[position]], [g for _, g in flowing], create_graph=True, allow_unused=True)
    return found[0]
