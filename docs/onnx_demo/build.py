"""Make a folder with a page that refocuses a picture in the browser: BokehMe by onnxruntime-web.

    python docs/onnx_demo/build.py --out demo
    python -m http.server --directory demo --bind 127.0.0.1

The picture is traced. npm brings onnxruntime-web, which package-lock.json names by its digest; then the folder is
complete, and the page asks for nothing outside it.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from raytrace.tracer import Tracer
from renderers import RENDERERS
from renderers.base import RendererError
from renderers.neural.onnx_export import exported
from runtime import backend, command
from runtime.command import OptionError
from runtime.files import sha256_of, unfinished
from scenes.color import REFERENCE_GAMMA, display_from_linear
from scenes.lens import ThinLens
from scenes.recipe import load_recipe
from scenes.sampling import sample_scene

_HERE = Path(__file__).parent

_PAGE = ("index.html", "page.js", "worker.js", "bokehme.js", "networks.js")

# Of the package, what the page loads: the library for WebAssembly, and its code, under names that every server knows.
_LIBRARY = {
    "ort.wasm.bundle.min.mjs": "ort.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}

_RECIPE, _SEED, _SCENE = "default", 14, 1
_WIDTH, _HEIGHT = 360, 240

_NPM_SECONDS_MAX = 300


@dataclass(frozen=True)
class Options:
    """Make a folder with a page that refocuses a picture in the browser: BokehMe by onnxruntime-web.

    Example: python docs/onnx_demo/build.py --out demo && python -m http.server --directory demo --bind 127.0.0.1
    """

    out: Path
    """Folder of the page, which must not be there yet."""


def main(argv: list[str] | None = None, prog: str = "build.py") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_build, options), prog, refusals=(RendererError,), path=options.out)


def _build(options: Options) -> int:
    with _new_folder(options.out) as folder:
        _add_library(folder / "ort")
        for name in _PAGE:
            shutil.copyfile(_HERE / name, folder / name)
        bokehme = RENDERERS["bokehme"]
        for name, content in exported(bokehme, "bokehme"):
            (folder / f"{name}.onnx").write_bytes(content)
        picture, disparity = _traced()
        picture.transpose(2, 0, 1).astype("<f4").tofile(folder / "picture.f32")
        disparity.astype("<f4").tofile(folder / "disparity.f32")
        about = {
            "width": _WIDTH,
            "height": _HEIGHT,
            "gamma": REFERENCE_GAMMA,
            **{"recipe": _RECIPE, "seed": _SEED, "scene": _SCENE},
            "networks": [{"name": file.stem, "sha256": sha256_of(file)} for file in bokehme.checkpoints],
        }
        (folder / "scene.json").write_text(json.dumps(about, indent=1))
    print(f"{options.out}: python -m http.server --directory {options.out} --bind 127.0.0.1")
    return command.DONE


def _traced() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A picture, (H, W, 3) display values in [0, 1], in focus everywhere, and its disparity (H, W) from 0 to 1."""
    recipe = replace(load_recipe(_RECIPE), width_px=_WIDTH, height_px=_HEIGHT, full_range=True)
    scene, _ = sample_scene(recipe, rng=np.random.default_rng([_SEED, _SCENE]))
    linear = Tracer(backend.start("cpu")).render(scene, ThinLens(0.0, 0.0), noise=recipe.noise).linear[0]
    return np.clip(display_from_linear(linear), 0.0, 1.0), scene.composite_disparity()


def _add_library(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise OptionError("npm is not on the path; it brings onnxruntime-web: install Node.js 18 or newer")
    with tempfile.TemporaryDirectory() as packages:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(_HERE / name, Path(packages) / name)
        try:
            done = subprocess.run(
                [npm, "ci"], cwd=packages, capture_output=True, text=True, timeout=_NPM_SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise OptionError(f"npm ci has not ended in {_NPM_SECONDS_MAX} s; is its registry there?") from error
        if done.returncode != 0:
            raise OptionError(f"npm ci failed: {' '.join(done.stderr.split())[:400]}")
        folder.mkdir()
        for name, ours in _LIBRARY.items():
            shutil.copyfile(Path(packages) / "node_modules/onnxruntime-web/dist" / name, folder / ours)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill; leaving the block renames it, so that it is whole or not there."""
    if out.exists():
        raise OptionError(f"--out is {out}, which is there already; remove it, or name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = unfinished(out)
    try:
        aside.mkdir()
        yield aside
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
