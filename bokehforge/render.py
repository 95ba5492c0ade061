"""Refocus one picture, or sweep the focus through it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tyro
from numpy.typing import NDArray

import renderers
from bokehdata.format import DatasetError
from bokehdata.images import read_disparity, read_display, write_exr_rgb, write_png
from renderers.base import Renderer, RendererError
from runtime import command
from runtime.command import OptionError
from runtime.files import replacing
from runtime.progress import Progress
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA, linear_from_display
from scenes.lens import ThinLens

_FRAMES_PER_SECOND = 15
_STILL = (".png", ".jpg", ".jpeg", ".exr")
_MOVING = (".gif", ".mp4")


@dataclass(frozen=True)
class Options:
    """Refocus a picture: what a lens of large aperture would have made of it.

    Methods that are given the picture alone have learned their lens: cocnet-b3, ampn, d2f, ... need no --disparity.
    Example: bokehforge render photo.jpg --disparity photo_disparity.png --focus 640,360 --blur 30 --out refocused.png
    """

    image: tyro.conf.Positional[Path]
    """Sharp picture; integer files hold display values, floating-point ones (EXR, HDR, TIFF) linear light."""
    out: Path
    """File to write: .png (16 bit), .jpg, .exr (linear light); .gif or .mp4 for a sweep."""
    disparity: Path | None = None
    """Map of the same size, larger is nearer: .exr or .npy as it is, integer files as 0 to 1."""
    blur: float | None = None
    """K, blur radius in pixels of what is one unit of disparity away from the focus. For d2f: of what is farthest, 68
    where none is given."""
    focus: str | None = None
    """X,Y: pixel to focus on, from the upper left; or D: a disparity. Not for a sweep. For d2f: from 0, the subject, to
    1, what is farthest."""
    sweep: int | None = None
    """Pictures of a focus sweep from the farthest to the nearest disparity; the film runs there and back."""
    gamma: float = REFERENCE_GAMMA
    """Blur happens in linear light, display ** gamma: larger values make brighter disks of highlights."""
    renderer: str = "bokehme"
    """Method, one of renderers.RENDERERS; those that need true layers cannot work on a photograph."""
    weights: tuple[Path, ...] = ()
    """Checkpoints of your own for neural renderers, named after their networks, such as arnet.safetensors."""
    mask: Path | None = None
    """For ampn: map of the same size of what stays sharp, 1 or white; files as for --disparity."""
    f_stop: float | None = None
    """For ampn: how far the aperture is closed, from 0, all of the blur, to 1, none."""
    matte: Path | None = None
    """For drbokeh-rgbd: map of the same size of the foreground, 1 or white, in place of its own; files as for
    --disparity."""


def main(argv: list[str] | None = None, prog: str = "bokehforge render") -> int:
    """Run the command; returns its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_render, options), prog, refusals=(DatasetError, RendererError), path=options.out)


def _render(options: Options) -> int:
    renderer = renderers.renderer(options.renderer, options.weights)
    for name in ("mask", "f_stop", "matte"):
        if getattr(options, name) is not None and name not in renderer.controls:
            raise OptionError(f"--renderer {options.renderer} has no --{name.replace('_', '-')}; leave it out")
    # A mask says what is sharp, as disparity and lens do.
    if options.mask is not None or (renderer.information == "picture" and options.disparity is None):
        return _render_picture_alone(options, renderer)
    _require_sane(options)
    assert options.disparity is not None
    image = read_display(options.image)
    disparity = _read_map(options.disparity, image)
    if options.matte is not None:
        renderer = renderer.with_controls(matte=_read_map(options.matte, image))
    if options.sweep is None:
        picture = _refocused(renderer, options, image, disparity, _focus_disparity(options.focus or "", disparity))
        _write_picture(options.out, picture)
    else:
        focus_disparities = np.linspace(max(float(disparity.min()), 0.0), float(disparity.max()), options.sweep)
        frames = []
        with Progress(options.sweep, "picture") as progress:
            for focus_disparity in focus_disparities:
                frames.append(_levels(_refocused(renderer, options, image, disparity, float(focus_disparity))))
                progress.add()
        _write_film(options.out, frames + frames[-2:0:-1])
    print(f"{options.out}: {options.renderer}, K {options.blur:g} px")
    return command.DONE


