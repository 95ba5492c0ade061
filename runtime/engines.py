"""Where the items of a command are worked on: in this process, by processes of this machine, or by a Ray cluster.

An item is a piece of work that depends on nothing but itself, such as the index of a scene. It may therefore be worked
on anywhere, in any order, and again where a worker was lost.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from runtime.backend import Arch, Backend
from runtime.workers import Worker, WorkerDied

Item = TypeVar("Item")
Result = TypeVar("Result")

# An item that has lost so many workers is not given to another.
_LOSSES_MAX = 3


class EngineError(RuntimeError):
    """An engine that cannot be had, such as a cluster that does not answer."""


@dataclass(frozen=True)
class Share:
    """What one worker takes of a machine of a cluster.

    cpus           CPU cores
    gpus           GPUs; 1/4 where four workers share one
    memory_bytes   of main memory, 0 where nobody knows
    """

    cpus: float = 1
    gpus: float = 0
    memory_bytes: int = 0


class Hand(Protocol):
    """One worker of a crew."""

    def begin(self, item: Any) -> None:
        """Hand out an item. It is worked on until `answer` is asked."""
        ...

    def answer(self) -> Any:
        """What became of it; what it raised is raised. WorkerDied where the worker did."""
        ...


H = TypeVar("H", bound=Hand)


class Crew(Protocol[H]):
    """The workers of one call of `Engine.results`. They come and go."""

    def hire(self) -> H | None:
        """A new worker; None where there is no room for one, or it has yet to start."""
        ...

    def wait(self, busy: Collection[H]) -> Iterable[H]:
        """Wait until a busy worker has its answer or has died: these, or none where a new one is there to be hired."""
        ...

    def dismiss(self, hand: H) -> None:
        """It has died."""
        ...

    def end(self, *, is_done: bool) -> None:
        """End the workers: in peace where all is done, else whatever they do."""
        ...


class Engine(ABC):
    """Works on items."""

    @abstractmethod
    def crew(self, work: Callable[[Any], Any], share: Share) -> Crew[Any]:
        """Workers that call `work`, each with a share of its machine."""

    def results(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        share: Share = Share(),
        on_loss: Callable[[Item], object] = lambda item: None,
    ) -> Generator[Result, None, None]:
        """`work(item)` of every item as the results come.

        work      every worker gets a copy, once, by pickling
        on_loss   called where a worker has died over an item, which another one is then given

        A worker has one item at a time, so that neither their number nor a stop costs much. An exception here or in an
        item, or closing the generator, ends the workers and drops their items. WorkerDied where one item loses three.
        """
        fresh = map(_Task, items)
        if (first := next(fresh, None)) is None:
            return
        again = deque([first])
        crew = self.crew(work, share)
        idle: list[Hand] = []
        busy: dict[Hand, _Task] = {}
        has_more = True
        try:
            while True:
                # First the worker, then the item: none is taken ahead.
                while (again or has_more) and (hand := idle.pop() if idle else crew.hire()) is not None:
                    if (task := again.popleft() if again else next(fresh, None)) is None:
                        idle.append(hand)
                        has_more = False
                    else:
                        busy[hand] = task
                        hand.begin(task.item)
                if not (busy or again or has_more):
                    return
                for hand in crew.wait(busy):
                    task = busy.pop(hand)
                    try:
                        result = hand.answer()
                    except WorkerDied as error:
                        crew.dismiss(hand)
                        task.losses += 1
                        if task.losses == _LOSSES_MAX:
                            raise WorkerDied(f"{error}, the {_LOSSES_MAX}rd time over the same work") from error
                        again.append(task)
                        on_loss(task.item)
                    else:
                        idle.append(hand)
                        yield result
        finally:
            crew.end(is_done=not (busy or again or has_more))


class Cluster(Engine):
    """Machines that come and go."""

    @abstractmethod
    def backend(self, arch: Arch) -> Backend:
        """The backend of the workers: the one that is named, and for "auto" CUDA where a machine has a GPU."""

    @abstractmethod
    def machine(self, *, gpu: bool) -> Share:
        """The share of a worker that has a machine to itself: all cores of the smallest, or a GPU and its part of them.

        EngineError where a GPU is asked for and none is there.
        """


class Here(Engine):
    """This process."""

    def crew(self, work: Callable[[Any], Any], share: Share) -> Crew[Any]:
        return _Alone(work)


class Processes(Engine):
    """At most so many processes of this machine."""

    def __init__(self, count: int):
        self._count = count

    def crew(self, work: Callable[[Any], Any], share: Share) -> Crew[Any]:
        return _Pool(work, self._count)


@dataclass
class _Task:
    """An item, and how many workers it has lost."""

    item: Any
    losses: int = 0


class _Alone:
    """The crew, and the one worker of it, that this process is."""

    def __init__(self, work: Callable[[Any], Any]):
        self._work, self._is_hired = work, False

    def hire(self) -> "_Alone | None":
        if self._is_hired:
            return None
        self._is_hired = True
        return self

    def begin(self, item: Any) -> None:
        self._item = item

    def answer(self) -> Any:
        return self._work(self._item)

    def wait(self, busy: Collection["_Alone"]) -> Iterable["_Alone"]:
        return list(busy)

    def dismiss(self, hand: "_Alone") -> None:
        pass

    def end(self, *, is_done: bool) -> None:
        pass


class _Process:
    """A process of this machine."""

    def __init__(self, work: Callable[[Any], Any]):
        self.worker = Worker(_keep, (work,))

    def begin(self, item: Any) -> None:
        self.worker.begin(_result_of, item)

    def answer(self) -> Any:
        return self.worker.answer()


class _Pool:
    """Processes of this machine."""

    def __init__(self, work: Callable[[Any], Any], count: int):
        self._work, self._count = work, count
        self._hired: set[_Process] = set()

    def hire(self) -> _Process | None:
        if len(self._hired) == self._count:
            return None
        hand = _Process(self._work)
        self._hired.add(hand)
        return hand

    def wait(self, busy: Collection[_Process]) -> Iterable[_Process]:
        answered = wait([hand.worker.pipe for hand in busy])
        return [hand for hand in busy if hand.worker.pipe in answered]

    def dismiss(self, hand: _Process) -> None:
        self._hired.remove(hand)

    def end(self, *, is_done: bool) -> None:
        for hand in self._hired:
            if is_done:
                hand.worker.leave()
            else:
                hand.worker.end()
        for hand in self._hired:
            hand.worker.join()


_kept: Callable[[Any], Any]


def _keep(work: Callable[[Any], Any]) -> None:
    global _kept
    _kept = work


def _result_of(item: Any) -> Any:
    return _kept(item)
