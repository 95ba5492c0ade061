"""Processes that work beside this one, and what the machine has for them."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


# What ends a command.
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class WorkerDied(RuntimeError):
    """A worker process ended unexpectedly, most often because memory ran out."""


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
        self.begin(work, item)
        return self.answer()

    def begin(self, work: Callable[[Item], object], item: Item) -> None:
        """Hand out an item. It is worked on until `answer` is asked."""
        if self._process is None:
            self._begin()
        assert self._here is not None
        # Where the process has died meanwhile, the answer says so.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._here.send((work, item))

    def answer(self) -> Any:
        """The result of the item that was handed out, as of `result`."""
        assert self._here is not None
        try:
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
            process.kill()
            process.join()

    def leave(self) -> None:
        """Let the process, which has nothing to do, end by itself: libraries may write their caches then."""
        if self._here is not None:
            self._here.close()

    def join(self) -> None:
        """Wait for the end of the process."""
        if self._process is not None:
            self._process.join()
            self._process = None

    @property
    def pipe(self) -> Connection:
        """It can be read where `answer` is there, or never will be."""
        assert self._here is not None
        return self._here

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


def _answer(there: Connection, start: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """What the process of a `Worker` does."""
    # A terminal sends Ctrl-C to all of its processes, and Slurm SIGTERM; the parent ends this one.
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    # A parent that is killed takes its workers along.
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    start(*arguments)
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
    """Ctrl-C and SIGTERM wait for the end of the block; Ctrl-C never reaches processes that start in it.

    A process that starts reads what to do from this one: an exception half-way would leave it with a traceback.
    """
    held: list[int] = []
    handlers: dict[int, Any] = {}
    # Another thread may take a signal that this one blocks; the handler runs here all the same.
    if threading.current_thread() is threading.main_thread():
        for number in _INTERRUPTS:
            handlers[number] = signal.signal(number, lambda number, _: held.append(number))
    # It starts with the first process, and unblocks the signal when it has.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in held[:1]:
            signal.raise_signal(number)
