"""Procedural photographs and cut-outs with the statistics of natural images. They need no files and no network.

They extend the dead-leaves models (Matheron 1968; Lee, Mumford and Huang 2001; VibrantLeaves, Achddou et al. 2025):
shapes of all sizes occlude each other, textures have power 1/f^2, and light, shade and the camera are simulated.
"""

from scenes.procedural.cutouts import ProceduralCutouts
from scenes.procedural.photographs import ProceduralPhotographs

__all__ = ["ProceduralCutouts", "ProceduralPhotographs"]
