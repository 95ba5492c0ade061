"""True layers, each blurred with premultiplied alpha, then put over each other: B = sum_l C_l prod_{k<l} (1 - A_k).

    C(x) = sum_y a I w / F,  A(x) = sum_y a w / F,  F(x) = sum_y w                   of one layer, near to far
    w(y -> x) = part of pixel x inside the image of y's point, over the area of that image

F is 1 where a layer is parallel to the sensor. Elsewhere it removes the stripes of a scatter whose images overlap
unevenly, and the dark rim of a layer that ends. What is neglected: transparencies of layers are multiplied, as if the
holes of one stood nowhere in particular before the holes of the next, seen over the aperture.

Where a cut severs a surface, the farther layer has the nearer part once more (`scenes.layered_depth`): it hides what is
behind, and its light is left out of C. There C = A sum_y a I w / sum_y a w of the texels that are the layer's own, so
that the two parts add up to the whole surface.
"""

import math

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from renderers.base import RendererError
from renderers.classical.drbokeh import DefocusedLayer, defocused_layer
from renderers.splatting.kernels import Frame, KernelBank
from renderers.splatting.outline import kernels_with_edge
from renderers.splatting.splat import convolve, splat
from runtime.backend import Backend
from scenes.aperture import Aperture
from scenes.arrays import Picture, Plane, bounding_box
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

# Below this share of its density a layer has ended.
_EPSILON = 1e-6

# Weight of the light that a nearer layer has as well: enough for a colour where nothing else gives one.
_REPEATED = 1e-3


def layers_over(
    linear: Picture,
    disparity: Plane,
    lens: ThinLens,
    *,
    arch: Backend = "cpu",
    gamma: float,
    scene: LayeredScene | None,
) -> NDArray[np.float32]:
    """Blur in linear light: (H, W, 3) float32, of the true layers of `scene`; RendererError without them."""
    if scene is None:
        raise RendererError("layers-over needs the true layers of the scene")
    scene = scene.for_lens(lens)
    picture = np.zeros((*scene.extended_shape, 3), np.float32)
    transmittance = np.ones(scene.extended_shape, np.float32)
    for i in range(len(scene.layers)):
        layer = defocused_layer(scene, i, lens, gamma)
        around = _reached(layer, transmittance)
        if around is None:
            continue
        part = DefocusedLayer(layer.rgba[around], layer.defocus_px[around])
        repeats = scene.repeats(i)
        rows, columns = around
        frame = Frame(scene.width, scene.height, columns.start - scene.overscan, rows.start - scene.overscan)
        blurred = blur_premultiplied(part, lens.aperture, arch, None if repeats is None else repeats[around], frame)
        _put_behind(blurred, picture[around], transmittance[around])
    return np.ascontiguousarray(scene.cropped(picture))


def _reached(layer: DefocusedLayer, transmittance: Plane) -> tuple[slice, slice] | None:
    """The rectangle that holds the light of a layer and all that its density depends on; None where it is not seen."""
    reach = math.ceil(float(np.abs(layer.defocus_px).max())) + 1
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    seen = (layer.rgba[..., 3] > 0.0) & (cv2.dilate((transmittance > _EPSILON).astype(np.uint8), window) > 0)
    if not seen.any():
        return None
    return bounding_box(seen, 2 * reach)


def blur_premultiplied(
    layer: DefocusedLayer,
    aperture: Aperture,
    arch: Backend = "cpu",
    repeats: NDArray[np.bool_] | None = None,
    frame: Frame | None = None,
) -> NDArray[np.float32]:
    """C and A of one layer: (H, W, 4) float32, linear light premultiplied.

    repeats   texels that hide, but whose light a nearer layer has; the others have the colour of both
    frame     where in the frame the layer lies; it is the frame unless said
    """
    bank, kernel = area_disks(layer.defocus_px, aperture, frame)
    density = density_of(bank, kernel)
    weighted = _weighted(layer.rgba, density, repeats)
    blurred: NDArray[np.float32] = splat(weighted, kernel, bank, arch)
    if not bank.is_one_kernel:
        # Only what shares its pixels with the layer counts.
        window = np.ones((2 * int(bank.reach.max()) + 1,) * 2, np.uint8)
        kernel = np.where(cv2.dilate((blurred[..., -1] > 0.0).astype(np.uint8), window) > 0, kernel, np.int32(-1))
    full = full_coverage(density, kernel, bank, arch)
    return _normalised(blurred, full)


