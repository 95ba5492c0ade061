"""bokehforge deblur: pictures of any size and kind, honest words for what cannot be, and the scores of DPDD."""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.metrics import structural_similarity
from test_ifan import write_dpdd

from bokehdata.images import read_display, read_png
from bokehforge import cli, deblur_scores
from inverse.deblurring.inference import NETWORKS
from inverse.deblurring.methods import deblurrer
from inverse.deblurring.scoring import scores
from inverse.deblurring.wiener import wiener
from scenes.color import display_from_linear, linear_from_display


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A network that leaves pictures as they are."""
    torch.manual_seed(0)
    network = NETWORKS["ifan-small"]()
    network.start_from_identity()
    path = tmp_path_factory.mktemp("weights") / "ifan-small.safetensors"
    save_file(network.state_dict(), path)
    return path


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = (33, 42)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8))
    return path


def deblur(*words) -> int:
    return cli.main(["deblur", *map(str, words)])


@pytest.mark.parametrize("ending", ["png", "jpg", "exr"])
def test_a_picture_of_any_size_comes_out_in_that_size(ending, weights, tmp_path, capsys):
    given = photograph(tmp_path / "given.png")
    out = tmp_path / f"out.{ending}"
    assert deblur(given, "--out", out, "--checkpoint", weights) == 0
    assert str(out) in capsys.readouterr().out
    # JPEG halves the resolution of colour, of which noise has much.
    error = np.abs(read_display(out) - read_png(given))
    assert error.shape == (33, 42, 3) and error.mean() < (0.2 if ending == "jpg" else 5e-4)


def test_a_folder_goes_on_where_it_stopped(weights, tmp_path, capsys):
    for n in range(3):
        photograph(tmp_path / "blurred" / f"{n}.png", n)
    out = tmp_path / "sharp"
    command = (tmp_path / "blurred", "--out", out, "--checkpoint", weights)
    assert deblur(*command) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(before) == {"0.png", "1.png", "2.png", "sheet.jpg", "deblurred.json"}
    (out / "1.png").unlink()
    (out / "2.png").write_bytes(before["0.png"])
    assert deblur(*command) == 0
    assert (out / "1.png").read_bytes() == before["1.png"]
    # What is there is not made again.
    assert (out / "2.png").read_bytes() == before["0.png"]
    # And never mixed with what another method makes.
    assert deblur(tmp_path / "blurred", "--out", out, "--methods", "wiener") == 2
    assert "of another method or other weights" in capsys.readouterr().err


def test_a_broken_picture_among_good_ones_is_named_and_left_out(weights, tmp_path, capsys):
    photograph(tmp_path / "blurred" / "a.png")
    (tmp_path / "blurred" / "b.png").write_bytes(b"no picture")
    out = tmp_path / "sharp"
    assert deblur(tmp_path / "blurred", "--out", out, "--checkpoint", weights, "--no-sheet") == 0
    told = capsys.readouterr()
    assert (
        f"skipped {tmp_path / 'blurred' / 'b.png'}: " in told.err and "1 picture by ifan-small; 1 picture" in told.out
    )
    assert {path.name for path in out.iterdir()} == {"a.png", "deblurred.json"}


@pytest.mark.parametrize(
    "words, culprit",
    [
        (("none.png", "--out", "a.png"), "none.png: cannot be read"),
        (("a.png", "--out", "b.tif"), "--out is b.tif; the file must end in"),
        (("a.png", "--out", "x/b.png"), "there is no folder x"),
        (("a.png", "--out", "b.png", "--methods", "magic"), "--methods is magic; there are identity, wiener"),
        (("a.png", "--out", "b.png", "--methods", "identity", "wiener"), "name 2 deblurrers"),
        (("a.png", "--out", "b.png", "--checkpoint", "mine.safetensors"), "must be named after its network"),
        (("a.png", "--out", "b.png", "--checkpoint", "ifan.safetensors"), "there are no such weights"),
        (("a.png", "--out", "b.png", "--checkpoint", "torn/ifan-small.safetensors"), "is not a whole checkpoint"),
        (("empty", "--out", "b"), "empty: holds no pictures"),
        (("a.png", "two/a.png", "--out", "b"), "have one name"),
        (("a.png", "two/b.png", "--out", "b.png"), "several pictures need a folder"),
        (("two", "--out", "other", "--methods", "wiener"), "other, a folder with other files in it"),
        (("--out", "b"), "no pictures are named"),
        (("two", "--out", "b", "--score"), "two: "),
        (("two", "empty", "--out", "b", "--score", "--methods", "identity"), "--score takes one folder"),
    ],
)
def test_bad_input_is_named_on_one_line(words, culprit, tmp_path, monkeypatch, capsys):
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "two" / "a.png")
    photograph(tmp_path / "two" / "b.png")
    photograph(tmp_path / "other" / "c.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "ifan-small.safetensors").write_bytes(b"\0" * 100)
    monkeypatch.chdir(tmp_path)
    assert deblur(*words) == 2
    told = capsys.readouterr().err
    assert culprit in told and "Traceback" not in told
    assert not any((tmp_path / name).exists() for name in ("b.png", "b.tif", "b"))


def test_scores_are_those_of_the_protocol(tmp_path, capsys):
    """The mean of the PSNR of each picture, of clipped values that are not rounded; SSIM as scikit-image has it."""
    data = write_dpdd(tmp_path / "DPDD", {"train": 1, "test": 3}, views=False)
    # One that is easy, so that the mean of PSNRs is not the PSNR of the mean.
    sharp = cv2.imread(str(data / "test_c" / "target" / "0000.png"))
    assert cv2.imwrite(str(data / "test_c" / "source" / "0000.png"), cv2.addWeighted(sharp, 0.98, sharp, 0.0, 1.0))
    assert deblur(data, "--score", "--methods", "identity", "wiener", "--out", tmp_path / "out") == 0
    psnr, ssim = {"identity": [], "wiener": []}, {"identity": [], "wiener": []}
    for n in range(3):
        blurred, truth = (read_png(data / f"test_c/{part}/{n:04d}.png") for part in ("source", "target"))
        for method, shown in (("identity", blurred), ("wiener", wiener(blurred))):
            psnr[method].append(-10.0 * np.log10(np.mean((shown.astype(float) - truth) ** 2)))
            ssim[method].append(structural_similarity(shown, truth, channel_axis=-1, data_range=1.0))
    for method in psnr:
        rows = json.loads((tmp_path / "out" / f"{method}.json").read_text())["pictures"]
        assert list(rows) == [f"test/{n:04d}" for n in range(3)]
        np.testing.assert_allclose([row["psnr"] for row in rows.values()], psnr[method], atol=1e-4)
        np.testing.assert_allclose([row["ssim"] for row in rows.values()], ssim[method], atol=1e-5)
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert f"| identity | {np.mean(psnr['identity']):.2f} [" in table
    assert (tmp_path / "out" / "sheet.jpg").is_file()


def test_scores_go_on_where_they_stopped(weights, tmp_path, monkeypatch):
    data = write_dpdd(tmp_path / "DPDD", {"test": 3}, views=False)
    made: list[str] = []

    def counted(shown, sharp, lpips):
        made.append("one")
        if len(made) == 2:
            raise KeyboardInterrupt
        return scores(shown, sharp, lpips)

    monkeypatch.setattr(deblur_scores, "scores", counted)
    command = (
        data,
        "--score",
        "--no-lpips",
        "--no-sheet",
        "--checkpoint",
        f"mine={weights}",
        "--out",
        tmp_path / "out",
    )
    assert deblur(*command) == 130
    assert deblur(*command) == 0
    assert len(made) == 1 + 1 + 2
    rows = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert rows["method"] == "ifan-small" and len(rows["pictures"]) == 3
    # Other data is measured again.
    photograph(data / "test_c" / "source" / "0001.png", size=(40, 48))
    assert deblur(*command) == 0
    assert len(made) == 5


def test_equal_pictures_have_no_psnr_and_count_in_no_mean():
    picture = np.random.default_rng(0).uniform(0, 1, (24, 24, 3)).astype(np.float32)
    found = scores(picture, picture, None)
    assert found == {"psnr": None, "ssim": 1.0, "lpips": None}
    rows = {"a": {"scene": "a", **found}, "b": {"scene": "b", **scores(picture * 0.5, picture, None)}}
    assert "nan" not in deblur_scores.table({"identity": rows})


def test_wieners_filter_takes_a_disk_out_again():
    """A picture blurred by one disk in linear light: most of the error goes, and a plain stays as bright as it is."""
    rng = np.random.default_rng(1)
    sharp = cv2.GaussianBlur(rng.uniform(0, 1, (96, 120, 3)), (0, 0), 1.5)
    sharp = (sharp - sharp.min()) / np.ptp(sharp)
    radius_px = 3.0
    y, x = np.mgrid[-4:5, -4:5]
    disk = np.clip(radius_px + 0.5 - np.hypot(x, y), 0.0, 1.0)
    linear = cv2.filter2D(linear_from_display(sharp), -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT_101)
    blurred = display_from_linear(linear).astype(np.float32)
    found = wiener(blurred, radius_px / 120, 1e-3)
    # It rings at the border, where it does not know what goes on.
    inner = slice(24, -24), slice(24, -24)
    assert np.mean((found - sharp)[inner] ** 2) < 0.25 * np.mean((blurred - sharp)[inner] ** 2)
    plain = np.full((40, 50, 3), 0.5, np.float32)
    np.testing.assert_allclose(deblurrer("wiener").ready()(plain), plain, atol=1e-5)


@pytest.fixture(scope="module")
def f_ifan():
    path = Path(__file__).parents[1] / "docs" / "f_ifan.py"
    spec = importlib.util.spec_from_file_location("f_ifan", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["f_ifan"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "original, adversarial, mix, expected", [(60, 60, 0.5, (1, 1)), (60, 120, 0.5, (2, 1)), (350, 350, 0.25, (3, 1))]
)
def test_folders_are_named_as_often_as_makes_the_mix(f_ifan, original, adversarial, mix, expected):
    assert f_ifan.times(original, adversarial, mix) == expected


def test_a_gain_is_compared_seed_by_seed_with_the_control(f_ifan):
    """Seeds that are good for both leave no spread in the difference."""

    def rows(psnr: float):
        return {n: {"scene": n, "psnr": psnr + i, "ssim": 0.5, "lpips": None} for i, n in enumerate("abc")}

    found = {"ifan": rows(20.0)}
    for seed, level in enumerate((30.0, 31.0, 32.5)):
        found |= {f"control-{seed}": rows(level), f"f-ifan-{seed}": rows(level + 0.25)}
    text = f_ifan.table(found, 3)
    spread = np.std([30.0, 31.0, 32.5], ddof=1)
    assert f"| control | {93.5 / 3 + 1:.5f} ± {spread:.5f} | 0.50000 ± 0.00000 | - |" in text
    assert "| F-IFAN minus control | +0.25000 ± 0.00000 | +0.00000 ± 0.00000 | - |" in text
    assert "| paper: the difference | +0.01491 | +0.00002 | +0.00097 |" in text
    assert "+0.2500 [+0.2500, +0.2500] dB" in text


def test_a_network_that_has_seen_the_pictures_says_so(weights, tmp_path, capsys):
    from bokehdata.opening import open_cases
    from bokehdata.origins import listed
    from renderers.neural.training_record import metadata_of

    data = write_dpdd(tmp_path / "DPDD", {"test": 2}, views=False)
    seen = open_cases(data)[0].origins
    network = NETWORKS["ifan-small"]()
    trained = tmp_path / "ifan-small.safetensors"
    record = {"network": "ifan-small", "trained_on": listed(seen), "validated_on": listed(frozenset())}
    save_file(network.state_dict(), trained, metadata=metadata_of(record))
    assert deblur(data, "--score", "--no-lpips", "--no-sheet", "--checkpoint", trained, "--out", tmp_path / "o") == 0
    assert "warning: ifan-small has seen 1 picture in training" in capsys.readouterr().err
