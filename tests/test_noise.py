"""The noise estimate of an image, and the number of lens points that a requested noise needs."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from raytrace import convergence
from raytrace.convergence import BLOCK, DeviceBlockErrors, HostBlockErrors
from raytrace.tracer import Tracer
from raytrace.transport import Transport
from raytrace.visibility import TILE_HEIGHT, TILE_WIDTH
from scenes.aperture import Disk, Donut, Polygon
from scenes.billboard import Billboard, Scene
from scenes.color import display_from_linear
from scenes.lens import ThinLens
from scenes.stack import Pixel

SIDE = 64
TRUTH_SAMPLES = 16384
APERTURES = (Disk(), Polygon(6, 10.0, 0.2), Donut(0.5), Polygon(3))
GAMMAS = ((2.2,), (1.0,), (5.0,), (1.0, 2.2, 5.0))


@dataclass(frozen=True)
class Traced:
    """One image: the requested noise, the estimated noise, and the errors against TRUTH_SAMPLES points."""

    pixel: Pixel
    asked: float
    estimate: float
    error: float
    worst_block: float
    samples: int


@pytest.fixture(scope="module")
def traced(taichi_cpu, random_scene) -> list[Traced]:
    """20 scenes of many kinds. Every gamma of a scene counts as one image."""
    tracer = Tracer(taichi_cpu)
    images = []
    for seed in range(20):
        rng = np.random.default_rng([5, seed])
        scene = random_scene(
            rng=rng,
            width=SIDE,
            height=SIDE,
            overscan=26,
            num_layers=2 + seed % 4,
            lights=(0, 0, 8, 60)[seed // 2 % 4],
            light=(3.0, 8.0)[seed % 2],
            slope=1e-3 if seed % 5 == 4 else 0.0,
        )
        lens = ThinLens(rng.uniform(4.0, 22.0), rng.uniform(0.1, 0.9), APERTURES[seed % 3 if seed < 15 else 3])
        options = {"gammas": GAMMAS[seed % 4], "pixel": ("point", "box")[seed // 2 % 2]}
        asked = (0.004, 0.008, 0.002)[seed % 3]
        render = tracer.render(scene, lens, noise=asked, **options)
        # Square errors fall at least like 1 / N, so the truth has at most an eighth of them in the worst tile.
        assert render.samples <= TRUTH_SAMPLES // 8
        truth = tracer.render(scene, lens, samples=TRUTH_SAMPLES, **options).linear
        for g, gamma in enumerate(options["gammas"]):
            square = display_square_error(render.linear[g], truth[g], gamma)
            blocks = square.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK, 3).mean(axis=(1, 3, 4))
            images.append(
                Traced(
                    pixel=options["pixel"],
                    asked=asked,
                    estimate=render.noise_rmse[g],
                    error=math.sqrt(square.mean()),
                    worst_block=math.sqrt(blocks.max()),
                    samples=render.samples,
                )
            )
    return images


def display_square_error(linear: np.ndarray, truth: np.ndarray, gamma: float) -> np.ndarray:
    shown = [display_from_linear(np.clip(image.astype(np.float64), 0.0, 1.0), gamma) for image in (linear, truth)]
    return np.square(shown[0] - shown[1])


def test_the_estimate_is_that_of_the_error(traced):
    """Errors fall like N^-p, p = 2 where only the lens is sampled and 1 where offsets inside the pixel are as well.

    1 for 2 would raise an estimate by sqrt(5 / 3) = 1.29, and 2 for 1 would lower it as much.
    """
    ratios = np.array([image.estimate / image.error for image in traced])
    assert len(ratios) == 30 and ratios.min() >= 0.8 and ratios.max() <= 1.35, ratios
    for pixel in ("point", "box"):
        of_kind = ratios[[image.pixel == pixel for image in traced]]
        # Ratios scatter by 9 % around their mean, those of 10 images therefore by 3 %.
        assert np.exp(np.log(of_kind).mean()) == pytest.approx(1.0, abs=0.15), (pixel, of_kind)


def test_the_noise_that_was_asked_for_holds(traced):
    assert all(image.estimate <= image.asked for image in traced)
    ratios = np.array([image.error / image.asked for image in traced])
    # The estimate decides when to stop. An estimate that is low by chance therefore stops too early: by a quarter here.
    assert ratios.max() <= 1.25 and np.sqrt(np.square(ratios).mean()) <= 1.0


def test_no_block_is_much_worse_than_the_image(traced):
    # Blocks stop at an estimate of three times the noise, which leaves a third for the error of the estimate.
    assert all(image.worst_block <= 4.0 * image.asked for image in traced)


def test_the_scenes_above_are_worth_the_name(traced):
    """Some images take few points and some many. Some stop after the first comparison and some do not."""
    counts = {image.samples for image in traced}
    assert min(counts) <= 32 and max(counts) >= 1024 and len(counts) >= 4


@pytest.fixture
def samples_of_tiles(monkeypatch) -> dict[int, list[int]]:
    """The sizes of the sets with which every tile is traced, in order. Tracing fills it."""
    sizes = defaultdict(list)
    trace = Transport.trace

    def recorded(self, tiles, num_samples, out):
        for tile in tiles:
            sizes[int(tile)].append(num_samples)
        trace(self, tiles, num_samples, out)

    monkeypatch.setattr(Transport, "trace", recorded)
    return sizes


@pytest.mark.parametrize("radius", [7.0, 20.0, 28.0])
@pytest.mark.parametrize("x", [96, 99])
def test_a_lone_light_becomes_a_filled_disk_and_the_flat_ground_stays_cheap(taichi_cpu, samples_of_tiles, radius, x):
    width, height, overscan, y = 3 * TILE_WIDTH, 6 * TILE_HEIGHT, 34, 48
    ground, plateau = 0.2, 0.4
    rgba = np.full((height + 2 * overscan, width + 2 * overscan, 4), ground, np.float16)
    rgba[..., 3] = 1.0
    rgba[y + overscan, x + overscan, :3] += plateau * math.pi * radius**2
    scene = Scene((Billboard(rgba, 0.9),), width, height, overscan)
    image = Tracer(taichi_cpu).render(scene, ThinLens(radius / 0.5, 0.4), noise=0.002).linear[0]

    distance = np.hypot(np.arange(width) - x, (np.arange(height) - y)[:, None])
    filled = image[distance < radius - math.sqrt(2.0)]
    # Four times the noise over a block is 0.008 of display, or 0.014 of linear light at this level. A single pixel may
    # have three times as much, which is a tenth of the disk. In a gap between two points only the ground is seen.
    np.testing.assert_allclose(filled, ground + plateau, atol=0.1 * plateau)

    row, column = np.divmod(np.array(sorted(samples_of_tiles)), width // TILE_WIDTH)
    far_x = np.abs((column + 0.5) * TILE_WIDTH - x) - TILE_WIDTH / 2
    far_y = np.abs((row + 0.5) * TILE_HEIGHT - y) - TILE_HEIGHT / 2
    dark = np.maximum(far_x, far_y) > radius + 2.0
    assert 0.3 < dark.mean() < 0.9
    pilot = min(sizes[0] for sizes in samples_of_tiles.values())
    for tile, is_dark in zip(sorted(samples_of_tiles), dark, strict=True):
        if is_dark:
            assert samples_of_tiles[tile] == [pilot, 2 * pilot]
    # A disk without gaps needs points at most about a pixel apart.
    assert max(samples_of_tiles[tile][-1] for tile in samples_of_tiles) >= math.pi * radius**2


def test_no_block_of_a_wide_disk_is_missed_by_the_first_two_sets(taichi_cpu):
    """16 and 32 points lie 66 and 47 px apart on a disk of 150 px: tiles between them would look alike, and dark."""
    width, height, overscan, radius, plateau = 5 * TILE_WIDTH, 20 * TILE_HEIGHT, 154, 150.0, 0.4
    rgba = np.zeros((height + 2 * overscan, width + 2 * overscan, 4), np.float16)
    rgba[..., 3] = 1.0
    rgba[height // 2 + overscan, width // 2 + overscan, :3] = plateau * math.pi * radius**2
    scene = Scene((Billboard(rgba, 0.9),), width, height, overscan)
    image = Tracer(taichi_cpu).render(scene, ThinLens(radius / 0.5, 0.4), noise=0.05).linear[0, ..., 0]
    blocks = image.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
    y, x = (np.indices(blocks.shape) + 0.5) * BLOCK - np.array([height, width])[:, None, None] / 2.0
    inside = np.hypot(x, y) < radius - BLOCK / math.sqrt(2.0)
    assert inside.sum() > 10
    # The noise that is asked for is 0.07 of linear light at this level.
    np.testing.assert_allclose(blocks[inside], plateau, atol=0.1)


def test_tiles_in_focus_take_one_point_beside_tiles_that_take_many(taichi_cpu, random_scene, samples_of_tiles):
    width, height, overscan = 2 * TILE_WIDTH, 2 * TILE_HEIGHT, 24
    scene = random_scene(rng=np.random.default_rng(1), width=width, height=height, overscan=overscan, num_layers=2)
    near = scene.layers[0].rgba
    near[..., 3] = np.arange(near.shape[1]) < overscan + TILE_WIDTH + 8  # covers the first column of tiles
    render = Tracer(taichi_cpu).render(scene, ThinLens(20.0, scene.layers[0].disparity), noise=0.002)
    assert samples_of_tiles[0] == samples_of_tiles[2] == [1]
    assert len(samples_of_tiles[1]) >= 2 and samples_of_tiles[1][-1] >= 32
    np.testing.assert_array_equal(render.linear[0, :, :TILE_WIDTH], scene.frame_rgba(0)[:, :TILE_WIDTH, :3])


def test_a_picture_without_blur_takes_one_point_and_has_no_noise(taichi_cpu, random_scene):
    scene = random_scene(rng=np.random.default_rng(2), lights=20)
    render = Tracer(taichi_cpu).render(scene, ThinLens(0.0, 0.5), gammas=(1.0, 2.2), noise=0.001)
    assert render.samples == 1 and render.noise_rmse == (0.0, 0.0)


def test_a_noise_out_of_reach_ends_at_the_largest_set_and_says_so(taichi_cpu, random_scene, monkeypatch):
    monkeypatch.setattr(convergence, "SAMPLES_MAX", 64)
    scene = random_scene(rng=np.random.default_rng(3))
    render = Tracer(taichi_cpu).render(scene, ThinLens(20.0, 0.5), noise=1e-6)
    assert render.samples == 64 and render.noise_rmse[0] > 1e-4


def test_less_noise_takes_more_points(taichi_cpu, random_scene):
    scene = random_scene(rng=np.random.default_rng(4))
    renders = [Tracer(taichi_cpu).render(scene, ThinLens(20.0, 0.5), noise=noise) for noise in (0.02, 0.002, 0.0002)]
    samples = [render.samples for render in renders]
    assert samples[0] < samples[1] < samples[2]


@pytest.mark.parametrize("pixel", ["point", "box"])
@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_frames_that_stay_where_taichi_runs_have_the_same_errors(taichi_cpu, pixel, gamma):
    # Neither side is a multiple of a tile, which is 16 rows of four blocks.
    width, height, rng = 150, 40, np.random.default_rng(8)
    host, device = (kind(width, height, (gamma,), pixel) for kind in (HostBlockErrors, DeviceBlockErrors))
    frames = [rng.uniform(-0.1, 1.3, host.empty_frame().shape).astype(np.float32) for _ in range(2)]
    there = [device.empty_frame() for _ in frames]
    for frame, vectors in zip(frames, there, strict=True):
        rgba = np.concatenate([frame, np.ones_like(frame[:1])]).transpose(1, 2, 0)
        vectors.from_numpy(np.ascontiguousarray(rgba.reshape(-1, 4)))
    tiles = np.array([0, 2, 5, 8], np.int32)
    host.measure(*frames, tiles)
    device.measure(*there, tiles)
    assert host.image_rmse()[0] > 0.01
    np.testing.assert_allclose(device.image_rmse(), host.image_rmse(), rtol=1e-6)
    for noise in (1e-4, 0.05, 0.08, 0.1, 0.2):
        np.testing.assert_array_equal(device.tiles_above(noise), host.tiles_above(noise))
    host.copy(frames[0], frames[1], tiles[1:])
    device.copy(there[0], there[1], tiles[1:])
    np.testing.assert_array_equal(device.planes(there[1]), frames[1])
