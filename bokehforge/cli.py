"""`bokehforge COMMAND`: one program for every stage. Each command is imported when it is asked for."""

import sys

from runtime import command

# Command: module with `main(argv, prog) -> exit code`, and a line of help.
COMMANDS = {
    "gen": ("raytrace.gen", "trace ground truth: scenes of billboards and their bokeh stacks"),
    "blender": ("blender_scripts.render_blb", "render ground truth with Blender Cycles: BLB-style 3D scenes"),
    "train": ("training.train", "train the networks of renderers: BokehMe's, DeepFocus, DeepLens, CoCNet, D2F, AMPN"),
    "layers": ("bokehforge.layers", "find the layers of a photograph, to see it through any lens"),
    "render": ("bokehforge.render", "refocus a picture, or sweep the focus through it"),
    "deblur": ("bokehforge.deblur", "deblur pictures that are out of focus, or measure what deblurs them"),
    "depth": ("bokehforge.depth", "find depth from a sharp and a blurred picture, through a renderer"),
    "studio": ("bokehforge.studio.command", "open a page to click what is to be sharp"),
    "benchmark": ("evaluation.benchmark", "measure renderers against ground truth"),
    "report": ("evaluation.report", "make tables, plots and a page of a benchmark"),
    "attack": ("bokehforge.attack", "attack classifiers through the depth map of a renderer of bokeh"),
    "export": ("bokehforge.export", "write data for other code: pairs, WebDataset, Parquet, BLB"),
    "import": ("bokehforge.importing", "make a dataset of folders of BLB and of pairs"),
    "onnx": ("bokehforge.to_onnx", "write the networks of a renderer as ONNX files, for other programs"),
    "lens": ("bokehforge.lens", "describe a real lens, draw its section and its point spread functions"),
    "verify": ("bokehforge.verify", "prove a dataset whole: checksums, shapes, ranges, one picture traced again"),
    "view": ("bokehforge.view", "write one self-contained page to look at a dataset"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code, 2 where there is no such command."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("bokehforge"))
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"bokehforge: error: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return command.BAD_INPUT
    return command.start(COMMANDS[name][0], rest, f"bokehforge {name}")


def _help() -> str:
    commands = "\n".join(f"  {name:10} {line}" for name, (_, line) in COMMANDS.items())
    return (
        "Ground truth, training and benchmarks for lens blur.\n\n"
        f"usage: bokehforge COMMAND [options]\n\n{commands}\n\n"
        "bokehforge COMMAND --help gives the options of a command.\n"
        "Example: bokehforge gen --scenes 100 && bokehforge view datasets/default"
    )
