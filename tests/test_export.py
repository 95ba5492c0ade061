"""Data as pairs in the layout of EBB!, perfect or with its flaws."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bokehdata.cases import known_disparity
from bokehdata.format import bokeh_settings
from bokehdata.images import read_display
from bokehdata.kinds.billboards import write_billboards
from bokehdata.opening import open_cases
from bokehdata.pairs.export import Flaws
from bokehdata.writer import DatasetWriter, SceneWriter
from bokehforge.export import main
from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.stack import Stack

WIDTH, HEIGHT = 72, 48
# Half a step of 8 bits, and what JPEG of quality 98 adds to it.
JPEG_ERROR = 5 / 255

# A pair of photographs: the first picture is the input.
STACK = Stack((1.5, 14.0), (0.5,), input_blur_index=0)


def smooth(seed: int) -> np.ndarray:
    """Display values without noise, which JPEG keeps well."""
    noise = np.random.default_rng(seed).uniform(0.0, 1.0, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return np.clip(0.5 + 4.0 * (cv2.GaussianBlur(noise, (0, 0), 4.0) - 0.5), 0.05, 0.9)


@pytest.fixture
def dataset(tmp_path) -> Path:
    root = tmp_path / "ebb-like"
    with DatasetWriter(root, {"recipe": "test"}) as writer:
        for i in range(3):
            rgba = np.ones((HEIGHT, WIDTH, 4), np.float16)
            with SceneWriter(root, i) as scene:
                layers = (Billboard(rgba, 0.5),)
                write_billboards(scene, Scene(layers, WIDTH, HEIGHT, 0), STACK, seed=0, noise=0.002)
                scene.write_image(linear_from_display(smooth(90 + i)))
                for setting in bokeh_settings(STACK):
                    linear = linear_from_display(smooth(10 * i + setting.blur_index))
                    scene.write_bokeh(setting, linear, noise_rmse=0.001, samples=64)
            writer.add(scene.entry)
    return root


def export(dataset: Path, out: Path, *options: str) -> int:
    return main([str(dataset), "--to", "pairs", "--out", str(out), *options])


def test_a_case_of_a_stack_with_an_input_is_that_input_and_another_picture(dataset):
    cases = open_cases(dataset)
    assert [case.name for case in cases] == [f"00000{i}/bokeh_01_00" for i in range(3)]
    for i, case in enumerate(cases):
        np.testing.assert_allclose(case.image(), smooth(10 * i), atol=1e-3)
        np.testing.assert_allclose(case.truth(), smooth(10 * i + 1), atol=1e-3)
        assert case.lens().blur_parameter == 14.0
        assert {path.name for path in case.files()} >= {"bokeh_00_00.exr", "bokeh_01_00.exr"}


def test_exported_pairs_are_ebb_for_our_reader_and_for_others(dataset, tmp_path):
    assert export(dataset, tmp_path / "out") == 0
    for number, (case, pair) in enumerate(zip(open_cases(dataset), open_cases(tmp_path / "out"), strict=True)):
        assert pair.name == f"Training/{number}"
        for kind, folder in (("image", "original"), ("truth", "bokeh")):
            shown = cv2.imread(str(tmp_path / "out" / "Training" / folder / f"{number}.jpg"))[..., ::-1] / 255
            assert np.abs(shown - getattr(case, kind)()).max() < JPEG_ERROR
            np.testing.assert_allclose(getattr(pair, kind)(), shown, atol=1e-6)
        # What is known goes along, so that every protocol can run on the pairs.
        np.testing.assert_array_equal(known_disparity(pair), known_disparity(case))
        assert pair.lens() == case.lens()
        # Their numbers are not those of EBB!, whose held-out pairs have numbers.
        assert pair.number is None


def test_an_export_goes_on_and_is_not_mixed_with_another(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    assert export(dataset, out, "--limit", "2", "--format", "png") == 0
    first = (out / "Training" / "bokeh" / "0.png").stat().st_mtime_ns
    assert export(dataset, out, "--format", "png") == 0
    assert "3 pairs are in" in capsys.readouterr().out
    assert (out / "Training" / "bokeh" / "0.png").stat().st_mtime_ns == first
    assert len(open_cases(out)) == 3
    assert export(dataset, out) == 2
    assert "holds pairs with suffix 'png', this run has 'jpg'; choose another --out" in capsys.readouterr().err


def test_pairs_that_no_export_made_are_left_alone(dataset, tmp_path, capsys):
    there = tmp_path / "EBB" / "Training" / "bokeh" / "0.jpg"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"a photograph")
    assert export(dataset, tmp_path / "EBB") == 2
    assert "holds bokeh/0.jpg, which no export made" in capsys.readouterr().err
    assert there.read_bytes() == b"a photograph"


def test_a_perfect_truth_is_the_truth():
    truth = smooth(1)
    np.testing.assert_array_equal(Flaws().of(truth, rng=np.random.default_rng(0)), truth)


def test_misalignment_moves_the_truth_no_farther_than_asked():
    """A spot in the middle, which a turn leaves where it is."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] - np.array([HEIGHT - 1, WIDTH - 1])[:, None, None] / 2.0
    spot = np.exp(-(x**2 + y**2) / 8.0).astype(np.float32)[..., None].repeat(3, axis=2)
    lengths = []
    for seed in range(40):
        moved = Flaws(misalignment_px=3.0).of(spot, rng=np.random.default_rng(seed))[..., 0]
        lengths.append(np.hypot((moved * x).sum(), (moved * y).sum()) / moved.sum())
    # Points of a disk are at 2/3 of its radius on average; 40 of them are that to within 0.11 of it.
    assert max(lengths) < 3.0 + 0.02 and 1.6 < np.mean(lengths) < 2.4


