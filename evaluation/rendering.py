"""Each renderer runs in a process of its own: its memory can be measured, and its crash does not end the benchmark."""

import math
import multiprocessing
import os
import resource
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bokehdata.cases import known_disparity
from evaluation.external import RendererSpec, RendererSpecError
from evaluation.protocols import Task
from renderers.base import Information, RendererError
from runtime.backend import Backend, BackendError
from scenes.arrays import Picture, Plane
from scenes.lens import ThinLens, blur_radius_max_px

# How a picture goes on beyond its frame, for the methods that are given no layers.
Border = Literal["replicate", "reflect", "none"]

BORDER_RULE = (
    "picture and disparity are extended on all sides by the largest blur radius + 2 px, in the same way for every "
    "method that is given a disparity and no layers, and what it renders is cropped to the frame; true layers have "
    "their own border, and a method that is given the picture alone is given no more than the frame"
)
MEMORY_RULE = (
    "largest resident memory of a process that does nothing but load a picture's inputs and render them (VmHWM, or "
    "ru_maxrss where there is no /proc; the larger one of that process and its children)"
)
TIME_RULE = (
    "wall-clock time of the call, from display values to display values, after one call that is not timed; "
    "nothing else of the benchmark runs meanwhile"
)


class RenderFailed(RuntimeError):
    """The message of a renderer that could not render one picture, and where in its code: `details`, "" if unknown."""

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class Rendered:
    """A picture as the renderer returned it: display values, and the median time of its calls."""

    image: Picture
    seconds: float


