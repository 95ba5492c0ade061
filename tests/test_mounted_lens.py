"""A real lens on a camera has the blur parameter and the focus that a scene asks for."""

import pytest
import yaml

from scenes.aperture import Polygon
from scenes.lens import ThinLens
from scenes.mounted_lens import MountedLens
from scenes.prescription import biconvex, load_prescription, prescription_from, prescription_names

WIDTH, HEIGHT = 512, 384


def biotar() -> MountedLens:
    return MountedLens(load_prescription("biotar").scaled_to(50.0), 2.0, 0.024)


@pytest.mark.parametrize("focus", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("blur_parameter", [30.0, 12.0])
def test_the_paraxial_blur_and_the_focus_are_those_asked_for(focus, blur_parameter):
    mount = biotar()
    unit = mount.inv_m_per_unit(30.0, WIDTH)
    asked = ThinLens(blur_parameter, focus, Polygon(6))
    lens = mount.in_camera(asked, unit, WIDTH, HEIGHT)
    assert lens.blur_parameter == pytest.approx(blur_parameter, rel=1e-9)
    assert lens.focus_disparity == focus and lens.aperture == asked.aperture
    # F is that at infinity, whatever the focus.
    assert lens.chief_distance_px == pytest.approx(50.0 / 24.0 * WIDTH, rel=1e-9)


def test_the_largest_blur_is_that_of_the_f_number():
    mount = biotar()
    lens = mount.in_camera(ThinLens(30.0, 0.0), mount.inv_m_per_unit(30.0, WIDTH), WIDTH, HEIGHT)
    assert lens.system.paraxial.entrance_pupil_radius == pytest.approx(50.0 / (2 * 2.0), rel=1e-9)
    # K = F r u: 1066.7 px times 12.5 mm times the unit.
    assert mount.inv_m_per_unit(30.0, WIDTH) == pytest.approx(30.0 / (50.0 / 24.0 * WIDTH * 0.0125))


def test_a_lens_that_does_not_open_that_wide_says_so():
    mount = biotar()
    with pytest.raises(ValueError, match="opens to f/1.43, and f/1 is asked for"):
        mount.in_camera(ThinLens(60.0, 0.5), mount.inv_m_per_unit(30.0, WIDTH), WIDTH, HEIGHT)


def test_a_focus_that_is_too_near_says_so():
    with pytest.raises(ValueError, match="focuses farther than"):
        biotar().in_camera(ThinLens(30.0, 1.0), 40.0, WIDTH, HEIGHT)


@pytest.mark.parametrize("name", prescription_names())
def test_a_prescription_is_read_from_its_description(name):
    prescription = load_prescription(name)
    again = prescription_from(yaml.safe_load(yaml.safe_dump(prescription.describe())))
    assert again.surfaces == prescription.surfaces and again.name == prescription.name


def test_a_lens_is_read_from_its_description():
    mount = MountedLens(biconvex(100.0, 2.0, 1.5), 25.0, 0.006, "natural", True, 3)
    again = MountedLens.from_description(yaml.safe_load(yaml.safe_dump(mount.describe())))
    assert again == mount


@pytest.mark.parametrize(
    "change, message",
    [
        ({"prescription": None}, "must be a mapping"),
        ({"colour": 1}, "keys of a lens are"),
        ({"f_number": None}, "f_number"),
    ],
)
def test_what_is_no_lens_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        MountedLens.from_description({**biotar().describe(), **change})
