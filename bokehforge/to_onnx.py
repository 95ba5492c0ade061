"""Write the networks of a renderer as ONNX files."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from renderers import renderer
from renderers.base import RendererError
from renderers.neural.onnx_export import OPSET, exported
from runtime import command
from runtime.files import write_whole


@dataclass(frozen=True)
class Options:
    """Write the networks of a renderer as ONNX files, of any batch, height and width.

    Their metadata say what they take and give. Renderers with an ONNX form: bokehme, reveal.
    Example: bokehforge onnx bokehme --out onnx
    """

    renderer: tyro.conf.Positional[str]
    """Name of the renderer."""
    out: Path
    """Folder of the files, NETWORK.onnx each. Files of these names are replaced."""
    weights: tuple[Path, ...] = ()
    """Checkpoints of your own, named after networks, instead of those that come with the project."""


def main(argv: list[str] | None = None, prog: str = "bokehforge onnx") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_export, options), prog, refusals=(RendererError,), path=options.out)


def _export(options: Options) -> int:
    # All of them, before the first is written.
    models = dict(exported(renderer(options.renderer, options.weights), options.renderer))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in models.items():
        path = options.out / f"{name}.onnx"
        write_whole(path, content)
        print(f"{path}: {len(content) / 1e6:.2f} MB, opset {OPSET}")
    return command.DONE


if __name__ == "__main__":
    raise SystemExit(main())
