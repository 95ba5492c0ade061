"""Every file that the program reads, damaged in every way: it is read, or one of our errors names it in a line.

Files are whole, and damaged: bytes are overwritten, cut, repeated; in documents, values are replaced by odd ones. The
examples are the same in every run. `pytest tests/test_fuzz.py --hypothesis-profile=long` tries a hundred times as many.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
import test_phone_depth
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from bokehdata import images
from bokehdata.embedded import embedded_depth
from bokehdata.format import DatasetError, bokeh_settings
from bokehdata.kinds.billboards import write_billboards
from bokehdata.kinds.layers import LayersFolder, RevealedPhotograph, write_layers
from bokehdata.opening import open_cases
from bokehdata.pairs.pair import fits
from bokehdata.shards.packed import document_of, files_of
from bokehdata.verify import verify
from bokehdata.writer import DatasetWriter, SceneWriter
from bokehforge import export, importing
from evaluation import report
from evaluation.results import open_rows
from renderers.base import RendererError
from renderers.neural.checkpoints import loaded
from renderers.neural.training_record import read_record, seen_by
from runtime.command import printable
from runtime.documents import DocumentError
from scenes.decode import DecodeError, decode, upright_size
from scenes.layered_depth import DepthImage, LayeredDepthImage
from scenes.prescription import PrescriptionError, load_prescription
from scenes.recipe import RecipeError, load_recipe
from scenes.stack import Stack
from training.callbacks import MetricsFile

# A fixture makes the file once; each example damages a copy.
FUZZED = settings(
    max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Read = Callable[[Path], object]

ODD = [
    *(
        None,
        True,
        -1,
        0,
        10**30,
        -(10**30),
        1e308,
        -1e308,
        5e-324,
        float("inf"),
        float("nan"),
        "",
        "x",
        "\0",
        "../..",
        "\ud800",
    ),
    *([], {}, [[]], [None], {"a": 1}, [1e308] * 3, ["x"] * 3, "9" * 5000, "é\n\x1b[31m"),
]


def all_places(document: Any, place: tuple = ()) -> list[tuple]:
    """The places of all values in a document of lists and mappings."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [place, *(found for key, value in items for found in all_places(value, (*place, key)))]


def replaced(document: Any, place: tuple, value: Any) -> Any:
    if not place:
        return value
    key, *rest = place
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[key] = replaced(document[key], tuple(rest), value)
    return copy


def without(document: Any, place: tuple) -> Any:
    *parents, key = place
    if parents:
        return replaced(document, (parents[0],), without(document[parents[0]], place[1:]))
    copy = dict(document) if isinstance(document, dict) else list(document)
    del copy[key]
    return copy


@st.composite
def damaged_bytes(draw, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        # Headers decide more than the rest.
        end = draw(st.sampled_from([64, 512, len(data)]))
        at = draw(st.integers(0, max(0, min(end, len(data)) - 1)))
        match draw(st.sampled_from(["overwrite", "overwrite", "cut", "end", "repeat", "insert"])):
            case "overwrite":
                some = draw(
                    st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
                )
                data[at : at + len(some)] = some
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "end":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + 32]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
    return bytes(data)


@st.composite
def damaged_document(draw, document: Any, text_of: Callable[[Any], str]) -> bytes:
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(all_places(document)))
        if place and draw(st.integers(0, 4)) == 0:
            document = without(document, place)
        else:
            document = replaced(document, place, draw(st.sampled_from(ODD)))
    return text_of(document).encode("utf-8", "surrogatepass")


def as_yaml(document: Any) -> str:
    return yaml.safe_dump(document, allow_unicode=False)


def require_read_or_refused(
    read: Read, path: Path, refusals: tuple[type[Exception], ...], names_file: bool = True
) -> None:
    try:
        read(path)
    except refusals as error:
        message = printable(error)  # as `exit_code` shows it
        assert "\n" not in message and len(message) < 3000, message
        assert not names_file or str(path.parent.name) in message or path.name in message, message


# ---------- pictures


