"""Refocus one picture, or sweep the focus through it."""

import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from tyro.conf import arg

import renderers
from bokehdata.format import DatasetError
from bokehdata.kinds.layers import LayersFolder, shifted
from bokehforge.aperture import aperture_of
from bokehforge.maps import DisparityMap, MapOptions, disparity_map, map_of_layers, read_map, require_map
from bokehforge.photograph import MOVING, STILL, Film, Photograph
from renderers.base import Renderer, RendererError
from runtime import command
from runtime.backend import Backend, BackendError
from runtime.command import OptionError, require_within
from runtime.progress import Progress, waiting
from scenes.arrays import Picture, Plane
from scenes.color import REFERENCE_GAMMA
from scenes.layered import LayeredScene, SceneError
from scenes.lens import ThinLens, blur_parameter_from_f_number
from scenes.planes import billboards

_SWEEP_MAX = 1000

# What a renderer that is given the picture alone does not look at.
_OF_THE_LENS = (
    *("disparity", "depth", "invert", "normalize", "blur", "max_radius", "f_number", "focal_length", "sensor_width"),
    *("focus", "sweep", "sweep_from", "sweep_to", "aperture", "gamma", "expand_highlights"),
)

# Rounding of the blur radius that layers are made for.
_REACH_SLACK = 1.0 + 1e-5


@dataclass(frozen=True, kw_only=True)
class Options(MapOptions):
    """Refocus a picture: what a lens of large aperture would have made of it.

    How much is blurred is said by one of --blur, --max-radius, or with --depth by --f-number, --focal-length and
    --sensor-width. Methods that are given the picture alone have learned their lens: cocnet-b3, ampn, d2f, ... need no
    --disparity.
    Example: bokehforge render photo.jpg --disparity photo_disparity.png --focus 640,360 --max-radius 30 --out new.jpg
    """

    image: tyro.conf.Positional[Path]
    """Sharp picture; integer files hold display values, floating-point ones (EXR, HDR, TIFF) linear light. Or a folder
    that `bokehforge layers` has written: it needs no map, and is not analysed again."""
    out: Path
    """File to write: .png (16 bit), .jpg, .exr (linear light); for a sweep .gif, .mp4, or a folder of frames. Colour
    profile and EXIF of the picture are kept in .png and .jpg."""
    blur: float | None = None
    """K, blur radius in pixels of what is one unit of disparity away from the focus. For d2f: of what is farthest, 68
    where none is given."""
    max_radius: float | None = None
    """Largest blur radius in the picture, in pixels, at most its longer side; in a sweep, of all its pictures."""
    f_number: float | None = None
    """f-number of the lens."""
    focal_length: float | None = None
    """Focal length of the lens in mm."""
    sensor_width: float = 36.0
    """Width of the sensor in mm, 0.1 to 1000, along the picture's longer side."""
    focus: str | None = None
    """X,Y: pixel to focus on, from the upper left; D: a disparity; or Zm: a distance in metres, with --depth. Not for a
    sweep. For d2f: from 0, the subject, to 1, what is farthest."""
    sweep: int | None = None
    """Pictures of a focus sweep, 2 to 1000, from the farthest to the nearest disparity; a film runs there and back."""
    sweep_from: float | None = None
    """Disparity that a sweep begins at."""
    sweep_to: float | None = None
    """Disparity that a sweep ends at."""
    fps: float = 15.0
    """Pictures a second in a film, 0.1 to 240."""
    aperture: str = "disk"
    """Shape of the opening: disk, polygon:BLADES, polygon:BLADES:DEGREES, donut:INNER_RADIUS, or a picture of it."""
    gamma: float = REFERENCE_GAMMA
    """Blur happens in linear light, display ** gamma: larger values make brighter disks of highlights."""
    expand_highlights: float = 0.0
    """How much values near white are raised before the blur, as a camera clipped them; 0.4 makes them half as bright
    again."""
    renderer: Annotated[str | None, arg(help_behavior_hint="(default: bokehme; of layers layers-over)")] = None
    """Method, one of renderers.RENDERERS; those that are given layers need a folder of them."""
    weights: tuple[Path, ...] = ()
    """Checkpoints of your own for neural renderers, named after their networks, such as arnet.safetensors."""
    arch: Backend = "cpu"
    """Where the method runs."""
    mask: Path | None = None
    """For ampn: map of what stays sharp, 1 or white; files as for --disparity."""
    f_stop: float | None = None
    """For ampn: how far the aperture is closed, from 0, all of the blur, to 1, none."""
    matte: Path | None = None
    """For drbokeh-rgbd: map of the foreground, 1 or white, in place of its own; files as for --disparity."""


