"""The loader with worker processes: order, seeds, errors, and that no process is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import chain
from pathlib import Path

import pytest
from worker_datasets import Dies, Mixed, Raises, SeesInit, Squares, Stream, TwoArguments, Who, second_column, write_pid

import numbagrad as ng
from numbagrad.data import DataLoader, TensorDataset, get_worker_info
from numbagrad.random import Generator

HERE = Path(__file__).parent


def values(loader):
    return [batch[1].tolist() for batch in loader]


def alive(pid):
    """True for a process that runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_order_is_that_of_one_process():
    def order(workers):
        data = Squares(21)
        return values(DataLoader(data, batch_size=4, shuffle=True, num_workers=workers, generator=Generator().manual_seed(5)))

    assert order(0) == order(1) == order(3)


def test_whole_batches_from_workers():
    x = ng.arange(40).reshape(10, 4)
    loader = DataLoader(TensorDataset(x, x), batch_size=3, num_workers=2)
    assert [batch[0].tolist() for batch in loader] == [x.numpy()[i : i + 3].tolist() for i in range(0, 10, 3)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_drops_the_iterator_leaves_the_workers_alone():
    iterator = iter(DataLoader(Squares(12), batch_size=2, num_workers=2, timeout=30))
    next(iterator)
    child = os.fork()
    if child == 0:
        del iterator
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(iterator)) == 5


def test_every_kind_of_value_arrives():
    (batch,) = DataLoader(Mixed(), batch_size=4, num_workers=1)
    assert batch["empty"].shape == (4, 0, 3) and batch["large"].numpy()[:, -1].tolist() == [0, 1, 2, 3]
    assert batch["transposed"].tolist()[0] == [[0, 3], [1, 4], [2, 5]]
    assert batch["text"] == [f"sample {i}" for i in range(4)] and batch["number"].dtype is ng.float64
    batch["large"].numpy()[:] = 7  # what arrives can be written to


def test_workers_know_who_they_are():
    def look(seed):
        loader = DataLoader(Who(), num_workers=2, generator=Generator().manual_seed(seed))
        return [[column.item() for column in batch] for batch in loader]

    first, again, other = look(1), look(1), look(2)
    assert [row[0] for row in first] == [0, 1, 0, 1, 0, 1] and all(row[1] == 2 for row in first)
    assert first[1][2] == first[0][2] + 1
    assert len({row[5] for row in first}) == 2 and os.getpid() not in {row[5] for row in first}
    assert [row[:5] for row in first] == [row[:5] for row in again]
    assert [row[2:5] for row in first] != [row[2:5] for row in other]
    assert len({row[3] for row in first}) == 6
    assert get_worker_info() is None


def test_init_and_collate_functions():
    loader = DataLoader(SeesInit(), num_workers=2, worker_init_fn=write_pid)
    assert [batch.item() for batch in loader] == [0, 1, 0, 1]
    assert list(DataLoader(Squares(4), batch_size=2, num_workers=1, collate_fn=second_column)) == [[0, 1], [4, 9]]


def test_streams_are_shared_out():
    loader = DataLoader(Stream(10), batch_size=2, num_workers=2)
    assert [batch.tolist() for batch in loader] == [[0, 2], [1, 3], [4, 6], [5, 7], [8], [9]]
    uneven = DataLoader(Stream(3), batch_size=2, num_workers=3)
    assert sorted(chain.from_iterable(batch.tolist() for batch in uneven)) == [0, 1, 2]
    assert sorted(DataLoader(Stream(4, share=False), batch_size=None, num_workers=2)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_persistent_workers_stay():
    loader = DataLoader(Who(), num_workers=2, persistent_workers=True, generator=Generator().manual_seed(1))
    passes = [[[column.item() for column in batch] for batch in loader] for _ in range(3)]
    assert len({row[5] for rows in passes for row in rows}) == 2
    assert passes[0][0][2] != passes[1][0][2]
    iterator = iter(loader)  # a pass that is left early
    next(iterator)
    assert len(list(loader)) == 6


@pytest.mark.parametrize(
    "error, kind, message",
    [
        (ValueError("sample 3 is bad"), ValueError, "sample 3 is bad"),
        (KeyError("boo"), KeyError, "boo"),
        (TwoArguments(1, 2), RuntimeError, "TwoArguments"),
        (StopIteration("odd"), StopIteration, "odd"),
    ],
)
def test_exceptions_come_with_their_traceback(error, kind, message):
    loader = DataLoader(Raises(8, error), num_workers=2)
    taken = []
    iterator = iter(loader)
    with pytest.raises(kind) as caught:
        while True:
            taken.append(next(iterator)[1].item())
    text = str(caught.value)
    assert taken == [0, 1, 4] and message in text
    assert f"Caught {type(error).__name__} in DataLoader worker process 1" in text
    assert "worker_datasets.py" in text and "raise self.error" in text
    assert next(iterator)[1].item() == 16  # as in PyTorch, the next batch can still be had


def test_worker_that_dies_is_an_error():
    loader = DataLoader(Dies(8), num_workers=2)
    with pytest.raises(RuntimeError, match=r"worker \(pid \d+\) exited unexpectedly with exit code 7"):
        list(loader)


def test_worker_that_is_killed_is_an_error():
    iterator = iter(DataLoader(Squares(100, seconds=0.05), num_workers=1))
    next(iterator)
    os.kill(iterator._workers.processes[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="exit code -9"):
        list(iterator)


def test_timeout():
    loader = DataLoader(Squares(2, seconds=60), num_workers=1, timeout=0.5)
    iterator = iter(loader)
    with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds"):
        next(iterator)
    iterator._workers.processes[0].kill()


def test_what_cannot_be_pickled():
    with pytest.raises(RuntimeError, match="picklable"):
        iter(DataLoader(Squares(2), num_workers=1, collate_fn=lambda batch: batch))


def test_leaving_a_loop_early_ends_the_workers():
    iterator = iter(DataLoader(Squares(1000), num_workers=2))
    next(iterator)
    pids = [process.pid for process in iterator._workers.processes]
    assert all(map(alive, pids))
    del iterator
    gc.collect()
    assert wait_until(lambda: not any(map(alive, pids)))


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from worker_datasets import Squares
from numbagrad.data import DataLoader
{main}
"""


def script(tmp_path, main):
    """Start a script with ``main`` as its last part, in a process group of its own."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(here=str(HERE), main=textwrap.dedent(main)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )


MAIN = """
if __name__ == "__main__":
    iterator = iter(DataLoader(Squares(1000, seconds=0.05), num_workers=2))
    next(iterator)
    print(*(process.pid for process in iterator._workers.processes), flush=True)
    for batch in iterator:
        pass
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_orphans(tmp_path, how):
    process = script(tmp_path, MAIN)
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # as the terminal's Ctrl-C does: every process of the group
    else:
        os.kill(process.pid, how)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert wait_until(lambda: not any(map(alive, pids)))
    assert errors.count("Traceback") == (1 if how is signal.SIGINT else 0), errors


def test_script_without_a_main_guard(tmp_path):
    """It is run once only, as long as nothing that the workers need is defined in it."""
    process = script(tmp_path, "print('once', len(list(DataLoader(Squares(4), num_workers=2))))")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert out.split() == ["once", "4"]


def test_dataset_in_a_script_without_a_main_guard(tmp_path):
    main = """
    class Mine(Squares):
        pass

    list(DataLoader(Mine(4), num_workers=1))
    """
    process = script(tmp_path, main)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and 'put the script\'s main part under `if __name__ == "__main__":`' in errors
