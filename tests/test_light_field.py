"""Light fields without Blender: lens points, sums of views, and the loop that renders them, on views of formulas."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from blender_scripts import lens_points, views
from blender_scripts.camera import Camera
from blender_scripts.job import RenderJob, Sampling
from blender_scripts.lens_points import VIEWS_MAX, nested_lens_points
from blender_scripts.light_field import LightFieldSums, sums_bytes
from blender_scripts.process import BlenderProcess
from blender_scripts.views import Views, overscan_px, sharp_views
from scenes.aperture import Disk, Donut, Mask, Polygon, aperture_points
from scenes.color import display_rmse
from scenes.lens import ThinLens, slanted_defocus_px
from scenes.stack import Stack

WIDTH, HEIGHT = 72, 56
CAMERA = Camera(focal_length_m=0.05, sensor_width_m=0.036, width=WIDTH)


# A Blender whose scenes are formulas.


@dataclass
class Formula(BlenderProcess):
    """Answers requests for views of an emitting plane whose disparity may change over the picture.

    texture     light at positions of the pinhole picture, x and y from its centre: (n,) -> (n, 3)
    disparity   at the centre
    slope       change of disparity per pixel, x right, y down
    noise       standard deviation of the light of a sample, relative to it. With noise, samples are anywhere in their
                pixels, and else in the centres
    fails_at    number of the view that is never finished
    """

    texture: Callable[[NDArray, NDArray], NDArray]
    disparity: float
    slope: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    fails_at: int = -1
    requests: list[dict] = field(default_factory=list)

    def ask(self, request: dict) -> dict:
        if len(self.requests) == self.fails_at:
            raise KeyboardInterrupt
        self.requests.append(request)
        view, overscan = request["view"], request["overscan"]
        rng = np.random.default_rng([request["seed"], view["sample"]])
        height, width = HEIGHT + 2 * overscan, WIDTH + 2 * overscan
        inside = rng.uniform(0.0, 1.0, (2, height, width)) if self.noise else 0.5
        y, x = np.indices((height, width)) + inside
        # Positions on the sensor, without its shift.
        x = x - width / 2 - view["shift_px"][0]
        y = y - height / 2 - view["shift_px"][1]
        # Seen from p, what has the place q in the pinhole picture and the disparity d is at q - f p d.
        px, py = CAMERA.focal_length_px * np.array(view["camera_m"])
        gx, gy = self.slope
        disparity = (self.disparity + gx * x + gy * y) / (1.0 - gx * px - gy * py)
        light = self.texture(x + px * disparity, y + py * disparity)
        light = light * (1.0 + self.noise * rng.standard_normal((height, width, 1)))
        planes = {f"V.Combined.{c}": light[..., i].astype(np.float32) for i, c in enumerate("RGB")}
        planes["V.Combined.A"] = np.ones((height, width), np.float32)
        planes["V.Depth.Z"] = planes["V.Combined.A"]
        header = {"compression": OpenEXR.NO_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, planes).write(request["exr"])
        return {"ok": True}


def _spot(x, y):
    """A light of 100 and a pixel's size in the centre, averaged over the area of a pixel."""
    light = 100.0 * np.maximum(1.0 - abs(x), 0.0) * np.maximum(1.0 - abs(y), 0.0)
    return np.repeat(light[..., None], 3, axis=-1)


def _waves(x, y):
    return 0.4 + 0.25 * np.stack([np.sin(0.21 * x), np.cos(0.17 * y + 0.1 * x), np.sin(0.13 * (x - y))], axis=-1)


def _flat(x, y):
    return np.full((*x.shape, 3), 0.25)


def _job(tmp_path, radii=(6.0, 12.0), *, aperture=None, focuses=3, **sampling) -> RenderJob:
    settings = {"samples": None, "stack": "light-field", **sampling}
    return RenderJob(tmp_path, WIDTH, HEIGHT, radii, focuses, aperture or Disk(), Sampling(**settings), "cpu", 0, 0)


def _stack(job: RenderJob, low: float = 0.1, high: float = 0.6) -> Stack:
    focus = tuple(np.linspace(low, high, job.focus_count))
    parameters = tuple(r / (high - low) for r in job.blur_radii_px)
    return Stack(parameters, focus, aperture=job.aperture, pixel="box+tent")


