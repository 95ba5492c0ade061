"""What is in front of the lens: a photograph, its layers, or the scenes of a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bokehdata.cases import Case, known_disparity
from bokehdata.format import DatasetError
from bokehdata.kinds.layers import LayersFolder
from bokehforge.maps import DisparityMap, map_of_layers
from bokehforge.photograph import Photograph
from renderers.layering import layering
from runtime.command import OptionError
from scenes.aperture import Aperture
from scenes.arrays import Picture, Plane
from scenes.color import HALF_MAX, storable_light
from scenes.layered import LayeredScene

# Largest blur radius that the page offers of a picture without a truth, as a part of its longer side.
_RADIUS_MAX = 0.06


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture, how far everything in it is, and what nearer things hide.

    name         of the scene, or of the file
    photograph   all in focus
    given        its disparity
    layers       near to far: the true ones, or those that were found
    is_true      whether the layers are the scene itself
    cases        its pictures that have a truth, of which blur parameter and focus are known
    """

    name: str
    photograph: Photograph
    given: DisparityMap
    layers: LayeredScene
    is_true: bool = False
    cases: tuple[Case, ...] = ()

    @property
    def aperture(self) -> Aperture | None:
        """That of the truth; None where there is none."""
        return self.cases[0].aperture if self.cases else None

    @property
    def disparities(self) -> tuple[float, float]:
        """The farthest and the nearest."""
        return float(self.given.disparity.min()), float(self.given.disparity.max())

    @property
    def blur_max(self) -> float:
        """Largest K that the page offers, pixels per unit of disparity: that of the truths. Scenes reach beyond the
        frame as far as these need."""
        if self.cases:
            return max(case.blur_parameter or 0.0 for case in self.cases)
        low, high = self.disparities
        longer = max(self.given.disparity.shape)
        return max(round(_RADIUS_MAX * longer), 4) / (high - low) if high > low else 0.0


class Subjects(Protocol):
    """What can be opened, by name."""

    @property
    def names(self) -> tuple[str, ...]:
        """At least one."""
        ...

    def subject(self, name: str) -> Subject:
        """The subject of a name; OptionError for another, DatasetError and RendererError for what cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class One:
    """A photograph, opened already."""

    opened: Subject

    @property
    def names(self) -> tuple[str, ...]:
        return (self.opened.name,)

    def subject(self, name: str) -> Subject:
        _require_known(name, self.names)
        return self.opened


@dataclass(frozen=True, eq=False)
class Scenes:
    """The scenes of a dataset.

    cases      of each scene; all have a disparity, and some have a lens
    analysis   name of the layering for scenes without true layers
    """

    cases: Mapping[str, tuple[Case, ...]]
    analysis: str

    @classmethod
    def of(cls, cases: list[Case], analysis: str) -> "Scenes":
        """In the order of the cases."""
        by_scene: dict[str, tuple[Case, ...]] = {}
        for case in cases:
            by_scene[case.scene] = (*by_scene.get(case.scene, ()), case)
        return cls(by_scene, analysis)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.cases)

    def subject(self, name: str) -> Subject:
        _require_known(name, self.names)
        cases = self.cases[name]
        image, disparity, layers = cases[0].image(), known_disparity(cases[0]), cases[0].layers()
        is_true = layers is not None
        if layers is None:
            layers = found_layers(image, disparity, self.analysis)
        with_lens = tuple(c for c in cases if c.blur_parameter is not None and c.focus_disparity is not None)
        return Subject(name, Photograph(image), DisparityMap(disparity, False, {}), layers, is_true, with_lens)


def subject_of_layers(folder: LayersFolder) -> Subject:
    """The photograph of a folder of layers; DatasetError for what cannot be read."""
    return Subject(folder.name, Photograph.of_layers(folder), map_of_layers(folder), folder.layers())


def found_layers(image: Picture, disparity: Plane, analysis: str) -> LayeredScene:
    """The layers of a picture, display values, for blur of any radius, as `bokehforge layers` finds them."""
    if not disparity.max() <= HALF_MAX:
        raise DatasetError(f"the map spans {disparity.max():.6g}; layers are found up to {HALF_MAX:.0f}")
    linear = storable_light(image)
    return layering(analysis)(linear, disparity)


def _require_known(name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise OptionError(f"there is no scene {name!r}")
