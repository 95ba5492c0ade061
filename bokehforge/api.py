"""The public interface in Python: open a dataset, trace a scene, refocus a picture, score it.

Pictures are (H, W, 3) float32 display values, linear light is `display ** gamma`, and disparities are larger where it
is nearer. `scenes.lens` has all conventions.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import renderers
from bokehdata.cases import Case
from bokehdata.format import DatasetError
from bokehdata.opening import open_cases
from renderers.base import RendererError
from runtime import backend
from runtime.backend import Arch, Backend
from runtime.storage import place
from scenes.aperture import Aperture, Disk, Donut, Mask, Polygon
from scenes.arrays import Picture, Plane
from scenes.billboard import Billboard, Scene
from scenes.color import REFERENCE_GAMMA, display_from_linear
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens
from scenes.stack import Pixel

__all__ = [
    "Aperture",
    "Billboard",
    "Case",
    "DatasetError",
    "Disk",
    "Donut",
    "Mask",
    "Polygon",
    "RendererError",
    "Scene",
    "SceneError",
    "ThinLens",
    "Traced",
    "open_dataset",
    "refocus",
    "renderer_names",
    "score",
    "trace",
]


def open_dataset(folder: Path | str) -> list[Case]:
    """Every picture of a folder that has a truth, in a fixed order; nothing is read before a case is asked for it.

    folder   path or URL of a dataset of ours, of BLB scenes, of EBB!, VABD, RealBokeh, DPDD or other pairs, or plain
    raises   DatasetError for a folder of another layout, or without pictures
    """
    return open_cases(place(folder))


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced picture.

    image        (H, W, 3) display values, not clipped at 1
    noise_rmse   estimated RMSE against the converged picture, of display values clipped to [0, 1]; nan where the number
                 of lens points was given
    lens_points  rays through every pixel
    """

    image: Picture
    noise_rmse: float
    lens_points: int


def trace(
    scene: Scene,
    lens: ThinLens,
    *,
    noise: float | None = 0.002,
    lens_points: int | None = None,
    gamma: float = REFERENCE_GAMMA,
    pixel: Pixel = "point",
    arch: Arch = "cpu",
) -> Traced:
    """The true picture of a scene through a lens.

    noise         display RMSE to reach; ignored where `lens_points` are given
    gamma         blur happens in linear light, display ** gamma
    pixel         "point": rays go through the pixel's centre; "box": they are averaged over its area
    arch          where it is traced; "auto" takes a GPU where there is one
    raises        SceneError where the scene's overscan is too small for the lens, ValueError for numbers out of range,
                  runtime.backend.BackendError for a backend that is not there
    """
    from raytrace.tracer import Tracer

    found = _tracing_backend(arch)
    render = Tracer(found).render(
        scene, lens, gammas=(gamma,), pixel=pixel, samples=lens_points, noise=noise if lens_points is None else None
    )
    return Traced(display_from_linear(render.linear[0], gamma), render.noise_rmse[0], render.samples)


def renderer_names() -> tuple[str, ...]:
    """The names of the renderers that `refocus` knows."""
    return tuple(renderers.RENDERERS)


def refocus(
    image: Picture,
    disparity: Plane,
    lens: ThinLens,
    *,
    renderer: str = "bokehme",
    gamma: float = REFERENCE_GAMMA,
    scene: LayeredScene | None = None,
    weights: Sequence[Path | str] = (),
    arch: Backend = "cpu",
) -> Picture:
    """The picture that a renderer makes of an all-in-focus one: (H, W, 3) float32 display values, not clipped.

    image       all in focus, (H, W, 3) float32 display values
    disparity   (H, W) float32, in the unit of the lens; zeros for a method that is given the picture alone
    renderer    one of `renderer_names()`
    scene       true layers, for the methods that need them; `case.layers()` has them
    weights     checkpoints of your own, named after networks
    raises      RendererError for an unknown name, inputs that do not fit, and weights or layers that are missing
    """
    made = renderers.renderer(renderer, tuple(Path(file) for file in weights)).on(arch)
    return made(image, disparity, lens, gamma=gamma, scene=scene)


def score(prediction: Picture, truth: Picture, *, lpips: bool = False) -> dict[str, float | None]:
    """RMSE, scale-invariant RMSE, PSNR in dB, SSIM, SSIM in uniform windows of 7 x 7, and ZNCC of display values.

    prediction, truth   (H, W, 3), clipped to [0, 1] first; ValueError where their sizes differ
    lpips               compute LPIPS as well; evaluation.lpips.LpipsUnavailable where its weights are not installed
    returns             None for what has no value, such as the PSNR of equal pictures
    """
    from evaluation import scoring
    from evaluation.lpips import Lpips

    metric = Lpips() if lpips else None
    with ThreadPoolExecutor(2) as pool:
        scores, _ = scoring.score(prediction, truth, {}, lpips=metric, pool=pool)
    return scores if lpips else {name: value for name, value in scores.items() if name != "lpips"}


def _tracing_backend(arch: Arch) -> Backend:
    """Where Taichi runs in this process; it is started where it does not."""
    if arch == "auto":
        return backend.running() or backend.start(arch)
    backend.require(arch)
    return arch