def _rendered(tmp_path, scene: Formula, job: RenderJob, **between) -> Views:
    field_of_views = Views(job, _stack(job, **between), CAMERA, 0, tmp_path / "views.npz")
    field_of_views.render(scene)
    return field_of_views


# Lens points.


APERTURES = [Disk(), Polygon(3, rotation_deg=20.0), Polygon(6, curvature=0.4), Donut(0.5)]


def test_transmission_is_the_shape_of_the_aperture():
    mask = Mask(np.kron(np.array([[0, 255, 255], [128, 255, 0], [255, 255, 255]]), np.ones((21, 21))).astype(np.uint8))
    rng = np.random.default_rng(0)
    everywhere = rng.uniform(-1.0, 1.0, (200_000, 2))
    for aperture in [*APERTURES, mask]:
        passes = aperture.transmission_at(everywhere)
        assert passes.mean() * 4.0 / math.pi == pytest.approx(aperture.area, rel=0.02)
        # Its centre of gravity is that of its equally weighted points.
        points = aperture_points(aperture, 100_000)
        mean = (passes[:, None] * everywhere).sum(axis=0) / passes.sum()
        np.testing.assert_allclose(mean, points.mean(axis=0), atol=0.006)


@pytest.mark.parametrize("aperture", APERTURES, ids=repr)
@pytest.mark.parametrize("radii", [(5.0, 10.0, 15.0, 20.0, 25.0), (20.0, 8.0)], ids=str)
def test_every_aperture_sees_an_even_lens(aperture, radii):
    points = nested_lens_points(aperture, radii)
    truth = aperture_points(aperture, 20_000)
    for level, radius in enumerate(radii):
        weight, relative = points.weights[:4096, level], radius / max(radii)
        inside = points.points[:4096][weight > 0.0] / relative
        assert (np.hypot(*inside.T) <= 1.0 + 1e-9).all()
        weight = weight[weight > 0.0] / weight.sum()
        for direction in ((1.0, 0.0), (0.6, 0.8), (-0.8, 0.6)):
            for cut in (-0.5, 0.0, 0.4):
                # With the triangle's smallest aperture, random points would err by 0.02.
                share = weight[inside @ direction < cut].sum()
                assert share == pytest.approx((truth @ direction < cut).mean(), abs=0.012)


def test_the_smallest_aperture_has_as_good_a_mean_as_the_largest():
    weights = nested_lens_points(Disk(), (1.0, 2.0, 3.0, 4.0, 5.0)).weights
    effective = weights.sum(axis=0) ** 2 / np.square(weights).sum(axis=0) / VIEWS_MAX
    # What the docstring says. Even views would give 0.04 to the smallest.
    np.testing.assert_allclose(effective, [0.30, 0.40, 0.48, 0.52, 0.49], atol=0.006)


def test_apertures_of_one_size_take_every_view_alike():
    points = nested_lens_points(Disk(), (10.0,))
    assert np.ptp(points.weights) < 1e-12


@pytest.mark.parametrize("aperture", APERTURES[:2], ids=repr)
def test_filling_views_leave_no_hole_in_the_largest_disk(aperture):
    radius_px = 20.0
    points = nested_lens_points(aperture, (4.0, 8.0, 12.0, 16.0, radius_px))
    count = points.filling_views(radius_px)
    seen = radius_px * points.points[:count]
    inside = 0.95 * radius_px * aperture_points(aperture, 2000)
    nearest = np.sqrt(np.square(inside[:, None] - seen).sum(axis=2).min(axis=1))
    # The hole between points of a square lattice of 1.5 px reaches 1.06 px from a point; this set is less even.
    assert nearest.max() < 2.0 and nearest.mean() < 0.9
    assert count < 2 * 2 * math.pi * (radius_px / 1.5) ** 2
    assert points.filling_views(1e4) == VIEWS_MAX


