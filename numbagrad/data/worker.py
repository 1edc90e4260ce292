"""Worker processes: how they are started, what they do, and how their batches come back.

    parent                                   worker (spawned, so it holds no copy of the parent's threads, locks or devices)
      tasks     --- (number, indices) --->   fetch: dataset[i], collate
      results   <-- (number, batch) ------   pickled, with the arrays' bytes beside the pickle so that they are copied once

Every worker has two pipes of its own, so one that dies in the middle of a message disturbs nobody else.  A thread in the parent reads
all results as they come, which keeps workers from waiting for a full pipe, and notices a worker that has died.  A worker ends when its
tasks pipe is closed, which the operating system does if the parent is killed: no worker outlives its parent.
"""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.context
import os
import pickle
import random
import signal
import sys
import threading
import traceback
import types
import warnings
from multiprocessing import connection, resource_tracker, spawn
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import numpy as np

from ..kernels._cpu import set_num_threads
from ..random import manual_seed
from .dataset import Dataset, batch_maker

_JOIN_SECONDS = 5.0  # how long a worker may finish its current sample before it is terminated


class WorkerInfo(NamedTuple):
    """What a dataset can know about the worker process it runs in."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process: its id, the number of workers, its seed and its copy of the dataset.  None elsewhere."""
    return _info


# What a worker calls before it imports anything of the script's: functions that pickle by their names.
before_script: list[Callable[[], None]] = []

_running_script = False  # in a worker, while it runs the script for what is defined there


class Failure(NamedTuple):
    """An exception on its way from a worker to the parent."""

    kind: type[BaseException]
    message: str

    @staticmethod
    def of(error: BaseException, where: str) -> Failure:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        kind: type[BaseException] = type(error)
        try:
            pickle.dumps(kind)
        except Exception:  # a class that the parent cannot name
            kind = RuntimeError
        return Failure(kind, f"Caught {type(error).__name__} {where}.\nOriginal {text}")

    def reraise(self) -> None:
        """Raise the exception again, or RuntimeError where its type takes more than a message."""
        if issubclass(self.kind, KeyError):  # whose str() is the repr of its argument: line ends would be lost

            class Verbatim(str):
                def __repr__(self) -> str:
                    return str(self)

            raise self.kind(Verbatim(self.message))
        try:
            error = self.kind(self.message)
        except Exception:
            raise RuntimeError(self.message) from None
        raise error


class Exhausted:
    """A worker's stream has come to its end."""


class Fetcher:
    """Turns what a sampler yields into a batch: samples by index, or the next few of a stream."""

    def __init__(self, dataset: Dataset[Any], batched: bool, collate: Callable[[Any], Any], whole: bool, drop_last: bool, stream: bool):
        self._dataset = dataset
        self._batched = batched
        self._collate = collate
        self._whole = batch_maker(dataset) if whole and batched else None
        self._drop_last = drop_last
        self._stream: Iterator[Any] | None = iter(dataset) if stream else None  # type: ignore[call-overload]

    def __call__(self, indices: Any) -> Any:
        """The batch of ``indices``.  Raises StopIteration at the end of a stream."""
        if self._stream is not None:
            return self._next(len(indices)) if self._batched else self._collate(next(self._stream))
        if not self._batched:
            return self._collate(self._dataset[indices])
        if self._whole is not None and (batch := self._whole(indices)) is not None:
            return batch
        many = getattr(self._dataset, "__getitems__", None)
        return self._collate(many(indices) if callable(many) else [self._dataset[i] for i in indices])

    def _next(self, size: int) -> Any:
        assert self._stream is not None
        samples = list(itertools.islice(self._stream, size))
        if not samples or (self._drop_last and len(samples) < size):
            raise StopIteration
        return self._collate(samples)


class Job(NamedTuple):
    """What every worker is told once: everything but its id."""

    fetcher: tuple[Any, ...]
    worker_init_fn: Callable[[int], None] | None
    num_workers: int


