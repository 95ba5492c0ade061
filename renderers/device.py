"""Where renderers run. The classical ones follow Taichi's backend, which the program starts; neural ones have a device.

Taichi is imported only where it is asked for: most programs run everything on the CPU without it.
"""

import sys
from dataclasses import replace
from typing import Literal

from renderers.base import Renderer, RendererError
from renderers.neural import BokehMe, DeepFocusRenderer

Arch = Literal["cpu", "cuda", "metal", "vulkan"]

_TORCH_DEVICES = {"cuda": "cuda", "metal": "mps"}


def start_taichi(arch: Arch) -> None:
    """Start Taichi in this process; on the CPU only where a renderer has imported it. RendererError where it cannot."""
    if arch == "cpu" and "taichi" not in sys.modules:
        return
    import taichi
    from taichi.lang import impl

    wanted = getattr(taichi, arch)
    try:
        taichi.init(arch=wanted, log_level=taichi.ERROR, offline_cache=True)
        # It falls back to the CPU with a mere warning.
        there = impl.current_cfg().arch == wanted
    except RuntimeError:
        there = False
    if not there:
        raise RendererError(f"the backend {arch!r} is not available on this machine; use --arch cpu")


def on_cuda() -> bool:
    """Whether Taichi has been started on a CUDA GPU in this process."""
    if "taichi" not in sys.modules:
        return False
    import taichi
    from taichi.lang import impl

    return impl.get_runtime().prog is not None and impl.current_cfg().arch == taichi.cuda


def on_device(renderer: Renderer, arch: Arch) -> Renderer:
    """A neural renderer on torch's device of that backend, the CPU where it has none; others as they are."""
    if isinstance(renderer, BokehMe | DeepFocusRenderer):
        return replace(renderer, device=_TORCH_DEVICES.get(arch, "cpu"))
    return renderer
