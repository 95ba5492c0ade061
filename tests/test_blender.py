"""Cycles as ground truth: its blur radius, its agreement with the tracer, its depth, noise, layers and files."""

import hashlib
import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from blender_scripts import billboards, production, render_blb
from blender_scripts.camera import blender_lens
from blender_scripts.passes import Passes, read_passes
from blender_scripts.process import BlenderProcess
from blender_scripts.refusal import Refusal
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehdata.writer import DatasetWriter
from raytrace import backend
from raytrace.tracer import Tracer
from scenes.aperture import Disk, Polygon, aperture_points
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX, display_rmse
from scenes.lens import ThinLens, disparity_from_distance, signed_defocus_px

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bokehforge[blender] is not installed")

SIZE = ["--width", "48", "--height", "32"]
TINY = [*SIZE, "--blur-levels", "1", "--focus-count", "2", "--samples", "8", "--device", "cpu"]


@pytest.fixture(scope="module")
def blender():
    with BlenderProcess() as process:
        yield process


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The first two built-in scenes, with layers, in a folder whose name Blender would take for a variable."""
    out = tmp_path_factory.mktemp("blender") / "set {blend_name}"
    assert render_blb.main([*TINY, "--scenes", "2", "--layers", "3", "--out", str(out)]) == 0
    return Dataset(out)


def _bytes(root) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# Billboards, rendered by Cycles.


def _load(blender: BlenderProcess, scene: Scene, folder) -> None:
    npz = folder / "scene.npz"
    billboards.export(scene, npz)
    size = {"width": scene.width, "height": scene.height}
    blender.ask({"do": "load", "kind": "billboards", "npz": str(npz), "device": "cpu", **size})


def _render(blender: BlenderProcess, scene: Scene, lens: ThinLens, folder, *, samples: int, seed: int) -> Passes:
    exr = folder / "render.exr"
    settings = {"adaptive_threshold": None, "denoise": False, "slice": None, "overscan": 0}
    camera = billboards.nominal_camera(scene)
    blender.ask(
        {
            "do": "render",
            "exr": str(exr),
            "samples": samples,
            "seed": seed,
            "lens": blender_lens(lens, camera),
            **settings,
        }
    )
    return read_passes(exr)


def _spot_scene(disparity: float, x: int, y: int, *, width=80, height=64, overscan=4) -> Scene:
    """A light of 3 x 3 texels around pixel (x, y) of the frame, in front of black."""
    shape = (height + 2 * overscan, width + 2 * overscan, 4)
    spot, black = np.zeros(shape, np.float16), np.zeros(shape, np.float16)
    spot[y + overscan - 1 : y + overscan + 2, x + overscan - 1 : x + overscan + 2] = (100.0, 100.0, 100.0, 1.0)
    black[..., 3] = 1.0
    return Scene((Billboard(spot, disparity), Billboard(black, 0.0)), width, height, overscan)


def _second_moment_px2(image: np.ndarray) -> float:
    """Mean squared distance of the light from its centre."""
    weight = image.astype(np.float64).mean(axis=2)
    y, x = np.indices(weight.shape)
    total = weight.sum()
    cx, cy = (weight * x).sum() / total, (weight * y).sum() / total
    return float((weight * ((x - cx) ** 2 + (y - cy) ** 2)).sum() / total)


@pytest.mark.parametrize(
    "disparity, focus, radius_px, place, aperture",
    [
        (0.8, 0.2, 16.0, (40, 32), Disk()),
        (0.8, 0.2, 12.0, (22, 18), Disk()),
        (0.2, 0.8, 16.0, (40, 32), Disk()),
        (0.2, 0.8, 12.0, (58, 46), Disk()),
        (0.9, 0.0, 16.0, (40, 32), Disk()),  # focused at infinity
        (0.3, 0.7, 16.0, (40, 32), Polygon(5)),
        (0.7, 0.3, 14.0, (30, 22), Polygon(5, rotation_deg=30.0)),
        (0.3, 0.7, 14.0, (52, 42), Polygon(6)),
        (0.7, 0.3, 16.0, (40, 32), Polygon(6, rotation_deg=15.0)),
    ],
)
def test_blur_radius_is_what_the_formula_says(blender, tmp_path, disparity, focus, radius_px, place, aperture):
    scene = _spot_scene(disparity, *place)
    lens = ThinLens(radius_px / abs(disparity - focus), focus, aperture)
    _load(blender, scene, tmp_path)
    sharp = _render(blender, scene, ThinLens(0.0, focus), tmp_path, samples=64, seed=1).rgba_premul[..., :3]
    blurred = _render(blender, scene, lens, tmp_path, samples=512, seed=2).rgba_premul[..., :3]
    # The light's own size and the pixel's add their second moments to the aperture's.
    moment = _second_moment_px2(blurred) - _second_moment_px2(sharp)
    points = aperture_points(aperture, 4096)
    points = points - points.mean(axis=0)
    predicted = abs(signed_defocus_px(disparity, lens.blur_parameter, focus))
    measured = np.sqrt(moment / np.mean(np.sum(points**2, axis=1)))
    # About 9 * 512 rays hit the light; the radius of a disk from n random points is known to 0.29 / sqrt(n) = 0.4 %.
    assert measured == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("disparity, focus", [(0.8, 0.2), (0.2, 0.8)], ids=["near", "far"])
@pytest.mark.parametrize(
    "aperture", [Polygon(3), Polygon(4), Polygon(5, rotation_deg=30.0), Polygon(6, rotation_deg=-10.0)], ids=repr
)
def test_blades_point_where_the_tracer_s_do(blender, tmp_path, disparity, focus, aperture):
    scene = _spot_scene(disparity, 40, 32, overscan=24)
    lens = ThinLens(16.0 / abs(disparity - focus), focus, aperture)
    ours = Tracer(backend.start("cpu")).render(scene, lens, pixel="box", samples=1024).linear[0]
    _load(blender, scene, tmp_path)
    theirs = _render(blender, scene, lens, tmp_path, samples=256, seed=3).rgba_premul[..., :3]
    turned = np.angle(_polygon_moment(theirs, aperture.blades) / _polygon_moment(ours, aperture.blades))
    # Half a blade would be pi. About 9 * 256 rays leave 0.023 of noise on a moment of 0.24 or more: 0.1 rad.
    assert abs(turned) < 0.4


def _polygon_moment(image: np.ndarray, blades: int) -> complex:
    """Mean of z^n over the light around its centre, relative to that of |z|^n: its phase is n times the orientation."""
    weight = image.astype(np.float64).mean(axis=2)
    y, x = np.indices(weight.shape)
    z = x + 1j * y
    z = z - (weight * z).sum() / weight.sum()
    return (weight * z**blades).sum() / (weight * abs(z) ** blades).sum()


def _bridge_scene(rng: np.random.Generator, *, width=96, height=64, overscan=14) -> Scene:
    """Three layers of smooth random colour: a soft-edged one, a slanted one with holes, a bright background."""
    shape = (height + 2 * overscan, width + 2 * overscan)
    y, x = np.indices(shape)

    def waves() -> np.ndarray:
        k, phase = rng.normal(0.0, 0.18, (3, 2)), rng.uniform(0.0, 6.0, 3)
        return 0.5 + 0.45 * np.sin(k[:, :1, None] * x + k[:, 1:, None] * y + phase[:, None, None])

    def layer(alpha: np.ndarray, level: float) -> np.ndarray:
        return np.concatenate([level * waves().transpose(1, 2, 0), alpha[..., None]], axis=-1).astype(np.float16)

    disk = np.clip(14.0 - np.hypot(x - 50.0, y - 40.0), 0.0, 1.0)
    stripes = np.clip(3.0 * np.sin(0.3 * x + 0.1 * y), 0.0, 1.0)
    background = layer(np.ones(shape), 0.6)
    background[20:23, 90:93, :3] = 12.0
    return Scene(
        (
            Billboard(layer(disk, 0.9), 0.9),
            Billboard(layer(stripes, 0.7), 0.55, slope=(0.0012, -0.0008)),
            Billboard(background, 0.15),
        ),
        width,
        height,
        overscan,
    )


def _block_means(image: np.ndarray, side: int = 32) -> np.ndarray:
    height, width = image.shape[0] // side * side, image.shape[1] // side * side
    blocks = image[:height, :width].reshape(height // side, side, width // side, side, 3)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


@pytest.mark.parametrize(
    "aperture, wrong",
    [(Disk(), Polygon(3)), (Polygon(3, rotation_deg=20.0), Polygon(3, rotation_deg=200.0))],
    ids=["disk", "triangle"],
)
def test_cycles_and_the_tracer_see_the_same_billboards(blender, tmp_path, aperture, wrong):
    scene = _bridge_scene(np.random.default_rng(5))
    lens = ThinLens(14.0, 0.5, aperture)
    tracer = Tracer(backend.start("cpu"))
    ours, turned = (
        _block_means(tracer.render(scene, replace(lens, aperture=shape), pixel="box", samples=16384).linear[0])
        for shape in (aperture, wrong)
    )
    _load(blender, scene, tmp_path)
    theirs = np.stack(
        [
            _block_means(_render(blender, scene, lens, tmp_path, samples=64, seed=seed).rgba_premul[..., :3])
            for seed in range(16)
        ]
    )
    standard_error = theirs.std(axis=0, ddof=1) / np.sqrt(len(theirs))
    # 18 blocks and channels at 4 standard errors of 16 seeds; 1e-4 for float32 and the tracer's own finite set.
    bound = 1e-4 + 4.0 * standard_error
    assert (np.abs(theirs.mean(axis=0) - ours) <= bound).all()
    # The bound has teeth: another shape, and even the same one turned by 180 degrees, is beyond it.
    assert (np.abs(theirs.mean(axis=0) - turned) > bound).any()


def test_depth_is_planar_and_through_the_pixel_centre(blender, tmp_path):
    scene = _bridge_scene(np.random.default_rng(5))
    _load(blender, scene, tmp_path)
    depth = _render(blender, scene, ThinLens(0.0, 0.5), tmp_path, samples=1, seed=0).depth
    # The corner of a plane that faces the camera is as deep as its middle.
    np.testing.assert_allclose(depth[[0, -1], [0, -1]], 1.0 / scene.composite_disparity()[[0, -1], [0, -1]], rtol=1e-5)
    # Where the near layer is opaque, and where the slanted one is.
    alpha = [scene.frame_rgba(i)[..., 3] for i in range(2)]
    for layer, is_seen in ((0, alpha[0] == 1.0), (1, (alpha[0] == 0.0) & (alpha[1] == 1.0))):
        assert is_seen.sum() > 100
        np.testing.assert_allclose(1.0 / depth[is_seen], scene.frame_disparity(layer)[is_seen], rtol=1e-4)


# The command and what it writes.


def test_dataset_is_whole_and_reads_like_blb(dataset):
    report = verify(dataset.root)
    assert not report.problems
    for folder in dataset:
        info, disparity = folder.info, folder.disparity()
        assert info["disparity_unit"] == "1/m" and not folder.has_billboards
        # Focus goes from the farthest to the nearest thing, evenly in disparity; f-stops give K by Blender's law.
        focus = [disparity_from_distance(z) for z in info["focus_distances"]]
        assert focus == pytest.approx([disparity.min(), disparity.max()], rel=1e-6)
        for k, f_stop in zip(info["blur_parameters"], info["f_stops"], strict=True):
            assert k * (focus[-1] - focus[0]) == pytest.approx(10.0)
            f, w = info["focal_length"], info["sensor_width"]
            assert f * f * info["resolution_x"] / (2.0 * w * f_stop) == pytest.approx(k)
        background = folder.depth() == HALF_MAX
        assert np.array_equal(background, disparity == 0.0)
        assert set(info["noise_rmse"]) == {"image.exr", "bokeh_00_00.exr", "bokeh_00_01.exr"}
        assert set(info["samples"].values()) == {8}


def test_variants_of_a_scene_differ_and_equal_seeds_give_equal_bytes(dataset, tmp_path):
    arguments = [*TINY, "--layers", "3"]
    assert render_blb.main([*arguments, "--scenes", "1", "--out", str(tmp_path / "same")]) == 0
    first = {name: sha for name, sha in _bytes(dataset.root).items() if name.startswith("000000/")}
    same = {name: sha for name, sha in _bytes(tmp_path / "same").items() if name.startswith("000000/")}
    assert first == same
    assert render_blb.main([*arguments, "--scenes", "1", "--seed", "1", "--out", str(tmp_path / "other")]) == 0
    assert not np.array_equal(Dataset(tmp_path / "other")[0].depth(), dataset[0].depth())


def test_finished_dataset_is_left_alone(dataset, monkeypatch):
    before = _bytes(dataset.root)
    monkeypatch.setattr(render_blb, "produce_scene", None)  # nothing may be rendered
    assert render_blb.main([*TINY, "--scenes", "2", "--layers", "3", "--out", str(dataset.root)]) == 0
    assert _bytes(dataset.root) == before


def test_noise_estimate_is_within_a_factor_of_two(dataset, tmp_path):
    arguments = [
        *SIZE,
        "--blur-levels",
        "1",
        "--focus-count",
        "2",
        "--samples",
        "256",
        "--device",
        "cpu",
        "--scenes",
        "1",
    ]
    assert render_blb.main([*arguments, "--out", str(tmp_path / "reference")]) == 0
    reference = Dataset(tmp_path / "reference")[0]
    noisy = dataset[0]
    for name, a, b in [("image.exr", noisy.image(), reference.image())] + [
        (f"bokeh_00_0{f}.exr", noisy.bokeh(0, f), reference.bokeh(0, f)) for f in range(2)
    ]:
        error = display_rmse(a, b)
        assert 0.5 * error <= noisy.info["noise_rmse"][name] <= 2.0 * error, name


def test_layers_compose_to_the_picture_and_keep_their_distances(dataset):
    for folder in dataset:
        layers = folder.depth_layers()
        overscan = folder.scene_document["overscan"]
        height, width = folder.depth().shape
        inside = slice(overscan, overscan + height), slice(overscan, overscan + width)
        composite = np.zeros((height, width, 3), np.float32)
        for layer in reversed(layers):
            rgba = layer.rgba[inside].astype(np.float32)
            composite = composite * (1.0 - rgba[..., 3:]) + rgba[..., :3] * rgba[..., 3:]
            hit = layer.disparity > 0.0
            distance = 1.0 / layer.disparity[hit]
            # Cycles clips in float32.
            assert (distance >= layer.near_m * 0.9999).all() and (distance <= layer.far_m * 1.0001).all()
        assert (layers[-1].rgba[..., 3] == 1.0).all()
        # Layers and picture are renders of their own, each about as noisy as the picture says.
        assert display_rmse(composite, folder.image()) < 3.0 * folder.info["noise_rmse"]["image.exr"]


def test_kill_after_rendering_costs_no_picture(tmp_path, monkeypatch):
    out = tmp_path / "set"
    arguments = [*TINY, "--scenes", "1", "--out", str(out)]

    def kill(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DatasetWriter, "add", kill)
        assert render_blb.main(arguments) == 130
    # The folder is there and the index does not know of it: it is written again, of the pictures that are kept.
    asked = []
    ask = BlenderProcess.ask
    monkeypatch.setattr(BlenderProcess, "ask", lambda self, request: asked.append(request["do"]) or ask(self, request))
    assert render_blb.main(arguments) == 0
    assert "load" in asked and "render" not in asked
    assert not list(out.glob(".rendered-*"))


def test_stopped_run_goes_on_with_the_next_picture(dataset, tmp_path, monkeypatch):
    out = tmp_path / "set"
    arguments = [*TINY, "--scenes", "1", "--layers", "3", "--out", str(out)]
    produce = production.produce_scene

    def stopped(*positional, on_picture, **named):
        pictures = iter(range(3))

        def as_ctrl_c_in_the_fourth() -> None:
            if next(pictures, None) is None:
                raise KeyboardInterrupt

        return produce(*positional, on_picture=as_ctrl_c_in_the_fourth, **named)

    monkeypatch.setattr(render_blb, "produce_scene", stopped)
    assert render_blb.main(arguments) == 130
    assert not (out / "000000").exists()

    asked = []
    ask = BlenderProcess.ask
    monkeypatch.setattr(render_blb, "produce_scene", produce)
    monkeypatch.setattr(BlenderProcess, "ask", lambda self, request: asked.append(request["do"]) or ask(self, request))
    assert render_blb.main(arguments) == 0
    # 6 pictures, 4 of them kept; each is rendered twice.
    assert asked.count("render") == 2 * (6 - 4)
    whole = {name: sha for name, sha in _bytes(dataset.root).items() if name.startswith("000000/")}
    assert {name: sha for name, sha in _bytes(out).items() if name.startswith("000000/")} == whole
    assert not list(out.glob(".rendered-*"))


def test_crash_is_reported_with_the_scene_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    ask = BlenderProcess.ask

    def dies_in_the_first_scene(self, request):
        if request.get("scene") == "still_life":
            os.kill(self._process.pid, signal.SIGKILL)
        return ask(self, request)

    monkeypatch.setattr(BlenderProcess, "ask", dies_in_the_first_scene)
    assert render_blb.main([*TINY, "--scenes", "2", "--out", str(tmp_path / "set")]) == 1
    error = capsys.readouterr().err
    assert "still_life" in error and "status -9" in error
    assert [folder.name for folder in Dataset(tmp_path / "set")] == ["000001"]


def test_installed_blender_runs_the_same_worker(tmp_path):
    # Stands for `blender -b --factory-startup -P script`: greets on stdout, then runs the script.
    fake = tmp_path / "blender"
    fake.write_text(
        textwrap.dedent(f"""\
        #!/bin/sh
        echo "Blender 5.0.1 (a greeting on stdout)"
        while [ "$1" != -P ]; do shift; done
        exec "{sys.executable}" -I "$2"
        """)
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "set"
    assert render_blb.main([*TINY, "--scenes", "1", "--blender", str(fake), "--out", str(out)]) == 0
    assert verify(out).scenes == 1


def test_device_that_is_not_there_and_blender_that_is_none_are_named(tmp_path, capsys):
    gpus = ["cuda", "hip", "metal"]
    with BlenderProcess() as process:
        absent = next(gpu for gpu in gpus if _is_absent(process, gpu))
    for arguments, culprit in ((["--device", absent], absent), (["--blender", "/bin/true"], "Blender ended")):
        assert render_blb.main([*TINY, *arguments, "--out", str(tmp_path / "set")]) == 2
        error = capsys.readouterr().err
        assert culprit in error and error.count("\n") == 1
    assert not (tmp_path / "set").exists()


def _is_absent(process: BlenderProcess, device: str) -> bool:
    try:
        process.ask({"do": "check", "device": device})
    except Refusal:
        return True
    return False


# The user's own files.

_MAKE_BLENDS = """
import bpy, sys
from pathlib import Path

