"""What several test files share: Taichi on the CPU, and small random scenes."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import cv2
import numpy as np
import pytest
from hypothesis import settings

from runtime import backend
from scenes.billboard import Billboard, Scene

# Tests run in two processes, each with as many threads as there are cores: a thread that waits must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# The same examples in every run, and no deadline: a slow machine must not fail a test.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def taichi_cpu() -> str:
    """Taichi, started once; the name of the backend for `Tracer`."""
    return backend.start("cpu")


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """No file can be written beyond its first bytes, so many, in this process and those that it starts."""

    @contextmanager
    def limited(file_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


# Not for the session: its event loop must not run under tests of other files.
@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; what asks for it is skipped where playwright or a browser is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next((path for name in names if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("no chromium on the path")
    switches = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=switches.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def random_scene() -> Callable[..., Scene]:
    return _random_scene


def _random_scene(
    *,
    rng: np.random.Generator,
    width: int = 77,
    height: int = 45,
    overscan: int = 24,
    num_layers: int = 3,
    slope: float = 0.0,
    lights: int = 0,
    light: float = 50.0,
    coverage: float = 0.5,
) -> Scene:
    """Fine random texture with soft, holed mattes, and bright texels.

    slope      largest change of disparity per pixel along x and along y, drawn for each layer
    lights     texels on every layer that reach `light`, in linear light
    coverage   of a layer by its matte, about; all layers but the last
    """
    shape = (height + 2 * overscan, width + 2 * overscan)
    layers = []
    for i, disparity in enumerate(np.linspace(0.9, 0.1, num_layers)):
        rgba = np.ones((*shape, 4), np.float32)
        # Three parts smooth structure, one part texture at the scale of a texel.
        for c in range(3):
            rgba[..., c] = 0.75 * _smooth_noise(shape, 4.0, rng) + 0.25 * rng.random(shape)
        if i < num_layers - 1:
            level = _smooth_noise(shape, 6.0, rng)
            rgba[..., 3] = np.clip((level - np.quantile(level, 1.0 - coverage)) * 8.0 + 0.5, 0.0, 1.0)
        y, x = rng.integers(shape[0], size=lights), rng.integers(shape[1], size=lights)
        rgba[y, x, :3] = light * rng.uniform(0.2, 1.0, (lights, 1))
        gx, gy = rng.uniform(-slope, slope, 2)
        layers.append(Billboard(rgba.astype(np.float16), float(disparity), (float(gx), float(gy))))
    return Scene(tuple(layers), width, height, overscan)


def _smooth_noise(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian-filtered noise, scaled to [0, 1]."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), sigma_px)
    return (noise - noise.min()) / (noise.max() - noise.min())
