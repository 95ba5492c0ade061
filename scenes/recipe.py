"""Recipes: what kind of scenes to make and which images to trace of them, as a dataclass and as YAML files.

The recipes of the project are in `scenes/recipes/`. `load_recipe` takes their names, or any file with the same keys. A
key that is missing in a file has the default of the dataclass.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.documents import DocumentError, is_number, read_yaml, shown
from scenes.aperture import Aperture, Disk, Mask, aperture_from, cat_eye_of
from scenes.camera import Camera
from scenes.color import REFERENCE_GAMMA
from scenes.decode import DecodeError, header_of
from scenes.mounted_lens import LensKit
from scenes.procedural.cutouts import SIZES_M
from scenes.stack import TRACED_PIXELS, Pixel

_FOLDER = Path(__file__).parent / "recipes"

Focus = Literal["layers", "even", "random"]

# Beyond these no machine makes a scene, or ends.
_MOST: dict[str, int] = {
    **dict.fromkeys(("size_px", "width_px", "height_px", "blur_parameters", "random_blur"), 16384),
    "scenes": 1_000_000,
    "seed": 2**63,
    "foregrounds": 100,
    "focus_count": 100,
    "expand_highlights": 1000,
}

# A mask is padded to a square.
_MASK_SIDE_MAX = 8192

# What a camera decides.
_OF_THE_CAMERA = (
    *("foreground_scale", "visible_min", "cluster", "background_disparity", "foreground_disparity", "disparity_gap"),
    *("full_range", "background_slant", "foreground_slant", "blur_parameters", "random_blur"),
    *("focus", "focus_count", "focus_range", "lens"),
)


class RecipeError(ValueError):
    """A recipe that does not exist or is impossible. The message names the file, the key and the value."""


@dataclass(frozen=True)
class Recipe:
    """Distribution of scenes, and the stack of images traced of each. Ranges are [low, high], drawn uniformly.

    Scenes
    name                    of the recipe, and of the default output folder
    scenes                  number of scenes, unless the command gives another
    seed                    of a dataset, unless the command gives another; training on the fly has its own
    size_px                 side of the square frame, pixels, unless the command gives another
    width_px                of a frame that is not square, with `height_px` in place of `size_px`; the command gives the
                            longer side
    height_px               of the same frame
    camera                  mapping with the keys of `scenes.camera`: distances in metres, and pictures of one subject
                            at several f-numbers through one lens. K, focus and sizes follow from it; the keys of
                            scales, disparities, blur and focus do not go with it
    lens                    mapping with the keys of `scenes.mounted_lens.LensKit`: real lenses that the pictures are
                            traced through, whose paraxial blur parameter is K; thin lenses without it
    foregrounds             [fewest, most] cut-outs in front of the background
    foreground_scale        longest side of a cut-out relative to the frame
    rotation_deg            largest rotation of a cut-out, in either direction
    colour_jitter           largest relative change of each colour channel and of the exposure
    visible_min             smallest share of a cut-out's alpha inside the frame, [0, 1)
    cluster                 probability that a cut-out is placed over an earlier one, so that they overlap
    background_disparity    of the background at the centre of the frame, normalized: 0 is infinity, 1 the nearest plane
    foreground_disparity    of the foregrounds
    disparity_gap           smallest distance between the disparity intervals of two layers
    full_range              the disparities are rescaled so that those seen in the frame span [0, 1]: the farthest
                            pixel has 0, the nearest has 1, and a focus on either blurs the other by a radius of K.
                            Gaps grow with them; layers must face the camera
    background_slant        largest change of disparity across the frame along each axis; 0 faces the camera
    foreground_slant        the same for each foreground
    night                   procedural backgrounds show places at night, with many small lights
    lights                  share of light strings among the procedural cut-outs, [0, 1]
    subjects                kinds of procedural cut-outs, each as often as the others, that the subject is one of; its
                            kind is then its label. Only with `camera`; nothing is labelled without it
    expand_highlights       how much values near white are raised in the user's own LDR photographs; 0 leaves them as
                            they are, BokehMe uses 0.4

    Stack
    blur_parameters         K, pixels per unit of disparity; does not scale with the size of the frame
    random_blur             [low, high]: one K per scene, drawn log-uniformly, instead of `blur_parameters`
    focus                   "layers": on the layers, and between them if there are fewer than `focus_count`;
                            "even": evenly over `focus_range`; "random": drawn between the farthest and nearest layer
    focus_count             focus disparities per scene
    focus_range             range of "even", ends included
    gammas                  of the traced images, linear = display ** gamma
    apertures               shapes, one drawn for each scene: mappings with the key `shape` (disk, polygon, donut, mask)
                            and the parameters of `scenes.aperture`, those of its `Character` too; a mask gives a grey
                            picture by `file`, relative to the recipe, which is padded with 0 to a square
    pixel                   "point" or "box"
    noise                   display RMSE that a traced image may have, unless the command gives another
    dual_pixel              each picture also as the left and the right half of the aperture show it; through thin
                            lenses, without `cat_eye`
    """

    name: str
    scenes: int = 100
    seed: int = 0
    size_px: int = 512
    width_px: int | None = None
    height_px: int | None = None
    camera: Camera | None = None
    lens: LensKit | None = None
    foregrounds: tuple[int, int] = (2, 5)
    foreground_scale: tuple[float, float] = (0.35, 1.0)
    rotation_deg: float = 20.0
    colour_jitter: float = 0.1
    visible_min: float = 0.5
    cluster: float = 0.6
    background_disparity: tuple[float, float] = (0.0, 0.3)
    foreground_disparity: tuple[float, float] = (0.1, 1.0)
    disparity_gap: float = 0.05
    full_range: bool = False
    background_slant: float = 0.0
    foreground_slant: float = 0.0
    night: bool = False
    lights: float = 0.12
    subjects: tuple[str, ...] = ()
    expand_highlights: float = 0.0
    blur_parameters: tuple[float, ...] = (12.0, 24.0)
    random_blur: tuple[float, float] | None = None
    focus: Focus = "layers"
    focus_count: int = 5
    focus_range: tuple[float, float] = (0.0, 1.0)
    gammas: tuple[float, ...] = (REFERENCE_GAMMA,)
    apertures: tuple[Aperture, ...] = field(default_factory=lambda: (Disk(),))
    pixel: Pixel = "point"
    noise: float = 0.002
    dual_pixel: bool = False

    def __post_init__(self):
        self._require(
            self.name not in ("", ".", "..") and "/" not in self.name, "name", "must be usable as the name of a folder"
        )
        for key in ("foregrounds", "foreground_scale"):
            low, high = getattr(self, key)
            self._require(0 <= low <= high, key, "needs 0 <= low <= high")
        for key in ("background_disparity", "foreground_disparity", "focus_range"):
            low, high = getattr(self, key)
            self._require(0 <= low <= high <= 1, key, "needs 0 <= low <= high <= 1")
        if self.random_blur is not None:
            low, high = self.random_blur
            self._require(0 < low <= high, "random_blur", "needs 0 < low <= high")
        for key in ("scenes", "focus_count"):
            self._require(getattr(self, key) >= 1, key, "must be at least 1")
        for key in ("size_px", "width_px", "height_px"):
            self._require(getattr(self, key) is None or getattr(self, key) >= 16, key, "must be at least 16 px")
        for key, most in _MOST.items():
            value = getattr(self, key)
            largest = max(value, default=0) if isinstance(value, tuple) else value or 0
            self._require(largest <= most, key, f"must be at most {most}")
        for key in ("blur_parameters", "gammas", "apertures"):
            self._require(len(getattr(self, key)) <= 100, key, "lists more than 100 values")
        self._require((self.width_px is None) == (self.height_px is None), "width_px", "needs height_px beside it")
        smallest, largest = self.foreground_scale
        self._require(0 < smallest and largest <= 4, "foreground_scale", "must lie in (0, 4]")
        self._require(0 <= self.visible_min < 1, "visible_min", "must lie in [0, 1)")
        for key in ("cluster", "lights"):
            self._require(0 <= getattr(self, key) <= 1, key, "must lie in [0, 1]")
        self._require(self.seed >= 0, "seed", "must be at least 0")
        for key in ("rotation_deg", "colour_jitter", "background_slant", "foreground_slant", "expand_highlights"):
            self._require(getattr(self, key) >= 0, key, "must be at least 0")
        self._require(self.colour_jitter < 1, "colour_jitter", "must be below 1")
        self._require(bool(self.blur_parameters), "blur_parameters", "needs at least one value")
        self._require(min(self.blur_parameters) >= 0, "blur_parameters", "must be at least 0 px")
        # Outside this range, powers of half floats overflow float32.
        self._require(bool(self.gammas), "gammas", "needs at least one value")
        self._require(0.1 <= min(self.gammas) and max(self.gammas) <= 10, "gammas", "must lie in [0.1, 10]")
        self._require(len(set(self.gammas)) == len(self.gammas), "gammas", "names a value twice")
        self._require(bool(self.apertures), "apertures", "needs at least one shape")
        self._require(self.focus in get_args(Focus), "focus", f"must be one of {', '.join(get_args(Focus))}")
        self._require(self.pixel in TRACED_PIXELS, "pixel", f"must be one of {', '.join(TRACED_PIXELS)}")
        self._require(0 < self.noise < 1, "noise", "must lie between 0 and 1")
        self._require(self.disparity_gap > 0, "disparity_gap", "must be above 0")
        has_second_stop = any(cat_eye_of(aperture) > 0.0 for aperture in self.apertures)
        self._require(
            not (self.dual_pixel and (has_second_stop or (self.lens is not None and not self.lens.thin))),
            "dual_pixel",
            "needs thin lenses with one stop, without cat_eye",
        )
        low, high = self.background_disparity
        self._require(
            self.background_slant <= low and high + self.background_slant <= 1,
            "background_slant",
            f"with background_disparity [{low}, {high}] it leaves [0, 1]",
        )
        if self.full_range:
            # A slanted layer that has disparity 0 or 1 at the edge of the frame leaves [0, 1] beyond it.
            is_slanted = self.background_slant > 0 or self.foreground_slant > 0
            self._require(not is_slanted, "full_range", "needs layers that face the camera, without slants")
            self._require(self.foregrounds[0] >= 1, "full_range", "needs at least one foreground in every scene")
        count, gap = self.foregrounds[1], self.disparity_gap
        room = self.foreground_disparity[1] - max(self.foreground_disparity[0], high + self.background_slant + gap)
        needed = count * 2 * self.foreground_slant + (count - 1) * gap
        self._require(
            needed <= room or count == 0,
            "foregrounds",
            f"with gaps and slants they need {needed:.3g} of disparity in front of the background, there is {room:.3g}",
        )

        for kind in self.subjects:
            self._require(
                kind in SIZES_M, "subjects", f"{kind!r} is no kind of cut-out; there are {', '.join(SIZES_M)}"
            )
        self._require(len(set(self.subjects)) == len(self.subjects), "subjects", "names a kind twice")
        self._require(not self.subjects or self.camera is not None, "subjects", "needs a camera, whose subject it is")
        if self.camera is not None:
            self._require_camera(self.camera)

    def _require_camera(self, camera: Camera) -> None:
        self._require(self.foregrounds[0] >= 1, "foregrounds", "needs a subject in every scene, with a camera")
        for field_of in dataclasses.fields(self):
            is_given = getattr(self, field_of.name) != field_of.default
            self._require(
                not (field_of.name in _OF_THE_CAMERA and is_given), field_of.name, "does not go with a camera"
            )
        try:
            camera.require_frame(self.width, self.height)
        except ValueError as error:
            raise RecipeError(f"recipe {self.name}: camera: {error}") from error

    def _require(self, holds: bool, key: str, rule: str) -> None:
        if not holds:
            raise RecipeError(f"recipe {self.name}: {key} is {shown(getattr(self, key))}; {rule}")

    @property
    def width(self) -> int:
        """Of the frame, pixels."""
        return self.width_px or self.size_px

    @property
    def height(self) -> int:
        """Of the frame, pixels."""
        return self.height_px or self.size_px

    def at_size(self, longer_px: int) -> Self:
        """The recipe with this longer side of the frame; the shorter one keeps its ratio, rounded to whole pixels."""
        if self.width_px is None:
            return dataclasses.replace(self, size_px=longer_px)
        longer = max(self.width, self.height)
        width, height = (round(side * longer_px / longer) for side in (self.width, self.height))
        return dataclasses.replace(self, width_px=width, height_px=height)

    @property
    def blur_parameter_span(self) -> tuple[float, float] | None:
        """Smallest and largest K of a truth, where scenes have each their own; None where all have the same."""
        return self.random_blur if self.camera is None else self.camera.blur_parameters(self.width)

    @property
    def images_per_scene(self) -> int:
        """Traced images of one scene: blur x focus x gamma, and their views."""
        views = 3 if self.dual_pixel else 1
        if self.camera is not None:
            return views * len(self.camera.f_numbers) * len(self.gammas)
        blurs = 1 if self.random_blur is not None else len(self.blur_parameters)
        lenses = 1 if self.lens is None else self.lens.lenses_per_scene
        return views * lenses * blurs * self.focus_count * len(self.gammas)

    def describe(self) -> dict[str, Any]:
        """All keys as plain values, for dataset.yaml. As a YAML file, `load_recipe` reads them again."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        plain["apertures"] = [aperture.describe() for aperture in self.apertures]
        # Datasets are older than these keys. A run that resumes one compares descriptions.
        for key in ("full_range", "dual_pixel", "subjects"):
            if not plain[key]:
                del plain[key]
        if self.width_px is None:
            del plain["width_px"], plain["height_px"]
        else:
            del plain["size_px"]
        if self.lens is None:
            del plain["lens"]
        else:
            plain["lens"] = self.lens.describe()
        if self.camera is None:
            del plain["camera"]
        else:
            plain["camera"] = self.camera.describe()
            for key in _OF_THE_CAMERA:
                plain.pop(key, None)
        return plain


