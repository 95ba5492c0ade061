"""Write the page of a dataset."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from bokehdata.format import DatasetError
from bokehdata.view import DEFAULT_SCENES, DEFAULT_SIDE_PX, write_page
from bokehdata.writer import size_text
from runtime import command
from runtime.command import counted


@dataclass(frozen=True)
class Options:
    """Write one self-contained page of a dataset: scenes, sliders for blur and focus, disparity and layers.

    The page needs no server and no network: open it in any browser.
    Example: bokehforge view datasets/default
    """

    dir: tyro.conf.Positional[Path]
    """Folder of the dataset, ours or in the layout of BLB."""
    out: Path | None = None
    """File of the page. Default: DIR.html beside the dataset."""
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
    page = write_page(
        options.dir,
        options.out or folder.with_name(f"{folder.name}.html"),
        scenes=options.scenes,
        side_px=options.side,
    )
    left_out = f" ({page.scenes_left_out} left out; see --scenes)" if page.scenes_left_out else ""
    print(
        f"{counted(page.scenes_shown, 'scene')}{left_out}, {size_text(page.bytes)}, open it in a browser: {page.path}"
    )
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
