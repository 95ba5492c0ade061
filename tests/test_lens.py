"""The thin lens: the formula of the circle of confusion, and all conversions of its parameters."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.color import HALF_MAX
from scenes.lens import (
    ThinLens,
    blur_parameter_from_f_number,
    disparity_from_distance,
    distance_from_disparity,
    f_number_from_blur_parameter,
    normalized_focus_and_blur,
    signed_defocus_px,
    slanted_defocus_px,
)

# 50 mm at f/2.8 on a 36 mm sensor, 1920 px wide.
CAMERA = {"focal_length_m": 0.05, "f_number": 2.8, "sensor_width_m": 0.036, "width_px": 1920}

disparities = st.floats(0.0, 2.0)
blur_parameters = st.floats(0.0, 500.0)


def test_a_full_frame_camera_has_the_blur_worked_out_by_hand():
    # K = f^2 W / (2 N w) = 0.0025 * 1920 / (2 * 2.8 * 0.036) = 500 / 21
    blur_parameter = blur_parameter_from_f_number(**CAMERA)
    assert blur_parameter == pytest.approx(500.0 / 21.0, rel=1e-12)
    # A point at 1 m with the focus at 4 m: 500 / 21 * 3 / 4 = 17.857 px, on the near side.
    assert signed_defocus_px(1.0, blur_parameter, 0.25) == pytest.approx(17.857142857, rel=1e-9)


def test_focus_breathing_widens_the_blur_by_the_image_distance():
    breathing = blur_parameter_from_f_number(**CAMERA, focus_disparity=0.25)
    # v / f = 1 / (1 - f d_f) = 1 / (1 - 0.05 / 4)
    assert breathing / blur_parameter_from_f_number(**CAMERA) == pytest.approx(1.0126582278, rel=1e-9)


def test_two_marginal_rays_give_the_same_radius():
    """Rays through the rim of the lens, followed to the sensor with exact fractions."""
    f, aperture, focus, depth = Fraction(50, 1000), Fraction(50, 2800), Fraction(4), Fraction(1)
    sensor = f * focus / (focus - f)
    image = f * depth / (depth - f)  # where the point's rays meet behind the lens
    radius_m = aperture / 2 * (image - sensor) / image
    blur_parameter = blur_parameter_from_f_number(**CAMERA, focus_disparity=float(1 / focus))
    defocus_px = signed_defocus_px(float(1 / depth), blur_parameter, float(1 / focus))
    assert defocus_px == pytest.approx(float(radius_m) * 1920 / 0.036, rel=1e-12)


@given(st.floats(0.01, 0.4), st.floats(0.7, 64.0), st.floats(0.005, 0.1), st.integers(16, 8192))
def test_f_number_and_blur_parameter_are_each_others_inverse(focal_length_m, f_number, sensor_width_m, width_px):
    blur_parameter = blur_parameter_from_f_number(focal_length_m, f_number, sensor_width_m, width_px)
    back = f_number_from_blur_parameter(focal_length_m, blur_parameter, sensor_width_m, width_px)
    assert back == pytest.approx(f_number, rel=1e-12)


def test_twice_the_pixels_is_twice_the_blur():
    wide = blur_parameter_from_f_number(**{**CAMERA, "width_px": 2 * CAMERA["width_px"]})
    assert wide == 2.0 * blur_parameter_from_f_number(**CAMERA)


def test_equal_steps_of_disparity_blur_equally_and_equal_steps_of_depth_do_not():
    near, far = signed_defocus_px(0.75, 24.0, 0.5), signed_defocus_px(0.25, 24.0, 0.5)
    assert near == 6.0 and far == -6.0
    # Focus at 2 m; 1 m in front of it and 1 m behind it.
    assert abs(signed_defocus_px(1.0 / 1.0, 24.0, 0.5)) == pytest.approx(3.0 * abs(signed_defocus_px(1 / 3, 24.0, 0.5)))


def test_focus_is_sharp_and_infinity_is_finite():
    assert signed_defocus_px(0.3, 40.0, 0.3) == 0.0
    assert signed_defocus_px(0.0, 40.0, 0.3) == -12.0
    assert signed_defocus_px(0.7, 0.0, 0.3) == 0.0


@given(disparities, disparities, blur_parameters, st.floats(0.0, 1.0), st.floats(0.01, 3.0))
def test_normalized_disparity_has_the_same_defocus(disparity, focus, blur_parameter, low, span):
    scaled = (disparity - low) / span
    before = signed_defocus_px(disparity, blur_parameter, focus)
    after = signed_defocus_px(scaled, *normalized_focus_and_blur(blur_parameter, focus, low, low + span))
    # Differences of numbers up to 2 / 0.01 in double precision, times K.
    assert after == pytest.approx(before, rel=1e-9, abs=1e-9 + 1e-13 * blur_parameter)


@given(disparities, st.floats(-0.95, 0.95), blur_parameters, disparities)
def test_slanted_defocus_is_the_defocus_of_the_point_that_is_hit(disparity, tilt, blur_parameter, focus):
    """S = K (d + S g . s - d_f), with tilt = K g . s."""
    slope_along_lens = tilt / blur_parameter if blur_parameter > 1e-3 else 0.0
    defocus_px = slanted_defocus_px(disparity, slope_along_lens, blur_parameter, focus)
    hit = disparity + defocus_px * slope_along_lens
    # The division amplifies rounding by up to 1 / (1 - 0.95).
    scale = blur_parameter * (disparity + focus + abs(hit))
    assert signed_defocus_px(hit, blur_parameter, focus) == pytest.approx(defocus_px, rel=1e-12, abs=1e-14 * scale)


@given(disparities, blur_parameters, disparities)
def test_a_plane_that_faces_the_camera_is_the_slanted_plane_of_slope_zero(disparity, blur_parameter, focus):
    facing = signed_defocus_px(disparity, blur_parameter, focus)
    assert slanted_defocus_px(disparity, 0.0, blur_parameter, focus) == facing


@pytest.mark.parametrize("disparity, distance", [(0.0, HALF_MAX), (1.0 / 70000.0, HALF_MAX), (0.5, 2.0), (4.0, 0.25)])
def test_the_largest_half_float_stands_for_infinity(disparity, distance):
    assert distance_from_disparity(disparity) == distance
    assert disparity_from_distance(distance) == (disparity if distance < HALF_MAX else 0.0)


@given(st.floats(1.0 / 65000.0, 100.0))
def test_distance_and_disparity_are_each_others_inverse(disparity):
    # Two divisions, each rounded once.
    assert disparity_from_distance(distance_from_disparity(disparity)) == pytest.approx(disparity, rel=3e-16)


FORMULAS = {
    "signed_defocus_px": (signed_defocus_px, ([0.1, 0.5, 0.9], 24.0, 0.5)),
    "slanted_defocus_px": (slanted_defocus_px, ([0.1, 0.5, 0.9], [0.0, 0.01, -0.02], 24.0, 0.5)),
    "blur_parameter_from_f_number": (blur_parameter_from_f_number, ([0.035, 0.05, 0.085], 1.8, 0.036, 512)),
    "f_number_from_blur_parameter": (f_number_from_blur_parameter, (0.05, [6.0, 12.0, 24.0], 0.036, 512)),
    "normalized_focus_and_blur": (normalized_focus_and_blur, ([6.0, 12.0, 24.0], 0.5, 0.1, 0.9)),
}


def array_of(library: str) -> Callable:
    if library == "numpy":
        return np.array
    torch = pytest.importorskip("torch")
    return partial(torch.tensor, dtype=torch.float64)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_formulas_take_arrays_and_tensors_as_they_take_numbers(name, library):
    formula, arguments = FORMULAS[name]
    array = array_of(library)
    together = formula(*(array(a) if isinstance(a, list) else a for a in arguments))
    alone = [formula(*(a[i] if isinstance(a, list) else a for a in arguments)) for i in range(3)]
    if isinstance(together, tuple):
        together, alone = together[0], [result[0] for result in alone]
    # The same operations in double precision.
    np.testing.assert_allclose(np.asarray(together), alone, rtol=1e-15)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_lens_names_the_value_that_it_cannot_have(bad):
    with pytest.raises(ValueError, match=f"blur parameter is {bad}"):
        ThinLens(bad, 0.5)
    with pytest.raises(ValueError, match=f"focus disparity is {bad}"):
        ThinLens(12.0, bad)
