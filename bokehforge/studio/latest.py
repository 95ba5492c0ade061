"""The queue of a worker: of each key, the newest request alone is answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.workers import Worker

Item = TypeVar("Item")
Result = TypeVar("Result")

# A result that nobody waits for any more is computed to its end for so long; then its process is ended. A new one takes
# seconds to start.
PATIENCE_S = 4.0


class Superseded(Exception):
    """A newer request of the same key took the place of this one."""


@dataclass(eq=False)
class _Request:
    work: Callable[[Any], Any]
    item: Any
    is_patient: bool
    answer: asyncio.Future


class Latest:
    """Requests to one worker, in the order in which they come; patient ones after the others."""

    def __init__(self, worker: Worker):
        self._worker = worker
        self._waiting: dict[str, _Request] = {}
        self._running: tuple[str, _Request] | None = None
        self._is_waiting = asyncio.Event()

    async def ask(self, key: str, work: Callable[[Item], Result], item: Item, *, is_patient: bool = False) -> Result:
        """`work(item)` of the worker, or what it raises. Superseded where the same key is asked again meanwhile."""
        loop = asyncio.get_running_loop()
        request = _Request(work, item, is_patient, loop.create_future())
        if (older := self._waiting.pop(key, None)) is not None:
            _supersede(older)
        if self._running is not None and self._running[0] == key:
            _supersede(self._running[1])
            loop.call_later(PATIENCE_S, self._end, self._running)
        self._waiting[key] = request
        self._is_waiting.set()
        try:
            return await request.answer
        finally:
            # Where nobody waits any more, such as for a film that was stopped.
            if self._waiting.get(key) is request:
                del self._waiting[key]

    async def run(self) -> None:
        """Answer requests, until this is cancelled."""
        while True:
            await self._is_waiting.wait()
            if not self._waiting:
                self._is_waiting.clear()
                continue
            key = min(self._waiting, key=lambda key: self._waiting[key].is_patient)
            request = self._waiting.pop(key)
            self._running = key, request
            try:
                result = await asyncio.to_thread(self._worker.result, request.work, request.item)
            except Exception as error:
                if not request.answer.done():
                    request.answer.set_exception(error)
            else:
                if not request.answer.done():
                    request.answer.set_result(result)
            finally:
                self._running = None

    def _end(self, run: tuple[str, _Request]) -> None:
        if self._running is run:
            self._worker.end()


def _supersede(request: _Request) -> None:
    if not request.answer.done():
        request.answer.set_exception(Superseded())
