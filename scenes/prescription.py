"""Lens prescriptions: the surfaces, glasses and rims of real lenses, in millimetres, from the scene to the sensor.

    prescription = load_prescription("biotar")
    prescription = load_prescription("lens.yaml")     # a file of the same keys
    prescription = load_prescription("dgauss.dat")    # a table as pbrt reads it

The prescriptions in scenes/prescriptions are numbers from patents and textbooks; each says where it is from. Focal
lengths hold for the d line. Rims are seldom printed: most are other people's reading of a drawing.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml

from runtime.documents import DocumentError, is_number, read_text, read_yaml, shown
from scenes.glass import AIR, LINE_D, Cauchy, Glass, glass_from
from scenes.optics import OpticalSystem, trace

_FOLDER = Path(__file__).parent / "prescriptions"

# Highest power of the aspheric terms: r^4, r^6, ... r^20.
_ASPHERE_TERMS_MAX = 9


class PrescriptionError(ValueError):
    """A prescription that cannot be read or is no lens; the message names the file, the line, the value and the fix."""


@dataclass(frozen=True)
class Surface:
    """One surface, and what follows it. Lengths in millimetres.

    radius          of curvature, positive where the centre lies towards the sensor; inf is flat
    thickness       to the next surface; that of the last one is not used
    semi_diameter   of the rim: rays farther from the axis are stopped
    glass           behind the surface
    conic           conic constant: 0 a sphere, -1 a paraboloid
    asphere         coefficients of r^4, r^6, ...
    is_stop         whether the rim is the aperture stop
    """

    radius: float
    thickness: float
    semi_diameter: float
    glass: Glass = AIR
    conic: float = 0.0
    asphere: tuple[float, ...] = ()
    is_stop: bool = False

    def __post_init__(self):
        if self.radius == 0.0 or math.isnan(self.radius):
            raise ValueError(f"radius is {self.radius}; it must not be 0; leave it out for a flat surface")
        if not self.thickness >= 0.0:
            raise ValueError(f"thickness is {self.thickness}; it must be at least 0 mm")
        if not 0.0 < self.semi_diameter < math.inf:
            raise ValueError(f"semi_diameter is {self.semi_diameter}; it must be above 0 mm")
        if len(self.asphere) > _ASPHERE_TERMS_MAX:
            raise ValueError(f"asphere has {len(self.asphere)} terms; it may have {_ASPHERE_TERMS_MAX}")

    def describe(self) -> dict[str, Any]:
        """The keys of a prescription, without those of a plain surface in air."""
        keys: dict[str, Any] = {"thickness": self.thickness, "semi_diameter": self.semi_diameter}
        if math.isfinite(self.radius):
            keys["radius"] = self.radius
        if self.glass != AIR:
            keys |= self.glass.describe()
        if self.conic:
            keys["conic"] = self.conic
        if self.asphere:
            keys["asphere"] = list(self.asphere)
        if self.is_stop:
            keys["stop"] = True
        return keys


@dataclass(frozen=True)
class LensPrescription:
    """A lens in air. The constructor raises PrescriptionError if the surfaces are no lens that images.

    name             as people call it
    surfaces         from the scene to the sensor
    source           where the numbers are from
    read_in          where they were read, if not in the source itself
    note             what is inferred, and what the lens is known for
    f_number         of the open lens, as its maker says
    half_field_deg   half the angle of view of its picture's diagonal
    """

    name: str
    surfaces: tuple[Surface, ...]
    source: str = ""
    read_in: str = ""
    note: str = ""
    f_number: float | None = None
    half_field_deg: float | None = None

    def __post_init__(self):
        stops = [i + 1 for i, surface in enumerate(self.surfaces) if surface.is_stop]
        if len(stops) != 1:
            found = f"surfaces {', '.join(map(str, stops))} are" if stops else "no surface is"
            raise PrescriptionError(f"{self.name}: {found} the stop; mark exactly one with stop: true")
        if self.surfaces[-1].glass.index(LINE_D) != 1.0:
            raise PrescriptionError(f"{self.name}: the last surface has glass behind it; the sensor must be in air")
        try:
            with np.errstate(over="raise", invalid="raise"):
                focal_length = self.focal_length
        except ValueError as error:
            raise PrescriptionError(f"{self.name}: {error}") from error
        except FloatingPointError as error:
            raise PrescriptionError(
                f"{self.name}: the focal length is not finite; give radii and thicknesses of a lens, in mm"
            ) from error
        if not focal_length > 0.0:
            raise PrescriptionError(f"{self.name}: the focal length is {focal_length:.4g} mm; it must be above 0")

    @property
    def focal_length(self) -> float:
        """For the d line, mm."""
        return self.system().paraxial.focal_length

    def system(self, wavelength_um: float = LINE_D) -> OpticalSystem:
        """The surfaces at one wavelength, in millimetres, the first vertex at 0."""
        terms = max(len(surface.asphere) for surface in self.surfaces)
        thickness = [surface.thickness for surface in self.surfaces[:-1]]
        return OpticalSystem(
            vertex=np.concatenate([[0.0], np.cumsum(thickness)]),
            curvature=np.array([1.0 / surface.radius for surface in self.surfaces]),
            conic=np.array([surface.conic for surface in self.surfaces]),
            asphere=np.array(
                [(*surface.asphere, *[0.0] * (terms - len(surface.asphere))) for surface in self.surfaces]
            ),
            index=np.array([1.0, *(surface.glass.index(wavelength_um) for surface in self.surfaces)]),
            semi_diameter=np.array([surface.semi_diameter for surface in self.surfaces]),
            stop=next(i for i, surface in enumerate(self.surfaces) if surface.is_stop),
        )

    def scaled_to(self, focal_length: float) -> Self:
        """The same lens, every length scaled to this focal length in millimetres. Angles and f-number stay."""
        if not 0.0 < focal_length < math.inf:
            raise ValueError(f"focal length is {focal_length}; it must be above 0 mm")
        scale = focal_length / self.focal_length
        surfaces = tuple(
            dataclasses.replace(
                surface,
                radius=surface.radius * scale,
                thickness=surface.thickness * scale,
                semi_diameter=surface.semi_diameter * scale,
                asphere=tuple(a * scale ** -(2 * j + 3) for j, a in enumerate(surface.asphere)),
            )
            for surface in self.surfaces
        )
        return dataclasses.replace(self, surfaces=surfaces)

    def stopped_to(self, f_number: float) -> Self:
        """The lens with its stop at an f-number: the ray at height f / 2N, parallel to the axis, meets the stop's rim.

        raises   ValueError where that ray does not pass: the lens is slower
        """
        if not f_number > 0.0:
            raise ValueError(f"f-number is {f_number}; it must be above 0")
        system = self.system()
        height = self.focal_length / (2.0 * f_number)
        opened = system.semi_diameter.copy()
        opened[system.stop] = np.inf
        start = (height, 0.0, -height)
        rays = trace(dataclasses.replace(system, semi_diameter=opened), start, (0.0, 0.0, 1.0))
        if not rays.passed:
            raise ValueError(f"{self.name} at f/{f_number:g}: the rims stop its rays; use a larger f-number")
        surfaces = list(self.surfaces)
        semi_diameter = float(abs(rays.at_stop[0]))
        surfaces[system.stop] = dataclasses.replace(surfaces[system.stop], semi_diameter=semi_diameter)
        return dataclasses.replace(self, surfaces=tuple(surfaces))

    def describe(self) -> dict[str, Any]:
        """Name and surfaces as plain values, which `prescription_from` and YAML files read."""
        return {"name": self.name, "surfaces": [surface.describe() for surface in self.surfaces]}


def biconvex(radius: float, aperture_radius: float, index: float) -> LensPrescription:
    """The lens of Dr.Bokeh (Sheng et al. 2023): the common part of two balls, which meet in its rim.

    radius            R_c of the balls, mm
    aperture_radius   R_a of the rim, mm, at most R_c. The thickness is 2 (R_c - sqrt(R_c^2 - R_a^2)); the paper prints
                      the distance of the centres instead
    index             refractive index, above 1

    The stop is on the surface that faces the scene; both surfaces have the same rim.
    """
    if not 0.0 < aperture_radius <= radius:
        raise ValueError(f"aperture radius is {aperture_radius}; it must lie in (0, {radius}], the radius of the balls")
    if not index > 1.0:
        raise ValueError(f"refractive index is {index}; it must be above 1")
    # The difference, without cancellation for a thin lens.
    sag = aperture_radius**2 / (radius + math.sqrt(radius**2 - aperture_radius**2))
    # A ray through the very rim passes.
    rim = aperture_radius * (1.0 + 1e-12)
    front = Surface(radius, 2.0 * sag, rim, Cauchy((index,)), is_stop=True)
    return LensPrescription(f"biconvex {radius:g} mm", (front, Surface(-radius, 0.0, rim)))


def prescription_names() -> list[str]:
    """Names of the prescriptions of the project."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_prescription(name_or_file: str | Path) -> LensPrescription:
    """The prescription with a built-in name, in a YAML file, or in a table of pbrt (any other suffix).

    raises   PrescriptionError if it is unknown, unreadable or no lens
    """
    path = Path(name_or_file)
    if not path.suffix:
        if str(name_or_file) not in prescription_names():
            raise PrescriptionError(
                f"lens {shown(str(name_or_file))} is unknown; there are {', '.join(prescription_names())}, "
                "or give a file: a prescription in .yaml, or a table of pbrt"
            )
        path = _FOLDER / f"{name_or_file}.yaml"
    try:
        keys = _yaml_keys(path) if path.suffix in (".yaml", ".yml") else _table_keys(read_text(path), path)
    except DocumentError as error:
        raise PrescriptionError(f"lens {error}") from error
    try:
        return LensPrescription(**keys)
    except PrescriptionError as error:
        raise PrescriptionError(f"lens {path}: {error}") from error


