"""Colour palettes: a tonal scale and a few accents that match it.

Colours are display values (red, green, blue) in [0, 1]. They are mixed in OKLab (Ottosson 2020), where the mix of two
colours looks like the colour between them. `ramp` returns linear light.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.color import linear_from_display

Colour = NDArray

# Dark to light, then the accents.
_FAMILIES = {
    "autumn": ("1c1714 3a291d 6a4327 9d6233 c48d4b dfc490 f0e4cc", "93341f 5d6b38 2f4b58 d99a2b"),
    "coast": ("161f27 2d4352 537083 89a5b2 c0cccd e8e3d7", "bf6c3e d6b06b 7a3d30 2f6f7a"),
    "terracotta": ("281b16 583326 91553b c28662 dfb594 f2e1cd", "3e5e5a 27414b d3a040 8b2f28"),
    "moss": ("11170e 263219 445529 6d7d45 9faa73 d3d6b0", "ad583c d6c06c 8ba5b4 6b4a2f"),
    "winter": ("191e25 373f4b 616d7a 949fa9 c6cdd2 eeefee", "88403a c29c60 3f594c 51618a"),
    "mediterranean": ("1b2735 2e5874 6a9db3 d3c3a2 efe5d2 f9f4ea", "c1573f dca25a 5d784c 2d6a8a"),
    "dusk": ("161328 312849 5a436b 93667f d09588 f2caa3", "eaab55 3d6880 ad3f4a 6a5a9a"),
    "studio": ("1a1817 423e3a 78716a a9a297 d3cdc2 f1ede6", "a3442f 315d69 cb9c4a 6f7f5c"),
    "tropic": ("0e1c1a 1d453b 3b775b 80aa76 d1d099 f3eccd", "d9705a e9b052 317a94 a83f5d"),
    "desert": ("281913 69392a a5664a cd9770 e4c4a1 f3e4d1", "5a7c87 873f32 404f3c d8a958"),
}


@dataclass(frozen=True, eq=False)
class Palette:
    """A tonal scale and accents, both (n, 3) display values."""

    name: str
    scale: Colour
    accents: Colour

    @classmethod
    def draw(cls, *, rng: np.random.Generator, among: tuple[str, ...] = tuple(_FAMILIES)) -> "Palette":
        """One of the named families. All its colours are shifted by one small random amount."""
        name = among[rng.integers(len(among))]
        scale, accents = (_scale_from(colours) for colours in _FAMILIES[name])
        cast = rng.normal(0.0, [0.012, 0.008, 0.008])
        return cls(name, _display(_oklab(scale) + cast), _display(_oklab(accents) + cast))

    def tone(self, lightness: float, *, rng: np.random.Generator, jitter: float = 0.02) -> Colour:
        """A colour of the scale, from 0 (darkest) to 1 (lightest), varied by `jitter` in OKLab."""
        lab = _along(_oklab(self.scale), np.asarray(lightness))
        return _display(lab + _off(lab, jitter, rng=rng))

    def accent(self, *, rng: np.random.Generator, jitter: float = 0.02) -> Colour:
        """One of the accents, varied by `jitter` in OKLab."""
        lab = _oklab(self.accents[rng.integers(len(self.accents))])
        return _display(lab + _off(lab, jitter, rng=rng))

    def any(self, *, rng: np.random.Generator, accented: float = 0.25) -> Colour:
        """A muted colour for one object: an accent with probability `accented`, else a tone."""
        if rng.random() < accented:
            return mixed(self.accent(rng=rng), self.tone(rng.uniform(0.2, 0.9), rng=rng), rng.uniform(0.0, 0.35))
        return self.tone(rng.beta(1.6, 1.6), rng=rng, jitter=0.03)


def mixed(a: Colour, b: Colour, share_of_b: float | NDArray) -> Colour:
    """The display colour between two display colours, or (n, 3) of them for n shares."""
    share = np.asarray(share_of_b)[..., None]
    return _display(_oklab(a) * (1.0 - share) + _oklab(b) * share)


def lighter(colour: Colour, by: float | NDArray) -> Colour:
    """A display colour with OKLab lightness raised (or lowered) by `by`. Raising warms it a little, lowering cools it.

    Several colours, several amounts or both give (n, 3).
    """
    return _display(_oklab(colour) + np.asarray(by)[..., None] * np.array([1.0, 0.02, 0.08]))


def linear(colour: Colour) -> NDArray:
    """Linear light of a display colour."""
    return linear_from_display(np.asarray(colour, np.float64)).astype(np.float32)


def ramp(field: NDArray, colours: list[Colour] | Colour) -> NDArray:
    """(h, w, 3) linear light: `field` in [0, 1], clamped, mapped to evenly spaced display colours."""
    steps = 4096
    lab = _along(_oklab(np.asarray(colours)), np.linspace(0.0, 1.0, steps))
    table = linear(_display(lab))
    return table[np.clip(field * (steps - 1), 0, steps - 1).astype(np.int32)]


def _off(lab: Colour, jitter: float, *, rng: np.random.Generator) -> Colour:
    """A random step in OKLab. Steps of hue are smaller for dark colours, which would otherwise become garish."""
    return rng.normal(0.0, jitter, 3) * np.array([1.0, lab[0], lab[0]])


def _along(lab: Colour, t: NDArray) -> Colour:
    at = np.linspace(0.0, 1.0, len(lab))
    return np.stack([np.interp(t, at, lab[:, i]) for i in range(3)], axis=-1)


def from_hex(colour: str) -> Colour:
    """The display colour of six hexadecimal digits."""
    return np.array([int(colour[i : i + 2], 16) / 255.0 for i in (0, 2, 4)])


def _scale_from(colours: str) -> Colour:
    return np.stack([from_hex(c) for c in colours.split()])


_LMS_FROM_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB_FROM_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_RGB_FROM_LMS = np.linalg.inv(_LMS_FROM_RGB)
_LMS_FROM_LAB = np.linalg.inv(_LAB_FROM_LMS)


def _oklab(display: Colour) -> Colour:
    return np.cbrt(linear_from_display(np.asarray(display)) @ _LMS_FROM_RGB.T) @ _LAB_FROM_LMS.T


def _display(lab: Colour) -> Colour:
    rgb = (lab @ _LMS_FROM_LAB.T) ** 3 @ _RGB_FROM_LMS.T
    return np.minimum(np.maximum(rgb, 0.0), 1.0) ** (1.0 / 2.2)