class RenderProcess:
    """Renders tasks one at a time; a context manager. Starts a new process after the renderer's has died.

    arch          where our renderers run
    border        how pictures go on beyond the frame (BORDER_RULE)
    limit_s       longest time of `render`; then the process is ended, and the picture has failed
    information   what the renderer is given

    RendererSpecError where the renderer cannot be loaded, or cannot run there.
    """

    def __init__(
        self, spec: RendererSpec, arch: Backend = "cpu", border: Border = "replicate", limit_s: float | None = None
    ):
        self._spec, self._arch, self._border, self._limit_s = spec, arch, border, limit_s
        self.peak_memory_bytes = 0
        self.start_memory_bytes = 0
        self.information: Information = "disparity"
        self._start()

    def __enter__(self) -> "RenderProcess":
        return self

    def __exit__(self, *exception) -> None:
        self._connection.close()
        self._process.join(timeout=5.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def render(self, task: Task, blur_parameter: float | None, *, repeats: int) -> Rendered:
        """The picture of a task at a blur parameter; RenderFailed with the renderer's message.

        blur_parameter   None where it is not known, for a renderer that is given the picture alone
        """
        try:
            self._connection.send((task, blur_parameter, repeats))
            if self._limit_s is not None and not self._connection.poll(self._limit_s):
                self._process.kill()
                self._process.join()
                self._start()
                raise RenderFailed(f"the renderer took over {self._limit_s:g} s (--time-limit)")
            answer = self._connection.recv()
            if "error" in answer:
                raise RenderFailed(answer["error"], answer["details"])
            pixels = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            self._process.join()
            code = self._process.exitcode
            self._start()
            how = f"was killed by signal {-code} (out of memory?)" if code and code < 0 else f"ended with code {code}"
            raise RenderFailed(f"the process of the renderer {how}") from error
        self.peak_memory_bytes = max(self.peak_memory_bytes, answer["memory"])
        return Rendered(np.frombuffer(pixels, np.float32).reshape(answer["shape"]), answer["seconds"])

    def _start(self) -> None:
        # A fresh interpreter: a fork would carry our memory and our threads along.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._spec, self._arch, self._border), daemon=True)
        self._process.start()
        theirs.close()
        try:
            answer: dict[str, Any] = self._connection.recv()
        except EOFError:
            answer = {"error": f"{self._spec.target}: its process died while it was loaded"}
        if "error" in answer:
            self._process.join()
            raise RendererSpecError(answer["error"])
        self.start_memory_bytes = answer["memory"]
        self.information = answer["information"]


def _serve(connection: Connection, spec: RendererSpec, arch: Backend, border: Border) -> None:
    """What the process does: load the renderer, then answer tasks until the other end closes."""
    # What a renderer prints must not mix with the output of the benchmark.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # An interrupt from the keyboard reaches every process; the benchmark ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        renderer = spec.load().on(arch)
    except (RendererSpecError, RendererError, BackendError) as error:
        connection.send({"error": str(error)})
        return
    connection.send({"memory": _peak_memory_bytes(), "information": renderer.information})
    inputs = _Inputs(renderer.information)
    warm = False
    while True:
        try:
            task, blur_parameter, repeats = connection.recv()
        except EOFError:
            return
        try:
            image, disparity, layers, lens = inputs.of(task, blur_parameter)
            alone = renderer.information == "picture"
            margin = 0 if alone or layers is not None else margin_px(disparity, lens, border)
            given = (extended(plane, margin, border) for plane in (image, disparity))
            call = partial(renderer, *given, lens, gamma=task.case.gamma, scene=layers)
            if not warm:
                call()
            rendered, seconds = _timed(call, repeats)
            rendered = _checked(rendered, image, margin)
        except Exception as error:  # a renderer may raise anything, and the next picture may go well
            message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            connection.send({"error": message, "details": traceback.format_exc()})
            continue
        warm = True
        connection.send({"shape": rendered.shape, "seconds": seconds, "memory": _peak_memory_bytes()})
        connection.send_bytes(rendered.tobytes())


def _timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """What a call returns, and the median of its times in seconds."""
    returned, seconds = None, []
    for _ in range(repeats):
        begin = time.perf_counter()
        returned = call()
        seconds.append(time.perf_counter() - begin)
    return returned, statistics.median(seconds)


class _Inputs:
    """The inputs of tasks. Those of the last scene are kept, since tasks of a scene follow each other."""

    def __init__(self, information: Information):
        self._information: Information = information
        self._key: Any = None

    def of(self, task: Task, blur_parameter: float | None) -> tuple[Picture, Plane, Any, ThinLens]:
        """(image, disparity, layers, lens) of a task, at its scale.

        A renderer that is given the picture alone has a place for disparity and lens in its call. Where they are not
        known, it is given a disparity of 0 and a focus there.
        """
        case, scale = task.case, task.scale
        # Files of every gamma hold the same display values.
        if self._key != case.scene:
            self._image = case.image()
            self._disparity = self._disparity_of(task)
            self._layers = case.layers() if self._information in ("layers", "truth") else None
            self._key = case.scene
        disparity = self._disparity if task.corruption is None else task.corruption.apply(self._disparity)
        if self._information == "picture" and (blur_parameter is None or case.focus_disparity is None):
            lens = ThinLens(1.0, 0.0)
        else:
            lens = case.lens(blur_parameter)
        if scale is None:
            return self._image, disparity, self._layers, lens
        lens = replace(lens, blur_parameter=lens.blur_parameter * scale.given_blur(self._image.shape[1]))
        return scale.given(self._image), scale.given_disparity(disparity), self._layers, lens

    def _disparity_of(self, task: Task) -> Plane:
        if self._information == "picture":
            disparity = task.case.disparity()
            return np.zeros(self._image.shape[:2], np.float32) if disparity is None else disparity
        return known_disparity(task.case)


def margin_px(disparity: Plane, lens: ThinLens, border: Border) -> int:
    """Pixels by which a picture is extended: what the largest blur of the picture reaches, and two more."""
    return 0 if border == "none" else math.ceil(blur_radius_max_px(lens, disparity)) + 2


def extended(plane: NDArray[np.float32], margin: int, border: Border) -> NDArray[np.float32]:
    """An array (H, W) or (H, W, 3) with `margin` more pixels on every side."""
    if margin == 0:
        return plane
    how = cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_REFLECT_101
    return np.asarray(cv2.copyMakeBorder(plane, margin, margin, margin, margin, how), np.float32)


def _checked(rendered: Any, image: Picture, margin: int) -> Picture:
    """The picture without its margin; ValueError where it is none."""
    rendered = np.asarray(rendered, np.float32)
    height, width = image.shape[:2]
    expected = (height + 2 * margin, width + 2 * margin, 3)
    if rendered.shape != expected:
        raise ValueError(f"the renderer returned {rendered.shape}, not {expected}")
    rendered = np.ascontiguousarray(rendered[margin : margin + height, margin : margin + width])
    if not np.isfinite(rendered).all():
        raise ValueError("the renderer returned NaN or infinity")
    return rendered


def _peak_memory_bytes() -> int:
    return max(_own_peak_bytes(), _ru_maxrss_bytes(resource.RUSAGE_CHILDREN))


def _own_peak_bytes() -> int:
    try:
        with open("/proc/self/status") as status:
            # ru_maxrss would begin with the memory of the process that started this one.
            kilobytes = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        return _ru_maxrss_bytes(resource.RUSAGE_SELF)


def _ru_maxrss_bytes(who: int) -> int:
    # Kilobytes everywhere but on macOS.
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
