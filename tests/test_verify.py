"""`verify` finds nothing in a dataset that is whole, and every defect planted in it."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bokehdata import images
from bokehdata.format import BokehSetting, DatasetError, ImageFormat, bokeh_settings
from bokehdata.index import IndexEntry, read_index, record_of
from bokehdata.kinds.billboards import write_billboards
from bokehdata.reader import Dataset
from bokehdata.verify import Report, verify
from bokehdata.writer import DatasetWriter, SceneWriter
from raytrace import reference
from scenes.aperture import Polygon, aperture_points
from scenes.billboard import Billboard, Scene
from scenes.color import display_from_linear, display_rmse
from scenes.lens import ThinLens
from scenes.stack import Stack

WIDTH, HEIGHT, OVERSCAN = 32, 24, 8
# What 256 lens points reach: the lamp of the scene is a disk of 200 px, far above white.
NOISE, SAMPLES = 0.025, 256
STACK = Stack((0.0, 8.0), (0.1, 0.7), (2.2, 1.0), Polygon(blades=5))


def tiny_scene(scene_index: int) -> Scene:
    rng = np.random.default_rng([11, scene_index])
    shape = (HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4)
    near, far = (cv2.GaussianBlur(rng.random(shape), (0, 0), 2.0) for _ in range(2))
    near[..., 3] = np.clip((near[..., 3] - 0.45) * 10.0, 0.0, 1.0)
    far[..., 3] = 1.0
    # A lamp far above 1, beside an edge: where alpha meets it, sums in the wrong order lose the dark pixels.
    far[OVERSCAN + 4 : OVERSCAN + 6, OVERSCAN + 9, :3] = 30000.0
    return Scene(
        (
            Billboard(near.astype(np.float16), 0.7, (1e-3, 0.0)),
            Billboard(far.astype(np.float16), 0.1),
        ),
        WIDTH,
        HEIGHT,
        OVERSCAN,
    )


def trace(scene: Scene, stack: Stack, setting: BokehSetting, *, samples: int, turn: float = 0.0) -> np.ndarray:
    lens = ThinLens(stack.blur_parameters[setting.blur_index], stack.focus_disparities[setting.focus_index])
    points = aperture_points(stack.aperture, samples, turn=turn) if lens.blur_parameter else np.zeros((1, 2))
    return reference.render(scene, lens, points, gamma=setting.gamma).astype(np.float32)


def retrace(scene: Scene, stack: Stack, setting: BokehSetting, noise: float) -> np.ndarray:
    """A second opinion with other lens points, so that its error is independent of the stored picture's."""
    return trace(scene, stack, setting, samples=SAMPLES, turn=0.4)


