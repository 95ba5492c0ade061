"""The scatter that is linear in the radius, against the formula, the plain loop and the closed form of two planes."""

import numpy as np
import pytest

from renderers import RENDERERS
from renderers.classical.scatter import scatter, soft_disks
from renderers.neural.bokehme.dilated_defocus import dilated_defocus_px
from renderers.splatting.kernels import kernel_bank, nearest_kernels
from renderers.splatting.splat import gather, splat
from scenes.aperture import Character, Disk, Donut, Mask, Polygon, aperture_points
from scenes.color import display_rmse
from scenes.lens import ThinLens


def kernel_total(radius_px: float) -> float:
    """Total weight of one source, measured: N with I = 1, where every source has this radius."""
    reach = int(radius_px) + 3
    offsets = np.arange(-reach, reach + 1)
    inside_window = np.abs(offsets) <= int(radius_px) + 1
    rho = np.hypot(offsets[:, None], offsets)
    weight = (0.5 + 0.5 * np.tanh(4.0 * (radius_px - rho))) / (radius_px**2 + 0.2)
    return float(weight[np.ix_(inside_window, inside_window)].sum())


def scattered_total(radius_px: float) -> float:
    """The same from the fast kernels: a single source on an empty picture."""
    size = 2 * (int(radius_px) + 3) + 1
    defocus = np.full((size, size), radius_px, np.float32)
    bank, kernel = soft_disks(defocus, Disk())
    source = np.zeros((size, size, 4), np.float32)
    source[size // 2, size // 2] = 1.0 / (radius_px**2 + 0.2)
    return float(splat(source, kernel, bank)[..., 3].sum())


# BokehMe's kernel totals (methods, 4.1), printed with three digits behind the point.
TOTALS = {
    0: 2.507,
    0.25: 3.394,
    0.5: 2.348,
    0.75: 1.959,
    1: 2.618,
    1.5: 3.136,
    2: 2.862,
    3: 3.038,
    5: 3.085,
    10: 3.126,
    20: 3.137,
    50: 3.140,
}


@pytest.mark.parametrize("radius_px", TOTALS)
def test_kernel_totals_are_the_published_ones(radius_px):
    assert kernel_total(radius_px) == pytest.approx(TOTALS[radius_px], abs=6e-4)
    # Radii are rounded by up to sqrt(r + 1/4) / 512 px; the total changes by up to 9 per pixel, at r = 1.
    assert scattered_total(radius_px) == pytest.approx(TOTALS[radius_px], abs=0.017)


def random_picture(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a few highlights, and a disparity with slopes, steps and a plane."""
    linear = rng.random((height, width, 3), np.float32)
    linear[rng.integers(height, size=5), rng.integers(width, size=5)] = 50.0
    y, x = np.indices((height, width))
    disparity = 0.6 * x / width + 0.2 * np.sin(0.2 * y)
    disparity[height // 3 : height // 2, width // 3 :] = 0.95
    return linear, disparity.clip(0.0, 1.0).astype(np.float32)


@pytest.mark.parametrize("blur_parameter", [3.0, 17.3, 60.0])
@pytest.mark.parametrize("focus", [0.0, 0.4, 1.0])
def test_it_equals_the_plain_loop_to_a_thousandth(blur_parameter, focus):
    linear, disparity = random_picture(np.random.default_rng(1), 67, 90)
    lens = ThinLens(blur_parameter, focus)
    fast = RENDERERS["scatter"](linear, disparity, lens, gamma=1.0)
    plain = RENDERERS["scatter-plain"](linear, disparity, lens, gamma=1.0)
    assert display_rmse(fast, plain) < 1e-3


@pytest.mark.usefixtures("taichi_cpu")
def test_the_gpu_form_equals_the_plain_loop():
    linear, disparity = random_picture(np.random.default_rng(9), 30, 41)
    for lens in (ThinLens(4.0, 0.5), ThinLens(25.0, 0.1)):
        gathered = RENDERERS["scatter-taichi"](linear, disparity, lens, gamma=1.0)
        # The same weights summed in another order, in float32.
        np.testing.assert_allclose(gathered, RENDERERS["scatter-plain"](linear, disparity, lens, gamma=1.0), rtol=1e-4)


def test_the_plain_loop_is_the_formula():
    linear, disparity = random_picture(np.random.default_rng(2), 14, 17)
    lens = ThinLens(6.0, 0.3)
    n, w = np.zeros((14, 17, 3)), np.zeros((14, 17, 1))
    for y, x in np.ndindex(14, 17):
        r = 6.0 * abs(float(disparity[y, x]) - 0.3)
        for ty, tx in np.ndindex(14, 17):
            if max(abs(ty - y), abs(tx - x)) <= int(r) + 1:
                weight = (0.5 + 0.5 * np.tanh(4.0 * (r - np.hypot(ty - y, tx - x)))) / (r * r + 0.2)
                n[ty, tx] += weight * linear[y, x]
                w[ty, tx] += weight
    plain = RENDERERS["scatter-plain"](linear, disparity, lens, gamma=1.0)
    np.testing.assert_allclose(plain, n / w, rtol=2e-5)  # float32 sums of a few hundred terms


def test_a_highlight_leaves_no_trace_in_its_rows():
    """What a disk adds to the running sum of a row it takes away again, however bright it is."""
    linear = np.full((40, 400, 3), 1e-3, np.float32)
    linear[20, 30] = 6e4
    blurred = scatter(linear, np.ones((40, 400), np.float32), ThinLens(9.7, 0.0))
    # Float64 rows: 1e-16 of the highlight would still be 1e-9 of the dark.
    np.testing.assert_allclose(blurred[:, 60:], 1e-3, rtol=1e-6)


def test_the_dark_beside_highlights_is_never_less_than_black():
    """Rounding in the running sums must not go below zero, where a power is not a number."""
    rng = np.random.default_rng(10)
    values = np.where(rng.random((30, 200, 4)) < 0.1, 10.0 ** rng.uniform(-6, 6, (30, 200, 4)), 0.0)
    bank, kernel = soft_disks(rng.uniform(0.0, 6.0, (30, 200)).astype(np.float32), Disk())
    assert splat(values.astype(np.float32), kernel, bank).min() >= 0.0


def half_disk(t: np.ndarray) -> np.ndarray:
    """G(t): part of a unit disk inside a half plane, its centre t inside (methods, 5.2)."""
    t = np.clip(t, -1.0, 1.0)
    return 1.0 - (np.arccos(t) - t * np.sqrt(1.0 - t * t)) / np.pi


@pytest.mark.parametrize(("radius_near", "radius_far"), [(10.0, 5.0), (5.0, 10.0), (12.0, 8.0)])
def test_two_half_planes_mix_as_the_closed_form_says(radius_near, radius_far):
    size = 81
    disparity = np.full((size, size), -radius_far, np.float32)
    disparity[:, size // 2 :] = radius_near
    linear = np.zeros((size, size, 3), np.float32)
    linear[:, size // 2 :] = 1.0
    # One pixel per unit of disparity: the defocus is the disparity, shifted to stay positive.
    blurred = scatter(linear, disparity + 100.0, ThinLens(1.0, 100.0))[size // 2, :, 0]
    s = np.arange(size) - (size // 2 - 0.5)
    near, far = half_disk(s / radius_near), half_disk(s / radius_far)
    inside = np.abs(s) < 20  # away from the borders of the picture
    # The discrete kernel deviates by 0.005 when both radii are at least 5 (methods, 4.1).
    np.testing.assert_allclose(blurred[inside], (near / (1.0 + near - far))[inside], atol=0.006)


def brute_force(values: np.ndarray, kernels: list[np.ndarray], index: np.ndarray) -> np.ndarray:
    out = np.zeros_like(values, np.float64)
    height, width = index.shape
    for y, x in np.ndindex(height, width):
        kernel = kernels[index[y, x]]
        h = len(kernel) // 2
        for dy, dx in np.ndindex(kernel.shape):
            ty, tx = y + dy - h, x + dx - h
            if 0 <= ty < height and 0 <= tx < width:
                out[ty, tx] += values[y, x] * kernel[dy, dx]
    return out


@pytest.mark.parametrize("reach", [[2, 0, 3], [2], [6]])  # several kernels, a small one, one that is transformed
def test_splat_and_gather_are_the_sums_they_stand_for(reach):
    rng = np.random.default_rng(3)
    reach = np.array(reach)
    # Whole 2^-13ths are kept exactly.
    kernels = [rng.integers(0, 8193, (2 * h + 1, 2 * h + 1)) / 8192 for h in reach]

    def profile(dx, dy, which):
        return np.stack([kernels[int(n)] for n in which.ravel()])

    bank = kernel_bank(np.arange(float(len(reach))), reach, profile)
    index = rng.integers(0, len(reach), (9, 12)).astype(np.int32)
    values = rng.random((9, 12, 4), np.float32)
    expected = brute_force(values, kernels, index)
    np.testing.assert_allclose(splat(values, index, bank), expected, rtol=1e-6)
    np.testing.assert_allclose(bank.totals(), [kernel.sum() for kernel in kernels], rtol=1e-12)
    # The transpose: <gather(a), b> = <a, splat(b)>.
    a, b = rng.random((9, 12), np.float32), values[..., 0]
    assert (gather(a, index, bank) * b).sum() == pytest.approx((a * expected[..., 0]).sum(), rel=1e-5)


@pytest.mark.usefixtures("taichi_cpu")
def test_the_sums_of_a_gpu_are_those_of_the_cpu():
    """The kernels that run on CUDA, here by Taichi on the CPU."""
    from renderers.splatting.splat_taichi import gather_taichi, splat_taichi

    rng = np.random.default_rng(12)
    bank, kernel = soft_disks(rng.uniform(0.0, 9.0, (40, 51)).astype(np.float32), Disk())
    kernel[3:9, 4:7] = -1
    values = np.where(rng.random((40, 51, 4)) < 0.1, 1e3, rng.random((40, 51, 4))).astype(np.float32)
    # Float64 sums in another order: the last bit of float32.
    np.testing.assert_allclose(splat_taichi(values, kernel, bank), splat(values, kernel, bank), rtol=2e-7)
    kernel = np.abs(kernel)
    prefix = np.pad(np.cumsum(values[..., 0], axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    expected = gather(np.ascontiguousarray(values[..., 0]), kernel, bank)
    np.testing.assert_allclose(gather_taichi(prefix, kernel, bank), expected, rtol=2e-7)


def test_sources_without_a_kernel_are_left_out():
    bank = kernel_bank(np.zeros(1), np.zeros(1, int), lambda dx, dy, r: np.ones((1, 1, 1)))
    index = np.array([[0, -1, 0]], np.int32)
    np.testing.assert_array_equal(splat(np.ones((1, 3, 4), np.float32), index, bank)[0, :, 0], [1.0, 0.0, 1.0])


@pytest.mark.parametrize("aperture", [Disk(), Polygon(5, 20.0)])
def test_radii_are_rounded_by_little(aperture):
    defocus = np.linspace(-80.0, 80.0, 4001, dtype=np.float32).reshape(1, -1)
    values, index = nearest_kernels(defocus, aperture)
    wanted = np.abs(defocus) if aperture.is_round else defocus
    # Half a step of the square root's grid: sqrt(r + 1/4) / 512 px.
    assert (np.abs(values[index] - wanted) <= np.sqrt(np.abs(defocus) + 0.25) / 512 * 1.01).all()


@pytest.mark.parametrize(
    "aperture",
    [
        Polygon(3, 17.0),
        Polygon(6, 0.0, curvature=0.4),
        Donut(0.5),
        Mask((np.tri(64)[::-1] * 255).astype(np.uint8)),
        Character(Disk(), spherical=1.0),
        Character(Polygon(3, 17.0), spherical=-1.0, rings=3.0, ring_contrast=0.7),
    ],
    ids=["triangle", "rounded", "donut", "mask", "soap bubble", "creamy triangle with rings"],
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_shaped_highlight_has_the_shape_of_the_lens_points(aperture, side):
    """The disk of a point light against the histogram of the aperture's own point set, landing at -S s."""
    size, radius = 101, 20.0
    linear = np.zeros((size, size, 3), np.float32)
    linear[size // 2, size // 2] = 1.0
    disparity = np.full((size, size), 0.5 + 0.5 * side, np.float32)
    spot = scatter(linear, disparity, ThinLens(2 * radius, 0.5, aperture))[..., 0]
    landing = size / 2 - side * radius * aperture_points(aperture, 200_000)
    edges = np.arange(size + 1)
    histogram = np.histogram2d(landing[:, 1], landing[:, 0], bins=(edges, edges))[0] / 200_000
    assert spot.sum() == pytest.approx(1.0, abs=1e-3)
    # No pixel that the shape reaches lacks sources beyond the border; the weights are rounded to 2^-13.
    # Half the absolute difference is the light in the wrong place: rim pixels, on about 0.25 px of a 20 px shape's
    # outline, and the mask's steps of 1/64. Turned the wrong way, a triangle has 0.33.
    assert np.abs(spot - histogram).sum() / 2 < 0.06


def test_the_dilated_defocus_is_the_maximum_over_the_disks():
    rng = np.random.default_rng(4)
    defocus = rng.uniform(-9.0, 9.0, (40, 37)).astype(np.float32)
    expected = np.trunc(defocus)
    for y, x in np.ndindex(defocus.shape):
        covered = np.hypot(*(np.indices(defocus.shape) - np.array([y, x])[:, None, None])) <= abs(defocus[y, x])
        expected[covered] = np.maximum(expected[covered], np.trunc(defocus[y, x]))
    np.testing.assert_array_equal(dilated_defocus_px(defocus), expected)


def test_nearer_content_spreads_over_farther_and_never_the_reverse():
    defocus = np.full((21, 21), -6.0, np.float32)
    defocus[10, 10] = 4.0
    rho = np.hypot(*(np.indices((21, 21)) - 10))
    np.testing.assert_array_equal(dilated_defocus_px(defocus), np.where(rho <= 4.0, 4.0, -6.0))


# In torch

torch = pytest.importorskip("torch")
scatter_torch = pytest.importorskip("renderers.differentiable.scatter")


def test_the_scatter_of_torch_is_that_of_the_renderer():
    rng = np.random.default_rng(5)
    image, defocus = rng.random((40, 44, 3)).astype(np.float32), np.tile(np.linspace(-9.0, 6.0, 44), (40, 1))
    expected = scatter(image, defocus.astype(np.float32), ThinLens(1.0, 0.0))
    inputs = torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(defocus.astype(np.float32))[None, None]
    refocused = scatter_torch.refocus(*inputs)[0].permute(1, 2, 0).numpy()
    # The border repeats in one and is left out in the other; radii are rounded, and tails are cut at 4e-4, in one.
    inside = (slice(11, -11), slice(11, -11))
    np.testing.assert_allclose(refocused[inside], expected[inside], atol=2e-3)


def test_the_gradients_of_the_scatter_are_its_differences():
    rng = np.random.default_rng(6)
    rgb = torch.from_numpy(rng.random((1, 3, 4, 5))).requires_grad_()
    defocus = torch.from_numpy(rng.uniform(-3.0, 3.0, (1, 1, 4, 5))).requires_grad_()
    assert torch.autograd.gradcheck(scatter_torch.refocus, (rgb, defocus), fast_mode=True)