def picture_files(folder: Path) -> None:
    """A small whole file of every format."""
    y, x = np.indices((24, 20)) / 24.0
    rgb = (255 * np.stack([x, y, 0.5 + 0.4 * np.sin(9 * x * y)], axis=-1)).astype(np.uint8)
    alpha = np.dstack([rgb, np.linspace(0, 255, 480).reshape(24, 20).astype(np.uint8)])
    for suffix in ("jpg", "png", "tif", "webp", "bmp", "gif", "jp2", "tga", "ppm", "avif", "pbm"):
        picture = Image.fromarray(rgb)
        (picture.convert("1") if suffix == "pbm" else picture).save(folder / f"plain.{suffix}")
    Image.fromarray(alpha).save(folder / "alpha.png")
    Image.fromarray(alpha).save(folder / "alpha.tif", compression="tiff_lzw")
    Image.fromarray(rgb).convert("P").save(folder / "palette.png")
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg")
    light = rgb.astype(np.float32) / 100.0
    for name in ("light.hdr", "light.pfm", "light.tif"):
        cv2.imwrite(str(folder / name), light)
    cv2.imwrite(str(folder / "deep.png"), rgb.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "deep.tif"), rgb.astype(np.uint16) * 257)
    OpenEXR.File({}, {"RGB": light.astype(np.float16)}).write(str(folder / "half.exr"))
    OpenEXR.File({}, {"RGBA": np.dstack([light, light[..., :1]])}).write(str(folder / "alpha.exr"))
    np.save(folder / "map.npy", light[..., 0])


PICTURES = (
    *(f"plain.{suffix}" for suffix in ("jpg", "png", "tif", "webp", "bmp", "gif", "jp2", "tga", "ppm", "avif", "pbm")),
    *("alpha.png", "alpha.tif", "palette.png", "cmyk.jpg", "light.hdr", "light.pfm", "light.tif"),
    *("deep.png", "deep.tif", "half.exr", "alpha.exr", "map.npy"),
)


@pytest.fixture(scope="module")
def whole_pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    picture_files(folder)
    return folder


def test_the_whole_pictures_are_read(whole_pictures):
    for name in PICTURES:
        if name != "map.npy":
            assert decode(whole_pictures / name)[0].shape[:2] == upright_size(whole_pictures / name)[::-1] == (24, 20)
    assert images.read_disparity(whole_pictures / "map.npy").shape == (24, 20)


@pytest.mark.parametrize("name", PICTURES)
def test_a_damaged_picture_is_read_or_named(name, whole_pictures, tmp_path, capfd):
    whole, path = (whole_pictures / name).read_bytes(), tmp_path / name

    @FUZZED
    @given(damaged_bytes(whole))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        if name != "map.npy":
            require_read_or_refused(decode, path, (DecodeError,), names_file=False)
            require_read_or_refused(upright_size, path, (DecodeError,), names_file=False)
            require_read_or_refused(images.read_display, path, (DatasetError,))
            fits(path, path, lambda *misfit: None)
        if name.endswith(".png"):
            require_read_or_refused(images.read_png, path, (DatasetError,))
        require_read_or_refused(images.read_disparity, path, (DatasetError,))

    fuzz()
    assert capfd.readouterr() == ("", ""), "libraries in C are silent"


# ---------- datasets


STACK = Stack(blur_parameters=(0.0, 4.0), focus_disparities=(0.2, 0.8))


@pytest.fixture(scope="module")
def whole_dataset(tmp_path_factory, random_scene) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    scene = random_scene(rng=np.random.default_rng(3), width=24, height=20, overscan=8, num_layers=2)
    with DatasetWriter(root, {"recipe": "test"}) as writer, SceneWriter(root, 0) as one:
        write_billboards(one, scene, STACK, seed=0, noise=0.01)
        one.write_image(scene.composite())
        for setting in bokeh_settings(STACK):
            one.write_bokeh(setting, scene.composite(), noise_rmse=0.001, samples=64)
        one.write_preview(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    with DatasetWriter(root, {"recipe": "test"}) as writer:
        writer.add(one.entry)
    return root


def read_all(root: Path) -> None:
    """What the commands read of a dataset."""
    for case in open_cases(root):
        case.image(), case.truth(), case.disparity(), case.layers(), case.digest(), case.origins
        if case.blur_parameter is not None and case.focus_disparity is not None:
            case.lens()


def test_the_whole_dataset_is_whole(whole_dataset):
    assert not verify(whole_dataset).problems
    read_all(whole_dataset)


DOCUMENTS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "dataset.yaml": (yaml.safe_load, as_yaml),
    "index.jsonl": (json.loads, json.dumps),
    "000000/scene.yaml": (yaml.safe_load, as_yaml),
    "000000/info.json": (json.loads, json.dumps),
}


