"""Between NumPy pictures and torch tensors, and any renderer on tensors.

CPU tensors share their memory with it, others travel to the CPU and back.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.base import Renderer, render_batch
from runtime.backend import Backend
from scenes.arrays import Picture
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.lens import ThinLens


def render_tensors(
    renderer: Renderer,
    image: Tensor,
    disparity: Tensor,
    lenses: Sequence[ThinLens],
    *,
    gamma: float = REFERENCE_GAMMA,
    scenes: Sequence[LayeredScene | None] | None = None,
) -> Tensor:
    """`render_batch` for image (B, 3, H, W) and disparity (B, 1, H, W) float32: (B, 3, H, W), without gradients."""
    images = image.detach().cpu().permute(0, 2, 3, 1).numpy()
    disparities = disparity.detach().cpu()[:, 0].numpy()
    refocused = render_batch(renderer, images, disparities, lenses, gamma=gamma, scenes=scenes)
    return torch.from_numpy(refocused).permute(0, 3, 1, 2).to(image.device)


def device_of(arch: Backend) -> str:
    """The device of torch where a backend of Taichi runs: "cuda", "mps", else "cpu"."""
    return {"cuda": "cuda", "metal": "mps"}.get(arch, "cpu")


def tensor_from_plane(plane: NDArray, device: str = "cpu") -> Tensor:
    """(H, W) or (H, W, C) as (1, C, H, W) float32."""
    chw = np.atleast_3d(plane).transpose(2, 0, 1)[None]
    return torch.from_numpy(np.ascontiguousarray(chw, np.float32)).to(device)


def picture_from_tensor(picture: Tensor) -> Picture:
    """(1, 3, H, W) as (H, W, 3) float32."""
    return np.ascontiguousarray(picture[0].permute(1, 2, 0).float().cpu().numpy())
