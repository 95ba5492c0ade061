"""Ground truth from Blender Cycles: scenes in three dimensions, in the format of the traced ones.

Two processes: ours plans, estimates noise and writes; Blender's loads one scene and renders what it is asked for.
Only `worker` and what it imports (`rendering`, `sources`, `blend_file`, `billboard_quads`, `procedural`) touch `bpy`,
and they need nothing but NumPy beside it, so that they also run inside an installed Blender.
"""