def check_dataset(root: Path) -> None:
    require_read_or_refused(read_all, root, (DatasetError,))
    require_read_or_refused(verify, root, (DatasetError,))


@pytest.mark.parametrize("is_indexed", [True, False])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_dataset_with_an_odd_document_is_read_or_named(name, is_indexed, whole_dataset, tmp_path):
    """Without its header and index, a dataset is not checked by its checksums first."""
    if not is_indexed and "/" not in name:
        return
    root = shutil.copytree(whole_dataset, tmp_path / "dataset")
    if not is_indexed:
        (root / "dataset.yaml").unlink(), (root / "index.jsonl").unlink()
    parsed, text_of = DOCUMENTS[name]
    text = (root / name).read_text()

    @FUZZED
    @given(damaged_document(parsed(text), text_of) | damaged_bytes(text.encode()))
    def fuzz(data: bytes) -> None:
        (root / name).write_bytes(data)
        check_dataset(root)

    fuzz()


@pytest.mark.parametrize("name", ["info.json", "scene.yaml"])
def test_a_folder_of_blb_with_an_odd_document_is_read_or_named(name, whole_dataset, tmp_path):
    root = tmp_path / "blb"
    ignored = shutil.ignore_patterns("layers", "disparity*", *(["*.yaml"] if name == "info.json" else []))
    shutil.copytree(whole_dataset / "000000", root / "7", ignore=ignored)
    parsed, text_of = DOCUMENTS[f"000000/{name}"]

    @FUZZED
    @given(damaged_document(parsed((root / "7" / name).read_text()), text_of))
    def fuzz(data: bytes) -> None:
        (root / "7" / name).write_bytes(data)
        check_dataset(root)

    fuzz()


@pytest.mark.parametrize(
    "name", ["image.exr", "depth.exr", "disparity.exr", "layers/00.exr", "bokeh_01_00.exr", "preview.jpg"]
)
def test_a_dataset_with_a_damaged_picture_is_read_or_named(name, whole_dataset, tmp_path, capfd):
    root = shutil.copytree(whole_dataset, tmp_path / "dataset")
    (root / "dataset.yaml").unlink(), (root / "index.jsonl").unlink()
    path = root / "000000" / name

    @FUZZED
    @given(damaged_bytes(path.read_bytes()))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        check_dataset(root)

    fuzz()
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module", params=["webdataset", "parquet"])
def whole_archive(request, whole_dataset, tmp_path_factory) -> Path:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra [parquet]")
    root = tmp_path_factory.mktemp(request.param)
    assert export.main([str(whole_dataset), "--to", request.param, "--out", str(root), "--limit", "2"]) == 0
    return root


def test_a_damaged_archive_is_read_or_named(whole_archive, tmp_path, capfd):
    root = shutil.copytree(whole_archive, tmp_path / "archive")
    (path,) = (path for path in root.rglob("*.*") if path.suffix in (".tar", ".parquet"))
    read_all(root)
    whole = path.read_bytes()

    # The table of contents of Parquet is at its end.
    @FUZZED
    @given(damaged_bytes(whole) | damaged_bytes(whole[::-1]).map(lambda data: data[::-1]))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        require_read_or_refused(read_all, root, (DatasetError,))

    fuzz()
    assert capfd.readouterr() == ("", "")


def test_a_sample_with_an_odd_document_is_read_or_named(whole_dataset, tmp_path):
    path = tmp_path / "shard-000000.tar"
    (case, *_) = open_cases(whole_dataset)
    files, document = files_of(case), document_of(case)

    @FUZZED
    @given(damaged_document(document, json.dumps))
    def fuzz(data: bytes) -> None:
        with tarfile.open(path, "w") as tar:
            texts = {f"0.{plate}{stored.suffix}": stored.data for plate, stored in files.items()}
            for name, content in {"0.json": data, **texts}.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        require_read_or_refused(read_all, tmp_path, (DatasetError,))

    fuzz()


def test_an_odd_list_of_shards_is_read_or_named(whole_archive, tmp_path):
    root = shutil.copytree(whole_archive, tmp_path / "archive")
    text = (root / "shards.jsonl").read_text()

    @FUZZED
    @given(damaged_document(json.loads(text), json.dumps) | damaged_bytes(text.encode()))
    def fuzz(data: bytes) -> None:
        (root / "shards.jsonl").write_bytes(data)
        require_read_or_refused(open_cases, root, (DatasetError,))

    fuzz()


