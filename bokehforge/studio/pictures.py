"""What a page asks for, and its exact picture. The pictures are made in a process of their own (`runtime.workers`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import renderers
from bokehforge.aperture import NAMED_SHAPES, aperture_of
from bokehforge.studio.subjects import Subject, Subjects
from renderers.base import Renderer
from runtime.backend import Backend
from runtime.command import OptionError, require_within
from runtime.documents import is_number, shown
from scenes.aperture import Aperture
from scenes.arrays import Picture
from scenes.layered import LayeredScene
from scenes.layered_depth import LayeredDepthImage
from scenes.lens import ThinLens, blur_radius_max_px
from scenes.planes import billboards

# The aperture of the truth, in words.
TRUTHS_APERTURE = "truth"

GAMMA_MIN, GAMMA_MAX = 0.1, 10.0


@dataclass(frozen=True)
class Settings:
    """A picture that a page asks for.

    scene      name of the subject
    renderer   name of the method
    blur       K, pixels per unit of disparity
    focus      disparity in focus, in the unit of the subject's map, from 0 on
    gamma      blur happens in linear light, display ** gamma
    aperture   in words, as for `render --aperture`; TRUTHS_APERTURE for that of the truth
    """

    scene: str
    renderer: str
    blur: float
    focus: float
    gamma: float
    aperture: str

    @classmethod
    def of(cls, document: Any, allowed_file: str) -> "Settings":
        """The settings in a document that a page has sent; OptionError that says what is wrong with it.

        allowed_file   the only file that may be named as an aperture
        """
        if not isinstance(document, Mapping):
            raise OptionError(f"the settings are {shown(document)}; they must be an object")
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = document.get(field.name)
            if field.type is str and isinstance(value, str):
                values[field.name] = value
            elif field.type is float and is_number(value):
                values[field.name] = float(value)
            else:
                kind = "text" if field.type is str else "a number"
                raise OptionError(f"{field.name} is {shown(value)}; it must be {kind}")
        settings = cls(**values)
        require_within(
            ("blur", settings.blur, 0.0, float("inf")),
            ("focus", settings.focus, 0.0, float("inf")),
            ("gamma", settings.gamma, GAMMA_MIN, GAMMA_MAX),
        )
        require_aperture(settings.aperture, allowed_file)
        return settings


def require_aperture(words: str, allowed_file: str) -> None:
    """OptionError for a file other than the one that may be named: a page must not have others read."""
    shape = words.partition(",")[0].partition(":")[0]
    if shape not in (*NAMED_SHAPES, TRUTHS_APERTURE) and words.partition(",")[0] != allowed_file.partition(",")[0]:
        raise OptionError(f"the aperture is {shown(words)}; it must be one of {', '.join(NAMED_SHAPES)}")


def offered(weights: Sequence[Path]) -> dict[str, Renderer]:
    """The renderers whose weights are there."""
    known = {name: renderers.renderer(name, weights) for name in renderers.RENDERERS}
    return {name: method for name, method in known.items() if all(file.is_file() for file in method.checkpoints)}


def aperture_for(subject: Subject, words: str) -> Aperture:
    """The aperture of words; OptionError for that of the truth where there is none, and as of `aperture_of`."""
    if words != TRUTHS_APERTURE:
        return aperture_of(words)
    if subject.aperture is None:
        raise OptionError(f"{subject.name} has no truth; name an aperture")
    return subject.aperture


# ---------- in the process that makes the pictures


class _Studio:
    """What that process works with."""

    def __init__(self, subjects: Subjects, weights: tuple[Path, ...], arch: Backend):
        self.weights = weights
        self.arch: Backend = arch
        # Two, so that a user may go back and forth.
        self.subject = lru_cache(2)(subjects.subject)


_studio: _Studio | None = None


def begin(subjects: Subjects, weights: tuple[Path, ...], arch: Backend) -> None:
    """Start the process."""
    global _studio
    _studio = _Studio(subjects, weights, arch)


def opened(name: str) -> Subject:
    """A subject, opened there; errors as of `Subjects.subject`."""
    assert _studio is not None
    return _studio.subject(name)


def require_renderer(name: str) -> None:
    """RendererError for an unknown method, BackendError where it cannot run."""
    assert _studio is not None
    renderers.renderer(name, _studio.weights).on(_studio.arch)


def exact(settings: Settings) -> Picture:
    """The picture: (H, W, 3) float32 display values; RendererError and others where the method refuses."""
    assert _studio is not None
    subject = _studio.subject(settings.scene)
    method = renderers.renderer(settings.renderer, _studio.weights).on(_studio.arch)
    lens = ThinLens(settings.blur, settings.focus, aperture_for(subject, settings.aperture))
    image, disparity = subject.photograph.image, subject.given.disparity
    if method.information == "picture":
        # Disparity and lens are not looked at, but that a K of 0 would be a pinhole.
        disparity, lens = np.zeros_like(disparity), ThinLens(1.0, 0.0, lens.aperture)
    elif (radius_px := blur_radius_max_px(lens, disparity)) > (longer := max(disparity.shape)):
        raise OptionError(
            f"the largest blur radius is {radius_px:.4g} px; "
            f"at most {longer} px, the picture's longer side, are rendered"
        )
    scene: LayeredScene = subject.layers
    if method.information == "truth" and isinstance(scene, LayeredDepthImage) and not lens.is_pinhole:
        scene = billboards(scene, lens)
    return method(image, disparity, lens, gamma=settings.gamma, scene=scene)
