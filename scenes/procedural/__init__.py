"""Assets from nothing: photographs and cut-outs with the statistics of natural images, without files or network.

After the dead-leaves family (Matheron 1968; Lee, Mumford and Huang 2001; VibrantLeaves, Achddou et al. 2025): shapes
that occlude each other at all scales, textures whose power falls as 1/f^2, light and shade, and the acquisition.
"""

from scenes.procedural.cutouts import ProceduralCutouts
from scenes.procedural.photographs import ProceduralPhotographs

__all__ = ["ProceduralCutouts", "ProceduralPhotographs"]