def main(argv: list[str] | None = None, prog: str = "bokehforge render") -> int:
    """Run the command; returns its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    refusals = (DatasetError, RendererError, BackendError, SceneError)
    return command.exit_code(partial(_render, options), prog, refusals=refusals, path=options.out)


def _render(options: Options) -> int:
    folder = LayersFolder.at(options.image) if options.image.is_dir() else None
    name = options.renderer or ("bokehme" if folder is None else "layers-over")
    renderer = renderers.renderer(name, options.weights)
    if renderer.information in ("layers", "truth") and folder is None:
        raise OptionError(
            f"--renderer {name} needs the true layers of a scene; a photograph has none, and `bokehforge layers` "
            "finds some"
        )
    for control in ("mask", "f_stop", "matte"):
        if getattr(options, control) is not None and control not in renderer.controls:
            raise OptionError(f"--renderer {name} has no --{control.replace('_', '-')}; leave it out")
    require_within(("--gamma", options.gamma, 0.1, 10.0), ("--expand-highlights", options.expand_highlights, 0.0, 10.0))
    has_map = options.disparity is not None or options.depth is not None
    if folder is not None and (has_map or options.invert or options.normalize or options.expand_highlights):
        raise OptionError(
            f"{options.image} has its disparity and its highlights; "
            "--disparity, --depth, --invert, --normalize and --expand-highlights are for `bokehforge layers`"
        )
    # A mask says what is sharp, as disparity and lens do.
    if options.mask is not None or renderer.information == "picture":
        return _render_picture_alone(options, name, renderer, folder)
    return _render_with_map(options, name, renderer.on(options.arch), folder)


def _render_with_map(options: Options, name: str, renderer: Renderer, folder: LayersFolder | None) -> int:
    """Refocus by a map and a lens."""
    embedded = None if folder is not None else require_map(options, options.image, f"--renderer {name}")
    _require_lens(options)
    _require_place(options.out, STILL if options.sweep is None else (*MOVING, ""))
    aperture = aperture_of(options.aperture)
    photograph = _photograph(options, folder)
    image = photograph.image
    if folder is None:
        given, layers = disparity_map(options, embedded, image), None
    else:
        given, layers = map_of_layers(folder), folder.layers()
    renderer = renderer.with_controls(**_controls(options, renderer, image))
    focuses = _focus_disparities(options, given)
    # A lens cannot be focused behind infinity: where it is asked to be, all is moved towards it.
    shift = min(0.0, *focuses)
    disparity, focuses = given.disparity - np.float32(shift), [focus - shift for focus in focuses]
    scene = None if layers is None else shifted(layers, -shift)
    blur_parameter, radius_px = _blur_parameter(options, given, disparity, focuses)
    if folder is not None and radius_px > folder.reach_px * _REACH_SLACK:
        print(
            f"{options.image}: its layers were made for blur radii of up to {folder.reach_px:g} px, "
            f"and the largest here is {radius_px:.4g} px",
            file=sys.stderr,
        )

    def refocused(focus_disparity: float) -> Picture:
        lens = ThinLens(blur_parameter, focus_disparity, aperture)
        seen: LayeredScene | None = scene
        if scene is not None and renderer.information == "truth" and not lens.is_pinhole:
            seen = billboards(scene, lens)
        return renderer(image, disparity, lens, gamma=options.gamma, scene=seen)

    if options.sweep is None:
        with waiting(name):
            picture = refocused(focuses[0])
        photograph.write(options.out, picture)
    else:
        film = Film(options.out, photograph, len(focuses), options.fps)
        with Progress(len(focuses), "picture") as progress:
            for focus_disparity in focuses:
                film.add(refocused(focus_disparity))
                progress.add()
        film.finish()
    print(f"{options.out}: {name}, K {blur_parameter:g} px")
    return command.DONE


def _render_picture_alone(options: Options, name: str, renderer: Renderer, folder: LayersFolder | None) -> int:
    """Refocus a picture by a method that has learned its lens, with the settings of its own that are asked for."""
    for option in _OF_THE_LENS:
        if getattr(options, option) != getattr(Options, option) and option not in renderer.controls:
            raise OptionError(
                f"--renderer {name} is given the picture, and no lens; leave out --{option.replace('_', '-')}"
            )
    _require_place(options.out, STILL)
    photograph = _photograph(options, folder)
    image = photograph.image
    settings = _controls(options, renderer, image)
    # Disparity and lens are not looked at, but that a K of 0 would be a pinhole.
    nothing, lens = np.zeros(image.shape[:2], np.float32), ThinLens(1.0, 0.0)
    renderer = renderer.on(options.arch).with_controls(**settings)
    with waiting(name):
        picture = renderer(image, nothing, lens, gamma=options.gamma)
    photograph.write(options.out, picture)
    print(f"{options.out}: {name}")
    return command.DONE


def _controls(options: Options, renderer: Renderer, image: Picture) -> dict[str, Any]:
    """Settings of the renderer's own that are asked for; maps are read."""
    asked = {name: value for name in renderer.controls if (value := getattr(options, name)) is not None}
    return {name: read_map(value, image) if isinstance(value, Path) else value for name, value in asked.items()}


def _photograph(options: Options, folder: LayersFolder | None) -> Photograph:
    if folder is None:
        return Photograph.read(options.image, expand_highlights=options.expand_highlights)
    return Photograph.of_layers(folder)


