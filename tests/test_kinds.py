"""Every folder opens as its kind, also an old one that does not say which it is."""

import hashlib
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from bokehdata import images
from bokehdata.format import DatasetError, bokeh_settings, is_leftover_name
from bokehdata.index import IndexEntry, read_index, record_of
from bokehdata.kinds import open_scene
from bokehdata.kinds.billboards import BillboardFolder, write_billboards
from bokehdata.kinds.blb import BlbFolder
from bokehdata.kinds.camera import CameraFolder, CameraScene, DepthLayer, write_camera_scene
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehdata.writer import DatasetWriter, SceneWriter
from scenes.billboard import Billboard, Scene
from scenes.color import HALF_MAX
from scenes.lens import ThinLens
from scenes.stack import Stack

WIDTH, HEIGHT, OVERSCAN = 24, 16, 6
NEAR, FAR = 0.75, 0.25
STACK = Stack((0.0, 6.0), (FAR, NEAR))
KINDS = {"billboards": BillboardFolder, "camera": CameraFolder}


def billboards() -> Scene:
    """A translucent square before a texture."""
    shape = (HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4)
    front, back = (np.random.default_rng(i).uniform(0.1, 0.9, shape).astype(np.float16) for i in (0, 1))
    front[..., 3] = 0.0
    front[10:18, 12:22, 3] = 0.75
    back[..., 3] = 1.0
    return Scene((Billboard(front, NEAR), Billboard(back, FAR)), WIDTH, HEIGHT, OVERSCAN)


def seen_by_a_camera(scene: Scene) -> CameraScene:
    """The same scene as if Blender had rendered it."""
    front, back = (layer.rgba for layer in scene.layers)
    layers = (
        DepthLayer(front, np.where(front[..., 3] > 0.0, np.float32(NEAR), np.float32(0.0)), 0.5, 2.0),
        DepthLayer(back, np.full(back.shape[:2], FAR, np.float32), 2.0, HALF_MAX),
    )
    return CameraScene(scene.composite_depth(), 0.05, 0.036, {"name": "square"}, layers, OVERSCAN)