folder = Path(sys.argv[1])

def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene

def wall(distance, size=20.0):
    bpy.ops.mesh.primitive_plane_add(size=size, location=(0, distance, 0), rotation=(1.5708, 0, 0))
    return bpy.context.object

def camera(kind="PERSP", name="view"):
    data = bpy.data.cameras.new(name)
    data.type = kind
    obj = bpy.data.objects.new(name, data)
    obj.rotation_euler = (1.5708, 0, 0)
    bpy.context.scene.collection.objects.link(obj)
    return obj

scene = empty()
wall(8.0)
wall(2.0, size=0.8)
scene.camera = camera()
image = bpy.data.images.new("lost", 8, 8)
image.source, image.filepath = "FILE", "//not/there.png"
material = bpy.data.materials.new("m")
material.use_nodes = True
texture = material.node_tree.nodes.new("ShaderNodeTexImage")
texture.image = image
material.node_tree.links.new(texture.outputs[0], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
bpy.context.object.data.materials.append(material)
# Everything that could stand between the light and the file.
scene.view_settings.exposure = 3.0
scene.render.use_border, scene.render.border_max_x = True, 0.3
scene.render.use_motion_blur = True
scene.render.resolution_percentage = 25
scene.camera.data.dof.use_dof = True
scene.camera.data.dof.focus_object = bpy.context.object
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "walls.blend"))

