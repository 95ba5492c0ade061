"""How long a run will take, before it starts."""

import os

from blender_scripts.production import Job

# Of one CPU core for a sample of the built-in scenes, measured by benchmarks/cycles_cost.py on two of them.
_CORE_SECONDS_PER_SAMPLE = 6e-6


def cpu_seconds(job: Job, pictures: int, cores: int) -> float:
    """About how long pictures take without a GPU, on cores with nothing else to do.

    The most that they take where a noise threshold ends them early; a time limit ends them all the same.
    """
    sampling = job.sampling
    each = job.width * job.height * sampling.samples * _CORE_SECONDS_PER_SAMPLE / cores
    return pictures * min(each, sampling.time_limit_s or each)


def duration_text(seconds: float) -> str:
    """A time in the largest unit that it holds two of, for people: "40 seconds", "3.5 hours", "36 days"."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{max(1.0, seconds):.0f} seconds"


def cost_text(job: Job, pictures: int, device: str) -> str:
    """One line about the work ahead; GPUs differ too much to say anything before the first picture."""
    what = f"{pictures} pictures of {job.width} x {job.height} at {job.sampling.samples} samples"
    if device != "cpu":
        return f"{what}; after the first one the progress says how long the rest takes on {device}"
    cores = os.cpu_count() or 1
    most = "at most " if job.sampling.noise_threshold is not None else ""
    return f"{what}: {most}about {duration_text(cpu_seconds(job, pictures, cores))} on {cores} CPU cores"
