"""Focus and blur a picture by hand, in a page."""

import socket
import webbrowser
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from bokehdata.format import DatasetError
from bokehdata.kinds.layers import LayersFolder, is_layers
from bokehdata.opening import open_cases
from bokehforge.aperture import aperture_of
from bokehforge.maps import MapOptions, disparity_map, require_map
from bokehforge.photograph import Photograph
from bokehforge.studio import pictures
from bokehforge.studio.subjects import One, Scenes, Subject, Subjects, found_layers, subject_of_layers
from renderers.base import RendererError
from renderers.layering import LAYERINGS
from runtime import command
from runtime.backend import Backend, BackendError
from runtime.command import OptionError, counted, require_within
from runtime.progress import waiting
from runtime.workers import Worker, WorkerDied
from scenes.layered import SceneError

_HOST = "127.0.0.1"
_PORT_MAX = 65535


@dataclass(frozen=True, kw_only=True)
class Options(MapOptions):
    """Focus and blur a picture by hand: a page to click what is to be sharp.

    The page is at an address of this machine, which only this machine can open. It needs no network. Ctrl-C ends it.
    Example: bokehforge studio photo.jpg --disparity photo_disparity.png --open
    """

    subject: tyro.conf.Positional[Path]
    """Sharp picture; or a folder that `bokehforge layers` has written; or a dataset, whose pictures have a truth."""
    renderer: str = "layers-over"
    """Method that the page begins with, one of renderers.RENDERERS."""
    aperture: str = "disk"
    """Shape of the opening that the page begins with: disk, polygon:BLADES, polygon:BLADES:DEGREES, donut:INNER_RADIUS,
    or a picture of it."""
    analysis: str = "reveal0"
    """How the layers of a picture are found, one of renderers.layering.LAYERINGS."""
    expand_highlights: float = 0.0
    """How much values near white are raised, as a camera clipped them; 0.4 makes them half as bright again."""
    weights: tuple[Path, ...] = ()
    """Checkpoints of your own for neural renderers, named after their networks, such as arnet.safetensors."""
    arch: Backend = "cpu"
    """Where exact pictures are made."""
    port: int = 0
    """Port of the page on this machine, 0 to 65535; 0 takes one that is free."""
    open: bool = False
    """Open the page in the browser."""


def main(argv: list[str] | None = None, prog: str = "bokehforge studio") -> int:
    """Run the command; returns its exit code: 2 for input that cannot be used, 130 when it is ended by Ctrl-C."""
    options = tyro.cli(Options, args=argv, prog=prog)
    refusals = (DatasetError, RendererError, BackendError, SceneError)
    return command.exit_code(
        partial(_studio, options), prog, refusals=refusals, failures=(WorkerDied,), path=options.subject
    )


def _studio(options: Options) -> int:
    command.require_counts(("--port", options.port, 0, _PORT_MAX))
    require_within(("--expand-highlights", options.expand_highlights, 0.0, 10.0))
    if options.analysis not in LAYERINGS:
        raise OptionError(f"--analysis is {options.analysis!r}; it must be one of {', '.join(LAYERINGS)}")
    aperture_of(options.aperture)
    # Here, so that a missing package is told before the layers are found, and --help needs none.
    from bokehforge.studio import server

    subjects = _subjects(options)
    worker = Worker(pictures.begin, (subjects, options.weights, options.arch))
    try:
        worker.result(pictures.require_renderer, options.renderer)
        with waiting(subjects.names[0]):
            worker.result(pictures.opened, subjects.names[0])
        with _listening(options.port) as listening:
            address = f"http://{_HOST}:{listening.getsockname()[1]}/"
            told = {"title": options.subject.resolve().name, "renderer": options.renderer}
            studio = server.Studio(
                worker, subjects.names, options.weights, options.aperture, told | {"commands": _commands(options)}
            )
            if options.renderer not in studio.offered:
                raise OptionError(
                    f"--renderer is {options.renderer}, whose weights are missing; give them as --weights"
                )
            scenes = "" if isinstance(subjects, One) else f", {counted(len(subjects.names), 'scene')}"
            print(f"{address} shows {options.subject}{scenes}; Ctrl-C ends it", flush=True)
            if options.open:
                webbrowser.open(address)
            server.serve(studio.app(), listening)
    finally:
        worker.end()
    return command.DONE


def _subjects(options: Options) -> Subjects:
    if not options.subject.is_dir():
        return One(_photograph(options))
    if options.disparity is not None or options.depth is not None or options.invert or options.normalize:
        raise OptionError(
            f"{options.subject} has its disparity; --disparity, --depth, --invert and --normalize are for a picture"
        )
    if options.expand_highlights:
        raise OptionError(f"{options.subject} has its highlights; --expand-highlights is for a picture")
    if is_layers(options.subject):
        return One(subject_of_layers(LayersFolder.at(options.subject)))
    return Scenes.of(open_cases(options.subject), options.analysis)


def _photograph(options: Options) -> Subject:
    embedded = require_map(options, options.subject, "bokehforge studio")
    photograph = Photograph.read(options.subject, expand_highlights=options.expand_highlights)
    given = disparity_map(options, embedded, photograph.image)
    with waiting(options.analysis):
        layers = found_layers(photograph.image, given.disparity, options.analysis)
    return Subject(options.subject.name, photograph, given, layers)


def _commands(options: Options) -> dict[str, list[str]]:
    """Words of a shell for the same picture without the lens, of a method that is given a picture or layers.

    Layers of a picture are found by the first of two commands, "find". {} for a dataset.
    """
    subject = str(options.subject)
    weights = ["--weights", *map(str, options.weights)] if options.weights else []
    if options.subject.is_dir():
        render = ["bokehforge", "render", subject, *weights]
        return {"picture": render, "layers": render} if is_layers(options.subject) else {}
    given: list[str] = []
    for name in ("disparity", "depth"):
        if (value := getattr(options, name)) is not None:
            given += [f"--{name}", str(value)]
    if options.is_estimated:
        given += ["--depth-mean", *map(str, options.depth_mean), "--depth-std", *map(str, options.depth_std)]
        given += ["--depth-side", str(options.depth_side)]
    given += [f"--{name}" for name in ("invert", "normalize") if getattr(options, name)]
    if options.expand_highlights:
        given += ["--expand-highlights", f"{options.expand_highlights:g}"]
    layers = f"{options.subject.stem}.layers"
    return {
        "picture": ["bokehforge", "render", subject, *given, *weights],
        "find": ["bokehforge", "layers", subject, *given, "--analysis", options.analysis, "--out", layers],
        "layers": ["bokehforge", "render", layers, *weights],
    }


def _listening(port: int) -> socket.socket:
    """A socket of this machine alone; OptionError where the port is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
        # From here on browsers wait for an answer, and are not refused.
        listening.listen()
    except OSError as error:
        listening.close()
        raise OptionError(
            f"--port is {port}, which cannot be used ({error.strerror}); name another, or 0 for one that is free"
        ) from error
    return listening


if __name__ == "__main__":
    raise SystemExit(main())
