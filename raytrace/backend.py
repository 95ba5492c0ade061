"""Where the tracer runs. Commands and test fixtures start it once; nothing starts at import."""

import io
from contextlib import redirect_stdout, suppress
from typing import Literal

import numba
import taichi as ti
from taichi.lang import impl

Backend = Literal["cpu", "cuda", "metal", "vulkan"]
Arch = Literal["auto", Backend]

# `auto` leaves Vulkan out: on machines without a GPU it is a slow software renderer.
_AUTO_ORDER: tuple[Backend, ...] = ("cuda", "metal", "cpu")


class BackendError(RuntimeError):
    """The backend that was asked for is not on this machine."""


def start(arch: Arch = "auto", *, threads: int | None = None) -> Backend:
    """Start Taichi (and set the threads of numba) and return the backend that runs: "cpu", "cuda", "metal" or "vulkan".

    arch      a name, or "auto": CUDA, then Metal, then the CPU
    threads   CPU threads, all cores by default
    raises    BackendError where a named backend is absent (Taichi itself would only warn and fall back to the CPU)
    """
    for name in _AUTO_ORDER if arch == "auto" else (arch,):
        if _starts(name, threads):
            return name
    raise BackendError(f"the backend {arch!r} is not available on this machine; use --arch cpu or --arch auto")


def running() -> Backend:
    """The backend that Taichi runs on in this process; "cpu" where it has not been started."""
    if impl.get_runtime().prog is None:
        return "cpu"
    names: dict[object, Backend] = {ti.cuda: "cuda", ti.metal: "metal", ti.vulkan: "vulkan"}
    return names.get(impl.current_cfg().arch, "cpu")


def _starts(name: str, threads: int | None) -> bool:
    options = {}
    if threads is not None:
        options["cpu_max_num_threads"] = threads
        # The variable NUMBA_NUM_THREADS may have set a lower limit.
        with suppress(ValueError):
            numba.set_num_threads(threads)
    wanted = getattr(ti, name)
    try:
        # Taichi announces the backend on standard output, whatever the log level.
        with redirect_stdout(io.StringIO()):
            ti.init(arch=wanted, offline_cache=True, log_level=ti.ERROR, verbose=False, **options)
    except RuntimeError:
        return False
    return impl.current_cfg().arch == wanted
