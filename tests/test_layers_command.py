"""`bokehforge layers`: what is found in a photograph is written once, and seen through any lens."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import yaml
from PIL import Image, ImageCms

from bokehdata import images
from bokehdata.format import DatasetError
from bokehdata.kinds import open_scene
from bokehdata.kinds.layers import LayersFolder, RevealedPhotograph, write_layers
from bokehdata.opening import open_cases
from bokehdata.verify import verify
from bokehforge.cli import main
from renderers.layering import LAYERINGS
from runtime.files import sha256_of
from scenes.layered_depth import DepthImage, LayeredDepthImage

HEIGHT, WIDTH = 40, 56


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A disk of disparity 0.9 before a wall of 0.2, whose map is `map.npy` beside the picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    near = (x - 26) ** 2 + (y - 20) ** 2 < 11**2
    image = np.where(near[..., None], [0.9, 0.4, 0.2], [0.2, 0.3, 0.6]) + 0.1 * rng.random((HEIGHT, WIDTH, 3))
    images.write_png(tmp_path / "photo.png", image)
    np.save(tmp_path / "map.npy", np.where(near, 0.9, 0.2).astype(np.float32))
    return tmp_path / "photo.png"


def layers(photo: Path, *options: str, out: str = "photo.layers") -> int:
    place = photo.parent
    return main(["layers", str(photo), "--disparity", str(place / "map.npy"), "--out", str(place / out), *options])


def render(subject: Path, out: Path, *options: str, renderer: str | None = None) -> np.ndarray:
    method = ["--renderer", renderer] if renderer else []
    assert main(["render", str(subject), "--out", str(out), *method, *options]) == 0
    return images.read_exr_rgb(out)


# ---------- the same pictures

LENSES = (
    ["--focus", "26,20", "--max-radius", "12"],
    ["--focus", "2,2", "--max-radius", "7.5", "--gamma", "3", "--aperture", "polygon:5"],
    ["--focus", "0.5", "--blur", "20"],
)

# Which renderer of layers each analysis has in the renderer that analyses the photograph each time.
PAIRS = {"reveal0": ("reveal0", "layers-over"), "mpib": ("layers-over-rgbd", "layers-over")}
PAIRS |= {"drbokeh": ("drbokeh-rgbd", "drbokeh")}


@pytest.mark.parametrize("analysis", PAIRS)
def test_pictures_of_the_layers_are_those_of_the_photograph(photo, tmp_path, analysis):
    """To the bit: alpha and colour are half floats, and disparities float, in memory as in the files."""
    of_photo, of_layers = PAIRS[analysis]
    assert layers(photo, "--analysis", analysis) == 0
    for lens in LENSES:
        found = render(photo.with_suffix(".layers"), tmp_path / "a.exr", *lens, renderer=of_layers)
        # A reach of 50 px and more makes no difference to reveal0; smaller ones are given to `layers` as --reach.
        words = ["--disparity", str(tmp_path / "map.npy"), *lens]
        expected = render(photo, tmp_path / "b.exr", *words, renderer=of_photo)
        np.testing.assert_array_equal(found, expected)


def test_every_analysis_has_its_test():
    assert set(LAYERINGS) == {*PAIRS, "reveal"}


def test_layers_of_a_network_are_those_that_it_finds_for_each_picture(photo, tmp_path):
    """At the reference gamma, where it projects them to the picture. Its weights are random here."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from renderers.neural.reveal.network import RevealNet

    torch.manual_seed(0)
    weights = tmp_path / "reveal.safetensors"
    save_file(RevealNet().state_dict(), weights)
    assert layers(photo, "--analysis", "reveal", "--weights", str(weights)) == 0
    assert "weights_sha256" in (tmp_path / "photo.layers/scene.yaml").read_text()
    seen = render(tmp_path / "photo.layers", tmp_path / "a.exr", *LENSES[0])
    words = ["--disparity", str(tmp_path / "map.npy"), "--weights", str(weights), *LENSES[0]]
    expected = render(photo, tmp_path / "b.exr", *words, renderer="reveal")
    np.testing.assert_allclose(seen, expected, rtol=1e-3, atol=1e-5)


