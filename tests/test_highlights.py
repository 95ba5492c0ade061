"""Light above white reaches the sensor by the rays that nothing blocks."""

import numpy as np
import pytest

from renderers.neural.bokehme.highlights import blurred_highlights

SIZE = 121
LAMP = (60, 70)
EDGE = 66.0


def lamp() -> np.ndarray:
    above = np.zeros((SIZE, SIZE, 3), np.float32)
    above[LAMP] = 7.0
    return above


def halves(left_px: float, right_px: float) -> np.ndarray:
    """Signed defocus of a surface left of EDGE, pixels, and of one right of it, where the lamp is."""
    columns = np.where(np.arange(SIZE) + 0.5 < EDGE, left_px, right_px)
    return np.tile(columns.astype(np.float32), (SIZE, 1))


def beyond_chord(radius_px: float, chord_px: float) -> float:
    """Part of a disk on the right of a vertical chord, which is `chord_px` right of its centre."""
    angle = np.arccos(np.clip(chord_px / radius_px, -1.0, 1.0))
    return float((angle - np.sin(angle) * np.cos(angle)) / np.pi)


@pytest.mark.parametrize("defocus_px", [-17.0, -3.4, -1.0, 0.0, 0.3, 1.7, 24.6])
def test_a_point_becomes_a_filled_disk_of_its_energy(defocus_px):
    lit = blurred_highlights(lamp(), np.full((SIZE, SIZE), defocus_px, np.float32))
    np.testing.assert_allclose(lit.sum((0, 1)), 7.0, rtol=1e-4)
    rho = np.hypot(np.arange(SIZE)[:, None] - LAMP[0], np.arange(SIZE) - LAMP[1])
    inside = lit[rho <= abs(defocus_px) - 0.5]
    assert not lit[rho > abs(defocus_px) + 0.5].any()
    if abs(defocus_px) > 4.0:
        np.testing.assert_allclose(inside, 7.0 / (np.pi * defocus_px**2), rtol=0.02)


@pytest.mark.parametrize(
    ("before_px", "lamp_px"),
    [(0.0, -20.0), (0.0, -12.0), (-8.0, -20.0), (10.0, -20.0), (24.0, -12.0), (20.0, 12.0), (12.0, 4.0)],
)
def test_an_edge_before_a_lamp_cuts_its_disk_along_a_chord(before_px, lamp_px):
    """A ray of defocus S at the edge's depth meets it at p + (S / S_q) (q - p): the shadow ends where that is the edge.

    The lamp is `far` pixels right of the edge. Measured from the lamp in units of its blur, the shadow ends at
    far / (S - S_q), on the left for a lamp beyond focus, on the right for one before it.
    """
    far = LAMP[1] + 0.5 - EDGE
    defocus = halves(before_px, lamp_px)
    lit = blurred_highlights(lamp(), defocus)[..., 0]
    chord = -abs(lamp_px) * far / (before_px - lamp_px)
    expected = 7.0 * beyond_chord(abs(lamp_px), chord)
    assert 0.05 * 7.0 < expected < 0.95 * 7.0
    # The rim of the shadow is known to half a pixel.
    tolerance = 7.0 * 0.75 * 2.0 * abs(lamp_px) / (np.pi * lamp_px**2)
    assert abs(lit.sum() - expected) < tolerance
    side = 1.0 if lamp_px < 0.0 else -1.0
    offsets = side * (np.arange(SIZE) - LAMP[1])
    assert not lit[:, offsets < chord - 1.5].any()


def test_what_is_farther_than_a_lamp_blocks_none_of_its_light():
    for beyond_px, lamp_px in [(-20.0, 0.0), (-20.0, 12.0), (0.0, 18.0), (5.0, 18.0), (-20.0, -10.0)]:
        np.testing.assert_allclose(blurred_highlights(lamp(), halves(beyond_px, lamp_px)).sum((0, 1)), 7.0, rtol=1e-4)


@pytest.mark.parametrize("slope", [0.1, 0.3, 0.45])
def test_a_slanted_surface_does_not_block_its_own_lamps(slope):
    defocus = np.tile((slope * (np.arange(SIZE) - 60)).astype(np.float32), (SIZE, 1))
    for column in (30, 50, 60, 75, 90):
        above = np.zeros((SIZE, SIZE, 3), np.float32)
        above[60, column] = 1.0
        np.testing.assert_allclose(blurred_highlights(above, defocus).sum((0, 1)), 1.0, atol=0.02)


def test_lamps_add_up_and_no_light_is_no_light():
    rng = np.random.default_rng(0)
    defocus = np.repeat(np.repeat(rng.uniform(-9, 9, (6, 6)), 10, 0), 10, 1).astype(np.float32)
    first, second = np.zeros((2, 60, 60, 3), np.float32)
    first[20, 31], second[33, 28] = (1.0, 2.0, 3.0), (4.0, 0.0, 0.0)
    together = blurred_highlights(first + second, defocus)
    np.testing.assert_allclose(
        together, blurred_highlights(first, defocus) + blurred_highlights(second, defocus), atol=1e-6
    )
    assert together[..., 2].sum() > 0.0 and not blurred_highlights(0.0 * first, defocus).any()
