"""Pictures of a lens: a section with rays, and a plate of its point spread functions."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from raytrace.psf import point_spread, spot
from scenes.optics import OpticalSystem, trace
from scenes.prescription import LensPrescription
from scenes.thick_lens import ThickLens

Drawing = NDArray[np.uint8]

# Of the section: width in pixels, strokes are drawn twice as large and reduced; colours are red, green, blue.
_WIDTH, _OVERSAMPLED = 1600, 2
_INK, _GLASS, _AXIS = (40, 44, 52), (214, 228, 240), (190, 190, 190)
_FIELD_COLOURS = ((38, 94, 168), (46, 139, 87), (200, 80, 30))
_RAYS = 9

# Of the plate: bins across a cell, pixels of a bin.
_BINS, _BIN_PX = 110, 2
# Of one cell and wavelength.
PLATE_RAYS = 40_000

# Fields of its columns as parts of the distance to the corner, and disparities of its rows over that in focus.
_FIELDS = (0.0, 0.35, 0.7, 1.0)
_TIMES = (0.0, 0.5, 1.0, 1.5, 2.0)


def section(prescription: LensPrescription, half_field_deg: float) -> Drawing:
    """The lens cut along its axis, with rays from infinity: (H, W, 3) uint8.

    Rays come from the axis, from 0.7 of the field and from its edge, up to 80 degrees. Those that rims stop are left
    out.
    """
    system = prescription.system()
    of = system.paraxial
    left = -0.35 * of.focal_length
    right = of.rear_focus + 0.06 * of.focal_length
    bundles = [_bundle(system, math.radians(min(part * half_field_deg, 80.0)), left) for part in (0.0, 0.7, 1.0)]
    tallest = max(
        [1.1 * float(system.semi_diameter.max()), *(1.05 * abs(b[:, 1:, 1]).max() for b in bundles if len(b))]
    )
    scale = _OVERSAMPLED * _WIDTH / (right - left)
    height = math.ceil(2.0 * tallest * scale)
    canvas = np.full((height, math.ceil((right - left) * scale), 3), 255, np.uint8)

    def pixels(z: NDArray, y: NDArray) -> NDArray[np.int32]:
        # cv2 takes sixteenths of pixels.
        return np.round(16.0 * np.stack([(z - left) * scale, height / 2.0 - y * scale], axis=-1)).astype(np.int32)

    def line(z: NDArray, y: NDArray, colour: tuple[int, int, int], width: float) -> None:
        thickness = max(1, round(width * _OVERSAMPLED))
        cv2.polylines(canvas, [pixels(z, y)], False, colour, thickness, cv2.LINE_AA, 4)

    line(np.array([left, right]), np.zeros(2), _AXIS, 1.0)
    outlines = [_outline(system, i) for i in range(len(system))]
    for i in range(len(system) - 1):
        if system.index[i + 1] > 1.0:
            z, y = _element(outlines[i], outlines[i + 1])
            cv2.fillPoly(canvas, [pixels(z, y)], _GLASS, cv2.LINE_AA, 4)
            line(np.append(z, z[0]), np.append(y, y[0]), _INK, 1.2)
    for bundle, colour in zip(bundles, _FIELD_COLOURS, strict=True):
        for ray in bundle:
            line(ray[:, 0], ray[:, 1], colour, 0.9)
    z, rim = outlines[system.stop][0][0], float(system.semi_diameter[system.stop])
    for side in (-1.0, 1.0):
        line(np.array([z, z]), side * np.array([rim, rim + 0.09 * tallest]), _INK, 4.0)
    image = max([abs(bundle[:, -1, 1]).max() for bundle in bundles if len(bundle)])
    line(np.full(2, of.rear_focus), 1.05 * image * np.array([-1.0, 1.0]), _INK, 2.5)
    size = (canvas.shape[1] // _OVERSAMPLED, canvas.shape[0] // _OVERSAMPLED)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)


def _outline(system: OpticalSystem, i: int) -> tuple[NDArray, NDArray]:
    """z and y of a surface, from its lower rim to its upper one: where rays along the axis meet it."""
    y = np.linspace(-1.0, 1.0, 101) * float(system.semi_diameter[i]) * (1.0 - 1e-9)
    start = np.stack([np.zeros_like(y), y, np.full_like(y, system.vertex[i])], axis=-1)
    alone = system.part(i, i + 1)
    position = trace(alone, start, (0.0, 0.0, 1.0), rims=False).position
    return position[:, 2], y


def _element(front: tuple[NDArray, NDArray], back: tuple[NDArray, NDArray]) -> tuple[NDArray, NDArray]:
    """z and y around the glass between two surfaces. A surface with the smaller rim goes on flat to the larger one."""
    largest = max(front[1][-1], back[1][-1])
    corners = np.array([-largest, largest])
    (z_front, y_front), (z_back, y_back) = (
        (np.concatenate([z[:1], z, z[-1:]]), np.concatenate([corners[:1], y, corners[1:]])) for z, y in (front, back)
    )
    return np.concatenate([z_front, z_back[::-1]]), np.concatenate([y_front, y_back[::-1]])


def _bundle(system: OpticalSystem, angle: float, left: float) -> NDArray[np.float64]:
    """(rays, points, 2) z and y of rays that pass, from `left` or the first surface to the plane of focus."""
    direction = np.array([0.0, math.sin(angle), math.cos(angle)])
    across = np.array([0.0, math.cos(angle), -math.sin(angle)])
    height = np.linspace(-1.2, 1.2, 4001)[:, None] * float(system.semi_diameter[0])
    start = np.array([0.0, 0.0, system.vertex[0]]) + height * across
    passed = np.flatnonzero(trace(system, start, direction).passed)
    if not len(passed):
        return np.empty((0, len(system) + 2, 2))
    start = start[passed[np.linspace(0, len(passed) - 1, _RAYS).round().astype(int)]]
    at = [start + (left - start[:, 2:]) / direction[2] * direction]
    at += [trace(system.part(0, i + 1), start, direction).position for i in range(len(system))]
    rays = trace(system, start, direction)
    at += [rays.position + (system.paraxial.rear_focus - rays.position[:, 2:]) / rays.direction[:, 2:] * rays.direction]
    return np.stack(at, axis=1)[..., [2, 1]]


def plate(lens: ThickLens, *, rays: int = PLATE_RAYS) -> Drawing:
    """Point spread functions over field and distance, as displayed: (H, W, 3) uint8.

    Columns go from the middle of the frame to the right, as far as its corner is. Rows are at infinity, at twice the
    distance of focus, in focus, and as many pixels of blur in front of it. A row has one exposure and one scale: its
    cells hold the largest of its spots, or three times that of the middle.
    """
    corner = float(lens.fields_px[-1]) - 1.0
    middle = np.array([lens.width_px, lens.height_px]) / 2.0
    images = [(float(middle[0] + part * corner), float(middle[1])) for part in _FIELDS]
    rows, spans = [], []
    for times in _TIMES:
        disparity = times * lens.focus_disparity
        sizes = [_size_px(lens, image, disparity) for image in images]
        span = 1.15 * min(max(sizes), 3.0 * sizes[0])
        options = {"side_px": _BINS, "pixel": span / _BINS, "rays": rays}
        # Rays are few in a bin.
        row = [cv2.GaussianBlur(point_spread(lens, image, disparity, **options), (0, 0), 0.9) for image in images]
        brightness = row[0].max(axis=-1)
        exposure = 1.3 * np.quantile(brightness[brightness > 0.05 * brightness.max()], 0.9)
        rows.append(np.concatenate([np.clip(cell / exposure, 0.0, 1.0) ** (1.0 / 2.2) for cell in row], axis=1))
        spans.append(span)
    picture = np.round(255.0 * np.concatenate(rows, axis=0)).astype(np.uint8)
    size = (picture.shape[1] * _BIN_PX, picture.shape[0] * _BIN_PX)
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return _labelled(picture, lens, spans)


def _size_px(lens: ThickLens, image: tuple[float, float], disparity: float) -> float:
    """Side of the square around a point's image that holds nearly all of its light, pixels."""
    where, _ = spot(lens, image, disparity, rays=2000)
    return 2.0 * float(np.quantile(np.abs(where - image).max(axis=1), 0.99)) if len(where) else 0.0


def _labelled(picture: Drawing, lens: ThickLens, spans: list[float]) -> Drawing:
    """The plate with the distance of each row, the size of its cells in pixels, and the field of each column."""
    cell, margin = _BINS * _BIN_PX, 26
    canvas = np.zeros((picture.shape[0] + margin, picture.shape[1] + 4 * margin, 3), np.uint8)
    canvas[margin:, 4 * margin :] = picture

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (210, 210, 210), 1, cv2.LINE_AA)

    for column, part in enumerate(_FIELDS):
        angle = math.degrees(math.atan(part * (lens.fields_px[-1] - 1.0) / lens.chief_distance_px))
        write(f"{angle:.0f} deg", 4 * margin + column * cell + cell // 2 - 24, 18)
    for row, (times, span) in enumerate(zip(_TIMES, spans, strict=True)):
        y = margin + row * cell + cell // 2
        distance = 1.0 / max(times * lens.focus_disparity * lens.inv_m_per_unit, 1e-9)
        write("infinity" if times == 0.0 else f"{distance:.2f} m", 8, y)
        write(f"{span:.3g} px", 8, y + 20)
    return canvas
