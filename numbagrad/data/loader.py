"""The loader: a dataset, an order to visit it in, and batches made of it, in this process or in others."""

from __future__ import annotations

import itertools
import warnings
import weakref
from typing import Any, Callable, Generic, Iterable, Iterator, TypeVar

from ..generator import Generator
from . import host_random
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .pin import can_pin, pin_memory
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, infinite
from .worker import Exhausted, Failure, Fetcher, Job, Workers, spawn_context, warn_of_many

T_co = TypeVar("T_co", covariant=True)

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader(Generic[T_co]):
    """Batches of ``dataset``, as PyTorch's loader with the same arguments.

    The order is that of ``sampler`` (or of ``batch_sampler``, which yields whole lists of indices); without one it is random with
    ``shuffle`` and the dataset's own otherwise.  It depends on ``generator`` alone, not on the number of workers.

    ``num_workers`` processes prepare batches ahead, ``prefetch_factor`` (2) each.  They are spawned, never forked, so the dataset,
    ``collate_fn`` and ``worker_init_fn`` must be picklable; where one of them is defined in the script itself, the script's main part must
    stand under ``if __name__ == "__main__":``.
    Worker w is seeded with a number from ``generator`` plus w.  An exception in a worker is raised here with its traceback; a worker
    that dies is a RuntimeError, as is one that takes longer than ``timeout`` seconds.  Batches come in the sampler's order whatever
    ``in_order`` says.  With ``pin_memory`` batches come in page-locked memory, from which a GPU copies quicker and by itself; there is a warning where
    there is no GPU.

    Samples that are rows of arrays (TensorDataset, MNIST, subsets of them) are gathered as whole batches as long as ``collate_fn`` is
    the default one.

    Raises ValueError for arguments that exclude each other or are out of range.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers option should be non-negative, got {num_workers}; use 0 to load in this process")
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout option should be non-negative, got {timeout}")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("DataLoader: prefetch_factor option could only be specified with num_workers > 0")
        if prefetch_factor is not None and prefetch_factor <= 0:
            raise ValueError(f"DataLoader: prefetch_factor option should be positive, got {prefetch_factor}")
        if num_workers == 0 and persistent_workers:
            raise ValueError("DataLoader: persistent_workers option needs num_workers > 0")
        if num_workers == 0 and multiprocessing_context is not None:
            raise ValueError(
                "DataLoader: multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers=0"
            )
        warn_of_many(num_workers)
        stream = isinstance(dataset, IterableDataset)
        if stream:
            for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("DataLoader: batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None:
            if drop_last:
                raise ValueError("DataLoader: batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if stream:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (default_collate if batch_sampler is not None else default_convert)
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.multiprocessing_context = spawn_context(multiprocessing_context) if num_workers else None
        self._iterator: _WorkersIterator | None = None
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_ready"):
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return _LocalIterator(self)
        if not self.persistent_workers:
            return _WorkersIterator(self)
        if self._iterator is None or self._iterator.closed:
            self._iterator = _WorkersIterator(self)
        else:
            self._iterator.restart()
        return self._iterator

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self._index_sampler)  # type: ignore[arg-type]

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def _fetcher(self) -> tuple[Any, ...]:
        """The arguments of the Fetcher, in this process or in a worker."""
        stream = isinstance(self.dataset, IterableDataset)
        whole = self.collate_fn is default_collate
        return self.dataset, self.batch_sampler is not None, self.collate_fn, whole, self.drop_last, stream


class _Endless(Sampler[Any]):
    """The sampler of a stream, which has no indices."""

    def __iter__(self) -> Iterator[None]:
        return infinite()


class _Iterator(Iterator[Any]):
    """What both iterators share: the order, the seed, and a warning when a stream is longer than it said."""

    def __init__(self, loader: DataLoader[Any]):
        self._loader = loader
        self._pinned = loader.pin_memory and can_pin()
        self._begin()

    def _begin(self) -> None:
        # Drawn whether or not there are workers: the order that follows must not depend on their number.
        self._seed = host_random.bits(self._loader.generator) >> 1
        self._indices = iter(self._loader._index_sampler)
        self._yielded = 0
        self._promised: int | None = None
        if isinstance(self._loader.dataset, IterableDataset) and hasattr(self._loader.dataset, "__len__"):
            self._promised = len(self._loader)

    def __len__(self) -> int:
        return len(self._loader)

    def _counted(self, batch: Any) -> Any:
        self._yielded += 1
        if self._promised is not None and self._yielded > self._promised:
            warnings.warn(
                f"Length of IterableDataset {self._loader.dataset} was reported to be {self._promised} (when accessing "
                f"len(dataloader)), but {self._yielded} samples have been fetched. With several workers, have each yield only its share, "
                "see get_worker_info()",
                stacklevel=3,
            )
        return pin_memory(batch) if self._pinned else batch


class _LocalIterator(_Iterator):
    """Batches made in this process, one at a time."""

    def __init__(self, loader: DataLoader[Any]):
        super().__init__(loader)
        self._fetch = Fetcher(*loader._fetcher())

    def __next__(self) -> Any:
        return self._counted(self._fetch(next(self._indices)))


class _WorkersIterator(_Iterator):
    """Batches made by worker processes: task n goes to the workers in turn, and result n is waited for before n + 1."""

    def __init__(self, loader: DataLoader[Any]):
        super().__init__(loader)
        job = Job(loader._fetcher(), loader.worker_init_fn, loader.num_workers)
        self._workers = Workers(job, loader.multiprocessing_context)
        # Also runs at the interpreter's exit, and when a loop is left early and the iterator is dropped.
        self._close = weakref.finalize(self, self._workers.close)
        self._sent = self._taken = 0
        self._fill()

    @property
    def closed(self) -> bool:
        return not self._close.alive

    def restart(self) -> None:
        """A new pass over the data by the same processes."""
        self._workers.forget(range(self._taken, self._sent))
        self._taken = self._sent
        self._begin()
        self._fill()

    def _fill(self) -> None:
        loader = self._loader
        for worker_id in range(loader.num_workers):
            self._workers.send(worker_id, -1, self._seed)
        self._turns = itertools.cycle(range(loader.num_workers))
        self._active = set(range(loader.num_workers))
        self._owners: dict[int, int] = {}
        assert loader.prefetch_factor is not None
        for _ in range(loader.prefetch_factor * loader.num_workers):
            self._order_one()

    def _order_one(self) -> None:
        """Send the next task, if there is one, to the next worker that still has data."""
        if not self._active:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        worker_id = next(i for i in self._turns if i in self._active)
        self._workers.send(worker_id, self._sent, indices)
        self._owners[self._sent] = worker_id
        self._sent += 1

    def __next__(self) -> Any:
        if self.closed:
            raise StopIteration
        while self._taken < self._sent:
            try:
                content = self._workers.take(self._taken, self._loader.timeout)
            except RuntimeError:
                if self._workers.dead:
                    self._close()
                raise
            worker_id = self._owners.pop(self._taken)
            self._taken += 1
            if isinstance(content, Exhausted):
                self._active.discard(worker_id)
            self._order_one()
            if isinstance(content, Failure):
                content.reraise()
            if not isinstance(content, Exhausted):
                return self._counted(content)
        if not self._loader.persistent_workers:
            self._close()
        raise StopIteration
