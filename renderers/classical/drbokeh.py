"""Dr.Bokeh (Sheng et al. 2023, Eqs. 3 to 9, corrected): B = sum_l V_l prod_{k<l} (1 - V_k) N_l / W_l, near to far.

    N(x) = sum_y I(y) a(y) w O,  W(x) = sum_y a(y) w O                                         of one layer
    w(y -> x) = 1 / (1 + 10 exp(-3 (R_y - |x - y|))) / R_y^2,   R_y = |S_y| + 1
    O(y, x) = 1 - exp(-3 S_x^2) (1 - tanh(10 (d_y - d_x - 0.1))) / 2,   O(x, x) = 1
    V(x) = mean of a over the blur disk of x, its edge 1/2 + 1/2 tanh(6 (sqrt(S_x^2 + 1/4) - |x - y|))

with S = K (d - d_f) and disparity d normalized to [0, 1]. The print has a sign slip in O, a disparity where w needs a
distance, and alpha twice. The released code averages V over a box of half the radius: `drbokeh_release`.

Where a pixel is out of focus, O is 1 and the weight depends on its source alone: that part is a scatter (`splat`).
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from renderers.splatting.kernels import KernelBank, kernel_bank, nearest_kernels
from renderers.splatting.outline import brightness, signed_distance_px
from renderers.splatting.splat import gather, splat
from runtime.backend import Backend
from scenes.aperture import Aperture, Disk
from scenes.arrays import Picture, Plane, single
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

Visibility = Literal["disk", "box"]

# From this defocus on, exp(-3 S^2) is below 1e-4 and nothing of a layer hides another part of it.
_FOCUS_PX = 1.75

# The soft step of w ends this far outside R_y: there it is below half of the smallest weight a kernel holds.
_STEP_TAIL_PX = 2.5

_EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class DefocusedLayer:
    """One layer, blurred as a whole.

    rgba         (H, W, 4) float32, straight alpha, linear light
    defocus_px   (H, W) float32, S everywhere, also under alpha 0
    """

    rgba: NDArray[np.float32]
    defocus_px: Plane


def drbokeh(
    linear: Picture,
    disparity: Plane,
    lens: ThinLens,
    *,
    arch: Backend = "cpu",
    gamma: float,
    scene: LayeredScene | None,
) -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32, of the true layers of `scene`; RendererError without them."""
    return _render(lens, arch, gamma, scene, "disk")


def drbokeh_single(linear: Picture, disparity: Plane, lens: ThinLens, *, arch: Backend = "cpu") -> Picture:
    """Blur in linear light: (H, W, 3) float32, of the picture as a single opaque layer."""
    opaque = np.concatenate([linear, np.ones_like(linear[..., :1])], axis=-1)
    layer = DefocusedLayer(opaque, lens.defocus_px(disparity))
    colour, _ = blur_layer(layer, _px_per_range(disparity, lens), lens.aperture, None, arch)
    return colour


def drbokeh_release(
    linear: Picture,
    disparity: Plane,
    lens: ThinLens,
    *,
    arch: Backend = "cpu",
    gamma: float,
    scene: LayeredScene | None,
) -> NDArray[np.float32]:
    """As `drbokeh`, with the V of the released code: rims are half as wide as physics has them."""
    return _render(lens, arch, gamma, scene, "box")


def _render(
    lens: ThinLens,
    arch: Backend,
    gamma: float,
    scene: LayeredScene | None,
    visibility: Visibility,
) -> NDArray[np.float32]:
    if scene is None:
        raise RendererError("Dr.Bokeh needs the true layers of the scene; drbokeh-single renders a picture alone")
    scene = scene.for_lens(lens)
    px_per_range = _px_per_range(scene.composite_disparity(), lens)
    refocused = np.zeros((*scene.extended_shape, 3), np.float32)
    transmittance = np.ones((*scene.extended_shape, 1), np.float32)
    farthest = len(scene.layers) - 1
    for i in range(len(scene.layers)):
        layer = defocused_layer(scene, i, lens, gamma)
        # The farthest layer is opaque, also where rays end beyond its overscan.
        colour, visible = blur_layer(layer, px_per_range, lens.aperture, visibility if i < farthest else None, arch)
        refocused += transmittance * visible * colour
        transmittance *= 1.0 - visible
    return np.ascontiguousarray(scene.cropped(refocused))


def _px_per_range(disparity: Plane, lens: ThinLens) -> float:
    """K for disparities normalized to [0, 1]: the unit in which O compares two disparities."""
    nearest, farthest = float(disparity.max()), float(disparity.min())
    if nearest == farthest:
        # Nothing to compare; any unit will do.
        return 1.0
    return lens.defocus_px(nearest) - lens.defocus_px(farthest)


def defocused_layer(scene: LayeredScene, index: int, lens: ThinLens, gamma: float) -> DefocusedLayer:
    """A layer of a scene in linear light at `gamma`, and how far out of focus it is."""
    rgba = single(scene.layers[index].rgba)
    if gamma != REFERENCE_GAMMA:
        rgba[..., :3] **= gamma / REFERENCE_GAMMA
    disparity = scene.layer_disparity(index)
    return DefocusedLayer(rgba, lens.defocus_px(disparity))


