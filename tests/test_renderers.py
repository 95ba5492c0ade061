"""What every classical entry of RENDERERS does to light. What any entry keeps is in test_renderer_contract.py."""

import subprocess
import sys

import numpy as np
import pytest

from raytrace.tracer import Tracer
from renderers import RENDERERS
from renderers.base import RendererError, render_batch
from scenes.aperture import Polygon
from scenes.billboard import Billboard, Scene, overscan_px
from scenes.color import display_from_linear, linear_from_display
from scenes.lens import ThinLens

pytestmark = pytest.mark.usefixtures("taichi_cpu")

# What networks make of light depends on their weights: test_neural.py has what does not.
ALL = sorted(name for name, renderer in RENDERERS.items() if not renderer.checkpoints)
BLURRING = [name for name in ALL if name != "identity"]
FROM_DISPARITY = [name for name in ALL if RENDERERS[name].information in ("picture", "disparity")]

# Part of a pixel's light that the method gives to its neighbours in focus, in linear light. BokehMe's tanh and D2F's
# overlapping masks leave 0.3 and 0.2 per cent; Dr.Bokeh's soft step gives 8.5 per cent (methods, 4.7.1).
LEAK_IN_FOCUS = {
    "scatter": 0.003,
    "scatter-plain": 0.003,
    "scatter-taichi": 0.003,
    "d2f-layered": 0.003,
    "drbokeh": 0.086,
    "drbokeh-rgbd": 0.086,
    "drbokeh-single": 0.086,
    "drbokeh-release": 0.086,
}


def flat_scene(image: np.ndarray, disparity: float, overscan: int) -> Scene:
    """A picture (H, W, 3) in display values on one plane; beyond the frame its border repeats."""
    height, width = image.shape[:2]
    rgba = np.ones((height, width, 4))
    rgba[..., :3] = linear_from_display(image)
    margin = ((overscan, overscan), (overscan, overscan), (0, 0))
    return Scene((Billboard(np.pad(rgba, margin, mode="edge").astype(np.float16), disparity),), width, height, overscan)


def picture_of(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """All-in-focus picture in display values, and the composite disparity."""
    return display_from_linear(scene.composite()), scene.composite_disparity()


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.clip(a, 0, 1) - np.clip(b, 0, 1), dtype=np.float64))))


@pytest.mark.parametrize("name", ALL)
def test_a_constant_picture_stays_constant(name, random_scene):
    rng = np.random.default_rng(1)
    scene = random_scene(rng=rng, width=41, height=30, overscan=16)
    for layer in scene.layers:
        layer.rgba[..., :3] = 0.25
    image, disparity = picture_of(scene)
    lens = ThinLens(12.0, 0.4)
    refocused = RENDERERS[name](image, disparity, lens, scene=scene)
    if name == "rvr":
        # Its missing normalisation is the point of the method: never brighter, and darker where slices meet.
        assert refocused.max() <= image.max() + 1e-5 and refocused.min() < 0.9 * image.min()
    else:
        # Dr.Bokeh's 1e-8 beside the smallest sum of weights is the largest of several float32 roundings.
        np.testing.assert_allclose(refocused, image, atol=2e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_picture_in_focus_stays_sharp(name):
    image = np.random.default_rng(2).random((23, 31, 3), np.float32)
    scene = flat_scene(image, 0.5, overscan=2)
    image, disparity = picture_of(scene)
    refocused = RENDERERS[name](image, disparity, ThinLens(20.0, 0.5), scene=scene)
    leak = LEAK_IN_FOCUS.get(name, 0.0)
    # Neighbours differ by at most 1 in linear light; 1e-6 is the two powers in float32.
    np.testing.assert_allclose(linear_from_display(refocused), linear_from_display(image), atol=leak + 2e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (7, 1), (5, 3)])
@pytest.mark.parametrize("disparity", [0.0, 1.0])
@pytest.mark.parametrize("name", ALL)
def test_extremes_give_finite_pictures(name, disparity, size):
    # Display 30 is 1777 in linear light; the blur is far larger than the picture.
    image = np.zeros((*size, 3), np.float32)
    image[0, 0] = 30.0
    lens = ThinLens(24.0, 0.0 if disparity else 0.9)
    scene = flat_scene(image, disparity, overscan_px(24.0))
    refocused = RENDERERS[name](image, np.full(size, disparity, np.float32), lens, scene=scene)
    assert refocused.shape == image.shape and refocused.dtype == np.float32
    assert np.isfinite(refocused).all() and refocused.min() >= 0.0


