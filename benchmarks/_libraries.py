"""The libraries as builders see them: each makes arrays on its device, runs functions forward and backward, and waits for its device.

Another library is another class here and, where PyTorch's names do not fit, builders of its own; another device is what ``available``,
``put`` and ``synchronize`` say about it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_COPIED, _MOST_COPIES = 1 << 26, 500  # float32 numbers in a copy that keeps a GPU busy, and how many copies at most


class Unavailable(Exception):
    """The library cannot work on the device that is asked for."""


class Library:
    """One library on one device, in this process.  ``lib`` is its module."""

    name = ""
    module = ""
    api = ""  # whose names it follows: the builders it can use
    devices: tuple[str, ...] = ("cpu",)
    clocks: tuple[str, ...] = ("wall",)
    changeable = True  # can its arrays be written to?
    inputs: list[Any] | None = None  # the arrays drawn since ``reset``, where somebody wants to know

    def __init__(self, device: str = "cpu", threads: int | None = None):
        if device not in self.devices:
            raise Unavailable(f"{self.name} is not measured on {device}")
        self.device = device
        self.lib: Any = importlib.import_module(self.module)
        self.reset()

    @classmethod
    def installed(cls) -> bool:
        return importlib.util.find_spec(cls.module.partition(".")[0]) is not None

    def version(self) -> str:
        return str(self.lib.__version__)

    def threads(self) -> int | None:
        """How many threads it says it uses."""
        return None

    def synchronize(self) -> None:
        """Return when all that was asked of the device is done."""

    def gpu(self) -> dict[str, Any]:
        """What it says about the GPU that it works on; nothing elsewhere."""
        return {}

    # ---- arrays, the same numbers in every library -----------------------------------------------------------------------------------

    def reset(self) -> None:
        """Draw the same numbers again."""
        self.draw = np.random.default_rng(0)
        if self.inputs is not None:
            self.inputs = []

    def _drawn(self, array: np.ndarray) -> Any:
        made = self.put(array)
        if self.inputs is not None and self.changeable:
            self.inputs.append(made)
        return made

    def write(self, to: Any, array: np.ndarray) -> None:
        """Replace the numbers in an array of the library's."""
        to[...] = array

    def turn_around(self) -> bool:
        """Put the numbers in each array that was drawn into the opposite order, without anybody having to look for them in another place;
        False where arrays cannot be changed."""
        for made in self.inputs or []:
            now = self.get(made)
            self.write(made, now.reshape(-1)[::-1].reshape(now.shape).copy())
        return self.changeable

    def put(self, array: np.ndarray) -> Any:
        """The library's own array with these numbers."""
        return array

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def normal(self, *shape: int) -> Any:
        return self._drawn(self.draw.standard_normal(shape, dtype=np.float32))

    def normal64(self, *shape: int) -> Any:
        return self._drawn(self.draw.standard_normal(shape))

    def uniform(self, low: float, high: float, *shape: int) -> Any:
        return self._drawn(self.draw.uniform(low, high, shape).astype(np.float32))

    def integers(self, high: int, *shape: int) -> Any:
        return self._drawn(self.draw.integers(0, high, shape))

    def permutation(self, n: int) -> Any:
        return self._drawn(self.draw.permutation(n))

    # ---- one iteration ------------------------------------------------------------------------------------------------------------------

    def forward(self, function: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
        """Iterations that evaluate ``function`` and record nothing."""
        return lambda: function(*inputs)

    def backward(self, function: Callable[..., Any], *inputs: Any, wrt: Sequence[int] = (0,)) -> Callable[[], Any]:
        """Iterations that evaluate ``function`` and its gradients with respect to the inputs at ``wrt``; they return all of these."""
        raise NotImplementedError(f"{self.name} has no gradients")


class NumPy(Library):
    name = module = api = "numpy"


class TorchLike(Library):
    api = "torch"
    clocks = ("wall", "events", "host")

    def reset(self) -> None:
        super().reset()
        self.allow_tf32(False)

    def allow_tf32(self, on: bool) -> None:
        """Whether float32 products may be computed on tensor cores, which round their factors to 11 bits.  Off unless a case asks for it: of
        the two kinds of functions, products and convolutions, PyTorch has another default for each."""
        if self.device == "cuda":
            self.lib.backends.cuda.matmul.allow_tf32 = self.lib.backends.cudnn.allow_tf32 = on

    @property
    def nn(self) -> Any:
        return self.lib.nn

    @property
    def F(self) -> Any:
        return importlib.import_module(f"{self.module}.nn.functional")

    def threads(self) -> int | None:
        return int(self.lib.get_num_threads())

    def put(self, array: np.ndarray) -> Any:
        tensor = self.lib.from_numpy(array)
        return tensor if self.device == "cpu" else tensor.to(self.device)

    def get(self, array: Any) -> np.ndarray:
        if not hasattr(array, "detach"):
            return np.asarray(array)
        array = array.detach().cpu()
        return (array.float() if array.dtype == self.lib.bfloat16 else array).numpy()

    def write(self, to: Any, array: np.ndarray) -> None:
        with self.lib.no_grad():
            to.copy_(self.put(array))

    def synchronize(self) -> None:
        if self.device == "cuda":
            self.lib.cuda.synchronize()

    def gpu(self) -> dict[str, Any]:
        if self.device != "cuda":
            return {}
        found = self.lib.cuda.get_device_properties(0)
        return {
            "name": found.name,
            "capability": f"{found.major}.{found.minor}",
            "multiprocessors": found.multi_processor_count,
            "memory_gib": round(found.total_memory / 2**30, 1),
        }

    def between_events(self, run: Callable[[], Any], iterations: int) -> float:
        """Seconds between an event before and one after so many calls, in the device's stream."""
        start, end = (self.lib.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(iterations):
            run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def occupy(self, seconds: float) -> None:
        """Give the device copies to do for about so long, and return at once."""
        if self._copy is None:
            n = min(_COPIED, self.lib.cuda.get_device_properties(0).total_memory // 2048)
            there, back = (self.lib.zeros(n, device=self.device) for _ in range(2))
            copy = lambda: there.copy_(back)
            self.between_events(copy, 2)
            self._copy = copy, self.between_events(copy, 4) / 4
        copy, each = self._copy
        for _ in range(min(int(seconds / each) + 1, _MOST_COPIES)):
            copy()

    _copy: Any = None

    def backward(self, function: Callable[..., Any], *inputs: Any, wrt: Sequence[int] = (0,)) -> Callable[[], Any]:
        leaves = [inputs[i].requires_grad_() for i in wrt]
        shape = tuple(function(*inputs).shape)
        seed = self.normal(*shape) if shape else None

        def iteration() -> list[Any]:
            for leaf in leaves:
                leaf.grad = None
            y = function(*inputs)
            y.backward(seed)
            return [y, *[leaf.grad for leaf in leaves]]

        return iteration


class Numbagrad(TorchLike):
    name = module = "numbagrad"
    devices = ("cpu", "cuda")

    def __init__(self, device: str = "cpu", threads: int | None = None):
        super().__init__(device, threads)
        if device == "cuda":
            try:
                self.lib.cuda.init()
            except RuntimeError as error:  # which says what is missing
                raise Unavailable(str(error)) from None
        if threads:
            self.lib.set_num_threads(threads)


class Copy(Numbagrad):
    """The driver's copy from one place in a GPU's memory to another: what memory can do at most."""

    name = "copy"
    api = ""
    devices = ("cuda",)
    changeable = False  # nothing depends on what is copied


class Torch(TorchLike):
    name = module = "torch"
    devices = ("cpu", "cuda")

    def __init__(self, device: str = "cpu", threads: int | None = None):
        super().__init__(device, threads)
        if device == "cuda" and not self.lib.cuda.is_available():
            raise Unavailable("this PyTorch sees no CUDA device")
        if threads:
            self.lib.set_num_threads(threads)


class Jax(Library):
    """Whole iterations through ``jax.jit``; each waits for its result, since an unfinished one would be measured at somebody else's cost."""

    name = module = api = "jax"
    changeable = False
    devices = ("cpu", "cuda")

    def __init__(self, device: str = "cpu", threads: int | None = None):
        super().__init__(device, threads)
        self.jnp, self.lax = importlib.import_module("jax.numpy"), importlib.import_module("jax.lax")
        try:
            self._place = self.lib.devices("gpu" if device == "cuda" else device)[0]
        except RuntimeError as error:
            raise Unavailable(f"this JAX has no {device} device") from error

    def put(self, array: np.ndarray) -> Any:
        return self.lib.device_put(array, self._place)

    def jit(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        compiled = self.lib.jit(function, **options)
        return lambda *inputs: self.lib.block_until_ready(compiled(*inputs))

    def forward(self, function: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
        compiled = self.jit(function)
        return lambda: compiled(*inputs)

    def backward(self, function: Callable[..., Any], *inputs: Any, wrt: Sequence[int] = (0,)) -> Callable[[], Any]:
        shape = tuple(function(*inputs).shape)
        seed = self.normal(*shape) if shape else self.put(np.ones((), np.float32))

        def both(seed: Any, *inputs: Any) -> Any:
            def of_leaves(*leaves: Any) -> Any:
                given = dict(zip(wrt, leaves))
                return function(*[given.get(i, x) for i, x in enumerate(inputs)])

            y, pull = self.lib.vjp(of_leaves, *[inputs[i] for i in wrt])
            return [y, *pull(seed)]

        compiled = self.jit(both)
        return lambda: compiled(seed, *inputs)


class TinyGrad(Library):
    """Iterations through TinyJit, whose results are realized."""

    name = module = api = "tinygrad"
    changeable = False  # TinyJit keeps what it has seen
    devices = ("cpu", "cuda")

    def __init__(self, device: str = "cpu", threads: int | None = None):
        super().__init__(device, threads)
        self._place = {"cpu": "CPU", "cuda": "CUDA"}[device]
        try:  # it finds out what it needs, a C compiler for one, when it first computes
            (self.put(np.ones(1, np.float32)) + 1).realize()
        except Exception as error:
            raise Unavailable(f"tinygrad cannot compute on {device}: {type(error).__name__}: {error}") from error

    def version(self) -> str:
        from importlib.metadata import version

        return version("tinygrad")

    def put(self, array: np.ndarray) -> Any:
        return self.lib.Tensor(array, device=self._place).realize()

    def get(self, array: Any) -> np.ndarray:
        return array.numpy() if hasattr(array, "numpy") else np.asarray(array)

    def synchronize(self) -> None:
        self.lib.Device[self._place].synchronize()

    def forward(self, function: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
        compiled = self.lib.TinyJit(lambda *inputs: function(*inputs).realize())
        return lambda: compiled(*inputs)


LIBRARIES: dict[str, type[Library]] = {library.name: library for library in (Numbagrad, Torch, NumPy, Jax, TinyGrad, Copy)}


def environment(threads: int | None, default_allocator: bool) -> dict[str, str]:
    """What a process of any library gets: the number of threads, where it is not left to the library, and an allocator that keeps freed
    memory, without which a process pays for fresh pages again and again."""
    found: dict[str, str] = {}
    if threads:
        names = ("NUMBAGRAD", "OMP", "MKL", "OPENBLAS", "VECLIB_MAXIMUM", "NUMEXPR")
        found |= {f"{name}_THREADS" if "MAXIMUM" in name else f"{name}_NUM_THREADS": str(threads) for name in names}
        found |= {"NPROC": str(threads), "NUM_CPU_THREADS": str(threads)}  # of XLA and of tinygrad: how many processors there are
    if not default_allocator:
        found |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
    return found
