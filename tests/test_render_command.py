"""`bokehforge render`: a picture, a map, a lens; errors are one line."""

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageCms

from bokehdata.images import read_exr_rgb, read_png, write_png
from bokehforge.cli import main
from renderers import RENDERERS
from scenes.decode import EXIF_ORIENTATION
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
        (["--focus", "0.5", "--renderer", "oracle-layers"], "needs the true layers of a scene; a photograph has none"),
        (["--focus", "0.5", "--weights", "absent/arnet.safetensors"], "arnet.safetensors: no such file"),
        (["--sweep", "1", "--out", "x.gif"], "--sweep is 1"),
        (["--sweep", "3", "--out", "x.png"], "must end in .gif, .mp4"),
        (["--sweep", "1001", "--out", "x.gif"], "--sweep is 1001"),
        (["--focus", "0.5", "--blur", "1e6"], "the largest blur radius is 3e+05 px"),
        (["--focus", "0.5", "--blur", "nan"], "--blur is nan"),
        (["--focus", "inf"], "the focus is inf"),
        (["--focus", "0.5", "--max-radius", "3"], "give one of --blur"),
        (["--focus", "0.5", "--fps", "0"], "--fps is 0"),
        (["--focus", "0.5", "--sweep-from", "0"], "are for --sweep"),
        (["--focus", "2m"], "a distance must be above 0 m, and is for --depth"),
        (["--focus", "0.5", "--aperture", "star"], "--aperture is star"),
        (["--focus", "0.5", "--aperture", "disk,spherical=2"], "spherical is 2"),
        (["--focus", "0.5", "--aperture", "disk,shiny=1"], "--aperture is disk,shiny=1"),
        (["--focus", "0.5", "--aperture", "polygon:2"], "blades is 2"),
        (["--focus", "0.5", "--depth", "map.npy"], "needs --disparity or --depth, and not both"),
        (["--focus", "0.5", "--out", "absent/x.png"], "there is no folder absent"),
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
        (["--renderer", "ampn", "--blur", "9"], "is given the picture, and no lens; leave out --blur"),
        (["--renderer", "ampn", "--sweep", "3"], "leave out --sweep"),
        (["--renderer", "ampn", "--disparity", "d.png", "--f-stop", "0.5"], "leave out --disparity"),
        (["--renderer", "ampn", "--gamma", "3"], "leave out --gamma"),
        (["--renderer", "d2f-small", "--blur", "1e6"], "the blur is 1e+06 px; it must lie between 0 and 68"),
        (["--renderer", "ampn", "--f-stop", "2"], "the f-stop is 2"),
        (
            ["--renderer", "cocnet-b3"],
            "cocnet-b3.safetensors: there are no such weights; train them with `bokehforge train`",
        ),
        (["--renderer", "ampn", "--mask", "absent.png"], "absent.png"),
        (["--renderer", "cocnet-b3", "--f-stop", "1"], "--renderer cocnet-b3 has no --f-stop"),
        (["--renderer", "scatter", "--mask", "m.png"], "--renderer scatter has no --mask"),
        (["--renderer", "scatter", "--focus", "0.5"], "needs --disparity or --depth"),
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


def test_a_map_of_another_shape_is_refused(files, tmp_path, capsys):
    np.save(tmp_path / "small.npy", np.zeros((16, 32), np.float32))
    files["map"] = tmp_path / "small.npy"
    assert render(files, tmp_path / "out.png", "--focus", "0.5") == 2
    assert "is 32 x 16 px, the picture is 48 x 33 px" in capsys.readouterr().err


def test_a_map_of_another_size_is_resized_with_a_word(files, tmp_path, capsys):
    np.save(tmp_path / "double.npy", np.load(files["map"]).repeat(2, 0).repeat(2, 1))
    assert render(files, tmp_path / "one.png", "--focus", "40,3") == 0
    files["map"] = tmp_path / "double.npy"
    assert render(files, tmp_path / "other.png", "--focus", "40,3") == 0
    assert "is 96 x 66 px, the picture is 48 x 33 px; the map is resized" in capsys.readouterr().err
    np.testing.assert_array_equal(read_png(tmp_path / "one.png"), read_png(tmp_path / "other.png"))


@pytest.mark.parametrize("value, culprit", [(np.nan, "holds NaN"), (np.inf, "holds NaN or infinity")])
def test_a_map_without_numbers_is_named(files, tmp_path, capsys, value, culprit):
    broken = np.load(files["map"])
    broken[3, 4] = value
    np.save(files["map"], broken)
    assert render(files, tmp_path / "out.png", "--focus", "0.5") == 2
    assert f"map.npy: {culprit}" in capsys.readouterr().err


