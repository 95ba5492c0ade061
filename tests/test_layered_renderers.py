"""The limiting cases that the papers of the layered renderers name."""

import math

import numpy as np
import pytest

from renderers.classical.cocnet_physical import butterworth_disks, cocnet_physical
from renderers.classical.d2f_layered import LAYER_RADII_PX, d2f_layered, layer_radii_px
from renderers.classical.rvr import rvr, rvr_normalized
from renderers.classical.sterefo import hard_disks, sterefo
from renderers.classical.vdslr import vdslr
from renderers.splatting.splat import splat
from scenes.aperture import Disk, aperture_points
from scenes.lens import ThinLens


def of_defocus(defocus_px: np.ndarray) -> tuple[np.ndarray, ThinLens]:
    """Disparity and lens with a given signed defocus: one pixel per unit of disparity, focused at 100."""
    return (defocus_px + 100.0).astype(np.float32), ThinLens(1.0, 100.0)


def convolved(linear: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Normalised convolution: sums of what lies inside the picture."""
    h, (height, width) = len(kernel) // 2, linear.shape[:2]
    weighted = np.pad(np.dstack([linear, np.ones((height, width))]), ((h, h), (h, h), (0, 0)))
    sums = np.zeros((height, width, 4))
    for dy, dx in np.ndindex(kernel.shape):
        sums += kernel[2 * h - dy, 2 * h - dx] * weighted[dy : dy + height, dx : dx + width]
    return sums[..., :3] / sums[..., 3:]


def hard_disk(radius: int) -> np.ndarray:
    offset = np.arange(-radius, radius + 1)
    return (np.hypot(offset[:, None], offset) <= radius).astype(float)


def soft_disk(radius: int) -> np.ndarray:
    offset = np.arange(-radius, radius + 1)
    return 0.5 + 0.5 * np.tanh(0.25 * (radius**2 - offset[:, None] ** 2 - offset**2) + 0.5)


NOISE = np.random.default_rng(1).random((40, 44, 3), np.float32)


@pytest.mark.parametrize("defocus_px", [7.0, -7.0])
@pytest.mark.parametrize(
    ("renderer", "kernel"),
    [
        (sterefo, hard_disk(7)),
        (rvr_normalized, hard_disk(7)),
        (d2f_layered, soft_disk(7)),
    ],
)
def test_a_plane_is_convolved_with_its_disk(renderer, kernel, defocus_px):
    blurred = renderer(NOISE, *of_defocus(np.full(NOISE.shape[:2], defocus_px)))
    # Kernels are kept in steps of 2^-13; D2F's neighbouring layer shows through by 0.1 %.
    np.testing.assert_allclose(blurred, convolved(NOISE, kernel), atol=2e-3)


def test_sterefo_composites_two_planes_over_each_other():
    """C / N with N = 1 - (1 - m_far)(1 - m_near)."""
    defocus = np.full((40, 44), -6.0)
    defocus[:, 20:] = 5.0
    blurred = sterefo(NOISE, *of_defocus(defocus))
    bank = hard_disks(np.array([-6.0, 5.0]), Disk())
    planes = []
    for i, member in enumerate((defocus < 0, defocus > 0)):
        source = np.dstack([NOISE, np.ones((40, 44), np.float32)]) * member[..., None].astype(np.float32)
        planes.append(splat(source, np.full((40, 44), i, np.int32), bank) / bank.totals()[i])
    far, near = planes
    composite = near + (1.0 - near[..., 3:]) * far
    # The far plane also belongs to the slice at -5 and so on; away from the seam both slices show the same mixture.
    seam = slice(12, 30)
    assert np.abs(blurred - composite[..., :3] / composite[..., 3:])[:, seam].mean() < 0.02


def half_disk(t: np.ndarray) -> np.ndarray:
    """G(t): part of a unit disk inside a half plane, its centre t inside."""
    t = np.clip(t, -1.0, 1.0)
    return 1.0 - (np.arccos(t) - t * np.sqrt(1.0 - t * t)) / math.pi


@pytest.mark.parametrize("renderer", [sterefo, rvr, rvr_normalized])
def test_a_blurred_foreground_covers_a_background_in_focus_as_the_lens_says(renderer):
    """The part of the lens that the foreground hides: near things are composited last, over all that is behind."""
    radius = 12.0
    defocus = np.zeros((41, 80))
    defocus[:, :40] = radius
    white_before_black = np.zeros((41, 80, 3), np.float32)
    white_before_black[:, :40] = 1.0
    profile = renderer(white_before_black, *of_defocus(defocus))[20, :, 0]
    beyond = np.arange(40, 80)
    # Disks of whole pixels: within 0.01 of the area that they stand for.
    np.testing.assert_allclose(profile[beyond], half_disk((40 - beyond - 0.5) / radius), atol=0.012)


@pytest.mark.parametrize("renderer", [sterefo, rvr, rvr_normalized, d2f_layered, cocnet_physical])
def test_a_blurred_background_stays_behind_what_is_in_focus(renderer):
    """Rays to a subject in focus meet on it: none of them passes it by, however bright the blur behind it."""
    defocus = np.full((40, 60), -9.0)
    defocus[:, :30] = 0.0
    linear = np.full((40, 60, 3), 50.0, np.float32)
    linear[:, :30] = 0.2
    blurred = renderer(linear, *of_defocus(defocus))
    # D2F's mask in focus is 0.9987 of 1.
    atol = 0.15 if renderer is d2f_layered else 1e-6
    np.testing.assert_allclose(blurred[:, :30], np.float32(0.2), rtol=0.0, atol=atol)


def test_rvr_darkens_a_ramp_and_its_normalised_form_does_not():
    """Many thin disjoint strips: the accumulated weight falls towards 1 - 1/e (methods, 4.5: 0.665 at 34 px)."""
    ramp = np.broadcast_to(np.linspace(28.0, 40.0, 240), (161, 240))
    white = np.ones((161, 240, 3), np.float32)
    disparity, lens = of_defocus(ramp)
    middle = (slice(70, 90), slice(110, 130))
    darkened = rvr(white, disparity, lens)[middle]
    assert 0.63 < darkened.min() and darkened.max() < 0.75
    np.testing.assert_allclose(rvr_normalized(white, disparity, lens), 1.0, atol=1e-5)


def test_d2f_has_the_fifteen_published_kernels():
    sizes = [1, 3, 5, 7, 11, 15, 19, 23, 27, 33, 39, 45, 53, 61, 69]
    np.testing.assert_array_equal(2 * LAYER_RADII_PX + 1, sizes)
    # Values of the 3 x 3 kernel before it is normalized (methods, 5.9).
    np.testing.assert_allclose(soft_disk(1)[0], [0.622, 0.731, 0.622], atol=1e-3)
    assert soft_disk(1)[1, 1] == pytest.approx(0.818, abs=1e-3)


@pytest.mark.parametrize("largest", [3.0, 12.0, 34.0, 50.0, 100.0, 340.0])
def test_the_table_of_d2f_ends_at_the_largest_radius_and_keeps_the_small_ones(largest):
    """Stretched, and nowhere coarser than the published one, but for the rounding to whole pixels."""
    radii = layer_radii_px(largest)
    assert radii[0] == 0.0 and radii[-1] == largest and (np.diff(radii) > 0.0).all()
    asked = np.linspace(0.01, min(largest, 34.0) - 0.01, 1000)
    step, published = (np.diff(table)[np.searchsorted(table, asked) - 1] for table in (radii, LAYER_RADII_PX))
    assert (step <= published + 1.0).all() and step[asked < 3.0].max() == 1.0
    # Above, the steps are those at the end of the table.
    assert np.diff(radii).max() <= 5.0


def test_the_table_of_d2f_at_34_px_is_the_published_one():
    np.testing.assert_array_equal(layer_radii_px(34.0), LAYER_RADII_PX)


def test_d2f_draws_small_blur_as_small_beside_a_large_one():
    """A point 1 px out of focus in a picture whose blur reaches 100 px."""
    defocus, linear = np.full((41, 400), -1.0), np.zeros((41, 400, 3), np.float32)
    defocus[:, 300:] = -100.0
    linear[20, 20] = 1.0
    spot = d2f_layered(linear, *of_defocus(defocus))[10:31, 10:31, 0]
    disk = soft_disk(1) / soft_disk(1).sum()
    np.testing.assert_allclose(spot[9:12, 9:12], disk, atol=2e-3)
    assert spot.sum() == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("renderer", [d2f_layered, cocnet_physical, vdslr])
def test_a_sharp_foreground_is_not_bled_into(renderer):
    """Foreground in focus over a bright background far out of focus."""
    defocus = np.full((60, 60), -20.0)
    defocus[:, :30] = 0.0
    linear = np.ones((60, 60, 3), np.float32)
    linear[:, :30] = 0.2
    blurred = renderer(linear, *of_defocus(defocus))
    # The in-focus mask of D2F is 0.9987 of 1; VDSLR averages 128 equal values; CoCNet keeps the subject bit for bit.
    atol = {d2f_layered: 3e-3, vdslr: 1e-6, cocnet_physical: 0.0}[renderer]
    np.testing.assert_allclose(blurred[:, :30], np.float32(0.2), rtol=0.0, atol=atol)


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 10, 20])
def test_butterworth_disks_are_symmetric_rings_inside_their_radius(radius):
    size = 2 * radius + 5
    bank = butterworth_disks(np.array([float(radius)]), Disk())
    source = np.zeros((size, size, 4), np.float32)
    source[size // 2, size // 2] = 1.0
    kernel = splat(source, np.zeros((size, size), np.int32), bank)[..., 0] / bank.totals()[0]
    assert kernel.sum() == pytest.approx(1.0, abs=1e-6) and kernel.min() >= 0.0
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-7)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-7)
    rho = np.hypot(*(np.indices((size, size)) - size // 2))
    # Large kernels go through a transform in float64, which leaves its rounding.
    assert kernel[rho > radius].max() < 1e-15 and kernel[rho <= radius].min() > 1e-5
    if radius > 2:
        # beta = 0.2 in the middle; at the edge b = 1.25^6 / (1 + 1.25^6) of the corner's 31.25 / (1 + ...) weight.
        edge, corner = 1.25**6, 2.0**3 * 1.25**6
        expected = 0.2 / (0.2 + 0.8 * (edge / (1 + edge)) / (corner / (1 + corner)))
        middle, rim = kernel[size // 2, size // 2], kernel[size // 2, size // 2 + radius]
        assert middle / rim == pytest.approx(expected, rel=2e-3)  # steps of 2^-13


def test_cocnet_convolves_a_plane_with_its_kernel():
    bank = butterworth_disks(np.array([6.0]), Disk())
    source = np.zeros((13, 13, 4), np.float32)
    source[6, 6] = 1.0
    kernel = splat(source, np.zeros((13, 13), np.int32), bank)[..., 0]
    blurred = cocnet_physical(NOISE, *of_defocus(np.full(NOISE.shape[:2], 6.0)))
    np.testing.assert_allclose(blurred, convolved(NOISE, kernel), atol=1e-5)


@pytest.mark.parametrize("defocus_px", [6.25, -6.25, 0.5])
def test_cocnet_interpolates_between_the_kernels_of_whole_radii(defocus_px):
    """The kernel of S + t is (1 - t) times that of S plus t times that of S + 1, each of unit sum."""
    whole, share = math.floor(defocus_px), defocus_px - math.floor(defocus_px)
    kernel = np.zeros((17, 17))
    for i, part in enumerate((1.0 - share, share)):
        dense = butterworth_disks(np.array([whole + i], np.float64), Disk()).dense()
        h = len(dense) // 2
        kernel[8 - h : 9 + h, 8 - h : 9 + h] += part * dense / dense.sum(dtype=np.float64)
    blurred = cocnet_physical(NOISE, *of_defocus(np.full(NOISE.shape[:2], defocus_px)))
    np.testing.assert_allclose(blurred, convolved(NOISE, kernel), atol=1e-5)


def test_the_blur_of_cocnet_grows_without_steps():
    """The mean square radius of a point's image between two whole radii lies on the line between theirs."""

    def spread(radius_px: float) -> float:
        linear = np.zeros((41, 41, 3), np.float32)
        linear[20, 20] = 1.0
        spot = cocnet_physical(linear, *of_defocus(np.full((41, 41), -radius_px)))[..., 0].astype(np.float64)
        return float((spot * np.square(np.hypot(*(np.indices((41, 41)) - 20)))).sum() / spot.sum())

    ends = spread(7.0), spread(8.0)
    assert ends[0] < ends[1]
    for part in (0.25, 0.5, 0.75):
        assert spread(7.0 + part) == pytest.approx((1.0 - part) * ends[0] + part * ends[1], rel=1e-4)


@pytest.mark.usefixtures("taichi_cpu")
def test_the_rays_of_a_gpu_are_those_of_the_cpu(monkeypatch):
    """The kernel that runs on CUDA, here by Taichi on the CPU."""
    linear, defocus = NOISE, np.full(NOISE.shape[:2], 4.0)
    defocus[10:20, 8:30] = -3.0
    on_cpu = vdslr(linear, *of_defocus(defocus))
    monkeypatch.setattr("renderers.classical.vdslr._TAICHI", ("cpu",))
    on_gpu = vdslr(linear, *of_defocus(defocus))
    # Another rounding sends a few rays to the neighbour of a pixel.
    assert np.abs(on_gpu - on_cpu).mean() < 1e-4 and np.median(np.abs(on_gpu - on_cpu)) < 1e-6


def test_vdslr_blurs_a_plane_with_a_disk():
    smooth = convolved(NOISE, hard_disk(3)).astype(np.float32)
    blurred = vdslr(smooth, *of_defocus(np.full(NOISE.shape[:2], 5.0)))
    inner = slice(8, -8)
    # 128 rays a pixel over texture with a standard deviation of 0.05.
    assert np.abs(blurred - convolved(smooth, hard_disk(5)))[inner, inner].max() < 0.02


def test_vdslr_meets_a_slope_where_the_ray_crosses_it():
    """On a plane of slope g the ray through lens point s meets S = (a + g x) / (1 - g s) (`slanted_defocus_px`)."""
    height, width, slope = 60, 200, 0.5
    x = np.arange(width)
    defocus = np.broadcast_to(slope * (x - 100.0), (height, width))
    position = np.broadcast_to((x / width)[:, None], (height, width, 3)).astype(np.float32)
    blurred = vdslr(position, *of_defocus(defocus))[20:40, :, 0].mean(axis=0) * width
    s = aperture_points(Disk(), 4096)[:, 0]
    for at in (80, 90, 110, 120):
        # Four bisections leave 1/16 of a stratum of 12 px, the picture its whole pixels.
        met = slope * (at - 100.0) / (1.0 - slope * s)
        assert blurred[at] == pytest.approx(at + (met * s).mean(), abs=0.15)


def test_vdslr_averages_what_is_seen_and_drops_what_an_edge_hides():
    """Beside a subject in focus, the rays that pass behind it see what no picture shows: they are left out."""
    height, width, edge, radius = 80, 80, 40, 10.0
    defocus = np.full((height, width), -radius)
    defocus[:, :edge] = 0.0
    linear = np.zeros((height, width, 3), np.float32)
    # Bands of light along the edge: an average that takes the pixel itself for a hidden ray is not theirs.
    linear[:, edge::4] = linear[:, edge + 1 :: 4] = 1.0
    blurred = vdslr(linear, *of_defocus(defocus))[20:60, :, 0].mean(axis=0)
    s = aperture_points(Disk(), 4096)[:, 0]
    # Nearer the edge a ray may come within one stratum, 10 / 8 px, of the subject, and counts as one that meets it.
    for x in range(edge + 2, edge + 8):
        met = np.floor(x - radius * s + 0.5).astype(int)
        seen = met >= edge
        assert blurred[x] == pytest.approx(linear[0, met[seen], 0].mean(), abs=0.02)
