"""Renderers by name: our own, other people's Python callables, and programs that exchange files."""

import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

import renderers
from bokehdata.format import DatasetError
from bokehdata.images import read_exr_rgb, write_exr_plane, write_exr_rgb
from bokehdata.origins import Origins
from evaluation.closure import command_files, module_files, plugin_files
from renderers import RENDERERS
from renderers.base import Cost, Information, Renderer, RendererError, WithoutNetworks
from renderers.neural.training_record import read_record, seen_by
from runtime import command
from runtime.backend import Backend
from runtime.files import sha256_of
from scenes.aperture import Disk
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX, REFERENCE_GAMMA, display_from_linear, linear_from_display
from scenes.layered import LayeredScene
from scenes.lens import ThinLens

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

PLACEHOLDERS = (
    "image",
    "disparity",
    "out",
    "image_exr",
    "disparity_exr",
    "out_exr",
    "blur_parameter",
    "focus_disparity",
    "gamma",
)


class RendererSpecError(ValueError):
    """A renderer that does not exist or cannot be loaded; the message names it and says which exist."""


@dataclass(frozen=True)
class RendererSpec:
    """Which renderer; picklable, so that another process can load it.

    name     in results and files: letters, digits, dot, dash and underscore
    kind     "own": a key of RENDERERS; "python": module:callable or file.py:callable; "command": a template
    target   the key, the path or the template
    given    checkpoints in place of those that our neural renderers come with
    """

    name: str
    kind: Literal["own", "python", "command"]
    target: str
    given: tuple[Path, ...] = ()

    def load(self) -> Renderer:
        """The renderer itself; RendererSpecError where its module cannot be imported or lacks it."""
        if self.kind == "own":
            renderer = self._own()
            try:
                for module in renderer.modules:
                    importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise RendererSpecError(f"{self.name}: {command.not_installed(error) or error}") from error
            return renderer
        if self.kind == "python":
            return _imported(self.target)
        return CommandRenderer(self.target)

    def digest(self) -> str:
        """sha256 over the name, the target, and the files of its modules, of its weights, or of its command.

        Rows of another digest are not taken over.
        """
        made_of: list[Any] = [self.name, self.target]
        files: list[Path] = []
        if self.kind == "own":
            # The entry of the registry, which may have options.
            made_of.append(repr(RENDERERS[self.target]))
            files = [*module_files(self._own().modules), *self._checkpoints()]
        elif self.kind == "python":
            files = plugin_files(self.target.rpartition(":")[0])
        else:
            files = command_files(shlex.split(self.target))
        made_of += [(path.name, sha256_of(path)) for path in files]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def weights(self) -> dict[str, str]:
        """Name and sha256 of every checkpoint that one of our renderers uses; those that are missing are left out."""
        return {path.name: sha256_of(path) for path in self._checkpoints()}

    def cost(self) -> Cost | None:
        """Of the networks of one of our neural renderers; None for others, and where weights are missing or broken."""
        try:
            return self._own().cost() if self.kind == "own" else None
        except RendererError:
            # Rendering says why.
            return None

    def seen(self) -> Origins | None:
        """What the checkpoints were trained or validated on; empty without checkpoints, None where one does not say."""
        seen: Origins = frozenset()
        for path in self._checkpoints():
            origins = seen_by(read_record(path))
            if origins is None:
                return None
            seen |= origins
        return seen

    def _own(self) -> Renderer:
        try:
            return renderers.renderer(self.target, self.given)
        except RendererError as error:
            raise RendererSpecError(f"--weights {error}") from error

    def _checkpoints(self) -> list[Path]:
        return [path for path in self._own().checkpoints if path.is_file()] if self.kind == "own" else []


def python_spec(text: str, weights: Sequence[Path] = ()) -> RendererSpec:
    """A spec from "scatter", "module:callable", "file.py:callable", or "name=..." of these; else RendererSpecError.

    weights   checkpoints for our neural renderers
    """
    name, _, target = text.rpartition("=")
    if ":" in target:
        return RendererSpec(_checked(name or target.rpartition(":")[2]), "python", target)
    if target not in RENDERERS:
        raise RendererSpecError(f"no renderer {target!r}; there are {', '.join(RENDERERS)}, and module:callable")
    spec = RendererSpec(_checked(name or target), "own", target, tuple(weights))
    spec.weights()
    return spec


def command_spec(text: str) -> RendererSpec:
    """A spec from "name=program {image} {disparity} {out} ..."; RendererSpecError where the template cannot work."""
    name, _, template = text.partition("=")
    try:
        words = shlex.split(template)
        used = {field for word in words for field in _placeholders(word)}
    except ValueError as error:
        raise RendererSpecError(f"--commands {text!r}: {error}") from error
    if not words or not used & {"out", "out_exr"}:
        raise RendererSpecError(
            f"--commands {text!r} must read name=program ..., with {{out}} or {{out_exr}} where the program writes"
        )
    return RendererSpec(_checked(name), "command", template)


def _placeholders(word: str) -> set[str]:
    fields = set(re.findall(r"\{([^{}]*)\}", word))
    if unknown := sorted(fields - set(PLACEHOLDERS)):
        raise ValueError(f"no placeholder {{{unknown[0]}}}; there are {', '.join(PLACEHOLDERS)}")
    return fields


# Placeholders of what a method may know beside the picture.
_OF_THE_LENS = ("disparity", "disparity_exr", "blur_parameter", "focus_disparity")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise RendererSpecError(f"{name!r} cannot name a renderer; use letters, digits, dot, dash and underscore")
    return name


