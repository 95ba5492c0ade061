"""Spot diagrams of prescriptions, ray by ray: against another trace in NumPy, and against optiland."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from scenes.optics import OpticalSystem, trace
from scenes.prescription import load_prescription

LENSES = ["drbokeh", "cooke", "biotar", "petzval-kodak", "retrofocus"]


def bundle(system: OpticalSystem, field_deg: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """2000 rays from a point in the scene, spread over twice the entrance pupil: positions and directions (n, 3)."""
    of = system.paraxial
    across = np.random.default_rng(5).uniform(-2.0, 2.0, (2000, 2)) * of.entrance_pupil_radius
    at_pupil = np.column_stack([across, np.full(2000, of.entrance_pupil)])
    away = np.array([0.6, 0.8, 0.0]) * np.tan(np.radians(field_deg)) - np.array([0.0, 0.0, 1.0])
    ray = at_pupil - (np.array([0.0, 0.0, of.entrance_pupil]) + distance * away)
    direction = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    # From before the lens.
    return at_pupil + (-20.0 - of.entrance_pupil) / direction[:, 2:] * direction, direction


def spots(system: OpticalSystem, sensor: float, position: np.ndarray, direction: np.ndarray):
    rays = trace(system, position, direction)
    with np.errstate(invalid="ignore"):
        at = rays.position + (sensor - rays.position[:, 2:]) / rays.direction[:, 2:] * rays.direction
    return at[:, :2], rays.passed


def by_centres(system: OpticalSystem, sensor: float, position: np.ndarray, direction: np.ndarray):
    """The textbook's way: spheres by their centres, Snell's law by the angles in the plane of incidence."""
    p, d, passed = position, direction, np.ones(len(position), bool)
    for i, c in enumerate(system.curvature):
        vertex = np.array([0.0, 0.0, system.vertex[i]])
        if c:
            centre = vertex + [0.0, 0.0, 1.0 / c]
            middle = ((centre - p) * d).sum(axis=1)
            miss = np.linalg.norm(centre - p - middle[:, None] * d, axis=1)
            half_chord = np.sqrt(c**-2 - miss**2)
            # Of the two points of the sphere, the one on the vertex's side.
            p = p + (middle - np.sign(c) * half_chord)[:, None] * d
            normal = (centre - p) * c
        else:
            p = p + ((vertex - p)[:, 2] / d[:, 2])[:, None] * d
            normal = np.broadcast_to([0.0, 0.0, 1.0], p.shape)
        passed &= np.hypot(p[:, 0], p[:, 1]) <= system.semi_diameter[i]
        cosine = (d * normal).sum(axis=1)
        along = d - cosine[:, None] * normal
        sine = np.linalg.norm(along, axis=1)
        angle = np.arcsin(system.index[i] / system.index[i + 1] * sine)
        tangent = along / np.maximum(sine, 1e-300)[:, None]
        d = np.cos(angle)[:, None] * normal + np.sin(angle)[:, None] * tangent
    p = p + ((sensor - p[:, 2]) / d[:, 2])[:, None] * d
    return p[:, :2], passed & np.isfinite(p).all(axis=1)


def by_optiland(system: OpticalSystem, sensor: float, position: np.ndarray, direction: np.ndarray):
    if importlib.util.find_spec("optiland") is None:
        pytest.skip("optiland is not installed: pip install -e '.[peers]'")
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        from peer_optiland import OptilandTrace
    finally:
        del sys.path[0]
    return OptilandTrace(system, sensor)(position, direction)


@pytest.mark.parametrize("other", [by_centres, by_optiland])
@pytest.mark.parametrize("name", LENSES)
# optiland's libraries warn while they are imported, and numba of what it compiles there.
@pytest.mark.filterwarnings("ignore")
def test_a_spot_diagram_is_that_of_another_trace(name, other):
    system = load_prescription(name).system()
    of = system.paraxial
    widest = load_prescription(name).half_field_deg or 5.0
    for field_deg, focal_lengths in ((0.0, 1e4), (0.5 * widest, 30.0), (0.8 * widest, 5.0)):
        distance = focal_lengths * of.focal_length
        position, direction = bundle(system, field_deg, distance)
        sensor = of.image_of(of.entrance_pupil - 30.0 * of.focal_length)[0]
        with np.errstate(invalid="ignore"):
            expected, passes = other(system, sensor, position, direction)
        found, passed = spots(system, sensor, position, direction)
        np.testing.assert_array_equal(passed, passes)
        assert 50 < passed.sum() < 1000
        # Millimetres. The spots are a thousandth of a millimetre and larger.
        np.testing.assert_allclose(found[passed], expected[passed], atol=1e-10)
        assert found[passed].std(axis=0).min() > 1e-4
