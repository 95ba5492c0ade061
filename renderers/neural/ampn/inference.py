"""AMPN (Georgiadis et al. 2022) on pictures. It has learned one lens, and is told none."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renderers.base import RendererError
from renderers.neural.ampn.network import AMPN
from renderers.neural.tensors import device_of, picture_from_tensor, tensor_from_plane
from runtime.backend import Backend
from scenes.arrays import Picture, Plane
from scenes.lens import Lens

# The rows of Table 3.
NETWORKS = {
    "ampn": AMPN,
    "ampn-no-refinement": partial(AMPN, refinement=False),
    "ampn-no-g2": partial(AMPN, bokeh_net=False),
    "ampn-no-attention": partial(AMPN, attention=False),
    "ampn-no-g1": partial(AMPN, mask_net=False),
}


def refocus(
    networks: Mapping[str, nn.Module],
    image: Picture,
    disparity: Plane,
    lens: Lens,
    *,
    gamma: float,
    arch: Backend,
    mask: Plane | None = None,
    f_stop: float = 0.0,
) -> Picture:
    """(H, W, 3) display values in [0, 1], of the picture clipped at white.

    The network knows neither lens nor gamma, and they are ignored; so is the disparity. "-no-g1" alone cannot find what
    is sharp: where it is given no mask, it takes disparity and lens for it.

    mask     what stays sharp, (H, W) in [0, 1], in place of what the network finds
    f_stop   how far the aperture is closed: 0 for all of the blur, 1 for none. What lies between is partly a blend of
             blurred and sharp pixels, and not a picture of smaller blur
    raises   RendererError for a mask or an f_stop that does not fit
    """
    ((name, network),) = networks.items()
    if not 0.0 <= f_stop <= 1.0:
        raise RendererError(f"the f-stop is {f_stop:g}; it must be from 0, all of the blur, to 1, none")
    if mask is None and name == "ampn-no-g1":
        mask = sharp_where(np.asarray(lens.defocus_px(disparity), np.float32))
    device, kept = device_of(arch), None
    if mask is not None:
        if mask.shape != image.shape[:2] or not (mask.min() >= 0.0 and mask.max() <= 1.0):
            raise RendererError(f"the mask is {mask.shape}; it must be {image.shape[:2]}, from 0 to 1")
        kept = tensor_from_plane(mask, device)
    with torch.inference_mode():
        seen = tensor_from_plane(np.minimum(image, np.float32(1.0)), device)
        return picture_from_tensor(network(seen, kept, f_stop).clamp(0.0, 1.0))


def sharp_where(defocus_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask of signed defocus: 1 up to a blur radius of 1 px, 0 from 2 px on."""
    return np.clip(2.0 - np.abs(defocus_px), 0.0, 1.0)
