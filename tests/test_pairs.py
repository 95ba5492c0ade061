"""Pairs of photographs in the layouts of public sets, each made here in small."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.pairs import LAYOUTS, layout_of
from bokehdata.pairs.pair import PhotoPair, sharpest_disparity

HEIGHT, WIDTH = 24, 32

# Pictures are told apart by their grey. JPEG keeps a plane of grey to one step of 255.
GREY = {"input": 40, "truth": 200, "depth": 90, "focal": 160, "left": 120, "right": 140, "alpha": 250}
JPEG_STEP = 1.01 / 255


def picture(path: Path, grey: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), grey, np.uint8))


def grey_of(shown) -> int:
    assert shown.shape == (HEIGHT, WIDTH, 3) and shown.dtype == np.float32
    np.testing.assert_allclose(shown, shown.mean(), atol=JPEG_STEP)
    return round(float(shown.mean()) * 255)


def is_shown(shown, role: str) -> bool:
    return abs(grey_of(shown) - GREY[role]) <= 1


def dmshn(root: Path) -> None:
    for number in (9, 10, 4400):
        picture(root / "Training" / "original" / f"{number}.jpg", GREY["input"])
        picture(root / "Training" / "bokeh" / f"{number}.jpg", GREY["truth"])
    # The inputs of the challenge have no public truth.
    picture(root / "Validation" / "original" / "0.jpg", GREY["input"])


def pynet(root: Path) -> None:
    for part, number in (("train", 9), ("train", 10), ("test", 4400)):
        picture(root / part / "original" / f"{number}.jpg", GREY["input"])
        picture(root / part / "bokeh" / f"{number}.jpg", GREY["truth"])
        picture(root / part / "original_depth" / f"{number}.png", GREY["depth"])


def bokehlicious(root: Path) -> None:
    picture(root / "validation" / "in" / "4400.jpg", GREY["input"])
    picture(root / "validation" / "gt" / "4400.jpg", GREY["truth"])


def vabm(root: Path) -> None:
    for part, number in (("train", 2977), ("test", 4545)):
        for folder, role, suffix in (
            ("input", "input", "jpg"),
            ("target", "truth", "jpg"),
            ("depth", "depth", "png"),
            ("focal", "focal", "jpg"),
        ):
            picture(root / part / folder / f"{number}.{suffix}", GREY[role])


def vabd(root: Path) -> None:
    for folder, role, suffix in (("input", "input", "JPG"), ("depth", "depth", "png"), ("focal", "focal", "png")):
        picture(root / "test" / folder / f"0099.{suffix}", GREY[role])
    for folder in ("1_8", "2_8", "8"):
        picture(root / "test" / folder / "0099.JPG", GREY["truth"])


def realbokeh(root: Path) -> None:
    for name in ("7", "12"):
        picture(root / "test" / "in" / f"{name}.JPG", GREY["input"])
        targets = [f"gt/{name}/{name}_f{f}.JPG" for f in ("2.0", "5.6")]
        for target in targets:
            picture(root / "test" / target, GREY["truth"])
        said = {"id": int(name), "source_image": f"in/{name}.JPG", "target_images": targets, "target_avs": [2.0, 5.6]}
        (root / "test" / "metadata").mkdir(exist_ok=True)
        (root / "test" / "metadata" / f"{name}.json").write_text(json.dumps({**said, "focal_length": 35}))


def dpdd(root: Path) -> None:
    for blurred, sharp in ((917, 916), (1001, 1003)):
        picture(root / "test_c" / "source" / f"1P0A{blurred:04d}.png", GREY["truth"])
        picture(root / "test_c" / "target" / f"1P0A{sharp:04d}.png", GREY["input"])
        for side, letter in (("left", "l"), ("right", "r")):
            name = f"1P0A{blurred:04d}_{letter.upper()}.png"
            picture(root / f"test_{letter}" / "source" / name, GREY[side])


def ebokehnet(root: Path) -> None:
    for number in (9, 4400):
        picture(root / "train" / f"{number}_src.jpg", GREY["input"])
        picture(root / "train" / f"{number}_tgt.jpg", GREY["truth"])


def ntire(root: Path) -> None:
    for number in (1, 2):
        picture(root / f"{number:05d}.src.jpg", GREY["input"])
        picture(root / f"{number:05d}.tgt.jpg", GREY["truth"])
        picture(root / f"{number:05d}.alpha.png", GREY["alpha"])
    (root / "meta.txt").write_text("00001,Canon50mmf16.0BS,Sony50mmf1.8BS,40\n00002,Sony50mmf1.8BS,Canon50mmf1.4BS,7\n")


# Maker, layout, names of the pairs in order, f-numbers of the first, names of its views.
SETS = {
    "dmshn": (dmshn, "ebb", ["Training/9", "Training/10", "Training/4400"], (16, 1.8), []),
    "pynet": (pynet, "ebb", ["test/4400", "train/9", "train/10"], (16, 1.8), ["original_depth"]),
    "bokehlicious": (bokehlicious, "ebb", ["validation/4400"], (16, 1.8), []),
    "vabm": (vabm, "vabm", ["test/4545", "train/2977"], (16, 1.8), ["depth", "focal"]),
    "vabd": (vabd, "vabm", [f"test/0099_f{f}" for f in ("1.8", "2.8", "8")], (16, 1.8), ["depth", "focal"]),
    "realbokeh": (
        realbokeh, "realbokeh", ["test/7_f2.0", "test/7_f5.6", "test/12_f2.0", "test/12_f5.6"], (22, 2), [],
    ),
    "dpdd": (dpdd, "dpdd", ["test/1P0A0917", "test/1P0A1001"], (22, 4), ["left", "right"]),
    "ebokehnet": (ebokehnet, "ebokehnet", ["train/9", "train/4400"], (None, None), []),
    "ntire": (ntire, "ebokehnet", ["00001", "00002"], (16, 1.8), ["alpha"]),
}  # fmt: skip


@pytest.fixture(params=SETS)
def made(request, tmp_path):
    """(folder, what it must hold) of each set."""
    maker, *wanted = SETS[request.param]
    maker(tmp_path)
    return tmp_path, *wanted


def opened(root: Path, on_misfit=None) -> list[PhotoPair]:
    cases = open_cases(root) if on_misfit is None else open_cases(root, on_misfit)
    assert all(isinstance(case, PhotoPair) for case in cases)
    return cases  # pyright: ignore[reportReturnType]


def test_every_layout_is_known_and_has_a_set_here(made):
    root, layout, *_ = made
    found = layout_of(root)
    assert found is not None and found.name == layout
    assert {layout for _, layout, *_ in SETS.values()} == {layout.name for layout in LAYOUTS}


def test_pairs_are_cases_in_the_order_of_their_numbers(made):
    root, _, names, f_numbers, views = made
    pairs = pickle.loads(pickle.dumps(opened(root)))
    assert [pair.name for pair in pairs] == names
    assert pairs[0].f_numbers == f_numbers
    for pair in pairs:
        # The input is the sharp picture, also in a set that was made for deblurring.
        assert is_shown(pair.image(), "input") and is_shown(pair.truth(), "truth")
        assert sorted(pair.views()) == sorted(views)
        assert all(is_shown(shown, name.removeprefix("original_")) for name, shown in pair.views().items())
        assert pair.disparity() is None and pair.layers() is None and pair.blur_parameter is None
        assert len(pair.digest()) == 64


def test_a_part_of_a_set_is_a_set(tmp_path):
    pynet(tmp_path)
    assert [pair.name for pair in opened(tmp_path / "train")] == ["9", "10"]


def test_the_pairs_of_ebb_have_their_public_numbers(tmp_path):
    for maker in (dmshn, pynet, ebokehnet):
        maker(tmp_path / maker.__name__)
        assert [pair.number for pair in opened(tmp_path / maker.__name__) if "4400" in pair.name] == [4400]
    # Those of NTIRE are others.
    (tmp_path / "ntire").mkdir()
    ntire(tmp_path / "ntire")
    assert {pair.number for pair in opened(tmp_path / "ntire")} == {None}


def test_pairs_of_one_input_have_one_scene_and_one_origin(tmp_path):
    realbokeh(tmp_path)
    first, second, other, _ = opened(tmp_path)
    assert first.scene == second.scene != other.scene
    assert first.origins == second.origins
    assert (second.f_numbers, second.metadata["focal_length"]) == ((22, 5.6), 35)


def test_the_lenses_of_ntire_are_metadata(tmp_path):
    ntire(tmp_path)
    first, second = opened(tmp_path)
    assert first.metadata == {"source_lens": "Canon50mmf16.0BS", "target_lens": "Sony50mmf1.8BS", "disparity": "40"}
    # A lens that opens wider than the one before it: not every input is the sharper picture.
    assert second.f_numbers == (1.8, 1.4)


def remove(*names):
    return lambda root: [(root / name).unlink() for name in names]


def rewrite(name, **keys):
    def change(root):
        path = root / name
        said = {**json.loads(path.read_text()), **keys}
        path.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))

    return change


# Set, what is done to it, the file that is named, and why; every other pair stays.
MISFITS = [
    ("dmshn", remove("Training/bokeh/10.jpg"), "Training/original/10.jpg", "has no truth of the same name in bokeh/"),
    ("dmshn", remove("Training/original/10.jpg"), "Training/bokeh/10.jpg", "has no input of the same name in original"),
    (
        "pynet",
        lambda root: picture(root / "train/bokeh/10.jpg", 9, (HEIGHT, WIDTH - 2)),
        "train/bokeh/10.jpg",
        "is 30 x 24 px, its input 10.jpg is 32 x 24 px",
    ),
    ("vabm", lambda root: (root / "test/target/4545.jpg").write_bytes(b""), "test/target/4545.jpg", "is not a picture"),
    ("vabd", remove("test/2_8/0099.JPG"), "test/input/0099.JPG", "has no truth of the same name in 2_8/"),
    ("realbokeh", remove("test/gt/7/7_f2.0.JPG"), "test/gt/7/7_f2.0.JPG", "no such file"),
    (
        "realbokeh",
        rewrite("test/metadata/7.json", target_avs=[2.0]),
        "test/metadata/7.json",
        "target_avs is .2.0.; it must list an f-number of each of 2 images",
    ),
    ("realbokeh", rewrite("test/metadata/7.json", source_image=None), "test/metadata/7.json", "source_image is None"),
    (
        "realbokeh",
        lambda root: (root / "test/metadata/7.json").write_text("{"),
        "test/metadata/7.json",
        "is not JSON",
    ),
    ("dpdd", remove("test_c/target/1P0A0916.png"), "test_c/target", "holds 1 picture, source holds 2; none is read"),
    ("dpdd", remove("test_l/source/1P0A0917_L.png"), "test_l/source", "holds no 1P0A0917_L, the left view of 1P0A0917"),
    ("ebokehnet", remove("train/9_tgt.jpg"), "train/9_src.jpg", "has no tgt beside it"),
    ("ebokehnet", remove("train/9_src.jpg"), "train/9_tgt.jpg", "has no src beside it"),
    ("ntire", lambda root: (root / "meta.txt").write_text("00001,Canon\n"), "meta.txt", "has the line '00001,Canon'"),
]


@pytest.mark.parametrize(
    ("name", "spoil", "culprit", "reason"), MISFITS, ids=[f"{name}-{reason[:24]}" for name, _, _, reason in MISFITS]
)
def test_misfits_are_named_and_the_other_pairs_stay(tmp_path, name, spoil, culprit, reason):
    SETS[name][0](tmp_path)
    wanted = {pair.name for pair in opened(tmp_path)}
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=rf"{culprit}: {reason}"):
        open_cases(tmp_path)
    misfits = []
    if reason.endswith("none is read"):
        # Its pairs are matched by their place: with one file missing no match can be trusted.
        with pytest.raises(DatasetError, match="holds no picture with its truth"):
            open_cases(tmp_path, lambda *misfit: misfits.append(misfit))
        wanted = kept = set()
    else:
        kept = {pair.name for pair in opened(tmp_path, lambda *misfit: misfits.append(misfit))}
    ((path, _),) = misfits
    assert path == tmp_path / culprit
    assert kept <= wanted and len(wanted - kept) <= 2


def test_turned_photographs_have_the_size_that_they_are_shown_in(tmp_path):
    """A camera that was held upright stores its pictures lying, with an EXIF tag."""
    dmshn(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("RGB", (HEIGHT, WIDTH), (GREY["truth"],) * 3)
    lying.save(tmp_path / "Training" / "bokeh" / "9.jpg", exif=exif)
    assert is_shown(opened(tmp_path)[0].truth(), "truth")


def textured(sigma: float) -> np.ndarray:
    noise = np.random.default_rng(5).uniform(0.2, 0.8, (96, 144, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), sigma)


@pytest.mark.parametrize("focus", [0, 1, 2])
def test_the_focus_of_a_pair_is_where_the_truth_keeps_the_detail_of_the_input(tmp_path, focus):
    """Three planes side by side, of which the truth blurs two."""
    disparities = [0.1, 0.4, 0.9]
    image, blurred = textured(0.8), textured(3.0)
    disparity = np.repeat(np.array(disparities, np.float32), 48)[None].repeat(96, axis=0)
    truth = np.where((disparity == np.float32(disparities[focus]))[..., None], image, blurred)
    assert sharpest_disparity(image, truth, disparity) == pytest.approx(disparities[focus])
    # A wall without detail says nothing, however little the truth changes it.
    wall = np.full_like(image, 0.5)
    image, truth = (np.concatenate([part, wall[:, :48]], axis=1) for part in (image, truth))
    disparity = np.concatenate([disparity, np.full((96, 48), 0.7, np.float32)], axis=1)
    assert sharpest_disparity(image, truth, disparity) == pytest.approx(disparities[focus])


def test_a_disparity_beside_pairs_is_read_with_its_settings(tmp_path):
    dmshn(tmp_path)
    part = tmp_path / "Training"
    (part / "disparity").mkdir()
    np.save(part / "disparity" / "9.npy", np.full((HEIGHT, WIDTH), 0.25, np.float32))
    (part / "settings.json").write_text(json.dumps({"9": {"blur_parameter": 40, "focus_disparity": 0.25}}))
    first, second, _ = opened(tmp_path)
    disparity = first.disparity()
    assert disparity is not None and disparity.max() == 0.25
    assert first.lens().blur_parameter == 40 and first.focused() is first
    assert second.disparity() is None and second.focused() is second
