"""GPUs: which there are, their streams and their memory, by PyTorch's names.

Nothing of CUDA is started before something here, or a tensor on device "cuda", asks for it.  Where there is none, ``is_available()`` is
False, and what needs a GPU raises RuntimeError, which says what is missing.  Devices are given as a number, a string, a device or None (the current one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

from ..devices import device as _device
from ..generator import Generator, default_generator_of, seed_gpus
from ..kernels._cuda import devices as _devices
from ..kernels._cuda import driver as _driver
from ..kernels._cuda import streams as _streams
from ..kernels._cuda.driver import CudaError, OutOfMemoryError
from ..kernels._cuda.streams import Event

if TYPE_CHECKING:
    from ..kernels._cuda.devices import DeviceProperties
    from ..tensor import Tensor

__all__ = [
    "CudaError",
    "Event",
    "OutOfMemoryError",
    "Stream",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    if name == "amp":  # few scripts need it
        from importlib import import_module

        return import_module(".amp", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _index(device: Any) -> int:
    """The number of a device.  Raises ValueError for one that is no GPU, RuntimeError for one that is not there."""
    if isinstance(device, str):
        device = _device(device)
    if isinstance(device, _device):
        if device.type != "cuda":
            raise ValueError(f"Expected a cuda device, but got: {device}")
        device = device.index
    return _devices.check_index(device)


# ---- devices ------------------------------------------------------------------------------------------------------------------------------


def is_available() -> bool:
    """Whether tensors can be put on a GPU.  Never raises."""
    return _devices.is_available()


def device_count() -> int:
    """The number of GPUs that can be used."""
    return _devices.device_count()


def init() -> None:
    """Start the driver now instead of when it is first needed.  Raises RuntimeError, which says what is missing, when it cannot be."""
    _driver.load()


def is_initialized() -> bool:
    """Whether the driver has been started."""
    return _driver.is_loaded()


def current_device() -> int:
    """The number of the GPU that "cuda" stands for in this thread."""
    return _devices.current_device()


def set_device(device: Any) -> None:
    """Let "cuda" stand for ``device`` in this thread.  A negative number changes nothing."""
    if not isinstance(device, int) or device >= 0:
        _devices.set_device(_index(device))


class device:
    """``with ng.cuda.device(1):`` "cuda" stands for that GPU in this thread.  None or a negative number changes nothing."""

    def __init__(self, device: Any):
        unchanged = device is None or (isinstance(device, int) and device < 0)
        self.idx = -1 if unchanged else _index(device)

    def __enter__(self) -> None:
        if self.idx >= 0:
            self._guard = _devices.guard(self.idx)
            self._guard.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.idx >= 0:
            self._guard.__exit__(*error)


class device_of(device):
    """``with ng.cuda.device_of(x):`` "cuda" stands for the GPU that the tensor is on.  A tensor elsewhere changes nothing."""

    def __init__(self, tensor: Tensor):
        super().__init__(tensor.device if tensor.is_cuda else None)


def get_device_properties(device: Any = None) -> DeviceProperties:
    """What a GPU has: ``name``, ``major``, ``minor``, ``total_memory``, ``multi_processor_count`` ..."""
    return _devices.get_device_properties(_index(device))


def get_device_name(device: Any = None) -> str:
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability: (9, 0) for sm_90."""
    return _devices.get_device_capability(_index(device))


def get_arch_list() -> list[str]:
    """The architectures that kernels are compiled for, when they are first called: those of the GPUs that are there."""
    return sorted({"sm_{}{}".format(*get_device_capability(i)) for i in range(device_count())})


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the current GPU computes with bfloat16: from compute capability 8.0 on.  It is not emulated on others.  False where there is none."""
    return is_available() and get_device_capability() >= (8, 0)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU can read another's memory directly."""
    here, there = (_driver.load().DeviceGet(_index(d)) for d in (device, peer_device))
    return bool(_driver.load().DeviceCanAccessPeer(here, there))


def synchronize(device: Any = None) -> None:
    """Wait until all streams of a GPU have done what they were given.  Raises CudaError for a fault in it."""
    _devices.synchronize(_index(device))


# ---- streams ------------------------------------------------------------------------------------------------------------------------------


class Stream(_streams.Stream):
    """A queue of work on ``device``; one with a negative ``priority`` goes before others.

    ``synchronize``, ``query``, ``wait_event``, ``wait_stream``, ``record_event`` are as PyTorch's.
    """

    __slots__ = ()

    def __init__(self, device: Any = None, priority: int = 0):
        self._home = None
        super().__init__(_index(device), priority)

    @property
    def device(self) -> _device:
        return _device("cuda", self.device_index)


def _public(stream: Any) -> Any:
    """``stream``; for a default stream, one with all that ``Stream`` has."""
    return Stream.default(stream.device_index) if stream.handle == _streams.DEFAULT else stream


def current_stream(device: Any = None) -> Stream:
    """The stream on which this thread launches on ``device``."""
    return _public(_streams.current_stream(_index(device)))