def test_only_differences_of_disparity_count(files, tmp_path):
    """A map of negative values is focused where one clicks."""
    assert render(files, tmp_path / "one.png", "--focus", "3,30") == 0
    np.save(files["map"], np.load(files["map"]) - 1.0)
    assert render(files, tmp_path / "other.png", "--focus", "3,30") == 0
    # Single precision of the shifted map: a millionth of a pixel of blur.
    np.testing.assert_allclose(read_png(tmp_path / "one.png"), read_png(tmp_path / "other.png"), atol=3 / 65535)


def test_a_map_of_what_is_far_is_inverted(files, tmp_path):
    assert render(files, tmp_path / "one.png", "--focus", "3,30") == 0
    np.save(files["map"], 1.0 - np.load(files["map"]))
    assert render(files, tmp_path / "other.png", "--focus", "3,30", "--invert") == 0
    np.testing.assert_allclose(read_png(tmp_path / "one.png"), read_png(tmp_path / "other.png"), atol=3 / 65535)


def test_the_largest_blur_radius_is_what_was_asked_for(files, tmp_path):
    """The map spans 0.6: K 10 is a radius of 6 px, of the map or of the map stretched to 0 to 1."""
    words = ["render", str(files["photo"]), "--disparity", str(files["map"]), "--renderer", "scatter"]
    outs = []
    for options in (["--blur", "10"], ["--max-radius", "6"], ["--normalize", "--blur", "6"]):
        assert main([*words, *options, "--focus", "3,30", "--out", str(tmp_path / "out.png")]) == 0
        outs.append(read_png(tmp_path / "out.png"))
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], atol=3 / 65535)


def test_depth_and_f_number_are_a_camera(files, tmp_path):
    """K = f^2 W / (2 N w) in px m; disparity is 1 / depth."""
    depth_m = np.where(np.arange(48) < 24, 5.0, 1.25)[None].repeat(33, 0)
    np.save(tmp_path / "depth.npy", depth_m.astype(np.float32))
    cv2.imwrite(str(tmp_path / "depth.png"), np.rint(depth_m * 1000).astype(np.uint16))
    np.save(tmp_path / "inverse.npy", (1.0 / depth_m).astype(np.float32))
    photo, out = str(files["photo"]), tmp_path / "out.exr"
    blur_parameter = 0.05**2 * 48 / (2 * 0.2 * 0.036)
    camera = ["--f-number", "0.2", "--focal-length", "50"]
    outs = []
    for options in (
        [
            "--disparity",
            str(tmp_path / "inverse.npy"),
            "--blur",
            str(blur_parameter),
            "--focus",
            "0.2",
        ],
        ["--depth", str(tmp_path / "depth.npy"), *camera, "--focus", "5m"],
        ["--depth", str(tmp_path / "depth.png"), *camera, "--focus", "3,30"],
    ):
        assert main(["render", photo, "--renderer", "scatter", "--out", str(out), *options]) == 0
        outs.append(read_exr_rgb(out))
    assert np.abs(outs[0] - read_png(files["photo"]) ** 2.2).max() > 0.1
    for other in outs[1:]:
        np.testing.assert_allclose(other, outs[0], rtol=2e-3, atol=1e-3)


def test_what_is_infinitely_far_has_disparity_0(files, tmp_path):
    outs = []
    for value in (np.inf, 65504.0, 1e9):
        np.save(tmp_path / "depth.npy", np.where(np.arange(48) < 24, value, 2.0).astype(np.float32)[None].repeat(33, 0))
        words = ["--depth", str(tmp_path / "depth.npy"), "--blur", "8", "--focus", "0.5", "--renderer", "scatter"]
        assert main(["render", str(files["photo"]), "--out", str(tmp_path / "out.png"), *words]) == 0
        outs.append(read_png(tmp_path / "out.png"))
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])


def test_a_depth_that_is_none_is_named(files, tmp_path, capsys):
    np.save(tmp_path / "depth.npy", np.zeros((33, 48), np.float32))
    words = ["--depth", str(tmp_path / "depth.npy"), "--blur", "8", "--focus", "0.5"]
    assert main(["render", str(files["photo"]), "--out", str(tmp_path / "out.png"), *words]) == 2
    assert "depth.npy: holds depths that are not above 0 m" in capsys.readouterr().err


def test_a_focus_that_the_map_does_not_have_is_told(files, tmp_path, capsys):
    assert render(files, tmp_path / "out.png", "--focus", "0.9") == 0
    assert "the focus 0.9 is outside of the map's disparities, 0.2 to 0.8: nothing is sharp" in capsys.readouterr().err
    assert render(files, tmp_path / "out.png", "--focus", "0.8") == 0
    assert "outside" not in capsys.readouterr().err