def blur_layer(
    layer: DefocusedLayer, px_per_range: float, aperture: Aperture, visibility: Visibility | None, arch: Backend = "cpu"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """N / W and V of one layer: (H, W, 3) and (H, W, 1) float32; without `visibility` V is 1.

    px_per_range   K for disparities normalized to [0, 1]
    """
    bank, kernel = _soft_steps(layer.defocus_px, aperture)
    alpha = layer.rgba[..., 3:]
    weighted = np.concatenate([layer.rgba[..., :3] * alpha, alpha], axis=-1)
    weighted /= np.square(np.abs(layer.defocus_px) + np.float32(1.0))[..., None]
    sums = splat(weighted, kernel, bank, arch)
    steps = (kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step)
    _gather_in_focus(weighted, layer.defocus_px, np.float32(px_per_range), isinstance(aperture, Disk), *steps, sums)
    colour = sums[..., :3] / (sums[..., 3:] + np.float32(_EPSILON))
    if visibility is None:
        return colour, np.ones_like(alpha)
    alpha = np.ascontiguousarray(layer.rgba[..., 3])
    if visibility == "disk":
        visible = _disk_mean(alpha, layer.defocus_px, aperture, arch)
    else:
        visible = _box_mean(alpha, layer.defocus_px)
    return colour, visible[..., None]


def _soft_steps(defocus_px: Plane, aperture: Aperture) -> tuple[KernelBank, NDArray[np.int32]]:
    def profile(dx, dy, defocus_px):
        beyond = signed_distance_px(aperture, dx, dy, defocus_px) + 1.0
        return brightness(aperture, dx, dy, defocus_px) / (1.0 + 10.0 * np.exp(-3.0 * beyond))

    quantised_px, index = nearest_kernels(defocus_px, aperture)
    return kernel_bank(
        quantised_px, np.ceil(np.abs(quantised_px) + 1.0 + _STEP_TAIL_PX).astype(np.int64), profile
    ), index


def _disk_mean(alpha: Plane, defocus_px: Plane, aperture: Aperture, arch: Backend) -> NDArray[np.float32]:
    def profile(dx, dy, defocus_px):
        # The rays of a pixel meet the layer at x + S s: the shape that it sees is the image of a point, turned.
        seen_px = -np.copysign(np.sqrt(np.square(defocus_px) + 0.25), defocus_px)
        edge = 0.5 + 0.5 * np.tanh(6.0 * signed_distance_px(aperture, dx, dy, seen_px))
        return edge * brightness(aperture, dx, dy, seen_px)

    quantised_px, index = nearest_kernels(defocus_px, aperture)
    bank = kernel_bank(quantised_px, np.floor(np.abs(quantised_px)).astype(np.int64) + 2, profile)
    return gather(alpha, index, bank, arch) / bank.totals().astype(np.float32)[index]


def _box_mean(alpha: Plane, defocus_px: Plane) -> NDArray[np.float32]:
    half = np.floor((np.abs(defocus_px) + 1.0) / 2.0)
    mean = np.empty_like(alpha)
    for h in np.unique(half):
        size = (2 * int(h) + 1,) * 2
        np.copyto(mean, np.asarray(cv2.blur(alpha, size, borderType=cv2.BORDER_REPLICATE)), where=half == h)
    return mean


@numba.njit(inline="always")
def _soft_step(beyond):
    return np.float32(1.0) / (np.float32(1.0) + np.float32(10.0) * math.exp(np.float32(-3.0) * beyond))


@numba.njit(inline="always")
def _weight_at(dx, dy, n, reach, first_row, row_taps, offset, step):
    """The weight of kernel n at an offset: the sum of the changes up to there."""
    h = reach[n]
    weight = np.float32(0.0)
    if abs(dx) <= h and abs(dy) <= h:
        i = first_row[n] + dy + h
        for t in range(row_taps[i], row_taps[i + 1]):
            if offset[t] <= dx:
                weight += step[t]
    return weight


@numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)
def _gather_in_focus(
    weighted, defocus_px, px_per_range, is_disk, kernel, reach, first_row, row_taps, offset, step, sums
):
    """Put N and W with their occlusion O where a pixel is nearly in focus; `weighted` carries a(y) / R_y^2."""
    height, width = defocus_px.shape
    reach_max = reach.max()
    one, half = np.float32(1.0), np.float32(0.5)
    for y in numba.prange(height):
        for x in range(width):
            centre = defocus_px[y, x]
            if abs(centre) > np.float32(_FOCUS_PX):
                continue
            in_focus = math.exp(np.float32(-3.0) * centre * centre)
            total = np.zeros(4, np.float32)
            for sy in range(max(y - reach_max, 0), min(y + reach_max + 1, height)):
                for sx in range(max(x - reach_max, 0), min(x + reach_max + 1, width)):
                    if weighted[sy, sx, 3] == 0.0:
                        continue
                    dx, dy = np.int64(x) - sx, np.int64(y) - sy
                    if is_disk:
                        # The formula itself, which is faster here than to look its kernels up.
                        beyond = abs(defocus_px[sy, sx]) + one - math.sqrt(np.float32(dx * dx + dy * dy))
                        w = _soft_step(beyond) if beyond >= np.float32(-_STEP_TAIL_PX) else np.float32(0.0)
                    else:
                        w = _weight_at(dx, dy, kernel[sy, sx], reach, first_row, row_taps, offset, step)
                    if w == 0.0:
                        continue
                    if dx != 0 or dy != 0:
                        nearer = (defocus_px[sy, sx] - centre) / px_per_range - np.float32(0.1)
                        w *= one - in_focus * half * (one - math.tanh(np.float32(10.0) * nearer))
                    for c in range(4):
                        total[c] += w * weighted[sy, sx, c]
            sums[y, x] = total
