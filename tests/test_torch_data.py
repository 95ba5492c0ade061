"""Training samples: drawn from their number alone, and true to the pictures they are cut from."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bokehdata.cases import Case, MemoryCase
from bokehdata.corruptions import random_corruption
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from bokehdata.torch_data import CropSettings, PictureCrops, picture_planes, plain_planes, sample_of
from raytrace import gen
from renderers.classical.scatter import scatter
from renderers.neural.bokehme.dilated_defocus import dilated_defocus_px
from renderers.neural.bokehme.error_map import improved_error_map
from renderers.neural.bokehme.highlights import blurred_highlights
from training.data import margin_for
from training.models.error_map import error_map_planes
from training.models.iunet import iunet_planes

RECIPE = """
scenes: 3
size_px: 64
foregrounds: [1, 2]
blur_parameters: [6, 12]
focus: layers
focus_count: 2
gammas: [2.2, 4]
noise: 0.02
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """Three small scenes: 2 blur parameters x 2 focus disparities x 2 gammas each."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tiny.yaml").write_text(RECIPE)
    arguments = ["--recipe", str(folder / "tiny.yaml"), "--out", str(folder / "tiny"), "--workers", "1"]
    assert gen.main([*arguments, "--arch", "cpu"]) == 0
    return folder / "tiny"


@pytest.fixture(scope="module")
def cases(tiny) -> list[Case]:
    return open_cases(tiny)


WHOLE = CropSettings(crop_px=None, augmentation=0.0, turned=False)


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) if k != "name" else a[k] == b[k] for k in a)


def test_a_sample_depends_on_its_number_alone(cases):
    settings = CropSettings(crop_px=32, margin_px=15)
    crops = PictureCrops(cases, settings, seed=5)
    backwards = [crops[n] for n in (40, 7, 0)]
    again = PictureCrops(cases, settings, seed=5)
    assert all(equal(sample, again[n]) for sample, n in zip(backwards, (40, 7, 0), strict=True))
    assert not equal(crops[7], PictureCrops(cases, settings, seed=6)[7])
    assert not equal(crops[7], crops[8])


def test_workers_give_the_samples_of_one_process(cases):
    crops = PictureCrops(cases, CropSettings(crop_px=32, margin_px=15), seed=5)
    loader = DataLoader(crops, batch_size=3, sampler=range(2, 14), num_workers=2, multiprocessing_context="spawn")
    names = [name for batch in loader for name in batch["name"]]
    assert names == [crops[n]["name"] for n in range(2, 14)]


def test_an_epoch_has_every_picture_once_and_the_next_another_order(cases):
    crops = PictureCrops(cases, WHOLE, seed=0)
    assert len(crops) == 3 * 2 * 2 * 2
    epochs = [[crops[epoch * len(crops) + i]["name"] for i in range(len(crops))] for epoch in range(2)]
    assert len(set(epochs[0])) == len(crops) and sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


def test_blur_is_left_out_that_a_network_does_not_learn(cases):
    small = PictureCrops(cases, WHOLE, seed=0, blur_parameter_max=6.0)
    large = PictureCrops(cases, WHOLE, seed=0, blur_parameter_min=6.1)
    assert len(small) == len(large) == 12
    assert {small[i]["name"] for i in range(12)}.isdisjoint(large[i]["name"] for i in range(12))
    with pytest.raises(DatasetError, match="no picture with a blur parameter from 0 to 5 px"):
        PictureCrops(cases, WHOLE, seed=0, blur_parameter_max=5.0)


def test_a_crop_larger_than_a_picture_is_refused_by_name(cases):
    with pytest.raises(DatasetError, match=r"/bokeh_\d\d_\d\d.*64 x 64 px, smaller than a crop of 65 px"):
        PictureCrops(cases, CropSettings(crop_px=65), seed=0)[0]


def test_planes_of_a_crop_are_those_of_the_whole_picture(cases):
    """The margin is wide enough: no plane in it knows that it is in a crop."""
    case = cases[7]
    image, disparity, lens, gamma = case.image(), case.disparity(), case.lens(), case.gamma
    defocus_px = lens.defocus_px(disparity).astype(np.float32)
    assert image.max() > 1.0 and case.scene == "000000" and gamma == 4.0
    base = image.clip(max=1.0)
    linear = scatter(base**gamma, disparity, lens)
    whole = {
        "image": image,
        "truth": case.truth().clip(0, 1),
        "classical": linear ** (1 / gamma),
        "highlights": blurred_highlights(image**gamma - base**gamma, defocus_px),
        "defocus_px": defocus_px[..., None],
        "dilated_px": dilated_defocus_px(defocus_px)[..., None],
        "error_map": improved_error_map(disparity, lens)[..., None],
    }
    settings = CropSettings(crop_px=24, margin_px=margin_for(12.0), augmentation=0.0, turned=False)
    for seed in range(6):
        sample = sample_of(case, settings, iunet_planes, rng=np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        y, x = rng.integers(64 - 24 + 1), rng.integers(64 - 24 + 1)
        for name, plane in whole.items():
            expected = plane[y : y + 24, x : x + 24].transpose(2, 0, 1)
            # Running sums along other rows: float64 rounding, then float32, then a power.
            np.testing.assert_allclose(sample[name].numpy(), expected, atol=2e-5, rtol=1e-5, err_msg=name)


def test_the_largest_blur_comes_into_a_crop_from_as_far_as_it_reaches():
    """A network's largest K, and disparities as far from the focus as they can be."""
    rng = np.random.default_rng(3)
    picture = rng.random((96, 96, 3), np.float32)
    disparity = np.kron(rng.integers(0, 2, (12, 12)), np.ones((8, 8))).astype(np.float32)
    planes = (picture, picture, disparity)
    case = MemoryCase(name="far", scene="far", blur_parameter=12.0, focus_disparity=0.0, planes=planes)
    whole = sample_of(case, WHOLE, iunet_planes, rng=np.random.default_rng(0))
    settings = CropSettings(crop_px=24, margin_px=margin_for(12.0), augmentation=0.0, turned=False)
    for seed in range(6):
        sample = sample_of(case, settings, iunet_planes, rng=np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        y, x = rng.integers(96 - 24 + 1), rng.integers(96 - 24 + 1)
        for name in ("classical", "dilated_px", "error_map"):
            expected = whole[name][:, y : y + 24, x : x + 24]
            torch.testing.assert_close(sample[name], expected, atol=2e-5, rtol=0.0)


def case_of(disparity: np.ndarray) -> Case:
    """A picture whose planes say where each pixel comes from."""
    h, w = disparity.shape
    place = np.stack([*np.mgrid[:h, :w], np.zeros((h, w))], -1).astype(np.float32)
    planes = (place, 2.0 * place, disparity)
    return MemoryCase(name="places", scene="places", blur_parameter=10.0, focus_disparity=0.5, planes=planes)


def test_planes_are_turned_together():
    """Any pixel of a sample still has its own truth and defocus, and all eight orientations occur."""
    rng = np.random.default_rng(0)
    disparity = rng.uniform(0, 1, (20, 30)).astype(np.float32)
    case, orientations = case_of(disparity), set()
    for seed in range(60):
        settings = CropSettings(crop_px=8, augmentation=0.0)
        sample = sample_of(case, settings, plain_planes, rng=np.random.default_rng(seed))
        y, x = sample["image"][0].long(), sample["image"][1].long()
        assert torch.equal(sample["truth"], 2.0 * sample["image"])
        np.testing.assert_array_equal(sample["defocus_px"][0], np.float32(10.0) * (disparity[y, x] - np.float32(0.5)))
        step = (y[0, 1] - y[0, 0], x[0, 1] - x[0, 0], y[1, 0] - y[0, 0], x[1, 0] - x[0, 0])
        orientations.add(tuple(int(s) for s in step))
    assert len(orientations) == 8


def test_augmentation_changes_what_is_given_and_never_the_truth(cases):
    """Defocus, scatter and its dilation come from the corrupted disparity; truth and error map from the true one."""
    case = [case for case in cases if case.scene == "000001"][-1]

    def sample(augmentation: float):
        settings = CropSettings(crop_px=None, augmentation=augmentation, turned=False)
        return sample_of(case, settings, iunet_planes, rng=np.random.default_rng(1))

    clean, corrupted = sample(0.0), sample(1.0)
    for name in ("image", "truth", "error_map"):
        assert torch.equal(clean[name], corrupted[name]), name
    for name in ("classical", "defocus_px"):
        assert not torch.equal(clean[name], corrupted[name]), name


@dataclass(frozen=True, kw_only=True, eq=False)
class Partial(MemoryCase):
    """A picture of which only some can be read."""

    readable: tuple[str, ...]

    def truth(self):
        assert "truth" in self.readable
        return super().truth()

    def disparity(self):
        assert "disparity" in self.readable
        return super().disparity()


def test_what_a_sample_does_not_hold_is_not_read():
    place = np.zeros((20, 30, 3), np.float32)
    lens = {"blur_parameter": 10.0, "focus_disparity": 0.5, "planes": (place, place, place[..., 0])}

    def keys(planes, *readable: str) -> set[str]:
        case = Partial(name="part", scene="part", readable=readable, **lens)
        return sample_of(case, CropSettings(crop_px=8), planes, rng=np.random.default_rng(0)).keys() - {"name", "gamma"}

    assert keys(picture_planes, "truth") == {"image", "truth"}
    assert keys(error_map_planes, "disparity") == {"image", "defocus_px", "error_map"}
    with pytest.raises(AssertionError):
        keys(plain_planes, "truth")


def test_pairs_have_samples_of_pictures_and_no_others():
    place = np.zeros((20, 30, 3), np.float32)
    rng = np.random.default_rng(0)
    pair = MemoryCase(name="pair", scene="pair", planes=(place, place, place[..., 0]))
    assert sample_of(pair, CropSettings(crop_px=8), picture_planes, rng=rng)["truth"].shape == (3, 8, 8)
    with pytest.raises(DatasetError, match="pair: its blur parameter or its focus disparity is not known"):
        sample_of(pair, CropSettings(crop_px=8), plain_planes, rng=rng)


@pytest.mark.parametrize("odd", ["truth", "disparity"])
def test_a_picture_whose_parts_have_other_sizes_is_refused_by_name(odd):
    place = np.zeros((20, 30, 3), np.float32)
    truth, disparity = (place[:-1] if odd == part else place for part in ("truth", "disparity"))
    planes = (place, truth, disparity[..., 0])
    case = MemoryCase(name="odd", scene="odd", blur_parameter=10.0, focus_disparity=0.5, planes=planes)
    with pytest.raises(DatasetError, match="odd: its image, its truth and its disparity must have one size"):
        sample_of(case, CropSettings(crop_px=8), plain_planes, rng=np.random.default_rng(0))


def test_corrupted_disparity_stays_within_its_range_and_near_or_far_grows():
    rng = np.random.default_rng(0)
    disparity = np.repeat(np.repeat(rng.uniform(0.1, 0.9, (8, 8)), 6, 0), 6, 1).astype(np.float32)
    kinds = set()
    for seed in range(40):
        corrupted = random_corruption(rng=np.random.default_rng(seed)).apply(disparity)
        # A Gaussian's weights sum to 1 up to float32 rounding.
        assert disparity.min() - 1e-6 <= corrupted.min() and corrupted.max() <= disparity.max() + 1e-6
        assert not np.array_equal(corrupted, disparity)
        kinds.add((bool((corrupted >= disparity).all()), bool((corrupted <= disparity).all())))
    assert kinds == {(True, False), (False, True), (False, False)}
    constant = np.full((20, 20), 0.25, np.float32)
    np.testing.assert_allclose(random_corruption(rng=rng).apply(constant), constant, atol=1e-6)


def test_the_code_of_the_page_runs(tiny, tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "pytorch.md").read_text()
    code = "".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "small").symlink_to(tiny)
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["24 pictures; (4, 3, 64, 64) (4, 1, 64, 64)", "(1, 64, 64)"]


@pytest.mark.parametrize("module", ["bokehdata.reader", "bokehdata.writer", "bokehdata.view"])
def test_only_torch_data_imports_torch(module):
    code = f"import {module}, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path.cwd()).returncode == 0
