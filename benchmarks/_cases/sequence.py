"""Recurrent layers and attention: products of modest size, and passes over what lies between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .._declare import Case, Goal


def _drawn(library: Any, module: Any) -> list[Any]:
    """The parameters of a module, the same numbers in every library, as small as at the start of a training."""
    parameters = list(module.parameters())
    for parameter in parameters:
        library.write(parameter, library.get(library.uniform(-0.08, 0.08, *parameter.shape)))
    return parameters


def recurrent(kind: str, steps: int, batch: int, size: int, gates: int, **more: Any) -> Case:
    """All states, and the gradients of the input and of all parameters."""

    def torch(library: Any) -> Callable[[], Any]:
        module = getattr(library.nn, kind)(size, size).to(library.device)
        parameters, x = _drawn(library, module), library.normal(steps, batch, size)
        return library.backward(lambda x, *parameters: module(x)[0], x, *parameters, wrt=range(1 + len(parameters)))

    label = f"{kind} T={steps} batch={batch} hidden={size} f+b"
    return Case("ops", "sequence", label, {"torch": torch}, flops=6 * 2 * steps * batch * gates * size * size, **more)


def attention(batch: int, heads: int, length: int, width: int, gradient: bool = True, causal: bool = False, **more: Any) -> Case:
    def torch(library: Any) -> Callable[[], Any]:
        inputs = [library.normal(batch, heads, length, width) for _ in range(3)]
        run = lambda q, k, v: library.F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return library.backward(run, *inputs, wrt=range(3)) if gradient else library.forward(run, *inputs)

    label = f"attention {batch}x{heads}x{length}x{width}{' causal' * causal}{' f+b' * gradient}"
    flops = (7 if gradient else 2) * 2 * batch * heads * length * length * width * (0.5 if causal else 1)
    return Case("ops", "sequence", label, {"torch": torch}, flops=flops, **more)


def encoder_layer(batch: int, length: int, width: int, heads: int, **more: Any) -> Case:
    """A transformer's layer in training, without dropout, and all its gradients."""

    def torch(library: Any) -> Callable[[], Any]:
        module = library.nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True).to(library.device)
        parameters, x = _drawn(library, module), library.normal(batch, length, width)
        return library.backward(lambda x, *parameters: module(x), x, *parameters, wrt=range(1 + len(parameters)))

    flops = 6 * batch * length * (12 * width * width + 2 * length * width)
    return Case("ops", "sequence", f"encoder layer {batch}x{length}x{width} f+b", {"torch": torch}, flops=flops, **more)


def cases() -> Iterator[Case]:
    yield recurrent("LSTM", 35, 20, 128, 4, goals=(Goal("torch", 1.5),))
    yield recurrent("GRU", 35, 20, 128, 3)
    yield recurrent("RNN", 35, 20, 128, 1)
    yield attention(8, 8, 512, 64, goals=(Goal("torch", 1.0),))
    yield attention(8, 8, 512, 64, gradient=False)
    yield attention(1, 4, 2048, 64, causal=True)
    yield attention(2, 2, 32, 16, quick=True)
    yield encoder_layer(16, 64, 128, 4, goals=(Goal("torch", 1.2),))
