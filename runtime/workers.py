"""Processes that work beside this one, and what the machine has for them."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied(RuntimeError):
    """A worker process ended unexpectedly, most often because memory ran out."""


def results(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    start: Callable[..., object],
    arguments: tuple[Any, ...],
) -> Generator[Result, None, None]:
    """`work(item)` of every item as the results come, from `workers` processes.

    start       called in each process first, with `arguments`
    An exception here or in an item, or closing the generator, ends the processes and drops their items in flight.
    WorkerDied where a process ends unexpectedly.
    """
    # Spawned, not forked: Taichi hangs in a fork of a process that has started it.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(start, arguments))
    waiting = iter(items)
    running = set()
    try:
        while True:
            # Only as many items are handed out as keep the workers busy, so that a stop is quick.
            while len(running) < 2 * workers and (item := next(waiting, None)) is not None:
                with _interrupts_held_back():
                    running.add(pool.submit(work, item))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise WorkerDied("a worker process died (out of memory?)") from error
    except BaseException:
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Worker:
    """One process that works beside this one, an item at a time. The first item starts it.

    start   called in it first, with `arguments`
    """

    def __init__(self, start: Callable[..., object], arguments: tuple[Any, ...]):
        self._start, self._arguments = start, arguments
        self._process: BaseProcess | None = None
        self._here: Connection | None = None

    def result(self, work: Callable[[Item], Result], item: Item) -> Result:
        """`work(item)`; what it raises there is raised here. WorkerDied where the process ends, or is ended.

        Not for two threads at a time.
        """
        if self._process is None:
            self._begin()
        assert self._here is not None
        try:
            self._here.send((work, item))
            is_done, answer = self._here.recv()
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerDied("a worker process died (out of memory?)") from error
        if not is_done:
            raise answer
        return answer

    def end(self) -> None:
        """End the process, whatever it does, from any thread. The next item starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.join()

    def _begin(self) -> None:
        spawn = get_context("spawn")
        self._here, there = spawn.Pipe()
        with _interrupts_held_back():
            process = spawn.Process(target=_answer, args=(there, self._start, self._arguments), daemon=True)
            process.start()
        # With no copy left here, its end is the end of the pipe.
        there.close()
        self._process = process


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or less in a container with a limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def _start(start: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    # A parent that is killed takes its workers along.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    start(*arguments)


def _answer(there: Connection, start: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """What the process of a `Worker` does."""
    # A terminal sends Ctrl-C to all of its processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start(start, arguments)
    with suppress(EOFError):
        while True:
            work, item = there.recv()
            try:
                answer = True, work(item)
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = False, error
            there.send(answer)


def _exit_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and never reaches processes that start in it, though it is sent to all."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
