"""Engines: every item is worked on once and its result is there once, whoever dies on the way."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from runtime import engines
from runtime.engines import Here, Processes
from runtime.workers import WorkerDied


def square(item: int) -> int:
    return item * item


def killed(folder: Path, times: int, item: int) -> int:
    """Kills its process over item 3, so many times."""
    if item == 3 and len(list(folder.iterdir())) < times:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def refused(item: int) -> int:
    if item == 3:
        raise ValueError(f"not {item}")
    return item


def slow(item: int) -> int:
    time.sleep(60.0 if item else 0.0)
    return os.getpid()


ENGINES = [Here(), Processes(1), Processes(2)]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_item_has_its_result_once(engine):
    assert sorted(engine.results(square, range(20))) == [i * i for i in range(20)]
    assert list(engine.results(square, [])) == []


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_items_are_taken_as_workers_become_free(engine):
    """A million items need no more memory than those in flight."""
    taken = []
    made = engine.results(square, (taken.append(i) or i for i in range(1_000_000)))
    for _ in range(5):
        next(made)
    made.close()
    assert len(taken) == 5


def test_a_killed_worker_loses_nothing(tmp_path):
    lost = []
    made = Processes(2).results(partial(killed, tmp_path, 2), range(8), on_loss=lost.append)
    assert sorted(made) == list(range(8))
    assert lost == [3, 3]


def test_work_that_kills_every_worker_is_given_up(tmp_path):
    made = []
    with pytest.raises(WorkerDied, match="the 3rd time"):
        made.extend(Processes(1).results(partial(killed, tmp_path, 99), range(8)))
    assert len(list(tmp_path.iterdir())) == engines._LOSSES_MAX


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_item_raises_is_raised(engine):
    with pytest.raises(ValueError, match="not 3"):
        list(engine.results(refused, range(8)))


def test_a_stop_does_not_wait_for_the_work():
    begin = time.monotonic()
    made = Processes(2).results(slow, range(4))
    worker = next(made)
    made.close()
    assert time.monotonic() - begin < 30.0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_engines_work_in_threads_too():
    made = []
    thread = threading.Thread(target=lambda: made.extend(Processes(1).results(square, range(3))))
    thread.start()
    thread.join()
    assert made == [0, 1, 4]