def _render_picture_alone(options: Options, renderer: Renderer) -> int:
    """Refocus a picture by a method that has learned its lens, with the settings of its own that are asked for."""
    for name in ("disparity", "blur", "focus", "sweep"):
        if getattr(options, name) is not None and name not in renderer.controls:
            raise OptionError(f"--renderer {options.renderer} has learned its lens; leave out --{name}")
    _require_ending(options, _STILL)
    image = read_display(options.image)
    settings: dict[str, Any] = {}
    for name in renderer.controls:
        if (value := getattr(options, name)) is not None:
            settings[name] = _read_map(value, image) if name == "mask" else value
    # Disparity and lens are not looked at, but that a K of 0 would be a pinhole.
    nothing = np.zeros(image.shape[:2], np.float32)
    picture = renderer.with_controls(**settings)(image, nothing, ThinLens(1.0, 0.0), gamma=options.gamma)
    _write_picture(options.out, picture)
    print(f"{options.out}: {options.renderer}")
    return command.DONE


def _read_map(path: Path, image: Picture) -> Plane:
    """A map of the size of the picture."""
    plane = read_disparity(path)
    if image.shape[:2] != plane.shape:
        sizes = [f"{shape[1]} x {shape[0]} px" for shape in (plane.shape, image.shape)]
        raise OptionError(f"{path}: is {sizes[0]}, the picture is {sizes[1]}; resize the map")
    return plane


def _require_sane(options: Options) -> None:
    if options.disparity is None or options.blur is None:
        raise OptionError(f"--renderer {options.renderer} needs --disparity and --blur")
    for name, value in (("--blur", options.blur), ("--gamma", options.gamma)):
        if not 0.0 <= value < float("inf") or (name == "--gamma" and value == 0.0):
            raise OptionError(f"{name} is {value:g}; it must be a number above 0")
    if (options.focus is None) == (options.sweep is None):
        raise OptionError("give either --focus or --sweep")
    if options.sweep is not None and options.sweep < 2:
        raise OptionError(f"--sweep is {options.sweep}; it must be at least 2")
    _require_ending(options, _STILL if options.sweep is None else _MOVING)


def _require_ending(options: Options, endings: tuple[str, ...]) -> None:
    if options.out.suffix.lower() not in endings:
        raise OptionError(f"--out is {options.out}; the file must end in {', '.join(endings)}")


def _focus_disparity(focus: str, disparity: Plane) -> float:
    """The disparity that --focus means: its own value, or that of a pixel."""
    try:
        numbers = [float(part) for part in focus.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and np.isfinite(numbers[0]) and numbers[0] >= 0.0:
        return numbers[0]
    if len(numbers) != 2:
        raise OptionError(f"--focus is {focus!r}; it must be a pixel X,Y or a disparity of at least 0")
    x, y = numbers
    height, width = disparity.shape
    if not (0 <= x < width and 0 <= y < height):
        raise OptionError(f"--focus is {focus!r}, outside of the picture of {width} x {height} px")
    return max(float(disparity[int(y), int(x)]), 0.0)


def _refocused(
    renderer: Renderer, options: Options, image: Picture, disparity: Plane, focus_disparity: float
) -> Picture:
    assert options.blur is not None
    lens = ThinLens(options.blur, focus_disparity)
    return renderer(image, disparity, lens, gamma=options.gamma)


def _levels(display: Picture) -> NDArray[np.uint8]:
    return np.rint(np.clip(display, 0.0, 1.0) * 255.0).astype(np.uint8)


def _write_picture(path: Path, display: Picture) -> None:
    with replacing(path) as aside:
        match path.suffix.lower():
            case ".exr":
                write_exr_rgb(aside, linear_from_display(display))
            case ".png":
                write_png(aside, display)
            case _:
                iio.imwrite(aside, _levels(display), quality=95)


def _write_film(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    if path.suffix.lower() == ".gif":
        iio.imwrite(path, frames, duration=1000 / _FRAMES_PER_SECOND, loop=0)
        return
    # The usual pixel format of H.264 halves colour, so that sides must be even.
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    even = [frame[:height, :width] for frame in frames]
    try:
        iio.imwrite(path, even, fps=_FRAMES_PER_SECOND, codec="libx264", macro_block_size=2, plugin="FFMPEG")
    except ImportError as error:
        raise OptionError(f"--out is {path}; MP4 needs the package imageio-ffmpeg, or write a .gif") from error