def prescription_from(description: Any) -> LensPrescription:
    """The prescription that `describe` gave. PrescriptionError for anything else."""
    where = Path("of the scene")
    # As the text of a file, whose mappings have lines.
    keys = yaml.load(yaml.safe_dump(description), _Loader)
    if not isinstance(keys, _Keys):
        raise PrescriptionError(f"lens {where}: is {shown(description)}; it must be a mapping with the key surfaces")
    return LensPrescription(**_arguments(keys, where))


class _Keys(dict):
    """A mapping of a YAML file that knows its line."""

    line: int


class _Loader(yaml.SafeLoader):
    pass


def _keys_with_line(loader: yaml.SafeLoader, node: yaml.MappingNode) -> _Keys:
    keys = _Keys(loader.construct_mapping(node, deep=True))
    keys.line = node.start_mark.line + 1
    return keys


_Loader.add_constructor("tag:yaml.org,2002:map", _keys_with_line)

_TEXTS = ("name", "source", "read_in", "note")
_NUMBERS = ("f_number", "half_field_deg")


def _yaml_keys(path: Path) -> dict[str, Any]:
    """Arguments of `LensPrescription` from a YAML file."""
    # A loader of safe values only, whose mappings have lines.
    keys = read_yaml(path, _Loader)
    assert isinstance(keys, _Keys)
    return _arguments(keys, path)


