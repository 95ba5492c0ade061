"""From a task to a row: render, compare with the truth, search the blur parameter where the protocol asks for it."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from evaluation import metrics
from evaluation.external import RendererSpec
from evaluation.lpips import Lpips
from evaluation.pictures import ALL_IN_FOCUS, TRUTH, error_file, picture_file, write_error, write_picture
from evaluation.protocols import BenchmarkProtocol, Search, Task, best_on_lattice
from evaluation.regions import region_masks
from evaluation.rendering import Border, RenderFailed, RenderProcess
from evaluation.results import Row
from evaluation.scoring import score
from renderers.base import Information
from runtime.backend import Backend
from runtime.workers import available_cores
from scenes.arrays import Picture, Plane


@dataclass(frozen=True)
class GroundTruth:
    """What a picture is compared with: display values, true disparity where there is one, and the regions' masks."""

    image: Picture
    disparity: Plane | None
    truth: Picture
    masks: dict[str, NDArray[np.bool_]]
    blur_radius_px: float | None


class GroundTruths:
    """Ground truths of cases; reads the files of a scene once for cases that follow each other."""

    def __init__(self):
        self._case: Case | None = None
        self._scene: str | None = None

    def of(self, task: Task) -> GroundTruth:
        """DatasetError for files that cannot be read or do not fit together."""
        case = task.case
        if self._scene != case.scene:
            self._image, self._disparity = case.image(), case.disparity()
            self._scene = case.scene
        if self._case != case:
            self._ground = self._load(task)
            self._case = case
        return self._ground

    def _load(self, task: Task) -> GroundTruth:
        case, truth = task.case, task.case.truth()
        disparity = self._disparity
        if self._image.shape != truth.shape or (disparity is not None and disparity.shape != truth.shape[:2]):
            disparity_shape = "none" if disparity is None else disparity.shape
            raise DatasetError(
                f"{case.name}: image {self._image.shape}, disparity {disparity_shape} and truth {truth.shape} "
                "must have one size"
            )
        # Regions follow from blur radii, which need the blur parameter.
        masks, blur_radius_px = {}, None
        if disparity is not None and case.blur_parameter is not None:
            lens = case.lens()
            masks = region_masks(self._image, disparity, lens)
            defocus_px = lens.defocus_px(disparity)
            blur_radius_px = float(np.abs(defocus_px).max())
        if task.scale is not None:
            truth = task.scale.truth(truth)
            masks = {name: mask for name, mask in masks.items() if mask.shape == truth.shape[:2]}
        return GroundTruth(self._image, disparity, truth, masks, blur_radius_px)


@dataclass(frozen=True)
class Bench:
    """What all rows of a benchmark are measured with.

    lpips            the metric, None where it is not available or not wanted
    pool             threads of the metrics
    repeats          timed calls per picture
    pictures         where to put pictures, and the longest side of one in pixels
    seconds          filled while measuring: wall-clock time by stage, rendering with its inputs and its search
    """

    protocol: BenchmarkProtocol
    lpips: Lpips | None
    pool: Executor
    repeats: int
    pictures: Path
    picture_side_px: int
    seconds: dict[str, float] = field(default_factory=dict)

    def measure(self, task: Task, process: RenderProcess, renderer: str, truths: GroundTruths, *, keep: bool) -> Row:
        """The scores of a renderer on a task; with `keep` the picture is put aside for people.

        Where it fails, its `error`, and `details` for the file of errors where the renderer raised one.
        """
        try:
            with self._stage("reading"):
                ground = truths.of(task)
            row: Row = {
                "width": ground.truth.shape[1],
                "height": ground.truth.shape[0],
                "blur_radius_px": ground.blur_radius_px,
            }
            if self.protocol.search is None:
                blur_parameter = task.case.blur_parameter
                with self._stage("rendering"):
                    rendered = process.render(task, blur_parameter, repeats=self.repeats)
                image, seconds = rendered.image, rendered.seconds
                if task.scale is not None:
                    image = task.scale.finished(image, ground.truth)
            else:
                with self._stage("rendering"):
                    found = self._search(self.protocol.search, task, process, ground)
                blur_parameter, image, seconds = found.blur_parameter, found.image, found.seconds
                row["searched"] = found.searched
                if found.at_true is not None:
                    row["at_true_blur_parameter"] = self._scores(found.at_true, ground)
            row["blur_parameter"] = blur_parameter
            row.update(self._scores(image, ground))
        except (RenderFailed, DatasetError, ValueError) as error:
            details = error.details if isinstance(error, RenderFailed) else ""
            return {"error": str(error)} | ({"details": details} if details else {})
        row.update(
            seconds=seconds,
            peak_memory_bytes=process.peak_memory_bytes,
            start_memory_bytes=process.start_memory_bytes,
        )
        if keep:
            with self._stage("pictures"):
                self._keep(task, renderer, image, ground)
        return row

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def __reduce__(self) -> tuple[Any, ...]:
        # Threads and a metric do not travel: where it arrives, it has its own.
        has_lpips = self.lpips is not None
        return _arrived, (self.protocol, has_lpips, self.repeats, self.pictures, self.picture_side_px)

    def has_picture(self, task: Task, renderer: str) -> bool:
        return error_file(self.pictures, task.name, renderer).is_file()

    def _scores(self, image: Picture, ground: GroundTruth) -> Row:
        with self._stage("comparing"):
            scores, regions = score(image, ground.truth, ground.masks, lpips=self.lpips, pool=self.pool)
        return {**scores, "regions": regions}

    def _keep(self, task: Task, renderer: str, image: Picture, ground: GroundTruth) -> None:
        side = self.picture_side_px
        for name, picture in ((ALL_IN_FOCUS, ground.image), (TRUTH, ground.truth)):
            if not (path := picture_file(self.pictures, task.name, name)).is_file():
                write_picture(path, picture, side)
        write_picture(picture_file(self.pictures, task.name, renderer), image, side)
        # Last: where it is, the others are.
        write_error(error_file(self.pictures, task.name, renderer), image, ground.truth, side)

    def _search(self, search: Search, task: Task, process: RenderProcess, ground: GroundTruth) -> "_Found":
        unit = _unit(search, task.case, ground)
        mask = ground.masks.get(self.protocol.region)
        mask = mask if mask is not None and mask.any() else np.ones(ground.truth.shape[:2], bool)
        truth = np.clip(ground.truth, 0.0, 1.0)[mask]
        best_error, best, at_true = math.inf, None, None
        failure: RenderFailed | None = None

        def error(factor: float) -> float:
            nonlocal best_error, best, at_true, failure
            try:
                rendered = process.render(task, factor * unit, repeats=self.repeats)
            except RenderFailed as failed:
                # Beyond what a renderer can do, such as the tracer's overscan: no candidate.
                failure = failed
                return math.inf
            rmse = metrics.rmse(np.clip(rendered.image, 0.0, 1.0)[mask], truth)
            if rmse < best_error:
                best_error, best = rmse, rendered
            if search.unit == "true" and factor == 1.0:
                at_true = rendered.image
            return rmse

        factor, errors = best_on_lattice(error, search.grid, search.step)
        if best is None:
            assert failure is not None
            raise failure
        searched = [[x * unit, e if math.isfinite(e) else None] for x, e in sorted(errors.items())]
        return _Found(factor * unit, best.image, best.seconds, searched, at_true)