scene = empty()
bpy.ops.mesh.primitive_monkey_add(location=(50, 0, 0))
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "no_camera.blend"))

scene = empty()
wall(5.0)
scene.camera = camera("ORTHO")
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "ortho.blend"))

empty()
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "nothing.blend"))

def keyframed(owner, path, frames):
    name = path.rpartition(".")[2]
    target = owner.path_resolve(path.rpartition(".")[0]) if "." in path else owner
    for frame, value in frames.items():
        setattr(target, name, value)
        owner.keyframe_insert(path, frame=frame)

scene = empty()
near_wall = wall(2.0, size=0.8)
scene.camera = camera()
scene.render.engine = "CYCLES"
keyframed(scene.camera.data, "dof.focus_distance", {1: 7.0, 11: 9.0})
keyframed(scene.camera.data, "clip_start", {1: 0.7, 11: 0.9})
keyframed(scene.camera.data, "lens", {1: 30.0, 11: 50.0})
keyframed(scene, "cycles.samples", {1: 3, 11: 5})
keyframed(scene, "view_settings.exposure", {1: 2.0, 11: 3.0})
keyframed(near_wall, "location", {1: (0, 2, 0), 11: (0, 4, 0)})
camera(name="bound")
for frame in (1, 5):
    scene.timeline_markers.new(str(frame), frame=frame).camera = bpy.data.objects["bound"]