def write_dataset(root: Path, scenes: int = 1, image_format: ImageFormat = "exr") -> None:
    with DatasetWriter(root, {"recipe": "tiny", "seed": 11}) as dataset:
        for scene_index in range(scenes):
            scene = tiny_scene(scene_index)
            with SceneWriter(root, scene_index, image_format=image_format) as writer:
                write_billboards(writer, scene, STACK, seed=11, noise=NOISE)
                writer.write_image(trace(scene, STACK, BokehSetting(0, 0, 2.2), samples=1))
                for setting in bokeh_settings(STACK):
                    linear, half_set = (trace(scene, STACK, setting, samples=n) for n in (SAMPLES, SAMPLES // 2))
                    noise = display_rmse(linear, half_set, setting.gamma)
                    writer.write_bokeh(setting, linear, noise_rmse=noise, samples=SAMPLES)
                writer.write_preview(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
            dataset.add(writer.entry)


@pytest.fixture(scope="module")
def whole_dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "tiny"
    write_dataset(root, scenes=2)
    return root


@pytest.fixture
def dataset(whole_dataset, tmp_path) -> Path:
    return Path(shutil.copytree(whole_dataset, tmp_path / "tiny"))


def change_index(root: Path, change) -> None:
    entries = [change(entry) for entry in read_index(root)[0].values()]
    (root / "index.jsonl").write_text("".join(json.dumps(asdict(entry)) + "\n" for entry in entries))


def index_as_it_is(root: Path) -> None:
    """Give every file its present checksum: the dataset of a writer with a defect, not of a damaged disk."""

    def with_present_files(entry: IndexEntry) -> IndexEntry:
        paths = sorted(path for path in (root / entry.folder).rglob("*") if path.is_file())
        return replace(
            entry, files={path.relative_to(root / entry.folder).as_posix(): record_of(path) for path in paths}
        )

    change_index(root, with_present_files)


def write_raw_exr(path: Path, pixels: np.ndarray) -> None:
    """Any values at all, unlike the product's writer."""
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION}, {"RGBA"[: pixels.shape[2]]: pixels}).write(str(path))


def plant(path: Path, value: float, index=(3, 5, 0)) -> None:
    pixels = images.read_exr(path).copy()
    pixels[index] = value
    write_raw_exr(path, pixels)


def edit_json(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def edit_yaml(path: Path, change) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


def found(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]


# Nothing is found where nothing is wrong


def test_a_whole_dataset_has_no_problem_and_nothing_unchecked(whole_dataset):
    seen = []
    report = verify(whole_dataset, retrace=retrace, on_scene=lambda: seen.append(1))
    assert found(report) == []
    assert (report.unchecked, report.notes) == ((), ())
    assert report.scenes == len(seen) == 2
    # The noisiest picture is one with blur.
    assert report.retraced is not None and "/bokeh_01_" in report.retraced


def test_a_whole_dataset_of_png_pictures_has_no_problem(tmp_path):
    write_dataset(tmp_path, image_format="png")
    assert found(verify(tmp_path, retrace=retrace)) == []


def test_without_a_tracer_the_report_says_so(whole_dataset):
    assert verify(whole_dataset).unchecked == ("tracing again: no tracer",)


def test_one_scene_alone_is_checked_without_its_checksums(whole_dataset):
    report = verify(whole_dataset / "000001", retrace=retrace)
    assert found(report) == []
    assert report.unchecked == ("checksums: there is no index",)


def test_a_folder_without_scenes_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="holds neither"):
        verify(tmp_path)
    # A run that made nothing leaves its header.
    with DatasetWriter(tmp_path, {"recipe": "flat"}):
        pass
    with pytest.raises(DatasetError, match=f"{tmp_path.name}: holds no finished scene"):
        verify(tmp_path)
    (tmp_path / "000003").mkdir()
    assert [problem.path for problem in verify(tmp_path).problems] == ["000003"]


# Damage on disk

SCENE_FILES = [
    "image.exr",
    "depth.exr",
    "disparity.exr",
    "layers/00.exr",
    "layers/01.exr",
    "bokeh_00_01.exr",
    "bokeh_01_00.exr",
    "bokeh_01_01_g1.exr",
    "info.json",
    "scene.yaml",
    "preview.jpg",
]


@pytest.mark.parametrize("name", SCENE_FILES)
def test_a_flipped_bit_is_found_in_every_kind_of_file(dataset, name):
    path = dataset / "000001" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    assert found(verify(dataset)) == [f"000001/{name}: does not have the checksum in the index"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found(dataset, data):
    path = dataset / "000000" / data.draw(st.sampled_from(SCENE_FILES))
    intact = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(intact) - 1))
    damaged = bytearray(intact)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    assert len(verify(dataset).problems) == 1
    path.write_bytes(intact)


def leave_behind(root: Path) -> None:
    (root / ".000007.123").mkdir()


def tear_index(root: Path) -> None:
    index = root / "index.jsonl"
    index.write_text(index.read_text() + '{"folder": "0000')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "000000/depth.exr").unlink(), "000000/depth.exr: is missing"),
        (lambda root: os.truncate(root / "000000/image.exr", 500), "000000/image.exr: has 500 bytes, the index says"),
        (lambda root: (root / "000000/notes.txt").touch(), "000000/notes.txt: is not in the index"),
        (lambda root: shutil.rmtree(root / "000001"), "000001: is in the index and missing"),
        (lambda root: shutil.copytree(root / "000001", root / "000002"), "000002: is not in the index; run"),
        (leave_behind, ".000007.123: left over from a run that was killed"),
        (tear_index, "index.jsonl: line 3 is not an"),
    ],
    ids=["missing file", "truncated file", "extra file", "missing folder", "extra folder", "leftover", "torn line"],
)
def test_files_and_index_must_agree(dataset, damage, message):
    damage(dataset)
    (problem,) = found(verify(dataset))
    assert problem.startswith(message)


# Defects of a writer: the checksums are right, the content is not


def swap_layer_files(scene: Path) -> None:
    (scene / "layers/00.exr").rename(scene / "layers/x.exr")
    (scene / "layers/01.exr").rename(scene / "layers/00.exr")
    (scene / "layers/x.exr").rename(scene / "layers/01.exr")


def brighten_near_layer(scene: Path) -> None:
    pixels = images.read_exr(scene / "layers/00.exr").copy()
    pixels[..., :3] *= np.float16(1.01)
    write_raw_exr(scene / "layers/00.exr", pixels)


