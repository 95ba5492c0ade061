"""Layers that are planes are billboards: a photograph becomes a scene that rays can be traced through."""

from pathlib import Path

import numpy as np
import pytest

from bokehdata import images
from bokehdata.kinds.layers import LayersFolder, RevealedPhotograph, write_layers
from bokehforge.cli import main
from raytrace.tracer import Tracer
from renderers.layering import layering
from scenes.billboard import Billboard, Scene
from scenes.color import REFERENCE_GAMMA, display_rmse
from scenes.layered import SceneError
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.lens import ThinLens
from scenes.planes import TOLERANCE_PX, billboards

LENS = ThinLens(16.0, 0.45)

# The same set of lens points gives the same noise.
SAMPLES = 64


def as_layers(scene: Scene) -> LayeredDepthImage:
    """The layers of billboards as a photograph's are, with a disparity at every texel."""
    layers = tuple(DepthImage(layer.rgba, scene.layer_disparity(i)) for i, layer in enumerate(scene.layers))
    return LayeredDepthImage(layers, scene.width, scene.height, scene.overscan)


def through_a_folder(scene: Scene, folder: Path) -> LayeredDepthImage:
    photograph = RevealedPhotograph(scene.composite(), scene.composite_disparity(), as_layers(scene), "true")
    write_layers(folder, photograph)
    return LayersFolder.at(folder).layers()


def bump(height_px: float, lens: ThinLens = LENS) -> LayeredDepthImage:
    """One opaque layer of disparity 0.5, of which a row is nearer by so much blur."""
    disparity = np.full((24, 32), 0.5, np.float32)
    disparity[7] += height_px / lens.blur_parameter
    return LayeredDepthImage((DepthImage(np.ones((24, 32, 4), np.float16), disparity),), 32, 24, 0)


def test_billboards_come_back_as_they_were(random_scene, tmp_path):
    scene = random_scene(rng=np.random.default_rng(0))
    again = billboards(through_a_folder(scene, tmp_path / "a.layers"), LENS)
    assert not again.is_slanted and (again.width, again.height) == (scene.width, scene.height)
    for found, true in zip(again.layers, scene.layers, strict=True):
        assert found.disparity == pytest.approx(true.disparity, abs=1e-7)
    traced, expected = (Tracer().render(s, LENS, samples=SAMPLES).linear[0] for s in (again, scene))
    # Disparities are stored in single precision: 1e-6 px of blur.
    assert display_rmse(traced, expected, REFERENCE_GAMMA) < 1e-5


def test_slanted_billboards_come_back_as_they_were(random_scene, tmp_path, taichi_cpu):
    scene = random_scene(rng=np.random.default_rng(1), slope=6e-4)
    again = billboards(through_a_folder(scene, tmp_path / "a.layers"), LENS)
    for found, true in zip(again.layers, scene.layers, strict=True):
        assert found.disparity == pytest.approx(true.disparity, abs=1e-6)
        assert found.slope == pytest.approx(true.slope, abs=1e-8)
    traced, expected = (Tracer().render(s, LENS, samples=SAMPLES).linear[0] for s in (again, scene))
    assert display_rmse(traced, expected, REFERENCE_GAMMA) < 1e-4


@pytest.mark.parametrize("slope", [0.0, 0.001])
def test_a_photograph_of_billboards_is_a_scene_of_billboards(slope, taichi_cpu):
    """Found from picture and disparity alone; what no ray of the pinhole sees is a guess, of one colour here."""
    rgba = np.ones((2, 72 + 64, 96 + 64, 4), np.float16)
    rgba[0, ..., :3], rgba[1, ..., :3] = (0.8, 0.3, 0.1), (0.1, 0.2, 0.5)
    rgba[0, ..., 3] = 0.0
    rgba[0, 32 + 20 : 32 + 52, 32 + 30 : 32 + 60, 3] = 1.0
    scene = Scene((Billboard(rgba[0], 0.8), Billboard(rgba[1], 0.2, (slope, -slope))), 96, 72, 32)
    found = layering("reveal0")(scene.composite(), scene.composite_disparity())
    lens = ThinLens(20.0, 0.2)
    again = billboards(found, lens)
    assert [layer.disparity for layer in again.layers] == pytest.approx([0.8, 0.2])
    assert again.layers[1].slope == pytest.approx((slope, -slope), abs=1e-6)
    traced, expected = (Tracer().render(s, lens, samples=SAMPLES).linear[0] for s in (again, scene))
    # Half floats of the colours.
    np.testing.assert_allclose(traced, expected, rtol=2e-3, atol=1e-3)


def test_a_surface_within_the_tolerance_is_a_plane():
    """A plane half way up the bump is half of its height away from all of it."""
    (layer,) = billboards(bump(1.9 * TOLERANCE_PX), LENS).layers
    assert layer.disparity == pytest.approx(0.5 + 0.95 * TOLERANCE_PX / LENS.blur_parameter, abs=1e-3)


