"""Procedural assets: natural statistics, clean mattes, lamps above white, and the same bytes for the same seed."""

import cv2
import numpy as np
import pytest

from scenes.procedural import ProceduralCutouts, ProceduralPhotographs, cutouts, lights
from scenes.procedural.cutouts import KINDS, finished
from scenes.procedural.lights import light_string
from scenes.procedural.photographs import DAY, NIGHT, photographed

# Kinds with soft mattes: plants and fibres.
SOFT_KINDS = ("branch", "fern", "grass", "flowers", "dandelion", "feather", "creature", "portrait")
HOLED_KINDS = ("fence", "mesh", "ironwork", "lace", "frame", "window")


def rng(*seed):
    return np.random.default_rng(seed)


def soft_share(rgba):
    alpha = rgba[..., 3]
    return np.count_nonzero((alpha > 0) & (alpha < 1)) / np.count_nonzero(alpha > 0)


def luminance(rgb_linear):
    display = np.clip(rgb_linear, 0.0, 1.0) ** (1 / 2.2)
    return display @ np.array([0.2126, 0.7152, 0.0722])


def spectral_slope(grey):
    """a of power ~ 1/f^a: least squares through log-spaced rings of the windowed spectrum, 4 / N to 0.25 cycles/px."""
    n = min(grey.shape)
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2((grey[:n, :n] - grey.mean()) * window)) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    edges = np.geomspace(4 / n, 0.25, 13)
    rings = [(f >= low) & (f < high) for low, high in zip(edges, edges[1:], strict=False)]
    return -np.polyfit([np.log(f[r]).mean() for r in rings], [np.log(power[r].mean()) for r in rings], 1)[0]


def cutout_of(kind, side, *seed):
    return finished(KINDS[kind][0](side, rng=rng(*seed)))


def photograph_of(place, height, width, *seed):
    generator = rng(*seed)
    night = place in NIGHT
    paint = (NIGHT if night else DAY)[place][0]
    return photographed(paint(height, width, rng=generator), rng=generator, highlights=night)


@pytest.fixture(scope="module")
def default_cutouts():
    cutouts = ProceduralCutouts()
    return [cutouts.draw(200, rng=rng(1, i))[0] for i in range(40)]


def test_soft_texels_are_at_least_two_percent_of_covered_ones(default_cutouts):
    soft = sum(soft_share(c) * np.count_nonzero(c[..., 3] > 0) for c in default_cutouts)
    covered = sum(np.count_nonzero(c[..., 3] > 0) for c in default_cutouts)
    assert soft / covered >= 0.02


@pytest.mark.parametrize("kind", SOFT_KINDS)
def test_every_soft_kind_is_soft(kind):
    assert soft_share(cutout_of(kind, 300, 3)) >= 0.02


@pytest.mark.parametrize("kind", HOLED_KINDS)
def test_every_holed_kind_lets_the_background_through(kind):
    alpha = cutout_of(kind, 200, 4)[..., 3]
    # At least one uncovered component does not touch the border, and a tenth of the box is uncovered.
    count, label = cv2.connectedComponents(np.uint8(alpha < 0.5))
    border = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    assert count - len(np.union1d(border, [0])) >= 1
    assert np.mean(alpha < 0.5) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_cutouts_keep_the_contract(kind):
    for side in (64, 201):
        rgba = cutout_of(kind, side, 5, side)
        assert rgba.dtype == np.float32 and rgba.ndim == 3 and rgba.shape[2] == 4
        assert max(rgba.shape[:2]) <= side
        assert np.isfinite(rgba).all() and rgba.min() >= 0.0 and rgba[..., 3].max() <= 1.0
        covered = rgba[..., 3] > 0
        # The crop is tight: each of the four edges touches the matte.
        assert covered[0].any() and covered[-1].any() and covered[:, 0].any() and covered[:, -1].any()
        # Some texel is more than half covered, even for hairs thinner than a pixel.
        assert rgba[..., 3].max() > 0.5


@pytest.mark.parametrize("kind", ["lace", "dandelion", "branch", "vessel"])
def test_colour_is_extended_under_alpha_zero(kind):
    rgba = cutout_of(kind, 120, 6)
    covered = np.argwhere(rgba[..., 3] > 0)
    bare = np.argwhere(rgba[..., 3] == 0)[::37]
    for y, x in bare:
        distance = np.hypot(*(covered - [y, x]).T)
        # The 5x5 chamfer distance is exact to 2 %, so the copied texel has nearly the smallest distance.
        near = covered[distance <= distance.min() * 1.05 + 0.5]
        difference = np.abs(rgba[near[:, 0], near[:, 1], :3] - rgba[y, x, :3]).max(axis=1)
        assert difference.min() == 0.0


