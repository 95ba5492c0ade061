"""From one picture and its disparity to layers: what is seen, and a guess at what nearer things hide.

    from renderers.layering import layering
    scene = layering("drbokeh")(linear, disparity)

The layers have the form of true ones, so that every renderer that is given layers takes them. They do not depend on the
focus: a picture is analysed once, and then seen through any lens. To add a layering, write a module here with a
function `analyse`, and put its name below.
"""

from importlib import import_module
from typing import Protocol

from scenes.arrays import Picture, Plane
from scenes.layered import LayeredScene

# drbokeh   a foreground and a background (Sheng et al. 2023)
# mpib      planes of one disparity each (Peng et al. 2022)
# reveal0   surfaces, cut where they hide each other
# reveal    the same, changed beside their edges by a network
LAYERINGS = ("drbokeh", "mpib", "reveal0", "reveal")


class Analyse(Protocol):
    """What every layering is."""

    def __call__(self, linear: Picture, disparity: Plane, *, reach_px: float = ...) -> LayeredScene:
        """
        linear      (H, W, 3) float32, linear light at the reference gamma, >= 0
        disparity   (H, W) float32, >= 0, larger is nearer
        reach_px    largest blur radius that the layers will be seen with: what is hidden deeper may be left out.
                    Infinite where it is not known
        returns     layers near to far, without overscan
        raises      RendererError for values that do not fit
        """
        ...


def layering(name: str) -> Analyse:
    """A layering by its name, a member of LAYERINGS."""
    return import_module(f"{__name__}.{name}").analyse
