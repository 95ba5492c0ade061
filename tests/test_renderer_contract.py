"""The contract that every entry of RENDERERS keeps, neural ones with any weights."""

import importlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numba
import numpy as np
import pytest

from renderers import RENDERERS, renderer
from renderers.base import Information, Renderer, RendererError, render_batch
from scenes.aperture import Polygon
from scenes.billboard import Billboard, Scene, overscan_px
from scenes.color import display_from_linear
from scenes.lens import ThinLens

pytestmark = pytest.mark.usefixtures("taichi_cpu")

EVERY = sorted(RENDERERS)

FROM_DISPARITY = [name for name in EVERY if RENDERERS[name].information in ("picture", "disparity")]
FROM_LAYERS = [name for name in EVERY if name not in FROM_DISPARITY]


@pytest.fixture(scope="module")
def entry(tmp_path_factory) -> Callable[[str], Renderer]:
    """An entry of RENDERERS; with random weights where it has networks, so that none needs to be trained first."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    folder: Path = tmp_path_factory.mktemp("weights")

    def weights_of(name: str) -> list[Path]:
        files = []
        networks = importlib.import_module(RENDERERS[name].modules[-1]).NETWORKS
        for network in (path.stem for path in RENDERERS[name].checkpoints):
            file = folder / f"{network}.safetensors"
            if not file.is_file():
                torch.manual_seed(0)
                save_file(networks[network]().state_dict(), file)
            files.append(file)
        return files

    # Weights are read once for a test.
    return lru_cache(1)(
        lambda name: renderer(name, weights_of(name)) if RENDERERS[name].checkpoints else RENDERERS[name]
    )


@pytest.fixture(scope="module")
def scene(random_scene) -> Scene:
    return random_scene(rng=np.random.default_rng(5), width=51, height=37, overscan=24, lights=3, light=4.0)


@pytest.fixture(scope="module")
def picture(scene) -> tuple[np.ndarray, np.ndarray]:
    return display_from_linear(scene.composite()), scene.composite_disparity()


@pytest.mark.parametrize("name", EVERY)
def test_it_is_a_renderer_and_says_what_it_is_given(name):
    entry = RENDERERS[name]
    assert isinstance(entry, Renderer)
    assert entry.information in get_args(Information)
    for module in entry.modules:
        importlib.import_module(module)


@pytest.mark.parametrize("name", EVERY)
def test_it_gives_a_picture_of_the_same_size(name, entry, scene, picture):
    before = [plane.copy() for plane in picture]
    refocused = entry(name)(*picture, ThinLens(15.0, 0.4), gamma=3.0, scene=scene)
    assert refocused.shape == picture[0].shape and refocused.dtype == np.float32
    assert np.isfinite(refocused).all() and refocused.min() >= 0.0
    # What it is given is left alone.
    assert all(np.array_equal(a, b) for a, b in zip(before, picture, strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_a_pinhole_changes_nothing(name, entry, scene, picture):
    refocused = entry(name)(*picture, ThinLens(0.0, 0.4), scene=scene)
    np.testing.assert_array_equal(refocused, picture[0])
    assert not np.shares_memory(refocused, picture[0])


@pytest.mark.parametrize("name", EVERY)
def test_it_has_no_state(name, entry, scene, picture):
    """The first call may load and compile, another picture may come between: equal inputs give equal bytes."""
    subject, lens = entry(name), ThinLens(9.0, 0.3)
    first = subject(*picture, lens, scene=scene)
    subject(*picture, ThinLens(4.0, 0.9), gamma=1.5, scene=scene)
    np.testing.assert_array_equal(subject(*picture, lens, scene=scene), first)


# torch splits its sums among threads.
@pytest.mark.parametrize("name", [name for name in EVERY if not RENDERERS[name].checkpoints])
def test_bytes_do_not_depend_on_the_number_of_threads(name, entry, scene, picture):
    results, threads = [], numba.get_num_threads()
    try:
        for n in (1, threads):
            numba.set_num_threads(n)
            results.append(entry(name)(*picture, ThinLens(9.0, 0.2), scene=scene))
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_is_its_pictures_one_by_one(name, entry, scene, picture):
    lenses = [ThinLens(5.0, 0.3), ThinLens(3.0, 0.9)]
    images, disparities = (np.stack([plane, plane]) for plane in picture)
    batch = render_batch(entry(name), images, disparities, lenses, scenes=[scene, scene])
    for i, lens in enumerate(lenses):
        np.testing.assert_array_equal(batch[i], entry(name)(*picture, lens, scene=scene))


@pytest.mark.parametrize("name", FROM_DISPARITY)
def test_only_k_times_disparity_matters(name, entry, picture):
    image, disparity = picture
    a = entry(name)(image, disparity, ThinLens(20.0, 0.4))
    b = entry(name)(image, np.float32(2.0) * disparity, ThinLens(10.0, 0.8))
    # A factor of two is exact in floating point.
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", EVERY)
def test_without_files_of_its_networks_and_on_the_cpu_it_is_itself(name, entry, scene, picture):
    assert RENDERERS[name].with_checkpoints([]) is RENDERERS[name]
    assert RENDERERS[name].with_checkpoints([Path("somebody_elses.safetensors")]) is RENDERERS[name]
    lens = ThinLens(9.0, 0.3)
    on_cpu = entry(name).on("cpu")(*picture, lens, scene=scene)
    np.testing.assert_array_equal(on_cpu, entry(name)(*picture, lens, scene=scene))


@pytest.mark.parametrize("name", EVERY)
def test_a_shape_of_the_aperture_is_rendered_or_refused_and_never_ignored(name, entry):
    """A light far out of focus becomes the shape: a triangle has about a third of its circle's area."""
    overscan = overscan_px(9.0)
    rgba = np.full((37 + 2 * overscan, 51 + 2 * overscan, 4), 0.03, np.float16)
    rgba[..., 3] = 1.0
    rgba[overscan + 18, overscan + 25, :3] = 100.0
    flat = Scene((Billboard(rgba, 1.0),), 51, 37, overscan)
    given = display_from_linear(flat.composite()), flat.composite_disparity()
    try:
        shown = entry(name)(*given, ThinLens(9.0, 0.0, Polygon(3)), scene=flat)
    except RendererError as error:
        assert "round aperture" in str(error)
        return
    if name != "identity":
        disk = entry(name)(*given, ThinLens(9.0, 0.0), scene=flat)
        lit = [np.count_nonzero(refocused.mean(axis=2) > 0.3) for refocused in (shown, disk)]
        # VDSLR's noise leaves holes in the disk. A shape that is ignored would give 1.
        assert lit[0] < (0.85 if name == "vdslr" else 0.7) * lit[1]


