"""Two stops: classical renderers draw the lemons that the tracer traces, each in its place of the frame."""

import numpy as np
import pytest

from raytrace.tracer import Tracer
from renderers.classical.layers_over import layers_over
from renderers.classical.scatter import scatter
from renderers.splatting.kernels import Frame, nearest_kernels_of_cells
from scenes.aperture import Character, Disk, Polygon
from scenes.billboard import Billboard, Scene
from scenes.lens import ThinLens

WIDTH, HEIGHT, OVERSCAN, RADIUS_PX = 240, 160, 24, 16.0
LIGHTS = [(x, y) for y in (30, 80, 130) for x in (30, 120, 210)]


def lights(side: float) -> Scene:
    """Nine points of light on black, in the one layer, which has defocus S = `side` RADIUS_PX through `lens`."""
    rgba = np.zeros((HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4), np.float16)
    rgba[..., 3] = 1.0
    for x, y in LIGHTS:
        rgba[y + OVERSCAN, x + OVERSCAN, :3] = 1000.0
    return Scene((Billboard(rgba, 0.5 + 0.4 * side),), WIDTH, HEIGHT, OVERSCAN)


def lens(aperture) -> ThinLens:
    return ThinLens(RADIUS_PX / 0.4, 0.5, aperture)


def in_the_wrong_place(picture: np.ndarray, truth: np.ndarray) -> list[float]:
    """Of each light, the share that is not where the truth has it."""
    shares = []
    for x, y in LIGHTS:
        here = np.s_[y - 20 : y + 21, x - 20 : x + 21]
        spot, true_spot = (p[here][..., 0] / p[here][..., 0].sum() for p in (picture, truth))
        shares.append(float(np.abs(spot - true_spot).sum() / 2.0))
    return shares


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("aperture", [Character(Disk(), cat_eye=1.0), Character(Polygon(5, 20.0), cat_eye=0.6)])
def test_scatter_and_layers_draw_the_lemons_that_are_traced(taichi_cpu, side, aperture):
    scene = lights(side)
    truth = Tracer(taichi_cpu).render(scene, lens(aperture), samples=8192).linear[0]
    picture, disparity = scene.frame_rgba(0)[..., :3].astype(np.float32), np.full((HEIGHT, WIDTH), 0.5 + 0.4 * side)
    drawn = {
        "scatter": scatter(picture, disparity.astype(np.float32), lens(aperture)),
        "layers": layers_over(picture, disparity.astype(np.float32), lens(aperture), gamma=2.2, scene=scene),
    }
    # Rims, on about 0.25 px of the outline, as of `test_scatter`.
    for name, result in drawn.items():
        assert max(in_the_wrong_place(result, truth)) < 0.06, name
    # Without the second stop, far more of a corner's light is in the wrong place.
    wrong = in_the_wrong_place(scatter(picture, disparity.astype(np.float32), lens(aperture.shape)), truth)
    assert min(wrong[0], wrong[2], wrong[6], wrong[8]) > 0.12


def test_cells_are_those_of_the_frame_whichever_part_of_it_is_drawn():
    defocus = np.linspace(-9.0, 9.0, 70 * 90, dtype=np.float32).reshape(70, 90)
    aperture = Character(Disk(), cat_eye=1.0)
    values, fields, index = nearest_kernels_of_cells(defocus, aperture, Frame(90, 70))
    part = np.s_[21:60, 37:81]
    of_part = nearest_kernels_of_cells(np.ascontiguousarray(defocus[part]), aperture, Frame(90, 70, left=37, top=21))
    np.testing.assert_array_equal(of_part[0][of_part[2]], values[index[part]])
    np.testing.assert_array_equal(of_part[1][of_part[2]], fields[index[part]])


def test_fields_point_from_the_centre_of_the_frame_to_its_corners():
    frame = Frame(640, 320, left=-24, top=-24)
    _, fields, index = nearest_kernels_of_cells(
        np.full((368, 688), 5.0, np.float32), Character(Disk(), cat_eye=1.0), frame
    )
    at = fields[index]
    half_diagonal = np.hypot(320, 160)
    # The corners are 357.8 px away, and cells 12 px wide: the first of the frame has its centre at (6, 6).
    np.testing.assert_allclose(at[24, 24], np.array([6 - 320, 6 - 160]) / half_diagonal)
    np.testing.assert_allclose(at[0, 0], np.array([-18 - 320, -18 - 160]) / half_diagonal)
    np.testing.assert_allclose(at[24 + 160, 24 + 320], np.array([318 - 320, 162 - 160]) / half_diagonal)
