"""Store trained weights as they ship: half floats, with the record of their training.

python training/ship.py runs/ampn/ampn.safetensors --out renderers/neural/ampn
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro
from safetensors.torch import save

from renderers.base import RendererError
from renderers.neural.checkpoints import in_half_floats, read_state
from renderers.neural.training_record import metadata_of, read_record
from runtime import command
from runtime.command import OptionError
from runtime.files import write_whole

# Of a file that comes with the project.
BYTES_MAX = 12_000_000


@dataclass(frozen=True)
class Options:
    """Store trained weights as they ship: half floats, with the record of their training.

    Example: python training/ship.py runs/ampn/ampn.safetensors --out renderers/neural/ampn
    """

    weights: tyro.conf.Positional[tuple[Path, ...]]
    """Files that training wrote."""
    out: Path
    """Folder of the network in renderers/neural, or any other. Files keep their names."""


def main(argv: list[str] | None = None, prog: str = "ship.py") -> int:
    """Run the command; returns its exit code: 0, 2 for bad input, 130 when interrupted."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_ship, options), prog, refusals=(RendererError,), path=options.out)


def _ship(options: Options) -> int:
    if not options.weights:
        raise OptionError("no weights are named; give files that training wrote")
    for path in options.weights:
        content = _shipped(path)
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(options.out / path.name, content)
        print(f"{options.out / path.name}: {len(content) / 1e6:.2f} MB, from {path.stat().st_size / 1e6:.2f} MB")
    return command.DONE


def _shipped(path: Path) -> bytes:
    record = read_record(path)
    try:
        content = save(in_half_floats(read_state(path)), metadata=None if record is None else metadata_of(record))
    except ValueError as error:
        raise RendererError(f"{path}: {error}") from error
    if len(content) > BYTES_MAX:
        size, most = len(content) / 1e6, BYTES_MAX / 1e6
        raise RendererError(f"{path}: takes {size:.1f} MB as half floats; weights that ship take {most:.0f} MB at most")
    return content


if __name__ == "__main__":
    raise SystemExit(main())
