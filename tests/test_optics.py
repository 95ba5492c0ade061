"""Rays through surfaces: Snell's law, textbook lenses, and what prescriptions do to near and far rays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.glass import LINE_C, LINE_D, LINE_F, Cauchy, Sellmeier, glass_from_abbe
from scenes.optics import OpticalSystem, paraxial_ray, refract, seidel, trace
from scenes.prescription import LensPrescription, Surface, biconvex, load_prescription, prescription_names

NAMES = prescription_names()
SYSTEMS = {name: load_prescription(name).system() for name in NAMES}


def lens(*surfaces: Surface) -> OpticalSystem:
    return LensPrescription("test", surfaces).system()


def glass(index: float) -> Cauchy:
    return Cauchy((index,))


def crossing(system: OpticalSystem, height: float) -> float:
    """Where a ray parallel to the axis at this height crosses it behind the lens."""
    rays = trace(system, (height, 0.0, -10.0), (0.0, 0.0, 1.0), rims=False)
    assert rays.passed
    return float(rays.position[2] - rays.position[0] * rays.direction[2] / rays.direction[0])


def focal_length_of_a_ray(system: OpticalSystem, height: float) -> float:
    """height / tan of its angle behind the lens."""
    rays = trace(system, (height, 0.0, -10.0), (0.0, 0.0, 1.0), rims=False)
    return float(-height * rays.direction[2] / rays.direction[0])


# Snell's law

angles = st.floats(0.0, 2.0 * math.pi)
tilts = st.floats(0.0, 1.5)
indices = st.floats(1.0, 2.0)


def unit(tilt: float, angle: float) -> np.ndarray:
    return np.array([math.sin(tilt) * math.cos(angle), math.sin(tilt) * math.sin(angle), math.cos(tilt)])


@given(tilts, angles, tilts, angles, indices, indices)
def test_sines_of_the_angles_are_as_the_indices(tilt, angle, normal_tilt, normal_angle, before, after):
    direction, normal = unit(tilt, angle), unit(0.2 * normal_tilt, normal_angle)
    sine = np.linalg.norm(np.cross(direction, normal))
    if direction @ normal <= 0.0 or before * sine > 0.999 * after:
        return
    refracted = refract(direction, normal, before / after)
    assert np.linalg.norm(refracted) == pytest.approx(1.0, abs=1e-12)
    # n sin i is kept as a vector: the refracted ray stays in the plane of incidence, on its own side.
    np.testing.assert_allclose(after * np.cross(refracted, normal), before * np.cross(direction, normal), atol=1e-12)
    assert refracted @ normal > 0.0


def test_light_is_reflected_beyond_the_critical_angle():
    normal = np.array([0.0, 0.0, 1.0])
    critical = math.asin(1.0 / 1.5)
    assert np.isfinite(refract(unit(critical - 1e-6, 0.3), normal, 1.5)).all()
    with np.errstate(invalid="ignore"):
        assert np.isnan(refract(unit(critical + 1e-6, 0.3), normal, 1.5)).all()


@given(st.sampled_from(NAMES), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7), st.floats(-0.1, 0.1))
def test_light_goes_back_the_way_it_came(name, x, y, slope):
    system = SYSTEMS[name]
    rim = system.semi_diameter[0]
    direction = np.array([slope, 0.0, 1.0]) / math.hypot(slope, 1.0)
    forth = trace(system, (x * rim, y * rim, 0.0), direction, rims=False)
    if not forth.passed:
        return
    # In the mirrored system, backward is forward.
    mirror = np.array([1.0, 1.0, -1.0])
    back = trace(system.reversed(), mirror * forth.position, -mirror * forth.direction, rims=False)
    assert back.passed
    np.testing.assert_allclose(mirror * back.direction, -direction, atol=1e-11)
    # The same line: in the plane of the start it is where it was.
    start = mirror * back.position
    start = start - start[2] / direction[2] * direction
    np.testing.assert_allclose(start[:2], [x * rim, y * rim], atol=1e-9)
    np.testing.assert_allclose(back.at_stop, forth.at_stop, atol=1e-9)


@given(st.sampled_from(NAMES), st.floats(0.0, 6.28), st.floats(0.0, 0.9), st.floats(-0.2, 0.2))
def test_a_turned_ray_is_turned_everywhere(name, turn, height, slope):
    system = SYSTEMS[name]
    cos, sin = math.cos(turn), math.sin(turn)
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    start = np.array([height * system.semi_diameter[0] / 2.0, 0.0, 0.0])
    direction = np.array([slope, 0.1, 1.0]) / math.sqrt(slope**2 + 0.01 + 1.0)
    straight, turned = (trace(system, r @ start, r @ direction) for r in (np.eye(3), rotation))
    assert straight.passed == turned.passed
    if straight.passed:
        np.testing.assert_allclose(turned.direction, rotation @ straight.direction, atol=1e-11)
        np.testing.assert_allclose(turned.position, rotation @ straight.position, atol=1e-9)


def test_a_ray_that_misses_a_rim_or_a_surface_is_stopped():
    system = biconvex(100.0, 10.0, 1.5).system()
    heights = np.array([0.0, 9.99, 10.01, 120.0])
    start = np.stack([heights, 0.0 * heights, np.full_like(heights, -5.0)], axis=-1)
    assert trace(system, start, (0.0, 0.0, 1.0)).passed.tolist() == [True, True, False, False]
    assert trace(system, start, (0.0, 0.0, 1.0), rims=False).passed.tolist() == [True, True, True, False]


# Textbook lenses


def test_the_lens_of_drbokeh_has_its_focal_length():
    """1/f = (n - 1) [2 / R - (n - 1) d / (n R^2)], with the thickness d = 2 (R - sqrt(R^2 - a^2))."""
    radius, rim, n = 100.0, 10.0, 1.5
    thickness = 2.0 * (radius - math.sqrt(radius**2 - rim**2))
    focal_length = 1.0 / ((n - 1.0) * (2.0 / radius - (n - 1.0) * thickness / (n * radius**2)))
    assert thickness == pytest.approx(1.002513, abs=5e-7) and focal_length == pytest.approx(100.16737, abs=5e-6)
    system = biconvex(radius, rim, n).system()
    # A ray at 1e-5 R has a spherical aberration of 1e-10.
    assert focal_length_of_a_ray(system, 1e-5 * radius) == pytest.approx(focal_length, rel=1e-6)
    paraxial = system.paraxial
    assert paraxial.focal_length == pytest.approx(focal_length, rel=1e-12)
    # The principal planes are f (n - 1) d / (n R) inside the vertices.
    inside = focal_length * (n - 1.0) * thickness / (n * radius)
    assert paraxial.front_principal == pytest.approx(inside, rel=1e-9) and inside == pytest.approx(0.33473, abs=5e-6)
    assert paraxial.rear_principal == pytest.approx(thickness - inside, rel=1e-9)
    assert crossing(system, 1e-5 * radius) == pytest.approx(paraxial.rear_focus, rel=1e-8)
    assert paraxial.petzval_radius == pytest.approx(-n * radius / (2.0 * (n - 1.0)), rel=1e-12)
    assert paraxial.f_number == pytest.approx(5.0084, abs=5e-5)
    assert crossing(system, rim) - paraxial.rear_focus == pytest.approx(-1.680, abs=5e-4)


def test_a_ball_focuses_at_half_of_n_r_over_n_minus_1():
    ball = lens(Surface(5.0, 10.0, 5.0, glass(1.6), is_stop=True), Surface(-5.0, 0.0, 5.0))
    paraxial = ball.paraxial
    assert paraxial.focal_length == pytest.approx(1.6 * 5.0 / (2.0 * 0.6), rel=1e-12)
    # Both principal planes are at the centre.
    assert paraxial.front_principal == pytest.approx(5.0) and paraxial.rear_principal == pytest.approx(5.0)
    assert focal_length_of_a_ray(ball, 5e-5) == pytest.approx(paraxial.focal_length, rel=1e-6)


@pytest.mark.parametrize("flat_first", [True, False])
def test_a_plano_convex_lens_has_r_over_n_minus_1(flat_first):
    """And one principal plane on the vertex of its curved side."""
    curved = 50.0 if not flat_first else -50.0
    radii = (math.inf, curved) if flat_first else (curved, math.inf)
    system = lens(Surface(radii[0], 6.0, 10.0, glass(1.5), is_stop=True), Surface(radii[1], 0.0, 10.0))
    assert system.paraxial.focal_length == pytest.approx(100.0, rel=1e-12)
    assert focal_length_of_a_ray(system, 5e-4) == pytest.approx(100.0, rel=1e-6)
    vertex = 6.0 if flat_first else 0.0
    principal = system.paraxial.rear_principal if flat_first else system.paraxial.front_principal
    assert principal == pytest.approx(vertex, abs=1e-12)


def test_a_sphere_images_its_aplanatic_points_without_aberration():
    """Rays in glass towards R / n from the centre leave a sphere from n R (Weierstrass)."""
    radius, n = 10.0, 1.5
    # Light in glass meets the surface from its concave side: the centre is at -R.
    system = OpticalSystem(
        vertex=np.array([0.0]),
        curvature=np.array([-1.0 / radius]),
        conic=np.zeros(1),
        asphere=np.zeros((1, 0)),
        index=np.array([n, 1.0]),
        semi_diameter=np.array([10.0]),
        stop=0,
    )
    point = np.array([0.0, 0.0, -radius - radius / n])
    tilts = np.linspace(0.05, 0.6, 12)
    rays = trace(system, point, np.stack([unit(tilt, 0.7) for tilt in tilts]))
    radial = np.hypot(rays.position[:, 0], rays.position[:, 1])
    slope = np.hypot(rays.direction[:, 0], rays.direction[:, 1]) / rays.direction[:, 2]
    np.testing.assert_allclose(rays.position[:, 2] - radial / slope, -radius - n * radius, rtol=1e-12)


@pytest.mark.parametrize("conic", [0.0, -1.0, -2.25, 0.7])
def test_a_conic_written_as_an_asphere_bends_rays_alike(conic):
    c, rim = 0.02, 8.0
    k = 1.0 + conic
    # Coefficients of c^(2m-1) r^(2m) in the sag: those of a conic have powers of 1 + k, those of the sphere do not.
    series = [(k**m - 1.0) * math.comb(2 * m, m) / ((m + 1) * 2 ** (2 * m + 1)) * c ** (2 * m + 1) for m in range(1, 8)]
    exact = lens(Surface(1.0 / c, 5.0, rim, glass(1.5), conic=conic, is_stop=True), Surface(-60.0, 0.0, rim))
    asphere = Surface(1.0 / c, 5.0, rim, glass(1.5), asphere=tuple(series), is_stop=True)
    start = np.stack([np.linspace(-7.5, 7.5, 11), np.full(11, 2.0), np.full(11, -3.0)], axis=-1)
    direction = unit(0.1, 0.4)
    by_conic, by_asphere = (
        trace(system, start, direction) for system in (exact, lens(asphere, Surface(-60.0, 0.0, rim)))
    )
    # The next term is 1e-9 of the rim's radius at most.
    np.testing.assert_allclose(by_asphere.position, by_conic.position, atol=1e-8)
    np.testing.assert_allclose(by_asphere.direction, by_conic.direction, atol=1e-9)
    np.testing.assert_allclose(
        np.array(seidel(lens(asphere, Surface(-60.0, 0.0, rim)), 0.1)), np.array(seidel(exact, 0.1)), atol=1e-15
    )


def test_an_ellipsoid_focuses_parallel_rays_at_one_point():
    """One surface of k = -1 / n^2 makes a perfect image of infinity inside the glass (Descartes)."""
    n = 1.5
    surface = Surface(10.0, 40.0, 6.0, glass(n), conic=-1.0 / n**2, is_stop=True)
    system = lens(surface, Surface(math.inf, 0.0, 50.0)).part(0, 1)
    for height in (1e-4, 2.0, 5.9):
        assert crossing(system, height) == pytest.approx(n * 10.0 / (n - 1.0), rel=1e-11)


# Glass


def test_abbe_numbers_come_back():
    bk7 = glass_from_abbe(1.5168, 64.17)
    assert bk7.index(LINE_D) == pytest.approx(1.5168, abs=1e-12)
    assert (bk7.index(LINE_D) - 1.0) / (bk7.index(LINE_F) - bk7.index(LINE_C)) == pytest.approx(64.17, rel=1e-12)


def test_sellmeier_gives_the_catalogue_of_bk7():
    """Coefficients and indices of N-BK7 as Schott prints them."""
    b, c = (1.03961212, 0.231792344, 1.01046945), (0.00600069867, 0.0200179144, 103.560653)
    bk7 = Sellmeier(b, c)
    for wavelength, index in ((LINE_D, 1.51680), (LINE_F, 1.52238), (LINE_C, 1.51432)):
        assert bk7.index(wavelength) == pytest.approx(index, abs=6e-6)


# The shipped prescriptions. Focal length, back focal distance, f-number, Petzval radius, longitudinal spherical
# aberration of the marginal ray and at 0.7071 of its height, and F minus C focus, in mm: an independent computation.

TABLE = {
    "singlet": (50.001, 47.290, 2.8, -74, -2.489, -1.217, -0.75),
    "landscape": (100.340, 101.844, 10.0, -157, -4.294, -2.144, -1.59),
    "achromat": (120.008, 112.866, 3.0, -166, 0.082, -0.174, -0.22),
    "soft": (90.627, 94.778, 4.8, -138, -11.332, -5.645, -0.08),
    "cooke": (50.021, 42.436, 5.0, -128, -0.260, -0.157, -0.08),
    "tessar": (99.996, 79.809, 2.8, -306, 0.667, -0.354, -0.28),
    "petzval": (100.223, 58.886, 3.4, -120, -0.137, -0.157, 0.00),
    "petzval-kodak": (99.971, 56.496, 2.2, -124, -0.089, -0.199, -0.12),
    "tronnier": (50.007, 35.722, 2.0, -307, 0.069, -0.097, -0.09),
    "biotar": (57.950, 37.891, 1.4, -209, 0.175, -0.179, -0.17),
    "sonnar": (50.015, 24.183, 2.0, -188, 0.140, -0.230, -0.25),
    "mandler": (49.999, 36.682, 1.4, -241, 0.051, -0.091, -0.08),
    "nikkor-s": (50.012, 37.497, 1.4, -455, 0.422, -0.138, -0.13),
    "angenieux": (54.970, 30.787, 1.0, -167, -0.051, -0.155, -0.16),
    "primoplan": (57.949, 29.941, 1.5, -132, 0.539, -0.332, -0.10),
    "retrofocus": (28.017, 36.638, 2.8, -204, -0.062, -0.202, -0.23),
    "drbokeh": (100.007, 99.993, 25.01, -150, -0.067, -0.033, 0.00),
    "fisheye": (16.000, 36.380, 2.8, -698, 0.000, -0.168, -0.16),
}


def test_every_prescription_is_in_the_table():
    assert sorted(TABLE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_prescription_has_its_focal_length_and_aberrations(name):
    focal_length, back_focus, f_number, petzval, marginal, zone, colour = TABLE[name]
    prescription = load_prescription(name)
    system = prescription.system()
    paraxial = system.paraxial
    assert prescription.f_number == f_number
    # Half a unit of the last digit of the table, everywhere.
    assert paraxial.focal_length == pytest.approx(focal_length, abs=6e-4)
    assert paraxial.back_focal_distance == pytest.approx(back_focus, abs=6e-4)
    assert paraxial.petzval_radius == pytest.approx(petzval, abs=0.51)
    assert focal_length_of_a_ray(system, 1e-5 * focal_length) == pytest.approx(paraxial.focal_length, rel=1e-6)
    height = paraxial.focal_length / (2.0 * f_number)
    assert trace(system, (height, 0.0, -height), (0.0, 0.0, 1.0)).passed
    assert crossing(system, height) - paraxial.rear_focus == pytest.approx(marginal, abs=6e-4)
    assert crossing(system, math.sqrt(0.5) * height) - paraxial.rear_focus == pytest.approx(zone, abs=6e-4)
    f_focus, c_focus = (prescription.system(line).paraxial.rear_focus for line in (LINE_F, LINE_C))
    assert f_focus - c_focus == pytest.approx(colour, abs=6e-3)


@pytest.mark.parametrize("name", NAMES)
def test_small_apertures_have_the_spherical_aberration_of_the_third_order(name):
    system = SYSTEMS[name]
    paraxial = system.paraxial
    slope = paraxial.entrance_pupil_radius / paraxial.focal_length
    third_order = -seidel(system, 0.1).spherical.sum() / (2.0 * slope**2)
    part = 0.05
    exact = crossing(system, part * paraxial.entrance_pupil_radius) - paraxial.rear_focus
    # The fifth order is part^2 of the third, times up to 5 where orders balance at the rim.
    assert exact == pytest.approx(third_order * part**2, rel=0.02)


def chief_ray_foci(system: OpticalSystem, angle: float) -> tuple[float, float, float]:
    """Tangential and sagittal focus of rays beside the chief ray, from the paraxial focus, and its image height."""
    paraxial = system.paraxial
    direction = np.array([math.sin(angle), 0.0, math.cos(angle)])

    def to_stop(x: float) -> float:
        start = np.array([x, 0.0, paraxial.entrance_pupil]) - 3.0 * paraxial.focal_length * direction
        return float(trace(system, start, direction, rims=False).at_stop[0])

    # The ray that meets the centre of the stop, by secants.
    low, high = -0.01 * paraxial.focal_length, 0.01 * paraxial.focal_length
    for _ in range(12):
        at_low, at_high = to_stop(low), to_stop(high)
        if at_low == at_high:
            break
        low, high = high, high - at_high * (high - low) / (at_high - at_low)
    step = 1e-5 * paraxial.focal_length
    offsets = np.array([[0.0, 0.0, 0.0], [step, 0.0, 0.0], [0.0, step, 0.0]])
    start = np.array([high, 0.0, paraxial.entrance_pupil]) - 3.0 * paraxial.focal_length * direction + offsets
    rays = trace(system, start, direction, rims=False)
    slope = rays.direction[:, :2] / rays.direction[:, 2:]
    at_focus = rays.position[:, :2] + slope * (paraxial.rear_focus - rays.position[:, 2:])
    tangential = -(at_focus[1, 0] - at_focus[0, 0]) / (slope[1, 0] - slope[0, 0])
    sagittal = -at_focus[2, 1] / slope[2, 1]
    return tangential, sagittal, float(at_focus[0, 0])


# Tangential and sagittal focus from the paraxial focus at the corner, mm, and distortion there: as above.
CORNERS = {
    "singlet": (23.4, -10.76, -5.61, -0.018),
    "tessar": (12.2, 0.11, -0.38, -0.000),
    "petzval-kodak": (12.2, 0.43, -1.21, 0.001),
    "biotar": (20.5, -0.76, -0.25, -0.044),
    "mandler": (23.4, -0.47, -0.03, -0.020),
    "retrofocus": (37.5, -0.98, -0.10, -0.020),
}


@pytest.mark.parametrize("name", CORNERS)
def test_a_corner_has_its_astigmatism_and_distortion(name):
    degrees, tangential, sagittal, distortion = CORNERS[name]
    system, angle = SYSTEMS[name], math.radians(degrees)
    foci = chief_ray_foci(system, angle)
    assert foci[:2] == pytest.approx((tangential, sagittal), abs=6e-3)
    assert foci[2] / (system.paraxial.focal_length * math.tan(angle)) - 1.0 == pytest.approx(distortion, abs=6e-4)


@pytest.mark.parametrize("name", CORNERS)
def test_small_fields_have_the_curvature_and_distortion_of_the_third_order(name):
    system, angle = SYSTEMS[name], math.radians(0.5)
    paraxial, sums = system.paraxial, seidel(system, angle)
    slope = paraxial.entrance_pupil_radius / paraxial.focal_length
    tangential, sagittal, height = chief_ray_foci(system, angle)
    s_3, s_4, s_5 = (s.sum() for s in (sums.astigmatism, sums.petzval, sums.distortion))
    assert tangential == pytest.approx(-(3.0 * s_3 + s_4) / (2.0 * slope**2), rel=0.01, abs=1e-5)
    assert sagittal == pytest.approx(-(s_3 + s_4) / (2.0 * slope**2), rel=0.01, abs=1e-5)
    # Transverse distortion is S_V / (2 u'), and the marginal ray falls: u' is below 0.
    paraxial_height = paraxial.focal_length * math.tan(angle)
    assert height - paraxial_height == pytest.approx(-s_5 / (2.0 * slope), rel=0.02, abs=1e-7)


def test_a_bent_thin_lens_has_the_coma_and_aberration_of_the_textbook():
    """S_I of a thin lens at infinity in closed form (Welford, eq. 12.20 ff.), stop at the lens: S_III = H^2 / f."""
    n, focal_length, rim = 1.5, 100.0, 5.0
    equal = lens(Surface(100.0, 0.0, rim, glass(n), is_stop=True), Surface(-100.0, 0.0, rim))
    sums = seidel(equal, 0.1)
    lagrange = rim * math.tan(0.1)
    # Equi-convex, conjugate parameter -1: S_I = y^4 / (4 f^3) [ (n/(n-1))^2 + (3n+2)/n - ... ] = 15 y^4/(9 f^3) * ...
    shape, conjugate = 0.0, -1.0
    s_1 = (rim**4 / (4.0 * focal_length**3)) * (
        (n / (n - 1.0)) ** 2
        + (n + 2.0) / (n * (n - 1.0) ** 2) * (shape + 2.0 * (n**2 - 1.0) / (n + 2.0) * conjugate) ** 2
        - n / (n + 2.0) * conjugate**2
    )
    assert sums.spherical.sum() == pytest.approx(s_1, rel=1e-9)
    assert sums.astigmatism.sum() == pytest.approx(lagrange**2 / focal_length, rel=1e-9)
    assert sums.petzval.sum() == pytest.approx(lagrange**2 / (n * focal_length), rel=1e-9)
    assert sums.distortion.sum() == pytest.approx(0.0, abs=1e-12)


def test_the_pupils_are_those_that_another_program_lists():
    """Angenieux 55/1.0: focal length, back focal distance, entrance pupil, exit pupil from the last vertex."""
    system = load_prescription("angenieux").system()
    of = system.paraxial
    found = (of.focal_length, of.back_focal_distance, of.entrance_pupil, of.exit_pupil - system.vertex[-1])
    assert found == pytest.approx((54.96965, 30.78709, 53.0379, -68.0358), abs=6e-5)


@given(st.sampled_from(NAMES), st.floats(0.1, 10.0), st.floats(-0.3, 0.3))
def test_near_rays_are_paraxial(name, height, slope):
    system = SYSTEMS[name]
    scale = 1e-6
    ray = trace(system, (height * scale, 0.0, 0.0), (slope * scale, 0.0, 1.0), rims=False)
    heights, slopes = paraxial_ray(system, height, slope)
    assert ray.position[0] / scale == pytest.approx(heights[-1], rel=1e-6, abs=1e-6)
    assert ray.direction[0] / scale == pytest.approx(slopes[-1], rel=1e-6, abs=1e-6)


def test_images_obey_newton():
    of = load_prescription("cooke").system().paraxial
    for position in (-80.0, -1000.0, -1e6):
        image, magnification = of.image_of(position)
        object_from, image_from = position - of.front_principal, image - of.rear_principal
        assert 1.0 / image_from - 1.0 / object_from == pytest.approx(1.0 / of.focal_length, rel=1e-9)
        assert magnification == pytest.approx(image_from / object_from, rel=1e-9)
    assert of.image_of(-math.inf) == (of.rear_focus, 0.0)
