"""Folders with the user's own photographs and cut-outs."""

import os
import pickle
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scenes import assets
from scenes.assets import AssetError, CutoutFolder, PhotographFolder
from scenes.decode import linear_light

REAL = Path(__file__).parents[2] / "shared" / "assets"
needs_real_assets = pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/assets beside the repository")


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """8-bit RGB noise, smoothed: no two places are alike."""
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    return (255 * cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 1, cv2.NORM_MINMAX)).astype(np.uint8)


def soft_disk(height: int, width: int) -> np.ndarray:
    """Alpha in [0, 1] of a disk in the middle whose edge is eight texels wide."""
    y, x = np.indices((height, width)) + 0.5
    return np.clip((0.4 * min(height, width) - np.hypot(x - width / 2, y - height / 2)) / 8 + 0.5, 0, 1)


def with_alpha(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([rgb, np.rint(255 * alpha[..., None]).astype(np.uint8)], axis=-1)


def cutout(height: int = 60, width: int = 50, seed: int = 0) -> np.ndarray:
    return with_alpha(photograph(height, width, seed), soft_disk(height, width))


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    for i, size in enumerate([(120, 200), (200, 120), (64, 64)]):
        save(photograph(*size, seed=i), tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def cutouts(tmp_path) -> Path:
    for i, size in enumerate([(120, 90), (60, 100), (40, 40)]):
        save(cutout(*size, seed=i), tmp_path / "cutouts" / f"{i}.png")
    return tmp_path / "cutouts"


# Photographs


@pytest.mark.parametrize("height, width", [(48, 64), (64, 48), (33, 119), (300, 20), (100, 700)])
def test_a_photograph_fills_the_frame_exactly(photos, height, width):
    rgb, _ = PhotographFolder(photos).draw(height, width, rng=np.random.default_rng(0))
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.float32
    assert rgb.min() >= 0.0 and rgb.max() <= 1.0


def test_the_provenance_is_enough_to_make_the_photograph_again(photos):
    folder, rng = PhotographFolder(photos), np.random.default_rng(1)
    for _ in range(10):
        rgb, source = folder.draw(40, 60, rng=rng)
        x, y, width, height = source["crop"]
        crop = linear_light(cv2.imread(str(photos / source["file"]))[y : y + height, x : x + width, ::-1])
        again = cv2.resize(crop[:, ::-1] if source["flip"] else crop, (60, 40), interpolation=cv2.INTER_AREA)
        # When it shrinks by 3 or more, `draw` takes means of means. Unrelated crops differ by 0.15 in the mean.
        assert np.abs(rgb - again).mean() < (0.01 if height >= 120 else 1e-6)
        assert source["kind"] == "photograph" and len(source["sha256"]) == 64


def test_a_photograph_is_enlarged_only_if_it_is_smaller_than_the_frame_and_then_by_the_least_factor(photos):
    folder, rng = PhotographFolder(photos), np.random.default_rng(2)
    for _ in range(20):
        source = folder.draw(60, 60, rng=rng)[1]
        assert min(source["crop"][2:]) >= 60
    for _ in range(20):
        source = folder.draw(300, 300, rng=rng)[1]
        assert min(source["crop"][2:]) == min(cv2.imread(str(photos / source["file"])).shape[:2])


def test_crops_vary_in_place_size_and_side(photos):
    folder, rng = PhotographFolder(photos), np.random.default_rng(3)
    sources = [folder.draw(30, 30, rng=rng)[1] for _ in range(40)]
    assert {source["file"] for source in sources} == {"0.png", "1.png", "2.png"}
    assert {source["flip"] for source in sources} == {False, True}
    assert len({tuple(source["crop"]) for source in sources}) > 30


def test_shrinking_averages_light_and_not_display_values(tmp_path):
    checker = (255 * (np.indices((400, 400)).sum(0) % 2)).astype(np.uint8)
    save(checker, tmp_path / "checker.png")
    rgb, _ = PhotographFolder(tmp_path).draw(20, 20, rng=np.random.default_rng(0))
    # The mean of display values would give 0.5 ** 2.2 = 0.22. Cells that are cut at the border move the mean a little.
    np.testing.assert_allclose(rgb, 0.5, atol=0.02)


def test_large_pictures_are_reduced_in_bands_to_the_same_result(tmp_path, monkeypatch):
    save(photograph(610, 430), tmp_path / "photos" / "large.png")
    save(with_alpha(photograph(611, 431), soft_disk(611, 431)), tmp_path / "cutouts" / "large.png")

    def draws():
        rng = np.random.default_rng(5)
        return (
            PhotographFolder(tmp_path / "photos").draw(50, 50, rng=rng)[0],
            CutoutFolder(tmp_path / "cutouts").draw(50, rng=rng)[0],
        )

    whole = draws()
    monkeypatch.setattr(assets, "BAND_TEXELS", 1)
    for banded, unbanded in zip(draws(), whole, strict=True):
        np.testing.assert_allclose(banded, unbanded, rtol=1e-5)  # the same texels, summed in another order


def test_highlights_are_expanded_on_request(tmp_path):
    save(np.full((40, 40, 3), 255, np.uint8), tmp_path / "white.png")
    plain, _ = PhotographFolder(tmp_path).draw(20, 20, rng=np.random.default_rng(0))
    expanded, _ = PhotographFolder(tmp_path, expand_highlights=0.4).draw(20, 20, rng=np.random.default_rng(0))
    np.testing.assert_allclose(plain, 1.0, rtol=1e-6)
    np.testing.assert_allclose(expanded, (1 + 0.4 * np.tanh(10 * 35 / 255)) ** 2.2, rtol=1e-5)


# Cut-outs


@pytest.mark.parametrize("side_px", [1, 16, 33, 64])
def test_a_cutout_is_tight_and_as_long_as_asked(cutouts, side_px):
    folder, rng = CutoutFolder(cutouts), np.random.default_rng(0)
    for _ in range(10):
        rgba, source = folder.draw(side_px, rng=rng)
        assert rgba.dtype == np.float32 and rgba.shape[2] == 4 and max(rgba.shape[:2]) <= side_px
        assert max(rgba.shape[:2]) >= side_px - 1  # a border without coverage may be cropped
        alpha = rgba[..., 3]
        assert all(edge.any() for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]))
        assert source["kind"] == "cutout" and len(source["sha256"]) == 64