@numba.njit(parallel=True, cache=True)
def _weighted(rgba, density, repeats):
    """a I w and a w of straight RGBA (H, W, 4), and where some repeats a nearer layer, a w of what is hiding."""
    height, width = density.shape
    out = np.empty((height, width, 4 if repeats is None else 5), np.float32)
    for y in numba.prange(height):
        for x in range(width):
            alpha, w = rgba[y, x, 3], density[y, x]
            own = np.float32(1.0)
            if repeats is not None:
                out[y, x, 4] = alpha * w
                own = np.float32(_REPEATED) if repeats[y, x] else own
            for c in range(3):
                out[y, x, c] = rgba[y, x, c] * alpha * w * own
            out[y, x, 3] = alpha * w * own
    return out


@numba.njit(parallel=True, cache=True)
def _normalised(sums, full):
    """C and A (H, W, 4) of the sums (H, W, 4 or 5) of `_weighted`."""
    height, width = full.shape
    out = np.empty((height, width, 4), np.float32)
    for y in numba.prange(height):
        for x in range(width):
            visible = min(sums[y, x, -1] / full[y, x], np.float32(1.0))
            for c in range(3):
                if sums.shape[2] == 4:
                    out[y, x, c] = sums[y, x, c] / full[y, x]
                else:
                    out[y, x, c] = sums[y, x, c] * (visible / max(sums[y, x, 3], np.float32(_EPSILON * _REPEATED)))
            out[y, x, 3] = visible
    return out


@numba.njit(parallel=True, cache=True)
def _put_behind(layer, picture, transmittance):
    """Add premultiplied RGBA (H, W, 4) to a picture (H, W, 3), as far as it is seen (H, W), and take it from that."""
    for y in numba.prange(layer.shape[0]):
        for x in range(layer.shape[1]):
            for c in range(3):
                picture[y, x, c] += transmittance[y, x] * layer[y, x, c]
            transmittance[y, x] *= np.float32(1.0) - layer[y, x, 3]


def full_coverage(density: Plane, kernel: NDArray[np.int32], bank: KernelBank, arch: Backend = "cpu") -> Plane:
    """F: what a layer without holes would collect, at least _EPSILON."""
    if bank.is_one_kernel:
        # All pixels have one density: F depends on the distances to the borders alone, up to the reach of the kernel.
        rows, columns = (_beside_border(n, int(bank.reach[0])) for n in density.shape)
        full = convolve(density[: rows[-1] + 1, : columns[-1] + 1], bank)[rows[:, None], columns]
    else:
        full = splat(density[..., None], kernel, bank, arch)[..., 0]
    return np.maximum(full, np.float32(_EPSILON))


def _beside_border(count: int, reach: int) -> NDArray[np.int64]:
    """(count,): the place of each pixel in a row of 2 reach + 1, as far from its end; beyond the reach the middle."""
    i = np.arange(count)
    return i + reach - np.clip(i, reach, count - 1 - reach) if count > 2 * reach else i


def density_of(bank: KernelBank, kernel: NDArray[np.int32]) -> Plane:
    """(H, W): what the kernel of each pixel is multiplied by, so that its sum is 1."""
    return np.float32(1.0) / bank.totals().astype(np.float32)[kernel]


def area_disks(
    defocus_px: Plane, aperture: Aperture, frame: Frame | None = None
) -> tuple[KernelBank, NDArray[np.int32]]:
    """Kernels that hold the part of each pixel inside the image of a point, and (H, W) which one each pixel has.

    A rim crosses a pixel as a straight line along its normal: the part is the distance inside + 1/2, from 0 to 1.
    """
    return kernels_with_edge(defocus_px, aperture, lambda inside_px: np.clip(0.5 + inside_px, 0.0, 1.0), frame)