def test_layers_are_made_for_the_reach_that_is_asked_for(photo, tmp_path, capsys):
    """A step of less than a pixel of blur is no edge: 0.05 of a span of 0.7 at a radius of 6 px is one of 0.86."""
    disparity = np.load(tmp_path / "map.npy")
    disparity[:, 45:] += 0.05
    np.save(tmp_path / "map.npy", disparity)
    lens = ["--focus", "26,20", "--max-radius", "6"]
    expected = render(photo, tmp_path / "b.exr", "--disparity", str(tmp_path / "map.npy"), *lens, renderer="reveal0")
    counts = []
    for name, options in (("near.layers", ["--reach", "6"]), ("any.layers", [])):
        assert layers(photo, *options, out=name) == 0
        counts.append(len(LayersFolder.at(tmp_path / name).layers().layers))
    np.testing.assert_array_equal(render(tmp_path / "near.layers", tmp_path / "a.exr", *lens), expected)
    assert counts == [2, 3]
    capsys.readouterr()
    render(tmp_path / "near.layers", tmp_path / "a.exr", "--focus", "26,20", "--max-radius", "15")
    assert "made for blur radii of up to 6 px, and the largest here is 15 px" in capsys.readouterr().err


def test_a_map_below_0_has_its_own_disparities(photo, tmp_path):
    """A map of negative values is stored from 0 on; a focus is said in its own values, also nearer than it goes."""
    np.save(tmp_path / "map.npy", np.load(tmp_path / "map.npy") - 1.0)
    assert layers(photo) == 0
    folder = LayersFolder.at(photo.with_suffix(".layers"))
    assert folder.disparity().min() == 0.0 and folder.disparity_shift == pytest.approx(0.8)
    for focus in ("-0.1", "-0.8", "-1.2"):
        lens = [f"--focus={focus}", "--blur", "12"]
        expected = render(
            photo, tmp_path / "b.exr", "--disparity", str(tmp_path / "map.npy"), *lens, renderer="reveal0"
        )
        # Single precision of the shifted map: a millionth of a pixel of blur.
        np.testing.assert_allclose(
            render(photo.with_suffix(".layers"), tmp_path / "a.exr", *lens), expected, atol=1e-3, rtol=1e-3
        )


def test_without_blur_the_layers_show_the_photograph(photo, tmp_path):
    assert layers(photo) == 0
    seen = render(photo.with_suffix(".layers"), tmp_path / "a.exr", "--focus", "0.5", "--blur", "0")
    # Half floats.
    np.testing.assert_allclose(seen, images.read_png(photo) ** 2.2, rtol=1e-3, atol=1e-5)


def test_other_renderers_see_the_photograph_and_its_map(photo, tmp_path):
    assert layers(photo) == 0
    lens = ["--focus", "26,20", "--max-radius", "9"]
    seen = render(photo.with_suffix(".layers"), tmp_path / "a.exr", *lens, renderer="scatter")
    words = ["--disparity", str(tmp_path / "map.npy"), *lens]
    np.testing.assert_allclose(
        seen, render(photo, tmp_path / "b.exr", *words, renderer="scatter"), rtol=3e-3, atol=1e-4
    )


def test_depth_in_metres_stays_a_camera(photo, tmp_path):
    np.save(tmp_path / "depth.npy", np.float32(1.0) / np.load(tmp_path / "map.npy"))
    words = ["layers", str(photo), "--depth", str(tmp_path / "depth.npy"), "--out", str(tmp_path / "photo.layers")]
    assert main(words) == 0
    camera = ["--f-number", "0.5", "--focal-length", "50", "--focus", "5m"]
    seen = render(tmp_path / "photo.layers", tmp_path / "a.exr", *camera)
    words = ["--depth", str(tmp_path / "depth.npy"), *camera]
    np.testing.assert_array_equal(seen, render(photo, tmp_path / "b.exr", *words, renderer="reveal0"))