def test_least_views_give_every_half_a_view_in_every_aperture():
    points = nested_lens_points(Polygon(3), (2.0, 4.0, 20.0))
    for count, enough in ((points.least_views, True), (points.least_views - 1, False)):
        halves = [(points.weights[:count][points.half[:count] == half] > 0).any(axis=0).all() for half in (0, 1)]
        assert all(halves) == enough


# Sums of views.


def _some_views(count: int, sums: LightFieldSums, overscan: int, rng: np.random.Generator) -> list[tuple]:
    _, focuses, levels, height, row = sums.sums.shape
    shape = (height + 2 * overscan, row // 3 + 2 * overscan, 3)
    return [
        (
            k % 2,
            rng.random(shape, np.float32),
            rng.uniform(-overscan + 0.1, overscan - 0.1, (focuses, 2)),
            rng.uniform(0.1, 2.0, levels),
        )
        for k in range(count)
    ]


def test_a_view_moves_by_its_shift_with_bilinear_weights():
    sums = LightFieldSums(1, 2, 7, 5, 3)
    ((_, view, _, _),) = _some_views(1, sums, 3, np.random.default_rng(1))
    shifts = np.array([[1.25, -2.0], [0.0, 0.5]])
    for half in (0, 1):
        sums.add(half, view, shifts, np.array([0.5]))
    # Content moves right by 1.25 and up by 2; then down by 0.5.
    right = 0.75 * view[5:10, 2:9] + 0.25 * view[5:10, 1:8]
    down = 0.5 * view[3:8, 3:10] + 0.5 * view[2:7, 3:10]
    np.testing.assert_allclose(sums.picture(0, 0), right, rtol=1e-5)
    np.testing.assert_allclose(sums.picture(0, 1), down, rtol=1e-5)


def test_order_of_views_matters_to_rounding_only():
    pictures = []
    for order in (1, -1):
        sums = LightFieldSums(2, 3, 20, 18, 4)
        for view in _some_views(60, sums, 4, np.random.default_rng(2))[::order]:
            sums.add(*view)
        pictures.append(sums.picture(1, 2))
    np.testing.assert_allclose(pictures[0], pictures[1], rtol=1e-5)


def test_memory_does_not_grow_with_the_views():
    sums = LightFieldSums(2, 3, 20, 18, 4)
    held = sums.sums
    for view in _some_views(10, sums, 4, np.random.default_rng(3)):
        sums.add(*view)
    assert sums.sums is held and held.nbytes == sums_bytes(2 * 3, 20, 18)


def test_view_that_does_not_fit_is_refused():
    sums = LightFieldSums(1, 1, 20, 18, 4)
    with pytest.raises(ValueError, match="the view is"):
        sums.add(0, np.zeros((18, 20, 3), np.float32), np.zeros((1, 2)), np.ones(1))
    with pytest.raises(ValueError, match="leaves the overscan of 4 px"):
        sums.add(0, np.zeros((26, 28, 3), np.float32), np.array([[4.5, 0.0]]), np.ones(1))


def test_one_bad_block_is_enough_to_go_on():
    sums = LightFieldSums(1, 1, 64, 64, 1)
    for half in (0, 1):
        view = np.full((66, 66, 3), 0.5, np.float32)
        view[1 + 40, 1 + 50] += 0.4 * half
        sums.add(half, view, np.zeros((1, 2)), np.ones(1))
    noise = sums.noise(0, 0)
    assert noise.block == pytest.approx(4.0 * noise.picture)  # all of the error is in one of 16 blocks
    assert not noise.is_below(1.01 * noise.picture) and noise.is_below(1.01 * noise.block / 3.0)


def test_shader_that_gives_no_number_leaves_the_pixel_dark():
    sums = LightFieldSums(1, 1, 4, 4, 1)
    view = np.full((6, 6, 3), 0.5, np.float32)
    view[2, 2], view[3, 3] = np.nan, -1.0
    sums.add(0, view, np.zeros((1, 2)), np.ones(1))
    picture = sums.half(0, 0, 0)
    assert (picture[1, 1] == 0.0).all() and (picture[2, 2] == 0.0).all() and np.isfinite(picture).all()


# Whole light fields.


@pytest.mark.parametrize("disparity, focus_index", [(0.6, 0), (0.1, 2)], ids=["near", "far"])
def test_a_point_becomes_a_filled_disk_of_the_radius_of_its_level(tmp_path, disparity, focus_index):
    job = _job(tmp_path)
    stack = _stack(job)
    count = job.expected_views()
    job = _job(tmp_path, samples=count)
    light_field = _rendered(tmp_path, Formula(_spot, disparity), job)
    y, x = np.indices((HEIGHT, WIDTH)) + 0.5
    distance = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    for level, parameter in enumerate(stack.blur_parameters):
        picture = light_field.bokeh(level, focus_index)[0][..., 0].astype(np.float64)
        radius = abs(ThinLens(parameter, stack.focus_disparities[focus_index]).defocus_px(disparity))
        assert radius == pytest.approx(job.blur_radii_px[level])
        assert picture.sum() == pytest.approx(100.0, rel=1e-4)
        # The second moments of disk, light (1/6), box (1/6) and tent (2/6) add up.
        moment = (picture * distance**2).sum() / picture.sum()
        assert math.sqrt(2.0 * (moment - 4.0 / 6.0)) == pytest.approx(radius, rel=0.02)
        inside = picture[distance < radius - 2.0] * math.pi * radius**2 / 100.0
        # No pixel is dark. The lens points are less even than a lattice.
        assert inside.mean() == pytest.approx(1.0, rel=0.03)
        assert inside.min() > 0.05 and inside.std() < 0.45
        assert picture[distance > radius + 3.0].max() == 0.0


@pytest.mark.parametrize("disparity, focus_index, sign", [(0.6, 0, 1.0), (0.1, 2, -1.0)], ids=["near", "far"])
def test_a_triangle_is_turned_in_front_of_the_focus(tmp_path, disparity, focus_index, sign):
    aperture = Polygon(3, rotation_deg=20.0)
    job = _job(tmp_path, (12.0,), aperture=aperture, samples=600)
    picture = _rendered(tmp_path, Formula(_spot, disparity), job).bokeh(0, focus_index)[0][..., 0].astype(np.float64)
    y, x = np.indices((HEIGHT, WIDTH)) + 0.5
    z = (x - WIDTH / 2) + 1j * (y - HEIGHT / 2)
    # The ray through lens point s meets defocus S at x + S s: a pixel sees the light through s = -x / S.
    moment = (picture * z**3).sum() / (picture * abs(z) ** 3).sum() * -sign
    points = aperture_points(aperture, 4096) @ [1.0, 1j]
    assert moment == pytest.approx((points**3).mean() / (abs(points) ** 3).mean(), abs=0.05)


def test_a_slanted_plane_is_blurred_as_the_lens_formula_says(tmp_path):
    # Seen sharp, the plane passes through all focus planes.
    slope, centre = (0.006, -0.002), 0.35
    job = _job(tmp_path, samples=512)
    stack = _stack(job)
    light_field = _rendered(tmp_path, Formula(_waves, centre, slope), job)
    y, x = np.indices((HEIGHT, WIDTH)) + 0.5
    x, y = x - WIDTH / 2, y - HEIGHT / 2
    for level, focus, lens in stack.lenses():
        expected = np.zeros((HEIGHT, WIDTH, 3))
        for s in aperture_points(Disk(), 400):
            defocus = slanted_defocus_px(
                centre + slope[0] * x + slope[1] * y, s @ slope, lens.blur_parameter, lens.focus_disparity
            )
            expected += _waves(x + defocus * s[0], y + defocus * s[1]) / 400
        # The tent takes 0.4 % of the contrast of the waves: 0.001.
        apart = np.abs(light_field.bokeh(level, focus)[0] - expected)
        assert apart.max() < 0.004, (level, focus)
    assert np.abs(light_field.all_in_focus()[0] - _waves(x, y)).max() < 0.002


def test_plain_light_stays_what_it_is_in_every_picture(tmp_path):
    job = _job(tmp_path, samples=40)
    light_field = _rendered(tmp_path, Formula(_flat, 0.3), job)
    for level in range(2):
        for focus in range(3):
            np.testing.assert_allclose(light_field.bokeh(level, focus)[0], 0.25, rtol=1e-5)


def test_pixel_filter_is_box_and_tent_at_every_focus(tmp_path):
    # Without defocus the picture of a light is the filter. The middle focus plane stays in place in every view.
    for disparity, focus_index in ((0.35, 1), (0.1, 0), (0.6, 2)):
        light_field = _rendered(tmp_path, Formula(_spot, disparity), _job(tmp_path, samples=400))
        sharp = light_field.all_in_focus()[0] if focus_index == 1 else None
        y, x = np.indices((HEIGHT, WIDTH)) + 0.5
        for picture in (light_field.bokeh(1, focus_index)[0], sharp):
            if picture is None:
                continue
            weight = picture[..., 0].astype(np.float64) / picture[..., 0].sum()
            for along, size in ((x, WIDTH), (y, HEIGHT)):
                # Along an axis: light 1/12, box 1/12, tent 1/6.
                assert (weight * (along - size / 2) ** 2).sum() == pytest.approx(4.0 / 12.0, rel=0.05)
                assert (weight * along).sum() == pytest.approx(size / 2, abs=0.02)


def test_noise_is_known_within_a_factor_of_two(tmp_path):
    noisy = Formula(_waves, 0.5, noise=0.4)
    light_field = _rendered(tmp_path, noisy, _job(tmp_path, samples=64))
    (tmp_path / "clean").mkdir()
    clean = _rendered(tmp_path / "clean", Formula(_waves, 0.5), _job(tmp_path, samples=1024))
    for level, focus in ((0, 0), (0, 1), (1, 1), (1, 2)):
        picture, noise, _ = light_field.bokeh(level, focus)
        error = display_rmse(picture, clean.bokeh(level, focus)[0])
        assert 0.5 * error < noise < 2.0 * error
    picture, noise, _ = light_field.all_in_focus()
    error = display_rmse(picture, clean.all_in_focus()[0])
    assert 0.5 * error < noise < 2.0 * error


def test_views_reach_as_far_as_any_focus_plane_moves(tmp_path):
    scene = Formula(_waves, 0.3)
    _rendered(tmp_path, scene, _job(tmp_path, samples=200))
    assert {request["overscan"] for request in scene.requests} == {overscan_px(0.0), overscan_px(12.0)} == {2, 8}


# When views end, and runs that are stopped.


def test_samples_are_views_and_the_sharp_picture_has_half_as_many(tmp_path):
    scene = Formula(_flat, 0.3)
    light_field = _rendered(tmp_path, scene, _job(tmp_path, samples=40))
    assert light_field.all_in_focus()[2] == sharp_views(40) == 20 and light_field.bokeh(1, 0)[2] == 40
    assert 10 < light_field.bokeh(0, 0)[2] < 40  # the smaller aperture has the views inside it
    assert len(scene.requests) == 60
    # No two views of a picture take the same sample of Cycles.
    taken = {(request["seed"], request["view"]["sample"]) for request in scene.requests}
    assert len(taken) == 60 and len({seed for seed, _ in taken}) == 4


def test_noise_asked_for_decides_the_number_of_views(tmp_path, monkeypatch):
    monkeypatch.setattr(lens_points, "_SPACING_PX", 100.0)
    counts = {}
    for noise in (0.02, 0.01):
        light_field = _rendered(tmp_path, Formula(_waves, 0.5, noise=0.5), _job(tmp_path, noise=noise))
        pictures = [light_field.bokeh(level, focus) for level in range(2) for focus in range(3)]
        pictures.append(light_field.all_in_focus())
        assert max(measured for _, measured, _ in pictures) <= noise
        counts[noise] = light_field.bokeh(1, 0)[2]
    # A quarter of the variance takes four times the views. They grow by an eighth.
    assert 3.0 < counts[0.01] / counts[0.02] < 5.5


def test_clean_scene_still_gets_the_views_that_fill_its_disks(tmp_path):
    job = _job(tmp_path, noise=0.01)
    light_field = _rendered(tmp_path, Formula(_flat, 0.5), job)
    assert light_field.bokeh(1, 0)[2] == job.expected_views() > 200


def test_time_limit_ends_views_once_every_picture_has_some(tmp_path):
    light_field = _rendered(tmp_path, Formula(_flat, 0.5), _job(tmp_path, noise=0.01, time_limit_s=1e-9))
    assert light_field.bokeh(1, 0)[2] == nested_lens_points(Disk(), (6.0, 12.0)).least_views


@pytest.mark.parametrize(
    "sampling, noise, lacks",
    [
        ({"noise": 0.02}, 0.0, None),
        ({"samples": 64}, 0.5, None),
        ({"samples": 64, "time_limit_s": 1e-9}, 0.0, "{least} of 64 views"),
        ({"noise": 0.02, "time_limit_s": 1e-9}, 0.0, "{least} of {filling} views"),
        ({"noise": 0.02, "time_limit_s": 1e-9}, 0.5, "{least} of {filling} views and a display noise of up to 0.0"),
    ],
)
def test_what_a_light_field_lacks_of_what_was_asked_for_is_told(tmp_path, sampling, noise, lacks):
    job = _job(tmp_path, **sampling)
    told = _rendered(tmp_path, Formula(_flat, 0.5, noise=noise), job).shortfall()
    if lacks is None:
        assert told is None
    else:
        points = job.lens_points()
        assert told and told.startswith(lacks.format(least=points.least_views, filling=job.expected_views()))
        assert told.endswith(", not 0.02") == (noise > 0.0)


def test_denoised_views_are_of_other_samples(tmp_path):
    """So that a denoised set and one that is not have independent noise."""
    seeds = []
    for denoise in (False, True):
        scene = Formula(_flat, 0.5)
        (tmp_path / str(denoise)).mkdir()
        _rendered(tmp_path / str(denoise), scene, _job(tmp_path, samples=40, denoise=denoise))
        seeds.append({request["seed"] for request in scene.requests})
    assert not seeds[0] & seeds[1]


def _pictures(light_field: Views) -> list[bytes]:
    pictures = [light_field.bokeh(level, focus) for level in range(2) for focus in range(3)]
    return [repr((p.tobytes(), n, c)).encode() for p, n, c in [*pictures, light_field.all_in_focus()]]


@pytest.mark.parametrize("sampling", [{"samples": 64}, {"noise": 0.03}], ids=["samples", "noise"])
def test_stopped_light_field_goes_on_to_the_same_bytes(tmp_path, monkeypatch, sampling):
    monkeypatch.setattr(views, "_CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(lens_points, "_SPACING_PX", 100.0)
    job = _job(tmp_path, **sampling)
    (tmp_path / "whole").mkdir()
    whole_scene = Formula(_waves, 0.5, noise=0.5)
    whole = _pictures(_rendered(tmp_path / "whole", whole_scene, job))
    with pytest.raises(KeyboardInterrupt):
        _rendered(tmp_path, Formula(_waves, 0.5, noise=0.5, fails_at=40), job)
    # Killed while it was writing, too.
    (tmp_path / ".views.1.npz").write_bytes(b"torn")
    rest = Formula(_waves, 0.5, noise=0.5)
    assert _pictures(_rendered(tmp_path, rest, job)) == whole
    # Nothing but the view in flight was rendered again; with it goes the other field's of the same step.
    assert len(whole_scene.requests) <= len(rest.requests) + 40 <= len(whole_scene.requests) + 2
    assert not (tmp_path / ".views.1.npz").exists()


def test_checkpoint_is_written_once_a_minute_at_most(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Views, "_save", lambda self: saved.append(1))
    seconds = iter(range(0, 100_000, 10))
    monkeypatch.setattr(views.time, "monotonic", lambda: float(next(seconds)))
    _rendered(tmp_path, Formula(_flat, 0.3), _job(tmp_path, samples=40))
    # Every step reads the clock two or three times, which is 20 or 30 s.
    assert 40 / 4 < len(saved) < 40 / 2


def test_path_of_the_checkpoint_is_free_after_all(tmp_path):
    light_field = _rendered(tmp_path, Formula(_flat, 0.3), _job(tmp_path, samples=40))
    light_field.forget()
    assert list(Path(tmp_path).iterdir()) == []
