"""Ground truth from Blender Cycles: three-dimensional scenes, in the same format as traced scenes.

Two processes take part. Ours plans, estimates noise and writes files. Blender's loads one scene and renders on request.
Only `worker` and the modules that it imports (`rendering`, `sources`, `blend_file`, `billboard_quads`, `procedural`)
import `bpy`. Beside it they need only NumPy, so they also run inside an installed Blender.
"""