def _arguments(keys: _Keys, path: Path) -> dict[str, Any]:
    """Arguments of `LensPrescription` from the keys of a file."""
    _require_keys(keys, (*_TEXTS, *_NUMBERS, "surfaces"), ("surfaces",), f"lens {path}, line {keys.line}")
    where = f"lens {path}"
    values: dict[str, Any] = {"name": path.stem}
    values |= {key: _text(keys[key], f"{where}: {key}") for key in _TEXTS if key in keys}
    values |= {key: _number(keys[key], f"{where}: {key}") for key in _NUMBERS if key in keys}
    surfaces = keys["surfaces"]
    if not isinstance(surfaces, list) or not surfaces:
        raise PrescriptionError(f"{where}: surfaces is {shown(surfaces)}; it must be a list of at least one surface")
    values["surfaces"] = tuple(_surface_from(surface, i + 1, path) for i, surface in enumerate(surfaces))
    return values


_OF_A_SURFACE = ("radius", "thickness", "semi_diameter", "index", "abbe", "cauchy", "sellmeier", "conic", "asphere")


def _surface_from(keys: Any, number: int, path: Path) -> Surface:
    if not isinstance(keys, _Keys):
        raise PrescriptionError(
            f"lens {path}: surface {number} is {shown(keys)}; it must be a mapping of keys to numbers"
        )
    where = f"lens {path}, line {keys.line}: surface {number}"
    _require_keys(keys, (*_OF_A_SURFACE, "stop"), ("semi_diameter",), where)
    stop = keys.get("stop", False)
    if not isinstance(stop, bool):
        raise PrescriptionError(f"{where}: stop is {shown(stop)}; it must be true or false")
    of = {key: _number(keys[key], f"{where}: {key}") for key in keys if key in _OF_A_SURFACE and key not in _LISTS}
    lists = {key: _numbers(keys[key], f"{where}: {key}") for key in _LISTS if key in keys}
    try:
        return Surface(
            # In tables of lenses, 0 means flat.
            radius=of.get("radius", 0.0) or math.inf,
            thickness=of.get("thickness", 0.0),
            semi_diameter=of["semi_diameter"],
            glass=glass_from(of.get("index"), of.get("abbe"), lists.get("cauchy", ()), lists.get("sellmeier", ())),
            conic=of.get("conic", 0.0),
            asphere=lists.get("asphere", ()),
            is_stop=stop,
        )
    except ValueError as error:
        raise PrescriptionError(f"{where}: {error}") from error