def test_an_imported_scene_with_an_odd_document_is_read_or_named(whole_pictures, tmp_path):
    for name in ("image", "truth"):
        (tmp_path / "plain" / name).mkdir(parents=True)
        shutil.copy(whole_pictures / "plain.png", tmp_path / "plain" / name / "one.png")
    assert importing.main([str(tmp_path / "plain"), "--out", str(tmp_path / "out")]) == 0
    scene = tmp_path / "out" / "000000"
    (tmp_path / "out" / "dataset.yaml").unlink(), (tmp_path / "out" / "index.jsonl").unlink()
    text = (scene / "scene.yaml").read_text()

    @FUZZED
    @given(damaged_document(yaml.safe_load(text), as_yaml) | damaged_bytes(text.encode()))
    def fuzz(data: bytes) -> None:
        (scene / "scene.yaml").write_bytes(data)
        check_dataset(tmp_path / "out")

    fuzz()


def test_odd_settings_of_a_plain_folder_are_named(whole_pictures, tmp_path):
    for name in ("image", "truth", "disparity"):
        (tmp_path / name).mkdir()
        shutil.copy(whole_pictures / "plain.png", tmp_path / name / "one.png")
    document = {"one": {"blur_parameter": 3.0, "focus_box": [1, 1, 5, 5], "gamma": 2.2}}

    @FUZZED
    @given(damaged_document(document, json.dumps))
    def fuzz(data: bytes) -> None:
        (tmp_path / "settings.json").write_bytes(data)
        require_read_or_refused(read_all, tmp_path, (DatasetError,))

    fuzz()


# ---------- photographs


@pytest.mark.parametrize("name", ["gdepth", "dynamic depth", "apple", "heic"])
def test_a_damaged_portrait_of_a_phone_is_read_or_named(name, tmp_path, capfd):
    makers: dict[str, Callable[[], bytes]] = {
        "gdepth": lambda: test_phone_depth.gdepth('GDepth:Near="1" GDepth:Far="2"'),
        "dynamic depth": test_phone_depth.dynamic_depth,
        "apple": lambda: test_phone_depth.multi_picture(
            test_phone_depth.APPLE.format(kind="disparity", low=0.5, high=3.0)
        ),
        "heic": lambda: test_phone_depth.heic(test_phone_depth.depth_message(1, None, None, 0.75, 3.5)),
    }
    whole, path = makers[name](), tmp_path / "portrait"

    @FUZZED
    @given(damaged_bytes(whole))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        require_read_or_refused(embedded_depth, path, (DatasetError,))
        require_read_or_refused(decode, path, (DecodeError,), names_file=False)

    fuzz()
    assert capfd.readouterr() == ("", ""), "libraries in C are silent"


@pytest.fixture
def whole_layers(tmp_path, random_scene) -> Path:
    scene = random_scene(rng=np.random.default_rng(3), width=24, height=20, overscan=2, num_layers=2)
    layers = tuple(DepthImage(layer.rgba, scene.layer_disparity(i)) for i, layer in enumerate(scene.layers))
    found = LayeredDepthImage(layers, scene.width, scene.height, scene.overscan)
    sources = {"picture_sha256": "0" * 64}
    photograph = RevealedPhotograph(
        scene.composite(), scene.composite_disparity(), found, "reveal0", reach_px=9.0, sources=sources
    )
    write_layers(tmp_path / "a.layers", photograph)
    return tmp_path / "a.layers"


def check_layers(path: Path) -> None:
    def read(path: Path) -> None:
        """What the commands read of a folder."""
        folder = LayersFolder.at(path)
        folder.layers(), folder.image(), folder.disparity(), folder.icc()
        assert folder.origins and np.isfinite(folder.disparity_shift) and folder.reach_px > 0.0

    require_read_or_refused(read, path, (DatasetError,))
    require_read_or_refused(verify, path, (DatasetError,))


def test_layers_with_an_odd_document_are_read_or_named(whole_layers):
    assert not verify(whole_layers).problems
    text = (whole_layers / "scene.yaml").read_text()

    @FUZZED
    @given(damaged_document(yaml.safe_load(text), as_yaml) | damaged_bytes(text.encode()))
    def fuzz(data: bytes) -> None:
        (whole_layers / "scene.yaml").write_bytes(data)
        check_layers(whole_layers)

    fuzz()


