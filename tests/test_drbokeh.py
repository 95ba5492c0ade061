"""Dr.Bokeh: its equations as written, its limits, and the backward against finite differences."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from renderers import RENDERERS
from renderers.classical.drbokeh import DefocusedLayer, blur_layer
from scenes.aperture import Aperture, Disk, Donut, Polygon, aperture_points
from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.lens import ThinLens

torch = pytest.importorskip("torch")
drbokeh_torch = pytest.importorskip("renderers.differentiable.drbokeh")


def half_disk(t: float) -> float:
    """G(t): part of a unit disk inside a half plane, its centre t inside (methods, 5.2)."""
    t = min(max(t, -1.0), 1.0)
    return 1.0 - (math.acos(t) - t * math.sqrt(1.0 - t * t)) / math.pi


def formula(rgba: np.ndarray, d: np.ndarray, blur_parameter: float) -> tuple[np.ndarray, np.ndarray]:
    """N / W and V of one layer, pair by pair in float64; d normalized and relative to the focus."""
    height, width = d.shape
    colour, visible = np.zeros((height, width, 3)), np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        n, w, covered, area = np.zeros(3), 0.0, 0.0, 0.0
        for sy, sx in np.ndindex(height, width):
            rho = math.hypot(sy - y, sx - x)
            radius = blur_parameter * abs(d[sy, sx]) + 1.0
            weight = rgba[sy, sx, 3] / (1.0 + 10.0 * math.exp(-3.0 * (radius - rho))) / radius**2
            if rho > 0.0:
                u = 10.0 * (d[sy, sx] - d[y, x] - 0.1)
                weight *= 1.0 - math.exp(-3.0 * (blur_parameter * d[y, x]) ** 2) * 0.5 * (1.0 - math.tanh(u))
            n += weight * rgba[sy, sx, :3]
            w += weight
            disk = 0.5 + 0.5 * math.tanh(6.0 * (math.sqrt((blur_parameter * d[y, x]) ** 2 + 0.25) - rho))
            covered += disk * rgba[sy, sx, 3]
            area += disk
        colour[y, x], visible[y, x] = n / (w + 1e-8), covered / area
    return colour, visible


def random_layer(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((height, width, 4)), rng.uniform(-0.4, 0.4, (height, width))


def test_one_layer_is_the_formula():
    rgba, d = random_layer(np.random.default_rng(1), 16, 21)
    d[4:8, 4:12] = 0.01  # a part in focus
    blur_parameter = 9.0
    expected_colour, expected_visible = formula(rgba, d, blur_parameter)
    layer = DefocusedLayer(rgba.astype(np.float32), (blur_parameter * d).astype(np.float32))
    colour, visible = blur_layer(layer, blur_parameter, Disk(), "disk")
    # Radii rounded by up to 1/250 px and weights to 2^-13 of sums of a few.
    np.testing.assert_allclose(colour, expected_colour, atol=3e-3)
    inner = (slice(6, -6), slice(6, -6))  # nearer the border the fast form counts what lies outside as empty
    np.testing.assert_allclose(visible[..., 0][inner], expected_visible[inner], atol=3e-3)


def test_the_tensors_are_the_formula():
    rgba, d = random_layer(np.random.default_rng(2), 9, 11)
    expected_colour, expected_visible = formula(rgba, d, 7.0)
    rgb = torch.from_numpy(rgba[..., :3]).permute(2, 0, 1)[None]
    n, w = drbokeh_torch.layer_sums(rgb, tensor(rgba[..., 3]), tensor(d), 7.0)
    v = drbokeh_torch.visibility(tensor(rgba[..., 3]), tensor(d), 7.0)
    np.testing.assert_allclose((n / (w + 1e-8))[0].permute(1, 2, 0), expected_colour, rtol=1e-12)
    np.testing.assert_allclose(v[0, 0], expected_visible, rtol=1e-12)


def tensor(map_2d: np.ndarray):
    return torch.from_numpy(map_2d)[None, None]


def test_tensors_and_arrays_render_the_same_layers():
    rng = np.random.default_rng(3)
    overscan, height, width = 10, 24, 30
    shape = (height + 2 * overscan, width + 2 * overscan)
    layers = []
    for disparity, columns in ((1.0, 18), (0.4, 32), (0.0, shape[1])):
        rgba = rng.random((*shape, 4))
        rgba[..., 3] = np.indices(shape)[1] < columns
        layers.append(Billboard(rgba.astype(np.float16), disparity))
    scene = Scene(tuple(layers), width, height, overscan)
    # Every layer shows, so that the composite spans [0, 1] and K needs no rescaling.
    assert set(np.unique(scene.composite_disparity())) == {0.0, np.float32(0.4), 1.0}
    blank = np.zeros((height, width, 3), np.float32)
    arrays = RENDERERS["drbokeh"](blank, scene.composite_disparity(), ThinLens(8.0, 0.4), scene=scene)

    stack = torch.from_numpy(np.stack([layer.rgba.astype(np.float32) for layer in layers])).permute(0, 3, 1, 2)[None]
    disparity = torch.tensor([1.0, 0.4, 0.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, *shape)
    refocused = drbokeh_torch.refocus_layers(stack[:, :, :3], stack[:, :, 3:], disparity, 8.0, 0.4)
    tensors = refocused[0, :, overscan:-overscan, overscan:-overscan].permute(1, 2, 0).numpy()
    # As in test_one_layer_is_the_formula, of several layers.
    np.testing.assert_allclose(linear_from_display(arrays), tensors, atol=3e-3)


def gradient_inputs(rng: np.random.Generator, *batch: int, height: int = 4, width: int = 5):
    rgb = torch.from_numpy(rng.random((*batch, 3, height, width)))
    alpha = torch.from_numpy(rng.uniform(0.1, 0.9, (*batch, 1, height, width)))
    disparity = torch.from_numpy(rng.uniform(0.05, 0.95, (*batch, 1, height, width)))
    return tuple(t.requires_grad_() for t in (rgb, alpha, disparity))


def test_the_backward_of_a_layer_is_its_gradient():
    rgb, alpha, disparity = gradient_inputs(np.random.default_rng(4), 1, height=3, width=4)

    def sums(rgb, alpha, disparity):
        n, w = drbokeh_torch.layer_sums(rgb, alpha, disparity - 0.5, 4.0)
        return n, w, drbokeh_torch.visibility(alpha, disparity - 0.5, 4.0)

    assert torch.autograd.gradcheck(sums, (rgb, alpha, disparity))


def test_the_backward_of_a_composite_is_its_gradient():
    inputs = gradient_inputs(np.random.default_rng(5), 1, 3, height=3, width=4)

    def composite(rgb, alpha, disparity):
        return drbokeh_torch.refocus_layers(rgb, alpha, disparity, 3.0, 0.4)

    # Along random directions: every single derivative of three padded layers would take minutes.
    assert torch.autograd.gradcheck(composite, inputs, fast_mode=True)


@pytest.mark.parametrize("blur_parameter", [6.0, 60.0])
def test_sums_over_rims_have_the_gradients_of_sums_over_all_offsets(blur_parameter, monkeypatch):
    """Radii up to 30 px, some of them in focus: disks whose rims meet, and disks with a middle."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    from drbokeh_by_offsets import LayerSums

    rng = np.random.default_rng(8)
    rgb, alpha, _ = gradient_inputs(rng, 1, height=19, width=23)
    slope = torch.linspace(-0.5, 0.5, 23, dtype=torch.float64).expand(1, 1, 19, 23)
    relative = (slope + 0.02 * torch.from_numpy(rng.standard_normal((1, 1, 19, 23)))).requires_grad_()
    weights = torch.from_numpy(rng.standard_normal((1, 4, 19, 23)))

    def gradients(sums):
        n, w = sums
        assert torch.isfinite(n).all()
        return torch.autograd.grad((torch.cat([n / w, w], dim=1) * weights).sum(), (rgb, alpha, relative))

    fast = gradients(drbokeh_torch.layer_sums(rgb, alpha, relative, blur_parameter))
    slow = gradients(LayerSums.apply(rgb, alpha, relative, blur_parameter, 40))
    for a, b in zip(fast, slow, strict=True):
        assert float((a - b).abs().max()) < 1e-10 * float(b.abs().max())
    single = [t.detach().float() for t in (rgb, alpha, relative)]
    halves = drbokeh_torch.layer_sums(*single, blur_parameter)
    whole = drbokeh_torch.layer_sums(rgb, alpha, relative, blur_parameter)
    for a, b in zip(halves, whole, strict=True):
        torch.testing.assert_close(a.double(), b.detach(), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_finite_in_focus():
    rgb, alpha, disparity = gradient_inputs(np.random.default_rng(6), 1, 1)
    with torch.no_grad():
        disparity.fill_(0.5)
    drbokeh_torch.refocus_layers(rgb, alpha, disparity, 20.0, 0.5).square().sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in (rgb, alpha, disparity))


