"""What is written is what is read, at every moment of a run, and BLB folders read the same."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bokehdata import images
from bokehdata.format import (
    BokehSetting,
    DatasetError,
    ImageFormat,
    bokeh_file,
    bokeh_setting,
    bokeh_settings,
    stack_from_scene_document,
    stored_from_linear,
)
from bokehdata.index import FileRecord, IndexEntry, read_index
from bokehdata.kinds import open_scene
from bokehdata.kinds.billboards import billboard_document, write_billboards
from bokehdata.reader import Dataset
from bokehdata.writer import DatasetWriter, SceneWriter, estimated_bytes, require_space
from scenes.aperture import Polygon
from scenes.billboard import Billboard, Scene
from scenes.recipe import load_recipe
from scenes.sampling import sample_scene
from scenes.stack import Stack

WIDTH, HEIGHT, OVERSCAN = 32, 24, 8

HEADER = {
    "recipe": {"name": "tiny", "layers": (1, 2)},
    "seed": 7,
    "lens": "thin",
    "software": {"bokehforge": "0.1.0"},
}

STACK = Stack(
    blur_parameters=(0.0, 8.0),
    focus_disparities=(0.1, 1 / 3),
    gammas=(1.0, 2.2, 4.5),
    aperture=Polygon(blades=6, rotation_deg=12.5, curvature=0.25),
)


def tiny_scene(scene_index: int = 0) -> Scene:
    rng = np.random.default_rng([5, scene_index])
    shape = (HEIGHT + 2 * OVERSCAN, WIDTH + 2 * OVERSCAN, 4)
    near, far = (rng.uniform(0.0, 1.0, shape) ** 2.2 for _ in range(2))
    near[..., 3] = np.clip(rng.normal(0.5, 0.6, shape[:2]), 0.0, 1.0)
    far[..., 3] = 1.0
    far[0, 0, :3] = 65504.0
    return Scene(
        (
            Billboard(near.astype(np.float16), 0.7, (1e-4, -2e-4), {"kind": "noise", "seed": scene_index}),
            Billboard(far.astype(np.float16), 0.1, asset={"kind": "noise", "seed": scene_index + 1}),
        ),
        WIDTH,
        HEIGHT,
        OVERSCAN,
    )


def picture(scene_index: int, setting: BokehSetting | None = None) -> np.ndarray:
    """Any linear picture that depends on the scene and the setting alone."""
    seed = [scene_index] if setting is None else [scene_index, *setting[:2], int(10 * setting.gamma)]
    return (3.0 * np.random.default_rng(seed).random((HEIGHT, WIDTH, 3)) ** 4).astype(np.float32)


def write_scene_folder(root: Path, scene_index: int, image_format: ImageFormat = "exr") -> IndexEntry:
    with SceneWriter(root, scene_index, image_format=image_format) as writer:
        write_billboards(writer, tiny_scene(scene_index), STACK, seed=7, noise=0.002)
        writer.write_image(picture(scene_index))
        for setting in bokeh_settings(STACK):
            writer.write_bokeh(setting, picture(scene_index, setting), noise_rmse=0.001, samples=64)
        writer.write_preview(b"\xff\xd8 not really a jpeg")
    return writer.entry


def write_dataset(root: Path, scenes=(0, 1, 2), header=HEADER, image_format: ImageFormat = "exr") -> None:
    with DatasetWriter(root, header) as dataset:
        for scene_index in scenes:
            dataset.add(write_scene_folder(root, scene_index, image_format))


def all_bytes(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Round trips


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float16, (5, 7, 4), elements=st.floats(0.0, 65504.0, width=16)))
def test_layers_keep_every_bit(tmp_path_factory, rgba):
    path = tmp_path_factory.mktemp("layer") / "00.exr"
    images.write_exr_rgba(path, rgba)
    assert images.read_exr(path).dtype == np.float16
    np.testing.assert_array_equal(images.read_exr(path), rgba)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, (5, 7), elements=st.floats(0.0, 65504.0, width=32)))
def test_planes_keep_every_bit(tmp_path_factory, plane):
    path = tmp_path_factory.mktemp("plane") / "depth.exr"
    images.write_exr_plane(path, plane)
    np.testing.assert_array_equal(images.read_exr_plane(path), plane)


def test_png_keeps_display_values_to_half_a_level(tmp_path):
    display = np.random.default_rng(0).random((6, 9, 3)).astype(np.float32)
    images.write_png(tmp_path / "a.png", display)
    # Half a level of rounding, and a float32 epsilon for the division by the largest level.
    assert np.abs(images.read_png(tmp_path / "a.png") - display).max() <= 0.5 / 65535 + 1.2e-7


def test_png_of_8_bits_is_read_as_display_values(tmp_path):
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    cv2.imwrite(str(tmp_path / "a.png"), levels)
    np.testing.assert_array_equal(images.read_png(tmp_path / "a.png"), levels / np.float32(255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.001, 65520.0])
def test_what_half_floats_cannot_hold_is_refused(tmp_path, value):
    linear = np.full((4, 4, 3), 0.5, np.float32)
    linear[2, 1, 0] = value
    with pytest.raises(ValueError, match="65504"):
        images.write_exr_rgb(tmp_path / "image.exr", linear)
    with pytest.raises(ValueError, match="65504"):
        images.write_exr_plane(tmp_path / "depth.exr", linear[..., 0])
    assert not list(tmp_path.iterdir())


def test_a_scene_is_read_as_it_was_written(tmp_path):
    write_dataset(tmp_path, scenes=[3])
    (folder,) = Dataset(tmp_path)
    scene, read = tiny_scene(3), folder.scene()

    assert folder.name == "000003"
    assert (read.width, read.height, read.overscan) == (WIDTH, HEIGHT, OVERSCAN)
    for layer, read_layer in zip(scene.layers, read.layers, strict=True):
        np.testing.assert_array_equal(read_layer.rgba, layer.rgba)
        assert (read_layer.disparity, read_layer.slope) == (layer.disparity, layer.slope)
        assert read_layer.asset == layer.asset
    assert folder.stack() == STACK
    np.testing.assert_array_equal(folder.disparity(), scene.composite_disparity())
    np.testing.assert_array_equal(folder.depth(), scene.composite_depth())
    np.testing.assert_array_equal(folder.image(), picture(3).astype(np.float16).astype(np.float32))
    assert folder.bokeh_settings() == sorted(bokeh_settings(STACK))
    assert folder.info["noise_rmse"]["bokeh_01_01_g4.5.exr"] == 0.001


@pytest.mark.parametrize("image_format", ["exr", "png"])
def test_one_power_decodes_every_gamma(tmp_path, image_format):
    write_dataset(tmp_path, scenes=[0], image_format=image_format)
    (folder,) = Dataset(tmp_path)
    for setting in bokeh_settings(STACK):
        shown = np.clip(folder.bokeh(*setting), 0.0, 1.0) ** (1 / 2.2)
        wanted = np.clip(picture(0, setting), 0.0, 1.0) ** (1 / setting.gamma)
        # Half rounding: 2^-12 relative in display values near 1, 4e-4 at the smallest subnormal; PNG is finer.
        np.testing.assert_allclose(shown, wanted, atol=4e-4)


def test_png_scenes_keep_layers_and_planes_as_numbers(tmp_path):
    write_dataset(tmp_path, scenes=[0], image_format="png")
    (folder,) = Dataset(tmp_path)
    np.testing.assert_array_equal(folder.scene().layers[1].rgba, tiny_scene().layers[1].rgba)
    np.testing.assert_array_equal(folder.depth(), tiny_scene().composite_depth())
    assert folder.image().max() <= 1.0


@settings(deadline=None)
@given(
    st.integers(0, 99),
    st.integers(0, 99),
    st.one_of(st.just(2.2), st.floats(1.0, 5.0)),
    st.sampled_from(["exr", "png"]),
)
def test_file_names_name_their_setting_exactly(blur, focus, gamma, image_format):
    setting = BokehSetting(blur, focus, gamma)
    assert bokeh_setting(bokeh_file(setting, image_format)) == setting


def test_file_names_as_in_the_format_table():
    assert bokeh_file(BokehSetting(4, 9, 2.2), "exr") == "bokeh_04_09.exr"
    assert bokeh_file(BokehSetting(0, 12, 1.0), "exr") == "bokeh_00_12_g1.exr"
    assert bokeh_file(BokehSetting(0, 0, 2.5), "png") == "bokeh_00_00_g2.5.png"
    assert bokeh_setting("image.exr") is None


# Without subnormal numbers: a library in the same process may have told the processor to flush them to zero.
@settings(deadline=None)
@given(
    st.lists(st.floats(0.0, 500.0, allow_subnormal=False), min_size=1, max_size=4),
    st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=1, max_size=4),
    st.sampled_from(["point", "box"]),
)
def test_scene_yaml_keeps_the_stack_exactly(blur_parameters, focus_disparities, pixel):
    stack = Stack(tuple(blur_parameters), tuple(focus_disparities), (2.2,), Polygon(5), pixel)
    document = billboard_document(tiny_scene(), stack, scene_index=0, seed=0, noise=0.002)
    assert stack_from_scene_document(yaml.safe_load(yaml.safe_dump(document))) == stack


# A run that is killed, continued, repeated


def test_equal_runs_give_equal_bytes_in_any_order(tmp_path):
    write_dataset(tmp_path / "a", scenes=(0, 1, 2))
    write_dataset(tmp_path / "b", scenes=(2, 0, 1))
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")


def test_continuing_after_a_kill_gives_the_bytes_of_an_uninterrupted_run(tmp_path):
    write_dataset(tmp_path / "whole")
    killed = tmp_path / "killed"
    write_dataset(killed, scenes=(0, 1))
    # A kill while the third scene was being written, and while the second one's line was.
    (killed / ".000002.99999" / "layers").mkdir(parents=True)
    (killed / ".000002.99999" / "image.exr").write_bytes(b"half a pict")
    (killed / ".index.99999.jsonl").write_text("half an ind")
    index = (killed / "index.jsonl").read_text()
    (killed / "index.jsonl").write_text(index[: len(index) - 40])

    with DatasetWriter(killed, HEADER) as dataset:
        assert dataset.finished(range(3)) == {0}
        for scene_index in {0, 1, 2} - dataset.finished(range(3)):
            dataset.add(write_scene_folder(killed, scene_index))
        # Already now, should a second kill come before the end.
        assert sorted(read_index(killed)[0]) == ["000000", "000001", "000002"]
    assert all_bytes(killed) == all_bytes(tmp_path / "whole")


def test_a_real_kill_loses_only_the_scene_in_flight(tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from tests.test_bokehdata import *
root = Path({str(tmp_path / "out")!r})
dataset = DatasetWriter(root, HEADER)
dataset.add(write_scene_folder(root, 0))
with SceneWriter(root, 1) as writer:
    write_billboards(writer, tiny_scene(1), STACK, seed=7, noise=0.002)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True)
    assert run.returncode == -9, run.stderr.decode()
    assert [path.name for path in (tmp_path / "out").glob(".0*")], "the kill should leave a half-written scene"

    with DatasetWriter(tmp_path / "out", HEADER) as dataset:
        assert dataset.finished(range(3)) == {0}
        for scene_index in (1, 2):
            dataset.add(write_scene_folder(tmp_path / "out", scene_index))
    write_dataset(tmp_path / "whole")
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: corrupt(folder / "layers" / "01.exr"),
        lambda folder: corrupt(folder / "info.json"),
        lambda folder: (folder / "depth.exr").unlink(),
        lambda folder: os.truncate(folder / "image.exr", 100),
    ],
    ids=["flipped bit in a layer", "flipped bit in info.json", "missing file", "truncated file"],
)
def test_a_damaged_scene_is_not_finished_and_is_made_again(tmp_path, damage):
    write_dataset(tmp_path)
    before = all_bytes(tmp_path)
    damage(tmp_path / "000001")
    with DatasetWriter(tmp_path, HEADER) as dataset:
        assert dataset.finished(range(3)) == {0, 2}
        dataset.add(write_scene_folder(tmp_path, 1))
    assert all_bytes(tmp_path) == before


def test_scenes_that_are_not_wanted_are_neither_read_nor_dropped(tmp_path):
    write_dataset(tmp_path)
    corrupt(tmp_path / "000001" / "info.json")
    corrupt(tmp_path / "000002" / "info.json")
    seen = []
    with DatasetWriter(tmp_path, HEADER) as dataset:
        assert dataset.indexed(range(2)) == {0, 1}
        assert dataset.indexed([1, 7]) == {1}
        assert dataset.finished(range(2), on_scene=lambda: seen.append(1)) == {0}
    assert len(seen) == 2
    assert sorted(read_index(tmp_path)[0]) == ["000000", "000002"]


# A dataset that somebody has edited


def edited_entry(root: Path, scene_index: int, change: Callable[[dict], object]) -> None:
    lines = [json.loads(line) for line in (root / "index.jsonl").read_text().splitlines()]
    change(lines[scene_index])
    (root / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def strike_out(root: Path, name: str) -> None:
    (root / "000001" / name).unlink()
    edited_entry(root, 1, lambda entry: entry["files"].pop(name))


def replace_by_a_file(root: Path) -> None:
    shutil.rmtree(root / "000001")
    (root / "000001").write_text("not a folder")


def replace_by_a_link(root: Path) -> None:
    (root / "000001").rename(root / "elsewhere")
    (root / "000001").symlink_to(root / "nowhere")


@pytest.mark.parametrize(
    "edit",
    [
        *(partial(strike_out, name=name) for name in ("depth.exr", "bokeh_00_01.exr", "layers/00.exr", "preview.jpg")),
        *(partial(strike_out, name=name) for name in ("scene.yaml", "info.json")),
        lambda root: edited_entry(root, 1, lambda entry: entry.update(images=3)),
        lambda root: edited_entry(root, 1, lambda entry: entry.update(noise_rmse_max=0.0)),
        lambda root: edited_entry(root, 1, lambda entry: entry["files"].pop("image.exr")),
        lambda root: edited_entry(root, 1, lambda entry: entry["files"].clear()),
        lambda root: edited_entry(root, 1, lambda entry: entry["files"]["image.exr"].update(bytes=3)),
        lambda root: edited_entry(root, 1, lambda entry: entry.update(folder="000009")),
        lambda root: (root / "000001/notes.txt").touch(),
        lambda root: (root / "000001").rename(root / "000009"),
        replace_by_a_file,
        replace_by_a_link,
    ],
)
def test_what_was_edited_is_made_again_or_named(edit, tmp_path):
    write_dataset(tmp_path)
    whole = all_bytes(tmp_path)
    edit(tmp_path)
    with DatasetWriter(tmp_path, HEADER) as dataset:
        assert dataset.finished(range(3)) == {0, 2}
        dataset.add(write_scene_folder(tmp_path, 1))
        for name in dataset.strangers(range(3)):
            assert name == "000009"
            shutil.rmtree(tmp_path / name)
    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
    assert all_bytes(tmp_path) == whole


# A dataset of many scenes


def test_a_finished_scene_takes_little_memory(tmp_path):
    def entry(scene_index: int) -> IndexEntry:
        files = {f"bokeh_{k:02d}_00.exr": FileRecord(f"{scene_index * 100 + k:064x}", k) for k in range(50)}
        return IndexEntry(f"{scene_index:06d}", files, images=50, noise_rmse_max=0.001)

    with DatasetWriter(tmp_path, HEADER) as dataset:
        tracemalloc.start()
        for scene_index in range(50):
            dataset.add(entry(scene_index))
        before, _ = tracemalloc.get_traced_memory()
        for scene_index in range(50, 150):
            dataset.add(entry(scene_index))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (after - before) / 100 < 1000  # bytes; its line has 6,400
    assert read_index(tmp_path)[0]["000123"] == entry(123)


# A disk that is full


@contextmanager
def full_disk(file_bytes: int = 0) -> Iterator[None]:
    """No file can be written beyond its first bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_that_names_the_index(tmp_path):
    with DatasetWriter(tmp_path, HEADER) as dataset:
        entry = write_scene_folder(tmp_path, 0)
        with full_disk(), pytest.raises(DatasetError, match=r"/index\.jsonl: cannot be written \(File too large\)"):
            dataset.add(entry)
    assert list(read_index(tmp_path)[0]) == ["000000"]


