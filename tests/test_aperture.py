"""Aperture shapes and their point sets: points are even over the shape, and none is outside."""

import base64

import cv2
import numpy as np
import pytest
from scipy import stats

from scenes.aperture import Character, Disk, Donut, Mask, Polygon, aperture_from, aperture_points

GRID = 32  # cells along a side of [-1, 1]^2 in the counts below
SUBCELLS = 32  # subdivisions of a cell by which the density of a shape is integrated


def ring_sector() -> np.ndarray:
    """A grey picture that is neither symmetric nor binary: a sector of a ring, brighter to the right."""
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    grey = np.where((radius > 0.3) & (radius < 0.9) & (angle > -2.0) & (angle < 1.2), 155.0 + 100.0 * x, 0.0)
    return np.round(grey).astype(np.uint8)


SHAPES = {
    "disk": Disk(),
    "triangle": Polygon(3, rotation_deg=90.0),
    "pentagon": Polygon(5, rotation_deg=-18.0),
    "rounded hexagon": Polygon(6, rotation_deg=7.0, curvature=0.4),
    "donut": Donut(0.45),
    "mask": Mask(ring_sector()),
    "soap bubble": Character(Disk(), spherical=0.9),
    "creamy pentagon": Character(Polygon(5, rotation_deg=-18.0), spherical=-0.9),
    "onion donut": Character(Donut(0.45), rings=3.0, ring_contrast=0.5),
    "creamy mask": Character(Mask(ring_sector()), spherical=-0.7, rings=2.0, ring_contrast=0.3),
}

each_shape = pytest.mark.parametrize("aperture", SHAPES.values(), ids=SHAPES)


