"""The tracer against closed forms, against slow NumPy, and against itself.

Every test runs with all three kernels: the numba kernel and the Taichi kernel that shift layers, and the Taichi kernel
that gathers ray by ray.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numba
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from raytrace import reference, tracer
from raytrace.tracer import Render, Tracer
from scenes.aperture import Aperture, Character, Disk, Donut, Polygon, aperture_points
from scenes.billboard import Billboard, Scene, SceneError
from scenes.lens import ThinLens

Trace = Callable[..., Render]

# Size of the frame of the test scenes. Neither side is a multiple of a tile.
WIDTH, HEIGHT, OVERSCAN = 50, 40, 24

# Image coordinates of the texel centres of the layers.
X = np.arange(WIDTH + 2 * OVERSCAN) + 0.5 - OVERSCAN
Y = (np.arange(HEIGHT + 2 * OVERSCAN) + 0.5 - OVERSCAN)[:, None]

APERTURES = {
    "disk": Disk(),
    "triangle": Polygon(3, rotation_deg=90.0),
    "rounded hexagon": Polygon(6, rotation_deg=11.0, curvature=0.5),
    "donut": Donut(0.5),
}


@pytest.fixture(params=["numba", "shift", "gather"])
def trace(request, taichi_cpu) -> Trace:
    """`Tracer.render` by one of the three kernels."""
    of_engine = Tracer(taichi_cpu, taichi=request.param != "numba")

    def render(scene: Scene, lens: ThinLens, **options) -> Render:
        return of_engine.render(hardly_slanted(scene) if request.param == "gather" else scene, lens, **options)

    return render


def hardly_slanted(scene: Scene) -> Scene:
    """The scene with equal disparities bit for bit, but with slopes that send it to the gather kernel."""
    layers = tuple(replace(layer, slope=(1e-30, 0.0)) if not layer.is_slanted else layer for layer in scene.layers)
    return replace(scene, layers=layers)


def billboard(
    colour: ArrayLike, disparity: float, *, alpha: ArrayLike = 1.0, slope: tuple[float, float] = (0.0, 0.0)
) -> Billboard:
    """A layer from anything that broadcasts to (H', W', 3) colour and (H', W') alpha."""
    rgba = np.empty((HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4), np.float16)
    rgba[..., :3] = colour
    rgba[..., 3] = alpha
    return Billboard(rgba, disparity, slope)


def scene_of(*layers: Billboard) -> Scene:
    return Scene(layers, WIDTH, HEIGHT, OVERSCAN)


def point_light(disparity: float, x: float = 22.5, y: float = 19.5, slope: tuple[float, float] = (0.0, 0.0)) -> Scene:
    """One texel of light 1000, centred at (x, y), on black."""
    return scene_of(billboard(1000.0 * (np.equal(x, X) & np.equal(y, Y))[..., None], disparity, slope=slope))


def moments(light: NDArray) -> tuple[float, NDArray, NDArray]:
    """Sum, centroid (x, y) and central second moments (x, y) of an image (H, W)."""
    x, y = np.arange(light.shape[1]) + 0.5, (np.arange(light.shape[0]) + 0.5)[:, None]
    energy = light.sum(dtype=np.float64)
    centroid = np.array([(x * light).sum(), (y * light).sum()]) / energy
    spread = np.array([(np.square(x - centroid[0]) * light).sum(), (np.square(y - centroid[1]) * light).sum()])
    return float(energy), centroid, spread / energy


def composite(scene: Scene) -> NDArray[np.float64]:
    """The all-in-focus image: layers over each other in linear light, (H, W, 3)."""
    image = np.zeros((scene.height, scene.width, 3))
    for i in reversed(range(len(scene.layers))):
        rgba = scene.frame_rgba(i).astype(np.float64)
        image = rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:]) * image
    return image


def brightest(scene: Scene, gamma: float = 2.2) -> float:
    """Largest texel at a gamma. Rounding errors are proportional to it."""
    return max(1.0, max(float(layer.rgba[..., :3].max()) for layer in scene.layers)) ** (gamma / 2.2)


# Closed forms


@pytest.mark.parametrize("disparity", [0.9, 0.1])
def test_a_point_light_becomes_a_uniform_disk(trace, disparity):
    radius = 11.3
    lens = ThinLens(radius / 0.4, 0.5)
    light = trace(point_light(disparity), lens, samples=16384).linear[0, ..., 0]

    energy, centroid, spread = moments(light)
    assert energy == pytest.approx(1000.0, rel=1e-5)  # float32 sums over 16384 points
    np.testing.assert_allclose(centroid, [22.5, 19.5], atol=0.002)
    # A disk has second moment r^2 / 4 about each axis, the bilinear footprint of a texel 1/6. The set is even to 1e-4.
    np.testing.assert_allclose(spread, radius**2 / 4.0 + 1.0 / 6.0, rtol=5e-4)

    # The footprint of the texel reaches a pixel along both axes, so the step at the rim is at most 2 sqrt(2) wide.
    distance = np.hypot(np.arange(WIDTH) - 22, (np.arange(HEIGHT) - 19)[:, None])
    level = 1000.0 / (math.pi * radius**2)
    # A pixel receives 41 of the 16384 points. Random points would give an error of 16 %.
    np.testing.assert_allclose(light[distance < radius - math.sqrt(2.0)], level, rtol=0.01)
    assert (light[distance > radius + math.sqrt(2.0)] == 0.0).all()
    # The light is at half the level on the rim, so the number of pixels above it is the area of the disk.
    assert math.sqrt((light > level / 2.0).sum() / math.pi) == pytest.approx(radius, abs=0.05)


@pytest.mark.parametrize("name", APERTURES)
def test_a_smaller_aperture_makes_a_denser_highlight_of_the_same_energy(trace, name):
    lens = ThinLens(30.0, 0.5, APERTURES[name])
    light = trace(point_light(0.9), lens, samples=16384).linear[0, ..., 0]
    assert light.sum(dtype=np.float64) == pytest.approx(1000.0, rel=1e-5)
    # The median density: rims and the hole of a donut have lower densities.
    level = 1000.0 / (math.pi * 12.0**2 * lens.aperture.area)
    assert np.median(light[light > level / 2.0]) == pytest.approx(level, rel=0.002)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_light_in_the_corner_becomes_the_part_of_its_disk_that_two_stops_share(trace, side):
    radius, cat_eye = 9.0, 0.8
    at = np.array([44.5, 4.5])
    lens = ThinLens(radius / 0.4, 0.5, Character(Disk(), cat_eye=cat_eye))
    light = trace(point_light(0.5 + 0.4 * side, *at), lens, samples=16384).linear[0, ..., 0]
    x, y = np.arange(WIDTH) + 0.5, (np.arange(HEIGHT) + 0.5)[:, None]
    # Each pixel sees the second stop from its own place.
    from_middle = np.stack(np.broadcast_arrays(x - WIDTH / 2, y - HEIGHT / 2), axis=-1)
    field = from_middle / math.hypot(WIDTH / 2, HEIGHT / 2)
    lens_point = np.stack(np.broadcast_arrays(at[0] - x, at[1] - y), axis=-1) / (side * radius)
    first, second = np.linalg.norm(lens_point, axis=-1), np.linalg.norm(lens_point + cat_eye * field, axis=-1)
    # The pixel gets 1 / (area of the rays that pass), which is that of two disks that overlap.
    apart = cat_eye * np.linalg.norm(field, axis=-1) / 2.0
    share = 2.0 / math.pi * (np.arccos(apart) - apart * np.sqrt(1.0 - apart**2))
    level = 1000.0 / (math.pi * radius**2 * share)
    rim = 1.5 / radius
    inside, outside = np.maximum(first, second) < 1.0 - rim, np.maximum(first, second) > 1.0 + rim
    assert inside.sum() > 60
    np.testing.assert_allclose(light[inside], level[inside], rtol=0.02)
    assert (light[outside] == 0.0).all()


def disk_cumulative(t: float) -> float:
    """Part of the unit disk on one side of a line at signed distance t from its centre."""
    return 1.0 - (math.acos(t) - t * math.sqrt(1.0 - t * t)) / math.pi


@pytest.mark.parametrize("transposed", [False, True], ids=["upright", "level"])
@pytest.mark.parametrize("disparity", [0.9, 0.3])
def test_an_edge_blurs_to_the_cumulative_of_the_disk(trace, transposed, disparity):
    side, edge, blur_radius_px = HEIGHT, 20, 9.0
    overscan = OVERSCAN
    position = np.arange(side + 2 * overscan) + 0.5 - overscan
    white = np.ones((len(position), len(position), 4), np.float16)
    white[..., 3] = position < edge
    black = np.zeros_like(white)
    black[..., 3] = 1.0
    if transposed:
        white = white.transpose(1, 0, 2).copy()
    scene = Scene((Billboard(white, disparity), Billboard(black, 0.1)), side, side, overscan)

    focus = 0.6
    light = trace(scene, ThinLens(blur_radius_px / 0.3, focus), samples=4096).linear[0, ..., 0]
    profile = light.T if transposed else light

    # 4096 points give areas of the disk to 1e-3. Bilinear interpolation of the matte averages the profile over one
    # pixel, which changes it by G'' / (24 r^2) < 1e-3 inside the disk.
    assert disk_cumulative(0.5) == pytest.approx(0.8045, abs=5e-5)
    half_radius = (edge + np.array([-4.5, 4.5]) - 0.5).astype(int)
    np.testing.assert_allclose(profile[:, half_radius].mean(axis=0), [0.8045, 0.1955], atol=1e-3)
    assert profile[:, edge - 1 : edge + 1].mean() == pytest.approx(0.5, abs=1e-3)
    for x in range(edge - 8, edge + 8):
        inside = (edge - (x + 0.5)) / blur_radius_px
        np.testing.assert_allclose(profile[:, x], disk_cumulative(inside), atol=1.5e-3)
    assert (profile[:, : edge - 10] == pytest.approx(1.0, abs=1e-5)) and (profile[:, edge + 10 :] == 0.0).all()


def mean_over_disk(of_coordinate: Callable[[NDArray], NDArray], steps: int = 20_000) -> NDArray:
    """Mean over the unit disk of a function (steps,) -> (..., steps) of one coordinate: chords have 2 sin(angle)."""
    angle = (np.arange(steps) + 0.5) / steps * np.pi
    return (of_coordinate(np.cos(angle)) * 2.0 * np.square(np.sin(angle))).mean(axis=-1)


@pytest.mark.parametrize(
    "near_px, far_px",
    [(14.0, 6.0), (10.0, -8.0), (-4.0, -12.0), (0.0, -10.0), (12.0, 0.0)],
    ids=["in front of focus", "around focus", "behind focus", "near one in focus", "far one in focus"],
)
def test_a_far_edge_shows_through_a_blurred_near_one_by_the_exact_share_of_rays(trace, near_px, far_px):
    blur_parameter, focus = 40.0, 0.5
    near_edge, far_edge = 22, 27
    near, middle, back = np.array([0.9, 0.2, 0.1]), np.array([0.1, 0.8, 0.3]), np.array([0.2, 0.1, 0.7])
    scene = scene_of(
        billboard(near, focus + near_px / blur_parameter, alpha=X < near_edge),
        billboard(middle, focus + far_px / blur_parameter, alpha=X < far_edge),
        billboard(back, 0.05),
    )
    image = trace(scene, ThinLens(blur_parameter, focus), samples=4096).linear[0]

    # A ray from pixel x through lens coordinate t meets a layer at x + S t. The matte there is interpolated over the
    # pixel around the edge.
    x = (np.arange(WIDTH) + 0.5)[:, None]
    colours = [layer.rgba[0, 0, :3].astype(np.float64) for layer in scene.layers]

    def shares(t):
        of_near = np.clip(near_edge + 0.5 - (x + near_px * t), 0.0, 1.0)
        of_middle = (1.0 - of_near) * np.clip(far_edge + 0.5 - (x + far_px * t), 0.0, 1.0)
        return np.stack([of_near, of_middle, 1.0 - of_near - of_middle])

    expected = mean_over_disk(shares).T @ colours
    # 4096 points give areas of the disk to 5e-4.
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), atol=5e-4)


def test_blurring_the_layers_first_would_not_pass_for_partial_occlusion():
    """The test above detects this error: the product of mean shares is not the mean of their product."""
    x, both = np.arange(-10.0, 10.0)[:, None], [14.0, 6.0]
    near, far = (mean_over_disk(lambda t, s=s: np.clip(0.5 - (x + s * t), 0.0, 1.0)) for s in both)
    exact = mean_over_disk(lambda t: np.clip(0.5 + x + 14.0 * t, 0.0, 1.0) * np.clip(0.5 - (x + 6.0 * t), 0.0, 1.0))
    assert np.abs((1.0 - near) * far - exact).max() > 0.1


@pytest.mark.parametrize("pixel", ["point", "box"])
@pytest.mark.parametrize("name", APERTURES)
@pytest.mark.parametrize("slope", [0.0, 1e-3])
def test_a_scene_of_one_colour_has_that_colour_everywhere(trace, random_scene, name, pixel, slope):
    scene = random_scene(rng=np.random.default_rng(3), slope=slope, overscan=26)
    colour = np.array([0.25, 1.5, 7.0], np.float16)
    for layer in scene.layers:
        layer.rgba[..., :3] = colour
    image = trace(scene, ThinLens(30.0, 0.3, APERTURES[name]), pixel=pixel, samples=300).linear[0]
    # Sums of 300 x 3 terms in float32.
    np.testing.assert_allclose(image, np.broadcast_to(colour, image.shape).astype(np.float32), rtol=2e-5)


def test_the_pinhole_image_is_the_composite_of_the_layers(trace, random_scene):
    for slope in (0.0, 1e-3):
        scene = random_scene(rng=np.random.default_rng(4), slope=slope, lights=30)
        render = trace(scene, ThinLens(0.0, 0.3), noise=0.002)
        assert render.samples == 1 and render.noise_rmse == (0.0,)
        expected = composite(scene).astype(np.float32)
        # One pass in float32: two roundings per layer.
        np.testing.assert_allclose(render.linear[0], expected, rtol=4e-7)
        # Only a value within this error of the middle between two half floats can be rounded to the other one. Their
        # share is 4e-7 of a step of 1/1024.
        assert (render.linear[0].astype(np.float16) != expected.astype(np.float16)).mean() < 4e-7 * 1024


def test_the_pinhole_image_of_hard_mattes_is_the_composite_bit_for_bit(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(4), lights=30)
    for layer in scene.layers:
        layer.rgba[..., 3] = np.round(layer.rgba[..., 3])
    render = trace(scene, ThinLens(0.0, 0.3), samples=100)
    np.testing.assert_array_equal(render.linear[0], composite(scene).astype(np.float32))
    assert render.samples == 1 and render.noise_rmse == (0.0,)


def test_a_layer_in_focus_is_its_picture_bit_for_bit(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(5), num_layers=1, lights=30)
    render = trace(scene, ThinLens(40.0, scene.layers[0].disparity), noise=0.002)
    np.testing.assert_array_equal(render.linear[0].astype(np.float16), scene.frame_rgba(0)[..., :3])
    assert render.samples == 1 and render.noise_rmse == (0.0,)


def test_an_object_in_focus_is_sharp_before_a_blurred_ground(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(6), num_layers=2)
    image = trace(scene, ThinLens(20.0, scene.layers[0].disparity), samples=300).linear[0]
    opaque = scene.frame_rgba(0)[..., 3] == 1.0
    assert 0.2 < opaque.mean() < 0.8
    # The mean of 300 equal numbers in float32.
    np.testing.assert_allclose(image[opaque], scene.frame_rgba(0)[opaque][:, :3].astype(np.float32), rtol=1e-5)
    assert np.abs(image[~opaque] - composite(scene)[~opaque]).max() > 0.1


def test_a_box_pixel_averages_over_its_area(trace, random_scene):
    """At K = 0 the mean of the bilinear picture over a pixel has weights 1/8, 6/8, 1/8 along each axis."""
    scene = random_scene(rng=np.random.default_rng(7), num_layers=1)
    image = trace(scene, ThinLens(0.0, 0.5), pixel="box", samples=4096).linear[0]
    picture = scene.layers[0].rgba[..., :3].astype(np.float64)
    for axis in (0, 1):
        picture = (np.roll(picture, 1, axis) + 6.0 * picture + np.roll(picture, -1, axis)) / 8.0
    inner = slice(scene.overscan, -scene.overscan)
    # 4096 even points give the four weights of a lookup to 1e-3.
    np.testing.assert_allclose(image, picture[inner, inner], atol=1e-3)


@pytest.mark.parametrize("pixel", ["point", "box"])
def test_light_is_neither_made_nor_lost(trace, random_scene, pixel):
    picture = random_scene(rng=np.random.default_rng(8), num_layers=1, lights=30).layers[0].rgba[..., :3]
    island = (np.abs(X - WIDTH / 2) < 12.0) & (np.abs(Y - HEIGHT / 2) < 7.0)
    colour = np.where(island[..., None], picture[: len(Y), : len(X)], 0.0)
    image = trace(scene_of(billboard(colour, 0.9)), ThinLens(20.0, 0.4), pixel=pixel, samples=500).linear[0]
    # The four weights of every lookup sum to 1 up to float32 rounding.
    expected = colour.sum(axis=(0, 1), dtype=np.float64)
    np.testing.assert_allclose(image.sum(axis=(0, 1), dtype=np.float64), expected, rtol=1e-5)


def test_a_triangle_aperture_turns_around_across_focus(trace):
    lens = ThinLens(30.0, 0.5, Polygon(3, rotation_deg=90.0))  # a vertex points down the picture
    behind, before = (trace(point_light(d), lens, samples=8192).linear[0, ..., 0] for d in (0.1, 0.9))
    # The light is at pixel [19, 22]; a half turn about it maps [19 + i, 22 + j] to [19 - i, 22 - j].
    around = (slice(19 - 14, 19 + 15), slice(22 - 14, 22 + 15))
    # The same lookups with the same weights, up to the rounding of positions.
    np.testing.assert_allclose(before[around], behind[around][::-1, ::-1], atol=1e-4 * behind.max())

    rows = np.flatnonzero(behind.sum(axis=1)) - 19
    # Behind focus the triangle is upright: its tip is at 12 px, the opposite side at 6 px, plus a texel of footprint.
    assert 11 <= rows.max() <= 13 and -8 < rows.min() <= -6


SLANT = (0.004, -0.002)


def test_a_point_light_on_a_slanted_plane_becomes_the_disk_of_its_own_disparity(taichi_cpu):
    """The image is a disk of radius K |d - d_f| around the light. Its density is 1 - K g . s because of the tilt."""
    lens = ThinLens(40.0, 0.3)
    for x, y in ((34.5, 15.5), (13.5, 25.5)):
        scene = point_light(0.5, x, y, SLANT)
        disparity = 0.5 + SLANT[0] * (x - WIDTH / 2) + SLANT[1] * (y - HEIGHT / 2)
        defocus_px = lens.defocus_px(disparity)
        light = Tracer(taichi_cpu).render(scene, lens, samples=16384).linear[0, ..., 0]

        energy, centroid, spread = moments(light)
        tilt = lens.blur_parameter * np.array(SLANT)
        # The light in a pixel is a count of rays that hit the texel, and the footprint is stretched by up to |K g|.
        assert energy == pytest.approx(1000.0, rel=2e-3)
        np.testing.assert_allclose(centroid, [x, y] + defocus_px * tilt / 4.0, atol=0.03)
        expected = np.square(defocus_px) * (1.0 / 4.0 - np.square(tilt) / 16.0) + 1.0 / 6.0
        np.testing.assert_allclose(spread, expected, rtol=1e-2)
        distance = np.hypot(np.arange(WIDTH) + 0.5 - x, (np.arange(HEIGHT) + 0.5 - y)[:, None])
        assert distance[light > 0.0].max() == pytest.approx(defocus_px, abs=1.6)


def test_the_map_of_a_slanted_plane_is_its_disparity_at_the_centre_of_every_pixel():
    """Linear about the frame's centre, where it is the plane's own: pixels on opposite sides of it add up to twice."""
    scene = point_light(0.5, 34.5, 15.5, SLANT)
    disparity = scene.frame_disparity(0).astype(np.float64)
    np.testing.assert_allclose(disparity + disparity[::-1, ::-1], 1.0, atol=1e-6)
    np.testing.assert_allclose(np.diff(disparity, axis=1), SLANT[0], atol=1e-6)
    np.testing.assert_allclose(np.diff(disparity, axis=0), SLANT[1], atol=1e-6)


@pytest.mark.parametrize("alpha, seen", [(0.0, 0.2), (0.1, 0.2), (0.4995, 0.2), (0.5, 0.8), (1.0, 0.8)])
def test_the_disparity_of_a_pixel_is_that_of_the_layer_that_gives_most_of_its_light(alpha, seen):
    near, far = (np.ones((8, 8, 4), np.float16) for _ in range(2))
    near[..., 3] = alpha
    scene = Scene((Billboard(near, 0.8), Billboard(far, 0.2)), 8, 8, 0)
    np.testing.assert_array_equal(scene.composite_disparity(), np.float32(seen))


# Properties


def test_twice_the_light_is_twice_the_image(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(9), lights=20)
    lens = ThinLens(20.0, 0.5)
    once = trace(scene, lens, samples=100).linear
    for layer in scene.layers:
        layer.rgba[..., :3] *= np.float16(2.0)
    # A factor of two changes only the exponents.
    np.testing.assert_array_equal(trace(replace(scene), lens, samples=100).linear, 2.0 * once)


def test_the_image_of_a_sum_is_the_sum_of_the_images(trace, random_scene):
    lens = ThinLens(20.0, 0.5)
    parts = [random_scene(rng=np.random.default_rng(10)) for _ in range(2)]
    rng = np.random.default_rng(11)
    for a, b in zip(*(part.layers for part in parts), strict=True):
        # Sums of eighths are exact in half precision.
        a.rgba[..., :3], b.rgba[..., :3] = rng.integers(0, 32, (2, *a.rgba.shape[:2], 3)) / 8.0
    layers = zip(*(part.layers for part in parts), strict=True)
    together = [
        replace(a, rgba=np.concatenate([a.rgba[..., :3] + b.rgba[..., :3], a.rgba[..., 3:]], axis=-1))
        for a, b in layers
    ]
    images = [trace(scene, lens, samples=100).linear for scene in (*parts, replace(parts[0], layers=tuple(together)))]
    np.testing.assert_allclose(images[0] + images[1], images[2], rtol=2e-5)  # float32 sums of 300 terms


@dataclass(frozen=True)
class Mirrored:
    """A mirrored aperture: the same points with x negated."""

    aperture: Aperture

    @property
    def area(self) -> float:
        return self.aperture.area

    def warp(self, u: NDArray, v: NDArray) -> NDArray:
        return self.aperture.warp(u, v) * [-1.0, 1.0]

    def transmission_at(self, points: NDArray) -> NDArray:
        return self.aperture.transmission_at(points * [-1.0, 1.0])

    def describe(self) -> dict:
        raise NotImplementedError


@pytest.mark.parametrize("slope", [0.0, 1e-3])
def test_the_image_of_a_mirrored_scene_is_the_mirrored_image(trace, random_scene, slope):
    scene = random_scene(rng=np.random.default_rng(12), slope=slope, overscan=26)
    mirrored = replace(
        scene,
        layers=tuple(
            replace(layer, rgba=layer.rgba[:, ::-1].copy(), slope=(-layer.slope[0], layer.slope[1]))
            for layer in scene.layers
        ),
    )
    aperture = Polygon(5, rotation_deg=20.0)
    image = trace(scene, ThinLens(25.0, 0.4, aperture), samples=200).linear
    in_mirror = trace(mirrored, ThinLens(25.0, 0.4, Mirrored(aperture)), samples=200).linear
    # Positions of up to 129 px in float32 times a contrast of 1 per texel, where the gather kernel computes them.
    np.testing.assert_allclose(in_mirror[:, :, ::-1], image, atol=5e-5)


# Against slow NumPy, and the kernels against each other


def plastic_offsets(n: int) -> NDArray[np.float64]:
    """Offsets inside a box pixel, from the paper: multiples of 1/p and 1/p^2 with p^3 = p + 1 (Roberts 2018)."""
    plastic = max(np.roots([1.0, 0.0, -1.0, -1.0]).real)
    return (np.arange(n, 2 * n)[:, None] + 0.5) * [1.0 / plastic, 1.0 / plastic**2] % 1.0 - 0.5


def by_reference(scene: Scene, lens: ThinLens, *, samples: int, pixel: str = "point", gamma: float = 2.2) -> NDArray:
    jitter = plastic_offsets(samples) if pixel == "box" else None
    points = aperture_points(lens.aperture, samples)
    return reference.render(scene, lens, points, jitter=jitter, gamma=gamma)


REFERENCE_CASES = {
    "three layers": {},
    "box": {"pixel": "box"},
    "gamma 1": {"gamma": 1.0},
    "gamma 5 with lights, pentagon": {"gamma": 5.0, "lights": 40, "aperture": Polygon(5, 10.0)},
    "box with lights, donut, five layers": {"pixel": "box", "lights": 40, "aperture": Donut(0.4), "num_layers": 5},
    "slanted": {"slope": 1.5e-3},
    "slanted, box, gamma 5 with lights": {"slope": 1.5e-3, "pixel": "box", "gamma": 5.0, "lights": 40},
    "slanted, pentagon, gamma 1": {"slope": 1.5e-3, "gamma": 1.0, "aperture": Polygon(5, 10.0)},
    "focus at infinity": {"focus": 0.0},
    "focus nearer than all": {"focus": 1.0},
    "soap bubble with onion rings": {"aperture": Character(Disk(), spherical=0.8, rings=3.0, ring_contrast=0.4)},
    "two stops": {"aperture": Character(Disk(), cat_eye=1.0)},
    "slanted, two stops, box": {"slope": 1.5e-3, "aperture": Character(Polygon(5, 10.0), cat_eye=0.7), "pixel": "box"},
}


@pytest.mark.parametrize("name", REFERENCE_CASES)
def test_kernels_equal_the_integral_in_slow_numpy(trace, random_scene, name):
    case = dict(REFERENCE_CASES[name])
    lens = ThinLens(20.0, case.pop("focus", 0.5), case.pop("aperture", Disk()))
    pixel, gamma = case.pop("pixel", "point"), case.pop("gamma", 2.2)
    scene = random_scene(rng=np.random.default_rng(13), overscan=26, **case)
    image = trace(scene, lens, pixel=pixel, gammas=(gamma,), samples=60).linear[0]
    expected = by_reference(scene, lens, samples=60, pixel=pixel, gamma=gamma)
    # In float32 a position of up to 129 px in the gather kernel has an error of 8e-6 px. Near a light, one pixel of
    # distance changes the picture by the light's whole value. The errors of 60 points partly cancel.
    np.testing.assert_allclose(image, expected, rtol=0.0, atol=4e-6 * brightest(scene, gamma))


@pytest.mark.parametrize("width, height", [(1, 1), (63, 15), (64, 16), (65, 17), (128, 5), (5, 33), (77, 45)])
def test_any_size_of_frame_is_traced_to_its_last_pixel(trace, random_scene, width, height):
    scene = random_scene(rng=np.random.default_rng(14), width=width, height=height, overscan=12)
    lens = ThinLens(20.0, 0.5)
    image = trace(scene, lens, samples=20).linear[0]
    assert image.shape == (height, width, 3)
    np.testing.assert_allclose(image, by_reference(scene, lens, samples=20), atol=4e-6)  # float32, as above


def test_shifting_in_numba_shifting_in_taichi_and_gathering_agree(taichi_cpu, random_scene):
    scene = random_scene(rng=np.random.default_rng(15), num_layers=4)
    lens = ThinLens(25.0, 0.4, Polygon(6, curvature=0.3))
    images = [
        Tracer(taichi_cpu).render(scene, lens, samples=500).linear,
        Tracer(taichi_cpu, taichi=True).render(scene, lens, samples=500).linear,
        Tracer(taichi_cpu).render(hardly_slanted(scene), lens, samples=500).linear,
    ]
    np.testing.assert_allclose(images[1], images[0], rtol=2e-5)  # float32 sums of 2000 terms
    np.testing.assert_allclose(images[2], images[0], rtol=2e-5, atol=2e-5)  # and positions, as above


# Stacks, determinism, bad input


def test_gammas_traced_together_equal_those_traced_alone(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(16), lights=30)
    lens, gammas = ThinLens(20.0, 0.5), (1.0, 2.2, 5.0)
    together = trace(scene, lens, gammas=gammas, samples=50).linear
    alone = np.concatenate([trace(scene, lens, gammas=(gamma,), samples=50).linear for gamma in gammas])
    np.testing.assert_array_equal(together, alone)


def test_a_budget_of_texture_memory_does_not_change_the_stack(trace, random_scene, monkeypatch):
    scene = random_scene(rng=np.random.default_rng(17))
    lens, gammas = ThinLens(20.0, 0.5), (1.0, 2.2, 5.0)
    together = trace(scene, lens, gammas=gammas, samples=50)
    monkeypatch.setattr(tracer, "TEXTURE_BYTES_MAX", 1)
    apart = trace(scene, lens, gammas=gammas, samples=50)
    np.testing.assert_array_equal(apart.linear, together.linear)
    assert len(apart.noise_rmse) == len(together.noise_rmse) == 3


def test_a_tracer_keeps_nothing_of_the_scene_before(trace, random_scene):
    one, other = (random_scene(rng=np.random.default_rng(seed)) for seed in (18, 19))
    lens = ThinLens(20.0, 0.5)
    first, between, again = (trace(scene, lens, samples=50).linear for scene in (one, other, one))
    np.testing.assert_array_equal(again, first)
    np.testing.assert_allclose(between[0], by_reference(other, lens, samples=50), atol=4e-6)  # float32, as above
    trace(one, lens, gammas=(1.0, 3.0), samples=50)
    np.testing.assert_array_equal(trace(one, lens, samples=50).linear, first)


def test_the_same_call_gives_the_same_bytes(trace, random_scene):
    scene = random_scene(rng=np.random.default_rng(20), lights=5)
    renders = [trace(replace(scene), ThinLens(20.0, 0.5), noise=0.004) for _ in range(2)]
    np.testing.assert_array_equal(renders[0].linear, renders[1].linear)
    assert renders[0].noise_rmse == renders[1].noise_rmse and renders[0].samples == renders[1].samples


def test_the_number_of_threads_does_not_change_a_byte(taichi_cpu, random_scene):
    scene = random_scene(rng=np.random.default_rng(21))
    threads = numba.get_num_threads()
    if threads < 2:
        pytest.skip("one core")
    images = []
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            images.append(Tracer(taichi_cpu).render(scene, ThinLens(20.0, 0.5), samples=100).linear)
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(*images)


def test_a_number_of_samples_alone_tells_no_noise(trace, random_scene):
    render = trace(random_scene(rng=np.random.default_rng(22)), ThinLens(20.0, 0.5), samples=7)
    assert render.samples == 7 and np.isnan(render.noise_rmse).all()


@pytest.mark.parametrize("slope", [0.0, 1e-3])
def test_a_lens_too_wide_for_the_overscan_is_refused(trace, random_scene, slope):
    scene = random_scene(rng=np.random.default_rng(23), overscan=12, slope=slope)
    with pytest.raises(SceneError, match="12 px of overscan; blur parameter 30.0 px .* needs"):
        trace(scene, ThinLens(30.0, 0.5), samples=1)
    # This lens just fits: |S| = 10 at the far layer, plus 2 px for pixel and lookup.
    if slope == 0.0:
        trace(scene, ThinLens(25.0, 0.5), samples=1, pixel="box")
        with pytest.raises(SceneError):
            trace(scene, ThinLens(25.1, 0.5), samples=1)


def test_a_plane_that_cuts_through_the_lens_is_refused(taichi_cpu):
    scene = scene_of(billboard(0.5, 0.5, slope=(0.004, 0.0)))
    with pytest.raises(SceneError, match="through the lens"):
        Tracer(taichi_cpu).render(scene, ThinLens(251.0, 0.5), samples=1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "either"),
        ({"samples": 4, "noise": 0.1}, "either"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": -3}, "samples is -3"),
        ({"noise": 0.0}, "noise is 0.0"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise": math.nan}, "noise is nan"),
        ({"samples": 4, "gammas": ()}, r"gammas is \(\)"),
        ({"samples": 4, "gammas": (2.2, 0.0)}, "gammas is .*0.0"),
        ({"samples": 4, "pixel": "round"}, "pixel is 'round'"),
    ],
)
def test_a_call_that_makes_no_sense_names_the_value(trace, random_scene, options, message):
    scene = random_scene(rng=np.random.default_rng(24), width=8, height=8)
    with pytest.raises(ValueError, match=message):
        trace(scene, ThinLens(10.0, 0.5), **options)
