"""Estimate how long a run takes before it starts."""

import os

from blender_scripts.production import RenderJob

# Time of one CPU core for one sample of a pixel of the built-in scenes, measured by benchmarks/cycles_cost.py on two
# cores.
_CORE_SECONDS_PER_SAMPLE = 6e-6


def cpu_seconds(job: RenderJob, pictures: int, cores: int) -> float:
    """Estimated wall-clock time of pictures on idle CPU cores.

    With a noise threshold it is an upper limit, since sampling may end early. A time limit is taken into account.
    """
    sampling = job.sampling
    each = job.width * job.height * sampling.samples * _CORE_SECONDS_PER_SAMPLE / cores
    return pictures * min(each, sampling.time_limit_s or each)


def duration_text(seconds: float) -> str:
    """A time as text, in the largest unit of which it is at least two: "40 seconds", "3.5 hours", "36 days"."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{max(1.0, seconds):.0f} seconds"


def cost_text(job: RenderJob, pictures: int, device: str) -> str:
    """One line about the work of a run. It gives no time for GPUs, because they differ too much."""
    what = f"{pictures} pictures of {job.width} x {job.height} at {job.sampling.samples} samples"
    if device != "cpu":
        return f"{what}; the progress shows the time left on {device} after the first one"
    cores = os.cpu_count() or 1
    most = "at most " if job.sampling.noise_threshold is not None else ""
    return f"{what}: {most}about {duration_text(cpu_seconds(job, pictures, cores))} on {cores} CPU cores"