def widen_blur(scene: Path) -> None:
    edit_yaml(scene / "scene.yaml", lambda d: d.update(blur_parameters=[0.0, 16.0]))
    f_stop = 0.05**2 * WIDTH / (2 * 0.036 * 16.0)
    edit_json(scene / "info.json", lambda d: d.update(blur_parameters=[0.0, 16.0], f_stops=[None, f_stop]))


def halve_picture(scene: Path) -> None:
    write_raw_exr(scene / "bokeh_01_00.exr", images.read_exr(scene / "bokeh_01_00.exr")[:12].copy())


def to_float(scene: Path) -> None:
    write_raw_exr(scene / "bokeh_01_00.exr", images.read_exr(scene / "bokeh_01_00.exr").astype(np.float32))


def copy_unasked_picture(scene: Path) -> None:
    shutil.copy(scene / "bokeh_01_01.exr", scene / "bokeh_01_02.exr")


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (lambda s: plant(s / "bokeh_01_00.exr", np.nan), "/bokeh_01_00.exr: holds values that are negative or not"),
        (lambda s: plant(s / "bokeh_01_01_g1.exr", np.inf), "/bokeh_01_01_g1.exr: holds values that are negative or"),
        (lambda s: plant(s / "image.exr", -0.5), "/image.exr: holds values that are negative or not finite"),
        (lambda s: plant(s / "image.exr", 7.0), "/image.exr: is not what the layers give without a lens, first at pix"),
        (lambda s: plant(s / "bokeh_00_00.exr", 7.0), "/bokeh_00_00.exr: is not what the layers give without a lens"),
        (lambda s: plant(s / "layers/00.exr", 1.5, (9, 9, 3)), ": layer 0 has alpha 1.5"),
        (lambda s: plant(s / "layers/00.exr", np.nan), ": layer 0 holds values that are negative or not finite"),
        (swap_layer_files, ": the last layer must be opaque"),
        (brighten_near_layer, "/image.exr: is not what the layers give"),
        (lambda s: plant(s / "depth.exr", 0.0), "/depth.exr: depth spans 0.0 to"),
        (lambda s: plant(s / "depth.exr", 3.3), "/depth.exr: is not 1 / disparity"),
        (lambda s: plant(s / "disparity.exr", 0.3), "/disparity.exr: is not the disparity of the nearest layer"),
        (halve_picture, "/bokeh_01_00.exr: is (12, 32, 3) float16, not (24, 32, 3) float16"),
        (to_float, "/bokeh_01_00.exr: is (24, 32, 3) float32, not (24, 32, 3) float16"),
        (lambda s: (s / "bokeh_01_00_g1.exr").unlink(), "/bokeh_01_00_g1.exr: no such file"),
        (copy_unasked_picture, "/bokeh_01_02.exr: is not in the stack of scene.yaml"),
        (lambda s: (s / "preview.jpg").write_text("cheese"), "/preview.jpg: is not a picture"),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["noise_rmse"].pop("bokeh_01_00.exr")),
            "/info.json: noise_rmse of bokeh_01_00.exr is None",
        ),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["noise_rmse"].update({"bokeh_01_00.exr": -0.01})),
            "/info.json: noise_rmse of bokeh_01_00.exr is -0.01",
        ),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["noise_rmse"].update({"bokeh_09_09.exr": "low"})),
            "/info.json: noise_rmse of bokeh_09_09.exr is 'low'",
        ),
        (lambda s: edit_json(s / "info.json", lambda d: d.pop("noise_rmse")), "/info.json: noise_rmse or samples is"),
        (lambda s: edit_json(s / "info.json", lambda d: d.update(samples=[64])), "/info.json: noise_rmse or samples"),
        (lambda s: (s / "info.json").write_text("[1, 2]"), "/info.json: is not a mapping"),
        (lambda s: (s / "scene.yaml").write_bytes(b"\xff"), "/scene.yaml: is not text"),
        (lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(noise="low")), "/scene.yaml: noise is 'low'"),
        *(
            (
                lambda s, asset=asset: edit_yaml(s / "scene.yaml", lambda d: d["layers"][1].update(asset=asset)),
                f"/scene.yaml: layer 1: asset{what}",
            )
            for asset, what in [
                ("a cat", " is 'a cat'; it must be a mapping"),
                ({"kind": "photograph", "file": "cat.jpg"}, " has no sha256"),
                ({"kind": "photograph", "sha256": "0" * 63}, ": sha256 is '000000"),
                ({"kind": 3}, ": kind is 3"),
                ({"kind": "procedural-cutout", "child": -1}, ": child is -1"),
            ]
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(gammas=[2.2, 0])),
            "/scene.yaml: does not describe a bokeh stack: gammas is [2.2, 0]; it must list numbers above 0",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(blur_parameters=["wide"])),
            "/scene.yaml: does not describe a bokeh stack: blur_parameters is ['wide']",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(aperture="round")),
            "/scene.yaml: does not describe a bokeh stack: aperture is 'round'",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d.update(pixel="hexagon")),
            "/scene.yaml: does not describe a bokeh stack: pixel is 'hexagon'",
        ),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["samples"].update({"bokeh_01_00.exr": 0})),
            "/info.json: samples of bokeh_01_00.exr are 0",
        ),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["focus_distances"].pop()),
            "/info.json: focus_distances is [10.0], by scene.yaml it must be [10.0, 1.4",
        ),
        (
            lambda s: edit_json(s / "info.json", lambda d: d.update(disparity_unit="1/m")),
            "/info.json: disparity_unit is '1/m', by scene.yaml it must be 'normalised'",
        ),
        (widen_blur, "/scene.yaml: the scene has 8 px of overscan; blur parameter 16.0 px"),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d["layers"].reverse()),
            ": layers 0 and 1 overlap in disparity",
        ),
        (
            lambda s: edit_yaml(s / "scene.yaml", lambda d: d["layers"][0].update(slope=[0.0, 1e-3])),
            "/disparity.exr: is not the disparity of the nearest layer",
        ),
    ],
)
def test_every_defect_of_a_writer_is_found(dataset, defect, message):
    defect(dataset / "000000")
    index_as_it_is(dataset)
    problems = found(verify(dataset))
    assert any(problem.startswith(f"000000{message}") for problem in problems), problems
    assert not any(problem.startswith("000001") for problem in problems), problems