@pytest.mark.parametrize("focus", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ALL)
def test_black_before_bright_light_never_rounds_below_black(name, focus):
    """A power of a value just below zero is not a number."""
    overscan, size = overscan_px(14.0), 40
    shape = (size + 2 * overscan,) * 2
    black, lamp = np.zeros((*shape, 4), np.float16), np.ones((*shape, 4), np.float16)
    y, x = np.indices(shape)
    black[..., 3] = np.clip(24.3 - np.hypot(x - shape[1] / 2, y - shape[0] / 2), 0.0, 1.0)
    lamp[..., :3] = 6e4
    scene = Scene((Billboard(black, 1.0), Billboard(lamp, 0.0)), size, size, overscan)
    image, disparity = picture_of(scene)
    refocused = RENDERERS[name](image, disparity, ThinLens(14.0, focus), scene=scene)
    assert np.isfinite(refocused).all() and refocused.min() >= 0.0


@pytest.mark.parametrize("name", FROM_DISPARITY)
def test_noise_for_a_disparity_gives_a_finite_picture(name):
    rng = np.random.default_rng(4)
    image, disparity = 3.0 * rng.random((21, 34, 3), np.float32), rng.random((21, 34), np.float32)
    refocused = RENDERERS[name](image, disparity, ThinLens(15.0, 0.5))
    # 1e-5: averages of float32 powers.
    assert np.isfinite(refocused).all() and 0.0 <= refocused.min() and refocused.max() <= image.max() * (1 + 1e-5)