def test_a_disk_that_cannot_keep_what_it_took_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def failing_fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with DatasetWriter(tmp_path, HEADER) as dataset:
        entry = write_scene_folder(tmp_path, 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing_fsync)
            with pytest.raises(DatasetError, match=r"/index\.jsonl: cannot be written \(Input/output error\)"):
                dataset.add(entry)
            with pytest.raises(DatasetError, match=r"\.exr: cannot be written \(Input/output error\)"):
                write_scene_folder(tmp_path, 1)


def test_a_full_disk_at_the_end_of_a_run_leaves_no_lock(tmp_path):
    dataset = DatasetWriter(tmp_path, HEADER)
    dataset.add(write_scene_folder(tmp_path, 0))
    with full_disk(), pytest.raises(DatasetError, match=r"index\.jsonl: cannot be written \(File too large\)"):
        dataset.close()
    # The process goes on with the lock of the first writer gone.
    with DatasetWriter(tmp_path, HEADER) as dataset:
        assert dataset.finished([0]) == {0}


@pytest.mark.parametrize("name", ["image.exr", "image.png"])
def test_a_full_disk_is_an_error_that_names_the_picture(tmp_path, name):
    with full_disk(100), pytest.raises(DatasetError, match=rf"{name}: cannot be written \(.*File too large"):
        images.write_linear(tmp_path / name, picture(0))


