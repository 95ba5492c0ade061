"""The tracer through real lenses: against slow NumPy, against rays that go the other way, and against thin lenses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from raytrace import reference
from raytrace.psf import point_spread, spot
from raytrace.tracer import Tracer
from scenes.aperture import Disk, Donut, Polygon, aperture_points
from scenes.billboard import Billboard, Scene, SceneError
from scenes.glass import Cauchy
from scenes.prescription import LensPrescription, Surface, biconvex, load_prescription
from scenes.thick_lens import ThickLens

WIDTH, HEIGHT, OVERSCAN = 48, 36, 24

# A conic and an asphere in front of a stop.
ASPHERIC = LensPrescription(
    "aspheric",
    (
        Surface(30.0, 6.0, 9.0, Cauchy((1.6,)), conic=-0.6, asphere=(1e-6, -4e-9)),
        Surface(400.0, 2.0, 9.0, asphere=(3e-6,)),
        Surface(math.inf, 3.0, 6.0, is_stop=True),
        Surface(-200.0, 2.0, 8.0, Cauchy((1.5,))),
        Surface(-90.0, 0.0, 8.0),
    ),
)


def camera(name: str, *, blur_px: float = 12.0, **options) -> ThickLens:
    """A lens in front of the test's frame, focused at six focal lengths, which is disparity 0.5.

    blur_px   about the radius of the blur at disparities 0 and 1. The sensor is as small as that takes
    """
    prescription = ASPHERIC if name == "aspheric" else load_prescription(name)
    focal_length_m = prescription.focal_length / 1000.0
    f_number = prescription.system().paraxial.f_number
    sensor_width_m = WIDTH * focal_length_m / (12.0 * f_number * blur_px)
    unit = 1.0 / (3.0 * focal_length_m)
    return ThickLens(prescription, WIDTH, HEIGHT, sensor_width_m, 0.5, unit, **options)


def scene_for(random_scene, *, seed: int = 1, **options) -> Scene:
    return random_scene(
        rng=np.random.default_rng(seed), width=WIDTH, height=HEIGHT, overscan=OVERSCAN, **{"num_layers": 3, **options}
    )


def uniform(colour: tuple[float, float, float]) -> Scene:
    rgba = np.ones((HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4), np.float16)
    rgba[..., :3] = colour
    return Scene((Billboard(rgba, 0.2),), WIDTH, HEIGHT, OVERSCAN)


CASES = {
    "singlet": {"name": "singlet", "blur_px": 6.0},
    "cooke": {"name": "cooke"},
    "biotar, slanted": {"name": "biotar", "slope": 1e-3},
    "tessar, hexagon": {"name": "tessar", "aperture": Polygon(6, 10.0)},
    "mandler, gamma 5": {"name": "mandler", "gamma": 5.0},
    "biotar, box": {"name": "biotar", "pixel": "box"},
    "retrofocus, bent lines": {"name": "retrofocus", "blur_px": 5.0, "distortion": True},
    "conic and aspheres, donut": {"name": "aspheric", "aperture": Donut(0.4)},
    "fisheye, focus far": {"name": "fisheye", "blur_px": 2.0},
}


@pytest.mark.parametrize("taichi", [False, True], ids=["numba", "taichi"])
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_integral_in_slow_numpy(taichi_cpu, random_scene, name, taichi):
    case = dict(CASES[name])
    pixel, gamma, slope = case.pop("pixel", "point"), case.pop("gamma", 2.2), case.pop("slope", 0.0)
    lens = camera(**case)
    scene = scene_for(random_scene, slope=slope)
    tracer = Tracer(taichi_cpu, taichi=taichi)
    image = tracer.render(scene, lens, pixel=pixel, gammas=(gamma,), samples=40).linear[0]
    jitter = None
    if pixel == "box":
        plastic = max(np.roots([1.0, 0.0, -1.0, -1.0]).real)
        jitter = (np.arange(40, 80)[:, None] + 0.5) * [1.0 / plastic, 1.0 / plastic**2] % 1.0 - 0.5
    expected = reference.render(scene, lens, aperture_points(Disk(), 40), jitter=jitter, gamma=gamma)
    error = np.abs(image - expected)
    # In float32 a position has an error of about 1e-5 px. Now and then a ray at a rim passes on one side alone; it has
    # 1/40 of the light of a pixel. The kernel's iris is a picture of 512 texels: one ray in some hundred passes on one
    # side alone. It stretches the pupil for the centre of a box pixel, so that rays of one number differ slightly.
    tolerance, sure = (1e-3, 0.9) if pixel == "box" else (2e-6, 0.98 if isinstance(lens.aperture, Disk) else 0.8)
    assert np.median(error) < tolerance and np.quantile(error, sure) < 25.0 * tolerance
    assert error.max() < 0.1


@pytest.mark.parametrize("name", ["biotar", "retrofocus"])
def test_a_scene_of_one_colour_keeps_it_at_the_exposure_of_the_pinhole(taichi_cpu, name):
    colour = (0.25, 1.5, 7.0)
    image = Tracer(taichi_cpu).render(uniform(colour), camera(name, wavelengths=1), samples=100).linear[0]
    # Sums of 100 terms in float32, divided by each other.
    np.testing.assert_allclose(image, np.broadcast_to(np.float32(colour), image.shape), rtol=2e-5)


def test_natural_exposure_darkens_the_corners_by_the_light_that_passes(taichi_cpu):
    lens = camera("biotar", exposure="natural")
    image = Tracer(taichi_cpu).render(uniform((1.0, 1.0, 1.0)), lens, samples=4000).linear[0, ..., 0]
    # The middle lies between pixels; an edge through 4000 points is good to 1e-3.
    assert image[17:19, 23:25].mean() == pytest.approx(1.0, abs=4e-3)
    for y, x in ((0, 0), (35, 47), (18, 0), (3, 40)):
        where = np.array([x + 0.5, y + 0.5])
        distance = float(np.linalg.norm(where - [WIDTH / 2, HEIGHT / 2]))
        light = lens.rays(where, aperture_points(Disk(), 20000)).weight.mean()
        assert image[y, x] == pytest.approx(np.interp(distance, lens.fields_px, lens.pupil.gain) * light, rel=5e-3)
    assert image[0, 0] < 0.95


@pytest.mark.parametrize("blades", [None, Polygon(3, rotation_deg=90.0)], ids=["disk", "triangle"])
def test_a_lens_without_thickness_makes_the_picture_of_the_thin_lens(taichi_cpu, random_scene, blades):
    """At f/1000 its aberrations vanish with the square of the aperture, its thickness too; only the blur stays."""
    aperture = blades or Disk()
    scene = scene_for(random_scene, seed=3, slope=5e-4)
    errors = []
    for ratio in (2e-2, 1e-3):
        prescription = biconvex(100.0, 100.0 * ratio, 1.5)
        # The sensor shrinks with the aperture, so that focus stays at some 20 focal lengths.
        lens = ThickLens(prescription, WIDTH, HEIGHT, 0.025 * ratio, 0.5, aperture=aperture)
        lens = replace(lens, inv_m_per_unit=20.0 / lens.blur_parameter)
        assert lens.blur_parameter == pytest.approx(20.0, rel=0.1)
        tracer = Tracer(taichi_cpu)
        thick, thin = (tracer.render(scene, some, samples=1500).linear[0] for some in (lens, lens.thin()))
        errors.append(float(np.sqrt(np.mean(np.square(thick - thin)))))
    again = tracer.render(scene, lens, samples=1500, turn=0.5).linear[0]
    noise = float(np.sqrt(np.mean(np.square(again - thick))))
    # Two sets of points of the thick lens differ by as much, and the wide lens by its aberrations.
    assert errors[1] < 1.5 * noise < 0.01
    assert errors[0] > errors[1]


def light_at(x: float, y: float, disparity: float) -> Scene:
    """One texel of light 1000, centred at (x, y), on black."""
    rgba = np.zeros((HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4), np.float16)
    rgba[..., 3] = 1.0
    rgba[int(y - 0.5) + OVERSCAN, int(x - 0.5) + OVERSCAN, :3] = 1000.0
    return Scene((Billboard(rgba, disparity),), WIDTH, HEIGHT, OVERSCAN)


@pytest.mark.parametrize("name, disparity", [("singlet", 0.1), ("biotar", 0.1), ("biotar", 0.9), ("tessar", 0.9)])
def test_rays_from_the_sensor_make_the_spot_of_rays_from_the_light(taichi_cpu, name, disparity):
    """Light can go back the way it came: what a pixel gathers of a point is what the point sends there."""
    lens = camera(name, blur_px=10.0 if name != "singlet" else 6.0, exposure="natural")
    x, y = 36.5, 24.5
    image = Tracer(taichi_cpu).render(light_at(x, y, disparity), lens, samples=4096).linear[0, ..., 0] / 1000.0
    where, weight = spot(lens, (x, y), disparity, rays=100_000)
    middle = np.array([WIDTH, HEIGHT]) / 2.0
    # The frame shows light per area of the sensor, the spot per area of the straightened frame.
    distance = np.linalg.norm(where - middle, axis=-1)
    step = 1e-3
    low, high = (lens.sensor_radius_mm(np.maximum(distance + s, 1e-6)) for s in (-step, step))
    stretch = (high**2 - low**2) / (4.0 * step * distance)
    middle_stretch = (lens.sensor_radius_mm(np.array([0.01]))[0] / 0.01) ** 2
    # The frame's light is relative to a uniform scene on the axis, the spot's to what enters the paraxial pupil.
    aim, of = lens.pupil, lens.system.paraxial
    seen = aim.radial[0] * aim.sagittal[0] / aim.gain[0] / (lens.sensor_position - lens.aim_position) ** 2
    on_axis = seen * middle_stretch * (lens.chief_distance_px / of.entrance_pupil_radius) ** 2
    weight = weight / on_axis * middle_stretch / stretch
    y_edges, x_edges = np.arange(HEIGHT + 1), np.arange(WIDTH + 1)
    expected = np.histogram2d(where[:, 1], where[:, 0], bins=(y_edges, x_edges), weights=weight)[0]
    assert image.sum() == pytest.approx(expected.sum(), rel=0.02)
    y_of, x_of = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    for moment in (x_of, y_of, (x_of - x) ** 2, (y_of - y) ** 2):
        # A texel's bilinear footprint adds 1/6 px^2 to the spread, a pixel of the histogram 1/12.
        found, wanted = ((moment * light).sum() / light.sum() for light in (image, expected))
        assert found == pytest.approx(wanted, rel=0.02, abs=0.15)
    # Pixel by pixel, but where a caustic or the rim is finer than a pixel.
    assert np.abs(image - expected).sum() < 0.12 * expected.sum()


def test_the_noise_of_a_picture_is_known(taichi_cpu, random_scene):
    lens = camera("biotar")
    scene = scene_for(random_scene, seed=5, lights=4, light=5.0)
    tracer = Tracer(taichi_cpu)
    render = tracer.render(scene, lens, noise=0.008)
    exact = tracer.render(scene, lens, samples=4096).linear[0]
    shown, converged = (np.clip(image, 0.0, 1.0) ** (1.0 / 2.2) for image in (render.linear[0], exact))
    error = float(np.sqrt(np.mean(np.square(shown - converged))))
    assert render.noise_rmse[0] <= 0.008
    assert 0.5 < error / render.noise_rmse[0] < 2.0


def test_each_colour_is_seen_at_its_own_wavelengths(taichi_cpu, random_scene):
    lens = camera("singlet", blur_px=6.0, wavelengths=2)
    scene = scene_for(random_scene, seed=6)
    tracer = Tracer(taichi_cpu)
    image = tracer.render(scene, lens, samples=64).linear[0]
    by_channel = np.zeros_like(image)
    for wavelength, share in lens.spectrum:
        one = _at(lens, wavelength)
        by_channel += np.float32(share) * reference.render(scene, one, aperture_points(Disk(), 64))
    np.testing.assert_allclose(image, by_channel, atol=2e-3)
    alone = tracer.render(scene, replace(lens, wavelengths=0), samples=64).linear[0]
    assert np.abs(image - alone).max() > 0.01


class _At(ThickLens):
    """A lens seen at one wavelength, but focused and bounded at the d line."""

    wavelength_um: float

    def rays(self, image, points, wavelength_um=None):
        return super().rays(image, points, self.wavelength_um)


def _at(lens: ThickLens, wavelength_um: float) -> _At:
    one = _At(**{key: getattr(lens, key) for key in lens.__dataclass_fields__})
    object.__setattr__(one, "wavelength_um", wavelength_um)
    return one


def test_a_tracer_goes_from_thin_lenses_to_real_ones_and_back(taichi_cpu, random_scene):
    lens, scene = camera("cooke"), scene_for(random_scene, seed=7)
    tracer = Tracer(taichi_cpu)
    thin, thick, again = (tracer.render(scene, some, samples=30).linear for some in (lens.thin(), lens, lens.thin()))
    np.testing.assert_array_equal(thin, again)
    np.testing.assert_array_equal(thick, Tracer(taichi_cpu).render(scene, lens, samples=30).linear)
    assert not np.array_equal(thin, thick)


def test_a_lens_of_another_frame_or_a_wide_blur_is_refused(taichi_cpu, random_scene):
    scene = scene_for(random_scene)
    with pytest.raises(SceneError, match="made for a frame of 64 x 36 px; the scene has 48 x 36 px"):
        Tracer(taichi_cpu).render(scene, replace(camera("cooke"), width_px=64), samples=1)
    with pytest.raises(SceneError, match="24 px of overscan; blur parameter .* needs"):
        Tracer(taichi_cpu).render(scene, camera("cooke", blur_px=80.0), samples=1)


def test_a_plate_sums_to_the_light_that_passes():
    lens = camera("cooke", wavelengths=1)
    psf = point_spread(lens, (24.0, 18.0), 0.9, side_px=41, rays=20_000)
    assert psf.shape == (41, 41, 3) and psf.dtype == np.float32
    # Each channel, for a point on the axis. Real rays fill 3 % less of the pupil than paraxial ones.
    np.testing.assert_allclose(psf.sum(axis=(0, 1)), 0.97, atol=0.01)
    # The disk of the paraxial blur, in the middle of the picture.
    y, x = np.nonzero(psf[..., 1])
    assert (np.ptp(x) + 1) / 2 == pytest.approx(abs(lens.defocus_px(0.9)), abs=1.1)
    assert x.mean() == pytest.approx(20.0, abs=0.1) and y.mean() == pytest.approx(20.0, abs=0.1)
