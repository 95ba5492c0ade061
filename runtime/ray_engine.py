"""Ray as an engine: the workers are actors on whatever machines a cluster has at the moment.

Every machine has this package installed, and sees files under the same names. Ray itself does not try lost work again:
the loop that all engines share does.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

# Nothing is sent anywhere, and what Ray announces of its next versions is for its developers. Read by its import.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Workers that we start are as urgent as processes of ours would be; Ray's own default is 15.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray
import ray._private.worker
from ray.exceptions import RayError, RayTaskError

from runtime.backend import Arch, Backend
from runtime.command import counted
from runtime.engines import Cluster, EngineError, Share
from runtime.workers import WorkerDied, available_cores

# It prints what happens to machines, twenty lines each, on standard output; our line says what becomes of the work.
ray._private.worker.print_to_stdstream = lambda *message, **options: None

# Items and results are small: Ray's smallest store of shared memory will do.
_STORE_BYTES = 80 * 2**20

# A machine that is there answers in less.
_ANSWER_S = 10.0

# Without any worker for so long, the cluster is said to have no room.
_PATIENCE_S = 60.0

# Workers that do not start, one after the other; the next would not either.
_FAILED_STARTS_MAX = 3

# Actors are killed without waiting for them; their pictures must not be written after we have cleaned up.
_LAST_WORDS_S = 10.0


class Ray(Cluster):
    """A Ray cluster; a context manager that connects to it.

    address   of a cluster that runs: HOST:PORT, or "auto" to find that of this machine; None starts one on this
              machine, which ends with the context. RAY_ADDRESS wins over None and "auto", as `ray job submit` needs it
    workers   at most so many, None for as many as find room

    Entering raises EngineError where no cluster answers.
    """

    def __init__(self, address: str | None, workers: int | None):
        self._address = os.environ.get("RAY_ADDRESS") if address in (None, "auto") else address
        self._address = self._address or address
        self._workers = workers

    def __enter__(self) -> "Ray":
        options: dict[str, Any] = {"address": self._address}
        if self._address is None:
            options = {
                "address": "local",
                "num_cpus": self._workers or available_cores(),
                "object_store_memory": _STORE_BYTES,
                "include_dashboard": False,
            }
            # Ray would write one into the home of the user.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        elif self._address != "auto":
            _require_answer(self._address)
        # Ray puts a handler of its own in its place.
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**options, logging_level=logging.CRITICAL, log_to_driver=False)
        except (RayError, ConnectionError, RuntimeError, ValueError) as error:
            ray.shutdown()
            where = "" if self._address is None else f"--address {self._address}: "
            raise EngineError(f"{where}no Ray cluster answers ({_last_line(error)})") from error
        finally:
            with suppress(ValueError):  # not of this thread
                signal.signal(signal.SIGTERM, on_sigterm)
        return self

    def __exit__(self, *exception: object) -> None:
        ray.shutdown()

    def __str__(self) -> str:
        machines = len(_machines())
        cores, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        of = f"{counted(cores, 'core')} and {counted(gpus, 'GPU')}" if gpus else counted(cores, "core")
        return f"Ray with {of} on {counted(machines, 'machine')}"

    def backend(self, arch: Arch) -> Backend:
        if arch == "auto":
            return "cuda" if ray.cluster_resources().get("GPU", 0) else "cpu"
        return arch

    def machine(self, *, gpu: bool) -> Share:
        machines = [machine for machine in _machines() if machine.get("GPU", 0) >= 1 or not gpu]
        if not machines:
            raise EngineError("no machine of the Ray cluster has a GPU; start them with ray start --num-gpus")
        if gpu:
            return Share(cpus=min(machine.get("CPU", 0) // machine["GPU"] for machine in machines), gpus=1)
        return Share(cpus=min(machine.get("CPU", 0) for machine in machines))

    def crew(self, work: Callable[[Any], Any], share: Share) -> "_Crew":
        return _Crew(work, share, self._workers)


class _Hand:
    """An actor."""

    def __init__(self, actor: Any):
        self.actor = actor
        # Of its start, then of its work.
        self.ref = actor.start.remote()

    def begin(self, item: Any) -> None:
        self.ref = self.actor.result.remote(item)

    def answer(self) -> Any:
        try:
            is_done, answer = ray.get(self.ref)
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise WorkerDied(f"a worker or its machine was lost ({_last_line(error)})") from error
        if not is_done:
            raise answer
        return answer


class _Crew:
    """Actors. As many more are asked for as there are: a cluster is soon full, and grows where it can."""

    def __init__(self, work: Callable[[Any], Any], share: Share, at_most: int | None):
        self._at_most = at_most or sys.maxsize
        # Put away once, not with every actor.
        self._given = ray.put((work, os.getcwd()))
        self._share = share
        self._actor = ray.remote(_Actor).options(
            num_cpus=share.cpus, num_gpus=share.gpus, memory=share.memory_bytes, max_restarts=0
        )
        self._hired: set[_Hand] = set()
        self._asked: set[_Hand] = set()
        self._failed_starts = 0
        # None as soon as there is a worker.
        self._began: float | None = time.monotonic()

    def hire(self) -> _Hand | None:
        for hand in self._ready(self._asked):
            self._asked.remove(hand)
            try:
                hand.answer()
            except WorkerDied as error:
                self._failed_starts += 1
                if self._failed_starts == _FAILED_STARTS_MAX:
                    raise EngineError(f"the workers of the Ray cluster do not start: {error}") from error
                continue
            self._failed_starts, self._began = 0, None
            self._hired.add(hand)
            return hand
        while len(self._asked) < min(max(1, len(self._hired)), self._at_most - len(self._hired)):
            self._asked.add(_Hand(self._actor.remote(self._given)))
        return None

    def wait(self, busy: Collection[_Hand]) -> Iterable[_Hand]:
        # For a second at most, so that Ctrl-C is heard.
        ray.wait([hand.ref for hand in (*busy, *self._asked)], timeout=1.0)
        if self._began is not None and time.monotonic() - self._began > _PATIENCE_S:
            self._began = None
            share = self._share
            takes = f"{share.cpus:g} cores, {share.gpus:g} GPUs and {share.memory_bytes / 1e9:.1f} GB"
            print(f"waiting for room in the Ray cluster; a worker takes {takes}", file=sys.stderr)
        return self._ready(busy)

    def dismiss(self, hand: _Hand) -> None:
        self._hired.remove(hand)

    def end(self, *, is_done: bool) -> None:
        for hand in self._asked if is_done else self._asked | self._hired:
            ray.kill(hand.actor)
        refs = [hand.actor.__ray_terminate__.remote() if is_done else hand.ref for hand in self._hired]
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=_LAST_WORDS_S)

    @staticmethod
    def _ready(hands: Collection[_Hand]) -> list[_Hand]:
        """Those whose answer is there."""
        if not hands:
            return []
        by_ref = {hand.ref: hand for hand in hands}
        done, _ = ray.wait(list(by_ref), num_returns=len(by_ref), timeout=0)
        return [by_ref[ref] for ref in done]


class _Actor:
    """What runs in the process of a worker."""

    def __init__(self, given: tuple[Callable[[Any], Any], str]):
        self._work, folder = given
        # Paths mean what they mean to the command, where the folder is there.
        with suppress(OSError):
            os.chdir(folder)

    def start(self) -> tuple[bool, None]:
        return True, None

    def result(self, item: Any) -> tuple[bool, Any]:
        """Whether the work went well, and its result or what it raised."""
        try:
            return True, self._work(item)
        except Exception as error:
            error.add_note(traceback.format_exc())
            return False, error


def _require_answer(address: str) -> None:
    """EngineError where nobody listens there; Ray would try for minutes, and say so."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _ANSWER_S).close()
    except ValueError as error:
        raise EngineError(f"--address is {address}; it must be auto or HOST:PORT, such as 127.0.0.1:6379") from error
    except (OSError, OverflowError) as error:
        raise EngineError(f"--address {address}: no Ray cluster answers ({error})") from error


def _machines() -> list[dict[str, float]]:
    """The resources of the machines that are there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _last_line(error: BaseException) -> str:
    """Of errors of Ray, which quote tracebacks."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
