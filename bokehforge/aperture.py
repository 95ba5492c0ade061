"""Apertures in words, as options and the studio name them."""

from collections.abc import Callable
from pathlib import Path

from bokehdata.format import DatasetError
from bokehdata.images import read_disparity
from runtime.command import OptionError
from scenes.aperture import CHARACTER, Aperture, Character, Disk, Donut, Mask, Polygon, Shape
from scenes.color import byte_levels

_MAKERS: dict[str, Callable[..., Shape]] = {
    "disk": Disk,
    "polygon": lambda blades, degrees="0": Polygon(int(blades), float(degrees)),
    "donut": lambda inner_radius: Donut(float(inner_radius)),
}

# Shapes that have a name; other words are the path of a picture.
NAMED_SHAPES = tuple(_MAKERS)


def aperture_of(words: str) -> Aperture:
    """The aperture that --aperture means; OptionError that names what is wrong with it."""
    opening, *settings = words.split(",")
    shape, *numbers = opening.split(":")
    try:
        character = {key: float(value) for key, value in (setting.split("=") for setting in settings)}
        if shape in _MAKERS:
            plain = _MAKERS[shape](*numbers)
        else:
            plain = Mask.from_image(byte_levels(read_disparity(Path(opening))))
        return Character(plain, **character) if character else plain
    except (ValueError, TypeError, DatasetError) as error:
        raise OptionError(
            f"--aperture is {words} ({error}); it must be disk, polygon:BLADES, polygon:BLADES:DEGREES, "
            "donut:INNER_RADIUS, or a picture; "
            f"then, for {', '.join(CHARACTER)}, KEY=NUMBER after commas"
        ) from error