def test_the_aperture_shows_in_a_light(files, tmp_path):
    """Through a ring a point out of focus becomes a ring; through a mask that is open above, the half of a disk."""
    point = np.zeros((33, 48, 3), np.float32)
    point[16, 24] = 1.0
    write_png(files["photo"], point)
    np.save(files["map"], np.zeros((33, 48), np.float32))
    cv2.imwrite(
        str(tmp_path / "upper.png"), np.where(np.arange(64) < 32, 255, 0).astype(np.uint8)[:, None].repeat(64, 1)
    )
    for aperture, dark, bright in (
        ("donut:0.7", (16, 24), (16, 32)),
        (str(tmp_path / "upper.png"), (22, 24), (10, 24)),
        ("disk", (4, 24), (16, 24)),
    ):
        assert render(files, tmp_path / "out.exr", "--focus", "1", "--aperture", aperture) == 0
        light = read_exr_rgb(tmp_path / "out.exr")[..., 0]
        assert light[dark] < 0.1 * light[bright]


def test_highlights_are_raised_before_the_blur(files, tmp_path):
    """White becomes 1 + 0.4 tanh(10 (1 - 220/255)) in display values, and the same to the power of 2.2 in light."""
    white = np.zeros((33, 48, 3), np.float32)
    white[10:20, 10:20] = 1.0
    write_png(files["photo"], white)
    np.save(files["map"], np.zeros((33, 48), np.float32))
    sums = []
    for options in ([], ["--expand-highlights", "0.4"]):
        assert render(files, tmp_path / "out.exr", "--focus", "0.5", *options) == 0
        sums.append(read_exr_rgb(tmp_path / "out.exr").sum())
    assert sums[1] / sums[0] == pytest.approx((1 + 0.4 * np.tanh(10 * 35 / 255)) ** 2.2, rel=2e-3)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_profile_and_exif_are_kept_and_the_picture_is_upright(files, tmp_path, ending):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[EXIF_ORIENTATION] = "Maker", 6
    turned = Image.fromarray(np.rint(read_png(files["photo"]) * 255).astype(np.uint8)).transpose(
        Image.Transpose.ROTATE_90
    )
    turned.save(tmp_path / "photo.tiff", icc_profile=profile, exif=exif)
    files["photo"] = tmp_path / "photo.tiff"
    assert render(files, tmp_path / f"out.{ending}", "--focus", "3,30") == 0
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.size == (48, 33) and out.info["icc_profile"] == profile
        assert out.getexif()[0x010F] == "Maker" and EXIF_ORIENTATION not in out.getexif()


def test_a_profile_that_is_not_of_rgb_is_left_out(files, tmp_path):
    Image.new("CMYK", (48, 33)).save(tmp_path / "cmyk.jpg", icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 108)
    files["photo"] = tmp_path / "cmyk.jpg"
    assert render(files, tmp_path / "out.jpg", "--focus", "3,30") == 0
    with Image.open(tmp_path / "out.jpg") as out:
        assert "icc_profile" not in out.info


def test_a_sweep_within_bounds_makes_a_folder_of_frames(files, tmp_path, capsys):
    words = ["--sweep", "3", "--sweep-from", "0.2", "--sweep-to", "0.5"]
    assert render(files, tmp_path / "frames", *words) == 0
    assert [file.name for file in sorted((tmp_path / "frames").iterdir())] == ["0000.png", "0001.png", "0002.png"]
    assert render(files, tmp_path / "one.png", "--focus", "0.35") == 0
    np.testing.assert_allclose(read_png(tmp_path / "frames/0001.png"), read_png(tmp_path / "one.png"), atol=2 / 65535)
    assert render(files, tmp_path / "frames", *words) == 2
    assert "a folder with files in it" in capsys.readouterr().err


def test_a_film_has_the_rate_that_was_asked_for(files, tmp_path):
    assert render(files, tmp_path / "film.gif", "--sweep", "3", "--fps", "5") == 0
    assert iio.immeta(tmp_path / "film.gif")["duration"] == 200


def test_a_renderer_of_the_gpu_s_language_runs_where_it_is_asked_to(files, tmp_path):
    assert render(files, tmp_path / "taichi.png", "--focus", "3,30", "--arch", "cpu", renderer="scatter-taichi") == 0
    assert render(files, tmp_path / "numba.png", "--focus", "3,30") == 0
    np.testing.assert_allclose(read_png(tmp_path / "taichi.png"), read_png(tmp_path / "numba.png"), atol=2e-3)
