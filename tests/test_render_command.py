"""`bokehforge render`: a picture, a map, a lens; errors are one line."""

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import pytest

from bokehdata.images import read_exr_rgb, read_png, write_png
from bokehforge.cli import main
from renderers import RENDERERS
from scenes.lens import ThinLens


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A 48 x 33 picture whose right half is near."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (33, 48, 3)).astype(np.float32)
    disparity = np.full((33, 48), 0.2, np.float32)
    disparity[:, 24:] = 0.8
    write_png(tmp_path / "photo.png", image)
    cv2.imwrite(str(tmp_path / "map.png"), np.rint(disparity * 65535).astype(np.uint16))
    np.save(tmp_path / "map.npy", disparity)
    return {"photo": tmp_path / "photo.png", "map": tmp_path / "map.npy", "map16": tmp_path / "map.png"}


def render(files, out: Path, *options: str, disparity: str = "map", renderer: str = "scatter") -> int:
    arguments = [str(files["photo"]), "--disparity", str(files[disparity]), "--out", str(out)]
    return main(["render", *arguments, "--renderer", renderer, "--blur", "10", *options])


def film(path: Path) -> list[np.ndarray]:
    """Frames of a film, read by something other than what wrote it where that can be."""
    if path.suffix == ".gif":
        return list(iio.imread(path))
    capture, frames = cv2.VideoCapture(str(path)), []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    capture.release()
    return frames


@pytest.mark.parametrize("renderer", ["scatter", "bokehme"])
def test_the_file_is_what_the_renderer_makes(files, tmp_path, renderer):
    assert render(files, tmp_path / "out.exr", "--focus", "40,3", "--gamma", "3", renderer=renderer) == 0
    image, disparity = read_png(files["photo"]), np.load(files["map"])
    expected = RENDERERS[renderer](image, disparity, ThinLens(10.0, float(np.float32(0.8))), gamma=3.0)
    # Half floats: 11 bits of linear light at gamma 2.2.
    np.testing.assert_allclose(read_exr_rgb(tmp_path / "out.exr"), expected**2.2, rtol=1e-3)


def test_focus_is_a_pixel_or_a_disparity(files, tmp_path):
    outs = []
    for name, focus in (("pixel", "3,30"), ("value", "0.2")):
        assert render(files, tmp_path / f"{name}.png", "--focus", focus) == 0
        outs.append(read_png(tmp_path / f"{name}.png"))
    # 0.2 is not quite float32(0.2): a millionth of a pixel of blur, a step of 16 bits at most.
    np.testing.assert_allclose(outs[0], outs[1], atol=2 / 65535)
    assert render(files, tmp_path / "integer.png", "--focus", "3,30", disparity="map16") == 0
    # 16-bit disparity is rounded to 1e-5, and blur kernels to 1/256 px.
    np.testing.assert_allclose(read_png(tmp_path / "integer.png"), outs[0], atol=0.02)


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_sweep_goes_there_and_back(files, tmp_path, ending):
    assert render(files, tmp_path / f"film.{ending}", "--sweep", "4") == 0
    frames = film(tmp_path / f"film.{ending}")
    assert len(frames) == 6 and frames[0].shape[:2] == ((33, 48) if ending == "gif" else (32, 48))
    sharpness = [
        [float(np.abs(np.diff(half.astype(float), axis=0)).mean()) for half in np.split(f, 2, 1)] for f in frames
    ]
    far, near = np.array(sharpness).T
    # Far first, near in the middle; palettes and H.264 leave some error.
    assert far[0] == far.max() and near[3] == near.max() and far[3] < far[0] and near[0] < near[3]


@pytest.mark.parametrize(
    "options, culprit",
    [
        ([], "give either --focus or --sweep"),
        (["--focus", "1,2", "--sweep", "3"], "give either --focus or --sweep"),
        (["--focus", "near"], "--focus is 'near'"),
        (["--focus", "48,0"], "outside of the picture of 48 x 33 px"),
        (["--focus", "0.5", "--blur", "-1"], "--blur is -1"),
        (["--focus", "0.5", "--gamma", "0"], "--gamma is 0"),
        (["--focus", "0.5", "--renderer", "magic"], "there are identity, scatter"),
        (["--focus", "0.5", "--renderer", "oracle-layers"], "scene"),
        (["--focus", "0.5", "--weights", "absent/arnet.safetensors"], "arnet.safetensors: no such file"),
        (["--sweep", "1", "--out", "x.gif"], "--sweep is 1"),
        (["--sweep", "3", "--out", "x.png"], "must end in .gif, .mp4"),
        (["--focus", "0.5", "--out", "x.gif"], "must end in .png"),
        (["--focus", "0.5", "--disparity", "absent.exr"], "absent.exr: no such file"),
        (["--focus", "0.5", "--matte", "map.png"], "--renderer scatter has no --matte"),
        (["--focus", "0.5", "--renderer", "drbokeh-rgbd", "--matte", "absent.png"], "absent.png"),
    ],
)
def test_bad_input_is_named_on_one_line(files, tmp_path, capsys, monkeypatch, options, culprit):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert render(files, tmp_path / "out.png", *options) == 2
    message = capsys.readouterr().err
    assert culprit in message and "Traceback" not in message and message.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


