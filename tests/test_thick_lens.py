"""Real lenses in a camera: paraxial blur, distortion, vignetting, aberrations, and the limit of the thin lens."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes.aperture import Disk, Polygon, aperture_points
from scenes.glass import Cauchy
from scenes.lens import blur_parameter_from_f_number
from scenes.prescription import LensPrescription, Surface, biconvex, load_prescription, prescription_names
from scenes.thick_lens import ThickLens

PRESCRIPTIONS = {name: load_prescription(name) for name in prescription_names()}
POINTS = aperture_points(Disk(), 3000)


@cache
def lens_of(name: str, *, sensor_width_m: float | None = None, **options) -> ThickLens:
    """A lens whose frame is as wide as its field says, focused at infinity."""
    prescription = PRESCRIPTIONS[name]
    angle = math.radians(min(prescription.half_field_deg or 0.0, 40.0))
    width_m = 1.6 * prescription.focal_length / 1000.0 * math.tan(angle)
    return ThickLens(prescription, 400, 300, sensor_width_m or width_m, **options)


def at(lens: ThickLens, share: float) -> np.ndarray:
    """The place in the frame at a share of the way to its right lower corner."""
    return np.array([lens.width_px, lens.height_px]) / 2.0 * (1.0 + share)


def light_at(lens: ThickLens, share: float) -> float:
    """Light relative to the axis, of natural exposure."""
    image = at(lens, share)
    distance = float(np.linalg.norm(image - at(lens, 0.0)))
    gain = float(np.interp(distance, lens.fields_px, lens.pupil.gain))
    return gain * float(lens.rays(image, POINTS).weight.mean())


# Paraxial optics


@pytest.mark.parametrize("name", PRESCRIPTIONS)
@pytest.mark.parametrize("focus_disparity", [0.0, 0.8])
def test_near_the_axis_a_real_lens_is_a_thin_one(name, focus_disparity):
    """q(d) = x + K (d - d_f) s, with s the place in the entrance pupil."""
    lens = lens_of(name, focus_disparity=focus_disparity)
    middle = at(lens, 0.0)
    small = 1e-4
    rays = lens.rays(middle, small * np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert (rays.weight > 0.0).all()
    # Rays aim at the exit pupil of the open lens, which is the image of the entrance pupil.
    on_pupil = lens.pupil.radial[0] / lens.system.paraxial.exit_pupil_radius * small
    np.testing.assert_allclose(rays.at_focus, np.broadcast_to(middle, (2, 2)), atol=1e-6)
    np.testing.assert_allclose(rays.per_disparity, lens.blur_parameter * on_pupil * np.eye(2), rtol=1e-5, atol=1e-12)


@settings(max_examples=20)
@given(st.floats(0.0, 2.0), st.floats(1.0, 20.0), st.floats(0.01, 0.05))
def test_a_flat_lens_has_the_blur_of_the_camera_formula(focus_disparity, f_number, sensor_width_m):
    """K = A v W / (2 w), as for the thin lens: the principal planes of this lens meet in its pupil."""
    front = Surface(50.0, 0.0, 25.0 / f_number, Cauchy((1.5,)), is_stop=True)
    prescription = LensPrescription("flat", (front, Surface(-50.0, 0.0, 30.0)))
    lens = ThickLens(prescription, 640, 480, sensor_width_m, focus_disparity)
    k = blur_parameter_from_f_number(0.05, f_number, sensor_width_m, 640, focus_disparity)
    assert lens.blur_parameter == pytest.approx(k, rel=1e-9)
    assert lens.defocus_px(focus_disparity + 0.1) == pytest.approx(0.1 * k, rel=1e-6)
    assert lens.thin().blur_parameter == lens.blur_parameter


@pytest.mark.parametrize("name", ["singlet", "cooke", "tessar", "biotar", "retrofocus"])
def test_focus_is_where_the_sensor_is_moved_to(name):
    """All rays of the middle meet in the plane of focus of a stopped-down lens; depth is from the entrance pupil."""
    prescription = PRESCRIPTIONS[name].stopped_to(16.0)
    lens = replace(lens_of(name), prescription=prescription, focus_disparity=0.7)
    of = lens.system.paraxial
    image, magnification = of.image_of(of.entrance_pupil - 1000.0 / 0.7)
    assert lens.sensor_position == pytest.approx(image, rel=1e-12)
    # A thing that is 1 m wide and 1 / 0.7 m away is as wide in the frame as chief rays say.
    assert 0.7 * lens.chief_distance_px == pytest.approx(-magnification * 1000.0 / lens.pixel_pitch_mm, rel=1e-9)
    rays = lens.rays(at(lens, 0.0), POINTS)
    spread = np.linalg.norm(rays.at_focus - at(lens, 0.0), axis=-1)[rays.weight > 0.0]
    elsewhere = rays.at_focus + 0.5 * rays.per_disparity - at(lens, 0.0)
    radius = np.linalg.norm(elsewhere, axis=-1)[rays.weight > 0.0].max()
    # Aberrations of f/16 are below 7 % of the blur of half a dioptre.
    assert spread.max() < 0.07 * radius
    assert radius == pytest.approx(0.5 * lens.blur_parameter, rel=0.08)


def test_units_of_disparity_scale_the_blur():
    in_m = lens_of("cooke", focus_disparity=0.5)
    normalized = lens_of("cooke", focus_disparity=0.25, inv_m_per_unit=2.0)
    assert normalized.blur_parameter == pytest.approx(2.0 * in_m.blur_parameter)
    one, other = in_m.rays(at(in_m, 0.4), POINTS), normalized.rays(at(in_m, 0.4), POINTS)
    np.testing.assert_allclose(other.at_focus, one.at_focus, rtol=1e-12)
    np.testing.assert_allclose(other.per_disparity, 2.0 * one.per_disparity, rtol=1e-12)


# Aberrations


# Radius of the blur in focus on the axis, over that of the aperture: n = 1.5, focus at 10 f (an independent trace).
@pytest.mark.parametrize(
    "ratio, blur", [(0.01, 0.00016), (0.02, 0.00065), (0.05, 0.0041), (0.10, 0.0164), (0.20, 0.0665)]
)
def test_the_lens_of_drbokeh_has_its_spherical_aberration(ratio, blur):
    prescription = biconvex(100.0, 100.0 * ratio, 1.5)
    of = prescription.system().paraxial
    distance_mm = 10.0 * of.focal_length - of.front_principal
    lens = ThickLens(prescription, 64, 64, 0.001, 1000.0 / distance_mm)
    rays = lens.rays(at(lens, 0.0), aperture_points(Disk(), 20000))
    radius_px = np.linalg.norm(rays.at_focus - at(lens, 0.0), axis=-1)[rays.weight > 0.0].max()
    # Two digits of the table, and rays up to 1 % from the rim, where the blur goes with the cube.
    assert radius_px * lens.pixel_pitch_mm / (100.0 * ratio) == pytest.approx(blur, rel=0.04, abs=6e-6)


@pytest.mark.parametrize("degrees, blur", [(1.0, 0.0018), (2.0, 0.0045), (5.0, 0.0229), (10.0, 0.0891)])
def test_the_field_of_the_lens_of_drbokeh_is_curved(degrees, blur):
    """Radius of the blur in focus over that of the aperture, R_a / R_c = 0.02, focus at 3 f (an independent trace)."""
    prescription = biconvex(100.0, 2.0, 1.5)
    of = prescription.system().paraxial
    distance_mm = 3.0 * of.focal_length - of.front_principal
    width_m = 2.2 * 1.5 * of.focal_length / 1000.0 * math.tan(math.radians(degrees))
    lens = ThickLens(prescription, 1000, 1000, width_m, 1000.0 / distance_mm)
    # The table has two digits, of rays that are not as near to the rim.
    image = np.array([500.0 + lens.chief_distance_px * math.tan(math.radians(degrees)), 500.0])
    rays = lens.rays(image, aperture_points(Disk(), 20000))
    radius_px = np.linalg.norm(rays.at_focus - image, axis=-1)[rays.weight > 0.0].max()
    assert radius_px * lens.pixel_pitch_mm / 2.0 == pytest.approx(blur, rel=0.07)


@pytest.mark.parametrize(
    "name, percent", [("biotar", -4.4), ("mandler", -2.0), ("petzval-kodak", 0.1), ("singlet", -1.8)]
)
def test_distortion_is_kept_or_straightened(name, percent):
    """Percent at the corner of the field (an independent trace)."""
    angle = math.radians(PRESCRIPTIONS[name].half_field_deg or 0.0)
    height_mm = PRESCRIPTIONS[name].focal_length * math.tan(angle) * (1.0 + percent / 100.0)
    # The frame is 4:3, so its half diagonal is 5/8 of its width.
    lens = lens_of(name, sensor_width_m=1.6e-3 * height_mm, distortion=True)
    lens = replace(lens, prescription=lens.prescription.stopped_to(60.0))
    bent, corner, middle = lens.rays(at(lens, 1.0), POINTS), at(lens, 1.0), at(lens, 0.0)
    passed = bent.weight > 0.0
    # The corner of the sensor sees what a lens without distortion has farther out, or nearer.
    seen = np.linalg.norm(bent.at_focus[passed].mean(axis=0) - middle)
    assert np.linalg.norm(corner - middle) / seen - 1.0 == pytest.approx(percent / 100.0, abs=1e-3)
    straight = replace(lens, distortion=False, sensor_width_m=0.9 * lens.sensor_width_m)
    for share in (0.3, 0.7, 1.0):
        rays = straight.rays(at(straight, share), POINTS)
        np.testing.assert_allclose(rays.at_focus[rays.weight > 0.0].mean(axis=0), at(straight, share), atol=0.05)


def test_glass_splits_colours():
    """The focus of a singlet is nearer for blue: f (n - 1) is constant."""
    lens = replace(lens_of("singlet", wavelengths=1), prescription=PRESCRIPTIONS["singlet"].stopped_to(8.0))
    wavelengths = [wavelength for wavelength, _ in lens.spectrum]
    assert len(wavelengths) == 3 and wavelengths == sorted(wavelengths, reverse=True)
    defocus = []
    for wavelength in wavelengths:
        rays = lens.rays(at(lens, 0.0), 0.1 * POINTS, wavelength)
        along = ((rays.at_focus - at(lens, 0.0)) * rays.per_disparity).sum() / (rays.per_disparity**2).sum()
        defocus.append(along)
    # Infinity, in focus for yellow, is behind the focus of blue light, and before that of red.
    assert defocus[0] > 0.0 > defocus[2]
    powers = [lens.prescription.system(wavelength).paraxial.focal_length for wavelength in wavelengths]
    for found, focal_length in zip(defocus, powers, strict=True):
        # In dioptres, near the lens: 1 / f - 1 / f_d, less the small aberration of the inner tenth.
        assert found == pytest.approx(
            1000.0 / lens.system.paraxial.focal_length - 1000.0 / focal_length, rel=0.05, abs=0.01
        )


@pytest.mark.parametrize("wavelengths", [0, 1, 4])
def test_shares_of_a_spectrum_make_white(wavelengths):
    spectrum = lens_of("singlet", wavelengths=wavelengths).spectrum
    np.testing.assert_allclose(np.sum([share for _, share in spectrum], axis=0), 1.0)
    assert len(spectrum) == max(1, 3 * wavelengths)


# Vignetting


# Area of the pupil across the chief ray, relative to the axis, at 0.7 and 1.0 of the field (an independent trace).
AREAS = {
    "singlet": (0.95, 0.89),
    "tessar": (0.94, 0.86),
    "petzval-kodak": (0.64, 0.43),
    "biotar": (0.63, 0.36),
    "mandler": (0.62, 0.34),
    "retrofocus": (0.68, 0.34),
}


@pytest.mark.parametrize("name", AREAS)
def test_corners_are_as_dark_as_their_pupils_are_small(name):
    """E = L A dW / dA_sensor, which is cos^3 of the chief ray's angle times d tan^2 / d h^2, with h its height."""
    prescription = PRESCRIPTIONS[name]
    lens = lens_of(name)
    full = math.radians(prescription.half_field_deg or 0.0)
    middle = at(lens, 0.0)
    for part, area in zip((0.7, 1.0), AREAS[name], strict=True):
        angle = math.atan(part * math.tan(full))
        distance = lens.chief_distance_px * math.tan(angle)
        image = middle + np.array([0.8, 0.6]) * distance
        gain = np.interp(distance, lens.fields_px, lens.pupil.gain)
        light = gain * lens.rays(image, aperture_points(Disk(), 8000)).weight.mean()
        step = 1e-3
        heights = lens.sensor_radius_mm(lens.chief_distance_px * np.tan(angle + np.array([-step, step])))
        tangents = np.tan(angle + np.array([-step, step]))
        stretch = np.diff(tangents**2) / np.diff((heights / prescription.focal_length) ** 2)
        # Areas have two digits, and rays of one pixel are parallel but for aberrations.
        assert light == pytest.approx(area * math.cos(angle) ** 3 * stretch[0], rel=0.025, abs=0.005)


