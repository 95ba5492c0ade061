"""Write the page of a dataset."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from bokehdata.format import DatasetError
from bokehdata.kinds.layers import LayersFolder, is_layers
from bokehdata.layers_view import write_layers_page
from bokehdata.reader import Dataset
from bokehdata.view import DEFAULT_SCENES, DEFAULT_SIDE_PX, write_page
from bokehdata.writer import size_text
from runtime import command
from runtime.command import counted
from runtime.options import PlaceOption
from runtime.progress import Progress


@dataclass(frozen=True)
class Options:
    """Write one self-contained page of a dataset: scenes, sliders for blur and focus, disparity and layers.

    Of a folder that `bokehforge layers` has written, it shows the layers. The page needs no server and no network: open
    it in any browser. More than 300 scenes make a folder, DIR.view, whose index.html is the page; the same command
    resumes it.
    Example: bokehforge view datasets/default
    """

    dir: tyro.conf.Positional[PlaceOption]
    """Folder or URL of the dataset, ours or in the layout of BLB, or of layers."""
    out: Path | None = None
    """File of the page, or its folder. Default: DIR.html or DIR.view beside the dataset, or here for a URL."""
    scenes: int = DEFAULT_SCENES
    """Show at most this many scenes, 1 to 1,000,000."""
    side: int = DEFAULT_SIDE_PX
    """Longest side of the pictures in the page, 1 to 16384 pixels."""


def main(argv: list[str] | None = None, prog: str = "bokehforge view") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_view, options), prog, refusals=(DatasetError,), path=options.dir)


def _view(options: Options) -> int:
    command.require_counts(
        ("--scenes", options.scenes, 1, command.COUNT_MAX), ("--side", options.side, 1, command.SIDE_MAX_PX)
    )
    folder = options.dir.resolve()
    beside = folder.parent if isinstance(folder, Path) else Path()
    out = options.out or beside / f"{folder.name}.html"
    if isinstance(options.dir, Path) and is_layers(options.dir):
        size = write_layers_page(LayersFolder.at(options.dir), out, side_px=options.side)
        print(f"{size_text(size)}, open it in a browser: {out}")
        return command.DONE
    total = min(options.scenes, len(Dataset(options.dir)))
    with Progress(total, "scene") as progress:
        page = write_page(options.dir, out, scenes=options.scenes, side_px=options.side, on_scene=progress.add)
    left_out = f" ({page.scenes_left_out} left out; see --scenes)" if page.scenes_left_out else ""
    print(
        f"{counted(page.scenes_shown, 'scene')}{left_out}, {size_text(page.bytes)}, open it in a browser: {page.path}"
    )
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