def _arrived(protocol: BenchmarkProtocol, has_lpips: bool, repeats: int, pictures: Path, side_px: int) -> Bench:
    lpips = Lpips() if has_lpips else None
    return Bench(protocol, lpips, ThreadPoolExecutor(available_cores()), repeats, pictures, side_px)


@dataclass(frozen=True)
class Asked:
    """A row to be made; with `keep` its picture is put aside for people."""

    spec: RendererSpec
    task: Task
    keep: bool


@dataclass(frozen=True)
class Made:
    """A row as of `Bench.measure`, and what its renderer is given."""

    asked: Asked
    information: Information
    row: Row


class RowMaker:
    """Makes rows, in the process that it is called in; a context manager.

    bench     what they are measured with
    arch      where renderers that use Taichi run
    border    how pictures go on beyond the frame
    limit_s   longest time for a picture, None for any

    A renderer's process goes on from one row to the next of the same renderer.
    """

    def __init__(self, bench: Bench, arch: Backend, border: Border, limit_s: float | None):
        self._bench, self._limit_s = bench, limit_s
        self._arch: Backend = arch
        self._border: Border = border
        self._spec: RendererSpec | None = None
        self._process: RenderProcess | None = None
        self._truths = GroundTruths()

    def __enter__(self) -> "RowMaker":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.__exit__()
            self._process = None

    def __call__(self, asked: Asked) -> Made:
        """RendererSpecError where the renderer cannot be loaded."""
        if self._process is None or self._spec != asked.spec:
            self.__exit__()
            self._truths = GroundTruths()
            self._process = RenderProcess(asked.spec, self._arch, self._border, self._limit_s)
            self._spec = asked.spec
        row = self._bench.measure(asked.task, self._process, asked.spec.name, self._truths, keep=asked.keep)
        return Made(asked, self._process.information, row)


@dataclass(frozen=True)
class _Found:
    """The best picture of a search, and the one at the true blur parameter where that is known and could be made."""

    blur_parameter: float
    image: Picture
    seconds: float
    searched: list[list[float | None]]
    at_true: Picture | None


def _unit(search: Search, case: Case, ground: GroundTruth) -> float:
    """The blur parameter of a factor of 1."""
    if search.unit == "true":
        assert case.blur_parameter is not None
        return case.blur_parameter
    assert ground.disparity is not None
    span = float(ground.disparity.max()) - float(ground.disparity.min())
    return 1.0 / span if span > 0.0 else 1.0


def case_fields(task: Task) -> Row:
    """The fields of a row that describe its task, also where rendering failed."""
    case = task.case
    return {
        "image": task.name,
        "scene": case.scene,
        "level": case.level,
        "focus_index": case.focus_index,
        "gamma": case.gamma,
        "corruption": None if task.corruption is None else str(task.corruption),
        "focus_disparity": case.focus_disparity,
        "true_blur_parameter": case.blur_parameter,
        "noise_rmse": case.noise_rmse,
    }
