"""Estimate how long a run takes before it starts."""

import os

from blender_scripts.job import RenderJob
from blender_scripts.views import overscan_px, sharp_views
from runtime.command import counted

# Time of one CPU core for one sample of a pixel of the built-in scenes, measured by benchmarks/cycles_cost.py on two
# cores.
_CORE_SECONDS_PER_SAMPLE = 6e-6

# To denoise a pixel once: each half of a picture, or each view. Measured on views of the still life.
_CORE_SECONDS_PER_DENOISED_PIXEL = 13e-6

# What every view of a light field costs besides: it is begun, written, read and added to the pictures.
_CORE_SECONDS_PER_VIEW = 0.2


def cpu_seconds(job: RenderJob, pictures: int, cores: int) -> float:
    """Estimated wall-clock time of pictures that are rendered one by one, on idle CPU cores.

    With a noise threshold it is an upper limit, since sampling may end early. A time limit is taken into account.
    """
    sampling = job.sampling
    assert sampling.samples is not None
    each = job.width * job.height * (sampling.samples * _CORE_SECONDS_PER_SAMPLE + 2 * _denoising(job)) / cores
    return pictures * min(each, sampling.time_limit_s or each)


def light_field_cpu_seconds(job: RenderJob, scenes: int, cores: int) -> float:
    """The same for the light fields of some scenes and the views that are kept, without their layers.

    With a noise and no time limit it is a lower limit. Views that are kept have no time limit.
    """
    # A view that is kept is rendered twice, with half its samples.
    samples = job.view_samples * _CORE_SECONDS_PER_SAMPLE + 2 * _denoising(job)
    kept = job.keep_views**2 * (_extended_px(job) * samples + 2 * _CORE_SECONDS_PER_VIEW)
    return scenes * (share_in_time(job, cores) * _stack_seconds(job, cores) + kept / cores)


def share_in_time(job: RenderJob, cores: int | None = None) -> float:
    """The part of the expected views of a stack that fits into the time limit, on these or on all CPU cores."""
    limit = job.sampling.time_limit_s
    return min(1.0, limit / _stack_seconds(job, cores or _cores())) if limit else 1.0


def _stack_seconds(job: RenderJob, cores: int) -> float:
    """Time of the expected views of a stack, without a time limit."""
    views = job.expected_views()
    pixels = _extended_px(job) * views + job.width * job.height * sharp_views(views)
    work = pixels * (_CORE_SECONDS_PER_SAMPLE + _denoising(job)) + (views + sharp_views(views)) * _CORE_SECONDS_PER_VIEW
    return work / cores


def _extended_px(job: RenderJob) -> int:
    """Pixels of a view of the stack."""
    overscan = overscan_px(max(job.blur_radii_px))
    return (job.width + 2 * overscan) * (job.height + 2 * overscan)


def _denoising(job: RenderJob) -> float:
    return _CORE_SECONDS_PER_DENOISED_PIXEL if job.sampling.denoise else 0.0


def duration_text(seconds: float) -> str:
    """A time as text, in the largest unit of which it is at least two: "40 seconds", "3.5 hours", "36 days"."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * length:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"  # 100, not 1e+02
    return counted(max(1, round(seconds)), "second")


def cost_text(job: RenderJob, pictures: int, device: str) -> str:
    """One line about the work of rendering pictures one by one. It gives no time for GPUs, because they differ much."""
    what = f"{counted(pictures, 'picture')} of {job.width} x {job.height} at {job.sampling.samples} samples"
    most = "at most " if job.sampling.noise_threshold is not None else ""
    return what + _time_text(most, cpu_seconds(job, pictures, _cores()), device, "picture")


def light_field_cost_text(job: RenderJob, scenes: int, device: str) -> str:
    """The same line about the light fields of some scenes."""
    views = job.expected_views()
    fields, pictures = counted(scenes, "light field"), counted(job.pictures, "picture")
    what = f"{fields} of {counted(views, 'view')} for {pictures} of {job.width} x {job.height}"
    if job.keep_views:
        what += f", and {job.keep_views} x {job.keep_views} views of {job.view_samples} samples"
    bound = "at most " if share_in_time(job) < 1.0 else "at least " if job.sampling.noise is not None else ""
    return what + _time_text(bound, light_field_cpu_seconds(job, scenes, _cores()), device, "views")


def _time_text(bound: str, seconds: float, device: str, first: str) -> str:
    if device != "cpu":
        return f"; the progress shows the time left on {device} after the first {first}"
    return f": {bound}about {duration_text(seconds)} on {_cores()} CPU cores"


def _cores() -> int:
    return os.cpu_count() or 1