def default_stream(device: Any = None) -> Stream:
    """The stream on which every thread launches until it chooses another."""
    return Stream.default(_index(device))


def set_stream(stream: Stream | None) -> None:
    """Let this thread work on ``stream`` and its device from now on.  ``with ng.cuda.stream(s):`` is the safer way.  None changes nothing."""
    if stream is not None:
        _streams.set_stream(stream)


def stream(stream: Stream | None) -> _streams.use:
    """``with ng.cuda.stream(s):`` this thread works on ``s`` and its device, and then on those from before.  None changes nothing."""
    return _streams.use(stream)


def is_current_stream_capturing() -> bool:
    """Whether the current stream records a graph: never."""
    return False


# ---- memory -------------------------------------------------------------------------------------------------------------------------------


def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes and counts of what the allocator has handed out and holds: ``allocated_bytes.all.current``, ``.peak``,
    ``reserved_bytes.all.current`` ...  Empty before the driver is started."""
    if not is_initialized():
        return {}
    from ..kernels._cuda import memory

    return memory.memory_stats(_index(device))


def memory_allocated(device: Any = None) -> int:
    """The bytes that tensors take on a GPU, as the allocator rounds them."""
    return memory_stats(device).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors ever took on a GPU, or since ``reset_peak_memory_stats``."""
    return memory_stats(device).get("allocated_bytes.all.peak", 0)


def memory_reserved(device: Any = None) -> int:
    """The bytes that the allocator holds of a GPU, in use or not."""
    return memory_stats(device).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that the allocator ever held of a GPU, or since ``reset_peak_memory_stats``."""
    return memory_stats(device).get("reserved_bytes.all.peak", 0)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the peaks begin again from what is in use now."""
    if is_initialized():
        from ..kernels._cuda import memory

        memory.reset_peak_memory_stats(_index(device))


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """What the allocator has handed out and holds of a GPU, as a table to print."""
    index, found = _index(device), memory_stats(device)
    width = 24
    lines = [f"numbagrad CUDA memory, device {index}", f"{'':<{width}}{'now':>14}{'most':>14}"]
    for label, name in (("allocated", "allocated_bytes"), ("reserved", "reserved_bytes")):
        sizes = [found.get(f"{name}.all.{when}", 0) / 2**20 for when in ("current", "peak")]
        lines.append(f"{label:<{width}}" + "".join(f"{size:>10.1f} MiB" for size in sizes))
    if not abbreviated:
        requested = found.get("requested_bytes.all.current", 0) / 2**20
        lines.append(f"{'asked for':<{width}}{requested:>10.1f} MiB")
    counts = {"allocations": "allocation.all.current", "segments": "segment.all.current"}
    counts |= {"retries after freeing": "num_alloc_retries", "out of memory": "num_ooms"}
    lines += [f"{label:<{width}}{found.get(name, 0):>14}" for label, name in counts.items()]
    return "\n".join(lines)


def ipc_collect() -> None:
    """Memory is not shared between processes, so there is none to give back."""


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The free and all bytes of a GPU's memory, as the driver sees them."""
    from ..kernels._cuda import memory

    return memory.memory_info(_index(device))


def empty_cache() -> None:
    """Give the memory back to the driver that the allocator holds but no tensor uses, pinned memory of the host too.  Without a GPU nothing
    happens, as in PyTorch."""
    if is_initialized():
        from ..kernels._cuda import memory, pinned

        memory.empty_cache()
        pinned.empty_pinned_cache()


# ---- random numbers -----------------------------------------------------------------------------------------------------------------------


def _generator(device: Any = None) -> Generator:
    """The default generator of a GPU.  A string or a device without a number, and None, are the current one."""
    return default_generator_of(_device("cuda", _index(device)))


def _generators() -> list[Generator]:
    """The default generators of all GPUs."""
    return [_generator(index) for index in range(device_count())]


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator; as in PyTorch, nothing happens where there is no GPU."""
    if is_available():
        _generator().manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; as in PyTorch, nothing happens where there is no GPU."""
    if is_available():
        seed_gpus(seed)


def seed() -> None:
    """Seed the current GPU's generator from the operating system; nothing happens where there is no GPU."""
    if is_available():
        _generator().seed()


def seed_all() -> None:
    """Seed every GPU's generator from the operating system, with one seed; nothing happens where there is no GPU."""
    if is_available():
        seed_gpus(Generator().seed())


def initial_seed() -> int:
    """The seed that the current GPU's generator was last given."""
    return _generator().initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a GPU's generator, a uint8 tensor on the CPU."""
    return _generator(device).get_state()


def get_rng_state_all() -> list[Tensor]:
    """The states of all GPUs' generators."""
    return [generator.get_state() for generator in _generators()]


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Set the state of a GPU's generator to what ``get_rng_state`` returned."""
    _generator(device).set_state(new_state)


def set_rng_state_all(new_states: Sequence[Tensor]) -> None:
    """Set the states of the GPUs' generators, in their order."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)