def test_the_colour_profile_is_kept(photo, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray((images.read_png(photo) * 255).astype(np.uint8)).save(tmp_path / "photo.png", icc_profile=profile)
    assert layers(photo) == 0
    out = tmp_path / "out.png"
    assert main(["render", str(tmp_path / "photo.layers"), "--focus", "0.5", "--blur", "3", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.info["icc_profile"] == profile


def test_highlights_are_raised_before_the_layers_are_found(photo, tmp_path):
    images.write_png(photo, np.ones((HEIGHT, WIDTH, 3)))
    assert layers(photo, "--expand-highlights", "0.4") == 0
    lens = ["--focus", "0.2", "--blur", "5"]
    words = ["--disparity", str(tmp_path / "map.npy"), *lens, "--expand-highlights", "0.4"]
    seen = render(tmp_path / "photo.layers", tmp_path / "a.exr", *lens)
    assert seen.max() > 1.5
    np.testing.assert_array_equal(seen, render(photo, tmp_path / "b.exr", *words, renderer="reveal0"))


# ---------- the folder


def test_a_folder_tells_how_it_was_made_and_nothing_else(photo, tmp_path):
    assert layers(photo, "--reach", "20") == 0
    document = yaml.safe_load((tmp_path / "photo.layers/scene.yaml").read_text())
    folder = open_scene(tmp_path / "photo.layers")
    assert isinstance(folder, LayersFolder)
    told = {key: document[key] for key in ("kind", "analysis", "reach_px", "width", "height", "disparity_unit")}
    assert told == {
        "kind": "layers",
        "analysis": "reveal0",
        "reach_px": 20.0,
        "width": WIDTH,
        "height": HEIGHT,
        "disparity_unit": "relative",
    }
    assert folder.origins == {("picture", document["sources"]["picture_sha256"])}
    assert layers(photo, "--reach", "20", out="again.layers") == 0
    for file in sorted((tmp_path / "photo.layers").rglob("*")):
        again = tmp_path / "again.layers" / file.relative_to(tmp_path / "photo.layers")
        assert file.is_dir() or file.read_bytes() == again.read_bytes()
        assert str(tmp_path).encode() not in (b"" if file.is_dir() else file.read_bytes())


def test_a_full_disk_leaves_nothing(photo, tmp_path, full_disk, capsys):
    before = {path.name for path in tmp_path.iterdir()}
    with full_disk(3000):
        assert layers(photo, "--exr", str(tmp_path / "photo.exr")) == 2
    assert {path.name for path in tmp_path.iterdir()} == before
    message = capsys.readouterr().err
    assert "image.exr: cannot be written" in message and message.count("\n") == 1


def test_an_interrupted_run_leaves_nothing(photo, tmp_path, monkeypatch):
    """A killed one leaves nothing under the name of the folder: it is written aside."""
    before = {path.name for path in tmp_path.iterdir()}
    there = []

    def stopped(*given):
        there.append((tmp_path / "photo.layers").exists())
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "write_exr_rgba", stopped)
    assert layers(photo) == 130
    assert there == [False] and {path.name for path in tmp_path.iterdir()} == before


def test_a_whole_folder_has_no_problems(photo, tmp_path):
    assert layers(photo) == 0
    report = verify(tmp_path / "photo.layers")
    assert (report.problems, report.scenes) == ((), 1)
    assert not any("checksums" in what for what in report.unchecked)
    assert main(["verify", str(tmp_path / "photo.layers"), "--arch", "cpu"]) == 0


def overwrite(path: Path, change) -> None:
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document))