def test_colour_drift_changes_channels_by_no_more_than_asked():
    truth = smooth(3)
    ratios = np.array(
        [
            (Flaws(colour_drift=0.05).of(truth, rng=np.random.default_rng(seed)) / truth).mean(axis=(0, 1))
            for seed in range(40)
        ]
    )
    assert np.abs(ratios - 1.0).max() <= 0.05 + 1e-6
    # Channels drift apart, and in both directions.
    assert ratios.std(axis=1).max() > 0.01 and ratios.min() < 0.97 and ratios.max() > 1.03


def test_flawed_pairs_lose_what_has_left_the_frame(dataset, tmp_path):
    assert export(dataset, tmp_path / "out", "--misalignment", "1.5", "--colour-drift", "0.02", "--seed", "4") == 0
    pair, case = open_cases(tmp_path / "out")[0], open_cases(dataset)[0]
    inner = case.image()[3:-3, 3:-3]
    assert pair.image().shape == pair.truth().shape == inner.shape
    disparity = pair.disparity()
    assert disparity is not None and disparity.shape == inner.shape[:2]
    # The input is no worse for it.
    assert np.abs(pair.image() - inner).max() < JPEG_ERROR
    again = replace(Flaws(), misalignment_px=1.5, colour_drift=0.02).of(case.truth(), rng=np.random.default_rng([4, 0]))
    assert np.abs(pair.truth() - again[3:-3, 3:-3]).max() < JPEG_ERROR
    shown = read_display(tmp_path / "out" / "Training" / "bokeh" / "0.jpg")
    assert np.abs(shown - case.truth()[3:-3, 3:-3]).max() > JPEG_ERROR


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--misalignment", "-1"), "--misalignment is -1.0; it must lie between 0 and 50"),
        (("--misalignment", "20"), "which a misalignment leaves nothing of"),
        (("--colour-drift", "2"), "--colour-drift is 2.0; it must lie between 0 and 1"),
        (("--limit", "0"), "--limit is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_exported_is_refused(dataset, tmp_path, capsys, options, message):
    assert export(dataset, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