def test_a_layer_that_is_no_plane_is_named_with_what_it_lacks():
    """The best plane is tilted towards the bump by little: both ends are about half of its height away."""
    with pytest.raises(SceneError, match=r"layer 0 is no plane.* up to 1\.\d+ px of blur .*0\.25 px can be traced"):
        billboards(bump(3.0), LENS)
    # What counts is blur: with a tenth of it, the same surface is one.
    gentle = ThinLens(LENS.blur_parameter / 10.0, LENS.focus_disparity)
    assert len(billboards(bump(3.0), gentle).layers) == 1


def test_what_is_transparent_need_not_be_a_plane():
    layers = bump(40.0).layers
    rgba = layers[0].rgba.copy()
    rgba[7, :, 3] = 0.0
    far = DepthImage(layers[0].rgba, np.full((24, 32), 0.1, np.float32))
    scene = billboards(LayeredDepthImage((DepthImage(rgba, layers[0].disparity), far), 32, 24, 0), LENS)
    assert [layer.disparity for layer in scene.layers] == pytest.approx([0.5, 0.1])


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_layers_are_widened_as_far_as_rays_go(slope):
    """A plane that is slanted goes farther from the focus, the farther it is widened."""
    across = slope * (np.arange(32) + 0.5 - 16) + 0.5
    disparity = np.broadcast_to(across, (24, 32)).astype(np.float32)
    rgba = np.ones((24, 32, 4), np.float16)
    rgba[..., 0] = np.arange(32) / 32
    scene = billboards(LayeredDepthImage((DepthImage(rgba, disparity),), 32, 24, 0), LENS)
    scene.require_overscan(LENS)
    np.testing.assert_array_equal(scene.layers[0].rgba[scene.overscan, : scene.overscan, 0], rgba[0, 0, 0])
    np.testing.assert_array_equal(scene.frame_rgba(0), rgba)


@pytest.mark.parametrize(
    "slope, message",
    [(0.0624, "too steep|reaches disparity"), (0.07, "puts the plane through the lens")],
)
def test_a_plane_that_no_ray_can_be_traced_through_is_named(slope, message):
    across = slope * (np.arange(32) + 0.5) + 0.01
    disparity = np.broadcast_to(across, (24, 32)).astype(np.float32)
    layers = LayeredDepthImage((DepthImage(np.ones((24, 32, 4), np.float16), disparity),), 32, 24, 0)
    with pytest.raises(SceneError, match=message):
        billboards(layers, LENS)


def test_planes_that_cross_are_named():
    right = np.broadcast_to(np.linspace(0.3, 0.6, 32), (24, 32)).astype(np.float32)
    near = np.ones((24, 32, 4), np.float16)
    near[:, :16, 3] = 0.0
    layers = (DepthImage(near, right), DepthImage(np.ones_like(near), np.full((24, 32), 0.4, np.float32)))
    with pytest.raises(SceneError, match="layers 0 and 1 overlap in disparity"):
        billboards(LayeredDepthImage(layers, 32, 24, 0), ThinLens(2.0, 0.4))


# ---------- the command


@pytest.fixture
def photo(tmp_path) -> Path:
    """A red square of disparity 0.9 before a blue wall of 0.2."""
    image, disparity = np.full((40, 56, 3), (0.2, 0.3, 0.8)), np.full((40, 56), 0.2, np.float32)
    image[12:30, 20:36], disparity[12:30, 20:36] = (0.9, 0.3, 0.2), 0.9
    images.write_png(tmp_path / "photo.png", image)
    np.save(tmp_path / "map.npy", disparity)
    return tmp_path / "photo.png"


def traced(photo: Path, *options: str) -> int:
    words = ["layers", str(photo), "--disparity", str(photo.parent / "map.npy"), "--out"]
    assert main([*words, str(photo.with_suffix(".layers"))]) == 0
    words = ["render", str(photo.with_suffix(".layers")), "--renderer", "oracle-layers", "--focus", "0.2"]
    return main([*words, "--out", str(photo.with_suffix(".exr")), *options])


def test_a_photograph_is_traced_by_its_layers(photo):
    """Focused on the wall, the square's edge is the cumulative of a disk: beside its middle, half of its light."""
    assert traced(photo, "--blur", "10") == 0
    seen = images.read_exr_rgb(photo.with_suffix(".exr"))
    square, wall = (np.array(c) ** 2.2 for c in ((0.9, 0.3, 0.2), (0.2, 0.3, 0.8)))
    edge = 0.5 * (seen[21, 19] + seen[21, 20])
    np.testing.assert_allclose(edge, 0.5 * (square + wall), atol=0.01)
    np.testing.assert_allclose(seen[2, 2], wall, atol=2e-3)


def test_a_photograph_that_is_no_scene_of_planes_is_named(photo, capsys):
    disparity = np.load(photo.parent / "map.npy")
    disparity[12:30, 20:36] -= 0.02 * (np.arange(16) - 8.0) ** 2 / 8.0
    np.save(photo.parent / "map.npy", disparity)
    assert traced(photo, "--blur", "40") == 2
    message = capsys.readouterr().err
    assert "layer 0 is no plane" in message and message.count("\n") == 1
    assert not photo.with_suffix(".exr").exists()