def without_alpha(folder: Path) -> None:
    """A nearest layer in RGB, with the checksum that it has."""
    images.write_exr_rgb(folder / "layers/00.exr", np.zeros((HEIGHT, WIDTH, 3)))
    sha256 = sha256_of(folder / "layers/00.exr")
    overwrite(folder / "scene.yaml", lambda document: document["files"].update({"layers/00.exr": sha256}))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda folder: (folder / "layers/00.exr").unlink(), "layers/00.exr: No such file"),
        (lambda folder: (folder / "image.exr").write_bytes(b"x"), "image.exr: has the sha256"),
        (lambda folder: (folder / "layers/notes.txt").write_text("x"), "layers/notes.txt: is not listed in scene.yaml"),
        (without_alpha, "layer 0 is (40, 56, 3) float16, not (40, 56, 4) float16"),
        (
            lambda folder: overwrite(folder / "scene.yaml", lambda document: document.update(width=WIDTH + 1)),
            "by scene.yaml it must be (40, 57)",
        ),
        (
            lambda folder: overwrite(folder / "scene.yaml", lambda document: document.update(reach_px=-3)),
            "reach_px is -3",
        ),
        (
            lambda folder: overwrite(
                folder / "scene.yaml", lambda document: document["layers"][0].update(file="../../photo.png")
            ),
            "is none of the folder",
        ),
        (
            lambda folder: overwrite(folder / "scene.yaml", lambda document: document.update(layers=[{}] * 65)),
            "65 layers; 1 to 64 are read",
        ),
    ],
)
def test_a_damaged_folder_is_named(photo, tmp_path, damage, message):
    assert layers(photo) == 0
    damage(tmp_path / "photo.layers")
    found = [str(problem) for problem in verify(tmp_path / "photo.layers").problems]
    assert any(message in problem and "photo.layers" in problem for problem in found), found


def test_layers_have_no_truth(photo, tmp_path):
    assert layers(photo) == 0
    with pytest.raises(DatasetError, match="photo.layers: holds layers of a photograph; they have no truth"):
        open_cases(tmp_path / "photo.layers")


def test_layers_of_a_lens_are_not_stored(tmp_path):
    """Parts that a cut severs are repeated for one lens; a folder is for every lens."""
    rgba, plane = np.ones((20, 20, 4), np.float16), np.ones((20, 20), np.float32)
    scene = LayeredDepthImage((DepthImage(rgba, plane, repeats=np.ones((20, 20), bool)),), 20, 20, 0)
    with pytest.raises(ValueError, match="layer 0 repeats a nearer one"):
        write_layers(tmp_path / "a.layers", RevealedPhotograph(rgba[..., :3], plane, scene, "reveal0"))
    assert not list(tmp_path.iterdir())


# ---------- for compositors


def test_compositors_get_a_part_for_the_picture_and_for_each_layer(photo, tmp_path):
    """Over each other, premultiplied layers are what the layers show without a lens; depth is 1 / disparity."""
    assert layers(photo, "--exr", str(tmp_path / "photo.exr")) == 0
    folder = LayersFolder.at(tmp_path / "photo.layers")
    found = folder.layers()
    with OpenEXR.File(str(tmp_path / "photo.exr"), separate_channels=True) as file:
        planes = {part.name(): {name: c.pixels for name, c in part.channels.items()} for part in file.parts}
    assert list(planes) == ["rgba", "depth", "layer00", "layer00_depth", "layer01", "layer01_depth"]
    colours = {name: np.stack([part[c] for c in "RGBA"], -1) for name, part in planes.items() if "R" in part}
    np.testing.assert_array_equal(colours["rgba"][..., :3], folder.image().astype(np.float16))
    near, far = colours["layer00"].astype(np.float32), colours["layer01"].astype(np.float32)
    over = near[..., :3] + (1.0 - near[..., 3:]) * far[..., :3]
    np.testing.assert_allclose(over, found.composite(), rtol=2e-3, atol=1e-4)
    for i in range(2):
        np.testing.assert_allclose(planes[f"layer{i:02d}_depth"]["Z"], 1.0 / found.layers[i].disparity, rtol=1e-6)
    assert planes["depth"]["Z"][20, 26] == pytest.approx(1 / 0.9) and planes["depth"]["Z"][1, 1] == pytest.approx(5.0)
    assert colours["rgba"].dtype == np.float16 and planes["depth"]["Z"].dtype == np.float32


def test_other_programs_read_the_picture_first(photo, tmp_path):
    """OpenCV knows one part."""
    assert layers(photo, "--exr", str(tmp_path / "photo.exr")) == 0
    picture = images.read_exr_rgb(tmp_path / "photo.exr")
    np.testing.assert_array_equal(picture, LayersFolder.at(tmp_path / "photo.layers").image())


