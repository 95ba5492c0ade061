"""The tracer against Mitsuba 3: other people's thin lens and sampler, the same image to within its noise.

Mitsuba averages over the area of a pixel, so both render box pixels. Its scalar variant needs no LLVM.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from raytrace.tracer import Tracer
from scenes.billboard import Billboard, Scene
from scenes.color import premultiplied
from scenes.lens import ThinLens

WIDTH, HEIGHT, OVERSCAN = 40, 32, 16
TAN_HALF_FOV = 0.35
RENDERS, SAMPLES = 16, 128  # independent renders, and rays per pixel in each
BLOCK = 4
FALSE_ALARM = 1e-3  # of a whole comparison


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def seen_by_mitsuba(mi, scene: Scene, lens: ThinLens, folder: Path) -> np.ndarray:
    """Independent renders of a billboard scene: (RENDERS, H, W, 3); `folder` takes meshes."""
    camera = {
        "type": "thinlens",
        "fov": float(2.0 * np.degrees(np.arctan(TAN_HALF_FOV))),
        "fov_axis": "x",
        # A ray through lens point A s passes depth z at image position x + A (1 / z - 1 / z_f) W / (2 tan) s.
        "aperture_radius": lens.blur_parameter * 2.0 * TAN_HALF_FOV / scene.width,
        "focus_distance": 1.0 / lens.focus_disparity,
        "near_clip": 0.01,
        "far_clip": 1000.0,
        "to_world": mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0]),
        "film": {
            "type": "hdrfilm",
            "width": scene.width,
            "height": scene.height,
            "rfilter": {"type": "box"},
            "pixel_format": "rgb",
            "component_format": "float32",
        },
        "sampler": {"type": "independent"},
    }
    world = {
        "type": "scene",
        "sensor": camera,
        "integrator": {"type": "path", "max_depth": len(scene.layers) + 2, "rr_depth": 100},
    }
    for i, layer in enumerate(scene.layers):
        path = folder / f"layer_{i}.ply"
        write_plane(mi, scene, layer, path)
        world[f"layer_{i}"] = {"type": "ply", "filename": str(path), **emission_of(mi, layer)}
    loaded = mi.load_dict(world)
    return np.stack([np.array(mi.render(loaded, spp=SAMPLES, seed=seed)) for seed in range(RENDERS)])


def write_plane(mi, scene: Scene, layer: Billboard, path: Path) -> None:
    """A layer as a mesh: the plane in space whose inverse depth is the layer's disparity over the picture.

    Texture coordinates are linear over the picture but not over the plane, where Mitsuba interpolates them: cells of
    two texels keep that below a hundredth of a texel.
    """
    height, width = layer.rgba.shape[:2]
    columns, rows = width // 2 + 1, height // 2 + 1
    u, v = np.meshgrid(np.linspace(0.0, 1.0, columns), np.linspace(0.0, 1.0, rows))
    x, y = (u - 0.5) * width, (v - 0.5) * height  # pixels from the centre of the frame, y down
    depth = 1.0 / (layer.disparity + layer.slope[0] * x + layer.slope[1] * y)
    per_pixel = TAN_HALF_FOV / (scene.width / 2.0)
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    # Counterclockwise as the camera sees them, so that they emit towards it.
    faces = np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3)

    mesh = mi.Mesh("plane", rows * columns, len(faces), has_vertex_texcoords=True)
    values = mi.traverse(mesh)
    points = np.stack([x * per_pixel, -y * per_pixel, -np.ones_like(x)], axis=-1) * depth[..., None]
    values["vertex_positions"] = points.ravel()
    values["vertex_texcoords"] = np.stack([u, v], axis=-1).ravel()  # row 0 of a bitmap is at v = 0
    values["faces"] = faces.ravel()
    values.update()
    mesh.write_ply(str(path))


def emission_of(mi, layer: Billboard) -> dict:
    rgba_premul = premultiplied(layer.rgba)

    def bitmap(values: np.ndarray) -> dict:
        texels = mi.Bitmap(np.ascontiguousarray(values))
        return {"type": "bitmap", "bitmap": texels, "raw": True, "filter_type": "bilinear", "wrap_mode": "clamp"}

    # A mask lets a ray pass with probability 1 - alpha, yet does not dim what its surface emits: every hit emits the
    # premultiplied colour.
    black = {"type": "conductor", "specular_reflectance": {"type": "rgb", "value": 0.0}}
    return {
        "bsdf": {"type": "mask", "opacity": bitmap(rgba_premul[..., 3:]), "nested": black},
        "emitter": {"type": "area", "radiance": bitmap(rgba_premul[..., :3])},
    }


def chance_of(theirs: np.ndarray, ours: np.ndarray) -> float:
    """How likely renders of mean `ours` are to stray from it as far as these, in their worst block and channel.

    The mean of every block over the independent renders has a t distribution; the smallest p-value of all blocks and
    channels is corrected for their number (Bonferroni). Ours counts as exact: its noise is a fiftieth of theirs.
    """

    def block_means(images: np.ndarray) -> np.ndarray:
        return images.reshape(-1, HEIGHT // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK, 3).mean(axis=(2, 4))

    errors = block_means(theirs) - block_means(ours)
    t = errors.mean(axis=0) / (errors.std(axis=0, ddof=1) / np.sqrt(RENDERS))
    return float(2.0 * stats.t.sf(np.abs(t).max(), RENDERS - 1) * t.size)


SLOPES = {
    "facing": ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    "slanted": ((0.003, -0.001), (-0.001, 0.002), (0.001, -0.0004)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_mitsuba_sees_the_same_image(mi, taichi_cpu, random_scene, tmp_path, name):
    scene = random_scene(
        rng=np.random.default_rng(0), width=WIDTH, height=HEIGHT, overscan=OVERSCAN, lights=10, light=4.0
    )
    layers = zip(scene.layers, SLOPES[name], strict=True)
    scene = replace(scene, layers=tuple(replace(layer, slope=slope) for layer, slope in layers))
    theirs = seen_by_mitsuba(mi, scene, ThinLens(20.0, 0.45), tmp_path)

    def ours(blur_parameter: float, focus_disparity: float) -> np.ndarray:
        lens = ThinLens(blur_parameter, focus_disparity)
        return Tracer(taichi_cpu).render(scene, lens, pixel="box", samples=8192).linear

    assert chance_of(theirs, ours(20.0, 0.45)) > FALSE_ALARM
    # The comparison is sharp enough to tell a lens that is 5 % wider, and a focus that is 0.4 px of blur off.
    assert chance_of(theirs, ours(21.0, 0.45)) < FALSE_ALARM
    assert chance_of(theirs, ours(20.0, 0.47)) < FALSE_ALARM