def _imported(target: str) -> Renderer:
    module_name, _, attribute = target.rpartition(":")
    # As `python method.py` and `python -m method` have it: modules beside the file, and of the current folder.
    for folder in (Path.cwd(), Path(module_name).resolve().parent if module_name.endswith(".py") else Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    try:
        if module_name.endswith(".py"):
            path = Path(module_name).resolve()
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(module_name)
        found = getattr(module, attribute)
    except Exception as error:  # code of others may raise anything while it is imported
        raise RendererSpecError(f"{target}: cannot be imported ({type(error).__name__}: {error})") from error
    if isinstance(found, Renderer):
        return found
    if not callable(found):
        raise RendererSpecError(f"{target}: is a {type(found).__name__}, which cannot be called")
    return CallableRenderer(found)


@dataclass(frozen=True)
class CallableRenderer(WithoutNetworks):
    """A bare function as a renderer: f(image, disparity, lens), with gamma=... and scene=... where it takes them.

    A function that takes `scene` is given the true layers. One that takes a single argument, f(image), is given the
    picture alone.
    """

    function: Callable[..., Any]
    modules = ()

    @property
    def information(self) -> Information:
        """What the function takes of picture, disparity and true layers."""
        if "scene" in self._taken:
            return "layers"
        return "picture" if self._takes_picture_alone else "disparity"

    def on(self, arch: Backend) -> Self:
        """The function itself: where it runs is its own affair."""
        return self

    def __call__(
        self,
        image: Picture,
        disparity: Plane,
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Picture:
        """What the function returns."""
        if self._takes_picture_alone:
            return self.function(image)
        given = {"gamma": gamma, "scene": scene}
        return self.function(image, disparity, lens, **{name: given[name] for name in self._taken})

    @cached_property
    def _taken(self) -> tuple[str, ...]:
        """Which of the optional arguments the function takes; all of them where it does not say."""
        try:
            parameters = inspect.signature(self.function).parameters
        except ValueError:
            return "gamma", "scene"
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return tuple(name for name in ("gamma", "scene") if open_ended or name in parameters)

    @cached_property
    def _takes_picture_alone(self) -> bool:
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except ValueError:
            return False
        # What may be given by its place or is open-ended; a function with one such parameter has no place for a lens.
        return sum(p.kind is not p.KEYWORD_ONLY for p in parameters) == 1


@dataclass(frozen=True)
class CommandRenderer(WithoutNetworks):
    """A program that reads files and writes one, started anew for every picture.

    template   shell-like words without a shell, in which
               {image}           NPY, (H, W, 3) float32 display values at {gamma}, not clipped
               {image_exr}       EXR, the same as linear light, display ** gamma, half
               {disparity}       NPY, (H, W) float32, in the unit of {focus_disparity}, larger is nearer
               {disparity_exr}   EXR, the same in three equal channels, float
               {out}             where the program writes NPY, (H, W, 3) display values at {gamma}
               {out_exr}         or EXR, linear light, channels R, G, B
               {blur_parameter}  K, pixels per unit of disparity
               {focus_disparity} d_f
               {gamma}           linear = display ** gamma
    """

    template: str
    modules = ()

    @property
    def information(self) -> Information:
        """The picture alone for a program that is told neither disparity nor lens."""
        used = {field for word in shlex.split(self.template) for field in _placeholders(word)}
        return "disparity" if used & set(_OF_THE_LENS) else "picture"

    def on(self, arch: Backend) -> Self:
        """The command itself: where it runs is its own affair."""
        return self

    def __call__(
        self,
        image: Picture,
        disparity: Plane,
        lens: ThinLens,
        *,
        gamma: float = REFERENCE_GAMMA,
        scene: LayeredScene | None = None,
    ) -> Picture:
        """The picture of the program; RendererError with its last line of output where it fails."""
        if not isinstance(lens.aperture, Disk):
            raise RendererError("a command cannot be told the shape of an aperture; it gets round ones only")
        with tempfile.TemporaryDirectory(prefix="bokehforge-") as folder:
            files = {name: Path(folder) / f"{name}.{_suffix(name)}" for name in PLACEHOLDERS[:6]}
            used = {field for word in shlex.split(self.template) for field in _placeholders(word)}
            if "image" in used:
                np.save(files["image"], image)
            if "image_exr" in used:
                write_exr_rgb(files["image_exr"], np.minimum(linear_from_display(image, gamma), HALF_MAX))
            if "disparity" in used:
                np.save(files["disparity"], disparity)
            if "disparity_exr" in used:
                write_exr_plane(files["disparity_exr"], disparity)
            numbers = {"blur_parameter": lens.blur_parameter, "focus_disparity": lens.focus_disparity, "gamma": gamma}
            words = [word.format(**files, **numbers) for word in shlex.split(self.template)]
            _run(words)
            return _read(files, gamma)


def _suffix(name: str) -> str:
    return "exr" if name.endswith("_exr") else "npy"


def _run(words: list[str]) -> None:
    try:
        finished = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise RendererError(f"{words[0]}: cannot be started ({error.strerror})") from error
    if finished.returncode:
        last_words = (finished.stderr.strip() or finished.stdout.strip() or "no output").splitlines()[-1]
        raise RendererError(f"{words[0]} ended with exit code {finished.returncode}: {last_words}")


def _read(files: dict[str, Path], gamma: float) -> Picture:
    try:
        if files["out"].is_file():
            return np.load(files["out"], allow_pickle=False)
        if files["out_exr"].is_file():
            return display_from_linear(read_exr_rgb(files["out_exr"]), gamma)
    except (OSError, ValueError, DatasetError) as error:
        raise RendererError(f"the program wrote a file that cannot be read ({error})") from error
    raise RendererError("the program ended well but wrote no file")
