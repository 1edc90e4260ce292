"""What is hoped of a GPU: large work, timed by events, beside PyTorch on the same GPU and beside copying as many bytes.

Products and convolutions of float32 appear twice: as float32, and with ``allow_tf32`` on in both libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .._declare import Case, Checked, Goal, count
from . import conv, elementwise, matmul, pool_norm, softmax, train

Build = Callable[[Any], Any]
CUDA = ("cuda",)
LARGE = 1 << 26  # float32 numbers in 256 MiB


def on_gpu(case: Case, *goals: Goal, **more: Any) -> Case:
    """``case`` as part of this suite; JAX has other settings, and is left out."""
    builders = {name: build for name, build in case.builders.items() if name in ("torch", "numbagrad", "copy")}
    return replace(case, suite="gpu", builders=builders, devices=CUDA, goals=goals, scaling=False, **{"quick": False, **more})


def with_tf32(case: Case, *goals: Goal) -> Case:
    """``case`` where products of float32 may be computed on tensor cores."""

    def allowing(build: Build) -> Build:
        def start(library: Any) -> Any:
            library.allow_tf32(True)
            return build(library)

        return start

    # A factor rounded to 11 bits is off by 2^-12 at most, and so a sum of products by some 2^-12 of its size as a rule.
    builders = {name: allowing(build) for name, build in case.builders.items()}
    return replace(case, name=f"{case.name}, TF32", builders=builders, goals=goals, tolerance=5e-3)


def beside_copy(case: Case, build: Build, share: float, **more: Any) -> Case:
    """``case`` beside a copy that moves as many bytes, of whose speed it is to reach a ``share``."""

    def copy(library: Any) -> Checked:
        there, back = (library.lib.empty(int(case.bytes / 8), device=library.device) for _ in range(2))
        return Checked(lambda: there.copy_(back), build(library))

    goals = () if more.get("quick") else (Goal("copy", share),)
    return on_gpu(replace(case, builders={**case.builders, "copy": copy}), *goals, **more)


def bandwidth(label: str, shapes: tuple[tuple[int, ...], ...], function: Callable[..., Any], bytes_: int, **more: Any) -> Case:
    """An elementwise operation that memory bounds."""

    def build(library: Any) -> Callable[[], Any]:
        return library.forward(function, *[library.uniform(0.5, 2.0, *shape) for shape in shapes])

    return beside_copy(Case("gpu", "elementwise", label, {"torch": build}, bytes=bytes_), build, 0.92, **more)


def half_product(n: int, dtype: str, *goals: Goal, **more: Any) -> Case:
    """A product of matrices of 16-bit floats, added up in float32."""

    def build(library: Any) -> Callable[[], Any]:
        a, b = (library.normal(n, n).to(getattr(library.lib, dtype)) for _ in range(2))
        return library.forward(lambda a, b: a @ b, a, b)

    # Results are rounded to 8 bits (bfloat16), and sums in another order may fall to the other side.
    case = Case("gpu", "matmul", f"{n} {dtype}", {"torch": build}, flops=2.0 * n**3, bytes=6.0 * n * n, tolerance=2e-2)
    return on_gpu(case, *goals, **more)


def handed_over() -> Iterator[Case]:
    """What one launch costs the host."""

    def add(library: Any) -> Callable[[], Any]:
        a, b = library.normal(10), library.normal(10)
        return library.forward(lambda a, b: a + b, a, b)

    def add_in_place(library: Any) -> Checked:
        a, b = library.normal(10), library.normal(10)
        return Checked(lambda: a.add_(b, alpha=0.0), lambda: a + b)

    yield Case("gpu", "launch", "a + b of 10", {"torch": add}, devices=CUDA, clocks=("host",), goals=(Goal(at_most=3e-6),))
    yield Case("gpu", "launch", "a.add_(b) of 10", {"torch": add_in_place}, devices=CUDA, clocks=("host",))


def steps() -> Iterator[Case]:
    """Training steps; batch / time is images per second."""
    for batch in (64, 1024):
        build = lambda library, batch=batch: train.torch_step(library, "cnn", batch)
        label = f"{train.LABELS['cnn']} b{batch}"
        case = Case(
            "gpu", "train", label, {"torch": build}, devices=CUDA, clocks=("wall",), checked=train.CHECKED, overall=True,
            tolerance=train.TOLERANCE, goals=(Goal("torch", 1.0),),
        )  # fmt: skip
        yield case
        yield replace(with_tf32(case, Goal("torch", 1.0)), tolerance=train.TOLERANCE)


def cases() -> Iterator[Case]:
    side = 1 << 13
    one, square = (LARGE,), (side, side)
    yield bandwidth("relu 256 MiB", (one,), lambda x: x.relu(), 8 * LARGE)
    yield bandwidth("add 256 MiB", (one, one), lambda x, y: x + y, 12 * LARGE)
    yield bandwidth(f"add {side}x{side} + {side}", (square, (side,)), lambda x, y: x + y, 8 * LARGE)
    yield bandwidth(f"add {side}x{side} + {side}x1", (square, (side, 1)), lambda x, y: x + y, 8 * LARGE)
    yield bandwidth(f"add {count(1000)}", ((1000,), (1000,)), lambda x, y: x + y, 12000, quick=True)
    yield on_gpu(elementwise.formula(LARGE, False), Goal("torch", 4.0))
    yield on_gpu(elementwise.formula(1000, False), quick=True)
    yield on_gpu(elementwise.formula(LARGE, True), Goal("torch", 1.0))

    product = on_gpu(matmul.product("gpu", 4096, 4096, 4096), Goal("torch", 0.8))
    yield product
    yield with_tf32(product, Goal("torch", 0.45))
    yield half_product(4096, "bfloat16", Goal("torch", 0.6))
    yield half_product(4096, "float16", Goal("torch", 0.6))
    yield half_product(8, "bfloat16", quick=True)
    shape = conv.Shape(64, 64, 64, 56, 56, 3, 1)
    convolution = on_gpu(conv.convolution("gpu", shape), Goal("torch", 0.7))
    yield convolution
    yield with_tf32(convolution, Goal("torch", 0.7))

    par = Goal("torch", 1.0)
    yield on_gpu(pool_norm.pool("max", (64, 64, 56, 56), 2, 2), par)
    yield on_gpu(softmax.softmax("gpu", 8192, 1024, gradient=True), par)
    yield on_gpu(pool_norm.layer_norm((8192, 1024), True), par)
    yield on_gpu(pool_norm.batch_norm((64, 64, 56, 56), "f+b"), par)
    yield from handed_over()
    yield from steps()