def transmission(aperture, x, y):
    """Transmission of a shape at lens points, computed from its definition without its sampling."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    match aperture:
        case Disk():
            return (radius <= 1.0).astype(float)
        case Donut():
            return ((radius >= aperture.inner_radius) & (radius <= 1.0)).astype(float)
        case Polygon():
            half = np.pi / aperture.blades
            phi = (angle - np.radians(aperture.rotation_deg)) % (2.0 * half) - half
            straight = np.cos(half) / np.cos(phi)
            return (radius <= (1.0 - aperture.curvature) * straight + aperture.curvature).astype(float)
        case Mask():
            height, width = aperture.transmission.shape
            row = np.clip(((y + 1.0) / 2.0 * height).astype(int), 0, height - 1)
            column = np.clip(((x + 1.0) / 2.0 * width).astype(int), 0, width - 1)
            return aperture.transmission[row, column] / 255.0
        case Character():
            rings = 1.0 + aperture.ring_contrast * np.cos(2.0 * np.pi * aperture.rings * radius)
            brightness = (1.0 + aperture.spherical * (2.0 * radius**2 - 1.0)) * rings
            # The brightest place of the unit disk lets all light through.
            at = np.linspace(0.0, 1.0, 10_000)
            along = 1.0 + aperture.ring_contrast * np.cos(2.0 * np.pi * aperture.rings * at)
            brightest = ((1.0 + aperture.spherical * (2.0 * at**2 - 1.0)) * along).max()
            return transmission(aperture.shape, x, y) * brightness / brightest
    raise TypeError(aperture)


def expected_counts(aperture, n: int) -> np.ndarray:
    """How many of n points fall into each cell: (GRID, GRID), rows along y."""
    centre = (np.arange(GRID * SUBCELLS) + 0.5) / (GRID * SUBCELLS) * 2.0 - 1.0
    density = transmission(aperture, centre[None, :], centre[:, None])
    cells = density.reshape(GRID, SUBCELLS, GRID, SUBCELLS).sum(axis=(1, 3))
    return n * cells / cells.sum()


def chi_square(aperture, points: np.ndarray) -> tuple[float, int]:
    """Chi-square statistic of the points' counts in cells, and its degrees of freedom. Cells that expect less than 5
    points are pooled into one."""
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=GRID, range=[[-1, 1], [-1, 1]])
    expected = expected_counts(aperture, len(points))
    large = expected >= 5.0
    terms = np.square(counts - expected)[large] / expected[large]
    rest = expected[~large].sum()
    rest_term = np.square(counts[~large].sum() - rest) / max(rest, 1.0)
    return float(terms.sum() + rest_term), int(large.sum())


@each_shape
def test_random_points_have_the_density_of_the_shape(aperture):
    rng = np.random.default_rng(7)
    n = 200_000
    statistic, freedom = chi_square(aperture, aperture.warp(rng.random(n), rng.random(n)))
    # False alarm for one seed in 10^4.
    assert statistic < stats.chi2.isf(1e-4, freedom)


@each_shape
@pytest.mark.parametrize("turn", [0.0, 0.37])
def test_the_point_set_is_far_more_even_than_chance(aperture, turn):
    statistic, freedom = chi_square(aperture, aperture_points(aperture, 200_000, turn=turn))
    # Random points give 1 per degree of freedom.
    assert statistic < 0.1 * freedom


@each_shape
@pytest.mark.parametrize("n", [1, 2, 17, 1000])
def test_points_lie_in_the_shape(aperture, n):
    points = aperture_points(aperture, n)
    assert points.shape == (n, 2) and points.dtype == np.float64
    # The factor allows for the rounding of the tables. Cells of a mask are open over their whole area.
    inside = points * (1.0 - 1e-5) if isinstance(aperture, Disk | Polygon) else points
    assert (transmission(aperture, *inside.T) > 0.0).all()
    assert (np.linalg.norm(points, axis=1) <= 1.0 + 1e-12).all()


def test_points_on_the_disk_are_vogels_spiral():
    n = 501
    points = aperture_points(Disk(), n)
    i = np.arange(n)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.sqrt((i + 0.5) / n), rtol=1e-12)
    spiral = np.exp(1j * np.pi * (3.0 - np.sqrt(5.0)) * i)  # the golden angle, 2.39996323 rad
    actual = points @ [1.0, 1.0j]
    # Angles reach 1200 rad in double precision.
    np.testing.assert_allclose(actual / np.abs(actual), spiral, atol=1e-11)


def test_turn_rotates_the_spiral():
    angle = 2.0 * np.pi * 0.21
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = aperture_points(Disk(), 100, turn=0.21)
    np.testing.assert_allclose(turned, aperture_points(Disk(), 100) @ rotation, atol=1e-12)


@pytest.mark.parametrize("blades, rotation_deg", [(3, 90.0), (5, 20.0), (8, 0.0)])
def test_vertices_stand_at_the_rotation_and_turn_towards_y(blades, rotation_deg):
    points = aperture_points(Polygon(blades, rotation_deg), 20_000)
    vertex = np.radians(rotation_deg + 360.0 / blades * np.arange(blades))
    reach = points @ np.stack([np.cos(vertex), np.sin(vertex)])
    # The outermost of 20000 points is within a few spacings, 2 / sqrt(n), of the tip.
    assert (reach.max(axis=0) > 0.97).all()
    # Opposite a vertex of an odd polygon is the middle of a side, at cos(pi / n).
    if blades % 2:
        np.testing.assert_allclose(-reach.min(axis=0), np.cos(np.pi / blades), atol=0.01)


# Straight blades: n sin(2 pi / n) / (2 pi).
@pytest.mark.parametrize(
    "aperture, area",
    [
        (Disk(), 1.0),
        (Polygon(5), 0.7568),
        (Polygon(6), 0.8270),
        (Polygon(6, 33.0), 0.8270),
        (Polygon(7, curvature=1.0), 1.0),
        (Donut(0.0), 1.0),
        (Donut(0.6), 0.64),
    ],
)
def test_areas_are_those_of_the_closed_forms(aperture, area):
    assert aperture.area == pytest.approx(area, abs=5e-5)  # four digits are given


@each_shape
def test_area_is_the_light_that_passes(aperture):
    centre = (np.arange(2000) + 0.5) / 1000.0 - 1.0
    # Cells of side 1/1000 cut a boundary of length 2 pi. Errors of single cells cancel.
    area = transmission(aperture, centre[None, :], centre[:, None]).sum() * 1e-6 / np.pi
    assert aperture.area == pytest.approx(area, abs=2e-4)


def test_curvature_goes_from_the_polygon_to_the_disk():
    areas = [Polygon(5, curvature=c).area for c in np.linspace(0.0, 1.0, 6)]
    assert np.all(np.diff(areas) > 0.0)
    points = aperture_points(Polygon(5, curvature=1.0), 1000)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.sqrt((np.arange(1000) + 0.5) / 1000), rtol=1e-9)


def test_a_mask_that_fills_the_square_is_cut_to_the_disk():
    mask = Mask(np.full((9, 9), 255, np.uint8))
    assert np.linalg.norm(aperture_points(mask, 5000), axis=1).max() <= 1.0 + 1e-12


def test_a_large_picture_is_reduced_and_keeps_its_proportions():
    disk = (np.hypot(*(np.indices((300, 300)) - 149.5)) < 60).astype(np.uint8) * 255
    upright = Mask.from_image(np.pad(disk, ((150, 150), (0, 0))))
    assert upright.transmission.shape == (256, 256)
    width, height = np.ptp(aperture_points(upright, 5000), axis=0)
    # The picture is 600 high, so its disk of radius 60 has 0.2 of the aperture's; a cell of 256 is 0.008.
    assert width == pytest.approx(0.4, abs=0.02) and height == pytest.approx(0.4, abs=0.02)


@each_shape
def test_a_description_gives_the_aperture_back(aperture):
    again = aperture_from(aperture.describe())
    assert type(again) is type(aperture)
    np.testing.assert_array_equal(aperture_points(again, 300), aperture_points(aperture, 300))


def test_a_soap_bubble_ends_at_its_rim_and_a_creamy_disk_in_nothing():
    radius = np.linalg.norm(aperture_points(Character(Disk(), spherical=1.0), 100_000), axis=1)
    # Brightness 2 rho^2: the light within rho is rho^4. Of a creamy disk, 2 (1 - rho^2), it is 2 rho^2 - rho^4.
    assert (radius < 0.5).mean() == pytest.approx(0.5**4, abs=1e-3)
    creamy = np.linalg.norm(aperture_points(Character(Disk(), spherical=-1.0), 100_000), axis=1)
    assert (creamy < 0.5).mean() == pytest.approx(2 * 0.5**2 - 0.5**4, abs=1e-3)


def test_rings_are_counted_from_the_centre_to_the_rim():
    aperture = Character(Disk(), rings=4.0, ring_contrast=0.8)
    along = np.linspace(0.0, 1.0, 2001)
    brightness = aperture.transmission_at(np.stack([along, np.zeros_like(along)], axis=-1))
    inside = brightness[1:-1]
    peaks = along[1:-1][(inside > brightness[:-2]) & (inside > brightness[2:])]
    np.testing.assert_allclose(peaks, [0.25, 0.5, 0.75], atol=1e-3)  # the centre and the rim are bright as well
    assert brightness.min() / brightness.max() == pytest.approx(0.2 / 1.8, abs=1e-4)


def test_a_second_stop_takes_what_lies_towards_the_corner():
    """Seen from the right of the frame, it stands to the left: rays through the right of the lens are stopped."""
    lens_points = np.array([[-0.9, 0.0], [0.0, 0.0], [0.9, 0.0], [0.0, 0.9]])
    aperture = Character(Disk(), cat_eye=0.5)
    np.testing.assert_array_equal(aperture.stopped_at(lens_points, np.array([0.8, 0.0])), [False, False, True, False])
    np.testing.assert_array_equal(aperture.stopped_at(lens_points, np.zeros(2)), [False] * 4)


def png_base64(picture: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode("ascii")


@pytest.mark.parametrize(
    "description, message",
    [
        ({"shape": "heart"}, "'heart' is unknown"),
        ({"blades": 5}, "None is unknown"),
        ({"shape": "polygon", "blades": 2}, "blades is 2"),
        ({"shape": "polygon", "blades": 6.5}, "blades is 6.5"),
        ({"shape": "polygon", "blades": 5, "rotation_deg": float("nan")}, "rotation_deg is nan"),
        ({"shape": "donut", "inner_radius": "big"}, "inner_radius is 'big'"),
        ({"shape": "donut"}, "keys of a donut are inner_radius"),
        ({"shape": "polygon"}, "blades"),
        ({"shape": "polygon", "blades": 5, "curvature": 1.5}, "1.5"),
        ({"shape": "polygon", "blades": 5, "curvature": float("nan")}, "nan"),
        ({"shape": "donut", "inner_radius": 1.0}, "1.0"),
        ({"shape": "donut", "inner_radius": -0.1}, "-0.1"),
        ({"shape": "disk", "blades": 5}, "blades"),
        ({"shape": "disk", "spherical": 1.5}, "spherical is 1.5"),
        ({"shape": "disk", "cat_eye": 2}, "cat_eye is 2"),
        ({"shape": "polygon", "blades": 5, "ring_contrast": "strong"}, "ring_contrast is 'strong'"),
        ({"shape": "disk", "rings": -1.0}, "rings is -1"),
        ({"shape": "mask", "png_base64": "AAAA"}, "not a PNG"),
        ({"shape": "mask", "png_base64": "*"}, "not a PNG"),
        ({"shape": "mask", "png_base64": png_base64(np.zeros((8, 8), np.uint8))}, "no light"),
    ],
)
def test_what_is_no_aperture_is_named(description, message):
    with pytest.raises(ValueError, match=message):
        aperture_from(description)


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32)])
def test_a_mask_says_what_shape_and_type_it_was_given(bad):
    with pytest.raises(ValueError, match=str(bad.dtype)):
        Mask(bad)
