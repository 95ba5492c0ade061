"""Procedural foreground cut-outs: a kind of object is drawn and cropped to its matte. Its colour is extended."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scenes.arrays import Rgba
from scenes.assets import CUTOUT_SIDE_MIN_PX
from scenes.matte import crop_to_alpha
from scenes.procedural import fibres, lattices, lights, plants, signs, solids
from scenes.procedural.sketch import extended

# Share of each kind among the cut-outs that are not light strings.
KINDS: dict[str, tuple[Callable[..., Rgba], float]] = {
    "branch": (plants.branch, 2.0),
    "fern": (plants.fern, 1.0),
    "grass": (plants.grass, 1.0),
    "flowers": (plants.flowers, 2.0),
    "dandelion": (plants.dandelion, 0.7),
    "feather": (fibres.feather, 0.7),
    "creature": (fibres.creature, 1.0),
    "portrait": (fibres.portrait, 1.2),
    "fence": (lattices.fence, 0.8),
    "mesh": (lattices.mesh, 0.7),
    "ironwork": (lattices.ironwork, 0.7),
    "lace": (lattices.lace, 0.6),
    "frame": (lattices.frame, 0.7),
    "window": (lattices.window, 0.7),
    "sign": (signs.sign, 1.0),
    "letters": (signs.letters, 0.6),
    "fruit": (solids.fruit, 1.3),
    "stones": (solids.stones, 1.0),
    "vessel": (solids.vessel, 1.8),
}


# Longest side of each kind in metres, for scenes of a camera.
SIZES_M: dict[str, tuple[float, float]] = {
    "branch": (0.5, 1.6),
    "fern": (0.4, 1.0),
    "grass": (0.3, 0.8),
    "flowers": (0.3, 0.9),
    "dandelion": (0.2, 0.4),
    "feather": (0.2, 0.5),
    "creature": (0.25, 0.7),
    # Head and shoulders.
    "portrait": (0.6, 0.8),
    "fence": (1.2, 2.4),
    "mesh": (0.8, 1.6),
    "ironwork": (1.0, 2.0),
    "lace": (0.4, 1.0),
    "frame": (0.4, 1.0),
    "window": (0.8, 1.6),
    "sign": (0.4, 1.2),
    "letters": (0.4, 1.2),
    "fruit": (0.2, 0.5),
    "stones": (0.3, 0.8),
    "vessel": (0.25, 0.6),
    "light-string": (1.0, 3.0),
}


@dataclass(frozen=True)
class ProceduralCutouts:
    """Random cut-outs with hard mattes, soft mattes and mattes with holes.

    lights   share of strings of small lamps (5 to 200 linear) among the cut-outs, in [0, 1]
    kinds    those that are drawn of the others; their shares are those of KINDS
    """

    lights: float = 0.12
    kinds: tuple[str, ...] = tuple(KINDS)

    def __post_init__(self):
        if not 0.0 <= self.lights <= 1.0:
            raise ValueError(f"share of light strings is {self.lights}; it must lie in [0, 1]")

    def draw(self, side_px: int, *, rng: np.random.Generator) -> tuple[Rgba, dict]:
        """One cut-out of at most side_px pixels a side, and plain values that tell its origin.

        side_px   >= 16, else ValueError
        returns   straight alpha in [0, 1], colour in linear light >= 0, extended under alpha 0; every edge of the
                  picture touches a texel with alpha > 0
        """
        if side_px < CUTOUT_SIDE_MIN_PX:
            raise ValueError(f"a cut-out cannot be {side_px} px; the smallest is {CUTOUT_SIDE_MIN_PX} px")
        if rng.random() < self.lights:
            kind = "light-string"
            rgba = lights.light_string(side_px, rng=rng)
        else:
            kind = self.draw_kind(rng=rng)
            rgba = KINDS[kind][0](side_px, rng=rng)
        return finished(rgba), {"kind": "procedural-cutout", "style": kind}

    def draw_kind(self, *, rng: np.random.Generator) -> str:
        """One of the kinds by its share."""
        shares = np.array([KINDS[kind][1] for kind in self.kinds])
        return self.kinds[rng.choice(len(shares), p=shares / shares.sum())]


def finished(rgba: Rgba) -> Rgba:
    """A drawn picture made ready for a scene: clipped to valid values, cropped to alpha > 0, colour extended."""
    rgba = np.ascontiguousarray(crop_to_alpha(rgba), np.float32)
    np.clip(rgba[..., 3], 0.0, 1.0, out=rgba[..., 3])
    np.maximum(rgba[..., :3], 0.0, out=rgba[..., :3])
    return extended(rgba)
