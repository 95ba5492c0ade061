"""Data of others as a dataset of ours: it is whole, says what it lacks and where it came from, and loses nothing."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import test_bokehdata
import yaml
from PIL import Image

from bokehdata.kinds.imported import ImportedFolder
from bokehdata.opening import open_cases
from bokehdata.reader import Dataset
from bokehdata.verify import verify
from bokehforge import export, view
from bokehforge.importing import main
from scenes.color import HALF_MAX

DISTANCES, BLUR = [0.7, 1.3, 65504.0], [11.0, 23.5]


@pytest.fixture
def blb(tmp_path) -> Path:
    """A scene as Blender writes it: 32-bit RGBA, a sky beyond any half float, BLB's keys alone."""
    root = tmp_path / "BLB"
    rng = np.random.default_rng(4)
    for name in ("277", "1012"):
        scene = root / name
        scene.mkdir(parents=True)

        def write(file: str, pixels: np.ndarray, scene: Path = scene) -> None:
            channels = {"RGBA"[: pixels.shape[2]]: np.ascontiguousarray(pixels, np.float32)}
            OpenEXR.File({}, channels).write(str(scene / file))

        depth = rng.uniform(0.5, 40.0, (24, 32)).astype(np.float32)
        depth[:8] = 1e10
        write("depth.exr", np.repeat(depth[..., None], 3, axis=2))
        for file in ("image.exr", *(f"bokeh_{k:02d}_{f:02d}.exr" for k in range(2) for f in range(3))):
            pixels = rng.uniform(0.0, 3.0, (24, 32, 4))
            pixels[0, 0, :3], pixels[..., 3] = (1e6, -0.25, 0.5), 1.0
            write(file, pixels)
        info = {
            "resolution_x": 32,
            "resolution_y": 24,
            "focal_length": 0.05,
            "sensor_width": 0.036,
            "focus_distances": DISTANCES,
            "f_stops": [1.9, 0.9],
            "blur_parameters": BLUR,
        }
        (scene / "info.json").write_text(json.dumps(info))
    return root


