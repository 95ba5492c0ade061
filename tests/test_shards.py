"""Data in archives: what is read from them is what the dataset has, to the bit, and equal data make equal bytes."""

import io
import json
import shutil
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import test_bokehdata
import yaml
from PIL import Image

from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.shards.webdataset import tar_cases
from bokehdata.torch_data import CropSettings, PictureCrops
from bokehforge.export import main

needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed: the extra [parquet]")

FIELDS = (
    *("name", "scene", "blur_parameter", "focus_disparity", "gamma", "aperture", "level", "focus_index", "number"),
    *("noise_rmse", "origins"),
)
LAYOUTS = ("webdataset", pytest.param("parquet", marks=needs_pyarrow))


@pytest.fixture(scope="module", params=["exr", "png"])
def dataset(request, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    header = {**test_bokehdata.HEADER, "licence": "procedural content, CC0-1.0"}
    test_bokehdata.write_dataset(root, scenes=(0, 1), header=header, image_format=request.param)
    return root


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Two pairs of photographs as EBB! has them, JPEG, with a map for one of them."""
    part = tmp_path_factory.mktemp("ebb") / "Training"
    for name in ("original", "bokeh", "disparity"):
        (part / name).mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(2):
        for name in ("original", "bokeh"):
            levels = rng.integers(0, 255, (24, 32, 3), np.uint8)
            Image.fromarray(levels).save(part / name / f"{number}.jpg")
    np.save(part / "disparity" / "0.npy", rng.uniform(-1.0, 3.0, (24, 32)).astype(np.float32))
    return part.parent


def export(data: Path, to: str, out: Path, *options: str) -> int:
    return main([str(data), "--to", to, "--out", str(out), *options])


def all_bytes(folder: Path) -> dict[str, bytes]:
    return test_bokehdata.all_bytes(folder)


def assert_same(case: Case, packed: Case) -> None:
    for key in FIELDS:
        assert getattr(packed, key) == getattr(case, key), key
    for plate in ("image", "truth", "disparity"):
        there, here = getattr(case, plate)(), getattr(packed, plate)()
        assert (there is None) == (here is None)
        if there is not None:
            assert here.dtype == np.float32
            np.testing.assert_array_equal(here, there, err_msg=plate)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_gives_the_cases_of_the_dataset_to_the_bit(layout, dataset, tmp_path):
    assert export(dataset, layout, tmp_path / "out") == 0
    for case, packed in zip(open_cases(dataset), open_cases(tmp_path / "out"), strict=True):
        assert_same(case, packed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_gives_pairs_of_photographs_to_the_bit(layout, pairs, tmp_path):
    assert export(pairs, layout, tmp_path / "out") == 0
    photographs = open_cases(pairs)
    assert [case.number for case in photographs] == [0, 1]
    for case, packed in zip(photographs, open_cases(tmp_path / "out"), strict=True):
        assert_same(case, packed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_samples_are_those_of_the_dataset(layout, dataset, tmp_path):
    assert export(dataset, layout, tmp_path / "out") == 0
    crops, packed = (
        PictureCrops(open_cases(folder), CropSettings(crop_px=16, margin_px=4), seed=5)
        for folder in (dataset, tmp_path / "out")
    )
    for n in (0, 7, 25):
        for key, value in crops[n].items():
            assert value == packed[n][key] if isinstance(value, str) else np.array_equal(value, packed[n][key]), key


@needs_pyarrow
def test_one_archive_becomes_another_without_loss(dataset, tmp_path):
    assert export(dataset, "parquet", tmp_path / "rows") == 0
    assert export(tmp_path / "rows", "webdataset", tmp_path / "tars") == 0
    for case, packed in zip(open_cases(dataset), open_cases(tmp_path / "tars"), strict=True):
        assert_same(case, packed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_data_make_equal_bytes_however_often_it_was_stopped(layout, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("bokehforge.export._MEGABYTE", 20_000)
    assert export(dataset, layout, tmp_path / "whole", "--shard-size", "2") == 0
    whole = all_bytes(tmp_path / "whole")
    archives = sorted(name for name in whole if name.endswith((".tar", ".parquet")))
    assert len(archives) > 3

    # Fewer pictures first; then a shard that is gone, one that is damaged, and what a killed run left.
    out = tmp_path / "stopped"
    assert export(dataset, layout, out, "--shard-size", "2", "--limit", "7") == 0
    assert export(dataset, layout, out, "--shard-size", "2") == 0
    assert all_bytes(out) == whole
    (out / archives[0]).unlink()
    (out / archives[1]).write_bytes(b"\0" + (out / archives[1]).read_bytes()[1:])
    left = (out / archives[0]).with_name(f".{Path(archives[0]).stem}.123{Path(archives[0]).suffix}")
    left.write_bytes(b"unfinished")
    kept = (out / archives[2]).stat().st_mtime_ns
    assert export(dataset, layout, out, "--shard-size", "2") == 0
    assert all_bytes(out) == whole
    assert (out / archives[2]).stat().st_mtime_ns == kept


def test_archives_of_fewer_pictures_lose_what_is_too_much(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("bokehforge.export._MEGABYTE", 20_000)
    assert export(dataset, "webdataset", tmp_path / "out", "--shard-size", "2") == 0
    assert export(dataset, "webdataset", tmp_path / "out", "--shard-size", "2", "--limit", "3") == 0
    assert len(open_cases(tmp_path / "out")) == 3


def test_a_shard_is_no_larger_than_asked_for_but_holds_one_picture_at_least(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("bokehforge.export._MEGABYTE", 30_000)
    assert export(dataset, "webdataset", tmp_path / "out", "--shard-size", "1") == 0
    for path in sorted((tmp_path / "out").glob("*.tar")):
        # The end of a tar file is filled up to 10 KiB.
        assert path.stat().st_size <= 30_000 + 10_240 or len(tar_cases(path)) == 1


def test_tar_files_are_those_of_webdataset(dataset, tmp_path):
    """Read with tarfile alone, and with the library."""
    assert export(dataset, "webdataset", tmp_path / "out", "--limit", "2") == 0
    path, cases = tmp_path / "out" / "shard-000000.tar", open_cases(dataset)[:2]
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        names = [member.name for member in members]
    suffix = "png" if "00000000.image.png" in names else "exr"
    assert names[:4] == ["00000000.json", *(f"00000000.{n}" for n in (f"image.{suffix}", f"truth.{suffix}"))] + [
        "00000000.disparity.exr"
    ]
    assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}

    tariterators = pytest.importorskip("webdataset.tariterators")
    # Not `WebDataset(path)`, which leaves the file open.
    with path.open("rb") as stream:
        samples = list(tariterators.group_by_keys(tariterators.tar_file_expander([{"url": "", "stream": stream}])))
    assert [sample["__key__"] for sample in samples] == ["00000000", "00000001"]
    for case, sample in zip(cases, samples, strict=True):
        assert json.loads(sample["json"])["name"] == case.name
        stored = case.stored("truth")
        assert stored is not None and sample[f"truth.{suffix}"] == stored.data


@needs_pyarrow
def test_parquet_shows_pictures_where_hugging_face_looks_for_them(dataset, tmp_path):
    import pyarrow.parquet as pq

    assert export(dataset, "parquet", tmp_path / "out") == 0
    table = pq.read_table(tmp_path / "out" / "data" / "train-000000.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names
    assert [name for name, feature in features.items() if feature.get("_type") == "Image"] == [
        *("image", "truth", "disparity")
    ]
    for case, row in zip(open_cases(dataset), table.to_pylist(), strict=True):
        # As `datasets` decodes an Image: with Pillow.
        truth, disparity = (np.asarray(Image.open(io.BytesIO(row[name]["bytes"]))) for name in ("truth", "disparity"))
        assert np.abs(truth / 255 - np.clip(case.truth(), 0.0, 1.0)).max() <= 1.01 / 255
        np.testing.assert_array_equal(disparity, case.disparity())
        assert row["blur_parameter"] == case.blur_parameter


@needs_pyarrow
def test_the_card_has_the_header_that_the_site_reads(dataset, pairs, tmp_path):
    assert export(dataset, "parquet", tmp_path / "out") == 0
    _, header, text = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(header)
    assert about["license"] == "cc0-1.0" and about["size_categories"] == ["n<1K"]
    assert about["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    made = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert made == yaml.safe_load((dataset / "dataset.yaml").read_text())
    assert export(pairs, "parquet", tmp_path / "pairs") == 0
    assert "license: unknown" in (tmp_path / "pairs" / "README.md").read_text()


def test_a_missing_or_damaged_archive_is_named(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("bokehforge.export._MEGABYTE", 20_000)
    assert export(dataset, "webdataset", tmp_path / "out", "--shard-size", "2") == 0
    lost = tmp_path / "out" / "shard-000001.tar"
    whole = lost.read_bytes()
    lost.write_bytes(whole[:3000])
    with pytest.raises(DatasetError, match=r"shard-000001\.tar.* cut off"):
        open_cases(tmp_path / "out")
    lost.unlink()
    with pytest.raises(DatasetError, match=r"shard-000001\.tar: is missing; export again"):
        open_cases(tmp_path / "out")
    lost.write_bytes(whole)
    shutil.copy(lost, tmp_path / "out" / "copy.tar")
    with pytest.raises(DatasetError, match="a second time"):
        open_cases(tmp_path / "out")


def test_a_broken_picture_names_its_archive(dataset, tmp_path):
    assert export(dataset, "webdataset", tmp_path / "out", "--limit", "1") == 0
    path = tmp_path / "out" / "shard-000000.tar"
    (case,) = tar_cases(path)
    stored = case.stored("truth")
    assert stored is not None
    path.write_bytes(path.read_bytes().replace(stored.data, bytes(len(stored.data))))
    with pytest.raises(DatasetError, match=r"shard-000000\.tar: 00000000\.truth\.\w+: not a whole"):
        tar_cases(path)[0].truth()


def test_a_tar_file_of_somebody_else_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("0.image.png"))
    with pytest.raises(DatasetError, match=r"a\.tar: '0': has no \.json"):
        open_cases(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--to", "webdataset", "--misalignment", "1"),
            "--misalignment does nothing for --to webdataset; leave it out",
        ),
        (("--to", "pairs", "--shard-size", "5"), "--shard-size does nothing for --to pairs; leave it out"),
        (("--to", "webdataset", "--shard-size", "0"), "--shard-size is 0; it must be at least 1"),
    ],
)
def test_options_of_another_layout_are_refused(dataset, tmp_path, capsys, options, message):
    assert main([str(dataset), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("layout", [*LAYOUTS, "blb"])
def test_a_folder_of_something_else_is_left_alone(layout, dataset, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    assert export(dataset, layout, tmp_path / "out") == 2
    assert "holds thesis.txt, which no export made; choose another --out" in capsys.readouterr().err
    assert all_bytes(tmp_path / "out") == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk_leaves_what_is_finished(layout, dataset, tmp_path, capsys, full_disk, monkeypatch):
    monkeypatch.setattr("bokehforge.export._MEGABYTE", 20_000)
    out = tmp_path / "out"
    assert export(dataset, layout, out, "--shard-size", "1", "--limit", "1") == 0
    with full_disk(4_000):
        assert export(dataset, layout, out, "--shard-size", "1", "--limit", "3") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not [path.name for path in out.rglob(".*")]
    assert len(open_cases(out)) == 1
