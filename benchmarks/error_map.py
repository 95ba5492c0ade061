"""Predicted error maps beside the measured error of `scatter`, as in Fig. 5 of BokehMe (Peng et al. 2022).

    python benchmarks/error_map.py error_map.png

A plane at disparity 0.2 with straight and round edges is in front of a plane at 0. The focus moves from the far plane
to the near plane and then in front of both. The measured error is the difference between `scatter` and the traced truth
in linear light, divided by the difference of the two colours, the paper's k.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from raytrace.tracer import Tracer
from renderers import RENDERERS
from renderers.neural.bokehme.error_map import improved_error_map, initial_error_map
from scenes.billboard import Billboard, Scene, overscan_px
from scenes.color import display_from_linear
from scenes.lens import ThinLens

_NEAR, _FAR = 0.2, 0.0
_FOCUS_DISPARITIES = (0.0, 0.2, 0.5, 1.0)
_NEAR_COLOUR, _FAR_COLOUR = np.array([[0.75, 0.45, 0.15], [0.05, 0.10, 0.25]], np.float32)


@dataclass(frozen=True)
class Options:
    """Draw the predicted and measured errors of a scene of two planes for four focus disparities.

    Example: python benchmarks/error_map.py error_map.png --blur-parameter 100
    """

    picture: tyro.conf.Positional[Path]
    """PNG file to write: one row for each focus, with truth, scatter, measured error, initial and improved map."""
    blur_parameter: float = 40.0
    """K, pixels per unit of disparity."""
    height: int = 200
    """Height of one panel, pixels; its width is 4/3 of it."""


def main(argv: list[str] | None = None) -> int:
    options = tyro.cli(Options, args=argv)
    lenses = [ThinLens(options.blur_parameter, focus) for focus in _FOCUS_DISPARITIES]
    scene = _two_planes(options.height, overscan_px(options.blur_parameter))
    print("| focus | r near px | r far px | beta | measured mean | initial | improved | measured above improved, max |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    rows = [_row(scene, lens) for lens in lenses]
    cv2.imwrite(str(options.picture), np.vstack(rows))
    return 0


def _row(scene: Scene, lens: ThinLens) -> NDArray[np.uint8]:
    disparity = scene.composite_disparity()
    sharp = np.where(disparity[..., None] == np.float32(_NEAR), _NEAR_COLOUR, _FAR_COLOUR)
    truth = Tracer("cpu").render(scene, lens, noise=1e-3).linear[0]
    scattered = RENDERERS["scatter"](sharp, disparity, lens, gamma=1.0)
    contrast = np.linalg.norm(_NEAR_COLOUR - _FAR_COLOUR)
    measured = np.linalg.norm(scattered - truth, axis=-1) / contrast
    initial, improved = initial_error_map(disparity, lens), improved_error_map(disparity, lens)
    radii = [abs(lens.defocus_px(d)) for d in (_NEAR, _FAR)]
    # Near the border of the picture the scatter also lacks light from outside.
    inner = (slice(scene.height // 4, -scene.height // 4), slice(scene.width // 4, -scene.width // 4))
    print(
        f"| {lens.focus_disparity:g} | {radii[0]:g} | {radii[1]:g} | {min(radii) / max(radii):.2f} | "
        f"{measured[inner].mean():.4f} | {initial[inner].mean():.4f} | {improved[inner].mean():.4f} | "
        f"{(measured - improved)[inner].max():.4f} |"
    )
    pictures = [_bgr(truth), _bgr(scattered)]
    # The largest possible error, 1/2, is white.
    return np.hstack(pictures + [_grey(2.0 * measured), _grey(initial), _grey(improved)])


def _two_planes(height: int, overscan: int) -> Scene:
    width = height * 4 // 3
    shape = (height + 2 * overscan, width + 2 * overscan)
    y, x = np.indices(shape) - overscan + 0.5
    inside = (np.hypot(x - 0.4 * width, y - 0.5 * height) < 0.28 * height) | (np.abs(x - 0.75 * width) < 0.06 * width)
    near, far = np.ones((*shape, 4), np.float16), np.ones((*shape, 4), np.float16)
    near[..., :3], near[..., 3], far[..., :3] = _NEAR_COLOUR, inside, _FAR_COLOUR
    return Scene((Billboard(near, _NEAR), Billboard(far, _FAR)), width, height, overscan)


def _bgr(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255.0 * display_from_linear(linear.clip(0.0, 1.0))[..., ::-1]).astype(np.uint8)


def _grey(value: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(255.0 * value.clip(0.0, 1.0))[..., None], 3, axis=-1).astype(np.uint8)


if __name__ == "__main__":
    raise SystemExit(main())