def test_light_strings_hold_lamps_above_white():
    cutouts = ProceduralCutouts(lights=1.0)
    for i in range(6):
        rgba, provenance = cutouts.draw(300, rng=rng(7, i))
        assert provenance["style"] == "light-string"
        lamp = rgba[..., :3].max(axis=-1) * (rgba[..., 3] > 0.5)
        # At least five lamps, each a separate patch, and none too bright.
        assert cv2.connectedComponents(np.uint8(lamp > 2.0))[0] - 1 >= 5
        assert 5.0 <= lamp.max() <= 400.0


def test_light_strings_are_a_modest_share_of_the_default(monkeypatch):
    def blank(side_px, *, rng):
        return np.ones((side_px, side_px, 4), np.float32)

    # The kind is drawn before anything is painted.
    monkeypatch.setattr(cutouts, "KINDS", {kind: (blank, share) for kind, (_, share) in KINDS.items()})
    monkeypatch.setattr(lights, "light_string", blank)

    def is_string(i):
        return ProceduralCutouts().draw(24, rng=rng(8, i))[1]["style"] == "light-string"

    # Binomial(300, 0.12): mean 36, sd 5.6; four sd each way is a false alarm of 6e-5.
    assert 13 <= sum(is_string(i) for i in range(300)) <= 59
    assert ProceduralCutouts(lights=0.0).draw(24, rng=rng(8))[1]["style"] != "light-string"


def test_power_spectrum_of_photographs_is_that_of_natural_images():
    slopes = [spectral_slope(luminance(photograph_of(place, 256, 256, 9, i))) for place in DAY for i in range(2)]
    # Natural images have a slope of 2 on average with a deviation of 0.3 (Field 1987; Torralba and Oliva 2003).
    assert 1.6 <= np.mean(slopes) <= 2.4
    # No place is white noise (slope 0) or a plain gradient (above 4).
    assert 1.2 <= min(slopes) and max(slopes) <= 3.2


def test_slope_of_known_noise_is_measured_right():
    n = 256
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    f[0, 0] = 1.0
    for a in (1.0, 2.0, 3.0):
        noise = np.fft.ifft2(np.fft.fft2(rng(10).standard_normal((n, n))) * f ** (-a / 2)).real
        # The smallest ring has about 50 independent coefficients: the fitted slope deviates by 0.05.
        assert abs(spectral_slope(noise) - a) < 0.2


@pytest.mark.parametrize("place", [*DAY, *NIGHT])
def test_photographs_keep_the_contract(place):
    for height, width in ((64, 64), (75, 161), (130, 48)):
        rgb = photograph_of(place, height, width, 11)
        assert rgb.shape == (height, width, 3) and rgb.dtype == np.float32
        assert np.isfinite(rgb).all() and rgb.min() >= 0.0
        assert place in NIGHT or rgb.max() <= 1.0


@pytest.mark.parametrize("place", DAY)
def test_photographs_by_day_are_exposed(place):
    grey = luminance(photograph_of(place, 160, 160, 12))
    assert 0.2 < grey.mean() < 0.75
    assert grey.std() > 0.04
    # Less than 2 % of the pixels are clipped at each end.
    assert np.mean(grey > 0.995) < 0.02 and np.mean(grey < 0.005) < 0.02


@pytest.mark.parametrize("place", NIGHT)
def test_night_photographs_are_dark_with_many_lamps(place):
    rgb = photograph_of(place, 256, 256, 13)
    assert np.median(luminance(rgb)) < 0.45
    assert cv2.connectedComponents(np.uint8(rgb.max(axis=-1) > 2.0))[0] - 1 >= 8
    assert rgb.max() > 10.0


def test_same_seed_same_bytes_and_another_seed_another_picture():
    for asset, size in (
        (ProceduralPhotographs(), (90, 120)),
        (ProceduralPhotographs(night=True), (90, 120)),
        (ProceduralCutouts(), (96,)),
    ):
        for i in range(6):
            first, provenance = asset.draw(*size, rng=rng(14, i))
            again, provenance_again = asset.draw(*size, rng=rng(14, i))
            other, _ = asset.draw(*size, rng=rng(15, i))
            assert first.tobytes() == again.tobytes() and provenance == provenance_again
            assert first.tobytes() != other.tobytes()


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_threads_of_opencv():
    def digest():
        pictures = [photograph_of(place, 300, 280, 16) for place in [*DAY, *NIGHT]]
        pictures += [cutout_of(kind, 260, 16) for kind in KINDS] + [light_string(260, rng=rng(16))]
        return [hash(p.tobytes()) for p in pictures]

    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = digest()
        cv2.setNumThreads(4)
        assert digest() == single
    finally:
        cv2.setNumThreads(threads)


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="smallest is 16 px"):
        ProceduralCutouts().draw(8, rng=rng(0))
    with pytest.raises(ValueError, match="smallest side is 16 px"):
        ProceduralPhotographs().draw(8, 100, rng=rng(0))
    with pytest.raises(ValueError, match="light strings is 1.5"):
        ProceduralCutouts(lights=1.5)