@pytest.mark.parametrize("name", ["singlet", "cooke", "biotar", "angenieux", "retrofocus", "fisheye"])
def test_no_ray_that_passes_is_outside_the_bounds_of_the_pupil(name):
    """Rays that aim at 1.3 times the bounds bring the same light."""
    lens = lens_of(name)
    wide = replace(lens)
    pupil = lens.pupil
    wide.__dict__["pupil"] = pupil._replace(radial=1.3 * pupil.radial, sagittal=1.3 * pupil.sagittal)
    points = aperture_points(Disk(), 40000)
    for share in (0.0, 0.33, 0.77, 0.98):
        within, beyond = (some.rays(at(lens, share), points).weight.mean() for some in (lens, wide))
        # An edge through 40000 even points is good to 2e-3 of its light; between fields, bounds are interpolated.
        assert 1.69 * beyond == pytest.approx(within, rel=0.015)


@pytest.mark.parametrize("name", PRESCRIPTIONS)
def test_few_rays_are_wasted(name):
    """A random ray to the last rim passes with 1 to 40 % in the corner."""
    lens = lens_of(name)
    assert (lens.rays(at(lens, 0.0), POINTS).weight > 0.0).mean() > 0.92
    assert (lens.rays(at(lens, 0.7), POINTS).weight > 0.0).mean() > 0.7


