"""Describe a lens prescription, and draw it."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from tyro.conf import arg

from bokehdata.images import write_levels
from raytrace.lens_pictures import PLATE_RAYS, plate, section
from runtime import command
from runtime.command import OptionError
from scenes.optics import seidel
from scenes.prescription import LensPrescription, PrescriptionError, load_prescription, prescription_names
from scenes.thick_lens import ThickLens

# Pixels of the frame whose point spread functions are shown. It is 3:2.
_WIDTH_PX, _HEIGHT_PX = 1200, 800

_ENDINGS = (".png", ".jpg", ".jpeg")

# Focal lengths between the lens and the focus, where --focus is not given.
_FOCUS_RATIO = 30.0

# Half the field where a prescription names none, and the widest that a flat picture can show.
_HALF_FIELD_DEG, _FLAT_FIELD_DEG = 15.0, 40.0


@dataclass(frozen=True)
class Options:
    """Describe a lens: focal length, pupils, aberrations; draw its section and its point spread functions.

    Without a name, the lenses that come with the project are listed.
    Example: bokehforge lens biotar --f-number 2 --psf biotar.png --section section.png
    """

    name: tyro.conf.Positional[Annotated[str, arg(metavar="NAME|FILE")]] = ""
    """A lens in scenes/prescriptions, a prescription in YAML, or a table of pbrt."""
    f_number: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: open)")] = None
    """Close the stop to this f-number."""
    focal_length: Annotated[float | None, arg(metavar="MM", help_behavior_hint="(default: as prescribed)")] = None
    """Scale the lens to this focal length, millimetres."""
    focus: Annotated[float | None, arg(metavar="M", help_behavior_hint="(default: 30 focal lengths)")] = None
    """Focus of the point spread functions: distance from the entrance pupil, metres."""
    psf: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write a plate of point spread functions over field and distance."""
    section: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write a drawing of the lens, cut along its axis, with rays."""
    rays: Annotated[int, arg(metavar="N")] = PLATE_RAYS
    """Rays of one cell of the plate, for each of three wavelengths, 100 to 10^8."""


def main(argv: list[str] | None = None, prog: str = "bokehforge lens") -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=argv, prog=prog)
    return command.exit_code(partial(_lens, options), prog, refusals=(PrescriptionError,))


def _lens(options: Options) -> int:
    if not options.name:
        for name in prescription_names():
            print(f"{name:14} {load_prescription(name).name}")
        return command.DONE
    command.require_counts(("--rays", options.rays, 100, 10**8))
    for option, path in (("--psf", options.psf), ("--section", options.section)):
        if path is not None:
            command.require_writable(option, path, _ENDINGS)
    prescription = load_prescription(options.name)
    try:
        if options.focal_length is not None:
            prescription = prescription.scaled_to(options.focal_length)
        if options.f_number is not None:
            prescription = prescription.stopped_to(options.f_number)
    except ValueError as error:
        raise OptionError(str(error)) from error
    half_field_deg = prescription.half_field_deg or _HALF_FIELD_DEG
    print(_description(prescription, half_field_deg))
    if options.section is not None:
        _write(options.section, section(prescription, half_field_deg))
    if options.psf is not None:
        try:
            _write(options.psf, plate(_camera(options, prescription, half_field_deg), rays=options.rays))
        except ValueError as error:
            raise OptionError(str(error)) from error
    return command.DONE


def _camera(options: Options, prescription: LensPrescription, half_field_deg: float) -> ThickLens:
    focal_length_m = prescription.focal_length / 1000.0
    focus_m = options.focus if options.focus is not None else _FOCUS_RATIO * focal_length_m
    if not 0.0 < focus_m < math.inf:
        raise OptionError(f"--focus is {focus_m}; it must be above 0 m")
    half_diagonal_m = focal_length_m * math.tan(math.radians(min(half_field_deg, _FLAT_FIELD_DEG)))
    width_m = 2.0 * half_diagonal_m * _WIDTH_PX / math.hypot(_WIDTH_PX, _HEIGHT_PX)
    return ThickLens(prescription, _WIDTH_PX, _HEIGHT_PX, width_m, 1.0 / focus_m, wavelengths=1)


def _description(prescription: LensPrescription, half_field_deg: float) -> str:
    system = prescription.system()
    of = system.paraxial
    sums = [float(s.sum()) * 1000.0 for s in seidel(system, math.radians(min(half_field_deg, _FLAT_FIELD_DEG)))]
    lines = [
        prescription.name,
        *(f"{key}: {text}" for key in ("source", "read_in", "note") if (text := getattr(prescription, key))),
        f"{len(system)} surfaces, stop at {system.stop + 1}; positions from the first vertex, in mm",
        f"focal length    {of.focal_length:10.3f}   f/{of.f_number:.3g}",
        f"back focus      {of.back_focal_distance:10.3f}   sensor at {of.rear_focus:.3f} for infinity",
        f"principal planes{of.front_principal:10.3f} and {of.rear_principal:.3f}",
        f"entrance pupil  {of.entrance_pupil:10.3f}   radius {of.entrance_pupil_radius:.3f}",
        f"exit pupil      {of.exit_pupil:10.3f}   radius {of.exit_pupil_radius:.3f}",
        f"Petzval radius  {of.petzval_radius:10.3f}",
        "Seidel sums, micrometres: " + ", ".join(f"S{i} {s:.3f}" for i, s in enumerate(sums, start=1)),
    ]
    return "\n".join(lines)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    write_levels(path, picture)
    print(f"wrote {path}, {picture.shape[1]} x {picture.shape[0]} px")


if __name__ == "__main__":
    raise SystemExit(main())