@pytest.mark.parametrize("name", ["scene.yaml", "preview.jpg", "info.json"])
def test_a_full_disk_is_an_error_that_names_the_file_of_a_scene(tmp_path, monkeypatch, name):
    written_bytes = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(DatasetError, match=rf"{name}: cannot be written \(No space left on device\)"):
        write_scene_folder(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_a_failing_scene_leaves_nothing_behind(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    before = all_bytes(tmp_path)
    with pytest.raises(ValueError, match="bokeh_00_00_g1.exr"), SceneWriter(tmp_path, 1) as writer:
        write_billboards(writer, tiny_scene(1), STACK, seed=7, noise=0.002)
        writer.write_bokeh(BokehSetting(0, 0, 1.0), np.full((2, 2, 3), np.nan), noise_rmse=0.0, samples=1)
    assert all_bytes(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000", "dataset.yaml", "index.jsonl"]


def test_a_scene_without_all_its_pictures_gets_no_name(tmp_path):
    with pytest.raises(ValueError, match=r"closed without .*bokeh_01_01\.exr.*image\.exr"):
        with SceneWriter(tmp_path, 0) as writer:
            write_billboards(writer, tiny_scene(), STACK, seed=7, noise=0.002)
            writer.write_bokeh(BokehSetting(0, 0, 2.2), picture(0), noise_rmse=0.0, samples=1)
    assert not list(tmp_path.iterdir())


# Folders that a run must not touch


def test_another_header_is_refused_by_its_first_difference(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    before = all_bytes(tmp_path)
    other = HEADER | {"recipe": {"name": "tiny", "layers": (1, 3)}}
    with pytest.raises(DatasetError, match=r"recipe\.layers \[1, 2\], this run has \[1, 3\].*--out"):
        DatasetWriter(tmp_path, other)
    with pytest.raises(DatasetError, match="seed 7, this run has 8"):
        DatasetWriter(tmp_path, HEADER | {"seed": 8})
    with pytest.raises(DatasetError, match="stereo None, this run has True"):
        DatasetWriter(tmp_path, HEADER | {"stereo": True})
    assert all_bytes(tmp_path) == before


def test_a_run_that_made_nothing_binds_no_other(tmp_path):
    DatasetWriter(tmp_path, HEADER).close()
    write_dataset(tmp_path, scenes=[0], header=HEADER | {"seed": 8})
    write_dataset(tmp_path / "fresh", scenes=[0], header=HEADER | {"seed": 8})
    assert all_bytes(tmp_path / "fresh") == {
        name: data for name, data in all_bytes(tmp_path).items() if not name.startswith("fresh/")
    }


@pytest.mark.parametrize("lost", ["index.jsonl", "000000"])
def test_scenes_or_an_index_alone_still_bind(tmp_path, lost):
    write_dataset(tmp_path, scenes=[0])
    (shutil.rmtree if lost == "000000" else os.remove)(tmp_path / lost)
    before = all_bytes(tmp_path)
    with pytest.raises(DatasetError, match="seed 7, this run has 8"):
        DatasetWriter(tmp_path, HEADER | {"seed": 8})
    assert all_bytes(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"names: [cat, dog]\n", "holds a dataset with schema None"),
        (b"- a\n", "is not a mapping; choose another --out"),
        (b"\xff\xfe", "is not text .*; choose another --out"),
        (b"{", "is not YAML .*; choose another --out"),
    ],
    ids=["of another program", "list", "not UTF-8", "torn"],
)
def test_a_foreign_header_is_refused_and_stays(tmp_path, content, message):
    (tmp_path / "dataset.yaml").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        DatasetWriter(tmp_path, HEADER)
    assert all_bytes(tmp_path) == {"dataset.yaml": content}


def test_what_file_browsers_leave_does_not_fill_a_folder(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"icons")
    (tmp_path / "Thumbs.db").write_bytes(b"thumbs")
    write_dataset(tmp_path, scenes=[0])
    assert len(Dataset(tmp_path)) == 1


def test_newer_software_continues_a_dataset(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    with DatasetWriter(tmp_path, HEADER | {"software": {"bokehforge": "0.2.0"}}) as dataset:
        assert dataset.finished(range(3)) == {0}


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="holds thesis.tex"):
        DatasetWriter(tmp_path, HEADER)
    with pytest.raises(DatasetError, match="cannot be made a folder"):
        DatasetWriter(tmp_path / "thesis.tex", HEADER)
    assert all_bytes(tmp_path) == {"thesis.tex": b"years of work"}


def test_two_writers_exclude_each_other(tmp_path):
    with DatasetWriter(tmp_path, HEADER), pytest.raises(DatasetError, match="another run is writing"):
        DatasetWriter(tmp_path, HEADER)
    DatasetWriter(tmp_path, HEADER).close()


def test_a_run_that_cannot_fit_is_refused_with_both_sizes(tmp_path):
    require_space(tmp_path / "new" / "folder", 1000)
    with pytest.raises(DatasetError, match=r"needs about 1000000000\.0 GB and the disk has .* free"):
        require_space(tmp_path / "new" / "folder", 10**18)


def test_sizes_below_a_gigabyte_are_told_in_megabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=900_000))
    with pytest.raises(DatasetError, match=r"needs about 3\.5 MB and the disk has 0\.9 MB free"):
        require_space(tmp_path, 3_500_000)