def test_stopping_down_opens_the_corners():
    """The stop, no longer the rims, limits rays: cat-eyes become disks."""
    wide, stopped = lens_of("biotar"), replace(lens_of("biotar"), prescription=PRESCRIPTIONS["biotar"].stopped_to(4.0))
    assert light_at(wide, 0.95) < 0.5 < 0.7 < light_at(stopped, 0.95)


def test_a_corner_has_cat_eyes():
    """The pupil is narrower along the field than across it."""
    lens = lens_of("biotar")
    rays = lens.rays(np.array([399.0, 150.0]), aperture_points(Disk(), 8000))
    spread = rays.per_disparity[rays.weight > 0.0]
    width, height = np.ptp(spread, axis=0)
    assert width < 0.75 * height
    assert height == pytest.approx(2.0 * lens.blur_parameter, rel=0.1)


def test_an_iris_of_blades_is_a_polygon_the_right_way_up():
    """Behind focus the shape is upright, as it is with a thin lens; per unit of disparity rays move along it."""
    blades = Polygon(3, rotation_deg=90.0)  # a vertex points down
    lens = lens_of("cooke", aperture=blades)
    rays = lens.rays(at(lens, 0.0), aperture_points(Disk(), 20000))
    passed = rays.weight > 0.0
    on_lens = rays.per_disparity[passed] / lens.blur_parameter
    assert on_lens[:, 1].max() == pytest.approx(1.0, abs=0.03) and on_lens[:, 1].min() == pytest.approx(-0.5, abs=0.03)
    assert passed.mean() == pytest.approx(
        blades.area * (lens_of("cooke").rays(at(lens, 0.0), POINTS).weight > 0).mean(), rel=0.02
    )