def test_the_summary_in_the_index_must_agree_with_the_scene(dataset):
    change_index(dataset, lambda entry: replace(entry, images=entry.images + (entry.folder == "000001")))
    assert found(verify(dataset)) == ["000001: image count or largest noise in the index differ from info.json"]


@pytest.mark.parametrize(
    ("key", "value"), [("folder", "abc"), ("folder", 7), ("noise_rmse_max", "low"), ("noise_rmse_max", float("nan"))]
)
def test_a_line_of_the_index_that_makes_no_sense_is_found(dataset, key, value):
    index = dataset / "index.jsonl"
    entry = json.loads(index.read_text().splitlines()[0])
    index.write_text(index.read_text() + json.dumps(entry | {key: value}) + "\n")
    assert found(verify(dataset)) == [f"index.jsonl: line 3 is not an entry: {key} is {value!r}"]


def test_what_file_browsers_leave_is_no_problem(dataset):
    (dataset / ".DS_Store").write_bytes(b"icons")
    (dataset / "000000" / ".DS_Store").write_bytes(b"icons")
    (dataset / "000001" / "layers" / "Thumbs.db").write_bytes(b"thumbs")
    assert found(verify(dataset)) == []


# A tracer that ended at its largest set


def ask_for_less_noise(scene: Path) -> None:
    edit_yaml(scene / "scene.yaml", lambda document: document.update(noise=1e-6))


def test_more_noise_than_was_asked_for_is_noted_and_no_problem(dataset):
    ask_for_less_noise(dataset / "000001")
    index_as_it_is(dataset)
    report = verify(dataset, retrace=retrace)
    assert found(report) == []
    # Every picture through an open lens; pinholes are exact.
    (note,) = report.notes
    assert note.startswith("4 pictures have more noise than the 1e-06 asked for")


def test_a_wrong_lens_is_found_where_there_is_more_noise_than_asked_for(dataset):
    for scene in ("000000", "000001"):
        ask_for_less_noise(dataset / scene)
    index_as_it_is(dataset)

    def refocused(scene, stack, setting, noise):
        return trace(scene, stack, setting._replace(focus_index=1 - setting.focus_index), samples=SAMPLES)

    (problem,) = found(verify(dataset, retrace=refocused))
    assert "traced again it differs by 0." in problem


def test_one_defect_does_not_hide_another(dataset):
    plant(dataset / "000000/bokeh_01_00.exr", np.nan)
    plant(dataset / "000000/depth.exr", 3.3)
    plant(dataset / "000001/bokeh_01_01.exr", np.nan)
    index_as_it_is(dataset)
    assert len(verify(dataset).problems) == 3


