"""Find the depth of a scene from a sharp picture of it and a blurred one."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import arg

from bokehdata.format import DatasetError
from bokehdata.images import read_disparity, read_display, write_exr_plane, write_levels
from inverse.depth_from_defocus.fit import METHODS, Fit, FitSettings, fit, num_steps
from inverse.depth_from_defocus.losses import LOSSES
from inverse.depth_from_defocus.network import WEIGHTS, estimated, rendered_by
from inverse.depth_from_defocus.problem import Pair, ProblemError
from inverse.depth_from_defocus.scores import scores
from inverse.depth_from_defocus.sheet import sheet
from renderers.base import RendererError
from runtime import command
from runtime.command import OptionError, require_counts, require_within
from runtime.files import replacing
from runtime.progress import Progress
from scenes.color import HALF_MAX, REFERENCE_GAMMA
from scenes.lens import ThinLens

_NETWORK = "network"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Find the depth of a scene from a sharp picture of it and the same through an open lens.

    A disparity is sought that blurs the sharp picture into the blurred one. Blur does not tell what is in front of the
    focus from what is behind it, but at edges: focus on the nearest or on the farthest thing where you can.
    Example: bokehforge depth sharp.png blurred.png --focus 1 --blur 12 --out depth.exr --picture depth.png
    """

    sharp: tyro.conf.Positional[Path]
    """Sharp picture; integer files hold display values, floating-point ones (EXR, HDR, TIFF) linear light."""
    blurred: tyro.conf.Positional[Path]
    """The same through the lens, of the same size and exposure."""
    focus: float
    """Disparity in focus."""
    blur: float
    """K, blur radius in pixels of what is one unit of disparity away from the focus."""
    out: Path
    """File of depth to write, .exr: 1 over the disparity found, in metres where that is in 1/m; 65504 is infinity.
    `bokehforge render --depth` reads it."""
    farthest: float = 0.0
    """The smallest disparity that may occur, at least 0."""
    nearest: float = 1.0
    """The largest disparity that may occur."""
    method: Annotated[str, arg(metavar="|".join((*METHODS, _NETWORK)))] = "drbokeh"
    """Renderer that the disparity is sought through; aperture mixes a stack of planes; network asks a trained one."""
    loss: Annotated[str, arg(metavar="|".join(LOSSES))] = "L1+G+H-SSIM"
    """Terms of the loss."""
    steps: int = 100
    """Steps of the descent at full size, 1 to 10,000; half as many come before, at half the size."""
    gamma: float = REFERENCE_GAMMA
    """Blur happens in linear light, display ** gamma."""
    weights: Path = WEIGHTS
    """For --method network: a checkpoint of your own."""
    truth: Path | None = None
    """Map of the true disparity: the scores are printed, and the picture shows its error."""
    picture: Path | None = None
    """Picture to write, .png or .jpg: what was given, what was found, and the errors."""


def main(argv: list[str] | None = None, prog: str = "bokehforge depth") -> int:
    """Run the command; returns its exit code: 0, 2 for input that cannot be used, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    refusals = (DatasetError, ProblemError, RendererError)
    return command.exit_code(partial(_depth, options), prog, refusals=refusals, path=options.out)


def _depth(options: Options) -> int:
    _require(options)
    try:
        lens = ThinLens(options.blur, options.focus)
    except ValueError as error:
        raise OptionError(f"--blur {options.blur:g}, --focus {options.focus:g}: {error}") from error
    sharp, blurred = (read_display(path) for path in (options.sharp, options.blurred))
    pair = Pair(sharp, blurred, lens, options.farthest, options.nearest, options.gamma)
    true = None if options.truth is None else read_disparity(options.truth)
    if true is not None and true.shape != sharp.shape[:2]:
        size = f"{true.shape[1]} x {true.shape[0]} px, the pictures are {sharp.shape[1]} x {sharp.shape[0]} px"
        raise OptionError(f"{options.truth}: is {size}")
    found = _found(options, pair)
    with replacing(options.out) as aside:
        write_exr_plane(aside, 1.0 / np.maximum(found.disparity, np.float32(1.0 / HALF_MAX)))
    if options.picture is not None:
        write_levels(options.picture, sheet(pair, found.disparity, found.rendered, true))
    last = f", loss {found.losses[-1]:.4g}" if found.losses else ""
    low, high = found.disparity.min(), found.disparity.max()
    print(f"{options.out}: {options.method}, disparity {low:.3g} to {high:.3g}{last}")
    if true is not None:
        print(json.dumps({name: round(value, 4) for name, value in scores(pair, found, true).items()}))
    return command.DONE


def _found(options: Options, pair: Pair) -> Fit:
    if options.method == _NETWORK:
        disparity = estimated(pair, options.weights)
        return Fit(disparity, rendered_by(pair, disparity), ())
    settings = FitSettings(method=options.method, loss=LOSSES[options.loss], steps=options.steps)
    with Progress(num_steps(pair, settings), "step") as progress:
        return fit(pair, settings, lambda loss: progress.add(note=f"loss {loss:.4g}"))


def _require(options: Options) -> None:
    """OptionError for what can be told before a picture is read."""
    for name, value, known in (
        ("--method", options.method, (*METHODS, _NETWORK)),
        ("--loss", options.loss, tuple(LOSSES)),
    ):
        if value not in known:
            raise OptionError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
    require_counts(("--steps", options.steps, 1, 10_000))
    require_within(("--gamma", options.gamma, 0.1, 10.0), ("--farthest", options.farthest, 0.0, 1e6))
    require_within(("--nearest", options.nearest, 0.0, 1e6), ("--focus", options.focus, 0.0, 1e6))
    require_within(("--blur", options.blur, 0.0, float(command.SIDE_MAX_PX)))
    command.require_writable("--out", options.out, (".exr",))
    if options.picture is not None:
        command.require_writable("--picture", options.picture, (".png", ".jpg", ".jpeg"))


if __name__ == "__main__":
    raise SystemExit(main())