_LISTS = ("cauchy", "sellmeier", "asphere")


def _table_keys(text: str, path: Path) -> dict[str, Any]:
    """Arguments of `LensPrescription` from a table of pbrt: rows of radius, thickness, index and diameter, in mm.

    The row of radius 0 is the aperture stop. The first row may be a single focal length, as in older tables, which
    is not used. Text after # is a comment.
    """
    surfaces = []
    for line, row in enumerate(text.splitlines(), start=1):
        cells = row.partition("#")[0].split()
        where = f"lens {path}, line {line}"
        if not cells or (len(cells) == 1 and not surfaces):
            continue
        if len(cells) != 4:
            raise PrescriptionError(f"{where}: has {len(cells)} values; it needs radius, thickness, index and diameter")
        try:
            radius, thickness, index, diameter = (float(cell) for cell in cells)
            if not all(map(math.isfinite, (radius, thickness, index, diameter))):
                raise ValueError(f"{shown(' '.join(cells))} holds a value that is not finite; give numbers")
            # The stop has index 0 or 1: there is air behind it.
            glass = AIR if index in (0.0, 1.0) else glass_from(index, None, (), ())
            surfaces.append(
                Surface(radius or math.inf, thickness, diameter / 2.0, glass, is_stop=radius == 0.0),
            )
        except ValueError as error:
            raise PrescriptionError(f"{where}: {error}") from error
    if not surfaces:
        raise PrescriptionError(f"lens {path}: has no row of radius, thickness, index and diameter")
    if not any(surface.is_stop for surface in surfaces):
        raise PrescriptionError(f"lens {path}: no row has radius 0; add the row of the aperture stop")
    return {"name": path.stem, "surfaces": tuple(surfaces)}


def _require_keys(keys: Mapping, known: tuple[str, ...], needed: tuple[str, ...], where: str) -> None:
    for key in keys:
        if key not in known:
            raise PrescriptionError(f"{where}: key {shown(key)} is unknown; there are {', '.join(known)}")
    for key in needed:
        if key not in keys:
            raise PrescriptionError(f"{where}: has no {key}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise PrescriptionError(f"{where} is {shown(value)}; it must be text")
    return value


def _number(value: Any, where: str) -> float:
    if not is_number(value):
        raise PrescriptionError(f"{where} is {shown(value)}; it must be a finite number")
    return float(value)


def _numbers(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise PrescriptionError(f"{where} is {shown(value)}; it must be a list of numbers")
    return tuple(_number(v, where) for v in value)