def test_a_cutout_is_enlarged_at_most_twice(cutouts):
    folder, rng = CutoutFolder(cutouts), np.random.default_rng(0)
    for _ in range(10):
        rgba, source = folder.draw(5000, rng=rng)
        alpha = cv2.imread(str(cutouts / source["file"]), cv2.IMREAD_UNCHANGED)[..., 3]
        longest = max(np.ptp(np.flatnonzero(alpha.any(axis))) + 1 for axis in (0, 1))
        assert 2 * longest - 2 <= max(rgba.shape[:2]) <= 2 * longest


def test_a_cutout_keeps_its_own_colour_to_the_edge(tmp_path):
    green, magenta = np.array([30, 200, 60], np.uint8), np.array([255, 0, 255], np.uint8)
    alpha = soft_disk(300, 300)
    save(with_alpha(np.where(alpha[..., None] > 0, green, magenta), alpha), tmp_path / "disk.png")
    rgba, _ = CutoutFolder(tmp_path).draw(40, rng=np.random.default_rng(0))
    # One colour everywhere, also under alpha 0, up to the rounding of float32 means. Magenta would give 1 in red.
    np.testing.assert_allclose(rgba[..., :3], np.broadcast_to((green / 255) ** 2.2, rgba[..., :3].shape), rtol=1e-4)
    assert ((rgba[..., 3] > 0) & (rgba[..., 3] < 1)).any()


