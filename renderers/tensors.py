"""Any renderer on torch tensors: CPU tensors share their memory with it, others travel to the CPU and back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from renderers.base import Renderer, render_batch
from scenes.billboard import Scene
from scenes.color import REFERENCE_GAMMA
from scenes.lens import ThinLens


def render_tensors(
    renderer: Renderer,
    image: Tensor,
    disparity: Tensor,
    lenses: Sequence[ThinLens],
    *,
    gamma: float = REFERENCE_GAMMA,
    scenes: Sequence[Scene | None] | None = None,
) -> Tensor:
    """`render_batch` for image (B, 3, H, W) and disparity (B, 1, H, W) float32: (B, 3, H, W), without gradients."""
    images = image.detach().cpu().permute(0, 2, 3, 1).numpy()
    disparities = disparity.detach().cpu()[:, 0].numpy()
    refocused = render_batch(renderer, images, disparities, lenses, gamma=gamma, scenes=scenes)
    return torch.from_numpy(refocused).permute(0, 3, 1, 2).to(image.device)
