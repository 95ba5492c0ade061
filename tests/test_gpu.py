"""A GPU traces and renders what the CPU does."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from raytrace.tracer import Tracer
from renderers import RENDERERS
from runtime import backend
from scenes.aperture import Polygon
from scenes.billboard import Scene
from scenes.lens import ThinLens

pytestmark = pytest.mark.gpu

ARCH: backend.Arch = "metal" if sys.platform == "darwin" else "cuda"
LENS = ThinLens(25.0, 0.4, Polygon(6, 10.0, 0.3))


def trace(scene: Scene, running: backend.Backend) -> np.ndarray:
    return Tracer(running).render(scene, LENS, gammas=(1.0, 2.2), pixel="box", samples=200).linear


@pytest.fixture(scope="module")
def gpu_process() -> Iterator[ProcessPoolExecutor]:
    """A process in which Taichi runs on the GPU, since each has one backend."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            process.submit(backend.start, ARCH).result()
        except backend.BackendError as absent:
            pytest.skip(str(absent))
        yield process


def refocus(name: str, scene: Scene) -> np.ndarray:
    image = np.random.default_rng(2).random((scene.height, scene.width, 3), np.float32)
    return RENDERERS[name](image, scene.composite_disparity(), ThinLens(25.0, 0.4), scene=scene)


@pytest.mark.skipif(ARCH != "cuda", reason="these sums are in float64, which Metal lacks")
@pytest.mark.parametrize("name", ["scatter", "vdslr", "sterefo", "d2f-layered", "cocnet-physical", "drbokeh"])
def test_a_gpu_refocuses_as_the_cpu_does(gpu_process, random_scene, name):
    scene = random_scene(rng=np.random.default_rng(1), slope=0.0, overscan=26, lights=10, light=10.0)
    on_gpu, on_cpu = gpu_process.submit(refocus, name, scene).result(), refocus(name, scene)
    # Rounding sends a few rays of VDSLR to the neighbour of a pixel; the rest are float64 sums.
    assert np.abs(on_gpu - on_cpu).mean() < 1e-4 and np.median(np.abs(on_gpu - on_cpu)) < 1e-6


@pytest.mark.parametrize("slope", [0.0, 1e-3], ids=["facing", "slanted"])
def test_a_gpu_traces_what_the_cpu_traces(gpu_process, taichi_cpu, random_scene, slope):
    scene = random_scene(rng=np.random.default_rng(1), slope=slope, overscan=26, lights=10, light=10.0)
    on_gpu = gpu_process.submit(trace, scene, ARCH).result()
    # Float32 sums of 600 terms, and positions of up to 129 px, good to 8e-6 px, beside lights of 10.
    np.testing.assert_allclose(on_gpu, trace(scene, taichi_cpu), rtol=2e-5, atol=4e-5)
