"""Find the layers of a photograph, and write them."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from tyro.conf import arg

from bokehdata.format import DatasetError
from bokehdata.images import Part, write_exr_parts
from bokehdata.kinds.layers import RevealedPhotograph, write_layers
from bokehforge.maps import MapOptions, disparity_map, require_map
from bokehforge.photograph import Photograph
from renderers.base import RendererError
from renderers.layering import LAYERINGS, layering
from runtime import command
from runtime.command import OptionError, counted, require_within
from runtime.files import sha256_of
from runtime.progress import waiting
from scenes.color import HALF_MAX, storable_light
from scenes.layered_depth import LayeredDepthImage


@dataclass(frozen=True, kw_only=True)
class Options(MapOptions):
    """Find the layers of a photograph: what is seen, and a guess at what nearer things hide.

    A photograph is analysed once. `bokehforge render photo.layers` then sees it through any lens, and `bokehforge view
    photo.layers` shows what was found.
    Example: bokehforge layers photo.jpg --disparity photo_disparity.png --out photo.layers
    """

    image: tyro.conf.Positional[Path]
    """Sharp picture; integer files hold display values, floating-point ones (EXR, HDR, TIFF) linear light."""
    out: Path
    """Folder to write, which must not be there yet."""
    exr: Annotated[Path | None, arg(metavar="FILE.exr")] = None
    """Write also one OpenEXR file that compositors read: a part for the picture, and one for each layer."""
    analysis: str = "reveal0"
    """How layers are found, one of renderers.layering.LAYERINGS."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """For --analysis reveal: a checkpoint of your own in place of the one that ships."""
    reach: Annotated[float | None, arg(metavar="PX", help_behavior_hint="(default: any)")] = None
    """Largest blur radius in pixels that the layers will be seen with, 1 to 16384. With it, steps of disparity that
    change no radius by more than a pixel are no edges."""
    expand_highlights: float = 0.0
    """How much values near white are raised, as a camera clipped them; 0.4 makes them half as bright again."""


def main(argv: list[str] | None = None, prog: str = "bokehforge layers") -> int:
    """Run the command; returns its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    refusals = (DatasetError, RendererError)
    return command.exit_code(partial(_layers, options), prog, refusals=refusals, path=options.out)


def _layers(options: Options) -> int:
    if options.analysis not in LAYERINGS:
        raise OptionError(f"--analysis is {options.analysis!r}; it must be one of {', '.join(LAYERINGS)}")
    if options.weights is not None and options.analysis != "reveal":
        raise OptionError(f"--analysis {options.analysis} has no --weights; leave it out")
    require_within(("--expand-highlights", options.expand_highlights, 0.0, 10.0))
    command.require_counts(("--reach", options.reach, 1, command.SIDE_MAX_PX))
    _require_places(options)
    embedded = require_map(options, options.image, "bokehforge layers")
    photograph = Photograph.read(options.image, expand_highlights=options.expand_highlights)
    given = disparity_map(options, embedded, photograph.image)
    if given.disparity.max() > HALF_MAX:
        raise OptionError(
            f"the map spans {given.disparity.max():.6g}; at most {HALF_MAX:.0f} is stored: add --normalize"
        )
    # As renderers do that find layers themselves.
    linear = storable_light(photograph.image)
    reach_px = math.inf if options.reach is None else options.reach
    own: dict[str, Any] = {} if options.weights is None else {"weights": options.weights}
    with waiting(options.analysis):
        layers = layering(options.analysis)(linear, given.disparity, reach_px=reach_px, **own)
    assert isinstance(layers, LayeredDepthImage)
    sources = {"picture_sha256": sha256_of(options.image), **given.source}
    if options.weights is not None:
        sources["weights_sha256"] = sha256_of(options.weights)
    if options.expand_highlights:
        sources["expand_highlights"] = options.expand_highlights
    found = RevealedPhotograph(
        linear=linear,
        disparity=given.disparity,
        layers=layers,
        analysis=options.analysis,
        reach_px=reach_px,
        disparity_unit="1/m" if given.is_metric else "relative",
        disparity_shift=given.shift,
        sources=sources,
        icc=photograph.icc,
    )
    write_layers(options.out, found)
    print(f"{options.out}: {counted(len(layers.layers), 'layer')}, {options.analysis}")
    if options.exr is not None:
        write_exr_parts(options.exr, exr_parts(found))
        print(f"{options.exr}: {counted(2 * len(layers.layers) + 2, 'part')} for compositors")
    return command.DONE


def exr_parts(found: RevealedPhotograph) -> list[Part]:
    """What compositors read: the picture, which is the first, "rgba", and the layers near to far, inside the frame."""
    layers = found.layers
    opaque = np.ones((*found.linear.shape[:2], 1), np.float32)
    parts = [Part("rgba", np.concatenate([found.linear, opaque], axis=-1), layers.composite_depth())]
    for i in range(len(layers.layers)):
        depth = np.float32(1.0) / np.maximum(layers.frame_disparity(i), np.float32(1.0 / HALF_MAX))
        parts.append(Part(f"layer{i:02d}", layers.frame_rgba(i), depth))
    return parts


def _require_places(options: Options) -> None:
    """OptionError, before anything is computed, unless both can be written."""
    if options.out.exists() or options.out.is_symlink():
        raise OptionError(f"--out is {options.out}, which is there already; remove it, or name another")
    if options.exr is not None and options.exr.suffix.lower() != ".exr":
        raise OptionError(f"--exr is {options.exr}; the file must end in .exr")
    for name, path in (("--out", options.out), ("--exr", options.exr)):
        if path is not None:
            command.require_folder(name, path)


if __name__ == "__main__":
    raise SystemExit(main())