@pytest.mark.parametrize("name", ["image.exr", "disparity.exr", "layers/00.exr", "layers/01_disparity.exr"])
def test_layers_with_a_damaged_picture_are_read_or_named(name, whole_layers, capfd):
    path = whole_layers / name

    @FUZZED
    @given(damaged_bytes(path.read_bytes()))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        check_layers(whole_layers)

    fuzz()
    assert capfd.readouterr() == ("", "")


# ---------- recipes, lenses, results, weights, runs


@pytest.mark.parametrize("recipe", ["default", "ebb-like", "blb-levels", "drbokeh-benchmark", "real-lens"])
def test_an_odd_recipe_is_read_or_named(recipe, tmp_path):
    path = tmp_path / "mine.yaml"
    document = load_recipe(recipe).describe()

    @FUZZED
    @given(damaged_document(document, as_yaml))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        require_read_or_refused(lambda path: load_recipe(str(path)), path, (RecipeError,), names_file=False)

    fuzz()


FRONT = {"radius": 50.0, "thickness": 4.0, "index": 1.5, "abbe": 60.0, "semi_diameter": 9.0}
LENS = {"name": "A", "f_number": 2.0, "surfaces": [FRONT, {"radius": -50.0, "semi_diameter": 9.0, "stop": True}]}


def test_an_odd_lens_is_read_or_named(tmp_path):
    path = tmp_path / "mine.yaml"

    @FUZZED
    @given(damaged_document(LENS, as_yaml) | damaged_bytes(as_yaml(LENS).encode()))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        require_read_or_refused(load_prescription, path, (PrescriptionError,))

    fuzz()


@pytest.fixture(scope="module")
def whole_results(whole_dataset, tmp_path_factory) -> Path:
    from evaluation import benchmark

    out = tmp_path_factory.mktemp("results")
    words = ["--data", str(whole_dataset), "--out", str(out), "--renderers", "identity", "--no-lpips", "--limit", "2"]
    assert benchmark.main(words) == 0
    return out


def test_odd_results_are_reported_or_named(whole_results, tmp_path, capsys):
    folder = shutil.copytree(whole_results, tmp_path / "results")
    document = json.loads((folder / "results.json").read_text())

    @FUZZED
    @given(damaged_document(document, json.dumps))
    def fuzz(data: bytes) -> None:
        (folder / "results.json").write_bytes(data)
        code = report.main([str(folder)])
        said = capsys.readouterr().err
        assert code in (0, 2) and (code == 0 or (str(folder) in said and said.count("\n") == 1)), said

    fuzz()


def test_odd_rows_of_a_benchmark_are_dropped_or_named(whole_results, tmp_path):
    header, *rows = map(json.loads, (whole_results / "rows.jsonl").read_text().splitlines())
    settings_of_rows = {key: value for key, value in header.items() if key != "schema"}
    folder = tmp_path / "results"
    folder.mkdir()

    @FUZZED
    @given(damaged_document(rows[0], json.dumps) | damaged_bytes(json.dumps(rows[0]).encode()))
    def fuzz(data: bytes) -> None:
        (folder / "rows.jsonl").write_bytes(json.dumps(header).encode() + b"\n" + data + b"\n")

        def read(folder: Path) -> None:
            with open_rows(folder, settings_of_rows) as log:
                for row in log.rows():
                    assert isinstance(row["renderer"], str) and isinstance(row["image"], str)

        require_read_or_refused(read, folder, (DocumentError,))

    fuzz()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_damaged_weights_are_read_or_named(suffix, tmp_path):
    network, path = torch.nn.Linear(3, 2), tmp_path / f"linear{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path, metadata={"training": json.dumps({"trained_on": [], "validated_on": []})})

    @FUZZED
    @given(damaged_bytes(path.read_bytes()))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        require_read_or_refused(lambda path: loaded(torch.nn.Linear(3, 2), path), path, (RendererError,))
        seen_by(read_record(path))

    fuzz()


def test_damaged_metrics_of_a_run_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    line = json.dumps({"step": 3, "val/psnr": 20.0}).encode()

    @FUZZED
    @given(damaged_document({"step": 3, "val/psnr": 20.0}, json.dumps) | damaged_bytes(line))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data + b"\n" + line + b"\n")
        assert [f"{value:.1f}" for value in MetricsFile(path, 1).last_validation.values()] == ["20.0"]

    fuzz()