@pytest.mark.parametrize("image_format", ["exr", "png"])
def test_size_estimate_lies_above_the_truth_by_at_most_half(tmp_path, image_format):
    recipe = replace(load_recipe("default"), size_px=256)
    scene, stack = sample_scene(recipe, rng=np.random.default_rng(4))
    # Sharp pictures take more than blurred ones: the upper end.
    sharp = scene.composite()
    with SceneWriter(tmp_path, 0, image_format=image_format) as writer:
        write_billboards(writer, scene, stack, seed=0, noise=0.002)
        writer.write_image(sharp)
        for setting in bokeh_settings(stack):
            writer.write_bokeh(setting, sharp, noise_rmse=0.0, samples=1)
    size = sum(record.bytes for record in writer.entry.files.values())
    layers, pictures = len(scene.layers), writer.entry.images
    assert size < estimated_bytes(256, 256, scene.overscan, layers, pictures, image_format) < 1.5 * size


# What other programs expect


def test_opencv_reads_the_files_as_blb_code_does(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    program = f"""
import os
os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"  # read when OpenCV is first loaded
import cv2, numpy as np
folder = {str(tmp_path / "000000")!r}
rgb = cv2.imread(f"{{folder}}/image.exr", -1)[..., :3][..., ::-1]
depth = cv2.imread(f"{{folder}}/depth.exr", -1)[..., 0]
np.savez(f"{{folder}}/../read.npz", rgb=rgb, depth=depth)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    read = np.load(tmp_path / "read.npz")
    np.testing.assert_array_equal(read["rgb"], open_scene(tmp_path / "000000").image())
    np.testing.assert_array_equal(read["depth"], tiny_scene().composite_depth())


# Scene 277 of BLB: ten focus distances, evenly spaced in disparity from the sky to the nearest point.
BLB_FOCUS_DISTANCES = [65504.0, 124.3834, 62.2508, 41.5137, 31.1402, 24.9145, 20.7634, 17.7980, 15.5738, 13.8437]


def write_blb_folder(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """A folder in BLB's layout, two blur levels: (depth, picture)."""
    folder = root / "277"
    folder.mkdir(parents=True)
    depth = np.repeat(np.array([BLB_FOCUS_DISTANCES], np.float16), 6, axis=0).astype(np.float32)
    linear = np.random.default_rng(0).random((6, 10, 3)).astype(np.float32)
    images.write_exr_plane(folder / "depth.exr", depth)
    images.write_exr_rgb(folder / "image.exr", linear)
    for k in range(2):
        for f in range(10):
            images.write_exr_rgb(folder / f"bokeh_{k:02d}_{f:02d}.exr", linear * (f + 1))
    info = {
        "resolution_x": 10,
        "resolution_y": 6,
        "focal_length": 0.05,
        "sensor_width": 0.036,
        "focus_distances": BLB_FOCUS_DISTANCES,
        "f_stops": [4.8, 2.4],
        "blur_parameters": [138.47, 276.94],
    }
    (folder / "info.json").write_text(json.dumps(info, indent=4))
    return depth, linear


def test_blb_defocus_is_zero_at_focus_and_positive_in_front_of_it(tmp_path):
    depth, _ = write_blb_folder(tmp_path)
    (folder,) = Dataset(tmp_path)
    np.testing.assert_array_equal(folder.depth(), depth)
    for setting in folder.bokeh_settings():
        lens = folder.lens(setting.blur_index, setting.focus_index)
        defocus = lens.defocus_px(folder.disparity())[0]
        # Column j lies at focus distance j. The half float in the file is off by 2^-12 of the distance, hence of a
        # disparity of at most 1 / 13.8, hence K / 13.8 / 4096 px.
        step = lens.blur_parameter / BLB_FOCUS_DISTANCES[-1] / 9
        np.testing.assert_allclose(
            defocus, step * (np.arange(10) - setting.focus_index), atol=lens.blur_parameter / 13.8 / 4096 + 1e-3
        )
        assert (defocus[setting.focus_index + 1 :] > 0).all() and (defocus[: setting.focus_index] < 0).all()


def test_blb_sky_has_disparity_zero(tmp_path):
    write_blb_folder(tmp_path)
    (folder,) = Dataset(tmp_path)
    assert (folder.disparity()[:, 0] == 0.0).all()
    assert folder.lens(0, 0).focus_disparity == 0.0
    assert folder.stack().pixel == "box"


def test_blb_folders_of_scenes_sort_by_number_and_one_scene_can_be_opened_alone(tmp_path):
    for name in ("280", "27", "277"):
        write_blb_folder(tmp_path / name)
        (tmp_path / name / "277").rename(tmp_path / f"x{name}")
        (tmp_path / name).rmdir()
        (tmp_path / f"x{name}").rename(tmp_path / name)
    assert [scene.name for scene in Dataset(tmp_path)] == ["27", "277", "280"]
    assert [scene.name for scene in Dataset(tmp_path / "277")] == ["277"]
    with pytest.raises(DatasetError, match="27: is a scene of kind blb; only billboards can be traced again"):
        Dataset(tmp_path)[0].scene()


# Errors of the reader


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "image.exr").unlink(), r"000000/image\.exr: no such file"),
        (lambda f: os.truncate(f / "image.exr", 600), r"000000/image\.exr: not a whole OpenEXR file"),
        (lambda f: (f / "info.json").write_text("{"), r"000000/info\.json: is not JSON"),
        (lambda f: (f / "scene.yaml").write_text("layers: [\n"), r"000000/scene\.yaml: is not YAML"),
        (lambda f: (f / "scene.yaml").write_text("schema: 1\n"), r"000000/scene\.yaml: does not describe a scene"),
        (lambda f: (f / "scene.yaml").write_text("schema: 99\n"), r"000000/scene\.yaml: has schema 99"),
        (lambda f: (f / "layers" / "00.exr").unlink(), r"000000/layers/00\.exr: no such file"),
    ],
)
def test_broken_files_are_named(tmp_path, damage, message):
    write_dataset(tmp_path, scenes=[0])
    damage(tmp_path / "000000")
    with pytest.raises(DatasetError, match=message) as error:
        folder = Dataset(tmp_path)[0]
        _ = folder.image(), folder.info, folder.scene()
    assert "\n" not in str(error.value)


def test_folders_without_scenes_are_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        Dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds neither dataset.yaml nor folders with info.json"):
        Dataset(tmp_path)


def test_only_indexed_scenes_are_read(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    write_scene_folder(tmp_path, 1)
    assert [scene.name for scene in Dataset(tmp_path)] == ["000000"]
    assert read_index(tmp_path)[0]["000000"].images == len(STACK.gammas) * 4


def test_stored_values_stay_within_half_floats_at_every_gamma():
    # At gamma 5 a highlight of 65504 is stored as 65504^0.44; at gamma 1 the brightest that fits is 65504^(1 / 2.2).
    assert stored_from_linear(np.float32(65504.0), 5.0) < 200.0
    assert stored_from_linear(np.float32(65504.0 ** (1 / 2.2)), 1.0) <= 65504.0 * (1 + 1e-5)


def test_preview_is_kept_as_given(tmp_path):
    write_dataset(tmp_path, scenes=[0])
    assert cv2.imread(str(tmp_path / "000000" / "preview.jpg")) is None
    assert (tmp_path / "000000" / "preview.jpg").read_bytes().startswith(b"\xff\xd8")