def test_the_leak_keeps_a_gradient_where_the_true_one_vanishes():
    def slope(leak: bool) -> float:
        # The source is so much nearer that tanh(u) is 1 - 4e-7: nothing is left of its derivative.
        rgb = torch.tensor([[[[0.0, 1.0]]] * 3], dtype=torch.float64).reshape(1, 3, 1, 2)
        disparity = torch.tensor([[[[0.0, 0.9]]]], dtype=torch.float64, requires_grad=True)
        n, _ = drbokeh_torch.layer_sums(rgb, torch.ones_like(disparity), disparity, 2.0, leak=leak)
        n[0, 0, 0, 0].backward()
        # The focused target moves O alone, through d_x.
        return abs(float(disparity.grad[0, 0, 0, 0]))

    assert slope(leak=False) < 1e-5
    assert slope(leak=True) > 1e-4


def rim_scene(rgb_front: float, rgb_back: float, size: int = 64, overscan: int = 40) -> Scene:
    """A half plane, alpha 1 from the middle of the frame to the right, at disparity 1 over a plane at 0."""
    shape = (size + 2 * overscan, size + 2 * overscan)
    front, back = np.ones((*shape, 4), np.float16), np.ones((*shape, 4), np.float16)
    front[..., :3], back[..., :3] = rgb_front, rgb_back
    front[:, : shape[1] // 2, 3] = 0.0
    return Scene((Billboard(front, 1.0), Billboard(back, 0.0)), size, size, overscan)


def rim_profile(name: str, lens: ThinLens) -> np.ndarray:
    """Part of the foreground's light across the rim, from 32 px outside to 32 px inside."""
    scene = rim_scene(1.0, 0.0)
    image = np.zeros((scene.height, scene.width, 3), np.float32)
    refocused = RENDERERS[name](image, scene.composite_disparity(), lens, scene=scene)
    return linear_from_display(refocused)[32, :, 0]


@pytest.mark.parametrize("radius", [5.0, 10.0, 20.0])
def test_a_blurred_rim_shows_the_background_as_the_disk_says(radius):
    profile = rim_profile("drbokeh", ThinLens(radius, 0.0))
    expected = [half_disk((x + 0.5 - 32) / radius) for x in range(64)]
    # The soft edge of V: within 0.004 of G at r = 5 (methods, 4.7.3).
    np.testing.assert_allclose(profile, expected, atol=0.005)


def test_the_release_has_rims_half_as_wide():
    profile = rim_profile("drbokeh-release", ThinLens(20.0, 0.0))
    rim = np.flatnonzero((profile > 1e-3) & (profile < 1.0 - 1e-3))
    # A box of half-size floor((20 + 1) / 2): from 10 px outside the edge to 10 px inside.
    assert (rim[0], rim[-1]) == (32 - 10, 32 + 9)


def test_a_foreground_in_focus_keeps_the_background_out():
    scene = rim_scene(0.25, 1.0)
    image = np.zeros((scene.height, scene.width, 3), np.float32)
    lens = ThinLens(15.0, 1.0)
    refocused = linear_from_display(RENDERERS["drbokeh"](image, scene.composite_disparity(), lens, scene=scene))
    foreground = refocused[:, 32:]
    # 0.0025 of V's soft edge reaches the border pixel, of a difference of 0.75 (methods, 4.7.3).
    np.testing.assert_allclose(foreground, 0.25, atol=0.0025)


def reached(aperture: Aperture, defocus_px: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels well inside, and well outside, the image of a point in the middle: its ray of lens point s is at -S s."""
    landed = np.rint(size // 2 - defocus_px * aperture_points(aperture, 4096)).astype(int)
    covered = np.zeros((size, size), np.uint8)
    covered[landed[:, 1], landed[:, 0]] = 1
    window = np.ones((5, 5), np.uint8)
    return cv2.erode(covered, window) > 0, cv2.dilate(covered, window) == 0


SHAPES = [Polygon(3, rotation_deg=90.0), Donut(0.5), Disk()]


@pytest.mark.parametrize("defocus_px", [12.0, -12.0])
@pytest.mark.parametrize("aperture", SHAPES)
def test_a_grain_hides_what_is_behind_it_where_a_ray_of_the_pixel_meets_it(aperture, defocus_px):
    rgba = np.zeros((41, 41, 4), np.float32)
    rgba[20, 20, 3] = 1.0
    layer = DefocusedLayer(rgba, np.full((41, 41), defocus_px, np.float32))
    hidden = blur_layer(layer, 12.0, aperture, "disk")[1][..., 0]
    inside, outside = reached(aperture, defocus_px, 41)
    # One of the pixels that the opening covers.
    np.testing.assert_allclose(hidden[inside], 1.0 / (np.pi * 12.0**2 * aperture.area), rtol=0.05)
    assert inside.sum() > 20 and hidden[outside].max() < 1e-6


@pytest.mark.parametrize("defocus_px", [12.0, -12.0])
@pytest.mark.parametrize("aperture", SHAPES)
def test_a_pixel_in_focus_gets_light_inside_the_outline_only(aperture, defocus_px):
    """Where no ray of a source lands, the source is not seen."""
    size, middle = 41, 20
    rgba = np.ones((size, size, 4), np.float32)
    rgba[..., :3] = 0.0
    rgba[middle, middle, :3] = 1.0
    # Before what is in focus; or behind it, where O lets 1 - exp(-3) of it through at 1 px of defocus.
    defocus = np.full((size, size), 0.0 if defocus_px > 0 else 1.0, np.float32)
    defocus[middle, middle] = defocus_px
    seen = blur_layer(DefocusedLayer(rgba, defocus), 12.0, aperture, None)[0][..., 0]
    inside, outside = reached(aperture, defocus_px, size)
    away = np.hypot(*(np.indices((size, size)) - middle)) > 1.5
    level = np.median(seen[inside & away])
    np.testing.assert_allclose(seen[inside & away], level, rtol=0.05)
    # The soft step is half at 0.23 px outside the outline, and 1 / (1 + 10 exp(3)) at 2 px.
    assert level > 1e-4 and seen[outside & away].max() < 0.01 * level


def test_what_is_behind_does_not_cover_what_is_in_focus_in_one_layer():
    """O alone: K d_x = 0 and sources one unit of disparity nearer or behind."""

    def light_from_neighbours(d_neighbours: float) -> float:
        rgba = np.ones((9, 9, 4), np.float32)
        rgba[4, 4, :3] = 0.0
        defocus = np.full((9, 9), 8.0 * d_neighbours, np.float32)
        defocus[4, 4] = 0.0
        return float(blur_layer(DefocusedLayer(rgba, defocus), 8.0, Disk(), None)[0][4, 4, 0])

    assert light_from_neighbours(-1.0) < 1e-6
    assert light_from_neighbours(1.0) > 0.4