@pytest.fixture
def ampn(tmp_path_factory) -> Path:
    """Random weights of AMPN."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from renderers.neural.ampn.network import AMPN

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "ampn.safetensors"
    save_file(AMPN().state_dict(), path)
    return path


def test_a_method_that_has_learned_its_lens_needs_the_picture_alone(files, tmp_path, ampn):
    photo, out = str(files["photo"]), tmp_path / "out.exr"
    words = ["render", photo, "--renderer", "ampn", "--weights", str(ampn), "--out", str(out)]
    outs = []
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((33, 48), 255, np.uint8))
    for options in ([], ["--f-stop", "0.5"], ["--f-stop", "1"], ["--mask", str(tmp_path / "mask.png")]):
        assert main([*words, *options]) == 0
        outs.append(read_exr_rgb(out) ** (1 / 2.2))
    image = read_png(files["photo"])
    away = [float(np.abs(picture - image).mean()) for picture in outs]
    # Half floats, and rounding where the mask is 1.
    assert away[0] > away[1] > 0.01 and max(away[2:]) < 1e-3


@pytest.mark.parametrize(
    "options, culprit",
    [
        (["--renderer", "ampn", "--blur", "9"], "has learned its lens; leave out --blur"),
        (["--renderer", "ampn", "--sweep", "3"], "leave out --sweep"),
        (["--renderer", "ampn", "--f-stop", "2"], "the f-stop is 2"),
        (["--renderer", "ampn"], "ampn.safetensors: there are no such weights; train them with `bokehforge train`"),
        (["--renderer", "ampn", "--mask", "absent.png"], "absent.png"),
        (["--renderer", "cocnet-b3", "--f-stop", "1"], "--renderer cocnet-b3 has no --f-stop"),
        (["--renderer", "scatter", "--mask", "m.png"], "--renderer scatter has no --mask"),
        (["--renderer", "scatter", "--focus", "0.5"], "needs --disparity and --blur"),
    ],
)
def test_what_a_method_does_not_know_is_named(files, tmp_path, capsys, ampn, options, culprit):
    given = [] if culprit.startswith("ampn.safetensors") else ["--weights", str(ampn)]
    assert main(["render", str(files["photo"]), "--out", str(tmp_path / "out.png"), *given, *options]) == 2
    message = capsys.readouterr().err
    assert culprit in message and "Traceback" not in message and message.count("\n") == 1


def test_a_matte_stands_in_for_what_is_found(files, tmp_path):
    outs = []
    cv2.imwrite(str(tmp_path / "right.png"), np.where(np.arange(48) < 24, 0, 255).astype(np.uint8)[None].repeat(33, 0))
    cv2.imwrite(str(tmp_path / "all.png"), np.full((33, 48), 255, np.uint8))
    for i, options in enumerate(([], ["--matte", str(tmp_path / "right.png")], ["--matte", str(tmp_path / "all.png")])):
        assert render(files, tmp_path / f"{i}.exr", "--focus", "3,30", *options, renderer="drbokeh-rgbd") == 0
        outs.append(read_exr_rgb(tmp_path / f"{i}.exr"))
    # What is near is the right half.
    np.testing.assert_array_equal(outs[0], outs[1])
    assert np.abs(outs[0] - outs[2]).max() > 0.05


def test_a_map_of_another_size_is_refused(files, tmp_path, capsys):
    np.save(tmp_path / "small.npy", np.zeros((16, 24), np.float32))
    files["map"] = tmp_path / "small.npy"
    assert render(files, tmp_path / "out.png", "--focus", "0.5") == 2
    assert "is 24 x 16 px, the picture is 48 x 33 px" in capsys.readouterr().err