scene.view_layers[0].use = False
scene.view_layers.new("second")
scene.view_layers.new("third")
scene.cycles.sample_offset, scene.cycles.use_sample_subset = 7, True
scene.cycles.film_transparent_glass = True
bpy.ops.wm.save_as_mainfile(filepath=str(folder / "animated.blend"))

(folder / "corrupt.blend").write_bytes((folder / "walls.blend").read_bytes()[:3000])
(folder / "text.blend").write_text("not a blend file")
"""


_OPEN_ANIMATED = """
import bpy, json, sys
from blender_scripts import blend_file, rendering

warnings = blend_file.open_scene(sys.argv[1], camera="view", frame=11)
scene = bpy.context.scene
found = {"lens": scene.camera.data.lens, "samples": scene.cycles.samples}
rendering.neutralise(scene, 48, 32)
scene.cycles.samples, scene.camera.data.dof.focus_distance = 64, 1.5
with rendering._Slice(scene, (0.1, 1e6)):
    # As every render does: whatever is animated takes its value of the frame.
    scene.frame_set(scene.frame_current)
    slice_m = scene.camera.data.clip_start, scene.camera.data.clip_end
print(json.dumps({
    "warnings": warnings,
    "found": found,
    "slice_m": slice_m,
    "camera": scene.camera.name,
    "focus_distance": scene.camera.data.dof.focus_distance,
    "samples": scene.cycles.samples,
    "exposure": scene.view_settings.exposure,
    "wall": bpy.data.objects["Plane"].location[1],
    "layers": [layer.name for layer in scene.view_layers if layer.use],
    "subset": [scene.cycles.sample_offset, scene.cycles.use_sample_subset, scene.cycles.film_transparent_glass],
}))
"""


@pytest.fixture(scope="module")
def blends(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blends")
    subprocess.run([sys.executable, "-c", _MAKE_BLENDS, str(folder)], check=True, capture_output=True)
    return folder


def test_own_blend_files_render_and_each_fault_is_named(blends, tmp_path, capsys):
    names = ["walls", "no_camera", "ortho", "nothing", "corrupt", "text"]
    out = tmp_path / "set"
    files = [str(blends / f"{name}.blend") for name in names]
    assert render_blb.main([*TINY, "--out", str(out), "--blend", *files]) == 1
    error = capsys.readouterr().err
    for part in (
        "walls.blend: 1 textures are missing and show magenta: lost",
        "walls.blend: has no lights; lit by a neutral sky",
        "no_camera.blend: has no camera; looking at everything",
        "ortho.blend: camera 'view' is ortho",
        "nothing.blend: holds nothing that can be seen",
        "corrupt.blend: Blender cannot open it",
        "text.blend: Blender cannot open it",
        "4 failed: ortho.blend, nothing.blend, corrupt.blend, text.blend",
    ):
        assert part in error, part
    assert "Traceback" not in error

    walls, no_camera = Dataset(out)
    assert not verify(out).problems
    # Focus and blur fit what is there: walls at 8 m and 2 m, whatever the file's own lens and border.
    assert walls.info["focus_distances"] == pytest.approx([8.0, 2.0], rel=1e-4)
    assert walls.info["blur_parameters"] == pytest.approx([10.0 / (1 / 2 - 1 / 8)], rel=1e-4)
    assert (no_camera.depth() < HALF_MAX).mean() > 0.1
    assert json.loads((out / "000001" / "info.json").read_text())["focus_distances"][0] == HALF_MAX


def test_animation_of_a_file_moves_its_objects_and_leaves_lens_and_sampling_to_us(blends):
    command = [sys.executable, "-c", _OPEN_ANIMATED, str(blends / "animated.blend")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    # What the file says of frame 11 ...
    assert told["found"] == {"lens": 50.0, "samples": 5}
    assert told["wall"] == pytest.approx(4.0)
    # ... stays where we set it otherwise, and the camera is the one asked for, not that of a marker.
    assert (told["focus_distance"], told["samples"], told["exposure"]) == (1.5, 64, 0.0)
    assert told["camera"] == "view"
    # A layer shows no more than the picture does.
    assert told["slice_m"] == pytest.approx([0.9, 1000.0])
    assert told["layers"] == ["second"]
    assert "has 2 view layers; rendering 'second' alone" in told["warnings"]
    assert told["subset"] == [0, False, False]


def test_camera_that_is_not_there_is_named_with_those_that_are(blends, tmp_path, capsys):
    arguments = [*TINY, "--out", str(tmp_path / "set"), "--blend", str(blends / "walls.blend"), "--camera", "front"]
    assert render_blb.main(arguments) == 1
    assert "has no camera 'front'; there are: view" in capsys.readouterr().err