# D2F's soft disks are those of radius sqrt(r^2 + 2); CoCNet's have a bright rim, so that only the outside counts.
@pytest.mark.parametrize("defocus_px", [10.0, -10.0])
@pytest.mark.parametrize("name", BLURRING)
def test_a_point_light_becomes_a_disk_of_radius_r(name, defocus_px):
    size, radius = 45, 10.0
    linear = np.full((size, size, 3), 1e-4, np.float32)
    linear[size // 2, size // 2] = 100.0
    image = display_from_linear(linear)
    scene = flat_scene(image, 0.5 if defocus_px > 0 else 0.0, overscan_px(radius))
    image, disparity = picture_of(scene)
    lens = ThinLens(20.0, 0.0 if defocus_px > 0 else 0.5)
    spot = linear_from_display(RENDERERS[name](image, disparity, lens, scene=scene))[..., 1] - 1e-4
    rho = np.hypot(*(np.indices((size, size)) - size // 2))
    energy = spot.sum()
    # VDSLR draws 128 rays a pixel, of which 128 / (pi r^2) meet the light: 9 % of the energy is its own noise.
    noise = 0.2 if name == "vdslr" else 0.0
    assert energy == pytest.approx(100.0, rel=0.02 + noise)
    assert spot[rho > radius + 1.5].sum() < 0.02 * energy
    assert spot[rho > radius - 2.0].sum() > 0.25 * energy
    if name != "cocnet-physical":
        # The level of a uniform disk. Soft edges make the widest, Dr.Bokeh's, a disk of radius 10.25: 5 % lower.
        assert spot[rho < radius / 2].mean() == pytest.approx(energy / (np.pi * radius**2), rel=0.06 + noise)


@pytest.mark.parametrize("name", [name for name in BLURRING if name not in ("scatter-plain", "scatter-taichi")])
def test_a_triangle_points_the_other_way_on_the_other_side_of_focus(name):
    size, radius = 45, 12.0
    linear = np.full((size, size, 3), 1e-4, np.float32)
    linear[size // 2, size // 2] = 100.0
    for side in (1.0, -1.0):
        scene = flat_scene(display_from_linear(linear), 0.5 + side * 0.4, overscan_px(radius))
        image, disparity = picture_of(scene)
        lens = ThinLens(radius / 0.4, 0.5, Polygon(3, rotation_deg=90.0))
        spot = linear_from_display(RENDERERS[name](image, disparity, lens, scene=scene))[..., 1]
        # The first vertex points along +y, which is down; behind focus the shape is upright: its widest row is above.
        widest = np.argmax((spot > 0.25 * spot.max()).sum(axis=1)) - size // 2
        assert np.sign(widest) == side


@pytest.mark.parametrize("name", FROM_DISPARITY)
def test_the_unit_of_disparity_does_not_matter(name):
    """Disparities as BLB has them, in 1/m with K in px m, against the same normalized to [0, 1]."""
    rng = np.random.default_rng(6)
    image = rng.random((26, 35, 3), np.float32)
    # Multiples of 2^-10: the affine map below is exact in float32.
    normalized = np.round(rng.random((26, 35)) * 1024).astype(np.float32) / 1024
    normalized[0, :2] = 0.0, 1.0
    in_focus = 0.375
    per_metre = 0.25 * normalized + 0.5
    lens = ThinLens(14.0, in_focus)
    lens_of_blb = ThinLens(14.0 / 0.25, 0.25 * in_focus + 0.5)
    expected = RENDERERS[name](image, normalized, lens)
    # Rounding of K times the range in float64.
    np.testing.assert_allclose(RENDERERS[name](image, per_metre, lens_of_blb), expected, atol=1e-6)


def default_like_scene(rng: np.random.Generator, lights: int) -> Scene:
    """Three smooth textures at different depths, two of them cut to disks with soft edges."""
    width, height, overscan = 96, 72, 16
    shape = (height + 2 * overscan, width + 2 * overscan)
    y, x = np.indices(shape)
    layers = []
    for i, disparity in enumerate((0.9, 0.5, 0.1)):
        rgba = np.ones((*shape, 4), np.float32)
        for c in range(3):
            phase, (fx, fy) = rng.uniform(0, 6.28), rng.uniform(0.1, 0.9, 2)
            rgba[..., c] = (0.5 + 0.45 * np.sin(fx * x + fy * y + phase)) ** 2.2
        rgba[rng.integers(shape[0], size=lights), rng.integers(shape[1], size=lights), :3] = 20.0
        if i < 2:
            cx, cy = rng.uniform(0.3, 0.7, 2) * shape[::-1]
            rgba[..., 3] = np.clip(0.25 * shape[0] + 0.5 - np.hypot(x - cx, y - cy), 0.0, 1.0)
        layers.append(Billboard(rgba.astype(np.float16), disparity))
    return Scene(tuple(layers), width, height, overscan)


@pytest.fixture(scope="module")
def traced():
    """(scene, picture, disparity, lens, truth) of a few scenes, noise 1e-3 display RMSE."""
    cases = []
    for seed, focus in enumerate((0.1, 0.5, 0.9)):
        scene = default_like_scene(np.random.default_rng(seed), lights=4)
        lens = ThinLens(14.0, focus)
        truth = display_from_linear(Tracer("cpu").render(scene, lens, noise=1e-3).linear[0])
        cases.append((scene, *picture_of(scene), lens, truth))
    return cases


@pytest.mark.parametrize("name", BLURRING)
def test_it_is_better_than_no_blur(name, traced):
    ours = [
        rmse(RENDERERS[name](image, disparity, lens, scene=scene), truth)
        for scene, image, disparity, lens, truth in traced
    ]
    unblurred = [rmse(image, truth) for _, image, _, _, truth in traced]
    assert np.mean(ours) < np.mean(unblurred)
    # The darkening of rvr costs it more than the blur gains on some scene; every other method gains on each.
    if name != "rvr":
        assert all(a < b for a, b in zip(ours, unblurred, strict=True))


def test_the_oracle_reaches_the_truth_to_its_noise_and_those_that_are_given_layers_come_next(traced):
    errors = {
        name: np.mean([rmse(RENDERERS[name](i, d, lens, scene=scene), truth) for scene, i, d, lens, truth in traced])
        for name in BLURRING
    }
    # Twice sqrt(0.002^2 + 0.001^2): both traces estimate their noise within a factor of two.
    assert errors["oracle-layers"] < 0.0045
    ranking = sorted(errors, key=lambda name: errors[name])
    assert ranking[:3] == ["oracle-layers", "layers-over", "drbokeh"]


def test_importing_the_package_loads_no_method_and_neither_torch_nor_taichi():
    code = "import sys, renderers; print([m for m in ('torch', 'taichi', 'numba', 'raytrace') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_numpy_pictures_need_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from renderers import RENDERERS
from scenes.lens import ThinLens
for name, renderer in RENDERERS.items():
    # The others need layers, Taichi started, or networks.
    if not renderer.checkpoints and renderer.information in ("picture", "disparity") and name != "scatter-taichi":
        renderer(np.ones((4, 5, 3), np.float32), np.ones((4, 5), np.float32), ThinLens(2.0, 0.0))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensors_share_memory_and_give_the_same_picture():
    torch = pytest.importorskip("torch")
    from renderers.neural.tensors import render_tensors

    rng = np.random.default_rng(8)
    images, disparities = rng.random((2, 12, 17, 3), np.float32), rng.random((2, 12, 17), np.float32)
    lenses = [ThinLens(4.0, 0.5), ThinLens(6.0, 0.1)]
    expected = render_batch(RENDERERS["scatter"], images, disparities, lenses)
    as_tensors = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(disparities)[:, None]
    refocused = render_tensors(RENDERERS["scatter"], *as_tensors, lenses)
    assert refocused.shape == (2, 3, 12, 17)
    np.testing.assert_array_equal(refocused.permute(0, 2, 3, 1).numpy(), expected)

    seen = []
    render_tensors(lambda image, disparity, lens, **_: seen.append(image) or image, *as_tensors, lenses)
    assert all(np.shares_memory(image, images) for image in seen)


def test_a_blur_too_large_to_render_is_named():
    with pytest.raises(RendererError, match="blur radius of 1e\\+04 px"):
        RENDERERS["scatter"](np.ones((4, 5, 3), np.float32), np.ones((4, 5), np.float32), ThinLens(1e4, 0.0))


def test_the_oracle_without_layers_says_so():
    with pytest.raises(RendererError, match="true layers"):
        RENDERERS["oracle-layers"](np.ones((4, 5, 3), np.float32), np.ones((4, 5), np.float32), ThinLens(3.0, 0.0))
