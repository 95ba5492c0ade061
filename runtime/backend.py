"""Where Taichi runs. This is the one place that starts it, for the tracer and for the renderers.

A process has one backend. Commands and test fixtures start it by name; a renderer asks for the backend that it was
given, and an error is raised where another one runs. Taichi and numba are imported at the first call.
"""

import io
import sys
from contextlib import redirect_stdout, suppress
from typing import Any, Literal

from runtime.caches import taichi_folder

Backend = Literal["cpu", "cuda", "metal", "vulkan"]
Arch = Literal["auto", Backend]

# `auto` leaves Vulkan out: on machines without a GPU it is a slow software renderer.
_AUTO_ORDER: tuple[Backend, ...] = ("cuda", "metal", "cpu")


class BackendError(RuntimeError):
    """The backend that was asked for is not on this machine, or another one runs in this process."""


def start(arch: Arch = "auto", *, threads: int | None = None) -> Backend:
    """Start Taichi (and set the threads of numba) and return the backend that runs: "cpu", "cuda", "metal" or "vulkan".

    arch      a name, or "auto": CUDA, then Metal, then the CPU
    threads   CPU threads, all cores by default
    raises    BackendError where a named backend is absent (Taichi itself would only warn and fall back to the CPU)

    What Taichi ran before in this process ends: its kernels are compiled again, its arrays are lost.
    """
    for name in _AUTO_ORDER if arch == "auto" else (arch,):
        if _starts(name, threads):
            return name
    raise BackendError(f"the backend {arch!r} is not available on this machine; use --arch cpu or --arch auto")


def running() -> Backend | None:
    """The backend that Taichi runs on in this process, None where it has not been started."""
    if "taichi" not in sys.modules:
        return None
    import taichi
    from taichi.lang import impl

    if impl.get_runtime().prog is None:
        return None
    names: dict[object, Backend] = {taichi.cuda: "cuda", taichi.metal: "metal", taichi.vulkan: "vulkan"}
    return names.get(impl.current_cfg().arch, "cpu")


def require(backend: Backend) -> None:
    """Taichi on this backend: started where none runs in this process. BackendError where another one runs."""
    found = running()
    if found is None:
        start(backend)
    elif found != backend:
        raise BackendError(f"Taichi runs on {found!r} in this process, {backend!r} was asked for; use another process")


def _starts(name: Backend, threads: int | None) -> bool:
    import numba
    import taichi
    from taichi.lang import impl

    options: dict[str, Any] = {}
    if threads is not None:
        options["cpu_max_num_threads"] = threads
        # The variable NUMBA_NUM_THREADS may have set a lower limit.
        with suppress(ValueError):
            numba.set_num_threads(threads)
    if (folder := taichi_folder()) is not None:
        options["offline_cache_file_path"] = str(folder)
    wanted = getattr(taichi, name)
    try:
        # Taichi announces the backend on standard output, whatever the log level.
        with redirect_stdout(io.StringIO()):
            taichi.init(arch=wanted, offline_cache=True, log_level=taichi.ERROR, verbose=False, **options)
    except RuntimeError:
        return False
    return impl.current_cfg().arch == wanted
