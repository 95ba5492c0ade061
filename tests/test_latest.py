"""One worker and its queue: the newest request of a key is answered, the others are not, and what hangs is ended."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

import pytest

from bokehforge.studio import latest
from bokehforge.studio.latest import Latest, Superseded
from runtime.workers import Worker, WorkerDied

_begun: list[str] = []


def begin(name: str) -> None:
    _begun.append(name)


def slept(seconds: float) -> tuple[float, int, list[str]]:
    time.sleep(seconds)
    return seconds, os.getpid(), _begun


def broken(text: str) -> None:
    raise ValueError(text)


def died(code: int) -> None:
    os._exit(code)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(begin, ("studio",))
    yield worker
    worker.end()


def in_a_loop(worker: Worker, test: Callable[[Latest], Coroutine]) -> None:
    async def main() -> None:
        queue = Latest(worker)
        running = asyncio.create_task(queue.run())
        try:
            await test(queue)
        finally:
            running.cancel()
            worker.end()

    asyncio.run(main())


def test_a_worker_begins_once_and_answers_in_another_process(worker):
    first, second = worker.result(slept, 0.0), worker.result(slept, 0.01)
    assert first[1] == second[1] != os.getpid() and second[2] == ["studio"]


def test_what_work_raises_is_raised_here_with_its_traceback(worker):
    with pytest.raises(ValueError, match="no such lens") as raised:
        worker.result(broken, "no such lens")
    assert "in broken" in raised.value.__notes__[0]
    assert worker.result(slept, 0.0)[0] == 0.0


def test_a_process_that_dies_is_told_and_replaced(worker):
    with pytest.raises(WorkerDied):
        worker.result(died, 3)
    assert worker.result(slept, 0.0)[2] == ["studio"]


def test_of_one_key_the_newest_request_is_answered(worker):
    async def test(queue: Latest) -> None:
        ask = partial(queue.ask, work=slept)
        await ask("left", item=0.0)
        older = [asyncio.create_task(ask("left", item=0.2 + i / 1000)) for i in range(3)]
        other = asyncio.create_task(ask("right", item=0.01))
        await asyncio.sleep(0.05)
        newest = asyncio.create_task(ask("left", item=0.02))
        assert (await newest)[0] == 0.02 and (await other)[0] == 0.01
        told = await asyncio.wait_for(asyncio.gather(*older, return_exceptions=True), 20.0)
        assert [type(result) for result in told] == 3 * [Superseded]

    in_a_loop(worker, test)


def test_those_that_are_patient_come_last(worker):
    async def test(queue: Latest) -> None:
        order: list[str] = []

        async def ask(key: str, seconds: float, is_patient: bool) -> None:
            await queue.ask(key, slept, seconds, is_patient=is_patient)
            order.append(key)

        running = asyncio.create_task(ask("running", 0.3, False))
        await asyncio.sleep(0.05)
        await asyncio.gather(running, ask("film", 0.0, True), ask("left", 0.0, False))
        assert order == ["running", "left", "film"]

    in_a_loop(worker, test)


def test_a_picture_that_nobody_waits_for_is_ended_after_a_while(worker, monkeypatch):
    monkeypatch.setattr(latest, "PATIENCE_S", 0.2)

    async def test(queue: Latest) -> None:
        _, first, _ = await queue.ask("left", slept, 0.0)
        hanging = asyncio.create_task(queue.ask("left", slept, 600.0))
        await asyncio.sleep(0.1)
        _, second, begun = await asyncio.wait_for(queue.ask("left", slept, 0.0), 60.0)
        assert second != first and begun == ["studio"]
        with pytest.raises(Superseded):
            await hanging

    in_a_loop(worker, test)


def test_a_request_that_is_given_up_is_not_worked_on(worker):
    async def test(queue: Latest) -> None:
        running = asyncio.create_task(queue.ask("left", slept, 0.2))
        await asyncio.sleep(0.05)
        given_up = asyncio.create_task(queue.ask("film", died, 3, is_patient=True))
        await asyncio.sleep(0)
        given_up.cancel()
        assert (await running)[0] == 0.2
        assert (await queue.ask("left", slept, 0.0))[0] == 0.0

    in_a_loop(worker, test)