@pytest.mark.parametrize(
    ("image", "disparity", "message"),
    [
        (np.ones((14, 15), np.float32), np.ones((14, 15), np.float32), r"image is \(14, 15\)"),
        (np.ones((14, 15, 3)), np.ones((14, 15), np.float32), "float64"),
        (np.ones((14, 15, 3), np.float32), np.ones((15, 14), np.float32), r"disparity is \(15, 14\)"),
        (np.full((14, 15, 3), np.nan, np.float32), np.ones((14, 15), np.float32), "not finite"),
        (np.full((14, 15, 3), -0.1, np.float32), np.ones((14, 15), np.float32), "negative"),
        (np.ones((14, 15, 3), np.float32), np.full((14, 15), np.inf, np.float32), "disparity holds values"),
    ],
)
@pytest.mark.parametrize("name", EVERY)
def test_pictures_that_do_not_fit_are_named(name, image, disparity, message):
    with pytest.raises(RendererError, match=message):
        RENDERERS[name](image, disparity, ThinLens(3.0, 0.0))


@pytest.mark.parametrize("name", EVERY)
def test_a_gamma_of_zero_is_named(name):
    image, disparity = np.ones((14, 15, 3), np.float32), np.ones((14, 15), np.float32)
    with pytest.raises(RendererError, match="gamma is 0"):
        RENDERERS[name](image, disparity, ThinLens(3.0, 0.0), gamma=0.0)


@pytest.mark.parametrize("name", FROM_LAYERS)
def test_without_the_layers_that_it_is_given_it_says_so(name, picture):
    with pytest.raises(RendererError, match="needs the true layers"):
        RENDERERS[name](*picture, ThinLens(3.0, 0.0))


@pytest.mark.parametrize("name", FROM_LAYERS)
def test_layers_of_another_picture_are_named(name, scene):
    image, disparity = np.ones((14, 15, 3), np.float32), np.ones((14, 15), np.float32)
    with pytest.raises(RendererError, match=r"the scene is \(37, 51\), the image \(14, 15\)"):
        RENDERERS[name](image, disparity, ThinLens(3.0, 0.0), scene=scene)


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(RendererError, match=r"no renderer 'scater'; there are identity, scatter,"):
        renderer("scater")