def _require_place(out: Path, endings: tuple[str, ...]) -> None:
    """OptionError unless a file of such an ending can be written; "" is a folder that is not there or empty."""
    command.require_writable("--out", out, endings)
    if out.is_dir() and (out.suffix or any(out.iterdir())):
        raise OptionError(f"--out is {out}, a folder with files in it; name one that is not there yet")
    if not out.suffix and out.is_file():
        raise OptionError(f"--out is {out}, a file; the file must end in {', '.join(endings)}")


def _require_lens(options: Options) -> None:
    """OptionError unless one way to say how much is blurred, and focus or sweep are given."""
    amounts = [options.blur, options.max_radius, options.f_number]
    if sum(amount is not None for amount in amounts) != 1:
        raise OptionError("give one of --blur, --max-radius, --f-number, which say how much is blurred")
    for name, value in (("--blur", options.blur), ("--max-radius", options.max_radius)):
        if value is not None and not 0.0 <= value < float("inf"):
            raise OptionError(f"{name} is {value:g}; it must be a number of at least 0")
    for name, value in (("--f-number", options.f_number), ("--focal-length", options.focal_length)):
        if value is not None and not 0.0 < value < float("inf"):
            raise OptionError(f"{name} is {value:g}; it must be a number above 0")
    require_within(("--sensor-width", options.sensor_width, 0.1, 1000.0), ("--fps", options.fps, 0.1, 240.0))
    if (options.focus is None) == (options.sweep is None):
        raise OptionError("give either --focus or --sweep")
    if options.sweep is not None:
        require_within(("--sweep", options.sweep, 2, _SWEEP_MAX))
    elif options.sweep_from is not None or options.sweep_to is not None:
        raise OptionError("--sweep-from and --sweep-to are for --sweep")


def _focus_disparities(options: Options, given: DisparityMap) -> list[float]:
    """The disparities to focus on, as the map has them after its shift; a word where it has nothing there."""
    low, high = float(given.disparity.min()), float(given.disparity.max())
    if options.sweep is None:
        focuses = [_focus_disparity(options, given)]
    else:
        begin = low if options.sweep_from is None else options.sweep_from + given.shift
        end = high if options.sweep_to is None else options.sweep_to + given.shift
        focuses = [float(focus) for focus in np.linspace(begin, end, options.sweep)]
    for focus in focuses:
        if not np.isfinite(focus):
            raise OptionError(f"the focus is {focus}; it must be a number")
    # Single precision of the map.
    slack = 1e-6 * max(abs(low), abs(high))
    if outside := [focus - given.shift for focus in focuses if not low - slack <= focus <= high + slack]:
        what = f"{len(outside)} of {len(focuses)} focuses are" if options.sweep else f"the focus {outside[0]:g} is"
        there = f"{low - given.shift:g} to {high - given.shift:g}"
        print(f"{what} outside of the map's disparities, {there}: nothing is sharp", file=sys.stderr)
    return focuses


def _focus_disparity(options: Options, given: DisparityMap) -> float:
    """The disparity that --focus means: its own value, a distance, or that of a pixel."""
    focus = options.focus or ""
    if distance := re.fullmatch(r"([0-9.]+) ?m", focus):
        try:
            distance_m = float(distance[1])
        except ValueError:
            distance_m = 0.0
        if not given.is_metric or distance_m <= 0.0:
            raise OptionError(f"--focus is {focus!r}; a distance must be above 0 m, and is for --depth in metres")
        return 1.0 / distance_m
    try:
        numbers = [float(part) for part in focus.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0] + given.shift
    if len(numbers) != 2:
        raise OptionError(f"--focus is {focus!r}; it must be a pixel X,Y, a disparity, or a distance such as 2.5m")
    x, y = numbers
    height, width = given.disparity.shape
    if not (0 <= x < width and 0 <= y < height):
        raise OptionError(f"--focus is {focus!r}, outside of the picture of {width} x {height} px")
    return float(given.disparity[int(y), int(x)])


def _blur_parameter(
    options: Options, given: DisparityMap, disparity: Plane, focuses: list[float]
) -> tuple[float, float]:
    """K in pixels per unit of the disparity, and the largest blur radius in pixels.

    OptionError for a blur that is larger than the picture, and for a camera where the map is not in 1/m.
    """
    low, high = float(disparity.min()), float(disparity.max())
    reach = max(max(abs(low - focus), abs(high - focus)) for focus in focuses)
    longer = max(disparity.shape)
    if options.max_radius is not None:
        if reach == 0.0:
            raise OptionError("--max-radius has nothing to blur: the map is in focus everywhere")
        blur_parameter = options.max_radius / reach
    elif options.f_number is not None:
        if not given.is_metric or options.focal_length is None:
            raise OptionError("--f-number needs --depth in metres and --focal-length in mm")
        focal_length_m, sensor_m = options.focal_length / 1000.0, options.sensor_width / 1000.0
        blur_parameter = blur_parameter_from_f_number(focal_length_m, options.f_number, sensor_m, longer)
    else:
        assert options.blur is not None
        blur_parameter = options.blur
    if blur_parameter * reach > longer:
        raise OptionError(
            f"the largest blur radius is {blur_parameter * reach:.4g} px (K {blur_parameter:g}); "
            f"at most {longer} px, the picture's longer side, are rendered"
        )
    return blur_parameter, blur_parameter * reach