@pytest.mark.parametrize("parent", [".", "Combined_Dataset/Training_set/Adobe-licensed images"])
def test_fg_and_alpha_side_by_side_are_one_cutout(tmp_path, parent):
    alpha = soft_disk(60, 50)
    save(photograph(60, 50), tmp_path / "pairs" / parent / "fg" / "one.png")
    save((255 * alpha).round().astype(np.uint8), tmp_path / "pairs" / parent / "alpha" / "one.png")
    save(with_alpha(photograph(60, 50), alpha), tmp_path / "plain" / "one.png")
    pair, source = CutoutFolder(tmp_path / "pairs").draw(30, rng=np.random.default_rng(0))
    plain, _ = CutoutFolder(tmp_path / "plain").draw(30, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(pair, plain)
    prefix = "" if parent == "." else f"{parent}/"
    assert (source["file"], source["alpha_file"]) == (f"{prefix}fg/one.png", f"{prefix}alpha/one.png")


def test_both_halves_of_adobe_matting_are_found_and_what_lies_beside_them_is_not_read(tmp_path):
    for half in ("Adobe-licensed images", "Other"):
        training_set = tmp_path / "Combined_Dataset" / "Training_set" / half
        save(photograph(40, 40), training_set / "fg" / "a.jpg")
        save((255 * soft_disk(40, 40)).astype(np.uint8), training_set / "alpha" / "a.png")
        save(photograph(40, 40), training_set / "trimaps" / "a.png")
    folder = CutoutFolder(tmp_path, strict=True)
    assert len(folder) == 2 and folder.skipped == []


def test_the_matte_of_a_pair_may_have_another_depth(tmp_path):
    alpha = soft_disk(60, 50)
    for depth in (8, 16):
        save(photograph(60, 50), tmp_path / str(depth) / "fg" / "one.png")
        (tmp_path / str(depth) / "alpha").mkdir()
        levels = ((2**depth - 1) * alpha).round().astype(f"uint{depth}")
        cv2.imwrite(str(tmp_path / str(depth) / "alpha" / "one.png"), levels)
    shallow, deep = (CutoutFolder(tmp_path / d).draw(30, rng=np.random.default_rng(0))[0] for d in ("8", "16"))
    np.testing.assert_allclose(deep[..., 3], shallow[..., 3], atol=1 / 255)  # both go through 8 bits


def composite(folder: Path, size: int) -> np.ndarray:
    """An AIM-500 folder with an orange object before a blue picture; returns the object's linear colour."""
    alpha = soft_disk(size, size)
    behind = linear_light(photograph(size, size, seed=4)) * np.float32([0.1, 0.2, 1.0])
    colour = np.broadcast_to(np.float32([0.9, 0.4, 0.05]), behind.shape)
    mixed = alpha[..., None] * colour + (1 - alpha[..., None]) * behind
    save(np.rint(255 * mixed ** (1 / 2.2)).astype(np.uint8), folder / "original" / "o_1.png")
    save(np.rint(255 * alpha).astype(np.uint8), folder / "mask" / "o_1.png")
    return colour[0, 0]


@pytest.mark.slow  # pymatting compiles itself when it is first imported
@pytest.mark.parametrize("side_px", [60, 200])
def test_the_colour_of_an_aim_500_object_is_freed_of_what_stood_behind_it(tmp_path, side_px):
    colour = composite(tmp_path, 200)
    rgba, source = CutoutFolder(tmp_path).draw(side_px, rng=np.random.default_rng(0))
    soft = (rgba[..., 3] > 0.1) & (rgba[..., 3] < 0.9)
    error = np.abs(rgba[soft][:, :3] - colour).mean()

    # Without the estimate, the blue background is visible at the edge.
    (tmp_path / "original").rename(tmp_path / "fg")
    (tmp_path / "mask").rename(tmp_path / "alpha")
    raw, _ = CutoutFolder(tmp_path).draw(side_px, rng=np.random.default_rng(0))
    raw_error = np.abs(raw[soft][:, :3] - colour).mean()
    assert raw_error > 0.1
    assert error < 0.03  # 8-bit display steps, and the estimate assumes smooth colours
    assert source["alpha_file"] == "mask/o_1.png"


# Folders


@pytest.mark.parametrize("make, side", [(PhotographFolder, "photos"), (CutoutFolder, "cutouts")])
def test_draws_depend_on_the_seed_alone(request, make, side):
    path = request.getfixturevalue(side)
    size = (40, 50) if make is PhotographFolder else (45,)
    draws = [
        [folder.draw(*size, rng=rng) for _ in range(5)]
        for folder, rng in [
            (make(path), np.random.default_rng(7)),
            (make(str(path)), np.random.default_rng(7)),
            (pickle.loads(pickle.dumps(make(path))), np.random.default_rng(7)),
            (make(path), np.random.default_rng(8)),
        ]
    ]
    first, *same, other = draws
    for draw in same:
        assert all(a[1] == b[1] and a[0].tobytes() == b[0].tobytes() for a, b in zip(first, draw, strict=True))
    assert any(a[0].tobytes() != b[0].tobytes() for a, b in zip(first, other, strict=True))


def test_assets_are_drawn_in_the_order_of_their_names(tmp_path):
    names = ["b.png", "a/z.png", "c/d.png", "B.png", "a.png"]
    for name in names:
        save(photograph(20, 20), tmp_path / name)
    folder = PhotographFolder(tmp_path)
    for seed in range(10):
        index = np.random.default_rng(seed).integers(len(names))
        assert folder.draw(9, 9, rng=np.random.default_rng(seed))[1]["file"] == sorted(names)[index]


def test_the_digest_follows_contents_and_names_and_not_the_place(photos, tmp_path):
    digest = PhotographFolder(photos).digest
    moved = tmp_path / "moved"
    photos.rename(moved)
    (moved / "notes.txt").write_text("not a picture")
    assert PhotographFolder(moved).digest == digest
    (moved / "0.png").rename(moved / "9.png")
    renamed = PhotographFolder(moved).digest
    save(photograph(64, 64, seed=9), moved / "9.png")
    assert len({digest, renamed, PhotographFolder(moved).digest}) == 3


def test_folders_are_searched_below_and_hidden_or_other_files_passed_over(tmp_path):
    save(photograph(40, 40), tmp_path / "b" / "deep" / "1.PNG")
    save(photograph(40, 40), tmp_path / "a.jpg")
    (tmp_path / "README.md").write_text("about these pictures")
    (tmp_path / "._a.jpg").write_bytes(b"a file system's own notes")
    save(photograph(40, 40), tmp_path / ".thumbnails" / "a.png")
    folder = PhotographFolder(tmp_path, strict=True)
    assert len(folder) == 2 and folder.skipped == []
    drawn = {folder.draw(20, 20, rng=np.random.default_rng(i))[1]["file"] for i in range(20)}
    assert drawn == {"a.jpg", "b/deep/1.PNG"}


BAD_CUTOUTS = {
    "empty.png": (lambda path: path.write_bytes(b""), "is not a picture"),
    "cut.png": (lambda path: path.write_bytes(save(cutout(), path).read_bytes()[:2000]), "truncated"),
    "thin.png": (lambda path: save(cutout(60, 15), path), "15 x 60 px; each side needs at least 16"),
    "opaque.png": (lambda path: save(photograph(60, 50), path), "has no alpha"),
    "rectangle.png": (lambda path: save(with_alpha(photograph(60, 50), np.ones((60, 50))), path), "full-frame"),
    "nothing.png": (lambda path: save(with_alpha(photograph(60, 50), np.zeros((60, 50))), path), "alpha 0 everywhere"),
    "speck.png": (
        lambda path: save(with_alpha(photograph(60, 50), np.hypot(*(np.indices((60, 50)) - 20)) < 3), path),
        "covers only 5 x 5 px",
    ),
    "pairs/fg/alone.png": (lambda path: save(photograph(60, 50), path), "no partner of the same stem in alpha/"),
    "pairs/alpha/lost.png": (lambda path: save(photograph(60, 50), path), "no partner of the same stem in fg/"),
    "pairs/fg/size.png": (
        lambda path: (save(photograph(60, 50), path), save(photograph(60, 49), path.parents[1] / "alpha" / path.name)),
        "is 50 x 60 px, but its alpha is 49 x 60 px",
    ),
}


@pytest.fixture
def cutouts_with_bad_ones(cutouts) -> Path:
    for name, (write, _) in BAD_CUTOUTS.items():
        (cutouts / name).parent.mkdir(parents=True, exist_ok=True)
        write(cutouts / name)
    return cutouts


def test_every_bad_cutout_is_named_with_its_reason_and_the_good_ones_survive(cutouts_with_bad_ones, capfd):
    folder = CutoutFolder(cutouts_with_bad_ones)
    assert len(folder) == 3
    assert [name for name, _ in folder.skipped] == sorted(BAD_CUTOUTS)
    for name, reason in folder.skipped:
        assert BAD_CUTOUTS[name][1] in reason
    assert capfd.readouterr().err == ""
    rng = np.random.default_rng(0)
    assert {folder.draw(30, rng=rng)[1]["file"] for _ in range(30)} == {"0.png", "1.png", "2.png"}


def test_strict_makes_a_bad_asset_an_error_that_names_it(cutouts_with_bad_ones):
    with pytest.raises(AssetError, match=r"cut\.png: .*truncated.*without --strict"):
        CutoutFolder(cutouts_with_bad_ones, strict=True)


def test_a_background_must_be_opaque(photos):
    save(cutout(), photos / "see_through.png")
    save(with_alpha(photograph(60, 50), np.ones((60, 50))), photos / "opaque_rgba.png")
    folder = PhotographFolder(photos)
    assert len(folder) == 4
    assert folder.skipped == [("see_through.png", "transparent in places; a background must be opaque")]


@pytest.mark.parametrize("make", [PhotographFolder, CutoutFolder])
def test_a_folder_that_cannot_serve_says_so(tmp_path, make):
    with pytest.raises(AssetError, match="missing: no such folder"):
        make(tmp_path / "missing")
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(AssetError, match=r"file\.txt is a file; give the folder"):
        make(tmp_path / "file.txt")
    with pytest.raises(AssetError, match="no usable picture"):
        make(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(AssetError, match=r"no usable picture.*broken\.png.*is not a picture"):
        make(tmp_path)


@pytest.mark.parametrize("change", [lambda path: save(photograph(64, 64, seed=9), path), Path.unlink])
def test_a_file_that_changes_while_in_use_is_an_error(tmp_path, change):
    path = save(photograph(64, 64), tmp_path / "photo.png")
    folder = PhotographFolder(tmp_path)
    change(path)
    with pytest.raises(AssetError, match=r"photo\.png.*run again"):
        folder.draw(20, 20, rng=np.random.default_rng(0))


# Real files


@needs_real_assets
def test_every_real_photograph_and_cutout_is_usable():
    photographs, cutouts = PhotographFolder(REAL / "photos", strict=True), CutoutFolder(REAL / "cutouts", strict=True)
    assert (len(photographs), len(cutouts)) == (7, 17)
    rng = np.random.default_rng(0)
    for _ in range(4):
        rgb, _ = photographs.draw(128, 192, rng=rng)
        assert rgb.shape == (128, 192, 3) and 0.01 < rgb.mean() < 0.9
        rgba, _ = cutouts.draw(128, rng=rng)
        assert max(rgba.shape[:2]) in (127, 128) and 0.05 < rgba[..., 3].mean() < 1.0


@needs_real_assets
def test_photographs_given_as_foregrounds_are_named():
    with pytest.raises(AssetError, match=r"photos: no usable picture.*\.jpg: has no alpha"):
        CutoutFolder(REAL / "photos")


def test_folders_that_cannot_be_looked_into_and_names_that_are_not_utf_8_are_named(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    for name in ("good.png", "line\nbreak.png", os.fsdecode(b"\xff.png")):
        Image.new("RGB", (40, 30)).save(tmp_path / "any.png")
        (tmp_path / "any.png").rename(tmp_path / name)
    scandir = os.scandir

    def refusing(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    folder = PhotographFolder(tmp_path)
    assert len(folder) == 2
    assert folder.skipped == [
        ("locked", "cannot be looked into (Permission denied)"),
        ("\udcff.png", "has a name that is not UTF-8; rename it"),
    ]


def test_a_fifo_and_a_giant_among_pictures_are_skipped_with_a_word(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "giant.exr").touch()
    os.truncate(tmp_path / "giant.exr", 10**11)
    folder = PhotographFolder(tmp_path)
    assert len(folder) == 1
    assert [name for name, _ in folder.skipped] == ["fifo.png", "giant.exr"]
    assert "is a FIFO" in folder.skipped[0][1] and "93.1 GiB" in folder.skipped[1][1]


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    for i in range(6):
        Image.new("RGB", (400, 300)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(assets, "THREADS", 4)
    busy, most = [], []
    decode = assets.decode

    def watched(path):
        busy.append(path)
        most.append(len(busy))
        time.sleep(0.05)
        busy.remove(path)
        return decode(path)

    monkeypatch.setattr(assets, "decode", watched)
    assert len(PhotographFolder(tmp_path)) == 6 and max(most) > 1
    most.clear()
    monkeypatch.setattr(assets, "LARGE_BYTES", 400 * 300 * 4 - 1)
    assert len(PhotographFolder(tmp_path)) == 6 and max(most) == 1