# ---------- words


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--analysis", "magic"], "--analysis is 'magic'; it must be one of drbokeh, mpib, reveal0, reveal"),
        (["--weights", "mine.safetensors"], "--analysis reveal0 has no --weights"),
        (["--analysis", "reveal", "--weights", "absent.safetensors"], "absent.safetensors"),
        (["--reach", "0"], "--reach is 0.0; it must be at least 1"),
        (["--expand-highlights", "-1"], "--expand-highlights is -1.0"),
        (["--exr", "photo.png"], "--exr is photo.png; the file must end in .exr"),
        (["--exr", "absent/photo.exr"], "--exr is absent/photo.exr; there is no folder absent"),
        (["--out", "photo.png"], "--out is photo.png, which is there already"),
        (["--depth", "map.npy"], "bokehforge layers needs --disparity or --depth, and not both"),
        (["--disparity", "absent.npy"], "absent.npy: no such file"),
    ],
)
def test_bad_input_is_named_on_one_line(photo, tmp_path, capsys, monkeypatch, options, culprit):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert layers(photo, *options) == 2
    message = capsys.readouterr().err
    assert culprit in message and "Traceback" not in message and message.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_a_map_that_files_cannot_hold_is_named(photo, tmp_path, capsys):
    np.save(tmp_path / "map.npy", 1e6 * np.load(tmp_path / "map.npy"))
    assert layers(photo) == 2
    assert "the map spans 900000; at most 65504 is stored: add --normalize" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--disparity", "map.npy"], "has its disparity and its highlights"),
        (["--normalize"], "has its disparity and its highlights"),
        (["--renderer", "reveal0", "--matte", "map.npy"], "--renderer reveal0 has no --matte"),
        (["--focus", "2m"], "a distance must be above 0 m, and is for --depth in metres"),
    ],
)
def test_what_layers_do_not_need_is_named(photo, tmp_path, capsys, monkeypatch, options, culprit):
    monkeypatch.chdir(tmp_path)
    assert layers(photo) == 0
    words = ["render", "photo.layers", "--out", "out.png", "--blur", "3", "--focus", "0.5", *options]
    assert main(words) == 2
    assert culprit in capsys.readouterr().err


def test_a_folder_of_something_else_is_named(photo, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    words = ["render", str(tmp_path / "other"), "--out", str(tmp_path / "out.png"), "--blur", "3", "--focus", "0.5"]
    assert main(words) == 2
    assert "other: is a folder without layers of a photograph" in capsys.readouterr().err


# ---------- the page


def pictures_of(page: Path) -> dict[str, np.ndarray]:
    """The pictures of a page by what they are called, (h, w, 3) uint8."""
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]+)"', page.read_text())
    return {name: np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data, name in found}


def test_the_page_shows_what_is_behind_every_layer(photo, tmp_path):
    assert layers(photo) == 0
    assert main(["view", str(tmp_path / "photo.layers")]) == 0
    page = tmp_path / "photo.layers.html"
    shown = pictures_of(page)
    assert "<script" not in page.read_text() and "photo.layers" in page.read_text()
    middle = {name: picture[20, 26].astype(int) for name, picture in shown.items() if len(picture) == HEIGHT}
    whole, behind = (middle[f"What is seen without nearer layers of layer 0{i}"] for i in range(2))
    # The disk is red, and the wall behind it blue. WebP is lossy.
    assert whole[0] > whole[2] + 80 and behind[2] > behind[0] + 60
    alpha = next(picture for name, picture in shown.items() if re.fullmatch("Alpha, .* of layer 00", name))
    assert alpha[20, 26].min() > 240 and alpha[2, 2].max() < 15
    checks = shown["Over a checkerboard of layer 00"][:8, :17].astype(int).mean(axis=2)
    assert checks[4, 4] > checks[4, 12] + 20
    near, far = (middle[f"Disparity, where it is hidden too of layer 0{i}"] for i in range(2))
    assert near.sum() > far.sum() + 300


def test_the_page_names_what_it_cannot_read(photo, tmp_path, capsys):
    assert layers(photo) == 0
    (tmp_path / "photo.layers/layers/01.exr").unlink()
    assert main(["view", str(tmp_path / "photo.layers")]) == 2
    assert "01.exr: no such file" in capsys.readouterr().err and not (tmp_path / "photo.layers.html").exists()