@pytest.fixture
def ebb(tmp_path) -> Path:
    part = tmp_path / "EBB" / "Training"
    rng = np.random.default_rng(5)
    for name in ("original", "bokeh"):
        (part / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(part / name / f"{number}.jpg")
    return part.parent


def imported(source: Path, out: Path, *options: str) -> int:
    return main([str(source), "--out", str(out), *options])


def test_a_folder_of_blb_becomes_a_dataset_that_is_whole(blb, tmp_path, capsys):
    assert imported(blb, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "missing: noise estimate, in 2 scenes" in said and "2 written now" in said
    report = verify(tmp_path / "out")
    assert report.problems == () and report.scenes == 2
    assert "2 scenes have no layers: not in what was imported" in report.notes
    for case, there in zip(open_cases(tmp_path / "out"), open_cases(blb), strict=True):
        assert (case.blur_parameter, case.focus_disparity) == (there.blur_parameter, there.focus_disparity)
        assert (case.level, case.focus_index, case.origins) == (there.level, there.focus_index, there.origins)
        np.testing.assert_array_equal(case.disparity(), there.disparity())
    for scene, there in zip(Dataset(tmp_path / "out"), Dataset(blb), strict=True):
        # Half floats near 1 are 2^-10 apart, and round by half of that.
        np.testing.assert_allclose(scene.image()[1:], there.image()[1:], rtol=2**-11, atol=2**-25)
        np.testing.assert_allclose(scene.bokeh(1, 2)[1:], there.bokeh(1, 2)[1:], rtol=2**-11, atol=2**-25)
        # What half floats cannot hold is their largest number; light is not negative.
        np.testing.assert_array_equal(scene.image()[0, 0], (HALF_MAX, 0.0, 0.5))


def test_a_scene_says_where_it_came_from(blb, tmp_path):
    assert imported(blb, tmp_path / "out") == 0
    source = yaml.safe_load((tmp_path / "out" / "000000" / "scene.yaml").read_text())["source"]
    assert source["layout"] == "blb" and source["name"] == "277"
    for name, sha256 in source["sha256"].items():
        assert hashlib.sha256((blb / "277" / name).read_bytes()).hexdigest() == sha256
    assert set(source["sha256"]) == {path.name for path in (blb / "277").iterdir()}
    # Files are equal wherever the source lay.
    shutil.move(blb, tmp_path / "elsewhere")
    assert imported(tmp_path / "elsewhere", tmp_path / "again") == 0
    assert test_bokehdata.all_bytes(tmp_path / "again") == test_bokehdata.all_bytes(tmp_path / "out")


def test_pairs_become_a_dataset_without_a_lens(ebb, tmp_path, capsys):
    assert imported(ebb, tmp_path / "out") == 0
    said = capsys.readouterr().out
    for what in ("blur parameter", "focus disparity", "disparity", "depth"):
        assert f"missing: {what}, in 2 scenes" in said
    assert verify(tmp_path / "out").problems == ()
    for case, pair in zip(open_cases(tmp_path / "out"), open_cases(ebb), strict=True):
        # 8 bits are in 16 without loss; the display values go through linear light and back.
        np.testing.assert_allclose(case.image(), pair.image(), atol=2e-7)
        np.testing.assert_allclose(case.truth(), pair.truth(), atol=2e-7)
        assert (case.blur_parameter, case.focus_disparity, case.disparity()) == (None, None, None)
        # Held-out pairs of EBB! are known by their number, and by what they show.
        assert (case.number, case.origins) == (pair.number, pair.origins)
    assert view.main([str(tmp_path / "out"), "--out", str(tmp_path / "page.html")]) == 2
    assert "000000: its lens or its disparity is not known" in capsys.readouterr().err


def test_a_plain_folder_keeps_its_lens_and_its_disparity(tmp_path):
    root, rng = tmp_path / "plain", np.random.default_rng(6)
    for name in ("image", "truth", "disparity"):
        (root / name).mkdir(parents=True)
    for name in ("image", "truth"):
        linear = rng.uniform(0.0, 9.0, (24, 32, 3)).astype(np.float16)
        OpenEXR.File({}, {"RGB": linear}).write(str(root / name / "street.exr"))
    np.save(root / "disparity" / "street.npy", rng.uniform(0.0, 4.0, (24, 32)).astype(np.float32))
    (root / "settings.json").write_text('{"street": {"blur_parameter": 7.5, "focus_disparity": 0.3, "gamma": 1.8}}')
    assert imported(root, tmp_path / "out") == 0
    assert verify(tmp_path / "out").problems == ()
    (case,), (there,) = open_cases(tmp_path / "out"), open_cases(root)
    assert case.lens() == there.lens() and case.gamma == there.gamma == 1.8
    np.testing.assert_array_equal(case.disparity(), there.disparity())
    np.testing.assert_allclose(case.truth(), there.truth(), rtol=1e-6)
    assert case.truth().max() > 1.0
    assert view.main([str(tmp_path / "out"), "--out", str(tmp_path / "page.html")]) == 0


def test_an_import_goes_on_and_mends_what_is_damaged(blb, tmp_path, capsys):
    out = tmp_path / "out"
    assert imported(blb, out, "--limit", "1") == 0
    assert imported(blb, out) == 0
    assert "2 scenes are in" in (said := capsys.readouterr().out) and said.count("1 written now") == 2
    whole = test_bokehdata.all_bytes(out)
    (out / "000001" / "bokeh_01_02.exr").write_bytes(b"damaged")
    (out / "000000" / "preview.jpg").unlink()
    assert imported(blb, out) == 0
    assert "2 written now" in capsys.readouterr().out
    assert test_bokehdata.all_bytes(out) == whole
    assert imported(blb, out) == 0
    assert "0 written now" in capsys.readouterr().out


def test_two_sources_are_not_mixed(blb, ebb, tmp_path, capsys):
    assert imported(blb, tmp_path / "out") == 0
    assert imported(ebb, tmp_path / "out") == 2
    assert "source.layout 'blb', this run has 'ebb'; choose another --out" in capsys.readouterr().err


def test_what_was_exported_to_blb_comes_back(tmp_path):
    test_bokehdata.write_dataset(tmp_path / "data", scenes=(0, 1))
    assert export.main([str(tmp_path / "data"), "--to", "blb", "--out", str(tmp_path / "blb")]) == 0
    assert sorted(path.name for path in (tmp_path / "blb").iterdir()) == ["0", "1", "export.yaml"]
    assert imported(tmp_path / "blb", tmp_path / "back") == 0
    there = [case for case in open_cases(tmp_path / "data") if case.gamma == 2.2]
    for case, back in zip(there, open_cases(tmp_path / "back"), strict=True):
        assert back.blur_parameter == case.blur_parameter
        assert back.focus_disparity == pytest.approx(case.focus_disparity, rel=1e-15)
        np.testing.assert_array_equal(back.image(), case.image())
        np.testing.assert_array_equal(back.truth(), case.truth())
        # Stored as depth, which is rounded to float32.
        np.testing.assert_allclose(back.disparity(), case.disparity(), rtol=2e-7)


def test_an_export_to_blb_has_its_files_and_goes_on(tmp_path, capsys):
    test_bokehdata.write_dataset(tmp_path / "data", scenes=(0, 1))
    words = [str(tmp_path / "data"), "--to", "blb", "--out", str(tmp_path / "blb")]
    assert export.main(words) == 0
    said = capsys.readouterr().out
    assert "left behind: pictures of other gammas than 2.2\nleft behind: shapes of apertures\n" in said
    whole, there = test_bokehdata.all_bytes(tmp_path / "blb"), test_bokehdata.all_bytes(tmp_path / "data")
    pictures = {"image.exr", "depth.exr", *(f"bokeh_{k:02d}_{f:02d}.exr" for k in range(2) for f in range(2))}
    assert {name for name in whole if name.startswith("1/")} == {f"1/{name}" for name in (*pictures, "info.json")}
    for name in pictures:
        assert whole[f"1/{name}"] == there[f"000001/{name}"]
    assert list(json.loads(whole["1/info.json"])) == [
        *("resolution_x", "resolution_y", "focal_length", "sensor_width", "focus_distances", "f_stops"),
        "blur_parameters",
    ]
    (tmp_path / "blb" / "1" / "depth.exr").write_bytes(b"damaged")
    (tmp_path / "blb" / ".0.77").mkdir()
    assert export.main(words) == 0
    assert "1 written now" in capsys.readouterr().out
    assert test_bokehdata.all_bytes(tmp_path / "blb") == whole


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "1012" / "bokeh_01_02.exr").unlink(), "bokeh_01_02.exr: no such file"),
        (lambda root: (root / "277" / "info.json").write_text("{}"), "focus_distances is None"),
        (lambda root: shutil.rmtree(root), "no such folder"),
        (lambda root: (root / "dataset.yaml").write_text("schema: 1"), "is a dataset already; use it as it is"),
    ],
)
def test_what_cannot_be_imported_is_named(blb, tmp_path, capsys, damage, message):
    damage(blb)
    assert imported(blb, tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_disparities_below_zero_are_refused(ebb, tmp_path, capsys):
    folder = ebb / "Training" / "disparity"
    folder.mkdir()
    np.save(folder / "0.npy", np.linspace(-1.0, 2.0, 24 * 32, dtype=np.float32).reshape(24, 32))
    assert imported(ebb, tmp_path / "out") == 2
    assert "Training/0: its disparity spans -1 to 2, not [0, 65504]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["files"].remove("image.exr"), "image.exr is not in files"),
        (lambda document: document.update(blur_parameters=[11.0, 23.0]), "blur_parameters is [11.0, 23.5]"),
        (lambda document: document.update(missing="layers"), "missing is 'layers'"),
        (lambda document: document.update(shows=[]), "shows is []"),
    ],
)
def test_a_scene_that_was_changed_is_not_whole(blb, tmp_path, change, message):
    assert imported(blb, tmp_path / "out", "--limit", "1") == 0
    scene = tmp_path / "out" / "000000"
    document = yaml.safe_load((scene / "scene.yaml").read_text())
    change(document)
    # Without an index, whose checksums would tell first.
    scene = shutil.move(scene, tmp_path / "one")
    (scene / "scene.yaml").write_text(yaml.safe_dump(document))
    assert isinstance(Dataset(scene)[0], ImportedFolder)
    assert message in "\n".join(map(str, verify(scene).problems))
