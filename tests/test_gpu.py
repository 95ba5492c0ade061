"""A GPU traces and renders what the CPU does. Where there is none, Vulkan's software driver runs the same kernels."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import taichi as ti

from raytrace.convergence import SAMPLES_MAX
from raytrace.tracer import Tracer
from renderers import RENDERERS
from runtime import backend
from runtime.backend import Backend, BackendError
from scenes.aperture import Polygon
from scenes.billboard import Scene
from scenes.lens import ThinLens
from scenes.prescription import load_prescription
from scenes.thick_lens import ThickLens

pytestmark = pytest.mark.gpu

ARCHS: tuple[Backend, ...] = ("metal",) if sys.platform == "darwin" else ("cuda", "vulkan")
LENS = ThinLens(25.0, 0.4, Polygon(6, 10.0, 0.3))


@dataclass(frozen=True)
class Gpu:
    """A process in which Taichi runs on `arch`, since each has one backend."""

    arch: Backend
    process: ProcessPoolExecutor

    def __call__(self, function: Callable, *arguments) -> Any:
        return self.process.submit(function, *arguments, self.arch).result()


@pytest.fixture(scope="module")
def gpu() -> Iterator[Gpu]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        arch = next((arch for arch in ARCHS if process.submit(starts, arch).result()), None)
        if arch is None:
            pytest.skip(f"this machine has no {' and no '.join(ARCHS)}")
        yield Gpu(arch, process)


def starts(arch: Backend) -> bool:
    try:
        return backend.start(arch) == arch
    except BackendError:
        return False


def refocus(name: str, scene: Scene, arch: Backend) -> np.ndarray:
    image = np.random.default_rng(2).random((scene.height, scene.width, 3), np.float32)
    return RENDERERS[name].on(arch)(image, scene.composite_disparity(), ThinLens(25.0, 0.4), scene=scene)


def trace(scene: Scene, arch: Backend) -> np.ndarray:
    return Tracer(arch).render(scene, LENS, gammas=(1.0, 2.2), pixel="box", samples=200).linear


def trace_real_lens(scene: Scene, arch: Backend) -> np.ndarray:
    lens = ThickLens(load_prescription("biotar"), scene.width, scene.height, 0.02, 0.5, 5.0, Polygon(6), wavelengths=1)
    return Tracer(arch).render(scene, lens, samples=100).linear


def trace_points(scene: Scene, samples: int, arch: Backend) -> np.ndarray:
    return Tracer(arch).render(scene, LENS, samples=samples).linear


def trace_to_noise(scene: Scene, arch: Backend) -> tuple[np.ndarray, tuple[float, ...], int]:
    render = Tracer(arch).render(scene, LENS, noise=0.002)
    return render.linear, render.noise_rmse, render.samples


def frames_copied(scene: Scene, arch: Backend) -> int:
    """How many arrays of vectors come back from where Taichi runs while a picture is traced to a noise."""
    copied, to_numpy = [], ti.VectorNdarray.to_numpy
    ti.VectorNdarray.to_numpy = lambda self: copied.append(self.shape) or to_numpy(self)
    try:
        assert Tracer(arch).render(scene, LENS, noise=0.002).samples > 64
    finally:
        ti.VectorNdarray.to_numpy = to_numpy
    return len(copied)


# Those that have kernels of their own for it; the others run on the CPU whatever they are on.
@pytest.mark.parametrize(
    "name",
    [
        "scatter",
        "scatter-taichi",
        "vdslr",
        "sterefo",
        "d2f-layered",
        "cocnet-physical",
        "drbokeh",
        "drbokeh-release",
        "layers-over",
        "reveal0",
        "oracle-layers",
    ],
)
def test_a_gpu_refocuses_as_the_cpu_does(gpu, taichi_cpu, random_scene, name):
    scene = random_scene(rng=np.random.default_rng(1), slope=0.0, overscan=26, lights=10, light=10.0)
    on_gpu, on_cpu = gpu(refocus, name, scene), refocus(name, scene, taichi_cpu)
    assert not np.array_equal(on_cpu, refocus("identity", scene, taichi_cpu))
    # Rounding sends a few rays of VDSLR to the neighbour of a pixel; the rest are float64 sums.
    assert np.abs(on_gpu - on_cpu).mean() < 1e-4 and np.median(np.abs(on_gpu - on_cpu)) < 1e-6


@pytest.mark.parametrize("slope", [0.0, 1e-3], ids=["facing", "slanted"])
def test_a_gpu_traces_what_the_cpu_traces(gpu, taichi_cpu, random_scene, slope):
    scene = random_scene(rng=np.random.default_rng(1), slope=slope, overscan=26, lights=10, light=10.0)
    on_gpu = gpu(trace, scene)
    # Float32 sums of 600 terms, and positions of up to 129 px, good to 8e-6 px, beside lights of 10.
    np.testing.assert_allclose(on_gpu, trace(scene, taichi_cpu), rtol=2e-5, atol=4e-5)


def test_a_gpu_traces_rays_through_a_real_lens(gpu, taichi_cpu, random_scene):
    scene = random_scene(rng=np.random.default_rng(1), slope=1e-3, overscan=26)
    difference = np.abs(gpu(trace_real_lens, scene) - trace_real_lens(scene, taichi_cpu))
    # Float32 as above; a ray at a rim may pass on one of the two alone, and has 1/100 of the light of a pixel.
    assert np.quantile(difference, 0.99) < 1e-4 and difference.max() < 0.03


@pytest.mark.parametrize("slope", [0.0, 1e-3], ids=["facing", "slanted"])
def test_a_gpu_traces_any_number_of_lens_points(gpu, taichi_cpu, random_scene, slope):
    """Drivers end long loops: the means of few and of many points would differ by far more than noise."""
    scene = random_scene(rng=np.random.default_rng(1), slope=slope, overscan=26, width=32, height=16, num_layers=5)
    few, many = gpu(trace_points, scene, 512), gpu(trace_points, scene, SAMPLES_MAX)
    assert abs(few.mean() / many.mean() - 1.0) < 1e-3
    np.testing.assert_allclose(many, few, atol=0.05 * few.max())


@pytest.mark.parametrize("slope", [0.0, 1e-3], ids=["facing", "slanted"])
def test_a_gpu_traces_to_the_same_noise(gpu, taichi_cpu, random_scene, slope):
    scene = random_scene(rng=np.random.default_rng(1), slope=slope, overscan=26, lights=10, light=10.0)
    (on_gpu, noise, samples), (on_cpu, cpu_noise, cpu_samples) = (
        gpu(trace_to_noise, scene),
        trace_to_noise(scene, "cpu"),
    )
    # Every tile has as many lens points.
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=2e-5, atol=4e-5)
    np.testing.assert_allclose(noise, cpu_noise, rtol=1e-3)
    assert samples == cpu_samples > 64


def test_frames_stay_on_a_gpu_until_they_are_finished(gpu, random_scene):
    assert gpu(frames_copied, random_scene(rng=np.random.default_rng(1), overscan=26)) == 1