def recipe_names() -> list[str]:
    """Names of the recipes of the project."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_recipe(name_or_file: str) -> Recipe:
    """The recipe with a built-in name, or in a YAML file. RecipeError if it is unknown, unreadable or impossible."""
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{name_or_file}.yaml"
        if not path.is_file():
            raise RecipeError(
                f"recipe {name_or_file!r} is unknown; there are {', '.join(recipe_names())}, or give a file.yaml"
            )
    try:
        return _recipe_from(read_yaml(path), path)
    except DocumentError as error:
        raise RecipeError(f"recipe {error}") from error


def _recipe_from(keys: Mapping[str, Any], path: Path) -> Recipe:
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    values: dict[str, Any] = {"name": path.stem}
    for key, value in keys.items():
        if key not in fields:
            raise RecipeError(f"recipe {path}: key {key!r} is unknown; there are {', '.join(fields)}")
        if key == "apertures":
            values[key] = tuple(_aperture_from(a, path) for a in _sequence(value, key, path))
        elif key in _PARTS and value is not None:
            values[key] = _part_from(value, key, path)
        else:
            values[key] = _typed(value, fields[key].type, f"recipe {path}: {key}")
    return Recipe(**values)


_PARTS: dict[str, type[Camera] | type[LensKit]] = {"camera": Camera, "lens": LensKit}


def _part_from(description: Any, part: str, path: Path) -> Camera | LensKit:
    fields = {f.name: f for f in dataclasses.fields(_PARTS[part])}
    if not isinstance(description, dict):
        raise RecipeError(f"recipe {path}: {part} is {shown(description)}; it must be a mapping")
    for key in description:
        if key not in fields:
            raise RecipeError(f"recipe {path}: {part} has the key {key!r}; there are {', '.join(fields)}")
    for key, of_key in fields.items():
        if key not in description and of_key.default is dataclasses.MISSING:
            raise RecipeError(f"recipe {path}: {part} has no {key}")
    where = f"recipe {path}: {part}: "
    try:
        return _PARTS[part](**{key: _typed(value, fields[key].type, where + key) for key, value in description.items()})
    except ValueError as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{where}{error}") from error


def _typed(value: Any, annotation: Any, where: str) -> Any:
    """`value` as the annotated type. RecipeError if it has another type."""
    arguments = get_args(annotation)
    if type(None) in arguments:
        return None if value is None else _typed(value, arguments[0], where)
    if annotation is float and is_number(value):
        return float(value)
    if annotation is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if annotation in (bool, str) and isinstance(value, annotation):
        return value
    if getattr(annotation, "__origin__", None) is Literal and isinstance(value, str):
        return value
    if getattr(annotation, "__origin__", None) is tuple and isinstance(value, list):
        length = None if arguments[-1] is ... else len(arguments)
        if length is None or len(value) == length:
            return tuple(_typed(v, arguments[0], where) for v in value)
    raise RecipeError(f"{where} is {shown(value)}; it must be {_in_words(annotation)}")


def _in_words(annotation: Any) -> str:
    arguments = get_args(annotation)
    if getattr(annotation, "__origin__", None) is Literal:
        return f"one of {', '.join(arguments)}"
    if getattr(annotation, "__origin__", None) is tuple:
        count = "" if arguments[-1] is ... else f"{len(arguments)} "
        return f"a list of {count}{arguments[0].__name__} values"
    return {float: "a finite number", int: "a whole number", bool: "true or false", str: "text"}[annotation]


def _aperture_from(description: Any, path: Path) -> Aperture:
    if not isinstance(description, dict):
        raise RecipeError(f"recipe {path}: aperture {shown(description)} must be a mapping with the key 'shape'")
    try:
        if description.keys() == {"shape", "file"} and description["shape"] == "mask":
            return Mask.from_image(_mask_of(path.parent / str(description["file"])))
        return aperture_from(description)
    except ValueError as error:
        raise RecipeError(f"recipe {path}: {error}") from error


def _mask_of(picture: Path) -> NDArray[np.uint8]:
    """The grey picture of an aperture; ValueError where it is missing, or not a picture."""
    try:
        header = header_of(picture, side_min_px=1)
        if max(header.width, header.height) > _MASK_SIDE_MAX:
            raise ValueError(f"aperture mask {picture} is {header.width} x {header.height} px; give a smaller picture")
        grey = cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (DecodeError, cv2.error):
        grey = None
    if grey is None:
        raise ValueError(f"aperture mask {picture} is missing or not a picture")
    return np.asarray(grey, np.uint8)


def _sequence(value: Any, key: str, path: Path) -> list:
    if not isinstance(value, list):
        raise RecipeError(f"recipe {path}: {key} is {shown(value)}; it must be a list")
    return value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