def _send(pipe: connection.Connection, number: int, content: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps((number, content), protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    pipe.send_bytes(pickle.dumps((head, [view.nbytes for view in views])))
    for view in views:
        if view.nbytes:
            pipe.send_bytes(view)


def _receive(pipe: connection.Connection) -> tuple[int, Any]:
    head, sizes = pickle.loads(pipe.recv_bytes())
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            pipe.recv_bytes_into(buffer)
    return pickle.loads(head, buffers=buffers)


def _seed_everything(seed: int) -> None:
    """Every generator a sample may be drawn with."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    manual_seed(seed)


def _script() -> dict[str, Any]:
    """Where a new process finds the module ``__main__`` of this one: a part of what multiprocessing tells it."""
    told = spawn.get_preparation_data("worker")
    return {key: told[key] for key in ("init_main_from_name", "init_main_from_path") if key in told}


def run_worker(
    worker_id: int,
    tasks: connection.Connection,
    results: connection.Connection,
    before: Sequence[Callable[[], None]],
    script: dict[str, Any],
) -> None:
    """The main function of a worker process."""
    global _info, _running_script
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides what it means
    set_num_threads(1)  # nothing here runs kernels, but a dataset of the user's may, and the workers are many already
    where = f"in DataLoader worker process {worker_id}"
    fetch: Fetcher | None = None
    failure: Failure | None = None
    exhausted = False
    try:
        message = tasks.recv_bytes()
        try:
            for call in before:
                call()
            _running_script = True
            spawn.prepare(script)
            _running_script = False
            job = pickle.loads(message)
        except Exception as error:
            failure = Failure.of(error, where)
        while True:
            number, content = tasks.recv()
            if number < 0:  # a new pass over the data, with its seed
                if failure is not None:
                    continue
                seed = content + worker_id
                try:
                    _seed_everything(seed)
                    dataset = job.fetcher[0]
                    first, _info = _info is None, WorkerInfo(worker_id, job.num_workers, seed, dataset)
                    if first and job.worker_init_fn is not None:
                        job.worker_init_fn(worker_id)
                    fetch, exhausted = Fetcher(*job.fetcher), False
                except Exception as error:
                    failure = Failure.of(error, where)
                continue
            if failure is not None or exhausted:
                _send(results, number, failure or Exhausted())
                continue
            assert fetch is not None
            try:
                _send(results, number, fetch(content))
            except StopIteration as error:
                if not job.fetcher[-1]:  # only a stream may end
                    _send(results, number, Failure.of(error, where))
                    continue
                exhausted = True
                _send(results, number, Exhausted())
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                _send(results, number, Failure.of(error, where))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent has closed its ends, or is gone
        pass


class Workers:
    """The worker processes of one loader, seen from the parent."""

    def __init__(self, job: Job, context: Any):
        if _running_script:
            raise RuntimeError(
                "DataLoader: a worker process runs the script again, for what is defined in it, and comes to a DataLoader with workers of its own; "
                'put the script\'s main part under `if __name__ == "__main__":`'
            )
        try:
            message = pickle.dumps(job, protocol=5)
        except Exception as error:
            raise RuntimeError(
                "DataLoader: the dataset, collate_fn and worker_init_fn are sent to new processes, so they must be picklable: "
                f"functions and classes at the top level of a module, no lambdas ({error})"
            ) from error
        self._owner = os.getpid()
        self._arrived = threading.Condition()
        self._inbox: dict[int, Any] = {}
        self.dead: list[str] = []
        self.processes: list[Any] = []
        self._tasks: list[connection.Connection] = []
        self._results: list[connection.Connection] = []
        self._wake, self._waker = context.Pipe(duplex=False)
        script = _script() if b"__main__" in message else {}  # otherwise nothing the workers are sent is defined in the script
        try:
            for worker_id in range(job.num_workers):
                self._start(worker_id, context, script)
            for worker_id in range(job.num_workers):
                self._post(worker_id, message)
        except BaseException:
            self.close()
            raise
        self._reader: threading.Thread | None = threading.Thread(target=self._read, name="DataLoader results", daemon=True)
        self._reader.start()

    def _start(self, worker_id: int, context: Any, script: dict[str, Any]) -> None:
        theirs, tasks = context.Pipe(duplex=False)
        results, back = context.Pipe(duplex=False)
        told = (worker_id, theirs, back, tuple(before_script), script)
        process = context.Process(target=run_worker, args=told, daemon=True, name=f"DataLoader worker {worker_id}")
        self._tasks.append(tasks)
        self._results.append(results)
        with _interrupts_held(), _main_left_out():
            process.start()
        self.processes.append(process)
        theirs.close()
        back.close()

    def _post(self, worker_id: int, message: bytes) -> None:
        try:
            self._tasks[worker_id].send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):
            self.processes[worker_id].join(_JOIN_SECONDS)
            raise RuntimeError(self._obituary(worker_id)) from None

    def _obituary(self, worker_id: int) -> str:
        process = self.processes[worker_id]
        process.join(0.1)  # the process can be a moment behind the end of its pipe
        return f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {process.exitcode}"

    def send(self, worker_id: int, number: int, content: Any) -> None:
        """Give a worker a task; a negative number starts a new pass, ``content`` being its seed."""
        self._post(worker_id, pickle.dumps((number, content)))

    def take(self, number: int, timeout: float) -> Any:
        """The result of task ``number``, waited for.

        Raises RuntimeError after ``timeout`` seconds (0: never), or when a worker has died.
        """
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: number in self._inbox or self.dead, timeout or None)
            if number in self._inbox:
                return self._inbox.pop(number)
            if arrived:
                raise RuntimeError(self.dead[0])
        raise RuntimeError(f"DataLoader timed out after {timeout} seconds")

    def _read(self) -> None:
        """The reader thread: put every result into the inbox, until told to stop."""
        sources = {pipe: i for i, pipe in enumerate(self._results)}
        while sources:
            ready = connection.wait([*sources, self._wake])
            if self._wake in ready:
                return
            for pipe in ready:
                worker_id = sources[pipe]  # type: ignore[index]
                try:
                    number, content = _receive(pipe)  # type: ignore[arg-type]
                except (EOFError, OSError):
                    del sources[pipe]  # type: ignore[arg-type]
                    with self._arrived:
                        self.dead.append(self._obituary(worker_id))
                        self._arrived.notify_all()
                    continue
                except Exception as error:  # a result that cannot be put together again here
                    del sources[pipe]  # type: ignore[arg-type]
                    with self._arrived:
                        self.dead.append(f"DataLoader: the result of worker {worker_id} could not be read: {error!r}")
                        self._arrived.notify_all()
                    continue
                with self._arrived:
                    self._inbox[number] = content
                    self._arrived.notify_all()

    def forget(self, numbers: Any) -> None:
        """Wait for results nobody wants any more, and drop them."""
        for number in numbers:
            self.take(number, 0)

    def close(self) -> None:
        """End the processes: they finish the sample they are at, or are terminated.  In a fork of their parent: let go of the pipes to them."""
        for pipe in self._tasks:
            pipe.close()
        if os.getpid() != self._owner:  # a word to the reader would reach that of the parent
            for pipe in (*self._results, self._wake, self._waker):
                pipe.close()
            return
        reader = getattr(self, "_reader", None)
        if reader is not None:
            self._waker.send_bytes(b"stop")
            if reader is not threading.current_thread():  # the garbage collector may run this anywhere
                reader.join()
            self._reader = None
        for pipe in (*self._results, self._wake, self._waker):
            pipe.close()  # a worker that waits for room in its pipe gets an error, and ends
        for process in self.processes:
            process.join(_JOIN_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join(1.0)
            if process.is_alive():
                process.kill()
                process.join()
        self._tasks, self._results, self.processes = [], [], []


class _main_left_out:
    """While a worker is started: it does not run the script by itself, so that the main part of one that it needs nothing of may stand unguarded.

    A spawned process imports the file of the module ``__main__``; for the moment of the start an empty module stands in its place.
    """

    def __enter__(self) -> None:
        self._main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")

    def __exit__(self, *exc: Any) -> None:
        sys.modules["__main__"] = self._main


class _interrupts_held:
    """While a worker is started, Ctrl-C waits; the child inherits the blocked signal, so that not even its imports are interrupted."""

    def __enter__(self) -> None:
        self._before: Any = None
        if os.name == "posix":
            resource_tracker.ensure_running()  # it unblocks the signal when it starts, so it has to be there first
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *exc: Any) -> None:
        if self._before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def warn_of_many(count: int) -> None:
    """Warn where there are more worker processes than processors that they may use."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if most is not None and count > most:
        warnings.warn(
            f"This DataLoader will create {count} worker processes in total. Our suggested max number of worker in current system is {most}, which is "
            "smaller than what this DataLoader is going to create. Please be aware that excessive worker creation might get DataLoader running slow or "
            "even freeze, lower the worker number to avoid potential slowness/freeze if necessary.",
            stacklevel=3,
        )


def spawn_context(requested: Any = None) -> Any:
    """The multiprocessing context of the workers.  Raises ValueError for one that there is not and for one that forks: the child of a fork has the parent's
    locks but not its threads; TypeError for what is no context."""
    if requested is None:
        return multiprocessing.get_context("spawn")
    methods = multiprocessing.get_all_start_methods()
    if isinstance(requested, str) and requested not in methods:
        raise ValueError(
            f"DataLoader: multiprocessing_context option should specify a valid start method in {methods}, but got multiprocessing_context={requested!r}"
        )
    context = multiprocessing.get_context(requested) if isinstance(requested, str) else requested
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "DataLoader: multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={requested!r}"
        )
    if context.get_start_method() == "fork":
        raise ValueError("DataLoader: multiprocessing_context 'fork' is not supported; expected 'spawn' or 'forkserver'")
    return context