# Tracing again


def test_a_picture_traced_through_another_lens_is_found(dataset):
    def refocused(scene, stack, setting, noise):
        return trace(scene, stack, setting._replace(focus_index=1 - setting.focus_index), samples=SAMPLES)

    report = verify(dataset, retrace=refocused)
    (problem,) = found(report)
    assert problem.startswith(f"{report.retraced}: traced again it differs by 0.")


def test_the_stored_gamma_is_undone_before_comparing(dataset):
    """A picture of gamma 1 compares as display values, where the same linear light at gamma 2.2 would be far off."""
    edit_json(dataset / "000000/info.json", lambda d: d["noise_rmse"].update({"bokeh_01_00_g1.exr": NOISE}))
    index_as_it_is(dataset)
    change_index(dataset, lambda e: replace(e, noise_rmse_max=NOISE) if e.folder == "000000" else e)
    report = verify(dataset, retrace=retrace)
    assert (found(report), report.retraced) == ([], "000000/bokeh_01_00_g1.exr")

    setting = BokehSetting(1, 0, 1.0)
    linear = trace(tiny_scene(0), STACK, setting, samples=SAMPLES)
    stored = Dataset(dataset)[0].bokeh(*setting)
    assert display_rmse(stored, linear) > 2 * NOISE > display_rmse(stored, display_from_linear(linear, 1.0) ** 2.2)


# BLB has neither layers nor checksums


@pytest.fixture
def blb(tmp_path) -> Path:
    folder = tmp_path / "blb" / "277"
    folder.mkdir(parents=True)
    linear = np.random.default_rng(0).random((6, 10, 3)).astype(np.float32)
    images.write_exr_rgb(folder / "image.exr", linear)
    images.write_exr_rgb(folder / "depth.exr", np.linspace(13.0, 65504.0, 180).reshape(6, 10, 3))
    for k in range(2):
        for f in range(3):
            images.write_exr_rgb(folder / f"bokeh_{k:02d}_{f:02d}.exr", linear)
    info = {
        "resolution_x": 10,
        "resolution_y": 6,
        "focal_length": 0.05,
        "sensor_width": 0.036,
        "focus_distances": [65504.0, 20.7634, 13.8437],
        "f_stops": [4.8, 2.4],
        "blur_parameters": [138.47, 276.94],
    }
    (folder / "info.json").write_text(json.dumps(info))
    return folder.parent


def test_a_whole_blb_folder_has_no_problem_and_says_what_it_cannot_prove(blb):
    report = verify(blb, retrace=retrace)
    assert found(report) == []
    assert len(report.unchecked) == 3
    assert report.retraced is None


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (lambda s: (s / "bokeh_01_02.exr").unlink(), "277/bokeh_01_02.exr: no such file"),
        (lambda s: os.truncate(s / "bokeh_00_00.exr", 500), "277/bokeh_00_00.exr: not a whole OpenEXR file"),
        (lambda s: plant(s / "bokeh_00_01.exr", np.nan), "277/bokeh_00_01.exr: holds values that are negative or"),
        (lambda s: plant(s / "depth.exr", 0.0), "277/depth.exr: depth spans 0.0 to"),
        (lambda s: edit_json(s / "info.json", lambda d: d.update(resolution_x=11)), "277/image.exr: is (6, 10, 3)"),
        (
            lambda s: edit_json(s / "info.json", lambda d: d["f_stops"].pop()),
            "277/info.json: f_stops is [4.8], not one",
        ),
        (lambda s: edit_json(s / "info.json", lambda d: d.update(f_stops=3)), "277/info.json: f_stops is 3, not one"),
        (lambda s: edit_json(s / "info.json", lambda d: d.pop("f_stops")), "277/info.json: f_stops is None, not one"),
        (
            lambda s: edit_json(s / "info.json", lambda d: d.update(focus_distances=[0])),
            "277/info.json: does not describe a bokeh stack: focus_distances is [0]; it must list numbers above 0",
        ),
        (lambda s: edit_json(s / "info.json", lambda d: d.update(focus_distances=2)), "277/info.json: does not desc"),
        (lambda s: edit_json(s / "info.json", lambda d: d.pop("focus_distances")), "277/info.json: does not describe"),
        (lambda s: (s / "info.json").write_text("[1, 2"), "277/info.json: is not JSON"),
    ],
)
def test_defects_of_a_blb_folder_are_found(blb, defect, message):
    defect(blb / "277")
    problems = found(verify(blb))
    assert any(problem.startswith(message) for problem in problems), problems