# Reach, and errors


@pytest.mark.parametrize("name", ["singlet", "sonnar", "biotar", "primoplan", "fisheye"])
@pytest.mark.parametrize("distortion", [False, True])
def test_no_ray_goes_farther_than_the_reach(name, distortion):
    lens = lens_of(name, focus_disparity=0.3, distortion=distortion)
    rng = np.random.default_rng(1)
    image = rng.random((60, 1, 2)) * [400.0, 300.0]
    image[:4, 0] = [[0.0, 0.0], [400.0, 300.0], [400.0, 150.0], [200.0, 150.0]]
    rays = lens.rays(image, POINTS[::6])
    passed = rays.weight > 0.0
    for disparity in (0.0, 0.3, 1.0):
        moved = rays.at_focus + (disparity - 0.3) * rays.per_disparity - image
        farthest = np.linalg.norm(moved, axis=-1)[passed].max()
        assert farthest <= lens.reach_px(disparity) < 1.3 * farthest + 0.5
    assert np.linalg.norm(rays.per_disparity, axis=-1)[passed].max() <= lens.parallax_max_px


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sensor_width_m": 0.0}, "sensor_width_m is 0.0; it must be above 0"),
        ({"focus_disparity": -1.0}, "focus disparity is -1.0"),
        ({"focus_disparity": math.inf}, "focus disparity is inf"),
        (
            {"focus_disparity": 25.0},
            "focus disparity 25.0 is at 40 mm from the entrance pupil; .* focuses farther than",
        ),
        ({"inv_m_per_unit": -2.0}, "inv_m_per_unit is -2.0"),
        ({"wavelengths": -1}, "wavelengths is -1"),
    ],
)
def test_a_camera_that_makes_no_sense_names_the_value(options, message):
    with pytest.raises(ValueError, match=message):
        ThickLens(PRESCRIPTIONS["singlet"], **{"width_px": 64, "height_px": 64, "sensor_width_m": 0.02, **options})


def test_a_sensor_beyond_the_field_of_a_lens_is_refused():
    for distortion in (False, True):
        lens = ThickLens(PRESCRIPTIONS["retrofocus"], 64, 64, 0.2, distortion=distortion)
        with pytest.raises(ValueError, match="use a smaller sensor_width_m"):
            lens.reach_px(0.5)