def write_dataset(root: Path, kind: str) -> Path:
    """A dataset of one scene; returns the scene's folder."""
    scene = billboards()
    with DatasetWriter(root, {"recipe": "square"}) as dataset:
        with SceneWriter(root, 0) as writer:
            if kind == "camera":
                write_camera_scene(writer, seen_by_a_camera(scene), STACK, seed=3)
                writer.write_image(scene.composite(), noise_rmse=0.001, samples=8)
            else:
                write_billboards(writer, scene, STACK, seed=3, noise=0.002)
                writer.write_image(scene.composite())
            for setting in bokeh_settings(STACK):
                writer.write_bokeh(setting, scene.composite(), noise_rmse=0.001, samples=8)
            writer.write_preview(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
        dataset.add(writer.entry)
    return root / "000000"


def write_blb_folder(root: Path) -> Path:
    """The same pictures in BLB's layout."""
    folder = write_dataset(root, "billboards")
    info = json.loads((folder / "info.json").read_text())
    for key in ("disparity_unit", "gammas", "noise_rmse", "samples"):
        del info[key]
    (folder / "info.json").write_text(json.dumps(info))
    for layer in (folder / "layers").iterdir():
        layer.unlink()
    (folder / "layers").rmdir()
    for name in ("scene.yaml", "disparity.exr", "preview.jpg"):
        (folder / name).unlink()
    return folder


def edit_yaml(path: Path, change) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def content(path: Path) -> dict:
    """All that can be read from the folder of a scene, as plain values and arrays."""
    folder = open_scene(path)
    read = {
        "class": type(folder),
        "origins": folder.origins,
        "stack": folder.stack(),
        "files": [file.name for file in folder.picture_files(folder.bokeh_settings()[0])],
        "problems": verify(path).problems,
        "image": folder.image(),
        "depth": folder.depth(),
        "disparity": folder.disparity(),
    }
    layers = folder.layers()
    for i in range(len(layers.layers) if layers is not None else 0):
        read[f"layer {i}"] = layers.layers[i].rgba
        read[f"disparity of layer {i}"] = layers.layer_disparity(i)
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_says_its_kind_right_after_its_schema(tmp_path, kind):
    document = yaml.safe_load((write_dataset(tmp_path, kind) / "scene.yaml").read_text())
    assert list(document)[:2] == ["schema", "kind"]
    assert document["kind"] == kind
    assert type(Dataset(tmp_path)[0]) is KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_folder_without_a_kind_reads_the_same(tmp_path, kind):
    path = write_dataset(tmp_path, kind)
    new = content(path)
    edit_yaml(path / "scene.yaml", lambda document: document.pop("kind"))
    old = content(path)
    assert old.keys() == new.keys() and {"layer 0", "disparity of layer 1"} <= old.keys()
    for name, value in new.items():
        assert np.array_equal(old[name], value) if isinstance(value, np.ndarray) else old[name] == value, name
    assert (old["class"], old["problems"]) == (KINDS[kind], ())


def test_a_folder_without_a_document_is_one_of_blb(tmp_path):
    read = content(write_blb_folder(tmp_path))
    assert (read["class"], read["problems"]) == (BlbFolder, ())
    assert read["stack"] == Stack((0.0, 6.0), (FAR, NEAR), pixel="box")
    assert read["files"] == ["image.exr", "bokeh_00_00.exr", "info.json", "depth.exr"]
    np.testing.assert_allclose(read["disparity"], billboards().composite_disparity(), rtol=1e-6)
    assert "layer 0" not in read


def test_a_scene_of_billboards_is_its_seed_and_number_and_the_photographs_and_cut_outs_in_it(tmp_path):
    path = write_dataset(tmp_path, "billboards")
    assert open_scene(path).origins == {("scene of seed 3", 0)}

    def own_pictures(document):
        document["layers"][0]["asset"] = {"kind": "cutout", "sha256": "c0", "alpha_sha256": "a0"}
        document["layers"][1]["asset"] = {"kind": "photograph", "sha256": "b0"}

    edit_yaml(path / "scene.yaml", own_pictures)
    assert open_scene(path).origins == {("scene of seed 3", 0), ("picture", "c0"), ("picture", "b0")}


@pytest.mark.parametrize(
    "source, origin",
    [
        ({"kind": "procedural", "name": "attic", "variant": 81, "device": "CPU"}, ("Blender scene attic", 81)),
        ({"kind": "blend", "name": "room.blend", "sha256": "f00d", "frame": 3}, ("blend", "f00d")),
    ],
)
def test_a_scene_of_blender_is_its_source_whatever_its_seed_and_settings(tmp_path, source, origin):
    path = write_dataset(tmp_path, "camera")
    edit_yaml(path / "scene.yaml", lambda document: document.update(source=source, seed=9))
    assert open_scene(path).origins == {origin}


def test_other_scenes_are_their_all_in_focus_picture_wherever_they_lie(tmp_path):
    of_blb, again = write_blb_folder(tmp_path / "a"), write_blb_folder(tmp_path / "b")
    (of_blb.parent / "277").mkdir()
    moved = of_blb.rename(of_blb.parent / "277" / "copy")
    sha256 = hashlib.sha256((moved / "image.exr").read_bytes()).hexdigest()
    assert open_scene(moved).origins == open_scene(again).origins == {("picture", sha256)}
    assert open_scene(write_dataset(tmp_path / "c", "camera")).origins == {("picture", sha256)}
    (again / "image.exr").unlink()
    with pytest.raises(DatasetError, match="image.exr: No such file"):
        _ = open_scene(again).origins


@pytest.mark.parametrize("value", ["mesh", "blb", 3, None, ["camera"]], ids=str)
def test_an_unknown_kind_is_named_with_its_file(tmp_path, value):
    path = write_dataset(tmp_path, "camera")
    edit_yaml(path / "scene.yaml", lambda document: document.update(kind=value))
    known = "billboards, camera, light-field, layers, imported"
    message = f"kind is {value!r}, this version reads {known}; use a matching version"
    with pytest.raises(DatasetError, match=re.escape(f"000000/scene.yaml: {message}")):
        open_scene(path)
    with pytest.raises(DatasetError, match=re.escape(message)):
        Dataset(tmp_path)[0]
    (problem,) = verify(path).problems
    assert str(problem) == f"000000/scene.yaml: {message}"


def test_one_broken_scene_does_not_hide_the_others(tmp_path):
    root = tmp_path / "scenes"
    root.mkdir()
    for name in ("1", "2"):
        write_dataset(tmp_path / name, "billboards").rename(root / name)
    (root / "1" / "scene.yaml").write_text("{")
    dataset = Dataset(root)
    assert [path.name for path in dataset.paths] == ["1", "2"]
    assert dataset[1].name == "2" and dataset[1] is dataset[-1] is dataset[1:][0]
    with pytest.raises(DatasetError, match="1/scene.yaml: is not YAML"):
        list(dataset)
    report = verify(root)
    assert ([problem.path for problem in report.problems], report.scenes) == (["1/scene.yaml"], 2)


def test_what_cannot_be_traced_again_says_so(tmp_path):
    with pytest.raises(DatasetError, match="000000: is a scene of kind camera; only billboards can be traced again"):
        open_scene(write_dataset(tmp_path, "camera")).scene()


def test_both_kinds_of_layers_have_one_composite(tmp_path):
    layers = open_scene(write_dataset(tmp_path, "camera")).layers()
    front, back = (billboards().frame_rgba(i).astype(np.float32) for i in (0, 1))
    by_hand = front[..., :3] * front[..., 3:] + back[..., :3] * (1.0 - front[..., 3:])
    np.testing.assert_array_equal(layers.composite(), by_hand)
    np.testing.assert_array_equal(billboards().composite(), by_hand)


def test_lens_of_a_picture_is_that_of_its_stack(tmp_path):
    assert open_scene(write_dataset(tmp_path, "camera")).lens(1, 0) == ThinLens(6.0, FAR, STACK.aperture)


# What verify finds in camera scenes


def with_present_files(root: Path) -> None:
    """Give every file of the scene its present checksum."""
    (entry,) = read_index(root)[0].values()
    paths = sorted(path for path in (root / entry.folder).rglob("*") if path.is_file())
    files = {path.relative_to(root / entry.folder).as_posix(): record_of(path) for path in paths}
    (root / "index.jsonl").write_text(
        IndexEntry(entry.folder, files, entry.images, entry.noise_rmse_max).to_line(), "utf-8"
    )


def change_plane(path: Path, value: float) -> None:
    plane = images.read_exr_plane(path)
    plane[2, 3] = value
    images.write_exr_plane(path, plane)


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (lambda s: change_plane(s / "disparity.exr", 0.3), "/disparity.exr: is not 1 / depth, 0 at 65504"),
        (lambda s: change_plane(s / "depth.exr", 0.0), "/depth.exr: depth spans 0.0 to"),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d["layers"].reverse()),
            "/layers/00.exr: its distances 0.5 to 2.0 do not follow 65504.0",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(overscan=4)),
            "/layers/00.exr: is (28, 36, 4) float16, not (24, 32, 4) float16",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(focus_disparities=[FAR, 2.0])),
            "/scene.yaml: focus disparity 2.0 is outside the scene's 0.25 to 0.75",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d["camera"].update(focal_length_m=-1)),
            "/scene.yaml: does not describe a scene (ValueError('focal_length_m is -1; it must be above 0'))",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d["camera"].update(sensor_width_m=0.024)),
            "/info.json: sensor_width is 0.036, by scene.yaml it must be 0.024",
        ),
        (lambda s: (s / "layers/01_disparity.exr").unlink(), "/layers/01_disparity.exr: no such file"),
        (lambda s: (s / "preview.jpg").unlink(), "/preview.jpg: no such file"),
        (lambda s: (s / "preview.jpg").write_bytes(b""), "/preview.jpg: is not a picture"),
        (lambda s: (s / "scene.yaml").unlink(), "/scene.yaml: no such file; every scene of an index has one"),
    ],
)
def test_defects_of_a_camera_scene_are_found(tmp_path, defect, message):
    path = write_dataset(tmp_path, "camera")
    assert verify(tmp_path).problems == ()
    defect(path)
    with_present_files(tmp_path)
    problems = [str(problem) for problem in verify(tmp_path).problems]
    assert any(problem.startswith(f"000000{message}") for problem in problems), problems


# Names of what a killed run leaves


@pytest.mark.parametrize("name", [".000007.123", ".1000000.9", ".index.123.jsonl", ".dataset.9.yaml"])
def test_unfinished_files_and_scenes_are_leftovers(name):
    assert is_leftover_name(name)


@pytest.mark.parametrize(
    "name",
    ["000007", ".000007", ".000007.12x", ".07.123", "000007.123", "index.jsonl", ".rendered-000001", ".DS_Store"],
)
def test_other_names_are_no_leftovers(name):
    assert not is_leftover_name(name)
